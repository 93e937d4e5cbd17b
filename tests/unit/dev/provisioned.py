"""The committed dashboard and alert rules, as documents."""

from __future__ import annotations

import json
from typing import Any

from contextcore_install.stack import provisioned


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(provisioned.dashboards()["installation.json"])
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels, without the rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def panel(title: str) -> dict[str, Any]:
    (found,) = (panel for panel in panels() if panel["title"] == title)
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = json.loads(provisioned.alerting()["rules.json"])["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found
