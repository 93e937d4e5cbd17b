"""The records' ConfigMap and Lease through kubectl: versions, and what the API server refuses, in its own words."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import CONFLICT, GONE, Remote, StoredObject
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.remote import remote_in

#: kubectl over an API server that is a file: objects have versions, and a replacement has to name the one it replaces.
_PROGRAM = r"""#!{python} -S
import json, pathlib, sys
folder = pathlib.Path({folder!r})
said = folder / "says"
if said.exists():
    print(said.read_text(), file=sys.stderr)
    raise SystemExit(1)
if (folder / "prints").exists():
    print((folder / "prints").read_text())
    raise SystemExit(0)
args = [a for a in sys.argv[1:] if not a.startswith(("--context=", "--request-timeout="))]
objects = json.loads((folder / "objects").read_text())
def fail(reason, text):
    print("Error from server (" + reason + "): " + text, file=sys.stderr)
    raise SystemExit(1)
if args[0] == "get":
    found = objects.get(args[1] + "/" + args[2])
    print(json.dumps(found) if found else "")
elif args[0] == "delete":
    objects.pop(args[1] + "/" + args[2], None)
else:
    item = json.load(sys.stdin)
    kind, meta = item["kind"].lower(), item["metadata"]
    key = kind + "/" + meta["name"]
    if args[0] == "create":
        if kind != "namespace" and "namespace/" + meta["namespace"] not in objects:
            fail("NotFound", 'error when creating "STDIN": namespaces "' + meta["namespace"] + '" not found')
        if key in objects:
            fail("AlreadyExists", 'error when creating "STDIN": ' + kind + 's "' + meta["name"] + '" exists')
    else:
        if key not in objects:
            fail("NotFound", 'error when replacing "STDIN": ' + kind + 's "' + meta["name"] + '" not found')
        if objects[key]["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            fail("Conflict", 'error when replacing "STDIN": Operation cannot be fulfilled: it has been modified')
    number = int(objects.get("count", "0")) + 1
    objects["count"] = str(number)
    meta["resourceVersion"] = "v%d" % number
    objects[key] = item
    print(meta["resourceVersion"], end="")
(folder / "objects").write_text(json.dumps(objects))
"""


class Server:
    """An API server, and the records in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "kubectl"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (folder / "objects").write_text("{}")
        facts = {"context": "lab", "namespace": "obs", "context_remedy": "Name one.", "context_command": "name it"}
        self.remote: Remote = remote_in(Kubectl(lambda: str(program), dict(os.environ), "lab", facts), "obs")

    @property
    def objects(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads((self._folder / "objects").read_text())
        return found

    def says(self, text: str) -> None:
        """Have all that is asked fail with a message."""
        (self._folder / "says").write_text(text)

    def prints(self, text: str) -> None:
        """Have all that is asked succeed and print a text."""
        (self._folder / "prints").write_text(text)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_what_was_written_is_read_again_and_the_namespace_is_made_for_it(server: Server) -> None:
    records = server.remote.records
    assert records.read() is None
    first = records.write({"state.json": "{}"}, "")
    assert records.read() == StoredObject({"state.json": "{}"}, first)
    second = records.write({"state.json": "[]"}, first)
    assert records.read() == StoredObject({"state.json": "[]"}, second)
    assert {"namespace/obs", "configmap/contextcore-install-state"} <= server.objects.keys()
    records.remove()
    records.remove()
    assert records.read() is None


def test_records_carry_no_label_of_the_release_which_would_prune_them(server: Server) -> None:
    server.remote.records.write({}, "")
    server.remote.lease.write({"holderIdentity": "a"}, "")
    text = json.dumps(server.objects)
    assert "coordination.k8s.io/v1" in text
    assert "contextcore-install/release" not in text


def test_who_read_before_another_wrote_does_not_write_over_it(server: Server) -> None:
    records = server.remote.records
    old = records.write({"who": "a"}, "")
    records.write({"who": "b"}, old)
    for version in (old, ""):
        with pytest.raises(InstallError) as refused:
            records.write({"who": "a"}, version)
        assert refused.value.code == CONFLICT
    records.remove()
    with pytest.raises(InstallError) as refused:
        records.write({"who": "a"}, old)
    assert refused.value.code == GONE


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            'Error from server (Forbidden): leases.coordination.k8s.io "x" is forbidden: User "a" cannot get resource',
            "api-forbidden",
        ),
        (
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host?",
            "api-unreachable",
        ),
        ('error: context "lab" does not exist', "context-missing"),
        (
            'Error from server (Forbidden): configmaps "x" is forbidden: because it is being terminated',
            "namespace-terminating",
        ),
        (
            'The ConfigMap "contextcore-install-state" is invalid: []: Too long: must have at most 1048576 bytes',
            "manifest-invalid",
        ),
    ],
)
def test_what_the_cluster_refuses_is_told_by_its_cause(said: str, code: str, server: Server) -> None:
    server.says(said)
    for call in (server.remote.lease.read, lambda: server.remote.lease.write({}, "")):
        with pytest.raises(InstallError) as refused:
            call()
        assert refused.value.code == code


@pytest.mark.parametrize(
    "printed",
    [
        "<html>gateway</html>",
        "[1, 2]",
        '{"kind": "ConfigMap", "metadata": {"name": "x"}}',
        '{"kind": "ConfigMap", "metadata": {"name": "x", "resourceVersion": "1"}, "data": ["no", "object"]}',
    ],
)
def test_garbage_is_no_record(printed: str, server: Server) -> None:
    server.prints(printed)
    with pytest.raises(InstallError) as refused:
        server.remote.records.read()
    assert refused.value.code == "kubectl-answer"
