"""The file that a command was told to write (`-o FILE`): a new one, or standard output if it is `-`."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from tempfile import gettempdir

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.runtime.app import App
from contextcore_install.storage.backup.archive import there_already
from contextcore_install.system.lock import work_folder

STANDARD_OUTPUT = "-"


def stamped_name(app: App, about: str, suffix: str) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(app.clock.now_us() // 1_000_000))
    return f"{app.settings.cluster}-{about}{stamp}{suffix}"


def is_standard_output(app: App) -> bool:
    """Whether the file goes to standard output; raises a usage error if that is for something else."""
    chosen: object = app.settings.arguments["file"]
    if chosen == STANDARD_OUTPUT and app.json:
        raise usage_error("- cannot be combined with --output json: both want standard output", "name a file")
    return chosen == STANDARD_OUTPUT


def chosen_file(app: App, name: str) -> Path | None:
    """Return the file that was named, or `name` in a folder that was; None if nothing was. Raises InstallError."""
    chosen = app.settings.arguments["file"]
    if chosen is None:
        return None
    try:
        path = Path(chosen).expanduser().absolute()
    except FileNotFoundError:
        raise usage_error(
            f"{chosen} cannot be found: the working directory was deleted", "change to another with cd"
        ) from None
    path = path / name if path.is_dir() else path
    if not path.parent.is_dir():
        raise InstallError("no-folder", f"there is no folder {path.parent}", hint=f"mkdir -p {quote(str(path.parent))}")
    if not os.path.lexists(path):
        return path
    if not stat.S_ISREG(path.lstat().st_mode):
        raise usage_error(f"{path} is no regular file", "choose a file, or - for standard output")
    if not app.settings.yes:
        raise there_already(path)
    return path


@contextmanager
def binary_file(app: App, name: str, folder: Path | None = None) -> Iterator[tuple[App, Path | None]]:
    """Within the block, have the file to write to, and the app that reports what is done; raises as `chosen_file`.

    What is for standard output is written into `folder` (default: that of temporary files) first, and reports go to
    standard error.
    """
    if not is_standard_output(app):
        yield app, chosen_file(app, name)
        return
    if app.stdout.isatty():
        raise usage_error("standard output is a terminal, which cannot show this file", f"add > {name}")
    with work_folder(folder or Path(gettempdir()), ".standard-output-") as place:
        path = place / name
        yield replace(app, stdout=app.stderr), path
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, app.stdout.buffer)
            app.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            message = f"standard output cannot be written: {error.strerror}"
            raise InstallError("output-lost", message) from error
