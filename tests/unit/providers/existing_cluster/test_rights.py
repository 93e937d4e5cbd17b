"""Rights in a shared cluster: those of one namespace are enough where it is there, and each object's are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.providers.existing_cluster.rights import APPLIED, rights_needed
from contextcore_install.providers.kubernetes.blocked_pods import MissingPods
from contextcore_install.providers.kubernetes.client import Reader
from contextcore_install.providers.kubernetes.objects import RELEASE_LABEL, Manifest, Release
from dev.rights_reference import PAGE, page
from kit.fakes import Told
from kit.kube_world import Cluster, in_context


def thing(kind: str, name: str, namespace: str = "", release: str = "dev") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {RELEASE_LABEL: release}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


MADE_BEFORE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "observability"}}
RELEASE = [thing("Namespace", "observability"), thing("Service", "mimir", "observability")]
CREATE, GET, LIST, PATCH = ((verb, "namespaces", "") for verb in ("create", "get", "list", "patch"))


@pytest.mark.parametrize("lacking", [(CREATE, PATCH), (CREATE, PATCH, LIST), (CREATE, PATCH, LIST, GET)])
def test_rights_in_a_namespace_that_is_there_are_enough(
    tmp_path: Path, lacking: tuple[tuple[str, str, str], ...]
) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([MADE_BEFORE])
    cluster.forbids(*lacking)
    place = in_context(tmp_path, cluster, RELEASE)
    place.create_cluster(Told().ctx)
    place.apply_release(Told().ctx)
    assert not place.drift()
    assert MADE_BEFORE in cluster.objects


def test_without_rights_to_namespaces_one_that_is_not_there_is_said_to_be_needed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.forbids(CREATE, PATCH, LIST, GET)
    with pytest.raises(InstallError, match="may not do all") as caught:
        in_context(tmp_path, cluster, RELEASE).create_cluster(Told().ctx)
    assert "create namespaces" in caught.value.evidence
    assert not cluster.objects


def test_each_right_that_is_lacking_is_named(tmp_path: Path) -> None:
    lacking = rights_needed(Release(tuple(RELEASE)))
    assert len(lacking) > len(APPLIED)
    cluster = Cluster(tmp_path / "lab")
    cluster.put([MADE_BEFORE])
    cluster.forbids(*((right.verb, right.resource, right.namespace) for right in lacking))
    with pytest.raises(InstallError) as caught:
        in_context(tmp_path, cluster, RELEASE).create_cluster(Told().ctx)
    named = set(caught.value.evidence.removeprefix("may not: ").split("; "))
    assert named == {str(right) for right in lacking if right.resource != "namespaces"}  # it is there


def test_the_documented_role_is_what_the_code_asks_for() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "the grants have changed: `make reference` writes them anew"
    role, wide = yaml.safe_load_all(page())
    granted = {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = rights_needed(Release((thing("Service", "mimir", "observability"),)))
    needed = {(item.verb, item.group, "/".join(filter(None, (item.resource, item.subresource)))) for item in asked}
    assert needed <= granted
    assert (role["metadata"]["namespace"], wide["rules"][0]["resources"]) == ("observability", ["namespaces"])


def test_who_may_make_the_namespace_but_not_list_all_has_it_made(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.forbids(LIST)
    place = in_context(tmp_path, cluster, RELEASE)
    place.apply_release(Told().ctx)
    assert "Namespace/observability" in cluster.names
    assert not place.drift()


def test_what_is_in_another_namespace_is_asked_for_there(tmp_path: Path) -> None:
    release = Release((*RELEASE, thing("Service", "agent", "edge")))
    needed = {str(right) for right in rights_needed(release)}
    assert {"create services -n observability", "create services -n edge", "watch pods -n edge"} <= needed
    assert "create namespaces" in needed
    cluster = Cluster(tmp_path / "lab")
    cluster.forbids(("patch", "services", "edge"))
    place = in_context(tmp_path, cluster, list(release.objects))
    with pytest.raises(InstallError, match="in the namespace edge"):
        place.create_cluster(Told().ctx)


def test_objects_are_another_installations_only_in_the_place_of_ours(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([thing("Service", "mimir", "edge", "theirs"), thing("ConfigMap", "mimir", "observability", "theirs")])
    place = in_context(tmp_path, cluster, [*RELEASE, thing("Service", "agent", "edge")])
    assert place.cluster().state is ClusterState.HEALTHY
    cluster.put([thing("Service", "agent", "edge", "theirs")])
    (tmp_path / "again").mkdir()
    place = in_context(tmp_path / "again", cluster, [*RELEASE, thing("Service", "agent", "edge")])
    assert "the namespace edge of lab holds" in place.cluster().evidence


def test_what_this_user_may_not_make_says_nothing_of_what_a_controller_may(tmp_path: Path) -> None:
    said = (
        'Error from server (Forbidden): error when creating "STDIN": pods is forbidden: User "me" cannot create '
        'resource "pods" in API group "" in the namespace "observability"'
    )
    cluster = Cluster(tmp_path / "lab")
    cluster.fails(("--dry-run=server", said))
    workload = Manifest({**thing("StatefulSet", "loki", "observability"), "spec": {"template": {"spec": {}}}})
    assert MissingPods(Reader(cluster.kubectl, lambda: Release(()))).refusal(workload) is None
