"""What the components keep in a cluster: their claims, copied out and put back, and Grafana's password with them."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import RESUME
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Volume
from contextcore_install.providers.kubernetes.objects import FIELD_MANAGER, RELEASE_LABEL, Key, Manifest, key_of
from contextcore_install.providers.kubernetes.releases import GRAFANA_ADMIN, is_claim_of
from contextcore_install.providers.kubernetes.stack import KubernetesStack
from contextcore_install.system.pipes import stream

#: Seconds for a pod to end, and for one copy.
END_S, COPY_S = 120.0, 3600.0

# An image may have no more than busybox, and that without a name for each of its programs.
_FIND_TAR = 't=tar; command -v tar >/dev/null || t="busybox tar"; '
_PACK = _FIND_TAR + '$t -C "$1" -cf - .'
# With its folder kept: the file system may be mounted on it.
_UNPACK = _FIND_TAR + 'for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do rm -rf "$f" || exit 1; done; exec $t -C "$1" -xpf -'
_STILL = """\
pids=$(grep -lE "pod{uid}" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)
[ -z "$pids" ] || kill -STOP $pids
{script}; code=$?
[ -z "$pids" ] || kill -CONT $pids
exit $code"""
"""Stops all processes of a pod for as long as a script runs; on a node, where their cgroups tell whose they are."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the workload whose pods write to it, and the pods that do."""

    key: Key
    item: Manifest
    workload: Manifest
    pods: tuple[Manifest, ...] = ()

    @property
    def component(self) -> str:
        """The workload's name."""
        return str(self.workload["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class ClaimPlace:
    """Where a claim's files are: what comes before `sh -c SCRIPT` to run it there, and their folder."""

    argv: tuple[str, ...]
    folder: str


Reach = Callable[[Claim, StepContext], AbstractContextManager[ClaimPlace]]
"""A way to the files of a claim, for the length of a block."""


class ClaimData:
    """The claims of a release.

    With `on_node` the way leads to the node itself, where a pod's processes can be stopped for the length of a copy;
    else the pod is ended for it. `outlives_cluster` says whether the claims stay when the installation goes.
    """

    def __init__(
        self, stack: KubernetesStack, cluster: str, reach: Reach, *, on_node: bool, outlives_cluster: bool
    ) -> None:
        self._stack = stack
        self._kubectl = stack.kubectl
        self._cluster = cluster
        self._reach = reach
        self._on_node = on_node
        self.outlives_cluster = outlives_cluster

    def volumes(self) -> Sequence[Volume]:
        """Return the claims that are bound, and Grafana's password. Raises InstallError."""
        promise = "complete: its pod is ended for the copy, and started again"
        if self._on_node:
            promise = "as after a power cut: its processes stand still for the copy, and then go on"
        found = [
            Volume(claim.key.name, claim.component, promise, restarts=not self._on_node) for claim in self._claims()
        ]
        if self._secret() is not None:
            found.append(Volume(GRAFANA_ADMIN, "grafana", "complete", bytes=0))
        return found

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        """Write a copy of a claim's files. Raises InstallError."""
        if volume.name == GRAFANA_ADMIN:
            self._save_password(sink)
            return
        claim = self._claim(volume)
        if self._on_node:
            self._run(claim, _still(_PACK, claim), ctx, sink=sink)
        else:
            with self._ended(claim, ctx):
                self._run(claim, _PACK, ctx, sink=sink)

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        """Replace a claim's files, its pod being ended. Raises InstallError."""
        if volume.name == GRAFANA_ADMIN:
            self._fill_password(source, ctx)
            return
        claim = self._claim(volume)
        with self._ended(claim, ctx):
            self._run(claim, _UNPACK, ctx, source=source)

    def password(self) -> str | None:
        """Return the password of Grafana's admin, where there is one. Raises InstallError."""
        secret = self._secret()
        encoded = (secret.get("data") or {}).get("admin-password") if secret else None
        return base64.b64decode(encoded).decode() if encoded else None

    # Claims

    def _claims(self) -> list[Claim]:
        snapshot, release = self._stack.reader.read(), self._stack.release()
        claims = []
        for item in release.objects:
            if item["kind"] != "StatefulSet":
                continue
            workload = key_of(item, release.namespace)
            claims += [
                Claim(key, found, item, tuple(_users(snapshot.of_kind("Pod"), key)))
                for key, found in snapshot.all().items()
                if key.kind == "PersistentVolumeClaim"
                and is_claim_of(key, found, [workload], self._cluster)
                and found.get("spec", {}).get("volumeName")
            ]
        return sorted(claims, key=lambda claim: claim.key)

    def _claim(self, volume: Volume) -> Claim:
        for claim in self._claims():
            if claim.key.name == volume.name:
                return claim
        raise InstallError("volume-missing", f"There is no claim {volume.name} with a volume.", hint=RESUME)

    def _run(
        self,
        claim: Claim,
        script: str,
        ctx: StepContext,
        *,
        source: IO[bytes] | None = None,
        sink: IO[bytes] | None = None,
    ) -> None:
        with self._reach(claim, ctx) as place:
            argv = [*place.argv, "sh", "-c", script, "sh", place.folder]
            stream(argv, environ=self._kubectl.environ, timeout_s=COPY_S, source=source, sink=sink, ctx=ctx)

    @contextmanager
    def _ended(self, claim: Claim, ctx: StepContext) -> Iterator[None]:
        """Have a claim's workload without pods within the block, and with as many as it should have after it."""
        ctx.activity(f"ending {claim.component} for a moment")
        try:
            self._scale(claim, 0)
            names = [str(pod["metadata"]["name"]) for pod in claim.pods]
            if names:
                wait = ("wait", "--for=delete", *(f"pod/{name}" for name in names))
                limit = f"--timeout={END_S:.0f}s"
                done = self._kubectl.attempt(*wait, "-n", claim.key.namespace, limit, ctx=ctx, timeout_s=END_S + 10)
                if done.exit_code != 0 and "not found" not in done.stderr.lower():
                    raise self._kubectl.failure(done)
            yield
        finally:
            ctx.activity(f"starting {claim.component} again")
            self._scale(claim, int(claim.workload.get("spec", {}).get("replicas", 1)))
            self._stack.reader.forget()

    def _scale(self, claim: Claim, replicas: int) -> None:
        self._kubectl.call(
            "scale", f"statefulset/{claim.component}", "-n", claim.key.namespace, f"--replicas={replicas}"
        )

    # The password

    def _secret(self) -> dict[str, Any] | None:
        items = self._stack.reader.read().of_kind("Secret")
        return next((item for item in items if item["metadata"]["name"] == GRAFANA_ADMIN), None)

    def _save_password(self, sink: IO[bytes]) -> None:
        secret = self._secret() or {}
        with tarfile.open(fileobj=sink, mode="w|") as tar:
            for name, encoded in sorted((secret.get("data") or {}).items()):
                content = base64.b64decode(encoded)
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o600
                tar.addfile(member, io.BytesIO(content))

    def _fill_password(self, source: IO[bytes], ctx: StepContext) -> None:
        source.seek(0)
        with tarfile.open(fileobj=source, mode="r:") as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
            data = {name: base64.b64encode(file.read(4096)).decode() for name, file in files.items() if file}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": GRAFANA_ADMIN,
                "namespace": self._stack.release().namespace,
                "labels": {RELEASE_LABEL: self._cluster, "app.kubernetes.io/managed-by": FIELD_MANAGER},
            },
            "type": "Opaque",
            "data": data,
        }
        manager = f"--field-manager={FIELD_MANAGER}"
        self._kubectl.call(
            "apply", "--server-side", "--force-conflicts", manager, "-f", "-", "-o", "name",
            stdin=json.dumps(document), ctx=ctx,
        )  # fmt: skip
        self._stack.reader.forget()


def _still(script: str, claim: Claim) -> str:
    # With systemd's cgroups the uid has underscores.
    uids = [str(pod["metadata"]["uid"]).replace("-", "[-_]") for pod in claim.pods]
    return _STILL.format(uid=f"({'|'.join(uids)})", script=script) if uids else script


def _users(pods: Sequence[Manifest], key: Key) -> Iterator[Manifest]:
    for pod in pods:
        volumes = pod.get("spec", {}).get("volumes") or []
        names = {(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in volumes}
        if pod.get("metadata", {}).get("namespace") == key.namespace and key.name in names:
            yield pod
