"""Flags that make sense only somewhere: each does somewhere, and there it is taken."""

from __future__ import annotations

import pytest

from contextcore_install.cli.grammar import ARGUMENTS, COMMANDS, FLAGS, MODES, TABLE
from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.tables import read_table

RESTRICTED = {
    "--live": ["--status", "--live"],
    "--tutorial": ["--resume", "--tutorial"],
    "--allow-data-loss": ["--repair", "--allow-data-loss", "--cluster", "demo"],
    "--open": ["--repair", "--open"],
    "--skip-wait": ["--resume", "--skip-wait"],
    "--install-tools": ["--repair", "--install-tools"],
    "--components": ["plan", "--components", "loki"],
    "--memory": ["--resume", "--memory", "2048"],
    "--port": ["--resume", "--port", "mimir=19009"],
    "--timeout": ["--repair", "--timeout", "600"],
    "--provider": ["--resume", "--provider", "host"],
    "--workers": ["--workers", "2"],
    "--node-image": ["plan", "--node-image", "node"],
    "--context": ["--resume", "--context", "far"],
    "--manifests": ["plan", "--manifests", "folder"],
    "--registry": ["--repair", "--registry", "mirror.example"],
    "--mirror": ["plan", "--mirror", "https://mirror.example/releases"],
    "--bundle-key": ["plan", "--bundle", "stack.tar", "--bundle-key", "minisign.pub"],
    "--bundle": ["--resume", "--bundle", "stack.tar"],
    "--pull": ["--repair", "--pull", "never"],
}
"""The name of each in the grammar, and a command line that it is for."""


def test_every_restricted_flag_is_tried_here() -> None:
    assert {name for name, flag in FLAGS.items() if not flag.tolerated} == RESTRICTED.keys()


def test_flags_name_only_commands_and_actions_that_there_are() -> None:
    left_out = {name for row in read_table(TABLE)["flags"] for name in row.get("all_but", ())}
    assert left_out.union(*(flag.commands for flag in FLAGS.values())) <= {"install", *MODES, *COMMANDS}
    for action, *others in filter(None, ARGUMENTS.values()):
        assert {name for argument in others for name in argument.actions} <= set(action.value)


@pytest.mark.parametrize("words", RESTRICTED.values(), ids=RESTRICTED)
def test_a_flag_is_taken_where_it_makes_sense(words: list[str]) -> None:
    parse(words, {}, "contextcore-install")


@pytest.mark.parametrize(
    "text", ["https://joe:MARK@mirror.example", "ftp://mirror/MARK", "mirror/MARK", "https://a/?k=MARK", "http://[MARK"]
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_mirror_with_credentials_is_refused_and_not_repeated(text: str, by_variable: bool) -> None:
    words, environ = ([], {"CONTEXTCORE_MIRROR": text}) if by_variable else (["--mirror", text], {})
    with pytest.raises(InstallError, match="a URL without credentials") as caught:
        parse(words, environ, "contextcore-install")
    assert caught.value.exit_code == ExitCode.USAGE
    assert "MARK" not in str(caught.value.as_document())


def test_a_mirror_is_an_option_of_every_provider() -> None:
    given = parse(["--mirror", "http://mirror.example:8081/a/"], {"CONTEXTCORE_MIRROR": "https://b"}, "p")
    assert given.options["mirror"] == "http://mirror.example:8081/a"
    assert given.environment_options["mirror"] == "https://b"
    assert ("--mirror", "http://mirror.example:8081/a") in given.given_flags


@pytest.mark.parametrize(
    "words",
    [
        ["--status"],
        ["verify"],
        ["delete"],
        ["--resume", "--mirror", "https://b"],
        ["--bundle", "stack.tar"],
        ["bundle", "verify", "stack.tar"],
        ["bundle", "list", "stack.tar"],
    ],
)
def test_a_mirror_that_is_not_used_may_be_wrong(words: list[str]) -> None:
    assert parse(words, {"CONTEXTCORE_MIRROR": "mirror"}, "p").environment_options == {}


@pytest.mark.parametrize(
    "words", [[], ["plan"], ["bundle"], ["bundle", "make"], ["watch"], ["restore", "backup.tar.gz"]]
)
def test_a_mirror_to_download_from_may_not_be_wrong(words: list[str]) -> None:
    with pytest.raises(InstallError, match=r"^CONTEXTCORE_MIRROR: it is a URL without credentials"):
        parse(words, {"CONTEXTCORE_MIRROR": "mirror"}, "p")


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["notify", "show", "--file", "x"], "it belongs to notify set;"),
        (["bundle", "make", "-o", "x", "--public-key", "k"], "it belongs to bundle verify;"),
        (["bundle", "make", "x"], "it belongs to bundle verify and list;"),
    ],
)
def test_a_flag_of_another_action_is_refused_with_where_it_belongs(words: list[str], where: str) -> None:
    with pytest.raises(InstallError, match=f"cannot be combined with {words[0]} {words[1]}$") as caught:
        parse(words, {}, "p")
    assert caught.value.hint == f"{where} see ./create-cluster.sh {words[0]} --help"
