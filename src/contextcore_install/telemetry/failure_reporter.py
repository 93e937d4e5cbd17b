"""What goes wrong with a backend: when to try again, and what the user is told, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextcore_install.telemetry.exporters.client import StoreError
    from contextcore_install.telemetry.exporters.exporter import Loss

_LONGEST_PAUSE_S = 15.0
_LONGEST_ASKED_PAUSE_S = 60.0

_REFUSED_CONNECTION_PAUSE_S = 2.0
"""Longest pause where nothing listens: finding that out costs next to nothing, and a store may start any moment."""


class FailureReporter:
    """Keeps count of a backend's failures in one run, and reports each sort of trouble once.

    `store` is what people call it, `things` what it is given.
    """

    def __init__(self, report: Callable[[str], None], store: str, things: str) -> None:
        self.store = store
        self.next_try = 0.0
        self._things = things
        self._report = report
        self._reported: set[str] = set()
        self._failures = 0
        self._worked = False
        self._trouble: StoreError | None = None

    @property
    def hopeless(self) -> bool:
        """Whether the backend hung or refused when it was asked last: another try is hardly worth waiting for."""
        return self._trouble is not None and self._trouble.kind.name in {"TOO_SLOW", "REFUSES"}

    def recovered(self) -> None:
        """Take note that the store has taken everything."""
        self._failures, self.next_try, self._worked, self._trouble = 0, 0.0, True, None

    def note(self, trouble: StoreError) -> None:
        """Have the store left alone for a while, longer each time."""
        from contextcore_install.telemetry.exporters.client import FailureKind

        self._trouble = trouble
        self._failures += 1
        longest = _REFUSED_CONNECTION_PAUSE_S if trouble.kind is FailureKind.NO_ANSWER else _LONGEST_PAUSE_S
        pause = min(longest, 0.5 * 2 ** min(self._failures, 10))
        self.next_try = time.monotonic() + max(pause, min(trouble.retry_after_s, _LONGEST_ASKED_PAUSE_S))

    def told_now(self) -> None:
        """Report the trouble while the run lives, if it is of a kind that the run will not mend.

        A store that is not up yet is what an installation is there to mend, and one that is starting may refuse
        for a moment.
        """
        from contextcore_install.telemetry.exporters.client import FailureKind

        trouble = self._trouble
        if trouble and (self._worked or (trouble.kind is FailureKind.REFUSES and self._failures > 1)):
            self.told_at_the_end()

    def told_at_the_end(self) -> None:
        """Report the trouble that there still is."""
        if trouble := self._trouble:
            text = f"{self.store} {trouble.kind} ({trouble.evidence}); what it lacks is sent when it does"
            self._once("trouble", f"{text}: {trouble.hint}" if trouble.hint else text)

    def told_unfinished(self) -> None:
        """Report that time ran out, or what the trouble was before."""
        self.told_at_the_end()
        self._once("trouble", f"{self.store} did not answer in time; the next run sends what is left")

    def refused(self, losses: Sequence[Loss]) -> None:
        """Report what the backend will never take."""
        if losses:
            count = sum(loss.count for loss in losses)
            self._once("refused", f"{self.store} refused {count} {self._things} for good, {losses[0].reason}")

    def _once(self, what: str, text: str) -> None:
        if what not in self._reported:
            self._reported.add(what)
            self._report(text)
