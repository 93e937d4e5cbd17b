"""Whole installations into clusters of kind, beside their commands typed one after the other."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import kind_idle
from finished import LAUNCHER, free_port
from kind_idle import Idle
from kind_registry import RATE, slow_registry
from kind_watching import Watched, watched
from measure import FOLDER, ROOT, Command, environment, once
from report import Row, Section

from contextcore_install.core.dataclass import dataclass, field

BY_HAND = ROOT / "benchmarks" / "kind_by_hand.sh"
MANIFESTS = ROOT / "src" / "contextcore_install" / "stack" / "manifests"
CLUSTER = "bench-kind"
#: The targets: shares of the plain commands' time, with images that are here and with a slow registry; seconds and
#: kubectl processes of a run with nothing to do; seconds from the last pod's Ready to the end of the step that waits;
#: and the share of a core while a pod is waited for.
MOST_SHARE, MOST_SHARE_SLOW = 0.8, 0.55
MOST_IDLE_S, MOST_LOOKS, MOST_LATE_S, MOST_CPU = 0.6, 3, 0.2, 0.02


def works() -> bool:
    """Tell whether clusters of kind can be made here."""
    there = all(shutil.which(name) for name in ("kind", "kubectl", "docker"))
    return there and subprocess.run(["docker", "ps"], check=False, capture_output=True).returncode == 0


@dataclass
class Taken:
    """Seconds that each of the two took, and what was seen of the program's runs."""

    ours: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)
    runs: list[Watched] = field(default_factory=list)
    served: int = 0  # bytes of the images in the registry, if they come from one

    @property
    def share(self) -> float:
        """What the program's median is of the other's."""
        return statistics.median(self.ours) / statistics.median(self.by_hand)


def measure(runs: int) -> Section:
    """Measure with images that are here already, and with a registry that is slow."""
    sys.path.insert(0, str(ROOT / "src"))
    from contextcore_install.stack.catalogue import COMPONENTS

    images = [item.image for item in COMPONENTS]
    provide(images)
    here, idle = Taken(), None
    for turn in range(runs):
        idle = turn_about(here, images, "", idle_runs=10 if turn == runs - 1 else 0)
    assert idle
    slow = Taken()
    for _ in range(runs):
        with slow_registry(images) as (prefix, slow.served):
            turn_about(slow, [f"{prefix}/{image}" for image in images], prefix)
    return _section(here, slow, idle, runs)


def provide(images: Sequence[str]) -> None:
    """Have the images in the engine."""
    command = shlex.split(os.environ.get("E2E_IMAGES", "docker pull --quiet"))
    for image in images:
        if subprocess.run(["docker", "image", "inspect", image], check=False, capture_output=True).returncode:
            subprocess.run([*command, image], check=True, stdout=subprocess.DEVNULL)


def turn_about(taken: Taken, images: Sequence[str], registry: str, idle_runs: int = 0) -> Idle | None:
    """Make the cluster once with the program and once by hand; return what it costs when it is made, if asked for."""
    idle = None
    with place() as (variables, ports):
        argv = [LAUNCHER, "--provider", "kind", "--cluster", CLUSTER, "--output", "json"]
        argv += [word for key, port in ports.items() for word in ("--port", f"{key}={port}")]
        argv += ["--registry", registry] if registry else []
        command = Command(argv, variables)
        taken.runs.append(watched(command, f"kind-{CLUSTER}"))
        taken.ours.append(taken.runs[-1].wall)
        if idle_runs:
            again = Command([LAUNCHER, "--cluster", CLUSTER], variables)
            idle = kind_idle.measure(again, f"kind-{CLUSTER}", images, idle_runs)
    forget(images if registry else ())
    with place() as (variables, ports):
        wall, _, _ = once(by_hand(ports, images, registry, variables))
        taken.by_hand.append(wall)
    forget(images if registry else ())
    return idle


@contextmanager
def place(cluster: str = CLUSTER) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """Yield the variables and ports of one installation, whose cluster and records are removed afterwards."""
    from contextcore_install.stack.catalogue import PORTS

    home = FOLDER / "kind-home"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kind-", dir=FOLDER)))
        variables = {"CONTEXTCORE_HOME": str(home), "KUBECONFIG": str(folder / "kubeconfig")}
        # The runtime is prepared once in a user's life; it is no part of an installation's time.
        once(Command([LAUNCHER, "--cluster", cluster, "--status"], variables))
        stack.callback(shutil.rmtree, home / "clusters", ignore_errors=True)
        remove = ["kind", "delete", "cluster", "--name", cluster]
        stack.callback(subprocess.run, remove, check=False, capture_output=True, env=environment(variables))
        yield variables, {key: free_port() for key, port in PORTS.items() if port.node_port}


