"""Appends records to a file, each one synced, and prints how many seconds it took. Argument: how many records."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
RECORD = b"x" * 261 + b"\n"
"""Half as long as what a step appends to the journal: a record when it begins, and one when it is done."""

_sync = getattr(os, "fdatasync", os.fsync)


def seconds(count: int, path: str) -> float:
    """Return what the records took."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    began = time.perf_counter()
    for _ in range(count):
        os.write(descriptor, RECORD)
        _sync(descriptor)
    took = time.perf_counter() - began
    os.close(descriptor)
    return took


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="limit-", dir=FOLDER) as scratch:
        print(seconds(int(sys.argv[1]), f"{scratch}/records"))
