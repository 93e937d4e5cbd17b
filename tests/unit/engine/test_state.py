"""The state: a fold of events, in the plan's own schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind, event_from_document
from contextcore_install.engine.names import STATUSES, STEP_IDS
from contextcore_install.engine.state import NewerSchemaError, State, StateFormatError, state_from_document
from contextcore_install.engine.status import status_document

PLAN_EXAMPLE: dict[str, Any] = {
    "version": "1.0",
    "cluster_name": "o11y-dev",
    "started_at": "2024-01-22T15:30:00Z",
    "updated_at": "2024-01-22T15:35:00Z",
    "steps": {
        "preflight": {"status": "completed", "completed_at": "2024-01-22T15:30:05Z"},
        "cluster_create": {"status": "completed", "completed_at": "2024-01-22T15:32:00Z"},
        "manifests_apply": {"status": "completed", "completed_at": "2024-01-22T15:32:30Z"},
        "pods_ready": {"status": "in_progress", "started_at": "2024-01-22T15:32:31Z", "attempts": 1},
        "services_verify": {"status": "pending"},
        "metrics_seed": {"status": "pending"},
    },
}


def test_the_plans_own_example_loads_and_is_written_with_all_it_said() -> None:
    state = state_from_document(PLAN_EXAMPLE)
    assert state.progress == 0.5
    written = state.as_document()
    assert written["steps"] == PLAN_EXAMPLE["steps"]


def test_what_the_plans_bash_functions_write_loads() -> None:
    document = {
        "version": "1.0",
        "cluster_name": "o11y-dev",
        "started_at": "2024-01-22T15:30:00Z",
        "updated_at": "2024-01-22T15:30:00Z",
        "steps": {"preflight": {"status": "completed", "updated_at": "2024-01-22T15:30:05Z"}},
    }
    state = state_from_document(document)
    assert state.steps["preflight"].status == "completed"
    assert [state.steps[step].status for step in STEP_IDS[1:]] == ["pending"] * 5


def test_unknown_fields_and_steps_survive_a_round_trip() -> None:
    document = copy.deepcopy(PLAN_EXAMPLE)
    document["owner"] = {"team": "platform"}
    document["steps"]["preflight"]["note"] = "by hand"
    document["steps"]["extra_step"] = {"status": "pending"}
    written = state_from_document(document).as_document()
    assert written["owner"] == {"team": "platform"}
    assert written["steps"]["preflight"]["note"] == "by hand"
    assert "extra_step" in written["steps"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": None}, "names no schema version"),
        ({"version": "latest"}, "unknown schema version"),
        ({"steps": []}, "steps is not an object"),
        ({"steps": {"preflight": "completed"}}, "is not an object"),
        ({"steps": {"preflight": {"status": "done"}}}, "unknown status 'done'"),
        ({"steps": {"preflight": {"attempts": -1}}}, "no count"),
        ({"steps": {"preflight": {"attempts": True}}}, "no count"),
        ({"steps": {"preflight": {"started_at": "yesterday"}}}, "no time"),
        ({"started_at": 5}, "is not text"),
        ({"started_at": "2024-01-22T15:30:00"}, "no time"),
    ],
)
def test_what_is_no_state_is_refused_with_the_reason(change: dict[str, Any], said: str) -> None:
    with pytest.raises(StateFormatError, match=said):
        state_from_document(PLAN_EXAMPLE | change)


def test_a_newer_schema_is_told_from_a_wrong_one() -> None:
    with pytest.raises(NewerSchemaError, match=r"2\.0"):
        state_from_document(PLAN_EXAMPLE | {"version": "2.0"})


def test_a_step_checked_again_keeps_when_it_was_completed() -> None:
    state = State("test")
    state.apply(_event(1, Kind.STEP_STARTED, "preflight", attempt=1))
    state.apply(_event(2, Kind.STEP_COMPLETED, "preflight", duration_seconds=1.5))
    before = state.steps["preflight"].completed_at
    state.apply(_event(10_000_000, Kind.STEP_COMPLETED, "preflight", already=True))
    assert state.steps["preflight"].completed_at == before
    assert state.steps["preflight"].attempts == 1


def test_a_stale_step_is_pending_again_and_keeps_its_attempts() -> None:
    state = State("test")
    state.apply(_event(1, Kind.STEP_STARTED, "preflight", attempt=1))
    state.apply(_event(2, Kind.STEP_COMPLETED, "preflight"))
    state.apply(_event(3, Kind.STEP_INVALIDATED, "preflight", reason="changed: ports"))
    assert (state.steps["preflight"].status, state.steps["preflight"].attempts) == ("pending", 1)


def test_the_status_has_the_six_steps_in_order_when_nothing_was_ever_installed() -> None:
    document = status_document(State("o11y-dev"), live=False)
    assert [step["id"] for step in document["steps"]] == list(STEP_IDS)
    assert {step["status"] for step in document["steps"]} == {"pending"}
    assert (document["overall"], document["progress"]) == ("not_installed", 0.0)


def _event(at_us: int, kind: Kind, step: str = "", **data: Any) -> Event:
    return Event(1, 1_700_000_000_000_000 + at_us, "run", kind, step, data)


KINDS = [Kind.STEP_STARTED, Kind.STEP_COMPLETED, Kind.STEP_FAILED, Kind.STEP_INVALIDATED, Kind.HEARTBEAT]
EVENTS = st.lists(
    st.builds(
        lambda kind, step, at: _event(at, kind, step, error={"code": "x", "message": "y", "hint": ""}),
        st.sampled_from(KINDS),
        st.sampled_from(STEP_IDS),
        st.integers(0, 10**12),
    ),
    max_size=30,
)


@given(EVENTS, st.integers(0, 30))
def test_folding_in_two_parts_with_the_document_between_is_folding_at_once(events: list[Event], cut: int) -> None:
    at_once = State("test", started_at="2024-01-22T15:30:00Z").apply_all(events)
    half = State("test", started_at="2024-01-22T15:30:00Z").apply_all(events[:cut])
    assert state_from_document(half.as_document()).apply_all(events[cut:]) == at_once
    assert all(step.status in STATUSES for step in at_once.steps.values())


@given(EVENTS)
def test_events_survive_being_written(events: list[Event]) -> None:
    assert [event_from_document(event.as_document()) for event in events] == events


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@given(
    JSON | st.fixed_dictionaries({"version": st.just("1.0"), "steps": st.dictionaries(st.sampled_from(STEP_IDS), JSON)})
)
def test_any_document_is_a_state_or_refused(document: object) -> None:
    try:
        state_from_document(document).as_document()
    except StateFormatError:
        return