def by_hand(ports: dict[str, int], images: Sequence[str], registry: str, variables: dict[str, str]) -> Command:
    """Return the plain commands for the same cluster."""
    from contextcore_install.providers.kind.cluster import NODE_IMAGE, cluster_config
    from contextcore_install.stack.catalogue import COMPONENTS

    node_image = os.environ.get("KIND_NODE_IMAGE", NODE_IMAGE)
    folder = Path(variables["KUBECONFIG"]).parent
    config = folder / "kind.json"
    asked = cluster_config(CLUSTER, "by-hand", ports, node_image, 0)
    asked.pop("kubeadmConfigPatches", None)  # what makes it quicker is the program's own idea
    config.write_text(json.dumps(asked))
    overlay = folder / "overlay"
    overlay.mkdir()
    names = [item.image.rpartition(":")[0] for item in COMPONENTS]
    renamed = [{"name": name, "newName": f"{registry}/{name}"} for name in names if registry]
    resources = [os.path.relpath(MANIFESTS, overlay)]
    (overlay / "kustomization.yaml").write_text(json.dumps({"resources": resources, "images": renamed}))
    ready = [f"{ports[item.name]}{item.ready_path}" for item in COMPONENTS if item.ready_port == item.name]
    return Command(["bash", str(BY_HAND), CLUSTER, str(config), str(overlay), " ".join(ready), *images], variables)


def forget(images: Iterable[str]) -> None:
    """Remove images from the engine, so that the next one has to get them anew."""
    for image in images:
        subprocess.run(["docker", "rmi", image], check=False, capture_output=True)


def _section(here: Taken, slow: Taken, idle: Idle, runs: int) -> Section:
    late = statistics.median(run.late for run in here.runs + slow.runs)
    cpu = statistics.median(run.cpu for run in here.runs)
    rest = idle.again.median
    rows = [
        Row(
            "an installation, images in the engine",
            f"{statistics.median(here.ours):.1f} s",
            f"typed by hand: {statistics.median(here.by_hand):.1f} s, {here.share:.2f} x",
            f"≤ {MOST_SHARE} x",
            here.share <= MOST_SHARE,
        ),
        Row(
            "the same, images from a slow registry",
            f"{statistics.median(slow.ours):.1f} s",
            f"typed by hand: {statistics.median(slow.by_hand):.1f} s, {slow.share:.2f} x",
            f"≤ {MOST_SHARE_SLOW} x",
            slow.share <= MOST_SHARE_SLOW,
        ),
        Row("CPU time of the program itself, images in the engine", f"{cpu:.1f} s", "its children not counted"),
        Row(
            "a run with nothing to do",
            f"{rest:.2f} s",
            f"`kubectl get` of the same objects: {idle.get.median:.2f} s, {rest / idle.get.median:.1f} x",
            f"≤ {MOST_IDLE_S} s",
            rest <= MOST_IDLE_S,
        ),
        Row(
            "kubectl processes of a run with nothing to do",
            str(idle.looks),
            f"`--repair` with nothing to do: {idle.looks_of_repair}",
            f"≤ {MOST_LOOKS}",
            idle.looks <= MOST_LOOKS,
        ),
        *(
            Row(what, f"{share:.1%} of a core", "its children counted", f"≤ {MOST_CPU:.0%}", share <= MOST_CPU)
            for what, share in (
                ("CPU while a pod does not become ready", idle.for_pod),
                ("CPU while images are pulled slowly", idle.for_pull),
                ("CPU while the API does not answer", idle.for_api),
            )
        ),
        Row(
            "from the last pod's Ready to the end of `pods_ready`",
            f"{late:.2f} s",
            "as a watch beside it saw both",
            f"≤ {MOST_LATE_S} s",
            late <= MOST_LATE_S,
        ),
    ]
    note = (
        f"{runs} installations each, in turns, each into a new cluster of one node. By hand is\n"
        "`benchmarks/kind_by_hand.sh`: kind create, docker pull, kind load, kubectl apply and wait, and curl, with\n"
        "the same ports and manifests; the settings by which the program has kubelets and control planes start\n"
        f"sooner are not part of it. The slow registry is on loopback and gives {RATE / 1e6:.0f} MB/s over all\n"
        f"connections, for {slow.served / 1e6:.0f} MB: no installation can take less. The runtime's one-time\n"
        "preparation is not counted. While CPU is measured, a program is stopped (SIGSTOP), the pod's or the API\n"
        f"server, or images come at {RATE / kind_idle.SLOWER / 1e3:.0f} kB/s."
    )
    return Section("An installation into a cluster of kind", rows, note)
