"""The release on this machine: configurations on disk, and processes that run with them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift
from contextcore_install.providers.host.layout import Layout, unwritable
from contextcore_install.providers.host.render import HostRelease, Rendered
from contextcore_install.stack.catalogue import METRICS_STORE
from contextcore_install.system.daemons import Daemon, Daemons, Record
from contextcore_install.system.files import read_text, write_atomically

COMMAND = "command.json"
"""Written beside a component's configuration: what it is started with. It says which components were installed."""


def installed(layout: Layout) -> set[str]:
    """Return the components whose configuration is in place."""
    return {path.parent.name for path in layout.config.glob(f"*/{COMMAND}")}


def _contents(rendered: Rendered) -> dict[str, str]:
    command = {"argv": rendered.argv, "fingerprint": rendered.fingerprint}
    return {**rendered.files, COMMAND: json.dumps(command, indent=2) + "\n"}


def drift(release: HostRelease, daemons: Daemons) -> Iterator[Drift]:
    """Yield what differs between what should be, what is on disk, and what runs."""
    for name in release.programs:
        rendered = release.render(name)
        yield from _file_drift(release.config(name), _contents(rendered), name)
        sighting = daemons.look(name)
        record = sighting.record
        if sighting.alive and record is not None and record.fingerprint != rendered.fingerprint:
            yield Drift(f"{name} process {record.pid}", "runs with another configuration")
    if "grafana" in release.programs and not _password(release).is_file():
        yield Drift("grafana password", "missing")


def _file_drift(folder: Path, wanted: Mapping[str, str], component: str) -> Iterator[Drift]:
    present = _present(folder)
    for path, text in wanted.items():
        name = f"{component}/{path}"
        if path not in present:
            yield Drift(name, "missing")
        elif _read(folder / path) != text:
            yield Drift(name, "changed")
    yield from (Drift(f"{component}/{path}", "superfluous") for path in sorted(present - set(wanted)))


def _present(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def _read(path: Path) -> str | None:
    """Return a file's text; None for what is no regular file (a link or a FIFO in its place is not read)."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return read_text(path)
    except (OSError, ValueError):
        return None


def write(release: HostRelease) -> None:
    """Write every configuration that differs, and take away what does not belong. Raises InstallError."""
    try:
        for name in release.programs:
            _write_component(release, name)
        if "grafana" in release.programs and not _password(release).is_file():
            import secrets

            write_atomically(_password(release), secrets.token_urlsafe(18))
    except OSError as error:
        raise unwritable(error, release.layout.root) from error


def _write_component(release: HostRelease, name: str) -> None:
    folder = release.config(name)
    wanted = _contents(release.render(name))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in _present(folder) - set(wanted):
        (folder / path).unlink()
    for path, text in wanted.items():
        if _read(folder / path) != text:
            (folder / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(folder / path, text)


def _password(release: HostRelease) -> Path:
    return release.layout.secrets / "grafana-admin"


def run(release: HostRelease, daemons: Daemons, environ: Mapping[str, str], ctx: StepContext) -> list[str]:
    """Start what does not run, and start anew what runs with another configuration. Raises InstallError.

    Returns the components that ran before and start with no data, as their folders were gone.
    """
    lost = []
    for name in release.programs:
        ctx.raise_if_cancelled()
        rendered = release.render(name)
        sighting = daemons.look(name)
        if sighting.alive and sighting.record and sighting.record.fingerprint == rendered.fingerprint:
            continue
        if sighting.note:
            ctx.notice(sighting.note)
        if _has_lost_data(release, name, daemons):
            lost.append(name)
            ctx.notice(f"the data folder of {name} was gone, and all that it had stored with it: {_begins(name)}")
        with ctx.part(name):
            ctx.activity(f"starting {name} anew" if sighting.alive else f"starting {name}")
            daemons.stop(name, ctx)
            record = start(release, name, daemons, environ)
            ctx.output(f"{name}: pid {record.pid}: {' '.join(rendered.argv)}")
    return lost


def _has_lost_data(release: HostRelease, name: str, daemons: Daemons) -> bool:
    """Tell whether a component that ran before, as its log shows, has no data folder any more."""
    return not release.data(name).exists() and daemons.log_path(name).exists()


def _begins(name: str) -> str:
    if name == METRICS_STORE:
        return "it starts empty, and gets the installation's own metrics again; others cannot be brought back"
    return "it starts empty"


def start(release: HostRelease, name: str, daemons: Daemons, environ: Mapping[str, str]) -> Record:
    """Start a component with its configuration as it should be. Raises InstallError."""
    rendered = release.render(name)
    folder = _data_folder(release, name)
    return daemons.start(Daemon(name, rendered.argv, environment(environ), folder, rendered.fingerprint))


def _data_folder(release: HostRelease, name: str) -> Path:
    """Return a component's data folder, made where it is missing, deleted by hand say. Raises InstallError."""
    folder = release.data(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        release.layout.mark_data(folder)
    except OSError as error:
        raise unwritable(error, release.layout.root) from error
    return folder


def put_aside(folder: Path) -> Path:
    """Have a component's data folder be empty, and return where its data is now. Raises InstallError."""
    aside = folder.with_name(f"{folder.name}.damaged-{time.time_ns()}")
    try:
        folder.rename(aside)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise unwritable(error, folder) from error
    return aside


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what components get of the environment: all but what would override their configuration.

    Grafana takes any setting from GF_*; the others read none unless asked to. What they say to each other never goes
    through a proxy.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("GF_")}
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in kept.get(name, "").split(",") if host]
        kept[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return kept


def remove_configurations(layout: Layout) -> None:
    """Take the configurations away. Raises InstallError."""
    try:
        for path in sorted(layout.config.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()
            else:
                path.unlink()
    except OSError as error:
        raise unwritable(error, layout.root) from error
