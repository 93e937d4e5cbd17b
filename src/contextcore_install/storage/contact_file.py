"""notify.json: the contact points. Secrets, so it lies outside of the clusters' folders, which backups are made of."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from shlex import quote
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError, own
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular, using, write_atomically

SET_AGAIN = f"set them again: {own('notify', 'set', '--file', 'FILE')}"


@dataclass(frozen=True, slots=True)
class ContactPoints:
    """The URLs that were set, and the clusters whose Grafana was given others that no longer count.

    `withdrawn_at` is since when those do not (UTC, whole seconds).
    """

    urls: tuple[str, ...] = ()
    withdrawn_at: str = ""
    withdrawn_from: tuple[str, ...] = ()


def load_contact_points(path: Path) -> ContactPoints:
    """Return what the file holds, if there is one; raises InstallError if others can read it, or it holds no URLs."""
    try:
        content = read_regular(path)
        document = {"contact_points": []} if content is None else parse_json(content)
    except UnreadableFileError as error:
        raise _refused(path, str(error), SET_AGAIN) from None
    if content is not None and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise _refused(path, "others can read it", f"chmod 600 {quote(str(path))}")
    urls = document.get("contact_points") if isinstance(document, dict) else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise _refused(path, "it holds no contact points", SET_AGAIN)
    withdrawn = document.get("withdrawn")
    if not isinstance(withdrawn, dict) or not isinstance(withdrawn.get("clusters"), list):
        return ContactPoints(tuple(urls))
    return ContactPoints(tuple(urls), str(withdrawn.get("at", "")), tuple(map(str, withdrawn["clusters"])))


def save_contact_points(path: Path, points: ContactPoints) -> None:
    """Replace the file; with nothing to keep there is none. Raises InstallError."""
    document: dict[str, Any] = {"version": 1, "contact_points": list(points.urls)}
    if points.withdrawn_from:
        document["withdrawn"] = {"at": points.withdrawn_at, "clusters": list(points.withdrawn_from)}
    elif not points.urls:
        with using(path):
            path.unlink(missing_ok=True)
        return
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def _refused(path: Path, reason: str, hint: str) -> InstallError:
    return InstallError("contact-points-unusable", f"{path} is not used: {reason}", hint=hint)
