"""Which container engine it is: the one in which the cluster was made, whatever else answers today."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.kind.cluster import OwnerFile, owner_file
from contextcore_install.providers.kind.engine import CHOICE, choose_engine
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.providers.kind.provider import create, recollect

NODE = Node("id1", "demo-control-plane", "control-plane", "running", "", "", "image", {})
DOWN = "echo Cannot connect to the Docker daemon >&2; exit 1"


@pytest.fixture
def config(tmp_path: Path) -> ProviderConfig:
    """A machine on which Docker is down, and Podman answers that there are no containers."""
    for name, answer in (("docker", DOWN), ("podman", "true")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{answer}\n")
        program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}
    return ProviderConfig("demo", tmp_path / "demo", tmp_path / "home" / "bin", environ)


@pytest.fixture
def note(config: ProviderConfig) -> OwnerFile:
    """The note of a cluster that was made in Docker."""
    file = owner_file(config)
    file.finish(file.begin([3000], "docker"), [NODE])
    return file


def test_without_a_note_the_one_that_answers_is_chosen(config: ProviderConfig) -> None:
    engine = choose_engine(config.environ, None)
    assert (engine.name, engine.environ[CHOICE]) == ("podman", "podman")


def test_a_note_of_before_chooses_none(config: ProviderConfig, note: OwnerFile) -> None:
    path = config.folder / "kind" / "owner.json"
    document = json.loads(path.read_text())
    del document["engine"]
    path.write_text(json.dumps(document))
    owner = note.read()
    assert owner
    assert owner.complete
    assert choose_engine(config.environ, owner).name == "podman"
    note.made_in("docker", "", "")
    assert choose_engine(config.environ, note.read()).name == "docker"


def test_no_other_engine_stands_in_for_the_one_that_has_the_cluster(config: ProviderConfig, note: OwnerFile) -> None:
    for ask in (create(config).cluster, lambda: recollect(config)):
        with pytest.raises(InstallError) as caught:
            ask()
        assert caught.value.code == "engine-down"
    assert choose_engine(config.environ, note.read()).environ[CHOICE] == "docker"


def test_another_one_that_is_asked_for_contradicts(config: ProviderConfig, note: OwnerFile) -> None:
    engine = choose_engine({**config.environ, CHOICE: "podman"}, note.read())
    with pytest.raises(InstallError, match=r"was made in docker, and .* asks for podman") as caught:
        engine.nodes("demo")
    _, finding = engine.trouble()
    assert finding
    assert finding.code == caught.value.code == "engine-contradicts"
    assert choose_engine({**config.environ, CHOICE: "docker"}, note.read()).trouble()[1] != finding


def test_the_note_of_a_whole_cluster_is_overwritten_only_in_its_own_engine(note: OwnerFile) -> None:
    before = note.read()
    with pytest.raises(InstallError) as caught:
        note.begin([3000], "podman")
    assert caught.value.code == "cluster-elsewhere"
    assert note.read() == before
    again = note.begin([3000], "docker")  # it was removed by hand there
    assert not again.complete
    assert note.begin([3000], "podman").engine == "podman"


def an_engine(folder: Path, identity: str, nodes: str = "") -> dict[str, str]:
    """Have `docker` lead to an engine of some identity, whose containers have some ids."""
    folder.mkdir(exist_ok=True)
    program = folder / "docker"
    program.write_text(
        f"#!/bin/sh\ncase $1 in info) echo {shlex.quote(identity)};; *) echo {shlex.quote(nodes)};; esac\n"
    )
    program.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder), "DOCKER_HOST": f"unix://{folder}/docker.sock"}


def test_a_cluster_is_not_gone_if_another_engine_does_not_know_it(config: ProviderConfig, note: OwnerFile) -> None:
    """Docker's context leads to Docker Desktop today and to Colima tomorrow: both are `docker`."""
    made = an_engine(config.folder.parent / "desktop", "AAAA:1")
    note.made_in("docker", choose_engine(made, None).endpoint.shown, choose_engine(made, None).identity())
    other = an_engine(config.folder.parent / "colima", "BBBB:2")
    with pytest.raises(InstallError) as caught:
        create(replace(config, environ=other)).cluster()
    assert caught.value.code == "engine-contradicts"
    assert caught.value.hint == f"export DOCKER_HOST={made['DOCKER_HOST']}"
    with pytest.raises(InstallError, match="leads to another one"):
        recollect(replace(config, environ=other))


def test_a_cluster_is_gone_if_its_own_engine_does_not_know_it(config: ProviderConfig, note: OwnerFile) -> None:
    made = an_engine(config.folder.parent / "desktop", "AAAA:1")
    note.made_in("docker", made["DOCKER_HOST"], "AAAA:1")
    assert recollect(replace(config, environ=made)) is None
    note.made_in("docker", made["DOCKER_HOST"], "reset since")
    assert recollect(replace(config, environ=made)) is None
    note.made_in("docker", "unix:///moved.sock", "AAAA:1")
    assert recollect(replace(config, environ=made)) is None


def test_an_engine_that_does_not_say_who_it_is_changes_no_note(note: OwnerFile) -> None:
    note.made_in("docker", "unix:///a.sock", "AAAA:1")
    before = note.read()
    note.made_in("docker", "unix:///b.sock", "")
    assert note.read() == before
