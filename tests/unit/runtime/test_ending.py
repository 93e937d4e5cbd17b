"""A signal ends what takes away before anything is taken away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.commands import backups, removal, repairs
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.provider import ClusterState
from contextcore_install.engine.state import CLUSTER_STEP
from contextcore_install.runtime.app import App
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.system.services import manager_of
from kit.fakes import FakeProvider
from kit.installed_records import START_US, STORY, app, make_backup, write_records

LOST: Any = {CLUSTER_STEP: SimpleNamespace(problems=[SimpleNamespace(code=repairs.BEYOND_REPAIR)])}
COMMANDS: dict[str, tuple[Callable[[App], object], tuple[str, ...]]] = {
    "rollback": (removal.rollback, ("rollback",)),
    "restore": (backups.restore, ("restore", "kept.tar.gz")),
    "delete": (removal.delete, ("delete", "--backup")),
    "repair": (lambda app: repairs._make_room(app, LOST), ("--repair",)),
}


@pytest.fixture
def layout(tmp_path: Path) -> ClusterLayout:
    """The files of an installation that has a cluster."""
    made = Event(5, START_US + 4, "run-1", Kind.STEP_COMPLETED, CLUSTER_STEP, {"duration_seconds": 1.0})
    write_records(tmp_path, [*STORY, made])
    return Home(tmp_path / "home").cluster("test")


@pytest.fixture
def provider() -> FakeProvider:
    """A cluster that takes its one volume along when it is removed."""
    made = FakeProvider()
    made.state, made.kept.outlives_cluster, made.kept.files = ClusterState.HEALTHY, False, {"grafana": b"precious"}
    return made


def signal_after_backup(layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a signal come when a backup is in place, and making it looks no more whether it is to end."""
    real_fsync, signals = os.fsync, [signal.SIGTERM]

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        if signals and any(layout.backups.glob("test-before-*.tar.gz")):
            os.kill(os.getpid(), signals.pop())

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_while_it_prepares_ends_it_with_nothing_destroyed(
    command: str, tmp_path: Path, layout: ClusterLayout, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, words = COMMANDS[command]
    monkeypatch.chdir(tmp_path)
    make_backup(tmp_path)
    service = manager_of({"HOME": str(tmp_path)}).path("contextcore-install-watch-test")
    service.parent.mkdir(parents=True)
    service.touch()
    journal = layout.journal.read_bytes()
    signal_after_backup(layout, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(app(tmp_path, *words, "--yes", create_provider=lambda *_: provider))
    assert len(list(layout.backups.glob("test-before-*.tar.gz"))) == 1
    assert provider.calls.count("remove_cluster") == provider.calls.count("remove_release") == 0
    assert (provider.state, provider.kept.files) == (ClusterState.HEALTHY, {"grafana": b"precious"})
    assert (service.exists(), layout.restore.exists(), layout.journal.read_bytes()) == (True, False, journal)
