"""A cluster in a file: a `kubectl` that answers from it, notes what it was asked, and fails when it is told to."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.existing_cluster.provider import KubeContextProvider
from contextcore_install.providers.kind.cluster import NODE_LABEL, owner_file
from contextcore_install.providers.kind.engine import CHOICE
from contextcore_install.providers.kind.engine_info import CLUSTER_LABEL, ROLE_LABEL, read_node
from contextcore_install.providers.kind.provider import KindProvider
from contextcore_install.providers.kubernetes.client import Kubectl

_PROGRAM = r"""#!{python} -S
import sys
args = [a for a in sys.argv[1:] if not a.startswith(("--context=", "--request-timeout="))]
if args == ["version", "--client"]:
    print("Client Version: v1.32.0")  # asked once where it is told, else before every command
    raise SystemExit
import json, os, pathlib
folder = pathlib.Path({folder!r})
text = sys.stdin.read() if "-" in args else ""
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([args, text]) + "\n")
failures = json.loads((folder / "failures").read_text())
for wanted, said in failures:
    if wanted in " ".join(args):
        failures.remove([wanted, said])
        (folder / "failures").write_text(json.dumps(failures))
        print(said, file=sys.stderr)
        raise SystemExit(1)
state = json.loads((folder / "objects").read_text())
name = lambda o: [o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]]
may = lambda *right: list(right) not in json.loads((folder / "forbidden").read_text())
def refuse(verb):
    print(f'Error from server (Forbidden): namespaces is forbidden: User "me" cannot {{verb}} resource "namespaces" '
          'in API group "" at the cluster scope', file=sys.stderr)
    raise SystemExit(1)
if "SelfSubjectAccessReview" in text:
    asked = [item["spec"]["resourceAttributes"] for item in json.loads(text)["items"]]
    print(json.dumps({{"items": [{{"kind": "SelfSubjectAccessReview", "metadata": {{}},
        "spec": {{"resourceAttributes": a}},
        "status": {{"allowed": may(a["verb"], a["resource"], a["namespace"])}}}} for a in asked]}}))
elif args[0] == "config":
    print("https://lab:6443")
elif args[0] == "auth":
    print("yes" if may(args[2], "namespaces", "") else "no")
elif args[:2] == ["get", "namespace"] and not may("get", "namespaces", ""):
    refuse("get")
elif args[0] == "get":
    hidden = "Namespace" if args[1] != "namespace" and not may("list", "namespaces", "") else ""
    print(json.dumps({{"kind": "List", "items": [o for o in state if o["kind"] != hidden]}}))
    if hidden and "namespace" in args[1].split(","):
        refuse("list")
elif args[:2] == ["create", "configmap"] and "--dry-run=server" in args:
    namespace = args[args.index("-n") + 1]
    if ["Namespace", "", namespace] not in [name(o) for o in state]:
        print(f'Error from server (NotFound): namespaces "{{namespace}}" not found', file=sys.stderr)
        raise SystemExit(1)
elif args[0] == "apply" and '"Namespace"' in text and not may("patch", "namespaces", ""):
    refuse("patch")
elif "--dry-run=server" in args:
    print("pod/loki-x")
elif args[0] in ("apply", "create"):
    document = json.loads(text)
    for item in document.get("items", [document]):
        state = [o for o in state if name(o) != name(item)] + [item]
elif args[0] == "patch":
    def merge(there, patch):  # as a strategic merge patch: null takes out, lists go by name
        if isinstance(patch, list) and isinstance(patch[0], dict):
            return [merge(o, next((p for p in patch if p["name"] == o["name"]), {{}})) for o in there]
        if not isinstance(patch, dict):
            return patch
        merged = {{**there, **{{k: merge(there.get(k, {{}}), v) for k, v in patch.items()}}}}
        return {{k: v for k, v in merged.items() if v is not None}}
    patch, namespace = json.loads(args[args.index("-p") + 1]), args[args.index("-n") + 1]
    chosen = lambda o: o["kind"].lower() == args[1].split(".")[0] and name(o)[1:] == [namespace, args[2]]
    if not any(map(chosen, state)):
        print(f'Error from server (NotFound): {{args[1]}} "{{args[2]}}" not found', file=sys.stderr)
        raise SystemExit(1)
    state = [merge(o, patch) if chosen(o) else o for o in state]
elif args[0] == "delete":
    namespace = args[args.index("--namespace") + 1] if "--namespace" in args else ""
    state = [o for o in state if not (o["kind"].lower() == args[1] and o["metadata"]["name"] in args[2:]
             and (not namespace or o["metadata"].get("namespace") == namespace))]
