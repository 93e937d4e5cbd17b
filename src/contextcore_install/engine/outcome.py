"""How a run ended, and its time limits."""

from __future__ import annotations

from enum import StrEnum

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; `grace_s` is how long cancelled work may take to end."""

    overall_s: float = float("inf")
    grace_s: float = 10.0
    tick_s: float = 2.0


@dataclass(slots=True)
class RunResult:
    """A run's outcome, the errors of the steps that failed, and why it was stopped, if it was."""

    outcome: Outcome
    errors: dict[str, InstallError] = field(default_factory=dict)
    reason: str = ""
