"""Where data is, who can reach the stack, and who can read its files: judged from what the provider tells."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.hints import REPAIR, RESUME
from contextcore_install.core.provider import Probe, Requirement, Workload
from contextcore_install.core.requirements import Category, Listener, Storage
from contextcore_install.core.text import count
from contextcore_install.verification.facts import InstallationFacts
from contextcore_install.verification.results import skipped, unmet


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file or folder that is to be its owner's alone: its mode is at most `mode`."""

    path: Path
    mode: int


def infrastructure(facts: InstallationFacts) -> Iterator[Requirement]:
    """Yield that each workload runs."""
    if isinstance(facts.workloads, InstallError) or not facts.workloads:
        why = facts.workloads.message if isinstance(facts.workloads, InstallError) else "nothing is installed"
        yield Requirement(
            "components_running",
            "The components run",
            partial(skipped, f"not known: {why}"),
            category=Category.INFRASTRUCTURE,
        )
        return
    for workload in facts.workloads:
        yield Requirement(
            f"{workload.name}_running",
            f"{workload.name} runs and is ready",
            partial(_running, workload),
            category=Category.INFRASTRUCTURE,
        )


def _running(workload: Workload) -> Probe:
    if workload.ready:
        return Probe(workload.condition)
    if workload.finding is not None:
        return Probe(workload.condition, (workload.finding,))
    message = f"{workload.name} is not ready: {workload.condition}."
    return unmet("not-ready", message, workload.condition, command=RESUME)


def data_persistence(
    facts: InstallationFacts, replaced: Callable[[Sequence[Storage]], Sequence[Finding]] | None = None
) -> Iterator[Requirement]:
    """Yield that each component's data outlives it, is the same as before, and that no disk is memory."""
    told = facts.storage
    if isinstance(told, InstallError) or not told:
        why = f"not known: {told.message}" if isinstance(told, InstallError) else "nothing is installed"
        yield _kept("data_persistence", "Data outlives what writes it", skipped(why))
        return
    for storage in told:
        title = f"What {storage.component} keeps outlives it"
        yield _kept(f"{storage.component}_data", title, _stored(storage))
    if replaced is not None:
        probe = _same(told, replaced(told))
        yield _kept("data_is_the_same", "No data was replaced since it was seen last", probe, critical=False)
    yield _kept("data_on_disk", "No data is on a file system in memory", _on_disk(told), critical=False)


def _kept(name: str, title: str, probe: Probe, *, critical: bool = True) -> Requirement:
    return Requirement(name, title, lambda: probe, category=Category.DATA_PERSISTENCE, critical=critical)


def _stored(storage: Storage) -> Probe:
    if storage.finding is not None:
        return Probe(storage.evidence, (storage.finding,))
    return Probe(storage.evidence) if storage.place else skipped(storage.evidence)


def _same(told: Sequence[Storage], gone: Sequence[Finding]) -> Probe:
    if gone:
        return Probe(gone[0].message, tuple(replace(finding, warning=False) for finding in gone))
    return Probe(", ".join(piece.name for storage in told for piece in storage.pieces))


def _on_disk(told: Sequence[Storage]) -> Probe:
    fleeting = [storage for storage in told if storage.in_memory]
    if fleeting:
        places = ", ".join(storage.evidence for storage in fleeting)
        return unmet(
            "data-in-memory",
            "A restart of this machine empties the file system that data is on.",
            places,
            fix="Set CONTEXTCORE_HOME to a folder on a disk, and install there",
        )
    seen = [storage for storage in told if storage.in_memory is not None]
    if not seen:
        return skipped("what is under the volumes is not to be seen from here")
    return Probe(", ".join(storage.evidence for storage in seen))


def security(facts: InstallationFacts, files: Sequence[PrivateFile]) -> Iterator[Requirement]:
    """Yield that only this machine reaches the stack, and only its owner reads its files."""
    yield Requirement(
        "only_this_machine",
        "Only this machine reaches the stack",
        partial(_reach, facts.listeners),
        category=Category.SECURITY,
    )
    yield Requirement(
        "private_files",
        "Only their owner reads the home folder and what is in it",
        partial(_private, files),
        category=Category.SECURITY,
        critical=False,
    )


def _reach(listeners: Sequence[Listener] | InstallError) -> Probe:
    if isinstance(listeners, InstallError):
        return skipped(f"not known: {listeners.message}")
    if not listeners:
        return skipped("nothing of it takes connections now")
    if opened := [f"{item.owner} at {item.place}" for item in listeners if item.is_open]:
        return unmet(
            "open-to-others",
            f"{len(opened)} of {count(len(listeners), 'listener')} can be reached from other machines.",
            ", ".join(opened),
            fix="Have it listen on 127.0.0.1 alone; a repair puts back what was changed",
            command=REPAIR,
        )
    return Probe(f"{count(len(listeners), 'listener')}, all on loopback or inside the cluster")


def _private(files: Sequence[PrivateFile]) -> Probe:
    there, open_to_others = 0, []
    for file in files:
        try:
            mode = stat.S_IMODE(file.path.lstat().st_mode)
        except OSError:
            continue
        there += 1
        if mode & ~file.mode:
            open_to_others.append((file, mode))
    if open_to_others:
        seen = ", ".join(f"{file.path} has mode {mode:04o}" for file, mode in open_to_others)
        command = " && ".join(f"chmod {file.mode:o} {quote(str(file.path))}" for file, _ in open_to_others)
        message = "Others can read files of the installation."
        return unmet("files-open", message, seen, fix="Take it from them", command=command)
    return Probe(f"{there} looked at") if there else skipped("there is nothing yet")
