"""Where a command is to write its file, if somebody said so."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from contextcore_install.app import App
from contextcore_install.core.errors import InstallError
from contextcore_install.storage.packing import there_already


def chosen_file(app: App, name: str) -> Path | None:
    """Return the file that was named, with this name in a folder that was named; None where nothing was.

    Raises InstallError where there is such a file already, or no folder for it.
    """
    chosen = app.settings.arguments["file"]
    if chosen is None:
        return None
    path = Path(chosen).expanduser().absolute()
    path = path / name if path.is_dir() else path
    if not path.parent.is_dir():
        raise InstallError(
            "no-folder", f"there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}"
        )
    if os.path.lexists(path):
        raise there_already(path)
    return path
