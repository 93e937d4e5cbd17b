"""What a step is given: a way to tell, a way to wait, and word when it is to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.events import Kind
from contextcore_install.core.ports import Clock


def _at_once(done: Callable[[], None]) -> None:
    done()


class Context:
    """The StepContext of the engine. `deadline` is in the clock's monotonic seconds.

    `tell` hands an event on, `settle` calls what it is given when everything told before is recorded.
    """

    def __init__(
        self,
        step_id: str,
        token: CancelToken,
        tell: Callable[[Kind, str, dict[str, Any]], None],
        clock: Clock,
        deadline: float,
        settle: Callable[[Callable[[], None]], None] = _at_once,
    ) -> None:
        self._step_id = step_id
        self._token = token
        self._tell = tell
        self._clock = clock
        self._deadline = deadline
        self._settle = settle

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
        outcome = "failed"
        try:
            yield
            outcome = "completed"
        finally:
            duration = round(self._clock.monotonic() - began, 3)
            self._tell(
                Kind.PART_FINISHED,
                self._step_id,
                {"part": name, "outcome": outcome, "duration_seconds": duration},
            )

    def recorded(self) -> None:
        """Return when all that was told so far is in the journal."""
        passed = threading.Event()
        with self._token.on_cancel(passed.set):
            self._settle(passed.set)
            passed.wait()
        self._token.raise_if_cancelled()

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
