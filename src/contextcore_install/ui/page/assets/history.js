// The history: a page of rows at a time, older ones asked for when they are wanted.

const PAGE = 25;

/** `show` is called with a run's row, `turn` with the first index of another page. */
function historyTable(total, rows, first, { show, turn }) {
  const longest = Math.max(...rows.map((row) => row.seconds || 0), 0.1);
  const cells = rows.map((row) => {
    const meter = el("meter", { min: 0, max: longest, value: row.seconds || 0, "aria-label": duration(row.seconds) || "unknown" });
    const at = row.failed_step ? ` at ${row.failed_step}` : "";
    const button = el("button", { type: "button", "data-key": `show ${row.run_id}`, onclick: () => show(row),
      "aria-label": `Show run ${row.number}` }, String(row.number));
    return [button, moment(row.started_at, "short"), row.mode || "", el("span", {}, badge(row.outcome), at),
      duration(row.seconds), meter];
  });
  const heads = [["Run"], ["Began"], ["Mode", ".optional"], ["Outcome"], ["Took", ".number"], ["Duration", ".optional"]];
  const last = Math.min(first + PAGE, total);
  const step = (text, to, possible) => el("button", { type: "button", disabled: !possible, "data-key": text, onclick: () => turn(to) }, text);
  const pager = el("div.pager", {},
    step("Newest", 0, first > 0), step("Newer", first - PAGE, first > 0),
    step("Older", first + PAGE, last < total), step("Oldest", Math.floor((total - 1) / PAGE) * PAGE, last < total),
    el("span.faint", {}, `${(first + 1).toLocaleString()} to ${last.toLocaleString()} of ${plural(total, "run")}`));
  return [table("Runs of this installation, the latest first; its number shows a run", heads, cells), total > PAGE ? pager : null];
}

/** One earlier run: its timeline, what it found and what it remarked. */
function earlierRun(row, run, titles, close) {
  const heading = el("h3", {}, `Run ${row.number}: ${row.mode || ""}, ${moment(row.started_at)} `, badge(row.outcome));
  const hide = el("button", { type: "button", onclick: close, "data-key": "hide" }, "Hide");
  if (!run) return el("article", {}, heading, el("p.faint", {}, "The details of this run are not part of this page."), el("p", {}, hide));
  return el("article", {}, heading, el("div", {}, timeline(run, titles, run.ended_us)),
    el("div", {}, run.problems.map((it) => problem(it, titles))), remarks(run.remarks), el("p", {}, hide));
}
