"""Events for programs."""

from __future__ import annotations

import io
import json

from hypothesis import given

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind, event_from_document
from contextcore_install.ui.terminal import ERROR_SCHEMA, EVENT_SCHEMA, JsonLines, error_document, one_line
from unit.ui.samples import BrokenStream, EventMaker, FakeClock, events

told = EventMaker(FakeClock())


def test_a_line_is_the_event_with_its_schema() -> None:
    stream = io.StringIO()
    event = told(Kind.STEP_STARTED, "preflight", attempt=1)
    JsonLines(stream).handle(event)
    document = json.loads(stream.getvalue())
    assert document.pop("schema") == EVENT_SCHEMA
    assert document == event.as_document()
    assert event_from_document(document) == event


def test_ticks_are_for_consoles_only() -> None:
    stream = io.StringIO()
    JsonLines(stream).handle(told(Kind.TICK, running=[]))
    assert not stream.getvalue()


@given(events)
def test_every_event_is_one_line_of_strict_json_in_ascii(event: Event) -> None:
    stream = io.StringIO()
    JsonLines(stream).handle(event)
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == (event.kind is not Kind.TICK)
    if stream.getvalue():
        assert json.loads(stream.getvalue(), parse_constant=lambda name: 1 / 0)["schema"] == EVENT_SCHEMA


def test_numbers_that_json_has_no_word_for_become_null() -> None:
    assert one_line({"a": float("nan"), "b": [float("inf"), 1.5]}) == '{"a":null,"b":[null,1.5]}\n'


def test_a_reader_that_goes_away_does_not_end_the_run() -> None:
    lines = JsonLines(BrokenStream())
    for _ in range(3):
        lines.handle(told(Kind.HEARTBEAT))


def test_an_error_before_a_run_is_one_object() -> None:
    error = InstallError("locked", "another run is at work", hint="wait for it", exit_code=ExitCode.LOCKED)
    assert error_document(error) == {
        "schema": ERROR_SCHEMA,
        "code": "locked",
        "message": "another run is at work",
        "hint": "wait for it",
        "exit_code": 5,
    }
