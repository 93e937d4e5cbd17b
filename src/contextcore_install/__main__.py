"""argv in, exit code out."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import MACHINE_REFUSES, ExitCode, InstallError
from contextcore_install.system import standard_streams
from contextcore_install.system.standard_streams import OutputFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextcore_install.runtime.app import App

_ROOMS = {
    "resume": "install",
    **dict.fromkeys(("plan", "repair"), "repairs"),
    **dict.fromkeys(("backup", "restore"), "backups"),
    **dict.fromkeys(("rollback", "delete"), "removal"),
    **dict.fromkeys(("history", "logs"), "past_runs"),
    **dict.fromkeys(("dashboard", "report"), "page"),
}
"""The module in `commands` of each command that has none of its own name."""
_REFUSALS = {*MACHINE_REFUSES, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP}


def main(argv: Sequence[str] | None = None, create_app: Callable[..., App] | None = None) -> int:
    """Run one invocation and return its exit code."""
    standard_streams.open_all()
    arguments = sys.argv[1:] if argv is None else list(argv)
    program = "contextcore-install" if sys.argv[0].endswith("/contextcore-install") else sys.argv[0]
    os.umask(0o077)  # whatever we make, and what we start makes, is this user's alone
    code = _run(arguments, program, create_app)
    if refused := standard_streams.flush():
        # The one thing that is said on standard error for scripts too: nothing else would reach them.
        lost = InstallError("output-lost", f"standard output cannot be written: {refused.strerror}")
        _report(lost, None, program, as_json=False)
        standard_streams.flush()
        return code or ExitCode.STEP_FAILED
    return code


def _run(arguments: Sequence[str], program: str, create_app: Callable[..., App] | None) -> int:
    app: App | None = None
    # Whether errors are for a script, told from words that may not even parse.
    as_json = "--output=json" in arguments or ("--output", "json") in pairwise(arguments)
    try:
        settings = parse(arguments, os.environ, program)
        from contextcore_install.runtime.app import App  # --help and --version end in `parse`
        from contextcore_install.storage.home import find_home
        from contextcore_install.system.clock import SystemClock

        home = find_home(os.environ, os.geteuid())
        app = (create_app or App)(settings, os.environ, home, sys.stdin, sys.stdout, sys.stderr, SystemClock())
        code = command_named(settings.command)(app)
        sys.stdout.flush()
        return code
    except SystemExit as help_was_given:
        return ExitCode.USAGE if help_was_given.code else ExitCode.DONE
    except InstallError as error:
        if not OutputFile.refused or error.code != "output-lost":  # which is told at the end
            _report(error, app, program, as_json=as_json)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; nobody is left to tell.
        standard_streams.point_nowhere(sys.stdout)
        return ExitCode.DONE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # the edge: a bug gets its exit code, and its trace is shown
        if isinstance(error, ImportError) and not (error.name or "").startswith(__package__ or ""):
            raise  # a dependency is gone: the launcher prepares the runtime again
        if isinstance(error, OSError) and OutputFile.was_refused(error):
            return ExitCode.STEP_FAILED
        explained = _explained(error, program)
        _report(explained, app, program, as_json=as_json)
        return explained.exit_code


def command_named(name: str) -> Callable[[App], int]:
    """Return what carries a mode or subcommand out, and returns the exit code."""
    command: Callable[[App], int] = getattr(import_module(f"{__package__}.commands.{_ROOMS.get(name, name)}"), name)
    return command


def _report(error: InstallError, app: App | None, program: str, *, as_json: bool) -> None:
    from contextcore_install.runtime.interaction import report_error
    from contextcore_install.ui.hints import Commands

    with suppress(OSError):  # nobody is left to tell, or a disk is full: the exit code still says it
        report_error(error, app.commands if app else Commands(program), as_json=as_json)
        sys.stdout.flush()


def _explained(error: Exception, program: str) -> InstallError:
    """Return the error for what the system refuses, with a full disk or a closed folder say, or for a bug."""
    if isinstance(error, FileNotFoundError):
        try:
            Path.cwd()
        except OSError:
            message = "the working directory was deleted, so that no relative path can be found from it"
            hint = "change to another with cd, then run the same command again"
            return InstallError("no-working-directory", message, hint=hint, exit_code=ExitCode.USAGE)
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        from contextcore_install.storage.files import unusable

        return unusable(Path(error.filename or "this machine"), error)
    from traceback import format_exception

    message = f"{program} ended in a way it should not: {type(error).__name__}: {error}"
    hint = "please report this, with what stands above"
    return InstallError("bug", message, "".join(format_exception(error)), hint, exit_code=ExitCode.BUG)


if __name__ == "__main__":
    sys.exit(main())
