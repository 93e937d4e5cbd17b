"""Data that was replaced is told until it is accepted, and nothing else is."""

from __future__ import annotations

from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.core.requirements import DataPiece, Storage
from contextcore_install.engine.replaced import noted, replaced
from contextcore_install.engine.state import State, state_from_document

LOKI = "data-loki-0"


def kept(identity: str, name: str = LOKI) -> Storage:
    return Storage("loki", name, "", pieces=(DataPiece(name, identity, "2026-01-01T12:00:00Z"),))


def event(number: int, kind: Kind, step: str = "", **data: Any) -> Event:
    return Event(number, 1_700_000_000_000_000 + number, "run", kind, step, data)


def test_another_claim_of_the_same_name_is_said_with_when_and_what_to_do() -> None:
    (found,) = replaced({LOKI: "a"}, [kept("b")])
    assert (found.code, found.warning) == ("data-replaced", True)
    assert "data-loki-0 was made anew at 2026-01-01T12:00:00Z" in found.message
    assert found.remedy
    assert found.remedy.command == "./create-cluster.sh --repair --yes"
    (found,) = replaced({LOKI: "a"}, [kept("b")], "/home/it's/b.tar.gz")
    assert found.remedy
    assert found.remedy.command == """./create-cluster.sh restore '/home/it'"'"'s/b.tar.gz'"""
    assert "--repair --yes" in found.remedy.summary


def test_the_same_data_and_data_never_seen_are_no_news() -> None:
    assert replaced({LOKI: "a"}, [kept("a"), kept("x", "data-tempo-0")]) == []
    assert replaced({}, [kept("a")]) == []


def test_a_folder_that_was_emptied_is_said() -> None:
    assert len(replaced({LOKI: "a"}, [kept("")])) == 1


def test_a_run_notes_what_is_new_and_takes_over_only_the_losses_that_were_accepted() -> None:
    seen = [kept("b"), kept("x", "data-tempo-0"), kept("", "data-mimir-0")]
    known = {LOKI: "a", "data-mimir-0": "m"}
    assert noted(known, seen) == {**known, "data-tempo-0": "x"}
    accepted = noted(known, seen, replaced(known, seen))
    assert accepted == {LOKI: "b", "data-tempo-0": "x"}
    assert replaced(accepted, seen) == []


def test_a_loss_that_came_after_the_one_that_was_shown_is_not_accepted_with_it() -> None:
    known = {LOKI: "a", "data-tempo-0": "t"}
    shown = replaced(known, [kept("b"), kept("t", "data-tempo-0")])
    later = [kept("c"), kept("u", "data-tempo-0")]
    assert noted(known, later, shown) == known
    assert noted(known, [kept("")], shown) == known
    assert noted({LOKI: "other"}, [kept("b")], shown) == {LOKI: "other"}


def test_what_fills_a_place_that_was_shown_as_empty_is_accepted_with_it() -> None:
    known = {LOKI: "a"}
    assert noted(known, [kept("b")], replaced(known, [kept("")])) == {LOKI: "b"}


def test_the_state_keeps_it_until_the_cluster_is_taken_back() -> None:
    state = State("demo").apply_all([event(1, Kind.DATA_NOTED, data={LOKI: "a"})])
    assert state_from_document(state.as_document()).data == {LOKI: "a"}
    state.apply(event(2, Kind.STEP_UNDONE, "manifests_apply"))
    assert state.data == {LOKI: "a"}
    state.apply(event(3, Kind.STEP_UNDONE, "cluster_create"))
    assert "data" not in state.as_document()
