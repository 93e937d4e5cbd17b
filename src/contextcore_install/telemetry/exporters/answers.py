"""What a backend's answer means, where it is no success."""

from __future__ import annotations

import json
from typing import Any

from contextcore_install.telemetry.exporters.client import FailureKind, StoreAnswer, StoreError

_MOST_S = 1e7


def trouble_in(answer: StoreAnswer, what: str) -> StoreError:
    """Return what an answer that is no success means: retry 429 and 5xx, and nothing else."""
    evidence = f"{what}: HTTP {answer.status} {answer.text}".rstrip()
    if answer.status == 429 or answer.status >= 500:
        return StoreError(FailureKind.BUSY, evidence, retry_after_s=_retry_after(answer.retry_after))
    return StoreError(FailureKind.REFUSES, evidence)


def document_in(answer: StoreAnswer, what: str, wanted: str) -> dict[str, Any]:
    """Return the JSON object that an answer is; raises StoreError, which says what was wanted, for anything else."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise not_understood(answer, what, wanted)
    return document


def not_understood(answer: StoreAnswer, what: str, wanted: str) -> StoreError:
    """Return the error for an answer that is not what was wanted."""
    return StoreError(FailureKind.REFUSES, f"{what}: no {wanted}, but {answer.text}")


def _retry_after(header: str) -> float:
    """Return seconds from a Retry-After header (RFC 9110, 10.2.3); 0 when it says nothing, some months at most."""
    return min(_MOST_S, _asked_for(header))


def _asked_for(header: str) -> float:
    if header.strip().isdecimal():
        return float(header)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
