"""Opening an address in the user's browser, where there is one to open."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping


def opener(environ: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """Return the command that opens an address put behind it; None where no browser can be shown.

    Without a display Python's webbrowser would start a text browser, in the terminal that is ours. On WSL the
    browser is Windows': wslview is its own way, explorer.exe is there on every Windows.
    """
    python = [sys.executable, "-I", "-S", "-m", "webbrowser"]
    if environ.get("WSL_DISTRO_NAME"):
        found = next((way for way in ("wslview", "explorer.exe") if shutil.which(way, path=_path(environ))), None)
        if found:
            return [found]
    if platform == "darwin" or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return python
    return None


def open_in_browser(invitation: Callable[[], str], environ: Mapping[str, str]) -> bool:
    """Have an address opened, and return whether there was a way to; never waits for the browser.

    What a browser says goes nowhere, and it lives on when we end. The address that `invitation` gives can
    be seen by all users of the machine.
    """
    command = opener(environ)
    if command is None:
        return False
    nowhere = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [*command, invitation()],
            env=dict(environ),
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
        return True
    return False


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PATH", "")
