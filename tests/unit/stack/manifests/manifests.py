"""What the tests of the manifests read: the kustomization's own files, without kubectl."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import contextcore_install

yaml = pytest.importorskip("yaml")

BASE = Path(contextcore_install.__file__).parent / "stack" / "manifests"
COMPONENTS = ("mimir", "loki", "tempo", "alloy", "grafana")


@cache
def read(path: str) -> Any:
    return yaml.safe_load((BASE / path).read_text())


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = read("kustomization.yaml")
    return found


def resources() -> list[dict[str, Any]]:
    return [read(path) for path in kustomization()["resources"]]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {r["metadata"]["name"]: r for r in resources() if r["kind"] == kind}


def pod(component: str) -> dict[str, Any]:
    found: dict[str, Any] = of_kind("StatefulSet")[component]["spec"]["template"]["spec"]
    return found


def config_maps(pod: dict[str, Any]) -> set[str]:
    """Return the names of the ConfigMaps that a pod's volumes hold, alone or beside others."""
    sources = [s for v in pod["volumes"] for s in [v, *v.get("projected", {}).get("sources", [])]]
    return {s["configMap"]["name"] for s in sources if "configMap" in s}


def container(component: str) -> dict[str, Any]:
    (only,) = pod(component)["containers"]
    assert isinstance(only, dict)
    return only
