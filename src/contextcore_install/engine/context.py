"""A step that is under way: its progress, and what it is given to report, to wait, and to notice that it is to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.events import Kind
from contextcore_install.core.interfaces import Clock
from contextcore_install.core.redaction import command_line
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.plan import Step

_of_thread = threading.local()  # parts may run at the same time, each in a thread of its own

LONG_S = 1.0
"""A check's command is recorded if it took this many seconds: it explains where the time went."""


class StepPhase(StrEnum):
    """What is being done for a step."""

    CHECK = "check"
    APPLY = "apply and check again"
    PAUSE = "pause"


@dataclass(slots=True, eq=False)
class Task:
    """A step that is under way."""

    step: Step
    token: CancelToken
    began: float
    time_limit: int = 0
    phase: StepPhase = StepPhase.CHECK
    attempt: int = 0
    failures: int = 0
    overdue: bool = False
    activity: str = ""


@dataclass(eq=False)
class Context:
    """The StepContext of the engine. `deadline` is in the clock's monotonic seconds.

    `report` hands an event on, `settle` calls its argument when everything reported before is recorded. With `applies`,
    the step may change things and all its commands are recorded, else only the long ones: checks are many.
    """

    step_id: str
    token: CancelToken
    report: Callable[[Kind, str, dict[str, Any]], None]
    clock: Clock
    deadline: float
    settle: Callable[[Callable[[], None]], None] = lambda done: done()
    applies: bool = False
    whole_run: CancelToken = field(default_factory=CancelToken)

    def __post_init__(self) -> None:
        self.wait, self.raise_if_cancelled = self.token.wait, self.token.raise_if_cancelled
        self.on_cancel, self.at_end_of_run = self.token.on_cancel, self.whole_run.then

    def activity(self, text: str) -> None:
        self.report(Kind.ACTIVITY, self.step_id, {"text": text})

    def output(self, line: str) -> None:
        self.report(Kind.OUTPUT, self.step_id, {"line": line})

    def notice(self, text: str, **data: Any) -> None:
        self.report(Kind.NOTICE, self.step_id, {"text": text, **data})

    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None:
        self.report(Kind.VERIFIED, self.step_id, {"requirements": [dict(item) for item in requirements]})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.report(Kind.PART_STARTED, self.step_id, {"part": name})
        began = self.clock.monotonic()
        outcome, around = "failed", self._part
        _of_thread.part = name
        try:
            yield
            outcome = "completed"
        finally:
            _of_thread.part = around
            data = {"part": name, "outcome": outcome, "duration_seconds": round(self.clock.monotonic() - began, 3)}
            self.report(Kind.PART_FINISHED, self.step_id, data)

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        if self.applies or seconds >= LONG_S:
            data: dict[str, Any] = {"part": self._part} if self._part else {}
            data |= {"command": command_line(argv), "exit_code": exit_code, "duration_seconds": round(seconds, 3)}
            self.report(Kind.COMMAND_FINISHED, self.step_id, data)

    def recorded(self) -> None:
        passed = threading.Event()
        with self.on_cancel(passed.set):
            self.settle(passed.set)
            passed.wait()
        self.raise_if_cancelled()

    @property
    def _part(self) -> str:
        return str(getattr(_of_thread, "part", ""))

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.deadline - self.clock.monotonic())
