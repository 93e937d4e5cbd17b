"""What a cluster shows somebody who is to find out what is wrong: its objects, events, pods, nodes and their logs.

The contents of Secrets and ConfigMaps, and the values of environment variables, are left out as they are read: nobody
can tell from a value alone that it is secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import READ_BYTES, Collector, Piece
from contextcore_install.core.redaction import HIDDEN, command_line
from contextcore_install.providers.kubernetes.client import Kubectl, Reader, items_of
from contextcore_install.providers.kubernetes.objects import API, NAMESPACE, Manifest
from contextcore_install.providers.kubernetes.pods import Pod

FOLDER = "cluster"
LOG_LINES = 400  # of a container's log
TRIES = 3

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_VARIABLE = re.compile(r"\s+([A-Za-z_][\w.-]*):(?=\s|$)")


def cluster_evidence(reader: Reader, require: Callable[[], None]) -> list[Collector]:
    """Return what can be collected in a release's namespaces. `require` raises InstallError if nothing would answer."""
    kubectl = reader.kubectl

    def each(collect: Callable[[str, StepContext], Iterable[Piece]]) -> Callable[[StepContext], Iterator[Piece]]:
        def collected(ctx: StepContext) -> Iterator[Piece]:
            require()
            # Manifests that cannot be rendered are what is wrong, and no reason not to look.
            for namespace in reader.namespaces() or [NAMESPACE]:
                ctx.raise_if_cancelled()
                yield from ((f"{FOLDER}/{namespace}/{path}", piece) for path, piece in collect(namespace, ctx))

        return collected

    def asked(path: str, edit: Callable[[str], Any], *arguments: str) -> Callable[[StepContext], Iterator[Piece]]:
        return each(lambda namespace, ctx: [(path, edit(_ask(kubectl, ctx, *arguments, "--namespace", namespace)))])

    def nodes(ctx: StepContext) -> Iterator[Piece]:
        require()
        yield f"{FOLDER}/nodes.txt", _ask(kubectl, ctx, "describe", "nodes")

    events = ("get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "wide")
    objects = ("get", ",".join(API["evidence"]), "-o", "json", "--ignore-not-found")
    return [
        Collector("the pods", asked("pods.txt", without_values, "describe", "pods,persistentvolumeclaims")),
        Collector("the events", asked("events.txt", str, *events)),
        Collector("the objects", asked("objects.json", _objects, *objects)),
        Collector("the nodes", nodes, slow=not reader.owns_nodes),  # somebody else's cluster may have many
        Collector("the pods' logs", each(partial(_logs, kubectl))),
    ]


def _objects(printed: str) -> dict[str, Any]:
    return {"items": [without_secrets(item) for item in items_of(printed)]}


def _ask(kubectl: Kubectl, ctx: StepContext, *arguments: str) -> str:
    """Ask, and ask again if trying again can help: an API server that is short of time is one to look at."""
    for _ in range(TRIES - 1):
        try:
            return kubectl.call(*arguments, timeout_s=ctx.remaining_s, ctx=ctx)
        except InstallError as error:
            if error.code != "api-unreachable":
                raise
        ctx.wait(1.0)
    return kubectl.call(*arguments, timeout_s=ctx.remaining_s, ctx=ctx)


def _logs(kubectl: Kubectl, namespace: str, ctx: StepContext) -> Iterator[Piece]:
    """Yield the ends of the pods' logs, and of the logs before their last restart."""
    scope, refused = ("--namespace", namespace), []
    for pod in map(Pod, items_of(_ask(kubectl, ctx, "get", "pods", *scope, "-o", "json"))):
        before = {"-before": ("--previous",)} if pod.restarts else {}
        for suffix, more in {"": (), **before}.items():
            options = ("--all-containers", f"--tail={LOG_LINES}", *more)
            done = kubectl.attempt("logs", pod.name, *scope, *options, ctx=ctx)
            if done.stdout:
                yield f"logs/{pod.name}{suffix}.log", done.stdout[-READ_BYTES:]
            if done.exit_code != 0:
                refused.append(f"{pod.name}: {done.stderr.strip()[:200]}")
    if refused:
        raise InstallError("no-log", f"These logs cannot be read: {'; '.join(refused)}.")


def without_secrets(item: Manifest) -> Manifest:
    """Return an object without what it keeps for others, the values of variables, and what is said twice."""
    metadata = {name: value for name, value in item.metadata.items() if name != "managedFields"}
    metadata["annotations"] = {name: value for name, value in item.annotations.items() if name != _APPLIED}
    kept = Manifest({**item, "metadata": metadata})
    for name in ("data", "binaryData", "stringData"):
        if name in kept and kept.get("kind") in ("Secret", "ConfigMap"):
            kept[name] = dict.fromkeys(kept[name] or (), HIDDEN)
    for container in kept.containers:
        for variable in container.get("env") or []:
            if "value" in variable:
                variable["value"] = HIDDEN
        for name in ("command", "args"):
            if container.get(name):
                container[name] = command_line(list(map(str, container[name])))
    return kept


def without_values(described: str) -> str:
    """Return what `kubectl describe` printed without the values of environment variables."""
    lines: list[str] = []
    block = -1
    for line in described.splitlines():
        indent = len(line) - len(line.lstrip())
        if block >= 0 and (not line.strip() or indent > block):
            if variable := _VARIABLE.match(line):
                lines.append(f"{' ' * indent}{variable[1]}: {HIDDEN}")
            continue
        is_block = line.strip().startswith(("Environment:", "Environment Variables from:"))
        block = indent if is_block else -1
        lines.append(line)
    return "\n".join([*lines, ""])
