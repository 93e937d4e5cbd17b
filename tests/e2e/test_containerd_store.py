"""Installations with an engine that keeps images in containerd's store, as Docker 29 and Docker Desktop do.

E2E_REGISTRY names a registry to take the images from, where Docker Hub is not to be asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime

import pytest

from contextcore_install.engine.names import STEP_IDS
from e2e.lab import IMAGES, ClusterInstallation, applied, ask, cluster_name, delete_image, engine, node_states, state_of
from kit.stores import wait_until

REGISTRY = os.environ.get("E2E_REGISTRY", "")
#: Seconds from the arrival of an image to the start of what waits for it; Kubernetes tells starts to the second.
STARTS_WITHIN_S = 10 + 1
#: Docker Hub's hosts, which nodes are kept from so that their pulls fail.
HUB = "registry-1.docker.io auth.docker.io"
CTR = ("ctr", "--namespace=k8s.io", "images")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterInstallation]:
    """A place for the one cluster of these tests, with an engine that has none of the images."""
    if "io.containerd.snapshotter.v1" not in ask(engine(), "info", "--format", "{{.DriverStatus}}"):
        pytest.skip(f"{engine()} does not keep its images in containerd's store")
    for image in named_images():
        delete_image(image)
    made = ClusterInstallation(tmp_path_factory.mktemp("store"), cluster_name("store"))
    yield made
    made.remove()


@pytest.fixture
def installed(place: ClusterInstallation) -> ClusterInstallation:
    """The installation, also where a test is run without those before it."""
    if not node_states(place.cluster):
        place.must(*place.flags(), *flags())
    return place


def named_images() -> list[str]:
    """Return the images as the cluster asks for them."""
    return [f"{REGISTRY}/{image}" if REGISTRY else image for image in IMAGES]


def full_name(image: str) -> str:
    return image if REGISTRY else f"docker.io/{image}"


def flags() -> list[str]:
    return ["--workers", "1", *(["--registry", REGISTRY] if REGISTRY else [])]


def in_node(node: str, *command: str) -> str:
    return ask(engine(), "exec", node, *command)


def test_an_installation_from_an_empty_engine_ends_at_the_first_try(place: ClusterInstallation) -> None:
    made = place.install(*flags())
    assert made.returncode == 0, made.stdout + made.stderr
    assert state_of(place) == dict.fromkeys(STEP_IDS, "completed")
    assert set(place.attempts().values()) <= {0, 1}
    for node in node_states(place.cluster):
        assert {full_name(image) for image in named_images()} <= set(in_node(node, *CTR, "ls", "--quiet").split())


def test_a_second_run_applies_nothing(installed: ClusterInstallation) -> None:
    attempts = installed.attempts()
    again = installed.run("--output", "json")
    assert again.returncode == 0, again.stdout
    assert applied(again.stdout) == []
    assert installed.attempts() == attempts


def test_an_image_that_arrives_after_a_failed_pull_starts_its_pod_at_once(installed: ClusterInstallation) -> None:
    image = next(image for image in named_images() if "loki" in image)
    before = installed.uids("pods")
    for node in node_states(installed.cluster):
        in_node(node, "sh", "-c", f"echo '127.0.0.2 {HUB}' >>/etc/hosts")
        forget(node, full_name(image))
    delete_image(image)
    installed.kubectl("delete", "pod", "loki-0", "--wait=false")
    wait_until(lambda: waits_for_its_image(installed), "loki's pod never fails to have its image", 120)
    healed = installed.run("--repair", "--yes", "--output", "json")
    assert healed.returncode == 0, healed.stdout
    events = [json.loads(line) for line in healed.stdout.splitlines() if line.startswith("{")]
    arrived = next(event["at"] for event in events if event["kind"] == "part_finished" and event["part"] == "images")
    (status,) = installed.objects("pods")["Pod/loki-0"]["status"]["containerStatuses"]
    took = datetime.fromisoformat(status["state"]["running"]["startedAt"]) - datetime.fromisoformat(arrived)
    assert took.total_seconds() <= STARTS_WITHIN_S
    after = installed.uids("pods")
    assert {name for name in before if before[name] != after[name]} == {"Pod/loki-0"}


def forget(node: str, image: str) -> None:
    """Remove an image from a node, with all its names."""
    rows = [line.split() for line in in_node(node, *CTR, "ls").splitlines()[1:]]
    digest = next((row[2] for row in rows if row[0] == image), "")
    names = [row[0] for row in rows if row[2] == digest]
    if names:
        in_node(node, *CTR, "rm", "--sync", *names)


def waits_for_its_image(place: ClusterInstallation) -> bool:
    found = place.objects("pods").get("Pod/loki-0", {})
    waiting = [
        entry.get("state", {}).get("waiting") or {} for entry in found.get("status", {}).get("containerStatuses", [])
    ]
    return any(entry.get("reason") in {"ErrImagePull", "ImagePullBackOff"} for entry in waiting)
