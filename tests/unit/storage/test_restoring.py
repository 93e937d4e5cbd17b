"""The records of a backup take the place of the present ones, wherever that is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.storage.archived import archive_records, given_up_ms
from contextcore_install.storage.backup.restoring import begin, begun, give_up, is_begun, place_records, staging
from contextcore_install.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which a backup's records are laid out, and others are there."""
    home = Home(tmp_path)
    layout = home.cluster("test")
    records = staging(layout) / "records"
    records.mkdir(parents=True)
    layout.folder.chmod(0o700)
    for name in (layout.state.name, layout.journal.name):
        (records / name).write_text("of the backup")
        (layout.folder / name).write_text("present")
    return home


def assert_placed(home: Home) -> None:
    layout = home.cluster("test")
    assert {layout.state.read_text(), layout.journal.read_text()} == {"of the backup"}
    kept = sorted(path for path in home.archive.glob("*/*") if path.stat().st_size)
    assert [(path.name, path.read_text()) for path in kept] == [
        (layout.state.name, "present"),
        (layout.journal.name, "present"),
    ]


def test_what_is_laid_out_changes_nothing_until_the_restore_begins(home: Home) -> None:
    layout = home.cluster("test")
    place_records(home, "test")
    assert not is_begun(layout)
    assert layout.state.read_text() == "present"


def test_records_are_placed_once_and_those_that_were_there_are_kept(home: Home) -> None:
    begin(home.cluster("test"))
    place_records(home, "test")
    place_records(home, "test")
    assert_placed(home)


def test_records_that_a_backup_replaced_are_not_given_up_as_those_of_a_reset_are(home: Home) -> None:
    begin(home.cluster("test"))
    place_records(home, "test")
    assert given_up_ms(home, "test") == 0
    term = home.cluster("test").lease_term
    term.write_text("3\n")
    archive_records(home, "test")
    assert given_up_ms(home, "test") > 0
    assert not term.exists()


def test_placing_that_was_cut_off_between_two_files_goes_on_with_the_rest(home: Home) -> None:
    layout = home.cluster("test")
    begin(layout)
    blocked = layout.folder / layout.state.name
    records = layout.restore / "records"
    (records / "z-last").write_text("of the backup")
    (layout.folder / "z-last").mkdir()  # a file cannot take a folder's place
    with pytest.raises(InstallError):
        place_records(home, "test")
    assert blocked.read_text() == "of the backup"
    (layout.folder / "z-last").rmdir()
    place_records(home, "test")
    (layout.folder / "z-last").unlink()
    assert_placed(home)


def test_a_restore_that_was_given_up_is_none(home: Home) -> None:
    layout = home.cluster("test")
    begin(layout)
    give_up(layout)
    assert not is_begun(layout)
    assert begun(layout) is None
    assert layout.state.read_text() == "present"


def test_a_restore_whose_manifest_is_damaged_is_told_with_what_to_type(home: Home) -> None:
    layout = home.cluster("test")
    begin(layout)
    (layout.restore / "manifest.json").write_text("{")
    with pytest.raises(InstallError, match="a restore was cut off") as refused:
        begun(layout)
    assert "restore FILE" in refused.value.hint
