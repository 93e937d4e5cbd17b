"""What a backend's answer means, where it is no success."""

from __future__ import annotations

from contextcore_install.telemetry.client import Answer, StoreError, Trouble


def trouble_in(answer: Answer, what: str) -> StoreError:
    """Return what an answer that is no success means: retry 429 and 5xx, and nothing else."""
    evidence = f"{what}: HTTP {answer.status} {answer.text}".rstrip()
    if answer.status == 429 or answer.status >= 500:
        return StoreError(Trouble.BUSY, evidence, retry_after_s=_retry_after(answer.retry_after))
    return StoreError(Trouble.REFUSES, evidence)


def _retry_after(header: str) -> float:
    """Return seconds from a Retry-After header (RFC 9110, 10.2.3); 0 when it says nothing."""
    if header.strip().isdecimal():
        return float(header)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
