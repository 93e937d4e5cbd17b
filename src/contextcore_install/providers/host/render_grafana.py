"""Grafana's files: its own settings, and what it provisions at its start.

Sections and keys are those of Grafana's conf/defaults.ini; provisioning files as in "Provision Grafana".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextcore_install.stack import provisioned

DASHBOARD_FOLDER = "ContextCore"
CONTACT_POINTS = "contact-points.yaml"
"""The file that says where alerts are sent, which holds secrets."""


def home_of(program: Path) -> Path | None:
    """Return the folder with Grafana's own `conf` and `public`; None leaves it to Grafana to find them.

    Upstream's archive has `bin/grafana` in it; the deb and rpm packages put a wrapper on PATH and the home into
    /usr/share/grafana; Homebrew links into PREFIX/opt/grafana, whose home is `share/grafana`.
    """
    real = program.resolve()
    candidates = (real.parent.parent, real.parent.parent / "share" / "grafana", Path("/usr/share/grafana"))
    return next((home for home in candidates if (home / "conf" / "defaults.ini").is_file()), None)


def files(
    *,
    config: Path,
    data: Path,
    logs: Path,
    password: Path,
    port: int,
    datasources: Mapping[str, str],
    contact_points: str = "",
) -> dict[str, str]:
    """Return the files by path below `config`.

    `datasources` are URLs by component; `password` is a file; `contact_points` is the text of a file that says where
    alerts are sent, as Grafana provisions it. It holds secrets: like all of these files, it is for this user alone.
    """
    alerting = {**provisioned.alerting(), **({CONTACT_POINTS: contact_points} if contact_points else {})}
    return {
        "grafana.ini": _settings(config, data, logs, password, port),
        "provisioning/datasources/contextcore.yaml": _json(_datasources(datasources)),
        "provisioning/dashboards/contextcore.yaml": _json(_dashboards(config / "dashboards")),
        **{f"provisioning/alerting/{name}": text for name, text in alerting.items()},
        # Grafana complains of a folder that is missing.
        "provisioning/plugins/.keep": "",
        **{f"dashboards/{name}": text for name, text in provisioned.dashboards().items()},
    }


def _settings(config: Path, data: Path, logs: Path, password: Path, port: int) -> str:
    sections: dict[str, dict[str, str]] = {
        "paths": {
            "data": str(data),
            "logs": str(logs),
            "plugins": str(data / "plugins"),
            "provisioning": str(config / "provisioning"),
        },
        "server": {"protocol": "http", "http_addr": "127.0.0.1", "http_port": str(port)},
        # Read from a file, so that it stands in no configuration, argument or environment.
        "security": {"admin_user": "admin", "admin_password": f"$__file{{{password}}}", "disable_gravatar": "true"},
        "analytics": {
            "reporting_enabled": "false",
            "check_for_updates": "false",
            "check_for_plugin_updates": "false",
            "feedback_links_enabled": "false",
        },
        "news": {"news_feed_enabled": "false"},
        "users": {"allow_sign_up": "false"},
        # Nothing is fetched from elsewhere while it starts.
        "plugins": {"preinstall_disabled": "true"},
        "log": {"mode": "console"},
        "log.console": {"format": "text"},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in section.items())
        for name, section in sections.items()
    )


def _datasources(urls: Mapping[str, str]) -> dict[str, Any]:
    extras: dict[str, dict[str, Any]] = {
        "mimir": {"name": "Mimir", "type": "prometheus", "isDefault": True, "jsonData": {"httpMethod": "POST"}},
        "loki": {"name": "Loki", "type": "loki", "jsonData": {}},
        "tempo": {"name": "Tempo", "type": "tempo", "jsonData": {"serviceMap": {"datasourceUid": "mimir"}}},
    }
    if "loki" in urls and "tempo" in urls:
        extras["tempo"]["jsonData"]["tracesToLogsV2"] = {"datasourceUid": "loki", "filterByTraceID": True}
        extras["loki"]["jsonData"]["derivedFields"] = [
            # `$$`: a single `$` would be expanded from the environment.
            {
                "name": "trace",
                "matcherType": "label",
                "matcherRegex": "trace_id",
                "datasourceUid": "tempo",
                "url": "$${__value.raw}",
            }
        ]
    sources = [
        {"uid": name, "url": url, "access": "proxy", "editable": False, **extras[name]} for name, url in urls.items()
    ]
    return {"apiVersion": 1, "prune": True, "datasources": sources}


def _dashboards(folder: Path) -> dict[str, Any]:
    provider = {"name": "contextcore", "type": "file", "folder": DASHBOARD_FOLDER, "options": {"path": str(folder)}}
    return {"apiVersion": 1, "providers": [provider]}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
