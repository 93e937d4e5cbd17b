"""What keeps a container engine from its work, said by itself or by a program that asks it.

From messages of Docker, Docker Desktop and Podman.
"""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Rule

_ASKED = {"component": "^engine$"}
"""What is asked is the engine itself. Another program may say the same of something else."""

RULES: tuple[Rule, ...] = (
    Rule(
        "engine-permission",
        "This user may not use the container engine.",
        "Join the group docker, then log in anew.",
        'sudo usermod -aG docker "$(id -un)"',
        log=r"permission denied while trying to connect|dial unix \S+: connect: permission denied",
    ),
    Rule(
        "engine-down",
        "The container engine does not run.",
        "Start it.",
        "{start}",
        log=r"cannot connect to the docker daemon|is the docker daemon running|docker desktop is (not running|unable)"
        r"|(cannot|unable to) connect to podman",
    ),
    Rule(
        "engine-unreachable",
        "The container engine does not run.",
        "Start it.",
        "{start}",
        log=r"connection refused|no such file or directory|error during connect",
        where=_ASKED,
        code="engine-down",
    ),
    Rule(
        "engine-silent",
        "The container engine does not answer.",
        "Start it anew.",
        "{start}",
        errors=frozenset({"command-timeout"}),
        where=_ASKED,
        code="engine-down",
    ),
    Rule(
        "engine-missing",
        "There is no container engine on this machine.",
        "Install Docker (https://docs.docker.com/engine/install/) or Podman, or run the stack without containers.",
        "./create-cluster.sh --provider host",
        errors=frozenset({"command-missing"}),
        where=_ASKED,
    ),
    Rule(
        "engine-error",
        "The container engine answers with an error.",
        "See what it says.",
        "{engine} info",
        where=_ASKED,
    ),
)
