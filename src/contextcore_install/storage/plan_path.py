"""The plan's path, ~/.contextcore/install-state.json: a link of ours, or a file that others left there."""

from __future__ import annotations

from shlex import quote

from contextcore_install.core.errors import InstallError, state_error
from contextcore_install.engine.state import NewerSchemaError
from contextcore_install.storage.files import quarantine, quarantine_copy, using
from contextcore_install.storage.home import Home, make_private
from contextcore_install.storage.state_file import load_state
from contextcore_install.storage.store import newer_state


def foreign_link(home: Home) -> InstallError | None:
    """Return the error for a plan's path that is a link which this program did not make, if it is one."""
    path = home.plan_path
    if not path.is_symlink() or home.linked_cluster():
        return None
    message = f"{path} is a link to {str(path.readlink())!r}, which this program did not make"
    return state_error("unsafe-link", message, f"remove the link: rm {quote(str(path))}")


def cluster_at(home: Home) -> str | None:
    """Return the cluster named in a file at the plan's path, empty if it names none; None if there is no such file.

    Raises ValueError for what holds no state, and InstallError.
    """
    if home.plan_path.is_symlink():
        return None
    stored = load_state(home.plan_path)
    return stored.state.cluster_name if stored else None


def adopt(home: Home, cluster: str) -> list[str]:
    """Move a file at the plan's path to the cluster it names, and return sentences on what was done.

    Opening that cluster's records then takes its content over as a recorded change.
    """
    if refused := foreign_link(home):
        raise refused
    try:
        named = cluster_at(home)
    except NewerSchemaError as error:
        raise newer_state(home.plan_path, error) from None
    except ValueError as error:
        return [f"{home.plan_path} holds no state ({error}); it is kept as {quarantine(home.plan_path).name}"]
    if named is None:
        return []
    if named not in ("", cluster):
        kept = quarantine(home.plan_path).name
        return [f"{home.plan_path} speaks of the cluster {named[:63]!r}; it is kept as {kept}"]
    layout = home.cluster(cluster)
    make_private(layout.folder)
    notices = [f"took over the state at {home.plan_path}"]
    if layout.state.exists():
        notices.append(f"{layout.state} is kept as {quarantine_copy(layout.state).name}")
    with using(layout.state):
        home.plan_path.replace(layout.state)
    return notices
