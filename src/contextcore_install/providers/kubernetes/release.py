"""A release in a cluster: how the two differ, what of that is others' to decide, and how it is applied and removed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.core.text import count
from contextcore_install.diagnosis.diagnose import Evidence, explain
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes import managed_fields as fields
from contextcore_install.providers.kubernetes.claims import is_claim_of, refuse_to_strand_data
from contextcore_install.providers.kubernetes.client import APPLY, Kubectl, Reader, Snapshot
from contextcore_install.providers.kubernetes.objects import (
    FINGERPRINT,
    KEPT_KINDS,
    MANAGED_BY,
    RELEASE_LABEL,
    FieldPath,
    Key,
    Manifest,
    Release,
    difference,
    differences,
    make_secret,
    mixed_volumes,
    shown_path,
)
from contextcore_install.providers.kubernetes.pods import end_pod, stale_pods

#: The Secret with Grafana's password. It is made once, and stays as long as the data that it opens.
GRAFANA_ADMIN = "grafana-admin"
#: Seconds to apply, to delete, and between two looks at what holds a namespace: whoever is to remove a finalizer does
#: so in moments, or never.
APPLY_WITHIN_S, DELETE_WITHIN_S, LOOK_EVERY_S = 120.0, 180.0, 20.0
#: Without fetching the API's whole schema first, which a new API server makes only then: it refuses by itself.
_AS_IT_IS = ("--validate=false", "-f", "-")
#: As Kubernetes says it (pkg/controller/namespace/deletion/status_condition_utils.go).
_FINALIZER = re.compile(r"([\w./-]+) in \d+ resource instances")
_KUBERNETES_OWN = re.compile(r"^(kubernetes\.io/.*|[\w.-]+\.kubernetes\.io/.*|foregroundDeletion|orphan)$")


def drift(release: Release, snapshot: Snapshot, cluster: str) -> Iterator[Drift]:
    """Yield how the cluster differs from the release, and what others have set in it. Raises `data-stranded`."""
    refuse_to_strand_data(release, snapshot)
    for key, item in release.by_key.items():
        live = snapshot.get(key)
        risk = Risk.RESTARTS if item.pod_specs and live is not None else Risk.HARMLESS
        if change := _change(item, live):
            yield Drift(key.label, change, risk)
        elif live is not None:
            yield from (Drift(key.label, text, kept=True) for text in _left_to_others(item, live))
        if live is not None and (paths := fields.removable_fields(item, live)):
            added = (f"{shown_path(path)} was added ({fields.set_by(live, path) or 'by hand'})" for path in paths)
            yield Drift(key.label, f"{', '.join(added)}, and is removed again", risk)
    for key in secrets_wanted(release):
        if snapshot.get(key) is None:
            yield Drift(key.label, "missing", Risk.HARMLESS)
    yield from (Drift(key.label, "superfluous") for key in _superfluous(release.by_key, snapshot, cluster))


def _change(wanted: Manifest, live: Manifest | None) -> str:
    """Return what is to be put right in a live object, in words; empty if nothing is."""
    if live is None:
        return "missing"
    if live.is_deleting:
        return "being deleted"
    for path in differences(_compared(wanted), live):
        if not fields.decided_by(live, path):
            return f"changed: {shown_path(path)}"
    if mixed := mixed_volumes(wanted, live):
        return f"changed: spec.template.spec.volumes[{mixed[0]}]"
    return "" if live.annotations.get(FINGERPRINT) == wanted.annotations.get(FINGERPRINT) else "changed"


def _new_images(wanted: Manifest, live: Manifest | None) -> set[str]:
    return wanted.images - (live.images if live else set())


def _compared(wanted: Manifest) -> dict[str, Any]:
    """Return the fields that the server keeps as they were given."""
    metadata = {name: value for name, value in wanted.metadata.items() if name == "labels"}
    rest = {name: value for name, value in wanted.items() if name not in {"apiVersion", "metadata", "status"}}
    return {**rest, "metadata": metadata} if "stringData" not in rest else {"metadata": metadata}


def _decided_by_others(wanted: Manifest, live: Manifest | None) -> list[FieldPath]:
    """Return the fields that differ and that others keep deciding."""
    return [path for path in differences(_compared(wanted), live) if fields.decided_by(live, path)] if live else []


def _left_to_others(wanted: Manifest, live: Manifest) -> Iterator[str]:
    disruptive = fields.disruptive_fields(wanted, live)
    for path in [*_decided_by_others(wanted, live), *disruptive]:
        if who := fields.decided_by(live, path):
            yield f"{shown_path(path)} is set by {who}, and left to it"
    reported = set(map(shown_path, disruptive))
    for place, who in fields.added_by_hand(wanted, live):
        if place not in reported:
            yield f"{place} was added ({who}), and is left as it is"


def secrets_wanted(release: Release) -> list[Key]:
    """Return the Secrets that the release's pods read, and that this program makes."""
    found = {
        Key("Secret", key.namespace, GRAFANA_ADMIN)
        for key, item in release.by_key.items()
        if any(f'"{GRAFANA_ADMIN}"' in json.dumps(spec) for spec in item.pod_specs)
    }
    return sorted(found - release.by_key.keys())


