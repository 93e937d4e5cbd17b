"""What the container engine and kind tell somebody who is to find out what is wrong with a cluster."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import READ_BYTES, Collector, Piece
from contextcore_install.core.ports import StepContext
from contextcore_install.core.redaction import HIDDEN
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.system import process
from contextcore_install.system.files import tail
from contextcore_install.system.work_folders import work_folder

FOLDER = "kind"
_VALUE = re.compile(r"(EnvVar\{Name:[^,}]{0,200},Value:).{1,20000}?(?=,ValueFrom:)", re.DOTALL)
"""How a kubelet prints a variable of a container that it cannot start (k8s.io/api/core/v1, generated.pb.go)."""
_SAID_TWICE = "containers"
"""Of an export: the same logs as in `pods`, by other names."""
LOG_LINES = "400"
EXPORT_BYTES = 6 * 1024 * 1024
"""How much of what `kind export logs` writes is taken along, over all its files."""

_TO_READ_S = 2.0
"""How long reading what was exported may take, in seconds; the export ends so much earlier."""


def engine_evidence(cluster: str, engine: ContainerEngine) -> list[Collector]:
    """Return what can be collected of the engine and of the nodes' containers, whether they run or not."""

    def about(_: StepContext) -> Iterator[Piece]:
        info, finding = engine.trouble()
        found = {**asdict(info), "host": HIDDEN} if info else {"trouble": finding.as_document() if finding else {}}
        leads_to = {"endpoint": engine.endpoint.shown, "product": engine.product(info=info).name}
        yield f"{FOLDER}/engine.json", {"engine": engine.name, **leads_to, **found}
        nodes = [asdict(node) for node in engine.nodes(cluster)]
        yield f"{FOLDER}/nodes.json", {"nodes": nodes}

    def logs(ctx: StepContext) -> Iterator[Piece]:
        for node in engine.nodes(cluster):
            done = engine.ask("logs", "--tail", LOG_LINES, node.name, ctx=ctx)
            yield f"{FOLDER}/{node.name}.log", (done.stdout + done.stderr)[-READ_BYTES:]

    return [Collector("the container engine", about), Collector("the nodes' containers", logs)]


def export_evidence(cluster: str, engine: ContainerEngine, kind: Callable[[], str]) -> Collector:
    """Return what `kind export logs` writes: the kubelets' logs, the containers', and the engine's."""

    def export(ctx: StepContext) -> Iterator[Piece]:
        if not engine.nodes(cluster):
            return
        parent = Path(engine.environ.get("TMPDIR") or tempfile.gettempdir())
        with work_folder(parent, "contextcore-logs-") as folder:
            trouble = _export([kind(), "export", "logs", str(folder), "--name", cluster], engine, ctx)
            yield from _written(folder, ctx)
        if trouble is not None:
            raise trouble

    return Collector("kind export logs", export, slow=True)


def _export(argv: list[str], engine: ContainerEngine, ctx: StepContext) -> InstallError | None:
    """Export, and return why that is not all that there is: a node that does not run has still left something."""
    try:
        limit_s = max(1.0, ctx.remaining_s - _TO_READ_S)
        process.run(argv, ctx, environ=engine.environ, timeout_s=limit_s)
    except InstallError as error:
        return error
    return None


def without_values(log: str) -> str:
    """Return a kubelet's log without the values of environment variables: any of them may be secret."""
    return _VALUE.sub(rf"\1{HIDDEN}", log)


def _written(folder: Path, ctx: StepContext) -> Iterator[Piece]:
    left = EXPORT_BYTES
    for path in sorted(folder.rglob("*")):
        ctx.raise_if_cancelled()
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and left > 0 and _SAID_TWICE not in relative.parts:
            text = without_values(tail(path, min(READ_BYTES, left)))
            if "\0" not in text:  # logins and the like, in a form of their own
                left -= len(text)
                yield f"{FOLDER}/export/{relative}", text
