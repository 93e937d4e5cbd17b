"""Prepares, once, a folder with the packages that a lock file pins.

The folder is filled beside its final place and renamed into it, so it is whole or absent, whatever interrupts the
work. A lock keeps two preparations apart; it passes to the program that does the work, so that even after our own
death by SIGKILL nobody clears away a folder that is still being filled.

    python3 -m contextcore_install.system.packages.runtime LOCK FOLDER    prepares one in FOLDER and prints its path
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from math import inf
from pathlib import Path

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system import process
from contextcore_install.system.files import discard, sweep, sync_folder, write_atomically
from contextcore_install.system.lock import acquire
from contextcore_install.system.packages import apt, packages
from contextcore_install.system.packages.progress import paced
from contextcore_install.system.packages.runtime_folder import DAY, MARKER, is_complete, is_touched, runtime_key
from contextcore_install.system.process import Completed
from contextcore_install.system.signals import ending_at_once
from contextcore_install.system.supervisor import StartOptions

#: A runtime used within this time may be in use by a program that runs now.
IN_USE = 14 * DAY
#: Seconds after which a waiting person wants to see that something still happens.
SIGN_OF_LIFE = 4.0
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems without locks say; there the renames alone keep the folder whole."""


def make_ready(lock: str, folder: str, again: str, bundle: Path | None = None) -> int:
    """Have the program's runtime whole in `folder`, and remember the interpreter for the launcher.

    Returns 0, or the exit code after saying what is wrong; `again` is what the user typed, and `bundle` the offline
    bundle that the packages are taken from, if any. A damaged runtime that cannot be replaced now is good enough to
    try: most commands need little of it.
    """

    def work() -> None:
        if is_complete(folder) and (not is_touched(folder) or is_whole(lock, folder)):
            _mark_whole(Path(folder))
        else:
            try:
                prepare(Path(lock), Path(folder), bundle)
            except InstallError as error:
                if not is_complete(folder):
                    raise
                report(f"{_told(error)}\nCarrying on with the packages as they are.")
        _remember_interpreter(Path(folder).parent)

    return reporting(work, again)


def named_bundle(arguments: Sequence[str]) -> Path | None:
    """Return the offline bundle that a command line names, if any; one to be verified counts if it can be used here."""
    if [*arguments[:2]] == ["bundle", "verify"]:
        from contextcore_install.system.packages.bundle_file import open_bundle

        with contextlib.suppress(InstallError, IndexError):
            return open_bundle(Path(arguments[2])).path
        return None
    named = None
    for word, after in pairwise([*takewhile(lambda word: word != "--", arguments), ""]):
        flag, equals, value = word.partition("=")
        if flag == "--bundle":
            named = Path(value if equals else after)
    with contextlib.suppress(RuntimeError):  # a home that nobody has
        named = named and named.expanduser()
    return named and named.absolute()


def is_whole(lock: str, folder: str) -> bool:
    return is_complete(folder) and next(packages.damaged_files(Path(lock), Path(folder)), None) is None


def _mark_whole(folder: Path) -> None:
    """Note that a runtime was found whole now (see `runtime_folder.is_touched`)."""
    with contextlib.suppress(OSError):  # a read-only home is looked at again next time
        os.utime(folder / MARKER)


def reporting(work: Callable[[], None], again: str) -> int:
    """Do `work`; return 0, or the exit code after saying what stood in the way and what to type."""
    try:
        with ending_at_once():
            work()
    except InstallError as error:
        advice = f"{error.hint}, then type again" if error.hint else "type again"
        report(f"{_told(error)}\n  next: {advice}: {again}")
        return error.exit_code
    except KeyboardInterrupt:
        report(f"Interrupted; nothing half-made is left behind. To carry on, type again: {again}")
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _told(error: InstallError) -> str:
    return error.message + (f"\n  seen: {error.evidence}" if error.evidence else "")


def prepare(lock: Path, folder: Path, bundle: Path | None = None) -> None:
    """Fill `folder` with what `lock` pins, or raise InstallError with exit code 3 and leave nothing behind.

    A runtime that is there stays until the new one can take its place. From a bundle, nothing is asked for elsewhere.
    """
    base = folder.parent
    try:
        _make_base(base)
        with _exclusive(base / "lock") as descriptor:
            # Whoever holds the lock is the only one at work: all others' staging folders are dead.
            for stale in base.glob("*.staging-*"):
                discard(stale)
            damaged = next(packages.damaged_files(lock, folder), None) if is_complete(str(folder)) else None
            if damaged:
                report(f"{damaged} is missing or damaged; preparing the packages again.")
            if damaged or not is_complete(str(folder)):
                _fill(lock, folder, descriptor, bundle)
            _mark_whole(folder)
            _prune(base, keep=folder.name)
    except OSError as error:
        raise packages.explain_os_error(error, base) from error


