"""Installations in real clusters: the program as a process; kubectl, kind and the engine to look and to break."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.stack.catalogue import COMPONENTS, PORTS
from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import FailureKind, StoreError
from contextcore_install.telemetry.folds.metrics import Sample
from kit.installation import Installation
from kit.stores import TIMEOUTS, free_port, wait_until

NAMESPACE = "observability"
IMAGES = tuple(item.image for item in COMPONENTS)
MANIFESTS = Path(__file__).resolve().parents[2] / "src/contextcore_install/stack/manifests"
LIMIT_S = 420.0
#: Variables that choose an installation or a cluster by themselves.
CHOOSING = ("CONTEXTCORE_HOME", "CONTEXTCORE_CLUSTER", "CLUSTER_NAME", "K8S_MANIFESTS", "KUBECONFIG")
SHOWN_LINES = 60
EVERYTHING = os.environ.get("E2E_EVERYTHING") == "1"
"""Whether the tests marked `thorough` run as well, which take long."""
#: How often a connection that breaks is tried, a second apart.
TRIES = 4
ON_DISK_S = 6.0
"""The store keeps samples in memory for up to 5 s; a copy of its files holds what is on the disk."""

Answer = TypeVar("Answer")


def ask(*argv: str, limit_s: float = 180.0, environ: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(
        argv, env=environ, capture_output=True, text=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{shlex.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def patiently(call: Callable[[], Answer]) -> Answer:
    """Ask as a person does, who tries a page that did not load a few times again."""
    for _ in range(TRIES - 1):
        try:
            return call()
        except StoreError as error:
            if error.kind is not FailureKind.NO_ANSWER:
                raise
            time.sleep(1)
    return call()


def engine() -> str:
    """Return the container engine's command."""
    return os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")


def cluster_name(about: str) -> str:
    """Return a name that no other cluster on this machine has."""
    return f"e2e-{about}-{secrets.token_hex(2)}"


def provide_images() -> None:
    """Have the images in the engine where a command for that is named; else they are pulled by whoever needs them."""
    command = shlex.split(os.environ.get("E2E_IMAGES", ""))
    for image in IMAGES if command else ():
        known = subprocess.run([engine(), "image", "inspect", image], capture_output=True, check=False)
        if known.returncode != 0:
            ask(*command, image, limit_s=600)


def create_by_hand(name: str, kubeconfig: Path) -> None:
    """Create a cluster as anyone would who does not know this program."""
    image = os.environ.get("KIND_NODE_IMAGE", "")
    choice = ["--image", image] if image else []
    ask(*f"kind create cluster --wait 120s --name {name} --kubeconfig {kubeconfig}".split(), *choice, limit_s=300)


def delete_cluster(name: str) -> None:
    """Remove a cluster of a test, however much of it there is."""
    assert name.startswith("e2e-"), name
    subprocess.run(["kind", "delete", "cluster", "--name", name], capture_output=True, timeout=180, check=False)


def load_images(cluster: str) -> None:
    """Load into a cluster what the engine has; the cluster pulls the rest itself."""
    for image in IMAGES:
        subprocess.run(
            ["kind", "load", "docker-image", image, "--name", cluster], capture_output=True, timeout=180, check=False
        )


def delete_image(image: str) -> None:
    """Take a name from an image in the engine."""
    subprocess.run([engine(), "rmi", image], capture_output=True, check=False)


def node_states(cluster: str) -> dict[str, str]:
    """Return the containers that are nodes of a cluster, and what they do."""
    label = f"label=io.x-k8s.kind.cluster={cluster}"
    shown = ask(engine(), "ps", "--all", "--filter", label, "--format", "{{.Names}} {{.State}}")
    return dict(line.split(" ", 1) for line in shown.splitlines())


