"""What a watch reports, and what it records outside of runs."""

from __future__ import annotations

from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind, instant
from contextcore_install.core.findings import Finding
from contextcore_install.core.text import ascii_json
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console, recent_events
from contextcore_install.runtime.records import open_records
from contextcore_install.runtime.session import Session
from contextcore_install.ui.text import duration, sanitize, time_of_day

NOTE_S = 240.0  # how often an unchanged look is recorded: queries look back five minutes by themselves
WATCH_SCHEMA = "contextcore-install/watch/v1"


class WatchLog:
    """Reports each thing once, until there is something else to report, and records what the watch found and did."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last = ""
        self._noted_at, self._problems = float("-inf"), -1
        self._began = app.clock.now_us() / 1e6

    def healed(self, session: Session, _: Console, result: RunResult) -> str | None:
        """Return a remedy's last words: short if it helped."""
        if result.outcome is not Outcome.SUCCEEDED:
            return None
        self._last = ""
        return f"{time_of_day(self._app.clock.now_us())}  healed ({duration(session.took_s)})"

    def report(self, state: str, text: str) -> None:
        """Report something, if it was not reported last. `state` is a word for scripts."""
        if text == self._last:
            return
        self._last, now_us, cluster = text, self._app.clock.now_us(), self._app.settings.cluster
        line = f"{time_of_day(now_us)}  {sanitize(text)}"
        if self._app.json:
            document = {"schema": WATCH_SCHEMA, "at": instant(now_us), "cluster": cluster, "state": state}
            line = ascii_json(document | {"message": text})
        self._app.stdout.write(line + "\n")
        self._app.stdout.flush()

    def remedies(self) -> list[float]:
        """Return when remedies ended, in seconds since 1970: all of this watch, and those of others that failed."""
        remedies = (event for event in recent_events(self._app) if event.kind is Kind.WATCH_REMEDIED)
        ended = ((event.at_us / 1e6, event.data.get("outcome")) for event in remedies)
        return [at for at, outcome in ended if at >= self._began or outcome != Outcome.SUCCEEDED.value]

    def note_look(self, problems: list[Finding]) -> None:
        """Record that a watch lives and what it saw: when that changes, and every few minutes."""
        now = self._app.clock.monotonic()
        if len(problems) == self._problems and now - self._noted_at < NOTE_S:
            return
        if self.record(Kind.WATCH_LOOKED, problems=[problem.message for problem in problems]):
            self._noted_at, self._problems = now, len(problems)

    def record(self, kind: Kind, **data: Any) -> bool:
        """Record an event outside of a run; not while another run is at work, which can wait for nothing of ours."""
        try:
            with open_records(self._app, used=False) as (_, recorder, _shipper):
                recorder.record(kind, **data)
                recorder.sync()
        except InstallError as error:
            if error.code != "locked":
                raise
            return False
        return True
