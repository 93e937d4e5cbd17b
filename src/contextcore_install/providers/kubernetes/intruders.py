"""What others added to objects of ours and changes what these do: found, and taken out again.

Most of what is added is harmless, or was meant, and stays. A further key in a Service's selector has it select other
pods, or none; a command or arguments where the manifests set none have a container run something else. Applying takes
neither out, as it leaves what others added.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Manifest, Path, key_of, resource_of, shown_path
from contextcore_install.providers.kubernetes.owners import decided_by, set_by

_TEMPLATED = ("DaemonSet", "Deployment", "StatefulSet")
_RUN = ("command", "args")


def intruders(wanted: Manifest, live: Manifest | None) -> list[Path]:
    """Return the added fields that change what an object does, whoever added them."""
    if live is None or live.get("metadata", {}).get("deletionTimestamp"):
        return []
    if wanted["kind"] == "Service":
        return list(_selected(wanted.get("spec") or {}, live.get("spec") or {}))
    return list(_run_instead(wanted, live)) if wanted["kind"] in _TEMPLATED else []


def taken_out(wanted: Manifest, live: Manifest | None) -> list[Path]:
    """Return those of them that no other manager goes on deciding."""
    return [path for path in intruders(wanted, live) if not decided_by(live or {}, path)]


def told(live: Manifest, paths: Sequence[Path]) -> str:
    """Return what was added, by whom, and what is done about it."""
    added = (f"{shown_path(path)} was added ({set_by(live, path) or 'by hand'})" for path in paths)
    return f"{', '.join(added)}, and is taken out again"


def take_out(kubectl: Kubectl, wanted: Manifest, live: Manifest | None, ctx: StepContext) -> None:
    """Take out what was added; raises InstallError, whose hint is the command where this user may not."""
    paths = taken_out(wanted, live)
    if live is None or not paths:
        return
    key = key_of(live)
    ctx.activity(f"taking out of {key.label} what was added")
    patch = json.dumps(_without(paths), separators=(",", ":"))
    command = ("patch", resource_of(wanted), key.name, "-n", key.namespace, "-p", patch)
    done = kubectl.attempt(*command, ctx=ctx)
    if done.exit_code == 0 or "(NotFound)" in done.stderr:
        return  # what is gone is made anew, without it
    error = kubectl.failure(done)
    if error.code != "api-forbidden":
        raise error
    what = ", ".join(map(shown_path, paths))
    message = f"{key.label} has {what}, which was added to it, and this user may not take it out."
    raise InstallError(error.code, message, error.evidence, kubectl.shown(*command))


def _selected(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[Path]:
    keys = wanted.get("selector") or {}
    if keys:  # else its endpoints are somebody's own
        yield from (("spec", "selector", key) for key in live.get("selector") or {} if key not in keys)


def _run_instead(wanted: Manifest, live: Manifest) -> Iterator[Path]:
    ours, theirs = (item["spec"].get("template", {}).get("spec") or {} for item in (wanted, live))
    for field in ("initContainers", "containers"):
        named = {item.get("name"): item for item in theirs.get(field) or []}
        for item in ours.get(field) or []:
            there = named.get(item.get("name"), {})
            for name in _RUN:
                if there.get(name) and not item.get(name):
                    yield ("spec", "template", "spec", field, f"[{item['name']}]", name)


def _without(paths: Sequence[Path]) -> Any:
    """Return the strategic merge patch that takes fields out: repeating it is safe, and no index can be stale."""
    tree: dict[str, Any] = {}
    for *outer, last in paths:
        place = tree
        for part in outer:
            place = place.setdefault(str(part), {})
        place[str(last)] = None
    return _as_patch(tree)


def _as_patch(tree: dict[str, Any] | None) -> Any:
    if tree is None:
        return None
    if all(part.startswith("[") for part in tree):
        return [{"name": part[1:-1], **_as_patch(inner)} for part, inner in tree.items()]
    return {part: _as_patch(inner) for part, inner in tree.items()}