def _superfluous(wanted: Iterable[Key], snapshot: Snapshot, cluster: str) -> list[Key]:
    """Return what carries our label and is not wanted any more. Never what holds data."""
    return sorted(
        key
        for key, item in snapshot.by_key.items()
        if item.belongs_to(cluster)
        and key not in wanted
        and key.kind not in KEPT_KINDS
        and key.name != GRAFANA_ADMIN
        and not item.metadata.get("ownerReferences")
        and not item.is_deleting
    )


class Applier:
    """Puts a release in place, and takes it away."""

    def __init__(self, reader: Reader, cluster: str) -> None:
        self._kubectl = reader.kubectl
        self._reader = reader
        self._cluster = cluster

    def within_rights(self, snapshot: Snapshot) -> Release:
        """Return the release without the namespaces that this user may not see or change: others made them."""
        release = self._reader.release()

        def is_left(key: Key, item: Manifest) -> bool:
            live = snapshot.get(key)
            return bool(_change(item, live)) and not self._may_change(key.name) if live else key.name in snapshot.unseen

        kept = (item for key, item in release.by_key.items() if key.kind != "Namespace" or not is_left(key, item))
        return Release(kept, release.namespace)

    def _may_change(self, namespace: str) -> bool:
        done = self._kubectl.attempt("auth", "can-i", "patch", f"namespaces/{namespace}", "-n", namespace)
        return not done.stdout.startswith("no")

    def apply(self, release: Release, snapshot: Snapshot, ctx: StepContext, without: Collection[str] = ()) -> None:
        """Apply what differs from what was just read, and prune; leave out what needs one of some images, and did not.

        Raises InstallError; repeating it is safe.
        """
        refuse_to_strand_data(release, snapshot)
        pairs = [(item, snapshot.get(key)) for key, item in release.by_key.items()]
        pairs = [(item, live) for item, live in pairs if _new_images(item, live).isdisjoint(without)]
        changed = [(item, live) for item, live in pairs if _change(item, live)]
        wanted = [fields.without_fields(item, _decided_by_others(item, live)) for item, live in changed]
        for item, live in pairs:
            fields.remove_fields(self._kubectl, item, live, ctx)
        for name in release.namespaces:
            if (live := snapshot.get(Key("Namespace", "", name))) and live.is_deleting:
                ctx.activity(f"waiting until the old namespace {name} is gone")
                wait_until_gone(self._kubectl, name, ctx)
        self._apply([item for item in wanted if item["kind"] == "Namespace"], ctx)
        for key in secrets_wanted(release):
            if snapshot.get(key) is None:
                self._make_password(key, snapshot, ctx)
        self._apply([item for item in wanted if item["kind"] != "Namespace"], ctx)
        for pod, what in stale_pods([live for _, live in changed if live], snapshot):
            ctx.notice(f"{pod.name} was started with {what} as it was changed by hand; it is restarted")
            end_pod(self._kubectl, pod, ctx)
        self._delete(_superfluous(release.by_key, snapshot, self._cluster), ctx)

    def remove(self, release: Release, ctx: StepContext, *, with_data: bool = False) -> None:
        """Delete what carries our label; claims and the password only `with_data`. Raises InstallError."""
        snapshot = self._reader.read(fresh=True)
        doomed = _superfluous((), snapshot, self._cluster)
        if with_data:
            workloads = [key for key, item in release.by_key.items() if item.pod_specs]
            doomed += sorted(
                key
                for key, item in snapshot.by_key.items()
                if (key.kind == "PersistentVolumeClaim" and is_claim_of(item, workloads, self._cluster))
                or (key.name == GRAFANA_ADMIN and item.belongs_to(self._cluster))
            )
        self._delete(doomed, ctx)

    def _apply(self, items: Sequence[Manifest], ctx: StepContext) -> None:
        if not items:
            return
        ctx.activity(f"applying {count(len(items), 'object')}")
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})
        self._delete_blocking(items, mixed_volumes, ctx)
        try:
            self._kubectl.call(*APPLY, *_AS_IT_IS, stdin=document, ctx=ctx, timeout_s=APPLY_WITHIN_S)
        except InstallError as error:
            if error.code != "field-immutable":
                raise
            self._reader.forget()
            self._delete_blocking(items, _differs_where_immutable, ctx)
            self._kubectl.call(*APPLY, *_AS_IT_IS, stdin=document, ctx=ctx, timeout_s=APPLY_WITHIN_S)

    def _delete_blocking(self, items: Sequence[Manifest], is_blocking: Callable[..., object], ctx: StepContext) -> None:
        """Delete the live workloads that block a wanted one: their pods, claims and data stay."""
        snapshot = self._reader.read()
        for item in items:
            key = item.key
            live = snapshot.get(key)
            if item.pod_specs and live is not None and is_blocking(item, live):
                ctx.notice(f"{key.label} is recreated, as Kubernetes cannot change it in place; its data stays")
                orphaning = ("-n", key.namespace, "--cascade=orphan")
                self._kubectl.call("delete", key.kind.lower(), key.name, *orphaning, ctx=ctx)

    def _make_password(self, key: Key, snapshot: Snapshot, ctx: StepContext) -> None:
        """Make the Secret with a random password, which is shown nowhere."""
        data = {"admin-user": b"admin", "admin-password": secrets.token_urlsafe(18).encode()}
        document = make_secret(key.name, key.namespace, {RELEASE_LABEL: self._cluster, **MANAGED_BY}, data)
        done = self._kubectl.attempt("create", *_AS_IT_IS, "-o", "name", stdin=json.dumps(document), ctx=ctx)
        if done.exit_code != 0 and "already exists" not in done.stderr.lower():
            raise self._kubectl.failure(done)
        if any("grafana" in claim.key.name for claim in snapshot.of_kind("PersistentVolumeClaim")):
            inside = ("exec", "-n", key.namespace, "grafana-0", "--")
            reset = self._kubectl.shown(*inside, "grafana", "cli", "admin", "reset-admin-password", "NEW")
            changed = "Grafana's password was gone and there is a new one, but Grafana's data keeps the old"
            ctx.notice(f"{changed}; to set it: {reset}")

    def _delete(self, keys: Sequence[Key], ctx: StepContext) -> None:
        wait = ("--ignore-not-found", f"--timeout={int(DELETE_WITHIN_S)}s")
        for (namespace, kind), group in groupby(keys, key=lambda key: (key.namespace, key.kind)):
            names = [key.name for key in group]
            ctx.activity(f"removing {kind} {', '.join(names)}")
            scope = ("--namespace", namespace) if namespace else ()
            self._kubectl.call("delete", kind.lower(), *names, *scope, *wait, ctx=ctx, timeout_s=DELETE_WITHIN_S + 10)
        self._reader.forget()


