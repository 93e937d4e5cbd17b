"""How a backend fails, how long it is waited for, and what it refuses."""

from __future__ import annotations

from enum import StrEnum

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError


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
