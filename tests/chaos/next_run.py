"""What has to hold after whatever ended a run: the next one carries on, and nothing is lost, invented or repeated."""

from __future__ import annotations

import io
import json
from typing import Any

from chaos.quick_plan import World, lines
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.storage.journal.journal import copy_lines

FILES = {"install-state.json", "journal.jsonl", "journal", "lock", "cursors.json", "logs"}


def check_the_next_run(world: World, told: str, *, torn: bool = False) -> None:
    recorded, applied = journal(world), lines(world.ledger)
    began = {event["step"] for event in recorded if event["kind"] == "step_started"}
    assert set(applied) <= began, f"{told}: a step acted before its record was safe"

    code = world.run()
    assert code == 0, f"{told}: the next run ended with {code}"
    after = journal(world)
    assert after[: len(recorded)] == recorded, f"{told}: recorded events are gone or changed"
    assert [event["number"] for event in after] == list(range(1, len(after) + 1)), told
    assert [event["at"] for event in after] == sorted({event["at"] for event in after}), told
    assert lines(world.ledger) == dict.fromkeys(STEP_IDS, 1), f"{told}: {lines(world.ledger)}"
    state = json.loads((world.files / "install-state.json").read_text())
    assert {step["status"] for step in state["steps"].values()} == {"completed"}, told
    assert state["run"]["outcome"] == "succeeded", told
    stray = {path.name for path in world.files.iterdir()} - FILES
    # A torn state file is no stray: it is kept for whoever wants to know.
    assert not {name for name in stray if not (torn and name.startswith("install-state.json.unreadable-"))}, (
        f"{told}: {stray}"
    )
    assert world.run() == 0, told
    assert lines(world.ledger) == dict.fromkeys(STEP_IDS, 1), told


def journal(world: World) -> list[dict[str, Any]]:
    """Return the whole events that the journal holds; a torn last one is none."""
    content = io.BytesIO()
    copy_lines(world.files / "journal.jsonl", content)
    return [json.loads(line) for line in content.getvalue().decode(errors="replace").splitlines()]
