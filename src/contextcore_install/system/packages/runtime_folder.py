"""Where the packages for one interpreter are kept, and whether they are whole.

Every start of the program passes through here, so this module imports only what the interpreter has loaded
already; hashlib, say, would load OpenSSL, which takes as long as the rest of the start.
"""

from __future__ import annotations

import errno
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
    return os.path.isfile(os.path.join(folder, MARKER))


def is_touched(folder: str) -> bool:
    """Tell whether anything in a complete runtime was changed since it was last found whole.

    What is written, cut off, removed or closed has a change time that is not before the marker's. Some hundred files
    are looked at and none is read. Once a day the marker also says that the runtime is in use.
    """
    marker = os.path.join(folder, MARKER)
    try:
        found_whole = os.stat(marker).st_mtime_ns
        if time.time_ns() < found_whole or _changed_below(folder, found_whole):
            return True
        if time.time_ns() - found_whole > DAY * 1_000_000_000:
            os.utime(marker)
    except OSError as error:
        return error.errno != errno.EROFS  # a read-only home runs as well as any other
    return False


def _changed_below(folder: str, since: int) -> bool:
    if os.stat(folder).st_ctime_ns >= since:
        return True
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_ctime_ns >= since and entry.name != MARKER:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return False
