"""clusters: every installation in this home, one row each. Reads only; asks clusters only with --live."""

from __future__ import annotations

from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.state import StateFormatError
from contextcore_install.engine.status import status_document
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.state_file import load_state
from contextcore_install.system.lock import owner_of

RUNS_IF = "services_verify"  # the last step that says whether what is installed runs


def clusters(app: App) -> int:
    from contextcore_install.ui.tables import render_clusters

    usual = {key: port.host for key, port in PORTS.items()}
    rows = [_row(app, name) for name in app.home.cluster_names()]
    document = {"clusters": rows}
    now_us = app.clock.now_us()
    return report_document(app, "clusters/v1", document, lambda style: render_clusters(rows, usual, now_us, style))


def _row(app: App, name: str) -> dict[str, Any]:
    from contextcore_install.runtime.selection import recorded_ports

    layout = app.home.cluster(name)
    row: dict[str, Any] = {"cluster": name, "last_used": app.home.linked_cluster() == name}
    owner = owner_of(layout.lock)
    try:
        stored = load_state(layout.state)
    except (InstallError, StateFormatError, UnreadableFileError) as error:
        return row | {"overall": "unreadable", "problem": str(error)}
    if stored and stored.state.cluster_name not in ("", name):
        problem = f"{layout.state} is of another installation, {stored.state.cluster_name[:63]!r}"
        return row | {"overall": "unreadable", "problem": problem}
    if stored is None:
        return row | {"overall": "not_installed"}
    document = status_document(stored.state, live=owner is not None, holder=owner)
    row |= {key: document[key] for key in ("provider", "overall", "progress", "started_at", "updated_at", "run")}
    row["ports"] = recorded_ports(stored.state.settings)
    if app.settings.live:
        row["found"] = _found(app, layout, name)
    return row


def _found(app: App, layout: ClusterLayout, name: str) -> dict[str, str]:
    """Return what is there under the cluster's name, as its provider sees it now, and whether all runs in it."""
    from contextcore_install.core.dataclass import replace
    from contextcore_install.core.provider import ClusterState
    from contextcore_install.core.text import and_more
    from contextcore_install.runtime.installation import resolve
    from contextcore_install.storage.store import read_records

    about = replace(app, settings=replace(app.settings, cluster=name))
    try:
        installation = resolve(about, read_records(layout, name).state)
        report = installation.provider.cluster()
        if report.state is ClusterState.HEALTHY:
            checks = installation.check(lambda _: None, until=RUNS_IF).values()
            if problems := [finding for check in checks for finding in check.problems]:
                return {"state": ClusterState.DEGRADED.value, "evidence": problems[0].message + and_more(problems)}
    except InstallError as error:
        return {"state": "unknown", "evidence": error.message}
    return {"state": report.state.value, "evidence": report.evidence}
