"""Evidence, fit to be shown (no terminal codes, no secrets), and what it means by the first rule that matches."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.diagnosis.rule import Condition, Rule, Subject, rules_of

# Patterns are compiled when they are first used: most diagnoses look at no lines.
# CSI and OSC sequences (ECMA-48) and lone control characters
_CONTROL = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f]"
# A frame of the stack that Go prints when a program panics (runtime/traceback.go): the cause is above
_STACK_FRAME = (
    r"goroutine \d+ .*\]:|\s*\S+\.go:\d+( \+0x[0-9a-f]+)?|[\w./()*\[\]-]+\.[\w.()*\[\]]+\(.*\)|created by \S+.*"
)
# Characters of one line that are shown, and that rules match: a chain of errors has its cause at the end
LINE_LIMIT, WHOLE_LINE = 400, 16_384
# Characters of a long line that are shown: its beginning, and around what a rule matches
_BEGINNING, _BEFORE, _BEHIND = 100, 180, 100
# Levels of log lines that explain no failure
_UNINTERESTING = r"(?i)\blevel=\"?(info|debug)\b|\"level\":\s*\"(info|debug)\"|\t(info|debug)\t|(?-i:\s(INFO|DEBUG)\s)"
# What Go programs print last; registers and stacks may follow
_GIVES_UP = r"^(panic|fatal( error)?):|\t(fatal|panic)\t|\blevel\"?[=:]\s*\"?(fatal|panic)\b"
# A URL's query is somebody's parameters, and says nothing of what happened: `?timeout=3s` is no timeout
_QUERY = r"(https?://[^\s\"'?]+)\?[^\s\"']*"
LOG_LINES, SHOWN_LINES = 30, 5  # how many are matched, and how many are shown
READ_LINES = 150  # how many to read of a log, so that those are among them: the stack of a panic can take a hundred


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a component.

    `lines` are the end of a log, or what a command printed; `exit_code` is negative for a signal, and None if unknown.
    `reason` and `message` are Kubernetes' word for a state and the sentence beside it. `error` is the code of the
    InstallError of what got no answer; `http_status` and `http_text` are an HTTP answer. `facts` fill the placeholders
    of rules (such as `port`, `folder`, `pod`), and are what conditions look at.
    """

    component: str
    lines: Sequence[str] = ()
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    error: str = ""
    http_status: int = 0
    http_text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


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


def clean(line: str) -> str:
    """Return a line without terminal codes and secrets; of one beyond `LINE_LIMIT`, its beginning and its end."""
    return shorten(_sanitized(line))


def shorten(line: str, cause: tuple[int, int] | None = None) -> str:
    """Return a clean line in `LINE_LIMIT` characters: its beginning, and the part around its cause, or its end."""
    if len(line) <= LINE_LIMIT:
        return line
    if cause is None:
        return f"{line[:_BEGINNING]}…{line[_BEGINNING + 1 - LINE_LIMIT :]}"
    start, end = max(0, cause[0] - _BEFORE), min(len(line), cause[0] + _BEHIND)
    beginning = f"{line[:_BEGINNING]}…" if start > _BEGINNING else line[:start]
    return beginning + line[start:end] + ("…" if end < len(line) else "")


def clean_lines(lines: Sequence[str], count: int) -> list[str]:
    """Return the last `count` lines, clean and long, without the stack of a program that panicked."""
    kept = [line for line in lines if not re.fullmatch(_STACK_FRAME, line.rstrip())]
    return [_sanitized(line)[:WHOLE_LINE] for line in kept[-count:]]


def _sanitized(line: str) -> str:
    # What is behind the cut is far from what is kept, so that no half of a secret is.
    return hide_secrets(re.sub(_CONTROL, "", line[: 4 * WHOLE_LINE]).strip())
