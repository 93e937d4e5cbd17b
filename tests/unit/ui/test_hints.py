"""A hint is a command of this invocation: with the flags and variables given, quoted, wherever it stands in a text."""

from __future__ import annotations

import shlex
from io import StringIO
from pathlib import Path

import pytest

from contextcore_install.cli.settings import parse
from contextcore_install.runtime.app import App
from contextcore_install.storage.home import Home
from contextcore_install.ui.hints import GIVEN_AGAIN, Commands, commands_in, hint_lines, is_command
from contextcore_install.ui.style import Style
from kit.fakes import RealClock

HOST = Commands("p", "demo", flags=(("--provider", "host"), ("--port", "mimir=21030"), ("--install-tools", "")))
KIND = Commands("p", "demo", flags=(("--provider", "kind"), ("--workers", "2"), ("--registry", "mirror:5000/hub")))


def commands_of(*words: str, **environ: str) -> Commands:
    """Return the commands of an invocation with these words and variables."""
    folder = Path(environ.get("CONTEXTCORE_HOME", "/home/a/.contextcore"))
    settings = parse(words, environ, "./create-cluster.sh")
    surroundings = {"HOME": "/home/a", **environ}
    return App(settings, surroundings, Home(folder), StringIO(), StringIO(), StringIO(), RealClock()).commands


@pytest.mark.parametrize(
    ("commands", "hint", "typed"),
    [
        (HOST, "./create-cluster.sh", "p --provider host --port mimir=21030 --install-tools --cluster demo"),
        (
            HOST,
            "./create-cluster.sh --resume --port mimir=21031",
            "p --resume --port mimir=21031 --provider host --install-tools --cluster demo",
        ),
        (HOST, "./create-cluster.sh logs pods_ready", "p logs pods_ready --cluster demo"),
        (HOST, "./create-cluster.sh delete", "p delete --cluster demo"),
        (
            HOST,
            "put it on PATH, then: ./create-cluster.sh --resume",
            "put it on PATH, then: p --resume --provider host --port mimir=21030 --install-tools --cluster demo",
        ),
        (HOST, "(./create-cluster.sh --status --live shows it)", "(p --status --live --cluster demo shows it)"),
        (HOST, "see ./create-cluster.sh plan --help", "see p plan --help"),
        (HOST, "`./create-cluster.sh logs` shows what it does", "`p logs --cluster demo` shows what it does"),
        (HOST, "./create-cluster.sh clusters", "p clusters"),
        (KIND, "./create-cluster.sh --provider host", "p --provider host --cluster demo"),
        (
            KIND,
            "./create-cluster.sh plan",
            "p plan --provider kind --workers 2 --registry mirror:5000/hub --cluster demo",
        ),
        (
            Commands("p", "demo", variables={"CONTEXTCORE_HOME": "/tmp/it's"}),
            "./create-cluster.sh restore 'a b.tar.gz' --yes",
            "CONTEXTCORE_HOME='/tmp/it'\"'\"'s' p restore 'a b.tar.gz' --yes --cluster demo",
        ),
        (
            Commands("p", "demo", option_variables={"--manifests": ("K8S_MANIFESTS", "/k")}),
            "./create-cluster.sh",
            "K8S_MANIFESTS=/k p --cluster demo",
        ),
        (
            Commands("p", "demo", option_variables={"--manifests": ("K8S_MANIFESTS", "/k")}),
            "./create-cluster.sh --status",
            "p --status --cluster demo",
        ),
    ],
)
def test_a_command_carries_what_was_given_and_what_it_takes(commands: Commands, hint: str, typed: str) -> None:
    assert commands.typed(hint) == typed


FROM_BUNDLE = Commands("p", "demo", flags=(("--bundle", "/m/stack.tar"), ("--bundle-key", "k")))
NOTED = Commands("p", "demo", bundle=lambda: "/m/a b.tar")
FETCHED = Commands("p", "demo", flags=(("--install-tools", ""),), bundle=lambda: "/m/stack.tar")


