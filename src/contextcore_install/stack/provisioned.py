"""What every Grafana of ours is provisioned with: the committed files that `make dashboards` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from contextcore_install.core.provider import Endpoint, url_of

FOLDER = Path(__file__).parent / "manifests" / "grafana"


def dashboards() -> Mapping[str, str]:
    return _texts("dashboards")


def alerting() -> Mapping[str, str]:
    return _texts("alerting")


@cache
def _texts(folder: str) -> Mapping[str, str]:
    """Return the files of a folder: JSON by the file's name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((FOLDER / folder).glob("*.json"))}


def dashboard_uids() -> tuple[str, ...]:
    """Return the dashboards' uids, by which links lead to them."""
    return tuple(str(json.loads(text)["uid"]) for text in dashboards().values())


def dashboard_url(endpoints: Iterable[Endpoint], cluster: str) -> str:
    """Return where Grafana shows the installation of a cluster; empty if it cannot be reached."""
    url, uid = url_of(endpoints, "grafana"), json.loads(dashboards()["installation.json"])["uid"]
    return f"{url}/d/{uid}?var-cluster={cluster}" if url else ""


def rule_uids() -> tuple[str, ...]:
    files = [json.loads(text) for text in alerting().values()]
    return tuple(str(rule["uid"]) for file in files for group in file.get("groups", []) for rule in group["rules"])
