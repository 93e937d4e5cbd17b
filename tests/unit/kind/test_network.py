"""The network that kind makes on the engine: ours to remove only where we had kind make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.providers.kind.engine import Engine
from contextcore_install.providers.kind.owner import OwnerFile

DOCKER = """\
#!/bin/sh
echo "$*" >>{log}
[ "$2" != inspect ] || [ -e {there} ]
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    program = tmp_path / "docker"
    program.write_text(DOCKER.format(log=tmp_path / "log", there=tmp_path / "there"))
    program.chmod(0o755)
    return Engine(str(program), {"PATH": "/usr/bin:/bin"})


def test_a_network_is_there_or_not(engine: Engine, tmp_path: Path) -> None:
    assert not engine.has_network()
    (tmp_path / "there").touch()
    assert engine.has_network()


def test_a_network_is_removed_by_its_name(engine: Engine, tmp_path: Path) -> None:
    Engine(engine.name, {**engine.environ, "KIND_EXPERIMENTAL_DOCKER_NETWORK": "lab"}).remove_unused_network()
    engine.remove_unused_network()
    assert (tmp_path / "log").read_text().splitlines() == ["network rm lab", "network rm kind"]


@pytest.mark.parametrize("makes_network", [True, False])
def test_who_made_the_network_is_noted(tmp_path: Path, makes_network: bool) -> None:
    file = OwnerFile(tmp_path / "owner.json", "o11y-dev")
    file.finish(file.begin([1], "docker", makes_network=makes_network), [])
    owner = file.read()
    assert owner
    assert owner.made_network == makes_network
