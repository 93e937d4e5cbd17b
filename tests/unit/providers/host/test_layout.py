from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.host.layout import OWNER, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("c", tmp_path / "clusters" / "c" / "host")


def test_what_is_made_is_ours_whole_and_private(layout: Layout) -> None:
    assert layout.missing()
    layout.make()
    assert layout.missing() == []
    assert layout.foreign_reason() == ""
    assert layout.root.stat().st_mode & 0o777 == 0o700
    layout.make()


def test_removing_takes_only_what_is_ours(layout: Layout) -> None:
    layout.make()
    state = layout.root.parent / "journal.jsonl"
    state.write_text("history")
    (layout.root / "notes.txt").write_text("mine")
    (layout.data / "blocks").mkdir()
    layout.remove()
    assert state.read_text() == "history"
    assert [path.name for path in layout.root.iterdir()] == ["notes.txt"]
    layout.remove()


def test_removing_all_removes_the_folder(layout: Layout) -> None:
    layout.make()
    (layout.root / ".owner.json.0000.new").write_text("half written")
    layout.remove()
    assert not layout.root.exists()


def test_a_folder_with_anything_else_is_foreign(layout: Layout) -> None:
    layout.root.mkdir(parents=True)
    assert layout.foreign_reason() == ""
    (layout.root / "thesis.tex").write_text("")
    assert "thesis.tex" in layout.foreign_reason()


@pytest.mark.parametrize(
    "owner",
    [
        {"owner": "someone", "cluster": "c", "uid": os.getuid()},
        {"owner": OWNER, "cluster": "other", "uid": os.getuid()},
        {"owner": OWNER, "cluster": "c", "uid": os.getuid() + 1},
    ],
)
def test_a_mark_of_another_is_foreign(layout: Layout, owner: dict[str, object]) -> None:
    layout.make()
    layout.marker.write_text(json.dumps(owner))
    assert layout.foreign_reason()


def test_a_damaged_mark_is_made_anew_where_all_else_is_ours(layout: Layout) -> None:
    layout.make()
    layout.marker.write_bytes(b"")
    assert layout.foreign_reason() == ""
    assert layout.missing() == ["owner.json"]
    layout.make()
    assert layout.missing() == []
    layout.marker.write_text("{")
    (layout.root / "thesis.tex").write_text("")
    assert layout.foreign_reason()


def test_a_lost_mark_is_made_anew_where_only_we_can_have_made_the_rest(layout: Layout) -> None:
    layout.make()
    layout.marker.unlink()
    assert layout.foreign_reason(), "folders of these names are anybody's"
    layout.programs.write_text("{}")
    assert layout.foreign_reason() == ""
    assert layout.missing() == ["owner.json"]
    (layout.root / "thesis.tex").write_text("")
    assert "thesis.tex" in layout.foreign_reason()


def test_a_link_or_a_file_in_its_place_is_foreign(layout: Layout, tmp_path: Path) -> None:
    layout.root.parent.mkdir(parents=True)
    layout.root.symlink_to(tmp_path)
    assert "is a link" in layout.foreign_reason()
    layout.root.unlink()
    layout.root.write_text("")
    assert "not a folder" in layout.foreign_reason()
    with pytest.raises(InstallError) as caught:
        layout.make()
    assert caught.value.code == "folder-unwritable"
