"""What gives an installation up also gives up a restore that was begun: nothing brings it back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contextcore_install.commands.removal import delete
from contextcore_install.commands.reset import reset
from contextcore_install.storage.home import ClusterLayout, Home
from kit.installed_records import app, write_records


@pytest.fixture
def layout(tmp_path: Path) -> ClusterLayout:
    """The files of an installation over which a restore was begun."""
    write_records(tmp_path)
    begun = Home(tmp_path / "home").cluster("test")
    (begun.restore / "records").mkdir(parents=True)
    return begun


def test_a_reset_gives_up_a_restore_that_was_cut_off_before_anything_was_recorded(
    tmp_path: Path, layout: ClusterLayout
) -> None:
    layout.state.unlink()
    layout.journal.unlink()
    reset(app(tmp_path, "--reset"))
    assert not layout.restore.exists()


@pytest.mark.parametrize("command", ["--reset", "delete"])
def test_what_is_killed_while_it_puts_records_aside_leaves_no_restore_to_go_on_with(
    tmp_path: Path, layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    real_rename, archive = os.rename, Home(tmp_path / "home").archive

    def rename(source: str, target: str) -> None:
        if Path(target).is_relative_to(archive):
            raise KeyboardInterrupt
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        (reset if command == "--reset" else delete)(app(tmp_path, command, "--yes"))
    assert not layout.restore.exists()
    assert layout.state.exists()
