"""Interfaces to the world outside; implemented elsewhere, faked in tests. The provider's is in `core/provider.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import Event


class Clock(Protocol):
    """Time: `now_us` is UTC in microseconds since 1970, `monotonic` seconds that never jump."""

    def now_us(self) -> int: ...
    def monotonic(self) -> float: ...


class Journal(Protocol):
    """The durable record of events. Both methods raise InstallError."""

    def append(self, event: Event) -> None: ...
    def sync(self) -> None: ...  # returns when all that was appended survives a power cut


class Projection(Protocol):
    """Something made from the events."""

    def handle(self, event: Event) -> None:
        """Take one event in, in order and in the engine's thread; quickly, and without raising for its content."""


class StateProjection(Projection, Protocol):
    """The projection that is the state file."""

    dirty: bool

    def save(self) -> None: ...  # raises InstallError


class StepContext(Protocol):
    """What a step may do besides its own work: report, wait, and notice that it is to end (CancelledError)."""

    def activity(self, text: str) -> None: ...  # what is being done now; shown while it lasts and not kept
    def output(self, line: str) -> None: ...  # a line that a command printed, for the step's log
    def notice(self, text: str, **data: Any) -> None: ...  # worth keeping
    def verified(self, requirements: Sequence[Mapping[str, Any]]) -> None: ...  # the result of a verification

    def part(self, name: str) -> AbstractContextManager[None]:
        """Name a part of the step; its start and its end (well or not) are recorded."""

    def command(self, argv: Sequence[str], exit_code: int, seconds: float) -> None:
        """Record that a command of the step has ended; `exit_code` is negative for a signal."""

    def recorded(self) -> None:
        """Return when all that was reported so far is in the journal; raises CancelledError."""

    def wait(self, seconds: float) -> None: ...  # raises CancelledError as soon as the step is to end
    def raise_if_cancelled(self) -> None: ...

    def on_cancel(self, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Within the block, have an action called (from another thread) when the step is to end."""

    def at_end_of_run(self, action: Callable[[], None]) -> None:
        """Have an action called when the run ends, for work that outlasts the step that begins it."""

    @property
    def remaining_s(self) -> float: ...  # of the step's time limit


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A server's answer, whatever its status; `text` is cut to a megabyte."""

    status: int
    text: str


class Http(Protocol):
    """Plain HTTP to loopback, never through a proxy. Both methods raise InstallError if there is no answer."""

    def get(self, url: str, timeout_s: float) -> HttpResponse: ...
    def ask(
        self, method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpResponse: ...


class Programs(Protocol):
    """Other programs on this machine."""

    def find(self, name: str) -> str | None: ...

    def run(self, argv: Sequence[str], ctx: StepContext, timeout_s: float) -> tuple[int, Sequence[str]]:
        """Run a command and return its exit code and last lines; raises InstallError if it cannot be run."""


class Telemetry(Protocol):
    """The metrics store, as the steps need it. All methods may raise InstallError."""

    def backend(self) -> str: ...  # which store the samples go to
    def query_url(self) -> str: ...  # the base of the store's Prometheus API
    def flush(self, ctx: StepContext) -> int: ...  # sends all that is unsent; how many samples that were
    def missing_samples(self) -> Sequence[str]: ...  # what is missing of what was sent, in words
    def measured(self) -> bool: ...  # whether the store has taken the result of a verification
    def unsent(self) -> int: ...  # how many events of finished runs the store has not taken


class EventSource(Protocol):
    """The journal, read from outside the engine's thread."""

    def read(self, position: int) -> Iterable[tuple[int, Event]]:
        """Yield (position, event) for whole events from a position on, 0 or one that this gave before."""


class CursorStore(Protocol):
    """What each telemetry backend has taken, kept across runs (cursors.json)."""

    def load(self) -> dict[str, dict[str, Any]]: ...  # by backend; empty if nothing readable is there
    def save(self, cursors: Mapping[str, Mapping[str, Any]]) -> None: ...  # atomically; raises InstallError
