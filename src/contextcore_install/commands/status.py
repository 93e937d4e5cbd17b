"""--status: where the installation stands. Reads only, and works with everything down."""

from __future__ import annotations

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.text import ascii_json
from contextcore_install.engine.state import State
from contextcore_install.engine.status import status_document
from contextcore_install.runtime.app import App, left_by
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.state_file import load_state
from contextcore_install.storage.store import Records, cluster_at, foreign_link, read_records
from contextcore_install.system.lock import owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from contextcore_install.core.findings import CheckResult
    from contextcore_install.core.provider import Provider


def status(app: App) -> int:
    files = _records(app)
    records = files
    if not records.state.exists:
        from contextcore_install.runtime.recovery import recover

        records = recover(app, records, ask_cluster=app.settings.live)
        if not records.state.exists:
            records.notices += _left_over(app)
    owner = owner_of(app.layout.lock)
    document = status_document(records.state, live=owner is not None, holder=owner)
    if owner is None and app.layout.restore.is_dir():
        command = app.commands("--resume")
        records.notices.append(f"a restore was begun and not finished: {command} puts the backup back")
        if document["overall"] == "complete":  # as the backup's records say, whose data is not there yet
            document["overall"] = "interrupted"
    checks = _check(app, document, records, files) if app.settings.live else None
    if app.json:
        if records.notices:
            document["notices"] = records.notices
        app.stdout.write(ascii_json(document, indent=2) + "\n")
        return ExitCode.DONE
    _show(app, document, records, checks)
    return ExitCode.DONE


def _left_over(app: App) -> list[str]:
    """Return what there is of an installation without records: it was reset, or they are lost."""
    from contextcore_install.runtime.selection import select

    left = left_by(app.layout)
    if not left:
        return []
    folder = app.layout.folder / left
    ports = ", ".join(f"{key} {port}" for key, port in select(app, State(app.settings.cluster)).ports.items())
    on = f", on the ports {ports}" if ports else ""
    command = app.commands("--resume")
    return [f"nothing is recorded of it, but its files are in {folder}{on}: {command} takes it up again"]


def _records(app: App) -> Records:
    """Return the records; a file that others left at the plan's path counts if it speaks of this cluster."""
    cluster = app.settings.cluster
    records = read_records(app.layout, cluster)
    refused = foreign_link(app.home)
    if refused:
        records.notices.append(f"{refused.message}; it is not followed")
        return records
    try:
        named = cluster_at(app.home)
        stored = load_state(app.home.latest_link) if named in ("", cluster) else None
    except (UnreadableFileError, ValueError) as error:
        records.notices.append(f"{app.home.latest_link} holds no state ({error})")
        return records
    if stored:
        records.state = stored.state
        records.state.cluster_name = cluster
    elif named is not None:
        records.notices.append(f"{app.home.latest_link} speaks of another cluster: {named[:63]!r}")
    return records


def _check(app: App, document: dict[str, Any], records: Records, files: Records) -> dict[str, CheckResult]:
    """Add to the document what is there now; return what the steps' checks find."""
    from contextcore_install.runtime.checks import checks_document
    from contextcore_install.runtime.installation import resolve
    from contextcore_install.runtime.remote_state import compare_records

    installation = resolve(app, records.state)
    found = installation.check(records.notices.append)
    document["checks"] = checks_document(found, app.commands.typed)
    document["endpoints"] = _endpoints(installation.provider)
    if compared := compare_records(app, installation.provider, files, document["checks"]):
        document["records"] = compared
    return found


def _endpoints(provider: Provider) -> list[dict[str, Any]]:
    """Return where each component is reached and whether it answers; empty if the provider cannot tell."""
    from contextcore_install.system.http import LoopbackHttp
    from contextcore_install.verification.facts import readiness

    try:
        found = provider.overview().endpoints
    except InstallError:
        return []
    return [
        {"component": item.component, "url": item.base_url, "answers": answers}
        for item, answers in readiness(found, LoopbackHttp())
    ]


def _show(app: App, document: dict[str, Any], records: Records, checks: dict[str, CheckResult] | None) -> None:
    from contextcore_install.ui.status import render_status
    from contextcore_install.ui.terminal import Terminal

    for notice in records.notices:
        app.stderr.write(f"note: {notice}\n")
    style = Terminal(app.stdout, app.environ, app.commands.typed).style()
    app.stdout.write(render_status(document, style, app.commands, checks) + "\n")
