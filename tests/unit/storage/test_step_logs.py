"""A step's log is for people: what an event holds is written in words, not as the program's own objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Event, Kind
from contextcore_install.storage.step_logs import StepLogs, did_something, read_log


def written(folder: Path, kind: Kind, **data: Any) -> list[str]:
    logs = StepLogs(folder)
    logs.handle(Event(1, 1_700_000_000_000_000, "run", kind, "preflight", data))
    logs.close()
    return [line.removeprefix("2023-11-14T22:13:20.000000Z ") for line in read_log(folder, "run", "preflight")]


ERROR = {"code": "crash", "message": "mimir keeps crashing", "evidence": "exit 1\nbad config", "hint": "look"}
REMEDY = {"summary": "Get one.", "command": "", "risk": "harmless", "automatic": True}


@pytest.mark.parametrize(
    ("kind", "data", "lines"),
    [
        (Kind.FINDING, {"message": "There is none.", "remedy": REMEDY}, ["found: There is none.", "    -> Get one."]),
        (Kind.STEP_STARTED, {"attempt": 2}, ["begins, try 2"]),
        (
            Kind.STEP_FAILED,
            {"error": ERROR, "duration_seconds": 70.1},
            ["failed after 70.1 s: mimir keeps crashing", "    exit 1", "    bad config", "    -> look"],
        ),
        (Kind.STEP_COMPLETED, {"already": True, "summary": "14 met"}, ["up to date: 14 met"]),
        (Kind.STEP_COMPLETED, {"duration_seconds": 1.5}, ["done in 1.5 s"]),
        (
            Kind.COMMAND_FINISHED,
            {"command": "kubectl apply -f -", "exit_code": 0, "duration_seconds": 0.2},
            ["$ kubectl apply -f -  (exit code 0, 0.2 s)"],
        ),
        (Kind.PART_FINISHED, {"part": "mimir", "outcome": "failed"}, ["mimir: failed"]),
        (Kind.OUTPUT, {"line": "what it printed"}, ["| what it printed"]),
    ],
)
def test_what_happened_is_a_sentence(tmp_path: Path, kind: Kind, data: dict[str, Any], lines: list[str]) -> None:
    assert written(tmp_path, kind, **data) == lines


def test_a_step_that_was_done_before_did_nothing(tmp_path: Path) -> None:
    written(tmp_path, Kind.STEP_COMPLETED, already=True)
    assert not did_something(tmp_path, "run", "preflight")
    written(tmp_path, Kind.STEP_STARTED, attempt=1)
    assert did_something(tmp_path, "run", "preflight")


def test_objects_without_a_sentence_are_told_field_by_field(tmp_path: Path) -> None:
    (line,) = written(tmp_path, Kind.VERIFIED, outcome="failed", of={"a": 1})
    assert line == "[verified] outcome=failed of.a=1"


def test_each_of_many_has_its_line(tmp_path: Path) -> None:
    requirements = [{"id": "memory", "status": "met"}, {"id": "disk", "status": "unmet", "missing": ["a", "b"]}]
    assert written(tmp_path, Kind.VERIFIED, completeness_percent=50.0, requirements=requirements) == [
        "[verified] completeness_percent=50.0",
        "    requirements: id=memory status=met",
        "    requirements: id=disk status=unmet missing=a, b",
    ]
