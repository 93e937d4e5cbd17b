"""What the installation holds, as one file: `backup` makes it, `restore` puts it in place of what is there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own, usage_error
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Provider, Volume
from contextcore_install.engine.state import State
from contextcore_install.providers.registry import PROVIDERS
from contextcore_install.runtime.app import App, left_by
from contextcore_install.runtime.backing_up import make_backup
from contextcore_install.runtime.installation import resolve_what_runs, volumes_of
from contextcore_install.runtime.interaction import cancellable, report_done, require_name, require_yes
from contextcore_install.runtime.output_file import binary_file, stamped_name
from contextcore_install.runtime.records import take_lock
from contextcore_install.runtime.selection import choose_provider, is_bound, select
from contextcore_install.storage.backup.archive import RECORDS, Manifest, require_room, unpack
from contextcore_install.storage.backup.restoring import begin, staging
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.home import make_private
from contextcore_install.storage.state_file import load_state
from contextcore_install.storage.store import mend_records, read_records
from contextcore_install.ui.text import sanitize, size

if TYPE_CHECKING:
    from contextcore_install.runtime.session import Prepared


def backup(app: App) -> int:
    if not app.layout.exists:
        raise _nothing_there(app)
    make_private(app.layout.backups)
    with binary_file(app, stamped_name(app, "", ".tar.gz"), app.layout.backups) as (reporting_app, target):
        return _write(reporting_app, target)


def _write(app: App, target: Path | None) -> int:
    with cancellable(app) as ctx, take_lock(app):
        records = read_records(app.layout, app.settings.cluster)
        installation = resolve_what_runs(app, records.state, records.state)
        volumes = volumes_of(installation.provider)
        if not volumes and not records.state.exists:
            raise _nothing_there(app)
        if restarted := sorted({volume.component for volume in volumes if volume.restarts}):
            require_yes(app, f"This ends {', '.join(restarted)} for a moment. Go on?")
        made = make_backup(installation, records, ctx, target=target)
    facts = [{"name": item.name, "promise": item.promise} for item in made.volumes]
    where = "on standard output" if app.stdout is app.stderr else f"in {made.path}"
    sentence = f"{app.settings.cluster} is backed up {where} ({made.words})"
    return report_done(app, sentence, path=str(made.path), bytes=made.bytes, volumes=facts)


def _nothing_there(app: App) -> InstallError:
    message = f"there is no installation {app.settings.cluster} to back up"
    return InstallError("not-installed", message, hint=own("clusters"))


def restore(app: App) -> int:
    from contextcore_install.runtime.running import carry_out

    on_provider, prepared = begin_restore(app)
    return carry_out(on_provider, lambda session, _: session.run(), prepared)


def begin_restore(app: App) -> tuple[App, Prepared]:
    """Do what comes before the run that finishes the restore; return the invocation and the lock for it.

    From then on it is a run like any other: what was begun is finished by it, or by the next if it is cut off.
    """
    from contextcore_install.runtime.session import Prepared

    source = Path(app.settings.arguments["file"]).expanduser().absolute()
    was_there = app.layout.exists
    with ExitStack() as undoing:
        lock = undoing.enter_context(take_lock(app))
        if not was_there:
            undoing.callback(_take_folder_back, app)
        staged = staging(app.layout)
        undoing.callback(shutil.rmtree, staged, ignore_errors=True)
        shutil.rmtree(staged, ignore_errors=True)  # of one that was killed: the lock is ours
        on_provider = _prepare(app, source, staged)
        begin(app.layout)
        undoing.pop_all()
    return on_provider, Prepared(lock)


def _prepare(app: App, source: Path, staged: Path) -> App:
    """Do all that can fail before anything is replaced; return the invocation for the backup's provider."""
    with cancellable(app) as ctx:
        ctx.activity(f"checking {source}")
        manifest = _unpack(app, source, staged, ctx)
        archived = _archived_state(app, source, staged, manifest)
        records = read_records(app.layout, app.settings.cluster)
        state = records.state
        on_provider = replace(app, settings=replace(app.settings, provider=manifest.provider))
        select(on_provider, archived)  # what the run is made with: refused here, or too late
        installation = resolve_what_runs(on_provider, state, archived)
        replaced = _replaced(app, installation.provider, state)
        _confirm(app, source, manifest, archived, replaced)
        if (replaced or state.exists) and not app.settings.arguments["no_backup"]:
            saved = make_backup(installation, records, ctx, about="before-restore-")
            ctx.activity(f"what is there is kept in {saved.path}")
        ctx.raise_if_cancelled()
    return on_provider


