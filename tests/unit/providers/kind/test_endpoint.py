"""Where an engine's command leads, and when that is not this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.cluster import Owner
from contextcore_install.providers.kind.endpoint import EngineEndpoint, endpoint_of
from contextcore_install.providers.kind.engine import CHOICE, choose_engine, engine_answers


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which Docker knows three contexts, and uses Colima's, and Podman two connections."""
    docker = tmp_path / ".docker"
    hosts = {
        "colima": "unix:///Users/joe/.colima/default/docker.sock",
        "build": "ssh://joe@build.example",
        "cloud": "tcp://203.0.113.9:2376",
    }
    for name, host in hosts.items():
        meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        write(docker / "contexts" / "meta" / sha256(name.encode()).hexdigest() / "meta.json", meta)
    write(docker / "config.json", {"auths": {}, "currentContext": "colima"})
    connections = {
        "podman-machine-default": {"URI": "ssh://core@127.0.0.1:53495/run/user/501/podman/podman.sock"},
        "far": {"URI": "ssh://root@build.example:22/run/podman/podman.sock"},
    }
    known = {"Connection": {"Default": "podman-machine-default", "Connections": connections}, "Farm": {}}
    write(tmp_path / ".config" / "containers" / "podman-connections.json", known)
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "environ", "url", "remote"),
    [
        ("docker", {}, "unix:///Users/joe/.colima/default/docker.sock", ""),
        ("docker", {"DOCKER_CONTEXT": "default"}, "unix:///var/run/docker.sock", ""),
        ("docker", {"DOCKER_CONTEXT": "build"}, "ssh://joe@build.example", "build.example"),
        ("docker", {"DOCKER_CONTEXT": "cloud"}, "tcp://203.0.113.9:2376", "203.0.113.9"),
        ("docker", {"DOCKER_CONTEXT": "unknown"}, "", ""),
        ("docker", {"DOCKER_CONTEXT": "build", "DOCKER_HOST": "unix:///run/d.sock"}, "unix:///run/d.sock", ""),
        ("docker", {"DOCKER_HOST": "ssh://joe@build.example"}, "ssh://joe@build.example", "build.example"),
        ("docker", {"DOCKER_HOST": "tcp://127.0.0.1:2375"}, "tcp://127.0.0.1:2375", ""),
        ("docker", {"DOCKER_HOST": "tcp://localhost:2375"}, "tcp://localhost:2375", ""),
        ("docker", {"DOCKER_HOST": "203.0.113.9:2375"}, "tcp://203.0.113.9:2375", "203.0.113.9"),
        ("docker", {"DOCKER_HOST": "tcp://[2001:db8::9]:2375"}, "tcp://[2001:db8::9]:2375", "2001:db8::9"),
        ("docker", {"DOCKER_HOST": "tcp://[broken"}, "tcp://[broken", ""),
        ("podman", {}, "", ""),
        ("podman", {"CONTAINER_HOST": "ssh://root@build.example"}, "ssh://root@build.example", "build.example"),
        ("podman", {"CONTAINER_HOST": "unix:///run/podman.sock"}, "unix:///run/podman.sock", ""),
        (
            "podman",
            {"CONTAINER_CONNECTION": "far"},
            "ssh://root@build.example:22/run/podman/podman.sock",
            "build.example",
        ),
        ("nerdctl", {"DOCKER_HOST": "ssh://joe@build.example"}, "", ""),
    ],
)
def test_an_engine_is_remote_if_its_address_is_another_machines(
    home: Path, engine: str, environ: dict[str, str], url: str, remote: str
) -> None:
    found = endpoint_of(engine, {"HOME": str(home), **environ}, "linux")
    assert (found.url, found.remote_host) == (url, remote)
    assert not remote or (found.chosen_by and found.local)


def test_no_password_in_an_address_is_shown() -> None:
    assert EngineEndpoint("tcp://joe:secret@build.example:2376").shown == "tcp://build.example:2376"
    assert EngineEndpoint("unix:///run/d.sock").shown == "unix:///run/d.sock"
    assert "secret" not in endpoint_of("docker", {"DOCKER_HOST": "ssh://joe:secret@build.example"}).chosen_by


def test_podmans_machine_on_a_mac_is_on_this_machine(home: Path) -> None:
    found = endpoint_of("podman", {"HOME": str(home)}, "darwin")
    assert (found.chosen_by, found.remote_host) == ("the connection podman-machine-default", "")


def test_docker_config_says_where_contexts_are(home: Path, tmp_path: Path) -> None:
    environ = {"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker")}
    assert endpoint_of("docker", environ).chosen_by == "the context colima"


def test_files_that_are_no_dockers_choose_nothing(tmp_path: Path) -> None:
    for text in ("not json", "[]", '{"currentContext": 7}', "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        assert endpoint_of("docker", {"DOCKER_CONFIG": str(tmp_path)}).url.endswith("docker.sock")


def test_an_address_of_this_machine_is_no_other_machines() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address
        except OSError:
            pytest.skip("this machine has no route")
        own = probe.getsockname()[0]
    assert EngineEndpoint(f"tcp://{own}:2375").remote_host == ""


@pytest.mark.parametrize("owner", [None, Owner("abc", "demo", 0.0, (), ("id1",), complete=True, engine="docker")])
def test_a_remote_engine_is_asked_nothing(tmp_path: Path, owner: Owner | None) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    program.chmod(0o755)
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path), "DOCKER_HOST": "ssh://joe@build.example", CHOICE: "docker"}
    engine = choose_engine(environ, owner)
    with pytest.raises(InstallError, match=r"DOCKER_HOST leads to .* on build\.example") as caught:
        engine.nodes("demo")
    assert (caught.value.code, caught.value.hint) == ("engine-remote", "unset DOCKER_HOST")
    _, finding = engine.trouble()
    assert finding is not None
    assert finding.code == "engine-remote"
    assert not engine_answers(environ)
    assert not (tmp_path / "asked").exists()


def test_a_context_that_leads_away_is_left_with_dockers_own_command(home: Path) -> None:
    write(home / ".docker" / "config.json", {"currentContext": "cloud"})
    with pytest.raises(InstallError) as caught:
        choose_engine({"PATH": "", "HOME": str(home)}, None).nodes("demo")
    assert caught.value.hint == "docker context use default"


_LISTEN = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\nprint(flush=True); input()"
)


@pytest.mark.parametrize(("before", "elsewhere"), [((), False), (("unshare", "--net"), True)])
def test_an_engine_in_another_network_of_this_machine_is_elsewhere(
    tmp_path: Path, before: tuple[str, ...], *, elsewhere: bool
) -> None:
    path = tmp_path / "engine.sock"
    argv = [*before, sys.executable, "-c", _LISTEN, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            pytest.skip("no network of its own can be made here")
        assert EngineEndpoint(f"unix://{path}").in_another_network is elsewhere
        process.kill()
    assert not EngineEndpoint(f"unix://{path}").in_another_network, "it is not known where nobody listens"
