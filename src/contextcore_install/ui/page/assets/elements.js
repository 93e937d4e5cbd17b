// Making elements. Whatever comes from the document is inserted as text: nothing here parses HTML.

/** el("p.faint", {title: "x"}, "text", node): an element with classes, attributes and children. */
function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  node.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child != null && child !== ""));
  return node;
}

const byId = (id) => document.getElementById(id);
const unseen = (text) => el("span.unseen", {}, text);

/** A link, where the address is one of HTTP; its text otherwise. */
function link(address) {
  if (!/^https?:\/\/[\w.:-]+(\/|$)/.test(address)) return el("span", {}, address);
  return el("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, address);
}

/** A command that can be copied. */
function command(text) {
  const copy = el("button", { type: "button", "data-key": `copy ${text}`, "aria-label": `Copy: ${text}` }, "Copy");
  const code = el("code", {}, text);
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  return el("span.command", {}, code, copy);
}

/** Put other children into a place; what has the focus, and what was unfolded, stays so (by data-key). */
function replace(place, ...nodes) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  place.replaceChildren(...nodes.flat().filter(Boolean));
  for (const one of place.querySelectorAll("[data-key]")) {
    if (one.localName === "details") one.open = open.has(one.dataset.key);
    else if (focused && one.dataset.key === focused) one.focus({ preventScroll: true });
  }
}

/** A table with a caption; `heads` are [text, class] and `rows` lists of cells, the first of which names its row. */
function table(caption, heads, rows) {
  const head = heads.map(([text, kind]) => el(`th${kind || ""}`, { scope: "col" }, text));
  const body = rows.map((cells) => el("tr", {}, cells.map((cell, at) => {
    const kind = heads[at][1] || "";
    return at === 0 ? el(`th${kind}`, { scope: "row" }, cell) : el(`td${kind}`, {}, cell);
  })));
  return el("div.wide", {}, el("table", {},
    el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}
