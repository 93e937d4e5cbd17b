"""Hints name this program in one way, and every command in them is one that the program takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import contextcore_install
from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import PROGRAM, own

SOURCES = Path(contextcore_install.__file__).parent
VALUES = {
    "FILE": "/tmp/file",
    "--port": "grafana=3001",
    "--cluster": "demo",
    "--context": "there",
    "--platform": "linux/arm64",
    "--to": "preflight",
    "bundle": "list",
}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the words of each call of `own` in the sources, and where it is; what is not known before is made up."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "own":
                words: list[str] = []
                for word in node.args:
                    known = isinstance(word, ast.Constant) and "{" not in str(word.value)
                    made_up = VALUES.get(words[-1] if words else "", "/tmp/file")
                    words.append(str(word.value) if known and isinstance(word, ast.Constant) else made_up)
                if not any(isinstance(word, ast.Starred) for word in node.args) and node.args:
                    yield f"{path.relative_to(SOURCES)}:{node.lineno}", words


@pytest.mark.parametrize(
    ("place", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_in_a_hint_is_one_that_the_program_takes(place: str, words: list[str]) -> None:
    if "--help" not in words:
        parse(words, {}, PROGRAM)


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("rules/*.toml")), ids=lambda path: path.stem)
def test_the_commands_of_rules_are_such_too(path: Path) -> None:
    for command in re.findall(rf"{re.escape(PROGRAM)}((?: [^ '\"]+)*)", path.read_text(encoding="utf-8")):
        facts = {"port_key": "grafana", "title": "grafana", "free_port": 3001, "flags": "--workers 2"}
        filled = command.format(**facts, cluster="demo")
        if "--help" not in command:
            parse(filled.replace("=PORT", "=3001").split(), {}, PROGRAM)


def test_the_program_is_named_in_one_place() -> None:
    naming = [path for path in SOURCES.rglob("*.py") if "create-cluster.sh" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(SOURCES).as_posix() for path in naming] == ["core/errors.py"]


def test_what_a_shell_would_take_apart_is_quoted() -> None:
    assert own("restore", "my file") == "./create-cluster.sh restore 'my file'"
    assert own("restore", "x{a,b}") == "./create-cluster.sh restore 'x{a,b}'"
    assert own("--port", "{key}=PORT").format(key="grafana") == "./create-cluster.sh --port grafana=PORT"