def _fill(lock: Path, folder: Path, descriptor: int, bundle: Path | None) -> None:
    """Install into a staging folder, make it durable, and rename it to `folder`."""
    staging = folder.with_name(f"{folder.name}.staging-{os.getpid()}")
    target = staging / "packages"
    began = time.monotonic()
    report(f"Preparing once: {len(packages.pins(lock))} packages into {folder.parent}")
    try:
        target.mkdir(parents=True)
        if bundle:
            from contextcore_install.system.packages.bundle_file import before_anything, open_bundle
            from contextcore_install.system.packages.wheels import install_wheels

            with before_anything():
                install_wheels(lock, target, open_bundle(bundle), staging)
        else:
            packages.install(lock, target, workdir=staging, run=_runner(descriptor))
        discard(target / ".lock")  # uv's, open to everybody
        (target / MARKER).write_text(f"{lock.name}\n", encoding="utf-8")
        _make_durable(target)
        if os.path.lexists(folder):  # torn or damaged
            if folder.is_dir():
                folder.chmod(0o700)
            folder.rename(staging / "before")
        target.rename(folder)
        sync_folder(folder.parent)
    finally:
        discard(staging)
    report(f"Prepared in {time.monotonic() - began:.0f} s; later starts need no network.")


def _runner(descriptor: int) -> apt.Run:
    """Return what runs commands that inherit a descriptor, and says every `SIGN_OF_LIFE` seconds what they do."""
    began, last = time.monotonic(), deque([""], maxlen=1)

    def show() -> None:
        report(f"  still preparing ({time.monotonic() - began:.0f} s) {last[0].strip()[:120]}")

    show_at_times = paced(show, SIGN_OF_LIFE, at_once=False)

    def run(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
        options = StartOptions(folder, (descriptor,), show_at_times)
        return process.run(argv, environ=environ, check=False, timeout_s=inf, hear=last.append, options=options)

    return run


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, waiting for whoever holds it now; yields its descriptor."""
    began, waiting = time.monotonic(), f"Another start is preparing {path.parent}; waiting for it"
    show = paced(lambda: report(f"{waiting} ({time.monotonic() - began:.0f} s)"), SIGN_OF_LIFE)

    def wait() -> None:
        show()
        time.sleep(0.1)

    _clear_the_way(path)
    try:
        descriptor = acquire(path, wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _clear_the_way(path: Path) -> None:
    """Have a file of ours opened or replaced: remove what is no file, and open what its owner closed."""
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    elif os.path.lexists(path):
        discard(path)


def _prune(base: Path, keep: str) -> None:
    """Remove old runtimes: all but the one in use now, the one used last before it, and those used lately.

    With them goes their bytecode, and what was left of bytecode when its writer was killed.
    """
    others = [(marker.stat().st_mtime, marker.parent) for marker in base.glob(f"*/{MARKER}")]
    others = sorted((entry for entry in others if entry[1].name != keep), reverse=True)
    for used, folder in others[1:]:
        if time.time() - used > IN_USE:
            discard(folder)
            discard(base / "pycache" / folder.relative_to(folder.anchor))
    for leftover in (base / "pycache").rglob("*.pyc.[0-9]*"):
        discard(leftover)


def _remember_interpreter(base: Path) -> None:
    """Note the interpreter for the launcher: its path, a file it cannot start without, and its path again.

    A note that does not end as it begins was cut off, and is not used.
    """
    executable = os.path.realpath(sys.executable)
    sweep(base)
    _clear_the_way(base / "python")
    with contextlib.suppress(OSError):  # the next start then searches again
        note = os.fsencode(f"{executable}\n{os.__file__}\n{executable}\n")
        write_atomically(base / "python", note, durable=False)


def _make_base(folder: Path) -> None:
    """Make the folder of all runtimes. What is no folder is renamed, and one of ours that was closed is opened."""
    if os.path.lexists(folder) and not folder.is_dir():
        folder.rename(folder.with_name(f"{folder.name}.aside"))
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid == os.geteuid() and facts.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(0o700)


def _make_durable(folder: Path) -> None:
    """Write every file below `folder` through to the disk, so that the rename cannot outlive its content."""
    for path, _, names in os.walk(folder):
        for name in (*names, "."):
            descriptor = os.open(Path(path, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def report(text: str) -> None:
    """Say something to whoever waits; stdout belongs to the program."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def main() -> int:
    os.umask(0o077)
    lock, base = (Path(argument).resolve() for argument in sys.argv[1:])
    folder = base / runtime_key(str(lock))
    if not is_complete(str(folder)) and (code := reporting(lambda: prepare(lock, folder), "the same command")):
        return code
    sys.stdout.write(f"{folder}\n")
    return ExitCode.DONE


if __name__ == "__main__":
    raise SystemExit(main())
