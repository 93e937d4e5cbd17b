"""Opening an address in the user's browser, if there is one to open."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any


def opener(environ: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """Return the command that opens an address put behind it; None if no browser can be shown.

    Without a display Python's webbrowser would start a text browser, in the terminal that is ours. On WSL the
    browser is Windows': wslview is its own way, explorer.exe is there on every Windows.
    """
    if environ.get("WSL_DISTRO_NAME"):
        for program in ("wslview", "explorer.exe"):
            if shutil.which(program, path=environ.get("PATH", "")):
                return [program]
    if platform == "darwin" or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return [sys.executable, "-I", "-S", "-m", "webbrowser"]
    return None


def open_in_browser(invitation: Callable[[], str], environ: Mapping[str, str]) -> bool:
    """Have an address opened, and return whether there was a way to; never waits for the browser.

    What a browser says goes nowhere, and it lives on when we end. The address that `invitation` gives can
    be seen by all users of the machine.
    """
    command = opener(environ)
    if command is None:
        return False
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with contextlib.suppress(OSError):
        subprocess.Popen([*command, invitation()], env=dict(environ), start_new_session=True, **streams)
        return True
    return False
