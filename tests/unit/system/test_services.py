"""Service files as the managers want them, and what the managers are told; the programs are stand-ins."""

from __future__ import annotations

import errno
import os
import plistlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system import services
from contextcore_install.system.services import Launchd, Manager, Service, SystemdUser, manager_of
from kit.fakes import Told

PROGRAM = """\
#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in
*show-environment*|"print gui/"[0-9]*) [ ! -e {folder}/silent ] || {{ echo "Failed to connect to bus" >&2; exit 1; }};;
esac
case "$*" in
*is-active*|"print gui/"*/*) [ -e {folder}/runs ];;
*restart*|*bootstrap*) touch {folder}/runs;;
*disable*|*bootout*) rm -f {folder}/runs;;
esac
"""
SERVICE = Service(
    "contextcore-install-watch-dev",
    "Heals dev, 100% of it",
    ("/opt/a b/$HOME/create-cluster.sh", "watch", '--say="x"'),
    {"PATH": "/usr/bin:/bin", "NOTE": "50% \\ of $HOME"},
)


class World:
    def __init__(self, folder: Path, platform: str) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        for name in ("systemctl", "launchctl"):
            (folder / "bin" / name).write_text(PROGRAM.format(folder=folder))
            (folder / "bin" / name).chmod(0o755)
        environ = {"HOME": str(folder / "home"), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
        self.manager: Manager = manager_of(environ, platform)

    def asked(self) -> list[str]:
        path = self.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture(params=["linux", "darwin"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, request.param)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")  # where the programs are looked for
    return made


def test_a_service_is_installed_once_and_again_when_it_changed(world: World) -> None:
    manager, path = world.manager, world.manager.path(SERVICE.name)
    assert manager.install(SERVICE, Told().ctx)
    assert path.read_text() == manager.content(SERVICE)
    assert not stat.S_IMODE(path.stat().st_mode) & 0o033
    told = world.asked()
    assert [line for line in told if "enable" in line or "bootstrap" in line]
    assert not manager.install(SERVICE, Told().ctx)
    assert not [line for line in world.asked() if "enable" in line or "bootstrap" in line]
    changed = Service(SERVICE.name, "x", ("/bin/true",))
    assert manager.install(changed, Told().ctx)
    assert path.read_text() == manager.content(changed)


def test_a_service_is_taken_away_and_that_can_be_repeated(world: World) -> None:
    world.manager.install(SERVICE, Told().ctx)
    world.asked()
    assert world.manager.uninstall(SERVICE.name, Told().ctx)
    assert not world.manager.path(SERVICE.name).exists()
    assert not (world.folder / "runs").exists()
    assert not world.manager.uninstall(SERVICE.name, Told().ctx)


def test_a_manager_that_does_not_answer_is_said_so_and_nothing_is_written(world: World) -> None:
    (world.folder / "silent").touch()
    with pytest.raises(InstallError) as caught:
        world.manager.install(SERVICE, Told().ctx)
    assert caught.value.code == "no-service-manager"
    assert "./create-cluster.sh watch" in caught.value.hint
    assert not world.manager.path(SERVICE.name).exists()


def test_a_file_that_cannot_be_written_is_said_and_its_place_is_not_taken_for_our_home(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), ".temporary.new")

    monkeypatch.setattr(services, "write_atomically", refuse)
    with pytest.raises(InstallError) as caught:
        world.manager.install(SERVICE, Told().ctx)
    path = world.manager.path(SERVICE.name)
    assert caught.value.code == "folder-unwritable"
    assert caught.value.message == f"{path} cannot be written: Read-only file system."
    assert caught.value.hint == f"df -h {path.parent}; ls -ld {path.parent}"


def test_the_agent_is_a_property_list() -> None:
    document = plistlib.loads(Launchd({"HOME": "/Users/x"}).content(SERVICE).encode())
    assert tuple(document["ProgramArguments"]) == SERVICE.argv
    assert document["EnvironmentVariables"] == SERVICE.environ
    assert (document["Label"], document["AbandonProcessGroup"]) == (SERVICE.name, True)


def test_the_unit_leaves_alone_what_it_started_and_does_not_insist() -> None:
    lines = SystemdUser({"HOME": "/home/x"}).content(SERVICE).splitlines()
    assert "KillMode=process" in lines
    assert "RestartPreventExitStatus=1 2 3 4 130" in lines
    assert 'ExecStart="/opt/a b/$$HOME/create-cluster.sh" "watch" "--say=\\"x\\""' in lines
    assert 'Environment="NOTE=50%% \\\\ of $HOME"' in lines


def test_what_would_begin_another_line_is_refused() -> None:
    with pytest.raises(InstallError):
        SystemdUser({"HOME": "/home/x"}).content(Service("a", "b", ("x\nExecStart=/bin/rm",)))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "contextcore-install-watch-dev.service"
    service = Service(unit.stem, "Heals dev, 100% of it", ("/bin/true", "a b", "$x"), SERVICE.environ)
    good = SystemdUser({"HOME": "/home/x"}).content(service)
    assert not complaints(unit, good)
    assert complaints(unit, good.replace("/bin/true", "true/of/nothing"))


def complaints(unit: Path, content: str) -> list[str]:
    unit.write_text(content)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env={"XDG_RUNTIME_DIR": str(unit.parent), "HOME": str(unit.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stderr.splitlines() if unit.name in line]
