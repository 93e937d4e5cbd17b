"""What people made in Grafana, by its documented HTTP API, as documents that any other Grafana takes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import StoreError, Timeouts

TIMEOUTS = Timeouts(connect_s=2.0, answer_s=20.0)
MOST_DASHBOARDS = 5000  # what one search gives at most

_SECRET_FIELDS = frozenset({"password", "basicAuthPassword", "secureJsonData", "secureJsonFields"})


def export(base_url: str, password: str) -> Mapping[str, Any]:
    """Return dashboards, folders, datasources and alert rules, each a list; raises InstallError."""
    grafana = _Grafana(base_url, password)
    try:
        found = grafana.list(f"/api/search?type=dash-db&limit={MOST_DASHBOARDS}")
        return {
            "dashboards": [grafana.get(f"/api/dashboards/uid/{quote(str(item['uid']), safe='')}") for item in found],
            "folders": grafana.list("/api/folders?limit=1000"),
            "datasources": [
                {name: value for name, value in item.items() if name not in _SECRET_FIELDS}
                for item in grafana.list("/api/datasources")
            ],
            "alert-rules": grafana.list("/api/v1/provisioning/alert-rules"),
        }
    except (KeyError, TypeError) as error:
        raise InstallError("grafana-answer", f"Grafana answers in a way that is not known: {error}") from None
    finally:
        grafana.client.close()


class _Grafana:
    def __init__(self, base_url: str, password: str) -> None:
        self.client = Client(base_url)
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}

    def get(self, path: str) -> Any:
        try:
            answer = self.client.request("GET", path, TIMEOUTS, headers=self._headers)
        except StoreError as error:
            raise InstallError("grafana-silent", f"Grafana {error.kind}", error.evidence) from error
        if answer.status != 200:
            raise InstallError("grafana-refused", f"Grafana answers {path} with {answer.status}", answer.text)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise InstallError("grafana-answer", f"Grafana answers {path} with what is no JSON") from error

    def list(self, path: str) -> list[dict[str, Any]]:
        answer = self.get(path)
        if not isinstance(answer, list):
            raise InstallError("grafana-answer", f"Grafana answers {path} with what is no list")
        return answer