def node_starts(cluster: str) -> dict[str, str]:
    """Return when each node's container was started last."""
    names = sorted(node_states(cluster))
    shown = ask(engine(), "inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *names)
    return dict(line.split(" ", 1) for line in shown.splitlines())


@dataclass
class ClusterInstallation(Installation):
    """An installation in a cluster, with kubectl's contexts in a file of its own."""

    context: str = ""
    provider: str = "kind"
    ports: dict[str, int] = field(
        default_factory=lambda: {key: free_port() for key, port in PORTS.items() if port.node_port}
    )
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = self.context or f"kind-{self.cluster}"
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def environ(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in CHOOSING}
        chosen = {
            "CONTEXTCORE_HOME": str(self.home),
            "CONTEXTCORE_CLUSTER": self.cluster,
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        return kept | chosen | dict(changes or {})

    def run(
        self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        began = time.monotonic()
        done = subprocess.run(
            self.command(*arguments),
            env=self.environ(environ),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        took = f"{time.monotonic() - began:.1f} s, exit code {done.returncode}"
        self.said.append(f"$ {shlex.join(arguments) or '(install)'}   # {took}\n{done.stdout}{done.stderr}")
        return done

    def must(self, *arguments: str) -> str:
        """Run the program, which must succeed, and return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.flags(), *more)

    def flags(self) -> list[str]:
        """Return what names the cluster and its ports."""
        return ["--provider", self.provider, *self.port_flags()]

    def kubectl(self, *arguments: str) -> str:
        command = ["kubectl", "--context", self.context, "-n", NAMESPACE, *arguments]
        return ask(*command, environ=self.environ())

    def objects(self, kinds: str) -> dict[str, dict[str, Any]]:
        """Return the stack's objects of some kinds, by `kind/name`."""
        items = json.loads(self.kubectl("get", kinds, "-o", "json"))["items"]
        return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}

    def uids(self, kinds: str) -> dict[str, str]:
        return {name: item["metadata"]["uid"] for name, item in self.objects(kinds).items()}

    def identity(self) -> str:
        """Return what no other cluster has: the uid of kube-system."""
        return self.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")

    def volumes(self) -> dict[str, tuple[str, str]]:
        """Return each claim's uid and volume."""
        claims = self.objects("persistentvolumeclaims")
        return {name: (item["metadata"]["uid"], item["spec"]["volumeName"]) for name, item in claims.items()}

    def images(self) -> set[str]:
        """Return the images that the stack's pods want."""
        pods = self.objects("pods").values()
        return {container["image"] for pod in pods for container in pod["spec"]["containers"]}

    def write(self, value: float) -> None:
        """Put a sample into the cluster's metrics store, and wait until the store shows it."""
        patiently(lambda: self._write(value))
        wait_until(lambda: value in self.written(), "what was written is never shown")

    def _write(self, value: float) -> None:
        client = Client(f"http://127.0.0.1:{self.ports['mimir']}", lambda: TIMEOUTS)
        backend = probe(client)
        sample = Sample("e2e_written", (("cluster", self.cluster),), value, int(time.time() * 1000))
        refused = backend.send([sample])
        client.close()
        assert not refused, refused

    def written(self) -> list[float]:
        """Return the values of all samples that tests have put into the metrics store."""
        return patiently(self._written)

    def _written(self) -> list[float]:
        client = Client(f"http://127.0.0.1:{self.ports['mimir']}", lambda: TIMEOUTS)
        backend, soon_ms = probe(client), int(time.time() * 1000) + 5000
        backend.show_recent()
        found = backend.query(f'e2e_written{{cluster="{self.cluster}"}}[2h]', soon_ms)
        client.close()
        return [float(value) for series in found for _, value in series["values"]]

    @contextmanager
    def store_forwarded(self) -> Iterator[Self]:
        """Within the block, have a way to the metrics store of a cluster that has no port on this machine."""
        port = free_port()
        command = ["kubectl", "--context", self.context, "-n", NAMESPACE, "port-forward", "svc/mimir"]
        process = subprocess.Popen([*command, f"{port}:9009"], env=self.environ(), stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            assert process.stdout.readline(), "kubectl forwards nothing"
            yield replace(self, ports={"mimir": port})
        finally:
            process.kill()
            process.communicate()

    def report(self) -> str:
        """Return what helps to understand a failure: what the program said, and how the cluster is."""
        looks: Sequence[Sequence[str]] = (
            [engine(), "ps", "--all", "--filter", f"label=io.x-k8s.kind.cluster={self.cluster}"],
            ["kubectl", "--context", self.context, "get", "nodes,pods,services,pvc", "-A", "-o", "wide"],
            ["kubectl", "--context", self.context, "get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp"],
        )
        parts = ["\n".join(text.splitlines()[-SHOWN_LINES:]) for text in self.said[-3:]]
        for look in looks:
            done = subprocess.run(look, env=self.environ(), capture_output=True, text=True, timeout=60, check=False)
            lines = (done.stdout + done.stderr).splitlines()[-SHOWN_LINES:]
            parts.append("\n".join([f"$ {shlex.join(look)}", *lines]))
        return "\n\n".join(parts)

    def remove(self) -> None:
        delete_cluster(self.cluster)


def state_of(installation: Installation) -> dict[str, str]:
    """Return the steps' statuses."""
    return {step_id: str(step["status"]) for step_id, step in installation.steps().items()}


def applied(output: str) -> list[str]:
    """Return the steps that a run with --output json has applied."""
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [str(event["step"]) for event in events if event.get("kind") == "step_started"]
