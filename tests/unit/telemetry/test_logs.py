"""Events give lines, and Loki's answers are understood."""

from __future__ import annotations

import json

import pytest

from contextcore_install.core.events import Event, Kind, event_from_document
from contextcore_install.telemetry.exporters.loki import LONGEST, Line, LogFold, encode, ignored

AT_US = 1_767_268_800_123_456
SECRET = "s3cr3t-m4rk3r"


def line(kind: Kind, **data: object) -> Line:
    [made] = LogFold("c").take(Event(7, AT_US, "r1", kind, "preflight", data))
    return made


def test_a_line_is_the_events_document_at_its_own_time() -> None:
    event = Event(7, AT_US, "r1", Kind.NOTICE, "preflight", {"text": "größer", "more": 1})
    [made] = LogFold("c").take(event)
    assert event_from_document(json.loads(made.text)) == event
    body = json.loads(encode("c", [made]))
    assert body["streams"] == [
        {
            "stream": {"service_name": "contextcore-install", "cluster": "c", "level": "info"},
            "values": [["1767268800123456000", made.text]],
        }
    ]


@pytest.mark.parametrize(
    ("kind", "data", "level"),
    [
        (Kind.STEP_FAILED, {"error": {}}, "error"),
        (Kind.RUN_FINISHED, {"outcome": "failed"}, "error"),
        (Kind.RUN_FINISHED, {"outcome": "interrupted"}, "warn"),
        (Kind.RUN_FINISHED, {"outcome": "succeeded"}, "info"),
        (Kind.STEP_RETRYING, {}, "warn"),
        (Kind.FINDING, {}, "warn"),
        (Kind.COMMAND_FINISHED, {"exit_code": 0}, "info"),
        (Kind.COMMAND_FINISHED, {"exit_code": 1}, "warn"),
        (Kind.PART_FINISHED, {"outcome": "failed"}, "warn"),
        (Kind.HEARTBEAT, {}, "debug"),
    ],
)
def test_the_level_tells_what_wants_a_look(kind: Kind, data: dict[str, object], level: str) -> None:
    assert line(kind, **data).level == level


def test_secrets_are_hidden_and_the_line_stays_json() -> None:
    made = line(
        Kind.STEP_FAILED,
        error={"message": f'--password "{SECRET}"', "evidence": f"Authorization: Bearer {SECRET}"},
        settings={"api_key": SECRET},
    )
    assert SECRET not in made.text
    assert json.loads(made.text)["error"]["message"]


def test_a_line_that_is_too_long_keeps_what_names_it() -> None:
    made = line(Kind.STATE_IMPORTED, document={"x": "y" * LONGEST})
    document = json.loads(made.text)
    assert len(made.text) < 1000
    assert (document["number"], document["kind"], document["cut"]) == (7, "state_imported", True)


def test_a_refusal_tells_how_many_lines_it_is_about() -> None:
    """Loki's own words: pkg/validation/validate.go and pkg/ingester/stream.go."""
    lines = [Line(AT_US + second * 1_000_000, "info", "x") for second in range(4)]
    too_old = (
        """entry for stream '{cluster="c", level="info"}' has timestamp too old: 2026-01-01T12:00:00Z,"""
        " oldest acceptable timestamp is: 2026-01-01T12:00:02Z"
    )
    assert ignored(too_old, lines) == 2
    behind = (
        "entry with timestamp 2026-01-01 12:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp"
        " is: 2026-01-01T12:00:00Z, oldest acceptable timestamp is: 2026-01-01T13:00:00Z',\n"
        "user 'fake', total ignored: 3 out of 4 for stream: {cluster=\"c\"}"
    )
    assert ignored(behind, lines) == 3
    assert ignored("something else", lines) == 1
