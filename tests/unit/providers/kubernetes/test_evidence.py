"""What is collected of a cluster, and what is left out where it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.evidence import cluster_evidence, without_secrets, without_values
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from kit.fakes import Told
from kit.kube_world import Cluster

MARKER = "pl4nt3dM4rk3r"


def reading(cluster: Cluster) -> Reader:
    return Reader(cluster.kubectl, lambda: Release([{"kind": "Service", "metadata": {"name": "a"}}], "obs"))


DESCRIBED = f"""\
Name:         mimir-0
Containers:
  mimir:
    Image:  grafana/mimir
    Environment:
      SOMETHING:           {MARKER}
      MANY_LINES:          first
                           {MARKER}
      FROM_A_SECRET:       <set to the key 'x' in secret 'y'>  Optional: false
    Mounts:
      /data from storage (rw)
    Environment:           <none>
Conditions:
  Type    Status
  Ready   True
"""


def test_a_description_keeps_the_names_of_variables_and_not_their_values() -> None:
    shown = without_values(DESCRIBED)
    assert MARKER not in shown
    assert (
        "      SOMETHING: <hidden>\n      MANY_LINES: <hidden>\n      FROM_A_SECRET: <hidden>\n    Mounts:\n" in shown
    )
    assert "      /data from storage (rw)" in shown
    assert shown.endswith("  Ready   True\n")


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "Secret", "metadata": {"name": "x"}, "data": {"admin": MARKER}, "stringData": {"b": MARKER}},
        {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a.yaml": f"x: {MARKER}"}},
        {"kind": "Pod", "spec": {"containers": [{"env": [{"name": "A", "value": MARKER}]}]}},
        {"kind": "Pod", "spec": {"initContainers": [{"args": ["--token", MARKER]}]}},
        {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"command": [f"--password={MARKER}"]}]}}}},
        {
            "kind": "Pod",
            "metadata": {
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": MARKER},
                "managedFields": [MARKER],
            },
        },
    ],
    ids=["Secret", "ConfigMap", "variable", "arguments", "command", "metadata"],
)  # fmt: skip
def test_an_object_is_shown_without_what_it_keeps_for_others(item: dict[str, object]) -> None:
    shown = json.dumps(without_secrets(Manifest(item)))
    assert MARKER not in shown
    for name in ("admin", "a.yaml", "A"):
        assert (f'"{name}"' in json.dumps(item)) == (f'"{name}"' in shown)


def test_each_piece_fails_by_itself_and_says_why(tmp_path: Path) -> None:
    world = Cluster(tmp_path)
    world.put([{"kind": "Pod", "metadata": {"name": "mimir-0", "namespace": "obs", "uid": "1"}}])
    world.fails(("describe nodes", "Error from server (Forbidden): nodes is forbidden"))
    found: dict[str, object] = {}
    refused = []
    for item in cluster_evidence(reading(world), lambda: None):
        try:
            found |= dict(item.collect(Told().ctx))
        except InstallError:
            refused.append(item.name)
    assert refused == ["the nodes"]
    assert {"cluster/obs/pods.txt", "cluster/obs/events.txt", "cluster/obs/objects.json"} <= set(found)
    assert "logs mimir-0 --namespace obs --all-containers --tail=400" in world.calls


def test_an_api_that_is_short_of_time_is_asked_again(tmp_path: Path) -> None:
    world = Cluster(tmp_path)
    world.fails(("get events", "Unable to connect to the server: net/http: request canceled"))
    (events,) = [item for item in cluster_evidence(reading(world), lambda: None) if item.name == "the events"]
    assert [path for path, _ in events.collect(Told().ctx)] == ["cluster/obs/events.txt"]
    assert len(world.calls) == 2


def test_where_nothing_would_answer_nothing_is_asked(tmp_path: Path) -> None:
    world = Cluster(tmp_path)

    def refuse() -> None:
        raise InstallError("cluster-not-running", "it does not run")

    for item in cluster_evidence(reading(world), refuse):
        with pytest.raises(InstallError, match="it does not run"):
            list(item.collect(Told().ctx))
    assert world.calls == []
