"""How signals and other threads reach a run: through its engine while one runs."""

from __future__ import annotations

from collections.abc import Callable

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Outcome, RunResult


class RunControl:
    """The run's stop handler, for signals (`stopping` hears of each) and for who finds another machine at work."""

    def __init__(self, stopping: Callable[[], None] = lambda: None) -> None:
        self.late_reports: list[str] = []
        self.lost: InstallError | None = None
        self._stopping = stopping
        self._reason = ""
        self._over = False
        self._engine: Engine | None = None

    def run(self, engine: Engine) -> RunResult:
        """Run an engine; raises KeyboardInterrupt if the run is to end already."""
        if self._reason:  # it came when the engine before this one heard nothing any more
            raise KeyboardInterrupt
        self._engine = engine
        try:
            return engine.run()
        finally:
            self._engine = None

    def result_of(self, work: Callable[[], RunResult]) -> RunResult:
        """Do the work; an interruption while no engine runs ends it as one of an engine does."""
        try:
            result = work()
            self._over = True
        except KeyboardInterrupt:
            return RunResult(Outcome.INTERRUPTED, reason=self._reason)
        return result

    def stop(self, reason: str) -> None:
        """Have the run end, from a signal handler; raises KeyboardInterrupt if no engine runs that could."""
        self._reason = reason
        self._stopping()
        if self._engine:
            self._engine.interrupt(reason)
        elif not self._over:
            raise KeyboardInterrupt

    def lose(self, error: InstallError) -> None:
        """End the run, from any thread: another machine acts now, as the error says."""
        self.lost, self._reason = error, error.message
        if engine := self._engine:
            engine.interrupt(error.message)

    def report(self, text: str) -> None:
        """Tell the user of something beside the steps, from any thread; after the run, with its last words."""
        if engine := self._engine:
            engine.notice(text)
        else:
            self.late_reports.append(text)
