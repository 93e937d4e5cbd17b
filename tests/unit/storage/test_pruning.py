"""What is kept for whoever wants to look is thinned; the history is not."""

from __future__ import annotations

from pathlib import Path

from contextcore_install.storage.archived import given_up_ms, prune_archives
from contextcore_install.storage.files import KEPT_QUARANTINED, prune_quarantine, quarantine
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.storage.step_logs import KEPT_RUNS


def test_of_what_was_set_aside_the_latest_stays(tmp_path: Path) -> None:
    for number in range(KEPT_QUARANTINED + 5):
        (tmp_path / f"journal.jsonl.unreadable-202601{number:02d}T120000Z").write_bytes(b"x")
    (tmp_path / "install-state.json.unreadable-20250101T120000Z").mkdir()
    (tmp_path / "install-state.json").write_bytes(b"torn")
    latest = quarantine(tmp_path / "install-state.json")
    (tmp_path / "journal.jsonl").write_bytes(b"in use")
    prune_quarantine(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {
        "journal.jsonl",
        latest.name,
        *(f"journal.jsonl.unreadable-202601{number:02d}T120000Z" for number in range(6, KEPT_QUARANTINED + 5)),
    }


def test_archives_keep_their_history_and_the_latest_their_logs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(KEPT_RUNS + 3):
        layout = ClusterLayout(home.archive / f"mine-20260101T1200{number:02d}Z")
        layout.logs.mkdir(parents=True)
        layout.journal.write_bytes(b"events")
    other = ClusterLayout(home.archive / "mine-too-20250101T120000Z")
    other.logs.mkdir(parents=True)
    before = given_up_ms(home, "mine")
    prune_archives(home, "mine")
    archives = sorted(home.archive.glob("mine-2*"))
    assert all((folder / "journal.jsonl").read_bytes() == b"events" for folder in archives)
    assert [folder.name for folder in archives if (folder / "logs").exists()] == [
        folder.name for folder in archives[3:]
    ]
    assert other.logs.is_dir()
    assert given_up_ms(home, "mine") == before
