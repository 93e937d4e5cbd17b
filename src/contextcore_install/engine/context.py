"""What a step is given: a way to tell, a way to wait, and word when it is to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.events import Kind
from contextcore_install.core.ports import Clock
from contextcore_install.core.redaction import command_line


def _at_once(done: Callable[[], None]) -> None:
    done()


LONG_S = 1.0
"""A check's command is worth a record when it took so long, in seconds: then it explains where the time went."""


class Context:
    """The StepContext of the engine. `deadline` is in the clock's monotonic seconds.

    `tell` hands an event on, `settle` calls what it is given when everything told before is recorded. `applies` is
    set where the step may change things: then all its commands are recorded, else only the long ones, as checks
    are many and what they saw is in their findings.
    """

    def __init__(
        self,
        step_id: str,
        token: CancelToken,
        tell: Callable[[Kind, str, dict[str, Any]], None],
        clock: Clock,
        deadline: float,
        settle: Callable[[Callable[[], None]], None] = _at_once,
        *,
        applies: bool = False,
    ) -> None:
        self._step_id = step_id
        self._token = token
        self._tell = tell
        self._clock = clock
        self._deadline = deadline
        self._settle = settle
        self._applies = applies
        self._here = threading.local()

    def activity(self, text: str) -> None:
        """Say what is being done now."""
        self._tell(Kind.ACTIVITY, self._step_id, {"text": text})

    def output(self, line: str) -> None:
        """Hand on a line that a command printed."""
        self._tell(Kind.OUTPUT, self._step_id, {"line": line})

    def notice(self, text: str, **data: Any) -> None:
        """Tell something worth keeping."""
        self._tell(Kind.NOTICE, self._step_id, {"text": text, **data})

    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None:
        """Record what a verification measured."""
        self._tell(Kind.VERIFIED, self._step_id, {"requirements": [dict(item) for item in requirements]})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name a part of the step."""
        self._tell(Kind.PART_STARTED, self._step_id, {"part": name})
        began = self._clock.monotonic()
        outcome, around = "failed", self._part()
        self._here.part = name
        try:
            yield
            outcome = "completed"
        finally:
            self._here.part = around
            duration = round(self._clock.monotonic() - began, 3)
            self._tell(
                Kind.PART_FINISHED, self._step_id, {"part": name, "outcome": outcome, "duration_seconds": duration}
            )

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        """Record that a command has ended, in the part that this thread is in."""
        if self._applies or seconds >= LONG_S:
            part = self._part()
            data: dict[str, Any] = {"part": part} if part else {}
            data |= {"command": command_line(argv), "exit_code": exit_code, "duration_seconds": round(seconds, 3)}
            self._tell(Kind.COMMAND_FINISHED, self._step_id, data)

    def recorded(self) -> None:
        """Return when all that was told so far is in the journal."""
        passed = threading.Event()
        with self._token.on_cancel(passed.set):
            self._settle(passed.set)
            passed.wait()
        self._token.raise_if_cancelled()

    def _part(self) -> str:
        """Return the part that this thread is in: parts may run at the same time, each in a thread of its own."""
        return str(getattr(self._here, "part", ""))

    def wait(self, seconds: float) -> None:
        """Pause; raises CancelledError as soon as the step is to end."""
        self._token.wait(seconds)

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError when the step is to end."""
        self._token.raise_if_cancelled()

    def on_cancel(self, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Within the block, have an action called when the step is to end."""
        return self._token.on_cancel(action)

    @property
    def remaining_s(self) -> float:
        """Seconds left of the step's time limit."""
        return max(0.0, self._deadline - self._clock.monotonic())
