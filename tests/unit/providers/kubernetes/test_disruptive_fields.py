"""Fields that were added to our objects and change what they do: found, removed, and reported if that is forbidden."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Risk
from contextcore_install.core.provider import Drift
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.objects import FINGERPRINT, RELEASE_LABEL, Release, fingerprint
from contextcore_install.providers.kubernetes.release import Applier, drift
from kit.fakes import Told
from kit.kube_world import Cluster

OURS = {"app.kubernetes.io/name": "mimir"}
FORBIDDEN = (
    'Error from server (Forbidden): services "mimir" is forbidden: User "me" cannot patch resource "services" '
    'in API group "" in the namespace "obs"'
)


def thing(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object as it is rendered."""
    metadata: dict[str, Any] = {"name": name, "namespace": "obs", "labels": {RELEASE_LABEL: "demo"}}
    version = "apps/v1" if kind == "StatefulSet" else "v1"
    item = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    metadata["annotations"] = {FINGERPRINT: fingerprint(item)}
    return item


def workload(**container: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "mimir", "image": "m:1", **container}]}
    return thing("StatefulSet", "mimir", {"template": {"spec": pod}})


SERVICE = thing("Service", "mimir", {"type": "ClusterIP", "selector": OURS})


class World:
    """A release that is in place, of which somebody changes something."""

    def __init__(self, folder: Path, *objects: dict[str, Any]) -> None:
        self.release = Release(objects, "obs")
        self.cluster = Cluster(folder)
        self.reader = Reader(self.cluster.kubectl, lambda: self.release)
        self.told = Told()
        self.apply()
        assert not self.drift()

    def apply(self) -> None:
        Applier(self.reader, "demo").apply(self.release, self.reader.read(fresh=True), self.told.ctx)

    def drift(self) -> list[Drift]:
        return list(drift(self.release, self.reader.read(fresh=True), "demo"))

    def patched(self, kind: str, patch: dict[str, Any], *managers: dict[str, Any]) -> None:
        """Patch an object of ours as a person does, and let the API server note who did it."""
        arguments = ("patch", kind, "mimir", "-n", "obs", "-p", json.dumps(patch))
        subprocess.run([str(self.cluster.program), *arguments], check=True)
        objects = self.cluster.objects
        for item in objects:
            item["metadata"]["managedFields"] = list(managers)
        self.cluster.put(objects)


def manager(fields: dict[str, Any], name: str = "kubectl-patch", operation: str = "Update") -> dict[str, Any]:
    return {"manager": name, "operation": operation, "fieldsV1": fields, "time": "2026-01-01T10:00:00Z"}


BY_KEY: dict[str, Any] = {"f:spec": {"f:selector": {"f:app/a": {}}}}
AS_A_WHOLE: dict[str, Any] = {"f:spec": {"f:selector": {}}}
ADDED = {"spec": {"selector": {"app/a": "nope"}}}


@pytest.mark.parametrize(
    ("managers", "who"),
    [([manager(BY_KEY)], "kubectl-patch"), ([manager(AS_A_WHOLE)], "kubectl-patch"), ([], "by hand")],
)
def test_a_key_that_was_added_to_a_selector_is_taken_out_again(
    tmp_path: Path, managers: list[dict[str, Any]], who: str
) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", ADDED, *managers)
    change = f"spec.selector.app/a was added ({who}), and is removed again"
    assert world.drift() == [Drift("Service/mimir", change, Risk.HARMLESS)]
    world.apply()
    assert world.cluster.objects[0]["spec"]["selector"] == OURS
    assert not [found for found in world.drift() if not found.kept]


def test_one_that_may_not_take_it_out_is_given_the_command_at_once(tmp_path: Path) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", ADDED, manager(BY_KEY))
    world.cluster.fails(("patch service", FORBIDDEN))
    with pytest.raises(InstallError) as caught:
        world.apply()
    error = caught.value
    assert (error.code, error.retryable) == ("api-forbidden", False)
    assert "spec.selector.app/a" in error.message
    assert "cannot patch resource" in error.evidence
    typed = shlex.split(error.hint)
    assert typed[:3] == ["kubectl", "--context", "lab"]
    subprocess.run([str(world.cluster.program), *typed[3:]], check=True)
    assert world.cluster.objects[0]["spec"]["selector"] == OURS


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("The connection to the server 127.0.0.1:1 was refused - did you specify the right host?", "api-unreachable"),
        ('Error from server (NotFound): services "mimir" not found', ""),
    ],
)  # fmt: skip
def test_another_failure_keeps_its_own_cause_and_what_is_gone_is_none(tmp_path: Path, said: str, code: str) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", ADDED, manager(BY_KEY))
    world.cluster.fails(("patch service", said))
    caught = ""
    try:
        world.apply()
    except InstallError as error:
        caught = error.code
    assert caught == code


def test_what_another_manager_applies_is_left_to_it_and_told_once(tmp_path: Path) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", ADDED, manager(BY_KEY, "argocd-controller", "Apply"))
    change = "spec.selector.app/a is set by argocd-controller, and left to it"
    assert world.drift() == [Drift("Service/mimir", change, kept=True)]
    world.apply()
    assert world.cluster.objects[0]["spec"]["selector"] == {**OURS, "app/a": "nope"}


def test_what_a_container_is_made_to_run_instead_is_taken_out_in_one_patch(tmp_path: Path) -> None:
    world = World(tmp_path / "lab", workload())
    before = world.cluster.objects[0]["spec"]
    container = {"name": "mimir", "command": ["no"], "args": ["a"]}
    world.patched("statefulset", {"spec": {"template": {"spec": {"containers": [container]}}}})
    (found,) = world.drift()
    assert (found.name, found.risk, found.kept) == ("StatefulSet/mimir", Risk.RESTARTS, False)
    assert "containers[mimir].command was added" in found.change
    assert "containers[mimir].args was added" in found.change
    world.cluster.forget_calls()
    world.apply()
    assert world.cluster.objects[0]["spec"] == before
    assert sum(call.startswith("patch statefulset") for call in world.cluster.calls) == 1
    assert not world.drift()


def test_what_is_changed_and_added_at_once_is_told_and_put_back_at_once(tmp_path: Path) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", {"spec": {"type": "NodePort", "selector": {"app/a": "nope"}}})
    assert [found.change.split(" was")[0] for found in world.drift()] == ["changed: spec.type", "spec.selector.app/a"]
    world.apply()
    assert not world.drift()


def test_what_is_harmless_or_meant_stays(tmp_path: Path) -> None:
    unselecting = thing("Service", "mimir", {"type": "ClusterIP"})
    left: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (SERVICE, {"spec": {"sessionAffinity": "ClientIP"}}),
        (unselecting, ADDED),
        (workload(), {"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}),
        (workload(command=["mine"]), {"metadata": {"labels": {"team": "a"}}}),
    ]
    for number, (item, patch) in enumerate(left):
        world = World(tmp_path / str(number), item)
        world.patched(item["kind"].lower(), patch)
        assert not world.drift()
        before = world.cluster.objects
        world.apply()
        assert world.cluster.objects == before


def test_what_is_being_deleted_is_not_patched(tmp_path: Path) -> None:
    world = World(tmp_path / "lab", SERVICE)
    world.patched("service", {**ADDED, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert [found.change for found in world.drift()] == ["being deleted"]
    world.apply()
    assert not [call for call in world.cluster.calls if 'app/a":null' in call]
