"""Every alert rule, on real stores that hold recorded runs: when it fires, and when it does not."""

from __future__ import annotations

from kit.recordings import DAY, MINUTE, Recorded
from unit.dev.provisioned import rules

FAILED, SLOW, LOST, UNVERIFIED = (rule["uid"] for rule in rules())


def firing(recorded: Recorded, uid: str, *, later_s: float = 0) -> set[str]:
    """Return the recordings for which a rule fires."""
    (rule,) = (rule for rule in rules() if rule["uid"] == uid)
    query, threshold = rule["data"]
    (condition,) = threshold["model"]["conditions"]
    assert condition["evaluator"]["type"] == "gt"
    (limit,) = condition["evaluator"]["params"]
    found = [
        recorded.name(series["metric"]["cluster"])
        for series in recorded.now(query["model"]["expr"], later_s=later_s)
        if float(series["value"][1]) > limit
    ]
    return {name for name in found if name}


def test_an_installation_that_failed(recorded: Recorded) -> None:
    # Not one that is being carried on, nor one that is still at work in another step.
    assert firing(recorded, FAILED) == {"failed"}
    assert firing(recorded, FAILED, later_s=DAY) == {"failed"}
    assert firing(recorded, FAILED, later_s=8 * DAY) == set()


def test_a_step_that_takes_unusually_long(recorded: Recorded) -> None:
    assert firing(recorded, SLOW) == {"slow", "slow_and_new"}


def test_a_step_is_not_slow_once_its_run_is_gone(recorded: Recorded) -> None:
    assert firing(recorded, SLOW, later_s=2 * MINUTE) == set()


def test_a_run_that_was_cut_off(recorded: Recorded) -> None:
    assert firing(recorded, LOST) == {"killed"}
    at_work = {"fresh", "failed_at_once", "resuming", "slow", "slow_and_new", "patient", "quick_before"}
    assert firing(recorded, LOST, later_s=2 * MINUTE) == {"killed", *at_work}


def test_a_verification_that_failed(recorded: Recorded) -> None:
    assert firing(recorded, UNVERIFIED) == {"unverified"}
    assert firing(recorded, UNVERIFIED, later_s=DAY) == {"unverified"}
    assert firing(recorded, UNVERIFIED, later_s=8 * DAY) == set()
