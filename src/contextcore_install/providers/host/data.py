"""What the components keep on this machine: their folders, how they are, copied out and put back."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Volume
from contextcore_install.core.requirements import DataPiece, Storage
from contextcore_install.diagnosis.failures import machine_findings
from contextcore_install.providers.host import release as releases
from contextcore_install.providers.host.layout import DATA_MARK, Layout
from contextcore_install.providers.host.render import HostRelease
from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE, METRICS_STORES, VICTORIA_METRICS
from contextcore_install.system import machine
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.files import read_object, read_text, writing
from contextcore_install.system.http import LoopbackHttp

SNAPSHOT_WITHIN_S = 60.0  # VictoriaMetrics makes one of links
IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})  # file systems that a restart empties


def storage_in(component: str, folder: Path, pid: int) -> Storage:
    """Return how a component's data folder is; `pid` is that of its process, 0 if none runs."""
    place = str(folder)
    mark = read_object(folder / DATA_MARK) or {}
    pieces = (DataPiece(folder.name, str(mark.get("id", "")), str(mark.get("since", ""))),)
    for finding in _data_problems(component, folder, pid):
        return Storage(component, place, finding.evidence, finding, pieces=pieces)
    kind = machine.file_system(folder)
    evidence = f"{folder}, on {kind}" if kind else place
    return Storage(component, place, evidence, in_memory=kind in IN_MEMORY if kind else None, pieces=pieces)


def _data_problems(component: str, folder: Path, pid: int) -> tuple[Finding, ...]:
    place, end = str(folder), f"kill {pid} && " if pid else ""
    facts = {"component": component, "folder": place, "quoted": shlex.quote(place), "end": end}
    try:
        found = folder.stat()
    except OSError as error:
        return machine_findings({**facts, "data": "missing"}, error.strerror or str(error))
    # A folder of another user's is no place of ours, even if root may write there.
    if found.st_uid == os.getuid() and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return ()
    seen = f"{folder} has mode {found.st_mode & 0o7777:o}, uid {found.st_uid}; this is uid {os.getuid()}"
    return machine_findings({**facts, "data": "unwritable"}, seen)


@dataclass(slots=True)
class HostData:
    """The folders under `data`, each a volume. They stay when the cluster is removed and data is to be kept."""

    layout: Layout
    daemons: Daemons
    release: Callable[[], HostRelease]
    ports: Mapping[str, int]
    environ: Mapping[str, str]
    outlives_cluster: bool = True

    def volumes(self) -> Sequence[Volume]:
        """Return the folders that hold something."""
        folder = self.layout.data
        # Not by `glob`, which takes a folder that may not be read for an empty one.
        return [self._volume(path) for path in sorted(folder.iterdir()) if _holds_data(path)] if folder.is_dir() else []

    def _volume(self, folder: Path) -> Volume:
        name = folder.name
        component = METRICS_STORE if name in {store.name for store in METRICS_STORES} else name
        size = sum(path.stat().st_size for path in _files(folder))
        if not self._lives_in(folder, component):
            return Volume(name, component, "complete: nothing writes to it", bytes=size)
        if name == VICTORIA_METRICS.name:
            return Volume(name, component, "a snapshot that the store makes while it runs", bytes=size)
        promise = f"complete: {component} is ended for the copy, and started again"
        return Volume(name, component, promise, restarts=True, bytes=size)

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        folder = self.layout.data / volume.name
        if not self._lives_in(folder, volume.component):
            _write(folder, sink, ctx)
        elif volume.name == VICTORIA_METRICS.name:
            with self._snapshot(folder) as snapshot:
                _write(snapshot, sink, ctx, follow=True)
        else:
            with self._stopped(volume.component, ctx):
                _write(folder, sink, ctx)

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        """Unpack a copy beside the folder, and put it in its place."""
        from contextcore_install.system import trees

        folder = self.layout.data / volume.name
        fresh, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
        with writing(folder):
            try:
                for leftover in (fresh, old):
                    shutil.rmtree(leftover, ignore_errors=True)
                self.layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
                trees.read_tree(source, fresh)
                with self._stopped(volume.component, ctx):
                    if folder.exists():
                        folder.rename(old)
                    fresh.rename(folder)
                shutil.rmtree(old, ignore_errors=True)
            except trees.TreeError as error:
                message = f"The copy of {volume.name} cannot be used: {error}."
                raise InstallError("volume-unusable", message) from error

    def password(self) -> str | None:
        with suppress(OSError, ValueError):
            return read_text(self.layout.grafana_password).strip()
        return None

    def _lives_in(self, folder: Path, component: str) -> bool:
        """Tell whether a process of ours writes to a folder; another kind of store may have left it behind."""
        if not self.daemons.pid(component):
            return False
        with suppress(InstallError):
            return component not in self.release().programs or self.release().data(component) == folder
        return True

    @contextmanager
    def _snapshot(self, folder: Path) -> Iterator[Path]:
        """Have a snapshot within the block (VictoriaMetrics, "How to work with snapshots"). Raises InstallError."""
        url = f"http://{LOOPBACK}:{self.ports[METRICS_STORE]}/snapshot"
        answer = LoopbackHttp().get(f"{url}/create", SNAPSHOT_WITHIN_S)
        try:
            name = str(json.loads(answer.text)["snapshot"])
        except (ValueError, KeyError, TypeError, RecursionError):
            name = ""
        path = folder / "snapshots" / name
        if not name.strip(".") or "/" in name or not path.is_dir():
            message = "The metrics store made no snapshot."
            raise InstallError("snapshot-failed", message, answer.text[:400], retryable=True)
        try:
            yield path
        finally:
            with suppress(InstallError):
                LoopbackHttp().get(f"{url}/delete?snapshot={quote(name)}", SNAPSHOT_WITHIN_S)

    @contextmanager
    def _stopped(self, component: str, ctx: StepContext) -> Iterator[None]:
        """Have a component stopped within the block, and started after it if it ran: also when we are cancelled."""
        ran = component in releases.installed(self.layout) and self.daemons.look(component).alive
        try:
            if ran:
                ctx.activity(f"stopping {component} for a moment")
                self.daemons.stop(component, ctx)
            yield
        finally:
            if ran:
                ctx.activity(f"starting {component} again")
                releases.start(self.release(), component, self.daemons, self.environ)


def _write(folder: Path, sink: IO[bytes], ctx: StepContext, *, follow: bool = False) -> None:
    from contextcore_install.system import trees  # few runs copy anything

    ctx.raise_if_cancelled()
    with writing(folder, "volume-unreadable", f"{folder} cannot be copied"):
        left_out = trees.write_tree(folder, sink, follow=follow)
    if left_out:
        ctx.notice(f"{folder.name}: {left_out} entries that are neither files nor folders were left out")


def _files(folder: Path) -> Iterator[Path]:
    mark = folder / DATA_MARK
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path != mark)


def _holds_data(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir() and not path.is_symlink() and any(_files(path))
