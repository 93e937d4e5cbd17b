"""Backups of a real installation: made while it runs, put back over what is there, and refused untouched."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import pytest

from kit.installation import Installation
from kit.telemetry_world import ForeignSamples

NAMED = ("--yes", "--cluster", "test")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all tests here; each leaves it running."""
    place = Installation(tmp_path_factory.mktemp("backup"))
    done = place.install()
    assert done.returncode == 0, done.stdout + done.stderr
    yield place
    place.remove()


def backups(place: Installation) -> list[Path]:
    return sorted((place.files / "backups").glob("*.tar.gz"))


def test_a_backup_is_put_back_over_what_came_after(installed: Installation) -> None:
    ForeignSamples(installed).write(1.0)
    pid = installed.processes()[0].pid
    made = installed.run("backup", "--output", "json")
    assert made.returncode == 0, made.stderr
    path = Path(json.loads(made.stdout)["path"])
    assert [path] == backups(installed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert installed.processes()[0].pid == pid, "a snapshot ends no process"
    with tarfile.open(path) as tar:
        assert tar.getnames()[0] == "manifest.json"
        assert "volumes/victoria-metrics.tar" in tar.getnames()
    installation_id = installed.status()["installation_id"]

    ForeignSamples(installed).write(2.0)
    assert sorted(ForeignSamples(installed).values()) == [1.0, 2.0]
    restored = installed.run("restore", str(path), *NAMED)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert ForeignSamples(installed).values() == [1.0]
    assert installed.status()["overall"] == "complete"
    assert installed.status()["installation_id"] == installation_id
    before = [item for item in backups(installed) if "before-restore" in item.name]
    assert len(before) == 1, "what was there is kept"
    back = installed.run("restore", str(before[0]), "--no-backup", *NAMED)
    assert back.returncode == 0, back.stdout + back.stderr
    assert sorted(ForeignSamples(installed).values()) == [1.0, 2.0]


def test_an_installation_that_is_gone_comes_back_with_its_data(tmp_path: Path) -> None:
    place = Installation(tmp_path)
    try:
        assert place.install().returncode == 0
        ForeignSamples(place).write(7.0)
        kept = tmp_path / "kept.tar.gz"
        assert place.run("backup", "-o", str(kept)).returncode == 0
        again = place.run("backup", "-o", str(kept))
        assert (again.returncode, "add --yes to replace it" in again.stderr) == (2, True)
        earlier = json.loads(place.run("backup", "--output", "json").stdout)["path"]
        deleted = place.run("delete", *NAMED, "--backup", "--output", "json")
        assert deleted.returncode == 0, deleted.stderr
        told = json.loads(deleted.stdout)
        assert Path(told["backup"]).is_file()
        assert {Path(path).name for path in told["backups"]} == {Path(path).name for path in (earlier, told["backup"])}
        assert all(Path(path).is_file() for path in told["backups"])
        assert f"2 backups in {Path(told['backup']).parent}" in told["message"]
        missing = place.run("restore", earlier, *NAMED)
        assert missing.returncode == 1
        assert f"restore {quote(told['backups'][0])} --cluster test" in missing.stderr
        assert not place.processes()
        restored = place.run("restore", str(kept), *NAMED)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert ForeignSamples(place).values() == [7.0]
        assert place.run("verify").returncode == 0
    finally:
        place.remove()


def snapshot(place: Installation) -> dict[str, tuple[int, int]]:
    """Return every file of the records, and which process runs."""
    files = [path for path in place.files.iterdir() if path.is_file() and path.name != "lock"]
    found = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
    return found | {str(process.pid): (0, 0) for process in place.processes()}


def test_what_cannot_be_used_is_refused_and_nothing_is_touched(installed: Installation, tmp_path: Path) -> None:
    made = tmp_path / "made.tar.gz"
    assert installed.run("backup", "-o", str(made)).returncode == 0
    content = made.read_bytes()
    (tmp_path / "short").write_bytes(content[: len(content) // 2])
    (tmp_path / "bits").write_bytes(content[:-2000] + os.urandom(100) + content[-1900:])
    before = snapshot(installed)
    refused = {
        ("restore", str(tmp_path / "short"), *NAMED): (1, "damaged or cut short"),
        ("restore", str(tmp_path / "bits"), *NAMED): (1, "is no backup that can be used"),
        ("restore", str(tmp_path / "nothing"), *NAMED): (1, "there is no file"),
        ("restore", str(made)): (2, "its name was not given"),
        ("restore", str(made), "--yes"): (2, "its name was not given"),
        ("restore", str(made), "--yes", "--cluster", "other"): (2, "is of the cluster 'test'"),
    }
    for words, (code, said) in refused.items():
        answer = installed.run(*words)
        assert (answer.returncode, said in answer.stderr) == (code, True), (words, answer.stderr)
        assert "Traceback" not in answer.stderr
    assert snapshot(installed) == before
    assert not (installed.home / "clusters" / "other").exists()
    assert not list((installed.files / "backups").glob(".*"))


def test_nothing_installed_is_no_backup(tmp_path: Path) -> None:
    answer = Installation(tmp_path).run("backup")
    assert answer.returncode == 1
    assert "no installation test" in answer.stderr


def test_a_backup_goes_to_standard_output_or_in_place_of_a_file_only_if_told_so(
    installed: Installation, tmp_path: Path
) -> None:
    target = tmp_path / "mine.tar.gz"
    with target.open("wb") as file:
        printed = subprocess.run(
            installed.command("backup", "-o", "-"),
            env=installed.environ(),
            cwd=tmp_path,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )
    assert printed.returncode == 0, printed.stderr
    assert "is backed up on standard output" in printed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar.gz"]
    with tarfile.open(target) as tar:
        assert tar.getnames()[0] == "manifest.json"
    first = target.read_bytes()
    refused = installed.run("backup", "-o", str(target))
    assert (refused.returncode, target.read_bytes()) == (2, first)
    replaced = installed.run("backup", "-o", str(target), "--yes")
    assert replaced.returncode == 0, replaced.stderr
    assert target.read_bytes() != first
