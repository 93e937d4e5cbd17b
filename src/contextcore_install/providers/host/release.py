"""The release on this machine: configurations on disk, and processes that run with them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.providers.host.layout import Layout, mark_data
from contextcore_install.providers.host.programs import Program
from contextcore_install.providers.host.render import HostRelease, Rendered
from contextcore_install.stack.catalogue import METRICS_STORE
from contextcore_install.system.daemons import Daemon, Daemons, Record
from contextcore_install.system.files import read_object, read_text, write_atomically, writing
from contextcore_install.system.ports import past_proxies

COMMAND = "command.json"  # beside a component's configuration: what it is started with, and that it was installed


def installed(layout: Layout) -> set[str]:
    """Return the components whose configuration is in place."""
    return {path.parent.name for path in layout.config.glob(f"*/{COMMAND}")}


def still_run(layout: Layout, daemons: Daemons, component: str) -> Program | None:
    """Return the program that a component runs from, though it may be gone: the rest of the stack relies on it."""
    command = read_object(layout.config / component / COMMAND) or {}
    argv = command.get("argv")
    if not isinstance(argv, list) or not argv or not daemons.look(component).alive:
        return None
    return Program(component, Path(str(argv[0])), str(command.get("version", "")), is_gone=True)


def drift(release: HostRelease, daemons: Daemons) -> Iterator[Drift]:
    """Yield what differs between what should be, what is on disk, and what runs."""
    for name in release.startable:
        rendered = release.render(name)
        folder, wanted = release.layout.config / name, _contents(rendered)
        present = _present(folder)
        for path, text in wanted.items():
            if path not in present:
                yield Drift(f"{name}/{path}", "missing")
            elif _read(folder / path) != text:
                yield Drift(f"{name}/{path}", "changed")
        yield from (Drift(f"{name}/{path}", "superfluous") for path in sorted(present - set(wanted)))
        sighting = daemons.look(name)
        if sighting.alive and sighting.record and sighting.record.fingerprint != rendered.fingerprint:
            yield Drift(f"{name} process {sighting.record.pid}", "runs with another configuration")
    if "grafana" in release.programs and not release.layout.grafana_password.is_file():
        yield Drift("grafana password", "missing")


def _contents(rendered: Rendered) -> dict[str, str]:
    command = {"argv": rendered.argv, "fingerprint": rendered.fingerprint, "version": rendered.version}
    return {**rendered.files, COMMAND: json.dumps(command, indent=2) + "\n"}


def _present(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def _read(path: Path) -> str | None:
    """Return a file's text; None for what is no regular file of text (a link or a FIFO in its place is not read)."""
    with suppress(OSError, ValueError):
        return read_text(path)
    return None


def write(release: HostRelease) -> None:
    """Write every configuration that differs, and take away what does not belong. Raises InstallError."""
    with writing(release.layout.root):
        for name in release.startable:
            folder, wanted = release.layout.config / name, _contents(release.render(name))
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in _present(folder) - set(wanted):
                (folder / path).unlink()
            for path, text in wanted.items():
                if _read(folder / path) != text:
                    (folder / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    write_atomically(folder / path, text)
        if "grafana" in release.programs and not release.layout.grafana_password.is_file():
            import secrets

            write_atomically(release.layout.grafana_password, secrets.token_urlsafe(18))


def run(release: HostRelease, daemons: Daemons, environ: Mapping[str, str], ctx: StepContext) -> list[str]:
    """Start what does not run as configured, and return what lost the folder of its data. Raises InstallError."""
    lost = []
    for name in release.startable:
        ctx.raise_if_cancelled()
        rendered = release.render(name)
        sighting = daemons.look(name)
        if sighting.alive and sighting.record and sighting.record.fingerprint == rendered.fingerprint:
            continue
        if sighting.note:
            ctx.notice(sighting.note)
        if not release.data(name).exists() and daemons.log_path(name).exists():  # it ran before
            lost.append(name)
            more = ", and gets the installation's own metrics again; others cannot be brought back"
            begins = f"it starts empty{more if name == METRICS_STORE else ''}"
            ctx.notice(f"the data folder of {name} was gone, and all that it had stored with it: {begins}")
        with ctx.part(name):
            ctx.activity(f"restarting {name}" if sighting.alive else f"starting {name}")
            daemons.stop(name, ctx)
            record = start(release, name, daemons, environ)
            ctx.output(f"{name}: pid {record.pid}: {' '.join(rendered.argv)}")
    return lost


def start(release: HostRelease, name: str, daemons: Daemons, environ: Mapping[str, str]) -> Record:
    """Start a component with its configuration as it should be. Raises InstallError."""
    rendered, folder = release.render(name), release.data(name)
    with writing(release.layout.root):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark_data(folder)
    variables = {**environment(environ), **rendered.environ}
    return daemons.start(Daemon(name, rendered.argv, variables, folder, rendered.fingerprint))


def set_data_aside(folder: Path) -> Path:
    """Have a component's data folder be empty, and return where its data is now. Raises InstallError."""
    aside = folder.with_name(f"{folder.name}.damaged-{time.time_ns()}")
    with writing(folder):
        folder.rename(aside)
        folder.mkdir(mode=0o700)
    return aside


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a component's environment: without GF_*, Grafana's settings, and with no proxy between components."""
    return past_proxies({name: value for name, value in environ.items() if not name.startswith("GF_")})


def remove_configurations(folder: Path) -> None:
    """Remove what is in a folder. Raises InstallError."""
    with writing(folder):
        for path in folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
