"""How the stack stands on this machine: folders that keep data, and sockets that take connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.host.data import storage_in
from contextcore_install.providers.host.layout import mark_data
from contextcore_install.providers.host.provider import HostProvider
from contextcore_install.system import machine
from kit.stores import wait_until

LISTENS = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
STARTS = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_folder_is_known_by_its_mark_and_one_that_was_emptied_has_none(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    mark_data(folder)
    (first,) = storage_in("loki", folder, 0).pieces
    mark_data(folder)
    assert storage_in("loki", folder, 0).pieces == (first,)
    assert first.name == "data"
    assert first.id
    for path in folder.iterdir():
        path.unlink()
    assert [piece.id for piece in storage_in("loki", folder, 0).pieces] == [""]
    folder.rmdir()
    assert [piece.id for piece in storage_in("loki", folder, 0).pieces] == [""]


def test_a_folder_of_ours_keeps_data(tmp_path: Path) -> None:
    found = storage_in("mimir", tmp_path, 0)
    assert (found.component, found.place, found.finding) == ("mimir", str(tmp_path), None)
    assert str(tmp_path) in found.evidence


def test_a_folder_that_is_gone_is_made_by_starting_its_process_anew(tmp_path: Path) -> None:
    for pid, command in ((0, "./create-cluster.sh --resume"), (7, "kill 7 && ./create-cluster.sh --resume")):
        finding = storage_in("mimir", tmp_path / "none", pid).finding
        assert finding is not None
        assert finding.code == "data-missing"
        assert finding.remedy is not None
        assert finding.remedy.command == command


def test_a_folder_that_is_not_this_users_or_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    if os.getuid() == 0:  # who may write everywhere, also where it would be wrong to
        os.chown(folder, 12_345, 12_345)
    else:
        folder.chmod(0o500)
    finding = storage_in("mimir", folder, 0).finding
    assert finding is not None
    assert finding.code == "data-unwritable"
    assert finding.remedy is not None
    assert f"chown -R \"$(id -un)\" '{folder}' && " in finding.remedy.command  # `sudo` on no other folder


def test_data_that_cannot_be_listed_is_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "host" / "data").mkdir(parents=True)
    data = HostProvider(ProviderConfig("demo", tmp_path, tmp_path / "bin", {})).data()
    assert list(data.volumes()) == []
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(PermissionError):
        data.volumes()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system in memory")
def test_a_file_system_in_memory_is_told(tmp_path: Path) -> None:
    assert storage_in("mimir", Path("/dev/shm"), 0).in_memory or os.getuid() != 0
    assert machine.file_system(Path("/dev/shm")) == "tmpfs"


def test_the_type_of_a_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc")
    if machine.LINUX:
        assert machine.file_system(link) == "proc"
    assert machine.file_system(tmp_path)


def test_sockets_are_found_of_a_process_and_of_what_it_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [sys.executable, "-S", "-c", STARTS, LISTENS.format(port=port)]
    with subprocess.Popen(argv, start_new_session=True) as process:
        try:
            wait_until(lambda: ("127.0.0.1", port) in machine.listening(process.pid), "it listens", limit_s=60)
        finally:
            os.killpg(process.pid, 9)
    assert machine.listening(process.pid) == []
