"""Who set a field, as the API server records it in `managedFields` (Kubernetes, Server-Side Apply, "Field management").

Fields that somebody changed by hand are put back. Left to others is what they keep deciding: what they apply
themselves, and the number of pods if an autoscaler sets it. Fields that others added stay, unless they are disruptive.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import (
    FIELD_MANAGER,
    WORKLOAD_KINDS,
    FieldPath,
    Manifest,
    shown_path,
)

#: What the managers that set `replicas` by themselves are called, or begin with.
AUTOSCALERS = ("kube-controller-manager", "horizontal-pod-autoscaler", "keda")
REPLICAS: FieldPath = ("spec", "replicas")


def decided_by(live: Manifest, path: FieldPath) -> str:
    """Return the manager, other than us, that keeps deciding a field; empty if there is none."""
    for entry in _others(live):
        applies = entry.get("operation") == "Apply"
        scales = path == REPLICAS and entry.get("manager", "").startswith(AUTOSCALERS)
        if (applies or scales) and _has(entry.get("fieldsV1", {}), path):
            return str(entry.get("manager", ""))
    return ""


def set_by(live: Manifest, path: FieldPath) -> str:
    """Return the manager, other than us, that set a field last; empty if that is not known."""
    setters = [entry for entry in _others(live) if _has(entry.get("fieldsV1", {}), path)]
    last = max(setters, key=lambda entry: entry.get("time", ""), default={})
    return str(last.get("manager", ""))


def last_changed_by_others(live: Manifest) -> str:
    """Return when anyone but us changed an object last (RFC 3339); empty if nobody has."""
    return max((entry.get("time", "") for entry in _others(live)), default="")


def added_by_hand(wanted: Manifest, live: Manifest) -> Iterator[tuple[str, str]]:
    """Yield fields that somebody added with kubectl to an object of ours: (path, manager)."""
    for entry in _others(live):
        if entry.get("manager", "").startswith("kubectl"):
            for path in _outermost(entry.get("fieldsV1", {}), wanted):
                # kubectl's own notes, and the mark of a restart, do no harm
                if path[:2] != ("metadata", "annotations") and "annotations" not in path:
                    yield shown_path(path), entry.get("manager", "")


def without_fields(item: Manifest, paths: Sequence[FieldPath]) -> Manifest:
    """Return an object without some fields, so that applying it does not claim them."""
    item = copy.deepcopy(item)
    for path in paths:
        place: Any = item
        for part in path[:-1]:
            place = _entry(place, part)
        if isinstance(place, dict):
            place.pop(path[-1], None)
    return item


def disruptive_fields(wanted: Manifest, live: Manifest | None) -> list[FieldPath]:
    """Return the added fields that change what an object does, whoever added them; applying would not remove them.

    A further key in a Service's selector has it select other pods, or none; a command has a container run another.
    """
    if live is None or live.is_deleting:
        return []
    if wanted["kind"] == "Service":
        ours, theirs = (item.spec.get("selector", {}) for item in (wanted, live))
        # Without a selector of ours, its endpoints are somebody's own.
        return [("spec", "selector", key) for key in theirs if ours and key not in ours]
    if wanted["kind"] not in WORKLOAD_KINDS:
        return []
    ours, theirs = (item.spec.get("template", {}).get("spec", {}) for item in (wanted, live))
    found: list[FieldPath] = []
    for field in ("initContainers", "containers"):
        named = {item.get("name"): item for item in theirs.get(field, [])}
        for item in ours.get(field, []):
            there = named.get(item.get("name"), {})
            added = (name for name in ("command", "args") if there.get(name) and not item.get(name))
            found += (("spec", "template", "spec", field, f"[{item['name']}]", name) for name in added)
    return found


def removable_fields(wanted: Manifest, live: Manifest | None) -> list[FieldPath]:
    """Return the disruptive fields that no other manager keeps deciding."""
    return [path for path in disruptive_fields(wanted, live) if live and not decided_by(live, path)]


def remove_fields(kubectl: Kubectl, wanted: Manifest, live: Manifest | None, ctx: StepContext) -> None:
    """Remove the disruptive fields; raises InstallError, with the command as its hint if this user may not."""
    paths = removable_fields(wanted, live)
    if live is None or not paths:
        return
    key = live.key
    ctx.activity(f"removing what was added to {key.label}")
    patch = json.dumps(_removal_patch(paths), separators=(",", ":"))
    command = ("patch", wanted.resource, key.name, "-n", key.namespace, "-p", patch)
    done = kubectl.attempt(*command, ctx=ctx)
    if done.exit_code == 0 or "(NotFound)" in done.stderr:
        return  # a missing object is made anew, without them
    error = kubectl.failure(done)
    if error.code == "api-forbidden":
        what = ", ".join(map(shown_path, paths))
        message = f"{key.label} has {what}, which was added to it, and this user may not remove it."
        raise InstallError(error.code, message, error.evidence, kubectl.shown(*command))
    raise error


def _removal_patch(paths: Sequence[FieldPath]) -> Any:
    """Return the strategic merge patch that removes fields: repeating it is safe, and no index can be stale."""
    if paths == [()]:
        return None
    inner = {str(part): [path[1:] for path in paths if path[0] == part] for part in dict.fromkeys(p[0] for p in paths)}
    if all(part.startswith("[") for part in inner):
        return [{"name": part[1:-1], **_removal_patch(rest)} for part, rest in inner.items()]
    return {part: _removal_patch(rest) for part, rest in inner.items()}


def _others(live: Manifest) -> Iterator[Mapping[str, Any]]:
    for entry in live.metadata.get("managedFields", []):
        if entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status":
            yield entry


def _has(fields: Any, path: FieldPath) -> bool:
    for part in path:
        fields = _named(fields).get(str(part))
        if not fields or not isinstance(fields, Mapping):
            return fields is not None  # an empty one is owned as a whole
    return True


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is in `fieldsV1` by its part of a path, without the entries of lists that have no name."""
    found = {key[2:]: inner for key, inner in fields.items() if key.startswith("f:")}
    entries = {key: json.loads(key[2:]).get("name") for key in fields if key.startswith("k:")}
    return found | {f"[{name}]": fields[key] for key, name in entries.items() if name is not None}


def _outermost(fields: Mapping[str, Any], wanted: Any, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Yield the outermost fields that a wanted object does not have; entries of lists by their name only."""
    for part, inner in _named(fields).items():
        there = _entry(wanted, part)
        if part != "status" and there is None:
            yield (*path, part)
        elif part != "status":
            yield from _outermost(inner, there, (*path, part))


def _entry(place: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return place[part] if isinstance(place, list) and part < len(place) else None
    if part.startswith("["):
        return (
            next((item for item in place if item.get("name") == part[1:-1]), None) if isinstance(place, list) else None
        )
    return place.get(part) if isinstance(place, Mapping) else None
