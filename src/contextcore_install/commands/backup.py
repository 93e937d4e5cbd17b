"""backup: what the installation holds, as one file: its records, its components' data, what people made in Grafana."""

from __future__ import annotations

from pathlib import Path

from contextcore_install.core.errors import InstallError, own
from contextcore_install.runtime.app import App
from contextcore_install.runtime.backing_up import make_backup, resolve_what_runs, volumes_of
from contextcore_install.runtime.interaction import cancellable, report_done, require_yes
from contextcore_install.runtime.output_file import binary_file, stamped_name
from contextcore_install.runtime.records import take_lock
from contextcore_install.storage.home import make_private
from contextcore_install.storage.store import read_records


def run(app: App) -> int:
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
