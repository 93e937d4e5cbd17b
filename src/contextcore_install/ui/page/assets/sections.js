// The sections of the page: pure functions from parts of the document to elements. Times are microseconds.

function standing(head, steps, now) {
  const marks = steps.map((step) => el(`li.${step.status}`, {}, unseen(`${step.title}: ${told(step.status)[1]}`)));
  const next = head.next.map(([text, meaning]) => el("li", {}, command(text), el("span.faint", {}, meaning)));
  const spent = head.live ? el("span", { "data-since": head.began_us }, duration((now - head.began_us) / 1e6)) : null;
  const facts = [`${head.done} of ${plural(head.total, "step")} done`];
  if (!head.live && head.last_us) facts.push(`last sign of life ${moment(head.last_us)}`);
  return [
    head.detail ? el("p", {}, head.detail) : null,
    el("ol.progress", { "aria-label": "Progress" }, marks),
    el("p.faint", {}, facts.join(" · "), spent ? " · " : "", spent || ""),
    head.notices.map((text) => el("p.warn", {}, text)),
    el("ul.commands", { "aria-label": "What to type next" }, next),
  ].flat().filter(Boolean);
}

function problem(it, titles) {
  const tone = it.warning ? "warn" : "bad";
  const risk = it.risk && it.risk !== "harmless" ? ` (${it.risk.replace("-", " ")})` : "";
  return el("div.problem", {},
    el("h3", {}, el(`span.${tone}`, {}, it.warning ? "Warning: " : ""), it.message),
    it.evidence ? el("pre.evidence", {}, it.evidence) : null,
    it.remedy ? el("p", {}, it.remedy + risk) : null,
    it.command ? el("p", {}, command(it.command)) : null,
    el("p.faint", {}, [titles[it.step] || it.step, it.code].filter(Boolean).join(" · ")));
}

/** What stands in the way; what heals by itself, or has healed, is folded away. */
function problems(all, titles) {
  const loud = all.filter((it) => !it.quiet).map((it) => problem(it, titles));
  const more = loud.length ? "more " : "";
  const quiet = all.filter((it) => it.quiet).map((it) => problem(it, titles));
  if (!quiet.length) return loud;
  const folded = el("details", { "data-key": "quiet" },
    el("summary", { "data-key": "quiet-summary" }, `${plural(quiet.length, `${more}finding`)} that ${quiet.length === 1 ? "needs" : "need"} nothing from you`), quiet);
  return [...loud, folded];
}

function steps(all, now) {
  return el("ol.steps", {}, all.map((step) => {
    const [symbol, word, tone] = told(step.status);
    const running = step.began_us != null;
    const seconds = running ? (now - step.began_us) / 1e6 : step.seconds;
    const more = [word];
    if (step.attempts > 1) more.push(`begun ${step.attempts} times`);
    if (step.usual != null && (running || step.status === "pending")) more.push(`usually ${duration(step.usual)}`);
    if (step.completed_at) more.push(moment(step.completed_at));
    return el(`li.${step.status}`, {},
      el(`span.mark.${tone}`, { "aria-hidden": "true" }, symbol),
      el("h3", {}, step.title, " ", el("code.faint", {}, step.id)),
      el("span.number.faint", running ? { "data-since": step.began_us } : {}, duration(seconds)),
      el("p.more.faint", {}, more.join(" · ")),
      step.error ? el("p.more.bad", {}, step.error) : null);
  }));
}

/** The rows of a run as bars in time; `now` is where a run that lives has got to. */
function timeline(run, titles, now) {
  const end = Math.max(run.ended_us ?? now, run.began_us + 1);
  const share = (time) => `${Math.min(100, Math.max(0, ((time - run.began_us) / (end - run.began_us)) * 100))}%`;
  const rows = run.rows.map((row) => {
    const name = row.part || titles[row.step] || row.step;
    const track = el("span.track");
    const words = row.bars.map(([began, ended, outcome]) => {
      const bar = el(`span.bar.${outcome.split(" ")[0] || "open"}`);
      bar.style.left = `min(${share(began)}, 100% - 3px)`;
      bar.style.width = `calc(${share(ended ?? now)} - ${share(began)})`;
      track.append(bar);
      return `${told(outcome)[1]}, ${duration(((ended ?? now) - began) / 1e6)}`;
    });
    track.append(unseen(words.join("; ")));
    const last = row.bars.at(-1);
    const took = last ? ((last[1] ?? now) - row.bars[0][0]) / 1e6 : null;
    return el("li", {}, el(row.part ? "span.name.part" : "span.name", {}, name), track, el("span.number.faint.took", {}, duration(took)));
  });
  const spent = (end - run.began_us) / 1e6;
  const scale = el("span.scale", {},
    [0, 0.5, 1].map((part) => el("span", {}, onAxis(part * spent, spent))));
  const seen = new Set(run.rows.flatMap((row) => row.bars.map((bar) => bar[2])));
  const colours = { completed: "good", already: "faint", failed: "bad", continued: "faint", "cut off": "warn", "": "busy" };
  const key = Object.keys(colours).filter((state) => seen.has(state)).map((state) => {
    const one = el("span", {}, told(state)[1]);
    one.style.setProperty("--colour", `var(--${colours[state]})`);
    return one;
  });
  return [el("ol.timeline", {}, rows, el("li", { "aria-hidden": "true" }, scale)), el("p.key", { "aria-hidden": "true" }, key)];
}

function remarks(all) {
  return el("ul.remarks", {}, all.map(([at, step, text]) => el("li", {}, `${moment(at)} · ${step ? `${step}: ` : ""}${text}`)));
}

function where(all) {
  const places = all.endpoints.map((it) => [it.component, link(it.url), it.answers == null ? "" : badge(it.answers ? "answers" : "silent"), it.program]);
  const absent = all.absent.map((it) => el("li", {}, `${it.component}: ${it.reason}; ${it.hint}`));
  const heads = [["Component"], ["Address"], ["Now", ".nowrap"], ["Program", ".optional.faint"]];
  const folded = absent.length ? el("details.faint", { "data-key": "absent" },
    el("summary", { "data-key": "absent-summary" }, `${plural(absent.length, "component")} not installed`), el("ul", {}, absent)) : null;
  return [
    places.length ? table("Components and their addresses on this machine", heads, places) : el("p.faint", {}, "Nothing runs yet."),
    all.dashboard ? el("p", {}, "In Grafana: ", link(all.dashboard)) : null,
    folded, ...all.hints.map((text) => el("p.faint", {}, text)),
  ];
}

function requirements(all, verifiedAt) {
  const sorted = [...all].sort((one, other) => String(one.category).localeCompare(String(other.category)));
  const rows = sorted.map((it, at) => [
    it.title || sentence(String(it.requirement)),
    at && sorted[at - 1].category === it.category ? unseen(it.category) : sentence(String(it.category)),
    badge(it.ratio >= 1 ? "met" : "unmet")]);
  const when = verifiedAt ? `, as verified on ${moment(verifiedAt)}` : "";
  return table(`Requirements of a complete installation${when}`, [["Requirement"], ["Category", ".optional.faint.nowrap"], ["Met", ".nowrap"]], rows);
}
