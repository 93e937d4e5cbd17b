"""Finding an installation, even if its state file and journal are gone: its cluster and its metrics store are asked.

The cluster may hold the records themselves, as another machine or an earlier home kept them there; the store has their
story. Only what is still there is asked, in bounded time. What comes of it is confirmed by the checks, with which
every run begins its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from contextcore_install.cli.grammar import COMMANDS
from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError, own, usage_error
from contextcore_install.engine.state import State
from contextcore_install.providers.registry import PROVIDERS
from contextcore_install.runtime.app import App
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.store import Records, cluster_at, read_records, take_over

if TYPE_CHECKING:
    from contextcore_install.runtime.installation import Installation

LIMIT_S = 5.0  # seconds for the store, if somebody only wants to know
BEFORE_A_RUN_S = 10.0  # the same before a run, which would begin a new story
CLUSTER_S = 12.0  # seconds for the records in the cluster: what is read is whole, so it is worth more patience
NAMED = 10  # how many installations an error names

Answer = TypeVar("Answer")


def find_installation(app: App, command: str, verb: str = "") -> tuple[Records, Installation]:
    """Return what is known of the installation that a command is about; see `require_installation`."""
    from contextcore_install.runtime.installation import resolve

    require_installation(app, command, verb)
    records = known_records(app)
    return records, resolve(app, records.state)


def require_installation(app: App, command: str, verb: str = "") -> None:
    """Raise a usage error if nothing is known of the installation: a mistyped name is not to begin a new one.

    Its records are looked for here, in its cluster and in its store; what cannot be asked is given the benefit of the
    doubt. In a home without any installation, the name that nobody typed is the one to begin with. `verb` completes
    "there is no installation NAME to"; it is the command, unless given.
    """
    name = app.settings.cluster
    others = [other for other in app.home.cluster_names() if other != name]
    if not (app.settings.cluster_given or others) or app.layout.exists or _left_by_others(app) or _is_there(app):
        return
    from difflib import get_close_matches

    installed = f"installed: {', '.join(others[:NAMED])}" if others else "nothing is installed"
    hint = f"to install it: {app.commands()}"
    if meant := get_close_matches(name, others, 1):
        words = command if command.split(maxsplit=1)[0] in COMMANDS else f"--{command}"
        hint = own(*words.split(), "--cluster", meant[0])
    raise usage_error(f"there is no installation {name} to {verb or command}; {installed}", hint)


def _left_by_others(app: App) -> bool:
    """Whether a file at the plan's path speaks of the cluster; one that cannot be read is for the run to report."""
    try:
        return cluster_at(app.home) in ("", app.settings.cluster)
    except (UnreadableFileError, ValueError):
        return True


def _is_there(app: App) -> bool:
    from contextcore_install.core.provider import ClusterState
    from contextcore_install.runtime.installation import resolve

    try:
        if resolve(app, State(app.settings.cluster)).provider.cluster().state is not ClusterState.ABSENT:
            return True
    except InstallError:
        return True
    return known_records(app).state.exists


def known_records(app: App) -> Records:
    """Return what is known of the cluster, and change nothing; raises InstallError as reading the files does."""
    return recover(app, read_records(app.layout, app.settings.cluster))


def recover(app: App, records: Records, limit_s: float = LIMIT_S, *, ask_cluster: bool = True) -> Records:
    """Return the records; empty ones are made from the cluster's, else from the metrics store's samples.

    Raises nothing: without an answer the installation counts as new, as it would without cluster and store.
    """
    if records.state.exists or records.offset.events or records.imported:
        return records
    from contextcore_install.runtime.installation import resolve

    installation = _within(CLUSTER_S if ask_cluster else limit_s, lambda: resolve(app, records.state))
    if installation is None:
        return records
    kept = _within(CLUSTER_S, lambda: _from_cluster(installation, records)) if ask_cluster else None
    return kept or _within(limit_s, lambda: _from_store(installation, records, limit_s)) or records


def _from_cluster(installation: Installation, records: Records) -> Records | None:
    """Return the records in the cluster that the settings name, unless they were given up here."""
    from contextcore_install.runtime.remote_state import adopt_remote, is_given_up, look, remote_of

    remote = remote_of(installation.provider)
    found = look(remote, records.state.cluster_name).records if remote else None
    if remote is None or found is None or not found.state.exists or is_given_up(installation.app, found):
        return None
    return adopt_remote(remote, found, records)


def _from_store(installation: Installation, records: Records, limit_s: float) -> Records | None:
    if not installation.selection.was_found:
        return None
    from contextcore_install.core.provider import url_of
    from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE, resolve_ports
    from contextcore_install.storage.archived import given_up_ms
    from contextcore_install.telemetry.rebuild import rebuild

    provider, ports = installation.selection.provider, installation.selection.ports
    endpoints = installation.provider.endpoints()
    if any(item.stranger for item in endpoints if item.component == METRICS_STORE):
        return None
    url = url_of(endpoints, METRICS_STORE) or f"http://{LOOPBACK}:{resolve_ports(ports)[METRICS_STORE]}"
    cluster = records.state.cluster_name
    rebuilt = rebuild(url, cluster, given_up_ms(installation.app.home, cluster), limit_s)
    if rebuilt is None:
        return None
    state = rebuilt.state
    state.provider = state.provider if state.provider in PROVIDERS else provider
    state.settings = {"provider": state.provider, "ports": dict(ports)}
    taken = take_over(records, state, f"metrics store: {rebuilt.store}", at_us=rebuilt.newest_ms * 1000)
    notice = (
        f"the state was rebuilt from the metrics store's samples ({rebuilt.store}); "
        "the state file and the journal are gone, and each step's check says whether it still holds"
    )
    return replace(taken, notices=[*records.notices, notice])


def _within(limit_s: float, work: Callable[[], Answer | None]) -> Answer | None:
    """Return what the work comes to; None if it fails, or takes longer and is left behind."""
    from contextcore_install.core.threads import start

    try:
        return start(work, "recovery").result(limit_s)
    except Exception:  # noqa: BLE001 - whatever others hold, or fail of, our own records are shown without it
        return None
