"""How to end what holds a port, as far as what is known of it says."""

from __future__ import annotations

import re
import sys

_PROCESS = re.compile(r"\(pid (\d+)\)")
_CONTAINER = re.compile(r"^the container ([\w.-]+)$")


def how_to_end(holder: str, port: int, engine: str = "docker") -> str:
    """Return the command that ends the holder of a port, or the one that names it where the words for it do not."""
    if found := _PROCESS.search(holder):
        return f"kill {found[1]}"
    if found := _CONTAINER.match(holder):
        return f"{engine} stop {found[1]}"
    if sys.platform == "darwin":
        return f"sudo lsof -nP -iTCP:{port} -sTCP:LISTEN"
    return f"sudo ss -ltnp sport = :{port}"
