"""A long history for an installation: runs with nothing to do, put before what it recorded itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from finished import CLUSTER, Installation

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.events import START, Event, JournalOffset
from contextcore_install.engine.state import State
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.compaction import compact
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.storage.journal.segments import SEGMENT_BYTES
from contextcore_install.storage.state_file import StateWriter

EVERY_US = 600_000_000
"""Ten minutes between two runs."""


@dataclass(frozen=True)
class Records:
    """A copy of an installation's records, to be put in its place before each measurement."""

    folder: Path
    layout: ClusterLayout

    def take(self) -> Records:
        """Copy what is in place."""
        self.folder.mkdir()
        for path in _records(self.layout):
            _copy(path, self.folder / path.name)
        return self

    def put(self) -> None:
        """Put the copy in place."""
        for path in _records(self.layout):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.folder.iterdir():
            _copy(path, self.layout.folder / path.name)


def layout_of(made: Installation) -> ClusterLayout:
    """Return where the installation's files are."""
    return ClusterLayout(made.home / "clusters" / CLUSTER)


def grow(layout: ClusterLayout, runs: int) -> None:
    """Give an installation that many runs more, recorded and compressed as they would have been.

    What the stores have taken stays known: the cursors go with the events.
    """
    own = [event for _, event in JournalReader(layout.journal).read()]
    layout.journal.unlink()
    state, offset = State(CLUSTER), START
    for events in _runs(own, runs):
        offset = _record(layout, state, events, offset)
    offset = _record(layout, state, (replace(event, number=event.number + offset.events) for event in own), offset)
    StateWriter(layout.state, state, lambda: offset).write()
    _move_cursors(layout, offset.events - own[-1].number)


def _record(layout: ClusterLayout, state: State, events: Iterable[Event], offset: JournalOffset) -> JournalOffset:
    compact(layout.journal, CLUSTER, SEGMENT_BYTES)
    writer = JournalWriter(layout.journal, offset)
    for event in events:
        writer.append(event)
        state.apply(event)
    writer.close()
    return writer.offset


def _runs(own: list[Event], runs: int) -> Iterator[list[Event]]:
    *_, last = (list(events) for _, events in groupby(own, lambda event: event.run_id))
    began_us, number = own[0].at_us - (runs + 1) * EVERY_US, 0
    for run in range(runs):
        shift, name = began_us + run * EVERY_US - last[0].at_us, f"{own[0].run_id}-{run:06d}"
        yield [
            replace(event, number=number + place, at_us=event.at_us + shift, run_id=name)
            for place, event in enumerate(last, 1)
        ]
        number += len(last)


def _move_cursors(layout: ClusterLayout, events: int) -> None:
    """Let the cursors point to the events that they pointed to; reading back begins behind those."""
    places = {event.number: position for position, event in JournalReader(layout.journal).read()}
    file = CursorFile(layout.cursors)
    cursors: dict[str, dict[str, Any]] = file.load()
    for cursor in cursors.values():
        sent = cursor["sent"]
        sent["number"] += events
        sent["position"] = places[sent["number"]]
        cursor["base"] = sent
    file.save(cursors)


def _records(layout: ClusterLayout) -> list[Path]:
    paths = (layout.state, layout.journal, layout.past, layout.cursors, layout.logs)
    return [path for path in paths if path.exists()]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
