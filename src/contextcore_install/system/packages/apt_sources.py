"""Which archives apt takes packages from: the distribution's own entries of /etc/apt, in both of their formats.

The formats are those of sources.list(5): one line an entry in `*.list`, deb822 stanzas in `*.sources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Suites that are parts of a release: bookworm, bookworm-updates, bookworm/updates; not bookworm-pgdg.
SUITE_PARTS = r"([-/](updates|security|backports|proposed-updates|proposed))?"
#: Names under which a Debian machine may follow a release other than by its code name.
ROLLING = ("stable", "oldstable", "testing", "unstable", "sid")


@dataclass(frozen=True)
class AptSource:
    """One entry as it stands in its file, and what it says."""

    text: str
    types: list[str]
    uris: list[str]
    suites: list[str]
    components: list[str]

    def places(self) -> set[tuple[str, str]]:
        """Return each archive and suite that this entry names."""
        return {(uri.rstrip("/"), suite) for uri in self.uris for suite in self.suites}


def own_sources(etc: Path, os_release: Mapping[str, str]) -> dict[str, str]:
    """Return what to put into a `sources.list.d` of one's own, by file name, from the `etc` of this machine.

    Third parties are left out: they have no part in this, and may be unreachable. Should no archive be known as the
    distribution's (a derivative, a mirror with suites of its own), all remain. What is named twice is taken
    once, as apt refuses to read two entries for one archive that differ in their keys.
    """
    found = [(file.suffix, entry) for file in source_files(etc) for entry in entries(file)]
    names = [os_release.get("VERSION_CODENAME"), os_release.get("UBUNTU_CODENAME"), *ROLLING]
    own = re.compile(f"({'|'.join(re.escape(name) for name in names if name)}){SUITE_PARTS}")
    chosen: dict[str, list[str]] = {".sources": [], ".list": []}
    seen: set[tuple[str, str]] = set()
    for suffix, entry in [pair for pair in found if is_own(pair[1], own)] or found:
        if not entry.places() <= seen:
            chosen[suffix].append(entry.text)
            seen |= entry.places()
    return {f"own{suffix}": "\n\n".join(texts) + "\n" for suffix, texts in chosen.items() if texts}


def source_files(etc: Path) -> list[Path]:
    """Return the files that apt reads, those that name their keys first."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    return [file for file in [*sorted((etc / "sources.list.d").glob("*.sources")), *files] if file.is_file()]


def entries(file: Path) -> Iterator[AptSource]:
    """Yield the entries of a file that are in force."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", file.read_text(encoding="utf-8", errors="replace"))
    if file.suffix == ".list":
        for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
            words = re.sub(r"\[[^\]]*\]", " ", line).split()
            yield AptSource(line, words[:1], words[1:2], words[2:3], words[3:])
        return
    for stanza in re.split(r"\n\s*\n", text.strip()):
        said = fields(stanza)
        types, uris, suites, components = (
            said.get(name, "").split() for name in ("types", "uris", "suites", "components")
        )
        if said.get("enabled", "yes").lower() not in {"no", "false", "without", "off", "disable", "0"}:
            yield AptSource(stanza.strip("\n"), types, uris, suites, components)


def is_own(entry: AptSource, own: re.Pattern[str]) -> bool:
    """Tell whether an entry names packages of this release's component main, on a network or disk."""
    return (
        "deb" in entry.types
        and "main" in entry.components
        and not any(uri.startswith("cdrom:") for uri in entry.uris)
        and any(own.fullmatch(suite) for suite in entry.suites)
    )


def fields(stanza: str) -> dict[str, str]:
    """Return the fields of a deb822 stanza, names in lower case, continuation lines joined."""
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    pairs = (line.partition(":") for line in unfolded.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def read_os_release(path: Path) -> dict[str, str]:
    """Return the assignments of os-release(5); empty if there is no such file."""
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
