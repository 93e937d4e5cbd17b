"""All that the checks need to know of a cluster, in one read that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kubernetes.client import MANAGED, Kubectl
from contextcore_install.providers.kubernetes.objects import CLUSTER_KINDS, Key, key_of, resource_of
from contextcore_install.providers.kubernetes.render import Release

ALWAYS = (
    "pod", "persistentvolumeclaim", "namespace", "service", "configmap", "secret", "serviceaccount",
    "statefulset.v1.apps", "deployment.v1.apps", "daemonset.v1.apps",
)  # fmt: skip
"""Kinds that are read whether the release has them or not: what it had before must be found to be pruned."""


class Snapshot:
    """What a cluster holds, by key. `unseen` names the namespaces of which this user may not know whether they are."""

    def __init__(self, items: Sequence[dict[str, Any]], unseen: Iterable[str] = ()) -> None:
        self._items = {key_of(item): item for item in items}
        self.unseen = frozenset(unseen)

    def get(self, key: Key) -> dict[str, Any] | None:
        """Return an object, or None. Of kinds that we do not know, some have no namespace."""
        return self._items.get(key) or self._items.get(Key(key.kind, "", key.name))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        return [item for key, item in self._items.items() if key.kind == kind]

    def all(self) -> Mapping[Key, dict[str, Any]]:
        """Return all objects."""
        return self._items


class Reader:
    """Reads the cluster, and remembers for a moment. Safe to use from several threads."""

    def __init__(self, kubectl: Kubectl, release: Callable[[], Release], extra: Sequence[str] = ("node",)) -> None:
        self._kubectl = kubectl
        self._release = release
        self._extra = tuple(extra)
        self._shared = TtlCache(self._ask)

    def read(self, *, fresh: bool = False) -> Snapshot:
        """Return what the cluster holds in the release's namespaces. Raises InstallError."""
        return self._shared.read(fresh=fresh)

    def forget(self) -> None:
        """Have the next read ask the cluster, as something was changed."""
        self._shared.forget()

    def scope(self) -> tuple[str, ...]:
        """Return the arguments that select the release's namespaces."""
        namespaces = self._release().namespaces
        return ("--namespace", namespaces[0]) if len(namespaces) == 1 else ("--all-namespaces",)

    def _ask(self) -> Snapshot:
        release = self._release()
        kinds = list(dict.fromkeys([*ALWAYS, *self._extra, *(resource_of(item) for item in release.objects)]))
        known = {resource_of(item) for item in release.objects if item["kind"] in CLUSTER_KINDS}
        try:
            return self._snapshot_of(_by_scope(kinds, known))
        except InstallError as error:
            if error.code != "manifest-unknown-kind":
                raise
        # What defines a kind may be part of the release, and not be applied yet.
        kinds = [*ALWAYS, *self._extra]
        return self._snapshot_of(_by_scope(kinds, set()))

    def _snapshot_of(self, kinds: Sequence[str]) -> Snapshot:
        items, refused = self._kubectl.readable(",".join(kinds), *self.scope(), MANAGED)
        if "namespaces" not in refused:
            return Snapshot(items)
        # Who has rights in a namespace may not list them all, but perhaps look at that one.
        unseen = []
        for name in self._release().namespaces:
            try:
                items += self._kubectl.items("namespace", name, MANAGED)
            except InstallError as error:
                if error.code != "api-forbidden":
                    raise
                unseen.append(name)
        return Snapshot(items, unseen)


def _by_scope(kinds: Sequence[str], cluster_wide: set[str]) -> list[str]:
    """Return the kinds, those without a namespace first."""
    return sorted(kinds, key=lambda kind: kind not in cluster_wide and kind not in {"node", "namespace"})
