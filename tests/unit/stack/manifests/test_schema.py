from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from unit.stack.manifests.manifests import BASE, config_maps, kustomization, read, resources, yaml

OLDEST, CURRENT = "1.25", "1.37"
"""The oldest that the package of schemas holds, and the one whose node image is pinned."""


@pytest.mark.parametrize("version", [OLDEST, CURRENT])
@pytest.mark.parametrize("path", kustomization()["resources"])
def test_every_object_is_one_that_kubernetes_accepts(path: str, version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(read(path), version, strict=True)


@cache
def rendered() -> list[dict[str, Any]]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on PATH")
    done = subprocess.run([kubectl, "kustomize", str(BASE)], capture_output=True, text=True, timeout=60, check=True)
    assert "deprecated" not in done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_kubectl_renders_every_object_into_the_namespace() -> None:
    objects = rendered()
    assert len(objects) == len(resources()) + len(kustomization()["configMapGenerator"])
    for found in objects:
        namespace = "observability" if found["kind"] != "Namespace" else None
        assert found["metadata"].get("namespace") == namespace


def test_pods_refer_to_the_generated_names() -> None:
    objects = rendered()
    made = {o["metadata"]["name"] for o in objects if o["kind"] == "ConfigMap"}
    pods = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "StatefulSet"]
    assert {name for pod in pods for name in config_maps(pod)} == made


def test_no_config_map_comes_near_the_limit_of_one_mebibyte() -> None:
    for found in rendered():
        if found["kind"] == "ConfigMap":
            assert len(json.dumps(found)) < 900 * 1024
