"""What people made in Grafana, exported from something that answers as its HTTP API does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.runtime.backing_up import export_grafana as export
from kit.stores import Misbehaving, free_port

PASSWORD = "päss:w0rd"
ANSWERS: dict[str, Any] = {
    "/api/search?type=dash-db&limit=5000": [{"uid": "a b"}],
    "/api/dashboards/uid/a%20b": {"dashboard": {"uid": "a b", "title": "Mine"}, "meta": {}},
    "/api/folders?limit=1000": [{"uid": "f", "title": "Folder"}],
    "/api/datasources": [
        {"uid": "mimir", "url": "http://mimir", "basicAuthPassword": "x", "secureJsonFields": {"token": True}}
    ],
    "/api/v1/provisioning/alert-rules": [],
}


def grafana(_: Misbehaving, handler: BaseHTTPRequestHandler) -> None:
    expected = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    known = handler.headers.get("Authorization") == expected
    status = 401 if not known else 200 if handler.path in ANSWERS else 404
    body = json.dumps(ANSWERS.get(handler.path, {"message": "no"})).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_everything_is_exported_but_secrets(misbehaving: Callable[..., Misbehaving]) -> None:
    objects = export(misbehaving(grafana).url, PASSWORD)
    assert [item["dashboard"]["title"] for item in objects["dashboards"]] == ["Mine"]
    assert objects["folders"] == ANSWERS["/api/folders?limit=1000"]
    assert objects["datasources"] == [{"uid": "mimir", "url": "http://mimir"}]
    assert objects["alert-rules"] == []


def test_what_stands_in_the_way_is_said_without_the_password(misbehaving: Callable[..., Misbehaving]) -> None:
    for url in (misbehaving(grafana).url, f"http://127.0.0.1:{free_port()}"):
        with pytest.raises(InstallError) as caught:
            export(url, "wr0ng")
        assert "wr0ng" not in repr(caught.value)
        assert caught.value.code in ("grafana-refused", "grafana-silent")
