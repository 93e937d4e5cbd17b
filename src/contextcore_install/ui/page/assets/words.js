// Numbers, times and states in words.

const WORDS = {
  completed: ["✓", "done", "good"], already: ["✓", "done before", "idle"], failed: ["✗", "failed", "bad"],
  in_progress: ["●", "running", "busy"], running: ["●", "running", "busy"], pending: ["○", "waiting", "idle"],
  stopped: ["■", "stopped", "warn"], interrupted: ["■", "interrupted", "warn"],
  answers: ["✓", "answers", "good"], silent: ["✗", "does not answer", "bad"],
  met: ["✓", "met", "good"], unmet: ["✗", "not met", "bad"],
  "cut off": ["■", "ended unexpectedly", "warn"], succeeded: ["✓", "done", "good"], "": ["●", "running", "busy"],
  continued: ["→", "went on in a later step", "idle"],
};

/** [symbol, word, tone] of a state. */
const told = (state) => WORDS[state] || ["■", state, "warn"];

/** Seconds as 0.4 s, 12 s, 3 min 05 s, 2 h 10 min. */
function duration(seconds) {
  if (typeof seconds !== "number" || !(seconds >= 0)) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

const PARTS = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
const formats = {};  // making one takes longer than all else that a row of a table needs

/** Seconds on an axis that ends at `longest`: short axes need more digits, and no two marks may read alike. */
const onAxis = (seconds, longest) => (longest < 2 ? `${Math.round(seconds * 1000)} ms` : duration(seconds));

/** An RFC 3339 time, or microseconds, with its zone as this browser's user reads it; `style` is medium or short. */
function moment(time, style = "medium") {
  const date = new Date(typeof time === "number" ? time / 1000 : time);
  if (time == null || time === "" || Number.isNaN(date.getTime())) return "";
  formats[style] ||= new Intl.DateTimeFormat(undefined, { ...PARTS, ...(style === "medium" ? { second: "2-digit" } : {}) });
  return formats[style].format(date);
}

/** An identifier such as metric_round_trip as words: Metric round trip. */
const sentence = (id) => id.charAt(0).toUpperCase() + id.slice(1).replaceAll("_", " ");

const plural = (count, thing) => `${count.toLocaleString()} ${thing}${count === 1 ? "" : "s"}`;

/** A state as its symbol and its word, for eyes and for screen readers. */
function badge(state) {
  const [symbol, word, tone] = told(state);
  return el(`span.${tone}`, {}, el("span", { "aria-hidden": "true" }, `${symbol} `), word);
}
