"""The watch as a service of the user's own service manager."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import cancellable, report_done, require_yes
from contextcore_install.storage.store import read_records
from contextcore_install.system.services import Service, manager_of

NEEDED = (
    *("PATH", "CONTEXTCORE_HOME", "KUBECONFIG", "KIND_EXPERIMENTAL_PROVIDER"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "CONTAINER_HOST", "CONTAINER_CONNECTION"),
)
"""Variables that the watch needs as they are now. No others: a service's file is no place for secrets."""


def watched_state(app: App) -> State:
    """Return the state of what a watch is about; raises InstallError if there is no installation."""
    name = app.settings.cluster
    state = read_records(app.layout, name).state if app.layout.exists else State(name)
    if not state.exists:
        raise InstallError("not-installed", f"there is no installation {name} to watch", hint=own())
    return state


def install(app: App) -> int:
    """Show what would be written and run, ask, and have the watch run from now on."""
    watched_state(app)
    name, manager, service = app.settings.cluster, manager_of(app.environ), _service(app)
    manager.require()
    path, content = manager.path(service.name), manager.content(service)
    if not app.json:
        shown = "".join(f"    {line}\n" for line in content.splitlines())
        commands = "".join(f"  {' '.join(argv)}\n" for argv in manager.commands(service.name))
        app.stdout.write(f"This writes {path}:\n\n{shown}\nand runs:\n{commands}")
        app.stdout.flush()
    require_yes(app, "Go on?")
    with cancellable(app) as ctx:
        changed = manager.install(service, ctx)
    sentence = f"{name} is watched by {service.name}" + ("" if changed else ", as it was already")
    return report_done(app, sentence, path=str(path), changed=changed)


def uninstall(app: App) -> int:
    with cancellable(app) as ctx:
        removed = end_service(app, ctx)
    name = app.settings.cluster
    sentence = f"no service watches {name} any more" if removed else f"there was no service that watches {name}"
    return report_done(app, sentence, changed=removed)


def end_service(app: App, ctx: StepContext) -> bool:
    """End the watch's service, if there is one; return whether there was."""
    return manager_of(app.environ).uninstall(_service_name(app), ctx)


def _service_name(app: App) -> str:
    return f"contextcore-install-watch-{app.settings.cluster}"


def _service(app: App) -> Service:
    settings = app.settings
    every, budget = settings.arguments["every"], settings.arguments["budget"]
    argv = (
        os.path.abspath(sys.argv[0]),  # noqa: PTH100 - a link to the program stays that link
        *("watch", "--cluster", settings.cluster, "--every", f"{every:g}s", "--budget", str(budget)),
    )
    if not Path(argv[0]).is_file():
        raise InstallError("no-program", f"there is no program {argv[0]} that a service could run")
    environ = {name: app.environ[name] for name in NEEDED if app.environ.get(name)}
    return Service(_service_name(app), f"Watches the observability stack {settings.cluster}", argv, environ)
