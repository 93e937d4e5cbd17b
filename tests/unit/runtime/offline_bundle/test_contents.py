"""What a bundle holds of the program and its libraries."""

from __future__ import annotations

import hashlib
import io
import tomllib
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import CancelToken
from contextcore_install.runtime.offline_bundle.contents import Releases, program_files, wheel_parts
from contextcore_install.system.packages.releases import Platform, Release, releases
from contextcore_install.system.programs import ToolBox
from kit.fakes import Told

ROOT = Path(__file__).parents[4]


def test_what_stands_beside_the_package_comes_with_an_installed_one_too() -> None:
    beside = {name for name in program_files() if not name.startswith(("src/", "docs/"))}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["force-include"] == {name: f"contextcore_install/launcher/{name}" for name in beside}


def test_no_bytecode_and_nothing_else_is_taken_from_a_checkout() -> None:
    taken = {name.removeprefix("src/contextcore_install/") for name in program_files() if name.startswith("src/")}
    package = ROOT / "src" / "contextcore_install"
    assert taken == {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_a_cancelled_download_of_wheels_ends(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel("told to end")
    with pytest.raises(CancelledError):
        wheel_parts(tmp_path / "lock", Platform("linux", "amd64"), tmp_path, Told(token).ctx)


class Unreachable:
    """A source that nothing comes from."""

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        raise InstallError("download-unreachable", "Upstream cannot be reached.")


@pytest.fixture
def kubectl(tmp_path: Path) -> Path:
    """A kubectl on PATH that says that it is the pinned one."""
    path = tmp_path / "path" / "kubectl"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\necho 'Client Version: v{releases()['kubectl'].version}'\n")
    path.chmod(0o755)
    return path


def get(tmp_path: Path, platform: Platform, digest: str, told: Told) -> bytes:
    box = ToolBox({"PATH": str(tmp_path / "path")}, tmp_path / "bin", tmp_path / "memory" / "tools.json")
    release = replace(releases()["kubectl"], digests={str(platform): digest} if digest else {})
    (part,) = Releases(Unreachable(), platform, tmp_path, box).parts("tool", release, told.ctx)
    sink = io.BytesIO()
    part.write(sink)
    return sink.getvalue()


def test_where_upstream_is_out_of_reach_the_very_same_tool_is_taken_from_here_and_said(
    tmp_path: Path, kubectl: Path
) -> None:
    digest = hashlib.sha256(kubectl.read_bytes()).hexdigest()
    for known in ("", digest):
        told = Told()
        assert get(tmp_path, Platform.here(), known, told) == kubectl.read_bytes()
        assert f"is taken from {kubectl} instead" in told.notices[0]
    assert kubectl.exists()


def test_another_file_or_platform_than_the_release_is_not_taken(tmp_path: Path, kubectl: Path) -> None:
    with pytest.raises(InstallError, match="Upstream cannot be reached") as caught:
        get(tmp_path, Platform.here(), "0" * 64, Told())
    assert "put upstream's kubectl" in caught.value.hint
    other = Platform("darwin" if Platform.here().system == "linux" else "linux", "arm64")
    with pytest.raises(InstallError) as caught:
        get(tmp_path, other, "", Told())
    assert caught.value.hint == "name a mirror of upstream with --mirror URL"
