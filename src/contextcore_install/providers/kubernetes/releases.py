"""Compares a release with what the cluster holds, applies it, prunes what is no longer wanted, and takes it away."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Risk
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.core.text import count
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.intruders import intruders, take_out, taken_out, told
from contextcore_install.providers.kubernetes.keeping import refuse_to_strand_data
from contextcore_install.providers.kubernetes.namespaces import DELETE_WITHIN_S, wait_until_gone
from contextcore_install.providers.kubernetes.objects import (
    FIELD_MANAGER,
    FINGERPRINT,
    KEPT_KINDS,
    RELEASE_LABEL,
    Key,
    Manifest,
    Path,
    annotation_of,
    difference,
    differences,
    key_of,
    label_of,
    mixed_volumes,
    pod_specs,
    shown_path,
)
from contextcore_install.providers.kubernetes.owners import added_by_hand, decided_by, without
from contextcore_install.providers.kubernetes.render import Release
from contextcore_install.providers.kubernetes.snapshot import Reader, Snapshot
from contextcore_install.providers.kubernetes.starting import end_pod, misled

GRAFANA_ADMIN = "grafana-admin"
"""The Secret with Grafana's password. It is made once, and stays as long as the data that it opens."""
APPLY_WITHIN_S = 120.0


def drift(release: Release, snapshot: Snapshot, cluster: str) -> Iterator[Drift]:
    """Yield how the cluster differs from the release, and what others have set in it. Raises `data-stranded`."""
    refuse_to_strand_data(release, snapshot)
    for item in release.objects:
        key = key_of(item, release.namespace)
        live = snapshot.get(key)
        risk = Risk.RESTARTS if any(pod_specs(item)) and live is not None else Risk.HARMLESS
        if change := _change(item, live):
            yield Drift(key.label, change, risk)
        elif live is not None:
            yield from _left_to_others(key, item, live)
        if live is not None and (added := taken_out(item, live)):
            yield Drift(key.label, told(live, added), risk)
    for key in secrets_wanted(release):
        if snapshot.get(key) is None:
            yield Drift(key.label, "missing", Risk.HARMLESS)
    yield from (Drift(key.label, "superfluous") for key in superfluous(release, snapshot, cluster))


def within_rights(release: Release, snapshot: Snapshot, may_change: Callable[[str], bool]) -> Release:
    """Return the release without the namespaces that this user may not look at, or may not change: others made them."""

    def is_left(item: Manifest) -> bool:
        name, live = item["metadata"]["name"], snapshot.get(key_of(item))
        if live is None:
            return name in snapshot.unseen
        return bool(_change(item, live)) and not may_change(name)

    kept = (item for item in release.objects if item["kind"] != "Namespace" or not is_left(item))
    return replace(release, objects=tuple(kept))


def _change(wanted: Manifest, live: Manifest | None) -> str:
    if live is None:
        return "missing"
    if live.get("metadata", {}).get("deletionTimestamp"):
        return "being deleted"
    for path in differences(_compared(wanted), live):
        if not decided_by(live, path):
            return f"changed: {shown_path(path)}"
    if mixed := mixed_volumes(wanted, live):
        return f"changed: spec.template.spec.volumes[{mixed[0]}]"
    before, now = annotation_of(live, FINGERPRINT), annotation_of(wanted, FINGERPRINT)
    return "" if before == now else "changed"


def _decided_by_others(wanted: Manifest, live: Manifest | None) -> list[tuple[Path, str]]:
    """Return the fields that differ and that others go on deciding, each with its manager."""
    found = differences(_compared(wanted), live) if live is not None else ()
    return [(path, who) for path in found if (who := decided_by(live or {}, path))]


def _left_to_others(key: Key, wanted: Manifest, live: Manifest) -> Iterator[Drift]:
    added = intruders(wanted, live)
    theirs = [(path, who) for path in added if (who := decided_by(live, path))]
    for path, who in [*_decided_by_others(wanted, live), *theirs]:
        yield Drift(key.label, f"{shown_path(path)} is set by {who}, and left to it", kept=True)
    told_already = {shown_path(path) for path in added}
    for place, who in added_by_hand(wanted, live):
        if place not in told_already:
            yield Drift(key.label, f"{place} was added ({who}), and is left as it is", kept=True)


