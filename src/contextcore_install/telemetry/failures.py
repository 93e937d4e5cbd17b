"""How a backend fails: the error, when to try again, and what the user is told, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError

_LONGEST_PAUSE_S, _LONGEST_ASKED_PAUSE_S = 15.0, 60.0
_LONGEST_REFUSED_PAUSE_S = 2.0  # to find nothing listening costs next to nothing, and a store may start any moment


class FailureKind(StrEnum):
    """Why a store did not take or give what it was asked for."""

    NO_ANSWER = "does not answer"
    TOO_SLOW = "answers too slowly"
    BUSY = "cannot take it now"
    REFUSES = "refuses"


class StoreError(Exception):
    """A store cannot be used now. `retry_after_s` is what it asked for, 0 if it asked for nothing."""

    def __init__(self, kind: FailureKind, evidence: str, *, hint: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(evidence)
        self.kind, self.evidence, self.hint, self.retry_after_s = kind, evidence, hint, retry_after_s

    def as_install_error(self) -> InstallError:
        code = f"metrics-store-{self.kind.name.lower().replace('_', '-')}"
        retryable = self.kind is not FailureKind.REFUSES
        return InstallError(code, f"the metrics store {self.kind}", self.evidence, self.hint, retryable=retryable)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, and for the whole answer."""

    connect_s: float = 0.5
    answer_s: float = 2.0

    def within(self, seconds: float) -> Timeouts:
        """Return the timeouts cut to what is left of another limit."""
        left = max(0.05, seconds)
        return Timeouts(min(self.connect_s, left), min(self.answer_s, left))


@dataclass(frozen=True, slots=True)
class Loss:
    """What a backend will never take: how many items, and its words for it."""

    count: int
    reason: str


class FailureReporter:
    """Counts a backend's failures in one run, and reports each kind once.

    `store` is what people call it, `items` what it is given. `next_try` is by `time.monotonic`.
    """

    def __init__(self, report: Callable[[str], None], store: str, items: str) -> None:
        self.store, self._items, self._report = store, items, report
        self.next_try = 0.0
        self._failures = 0
        self._worked = False
        self._error: StoreError | None = None
        self._reported: set[str] = set()

    @property
    def hopeless(self) -> bool:
        """Whether the backend hung or refused when it was asked last: another try is hardly worth waiting for."""
        return self._error is not None and self._error.kind in {FailureKind.TOO_SLOW, FailureKind.REFUSES}

    def recovered(self) -> None:
        self._failures, self.next_try, self._worked, self._error = 0, 0.0, True, None

    def failed(self, error: StoreError) -> None:
        """Have the backend left alone for a while, longer each time."""
        self._error = error
        self._failures += 1
        longest = _LONGEST_REFUSED_PAUSE_S if error.kind is FailureKind.NO_ANSWER else _LONGEST_PAUSE_S
        pause = min(longest, 0.5 * 2 ** min(self._failures, 10))
        self.next_try = time.monotonic() + max(pause, min(error.retry_after_s, _LONGEST_ASKED_PAUSE_S))

    def report_early(self) -> None:
        """Report the failure while the run lives, if it is of a kind that the run will not mend.

        A store that is not up yet is what an installation is there to mend, and one that is starting may refuse
        for a moment.
        """
        if self._worked or (self._error and self._error.kind is FailureKind.REFUSES and self._failures > 1):
            self.report_failure()

    def report_failure(self) -> None:
        """Report the failure that there still is."""
        if error := self._error:
            text = f"{self.store} {error.kind} ({error.evidence}); what it lacks is sent when it does"
            self._once("failure", f"{text}: {error.hint}" if error.hint else text)

    def report_unfinished(self) -> None:
        """Report that time ran out, or what the failure was before."""
        self.report_failure()
        self._once("failure", f"{self.store} did not answer in time; the next run sends what is left")

    def report_losses(self, losses: Sequence[Loss]) -> None:
        if losses:
            count = sum(loss.count for loss in losses)
            self._once("loss", f"{self.store} refused {count} {self._items} for good, {losses[0].reason}")

    def _once(self, kind: str, text: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self._report(text)
