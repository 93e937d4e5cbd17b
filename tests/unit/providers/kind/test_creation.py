"""A cluster and its images are made at the same time; what fails is told of, and what became Ready stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.threads import child_context
from contextcore_install.providers.kind.cluster import ClusterSpec, OwnerFile
from contextcore_install.providers.kind.creation import Creation
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.inspector import ClusterAccess, ClusterSnapshot, Inspector
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.system.process import Captured
from kit.fakes import Told

PORTS = resolve_ports({})
NAME = "demo-control-plane"
NODE = Node("1", NAME, "control-plane", "running", "", "", "image", {})
MEMBER = Manifest(metadata={"name": NAME}, status={"conditions": [{"type": "Ready", "status": "True"}]})
FAILS = """#!/bin/sh
while ! [ -e {folder}/pulling ]; do sleep 0.05; done
echo "ERROR: failed to create cluster: could not find an available, non-overlapping IPv4 address pool" >&2; exit 1
"""
MAKES = """#!/bin/sh
echo "$*" >>{folder}/calls
[ "$1" = create ] && touch {folder}/made; [ "$1" = delete ] && rm -f {folder}/made; exit 0
"""
SLOW = """#!/bin/sh
case "$1" in image) exit 1;; pull) echo "$2: Pulling"; touch {folder}/pulling; exec sleep 60;; esac
"""
NO_PULL = """#!/bin/sh
case "$1" in image) exit 1;; pull) echo "manifest unknown" >&2; exit 1;; esac
"""


class Kubectl:
    """Answers `config view` and the storage classes; each failure is for one call."""

    def __init__(self) -> None:
        self.failures: list[InstallError] = []
        self.storage = "storageclass/standard"
        self.waits: list[str] = []
        self.then: Callable[[], None] = lambda: None

    def call(self, *_: str, **__: object) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return self.storage

    def attempt(self, *argv: str, **_: object) -> Captured:
        if argv[0] == "wait":
            self.waits.append(argv[1])
            self.then()
        return Captured(argv, 0, ":0", "")


class Lab:
    """What a creation works with: programs in a folder, and an inspector that sees the cluster which kind has made."""

    def __init__(self, folder: Path, *, kind: str, docker: str) -> None:
        self.folder = folder
        for name, text in (("docker", docker), ("kind", kind)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)
        environ = {"PATH": f"{folder}{os.pathsep}{os.defpath}"}
        self.engine, self.kubectl = ContainerEngine("docker", environ), Kubectl()
        self.creations: list[Creation] = []
        self.owners = OwnerFile(folder / "note" / "owner.json", "demo")
        self.snapshot = ClusterSnapshot((NODE,), None, ours=True, members=(MEMBER,))

    def inspect(self, **_: object) -> ClusterSnapshot:
        made = (self.folder / "made").exists()
        return replace(self.snapshot, owner=self.owners.read()) if made else ClusterSnapshot((), None, ours=True)

    def creation(self, images: Callable[[], list[str]] = lambda: ["grafana/loki:3"]) -> Creation:
        inspector = SimpleNamespace(inspect=self.inspect)
        creation = Creation(
            ClusterAccess("demo", self.engine, cast(Any, self.kubectl), self.owners),
            ClusterSpec(PORTS, "image", 0, images),
            self.folder / "demo",
            self.folder / "lock",
            lambda: str(self.folder / "kind"),
            cast(Inspector, inspector),
            Images(self.engine, "demo", may_pull=True),
        )
        self.creations.append(creation)
        return creation

    def kind_calls(self) -> list[str]:
        return [line.split()[0] for line in (self.folder / "calls").read_text().splitlines()]

    def cut_off(self) -> None:
        """Leave a cluster whose creation did not come to its end as far as the note says."""
        self.owners.begin([], "docker")
        (self.folder / "made").touch()
        (self.folder / "calls").touch()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, kind=MAKES, docker=NO_PULL)
    yield lab
    for creation in lab.creations:
        if creation.delivery:
            creation.delivery.end("the test is over")


def settle(creation: Creation, told: Told) -> None:
    assert creation.delivery
    for _ in creation.delivery.left(told.ctx):
        pass


def parts(told: Told) -> dict[str, str]:
    return {data["part"]: data["outcome"] for kind, data in told.events if kind is Kind.PART_FINISHED}


def test_why_a_cluster_cannot_be_made_is_said_without_waiting_for_its_images(tmp_path: Path) -> None:
    told, began = Told(), time.monotonic()
    with pytest.raises(InstallError) as caught:
        Lab(tmp_path, kind=FAILS, docker=SLOW).creation().bring_up(told.ctx)
    assert caught.value.code == "engine-networks"
    assert "grafana/loki:3: Pulling" in told.lines
    assert time.monotonic() - began < 30
    assert parts(told) == {"cluster": "failed", "images": "failed", "pull grafana/loki:3": "failed"}


def test_a_cluster_is_made_when_its_api_answers_and_its_nodes_are_waited_for_after_that(lab: Lab) -> None:
    joined = datetime.now(UTC).isoformat()
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": joined}
    starting = {"metadata": {"name": NAME, "creationTimestamp": joined}, "status": {"conditions": [condition]}}
    lab.snapshot = replace(lab.snapshot, members=(Manifest(starting),))
    creation = lab.creation()
    creation.bring_up(Told().ctx)
    assert lab.kubectl.waits == []
    lab.kubectl.then = partial(setattr, lab, "snapshot", replace(lab.snapshot, members=(MEMBER,)))
    assert creation.await_nodes(Told().ctx)
    assert lab.kubectl.waits == ["--for=condition=Ready"]
    assert not creation.await_nodes(Told().ctx)
    assert len(lab.kubectl.waits) == 1


def test_an_image_that_cannot_be_had_is_told_of_and_fails_no_cluster(lab: Lab) -> None:
    told, creation = Told(), lab.creation()
    creation.bring_up(told.ctx)
    settle(creation, told)
    owner = lab.owners.read()
    assert owner is not None
    assert owner.complete
    assert parts(told) == {"cluster": "completed", "images": "failed", "pull grafana/loki:3": "failed"}
    assert told.notices == [
        "There is no image grafana/loki:3, or it is private. The nodes pull what they lack, if they can."
    ]


def test_manifests_that_name_no_images_fail_no_cluster(lab: Lab) -> None:
    def fails() -> list[str]:
        raise InstallError("manifests-unusable", "They cannot be read.")

    told, creation = Told(), lab.creation(fails)
    creation.bring_up(told.ctx)
    settle(creation, told)
    assert told.notices == ["They cannot be read. The nodes pull what they lack, if they can."]


def test_a_cluster_that_became_ready_stays_whatever_fails_after_that(lab: Lab) -> None:
    creation, note, kept = lab.creation(), lab.folder / "note", lab.folder / "kept"
    spoils = f"mv {note} {kept}; touch {note}; "
    (lab.folder / "kind").write_text(MAKES.format(folder=lab.folder).replace("exit 0", spoils + "exit 0"))
    with pytest.raises(InstallError) as caught:
        creation.bring_up(Told().ctx)
    assert caught.value.code == "folder-unwritable"
    note.unlink()
    kept.rename(note)
    lab.kubectl.storage = ""
    creation.bring_up(Told().ctx)
    assert lab.kind_calls() == ["create"]
    owner = lab.owners.read()
    assert owner is not None
    assert owner.complete


def test_a_creation_that_was_cut_off_when_it_was_done_is_used(lab: Lab) -> None:
    lab.cut_off()
    lab.kubectl.failures = [InstallError("api-unreachable", "It does not answer.")]
    lab.creation().bring_up(Told().ctx)
    assert lab.kind_calls() == []


def test_a_creation_that_was_cut_off_in_the_middle_is_made_anew(lab: Lab) -> None:
    lab.cut_off()
    lab.kubectl.storage = ""
    lab.creation().bring_up(Told().ctx)
    assert lab.kind_calls() == ["delete", "create"]


@pytest.mark.parametrize("why", ["file exists", "permission denied"])
def test_a_cluster_is_not_removed_because_kubectls_configuration_cannot_be_written(lab: Lab, why: str) -> None:
    lab.cut_off()
    lab.snapshot = replace(lab.snapshot, kubectl_error=InstallError("context-missing", "kubectl knows no context"))
    said = f"ERROR: failed to lock config file: open /home/joe/.kube/config.lock: {why}"
    (lab.folder / "kind").write_text(MAKES.format(folder=lab.folder).replace("exit 0", f'echo "{said}"; exit 1'))
    with pytest.raises(InstallError) as caught:
        lab.creation().bring_up(Told().ctx)
    assert caught.value.code in {"kubeconfig-locked", "kubeconfig-unwritable"}
    assert lab.kind_calls() == ["export"]


def test_a_removal_that_fails_of_a_known_cause_names_it_and_is_tried_again(lab: Lab) -> None:
    lab.cut_off()
    said = "ERROR: failed to delete cluster: failed to lock config file: open /home/joe/.kube/config.lock: file exists"
    (lab.folder / "kind").write_text(f'#!/bin/sh\necho "{said}"; exit 1')
    with pytest.raises(InstallError) as caught:
        lab.creation().remove(Told().ctx)
    assert caught.value.code == "kubeconfig-locked"
    assert caught.value.retryable


def test_a_cluster_of_others_is_left_alone(lab: Lab) -> None:
    lab.snapshot = replace(lab.snapshot, ours=False)
    (lab.folder / "made").touch()
    with pytest.raises(InstallError) as caught:
        lab.creation().bring_up(Told().ctx)
    assert caught.value.code == "cluster-foreign"


def test_work_beside_a_step_ends_with_it() -> None:
    told, ended = Told(), []
    with child_context(told.ctx) as aside, aside.on_cancel(lambda: ended.append("work")):
        aside.raise_if_cancelled()
        told.token.cancel("Ctrl-C")
        with pytest.raises(CancelledError):
            aside.wait(60)
    assert ended == ["work"]