def _differs_where_immutable(wanted: Manifest, live: Manifest) -> bool:
    immutable = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
    return wanted["kind"] == "StatefulSet" and any(
        difference(wanted.spec.get(name), live.spec.get(name)) for name in immutable
    )


def wait_until_gone(kubectl: Kubectl, name: str, ctx: StepContext) -> None:
    """Wait for a namespace to go; raises `namespace-terminating` in time, or if two looks see the same finalizers."""
    left_s, seen = min(ctx.remaining_s, DELETE_WITHIN_S), frozenset[str]()
    while True:
        look_s = min(left_s, LOOK_EVERY_S)
        wait = ("wait", "--for=delete", f"namespace/{name}", f"--timeout={look_s:.0f}s")
        if kubectl.attempt(*wait, ctx=ctx, timeout_s=look_s + 10).exit_code == 0:
            return
        left_s -= look_s
        item = Snapshot(kubectl.items("namespace", name, ctx=ctx)).get(Key("Namespace", "", name)) or Manifest()
        true = [entry for entry in item.conditions.values() if entry.get("status") == "True"]
        reported = [f"{entry.get('reason', '')}: {entry.get('message', '')}" for entry in true]
        finalizers = {found for line in reported for found in _FINALIZER.findall(line)}
        foreign = frozenset(found for found in finalizers if not _KUBERNETES_OWN.match(found))
        if left_s <= 0 or (foreign and foreign == seen):
            facts = {**kubectl.facts, "namespace": name}
            raise explain(Subject.NAMESPACE, Evidence(name, reported, facts=facts)).error()
        seen = foreign
