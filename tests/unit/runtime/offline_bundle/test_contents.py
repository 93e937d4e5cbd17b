"""What a bundle holds of the program and its libraries."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError
from contextcore_install.runtime.offline_bundle.contents import program_files, wheel_parts
from contextcore_install.system.packages.releases import Platform
from kit.fakes import Told

ROOT = Path(__file__).parents[4]


def test_what_stands_beside_the_package_comes_with_an_installed_one_too() -> None:
    beside = {name for name in program_files() if not name.startswith("src/")}
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
