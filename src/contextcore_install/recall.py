"""What is known of an installation whose state file and journal are gone: the metrics store has its story.

Only what is still there is asked: the provider says with which ports it runs, and the store at that port is asked for
its samples, in bounded time. What comes of it is confirmed by the checks, which every run begins its steps with.
"""

from __future__ import annotations

import calendar
import re
import threading
import time
from collections.abc import Callable

from contextcore_install.app import App
from contextcore_install.core.errors import InstallError
from contextcore_install.providers.registry import PROVIDERS, recollect
from contextcore_install.stack.catalogue import LOOPBACK, METRICS_STORE, resolve_ports
from contextcore_install.storage.layout import Home
from contextcore_install.storage.store import Records, read_records, take_over
from contextcore_install.telemetry.client import StoreError
from contextcore_install.telemetry.rebuild import Rebuilt, rebuild
from contextcore_install.wiring import Stack, choose_provider, options_of

LIMIT_S = 3.0
"""What looking for the store and asking it may take together, in seconds, where somebody only wants to know."""

BEFORE_A_RUN_S = 10.0
"""The same before a run, which would begin a new story."""

_Found = tuple[Rebuilt, str, dict[str, int]]
"""What was rebuilt, the provider, and the ports that were chosen."""


def known_records(app: App) -> Records:
    """Return what is known of the cluster, and change nothing; raises InstallError as reading the files does."""
    records = read_records(app.layout, app.settings.cluster)
    recall(app, records)
    return records


def recall(app: App, records: Records, limit_s: float = LIMIT_S) -> None:
    """Where the records are empty, make them from the metrics store's samples, if there are any; say so in a notice.

    Raises nothing: without an answer the installation counts as new, as it would without a store.
    """
    if records.state.exists or records.mark.events or records.imported:
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


def _ask(app: App, records: Records, limit_s: float) -> _Found | None:
    name, _ = choose_provider(app, records.state)
    options = options_of(records.state, app, name)
    stack = Stack(app, name, app.settings.ports, options)
    kept = recollect(name, stack.config)
    if kept is None:
        return None
    ports = {**kept, **app.settings.ports}
    url = Stack(app, name, ports, options).metrics_store_url()
    url = url or f"http://{LOOPBACK}:{resolve_ports(ports)[METRICS_STORE]}"
    rebuilt = rebuild(url, app.settings.cluster, _put_aside_ms(app.home, app.settings.cluster), limit_s)
    return (rebuilt, name, ports) if rebuilt else None


def _put_aside_ms(home: Home, cluster: str) -> int:
    """Return when the records of a cluster were put aside last (ms since 1970; 0 for never).

    What was before was given up on purpose, by `--reset` or `delete`: it is not brought back.
    """
    pattern = re.compile(rf"{re.escape(cluster)}-(\d{{8}}T\d{{6}}Z)(\.\d+)?")
    try:
        names = [entry.name for entry in home.archive.iterdir()]
    except OSError:
        names = []
    found = [match[1] for name in names if (match := pattern.fullmatch(name))]
    # A name has whole seconds, so the one that it names may have been reset after.
    return 1000 * max((_seconds(stamp) + 1 for stamp in found), default=0)


def _seconds(stamp: str) -> int:
    """Return a folder's stamp as seconds since 1970; 0 for one that names no time, which others gave it."""
    try:
        return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0


def _within(limit_s: float, work: Callable[[], _Found | None]) -> _Found | None:
    """Return what the work comes to; None where it fails, or takes longer and is left behind."""
    results: list[_Found | None] = []

    def run() -> None:
        try:
            results.append(work())
        except (InstallError, StoreError):
            results.append(None)

    thread = threading.Thread(target=run, name="recall", daemon=True)
    thread.start()
    thread.join(limit_s)
    return results[0] if results else None
