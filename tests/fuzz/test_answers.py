"""Whatever kubectl, the container engine or a service answers: an error of ours at most, and in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.state import State
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kubernetes.client import Snapshot, items_of
from contextcore_install.providers.kubernetes.conditions import leads_to
from contextcore_install.providers.kubernetes.managed_fields import decided_by, last_changed_by_others
from contextcore_install.providers.kubernetes.objects import Manifest, Release
from contextcore_install.providers.kubernetes.pods import Pod, pods_of, services_of, stale_pods, stuck_pods
from contextcore_install.providers.kubernetes.watch import documents
from contextcore_install.stack.catalogue import MIMIR
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.system.process import Captured
from contextcore_install.telemetry.exporters.backends import Backend, probe
from contextcore_install.telemetry.exporters.client import Client, StoreAnswer
from contextcore_install.telemetry.exporters.otlp import partial_success
from contextcore_install.telemetry.failures import StoreError, Timeouts
from contextcore_install.telemetry.rebuild import rebuild
from contextcore_install.ui.text import sanitize
from fuzz.hostile import CALM_S, changed, examples, many, texts, values

pytestmark = pytest.mark.slow

META = {"name": "mimir-0", "namespace": "observability", "labels": {"app": "mimir"}, "generation": 1, "uid": "u"}
POD_SPEC = {
    "nodeName": "n",
    "containers": [{"name": "mimir", "image": "grafana/mimir:3", "env": [], "volumeMounts": []}],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-mimir-0"}}],
}
STATUS = {
    "name": "mimir",
    "image": "grafana/mimir:3",
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}},
    "lastState": {"terminated": {"exitCode": 1}},
}
KUBERNETES = {
    "kind": "List",
    "items": [
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": META,
            "spec": POD_SPEC,
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2024-01-01T00:00:00Z"}],
                "containerStatuses": [STATUS],
            },
        },
        {
            "kind": "StatefulSet",
            "apiVersion": "apps/v1",
            "metadata": {
                **META,
                "managedFields": [{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "mimir"}},
                "template": {"metadata": META, "spec": POD_SPEC},
            },
            "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 0},
        },
        {
            "kind": "Service",
            "metadata": META,
            "spec": {"selector": {"app": "mimir"}, "ports": [{"port": 80, "nodePort": 30000}]},
        },
        {"kind": "Endpoints", "metadata": META, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]},
        {"kind": "Node", "metadata": META, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        {"kind": "Event", "metadata": META, "lastTimestamp": "2024-01-01T00:00:00Z", "reason": "r", "message": "m"},
    ],
}


@given(changed(KUBERNETES), st.integers(0, 200))
@many
def test_any_answer_of_kubectl(document: Any, cut: int) -> None:
    text = json.dumps(document)
    with suppress(InstallError):
        items_of(text[: len(text) - cut])
    with refused_at_most():
        read_all(items_of(text))


@contextmanager
def refused_at_most() -> Iterator[None]:
    """Allow for the one error that names an answer which makes no sense."""
    try:
        yield
    except InstallError as error:
        if error.code != "kubectl-answer":
            raise


def read_all(items: list[Manifest]) -> None:
    """Do with objects what the providers do."""
    snapshot = Snapshot(items)
    pods = snapshot.of_kind("Pod")
    read = [Pod(pod) for pod in pods]
    assert all(sanitize(pod.condition) for pod in read)
    for item in items:
        assert item.key.label
        assert isinstance(Release((item,)).images, list)
        decided_by(item, ("spec", "replicas"))
        last_changed_by_others(item)
    for workload in snapshot.of_kind("StatefulSet"):
        assert workload.is_rolled_out in {True, False}
        pods_of(workload, snapshot)
        services_of(workload, snapshot)
        list(stuck_pods(workload, snapshot, time.time()))
        list(stale_pods([workload], snapshot))
    for endpoints in snapshot.of_kind("Endpoints"):
        leads_to(endpoints, read)


@given(st.lists(texts | values.map(json.dumps), max_size=6))
@many
def test_any_lines_of_a_watch(lines: list[str]) -> None:
    assert all(isinstance(document, dict) for document in documents(iter(lines)))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "nul", "[1, 2]", '"text"', "{} {", "\0"])
def test_what_is_no_object_is_an_answer_that_is_named(text: str) -> None:
    with pytest.raises(InstallError, match="kubectl printed"):
        items_of(text)


class Answering(ContainerEngine):
    """An engine that says what a test wants."""

    said = ""

    def ask(self, *arguments: str, **_: Any) -> Captured:
        return Captured(arguments, 0, "id" if arguments[0] == "ps" else self.said, "")


INFO = {"ServerVersion": "27", "MemTotal": 8 << 30, "NCPU": 4, "CgroupVersion": "2", "DockerRootDir": "/", "host": None}
NODES = [
    {
        "Id": "i",
        "Name": "/n",
        "Config": {"Labels": {}},
        "State": {"Status": "running"},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}},
    }
]


@given(changed(INFO), changed(NODES))
@many
def test_any_answer_of_the_container_engine(info: Any, nodes: Any) -> None:
    engine = Answering("docker", {})
    engine.said = json.dumps(info)
    engine.trouble()
    engine.said = json.dumps(nodes)
    with suppress(InstallError):  # it is asked again
        assert all(isinstance(node.ports, dict) for node in engine.nodes("c"))


QUERY = {
    "data": {
        "result": [
            {
                "metric": {"__name__": "contextcore_install_step_status", "step": "preflight"},
                "values": [[1700000000.0, "2"]],
            },
            {"metric": {"__name__": "contextcore_install_started_timestamp"}, "values": [[1700000000.0, "1700000000"]]},
            {"metric": {"__name__": "contextcore_install_info", "run_id": "r"}, "values": [[1700000000.0, "1"]]},
        ]
    }
}


@given(changed(QUERY), st.booleans())
@examples
def test_any_answer_of_a_metrics_store(document: Any, cut: bool) -> None:
    body = json.dumps(document)
    body = body[: len(body) // 2] if cut else body
    with answering(reply(body)) as port:
        client = Client(f"http://127.0.0.1:{port}", lambda: TIMEOUTS)
        with suppress(StoreError):
            Backend(MIMIR, client).raw_samples({"cluster": "c"}, 0, 10)
        client.close()
        with suppress(StoreError):
            assert isinstance(getattr(rebuild(f"http://127.0.0.1:{port}", "c", 0, 5.0), "state", State("c")), State)


@given(values.map(lambda value: json.dumps({"partialSuccess": value}).encode()) | st.binary(max_size=40))
@many
def test_any_answer_of_a_collector(body: bytes) -> None:
    with suppress(StoreError):
        rejected, said = partial_success(StoreAnswer(200, body), "it")
        assert rejected >= 0
        assert isinstance(said, str)


TIMEOUTS = Timeouts(1.0, 1.0)
HEAD = b"HTTP/1.1 200 OK\r\n"
BYTES = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a head without an end": HEAD + b"A: " + b"x" * 70_000,
    "too many headers": HEAD + b"A: b\r\n" * 200 + b"\r\n",
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\nx",
    "a length that is negative": HEAD + b"Content-Length: -5\r\n\r\nx",
    "more promised than given": HEAD + b"Content-Length: 999999999999\r\n\r\nx",
    "a chunk that is none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    "a chunk that is cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\nx",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a wait without an end": b"HTTP/1.1 429 x\r\nRetry-After: " + b"9" * 400 + b"\r\nContent-Length: 0\r\n\r\n",
    "escape codes": b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 5\r\n\r\n\x1b[2Jx",
}


@pytest.mark.parametrize("name", BYTES)
def test_any_bytes_over_http(name: str) -> None:
    with answering(lambda connection: connection.sendall(BYTES[name])) as port:
        ask_in_time(port)


@given(st.binary(max_size=300))
@examples
def test_any_bytes_at_all_over_http(content: bytes) -> None:
    with answering(lambda connection: connection.sendall(content)) as port:
        ask_in_time(port)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nA: ", HEAD + b"Content-Length: 900\r\n\r\n", b""])
def test_a_byte_now_and_then_is_no_answer(head: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(300):
            connection.sendall(b"x")
            time.sleep(0.1)

    with answering(drip) as port:
        ask_in_time(port)


def ask_in_time(port: int) -> None:
    """Ask as a step and as telemetry do."""
    url, began = f"http://127.0.0.1:{port}", time.monotonic()
    with suppress(InstallError):
        LoopbackHttp().get(url + "/ready", 1.0)
    client = Client(url, lambda: TIMEOUTS)
    with suppress(StoreError):
        probe(client)
    client.close()
    assert time.monotonic() - began < CALM_S


def reply(body: str) -> Any:
    """Return what answers every request with a JSON text."""
    content = body.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
    return lambda connection: connection.sendall(head + content)


@contextmanager
def answering(act: Any) -> Iterator[int]:
    """Within the block, have a server that reads something and then acts, for each connection in a thread."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            act(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
