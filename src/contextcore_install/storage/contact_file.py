"""notify.json: the contact points. Secrets, so it lies outside of the clusters' folders, which backups are made of."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError, own
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular, using, write_atomically

SET_AGAIN = f"set them again: {own('notify', 'set', '--file', 'FILE')}"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The clusters whose Grafana was given contact points that no longer count, and since when (UTC, whole seconds)."""

    at: str = ""
    clusters: tuple[str, ...] = ()


class ContactFile:
    """The URLs of the contact points, readable by this user alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[str]:
        """Return the URLs, if there is a file; raises InstallError if others can read it, or if it holds no URLs."""
        document = self._document()
        urls = document.get("contact_points") if isinstance(document, dict) else None
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise self._refused("it holds no contact points", SET_AGAIN)
        return urls

    def withdrawn(self) -> Withdrawn:
        """Return where contact points are still to be removed; raises InstallError like `load`."""
        document = self._document()
        found = document.get("withdrawn") if isinstance(document, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("clusters"), list):
            return Withdrawn()
        return Withdrawn(str(found.get("at", "")), tuple(map(str, found["clusters"])))

    def save(self, urls: Sequence[str], withdrawn: Withdrawn) -> None:
        """Write both; without either there is no file. Raises InstallError."""
        if not urls and not withdrawn.clusters:
            with using(self.path):
                self.path.unlink(missing_ok=True)
            return
        document: dict[str, Any] = {"version": 1, "contact_points": list(urls)}
        if withdrawn.clusters:
            document["withdrawn"] = {"at": withdrawn.at, "clusters": list(withdrawn.clusters)}
        write_atomically(self.path, (json.dumps(document, indent=1) + "\n").encode())

    def _document(self) -> Any:
        try:
            content = read_regular(self.path)
            if content is None:
                return {"contact_points": []}
            document = parse_json(content)
        except UnreadableFileError as error:
            raise self._refused(str(error), SET_AGAIN) from None
        if stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            raise self._refused("others can read it", f"chmod 600 {quote(str(self.path))}")
        return document

    def _refused(self, reason: str, hint: str) -> InstallError:
        return InstallError("contact-points-unusable", f"{self.path} is not used: {reason}", hint=hint)
