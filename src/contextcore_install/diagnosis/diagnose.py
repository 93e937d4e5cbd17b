"""Explains evidence by the first rule of its subject that matches."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.diagnosis.evidence import Evidence, clean, clean_lines, shorten
from contextcore_install.diagnosis.rule import Condition, Rule, Subject, rules_of

# Levels of log lines that explain no failure
_UNINTERESTING = r"(?i)\blevel=\"?(info|debug)\b|\"level\":\s*\"(info|debug)\"|\t(info|debug)\t|(?-i:\s(INFO|DEBUG)\s)"
# What Go programs print last; registers and stacks may follow
_GIVES_UP = r"^(panic|fatal( error)?):|\t(fatal|panic)\t|\blevel\"?[=:]\s*\"?(fatal|panic)\b"
# A URL's query is somebody's parameters, and says nothing of what happened: `?timeout=3s` is no timeout
_QUERY = r"(https?://[^\s\"'?]+)\?[^\s\"']*"
LOG_LINES, SHOWN_LINES = 30, 5  # how many are matched, and how many are shown
READ_LINES = 150  # how many to read of a log, so that those are among them: the stack of a panic can take a hundred


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What evidence means. With a `condition` it heals by itself: that describes in a few words what is waited for."""

    rule: Rule
    finding: Finding
    condition: str = ""

    @property
    def problem(self) -> Finding | None:
        """The finding, unless it heals by itself."""
        return None if self.condition else self.finding

    def error(self) -> InstallError:
        """Return the error that a command ends with; its hint is what to type next."""
        return self.finding.as_error(retryable=self.rule.retryable or self.rule.automatic)


def diagnose(subject: Subject, evidence: Evidence) -> Diagnosis | None:
    """Return what evidence means; None if no rule about the subject matches."""
    return first_match(rules_of(subject), evidence)


def explain(subject: Subject, evidence: Evidence) -> Diagnosis:
    """Return what evidence means, for a subject whose last rule matches whatever is left; else raises LookupError."""
    found = diagnose(subject, evidence)
    if found is None:
        raise LookupError(f"no rule about {subject} matches {evidence}")
    return found


def problem_of(subject: Subject, evidence: Evidence) -> Finding | None:
    """Return what evidence shows to be wrong, if it does not heal by waiting alone."""
    found = diagnose(subject, evidence)
    return found.problem if found else None


def first_match(rules: Iterable[Rule], evidence: Evidence) -> Diagnosis | None:
    """Return what evidence means by the first of these rules that matches."""
    seen = _seen(evidence)
    for rule in rules:
        if all(_holds(seen, name, condition) for name, condition in rule.when.items()):
            facts = _placeholders(rule, evidence, seen)
            return Diagnosis(rule, _finding(rule, evidence, facts), rule.condition.format_map(facts))
    return None


def _seen(evidence: Evidence) -> Mapping[str, str]:
    """Return what the conditions of rules look at, by name."""
    lines = (line for line in clean_lines(evidence.lines, LOG_LINES) if not re.search(_UNINTERESTING, line))
    return {
        **evidence.facts,
        "component": evidence.component,
        "log": without_queries("\n".join(lines)),
        "exit_code": "" if evidence.exit_code is None else str(evidence.exit_code),
        "reason": evidence.reason,
        "message": without_queries(evidence.message),
        "error": evidence.error,
        "http_status": str(evidence.http_status),
    }


def _holds(seen: Mapping[str, str], name: str, condition: Condition) -> bool:
    """Tell whether a condition holds; a number that is not known is not below anything."""
    if isinstance(condition, str):
        return _found(condition, seen.get(name, ""))
    if isinstance(condition, tuple):
        return seen.get(name, "") in condition
    limit = condition["below"]
    try:
        return float(seen[name]) < float(seen[limit] if isinstance(limit, str) else limit)
    except (KeyError, ValueError):
        return False


def without_queries(text: str) -> str:
    """Return a text whose URLs end before their `?`."""
    return re.sub(_QUERY, r"\1", text) if "?" in text else text


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _placeholders(rule: Rule, evidence: Evidence, seen: Mapping[str, str]) -> Mapping[str, str]:
    """Return the values of placeholders; one that is not known is `?`."""
    last = next((clean(line) for line in reversed(evidence.lines) if line.strip()), "it printed nothing")
    code = evidence.exit_code
    return defaultdict(
        lambda: "?",
        {
            **evidence.facts,
            "said": clean(evidence.http_text.strip().partition("\n")[0]) or "it did not say why",
            "status": str(evidence.http_status),
            "reason": evidence.reason,
            "message": clean(evidence.message),
            "last": last,
            "code": "" if code is None else f" (exit code {code})",
            "ending": _ending(code),
            **_groups(rule.when, seen),
        },
    )


def _ending(code: int | None) -> str:
    if code is None:
        return "has ended; its exit code is not known, as an earlier run started it"
    return f"ended with exit code {code}" if code >= 0 else f"ended by signal {-code}"


def _groups(conditions: Mapping[str, Condition], seen: Mapping[str, str]) -> dict[str, str]:
    """Return what the named groups of the patterns hold: all that differ, joined."""
    found: dict[str, set[str]] = {}
    for name, pattern in conditions.items():
        if isinstance(pattern, str) and "(?P<" in pattern:
            for match in re.finditer(pattern, seen.get(name, ""), re.IGNORECASE):
                for group, value in match.groupdict().items():
                    if value:
                        found.setdefault(group, set()).add(clean(value))
    return {group: " and ".join(sorted(values)) for group, values in found.items()}


def _finding(rule: Rule, evidence: Evidence, facts: Mapping[str, str]) -> Finding:
    remedy = None
    if rule.remedy:
        summary, command = rule.remedy.format_map(facts), rule.command.format_map(facts)
        remedy = Remedy(summary, command, rule.risk, automatic=rule.automatic)
    return Finding(rule.code, rule.message.format_map(facts), _shown(rule, evidence), remedy, warning=rule.warning)


def _shown(rule: Rule, evidence: Evidence) -> str:
    """Return the evidence in a few lines: the one that shows the cause, then the last that are no mere information.

    The cause is what the rule matches, else what the program printed as it gave up.
    """
    lines = clean_lines(evidence.lines, LOG_LINES)
    cause = str(rule.when.get("log", _GIVES_UP))
    causes = [line for line in lines if _found(cause, line)][-1:]
    parts = [
        *(shorten(line, None if cause == _GIVES_UP else _last_match(cause, line)) for line in causes),
        *(shorten(line) for line in lines[-SHOWN_LINES:] if line not in causes and not re.search(_UNINTERESTING, line)),
    ]
    if evidence.message:
        parts.append(clean(evidence.message))
    if evidence.http_status:
        parts.append(f"HTTP {evidence.http_status}: {clean(evidence.http_text[:400])}")
    return "\n".join(parts)


def _last_match(pattern: str, line: str) -> tuple[int, int]:
    return list(re.finditer(pattern, line, re.IGNORECASE))[-1].span()
