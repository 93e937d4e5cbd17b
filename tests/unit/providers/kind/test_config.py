"""What clusters of kind are made from."""

from __future__ import annotations

import json

import pytest

from contextcore_install.providers.kind.cluster import (
    NODE_IMAGE,
    NODE_LABEL,
    cluster_config,
    default_node_image,
    image_version,
    needs_cgroup_v2,
)
from contextcore_install.stack.catalogue import resolve_ports

PORTS = resolve_ports({})


def test_ports_are_shown_on_loopback_only_and_nodes_carry_our_mark() -> None:
    config = cluster_config("demo", "abc", PORTS, NODE_IMAGE, workers=2)
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    mappings = config["nodes"][0]["extraPortMappings"]
    assert {entry["listenAddress"] for entry in mappings} == {"127.0.0.1"}
    assert {(entry["containerPort"], entry["hostPort"]) for entry in mappings} == {
        (30000, 3000), (30009, 9009), (30100, 3100), (30200, 3200), (30317, 4317), (30318, 4318)
    }  # fmt: skip
    assert all(node["labels"] == {NODE_LABEL: "abc"} and node["image"] == NODE_IMAGE for node in config["nodes"])
    assert "@sha256:" in NODE_IMAGE


QUICK = [*(f"kubeadm.k8s.io/v1beta{number}" for number in (2, 3, 4)), "kubeproxy.config.k8s.io/v1alpha1"]


@pytest.mark.parametrize(
    ("version", "patched"),
    [
        ("v1.18.20", ["kubelet.config.k8s.io/v1beta1"]),
        ("v1.20.2", ["kubelet.config.k8s.io/v1beta1", *QUICK]),
        ("v1.26.15", ["kubelet.config.k8s.io/v1beta1", *QUICK]),
        ("v1.27.3", QUICK),
        ("latest", QUICK),
    ],
)
def test_what_starts_slowly_is_told_to_be_quick_if_it_knows_how(version: str, patched: list[str]) -> None:
    config = cluster_config("demo", "abc", PORTS, f"kindest/node:{version}", workers=0)
    assert [json.loads(patch)["apiVersion"] for patch in config["kubeadmConfigPatches"]] == patched


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ((0, 20, 0), (1, 27)),
        ((0, 27, 0), (1, 32)),
        ((0, 31, 0), (1, 35)),
        ((0, 32, 0), (1, 36)),
        ((0, 33, 0), (1, 37)),
        ((1, 0, 0), (1, 37)),
        ((), (1, 37)),
    ],
)
def test_a_kind_makes_nodes_that_it_can_configure(kind: tuple[int, ...], version: tuple[int, int]) -> None:
    image = default_node_image(kind)
    assert image_version(image) == version
    assert "@sha256:" in image


@pytest.mark.parametrize(
    ("image", "version", "refuses"),
    [
        (NODE_IMAGE, (1, 37), True),
        ("kindest/node:v1.34.0", (1, 34), False),
        ("kindest/node:lab-v1.20.2", (1, 20), False),
        ("mirror:5000/kindest/node:v1.35.1@sha256:00", (1, 35), True),
        ("kindest/node:latest", None, False),
        ("own/node", None, False),
    ],
)
def test_whether_a_node_image_takes_cgroup_v1_is_read_from_its_name(
    image: str, version: tuple[int, int] | None, *, refuses: bool
) -> None:
    assert image_version(image) == version
    assert needs_cgroup_v2(image) is refuses
