"""Data that its program cannot read: left alone without consent, put aside with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.providers.host.provider import HostProvider
from kit.fakes import Told
from kit.host_world import World
from kit.stores import wait_until

SCRIPT = """#!/bin/sh
case "$1" in -version|--version|-v) echo "loki, version 3.7.6 (branch: HEAD, revision: 1)"; exit 0;; esac
[ -e "{folder}/garbage" ] && {{ echo "checksum mismatch"; exit 1; }}
exec "{real}" "$@"
"""


@pytest.mark.parametrize("consent", [False, True])
def test_damaged_data_is_put_aside_with_consent_only(tmp_path: Path, *, consent: bool) -> None:
    world = World(tmp_path / "world")
    try:
        world.has("victoria-metrics")
        world.stands_in("loki")
        real = (world.path / "loki").rename(world.folder / "loki-itself")
        folder = world.layout().data / "loki"
        world.script("loki", SCRIPT.format(folder=folder, real=real))
        world.install()
        world.kill("loki")
        (folder / "garbage").write_text("x")
        provider = world.provider()
        provider.start_workloads(Told().ctx)
        wait_until(lambda: not world.daemons().look("loki").alive, "it lives on")
        config = replace(provider._config, may_lose_data=consent)
        again = HostProvider(config, daemons=world.daemons())
        again.start_workloads(Told().ctx)
        aside = list(folder.parent.glob("loki.damaged-*/garbage"))
        assert bool(aside) is consent
        assert (folder / "garbage").exists() is not consent
    finally:
        world.close()
