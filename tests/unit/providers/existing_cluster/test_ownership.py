"""A context that leads to another cluster than it did is refused, unless it is given again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.providers.existing_cluster.ownership import CLUSTER_FILE, Identity
from contextcore_install.providers.existing_cluster.provider import KubeContextProvider
from contextcore_install.providers.kubernetes.objects import RELEASE_LABEL
from kit.fakes import Told
from kit.kube_world import Cluster, in_context

GIVEN = frozenset({"context"})
RELEASE: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "mimir", "namespace": "observability", "labels": {RELEASE_LABEL: "dev"}},
        "spec": {"ports": [{"port": 9009}]},
    }
]


def lab(folder: Path, uid: str) -> Cluster:
    cluster = Cluster(folder / uid)
    cluster.put([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}}])
    return cluster


@pytest.fixture
def first(tmp_path: Path) -> Cluster:
    """The cluster that holds the installation: the first of two that files of contexts call lab."""
    cluster = lab(tmp_path, "1")
    in_context(tmp_path, cluster, RELEASE).apply_release(Told().ctx)
    return cluster


def test_the_cluster_behind_a_name_is_known_again(tmp_path: Path, first: Cluster) -> None:
    assert in_context(tmp_path, first, RELEASE).cluster().state is ClusterState.HEALTHY
    other = lab(tmp_path, "2")
    before = other.objects
    place = in_context(tmp_path, other, RELEASE)
    for refused in (place.cluster, place.remote, place.drift, lambda: place.remove_cluster(Told().ctx)):
        with pytest.raises(InstallError, match="leads to another cluster") as caught:
            refused()
        assert "--resume --context lab" in caught.value.hint
    assert "another cluster" in place.endpoints()[0].stranger
    assert other.objects == before


@pytest.mark.usefixtures("first")
def test_a_context_that_is_given_again_counts_from_then_on(tmp_path: Path) -> None:
    other = lab(tmp_path, "2")
    in_context(tmp_path, other, RELEASE, GIVEN).apply_release(Told().ctx)
    assert not in_context(tmp_path, other, RELEASE).drift()


def test_what_an_earlier_version_did_not_note_is_noted_where_the_installation_is(
    tmp_path: Path, first: Cluster
) -> None:
    note = tmp_path / "dev" / KubeContextProvider.name / CLUSTER_FILE
    note.unlink()
    assert in_context(tmp_path, lab(tmp_path, "2"), RELEASE).cluster().state is ClusterState.HEALTHY
    assert not note.exists()
    assert in_context(tmp_path, first, RELEASE).cluster().state is ClusterState.HEALTHY
    assert json.loads(note.read_text()) == {"uid": "1", "server": "https://lab:6443"}


def test_what_another_process_notes_counts_at_once(tmp_path: Path) -> None:
    place = in_context(tmp_path, lab(tmp_path, "2"), RELEASE)
    assert not place.remote().is_read_with_checks  # and nothing is noted yet
    note = tmp_path / "dev" / KubeContextProvider.name / CLUSTER_FILE
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"uid": "1", "server": "https://lab:6443"}))
    with pytest.raises(InstallError, match="leads to another cluster"):
        place.remote()


DOWN = "The connection to the server lab:6443 was refused - did you specify the right host or port?"


@pytest.fixture
def silent(tmp_path: Path, first: Cluster) -> Cluster:
    """Another cluster that the context leads to now, which does not say which it is when it is asked first."""
    other = lab(tmp_path, "2")
    other.put([*other.objects, *RELEASE])
    other.fails(("get namespace kube-system", DOWN))
    assert first.objects
    return other


def test_a_cluster_that_did_not_say_which_it_is_is_asked_before_anything_else(tmp_path: Path, silent: Cluster) -> None:
    place = in_context(tmp_path, silent, RELEASE)
    with pytest.raises(InstallError, match="cannot be reached"):
        place.cluster()
    for change in (place.apply_release, place.remove_release, place.start_workloads, place.remove_cluster):
        with pytest.raises(InstallError, match="leads to another cluster"):
            change(Told().ctx)


def test_records_are_kept_only_in_a_cluster_that_said_which_it_is(tmp_path: Path, silent: Cluster) -> None:
    remote = in_context(tmp_path, silent, RELEASE).remote()  # a run may begin while its cluster is down
    for use in (remote.lease.read, remote.records.remove, lambda: remote.records.write({}, "")):
        with pytest.raises(InstallError, match="leads to another cluster"):
            use()


def test_no_way_is_opened_to_a_cluster_that_did_not_say_which_it_is(tmp_path: Path, silent: Cluster) -> None:
    assert not in_context(tmp_path, silent, RELEASE).endpoints()[0].is_reachable
    assert not any(call.startswith("port-forward") for call in silent.calls)


def test_a_cluster_that_is_known_by_nothing_is_asked_each_time(tmp_path: Path, first: Cluster) -> None:
    place = in_context(tmp_path, first, RELEASE)
    (tmp_path / "dev" / KubeContextProvider.name / CLUSTER_FILE).write_text(json.dumps({"uid": "1", "server": ""}))
    first.forbids(("get", "namespaces", ""))
    first.forget_calls()
    for _ in range(2):
        place.remote()
    assert sum(call.startswith("get namespace kube-system") for call in first.calls) == 2


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (Identity("1", "https://tunnel"), True),
        (Identity("2", "https://lab"), False),
        (Identity("", "https://lab"), True),
        (Identity("", "https://other"), False),
        (Identity(), None),
    ],
)
def test_only_what_is_known_for_certain_makes_it_another(found: Identity, *, same: bool | None) -> None:
    assert found.matches(Identity("1", "https://lab")) is same
