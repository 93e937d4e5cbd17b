"""A home as version 0.1.0 left it after six runs on `host` is read for ever, and told in the same documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Event
from contextcore_install.storage.backup.archive import Manifest, unpack
from contextcore_install.storage.journal.journal import JournalReader
from kit.fakes import Told
from kit.installation import Installation

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "home"
CLUSTER = "o11y-dev"


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    """The home; no file in it is a program's, and nothing runs."""
    installation = Installation(tmp_path, CLUSTER)
    installation.files.mkdir(parents=True, mode=0o700)
    for name in ("install-state.json", "journal.jsonl", "cursors.json"):
        shutil.copy(GOLDEN / name, installation.files / name)
    (installation.home / "install-state.json").symlink_to(f"clusters/{CLUSTER}/install-state.json")
    return installation


def document(home: Installation, *arguments: str) -> Any:
    done = home.run(*arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["--status", "history", "clusters"])
def test_each_document_is_what_it_was(home: Installation, command: str) -> None:
    assert document(home, command) == expected(command.removeprefix("--"))


@pytest.mark.parametrize("lost", ["install-state.json", "journal.jsonl"])
def test_either_record_alone_gives_the_same_status(home: Installation, lost: str) -> None:
    (home.files / lost).unlink()

    assert document(home, "--status")["steps"] == expected("status")["steps"]


def test_every_event_is_written_as_it_was_read() -> None:
    lines = (GOLDEN / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    events: list[Event] = [event for _, event in JournalReader(GOLDEN / "journal.jsonl").read()]

    assert [event.as_document() for event in events] == [json.loads(line) for line in lines]


def test_a_backup_is_unpacked_whole(tmp_path: Path) -> None:
    accepted: list[Manifest] = []
    manifest = unpack(GOLDEN / "backup.tar.gz", tmp_path / "staged", accepted.append, Told().ctx)

    assert (manifest.cluster, manifest.provider, manifest.volumes) == (CLUSTER, "host", ("victoria-metrics",))
    assert (tmp_path / "staged/records/journal.jsonl").read_bytes() == (GOLDEN / "journal.jsonl").read_bytes()[
        : (tmp_path / "staged/records/journal.jsonl").stat().st_size
    ]
