"""Which way an address is opened, by what the surroundings offer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from contextcore_install.system.page_server import open_in_browser, opener


@pytest.mark.parametrize(
    ("environ", "platform", "there"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "linux", False),
        ({"WSL_DISTRO_NAME": "Debian", "PATH": "/nowhere"}, "linux", False),
    ],
)
def test_a_browser_is_opened_only_where_one_can_be_shown(
    environ: Mapping[str, str], platform: str, there: bool
) -> None:
    assert (opener(environ, platform) is not None) == there


@pytest.mark.parametrize(("programs", "first"), [(["explorer.exe", "wslview"], "wslview"), (["explorer.exe"],) * 2])
def test_on_wsl_the_browser_is_that_of_windows(tmp_path: Path, programs: list[str], first: str | list[str]) -> None:
    for name in programs:
        (tmp_path / name).touch(mode=0o755)

    found = opener({"WSL_DISTRO_NAME": "Debian", "PATH": str(tmp_path)}, "linux")
    assert found == ([first] if isinstance(first, str) else first)


def test_no_address_is_made_where_nothing_can_open_it() -> None:
    def invitation() -> str:
        raise AssertionError

    assert not open_in_browser(invitation, {"PATH": ""})
