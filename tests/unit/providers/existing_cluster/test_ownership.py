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


@pytest.mark.parametrize(
    ("found", "unlike"),
    [
        (Identity("1", "https://tunnel"), False),
        (Identity("2", "https://lab"), True),
        (Identity("", "https://lab"), False),
        (Identity("", "https://other"), True),
        (Identity(), False),
    ],
)
def test_only_what_is_known_for_certain_makes_it_another(found: Identity, *, unlike: bool) -> None:
    assert found.is_unlike(Identity("1", "https://lab")) is unlike