@pytest.mark.parametrize(
    ("commands", "hint", "typed"),
    [
        (FROM_BUNDLE, "./create-cluster.sh --install-tools", "p --bundle /m/stack.tar --bundle-key k --cluster demo"),
        (NOTED, "./create-cluster.sh --install-tools", "p --bundle '/m/a b.tar' --cluster demo"),
        (NOTED, "./create-cluster.sh --resume", "p --resume --cluster demo"),
        (FETCHED, "./create-cluster.sh --install-tools", "p --install-tools --cluster demo"),
        (FETCHED.on_record(), "./create-cluster.sh --install-tools", "p --bundle /m/stack.tar --cluster demo"),
        (Commands("p"), "./create-cluster.sh --install-tools", "p --install-tools"),
    ],
)
def test_tools_come_from_the_bundle_that_they_came_from(commands: Commands, hint: str, typed: str) -> None:
    assert commands.typed(hint) == typed
    assert commands.typed(typed) == typed


@pytest.mark.parametrize("program", ["./create-cluster.sh", "/tmp/it's/create-cluster.sh", "contextcore-install"])
@pytest.mark.parametrize(
    "hint", ["./create-cluster.sh", "then: ./create-cluster.sh --resume", "./create-cluster.sh logs, or look there"]
)
def test_typing_it_twice_changes_nothing_more(program: str, hint: str) -> None:
    variables = {"CONTEXTCORE_HOME": "/a home/of 'mine'"}
    commands = Commands(program, "demo", flags=HOST.flags, variables=variables)
    once = commands.typed(hint)
    assert commands.typed(once) == once
    assert shlex.quote(program) in once


@pytest.mark.parametrize(
    "text",
    [
        "create-cluster.sh: Python 3.11 or newer is needed",
        "the field manager contextcore-install owns it",
        "kubectl apply --server-side --field-manager=contextcore-install -f -",
        "/usr/lib/create-cluster.sh.old is not ours",
    ],
)
def test_the_name_of_the_program_is_no_command(text: str) -> None:
    assert list(commands_in(text)) == []
    assert Commands("p", "demo").typed(text) == text


def test_a_recorded_command_is_typed_as_it_would_be_here() -> None:
    recorded = "CONTEXTCORE_HOME=/there /there/create-cluster.sh --resume --cluster demo"
    here = Commands("contextcore-install", "demo", variables={"CONTEXTCORE_HOME": "/here"})
    assert here.typed(recorded) == "CONTEXTCORE_HOME=/here contextcore-install --resume --cluster demo"


def test_what_is_on_record_is_not_repeated() -> None:
    given = Commands("p", "demo", flags=(*HOST.flags, *KIND.flags), variables={"CONTEXTCORE_HOME": "/here"})
    assert given.on_record()("--repair") == ("CONTEXTCORE_HOME=/here p --repair --cluster demo")
    assert given.on_record(GIVEN_AGAIN)("--resume").endswith("p --resume --install-tools --cluster demo")


def test_a_placeholder_for_a_port_becomes_one_that_is_free() -> None:
    hint = "./create-cluster.sh --resume --port mimir=PORT"
    here = Commands("p", free_port=lambda key: {"mimir": 10_009}.get(key, 0))
    assert here.typed(hint) == "p --resume --port mimir=10009"
    assert here.typed("p --port other=PORT") == "p --port other=PORT"
    found = commands_of("--resume", "--port", "mimir=9009").typed(hint).split()[-1]
    parse(["--resume", "--port", found], {}, "p")
    assert found != "mimir=9009"


