"""What the pages for users say of the program is so: flags, commands, steps, exit codes, ports, findings, links."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from contextcore_install.cli.grammar import COMMANDS
from contextcore_install.cli.parser import build_parser
from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import ExitCode
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.stack.catalogue import PORTS
from dev import command_line_reference

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "contextcore_install"
DOCS, README = ROOT / "docs", ROOT / "README.md"
INSTALL, RECOVER = DOCS / "install.md", DOCS / "recover.md"
STEPS, FILES, COMMAND_LINE = (DOCS / "reference" / f"{name}.md" for name in ("steps", "files", "command-line"))
GUIDES = (README, INSTALL, DOCS / "operate.md", RECOVER, STEPS)
PAGES = sorted({README, *DOCS.rglob("*.md")})
OURS = ("./create-cluster.sh", "contextcore-install")
FOREIGN = frozenset(
    {
        *("colima", "contextcore", "curl", "docker", "kind", "kubectl", "limactl", "make", "mkdir", "orb", "pip"),
        *("podman", "rdctl", "sudo", "systemctl", "wsl", "wsl.exe"),
    }
)
"""Programs of others: the flags behind them are none of ours."""
PLACEHOLDERS = {"NAME": "demo", "STEP": "pods_ready", "COMPONENT=PORT": "grafana=3001", "PREFIX": "mirror"}
ENVIRONMENT = (
    *("CONTEXTCORE_HOME", "CONTEXTCORE_CLUSTER", "CONTEXTCORE_NO_BUNDLE", "CLUSTER_NAME"),
    *("K8S_MANIFESTS", "KIND_NODE_IMAGE"),
)

_CODE = re.compile(r"```.*?```|^ {4}.*?$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def snippets(page: Path) -> Iterator[str]:
    """Yield every single command or word that a page shows as code."""
    for found in _CODE.finditer(page.read_text(encoding="utf-8")):
        block = found[0].startswith("```")
        for line in found[0].splitlines()[1:-1] if block else [found[0].strip("` ")]:
            text = re.split(r"\s#\s", line)[0] if block or found[0].startswith(" ") else line
            yield from (part.strip() for part in re.split(r"&&|[;|&](?= |$)", text) if part.strip())


def own_commands(page: Path) -> list[str]:
    return [text for text in snippets(page) if text.startswith(OURS) and "[" not in text]


def flags_in(page: Path) -> set[str]:
    """Return the flags that a page gives as ours, in its text and in its code."""
    prose = _CODE.sub(" ", page.read_text(encoding="utf-8"))
    ours = [text for text in snippets(page) if text.split()[0] not in FOREIGN]
    return {flag for text in [prose, *ours] for flag in _FLAG.findall(text)}


def parser_flags() -> set[str]:
    parser = build_parser("./create-cluster.sh")
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices
    parsers = [parser, *commands.values()]
    strings = {string for each in parsers for action in each._actions for string in action.option_strings}
    return {string for string in strings if string.startswith("--")}


def table(page: Path, heading: str) -> Mapping[str, list[str]]:
    """Return the first table of a page under a heading: first cell -> the others."""
    text = page.read_text(encoding="utf-8")
    section = text.partition(f"\n{heading}\n")[2]
    assert section, f"there is no {heading}"
    lines = re.search(r"(?m)(?:^\|.*\n)+", section)
    assert lines is not None
    rows = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in lines[0].splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_flag_that_is_mentioned_exists(page: Path) -> None:
    assert flags_in(page) <= parser_flags()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_that_is_shown_is_one(page: Path) -> None:
    shown = own_commands(page)
    for text in shown:
        words = shlex.split(text.replace("./create-cluster.sh", "contextcore-install"))
        words = [re.split("^[0-9]*>", word)[0] for word in words[1:]]
        argv = [PLACEHOLDERS.get(word, word) for word in words if word]
        parse(argv, {}, "contextcore-install")
    assert shown


def test_the_page_of_the_command_line_is_the_one_that_the_parser_makes() -> None:
    assert COMMAND_LINE.read_text(encoding="utf-8") == command_line_reference.page()


def test_every_flag_and_command_is_on_the_page_of_the_command_line() -> None:
    text = COMMAND_LINE.read_text(encoding="utf-8")

    assert set(_FLAG.findall(text)) == parser_flags()
    assert [name for name in re.findall(r"(?m)^### `([a-z]+)`$", text) if name in COMMANDS] == list(COMMANDS)


def test_every_variable_of_the_program_is_in_the_table() -> None:
    told = {name for cell in table(FILES, "## Environment variables") for name in re.findall(r"`(\w+)`", cell)}

    assert told.issuperset(ENVIRONMENT)


def test_the_ports_are_those_of_the_components() -> None:
    told = {key.strip("`"): (int(cells[0]), cells[2] == "yes") for key, cells in table(INSTALL, "### Ports").items()}

    assert told == {key: (port.host, bool(port.node_port)) for key, port in PORTS.items()}


def test_each_step_has_its_section_in_order() -> None:
    assert re.findall(r"(?m)^## `(\w+)`$", STEPS.read_text(encoding="utf-8")) == list(STEP_IDS)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_no_step_is_named_that_does_not_exist(page: Path) -> None:
    first_words = "|".join({step.partition("_")[0] for step in STEP_IDS if "_" in step})
    named = re.findall(rf"\b(?:{first_words})_[a-z]+\b", page.read_text(encoding="utf-8"))

    assert set(named) <= set(STEP_IDS)


def test_the_exit_codes_are_those_of_the_program() -> None:
    told = {int(code): cells[0].strip("`") for code, cells in table(INSTALL, "## In CI and scripts").items()}

    assert told == {int(code): code.name for code in ExitCode}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_no_other_exit_code_is_named(page: Path) -> None:
    named = re.findall(r"exit code (\d+)", page.read_text(encoding="utf-8"))

    assert {int(code) for code in named} <= {int(code) for code in ExitCode}


@pytest.mark.parametrize("heading", ["### The machine", "### The cluster", "### Manifests, pods and services"])
def test_every_code_of_a_finding_is_one_of_the_program(heading: str) -> None:
    files = [path for kind in ("py", "toml") for path in (ROOT / "src").rglob(f"*.{kind}")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files)
    # Of a code that is put together at run time (`{tool.name}-{code}`, `cluster-{state}`) the end or the beginning.
    for code in re.findall(r"`([a-z0-9-]+)`", " ".join(table(RECOVER, heading))):
        beginning, _, end = code.partition("-")
        of_a_tool = 'f"{tool.name}-{code}"' in sources and re.search(rf'code, evidence.* = "{end}", ', sources)
        assert of_a_tool or f'"{code}"' in sources or f'"{beginning}-{{' in sources, code


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|sh|toml|yaml|lock))", page.read_text(encoding="utf-8"))

    assert [path for path in named if not any((base / path).exists() for base in (ROOT, SOURCES))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
