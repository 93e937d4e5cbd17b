"""argv in, exit code out."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from contextcore_install.app import App
from contextcore_install.core.errors import MACHINE_REFUSES, ExitCode, InstallError
from contextcore_install.settings import parse
from contextcore_install.storage.layout import find_home
from contextcore_install.tools.clock import SystemClock
from contextcore_install.ui.commands import Commands

_MODULES = {"resume": "install"}
"""Modes that another mode's module carries out; every other command has a module in `commands` of its own name."""

_REFUSALS = {*MACHINE_REFUSES, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one invocation and return its exit code. SystemExit is raised for --help and --version."""
    _open_standard_streams()
    arguments = sys.argv[1:] if argv is None else list(argv)
    program = "contextcore-install" if sys.argv[0].endswith("/contextcore-install") else sys.argv[0]
    os.umask(0o077)  # whatever we make, and what we start makes, is this user's alone
    commands, as_json = Commands(program), _wants_json(arguments)
    try:
        settings = parse(arguments, os.environ, program)
        home = find_home(os.environ, os.geteuid())
        app = App(settings, os.environ, home, sys.stdin, sys.stdout, sys.stderr, SystemClock())
        commands = app.commands
        return _run(app)
    except InstallError as error:
        _tell(error, commands, as_json=as_json)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; nobody is left to tell.
        _point_nowhere(sys.stdout)
        return ExitCode.DONE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # the edge: a bug gets its exit code, and its trace is shown
        if isinstance(error, ImportError) and not (error.name or "").startswith(__package__ or ""):
            raise  # a dependency is gone: the launcher prepares the runtime anew
        told = _machine_refuses(error) or _bug(error, program)
        _tell(told, commands, as_json=as_json)
        return told.exit_code


def _run(app: App) -> int:
    name = app.settings.command
    command = import_module(f"contextcore_install.commands.{_MODULES.get(name, name)}")
    code: int = command.run(app)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk
        _point_nowhere(sys.stdout)
        raise InstallError("output-lost", f"standard output cannot be written: {error.strerror}") from error
    return code


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether errors are for a script, told from words that may not even parse."""
    return "--output=json" in arguments or ("--output", "json") in pairwise(arguments)


def _tell(error: InstallError, commands: Commands, *, as_json: bool) -> None:
    from contextcore_install.commands.tell import tell_error

    try:
        tell_error(error, commands, as_json=as_json)
        sys.stdout.flush()
    except OSError:  # nobody is left to tell, or a disk is full: the exit code still says it
        _point_nowhere(sys.stdout)
        _point_nowhere(sys.stderr)


def _machine_refuses(error: Exception) -> InstallError | None:
    """Return the error for what the system refuses, with a full disk or a closed folder say; None for a bug."""
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    from contextcore_install.storage.files import unusable

    return unusable(Path(error.filename or "this machine"), error)


def _bug(error: Exception, program: str) -> InstallError:
    from traceback import format_exception

    return InstallError(
        "bug",
        f"{program} ended in a way it should not: {type(error).__name__}: {error}",
        "".join(format_exception(error)),
        "please report this, with what stands above",
        exit_code=ExitCode.BUG,
    )


def _open_standard_streams() -> None:
    """Give a process that was started without some of its standard streams (`>&-`) the null device for them.

    Otherwise the first files that are opened take their numbers, and what programs print would end up there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if isinstance(sys.stdout, TextIOWrapper):  # what it cannot show is shown escaped, as on standard error
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


def _point_nowhere(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, or the interpreter's end would fail with it (exit code 120)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
