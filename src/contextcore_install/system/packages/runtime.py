"""Prepares, once, a folder with the packages that a lock file pins.

The folder is filled beside its final place and renamed into it, so it is whole or absent, whatever interrupts the
work. A lock keeps two preparations apart; it passes to the program that does the work, so that even after our own
death by SIGKILL nobody clears away a folder that is still being filled.

    python3 -m contextcore_install.system.packages.runtime LOCK FOLDER    prepares one in FOLDER and prints its path
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from types import FrameType

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system import process
from contextcore_install.system.files import discard
from contextcore_install.system.packages import packages
from contextcore_install.system.packages.package_failures import explain_os_error
from contextcore_install.system.packages.runtime_folder import DAY, MARKER, is_complete, is_touched, runtime_key
from contextcore_install.system.process import Completed
from contextcore_install.system.supervisor import StartOptions

#: Seconds after which a waiting person wants to see that something still happens.
SIGN_OF_LIFE = 4.0
#: A runtime used within this time may be in use by a program that runs now.
IN_USE = 14 * DAY


def make_ready(lock: str, folder: str, again: str) -> int:
    """Have the program's runtime whole in `folder`, and remember the interpreter for the launcher.

    Returns 0, or the exit code after saying what is wrong; `again` is what the user typed. A damaged runtime that
    cannot be replaced now is good enough to try: most commands need little of it.
    """

    def work() -> None:
        if is_complete(folder) and (not is_touched(folder) or is_whole(lock, folder)):
            mark_whole(Path(folder))
        else:
            replace_if_possible()
        remember_interpreter(Path(folder).parent)

    def replace_if_possible() -> None:
        try:
            prepare(Path(lock), Path(folder))
        except InstallError as error:
            if not is_complete(folder):
                raise
            tell(f"{error.message}\n  seen: {error.evidence}\nCarrying on with the packages as they are.")

    return told(work, again)


def is_whole(lock: str, folder: str) -> bool:
    """Tell whether a runtime is complete and each of its files is what was installed."""
    return is_complete(folder) and next(packages.damaged_files(Path(lock), Path(folder)), None) is None


def mark_whole(folder: Path) -> None:
    """Note that a runtime was found whole now (see `runtime_folder.is_touched`)."""
    with contextlib.suppress(OSError):  # a read-only home is looked at again next time
        os.utime(folder / MARKER)


def told(work: Callable[[], None], again: str) -> int:
    """Do `work`; return 0, or the exit code after saying what stood in the way and what to type."""
    try:
        with ended_by_signals():
            work()
    except InstallError as error:
        advice = f"{error.hint}, then type again" if error.hint else "type again"
        tell(f"{error.message}\n  seen: {error.evidence}\n  next: {advice}: {again}")
        return error.exit_code
    except KeyboardInterrupt:
        tell(f"Interrupted; nothing half-made is left behind. To carry on, type again: {again}")
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def prepare(lock: Path, folder: Path) -> None:
    """Fill `folder` with what `lock` pins, or raise InstallError with exit code 3 and leave nothing behind.

    A runtime that is there stays until the new one can take its place.
    """
    base = folder.parent
    try:
        make_private(base)
        with exclusive(base / "lock") as descriptor:
            # Whoever holds the lock is the only one at work: all others' staging folders are dead.
            for stale in base.glob("*.staging-*"):
                discard(stale)
            damaged = next(packages.damaged_files(lock, folder), None) if is_complete(str(folder)) else None
            if damaged:
                tell(f"{damaged} is missing or damaged; preparing the packages again.")
            if damaged or not is_complete(str(folder)):
                fill(lock, folder, descriptor)
            mark_whole(folder)
            thin(base, keep=folder.name)
    except OSError as error:
        raise explain_os_error(error, base) from error


def fill(lock: Path, folder: Path, descriptor: int) -> None:
    """Install into a staging folder, make it durable, and rename it to `folder`."""
    staging = folder.with_name(f"{folder.name}.staging-{os.getpid()}")
    target = staging / "packages"
    began = time.monotonic()
    tell(f"Preparing once: {len(packages.pins(lock))} packages into {folder.parent}")

    lines: deque[str] = deque([""], maxlen=1)

    def run(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
        options = StartOptions(folder, (descriptor,))
        return process.run(argv, environ=environ, check=False, timeout_s=inf, hear=lines.append, options=options)

    def still_preparing() -> None:
        tell(f"  still preparing ({time.monotonic() - began:.0f} s) {lines[0].strip()[:120]}")

    previous = os.umask(0o077)
    try:
        target.mkdir(parents=True)
        with repeating(still_preparing):
            packages.install(lock, target, workdir=staging, run=run)
        discard(target / ".lock")  # uv's, open to everybody
        (target / MARKER).write_text(f"{lock.name}\n", encoding="utf-8")
        make_durable(target)
        if os.path.lexists(folder):  # torn or damaged
            if folder.is_dir():
                folder.chmod(0o700)
            folder.rename(staging / "before")
        target.rename(folder)
        sync(folder.parent)
    finally:
        os.umask(previous)
        discard(staging)
    tell(f"Prepared in {time.monotonic() - began:.0f} s; later starts need no network.")


@contextlib.contextmanager
def repeating(action: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `action` every `SIGN_OF_LIFE` seconds."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(SIGN_OF_LIFE):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, waiting for whoever holds it now; yields its descriptor."""
    clear_the_way(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        began = time.monotonic()
        told = -SIGN_OF_LIFE
        while not try_lock(descriptor):
            waited = time.monotonic() - began
            if waited - told >= SIGN_OF_LIFE:
                told = waited
                tell(f"Another start is preparing {path.parent}; waiting for it ({waited:.0f} s)")
            time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody holds it. On a file system without locks the renames alone keep the folder whole."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def clear_the_way(path: Path) -> None:
    """Have a file of ours opened or replaced: remove what is no file, and open what its owner closed."""
    if not os.path.lexists(path):
        return
    if path.is_file() and not path.is_symlink():
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    else:
        discard(path)


def thin(base: Path, keep: str) -> None:
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


def remember_interpreter(base: Path) -> None:
    """Note the interpreter for the launcher: its path, a file it cannot start without, and its path again.

    A note that does not end as it begins was cut off, and is not used.
    """
    executable = os.path.realpath(sys.executable)
    temporary = base / f"python.{os.getpid()}"
    for leftover in base.glob("python.[0-9]*"):
        discard(leftover)
    clear_the_way(base / "python")
    with contextlib.suppress(OSError):  # the next start then searches again
        temporary.write_text(f"{executable}\n{os.__file__}\n{executable}\n", encoding="utf-8", errors="surrogateescape")
        temporary.replace(base / "python")


def make_private(folder: Path) -> None:
    """Create `folder` and its missing parents for this user alone (mkdir's mode reaches only the last one).

    What is no folder is put aside, and one of ours that was closed is opened again.
    """
    previous = os.umask(0o077)
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            folder.rename(folder.with_name(f"{folder.name}.aside"))
        folder.mkdir(parents=True, exist_ok=True)
        facts = folder.stat()
        if facts.st_uid == os.geteuid() and facts.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            folder.chmod(0o700)
    finally:
        os.umask(previous)


def make_durable(folder: Path) -> None:
    """Write every file below `folder` through to the disk, so that the rename cannot outlive its content."""
    for path, _, names in os.walk(folder):
        for name in names:
            sync(Path(path, name))
        sync(Path(path))


def sync(path: Path) -> None:
    """Write a file or folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP clear up as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # One that is ignored stays so: that is how nohup protects what it starts.
    before = {number: signal.getsignal(number) for number in signals}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(text: str) -> None:
    """Say something to whoever waits; stdout belongs to the program."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def main() -> int:
    """Prepare a folder for the developers' tools and print its path; return an exit code."""
    lock, base = (Path(argument).resolve() for argument in sys.argv[1:])
    folder = base / runtime_key(str(lock))
    if not is_complete(str(folder)) and (code := told(lambda: prepare(lock, folder), "the same command")):
        return code
    sys.stdout.write(f"{folder}\n")
    return ExitCode.DONE


if __name__ == "__main__":
    raise SystemExit(main())
