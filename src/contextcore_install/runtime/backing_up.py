"""Making a backup of an installation: its records, its components' data, and what people made in Grafana."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from contextcore_install import __version__
from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind, second
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Provider, Volume, url_of
from contextcore_install.core.text import IN_FILES, count
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.runtime.app import App
from contextcore_install.runtime.installation import Installation, volumes_of
from contextcore_install.runtime.output_file import stamped_name
from contextcore_install.stack.catalogue import COMPONENTS
from contextcore_install.storage.backup.archive import GRAFANA, RECORDS, VOLUMES, pack, require_room
from contextcore_install.storage.files import UnreadableFileError, using
from contextcore_install.storage.home import make_private
from contextcore_install.storage.journal.journal import JournalReader, copy_lines
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.storage.store import Records
from contextcore_install.system.files import UNFINISHED
from contextcore_install.system.trees import TreeError, check_tree, keep_harmless
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.failures import StoreError, Timeouts
from contextcore_install.ui.text import size

GRAFANA_LIMITS = Timeouts(connect_s=2.0, answer_s=20.0)
MOST_DASHBOARDS = 5000  # what one search gives at most
_SECRET_FIELDS = frozenset({"password", "basicAuthPassword", "secureJsonData", "secureJsonFields"})


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made: where it is, how large, and what is in it."""

    path: Path
    bytes: int
    volumes: tuple[Volume, ...]

    @property
    def words(self) -> str:
        held = ", ".join(volume.name for volume in self.volumes) or "the records alone"
        return f"{size(self.bytes)}: {held}"


def _with_installation(records: Records, installation: Installation) -> Records:
    """Return the records; if they have no installation with this provider, with one that begins now.

    A restore goes by them, so what lies in volumes of which nothing is recorded could never be put back.
    """
    known, selection = records.state, installation.selection
    if known.exists and known.provider == selection.provider:
        return records
    data = {
        "installation_id": known.installation_id or os.urandom(16).hex(),
        "provider": selection.provider,
        "settings": selection.settings(),
    }
    begins = Event(1, installation.app.clock.now_us(), "", Kind.INSTALLATION_STARTED, data=data)
    return Records(state_from_document(known.as_document()).apply_all([begins]))


def make_backup(
    installation: Installation,
    records: Records,
    ctx: StepContext,
    *,
    target: Path | None = None,
    about: str = "",
    all_of_it: bool = True,
) -> Backup:
    """Make a backup, beside the installation unless `target` is given; the caller holds the lock. Raises InstallError.

    Without `all_of_it`, a volume that cannot be copied is noted and left out: a part is better than nothing.
    """
    app, provider = installation.app, installation.provider
    records, volumes = _with_installation(records, installation), tuple(volumes_of(provider))
    make_private(app.layout.backups)
    path = target or app.layout.backups / stamped_name(app, about, ".tar.gz")
    for folder in dict.fromkeys((app.layout.backups, path.parent)):
        require_room(folder, 2 * sum(volume.bytes or 0 for volume in volumes))
    staged = app.layout.backups / f".backup{UNFINISHED}"
    shutil.rmtree(staged, ignore_errors=True)  # of one that was killed: the lock is ours
    try:
        with using(app.layout.backups):
            _stage_records(app, records, staged)
            _stage_grafana(provider, staged, ctx)
            volumes = tuple(item for item in volumes if _stage_volume(provider, item, staged, ctx, must=all_of_it))
            document = _manifest(installation, records.state, volumes)
            replaces = target is not None and app.settings.yes
            pack(staged, path, document, ctx, replace=replaces)
            return Backup(path, path.stat().st_size, volumes)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _manifest(installation: Installation, state: State, volumes: Sequence[Volume]) -> dict[str, Any]:
    app, provider = installation.app, installation.provider
    return {
        "program_version": __version__,
        "cluster": app.settings.cluster,
        "provider": provider.name,
        "installation_id": state.installation_id,
        "created_at": second(app.clock.now_us()),
        "versions": {item.name: item.version for item in COMPONENTS},
        "programs": dict(provider.overview().programs),
        "volumes": [{"name": item.name, "component": item.component, "promise": item.promise} for item in volumes],
    }


