"""A restore replaces nothing that it has not saved, and begins with nothing that it cannot finish."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from contextcore_install.commands import restore
from contextcore_install.core.errors import InstallError
from contextcore_install.providers.host.layout import Layout
from contextcore_install.storage.layout import ClusterLayout, Home
from installed_records import app, make_backup, put_back, write_records


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
    tmp_path: Path, layout: ClusterLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(layout.folder)
    write_data(layout)
    layout.folder.chmod(0o700)
    asked = app(tmp_path, "restore", str(tmp_path / "kept.tar.gz"))
    with pytest.raises(InstallError, match="was not restored"):
        restore.run(asked)
    told = asked.stdout.getvalue()  # type: ignore[attr-defined]
    assert "They replace what is there now: grafana." in told
    put_back(tmp_path, tmp_path / "kept.tar.gz", monkeypatch)
    (saved,) = layout.backups.glob("test-before-restore-*.tar.gz")
    with tarfile.open(saved) as tar:
        assert {"records/install-state.json", "volumes/grafana.tar"} <= set(tar.getnames())
    shutil.rmtree(layout.restore)
    put_back(tmp_path, saved, monkeypatch, "--no-backup")
    assert (layout.restore / "volumes" / "grafana.tar").is_file()


def test_what_another_provider_left_behind_is_not_passed_over(
    tmp_path: Path, layout: ClusterLayout
) -> None:
    shutil.rmtree(layout.folder)
    (layout.folder / "kind").mkdir(parents=True)
    layout.folder.chmod(0o700)
    with pytest.raises(InstallError, match="on host, and test is on kind"):
        restore.run(app(tmp_path, "restore", str(tmp_path / "kept.tar.gz"), "--yes"))
