"""--repair: everything is checked, the remedies are shown, carried out, and checked again."""

from __future__ import annotations

from contextcore_install.app import App
from contextcore_install.commands.ask import agreed
from contextcore_install.commands.console import Console
from contextcore_install.commands.running import RunEngine, carry_out
from contextcore_install.commands.survey import checks_document, survey
from contextcore_install.core.outcome import Outcome, Result
from contextcore_install.session import Session

ROUNDS = 2
"""What the second round cannot mend is for people."""


def run(app: App) -> int:
    """Find what is broken, and fix it."""

    def work(session: Session, console: Console, run_engine: RunEngine) -> Result:
        found = checks_document(survey(session.plan, app.clock), app.commands.typed)
        if not all(check["satisfied"] for check in found):
            _show(console, found)
            if not agreed(app, "Carry these out?"):
                return Result(Outcome.INTERRUPTED, reason="not agreed to")
        result = run_engine(session.engine(session.plan))
        for _ in range(ROUNDS - 1):
            if result.outcome is not Outcome.FAILED or not _worth_another_round(result):
                break
            result = run_engine(session.engine(session.plan))
        return result

    return carry_out(app, work)


def _show(console: Console, found: list[dict[str, object]]) -> None:
    from contextcore_install.ui.plans import render_remedies

    console.say(render_remedies(found, console.look) + "\n")


def _worth_another_round(result: Result) -> bool:
    return any(error.retryable for error in result.errors.values())
