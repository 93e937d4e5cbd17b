"""Takes a package from the Debian or Ubuntu archive without root and without touching the system.

apt keeps its lists, cache and sources in a folder of ours, and downloads one package that dpkg-deb unpacks: no
maintainer script runs and no service starts. What is trusted stays apt's decision: the archive's signature
vouches for the lists, and they for the package (apt-secure(8)).
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from email import message_from_string
from math import inf
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system import process
from contextcore_install.system.process import Completed
from contextcore_install.system.supervisor import StartOptions

ETC = Path("/etc/apt")
"""Where a machine names the archives that it trusts."""
#: Suites that are parts of a release: bookworm, bookworm-updates, bookworm/updates; not bookworm-pgdg.
_SUITE_PARTS = r"([-/](updates|security|backports|proposed-updates|proposed))?"
#: Names under which a Debian machine may follow a release other than by its code name.
_ROLLING = ("stable", "oldstable", "testing", "unstable", "sid")
_FOLDERS = {
    "Dir::State": "state",
    "Dir::State::Lists": "lists",
    "Dir::Cache": "cache",
    "Dir::Etc::SourceParts": "sources.list.d",
}

Run = Callable[[Sequence[str], Path, Mapping[str, str] | None], Completed]
"""Runs a command in a folder, with an environment or else ours, and returns how it ended."""


def runner(ctx: StepContext | None = None, timeout_s: float = inf) -> Run:
    """Return what runs commands within a step and a time limit in seconds, if there are such."""

    def run(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
        options = StartOptions(folder)
        return process.run(argv, ctx, environ=environ, check=False, timeout_s=timeout_s, options=options)

    return run


def download_and_unpack(package: str, into: Path, *, workdir: Path, run: Run, etc: Path = ETC) -> Path:
    """Download the newest `package` of this release, unpack it into `into`, and return `into`.

    `into` then holds `usr/...` as the package does; its dependencies are not fetched, and programs need them
    from the system. `workdir` keeps apt's lists, so a second package costs only its own download.
    Raises InstallError `no-apt`, or `package` with what apt-get or dpkg-deb said.
    """
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise InstallError("no-apt", f"there is no {missing[0]} on this machine.")
    archive = _download(package, workdir.resolve(), run, etc)
    into.mkdir(parents=True, exist_ok=True)
    unpacked = run(["dpkg-deb", "--extract", str(archive), str(into)], archive.parent, None)
    archive.unlink()
    if unpacked.exit_code != 0:
        raise InstallError("package", f"{archive.name} could not be unpacked.", last_line(unpacked.output))
    return into


def _download(package: str, workdir: Path, run: Run, etc: Path) -> Path:
    """Download the newest `package` into `workdir`, with fresh lists if it has none yet; return the archive."""
    downloads = workdir / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "sources.list.d", "state", "downloads"):
        (workdir / folder).mkdir(parents=True, exist_ok=True)
    try:
        os_release = platform.freedesktop_os_release()
    except OSError:
        os_release = {}
    for name, text in own_sources(etc, os_release).items():
        (workdir / "sources.list.d" / name).write_text(text, encoding="utf-8")
    options = [f"--option={name}={workdir / folder}" for name, folder in _FOLDERS.items()]
    apt_get = ["apt-get", "--quiet", f"--config-file={Path(__file__).with_suffix('.conf')}", *options]
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    said = ""
    if not (workdir / "updated").exists():
        # Its exit code says that some source failed, not that the one we need did.
        said = run([*apt_get, "update"], workdir, environ).output
    fetched = run([*apt_get, "download", package], downloads, environ)
    archives = list(downloads.glob("*.deb"))
    if fetched.exit_code != 0 or not archives:
        output = f"{said}\n{fetched.output}"
        complaints = [line for line in output.splitlines() if line.startswith(("E:", "W:", "Err"))]
        evidence = "\n".join(complaints) or output.strip()
        raise InstallError("package", f"{package} could not be downloaded.", evidence)
    (workdir / "updated").touch()
    return archives[0]


def last_line(output: str) -> str:
    """Return the last line of `output` that says something, shortened to fit a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:120] if lines else ""


@dataclass(frozen=True)
class _Source:
    """An entry of /etc/apt as it stands in its file, and what it says."""

    text: str
    types: list[str]
    uris: list[str]
    suites: list[str]
    components: list[str]

    @property
    def places(self) -> set[tuple[str, str]]:
        return {(uri.rstrip("/"), suite) for uri in self.uris for suite in self.suites}

    def is_own(self, own_suite: re.Pattern[str]) -> bool:
        """Tell whether it names packages of this release's component main, on a network or disk."""
        return (
            "deb" in self.types
            and "main" in self.components
            and not any(uri.startswith("cdrom:") for uri in self.uris)
            and any(own_suite.fullmatch(suite) for suite in self.suites)
        )


def own_sources(etc: Path, os_release: Mapping[str, str]) -> dict[str, str]:
    """Return what to put into a `sources.list.d` of one's own, by file name, from the `etc` of this machine.

    Third parties are left out: they have no part in this, and may be unreachable. Should no archive be known as the
    distribution's (a derivative, a mirror with suites of its own), all remain. What is named twice is taken
    once, as apt refuses to read two entries for one archive that differ in their keys. Files that name their keys
    come first.
    """
    more = etc / "sources.list.d"
    files = [*sorted(more.glob("*.sources")), etc / "sources.list", *sorted(more.glob("*.list"))]
    found = [(file.suffix, entry) for file in files if file.is_file() for entry in _entries(file)]
    names = [os_release.get("VERSION_CODENAME"), os_release.get("UBUNTU_CODENAME"), *_ROLLING]
    own = re.compile(f"({'|'.join(re.escape(name) for name in names if name)}){_SUITE_PARTS}")
    chosen: dict[str, list[str]] = {".sources": [], ".list": []}
    seen: set[tuple[str, str]] = set()
    for suffix, entry in [pair for pair in found if pair[1].is_own(own)] or found:
        if not entry.places <= seen:
            chosen[suffix].append(entry.text)
            seen |= entry.places
    return {f"own{suffix}": "\n\n".join(texts) + "\n" for suffix, texts in chosen.items() if texts}


def _entries(file: Path) -> Iterator[_Source]:
    """Yield the entries that are in force (sources.list(5)): one a line in `*.list`, deb822 stanzas in `*.sources`."""
    text = re.sub(r"(?m)^[ \t]*#.*\n?", "", file.read_text(encoding="utf-8", errors="replace"))
    if file.suffix == ".list":
        for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
            words = re.sub(r"\[[^\]]*\]", " ", line).split()
            yield _Source(line, words[:1], words[1:2], words[2:3], words[3:])
        return
    for stanza in re.split(r"\n\s*\n", text.strip()):
        fields = message_from_string(stanza)  # its fields are written as those of mail
        if fields.get("enabled", "yes").strip().lower() not in {"no", "false", "without", "off", "disable", "0"}:
            lists = (fields.get(name, "").split() for name in ("types", "uris", "suites", "components"))
            yield _Source(stanza.strip("\n"), *lists)