def test_an_invocation_hands_on_its_flags_and_variables() -> None:
    typed = commands_of("--provider", "host", "--port", "mimir=21030", "--install-tools")("--resume")
    assert typed == "./create-cluster.sh --resume --provider host --port mimir=21030 --install-tools"
    assert commands_of("plan", "--pull", "never")() == "./create-cluster.sh --pull never"
    assert commands_of(CLUSTER_NAME="demo")("verify") == "./create-cluster.sh verify --cluster demo"
    both = commands_of("--status", CONTEXTCORE_HOME="/tmp/a b", KIND_NODE_IMAGE="node:1")
    assert both("--status") == "CONTEXTCORE_HOME='/tmp/a b' ./create-cluster.sh --status"
    assert both() == "CONTEXTCORE_HOME='/tmp/a b' KIND_NODE_IMAGE=node:1 ./create-cluster.sh"
    usual = commands_of("--status", CONTEXTCORE_HOME="/home/a/.contextcore")
    assert usual("--status") == "./create-cluster.sh --status"
    named = commands_of("--status", "--cluster", "o11y-dev", CONTEXTCORE_CLUSTER="demo")
    assert named("--status") == "./create-cluster.sh --status --cluster o11y-dev"


KUBE, DOCKER = "/work/kube.yaml", "unix:///run/user/7/docker.sock"
WAYS = {"KUBECONFIG": KUBE, "DOCKER_HOST": DOCKER}


@pytest.mark.parametrize(
    ("words", "environ", "lead"),
    [
        (["--provider", "kind"], WAYS, f"KUBECONFIG={KUBE} DOCKER_HOST={DOCKER} "),
        (["--provider", "kube-context"], WAYS, f"KUBECONFIG={KUBE} "),
        (["--provider", "host"], WAYS, ""),
        ([], WAYS, f"KUBECONFIG={KUBE} DOCKER_HOST={DOCKER} "),
        ([], {"KUBECONFIG": "/home/a/.kube/config", "DOCKER_HOST": "unix:///var/run/docker.sock"}, ""),
        ([], {"KUBECONFIG": "", "DOCKER_HOST": "tcp://127.0.0.1:2375"}, "DOCKER_HOST=tcp://127.0.0.1:2375 "),
        ([], {"DOCKER_HOST": "tcp://joe:secret@build:2376"}, ""),
    ],
)
def test_a_command_leads_to_the_cluster_and_the_engine_that_this_one_does(
    words: list[str], environ: dict[str, str], lead: str
) -> None:
    commands = commands_of(*words, **environ).on_record()
    assert commands("--resume") == f"{lead}./create-cluster.sh --resume"
    assert commands("--status", "--live") == f"{lead}./create-cluster.sh --status --live"
    assert commands("logs", "pods_ready") == "./create-cluster.sh logs pods_ready"
    assert commands.typed(commands("--resume")) == commands("--resume")


def test_the_files_of_an_installation_say_what_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "clusters" / "o11y-dev" / "host").mkdir(parents=True)
    typed = commands_of(CONTEXTCORE_HOME=str(tmp_path), **WAYS)("--resume")
    assert typed == f"CONTEXTCORE_HOME={tmp_path} ./create-cluster.sh --resume"


def test_what_is_typed_means_the_same_to_the_program() -> None:
    words = ["plan", "--provider", "kind", "--workers", "2", "--port", "grafana=3001", "--cluster", "demo"]
    typed = shlex.split(commands_of(*words)())
    settings = parse(typed[1:], {}, typed[0])
    assert (settings.provider, settings.options, settings.ports, settings.cluster) == (
        ("kind", {"workers": 2}, {"grafana": 3001}, "demo")
    )


def test_a_command_that_does_not_fit_behind_its_sentence_has_a_line_of_its_own() -> None:
    commands = Commands("contextcore-install", "demo", flags=HOST.flags)
    style = Style(40, typed=commands.typed)
    lines = hint_lines(style, "put it on PATH, then: ./create-cluster.sh --resume")
    assert lines == ["  put it on PATH, then:", "  " + commands("--resume")]


def test_a_quoted_program_begins_a_command() -> None:
    assert is_command("'/tmp/my folder/create-cluster.sh' --resume")
    assert not is_command("'/tmp/my folder/create-cluster.sh' --resume carries on")
