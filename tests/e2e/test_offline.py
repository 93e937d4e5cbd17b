"""An installation from an offline bundle: its images are nowhere else, and no registry answers for their names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.engine.names import STEP_IDS
from contextcore_install.providers.kind.cluster import NODE_IMAGE
from e2e.lab import EVERYTHING, IMAGES, ClusterInstallation, applied, ask, delete_image, engine, node_states, state_of
from kit.installation import kill, read_until
from kit.offline_bundles import image_bundle

NOWHERE = "e2e.invalid"  # RFC 6761, section 6.4: no name resolves to anything there
NODE = os.environ.get("KIND_NODE_IMAGE", NODE_IMAGE)
NODE_TAG = f"{NOWHERE}/node:{NODE.partition('@')[0].rpartition(':')[2]}"
CTR = ("ctr", "--namespace=k8s.io", "images")


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Path]:
    """A bundle whose images the engine does not know by their names; with a node image if time does not matter."""
    if subprocess.run([engine(), "image", "inspect", NODE], capture_output=True, check=False).returncode != 0:
        ask(engine(), "pull", NODE, limit_s=600)
    named = {f"{NOWHERE}/{image}": image for image in IMAGES} | ({NODE_TAG: NODE} if EVERYTHING else {})
    for name, image in named.items():
        ask(engine(), "tag", image, name)
    path = tmp_path / "o11y.bundle"
    image_bundle(path, [name for name in named if name != NODE_TAG], NODE_TAG if EVERYTHING else "")
    for name in named:
        delete_image(name)
    yield path
    for name in named:
        delete_image(name)


def test_an_installation_that_is_killed_while_it_loads_carries_on_and_needs_nothing_else(
    alone: ClusterInstallation, bundle: Path
) -> None:
    node_image = NODE_TAG if EVERYTHING else NODE
    words = [*alone.flags(), "--bundle", str(bundle), "--registry", NOWHERE, "--node-image", node_image]
    first = alone.start(*words)
    read_until(first, "part_started", "cluster_create")
    kill(first)
    assert f"--resume --bundle {bundle} " in alone.run("--status").stdout
    done = alone.run(*words, "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert state_of(alone) == dict.fromkeys(STEP_IDS, "completed")
    (node,) = node_states(alone.cluster)
    there = ask(engine(), "exec", node, *CTR, "ls", "--quiet").split()
    assert {f"{NOWHERE}/{image}" for image in IMAGES} <= set(there)
    bundle.unlink()
    again = alone.run("--output", "json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert applied(again.stdout) == []
