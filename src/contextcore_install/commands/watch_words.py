"""What a watch says: a line for people when something is new, an object for scripts."""

from __future__ import annotations

from contextcore_install.core.events import instant
from contextcore_install.core.text import ascii_json
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.session import Session
from contextcore_install.ui.text import duration, sanitize, time_of_day

WATCH_SCHEMA = "contextcore-install/watch/v1"


class WatchWords:
    """Says each thing once, until there is something else to say. Times are UTC."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._said = ""

    def begins(self, provider: str, every_s: float, budget: int) -> None:
        """Say what is watched, and how."""
        text = (
            f"watching {self._app.settings.cluster} on {provider}: a look every {duration(every_s)} and at "
            f"changes, at most {budget} {'remedy' if budget == 1 else 'remedies'} an hour; times are UTC; "
            "Ctrl-C ends it"
        )
        self.say("begins", text)

    def ends(self) -> None:
        """Say that it ended as it was told to."""
        self.say("ends", "the watch has ended; nothing was under way")

    def of_remedy(self, session: Session, _: Console, result: RunResult) -> str | None:
        """Return a remedy's last words: short where it helped."""
        if result.outcome is not Outcome.SUCCEEDED:
            return None
        took = duration(session.app.clock.monotonic() - session.began)
        self._said = ""
        return f"{self._now()}  healed ({took})"

    def say(self, state: str, text: str) -> None:
        """Say something, if it was not the last thing that was said. `state` is a word for scripts."""
        if text == self._said:
            return
        self._said = text
        if self._app.json:
            document = {
                "schema": WATCH_SCHEMA,
                "at": instant(self._app.clock.now_us()),
                "cluster": self._app.settings.cluster,
                "state": state,
                "message": text,
            }
            line = ascii_json(document)
        else:
            line = f"{self._now()}  {sanitize(text)}"
        self._app.stdout.write(line + "\n")
        self._app.stdout.flush()

    def _now(self) -> str:
        return time_of_day(self._app.clock.now_us())
