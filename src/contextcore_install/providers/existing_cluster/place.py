"""Whose the place of a release is: ours, another installation's, or of people who know nothing of this program."""

from __future__ import annotations

from collections.abc import Iterator

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.drift import secrets_wanted
from contextcore_install.providers.kubernetes.managed_fields import is_applied_by_us
from contextcore_install.providers.kubernetes.objects import KEPT_KINDS, RELEASE_LABEL, Key, Manifest, key_of, label_of
from contextcore_install.providers.kubernetes.stack import KubernetesStack

_SHOWN = 4
"""So many of the objects in the way are named."""


class ReleasePlace:
    """Where the objects of a release are, or are to be. All methods raise InstallError where that cannot be read."""

    def __init__(self, stack: KubernetesStack, cluster: str) -> None:
        self._stack = stack
        self._cluster = cluster

    def taken(self) -> InstallError | None:
        """Return `cluster-foreign` where the place is another's as a whole: nothing may be made or looked for there.

        Where objects of ours are there as well, the place is ours; see `others_objects`.
        """
        return self.other_installation() or (None if self.is_ours() else self.others_objects())

    def is_ours(self) -> bool:
        """Tell whether objects of this installation are in their place."""
        return any(label_of(item, RELEASE_LABEL) == self._cluster for _, item in self._there())

    def other_installation(self) -> InstallError | None:
        """Return `cluster-foreign` where objects in the place of ours are another installation's."""
        release, snapshot = self._stack.release(), self._stack.reader.read()
        # Grafana's password stays, like the claims, where an installation is taken back: whose data they are, it tells.
        kept = [(key, item) for key in secrets_wanted(release) if (item := snapshot.get(key)) is not None]
        labels = {label_of(item, RELEASE_LABEL): key for key, item in (*self._there(), *kept)}
        others = sorted(labels.keys() - {"", self._cluster})
        if not others:
            return None
        namespace, context = labels[others[0]].namespace or release.namespace, self._stack.kubectl.context
        return InstallError(
            "cluster-foreign",
            f"The place of this installation in {context} is another one's; it is left alone.",
            f"the namespace {namespace} of {context} holds the release, or the data, of the installation {others[0]}",
            f"use the name of that installation (--cluster {others[0]}), or another context; or remove that one with "
            f"its data (delete --cluster {others[0]})",
        )

    def others_objects(self) -> InstallError | None:
        """Return `cluster-foreign` where objects in the place of ours show nothing of this program.

        Claims and whatever else is never pruned may be there before a release by good right.
        """
        keys = [key for key, item in self._there() if key.kind not in KEPT_KINDS and not is_applied_by_us(item)]
        if not keys:
            return None
        kubectl, first = self._stack.kubectl, keys[0]
        names = ", ".join(key.label for key in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
        there = [key.label.lower() for key in keys if key.namespace == first.namespace]
        scope = ("-n", first.namespace) if first.namespace else ()
        return InstallError(
            "cluster-foreign",
            f"What this installation would make in {kubectl.context} is there, and this program did not make it: "
            f"{names}.",
            f"{names}, in the namespace {first.namespace or '-'} of {kubectl.context}",
            "use another context, or manifests with another namespace (--manifests DIR); or, if nobody needs these: "
            + kubectl.shown(*scope, "delete", *there),
        )

    def _there(self) -> Iterator[tuple[Key, Manifest]]:
        """Yield what is in the place of the release; but not what is in every place: Kubernetes makes or shares it."""
        release, snapshot = self._stack.release(), self._stack.reader.read()
        for item in release.objects:
            key = key_of(item, release.namespace)
            found = snapshot.get(key)
            if found is not None and key.kind != "Namespace" and key.label != "ServiceAccount/default":
                yield key, found
