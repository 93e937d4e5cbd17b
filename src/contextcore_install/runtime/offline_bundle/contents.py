"""What goes into an offline bundle beside images: the program itself, its libraries, and upstream's releases."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO

import contextcore_install
from contextcore_install import __version__
from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import LAUNCHER, InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.packages import apt, packages
from contextcore_install.system.packages.bundle_format import FOLDERS, PROGRAM, Part, is_member_path
from contextcore_install.system.packages.releases import Platform, Release, Source
from contextcore_install.system.programs import KIND, KUBECTL, Tool, ToolBox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_GLIBC, _MACOS = range(17, 29), range(11, 15)
"""The minor versions of glibc 2, and the versions of macOS, that wheels may be for: older ones are preferred."""
_BESIDE = (LAUNCHER, "scripts/find-python.sh", "scripts/install-state.sh", "requirements.lock", "README.md", "LICENSE")
"""What the program needs beside its package, and what its users expect there."""
_WHEELS_WITHIN_S = 1200.0


def program_files() -> dict[str, Path]:
    """Return this program's own files by their places in a checkout, with its pages if they are there.

    What editors and systems leave in folders (.DS_Store, a.py~) is no member. Raises InstallError `no-launcher`.
    """
    package = Path(contextcore_install.__file__).resolve().parent
    around = next(
        (folder for folder in (package.parents[1], package / "launcher") if (folder / _BESIDE[0]).is_file()), None
    )
    if around is None or (missing := next((name for name in _BESIDE if not (around / name).is_file()), "")):
        message = f"this program was installed without {missing if around else _BESIDE[0]}, which a bundle is to hold"
        raise InstallError("no-launcher", message, hint=f"make the bundle with a checkout: {own('bundle')}")
    found = {name: around / name for name in _BESIDE} | _below(around / "docs", "docs")
    found |= _below(package, f"src/{package.name}", without=frozenset({"__pycache__", "launcher"}))
    return {name: path for name, path in found.items() if is_member_path(PROGRAM, f"{PROGRAM}/{name}")}


def _below(folder: Path, place: str, without: frozenset[str] = frozenset()) -> dict[str, Path]:
    """Return the files below a folder by their places, but for those in folders of some names."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {f"{place}/{inside.as_posix()}": path for inside, path in paths.items() if not without & set(inside.parts)}


def program_parts(files: Mapping[str, Path]) -> list[Part]:
    return [
        Part(f"{PROGRAM}/{name}", PROGRAM, path.name, __version__, partial(_copy, path)) for name, path in files.items()
    ]


def _copy(path: Path, sink: IO[bytes]) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, sink, 1024 * 1024)


def _move(path: Path, sink: IO[bytes]) -> None:
    """Copy a file that is needed no more: so it takes room on the disk once."""
    _copy(path, sink)
    path.unlink()


def wheel_parts(lock: Path, platform: Platform, workdir: Path, ctx: StepContext) -> list[Part]:
    """Download wheels of what the lock file pins, for all Pythons on a platform; raises InstallError."""
    folder, run = workdir / "wheels", apt.runner(ctx, _WHEELS_WITHIN_S)
    folder.mkdir()
    for python in PYTHONS:
        ctx.activity(f"getting the program's libraries for Python {python}")
        tags = ["--implementation", "cp", "--python-version", python, *_platform_tags(platform)]
        packages.download(lock, folder, tags, workdir=workdir, run=run)
    return [_wheel_part(path) for path in sorted(folder.glob("*.whl"))]


def _platform_tags(platform: Platform) -> list[str]:
    """Return a platform for pip (PEP 600, and packaging's for macOS), the oldest first."""
    if platform.system == "darwin":
        machine = {"amd64": "x86_64"}.get(platform.machine, platform.machine)
        tags = [f"macosx_{version}_0_{machine}" for version in _MACOS]
    else:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[platform.machine]
        tags = [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in _GLIBC)]
    return [f"--platform={tag}" for tag in tags]


def _wheel_part(path: Path) -> Part:
    name, version = path.name.split("-")[:2]
    return Part(f"{FOLDERS['wheel']}/{path.name}", "wheel", name, version, partial(_move, path))


@dataclass(frozen=True, slots=True)
class Releases:
    """Upstream's files for a platform. `box` finds tools of this machine, for where upstream cannot be reached."""

    source: Source
    platform: Platform
    folder: Path
    box: ToolBox

    def parts(self, kind: str, release: Release, ctx: StepContext) -> list[Part]:
        """Get a release's file; raises InstallError."""
        name, target = release.file_name(self.platform), self.folder / release.stored_name(self.platform)
        part = partial(Part, f"{FOLDERS[kind]}/{name}", kind, release.name, release.version)
        try:
            self.source.get(ctx, release, self.platform, target)
        except InstallError as error:
            found = self._found_here(release)
            if found is None:
                here = f"put upstream's {release.name} {release.version} on PATH, or " if self._tool(release) else ""
                raise replace(error, hint=error.hint or f"{here}name a mirror of upstream with --mirror URL") from error
            ctx.notice(f"{error.message} {release.name} {release.version} is taken from {found} instead.")
            return [part(partial(_copy, found))]
        return [part(partial(_move, target))]

    def _tool(self, release: Release) -> Tool | None:
        """Return the tool that a program of this machine can be, if the bundle is for such a machine."""
        tools = (KIND, KUBECTL) if Platform.here() == self.platform else ()
        return next((tool for tool in tools if tool.name == release.name), None)

    def _found_here(self, release: Release) -> Path | None:
        """Return this machine's own program if it is the very release: by its committed digest, else by its version."""
        tool = self._tool(release)
        if tool is None:
            return None
        major, minor, patch = map(int, release.version.split("."))
        found = self.box.find(replace(tool, oldest=(major, minor, patch)))
        if found is None or found.version != (major, minor, patch):
            return None
        with Path(found.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Path(found.path) if release.digest(self.platform) in {"", digest} else None
