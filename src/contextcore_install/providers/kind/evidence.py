"""What the container engine and kind contribute to a diagnosis bundle."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from contextcore_install.core.dataclass import asdict
from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import READ_BYTES, Collector, Piece
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.redaction import HIDDEN
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.system import process
from contextcore_install.system.files import tail
from contextcore_install.system.work_folders import work_folder

FOLDER = "kind"
# How a kubelet prints a variable of a container that it cannot start (k8s.io/api/core/v1, generated.pb.go)
_VALUE = re.compile(r"(EnvVar\{Name:[^,}]{0,200},Value:).{1,20000}?(?=,ValueFrom:)", re.DOTALL)
_DUPLICATES = "containers"  # of an export: the same logs as in `pods`, by other names
LOG_LINES = "400"
EXPORT_BYTES = 6 * 1024 * 1024  # of what `kind export logs` writes, over all its files
_READ_S = 2.0  # for reading what was exported; the export ends so much earlier


def engine_evidence(cluster: str, engine: ContainerEngine) -> list[Collector]:
    """Return what can be collected of the engine and of the nodes' containers, whether they run or not."""

    def about(_: StepContext) -> Iterator[Piece]:
        info, finding = engine.trouble()
        found = {**asdict(info), "host": HIDDEN} if info else {"trouble": finding.as_document() if finding else {}}
        known = {"engine": engine.name, "endpoint": engine.endpoint.shown, "product": engine.product(info=info).name}
        yield f"{FOLDER}/engine.json", {**known, **found}
        yield f"{FOLDER}/nodes.json", {"nodes": [asdict(node) for node in engine.nodes(cluster)]}

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
        failure: InstallError | None = None
        parent = Path(engine.environ.get("TMPDIR") or tempfile.gettempdir())
        with work_folder(parent, "contextcore-logs-") as folder:
            argv, limit_s = [kind(), "export", "logs", str(folder), "--name", cluster], ctx.remaining_s - _READ_S
            try:
                process.run(argv, ctx, environ=engine.environ, timeout_s=max(1.0, limit_s))
            except InstallError as error:
                failure = error  # a node that does not run has still left something
            yield from _exported(folder, ctx)
        if failure is not None:
            raise failure

    return Collector("kind export logs", export, slow=True)


def without_values(log: str) -> str:
    """Return a kubelet's log without the values of environment variables: any of them may be secret."""
    return _VALUE.sub(rf"\1{HIDDEN}", log)


def _exported(folder: Path, ctx: StepContext) -> Iterator[Piece]:
    left = EXPORT_BYTES
    for path in sorted(folder.rglob("*")):
        ctx.raise_if_cancelled()
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and left > 0 and _DUPLICATES not in relative.parts:
            text = without_values(tail(path, min(READ_BYTES, left)))
            if "\0" not in text:  # logins and the like, in a form of their own
                left -= len(text)
                yield f"{FOLDER}/export/{relative}", text
