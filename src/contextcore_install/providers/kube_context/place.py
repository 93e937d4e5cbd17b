"""Whose the place of a release is: ours, another installation's, or of people who know nothing of this program."""

from __future__ import annotations

from collections.abc import Iterator

from contextcore_install.core.errors import InstallError
from contextcore_install.providers._kubectl.client import Kubectl
from contextcore_install.providers._kubectl.objects import (
    KEPT_KINDS,
    RELEASE_LABEL,
    Key,
    Manifest,
    key_of,
    label_of,
)
from contextcore_install.providers._kubectl.owners import shows_us
from contextcore_install.providers._kubectl.releases import secrets_wanted
from contextcore_install.providers._kubectl.render import Release
from contextcore_install.providers._kubectl.snapshot import Snapshot

_SHOWN = 4
"""So many of the objects in the way are named."""


def is_taken(release: Release, snapshot: Snapshot, cluster: str, kubectl: Kubectl) -> InstallError | None:
    """Return `cluster-foreign` where the place is another's as a whole: nothing may be made or looked for there.

    Where objects of ours are there as well, the place is ours; see `others_objects`.
    """
    if others := other_installation(release, snapshot, cluster, kubectl.context):
        return others
    if any(label_of(item, RELEASE_LABEL) == cluster for _, item in _there(release, snapshot)):
        return None
    return others_objects(release, snapshot, kubectl)


def other_installation(
    release: Release, snapshot: Snapshot, cluster: str, context: str
) -> InstallError | None:
    """Return `cluster-foreign` where objects in the place of ours are another installation's."""
    # Grafana's password stays, like the claims, where an installation is taken back: whose data they are, it tells.
    kept = [(key, item) for key in secrets_wanted(release) if (item := snapshot.get(key)) is not None]
    labels = {label_of(item, RELEASE_LABEL): key for key, item in (*_there(release, snapshot), *kept)}
    others = sorted(labels.keys() - {"", cluster})
    if not others:
        return None
    namespace = labels[others[0]].namespace or release.namespace
    return InstallError(
        "cluster-foreign",
        f"The place of this installation in {context} is another one's; it is left alone.",
        f"the namespace {namespace} of {context} holds the release, or the data, of the installation {others[0]}",
        f"use the name of that installation (--cluster {others[0]}), or another context; or remove that one with its "
        f"data (delete --cluster {others[0]})",
    )


def others_objects(release: Release, snapshot: Snapshot, kubectl: Kubectl) -> InstallError | None:
    """Return `cluster-foreign` where objects in the place of ours show nothing of this program.

    Claims and whatever else is never pruned may be there before a release by good right.
    """
    keys = [
        key for key, item in _there(release, snapshot) if key.kind not in KEPT_KINDS and not shows_us(item)
    ]
    if not keys:
        return None
    names = ", ".join(key.label for key in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    first = keys[0]
    there = [key.label.lower() for key in keys if key.namespace == first.namespace]
    scope = ("-n", first.namespace) if first.namespace else ()
    return InstallError(
        "cluster-foreign",
        f"What this installation would make in {kubectl.context} is there, and this program did not make it: {names}.",
        f"{names}, in the namespace {first.namespace or '-'} of {kubectl.context}",
        "use another context, or manifests with another namespace (--manifests DIR); or, if nobody needs these: "
        + kubectl.shown(*scope, "delete", *there),
    )


def _there(release: Release, snapshot: Snapshot) -> Iterator[tuple[Key, Manifest]]:
    """Yield what is in the place of the release; but not what is in every place: Kubernetes makes or shares it."""
    for item in release.objects:
        key = key_of(item, release.namespace)
        found = snapshot.get(key)
        if found is not None and key.kind != "Namespace" and key.label != "ServiceAccount/default":
            yield key, found
