"""A step's context with an ear for what a command prints, and one for work beside it that can be ended by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.ports import StepContext


class Relay:
    """Passes everything on to a StepContext; `hear` is told each line of output as well.

    With a `token`, it is that which ends the work.
    """

    def __init__(
        self, ctx: StepContext, hear: Callable[[str], None] = lambda _: None, token: CancelToken | None = None
    ) -> None:
        self._ctx = ctx
        self._hear = hear
        self._end = token or ctx

    def activity(self, text: str) -> None:
        """Say what is being done now."""
        self._ctx.activity(text)

    def output(self, line: str) -> None:
        """Hand on a line that a command printed."""
        self._ctx.output(line)
        self._hear(line)

    def notice(self, text: str, **data: Any) -> None:
        """Tell something worth keeping."""
        self._ctx.notice(text, **data)

    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None:
        """Record what a verification measured."""
        self._ctx.verified(requirements)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Name a part of the step."""
        return self._ctx.part(name)

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        """Record that a command of the step has ended."""
        self._ctx.command(argv, exit_code, seconds)

    def recorded(self) -> None:
        """Return when all that was told so far is in the journal."""
        self._ctx.recorded()

    def wait(self, seconds: float) -> None:
        """Pause; raises CancelledError as soon as the step is to end."""
        self._end.wait(seconds)

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError when the step is to end."""
        self._end.raise_if_cancelled()

    def on_cancel(self, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Within the block, have an action called when the step is to end."""
        return self._end.on_cancel(action)

    @property
    def remaining_s(self) -> float:
        """Seconds left of the step's time limit."""
        return self._ctx.remaining_s


@contextmanager
def beside(ctx: StepContext) -> Iterator[StepContext]:
    """Give the context of work in another thread, which is to end when the step is, or as soon as the block fails."""
    token = CancelToken()
    with ctx.on_cancel(lambda: token.cancel("the step is to end")):
        try:
            yield Relay(ctx, token=token)
        except BaseException:
            token.cancel("what it was done for has failed")
            raise
