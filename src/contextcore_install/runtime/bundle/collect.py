"""Collecting evidence: side by side, each within its time, and whatever fails is only told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.evidence import Collector, Piece
from contextcore_install.core.ports import Clock, StepContext
from contextcore_install.engine.context import Context

_TO_END_S = 1.0  # what work gets to end, in seconds, once it was told to; then it is left behind


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
            work.give_up("told to end")

    with ctx.on_cancel(give_up):
        for slow, limit_s in ((False, quick_s), (True, slow_s)):
            group = [work for work in works if work.slow is slow]
            for work in group:
                work.start(limit_s)
            for work in group:
                work.wait()
        found = [work.result() for work in works]
    ctx.raise_if_cancelled()
    return found


class _Work:
    """One collector in a thread that nobody has to wait for."""

    def __init__(self, evidence: Collector, clock: Clock) -> None:
        self.slow = evidence.slow
        self._collected = Collected(evidence)
        self._clock = clock
        self._limit_s = self._deadline = 0.0
        self._token = CancelToken()
        self._done = threading.Event()

    def start(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._deadline = self._clock.monotonic() + limit_s
        if not self._token.cancelled:
            name = f"collect-{self._collected.evidence.name}"
            threading.Thread(target=self._collect, name=name, daemon=True).start()

    def give_up(self, reason: str) -> None:
        self._token.cancel(reason)
        self._done.set()

    def wait(self) -> None:
        """Wait until it has ended, or its time is over."""
        if not self._ends_within(0.0):
            self._token.cancel(f"it took longer than {self._limit_s:g} s")

    def result(self) -> Collected:
        """Return what there is, of work that does not end even when it is told to as well."""
        trouble = "" if self._ends_within(_TO_END_S) else self._token.reason
        known = self._collected
        return Collected(known.evidence, list(known.pieces), known.trouble or trouble)

    def _ends_within(self, more_s: float) -> bool:
        return self._done.wait(max(0.0, self._deadline + more_s - self._clock.monotonic()))

    def _collect(self) -> None:
        context = Context("", self._token, _say_nothing, self._clock, self._deadline)
        try:
            for piece in self._collected.evidence.collect(context):
                self._collected.pieces.append(piece)
        except CancelledError as error:
            self._collected.trouble = error.reason
        except InstallError as error:
            self._collected.trouble = f"{error.message} {error.evidence}".strip()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the rest is still worth having
            self._collected.trouble = f"{type(error).__name__}: {error}"
        finally:
            self._done.set()


def _say_nothing(kind: Kind, step: str, data: dict[str, Any]) -> None:
    """Nothing is recorded of what is only looked at."""
