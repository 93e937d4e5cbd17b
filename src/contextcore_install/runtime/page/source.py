"""What the page shows, read from an installation's files. Nothing is written, and no run is ever kept waiting."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from contextcore_install import __version__
from contextcore_install.core.events import Kind
from contextcore_install.core.provider import Overview
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.steps.registry import TITLES
from contextcore_install.storage.files import UnreadableFileError
from contextcore_install.storage.journal.compaction import past_summary
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.step_logs import has_log
from contextcore_install.storage.store import Records, read_records
from contextcore_install.system.files import last_lines
from contextcore_install.system.lock import owner_of
from contextcore_install.ui.console.progress import usual
from contextcore_install.ui.page.document import LOG_LINES, PageFacts, bounded, history, run_section, sections
from contextcore_install.ui.page.timeline import RunTimeline

LOOK_S = 1.0  # how often it is asked whether the run that seems to live still does; never where none seems to


class PageSource:
    """The installation's files as the page's document; `look` takes in what is new in them."""

    def __init__(self, app: App, hidden: Redaction | None) -> None:
        self._app = app
        self._hidden = hidden
        self._reader = JournalReader(app.layout.journal)
        self._settled: tuple[object, Records] = (None, Records(State(app.settings.cluster)))
        self._logs: dict[str, tuple[object, list[str]]] = {}
        self.where: dict[str, Any] | None = None
        self._begin("not looked at yet", JournalSummary(app.settings.cluster), 0)

    def _begin(self, file: object, past: JournalSummary, end: int) -> None:
        """Begin anew, behind the past: `file` is the identity of the journal's file."""
        self._file = file
        self._past, self._counted = past, end
        # What is shown in detail is the latest run, of which the past may be all.
        self._position = next(reversed(past.places.values()), end)
        self.story = RunTimeline()
        self._ended = ""
        self._looked_at = 0.0

    def look(self) -> None:
        """Take in what the journal has gained; raises InstallError if it cannot be read."""
        facts = _stat(self._app.layout.journal)
        file = facts and (facts.st_dev, facts.st_ino)
        try:
            size = self._reader.size()
            if file != self._file or size < self._position:
                self._begin(file, *past_summary(self._app.layout.journal, self._app.settings.cluster))
            if size == self._position:
                return
            for position, event in self._reader.read(self._position):
                self._take(position, event)
        except UnreadableFileError:
            return  # read_records reports it
        self._position = self._reader.damage.good_bytes

    def _take(self, position: int, event: Any) -> None:
        if position >= self._counted:
            self._past.take(position, event)
        if event.run_id != self.story.run_id and event.kind is Kind.RUN_STARTED:
            self.story = RunTimeline()
        if not event.stands_alone:
            self.story.take(event)

    @property
    def live(self) -> bool:
        """Whether the latest run is under way. Its lock is asked for only while it may be."""
        story = self.story
        if not story.run_id or story.finished or self._ended == story.run_id:
            return False
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            if owner_of(self._app.layout.lock) is None:
                self.look()  # it may have ended properly since
                self._ended = story.run_id
                return False
        return True

    def sections(self) -> dict[str, Any]:
        live = self.live
        records = Records(self._past.state) if live else self._records()
        return sections(
            PageFacts(
                state=records.state,
                story=self.story,
                commands=self._app.commands,
                titles=TITLES,
                program_version=__version__,
                live=live,
                rows=self._past.runs,
                usual={step: usual(took) or 0.0 for step, took in self._past.took.items()},
                requirements=self._past.requirements,
                logs={step: self._log(step) for step in TITLES},
                where=self.where,
                notices=records.notices,
            ),
            self._hidden,
        )

    def history(self, most: int, before: int = sys.maxsize) -> dict[str, Any]:
        """Return up to `most` rows of the history, from `before` (counted from 1) downwards."""
        rows = self._past.runs
        return history(rows, min(before, len(rows)), most, self._hidden, live=self.live)

    def run(self, run_id: str) -> dict[str, Any] | None:
        position = self._past.places.get(run_id)
        if position is None:
            return None
        if run_id == self.story.run_id:
            story, live = self.story, self.live
        else:
            story, live = RunTimeline(), False
            for _, event in JournalReader(self._app.layout.journal).read(position):
                if event.run_id != run_id:
                    break
                story.take(event)
        found = run_section(story, self._app.commands, live=live)
        return {name: bounded(part, self._hidden) for name, part in found.items()}

    def latest_runs(self, most: int) -> list[str]:
        return list(self._past.places)[-most:]

    def _records(self) -> Records:
        """Return what the files say while no run writes to them; read again if they changed."""
        facts = _stat(self._app.layout.state)
        if facts is None and self._position:
            return Records(self._past.state)
        mark = (facts and (facts.st_ino, facts.st_mtime_ns), self._position, self._file)
        if self._settled[0] != mark:
            self._settled = (mark, read_records(self._app.layout, self._app.settings.cluster))
        return self._settled[1]

    def _log(self, step: str) -> list[str]:
        logs, run_id = self._app.layout.logs, self.story.run_id
        if not run_id or "/" in run_id or run_id.startswith(".") or not has_log(logs, run_id, step):
            return []
        path = logs / run_id / f"{step}.log"
        facts = _stat(path)
        if facts is None:
            return []
        mark = (run_id, facts.st_size, facts.st_mtime_ns)
        kept = self._logs.get(step)
        if kept is None or kept[0] != mark:
            kept = self._logs[step] = (mark, last_lines(path, LOG_LINES))
        return kept[1]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


class Endpoints:
    """What runs where, and whether it answers, as the page shows it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._overview: Overview | None = None

    def look(self, *, anew: bool = True) -> dict[str, Any] | None:
        """Return what can be told of it, however long that takes; the provider is asked again only with `anew`."""
        try:
            if anew or self._overview is None:
                self._overview = self._ask_provider()
            return self._document(self._overview) if self._overview else None
        except Exception:  # noqa: BLE001 - whatever is wrong there, the page has all else to show
            return None

    def _ask_provider(self) -> Overview | None:
        from contextcore_install.runtime.installation import resolve

        state = read_records(self._app.layout, self._app.settings.cluster).state
        return resolve(self._app, state).provider.overview() if state.exists else None

    def _document(self, found: Overview) -> dict[str, Any]:
        from contextcore_install.system.http import LoopbackHttp
        from contextcore_install.verification.facts import readiness

        typed = self._app.commands.typed
        return {
            "endpoints": [
                {
                    "component": item.component,
                    "url": item.base_url,
                    "program": found.programs.get(item.component, ""),
                    "answers": answers,
                }
                for item, answers in readiness(found.endpoints, LoopbackHttp())
            ],
            "absent": [
                {"component": item.component, "reason": item.reason, "hint": typed(item.hint)} for item in found.absent
            ],
            "hints": list(found.hints),
            "dashboard": found.dashboard,
        }
