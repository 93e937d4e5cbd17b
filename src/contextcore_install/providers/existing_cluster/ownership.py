"""Whose a cluster and the objects in it are: the cluster that is on record, and ours, another's or nobody's objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import asdict, dataclass
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.providers.kubernetes.client import Kubectl, Reader
from contextcore_install.providers.kubernetes.objects import KEPT_KINDS, RELEASE_LABEL, Key, Manifest
from contextcore_install.providers.kubernetes.provider import keep_note
from contextcore_install.providers.kubernetes.release import secrets_wanted
from contextcore_install.system.files import read_object

CLUSTER_FILE = "cluster.json"  # beside the note of the context: what the cluster behind it was known by
#: Seconds for which a check of the cluster counts: kubectl's file of contexts may be exchanged while a watch runs.
KNOWN_S = 60.0
CHANGED = "cluster-changed"
_EVERYWHERE = "kube-system"
_SHOWN = 4  # of the objects in the way


@dataclass(frozen=True, slots=True)
class Identity:
    """What a cluster is known by: the uid of a namespace that each has, if it may be read, and its server's URL."""

    uid: str = ""
    server: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.uid and f"{_EVERYWHERE} {self.uid}", self.server)))

    def matches(self, other: Identity) -> bool | None:
        """Tell whether two are of one cluster; None if that is not known. One cluster may have several URLs."""
        if self.uid and other.uid:
            return self.uid == other.uid
        return self.server == other.server if self.server and other.server else None


class Ownership:
    """Whose the cluster is that an installation's context leads to, and whose the objects in its place there.

    The cluster that it is in is noted in a folder; the note does not count if the context `is_chosen` anew.
    """

    def __init__(self, kubectl: Kubectl, reader: Reader, folder: Path, installation: str, *, is_chosen: bool) -> None:
        self._kubectl, self._reader = kubectl, reader
        self._file = folder / CLUSTER_FILE
        self._installation = installation
        self._is_chosen = is_chosen
        self._is_noted = False
        self._compared = TtlCache(self._compare, KNOWN_S)

    def require(self, *, if_it_answers: bool = False) -> None:
        """Raise InstallError `cluster-changed` if the context leads to another cluster than it did.

        Raises why it cannot be told, unless it need be only `if_it_answers`.
        """
        if self._is_chosen or not self._file.is_file():  # until then, another process may note it at any moment
            return
        try:
            if not self._compared.read():
                self._compared.forget()  # what is not known for certain is asked again
        except InstallError as error:
            if error.code == CHANGED or not if_it_answers:
                raise

    def _compare(self) -> bool:
        """Tell whether the cluster is known to be the noted one; raises InstallError if it is another."""
        noted = self._noted()
        if noted is None:
            return False
        found = self._ask(with_server=not noted.uid)
        if (is_same := found.matches(noted)) is not False:
            return bool(is_same)
        context, name = self._kubectl.context, self._installation
        raise InstallError(
            CHANGED,
            f"The context {context} leads to another cluster than the one that {name} was installed in; "
            "it is left alone.",
            f"found: {found}; noted: {noted}",
            "use the file of contexts that it was installed with (KUBECONFIG); or, where the cluster was made "
            "anew: " + own("--cluster", name, "--resume", "--context", context),
        )

    def note(self, *, only_if_new: bool = False) -> None:
        """Note what the cluster is known by, if that can be done; `only_if_new` not over an older note."""
        if self._is_noted or (only_if_new and not self._is_chosen and self._noted() is not None):
            return
        with suppress(InstallError):  # others report that it does not answer
            found = self._ask()
            self._is_noted = found != Identity() and keep_note(self._file, json.dumps(asdict(found)))

    def _noted(self) -> Identity | None:
        noted = read_object(self._file) or {}
        return Identity(str(noted["uid"]), str(noted["server"])) if noted.keys() >= {"uid", "server"} else None

    def _ask(self, *, with_server: bool = True) -> Identity:
        """Return what the cluster is known by; without `with_server` the URL only if the uid may not be read.

        Raises InstallError if it does not answer.
        """
        uid = server = ""
        try:
            found = {item.key.name: item for item in self._kubectl.items("namespace", _EVERYWHERE)}
            uid = found.get(_EVERYWHERE, Manifest()).uid
        except InstallError as error:
            if error.code != "api-forbidden":
                raise
        if with_server or not uid:
            show = ("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
            with suppress(InstallError):
                server = self._kubectl.call(*show)
        return Identity(uid, server.strip())

    # The objects. All of these raise InstallError if they cannot be read.

    def taken(self) -> InstallError | None:
        """Return `cluster-foreign` if all that is there is others'; next to objects of ours, see `foreign`."""
        return self.of_other_installation() or (None if self.are_ours() else self.foreign())

    def are_ours(self) -> bool:
        """Tell whether there are objects of this installation."""
        return any(item.belongs_to(self._installation) for _, item in self._there())

    def of_other_installation(self) -> InstallError | None:
        """Return `cluster-foreign` if there are objects of another installation."""
        release, snapshot = self._reader.release(), self._reader.read()
        # Grafana's password stays, like the claims, when an installation is removed: it shows whose data they are.
        kept = [(key, item) for key in secrets_wanted(release) if (item := snapshot.get(key)) is not None]
        labels = {item.labels.get(RELEASE_LABEL, ""): key for key, item in (*self._there(), *kept)}
        others = sorted(labels.keys() - {"", self._installation})
        if not others:
            return None
        namespace, context = labels[others[0]].namespace or release.namespace, self._kubectl.context
        return InstallError(
            "cluster-foreign",
            f"The place of this installation in {context} belongs to another one; it is left alone.",
            f"the namespace {namespace} of {context} holds the release, or the data, of the installation {others[0]}",
            f"use the name of that installation (--cluster {others[0]}), or another context; or remove that one with "
            f"its data (delete --cluster {others[0]})",
        )

    def foreign(self) -> InstallError | None:
        """Return `cluster-foreign` if there are objects, other than claims and their like, that we did not make."""
        keys = [key for key, item in self._there() if key.kind not in KEPT_KINDS and not item.is_ours]
        if not keys:
            return None
        context, namespace = self._kubectl.context, keys[0].namespace
        names = ", ".join(key.label for key in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
        there = [key.label.lower() for key in keys if key.namespace == namespace]
        scope = ("-n", namespace) if namespace else ()
        return InstallError(
            "cluster-foreign",
            f"What this installation would make in {context} is there, and this program did not make it: {names}.",
            f"{names}, in the namespace {namespace or '-'} of {context}",
            "use another context, or manifests with another namespace (--manifests DIR); or, if nobody needs these: "
            + self._kubectl.shown(*scope, "delete", *there),
        )

    def _there(self) -> Iterator[tuple[Key, Manifest]]:
        """Yield what is there, but not what is in every cluster: Kubernetes makes or shares it."""
        snapshot = self._reader.read()
        for key in self._reader.release().by_key:
            found = snapshot.get(key)
            if found is not None and key.kind != "Namespace" and key.label != "ServiceAccount/default":
                yield key, found
