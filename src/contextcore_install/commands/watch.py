"""watch: monitor continuously and repair what breaks, in the foreground or as a service; gives up loudly."""

from __future__ import annotations

from contextcore_install.core.errors import usage_error
from contextcore_install.engine.plan import RepairBudget
from contextcore_install.runtime.app import App
from contextcore_install.runtime.recovery import require_installation


def watch(app: App) -> int:
    arguments = app.settings.arguments
    if arguments["install"] and arguments["uninstall"]:
        raise usage_error("--install cannot be combined with --uninstall: choose one of them")
    if not arguments["uninstall"]:
        require_installation(app, "watch")
    if arguments["install"] or arguments["uninstall"]:
        from contextcore_install.runtime.watch_service import install, uninstall

        return install(app) if arguments["install"] else uninstall(app)
    from contextcore_install.runtime.watching import Watch

    return Watch(app, RepairBudget(most=arguments["budget"]), arguments["every"]).run()
