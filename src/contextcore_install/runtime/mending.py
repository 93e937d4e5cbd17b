"""Carrying out what heals an installation, for `--repair` and for `watch`."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.core.errors import InstallError
from contextcore_install.core.failures import still_wrong
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.runtime.check_all import Found, check_all, has_automatic_fix
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.session import Session

ROUNDS = 2  # what the second round cannot mend is for people


def mend(session: Session, console: Console) -> RunResult:
    """Carry the remedies out, check again, and do so once more if that may help."""
    rounds = 0
    while True:
        rounds += 1
        result = session.run()
        if result.outcome is Outcome.INTERRUPTED or result.reason:  # told to end, whatever had failed by then
            return result
        if result.outcome is Outcome.SUCCEEDED and not session.applied:
            return result  # all checks were satisfied a moment ago
        left = check_all(session.plan, session.app.clock)
        if result.outcome is Outcome.SUCCEEDED and all(item.satisfied for item in left.values()):
            return result
        if rounds == ROUNDS or not _worth_another_round(session, result, left):
            return _what_remains(console, result, left)


def _worth_another_round(session: Session, result: RunResult, left: Found) -> bool:
    """Whether anything may be healed that is not behind a step which failed for good."""
    if any(error.retryable for error in result.errors.values()):
        return True
    reachable = {
        step: found
        for step, found in left.items()
        if result.errors.keys().isdisjoint(needed.id for needed in session.plan.until(step))
    }
    return has_automatic_fix(reachable, may_lose_data=session.app.settings.allow_data_loss)


def _what_remains(console: Console, result: RunResult, left: Found) -> RunResult:
    """Show what is left, and return it as the steps' errors: those of the engine, which saw more, come first."""
    from contextcore_install.ui.plans import render_remedies

    remain = {step: still_wrong(found.problems) for step, found in left.items() if found.problems}
    console.say("\n" + render_remedies(left, console.style))
    errors: Mapping[str, InstallError] = {**remain, **result.errors}
    return RunResult(Outcome.FAILED, {step: errors[step] for step in left if step in errors})
