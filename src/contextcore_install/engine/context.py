"""A step that is under way: its progress, and what it is given to report, to wait, and to notice that it is to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.events import Kind
from contextcore_install.core.ports import Clock
from contextcore_install.core.redaction import command_line

if TYPE_CHECKING:
    from contextcore_install.engine.plan import Step

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


class Context:
    """The StepContext of the engine. `deadline` is in the clock's monotonic seconds.

    `report` hands an event on, `settle` calls its argument when everything reported before is recorded. With `applies`,
    the step may change things and all its commands are recorded, else only the long ones: checks are many.
    """

    def __init__(
        self,
        step_id: str,
        token: CancelToken,
        report: Callable[[Kind, str, dict[str, Any]], None],
        clock: Clock,
        deadline: float,
        settle: Callable[[Callable[[], None]], None] = lambda done: done(),
        *,
        applies: bool = False,
    ) -> None:
        self._step_id = step_id
        self._token = token
        self._report = report
        self._clock = clock
        self._deadline = deadline
        self._settle = settle
        self._applies = applies
        self._of_thread = threading.local()  # parts may run at the same time, each in a thread of its own
        self.wait, self.raise_if_cancelled = token.wait, token.raise_if_cancelled

    def activity(self, text: str) -> None:
        self._report(Kind.ACTIVITY, self._step_id, {"text": text})

    def output(self, line: str) -> None:
        self._report(Kind.OUTPUT, self._step_id, {"line": line})

    def notice(self, text: str, **data: Any) -> None:
        self._report(Kind.NOTICE, self._step_id, {"text": text, **data})

    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None:
        self._report(Kind.VERIFIED, self._step_id, {"requirements": [dict(item) for item in requirements]})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._report(Kind.PART_STARTED, self._step_id, {"part": name})
        began = self._clock.monotonic()
        outcome, around = "failed", self._part
        self._of_thread.part = name
        try:
            yield
            outcome = "completed"
        finally:
            self._of_thread.part = around
            data = {"part": name, "outcome": outcome, "duration_seconds": round(self._clock.monotonic() - began, 3)}
            self._report(Kind.PART_FINISHED, self._step_id, data)

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        if self._applies or seconds >= LONG_S:
            data: dict[str, Any] = {"part": self._part} if self._part else {}
            data |= {"command": command_line(argv), "exit_code": exit_code, "duration_seconds": round(seconds, 3)}
            self._report(Kind.COMMAND_FINISHED, self._step_id, data)

    def recorded(self) -> None:
        passed = threading.Event()
        with self.on_cancel(passed.set):
            self._settle(passed.set)
            passed.wait()
        self.raise_if_cancelled()

    def on_cancel(self, action: Callable[[], None]) -> AbstractContextManager[None]:
        return self._token.on_cancel(action)

    @property
    def _part(self) -> str:
        return str(getattr(self._of_thread, "part", ""))

    @property
    def remaining_s(self) -> float:
        return max(0.0, self._deadline - self._clock.monotonic())