def _compared(wanted: Manifest) -> dict[str, Any]:
    """Return the fields that the server keeps as they were given."""
    metadata = {name: value for name, value in wanted.get("metadata", {}).items() if name == "labels"}
    rest = {name: value for name, value in wanted.items() if name not in {"apiVersion", "metadata", "status"}}
    return {**rest, "metadata": metadata} if "stringData" not in rest else {"metadata": metadata}


def secrets_wanted(release: Release) -> list[Key]:
    """Return the Secrets that the release's pods read, and that this program makes."""
    found = {
        Key("Secret", key_of(item, release.namespace).namespace, GRAFANA_ADMIN)
        for item in release.objects
        if any(f'"{GRAFANA_ADMIN}"' in json.dumps(spec) for spec in pod_specs(item))
    }
    return sorted(found - {key_of(item, release.namespace) for item in release.objects})


def superfluous(release: Release, snapshot: Snapshot, cluster: str) -> list[Key]:
    """Return what carries our label and is not wanted any more. Never what data hangs on."""
    wanted = {key_of(item, release.namespace) for item in release.objects}
    return sorted(
        key
        for key, item in snapshot.all().items()
        if label_of(item, RELEASE_LABEL) == cluster
        and key not in wanted
        and key.kind not in KEPT_KINDS
        and key.name != GRAFANA_ADMIN
        and not item.get("metadata", {}).get("ownerReferences")
        and not item.get("metadata", {}).get("deletionTimestamp")
    )


