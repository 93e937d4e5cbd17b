"""Ids of traces and spans, made from what is recorded: the same run always has the same.

Lengths are those of W3C Trace Context: https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

from hashlib import sha256


def trace_id(run_id: str) -> str:
    """Return the id of a run's trace: 32 hexadecimal digits."""
    return sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, number: int) -> str:
    """Return the id of the span that the run's event of this number stands for: 16 hexadecimal digits."""
    return sha256(f"{run_id}/{number}".encode()).hexdigest()[:16]
