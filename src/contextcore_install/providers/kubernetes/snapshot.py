"""What the checks need to know of a cluster, in reads that they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kubernetes.client import MANAGED, Kubectl
from contextcore_install.providers.kubernetes.objects import CLUSTER_KINDS, Key, Manifest, Release, key_of, resource_of

#: Read whether the release has them or not: what it had before must be found to be pruned.
ALWAYS = (
    *("pod", "persistentvolumeclaim", "namespace", "service", "configmap", "secret", "serviceaccount"),
    *("statefulset.v1.apps", "deployment.v1.apps", "daemonset.v1.apps"),
)
EVENTS_FRESH_S = 3.0


class Snapshot:
    """What a cluster holds, by key. `unseen` names the namespaces that this user may not look at."""

    def __init__(self, items: Sequence[dict[str, Any]], unseen: Iterable[str] = ()) -> None:
        self.by_key = {key_of(item): item for item in items}
        self.unseen = frozenset(unseen)

    def get(self, key: Key) -> dict[str, Any] | None:
        """Return an object, or None. Of kinds that we do not know, some have no namespace."""
        return self.by_key.get(key) or self.by_key.get(Key(key.kind, "", key.name))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [item for key, item in self.by_key.items() if key.kind == kind]


class Reader:
    """Reads what a cluster holds of a release, and caches it for a moment. Safe to use from several threads.

    With `owns_nodes`, also its nodes, which we may start anew, and where Services lead, which lags behind after that.
    """

    def __init__(self, kubectl: Kubectl, render: Callable[[], Release], *, owns_nodes: bool = True) -> None:
        self.kubectl = kubectl
        self.extra = ("node", "endpoints") if owns_nodes else ()
        self._render = render
        self._lock = threading.Lock()
        self._release: Release | None = None
        self._shared = TtlCache(self._ask)

    def release(self) -> Release:
        """Return the release, rendered once. Raises InstallError."""
        with self._lock:
            self._release = self._release or self._render()
            return self._release

    def read(self, *, fresh: bool = False) -> Snapshot:
        """Return what the cluster holds in the release's namespaces. Raises InstallError."""
        return self._shared.read(fresh=fresh)

    def forget(self) -> None:
        """Have the next read ask the cluster, as something was changed."""
        self._shared.forget()

    def scope(self) -> tuple[str, ...]:
        namespaces = self.release().namespaces
        return ("--namespace", namespaces[0]) if len(namespaces) == 1 else ("--all-namespaces",)

    def _ask(self) -> Snapshot:
        resources = {resource_of(item): item["kind"] in CLUSTER_KINDS for item in self.release().objects}
        try:
            return self._read_kinds(resources)
        except InstallError as error:
            if error.code != "manifest-unknown-kind":
                raise
        return self._read_kinds({})  # what defines a kind may be part of the release, and not be applied yet

    def _read_kinds(self, resources: Mapping[str, bool]) -> Snapshot:
        without_namespace = {**resources, "node": True, "namespace": True}
        kinds = dict.fromkeys([*ALWAYS, *self.extra, *resources])
        ordered = sorted(kinds, key=lambda kind: not without_namespace.get(kind))
        items, refused = self.kubectl.readable(",".join(ordered), *self.scope(), MANAGED)
        unseen = []
        # Who has rights in a namespace may not list them all, but perhaps look at that one.
        for name in self.release().namespaces if "namespaces" in refused else ():
            try:
                items += self.kubectl.items("namespace", name, MANAGED)
            except InstallError as error:
                if error.code != "api-forbidden":
                    raise
                unseen.append(name)
        return Snapshot(items, unseen)


class Events:
    """Reason and message of an object's events, oldest first, cached for a moment."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._cached: dict[str, TtlCache[list[dict[str, Any]]]] = {}

    def last(self, uid: str, namespace: str) -> tuple[str, str]:
        events = self.about(uid, namespace)
        return events[-1] if events else ("", "")

    def about(self, uid: str, namespace: str) -> list[tuple[str, str]]:
        """Return the events about an object; none if they cannot be read."""
        arguments = ("events", "-n", namespace, f"--field-selector=involvedObject.uid={uid}")
        ask = partial(self._kubectl.items_if_readable, *arguments)
        items = self._cached.setdefault(uid, TtlCache(ask, EVENTS_FRESH_S)).read()
        return [(str(item.get("reason", "")), str(item.get("message", ""))) for item in sorted(items, key=_when)]


def _when(event: Manifest) -> tuple[str, bool]:
    """Return what orders events: those of one second by whether they warn."""
    moment = event.get("lastTimestamp") or event.get("eventTime") or ""
    return str(moment)[:19], event.get("type") == "Warning"
