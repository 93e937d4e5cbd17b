"""The help of a subcommand offers the flags that mean something to it, and no other."""

from __future__ import annotations

import re

import pytest

from contextcore_install.cli.grammar import COMMANDS, FLAGS
from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import InstallError

SHARED = {
    "--cluster": "two",
    "--provider": "kind",
    "--port": "mimir=4000",
    "--workers": "1",
    "--node-image": "node",
    "--pull": "never",
    "--context": "far",
    "--manifests": "folder",
    "--registry": "mirror.example",
    "--components": "loki",
    "--memory": "2048",
    "--install-tools": "",
    "--skip-wait": "",
    "--timeout": "9m",
    "--yes": "",
    "--live": "",
    "--output": "json",
    "--tutorial": "",
    "--open": "",
    "--verbose": "",
}
NEEDED = {"report": ["-o", "file"], "restore": ["file"], "notify": ["show"], "state": ["get"], "completion": ["bash"]}


def is_taken(command: str, flag: str) -> bool:
    words = [flag, SHARED[flag]] if SHARED[flag] else [flag]
    try:
        parse([command, *NEEDED.get(command, []), *words], {}, "p")
    except InstallError as error:
        if error.message != f"{flag} cannot be combined with {command}":
            raise
        return False
    return True


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_offers_what_means_something_to_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"], {}, "p")
    shown = capsys.readouterr().out
    offered = set(re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)) & SHARED.keys()
    means_something = {flag for flag in SHARED if command in FLAGS[flag].commands}
    assert offered == means_something
    assert means_something <= {flag for flag in SHARED if is_taken(command, flag)}
    assert shown.count("\noptions:") == 1


def test_only_what_runs_commands_shows_what_they_print() -> None:
    assert FLAGS["--verbose"].commands & set(COMMANDS) == {*("restore", "rollback", "watch")}


def test_the_help_of_the_program_offers_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {}, "p")
    shown = capsys.readouterr().out
    assert [flag for flag in SHARED if f"  {flag}" not in shown] == []
    assert shown.index("p plan ") < shown.index("  --resume"), "a newcomer reads first what to begin with"
    assert [command for command in COMMANDS if f"    {command} " not in shown] == []
    variables = [flag.variable for flag in FLAGS.values() if flag.variable]
    assert [variable for variable in variables if f"(or {variable})" not in shown] == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("--bogus", ""), ("--stauts", "--status"), ("--verfy", "verify"), ("--cluter", "--cluster"), ("--valeu", "")),
        *(("--instal", "--install-tools"), ("--uninstal", "--uninstall"), ("--bundl", "--bundle"), ("--no", "")),
    ],
)
def test_a_mistyped_flag_is_compared_by_its_name(typed: str, meant: str) -> None:
    with pytest.raises(InstallError) as raised:
        parse([typed], {}, "p")
    offered = raised.value.message.partition("did you mean ")[2].rstrip("?")
    assert (offered, raised.value.hint) == (meant, "see ./create-cluster.sh --help")


def test_a_mistyped_flag_is_compared_with_those_of_its_command() -> None:
    with pytest.raises(InstallError, match=r"did you mean --install\?"):
        parse(["watch", "--instal"], {}, "p")
