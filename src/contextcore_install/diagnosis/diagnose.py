"""From evidence to what it means: by the first rule of its subject that fits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.diagnosis.catalogue import rules_of
from contextcore_install.diagnosis.evidence import Evidence, clean, clean_lines, shorten
from contextcore_install.diagnosis.rule import Rule, Subject

#: Lines that a program logs at a level that explains no failure.
_CHATTER = re.compile(
    r"(?i)\blevel=\"?(info|debug)\b|\"level\":\s*\"(info|debug)\"|\t(info|debug)\t|(?-i:\s(INFO|DEBUG)\s)"
)
_GIVES_UP = r"^(panic|fatal( error)?):|\t(fatal|panic)\t|\blevel\"?[=:]\s*\"?(fatal|panic)\b"
"""What Go programs say last; registers and stacks may follow."""
#: The query of a URL is somebody's parameters, and says nothing of what happened: `?timeout=3s` is no timeout.
_QUERY = re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']*")
#: Log lines that are looked at, and how many of them are shown.
LOG_LINES, SHOWN_LINES = 30, 5
READ_LINES = 150
"""How many lines to read of a log, so that those are among them: the stack of a panic can take a hundred."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What evidence means. With a `condition` it passes by itself: that says in a few words what is waited for."""

    rule: Rule
    finding: Finding
    condition: str = ""

    @property
    def problem(self) -> Finding | None:
        """The finding, unless it passes by itself."""
        return None if self.condition else self.finding

    def error(self) -> InstallError:
        """Return the error that a command ends with, which says what to type next."""
        found, remedy = self.finding, self.finding.remedy
        hint = (remedy.command or remedy.summary) if remedy else ""
        retryable = self.rule.transient or self.rule.automatic
        return InstallError(found.code, found.message, found.evidence, hint, retryable=retryable)


def diagnose(subject: Subject, evidence: Evidence) -> Diagnosis | None:
    """Return what evidence means; None where no rule about the subject fits."""
    told = (line for line in clean_lines(evidence.lines, LOG_LINES) if not _CHATTER.search(line))
    text = without_queries("\n".join(told))
    rule = next((rule for rule in rules_of(subject) if _fits(rule, evidence, text)), None)
    if rule is None:
        return None
    facts = _facts(rule, evidence, text)
    return Diagnosis(rule, _finding(rule, evidence, facts), rule.passing.format_map(facts))


def explain(subject: Subject, evidence: Evidence) -> Diagnosis:
    """Return what evidence means, for a subject whose last rule fits whatever the others leave; raises LookupError."""
    found = diagnose(subject, evidence)
    if found is None:
        raise LookupError(f"no rule about {subject} fits {evidence}")
    return found


def problem_of(subject: Subject, evidence: Evidence) -> Finding | None:
    """Return what evidence shows to be wrong, and waiting alone does not heal."""
    found = diagnose(subject, evidence)
    return found.problem if found else None


def _fits(rule: Rule, evidence: Evidence, text: str) -> bool:
    facts = {"component": evidence.component, **evidence.facts}
    return (
        (not rule.log or _found(rule.log, text))
        and (not rule.message or _found(rule.message, without_queries(evidence.message)))
        and (not rule.reasons or evidence.reason in rule.reasons)
        and (not rule.exit_codes or evidence.exit_code in rule.exit_codes)
        and (not rule.errors or evidence.error in rule.errors)
        and (not rule.http_statuses or evidence.http_status in rule.http_statuses)
        and all(_found(pattern, facts.get(name, "")) for name, pattern in rule.where.items())
        and all(_is_below(facts, name, limit) for name, limit in rule.below.items())
    )


def without_queries(text: str) -> str:
    """Return a text whose URLs end before their `?`."""
    return _QUERY.sub(r"\1", text)


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _is_below(facts: Mapping[str, str], name: str, limit: float | str) -> bool:
    """Tell whether a fact is a smaller number than the limit; not where either is unknown."""
    try:
        return float(facts[name]) < float(facts[limit] if isinstance(limit, str) else limit)
    except (KeyError, ValueError):
        return False


def _facts(rule: Rule, evidence: Evidence, text: str) -> Mapping[str, str]:
    """Return what the placeholders stand for; one that is not known is `?`."""
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
            **_groups(rule.log, text),
            **_groups(rule.message, without_queries(evidence.message)),
        },
    )


def _ending(code: int | None) -> str:
    if code is None:
        return "has ended, by itself or killed: only the run that started it could have told"
    return f"ended with exit code {code}" if code >= 0 else f"ended by signal {-code}"


def _groups(pattern: str, text: str) -> dict[str, str]:
    """Return what the named groups of a pattern hold: all that differ, joined."""
    found: dict[str, set[str]] = {}
    for match in re.finditer(pattern, text, re.IGNORECASE) if "(?P<" in pattern else ():
        for name, value in match.groupdict().items():
            if value:
                found.setdefault(name, set()).add(clean(value))
    return {name: " and ".join(sorted(values)) for name, values in found.items()}


def _finding(rule: Rule, evidence: Evidence, facts: Mapping[str, str]) -> Finding:
    remedy = None
    if rule.remedy:
        remedy = Remedy(
            rule.remedy.format_map(facts), rule.command.format_map(facts), rule.risk, automatic=rule.automatic
        )
    message = rule.sentence.format_map(facts)
    return Finding(rule.code or rule.id, message, shown(rule, evidence), remedy, warning=rule.warning)


def shown(rule: Rule | None, evidence: Evidence) -> str:
    """Return the evidence in a few lines: the one that tells the cause, then the last that tell of trouble.

    The cause is what the rule fits, else what the program said as it gave up.
    """
    lines = clean_lines(evidence.lines, LOG_LINES)
    pattern = (rule.log if rule else "") or _GIVES_UP
    telling = [line for line in lines if _found(pattern, line)][-1:]
    parts = [
        *(shorten(line, _last_match(pattern, line)) for line in telling),
        *(shorten(line) for line in lines[-SHOWN_LINES:] if line not in telling and not _CHATTER.search(line)),
    ]
    if evidence.message:
        parts.append(clean(evidence.message))
    if evidence.http_status:
        parts.append(f"HTTP {evidence.http_status}: {clean(evidence.http_text[:400])}")
    return "\n".join(parts)


def _last_match(pattern: str, line: str) -> tuple[int, int] | None:
    found = [match.span() for match in re.finditer(pattern, line, re.IGNORECASE)]
    return found[-1] if found and pattern != _GIVES_UP else None
