// The page: what it was given is drawn, and drawn anew where it changes.

const page = JSON.parse(byId("document").textContent);
const doc = page.sections;
const live = document.documentElement.dataset.live === "yes";
const view = { step: "", first: 0, rows: new Map() };
let skew = page.now_us - Date.now() * 1000;  // a report stands still: its clock stopped when it was made
const now = () => (live ? Date.now() * 1000 + skew : page.now_us);
const titles = () => Object.fromEntries(doc.steps.map((step) => [step.id, step.title]));

function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function drawStanding() {
  text(byId("headline"), doc.head.headline);
  byId("standing").className = `tone-${doc.head.tone}`;
  replace(byId("standing-body"), standing(doc.head, doc.steps, now()));
}

function drawProblems() {
  const all = doc.run ? doc.run.problems : [];
  byId("problems").hidden = !all.length;
  const loud = all.filter((it) => !it.quiet);
  const title = loud.some((it) => !it.warning) ? "What stands in the way" : loud.length ? "Worth knowing" : "Findings";
  text(byId("problems-title"), title);
  replace(byId("problems-body"), problems(all, titles()));
}

function drawTimeline() {
  byId("timeline").hidden = !doc.run || !doc.run.rows.length;
  if (doc.run) replace(byId("timeline-body"), timeline(doc.run, titles(), now()), remarks(doc.run.remarks));
}

/** The step whose log is shown: the chosen one, else the one at work, else the failed, else the latest with a log. */
function logStep() {
  const logged = doc.steps.filter((step) => (doc[`log.${step.id}`] || []).length);
  const first = (...states) => logged.find((step) => states.includes(step.status));
  return logged.find((step) => step.id === view.step) || first("in_progress") || first("failed", "stopped") || logged.at(-1);
}

function drawLog() {
  const body = byId("log-body");
  const shown = logStep();
  byId("log").hidden = !shown;
  if (!shown) return;
  let out = body.querySelector("pre");
  if (!out) {
    const choice = el("select", { id: "log-step", onchange: () => { view.step = choice.value; drawLog(); } });
    out = el("pre.log", { tabindex: "0", role: "region", "aria-label": "The last lines of the log" });
    replace(body, el("div.log-head", {}, el("label", { for: "log-step" }, "Step"), choice, el("span.faint", {}, "times in UTC")), out);
  }
  const logged = doc.steps.filter((step) => (doc[`log.${step.id}`] || []).length);
  const options = [shown, ...logged].map((step) => step.id).join(" ");
  const choice = byId("log-step");
  if (choice.dataset.options !== options) {
    choice.dataset.options = options;
    choice.replaceChildren(el("option", { value: "" }, view.step ? "automatic" : `${shown.title} (automatic)`), ...logged.map((step) => el("option", { value: step.id }, step.title)));
  }
  choice.value = view.step;
  const lines = doc[`log.${shown.id}`].map((line) => line.replace(/^[\d-]{10}T([\d:]{8})[\d.]*Z /, "$1 ")).join("\n");
  const follows = out.scrollHeight - out.scrollTop - out.clientHeight < 40;
  text(out, lines);
  if (follows) out.scrollTop = out.scrollHeight;
}

function drawWhere() {
  byId("where").hidden = !doc.where;
  byId("requirements").hidden = !doc.requirements.length;
  for (const [one, other] of [["where", "requirements"], ["requirements", "where"]]) byId(one).classList.toggle("alone", byId(other).hidden);
  if (doc.where) replace(byId("where-body"), where(doc.where));
  replace(byId("requirements-body"), requirements(doc.requirements, doc.head.verified_at));
}

/** Rows are kept by their number: the document brings the latest, a question to the server older ones. */
async function rowsFrom(first) {
  const { total } = doc.history;
  const numbers = Array.from({ length: Math.min(PAGE, total - first) }, (_, at) => total - first - at);
  if (live && numbers.some((number) => !view.rows.has(number))) {
    const answer = await fetch(`runs?before=${numbers[0]}`);
    if (answer.ok) for (const row of (await answer.json()).rows) view.rows.set(row.number, row);
  }
  return numbers.map((number) => view.rows.get(number)).filter(Boolean);
}

async function drawHistory() {
  for (const row of doc.history.rows) view.rows.set(row.number, row);
  byId("history").hidden = !doc.history.total;
  if (!doc.history.total) return;
  const first = view.first;
  const rows = await rowsFrom(first).catch(() => []);
  if (first === view.first) replace(byId("history-body"), historyTable(doc.history.total, rows, first, { show: showRun, turn }));
}

function turn(first) {
  view.first = Math.max(0, first);
  return drawHistory();
}

async function showRun(row) {
  const place = byId("history-run");
  const answer = live ? await fetch(`run?id=${encodeURIComponent(row.run_id)}`).catch(() => null) : null;
  const run = answer && answer.ok ? await answer.json() : (page.runs || {})[row.run_id];
  replace(place, earlierRun(row, run, titles(), () => { replace(place); byId("history-body").querySelector("button").focus(); }));
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "nearest" });
}

const DRAWN = [
  [drawStanding, ["head", "steps"]], [drawProblems, ["run", "steps"]], [drawTimeline, ["run"]],
  [() => replace(byId("steps-body"), steps(doc.steps, now())), ["steps"]], [drawWhere, ["where", "requirements", "head"]], [drawHistory, ["history"]],
];

function draw(changed) {
  text(byId("name"), `${doc.head.cluster}${doc.head.provider ? ` on ${doc.head.provider}` : ""}`);
  document.title = `${doc.head.headline} · ${doc.head.cluster}`;
  for (const [drawn, from] of DRAWN) if (from.some((name) => changed.includes(name))) drawn();
  if (changed.some((name) => name === "steps" || name.startsWith("log."))) drawLog();
}

function tick() {
  for (const node of document.querySelectorAll("[data-since]")) text(node, duration((now() - Number(node.dataset.since)) / 1e6));
  if (doc.head.live) drawTimeline();
}
