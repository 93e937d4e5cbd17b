"""Rights in a shared cluster: those of one namespace are enough where it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.providers._kubectl.objects import RELEASE_LABEL
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