class Applier:
    """Puts a release in place."""

    def __init__(self, kubectl: Kubectl, reader: Reader, cluster: str) -> None:
        self._kubectl = kubectl
        self._reader = reader
        self._cluster = cluster

    def apply(self, release: Release, ctx: StepContext) -> None:
        """Apply what differs, and prune. Raises InstallError; repeating it is safe."""
        snapshot = self._reader.read(fresh=True)
        refuse_to_strand_data(release, snapshot)
        live = {id(item): snapshot.get(key_of(item, release.namespace)) for item in release.objects}
        wanted = [
            without(item, [path for path, _ in _decided_by_others(item, live[id(item)])])
            for item in release.objects
            if _change(item, live[id(item)])
        ]
        for item in release.objects:
            take_out(self._kubectl, item, live[id(item)], ctx)
        self._wait_for_namespaces(release, snapshot, ctx)
        self._apply([item for item in wanted if item["kind"] == "Namespace"], ctx)
        for key in secrets_wanted(release):
            if snapshot.get(key) is None:
                self._make_password(key, release, snapshot, ctx)
        self._apply([item for item in wanted if item["kind"] != "Namespace"], ctx)
        edited = [found for item in wanted if (found := snapshot.get(key_of(item, release.namespace)))]
        for pod, what in misled(edited, snapshot.of_kind("Pod")):
            ctx.notice(f"{pod.name} was started with {what} as it was changed by hand; it is started anew")
            end_pod(self._kubectl, pod, ctx)
        self._prune(superfluous(release, snapshot, self._cluster), ctx)
        self._reader.forget()

    def remove(self, release: Release, ctx: StepContext, *, with_data: bool = False) -> None:
        """Delete what carries our label; claims and the password only `with_data`. Raises InstallError."""
        snapshot = self._reader.read(fresh=True)
        nothing = Release((), release.namespace)
        doomed = superfluous(nothing, snapshot, self._cluster)
        workloads = [key_of(item, release.namespace) for item in release.objects if any(pod_specs(item))]
        if with_data:
            doomed += [
                key
                for key, item in snapshot.all().items()
                if (key.kind == "PersistentVolumeClaim" and is_claim_of(key, item, workloads, self._cluster))
                or (key.name == GRAFANA_ADMIN and label_of(item, RELEASE_LABEL) == self._cluster)
            ]
        self._prune(doomed, ctx)
        self._reader.forget()

    def _wait_for_namespaces(self, release: Release, snapshot: Snapshot, ctx: StepContext) -> None:
        """Let a namespace that is being deleted go first; raises when something holds it."""
        for name in release.namespaces:
            item = snapshot.get(Key("Namespace", "", name))
            if item is None or not item.get("metadata", {}).get("deletionTimestamp"):
                continue
            ctx.activity(f"waiting until the old namespace {name} is gone")
            wait_until_gone(self._kubectl, name, ctx)

    def _apply(self, items: Sequence[dict[str, Any]], ctx: StepContext) -> None:
        if not items:
            return
        ctx.activity(f"applying {count(len(items), 'object')}")
        self._make_room(items, ctx, mixed_volumes)
        try:
            self._apply_once(items, ctx)
        except InstallError as error:
            if error.code != "field-immutable":
                raise
            self._reader.forget()
            self._make_room(items, ctx, _immutable_differs)
            self._apply_once(items, ctx)

    def _apply_once(self, items: Sequence[dict[str, Any]], ctx: StepContext) -> None:
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        manager = f"--field-manager={FIELD_MANAGER}"
        self._kubectl.call(
            "apply", "--server-side", "--force-conflicts", manager, "-f", "-",
            stdin=document, ctx=ctx, timeout_s=APPLY_WITHIN_S,
        )  # fmt: skip

    def _make_room(
        self, items: Sequence[dict[str, Any]], ctx: StepContext, in_the_way: Callable[[Manifest, Manifest], object]
    ) -> None:
        """Delete the workloads that cannot become what they should; their pods, claims and data stay."""
        snapshot = self._reader.read()
        for item in items:
            key = key_of(item)
            live = snapshot.get(key)
            if not any(pod_specs(item)) or live is None or not in_the_way(item, live):
                continue
            ctx.notice(f"{key.label} is made anew, as Kubernetes cannot change it in place; its data stays")
            self._kubectl.call("delete", key.kind.lower(), key.name, "-n", key.namespace, "--cascade=orphan", ctx=ctx)

    def _make_password(self, key: Key, release: Release, snapshot: Snapshot, ctx: StepContext) -> None:
        """Make the Secret with a random password, which is shown nowhere."""
        fields = {"admin-user": "admin", "admin-password": secrets.token_urlsafe(18)}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {RELEASE_LABEL: self._cluster, "app.kubernetes.io/managed-by": FIELD_MANAGER},
            },
            "type": "Opaque",
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()},
        }
        done = self._kubectl.attempt("create", "-f", "-", "-o", "name", stdin=json.dumps(document), ctx=ctx)
        if done.exit_code != 0 and "already exists" not in done.stderr.lower():
            raise self._kubectl.failure(done)
        old = [claim for claim in snapshot.of_kind("PersistentVolumeClaim") if "grafana" in key_of(claim).name]
        if old:
            ctx.notice(
                "Grafana's password was gone and there is a new one, but Grafana's data keeps the old; to set it: "
                + self._kubectl.shown("exec", "-n", key.namespace, "grafana-0", "--", "grafana", "cli", "admin",
                                      "reset-admin-password", "NEW")
            )  # fmt: skip

    def _prune(self, keys: Sequence[Key], ctx: StepContext) -> None:
        by_place: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            by_place.setdefault((key.namespace, key.kind), []).append(key.name)
        for (namespace, kind), names in by_place.items():
            ctx.activity(f"removing {kind} {', '.join(names)}")
            scope = ["--namespace", namespace] if namespace else []
            wait = ["--ignore-not-found", f"--timeout={int(DELETE_WITHIN_S)}s"]
            self._kubectl.call("delete", kind.lower(), *names, *scope, *wait, ctx=ctx, timeout_s=DELETE_WITHIN_S + 10)


def _immutable_differs(wanted: Manifest, live: Manifest) -> bool:
    if wanted["kind"] != "StatefulSet":
        return False
    fields = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    return any(difference(wanted["spec"].get(name), live.get("spec", {}).get(name)) for name in fields)


def is_claim_of(key: Key, item: Manifest, workloads: Sequence[Key], cluster: str) -> bool:
    """Tell whether a claim was made from one of our StatefulSets' templates (TEMPLATE-WORKLOAD-NUMBER)."""
    ours = label_of(item, "app.kubernetes.io/managed-by") == FIELD_MANAGER or label_of(item, RELEASE_LABEL) == cluster
    return ours and any(
        key.namespace == workload.namespace and re.fullmatch(rf".+-{re.escape(workload.name)}-\d+", key.name)
        for workload in workloads
    )
