"""Rules, and the subjects that they are about: rules/SUBJECT.toml has those of a subject, in the order of matching."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.findings import Risk
from contextcore_install.core.tables import read_table

FOLDER = Path(__file__).parent / "rules"


class Subject(StrEnum):
    """What rules are about."""

    MACHINE = "machine"
    ENGINE = "engine"
    KIND = "kind"
    PULL = "pull"
    LOAD = "load"
    CLUSTER = "cluster"
    NODE = "node"
    KUBECTL = "kubectl"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"
    CLAIM = "claim"
    POD = "pod"
    PROCESS = "process"
    HTTP = "http"
    SERVICE = "service"
    SYSTEM = "system"


Condition = str | tuple[str, ...] | Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause: what shows it, what it means for the user, what heals it, and what that may cost.

    **Conditions.** `when` maps names to what they must be: a regular expression that is found in them, case-insensitive
    (a string), one of several exact values (a list), or a smaller number (`NAME.below`, a number or a fact's name).
    The names are those of `Evidence`: `component`, `log` (its lines), `exit_code`, `reason`, `message`, `error`,
    `http_status`, and its facts. All conditions must hold; without any, a rule matches whatever those before it leave.

    **Texts.** `message`, `remedy`, `command` and `condition` have facts and the named groups of patterns (all that
    differ, joined by "and") as placeholders; `{{` is a brace.

    **Consequences.** `code` is the finding's. `automatic`: applying the step again carries the remedy out. `retryable`:
    what failed may be tried again as it is. `warning`: it blocks nothing. `grace_s`: for how many seconds it must have
    been seen before it counts while waiting; `inf` if waiting is the remedy. A rule with a `condition` is no finding:
    the state heals by itself, and is described in these few words.
    """

    id: str
    code: str
    message: str
    when: Mapping[str, Condition]
    remedy: str = ""
    command: str = ""
    condition: str = ""
    risk: Risk = Risk.HARMLESS
    automatic: bool = False
    retryable: bool = False
    warning: bool = False
    grace_s: float = 0.0


_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "code", "message", "remedy", "command", "condition", "risk"), (str,)),
    **dict.fromkeys(("automatic", "retryable", "warning"), (bool,)),
    "when": (dict,),
    "grace_s": (int, float),
}
_REFERENCE = r"\{([a-z][a-z0-9_]*)\}"


@cache
def read_rules(name: str) -> dict[str, Any]:
    """Return a file of `rules/` as it is written: `title`, `about`, `template`, `rule`."""
    return read_table(FOLDER / f"{name}.toml")


@cache
def rules_of(subject: Subject) -> tuple[Rule, ...]:
    """Return the rules about a subject, in the order of matching; its file is read when it is first asked for."""
    written = read_rules(subject)
    return tuple(rule_from(f"{subject}.toml", entry, written.get("template", {})) for entry in written["rule"])


def rule_from(file: str, entry: Mapping[str, Any], templates: Mapping[str, Mapping[str, Any]]) -> Rule:
    """Return a rule as a file has it, with what it `extends`; raises ValueError for a wrong key or value."""
    name = f"{file}: rule {entry.get('id')!r}"
    if (base := entry.get("extends", "")) and base not in templates:
        raise ValueError(f"{name}: there is no template {base!r}")
    template = templates.get(base, {})
    values = {"id": "", "code": entry.get("id"), **template, **entry}
    values.pop("extends", None)
    values["when"] = {**template.get("when", {}), **entry.get("when", {})}
    wrong = [key for key, value in values.items() if not isinstance(value, _TYPES.get(key, ()))]
    if wrong or "message" not in values:
        raise ValueError(f"{name}: wrong or missing: {', '.join(wrong) or 'message'}")
    values["when"] = {key: _condition(f"{name}: when.{key}", value) for key, value in values["when"].items()}
    return Rule(**{**values, "risk": Risk(values.get("risk", Risk.HARMLESS))})


def _condition(name: str, value: Any) -> Condition:
    match value:
        case str():
            return re.sub(_REFERENCE, lambda found: _named_pattern(name, found[1]), _joined(value))
        case list():
            return tuple(str(item) for item in value)
        case {"below": int() | float() | str() as limit} if len(value) == 1:
            return {"below": limit}
    raise ValueError(f"{name} is no pattern, list of values or `below`")


def _named_pattern(name: str, reference: str) -> str:
    patterns = read_rules("patterns")
    if reference not in patterns:
        raise ValueError(f"{name}: there is no pattern {reference!r} in patterns.toml")
    return f"(?:{_joined(patterns[reference])})"


def _joined(pattern: str) -> str:
    return pattern.replace("\n", "")  # a long pattern is written on several lines
