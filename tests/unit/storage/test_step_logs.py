"""A step's log is for people: what an event holds is written in words, not as the program's own objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contextcore_install.core.events import Event, Kind
from contextcore_install.storage.step_logs import StepLogs, read_log


def written(folder: Path, kind: Kind, **data: Any) -> list[str]:
    logs = StepLogs(folder)
    logs.handle(Event(1, 1_700_000_000_000_000, "run", kind, "preflight", data))
    logs.close()
    return [
        line.removeprefix("2023-11-14T22:13:20.000000Z ") for line in read_log(folder, "run", "preflight")
    ]


def test_objects_are_told_field_by_field(tmp_path: Path) -> None:
    remedy = {"summary": "Get one.", "command": "", "risk": "harmless", "automatic": True}
    (line,) = written(tmp_path, Kind.FINDING, code="missing", message="There is none.", remedy=remedy)
    assert line.startswith("[finding] code=missing message=There is none. remedy.summary=Get one. ")
    assert line.endswith(" remedy.risk=harmless remedy.automatic=True")


def test_each_of_many_has_its_line(tmp_path: Path) -> None:
    requirements = [
        {"id": "memory", "status": "met"},
        {"id": "disk", "status": "unmet", "missing": ["a", "b"]},
    ]
    assert written(tmp_path, Kind.VERIFIED, completeness_percent=50.0, requirements=requirements) == [
        "[verified] completeness_percent=50.0",
        "    requirements: id=memory status=met",
        "    requirements: id=disk status=unmet missing=a, b",
    ]
