"""A backup that is made can be put back, whatever is wrong with the records that it is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.storage.home import Home
from contextcore_install.storage.store import mend_records
from kit.installed_records import STORY, make_backup, put_back, write_records

SPOILT: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "torn": lambda path: path.write_bytes(b'{"version": "1.0", "cl'),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", ["install-state.json", "journal.jsonl"])
@pytest.mark.parametrize("what", SPOILT)
def test_a_backup_is_put_back_whatever_its_records_were_like(tmp_path: Path, what: str, name: str) -> None:
    state = write_records(tmp_path)
    spoilt = Home(tmp_path / "home").cluster("test").folder / name
    spoilt.unlink()
    SPOILT[what](spoilt)
    back = put_back(tmp_path, make_backup(tmp_path), "--no-backup")
    records = mend_records(back.layout, "test")
    assert (records.state.as_document(), records.notices) == (state.as_document(), [])


def test_a_change_that_is_not_recorded_yet_is_recorded_by_whoever_restores_it(tmp_path: Path) -> None:
    write_records(tmp_path)
    path = Home(tmp_path / "home").cluster("test").state
    path.write_text(path.read_text().replace("completed", "failed", 1))
    back = put_back(tmp_path, make_backup(tmp_path), "--no-backup")
    imported = mend_records(back.layout, "test").imported
    assert imported
    assert imported["changes"] == ["preflight: completed -> failed"]


def test_records_that_a_script_began_without_a_provider_are_put_back(tmp_path: Path) -> None:
    began = replace(STORY[0], data={"installation_id": "abc", "provider": "", "settings": {}})
    state = write_records(tmp_path, [began, *STORY[1:]])
    back = put_back(tmp_path, make_backup(tmp_path), "--no-backup")
    assert mend_records(back.layout, "test").state.steps == state.steps


def test_a_folder_without_records_and_data_is_nothing_to_back_up(tmp_path: Path) -> None:
    write_records(tmp_path)
    for path in Home(tmp_path / "home").cluster("test").folder.iterdir():
        path.unlink()
    with pytest.raises(InstallError, match="no installation test to back up"):
        make_backup(tmp_path)
