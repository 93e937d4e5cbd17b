"""The format of the records in a cluster: bounded, and nothing is taken for records that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.errors import InstallError
from contextcore_install.engine.replica import ABOUT, MOST_BYTES, STATE, TAIL, RemoteRecords, last_change, unpack
from contextcore_install.engine.state import State, state_from_document


def records(*lines: str) -> RemoteRecords:
    state = State("lab", installation_id="an id", started_at="2026-01-01T12:00:00Z")
    return RemoteRecords(state, 7, 1_767_268_800_000_001, "laptop", "laptop_a", lines)


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(records("one\n", "two ü\n").pack()) == records("one\n", "two ü\n")


@given(st.lists(st.integers(1, 60_000), max_size=30))
def test_what_does_not_fit_is_the_oldest(lengths: list[int]) -> None:
    lines = tuple("ü" * length + "\n" for length in lengths)
    packed = records(*lines).pack()
    assert sum(len(text.encode()) for text in packed.values()) <= MOST_BYTES
    kept = unpack(packed).tail
    assert kept == lines[len(lines) - len(kept) :]


def test_a_state_that_does_not_fit_is_an_error() -> None:
    big = records()
    big.state.settings["x"] = "y" * MOST_BYTES
    with pytest.raises(InstallError, match="256 KiB"):
        big.pack()


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (ABOUT, "{"),
        (ABOUT, "[]"),
        (ABOUT, "null"),
        (ABOUT, '{"format": 2}'),
        (ABOUT, '{"format": 1}'),
        (STATE, "{}"),
        (STATE, '{"version": "1.0", "steps": []}'),
        (TAIL, "torn"),
    ],
)
def test_what_others_made_of_them_is_refused(part: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        unpack({**records("one\n").pack(), part: text})


@given(st.dictionaries(st.sampled_from([ABOUT, STATE, TAIL]), st.one_of(st.none(), st.text(), st.integers())))
def test_garbage_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        unpack(data)


def test_looking_makes_no_records_newer() -> None:
    document = {
        "version": "1.0",
        "updated_at": "2026-01-03T00:00:00Z",
        "verified_at": "2026-01-03T00:00:00Z",
        "run": {"started_at": "2026-01-01T00:00:00Z"},
        "steps": {"preflight": {"status": "completed", "updated_at": "2026-01-01T00:00:01Z"}},
    }
    assert last_change(state_from_document(json.loads(json.dumps(document)))) == 1_767_225_601_000_000
    assert last_change(State("lab")) == 0