def _replaced(app: App, provider: Provider, state: State) -> Sequence[Volume]:
    """Return the volumes that are there now, recorded or not; raises InstallError if that is not known."""
    try:
        return volumes_of(provider)
    except InstallError:
        if state.exists or not app.settings.arguments["no_backup"]:
            raise
        return ()  # it may be the run itself that gets the tools to ask with


def _unpack(app: App, source: Path, staged: Path, ctx: StepContext) -> Manifest:
    try:
        return unpack(source, staged, lambda found: _accept(app, source, found, ctx), ctx)
    except InstallError as error:
        if error.code == "backup-missing":
            archived = app.home.archive.glob(f"*/{app.layout.backups.name}/*")  # where `delete` puts them
            if moved := max((path for path in archived if path.name == source.name), default=None):
                hint = own("restore", str(moved), "--cluster", app.settings.cluster)
                raise replace(error, hint=hint) from error
        raise


def _accept(app: App, source: Path, manifest: Manifest, ctx: StepContext) -> None:
    name = app.settings.cluster
    if manifest.provider not in PROVIDERS:
        raise _unusable(source, f"it is of the provider {manifest.provider[:20]!r}, which is not known here")
    if manifest.cluster != name:
        raise usage_error(
            f"the backup is of the cluster {manifest.cluster[:63]!r}, and this would restore {name!r}",
            "name the backup's cluster with --cluster NAME",
        )
    records = mend_records(app.layout, name)
    for text in records.notices:
        ctx.notice(text)
    state = records.state
    left = "" if state.exists else left_by(app.layout)  # as after a reset
    runs_on = choose_provider(app, state)[0] if is_bound(state) else left
    wanted = app.settings.provider
    other = runs_on or ("" if wanted == "auto" else wanted)
    if other and other != manifest.provider:
        raise usage_error(
            f"the backup is of an installation on {manifest.provider}, and {name} is on {other}",
            "delete that installation first, or restore on another machine",
        )
    require_room(app.layout.folder, manifest.bytes)


def _archived_state(app: App, source: Path, staged: Path, manifest: Manifest) -> State:
    try:
        stored = load_state(staged / RECORDS / app.layout.state.name)
    except (UnreadableFileError, ValueError) as error:
        raise _unusable(source, str(error)) from error
    if stored and stored.state.exists and stored.state.provider == manifest.provider:
        return stored.state
    raise _unusable(source, "its records describe no installation")


def _unusable(source: Path, reason: str) -> InstallError:
    return InstallError("backup-unusable", f"{source} is no backup that can be used: {reason}")


def _confirm(app: App, source: Path, manifest: Manifest, archived: State, replaced: Sequence[Volume]) -> None:
    name = app.settings.cluster
    if not app.json:
        app.stdout.write(_plan(app, manifest, archived, replaced))
        app.stdout.flush()
    question = f"This replaces what {name} holds. Type its name to go on: "
    require_name(app, question, "was not restored", own("restore", "--yes", "--cluster", name, str(source)))


def _plan(app: App, manifest: Manifest, archived: State, replaced: Sequence[Volume]) -> str:
    done = sum(step.status == "completed" for step in archived.steps.values())
    about = f"{sanitize(manifest.created_at, 40)}, from {manifest.provider}: {size(manifest.bytes)}, {done} steps done."
    lines = [f"The backup is of {about}", f"Its volumes: {', '.join(manifest.volumes) or 'none'}."]
    if replaced:
        lost = app.settings.arguments["no_backup"]
        lines.append(f"They replace what is there now: {', '.join(volume.name for volume in replaced)}.")
        lines.append("That is lost (--no-backup)." if lost else "That is backed up first.")
    lines.append("The records of the installation become those of the backup; the present ones are kept.")
    return "".join(f"{line}\n" for line in lines)


def _take_folder_back(app: App) -> None:
    """Leave no trace of an installation that was not there before."""
    shutil.rmtree(app.layout.backups, ignore_errors=True)
    with suppress(OSError):
        app.layout.lock.unlink(missing_ok=True)
        app.layout.folder.rmdir()
