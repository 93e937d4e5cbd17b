"""Starts the program for the launcher, with bytecode that is cached in the program's own folder and checked.

Every start passes through here, and nothing caches a script's compiled form, so this module is short and imports
little: `launch.py` does what takes thought.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from _imp import source_hash
from _thread import get_ident
from importlib import machinery

SOURCE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Bytes of a checksum; its key says which kind of file it is of.
CHECKSUM, KEY = 8, 0x00CC
#: Objects between two looks for cycles: importing makes a hundred thousand, and none of them is garbage.
FEW_CYCLES = 50_000
IN_THE_WAY = (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError)


class CheckedLoader(machinery.SourceFileLoader):
    """Loads a module, and compiles it again unless its cached bytecode is exactly what was written.

    Python's own loader trusts what it finds: bytecode that a full disk cut off ends every later start with EOFError,
    and damage in the middle of it may do anything. The checksum stands at the end, which other loaders ignore.
    """

    blocked = False  # whether bytecode could not be cached for what lies in its place

    def get_data(self, path: str) -> bytes:
        """Return a file's content; raises OSError for damaged bytecode, as if there were none."""
        content = super().get_data(path)
        if path.endswith(".pyc") and source_hash(KEY, content[:-CHECKSUM]) != content[-CHECKSUM:]:
            raise OSError("damaged bytecode")
        return content

    def set_data(self, path: str, data: bytes, *, _mode: int = 0) -> None:  # type: ignore[override]  # always bytes
        """Cache bytecode, whole or not at all. A disk that is full or read-only only costs time."""
        content = bytes(data) + source_hash(KEY, bytes(data))
        temporary = f"{path}.{os.getpid()}.{get_ident()}"  # tables are read by several threads
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            CheckedLoader.blocked |= isinstance(error, IN_THE_WAY)
            return
        try:
            if os.write(descriptor, content) == len(content):
                os.replace(temporary, path)
                return
        except OSError as error:
            CheckedLoader.blocked |= isinstance(error, IN_THE_WAY)
        finally:
            os.close(descriptor)
        if os.path.exists(temporary):
            os.unlink(temporary)


def main() -> int:
    """Run the program with the arguments of this process and return its exit code."""
    gc.set_threshold(FEW_CYCLES)
    os.umask(0o077)  # whatever is made from here on is this user's alone
    sys.path.insert(0, SOURCE)
    runtimes = runtimes_folder()
    keep_bytecode_in(runtimes)
    from contextcore_install.launch import launch

    code = launch(runtimes, keep_bytecode_in)
    if CheckedLoader.blocked and sys.pycache_prefix:
        from pathlib import Path

        from contextcore_install.system.files import discard

        discard(Path(sys.pycache_prefix))
    return code


def runtimes_folder() -> str:
    """Return where the program's packages are kept; empty if there is no home, which the program says."""
    home = os.environ.get("CONTEXTCORE_HOME") or os.path.join(os.environ.get("HOME", ""), ".contextcore")
    home = os.path.expanduser(home)
    return os.path.join(home, "runtime") if os.path.isabs(home) else ""


def keep_bytecode_in(runtimes: str) -> None:
    """Cache imports in our own folder, once it exists, and not beside the sources, which may be somebody else's."""
    sys.dont_write_bytecode = not os.path.isdir(runtimes)
    sys.pycache_prefix = None if sys.dont_write_bytecode else os.path.join(runtimes, "pycache")
    if sys.pycache_prefix:
        sys.path_hooks[-1] = machinery.FileFinder.path_hook(
            (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
            (CheckedLoader, machinery.SOURCE_SUFFIXES),
            (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
        )
        sys.path_importer_cache.clear()


def end(code: int) -> NoReturn:
    """End the process, at once if nothing is left to do: taking modules apart is a tenth of a quick command."""
    if "threading" in sys.modules or atexit._ncallbacks():  # noqa: SLF001 - there is no public one
        raise SystemExit(code)
    os._exit(code)


if __name__ == "__main__":
    end(main())
