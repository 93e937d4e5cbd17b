"""What a watch reports: a line for people when something is new, an object for scripts."""

from __future__ import annotations

from contextcore_install.core.events import instant
from contextcore_install.core.text import ascii_json
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.session import Session
from contextcore_install.ui.text import duration, sanitize, time_of_day

WATCH_SCHEMA = "contextcore-install/watch/v1"


class WatchReporter:
    """Reports each thing once, until there is something else to report. Times are UTC."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last = ""

    def healed(self, session: Session, _: Console, result: RunResult) -> str | None:
        """Return a remedy's last words: short if it helped."""
        if result.outcome is not Outcome.SUCCEEDED:
            return None
        self._last = ""
        return f"{self._now()}  healed ({duration(session.took_s)})"

    def report(self, state: str, text: str) -> None:
        """Report something, if it was not reported last. `state` is a word for scripts."""
        if text == self._last:
            return
        self._last = text
        line = f"{self._now()}  {sanitize(text)}"
        if self._app.json:
            now = instant(self._app.clock.now_us())
            cluster = self._app.settings.cluster
            line = ascii_json({"schema": WATCH_SCHEMA, "at": now, "cluster": cluster, "state": state, "message": text})
        self._app.stdout.write(line + "\n")
        self._app.stdout.flush()

    def _now(self) -> str:
        return time_of_day(self._app.clock.now_us())
