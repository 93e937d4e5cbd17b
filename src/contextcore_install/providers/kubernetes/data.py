"""What is in a release's claims, copied out and put back, and Grafana's password with them."""

from __future__ import annotations

import base64
import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import RESUME, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Volume
from contextcore_install.core.tables import read_table
from contextcore_install.providers.kubernetes.claims import is_claim_of, pods_using
from contextcore_install.providers.kubernetes.client import APPLY, Reader
from contextcore_install.providers.kubernetes.objects import MANAGED_BY, RELEASE_LABEL, Key, Manifest, make_secret
from contextcore_install.providers.kubernetes.release import GRAFANA_ADMIN
from contextcore_install.system.process import stream

END_S, COPY_S, BOUND_S = 120.0, 3600.0, 60.0  # for a pod to end, for one copy, and for a new claim to get its volume
COPY_POD = Path(__file__).with_name("copy_pod.toml")

# An image may have no more than busybox, and that without a name for each of its programs.
_FIND_TAR = 't=tar; command -v tar >/dev/null || t="busybox tar"; '
_PACK = _FIND_TAR + '$t -C "$1" -cf - .'
# With its folder kept: the file system may be mounted on it.
_UNPACK = _FIND_TAR + 'for f in "$1"/* "$1"/.[!.]* "$1"/..?*; do rm -rf "$f" || exit 1; done; exec $t -C "$1" -xpf -'
#: Stops all processes of pods for as long as a script runs; on a node, where their cgroups tell whose they are.
_PAUSED = """\
pids=$(grep -lE "pod({uids})" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)
[ -z "$pids" ] || kill -STOP $pids
{script}; code=$?
[ -z "$pids" ] || kill -CONT $pids
exit $code"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the workload whose pods write to it, and the pods that do."""

    key: Key
    item: Manifest
    workload: Manifest
    pods: tuple[Manifest, ...] = ()

    @property
    def component(self) -> str:
        return self.workload.key.name


@dataclass(frozen=True, slots=True)
class ClaimPlace:
    """Where a claim's files are: what comes before `sh -c SCRIPT` to run it there, and their folder."""

    argv: tuple[str, ...]
    folder: str


#: Access to the files of a claim, for the length of a block.
Reach = Callable[[Claim, StepContext], AbstractContextManager[ClaimPlace]]


