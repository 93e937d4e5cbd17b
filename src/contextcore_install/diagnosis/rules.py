"""Rules: what is seen, what it means, what heals it. The first that fits counts: the particular before the general.

The patterns are pieces of messages of the Go runtime, of the kernel (strerror(3)) and of the components' own storage.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.diagnosis.evidence import Evidence, clean, clean_lines

#: Lines that a program logs at a level that explains no death.
_CHATTER = re.compile(
    r"(?i)\blevel=\"?(info|debug)\b|\"level\":\s*\"(info|debug)\"|\t(info|debug)\t|\s(INFO|DEBUG)\s"
)
#: Log lines that are looked at, and how many of them are shown.
LOG_LINES, SHOWN_LINES = 30, 5
HANGS = "does not answer"
"""The condition of what takes connections and gives no answer: it may heal by waiting, or by being started anew."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause. Every condition given must hold; `sentence`, `remedy` and `command` take the evidence's facts.

    `automatic`: applying the step again carries the remedy out. A rule with a `passing` text is no finding: the state
    heals by waiting, and is told in these few words meanwhile.
    """

    id: str
    sentence: str
    remedy: str = ""
    command: str = ""
    log: str = ""
    exit_codes: frozenset[int] = frozenset()
    http_code: str = ""
    http_statuses: frozenset[int] = frozenset()
    http_text: str = ""
    risk: Risk = Risk.HARMLESS
    automatic: bool = False
    passing: str = ""


PROCESS_RULES: tuple[Rule, ...] = (
    # A signal that nothing can catch: what it logged before does not explain it.
    Rule(
        "killed",
        "{title} was killed (SIGKILL): by someone, or by the kernel because memory ran short.",
        "Start it again; if it is killed again, free some memory.",
        "./create-cluster.sh --resume",
        exit_codes=frozenset({-9, 137}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "port-in-use",
        "{title} cannot listen on port {port}: another program holds it.",
        "End what holds the port, or choose another port.",
        "./create-cluster.sh --resume --port {port_key}=PORT",
        log=r"address already in use|EADDRINUSE|Only one usage of each socket address",
    ),
    Rule(
        "disk-full",
        "{title} cannot write: there is no space left on the disk of {folder}.",
        "Free some space, then start it again.",
        "df -h {folder}",
        log=r"no space left on device|disk quota exceeded|not enough (disk|free) space",
    ),
    Rule(
        "data-locked",
        "{title} finds its data in use by another process.",
        "End the other process that works in {folder}.",
        "fuser -v {folder}",
        log=r"lock DB directory: resource temporarily unavailable|cannot (create|acquire) (the )?(lock|flock)"
        r"|cannot lock file|already opened by another process|database is locked",
    ),
    Rule(
        "too-many-open-files",
        "{title} may not open as many files as it needs.",
        "Raise the limit of open files in this shell, then start it again.",
        "ulimit -n 65536",
        log=r"too many open files",
    ),
    Rule(
        "permission-denied",
        "{title} may not read or write its files in {folder}.",
        "Give the folder back to the user that runs the stack.",
        'sudo chown -R "$(id -un)" {folder}',
        log=r"permission denied|operation not permitted|read-only file system|EACCES",
    ),
    Rule(
        "unknown-option",
        "{title} does not know an option that it was given: this program is made for another version of it.",
        "Use the version {version}, or put the program that worked before back.",
        log=r"flag provided but not defined|unknown (long |short )?flag|unexpected argument|unknown command"
        r"|flag needs an argument|unknown shorthand flag",
    ),
    Rule(
        "bad-config",
        "{title} does not accept its configuration.",
        "Have the configuration written anew; if that does not help, use the version {version}.",
        "./create-cluster.sh --repair",
        log=r"field \S+ not found in type|error (loading|parsing) config|failed parsing config|yaml: (line|unmarshal)"
        r"|could not perform the initial load successfully|failed to parse .*\.ini|invalid config(uration)?\b",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "data-of-another-version",
        "{title} cannot read its data: another version of it wrote them.",
        "Put the program that wrote them back on PATH, before the other one.",
        "./create-cluster.sh --resume",
        log=r"cannot open (prev |curr |next )?indexdb|unsupported (format|index|block) version|written by a newer",
    ),
    Rule(
        "data-damaged",
        "{title} cannot read its data: it is damaged.",
        "Put the data aside and start with none.",
        "mv {folder} {folder}.damaged",
        log=r"corrupt(ed|ion)?\b|checksum mismatch|unexpected EOF|invalid magic number"
        r"|cannot open (table|part|partition)|malformed|bad block",
        risk=Risk.LOSES_DATA,
    ),
    Rule(
        "out-of-memory",
        "{title} ran out of memory.",
        "Free some memory, then start it again.",
        "./create-cluster.sh --resume",
        log=r"cannot allocate memory|runtime: out of memory|fatal error: out of memory",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "wrong-machine",
        "{title} is built for another kind of machine.",
        "Get the program for this machine.",
        log=r"exec format error|cannot execute binary file|bad CPU type",
    ),
)
"""For a component whose process has ended."""

HTTP_RULES: tuple[Rule, ...] = (
    Rule(
        "not-listening",
        "Nothing listens on port {port}: {title} is still starting, or has ended.",
        http_code="http-refused",
        passing="starting",
    ),
    Rule(
        "no-answer",
        "{title} accepts connections on port {port} but does not answer.",
        "Start it again.",
        "./create-cluster.sh --repair",
        http_code="http-timeout",
        risk=Risk.RESTARTS,
        passing=HANGS,
    ),
    Rule(
        "wrong-service",
        "What listens on port {port} is not {title}.",
        "End it, or choose another port.",
        "./create-cluster.sh --resume --port {port_key}=PORT",
        http_code="http-not-http",
    ),
    Rule(
        "connection-broke",
        "{title} on port {port} breaks the connection.",
        http_code="http-reset",
        passing="breaks connections",
    ),
    Rule(
        "not-ready",
        "{title} is not ready yet: {said}",
        http_statuses=frozenset({500, 502, 503, 504}),
        passing="not ready: {said}",
    ),
    Rule(
        "wrong-service",
        "What answers on port {port} is not {title}: it has no {path} (HTTP {status}).",
        "End it, or choose another port.",
        "./create-cluster.sh --resume --port {port_key}=PORT",
        http_statuses=frozenset({*range(300, 400), 400, 401, 403, 404, 405, 410, 501}),
    ),
)
"""For a component whose process lives, or that is reached over HTTP only."""


def match(rules: tuple[Rule, ...], evidence: Evidence) -> Rule | None:
    """Return the first rule that fits."""
    text = "\n".join(line for line in clean_lines(evidence.lines, LOG_LINES) if not _CHATTER.search(line))
    return next((rule for rule in rules if _fits(rule, evidence, text)), None)


def _fits(rule: Rule, evidence: Evidence, text: str) -> bool:
    conditions = (
        not rule.log or re.search(rule.log, text, re.IGNORECASE) is not None,
        not rule.exit_codes or evidence.exit_code in rule.exit_codes,
        not rule.http_code or evidence.http_code == rule.http_code,
        not rule.http_statuses or evidence.http_status in rule.http_statuses,
        not rule.http_text or re.search(rule.http_text, evidence.http_text, re.IGNORECASE) is not None,
    )
    return all(conditions)


def finding_of(rule: Rule, evidence: Evidence) -> Finding:
    """Return the finding of a rule that fits, with the evidence that shows it."""
    facts = _facts(evidence)
    remedy = None
    if rule.remedy:
        remedy = Remedy(
            rule.remedy.format_map(facts), rule.command.format_map(facts), rule.risk, automatic=rule.automatic
        )
    return Finding(rule.id, rule.sentence.format_map(facts), shown(rule, evidence), remedy)


def _facts(evidence: Evidence) -> dict[str, str]:
    said = clean(evidence.http_text.strip().partition("\n")[0]) or "it did not say why"
    return defaultdict(lambda: "?", {**evidence.facts, "said": said, "status": str(evidence.http_status)})


def shown(rule: Rule | None, evidence: Evidence) -> str:
    """Return the evidence in a few lines: the line that a rule fits comes first, then the last ones."""
    lines = clean_lines(evidence.lines, LOG_LINES)
    telling = [line for line in lines if rule and rule.log and re.search(rule.log, line, re.IGNORECASE)][-1:]
    parts = [*telling, *(line for line in lines[-SHOWN_LINES:] if line not in telling)]
    if evidence.http_status:
        parts.append(f"HTTP {evidence.http_status}: {clean(evidence.http_text[:400])}")
    return "\n".join(parts)


def diagnose_exit(evidence: Evidence) -> Finding:
    """Say why a process has ended; where no rule fits, with what it said last."""
    rule = match(PROCESS_RULES, evidence)
    if rule is not None:
        return finding_of(rule, evidence)
    facts = defaultdict(lambda: "?", evidence.facts)
    code = evidence.exit_code
    how = (
        "has ended"
        if code is None
        else f"ended with exit code {code}"
        if code >= 0
        else f"ended by signal {-code}"
    )
    remedy = Remedy("Start it again.", "./create-cluster.sh --resume", Risk.RESTARTS, automatic=True)
    return Finding("process-ended", f"{facts['title']} {how}.", shown(None, evidence), remedy)


def diagnose_http(evidence: Evidence) -> tuple[str, Finding | None]:
    """Say in a few words what an HTTP answer means, and what waiting cannot heal about it."""
    rule = match(HTTP_RULES, evidence)
    if rule is None:
        return f"HTTP {evidence.http_status}", None
    if rule.passing:
        return rule.passing.format_map(_facts(evidence)), None
    finding = finding_of(rule, evidence)
    return finding.message, finding
