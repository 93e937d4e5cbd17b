"""What this machine's files, the cluster's records and the checks say, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import second
from contextcore_install.core.provider import Provider
from contextcore_install.engine.replica import Remote, last_change
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.remote_state import differing, identity, is_newer, look, remote_of
from contextcore_install.storage.replica.lease import describe_holder, is_held_by
from contextcore_install.storage.store import Records


def records_document(
    app: App, provider: Provider, local: Records, checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the member `records` of the status document; None where the provider's cluster holds none."""
    try:
        remote = remote_of(provider)
        if remote is None:
            return None
        found, lease = look(remote, app.settings.cluster), _lease(app, remote)
    except InstallError as error:
        return {"trouble": error.message}
    document: dict[str, Any] = {"lease": lease} if lease else {}
    if found.trouble:
        document["trouble"] = found.trouble
    if (there := found.records) is None:
        return document or None
    differ = differing(there, local)
    document["counts"] = "cluster" if is_newer(app, there, local) else "file"
    document["differ"] = differ
    document["file"] = _side(local.state, local.offset.events) if local.state.exists else None
    document["cluster"] = {"place": remote.place, "host": there.host, **_side(there.state, there.events)}
    if differ:
        document["steps"] = _steps(local.state, there.state, checks)
    return document


def _lease(app: App, remote: Remote) -> dict[str, Any]:
    """Return who holds the lease; empty where nobody does, or the run on this machine that the lock tells of."""
    kept = remote.lease.read()
    if kept is None or is_held_by(kept.content, identity(app)):
        return {}
    return dict(describe_holder(kept.content))


def _side(state: State, events: int) -> dict[str, Any]:
    changed = last_change(state)
    return {
        "installation_id": state.installation_id or None,
        "changed_at": second(changed) if changed else None,
        "events": events,
    }


def _steps(here: State, there: State, checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    live = {check["id"]: bool(check["satisfied"]) for check in checks}
    return [
        {
            "id": step,
            "file": here.steps[step].status if step in here.steps and here.exists else None,
            "cluster": there.steps[step].status if step in there.steps else None,
            "live": live.get(step),
        }
        for step in dict.fromkeys([*here.steps, *there.steps])
    ]
