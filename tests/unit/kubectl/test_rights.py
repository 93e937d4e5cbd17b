"""Rights in a shared cluster: those of one namespace are enough where it is there, and each object's are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.providers._kubectl.objects import RELEASE_LABEL
from contextcore_install.providers._kubectl.render import Release
from contextcore_install.providers.kube_context.rights import rights_needed
from fakes import Told
from kube_world import Cluster, in_context


def thing(kind: str, name: str, namespace: str = "", release: str = "dev") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {RELEASE_LABEL: release}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


MADE_BEFORE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "observability"}}
ACCOUNT = thing("ServiceAccount", "default", "observability")
RELEASE = [thing("Namespace", "observability"), thing("Service", "mimir", "observability")]
CREATE, GET, LIST, PATCH = ((verb, "namespaces", "") for verb in ("create", "get", "list", "patch"))


@pytest.mark.parametrize("lacking", [(CREATE, PATCH), (CREATE, PATCH, LIST), (CREATE, PATCH, LIST, GET)])
def test_rights_in_a_namespace_that_is_there_are_enough(
    tmp_path: Path, lacking: tuple[tuple[str, str, str], ...]
) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([MADE_BEFORE, ACCOUNT])
    cluster.forbids(*lacking)
    place = in_context(tmp_path, cluster, RELEASE)
    place.create_cluster(Told().ctx)
    place.apply_release(Told().ctx)
    assert not place.drift()
    assert MADE_BEFORE in cluster.objects


def test_who_may_make_the_namespace_but_not_list_all_has_it_made(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.forbids(LIST)
    place = in_context(tmp_path, cluster, RELEASE)
    place.apply_release(Told().ctx)
    assert "Namespace/observability" in cluster.names
    assert not place.drift()


def test_what_is_in_another_namespace_is_asked_for_there(tmp_path: Path) -> None:
    release = Release((*RELEASE, thing("Service", "agent", "edge")))
    needed = {right.shown for right in rights_needed(release)}
    assert {"create services -n observability", "create services -n edge", "watch pods -n edge"} <= needed
    assert "create namespaces" in needed
    cluster = Cluster(tmp_path / "lab")
    cluster.forbids(("patch", "services", "edge"))
    place = in_context(tmp_path, cluster, list(release.objects))
    with pytest.raises(InstallError, match="in the namespace edge"):
        place.create_cluster(Told().ctx)


def test_objects_are_another_installations_only_in_the_place_of_ours(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put(
        [thing("Service", "mimir", "edge", "theirs"), thing("ConfigMap", "mimir", "observability", "theirs")]
    )
    place = in_context(tmp_path, cluster, [*RELEASE, thing("Service", "agent", "edge")])
    assert place.cluster().state is ClusterState.HEALTHY
    cluster.put([thing("Service", "agent", "edge", "theirs")])
    (tmp_path / "again").mkdir()
    place = in_context(tmp_path / "again", cluster, [*RELEASE, thing("Service", "agent", "edge")])
    assert "the namespace edge of lab holds" in place.cluster().evidence
