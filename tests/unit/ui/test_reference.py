"""The reference pages say what the code does: kinds, fields and codes cannot drift apart from them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import contextcore_install
from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import DURABLE, TRANSIENT, Event, Kind, event_from_document
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine import state as core_state
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.outcome import Limits
from contextcore_install.engine.plan import Plan, RetryPolicy
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.engine.status import status_document
from contextcore_install.system.clock import SystemClock
from contextcore_install.ui.status import render_status
from contextcore_install.ui.style import Style

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
SOURCE = Path(contextcore_install.__file__).parent
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class Field:
    """A row of a table of fields."""

    types: tuple[type, ...]
    always: bool


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def sections(text: str, level: int) -> dict[str, str]:
    """Return the text below each heading of a level, by the heading without its quotes."""
    pieces = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return {title.strip("`"): body for title, body in zip(pieces[1::2], pieces[2::2], strict=True)}


def fields(text: str) -> dict[str, Field]:
    """Return the first table of fields in a text."""
    found: dict[str, Field] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            types = tuple(kind for word in cells[1].split(" or ") for kind in TYPES[word])
            found[cells[0].strip("`")] = Field(types, len(cells) == 3 or cells[2] == "yes")
        elif found:
            break
    return found


def example(text: str) -> dict[str, Any]:
    match = re.search(r"```json\n(.+?)```", text, flags=re.DOTALL)
    assert match, "there is no example"
    document: dict[str, Any] = json.loads(match[1])
    return document


def assert_fits(data: Mapping[str, Any], table: Mapping[str, Field], *, open_ended: bool = False) -> None:
    """Assert that the data has the fields of a table, with their types, and no others."""
    assert {name for name, row in table.items() if row.always} <= set(data)
    for name, value in data.items():
        if name in table:
            assert isinstance(value, table[name].types), f"{name} is {value!r}"
            assert bool in table[name].types or not isinstance(value, bool)
        else:
            assert open_ended, f"{name} is not documented"


KINDS = sections(sections(page("events.md"), 2)["Kinds"], 3)
KNOWN = [kind for kind in Kind if kind is not Kind.UNKNOWN]
ERROR = fields(sections(page("events.md"), 2)["Errors"])


def test_every_kind_of_event_is_documented_and_no_other() -> None:
    assert set(KINDS) == {kind.value for kind in KNOWN}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_kind_is_documented_with_how_it_is_kept_and_an_example(kind: Kind) -> None:
    section = KINDS[kind.value]
    kept = "Transient." if kind in TRANSIENT else "Durable." if kind in DURABLE else "Recorded."
    assert section.strip().startswith(kept)
    event = event_from_document(example(section))
    assert event.kind is kind
    assert (event.number == 0) == (kind in TRANSIENT)
    assert_fits(event.data, fields(section))
    State("o11y-dev").apply(event)


class EventfulStep:
    """A step that tells everything that a step can tell."""

    id = title = "eventful"
    needs: tuple[str, ...] = ()
    retry = RetryPolicy(attempts=2, base_s=0.001, floor_s=0.001)
    timeout_s = 30.0

    def __init__(self, step_id: str, *, hopeless: bool = False) -> None:
        self.id = step_id
        self._attempts = 0
        self._hopeless = hopeless

    def check(self, ctx: StepContext) -> CheckResult:
        if self._attempts > 1 and not self._hopeless:
            return CheckResult("fine", (Finding("slow", "it is slow", "3 s", warning=True),))
        remedy = Remedy("put it there", automatic=True)
        return CheckResult(findings=(Finding("absent", "it is not there", "nothing", remedy),))

    def apply(self, ctx: StepContext) -> None:
        self._attempts += 1
        with ctx.part("one"):
            ctx.activity("working")
            ctx.output("a line")
            ctx.command(["echo", "a line"], 0, 0.01)
        ctx.notice("something", more=1)
        ctx.verified([{"requirement": "a", "category": "b", "ratio": 1.0}])
        ctx.wait(0.05)
        if self._attempts == 1:
            raise InstallError("unlucky", "try again", "seen", "wait", retryable=True)

    def by_hand(self) -> Sequence[str]:
        return []

    def undo(self, ctx: StepContext) -> None:
        raise NotImplementedError


class Collected:
    """Journal and keeper of the state in one that only keeps the events."""

    dirty = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def append(self, event: Event) -> None:
        pass

    def sync(self) -> None:
        pass

    def save(self) -> None:
        pass


def run_events() -> list[Event]:
    kept = Collected()
    clock = SystemClock()
    recorder = Recorder(kept, clock, kept, [], run_id="run-1")
    plan = Plan([EventfulStep("eventful"), EventfulStep("hopeless", hopeless=True)])
    Engine(plan, recorder, clock, Workers(), lambda: 0.5, Limits(tick_s=0.01)).run()
    return kept.events


def test_the_events_of_a_real_run_have_the_documented_fields() -> None:
    seen = set()
    for event in run_events():
        seen.add(event.kind)
        assert_fits(event.data, fields(KINDS[event.kind.value]), open_ended=event.kind is Kind.NOTICE)
        if "error" in event.data:
            assert_fits(event.data["error"], ERROR)
    by_a_run = {
        Kind.INSTALLATION_STARTED,
        Kind.STATE_IMPORTED,
        Kind.SETTINGS_CHANGED,
        Kind.RUN_STARTED,
        Kind.RUN_FINISHED,
        Kind.STEP_INVALIDATED,
        Kind.STEP_UNDO_STARTED,
        Kind.STEP_UNDONE,
        Kind.WATCH_LOOKED,
        Kind.WATCH_REMEDIED,
        Kind.WATCH_GAVE_UP,
        Kind.HEARTBEAT,
        Kind.DATA_NOTED,
    }
    assert seen == set(KNOWN) - by_a_run


def recorded_fields() -> Iterator[tuple[str, str, str]]:
    """Yield (kind, field, place) for each field that the source names where it records an event."""
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
                continue
            kind = call.args[0]
            if call.func.attr == "record" and isinstance(kind, ast.Attribute) and kind.attr.isupper():
                for name in filter(None, (word.arg for word in call.keywords)):
                    yield Kind[kind.attr].value, name, f"{path.name}:{call.lineno}"


def test_every_field_that_the_source_records_is_documented() -> None:
    found = list(recorded_fields())
    assert len({kind for kind, _, _ in found}) > 8
    missing = [f"{kind}.{name} ({place})" for kind, name, place in found if name not in fields(KINDS[kind])]
    assert not missing


def test_exit_codes_are_documented_with_their_names() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", page("exit-codes.md"), flags=re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: code.value for code in ExitCode}


def test_the_status_has_the_documented_fields() -> None:
    parts = sections(page("status.md"), 2)
    holder = {"pid": 1, "host": "box", "since": "2026-01-01T12:00:00Z", "command": "x"}
    for shown in (example(parts["Example"]), status_document(State("o11y-dev"), live=True, holder=holder)):
        top = fields(page("status.md")) | dict.fromkeys(
            ("checks", "endpoints", "records", "notices", "other_steps"), Field((list,), False)
        )
        assert_fits(shown, top)
        assert_fits(shown["run"], fields(parts["run"]) | {"holder": Field((dict,), False)})
        assert [step["id"] for step in shown["steps"]] == list(STEP_IDS)
        for step in shown["steps"]:
            assert_fits(step, fields(parts["steps"]))
            if step["error"]:
                assert_fits(step["error"], ERROR)
    assert "failed, 3 of 6 steps done" in render_status(example(parts["Example"]), Style(80))


def test_the_state_file_has_the_documented_fields() -> None:
    text = page("state.md")
    parts = sections(text, 2)
    shown = example(parts["Example"])
    assert_fits(shown, fields(text))
    assert set(shown["run"]) <= set(fields(parts["run"]))
    known = set(fields(text)) - {"journal", "digest"}
    assert known == set(State("x", data={"data-loki-0": "uid"}).as_document())
    assert set(fields(parts["run"])) == set(core_state.RunState.__slots__)
    assert set(fields(parts["steps"])) == set(core_state.STEP_FIELDS)
    state = state_from_document(shown)
    assert state.as_document() == shown
    assert state.steps["cluster_create"].status == "in_progress"
