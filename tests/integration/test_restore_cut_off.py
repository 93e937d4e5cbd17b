"""A restore that is ended in the middle: it is told of, and the next run finishes it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.installation import Installation, kill, read_until
from kit.telemetry_world import ForeignSamples

NAMED = ("--yes", "--cluster", "test", "--no-backup")


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Path]]:
    """One installation for all tests here, and a backup in which its store holds 1.0."""
    place = Installation(tmp_path_factory.mktemp("cut-off"))
    try:
        done = place.install()
        assert done.returncode == 0, done.stdout + done.stderr
        ForeignSamples(place).write(1.0)
        path = place.folder / "kept.tar.gz"
        made = place.run("backup", "-o", str(path))
        assert made.returncode == 0, made.stderr
        yield place, path
    finally:
        place.remove()


def assert_restored(place: Installation) -> None:
    status = place.status()
    assert (status["overall"], status.get("notices")) == ("complete", None)
    assert ForeignSamples(place).values() == [1.0]
    assert not (place.files / "restore").exists()


def test_a_restore_that_is_killed_before_its_first_step_is_finished_by_the_next_run(
    backed_up: tuple[Installation, Path],
) -> None:
    place, path = backed_up
    ForeignSamples(place).write(2.0)
    restoring = place.start("restore", str(path), *NAMED)
    read_until(restoring, "run_started")
    kill(restoring)

    status = place.status()
    assert status["overall"] != "complete"
    assert any("--resume --cluster test puts the backup back" in text for text in status["notices"]), status
    planned = json.loads(place.run("plan", "--repair", "--output", "json").stdout)
    found = {finding["code"] for check in planned["checks"] for finding in check["findings"]}
    assert "not-restored" in found
    resumed = place.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_restored(place)


def test_a_restore_that_is_ended_while_volumes_are_filled_is_finished_by_a_repair(
    backed_up: tuple[Installation, Path],
) -> None:
    place, path = backed_up
    ForeignSamples(place).write(3.0)
    restoring = place.start("restore", str(path), *NAMED)
    read_until(restoring, "step_started", "manifests_apply")
    restoring.send_signal(signal.SIGTERM)
    restoring.communicate()
    repaired = place.run("--repair", "--yes")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert_restored(place)


def test_a_reset_gives_up_a_restore_that_was_cut_off(backed_up: tuple[Installation, Path]) -> None:
    place, path = backed_up
    restoring = place.start("restore", str(path), *NAMED)
    read_until(restoring, "run_started")
    kill(restoring)
    assert place.run("--reset").returncode == 0
    assert not any("backup" in text for text in place.status().get("notices", []))
    assert not (place.files / "restore").exists()
    assert place.install().returncode == 0
