"""The state file: written again and again, piece by piece, and known again by its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.events import Event, JournalOffset, Kind
from contextcore_install.engine.state import COMPLETED, State, StepState
from contextcore_install.storage.files import write_atomically
from contextcore_install.storage.state_file import StateWriter, load_state

MARK = JournalOffset(events=3, bytes=700, at_us=1_795_000_000_000_000)


def test_people_and_earlier_versions_find_a_line_a_field_and_a_line_a_step(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    steps = {"a": StepState(COMPLETED, attempts=1), "b": StepState()}
    StateWriter(path, State("test", steps=steps), lambda: MARK).write()
    assert path.read_text() == (
        '{\n  "version": "1.0",\n  "cluster_name": "test",\n  "started_at": "",\n  "updated_at": "",\n'
        '  "installation_id": "",\n  "provider": "",\n  "verified_at": "",\n  "settings": {},\n  "run": {},\n'
        '  "journal": {"events": 3, "bytes": 700, "at_us": 1795000000000000},\n  "steps": {\n'
        '    "a": {"status": "completed", "attempts": 1},\n    "b": {"status": "pending"}\n  },\n'
        '  "digest": "crc32:dd1b1e9e"\n}\n'
    )


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_a_state_of_any_size_is_read_as_it_was_written_and_known_as_ours(tmp_path: Path, count: int) -> None:
    path = tmp_path / "state.json"
    state = State("test", steps={f"step_{number}": StepState() for number in range(count)})
    StateWriter(path, state, lambda: MARK).write()
    assert as_stored(path) == state.as_document()["steps"]


def test_what_came_and_what_changed_since_the_last_time_is_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = State("test", steps={"z": StepState()})
    writer = StateWriter(path, state, lambda: MARK)
    writer.write()
    writer.handle(event(Kind.FINDING, "never_begun"))
    for step_id in ("y", "a", "m", "z"):
        writer.handle(event(Kind.STEP_STARTED, step_id))
    writer.handle(event(Kind.STEP_COMPLETED, "z"))
    writer.save()
    stored = as_stored(path)
    assert stored == state.as_document()["steps"]
    assert list(stored) == ["z", "y", "a", "m"]


def test_a_state_that_became_another_is_written_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    writer = StateWriter(path, State("test", steps={"a": StepState(), "b": StepState()}), lambda: MARK)
    writer.write()
    other = State("test", steps={"b": StepState(COMPLETED), "c": StepState()}).as_document()
    writer.handle(event(Kind.STATE_IMPORTED, document=other))
    writer.save()
    assert as_stored(path) == other["steps"]


def event(kind: Kind, step: str = "", **data: object) -> Event:
    return Event(1, MARK.at_us, "run", kind, step, data)


def as_stored(path: Path) -> dict[str, object]:
    """Return the steps that a state file of ours holds; six are always there."""
    stored = load_state(path)
    assert stored is not None
    assert stored.ours
    steps: dict[str, object] = stored.state.as_document()["steps"]
    return {step_id: step for step_id, step in steps.items() if step_id not in State("").steps}


def test_content_that_cannot_be_made_to_its_end_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("no more")

    path = tmp_path / "file"
    write_atomically(path, [b"old", b" file"])
    with pytest.raises(ValueError, match="no more"):
        write_atomically(path, pieces())
    assert path.read_bytes() == b"old file"
    assert list(tmp_path.iterdir()) == [path]
