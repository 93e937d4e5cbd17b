"""What shows a run while it lives: a live view, plain lines, or JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from contextcore_install.core.events import Event
from contextcore_install.core.interfaces import Projection
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.state import COMPLETED, State
from contextcore_install.runtime.app import App
from contextcore_install.steps.registry import NEEDS, TITLES
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.ui.console.live import Heading, LiveConsole
from contextcore_install.ui.console.progress import Progress, durations
from contextcore_install.ui.style import Style
from contextcore_install.ui.terminal import JsonLines, Sink, Terminal

if TYPE_CHECKING:
    from contextcore_install.ui.console.plain import PlainConsole

RECENT_BYTES = 512 * 1024  # how much of the journal's end the estimate of the remaining time is made from


class Console:
    """Chooses the view that fits, and prints what stands around it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._terminal = Terminal(app.stdout, app.environ, app.commands_of_run.typed)
        self._sink = Sink(app.stdout)
        self._live: LiveConsole | None = None
        self._plain: PlainConsole | None = None
        self._was_complete = False

    @property
    def style(self) -> Style:
        return self._terminal.style()

    def show(self, state: State, provider: str, run_id: str) -> Sequence[Projection]:
        if self._app.json:
            return [JsonLines(self._app.stdout)]
        app, settings = self._app, self._app.settings
        done = [step for step, known in state.steps.items() if known.status == COMPLETED]
        self._was_complete = len(done) == len(state.steps)
        progress = Progress(TITLES)  # of how long it takes to undo a step nothing is known
        if settings.command != "rollback":
            progress = Progress(TITLES, needs=NEEDS, history=lambda: durations(recent_events(app)), done_before=done)
        if self._terminal.live and not (settings.verbose or settings.tutorial):
            heading = Heading(settings.cluster, provider, settings.command, run_id)
            self._live = LiveConsole(app.stdout, self._terminal, progress, heading, app.clock)
            return [self._live]
        from contextcore_install.ui.console.plain import PlainConsole

        heading_line = f"{settings.command} {settings.cluster} on {provider}, run {run_id}"
        self._plain = PlainConsole(
            app.stdout, progress, app.clock, style=self.style, heading=heading_line, verbose=settings.verbose
        )
        return [self._plain]

    def teach(self, plan: Plan) -> Projection:
        from contextcore_install.ui.console.plain import Tutor

        return Tutor(self._app.stdout, self.style, plan)

    def start(self) -> None:
        if self._live:
            self._live.start()

    def stop(self) -> None:
        if self._live:
            self._live.stop()

    def abandon(self) -> None:
        """Give the terminal back at once, from a signal handler."""
        if self._live:
            self._live.abandon()

    def say(self, text: str) -> None:
        """Print for people; nothing if standard output is for a script."""
        if not self._app.json:
            self._sink.write(text + "\n")

    def mention(self, text: str) -> None:
        """Print for people beside a run's lines, unless there may be nothing to do, which takes three lines."""
        if self._plain and not self._app.settings.verbose:
            self._plain.hold(text)
        elif not self._was_complete:
            self.say(text)


def recent_events(app: App) -> list[Event]:
    reader = JournalReader(app.layout.journal)
    return [event for _, event in reader.read(reader.near_end(RECENT_BYTES))]