@dataclass(slots=True)
class ClaimData:
    """The claims of a release.

    If data does not outlive the cluster, `reach` leads to a node, where a pod's processes can be stopped for the length
    of a copy; else the pod is ended for it. `await_nodes` waits until nodes take pods: only then does a claim that was
    just made get its volume.
    """

    reader: Reader
    cluster: str
    reach: Reach
    outlives_cluster: bool
    await_nodes: Callable[[StepContext], None] = lambda _: None

    def volumes(self) -> Sequence[Volume]:
        promise = "as after a power cut: its processes stand still for the copy, and then go on"
        if self.outlives_cluster:
            promise = "complete: its pod is ended for the copy, and started again"
        claims = self._claims()
        found = [Volume(each.key.name, each.component, promise, restarts=self.outlives_cluster) for each in claims]
        if self._password_data():
            found.append(Volume(GRAFANA_ADMIN, "grafana", "complete", bytes=0))
        return found

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        if volume.name == GRAFANA_ADMIN:
            with tarfile.open(fileobj=sink, mode="w|") as tar:
                for name, content in sorted(self._password_data().items()):
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = len(content), 0o600
                    tar.addfile(member, io.BytesIO(content))
            return
        claim = self._claim(volume, ctx)
        with self._ended(claim, ctx) if self.outlives_cluster else nullcontext():
            self._run(claim, _PACK if self.outlives_cluster else _paused(_PACK, claim), ctx, sink=sink)

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        if volume.name != GRAFANA_ADMIN:
            self.await_nodes(ctx)
            claim = self._claim(volume, ctx, BOUND_S)
            with self._ended(claim, ctx):
                self._run(claim, _UNPACK, ctx, source=source)
            return
        source.seek(0)
        with tarfile.open(fileobj=source, mode="r:") as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
            data = {name: file.read(4096) for name, file in files.items() if file}
        labels = {RELEASE_LABEL: self.cluster, **MANAGED_BY}
        document = json.dumps(make_secret(GRAFANA_ADMIN, self.reader.release().namespace, labels, data))
        self.reader.kubectl.call(*APPLY, "-f", "-", "-o", "name", stdin=document, ctx=ctx)
        self.reader.forget()

    def password(self) -> str | None:
        found = self._password_data().get("admin-password")
        return found.decode() if found else None

    def _claims(self) -> list[Claim]:
        snapshot = self.reader.read()
        found = [
            Claim(item.key, item, workload, tuple(pods_using(snapshot, item.key)))
            for key, workload in self.reader.release().workloads.items()
            for item in snapshot.of_kind("PersistentVolumeClaim")
            if key.kind == "StatefulSet" and item.spec.get("volumeName") and is_claim_of(item, [key], self.cluster)
        ]
        return sorted(found, key=lambda claim: claim.key)

    def _claim(self, volume: Volume, ctx: StepContext, within_s: float = 0.0) -> Claim:
        until = time.monotonic() + within_s
        while (found := next((claim for claim in self._claims() if claim.key.name == volume.name), None)) is None:
            if time.monotonic() >= until:
                message = f"There is no claim {volume.name} with a volume."
                raise InstallError("volume-missing", message, hint=RESUME)
            ctx.wait(1.0)
        return found

    def _run(self, claim: Claim, script: str, ctx: StepContext, **ends: IO[bytes]) -> None:
        """Run a script where a claim's files are, with a file as its `source` or `sink`."""
        with self.reach(claim, ctx) as place:
            argv = [*place.argv, "sh", "-c", script, "sh", place.folder]
            stream(argv, environ=self.reader.kubectl.environ, timeout_s=COPY_S, ctx=ctx, **ends)

    @contextmanager
    def _ended(self, claim: Claim, ctx: StepContext) -> Iterator[None]:
        """Have a claim's workload without pods within the block, and with as many as it should have after it."""
        ctx.activity(f"ending {claim.component} for a moment")
        try:
            self._scale(claim, 0)
            pods = [f"pod/{pod.key.name}" for pod in claim.pods]
            if pods:
                wait = ("wait", "--for=delete", *pods, "-n", claim.key.namespace, f"--timeout={END_S:.0f}s")
                done = self.reader.kubectl.attempt(*wait, ctx=ctx, timeout_s=END_S + 10)
                if done.exit_code != 0 and "not found" not in done.stderr.lower():
                    raise self.reader.kubectl.failure(done)
            yield
        finally:
            ctx.activity(f"starting {claim.component} again")
            self._scale(claim, claim.workload.replicas)
            self.reader.forget()

    def _scale(self, claim: Claim, replicas: int) -> None:
        scope = ("-n", claim.key.namespace)
        self.reader.kubectl.call("scale", f"statefulset/{claim.component}", *scope, f"--replicas={replicas}")

    def _password_data(self) -> Mapping[str, bytes]:
        """Return what the Secret with Grafana's password holds; empty if there is none. Raises InstallError."""
        for item in self.reader.read().of_kind("Secret"):
            if item.key.name == GRAFANA_ADMIN:
                return {name: base64.b64decode(text) for name, text in item.get("data", {}).items()}
        return {}


def _paused(script: str, claim: Claim) -> str:
    # With systemd's cgroups the uid has underscores.
    uids = [pod.uid.replace("-", "[-_]") for pod in claim.pods]
    return _PAUSED.format(uids="|".join(uids), script=script) if uids else script


def copy_pod(claim: Claim, image: str, cluster: str) -> dict[str, Any]:
    """Return a pod that has a claim mounted: as the workload's user, on whatever node the volume can be had."""
    pod = read_table(COPY_POD)
    pod["metadata"] = {
        "name": f"copy-{claim.key.name}"[:50] + f"-{secrets.token_hex(3)}",
        "namespace": claim.key.namespace,
        # With our label: one that is left behind is pruned.
        "labels": {RELEASE_LABEL: cluster, **MANAGED_BY},
    }
    pod["spec"]["securityContext"] = claim.workload["spec"]["template"]["spec"].get("securityContext") or {}
    pod["spec"]["containers"][0]["image"] = image
    pod["spec"]["volumes"] = [{"name": "volume", "persistentVolumeClaim": {"claimName": claim.key.name}}]
    return pod
