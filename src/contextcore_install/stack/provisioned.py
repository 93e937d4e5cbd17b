"""What every Grafana of ours is provisioned with: the committed files that `make dashboards` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "manifests" / "grafana"


@cache
def dashboards() -> Mapping[str, str]:
    """Return the dashboards: JSON by the file's name."""
    return _texts("dashboards")


@cache
def alerting() -> Mapping[str, str]:
    """Return the alert rules: JSON by the file's name."""
    return _texts("alerting")


def dashboard_uids() -> tuple[str, ...]:
    """Return the dashboards' uids, by which links lead to them."""
    return tuple(str(json.loads(text)["uid"]) for text in dashboards().values())


def rule_uids() -> tuple[str, ...]:
    """Return the alert rules' uids."""
    files = [json.loads(text) for text in alerting().values()]
    return tuple(str(rule["uid"]) for file in files for group in file.get("groups", []) for rule in group["rules"])


def _texts(folder: str) -> Mapping[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((FOLDER / folder).glob("*.json"))}
