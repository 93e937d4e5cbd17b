"""Write docs/reference/diagnosis.md from the rules: `make reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from contextcore_install.diagnosis.rule import Rule, Subject, read_rules, rules_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "diagnosis.md"
_INTRODUCTION = """\
# Diagnosis

What this program recognises as wrong, and what heals it: one rule base, of data, that waiting, `--repair`, `verify` and
error messages share. A rule matches what was seen: states of pods and containers, events, exit codes, last log lines,
output of commands, HTTP answers, limits of the machine. Of a subject's rules **the first that matches counts**, so
specific rules come before general ones.

The rules are in `src/contextcore_install/diagnosis/rules/`, one TOML file per subject; `tests/unit/diagnosis/recorded/`
has for each what some program really printed. This page is generated from them by `make reference`.

- **rule**: its id. If the finding, the error or the JSON has another code, it is below the id.
- **what it means**: the message. Words in *italics* are filled in.
- **what heals it**: in words, and what to type. *Automatic*: `--repair` does it, or the next run; if only you can, the
  finding says so. *Waited for*: it heals by itself, and is no finding.
- **risk**: what the remedy may cost ([repair](repair.md#consent)). A *warning* blocks nothing.

To add one: a `[[rule]]` in the file of its subject, before the more general ones (`Rule` in
`src/contextcore_install/diagnosis/rule.py` documents its keys); what the program printed in `recorded/`;
`make reference`.
"""


class _Words(dict[str, str]):
    """Placeholders of messages: in italics, by their names unless these are not clear."""

    def __missing__(self, name: str) -> str:
        return f"*{name.replace('_', ' ')}*"


class _Capitals(dict[str, str]):
    """Placeholders of commands, which the reader fills in."""

    def __missing__(self, name: str) -> str:
        return name.upper()


_WORDS = _Words(
    argv="COMMAND",
    by=" by *whom*",
    code=" *(exit code)*",
    ending="*ended with an exit code or by a signal*",
    image_remedy="*Load it from the container engine into the nodes*, or have it where the nodes get theirs.",
    kubectl="kubectl",
    last="*its last line*",
    more="*where*",
    of_configuration=" of *its configuration*",
    said="*what it said*",
    said_by_kubectl="*what kubectl said*",
)
_CAPITALS = _Capitals(engine="docker", kubeadm="docker exec NODE kubeadm", kubectl="kubectl", uncordon="NODES")


def page() -> str:
    return "\n".join([_INTRODUCTION, *(line for subject in Subject for line in _section(subject))])


def _section(subject: Subject) -> Iterator[str]:
    written = read_rules(subject)
    yield f"## {written['title']}\n"
    yield f"{written['about']}\n"
    yield "| rule | what it means | what heals it | risk |"
    yield "|---|---|---|---|"
    for rule in rules_of(subject):
        cells = (_name(rule), _filled(rule.message), _remedy(rule), _risk(rule))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _name(rule: Rule) -> str:
    return f"`{rule.id}`" + (f"<br>`{rule.code}`" if rule.code != rule.id else "")


def _filled(text: str) -> str:
    return text.format_map(_WORDS)


def _remedy(rule: Rule) -> str:
    if rule.condition:
        return f"*Waited for*: {_filled(rule.condition)}"
    # The provider fills in a command that is one placeholder.
    command = "" if re.fullmatch(r"\{\w+\}", rule.command) else rule.command.format_map(_CAPITALS)
    parts = [_filled(rule.remedy), f"`{command}`" if command else "", "*Automatic.*" if rule.automatic else ""]
    return " ".join(part for part in parts if part)


def _risk(rule: Rule) -> str:
    return "" if rule.condition else rule.risk + (", warning" if rule.warning else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
