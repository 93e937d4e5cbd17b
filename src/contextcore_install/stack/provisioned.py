"""What every Grafana of ours is provisioned with: the committed files that `make dashboards` writes."""

from __future__ import annotations

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


def _texts(folder: str) -> Mapping[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((FOLDER / folder).glob("*.json"))}
