"""Collecting evidence: side by side, each within its time, and whatever fails is only noted."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.evidence import Collector, Piece
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.engine.context import Context

_TO_END_S = 1.0  # seconds for cancelled work to end; then it is left behind


@dataclass(slots=True)
class Collected:
    """What came of one piece of evidence; `trouble` says why it is not all that there is."""

    evidence: Collector
    pieces: list[Piece] = field(default_factory=list)
    trouble: str = ""


def gather(
    evidence: Sequence[Collector], ctx: StepContext, clock: Clock, *, quick_s: float, slow_s: float
) -> list[Collected]:
    """Return what can be collected in time, in the order of the evidence; raises CancelledError.

    Everything gets `quick_s` seconds; what is slow begins then, and gets `slow_s`: it would be in the way of the rest.
    """
    works = [_Work(item, clock) for item in evidence]

    def give_up() -> None:
        for work in works:
            work.token.cancel("told to end")
            work.done.set()

    with ctx.on_cancel(give_up):
        for slow, limit_s in ((False, quick_s), (True, slow_s)):
            group = [work for work in works if work.collected.evidence.slow is slow]
            for work in group:
                work.start(limit_s)
            for work in group:
                if not work.ends_within(0.0):
                    work.token.cancel(f"it took longer than {limit_s:g} s")
        found = [work.result() for work in works]
    ctx.raise_if_cancelled()
    return found


class _Work:
    """One collector in a thread that nobody has to wait for."""

    def __init__(self, evidence: Collector, clock: Clock) -> None:
        self.collected = Collected(evidence)
        self.token = CancelToken()
        self.done = threading.Event()
        self._clock = clock
        self._deadline = 0.0

    def start(self, limit_s: float) -> None:
        self._deadline = self._clock.monotonic() + limit_s
        if not self.token.cancelled:
            name = f"collect-{self.collected.evidence.name}"
            threading.Thread(target=self._collect, name=name, daemon=True).start()

    def result(self) -> Collected:
        """Return what there is, even of work that does not end when it is cancelled."""
        trouble = "" if self.ends_within(_TO_END_S) else self.token.reason
        known = self.collected
        return Collected(known.evidence, list(known.pieces), known.trouble or trouble)

    def ends_within(self, more_s: float) -> bool:
        return self.done.wait(max(0.0, self._deadline + more_s - self._clock.monotonic()))

    def _collect(self) -> None:
        context = Context("", self.token, lambda *_: None, self._clock, self._deadline)
        try:
            self.collected.pieces.extend(self.collected.evidence.collect(context))
        except CancelledError as error:
            self.collected.trouble = error.reason
        except InstallError as error:
            self.collected.trouble = f"{error.message} {error.evidence}".strip()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the rest is still worth having
            self.collected.trouble = f"{type(error).__name__}: {error}"
        finally:
            self.done.set()