(folder / "objects").write_text(json.dumps(state))
"""


class Cluster:
    """What the fake kubectl works on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.program = folder / "kubectl"
        self.program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.put([])
        self.fails()
        self.forbids()

    @property
    def kubectl(self) -> Kubectl:
        facts = {"context": "lab", "namespace": "obs", "context_remedy": "Name one.", "context_command": "name it"}
        return Kubectl(lambda: str(self.program), dict(os.environ), "lab", facts)

    @property
    def objects(self) -> list[dict[str, Any]]:
        return list(json.loads((self._folder / "objects").read_text()))

    @property
    def names(self) -> set[str]:
        return {f"{item['kind']}/{item['metadata']['name']}" for item in self.objects}

    @property
    def calls(self) -> list[str]:
        return [" ".join(arguments) for arguments, _ in self._noted()]

    @property
    def inputs(self) -> list[str]:
        """What each call was given to read."""
        return [text for _, text in self._noted()]

    def _noted(self) -> list[tuple[list[str], str]]:
        path = self._folder / "calls"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def requests(self) -> list[tuple[str, str]]:
        """The calls, each with what it was given to read."""
        return [(" ".join(arguments), text) for arguments, text in self._noted()]

    def put(self, objects: list[dict[str, Any]]) -> None:
        (self._folder / "objects").write_text(json.dumps(objects))

    def forget_calls(self) -> None:
        (self._folder / "calls").unlink(missing_ok=True)

    def fails(self, *failures: tuple[str, str]) -> None:
        """Have the next call that contains a text fail with a message."""
        (self._folder / "failures").write_text(json.dumps(failures))

    def forbids(self, *rights: tuple[str, str, str]) -> None:
        """Have this user be without some rights: verb, resource, and namespace (empty: cluster-wide)."""
        (self._folder / "forbidden").write_text(json.dumps(rights))


_RENDERING = """\
#!/bin/sh
case " $* " in
*" label "*) echo '{release}';;
*) exec '{program}' "$@";;
esac
"""


def in_context(
    folder: Path,
    cluster: Cluster,
    objects: list[dict[str, Any]],
    given: frozenset[str] = frozenset(),
    bundle: Path | None = None,
    registry: str = "",
) -> KubeContextProvider:
    """Return a provider, of the installation dev, whose release is some objects."""
    environ, options = _on_path(folder, cluster, objects), {"context": "lab", "registry": registry}
    places = folder / "dev", folder / "bin"
    return KubeContextProvider(ProviderConfig("dev", *places, environ, options=options, given_now=given, bundle=bundle))


_ENGINE = """\
#!/bin/sh
case "$*" in
"ps --all"*) echo n1;;
"inspect --type container"*) echo '[{node}]';;
*) exit 1;;
esac
"""
NODE = "dev-control-plane"


def in_kind(folder: Path, cluster: Cluster, objects: list[dict[str, Any]]) -> KindProvider:
    """Return a provider, of the installation dev, whose cluster of kind has one node and is ours."""
    environ = _on_path(folder, cluster, objects)
    config = ProviderConfig("dev", folder / "dev", folder / "bin", {**environ, CHOICE: "docker"})
    labels = {ROLE_LABEL: "control-plane", CLUSTER_LABEL: "dev"}
    times = {"Status": "running", "StartedAt": "2026-01-01T10:00:00Z"}
    about = {"Labels": labels, "Image": "kindest/node:v1.37.0"}
    node = {"Id": "n1", "Name": f"/{NODE}", "Created": "2026-01-01T10:00:00Z", "State": times, "Config": about}
    engine = folder / "path" / "docker"
    engine.write_text(_ENGINE.format(node=json.dumps(node)))
    engine.chmod(0o755)
    owners = owner_file(config)
    owner = owners.finish(owners.begin([], "docker"), [read_node(node)])
    marked = {"name": NODE, "labels": {NODE_LABEL: owner.id}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    cluster.put([{"kind": "Node", "metadata": marked, "status": ready}, *cluster.objects])
    return KindProvider(config)


def _on_path(folder: Path, cluster: Cluster, objects: list[dict[str, Any]]) -> dict[str, str]:
    """Put the cluster's kubectl, which renders any manifests to these objects, first on PATH; return the variables."""
    path = folder / "path"
    path.mkdir(exist_ok=True)
    release = json.dumps({"kind": "List", "items": objects})
    (path / "kubectl").write_text(_RENDERING.format(release=release, program=cluster.program))
    (path / "kubectl").chmod(0o755)
    return {**os.environ, "PATH": os.pathsep.join([str(path), "/usr/bin", "/bin"])}
