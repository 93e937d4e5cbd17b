"""Many kinds read through one `kubectl proxy`; whatever goes wrong with that, they are read by `kubectl get`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes import quick_read
from contextcore_install.providers.kubernetes.client import Kubectl, Reader
from contextcore_install.providers.kubernetes.objects import Key, Manifest, Release
from contextcore_install.providers.kubernetes.quick_read import read_lists

_PROGRAM = r"""#!{python} -S
import sys, pathlib
folder = pathlib.Path({folder!r})
args = [a for a in sys.argv[1:] if not a.startswith(("--context=", "--request-timeout="))]
with (folder / "calls").open("a") as calls:
    print(args[0], file=calls)
if args[0] == "get" and (folder / "down").exists():
    raise SystemExit("Unable to connect to the server: EOF")
if args[0] == "get":
    print('{{"items": [{{"kind": "Pod", "apiVersion": "v1", "metadata": {{"name": "slow", "namespace": "obs"}}}}]}}')
    raise SystemExit
import http.server, json, socketserver, time
if (folder / "mute").exists():
    time.sleep(60)
none = '{{"kind": "List", "apiVersion": "v1", "items": []}}'
class Server(socketserver.UnixStreamServer):
    def get_request(self):
        return self.socket.accept()[0], ("", 0)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if (folder / "hanging").exists():
            time.sleep(60)
        with (folder / "paths").open("a") as paths:
            print(self.path, file=paths)
        status, text = json.loads((folder / "answers").read_text()).get(self.path, [200, none])
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *_): pass
server = Server(next(a for a in args if a.startswith("--unix-socket=")).partition("=")[2], Handler)
if (folder / "silent").exists():
    server.socket.close()
print("Starting to serve", flush=True)
server.serve_forever()
"""
PODS = '{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "quick", "namespace": "obs"}}]}'
SETS = '{"kind": "StatefulSetList", "apiVersion": "apps/v1", "items": []}'
NODES = '{"kind": "NodeList", "apiVersion": "v1", "items": [{"metadata": {"name": "node"}}]}'
POD_PATH, SET_PATH = "/api/v1/namespaces/obs/pods", "/apis/apps/v1/namespaces/obs/statefulsets"
KINDS = ["node", "pod", "statefulset.v1.apps"]


class Api:
    """A kubectl whose proxy gives some answers, by path, and which notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "kubectl"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        self.kubectl = Kubectl(lambda: str(program), {"PATH": "/usr/bin:/bin"}, "lab", {})
        self.answers({})

    def answers(self, by_path: dict[str, tuple[int, str]]) -> None:
        import json

        usual = {"/api/v1/nodes": (200, NODES), POD_PATH: (200, PODS), SET_PATH: (200, SETS)}
        (self.folder / "answers").write_text(json.dumps(usual | by_path))

    def noted(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path)


def test_lists_are_read_in_order_and_their_items_get_what_a_list_says_once(api: Api) -> None:
    found = read_lists(api.kubectl, KINDS, {"node": True}, "obs")
    assert found is not None
    assert [item.key for item in found] == [Key("Node", "", "node"), Key("Pod", "obs", "quick")]
    assert {item["apiVersion"] for item in found} == {"v1"}
    assert api.noted("paths") == ["/api/v1/nodes", POD_PATH, SET_PATH]


@pytest.mark.parametrize(
    "answer", [(403, "{}"), (404, "{}"), (502, "bad gateway"), (200, "no json"), (200, "{}"), (200, "[]")]
)
def test_what_is_no_list_is_not_read_so(api: Api, answer: tuple[int, str]) -> None:
    api.answers({POD_PATH: answer})
    assert read_lists(api.kubectl, KINDS, {"node": True}, "obs") is None


def test_a_proxy_that_serves_nothing_or_is_missing_reads_nothing(api: Api) -> None:
    (api.folder / "silent").touch()
    assert read_lists(api.kubectl, KINDS, {"node": True}, "obs") is None
    missing = Kubectl(lambda: "/nowhere/kubectl", {}, "lab", {})
    assert read_lists(missing, KINDS, {"node": True}, "obs") is None


@pytest.mark.parametrize("how", ["mute", "hanging"])
def test_what_hangs_is_waited_for_a_moment(api: Api, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_read, "WITHIN_S", 0.5)
    (api.folder / how).touch()
    began = time.monotonic()
    assert read_lists(api.kubectl, KINDS, {"node": True}, "obs") is None
    assert time.monotonic() - began < 10


def test_what_a_killed_read_left_is_removed_by_the_next(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(api.folder))
    (api.folder / "contextcore-api-left").mkdir()
    assert read_lists(api.kubectl, KINDS, {"node": True}, "obs")
    assert not list(api.folder.glob("contextcore-*"))


def reader(api: Api, *, owns_nodes: bool = True, kind: str = "StatefulSet", version: str = "apps/v1") -> Reader:
    item: dict[str, Any] = {"kind": kind, "apiVersion": version, "metadata": {"name": "x", "namespace": "obs"}}
    return Reader(api.kubectl, lambda: Release((Manifest(item),)), owns_nodes=owns_nodes)


def test_a_cluster_of_ours_is_read_quickly(api: Api) -> None:
    assert [item.key.name for item in reader(api).read().of_kind("Pod")] == ["quick"]
    assert api.noted("calls") == ["proxy"]


def test_one_that_cannot_be_is_read_as_usual_from_then_on(api: Api) -> None:
    api.answers({POD_PATH: (403, "{}")})
    reads = reader(api)
    assert [item.key.name for item in reads.read().of_kind("Pod")] == ["slow"]
    reads.read(fresh=True)
    assert api.noted("calls") == ["proxy", "get", "get"]


def test_an_api_that_is_away_is_asked_as_usual_until_it_answers(api: Api) -> None:
    reads, down = reader(api), api.folder / "down"
    down.touch()
    api.answers({POD_PATH: (502, "{}")})
    for _ in range(2):
        with pytest.raises(InstallError):
            reads.read(fresh=True)
    down.unlink()
    api.answers({})
    assert [reads.read(fresh=True).of_kind("Pod")[0].key.name for _ in range(2)] == ["slow", "quick"]
    assert api.noted("calls") == ["proxy", "get", "get", "get", "proxy"]


@pytest.mark.parametrize(
    "other", [{"owns_nodes": False}, {"kind": "Queue", "version": "example.org/v1"}], ids=["shared", "unknown kind"]
)
def test_another_cluster_or_kind_is_read_as_usual(api: Api, other: dict[str, Any]) -> None:
    reader(api, **other).read()
    assert api.noted("calls") == ["get"]
