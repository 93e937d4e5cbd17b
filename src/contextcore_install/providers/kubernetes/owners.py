"""Whose a field is, as the API server keeps it in `managedFields` (Kubernetes, Server-Side Apply, "Field management").

Who changes a field by hand (`kubectl edit`, `scale`, `patch`) comes to own it, and it is put back all the same. Left to
others is what they go on deciding: what they apply themselves, and the number of pods where an autoscaler sets it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from contextcore_install.providers.kubernetes.objects import (
    FIELD_MANAGER,
    FINGERPRINT,
    RELEASE_LABEL,
    Manifest,
    Path,
    annotation_of,
    label_of,
    shown_path,
)

AUTOSCALERS = ("kube-controller-manager", "horizontal-pod-autoscaler", "keda")
"""What the managers that set `replicas` by themselves are called, or begin with."""
REPLICAS: Path = ("spec", "replicas")
_BY_HAND = "kubectl"
#: What is added by the way: kubectl's own notes, and the mark of a restart.
_NOTES = ("metadata", "annotations")


def decided_by(live: Manifest, path: Path) -> str:
    """Return which manager goes on deciding a field; empty where none does but us."""
    for entry in _managers(live):
        applies = entry.get("operation") == "Apply"
        scales = path == REPLICAS and _name(entry).startswith(AUTOSCALERS)
        if (applies or scales) and _has(entry.get("fieldsV1") or {}, path):
            return _name(entry)
    return ""


def set_by(live: Manifest, path: Path) -> str:
    """Return which manager other than us set a field last; empty where that is not known."""
    setters = [entry for entry in _managers(live) if _has(entry.get("fieldsV1") or {}, path)]
    return _name(max(setters, key=lambda entry: str(entry.get("time", "")))) if setters else ""


def shows_us(live: Manifest) -> bool:
    """Tell whether an object was applied by this program, whatever was taken off it by hand since."""
    applied = any(
        entry.get("manager") == FIELD_MANAGER for entry in live.get("metadata", {}).get("managedFields") or []
    )
    return applied or bool(label_of(live, RELEASE_LABEL) or annotation_of(live, FINGERPRINT))


def added_by_hand(wanted: Manifest, live: Manifest) -> Iterator[tuple[str, str]]:
    """Yield fields that somebody added with kubectl to an object of ours: (path, manager)."""
    for entry in _managers(live):
        if _name(entry).startswith(_BY_HAND):
            for path in _outermost(entry.get("fieldsV1") or {}, wanted):
                if path[: len(_NOTES)] != _NOTES and _NOTES[1] not in path:
                    yield shown_path(path), _name(entry)


def last_changed_by_others(live: Manifest) -> str:
    """Return when anyone but us changed an object last (RFC 3339); empty where nobody has."""
    return max((str(entry.get("time", "")) for entry in _managers(live)), default="")


def without(item: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Return an object without some fields, so that applying it does not claim them."""
    item = copy.deepcopy(item)
    for path in paths:
        place: Any = item
        for part in path[:-1]:
            place = _entry(place, part)
        if isinstance(place, dict):
            place.pop(path[-1], None)
    return item


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("manager", ""))


def _managers(live: Manifest) -> Iterator[Mapping[str, Any]]:
    for entry in live.get("metadata", {}).get("managedFields") or []:
        if entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status":
            yield entry


def _has(fields: Mapping[str, Any], path: Path) -> bool:
    for part in path:
        found = next((value for key, value in fields.items() if _names(key, part)), None)
        if found is None:
            return False
        if not found:
            return True  # owned as a whole
        fields = found
    return True


def _names(key: str, part: str | int) -> bool:
    if isinstance(part, str) and part.startswith("["):
        return key.startswith("k:") and json.loads(key[2:]).get("name") == part[1:-1]
    return key == f"f:{part}"


def _outermost(fields: Mapping[str, Any], wanted: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the outermost fields that a wanted object does not have; entries of lists by their name only."""
    for key, inner in fields.items():
        part = key[2:]
        if key.startswith("k:"):
            name = json.loads(part).get("name")
            if name is None:
                continue
            part = f"[{name}]"
        elif not key.startswith("f:") or part == "status":
            continue
        there = _entry(wanted, part)
        if there is None:
            yield (*path, part)
        else:
            yield from _outermost(inner, there, (*path, part))


def _entry(place: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return place[part] if isinstance(place, list) and part < len(place) else None
    if part.startswith("["):
        entries = place if isinstance(place, list) else []
        return next((item for item in entries if item.get("name") == part[1:-1]), None)
    return place.get(part) if isinstance(place, Mapping) else None
