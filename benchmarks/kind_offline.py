"""An installation from an offline bundle, beside one whose images were put into the engine by hand before."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from finished import LAUNCHER
from kind_clusters import forget, place, provide
from measure import FOLDER, ROOT, Command, once
from report import Row, Section

sys.path.append(str(ROOT / "tests"))

CLUSTER = "bench-offline"
NOWHERE = "bench.invalid"
"""A registry that there is not: nothing is in the engine under its name, and nothing can be pulled."""
MOST_SHARE = 0.9
GIB = 1024**3
CHECK, LOAD = "The offline bundle", "node image"
"""The parts of steps in which a bundle is checked, and its node image loaded."""


def measure(runs: int) -> Section:
    """Measure both in turns."""
    sys.path.insert(0, str(ROOT / "src"))
    ours, by_hand, installed, checks, loads = ([] for _ in range(5))
    with bundle() as (path, node_image, images):
        for _ in range(runs):
            wall, parts = install(["--bundle", str(path)], node_image)
            ours.append(wall)
            checks.append(parts[CHECK])
            loads.append(parts[LOAD])
            forget([node_image, *images])
            loaded, _, _ = once(Command(["bash", "-c", load_by_hand(path)]))
            wall, _ = install(["--pull", "never"], node_image)
            by_hand.append(loaded + wall)
            installed.append(wall)
            forget([node_image, *images])
        size = path.stat().st_size / GIB
    return _section(size, runs, *(statistics.median(taken) for taken in (ours, by_hand, installed, checks, loads)))


@contextmanager
def bundle() -> Iterator[tuple[Path, str, Sequence[str]]]:
    """Give a bundle, and the names of its node image and images, none of which the engine knows."""
    from contextcore_install.providers.kind.cluster import NODE_IMAGE
    from contextcore_install.stack.catalogue import COMPONENTS
    from kit.offline_bundles import image_bundle

    provide([item.image for item in COMPONENTS])
    node = os.environ.get("KIND_NODE_IMAGE", NODE_IMAGE)
    node_image = f"{NOWHERE}/node:{node.partition('@')[0].rpartition(':')[2]}"
    named = {node_image: node} | {f"{NOWHERE}/{item.image}": item.image for item in COMPONENTS}
    path = FOLDER / "o11y.bundle"
    try:
        for name, image in named.items():
            subprocess.run(["docker", "tag", image, name], check=True)
        images = [name for name in named if name != node_image]
        image_bundle(path, images, node_image)
        forget(named)
        yield path, node_image, images
    finally:
        forget(named)
        path.unlink(missing_ok=True)


def install(words: Sequence[str], node_image: str) -> tuple[float, dict[str, float]]:
    """Install into a new cluster; return the seconds that it took, and those of each part of its steps."""
    with place(CLUSTER) as (variables, ports):
        argv = [LAUNCHER, "--provider", "kind", "--cluster", CLUSTER, *words]
        argv += ["--registry", NOWHERE, "--node-image", node_image]
        argv += [word for key, port in ports.items() for word in ("--port", f"{key}={port}")]
        wall, _, _ = once(Command(argv, variables))
        journal = Path(variables["CONTEXTCORE_HOME"], "clusters", CLUSTER, "journal.jsonl").read_text()
    events = [json.loads(line) for line in journal.splitlines()]
    ended = [event for event in events if event["kind"] == "part_finished"]
    return wall, {event["part"]: float(event["duration_seconds"]) for event in ended}


def load_by_hand(path: Path) -> str:
    """Return the shell command that puts all of a bundle's images into the engine."""
    listed = f"tar -tf {shlex.quote(str(path))} | grep ^images/"
    return f"for image in $({listed}); do tar -xOf {shlex.quote(str(path))} $image | docker load -q || exit; done"


def _section(
    size: float, runs: int, ours: float, by_hand: float, installed: float, check: float, load: float
) -> Section:
    share, beside = ours / by_hand, ours / installed
    rows = [
        Row(
            "an installation with `--bundle`",
            f"{ours:.1f} s",
            f"loaded by hand, then installed: {by_hand:.1f} s, {share:.2f} x",
            f"≤ {MOST_SHARE} x",
            share <= MOST_SHARE,
        ),
        Row(
            "the same, beside images that are in the engine already",
            "",
            f"{installed:.1f} s, {beside:.2f} x",
            f"≤ {MOST_SHARE} x",
            beside <= MOST_SHARE,
        ),
        Row(
            "of which reading and checking the bundle", f"{check:.1f} s", f"{size:.1f} GiB, {check / size:.1f} s a GiB"
        ),
        Row("of which the engine loading the node image", f"{load:.1f} s"),
    ]
    note = (
        f"{runs} installations each, in turns, each into a new cluster of one node, from an engine that knows none of\n"
        "the images by their names. It has the layers of the node image, which it reads again, but need not unpack.\n"
        "By hand is `tar -xO | docker load` for each image in the bundle, and an installation with `--pull never`.\n"
        "\n"
        "It cannot take less than where the images are in the engine already: it does all that is done there, and two\n"
        "things before. All bytes of the bundle are compared with their checksums before any is used, and kind starts\n"
        "nodes from the engine, so this has to take in the node image first. Both are the last two rows. The other\n"
        "images cost no time: they are loaded while the cluster is made, from the bundle as from the engine."
    )
    return Section("An installation from an offline bundle", rows, note)
