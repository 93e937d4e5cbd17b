"""What is known of an installation whose state file and journal are gone: its cluster and its metrics store are asked.

The cluster may hold the records themselves, as another machine or an earlier home kept them there; the store has their
story. Only what is still there is asked, in bounded time: the provider says with which ports the store runs. What comes
of it is confirmed by the checks, which every run begins its steps with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import Remote, RemoteRecords
from contextcore_install.providers.registry import PROVIDERS, recollect
from contextcore_install.runtime.app import App
from contextcore_install.runtime.remote_state import adopt_remote, is_given_up, look, remote_of
from contextcore_install.runtime.selection import Stack, choose_provider, options_of, read_stack
from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE, resolve_ports
from contextcore_install.stack.intake import metrics_url
from contextcore_install.storage.archived import given_up_ms
from contextcore_install.storage.store import Records, read_records, take_over
from contextcore_install.telemetry.failures import StoreError
from contextcore_install.telemetry.rebuild import Rebuilt, rebuild

LIMIT_S = 5.0
"""What looking for the store and asking it may take together, in seconds, where somebody only wants to know."""

BEFORE_A_RUN_S = 10.0
"""The same before a run, which would begin a new story."""

CLUSTER_S = 12.0
"""What asking the cluster for its records may take: what is read is whole, so it is worth more patience."""

Answer = TypeVar("Answer")

_Found = tuple[Rebuilt, str, dict[str, int]]
"""What was rebuilt, the provider, and the ports that were chosen."""


def known_records(app: App) -> Records:
    """Return what is known of the cluster, and change nothing; raises InstallError as reading the files does."""
    records = read_records(app.layout, app.settings.cluster)
    recall(app, records)
    return records


def recall(app: App, records: Records, limit_s: float = LIMIT_S, *, ask_cluster: bool = True) -> None:
    """Where the records are empty, make them from the cluster's, else from the metrics store's samples; say so.

    Raises nothing: without an answer the installation counts as new, as it would without cluster and store.
    """
    if records.state.exists or records.offset.events or records.imported:
        return
    kept = _within(CLUSTER_S, lambda: _ask_cluster(app, records)) if ask_cluster else None
    if kept:
        adopt_remote(*kept, records)
        return
    found = _within(limit_s, lambda: _ask(app, records, limit_s))
    if found is None:
        return
    rebuilt, provider, ports = found
    state = rebuilt.state
    state.provider = state.provider if state.provider in PROVIDERS else provider
    state.settings = {"provider": state.provider, "ports": ports}
    take_over(records, state, f"metrics store: {rebuilt.store}", at_us=rebuilt.newest_ms * 1000)
    records.notices.append(
        f"the state was rebuilt from the metrics store's samples ({rebuilt.store}); "
        "the state file and the journal are gone, and each step's check says whether it still holds"
    )


def _ask_cluster(app: App, records: Records) -> tuple[Remote, RemoteRecords] | None:
    """Return the records in the cluster that the settings name, unless they were put aside here."""
    remote = remote_of(read_stack(app, records.state).provider)
    found = look(remote, app.settings.cluster).records if remote else None
    if remote is None or found is None or not found.state.exists:
        return None
    return None if is_given_up(app, found) else (remote, found)


def _ask(app: App, records: Records, limit_s: float) -> _Found | None:
    name, _ = choose_provider(app, records.state)
    options = options_of(records.state, app, name)
    stack = Stack(app, name, app.settings.ports, options)
    kept = recollect(name, stack.config)
    if kept is None:
        return None
    ports = {**kept, **app.settings.ports}
    endpoints = stack.with_ports(ports).provider.endpoints()
    if any(item.stranger for item in endpoints if item.component == METRICS_STORE):
        return None
    url = metrics_url(endpoints) or f"http://{LOOPBACK}:{resolve_ports(ports)[METRICS_STORE]}"
    rebuilt = rebuild(url, app.settings.cluster, given_up_ms(app.home, app.settings.cluster), limit_s)
    return (rebuilt, name, ports) if rebuilt else None


def _within(limit_s: float, work: Callable[[], Answer | None]) -> Answer | None:
    """Return what the work comes to; None where it fails, or takes longer and is left behind."""
    results: list[Answer | None] = []

    def run() -> None:
        try:
            results.append(work())
        except (InstallError, StoreError):
            results.append(None)

    thread = threading.Thread(target=run, name="recall", daemon=True)
    thread.start()
    thread.join(limit_s)
    return results[0] if results else None
