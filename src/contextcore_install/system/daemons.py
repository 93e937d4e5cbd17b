"""Starts programs that outlive us, and finds, watches and ends them again.

A process is ours when its pid, its start time and the boot it belongs to are those of its record: a pid alone may by
now be anyone's. The record is written twice: before the start, as an intent, and after it, with the pid. Whoever is
killed between the two leaves a process that carries `MARKER` in its environment, by which it is found again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import asdict, dataclass, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system import machine
from contextcore_install.system.files import last_lines, read_text, write_atomically

MARKER = "CONTEXTCORE_CLUSTER_COMPONENT"
"""Environment variable that every process of ours carries: the path of its record."""
#: Bytes after which a log is rotated (to NAME.log.1) at the next start.
LOG_LIMIT = 16 * 1024 * 1024
LAST_WORDS_BYTES = 1024 * 1024
"""How much of a log's end is read: a store may print a whole damaged block behind the error, twice."""
#: Seconds by which two readings of one start time may differ (macOS gives microseconds, Linux hundredths).
_SAME_START_S = 0.02

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started, by pid: only for these can the exit code be known."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What to run. `fingerprint` stands for all that it was configured with."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a started process; `started` is a `machine.start_time`, and `pid` 0 stands for an intent.

    `log_start` is the size of its log, in bytes, when it was started: what stands before it was said by an earlier one.
    """

    pid: int
    started: float
    boot_id: str
    program: str
    argv: tuple[str, ...]
    fingerprint: str
    log_start: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was found under a name. `note` is a sentence if the record cannot be trusted or is out of date."""

    alive: bool
    record: Record | None = None
    note: str = ""
    exit_code: int | None = None
    rebooted: bool = False


