"""StackPrograms that were fetched before, and are pinned in another version since."""

from __future__ import annotations

from pathlib import Path

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import StackPrograms
from contextcore_install.system.packages.releases import releases
from kit.fakes import Told

ASKED_NOW = frozenset({"install_tools"})


def programs(folder: Path, **versions: str) -> None:
    folder.mkdir()
    for name, version in versions.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{name}, version {version}'\n")
        path.chmod(0o755)


def missing(folder: Path, given_now: frozenset[str] = ASKED_NOW) -> StackPrograms:
    names = frozenset({"mimir", "loki", "tempo"})
    config = ProviderConfig(
        cluster="c",
        folder=folder,
        bin_folder=folder / "bin",
        environ={"PATH": f"{folder / 'path'}:/usr/bin:/bin"},
        install_tools=True,
        given_now=given_now,
        components=names,
        mirror="http://127.0.0.1:1",
    )
    return StackPrograms(config, Layout("c", folder / "host"))


def test_another_version_is_fetched_when_tools_are_asked_for_and_else_kept(tmp_path: Path) -> None:
    programs(tmp_path / "path", tempo="1.0.0")
    programs(tmp_path / "bin", mimir="1.0.0", loki="1.0.0")
    assert [item.name for item in missing(tmp_path).wanted()] == ["mimir", "loki"], "PATH's is the user's affair"
    assert missing(tmp_path, frozenset()).wanted() == []


def test_the_pinned_version_is_not_fetched_again(tmp_path: Path) -> None:
    programs(tmp_path / "bin", **{name: releases()[name].version for name in ("mimir", "loki", "tempo")})
    assert missing(tmp_path).wanted() == []


def test_what_cannot_be_updated_stays_as_it_is(tmp_path: Path) -> None:
    """Also the metrics store, without which there is no installation."""
    programs(tmp_path / "bin", mimir="1.0.0", loki="1.0.0", tempo=releases()["tempo"].version)
    wanted, told = missing(tmp_path), Told()
    wanted.fetch(told.ctx)
    what, _, why = told.notices[-1].partition(" (")
    assert what.startswith("not updated: mimir, loki; to have them later: ")
    assert what.endswith("--install-tools")
    assert why.startswith("the release mimir")
    assert why.endswith("; 1 more in its log)")
    assert ".;" not in why
    assert wanted.wanted() == []
    wanted.left_out.clear()
    assert wanted.wanted() == [], "what has just been tried is not wanted again, whatever it says of its version"
    assert {name: program.version for name, program in wanted.found().items()} == {
        "mimir": "1.0.0",
        "loki": "1.0.0",
        "tempo": releases()["tempo"].version,
    }
