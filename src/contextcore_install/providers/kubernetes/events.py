"""What Kubernetes tells of its own work on an object: kept for an hour there, and for a moment here."""

from __future__ import annotations

import time
from collections.abc import Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Manifest

#: Seconds for which what was told counts as all that there is.
FRESH_S = 3.0


class Events:
    """Reason and message of events, in the order in which they happened last."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._told: dict[str, tuple[float, Sequence[tuple[str, str]]]] = {}

    def last(self, uid: str, namespace: str) -> tuple[str, str]:
        """Return the last event about an object; empty where there is none, or none can be read."""
        events = self.about(uid, namespace)
        return events[-1] if events else ("", "")

    def about(self, uid: str, namespace: str) -> Sequence[tuple[str, str]]:
        """Return the events about an object, the last one last; none where they cannot be read."""
        known = self._told.get(uid)
        if known and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        try:
            found = self._kubectl.items("events", "-n", namespace, f"--field-selector=involvedObject.uid={uid}")
        except InstallError:
            found = []
        told = [(str(item.get("reason", "")), str(item.get("message", ""))) for item in sorted(found, key=_when)]
        self._told[uid] = (time.monotonic(), told)
        return told


def _when(event: Manifest) -> tuple[str, bool]:
    """Return what orders events: those of one second by whether they warn."""
    moment = event.get("lastTimestamp") or event.get("eventTime") or ""
    return str(moment)[:19], event.get("type") == "Warning"
