"""What the core and the steps ask of the world outside; implemented elsewhere, faked in tests.

What they ask of the place where the stack runs is in `core/provider.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from contextcore_install.core.events import Event


class Clock(Protocol):
    """Time as the engine sees it."""

    def now_us(self) -> int:
        """Return UTC in microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        ...


class Journal(Protocol):
    """The durable record of events."""

    def append(self, event: Event) -> None:
        """Write an event behind the last; raises InstallError when it cannot be kept."""
        ...

    def sync(self) -> None:
        """Return when all that was appended survives a power cut; raises InstallError."""
        ...


class Projection(Protocol):
    """Something made from the events. It is called in the engine's thread, in order."""

    def handle(self, event: Event) -> None:
        """Take one event in; must be quick and must not raise for what an event holds."""
        ...


class Keeper(Projection, Protocol):
    """The projection that is the state file."""

    dirty: bool

    def save(self) -> None:
        """Write what was taken in; raises InstallError when it cannot be kept."""
        ...


class StepContext(Protocol):
    """What a step may do besides its own work: tell, wait, and be told to end."""

    def activity(self, text: str) -> None:
        """Say what is being done now; shown while it lasts and not kept."""
        ...

    def output(self, line: str) -> None:
        """Hand on a line that a command printed; it goes to the step's log."""
        ...

    def notice(self, text: str, **data: Any) -> None:
        """Tell something worth keeping."""
        ...

    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None:
        """Record what a verification measured."""
        ...

    def part(self, name: str) -> AbstractContextManager[None]:
        """Name a part of the step; entering and leaving it (well or not) is recorded."""
        ...

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        """Record that a command of the step has ended; `exit_code` is negative for a signal."""
        ...

    def recorded(self) -> None:
        """Return when all that was told so far is in the journal; raises CancelledError when the step is to end."""
        ...

    def wait(self, seconds: float) -> None:
        """Pause; raises CancelledError as soon as the step is to end."""
        ...

    def raise_if_cancelled(self) -> None:
        """Raise CancelledError when the step is to end."""
        ...

    def on_cancel(self, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Within the block, have an action called (from another thread) when the step is to end."""
        ...

    @property
    def remaining_s(self) -> float:
        """Seconds left of the step's time limit."""
        ...


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server said; `text` is cut."""

    status: int
    text: str


class Http(Protocol):
    """Plain HTTP to loopback, never through a proxy. Both raise InstallError when there is no answer."""

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        """Return the answer whatever its status."""
        ...

    def ask(
        self, method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpResponse:
        """Return the answer whatever its status; its text is cut to a megabyte."""
        ...


class Programs(Protocol):
    """Other programs on this machine."""

    def find(self, name: str) -> str | None:
        """Return where a program is, or None."""
        ...

    def run(self, argv: Sequence[str], ctx: StepContext, timeout_s: float) -> tuple[int, Sequence[str]]:
        """Run a command and return its exit code and last lines; raises InstallError when it cannot be run."""
        ...


class Telemetry(Protocol):
    """The way of the events into the metrics store, as the steps need it."""

    def backend(self) -> str:
        """Say which store the samples go to; raises InstallError when none takes them."""
        ...

    def query_url(self) -> str:
        """Return where the store is queried, as the Prometheus API does it; raises InstallError."""
        ...

    def flush(self, ctx: StepContext) -> int:
        """Send all that is unsent and return how many samples that were; raises InstallError."""
        ...

    def unconfirmed(self) -> Sequence[str]:
        """Read what was sent back by query; return what is missing, in words. May raise InstallError."""
        ...

    def measured(self) -> bool:
        """Say whether the store has taken what a verification measured."""
        ...

    def unsent(self) -> int:
        """Return how many events of finished runs the store has not taken."""
        ...


class EventSource(Protocol):
    """The journal, read from outside the engine's thread."""

    def read(self, position: int) -> Iterable[tuple[int, Event]]:
        """Yield (position, event) for whole events from a position on; 0 is the journal's start.

        A position that this gave before stays valid, as the journal only grows.
        """
        ...


class CursorStore(Protocol):
    """What each telemetry backend has taken, kept across runs (cursors.json)."""

    def load(self) -> dict[str, dict[str, Any]]:
        """Return the cursors by backend; empty where nothing readable is there."""
        ...

    def save(self, cursors: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the cursors atomically; raises InstallError."""
        ...
