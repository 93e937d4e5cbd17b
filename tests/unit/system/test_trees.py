"""Folders as tars: what is written can be read back, and nothing hostile is."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from contextcore_install.system.trees import TreeError, check_tree, keep_harmless, read_tree, write_tree
from kit.archives import ABSURD, END


def member(name: str, **facts: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(made, key, value)
    return made


def tar_of(*members: tarfile.TarInfo) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for item in members:
            tar.addfile(item, io.BytesIO(b"x" * item.size) if item.isreg() else None)
    file.seek(0)
    return file


def test_a_folder_is_written_and_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "from"
    (folder / "deep" / "empty").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(os.urandom(3_000_000))
    (folder / ("long-" * 40)).write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    file = io.BytesIO()
    assert write_tree(folder, file) == 2
    check_tree(file)
    read_tree(file, tmp_path / "to")
    names = {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*")}
    assert names == {"deep", "deep/empty", "deep/file", "long-" * 40}
    assert (tmp_path / "to/deep/file").read_bytes() == (folder / "deep/file").read_bytes()


def test_a_snapshot_of_links_is_read_as_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "part").write_text("samples")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "data").symlink_to(tmp_path / "real")
    file = io.BytesIO()
    assert write_tree(tmp_path / "snapshot", file, follow=True) == 0
    read_tree(file, tmp_path / "to")
    assert (tmp_path / "to" / "data" / "part").read_text() == "samples"


def test_a_hard_link_to_what_came_before_is_a_copy_of_it(tmp_path: Path) -> None:
    link = member("again", type=tarfile.LNKTYPE, linkname="first")
    read_tree(tar_of(member("first", size=3), link), tmp_path / "to")
    assert (tmp_path / "to/again").read_bytes() == b"xxx"


HOSTILE: dict[str, Callable[[], io.BytesIO]] = {
    "absolute": lambda: tar_of(member("/etc/cron.d/x", size=1)),
    "upwards": lambda: tar_of(member("a/../../x", size=1)),
    "symlink": lambda: tar_of(member("a", type=tarfile.SYMTYPE, linkname="/etc")),
    "hard link outside": lambda: tar_of(member("a", type=tarfile.LNKTYPE, linkname="../../state")),
    "hard link to nothing": lambda: tar_of(member("a", type=tarfile.LNKTYPE, linkname="b")),
    "device": lambda: tar_of(member("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "pipe": lambda: tar_of(member("a", type=tarfile.FIFOTYPE)),
    "setuid": lambda: tar_of(member("a", size=1, mode=stat.S_ISUID | 0o755)),
    "twice": lambda: tar_of(member("a", size=1), member("./a", size=2)),
    "cut short": lambda: io.BytesIO(tar_of(member("a", size=5000)).getvalue()[:2000]),
    **{kind: partial(io.BytesIO, headers + END) for kind, headers in ABSURD.items()},
    "no tar": lambda: io.BytesIO(b"hello" * 1000),
    "absurd header": lambda: io.BytesIO(
        member("a", type=tarfile.XHDTYPE, size=900_000_000).tobuf(tarfile.GNU_FORMAT) + b"x" * 4096
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_hostile_is_refused_and_writes_nothing_outside(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TreeError) as caught:
        check_tree(HOSTILE[kind]())
    assert str(caught.value)
    place = tmp_path / "deep" / "place"
    place.parent.mkdir()
    with pytest.raises(TreeError):
        read_tree(HOSTILE[kind](), place)
    assert {path.name for path in tmp_path.rglob("*")} <= {"deep", "place", "a"}


def test_what_would_be_refused_is_left_out_of_a_copy() -> None:
    link = member("link", type=tarfile.SYMTYPE, linkname="/etc")
    kept = io.BytesIO()
    assert keep_harmless(tar_of(member("file", size=9), link), kept) == 1
    check_tree(kept)
    with tarfile.open(fileobj=kept) as tar:
        assert tar.getnames() == ["file"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ABSURD)
def test_a_copy_without_what_is_refused_is_made_of_any_headers_or_refused(kind: str) -> None:
    kept = io.BytesIO()
    with suppress(TreeError):
        keep_harmless(io.BytesIO(ABSURD[kind] + END), kept)
        check_tree(kept)
        with tarfile.open(fileobj=kept) as tar:
            assert tar.getnames() == []
