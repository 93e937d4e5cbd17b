"""Objects: their names, what differs between two versions of one, and where a mirror has an image."""

from __future__ import annotations

from typing import Any

import pytest

from contextcore_install.providers.kubernetes.manifests import mirrored
from contextcore_install.providers.kubernetes.objects import Key, Manifest, Release, difference, fingerprint


@pytest.mark.parametrize(
    ("wanted", "live", "where"),
    [
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 1, "revisionHistoryLimit": 10}, "status": {}}, ""),
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 0}}, "spec.replicas"),
        ({"spec": {"memory": "1024Mi"}}, {"spec": {"memory": "1Gi"}}, ""),
        ({"spec": {"cpu": "0.5"}}, {"spec": {"cpu": "500m"}}, ""),
        ({"spec": {"cpu": "0.5"}}, {"spec": {"cpu": "501m"}}, "spec.cpu"),
        ("one", "other", "value"),
        ({"on": True}, {"on": 1}, ""),
        ({"on": True}, {"on": "true"}, "on"),
        ({"on": "1"}, {"on": True}, "on"),
        ({"emptyDir": {}}, {}, ""),
        ({"command": ["a", "b"]}, {"command": ["a"]}, "command"),
        ({"command": ["a", "b"]}, {"command": ["a", "c"]}, "command[1]"),
        ({"command": []}, {}, ""),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}, {"name": "A", "value": "1"}]}, ""),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}, "env[A].value"),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}]}, "env[A]"),
        ({"data": {"key": "text"}}, {"data": "text"}, "data"),
        ({"ports": [{"name": "a"}]}, {"ports": "none"}, "ports"),
    ],
)
def test_only_what_was_asked_for_counts(wanted: Any, live: Any, where: str) -> None:
    assert difference(wanted, live) == where


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})


def test_objects_without_a_namespace_are_in_the_default_unless_their_kind_has_none() -> None:
    assert Manifest(kind="Service", metadata={"name": "a"}).key_in("obs") == Key("Service", "obs", "a")
    assert Manifest(kind="Namespace", metadata={"name": "a"}).key_in("obs") == Key("Namespace", "", "a")


def test_kinds_are_named_with_version_and_group() -> None:
    assert Manifest(apiVersion="v1", kind="Service").resource == "service"
    assert Manifest(apiVersion="apps/v1", kind="StatefulSet").resource == "statefulset.v1.apps"


@pytest.mark.parametrize(("kind", "member"), [("StatefulSet", "template"), ("Service", "selector")])
def test_what_is_read_by_its_kind_holds_no_null_in_any_group(kind: str, member: str) -> None:
    item = {"apiVersion": "example.org/v1", "kind": kind, "metadata": {"name": "a"}, "spec": {member: None}}
    assert Manifest.checked(item)["spec"] == {}


def test_images_are_found_in_workloads_pods_and_cron_jobs_each_once() -> None:
    pod = {"initContainers": [{"image": "a"}], "containers": [{"image": "b"}]}
    items = [
        {"kind": "Deployment", "spec": {"template": {"spec": pod}}},
        {"kind": "Pod", "spec": pod},
        {
            "kind": "CronJob",
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": "c"}]}}}}},
        },
        {"kind": "ConfigMap", "data": {}},
    ]
    assert Release(tuple(items)).images == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("image", "there"),
    [
        ("grafana/mimir:3.1.1", "mirror:5000/hub/grafana/mimir:3.1.1"),
        ("busybox", "mirror:5000/hub/library/busybox"),
        ("docker.io/grafana/loki:3", "mirror:5000/hub/grafana/loki:3"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        ("localhost/a:1", "localhost/a:1"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
    ],
)
def test_a_mirror_stands_for_docker_hub_only(image: str, there: str) -> None:
    assert mirrored(image, "mirror:5000/hub/") == there
    assert mirrored(image, "") == image