def _stage_records(app: App, records: Records, staged: Path) -> None:
    """Write the state as it was made out, whatever its file is like now, and the journal if there is one."""
    folder = staged / RECORDS
    folder.mkdir(mode=0o700, parents=True)
    state = folder / app.layout.state.name
    if records.imported:  # without an offset of ours, so that whoever opens it records the change
        text = json.dumps(records.imported["document"], ensure_ascii=False)
        state.write_text(text, encoding="utf-8", errors=IN_FILES)
    else:
        StateWriter(state, records.state, lambda: records.offset).write()
    with suppress(UnreadableFileError):  # then the state counts, as it does here
        if JournalReader(app.layout.journal).size():
            with (folder / app.layout.journal.name).open("wb") as file:
                copy_lines(app.layout.journal, file)


def _stage_grafana(provider: Provider, staged: Path, ctx: StepContext) -> None:
    """Export what people made in Grafana, if it runs; its volume has that too, in a form for Grafana alone."""
    try:
        url = url_of(provider.endpoints(), "grafana")
        password = provider.data().password() if url else None
        if not url or not password:
            return
        ctx.activity("exporting what is in Grafana")
        objects = export_grafana(url, password)
    except InstallError as error:
        ctx.notice(f"not exported from Grafana: {error.message}")
        return
    folder = staged / GRAFANA
    folder.mkdir(mode=0o700)
    for name, items in objects.items():
        text = json.dumps(items, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text, encoding="utf-8", errors=IN_FILES)


def export_grafana(base_url: str, password: str) -> Mapping[str, Any]:
    """Return what people made in Grafana, as documents that any other Grafana takes; raises InstallError."""
    grafana = _Grafana(base_url, password)
    try:
        found = grafana.list(f"/api/search?type=dash-db&limit={MOST_DASHBOARDS}")
        return {
            "dashboards": [grafana.get(f"/api/dashboards/uid/{quote(str(item['uid']), safe='')}") for item in found],
            "folders": grafana.list("/api/folders?limit=1000"),
            "datasources": [
                {name: value for name, value in item.items() if name not in _SECRET_FIELDS}
                for item in grafana.list("/api/datasources")
            ],
            "alert-rules": grafana.list("/api/v1/provisioning/alert-rules"),
        }
    except (KeyError, TypeError) as error:
        raise InstallError("grafana-answer", f"Grafana answers in a way that is not known: {error}") from None
    finally:
        grafana.client.close()


class _Grafana:
    """Grafana's documented HTTP API."""

    def __init__(self, base_url: str, password: str) -> None:
        self.client = Client(base_url, lambda: GRAFANA_LIMITS)
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}

    def get(self, path: str) -> Any:
        try:
            answer = self.client.request("GET", path, headers=self._headers)
        except StoreError as error:
            raise InstallError("grafana-silent", f"Grafana {error.kind}", error.evidence) from error
        if answer.status != 200:
            raise InstallError("grafana-refused", f"Grafana answers {path} with {answer.status}", answer.text)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise InstallError("grafana-answer", f"Grafana answers {path} with what is no JSON") from error

    def list(self, path: str) -> list[dict[str, Any]]:
        answer = self.get(path)
        if not isinstance(answer, list):
            raise InstallError("grafana-answer", f"Grafana answers {path} with what is no list")
        return answer


def _stage_volume(provider: Provider, volume: Volume, staged: Path, ctx: StepContext, *, must: bool) -> bool:
    """Copy a volume and return whether that was done; raises InstallError if it must be."""
    ctx.raise_if_cancelled()
    large = f", {size(volume.bytes)}" if volume.bytes else ""
    ctx.activity(f"copying {volume.name}{large} ({volume.promise})")
    folder = staged / VOLUMES
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{volume.name}.tar"
    try:
        require_room(folder, volume.bytes or 0)
        with path.open("w+b") as file:
            provider.data().save(volume, file, ctx)
            file.flush()
            _make_harmless(volume, file, path, ctx)
    except InstallError as error:
        if must:
            raise
        ctx.notice(f"{volume.name} cannot be saved: {error.message}")
        path.unlink(missing_ok=True)
        return False
    return True


def _make_harmless(volume: Volume, file: IO[bytes], path: Path, ctx: StepContext) -> None:
    """Replace a copy that holds links or the like, and could not be put back, by one without them."""
    with suppress(TreeError):
        check_tree(file)
        return
    harmless = path.with_suffix(".harmless")
    try:
        with harmless.open("w+b") as kept:
            left_out = keep_harmless(file, kept)
    except TreeError as error:
        raise InstallError("volume-unusable", f"the copy of {volume.name} is of no use: {error}") from error
    harmless.replace(path)
    ctx.notice(f"{volume.name}: {count(left_out, 'entry')} that are neither files nor folders were left out")
