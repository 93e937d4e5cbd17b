"""What this machine's files, the cluster's records and the checks say, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import second
from contextcore_install.core.provider import Provider
from contextcore_install.engine.replica import last_change
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.remote_state import differ, identity, is_newer, look, remote_of
from contextcore_install.storage.replica.lease import describe_holder, is_held_by
from contextcore_install.storage.store import Records


def compare_records(
    app: App, provider: Provider, local: Records, checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the member `records` of the status document; None if the provider's cluster holds none."""
    try:
        remote = remote_of(provider)
        if remote is None:
            return None
        found, kept = look(remote, app.settings.cluster), remote.lease.read()
    except InstallError as error:
        return {"trouble": error.message}
    # The lease of a run on this machine is left out: the lock shows that run.
    held = kept is not None and not is_held_by(kept.content, identity(app))
    lease = dict(describe_holder(kept.content)) if kept and held else {}
    document: dict[str, Any] = {"lease": lease} if lease else {}
    if found.trouble:
        document["trouble"] = found.trouble
    there, here = found.records, local.state
    if there is None:
        return document or None
    document["counts"] = "cluster" if is_newer(app, there, local) else "file"
    document["differ"] = differ(there, local)
    document["file"] = _one_side(here, local.offset.events) if here.exists else None
    document["cluster"] = {"place": remote.place, "host": there.host, **_one_side(there.state, there.events)}
    if document["differ"]:
        live = {check["id"]: bool(check["satisfied"]) for check in checks}
        document["steps"] = [
            {
                "id": step,
                "file": here.steps[step].status if step in here.steps and here.exists else None,
                "cluster": there.state.steps[step].status if step in there.state.steps else None,
                "live": live.get(step),
            }
            for step in dict.fromkeys([*here.steps, *there.state.steps])
        ]
    return document


def _one_side(state: State, events: int) -> dict[str, Any]:
    changed = last_change(state)
    return {
        "installation_id": state.installation_id or None,
        "changed_at": second(changed) if changed else None,
        "events": events,
    }
