"""What a run says where there is no terminal: one aligned line for each thing worth a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TextIO

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.findings import finding_from_document
from contextcore_install.core.ports import Clock
from contextcore_install.ui.console.progress import Progress, StepView, error_message
from contextcore_install.ui.console.remarks import needs_a_hand, remark
from contextcore_install.ui.hints import hint_lines
from contextcore_install.ui.style import Span, Style
from contextcore_install.ui.terminal import Sink
from contextcore_install.ui.text import cells, count, duration, latest_line, pad, sanitize, stopwatch, time_of_day

QUIET_S = 2.5
"""After so long without a line, the next tick writes one: ticks come every 2 s, so none waits 5 s."""


class PlainConsole:
    """A projection that writes lines for logs. With `verbose`, what the commands print as well.

    `heading` is the first line (which cluster, where, which run); times are UTC.
    """

    def __init__(
        self,
        stream: TextIO,
        progress: Progress,
        clock: Clock,
        *,
        style: Style,
        heading: str = "",
        verbose: bool = False,
    ) -> None:
        self._sink = Sink(stream)
        self._progress = progress
        self._clock = clock
        self._style = style
        self._heading = heading
        self._verbose = verbose
        self._total = len(progress.steps)
        self._names = min(24, max((cells(name) for name in progress.steps), default=0))
        self._last = self._began = clock.monotonic()
        self._held: list[str] = []  # until there is more to say than that nothing had to be done

    def handle(self, event: Event) -> None:
        """Take one event in."""
        now = self._clock.monotonic()
        step = self._progress.handle(event, now)
        if event.kind is Kind.TICK:
            lines = self._sign_of_life(event, now) if now - self._last >= QUIET_S else []
        elif event.kind is Kind.OUTPUT and not self._verbose:
            lines = []
        else:
            tell = _TELLERS.get(event.kind)
            lines = tell(self, event, step) if tell else []
        if self._says_nothing_new(event) and not self._verbose:
            self._held += lines
        elif lines:
            self._sink.lines([*self._held, *lines])
            self._held = []
            self._last = now

    def hold(self, line: str) -> None:
        """Keep a line until there is more to say."""
        self._held.append(line)

    def _says_nothing_new(self, event: Event) -> bool:
        """Whether a line for the event is news only beside others: a run begins, or a step was done before."""
        begins = event.kind is Kind.RUN_STARTED
        return begins or (event.kind is Kind.STEP_COMPLETED and event.data.get("already") is True)

    # One line, and what hangs below it

    def _line(self, event: Event, step: StepView | None, mark: Span, *spans: Span) -> list[str]:
        """Return the line, its last span wrapped below itself where it is too long."""
        start: list[Span] = [(time_of_day(event.at_us) + "  ", "faint")]
        if step:
            number = f"[{step.number}/{self._total}] ".rjust(len(str(self._total)) * 2 + 4)
            start += [(number, "faint"), (pad(step.id, self._names) + "  ", "")]
        start += [mark, (" ", ""), *spans[:-1]]
        text, tone = spans[-1]
        indent = sum(cells(self._style.plain(span[0])) for span in start)
        return self._style.paragraph(text, first=start, indent=indent, tone=tone)

    def _indent(self, step: StepView | None) -> int:
        number = len(str(self._total)) * 2 + 4
        return 10 + (number + self._names + 2 if step else 0) + 2

    def _hint(self, hint: object, step: StepView | None) -> list[str]:
        return hint_lines(self._style, hint, label=self._style.symbol("then") + " ", indent=self._indent(step))

    def _sign_of_life(self, event: Event, now: float) -> list[str]:
        left = self._progress.left(now).words()
        lines: list[str] = []
        for step in self._progress.active:
            doing = step.doing or _running_part(step) or ("checking" if step.attempt == 0 else "working")
            text = f"{stopwatch(step.spent(now))}  {doing}"
            lines += self._line(event, step, self._style.mark("life"), (text + _behind(left), "faint"))
        if not lines:
            text = f"{stopwatch(now - self._began)}  working"
            lines = self._line(event, None, self._style.mark("life"), (text, "faint"))
        return lines

    # What each kind of event says

    def run_started(self, event: Event, _step: StepView | None) -> list[str]:
        """Say what begins."""
        mode = sanitize(event.data.get("mode", ""), 40)
        text = self._heading or f"run {sanitize(event.run_id, 60)}" + (f", {mode}" if mode else "")
        note = ("  (times are UTC)", "faint")
        first = self._style.line((time_of_day(event.at_us) + "  ", "faint"), (sanitize(text), "strong"), note)
        return [first, *self.remark(event, None)]

    def step_started(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a step's work begins."""
        title = sanitize(step.title) if step else ""
        again = f" (try {step.attempt})" if step and step.attempt > 1 else ""
        return self._line(event, step, self._style.mark("begin"), (title + again, "strong"))

    def step_completed(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a step is done, or had been."""
        summary = sanitize(event.data.get("summary", ""))
        took = duration(event.data.get("duration_seconds"))
        if event.data.get("already"):
            text = f"up to date: {summary}" if summary else "up to date"
            return self._line(event, step, self._style.mark("already"), (text, ""))
        text = (f"done in {took}" if took else "done") + (f": {summary}" if summary else "")
        return self._line(event, step, self._style.mark("done"), (text, "good"))

    def step_failed(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a step failed, and what to do."""
        error = event.data.get("error")
        took = duration(event.data.get("duration_seconds"))
        text = (f"failed after {took}: " if took else "failed: ") + error_message(event.data)
        lines = self._line(event, step, self._style.mark("failed"), (text, "bad"))
        return lines + self._hint(error.get("hint", ""), step) if isinstance(error, Mapping) else lines

    def step_retrying(self, event: Event, step: StepView | None) -> list[str]:
        """Say why a step is tried again, and when."""
        pause = duration(event.data.get("delay_seconds"))
        text = (f"trying again in {pause}: " if pause else "trying again: ") + error_message(event.data)
        return self._line(event, step, self._style.mark("retry"), (text, "warn"))

    def step_invalidated(self, event: Event, step: StepView | None) -> list[str]:
        """Say why a step that was done is to be done again."""
        reason = sanitize(event.data.get("reason", ""))
        text = "to be done again" + (f": {reason}" if reason else "")
        return self._line(event, step, self._style.mark("retry"), (text, "warn"))

    def step_undo_started(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a step is being taken back."""
        title = sanitize(step.title) if step else ""
        return self._line(event, step, self._style.mark("begin"), (f"take back: {title}", "strong"))

    def step_undone(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a step is taken back."""
        took = duration(event.data.get("duration_seconds"))
        text = f"taken back in {took}" if took else "taken back"
        return self._line(event, step, self._style.mark("done"), (text, "good"))

    def part_finished(self, event: Event, step: StepView | None) -> list[str]:
        """Say that a part of a step ended."""
        name, took = sanitize(event.data.get("part", ""), 60), duration(event.data.get("duration_seconds"))
        failed = event.data.get("outcome") == "failed"
        text = f"{name}{' failed' if failed else ''}" + (f"  {took}" if took else "")
        return self._line(event, step, self._style.mark("failed" if failed else "part"), (text, ""))

    def finding(self, event: Event, step: StepView | None) -> list[str]:
        """Say what a check saw wrong, what shows it, and what to type."""
        found = finding_from_document(event.data)
        message, evidence = sanitize(found.message), sanitize(found.evidence)
        text = f"{message} ({evidence})" if evidence else message
        lines = self._line(event, step, self._style.mark("finding"), (text, "warn"))
        if not found.remedy or not needs_a_hand(found):
            return lines  # what heals by itself is told by the lines that follow
        return lines + self._hint(found.remedy.command or found.remedy.summary, step)

    def remark(self, event: Event, step: StepView | None) -> list[str]:
        """Say what was told beside the steps."""
        text = remark(event)
        return self._line(event, step, self._style.mark("waiting"), (text, "")) if text else []

    def output(self, event: Event, step: StepView | None) -> list[str]:
        """Show what a command printed."""
        line = latest_line(event.data.get("line", ""))
        return self._line(event, step, ("|", "faint"), (line, "faint")) if line else []

    def command_finished(self, event: Event, step: StepView | None) -> list[str]:
        """Say which command a step ran, to those who want to see everything."""
        if not self._verbose:
            return []
        code, took = event.data.get("exit_code"), duration(event.data.get("duration_seconds"))
        how = "" if code == 0 else f", exit code {sanitize(code, 10)}"
        text = f"{sanitize(event.data.get('command', ''))}  {took}{how}"
        return self._line(event, step, ("$", "faint"), (text, "faint"))

    def verified(self, event: Event, step: StepView | None) -> list[str]:
        """Say how much of what was verified holds."""
        requirements = event.data.get("requirements")
        met, total = _met(requirements), len(requirements) if isinstance(requirements, list) else 0
        text = f"verified {met} of {count(total, 'requirement')}"
        return self._line(event, step, self._style.mark("part"), (text, ""))


_Teller = Callable[[PlainConsole, Event, StepView | None], list[str]]
_TELLERS: dict[Kind, _Teller] = {
    Kind.RUN_STARTED: PlainConsole.run_started,
    Kind.STEP_STARTED: PlainConsole.step_started,
    Kind.STEP_COMPLETED: PlainConsole.step_completed,
    Kind.STEP_FAILED: PlainConsole.step_failed,
    Kind.STEP_RETRYING: PlainConsole.step_retrying,
    Kind.STEP_INVALIDATED: PlainConsole.step_invalidated,
    Kind.STEP_UNDO_STARTED: PlainConsole.step_undo_started,
    Kind.STEP_UNDONE: PlainConsole.step_undone,
    Kind.PART_FINISHED: PlainConsole.part_finished,
    Kind.COMMAND_FINISHED: PlainConsole.command_finished,
    Kind.FINDING: PlainConsole.finding,
    Kind.NOTICE: PlainConsole.remark,
    Kind.SETTINGS_CHANGED: PlainConsole.remark,
    Kind.STATE_IMPORTED: PlainConsole.remark,
    Kind.OUTPUT: PlainConsole.output,
    Kind.VERIFIED: PlainConsole.verified,
}


def _running_part(step: StepView) -> str:
    return ", ".join(part.name for part in step.parts.values() if part.seconds is None)


def _behind(words: str) -> str:
    return f" ({words})" if words else ""


def _met(requirements: Any) -> int:
    if not isinstance(requirements, list):
        return 0
    ratios = [item.get("ratio") for item in requirements if isinstance(item, Mapping)]
    return sum(isinstance(ratio, int | float) and ratio >= 1 for ratio in ratios)
