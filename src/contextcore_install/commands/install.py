"""No mode, and --resume: every step is checked, and applied where there is something to do.

The two differ in what they are asked for, not in what they do: a completed step whose check is satisfied is not
applied again by either, and settings of an earlier run are kept by both.
"""

from __future__ import annotations

from contextcore_install.engine.outcome import RunResult
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.running import RunEngine, carry_out
from contextcore_install.runtime.session import Session

WITHOUT_WAITING = "manifests_apply"
"""The last step of a run with --skip-wait."""


def run(app: App) -> int:
    """Install, or carry on with it."""
    if app.settings.command == "resume":
        from contextcore_install.runtime.require_installation import require_known

        require_known(app, "resume")

    def work(session: Session, _: Console, run_engine: RunEngine) -> RunResult:
        plan = session.plan.until(WITHOUT_WAITING) if app.settings.skip_wait else session.plan
        return run_engine(session.engine(plan))

    return carry_out(app, work)
