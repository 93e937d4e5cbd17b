"""What is wrong, in one line."""

from __future__ import annotations

import pytest

from contextcore_install.commands.diagnose import diagnosis_of
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.runtime.checks import NOT_KNOWN

FINE = CheckResult("fine")
FULL = CheckResult(findings=(Finding("unschedulable", "Loki fits on no node: there is not enough memory."),))
GONE = CheckResult(findings=(Finding("drift", "a Service is missing"), Finding("drift", "another one, too")))
STOPPED = CheckResult(findings=(Finding("cluster-stopped", "the cluster is stopped"),))
UNKNOWN = CheckResult(findings=(Finding(NOT_KNOWN, "not known before cluster_create is fixed"),))
WARNED = CheckResult(findings=(Finding("little-memory", "there is little memory", warning=True),))


def a_state(**failed: str) -> State:
    steps = {
        step: {"status": "failed", "error": {"code": "x", "message": failed[step]}}
        if step in failed
        else {"status": "completed"}
        for step in STEP_IDS
    }
    return state_from_document(
        {"version": "1.0", "cluster_name": "demo", "started_at": "2026-01-01T12:00:00Z", "steps": steps}
    )


@pytest.mark.parametrize(
    ("state", "found", "line"),
    [
        (State("demo"), {}, "There is no installation demo: nothing is recorded of one."),
        (State("demo"), {"preflight": FULL}, "There is no installation demo: nothing is recorded of one."),
        (a_state(), dict.fromkeys(STEP_IDS, FINE), "Nothing is found wrong: every step is as it should be."),
        (a_state(), {"preflight": WARNED}, "Nothing is found wrong: every step is as it should be."),
        (
            a_state(),
            {"preflight": WARNED, "pods_ready": FULL},
            "pods_ready is not as it should be: Loki fits on no node: there is not enough memory.",
        ),
        (
            a_state(pods_ready="it timed out"),
            {"manifests_apply": GONE, "pods_ready": FULL},
            "pods_ready failed: Loki fits on no node: there is not enough memory (and 2 more).",
        ),
        (
            a_state(pods_ready="it timed out"),
            {"cluster_create": STOPPED, "pods_ready": UNKNOWN},
            "cluster_create is not as it should be: the cluster is stopped.",
        ),
        (
            a_state(pods_ready="it timed out"),
            dict.fromkeys(STEP_IDS, FINE),
            "pods_ready failed, and nothing is found wrong now: it timed out",
        ),
        (a_state(pods_ready="it timed out"), {}, "pods_ready failed: it timed out"),
        (a_state(), {}, "Nothing is recorded as failed, and what there is now could not be looked at."),
    ],
)
def test_what_is_wrong_is_told_in_one_line(state: State, found: dict[str, CheckResult], line: str) -> None:
    told, finding = diagnosis_of(state, found)
    assert told == line
    assert (finding is None) == (" is not as it should be" not in line and "(and 2 more)" not in line)
