"""Which product an engine is, and how that one is started."""

from __future__ import annotations

import shlex

import pytest

from contextcore_install.providers.kind.endpoint import Product, all_products, product_of

DOWN = "Cannot connect to the Docker daemon at unix://{}. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("told", "platform", "name", "start"),
    [
        # boldsoftware/sketch issue 19, abiosoft/colima issue 94
        (DOWN.format("/Users/joe/.colima/default/docker.sock"), "darwin", "Colima", "colima start default"),
        (DOWN.format("/Users/joe/.colima/docker.sock"), "darwin", "Colima", "colima start default"),
        (DOWN.format("/Users/joe/.colima/big/docker.sock"), "darwin", "Colima", "colima start big"),
        (DOWN.format("/home/joe/.config/colima/default/docker.sock"), "linux", "Colima", "colima start default"),
        # orbstack/orbstack issue 934
        (DOWN.format("/Users/joe/.orbstack/run/docker.sock"), "darwin", "OrbStack", "orb start"),
        # rancher-sandbox/rancher-desktop issue 2158
        ("unix:///Users/joe/.rd/docker.sock", "darwin", "Rancher Desktop", "rdctl start"),
        ("unix:///home/joe/.rd/docker.sock", "linux", "Rancher Desktop", "rdctl start"),
        # orbstack/orbstack issue 374
        (DOWN.format("/Users/joe/.docker/run/docker.sock"), "darwin", "Docker Desktop", "open -a Docker"),
        (
            "failed to connect to the docker API at unix:///home/joe/.docker/desktop/docker.sock; check if",
            "linux",
            "Docker Desktop",
            "systemctl --user start docker-desktop",
        ),
        (DOWN.format("/Users/joe/.lima/work/sock/docker.sock"), "darwin", "Lima", "limactl start work"),
        # mikeizbicki/cmc-csci143 issue 454
        (DOWN.format("/run/user/1351/docker.sock"), "linux", "The rootless Docker", "systemctl --user start docker"),
        (DOWN.format("/var/run/docker.sock"), "linux", "The container engine", "sudo systemctl start docker"),
    ],
)
def test_the_socket_names_the_product_and_how_it_is_started(told: str, platform: str, name: str, start: str) -> None:
    product = product_of("docker", [told], {"PATH": ""}, platform=platform)
    assert (product.name, product.start) == (name, start)


@pytest.mark.parametrize(
    ("system", "name"),
    [
        (("Docker Desktop", "docker-desktop"), "Docker Desktop"),
        (("OrbStack", "orbstack"), "OrbStack"),
        (("Ubuntu 24.04.2 LTS", "colima"), "Colima"),
        (("Alpine Linux v3.21", "lima-rancher-desktop"), "Rancher Desktop"),
        (("Rancher Desktop WSL Distribution", "host"), "Rancher Desktop"),
        (("Debian GNU/Linux 12 (bookworm)", "vm"), "The container engine"),
    ],
)
def test_an_engine_that_answers_names_its_product_itself(system: tuple[str, str], name: str) -> None:
    assert product_of("docker", ["unix:///var/run/docker.sock"], {}, system=system, platform="linux").name == name


def test_podman_is_a_machine_on_a_mac_only() -> None:
    assert product_of("podman", [], {}, platform="darwin").start == "podman machine start"
    assert product_of("podman", [], {}, platform="linux").start == "systemctl --user start podman.socket"


def test_docker_desktop_is_started_in_windows_from_within_it() -> None:
    product = product_of("docker", ["unix:///x"], {}, system=["Docker Desktop"], platform="linux", windows=True)
    assert "powershell.exe" in product.start
    assert ".wslconfig" in product.memory


@pytest.mark.parametrize("product", [pytest.param(product, id=key) for key, product in all_products().items()])
def test_every_products_commands_are_whole(product: Product) -> None:
    filled = product.filled("")
    for text in (filled.start, filled.restart, filled.trust):
        assert "{" not in text
        shlex.split(text)
    assert filled.start
    assert filled.memory
    assert filled.restart
