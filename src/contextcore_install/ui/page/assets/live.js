// The wire to the server that serves the page, and the theme.

function saying(words, tone) {
  const link = byId("link");
  link.hidden = false;
  link.className = tone;
  text(link, words);
}

function listen() {
  const source = new EventSource("events");
  source.addEventListener("open", () => saying("Connected", "idle"));
  source.addEventListener("change", (event) => {
    const change = JSON.parse(event.data);
    skew = change.now_us - Date.now() * 1000;
    Object.assign(doc, change.sections);
    draw(Object.keys(change.sections));
  });
  source.addEventListener("end", () => { source.close(); gone(); });
  // The browser tries again by itself; a server that has ended does not come back at this address.
  let failures = 0;
  source.addEventListener("error", () => {
    failures += 1;
    if (source.readyState === EventSource.CLOSED || failures > 2) { source.close(); gone(); } else saying("Connecting", "warn");
  });
  source.addEventListener("open", () => { failures = 0; });
}

function gone() {
  doc.head.live = false;
  saying("The server has ended: this is the last that was seen", "idle");
}

const THEMES = ["system", "light", "dark"];

function chooseTheme(theme) {
  document.documentElement.dataset.theme = theme;
  text(byId("theme"), `Theme: ${theme}`);
  try { localStorage.setItem("theme", theme); } catch { /* a page without storage forgets the choice */ }
}

byId("theme").addEventListener("click", () => {
  chooseTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
});
let kept = "system";
try { kept = localStorage.getItem("theme") || kept; } catch { /* as above */ }
chooseTheme(THEMES.includes(kept) ? kept : "system");

draw(Object.keys(doc));
byId("log-body").querySelector("pre")?.scrollTo(0, 1e9);
document.documentElement.dataset.drawn = "yes";
if (live) {
  saying("Connecting", "idle");
  listen();
  setInterval(tick, 1000);
}
