"""--attach: watch the run that is at work, from its journal. Changes nothing; Ctrl-C leaves it at work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

from contextcore_install.core.errors import RESUME, ExitCode, InstallError, own
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console
from contextcore_install.storage.journal.compaction import past_summary
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.system.lock import owner_of

LOOK_EVERY_S = 0.2  # how often the journal is looked at


def attach(app: App) -> int:
    if owner_of(app.layout.lock) is None:
        raise InstallError("nothing-at-work", f"no run is at work on {app.settings.cluster}", hint=own("--status"))
    console = Console(app)
    try:
        return _watch(app, console)
    except KeyboardInterrupt:
        console.say(f"The run goes on; {app.commands('--attach')} watches it again.")
        return ExitCode.DONE


def _watch(app: App, console: Console) -> int:
    reader = JournalReader(app.layout.journal)
    past, end = past_summary(app.layout.journal, app.settings.cluster)
    known = [event for _, event in reader.read(end)]
    first = max((at for at, event in enumerate(known) if event.kind is Kind.RUN_STARTED), default=0)
    before, now = _folded(past.state, known[:first]), _folded(past.state, known)
    projections = console.show(before, now.provider, now.run.run_id)
    console.start()
    try:
        for event in chain(known[first:], _coming(app, reader)):
            for projection in projections:
                projection.handle(event)
            if event.kind is Kind.RUN_FINISHED:
                return int(event.data.get("exit_code", ExitCode.STEP_FAILED))
    finally:
        console.stop()
    raise InstallError(
        "ended-silently",
        f"the run on {app.settings.cluster} ended without a word: it was killed, or the machine went down",
        hint=RESUME,
    )


def _coming(app: App, reader: JournalReader) -> Iterator[Event]:
    """Yield what is recorded from now on, and a tick after each look; ends with the run."""
    alive = True
    while alive:
        alive = owner_of(app.layout.lock) is not None
        for _, event in reader.read(reader.damage.good_bytes):
            yield event
        yield Event(0, app.clock.now_us(), "", Kind.TICK)
        time.sleep(LOOK_EVERY_S)


def _folded(past: State, events: list[Event]) -> State:
    return state_from_document(past.as_document()).apply_all(events)
