"""What the components keep on this machine: their folders, copied out and put back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Volume
from contextcore_install.providers.host import release as releases
from contextcore_install.providers.host.layout import DATA_MARK, Layout, unwritable
from contextcore_install.providers.host.programs import FAMILIES
from contextcore_install.providers.host.render import HostRelease
from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE
from contextcore_install.system.daemons import Daemons
from contextcore_install.system.files import read_text
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.system.trees import TreeError, read_tree, write_tree

#: Seconds that VictoriaMetrics gets to make a snapshot, which is a matter of links.
SNAPSHOT_WITHIN_S = 60.0
SNAPSHOT_FAMILY = "victoria-metrics"
_STORES = frozenset(family.name for family in FAMILIES)


class HostData:
    """The folders under `data`, each a volume. They stay when the cluster is removed and data is to be kept."""

    outlives_cluster = True

    def __init__(
        self,
        layout: Layout,
        daemons: Daemons,
        release: Callable[[], HostRelease],
        ports: Mapping[str, int],
        environ: Mapping[str, str],
    ) -> None:
        self._layout = layout
        self._daemons = daemons
        self._release = release
        self._ports = ports
        self._environ = environ

    def volumes(self) -> Sequence[Volume]:
        """Return the folders that hold something."""
        if not self._layout.data.is_dir():
            return []
        folders = [path for path in sorted(self._layout.data.iterdir()) if _holds_data(path)]
        return [self._volume(path) for path in folders]

    def _volume(self, folder: Path) -> Volume:
        name = folder.name
        component = METRICS_STORE if name in _STORES else name
        size = sum(path.stat().st_size for path in _files(folder))
        if not self._lives_in(folder, component):
            return Volume(name, component, "complete: nothing writes to it", bytes=size)
        if name == SNAPSHOT_FAMILY:
            return Volume(name, component, "a snapshot that the store makes while it runs", bytes=size)
        promise = f"complete: {component} is ended for the copy, and started again"
        return Volume(name, component, promise, restarts=True, bytes=size)

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        """Write a copy of a folder. Raises InstallError."""
        folder = self._layout.data / volume.name
        if not self._lives_in(folder, volume.component):
            self._write(folder, sink, ctx)
        elif volume.name == SNAPSHOT_FAMILY:
            with self._snapshot(folder) as snapshot:
                self._write(snapshot, sink, ctx, follow=True)
        else:
            with self._ended(volume.component, ctx):
                self._write(folder, sink, ctx)

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        """Lay a copy out beside the folder, and put it in its place. Raises InstallError."""
        folder = self._layout.data / volume.name
        fresh, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
        try:
            for leftover in (fresh, old):
                shutil.rmtree(leftover, ignore_errors=True)
            self._layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            read_tree(source, fresh)
            with self._ended(volume.component, ctx):
                if folder.exists():
                    folder.rename(old)
                fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        except TreeError as error:
            raise InstallError("volume-unusable", f"The copy of {volume.name} is of no use: {error}.") from error
        except OSError as error:
            raise unwritable(error, folder) from error

    def password(self) -> str | None:
        """Return the password of Grafana's admin, where there is one."""
        try:
            return read_text(self._layout.secrets / "grafana-admin").strip()
        except (OSError, ValueError):
            return None

    # Helpers

    def _lives_in(self, folder: Path, component: str) -> bool:
        """Tell whether a process of ours writes to a folder; another kind of store may have left it behind."""
        record = self._daemons.look(component).record
        if record is None or not self._daemons.look(component).alive:
            return False
        with suppress(InstallError):
            return component not in self._release().programs or self._release().data(component) == folder
        return True

    def _write(self, folder: Path, sink: IO[bytes], ctx: StepContext, *, follow: bool = False) -> None:
        ctx.raise_if_cancelled()
        try:
            left_out = write_tree(folder, sink, follow=follow)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InstallError("volume-unreadable", f"{folder} cannot be copied: {reason}.") from error
        if left_out:
            ctx.notice(f"{folder.name}: {left_out} entries that are neither files nor folders were left out")

    @contextmanager
    def _snapshot(self, folder: Path) -> Iterator[Path]:
        """Have VictoriaMetrics make a snapshot, and delete it after the block. Raises InstallError.

        After its documentation, "How to work with snapshots".
        """
        url = f"http://{LOOPBACK}:{self._ports[METRICS_STORE]}/snapshot"
        answer = LoopbackHttp().get(f"{url}/create", SNAPSHOT_WITHIN_S)
        try:
            name = str(json.loads(answer.text)["snapshot"])
        except (ValueError, KeyError, TypeError, RecursionError):
            name = ""
        path = folder / "snapshots" / name
        if not name.strip(".") or "/" in name or not path.is_dir():
            raise InstallError(
                "snapshot-failed", "The metrics store made no snapshot.", answer.text[:400], retryable=True
            )
        try:
            yield path
        finally:
            with suppress(InstallError):
                LoopbackHttp().get(f"{url}/delete?snapshot={quote(name)}", SNAPSHOT_WITHIN_S)

    @contextmanager
    def _ended(self, component: str, ctx: StepContext) -> Iterator[None]:
        """Have a component ended within the block, and started after it if it ran: also when we are told to end."""
        ran = component in releases.installed(self._layout) and self._daemons.look(component).alive
        try:
            if ran:
                ctx.activity(f"ending {component} for a moment")
                self._daemons.stop(component, ctx)
            yield
        finally:
            if ran:
                ctx.activity(f"starting {component} again")
                releases.start(self._release(), component, self._daemons, self._environ)


def _files(folder: Path) -> Iterator[Path]:
    mark = folder / DATA_MARK
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path != mark)


def _holds_data(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.is_dir() and not path.is_symlink() and any(True for _ in _files(path))
