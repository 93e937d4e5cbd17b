"""Builds a run and its records: from the settings, what was selected, and everything that events are shown to."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.core.ports import Projection
from contextcore_install.core.redaction import command_line
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.replica import LOCAL_RECORDS_COUNT, HasRemoteRecords
from contextcore_install.engine.state import IN_PROGRESS, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.selection import Stack, beside_others, parts_of, read_stack
from contextcore_install.runtime.session import Session
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.files import prune_quarantine
from contextcore_install.storage.home import ClusterLayout, make_home, make_private, require_own
from contextcore_install.storage.journal.compaction import compact
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.lock import Lock, hold_briefly
from contextcore_install.storage.plan_path import adopt
from contextcore_install.storage.state_file import StateKeeper
from contextcore_install.storage.step_logs import StepLogs, prune_logs
from contextcore_install.storage.store import Records, clock_notices, mend_records, read_records
from contextcore_install.system.files import sweep
from contextcore_install.system.work_folders import GETTING, sweep_work_folders
from contextcore_install.telemetry.shipper import Shipper

CHOOSING_S = 5.0
"""How long to wait for another new installation of this home to put its ports on record, in seconds."""

if TYPE_CHECKING:
    from contextcore_install.core.provider import Provider
    from contextcore_install.runtime.remote_state import RemoteSession
    from contextcore_install.storage.replica.keeper import RemoteKeeper

Show = Callable[[State, str, str], Sequence[Projection]]
"""Makes what shows the events: from the state before the run, its provider and its id."""


@contextmanager
def open_session(app: App, mode: str, show: Show, lock: Lock | None = None) -> Iterator[Session]:
    """Take the lock, mend and open the records, and begin a run; raises InstallError.

    A lock that is held already is taken over, and released with the session.
    """
    resolve_ports(app.settings.ports)
    with ExitStack() as stack:
        records = _open_records(app, lock, stack)
        records.notices += clock_notices(records.offset, app.clock.now_us())
        parts, reason = parts_of(app, records.state)
        restoring = app.layout.restore.is_dir()
        known = records.state
        met = _meet_cluster(app, LOCAL_RECORDS_COUNT if restoring else mode, parts, records, stack)
        if met and records.state is not known:
            from contextcore_install.runtime.remote_state import require_same_place

            parts, reason = parts_of(app, records.state)  # the cluster's records count
            require_same_place(met, parts.provider)
        with _choosing_ports(app, records.state):
            parts, said = beside_others(app, records.state, parts)
            session = _build(app, mode, records, parts, show, stack, met)
            app.home.link_to(app.settings.cluster)
            session.begin(parts.settings(), reason, [*records.notices, *said], restoring=restoring)
        yield session


def _choosing_ports(app: App, state: State) -> AbstractContextManager[None]:
    """Keep others of this home from choosing ports, until those of a new installation are on record."""
    return nullcontext() if "ports" in state.settings else hold_briefly(app.home.choosing, CHOOSING_S)


def _meet_cluster(app: App, mode: str, parts: Stack, records: Records, stack: ExitStack) -> RemoteSession | None:
    """Take the lease on the installation, where its cluster has one, and let the newer records count."""
    if not isinstance(parts.provider, HasRemoteRecords):
        return None
    from contextcore_install.runtime.remote_state import meet, release

    met = meet(app, parts.provider.remote(), records, mode, lambda: _look_ahead(parts.provider, stack))
    if met:
        stack.callback(release, met.lease)
    return met


def _look_ahead(provider: Provider, stack: ExitStack) -> None:
    """Have what the first checks ask for read meanwhile; the provider remembers it for as long as they take to ask."""

    def look() -> None:
        with suppress(InstallError):  # the checks find the same, and tell it
            provider.cluster()

    thread = threading.Thread(target=look, name="look ahead", daemon=True)
    thread.start()
    stack.callback(thread.join)


def _build(
    app: App, mode: str, records: Records, parts: Stack, show: Show, stack: ExitStack, met: RemoteSession | None
) -> Session:
    session: Session  # made of what reports to it
    run_id = _new_run_id()
    shown = show(records.state, parts.provider_name, run_id)
    shipper = parts.shipper(lambda text: session.report(text))  # noqa: PLW0108 - made below
    plan = parts.plan(shipper)
    kept: list[RemoteKeeper] = []
    if met:
        from contextcore_install.engine.lease_guarded import lease_guarded
        from contextcore_install.runtime.remote_state import PATIENCE_S, keeper_for

        cluster = keeper_for(app, met, records, lambda: session)
        plan, kept = lease_guarded(plan, cluster), [cluster]
        stack.callback(cluster.close, PATIENCE_S)
    recorder, keeper = _recorder(app, records, run_id, [shipper, *kept, *shown], stack)
    session = Session(
        app=app,
        run_id=run_id,
        mode=mode,
        records=records,
        recorder=recorder,
        keeper=keeper,
        shipper=shipper,
        provider=parts.provider,
        plan=plan,
        replaced=parts.replaced,
        began=app.clock.monotonic(),
    )
    for item in kept:
        item.start()
    return session


def _open_records(app: App, lock: Lock | None, stack: ExitStack) -> Records:
    """Return the records, mended, under the lock that is held until the stack is left."""
    layout = app.layout
    make_home(app.home)
    make_private(layout.folder)
    stack.callback((lock or take_lock(layout)).release)
    sweep(layout.folder)
    sweep_work_folders(app.home.bin, GETTING)
    for folder in (app.home.folder, layout.folder):
        prune_quarantine(folder)
    if layout.restore.is_dir():
        from contextcore_install.storage.backup.restoring import place_records  # it needs all that reads archives

        place_records(app.home, app.settings.cluster)
    notices = adopt(app.home, app.settings.cluster)
    records = mend_records(layout, app.settings.cluster)
    compact(layout.journal, app.settings.cluster)
    if not records.offset.events:
        from contextcore_install.runtime.recovery import BEFORE_A_RUN_S, recall  # needs what is above it

        recall(app, records, BEFORE_A_RUN_S)
        CursorFile(layout.cursors).forget()
    records.notices = [*notices, *records.notices]
    return records


@contextmanager
def open_records(app: App, *, used: bool = True) -> Iterator[tuple[State, Recorder, Shipper]]:
    """Take the lock and open the records for a change outside of a run; raises InstallError.

    What is recorded is sent while the block lasts, where a metrics store is there to take it. The cluster becomes the
    one last used, unless it is only looked at. What had to be mended is on record, and said on standard error.
    """
    with ExitStack() as stack:
        records = _open_records(app, None, stack)
        shipper = stack.enter_context(read_stack(app, records.state).shipper(_no_matter))
        recorder, _ = _recorder(app, records, _new_run_id(), [shipper], stack)
        if records.imported:
            recorder.record(Kind.STATE_IMPORTED, **records.imported)
        for text in records.notices:
            recorder.record(Kind.NOTICE, text=text)
            app.stderr.write(f"note: {text}\n")
        if used:
            app.home.link_to(app.settings.cluster)
        yield records.state, recorder, shipper


def _no_matter(_: str) -> None:
    """Leave it: a store that is not there is no news to a script, and the next run sends what it lacks."""


def _recorder(
    app: App, records: Records, run_id: str, projections: Sequence[Projection], stack: ExitStack
) -> tuple[Recorder, StateKeeper]:
    """Return what records the events of a run, and keeps the state; closed with the stack."""
    layout = app.layout
    journal = JournalWriter(layout.journal, records.offset)
    stack.callback(journal.close)
    keeper = StateKeeper(layout.state, records.state, journal)
    stack.callback(keeper.save)
    logs = StepLogs(layout.logs)
    stack.callback(logs.close)
    prune_logs(layout.logs)
    recorder = Recorder(
        journal,
        app.clock,
        keeper,
        [logs, *projections],
        typed=app.commands_of_run.typed,
        run_id=run_id,
        end=records.offset,
    )
    return recorder, keeper


def take_lock(layout: ClusterLayout) -> Lock:
    """Return the cluster's lock; raises InstallError with who holds it, and what that run is doing."""
    require_own(layout.folder)
    try:
        return Lock(layout.lock, owner())
    except InstallError as error:
        if error.code == "locked":
            steps = read_records(layout, layout.folder.name).state.steps.items()
            now = [step_id for step_id, step in steps if step.status == IN_PROGRESS]
            error.message += f", at {' and '.join(now)}" if now else ""
        raise


def _new_run_id() -> str:
    """Return an id that sorts by time: runs are told apart by what was the latest."""
    now_ms = time.time_ns() // 1_000_000
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms // 1000))
    return f"{second}.{now_ms % 1000:03d}Z-{uuid.uuid4().hex[:4]}"


def owner() -> dict[str, object]:
    """Return who takes a lock: what another process shows its user."""
    from contextcore_install.system.machine import boot_id

    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "since": instant(time.time_ns() // 1000),
        "command": command_line(sys.argv),
    }