class Daemons:
    """The processes whose records are in one folder and whose logs are in another."""

    def __init__(self, run: Path, logs: Path, boot_id: Callable[[], str] = machine.boot_id) -> None:
        self._run, self._logs, self._boot_id = run, logs, boot_id

    def log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def record_path(self, name: str) -> Path:
        return self._run / f"{name}.pid"

    def names(self) -> list[str]:
        return sorted(path.stem for path in self._run.glob("*.pid"))

    def look(self, name: str) -> Sighting:
        """Return what there is under a name. Only reads, and signals nobody."""
        try:
            text = read_text(self.record_path(name))
        except FileNotFoundError:
            return self._marked(name, "")
        except (OSError, UnicodeDecodeError) as error:
            return self._marked(name, f"The record {self.record_path(name)} cannot be read ({error}).")
        record = parse_record(text)
        if record is None:
            return self._marked(name, f"The record {self.record_path(name)} is damaged; it was not acted on.")
        if record.pid == 0:
            return self._marked(name, f"{name} was about to be started when the installer ended.", record)
        return self._judge(name, record)

    def pid(self, name: str) -> int:
        """Return the pid of the process of ours that lives under a name; 0 if none does."""
        sighting = self.look(name)
        return sighting.record.pid if sighting.alive and sighting.record else 0

    def is_suspended(self, name: str) -> bool:
        return (pid := self.pid(name)) != 0 and machine.is_suspended(pid)

    def wake(self, name: str) -> None:
        """Let the process of ours under a name go on (SIGCONT); does nothing if none lives."""
        if pid := self.pid(name):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)

    def _judge(self, name: str, record: Record) -> Sighting:
        if record.boot_id != self._boot_id():
            note = f"{name} ran before the machine was restarted."
            return Sighting(alive=False, record=record, note=note, rebooted=True)
        exit_code = child.poll() if (child := _children.get(record.pid)) else None
        if _is_alive(record):
            return Sighting(alive=True, record=record)
        note = ""
        if machine.start_time(record.pid) is not None:
            note = f"{name} has ended; its pid {record.pid} is another process's now, which was left alone."
        # A record that was tampered with may name the wrong process while ours runs on.
        marked = self._marked(name, f"The record {self.record_path(name)} named another process.")
        return marked if marked.alive else Sighting(alive=False, record=record, note=note, exit_code=exit_code)

    def _marked(self, name: str, note: str, intent: Record | None = None) -> Sighting:
        """Look for a process without a usable record."""
        for pid in machine.marked_processes(MARKER, str(self.record_path(name)), intent.argv if intent else ()):
            if (started := machine.start_time(pid)) is not None:
                # Nobody knows what it was started with, so its fingerprint fits nothing and it will be renewed.
                record = Record(pid, started, self._boot_id(), "", (), "")
                return Sighting(alive=True, record=record, note=note)
        return Sighting(alive=False, note=note)

    def start(self, daemon: Daemon) -> Record:
        """Start and record a program, instead of what runs by its name. Raises InstallError `process-start`."""
        if self.look(daemon.name).alive:
            self.stop(daemon.name)
        try:
            log_start = self._rotate_log(daemon.name)
            intent = Record(0, 0.0, self._boot_id(), daemon.argv[0], daemon.argv, daemon.fingerprint, log_start)
            self._write(daemon.name, intent)
            pid = self._spawn(daemon)
            # If it is gone already its time is not known, and none may fit a later process.
            record = replace(intent, pid=pid, started=machine.start_time(pid) or -1.0)
            self._write(daemon.name, record)
        except OSError as error:
            if not self.look(daemon.name).alive:
                self.forget(daemon.name)
            message = f"{daemon.name} cannot be started: {error.strerror or error}."
            raise InstallError("process-start", message, evidence=f"{daemon.argv[0]}: {error}") from error
        return record

    def _spawn(self, daemon: Daemon) -> int:
        log = self.log_path(daemon.name)
        with log.open("ab") as output:
            log.chmod(0o600)
            process = subprocess.Popen(
                daemon.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=daemon.folder,
                env={**daemon.environ, MARKER: str(self.record_path(daemon.name))},
                start_new_session=True,
            )
        _children[process.pid] = process
        return process.pid

    def _rotate_log(self, name: str) -> int:
        """Rename a log that has grown large, and return the size of the one that will be added to."""
        log = self.log_path(name)
        size = log.stat().st_size if log.exists() else 0
        if size <= LOG_LIMIT:
            return size
        log.replace(log.with_name(f"{log.name}.1"))
        return 0

    def last_words(self, name: str, count: int) -> list[str]:
        record = self.look(name).record
        start = record.log_start if record else 0
        return last_lines(self.log_path(name), count, start=start, limit=LAST_WORDS_BYTES)

    def _write(self, name: str, record: Record) -> None:
        write_atomically(self.record_path(name), json.dumps(asdict(record)) + "\n")

    def stop(self, name: str, ctx: StepContext | None = None, *, term_s: float = 10.0, kill_s: float = 5.0) -> bool:
        """End a process of ours, kindly for `term_s` seconds, then by force; return whether there was one.

        Raises InstallError `process-stop` for what survives `kill_s` seconds even so. A record that names no live
        process of ours is only removed.
        """
        sighting = self.look(name)
        if sighting.alive and (record := sighting.record):
            for number, limit_s in ((signal.SIGTERM, term_s), (signal.SIGKILL, kill_s)):
                self._signal(name, record, number)
                if _wait_gone(record, limit_s, ctx):
                    break
            else:
                raise InstallError("process-stop", f"{name} (pid {record.pid}) does not end, even when killed.")
        self.forget(name)
        return sighting.alive

    def _signal(self, name: str, record: Record, number: int) -> None:
        # Asked again immediately before, so that no other process can have taken the pid since.
        if _is_alive(record):
            with suppress(ProcessLookupError):
                os.killpg(record.pid, number)
                # One that is stopped (SIGSTOP, a debugger, Ctrl-Z) takes no other signal until it goes on.
                os.killpg(record.pid, signal.SIGCONT)
        elif self.look(name).alive:
            raise InstallError("process-stop", f"{name} was restarted by someone else while it was being stopped.")

    def forget(self, name: str) -> None:
        self.record_path(name).unlink(missing_ok=True)


def _is_alive(record: Record) -> bool:
    """Tell whether a record's process lives, and is still that process."""
    started = machine.start_time(record.pid)
    return started is not None and abs(started - record.started) <= _SAME_START_S


def _wait_gone(record: Record, limit_s: float, ctx: StepContext | None) -> bool:
    deadline = time.monotonic() + limit_s
    pause, wait = 0.01, ctx.wait if ctx else time.sleep
    while True:
        alive = _is_alive(record)
        if (child := _children.get(record.pid)) is not None:
            child.poll()  # takes the zombie away
        if not alive:
            return True
        if time.monotonic() > deadline:
            return False
        wait(pause)
        pause = min(0.1, pause * 2)


def parse_record(text: str) -> Record | None:
    """Return the record that a file's text holds; None for anything else."""
    try:
        found = json.loads(text)
        pid, started, argv, log_start = found["pid"], found["started"], found["argv"], found.get("log_start")
        # A pid of 1 or below 0 would signal init, or every process there is.
        if type(pid) is not int or not (pid == 0 or 1 < pid < 2**31) or type(started) not in (int, float):
            return None
        if not isinstance(argv, list):
            return None
        boot_id, program, fingerprint = (str(found.get(name, "")) for name in ("boot_id", "program", "fingerprint"))
        log_start = log_start if isinstance(log_start, int) and log_start >= 0 else 0
        return Record(pid, float(started), boot_id, program, tuple(map(str, argv)), fingerprint, log_start)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
