"""Which cluster a context leads to: its name stays the same when kubectl's file of contexts is another one."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import own
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.system.files import read_text, write_atomically

CLUSTER_FILE = "cluster.json"
"""Beside the note of the context: what the cluster behind it was known by."""
KNOWN_S = 60.0
"""For how long what was found counts, in seconds: the file of contexts may be exchanged while a watch looks."""
_EVERYWHERE = "kube-system"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a cluster is known by: the uid of a namespace that each has, where it may be read, and its server's URL."""

    uid: str = ""
    server: str = ""

    @property
    def words(self) -> str:
        """For people: what is known of it."""
        return " ".join(filter(None, (self.uid and f"{_EVERYWHERE} {self.uid}", self.server)))

    def is_unlike(self, other: Identity) -> bool:
        """Tell whether two are of different clusters for certain; one cluster may have several URLs."""
        if self.uid and other.uid:
            return self.uid != other.uid
        return bool(self.server and other.server) and self.server != other.server


def ask_identity(kubectl: Kubectl, *, with_server: bool = True) -> Identity:
    """Return what the cluster is known by; nothing of it where it does not answer, as others say why.

    Without `with_server` the URL is asked for only where the uid may not be read.
    """
    try:
        found = kubectl.items("namespace", _EVERYWHERE)
    except InstallError as error:
        if error.code != "api-forbidden":
            return Identity()
        found = []
    uid = next((item["metadata"].get("uid") for item in found if item["metadata"]["name"] == _EVERYWHERE), "")
    server = ""
    if with_server or not uid:
        with suppress(InstallError):
            server = kubectl.call("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    return Identity(str(uid or ""), server.strip())


class KnownCluster:
    """The cluster that an installation is in, as noted in a folder. `is_chosen` has another one take its place."""

    def __init__(self, kubectl: Kubectl, folder: Path, installation: str, *, is_chosen: bool) -> None:
        self._kubectl = kubectl
        self._folder = folder
        self._installation = installation
        self._is_chosen = is_chosen
        self._known_until = float("-inf")
        self._is_noted = False

    def require(self) -> None:
        """Raise InstallError `cluster-changed` where the context leads to another cluster than it did."""
        noted = None if self._is_chosen or time.monotonic() < self._known_until else self._noted()
        if noted is None:
            return
        found = ask_identity(self._kubectl, with_server=not noted.uid)
        if found.is_unlike(noted):
            raise self._another(noted, found)
        self._known_until = time.monotonic() + KNOWN_S

    def note(self) -> None:
        """Note what the cluster is known by, where that can be done."""
        if self._is_noted or (found := ask_identity(self._kubectl)) == Identity():
            return
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._folder / CLUSTER_FILE, json.dumps(asdict(found)) + "\n")
            self._is_noted = True

    def note_where_ours_is(self) -> None:
        """Note a cluster that holds the installation: one chosen anew, or one of which only the context was noted."""
        if self._is_chosen or self._noted() is None:
            self.note()

    def _noted(self) -> Identity | None:
        try:
            noted = json.loads(read_text(self._folder / CLUSTER_FILE))
            return Identity(str(noted["uid"]), str(noted["server"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _another(self, noted: Identity, found: Identity) -> InstallError:
        context, name = self._kubectl.context, self._installation
        return InstallError(
            "cluster-changed",
            f"The context {context} leads to another cluster than the one that {name} was installed in; "
            "it is left alone.",
            f"found: {found.words}; noted: {noted.words}",
            "use the file of contexts that it was installed with (KUBECONFIG); or, where the cluster was made anew: "
            + own("--cluster", name, "--resume", "--context", context),
        )
