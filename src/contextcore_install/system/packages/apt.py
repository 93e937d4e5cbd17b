"""Takes a package from the Debian or Ubuntu archive without root and without touching the system.

apt keeps its lists, cache and sources in a folder of ours, and downloads one package that dpkg-deb unpacks: no
maintainer script runs and no service starts. What is trusted stays apt's decision: the archive's signature
vouches for the lists, and they for the package (apt-secure(8)).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path

from contextcore_install.system import process
from contextcore_install.system.packages.apt_sources import own_sources, read_os_release
from contextcore_install.system.process import Completed
from contextcore_install.system.supervisor import StartOptions


class AptUnavailableError(Exception):
    """This machine has no apt-get or no dpkg-deb."""


class AptError(Exception):
    """The package could not be downloaded or unpacked; `evidence` is what apt-get or dpkg-deb said."""

    def __init__(self, message: str, evidence: str) -> None:
        super().__init__(message)
        self.evidence = evidence


Run = Callable[[Sequence[str], Path, Mapping[str, str] | None], Completed]
"""Runs a command in a folder, with an environment or else ours, and returns how it ended."""


def run_in(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
    return process.run(argv, environ=environ, check=False, timeout_s=inf, options=StartOptions(folder))


ETC = Path("/etc/apt")
"""Where a machine names the archives that it trusts."""


def download_and_unpack(package: str, into: Path, *, workdir: Path, run: Run | None = None, etc: Path = ETC) -> Path:
    """Download the newest `package` of this release, unpack it into `into`, and return `into`.

    `into` then holds `usr/...` as the package does; its dependencies are not fetched, and programs need them
    from the system. `workdir` keeps apt's lists, so a second package costs only its own download.
    Raises AptUnavailableError or AptError.
    """
    run = run or run_in
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise AptUnavailableError(f"there is no {missing[0]} on this machine")
    archive = download(package, workdir.resolve(), run, etc)
    into.mkdir(parents=True, exist_ok=True)
    unpacked = run(["dpkg-deb", "--extract", str(archive), str(into)], archive.parent, None)
    archive.unlink()
    if unpacked.exit_code != 0:
        raise AptError(f"{archive.name} could not be unpacked", last_line(unpacked.output))
    return into


def download(package: str, workdir: Path, run: Run, etc: Path = ETC) -> Path:
    """Download the newest `package` into `workdir`, with fresh lists if it has none yet; return the archive."""
    lay_out(workdir, etc)
    apt_get = ["apt-get", *options(workdir)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    downloads = workdir / "downloads"
    said = ""
    if not (workdir / "updated").exists():
        # Its exit code says that some source failed, not that the one we need did.
        said = run([*apt_get, "update"], workdir, environment).output
    fetched = run([*apt_get, "download", package], downloads, environment)
    archives = list(downloads.glob("*.deb"))
    if fetched.exit_code != 0 or not archives:
        raise AptError(f"{package} could not be downloaded", complaints(said + fetched.output))
    (workdir / "updated").touch()
    return archives[0]


def lay_out(workdir: Path, etc: Path) -> None:
    """Make apt's folders below `workdir`, with the distribution's own sources and no downloads."""
    shutil.rmtree(workdir / "downloads", ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "sources.list.d", "state", "downloads"):
        (workdir / folder).mkdir(parents=True, exist_ok=True)
    for name, text in own_sources(etc, read_os_release(Path("/etc/os-release"))).items():
        (workdir / "sources.list.d" / name).write_text(text, encoding="utf-8")


def options(workdir: Path) -> list[str]:
    """Return the options that keep apt within `workdir`."""
    settings = {
        "Dir::State": workdir / "state",
        "Dir::State::Lists": workdir / "lists",
        "Dir::Cache": workdir / "cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": workdir / "sources.list.d",
        # As root, apt downloads as the user _apt, who cannot enter a private folder.
        "APT::Sandbox::User": "root",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        # Ten megabytes instead of a hundred and twenty, which may be memory (/tmp) or a nearly full disk.
        "Acquire::GzipIndexes": "true",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::PDiffs": "false",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
    }
    return ["--quiet", *(f"--option={name}={value}" for name, value in settings.items())]


def last_line(output: str) -> str:
    """Return the last line of `output` that says something, shortened to fit a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:120] if lines else ""


def complaints(output: str) -> str:
    """Return the lines in which apt complains (`E:`, `W:`, `Err:`), or else all it said."""
    lines = [line for line in output.splitlines() if line.startswith(("E:", "W:", "Err"))]
    return "\n".join(lines) or output.strip()
