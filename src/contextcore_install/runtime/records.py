"""Opens an installation's records for a run, or for a change outside of one: under its lock, and mended."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.core.interfaces import Projection
from contextcore_install.core.redaction import command_line
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.state import IN_PROGRESS, State
from contextcore_install.runtime.app import App
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.files import prune_quarantine
from contextcore_install.storage.home import make_home, make_private, require_own
from contextcore_install.storage.journal.compaction import compact
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.storage.step_logs import StepLogs, prune_logs
from contextcore_install.storage.store import Records, adopt, mend_records, read_records
from contextcore_install.system.files import sweep
from contextcore_install.system.lock import GETTING, sweep_work_folders

if TYPE_CHECKING:
    from contextcore_install.telemetry.shipper import Shipper


def take_lock(app: App) -> Lock:
    """Return the cluster's lock; raises InstallError (exit code 5) with who holds it, and what that run is doing."""
    layout = app.layout
    make_home(app.home)
    make_private(layout.folder)
    require_own(layout.folder)
    try:
        return Lock(layout.lock, _owner())
    except InstallError as error:
        if error.code != "locked" or not (now := _in_progress(app)):
            raise
        raise replace(error, message=f"{error.message}, at {' and '.join(now)}") from error


def _in_progress(app: App) -> list[str]:
    try:
        steps = read_records(app.layout, app.settings.cluster).state.steps.items()
    except InstallError:
        return []
    return [step_id for step_id, step in steps if step.status == IN_PROGRESS]


def mended_records(app: App, lock: Lock | None, stack: ExitStack) -> Records:
    """Return the records, mended, under a lock (taken, unless it is given) that is held until the stack is left."""
    layout, cluster = app.layout, app.settings.cluster
    stack.callback((lock or take_lock(app)).release)
    sweep(layout.folder)
    sweep_work_folders(app.home.bin, GETTING)
    for folder in (app.home.folder, layout.folder):
        prune_quarantine(folder)
    if layout.restore.is_dir():
        from contextcore_install.storage.backup.restoring import place_records  # it needs all that reads archives

        place_records(app.home, cluster)
    adopted = adopt(app.home, cluster)
    records = mend_records(layout, cluster)
    compact(layout.journal, cluster, app.segment_bytes)
    if not records.offset.events:
        from contextcore_install.runtime.recovery import BEFORE_A_RUN_S, recover

        records = recover(app, records, BEFORE_A_RUN_S)
        CursorFile(layout.cursors).forget()
    return replace(records, notices=[*adopted, *records.notices])


@contextmanager
def open_records(app: App, *, used: bool = True) -> Iterator[tuple[State, Recorder, Shipper]]:
    """Take the lock and open the records for a change outside of a run; raises InstallError.

    What is recorded is sent while the block lasts, if a metrics store is there to take it; the next run sends the rest.
    The cluster becomes the one last used, unless it is only looked at. What had to be mended is recorded and noted.
    """
    from contextcore_install.runtime.installation import resolve

    with ExitStack() as stack:
        records = mended_records(app, None, stack)
        shipper = stack.enter_context(resolve(app, records.state).shipper(lambda _: None))
        recorder = open_recorder(app, records, new_run_id(), [shipper], stack)
        if records.imported:
            recorder.record(Kind.STATE_IMPORTED, **records.imported)
        for text in records.notices:
            recorder.record(Kind.NOTICE, text=text)
            app.stderr.write(f"note: {text}\n")
        if used:
            app.home.link_to(app.settings.cluster)
        yield records.state, recorder, shipper


def open_recorder(
    app: App, records: Records, run_id: str, projections: Sequence[Projection], stack: ExitStack
) -> Recorder:
    """Return what records the events of a run and keeps the state; closed with the stack."""
    layout = app.layout
    journal = JournalWriter(layout.journal, records.offset)
    stack.callback(journal.close)
    keeper = StateWriter(layout.state, records.state, lambda: journal.offset)
    stack.callback(keeper.save)
    logs = StepLogs(layout.logs)
    stack.callback(logs.close)
    prune_logs(layout.logs)
    typed = app.commands_of_run.typed
    return Recorder(journal, app.clock, keeper, [logs, *projections], typed=typed, run_id=run_id, end=records.offset)


def new_run_id() -> str:
    """Return an id that sorts by time."""
    now_ms = time.time_ns() // 1_000_000
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms // 1000))
    return f"{second}.{now_ms % 1000:03d}Z-{os.urandom(2).hex()}"


def _owner() -> dict[str, object]:
    """Return who takes a lock: what another process shows its user."""
    from contextcore_install.system.machine import boot_id

    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "since": instant(time.time_ns() // 1000),
        "command": command_line(sys.argv),
    }
