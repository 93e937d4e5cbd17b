"""Where the packages for one interpreter are kept, and whether they are whole.

Every start of the program passes through here, so this module imports only what the interpreter has loaded
already; hashlib, say, would load OpenSSL, which takes as long as the rest of the start.
"""

from __future__ import annotations

import os
import sys
import time

#: Written last: a runtime without it is torn.
MARKER = ".complete"
DAY = 86_400


def runtime_key(lock: str) -> str:
    """Name the folder for what the file `lock` pins, as this interpreter on this kind of machine needs it."""
    try:
        from _blake2 import blake2b
    except ImportError:  # a Python built without its own hashes
        from hashlib import blake2b

    with open(lock, "rb") as file:
        digest = blake2b(file.read(), digest_size=8).hexdigest()
    python = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
    return f"{digest}-{python}-{sys.platform}-{os.uname().machine}"


def is_complete(folder: str) -> bool:
    """Tell whether a runtime is whole, and note once a day that it is in use (see `runtime.thin`)."""
    marker = os.path.join(folder, MARKER)
    try:
        used = os.stat(marker).st_mtime
    except OSError:
        return False
    if abs(time.time() - used) > DAY:
        try:  # noqa: SIM105 - contextlib is not loaded yet
            os.utime(marker)
        except OSError:
            pass  # a read-only home runs as well as any other
    return True
