"""What others may have put into our folders: refused with the reason, never waited for, never written through."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.quick_plan import CLUSTER, World
from fuzz.hostile import assert_harmless, invoke

pytestmark = pytest.mark.slow

FOLDERS = ("home", "home/clusters", f"home/clusters/{CLUSTER}")
FILES = ("install-state.json", "journal.jsonl", "lock", "cursors.json", "logs", "backups")
NOBODY = 65_534
READING = (["--status"], ["history"], ["logs"], ["clusters"])

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a home in which an installation went well."""
    place = World(tmp_path)
    assert place.run() == 0
    return place


def refused(world: World, said: str) -> None:
    """See that a run is refused in one sentence with its hint, and that what only reads ends in time."""
    assert world.run() == 4
    error = json.loads(world.shown.read_text().splitlines()[-1])
    assert said in error["message"], error
    assert "\n" not in error["message"]
    assert error["hint"], error
    for words in READING:
        assert_harmless(invoke(world.home, ["--cluster", CLUSTER, *words]).err)


@pytest.mark.parametrize("place", [*FOLDERS, *(f"{FOLDERS[-1]}/{name}" for name in FILES)])
def test_no_link_is_followed(world: World, tmp_path: Path, place: str) -> None:
    path, elsewhere = tmp_path / place, tmp_path / "elsewhere"
    is_folder = place in FOLDERS or path.name in ("logs", "backups")
    if path.exists():
        path.rename(tmp_path / "real")
    elsewhere.mkdir() if is_folder else elsewhere.write_text("theirs")
    path.symlink_to(elsewhere)
    refused(world, "it is a link")
    assert (list(elsewhere.iterdir()) if is_folder else elsewhere.read_text()) == ([] if is_folder else "theirs")
    path.unlink()
    if (tmp_path / "real").exists():
        (tmp_path / "real").rename(path)
    assert world.run() == 0


@pytest.mark.parametrize("place", FOLDERS)
def test_no_folder_is_used_that_others_can_write_to(world: World, tmp_path: Path, place: str) -> None:
    (tmp_path / place).chmod(0o777)
    refused(world, "others can write to it")
    (tmp_path / place).chmod(0o700)
    assert world.run() == 0


@as_root
@pytest.mark.parametrize(
    "place", [FOLDERS[0], FOLDERS[2], "home/notify.json", *(f"{FOLDERS[2]}/{name}" for name in FILES[:3])]
)
def test_nothing_is_used_that_is_another_users(world: World, tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    if not path.exists():
        path.write_text("{}")
    os.chown(path, NOBODY, NOBODY)
    refused(world, "another user")
    os.chown(path, 0, 0)
    assert world.run() == 0


ODD: dict[str, Callable[[Path], object]] = {"a FIFO": os.mkfifo, "a folder": Path.mkdir}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("name", ["install-state.json", "journal.jsonl", "lock", "cursors.json", "logs"])
def test_what_is_no_file_is_not_waited_for(world: World, tmp_path: Path, what: str, name: str) -> None:
    path = world.files / name
    if path.exists():
        path.rename(tmp_path / "real")
    ODD[what](path)
    for words in READING:
        assert_harmless(invoke(world.home, ["--cluster", CLUSTER, *words]).err)
    code = world.run()
    assert code in (0, 4)
    if code:
        error = json.loads(world.shown.read_text().splitlines()[-1])
        assert str(path) in error["message"], error
        assert error["hint"], error


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_file_at_the_plans_path_is_set_aside(world: World, what: str) -> None:
    path = world.home / "install-state.json"
    path.unlink()
    ODD[what](path)
    assert world.run() == 0
    assert path.is_symlink()


@pytest.mark.parametrize("what", ODD)
def test_contact_points_that_are_no_file_are_named(world: World, what: str) -> None:
    ODD[what](world.home / "notify.json")
    shown = invoke(world.home, ["notify", "show"])
    assert "notify.json" in shown.err
    assert world.run() in (0, 4)
