"""Runs commands to their end, and hands their lines on as they come."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import join

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.system.supervisor import DEFAULTS, Child, StartOptions, Supervisor

#: Lines of output that an error shows, and that are kept for whoever asks what a command printed.
KEEP_LINES, ALL_LINES = 40, 2000


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended; `exit_code` is negative for a signal, `lines` are the last that it printed."""

    argv: tuple[str, ...]
    exit_code: int
    lines: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)


def run(
    argv: Sequence[str],
    ctx: StepContext | None = None,
    *,
    timeout_s: float = 600.0,
    environ: Mapping[str, str] | None = None,
    check: bool = True,
    hear: Callable[[str], object] | None = None,
    options: StartOptions = DEFAULTS,
) -> Completed:
    """Run a command, hand its lines (stdout and stderr as one) to `ctx.output` and `hear`, and return how it ended.

    Raises InstallError `command-missing` if it cannot be started, `command-timeout` after `timeout_s` seconds, and
    `command-failed` for an exit code other than 0 unless `check` is off; CancelledError when the step is cancelled.
    """
    lines = _Lines([hearer for hearer in (ctx and ctx.output, hear) if hearer])
    with Supervisor(ctx, timeout_s) as supervisor:
        child = supervisor.add(Child(argv, environ, options), lines.take)
        supervisor.attend(lambda: "\n".join(lines.last(KEEP_LINES)))
    completed = Completed(child.argv, child.exit_code, lines.last(ALL_LINES))
    if check and completed.exit_code != 0:
        raise failure(completed)
    return completed


def failure(completed: Completed) -> InstallError:
    """Return the error for a command that failed."""
    code = completed.exit_code
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"failed with exit code {code}"
    evidence = "\n".join(completed.lines[-KEEP_LINES:]) or "It printed nothing."
    return InstallError("command-failed", f"`{join(completed.argv)}` {how}.", evidence, retryable=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Lines:
    """Splits what a command prints into lines, hands those that are not blank on, and keeps the last."""

    def __init__(self, hearers: Sequence[Callable[[str], object]]) -> None:
        self._hearers = hearers
        self._kept: deque[str] = deque(maxlen=ALL_LINES)
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + (chunk or b"\n")).split(b"\n")
        for raw in whole:
            # A progress bar rewrites its line with carriage returns: the last state is what counts.
            line = raw.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
            if line.strip():
                self._kept.append(line)
                for hear in self._hearers:
                    hear(line)

    def last(self, count: int) -> tuple[str, ...]:
        return tuple(self._kept)[-count:]
