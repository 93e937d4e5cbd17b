"""No mode, and --resume: every step is checked, and applied if there is something to do; both do the same."""

from __future__ import annotations

from contextcore_install.runtime.app import App
from contextcore_install.runtime.running import carry_out

WITHOUT_WAITING = "manifests_apply"  # the last step of a run with --skip-wait


def resume(app: App) -> int:
    from contextcore_install.runtime.recovery import require_installation

    require_installation(app, "resume")
    return install(app)


def install(app: App) -> int:
    last = WITHOUT_WAITING if app.settings.skip_wait else ""
    return carry_out(app, lambda session, _: session.run(session.plan.until(last) if last else session.plan))
