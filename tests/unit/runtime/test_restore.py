"""A restore replaces nothing that it has not saved, and begins with nothing that it cannot finish."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.commands.backups import restore
from contextcore_install.core.errors import InstallError
from contextcore_install.engine.state import State
from contextcore_install.providers.host.layout import Layout
from contextcore_install.storage.backup.archive import pack
from contextcore_install.storage.home import ClusterLayout, Home
from kit.fakes import Told
from kit.installed_records import app, make_backup, put_back, write_records


@pytest.fixture
def layout(tmp_path: Path) -> ClusterLayout:
    """The files of an installation, of which `kept.tar.gz` is a backup."""
    write_records(tmp_path)
    make_backup(tmp_path)
    return Home(tmp_path / "home").cluster("test")


def write_data(layout: ClusterLayout) -> None:
    """Have something in a volume on this machine, made by an installation of that name."""
    place = Layout("test", layout.folder / "host")
    place.make()
    (place.data / "grafana").mkdir(exist_ok=True)
    (place.data / "grafana" / "grafana.db").write_text("precious")


def test_data_of_which_nothing_is_recorded_is_backed_up_before_it_is_replaced(
    tmp_path: Path, layout: ClusterLayout
) -> None:
    shutil.rmtree(layout.folder)
    write_data(layout)
    layout.folder.chmod(0o700)
    asked = app(tmp_path, "restore", str(tmp_path / "kept.tar.gz"))
    with pytest.raises(InstallError, match="was not restored"):
        restore(asked)
    told = asked.stdout.getvalue()  # type: ignore[attr-defined]
    assert "They replace what is there now: grafana." in told
    put_back(tmp_path, tmp_path / "kept.tar.gz")
    (saved,) = layout.backups.glob("test-before-restore-*.tar.gz")
    with tarfile.open(saved) as tar:
        assert {"records/install-state.json", "volumes/grafana.tar"} <= set(tar.getnames())
    shutil.rmtree(layout.restore)
    put_back(tmp_path, saved, "--no-backup")
    assert (layout.restore / "volumes" / "grafana.tar").is_file()


BEGAN = "2026-01-01T00:00:00Z"


def crafted(folder: Path, *, provider: str = "host", made: str = BEGAN, ports: object = None) -> Path:
    """Return a backup without data that says what this program's own never say."""
    state = State("test", provider=provider, started_at=BEGAN, settings={"ports": ports or {}})
    about = {"cluster": "test", "provider": provider, "created_at": made, "volumes": []}
    records = folder / "crafted" / "records"
    records.mkdir(parents=True)
    (records / "install-state.json").write_text(json.dumps(state.as_document()))
    pack(records.parent, folder / "crafted.tar.gz", about, Told().ctx)
    return folder / "crafted.tar.gz"


UNUSABLE: dict[str, dict[str, Any]] = {
    "the provider 'podman', which is not known here": {"provider": "podman"},
    "no port named 'nosuch'": {"ports": {"nosuch": 3000}},
    "grafana=3000 is not a port": {"ports": {"grafana": "3000"}},
}


@pytest.mark.parametrize("said", UNUSABLE)
def test_a_backup_that_no_run_can_go_by_is_refused_before_anything_is_touched(
    tmp_path: Path, layout: ClusterLayout, said: str
) -> None:
    source = crafted(tmp_path, **UNUSABLE[said])
    before = layout.state.read_bytes()
    with pytest.raises(InstallError, match=said):
        restore(app(tmp_path, "restore", str(source), "--yes", "--no-backup"))
    assert not layout.restore.exists()
    assert layout.state.read_bytes() == before


def test_what_a_backup_says_of_itself_does_nothing_to_the_terminal(tmp_path: Path, layout: ClusterLayout) -> None:
    source = crafted(tmp_path, made="\x1b[2J\nnever\nThe backup is harmless")
    asked = app(tmp_path, "restore", str(source))
    with pytest.raises(InstallError, match="was not restored"):
        restore(asked)
    told = asked.stdout.getvalue()  # type: ignore[attr-defined]
    assert "The backup is of never The backup is harmless, from host: " in told
    assert "\x1b" not in told


def test_what_another_provider_left_behind_is_not_passed_over(tmp_path: Path, layout: ClusterLayout) -> None:
    shutil.rmtree(layout.folder)
    (layout.folder / "kind").mkdir(parents=True)
    layout.folder.chmod(0o700)
    with pytest.raises(InstallError, match="on host, and test is on kind"):
        restore(app(tmp_path, "restore", str(tmp_path / "kept.tar.gz"), "--yes"))
