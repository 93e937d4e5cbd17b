"""What keeps a container engine from its work, said by itself or by a program that asks it.

From messages of Docker, Docker Desktop and Podman. `product`, `start` and `restart` are facts of the product that the
engine is: Colima is not started like Docker Desktop.
"""

from __future__ import annotations

from contextcore_install.core.hints import own
from contextcore_install.diagnosis.rule import Rule

START_IN_WINDOWS = "powershell.exe -Command \"Start-Process 'C:\\Program Files\\Docker\\Docker\\Docker Desktop.exe'\""
_ASKED = {"component": "^engine$"}
"""What is asked is the engine itself. Another program may say the same of something else."""

RULES: tuple[Rule, ...] = (
    Rule(
        "engine-context",
        "Docker's command has no context {context}.",
        "Choose one of those that `docker context ls` shows.",
        "{local}",
        log=r'context "(?P<context>[^"]+)"(: context not found| is not found on the file system)',
    ),
    Rule(
        "engine-version",
        "The command {engine} is too {how} for the engine that it asks.",
        "Update the one that is older; DOCKER_API_VERSION, if it is set, must be a version that both know.",
        "{engine} version",
        log=r"client version [\d.]+ is too (?P<how>old|new)",
    ),
    Rule(
        "engine-wsl",
        "Docker Desktop does not run, or shares no engine with this distribution of WSL.",
        "Start it; in its Settings, Resources, WSL integration, turn this distribution on.",
        START_IN_WINDOWS,
        log=r"could not be found in this WSL \d distro",
        code="engine-down",
    ),
    Rule(
        "engine-permission",
        "This user may not use the container engine.",
        "Join the group docker, then log in anew.",
        'sudo usermod -aG docker "$(id -un)"',
        log=r"permission denied while trying to connect|dial unix \S+: connect: permission denied",
    ),
    Rule(
        "engine-down",
        "{product} does not run.",
        "Start it.",
        "{start}",
        log=r"cannot connect to the docker daemon|is the docker daemon running|docker desktop is (not running|unable)"
        r"|(cannot|unable to) connect to podman|failed to connect to the docker api",
    ),
    Rule(
        "engine-missing",
        "There is no container engine on this machine.",
        "Install Docker (https://docs.docker.com/engine/install/) or Podman, or run the stack without containers.",
        own("--provider", "host"),
        errors=frozenset({"command-missing"}),
        where=_ASKED,
    ),
    Rule(
        "engine-unreachable",
        "{product} does not run.",
        "Start it.",
        "{start}",
        log=r"connection refused|no such file or directory|error during connect",
        where=_ASKED,
        code="engine-down",
    ),
    Rule(
        "engine-silent",
        "{product} does not answer.",
        "Start it anew.",
        "{restart}",
        errors=frozenset({"command-timeout"}),
        where=_ASKED,
        code="engine-down",
    ),
    Rule(
        "engine-error",
        "The container engine answers with an error.",
        "See what it says.",
        "{engine} info",
        where=_ASKED,
    ),
)
