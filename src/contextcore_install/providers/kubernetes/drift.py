"""How a cluster differs from a release, and what of it is others' to decide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from contextcore_install.core.findings import Risk
from contextcore_install.core.provider import Drift
from contextcore_install.providers.kubernetes.claims import refuse_to_strand_data
from contextcore_install.providers.kubernetes.managed_fields import (
    added_by_hand,
    decided_by,
    disruptive_fields,
    removable_fields,
    set_by,
)
from contextcore_install.providers.kubernetes.objects import (
    FINGERPRINT,
    KEPT_KINDS,
    RELEASE_LABEL,
    Key,
    Manifest,
    Path,
    Release,
    annotation_of,
    differences,
    is_deleting,
    label_of,
    mixed_volumes,
    pod_specs,
    shown_path,
)
from contextcore_install.providers.kubernetes.snapshot import Snapshot

#: The Secret with Grafana's password. It is made once, and stays as long as the data that it opens.
GRAFANA_ADMIN = "grafana-admin"


def drift(release: Release, snapshot: Snapshot, cluster: str) -> Iterator[Drift]:
    """Yield how the cluster differs from the release, and what others have set in it. Raises `data-stranded`."""
    refuse_to_strand_data(release, snapshot)
    for key, item in release.by_key.items():
        live = snapshot.get(key)
        risk = Risk.RESTARTS if any(pod_specs(item)) and live is not None else Risk.HARMLESS
        if change := change_of(item, live):
            yield Drift(key.label, change, risk)
        elif live is not None:
            yield from (Drift(key.label, text, kept=True) for text in _left_to_others(item, live))
        if live is not None and (paths := removable_fields(item, live)):
            added = (f"{shown_path(path)} was added ({set_by(live, path) or 'by hand'})" for path in paths)
            yield Drift(key.label, f"{', '.join(added)}, and is taken out again", risk)
    for key in secrets_wanted(release):
        if snapshot.get(key) is None:
            yield Drift(key.label, "missing", Risk.HARMLESS)
    yield from (Drift(key.label, "superfluous") for key in superfluous(release, snapshot, cluster))


def change_of(wanted: Manifest, live: Manifest | None) -> str:
    """Return what is to be put right in a live object, in words; empty if nothing is."""
    if live is None:
        return "missing"
    if is_deleting(live):
        return "being deleted"
    for path in differences(_compared(wanted), live):
        if not decided_by(live, path):
            return f"changed: {shown_path(path)}"
    if mixed := mixed_volumes(wanted, live):
        return f"changed: spec.template.spec.volumes[{mixed[0]}]"
    return "" if annotation_of(live, FINGERPRINT) == annotation_of(wanted, FINGERPRINT) else "changed"


def decided_by_others(wanted: Manifest, live: Manifest | None) -> list[tuple[Path, str]]:
    """Return the fields that differ and that others keep deciding, each with its manager."""
    found = differences(_compared(wanted), live) if live is not None else ()
    return [(path, who) for path in found if (who := decided_by(live or {}, path))]


def _left_to_others(wanted: Manifest, live: Manifest) -> Iterator[str]:
    disruptive = disruptive_fields(wanted, live)
    theirs = [(path, who) for path in disruptive if (who := decided_by(live, path))]
    for path, who in [*decided_by_others(wanted, live), *theirs]:
        yield f"{shown_path(path)} is set by {who}, and left to it"
    reported = set(map(shown_path, disruptive))
    for place, who in added_by_hand(wanted, live):
        if place not in reported:
            yield f"{place} was added ({who}), and is left as it is"


def _compared(wanted: Manifest) -> dict[str, Any]:
    """Return the fields that the server keeps as they were given."""
    metadata = {name: value for name, value in wanted.get("metadata", {}).items() if name == "labels"}
    rest = {name: value for name, value in wanted.items() if name not in {"apiVersion", "metadata", "status"}}
    return {**rest, "metadata": metadata} if "stringData" not in rest else {"metadata": metadata}


def within_rights(release: Release, snapshot: Snapshot, may_change: Callable[[str], bool]) -> Release:
    """Return the release without the namespaces that this user may not look at, or may not change: others made them."""

    def is_left(key: Key, item: Manifest) -> bool:
        live = snapshot.get(key)
        if live is None:
            return key.name in snapshot.unseen
        return bool(change_of(item, live)) and not may_change(key.name)

    kept = (item for key, item in release.by_key.items() if key.kind != "Namespace" or not is_left(key, item))
    return replace(release, objects=tuple(kept))


def secrets_wanted(release: Release) -> list[Key]:
    """Return the Secrets that the release's pods read, and that this program makes."""
    found = {
        Key("Secret", key.namespace, GRAFANA_ADMIN)
        for key, item in release.by_key.items()
        if any(f'"{GRAFANA_ADMIN}"' in json.dumps(spec) for spec in pod_specs(item))
    }
    return sorted(found - release.by_key.keys())


def superfluous(release: Release, snapshot: Snapshot, cluster: str) -> list[Key]:
    """Return what carries our label and is not wanted any more. Never what holds data."""
    wanted = release.by_key
    return sorted(
        key
        for key, item in snapshot.by_key.items()
        if label_of(item, RELEASE_LABEL) == cluster
        and key not in wanted
        and key.kind not in KEPT_KINDS
        and key.name != GRAFANA_ADMIN
        and not item.get("metadata", {}).get("ownerReferences")
        and not is_deleting(item)
    )
