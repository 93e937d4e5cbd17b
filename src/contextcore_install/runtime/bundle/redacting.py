"""What hides who works here, and where, in what is handed to others."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from contextcore_install.core.redaction import Redaction
from contextcore_install.runtime.app import App


def redaction(app: App, secrets: Iterable[str] = ()) -> Redaction:
    """Return what hides this user's and this machine's names, all that looks secret, and the secrets that are known."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = ""
    home = app.environ.get("HOME", "")
    return Redaction(home=home, host=socket.gethostname(), user=user, secrets=secrets)
