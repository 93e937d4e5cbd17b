"""What a rule is. The rules themselves are data, in the modules of `rules/`: one a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contextcore_install.core.findings import Risk


class Subject(StrEnum):
    """What rules are about. The module of `rules/` that is named like it holds them."""

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


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause: what shows it, what it means for the user, what heals it, and what that may cost.

    **What it matches.** Every condition given must hold; patterns are regular expressions, blind to case. A rule
    without conditions fits whatever those before it have left over.

    - `log`: the last lines of a log, or what a command printed;
    - `message`: what Kubernetes says beside its reason;
    - `reasons`: Kubernetes' own words (CrashLoopBackOff, Unschedulable, ...), or ours for what it has none for;
    - `exit_codes`: negative for a signal;
    - `errors`: codes of the InstallError of a request or a command that got no answer;
    - `http_statuses`: of an HTTP answer;
    - `where`: patterns that facts must fit;
    - `below`: facts that must be numbers smaller than these, or than other facts.

    **What it says.** `sentence`, `remedy`, `command` and `passing` take the evidence's facts as placeholders, and the
    named groups of the patterns (all that differ, joined by "and").

    **What follows.** `code` is the finding's, where it is not the rule's id. `automatic`: applying the step again
    carries the remedy out. `transient`: what failed may be tried again as it is. `warning`: it stands in nobody's way.
    `lasts_s`: seconds for which it must have been seen before it counts while waiting; `inf` where waiting is the
    remedy. A rule with a `passing` text is no finding: the state heals by waiting, and is told in these few words.
    """

    id: str
    sentence: str
    remedy: str = ""
    command: str = ""
    log: str = ""
    message: str = ""
    reasons: frozenset[str] = frozenset()
    exit_codes: frozenset[int] = frozenset()
    errors: frozenset[str] = frozenset()
    http_statuses: frozenset[int] = frozenset()
    where: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str, float | str] = field(default_factory=dict)
    code: str = ""
    risk: Risk = Risk.HARMLESS
    automatic: bool = False
    transient: bool = False
    warning: bool = False
    lasts_s: float = 0.0
    passing: str = ""
