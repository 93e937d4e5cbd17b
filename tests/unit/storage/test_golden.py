"""Files of every schema version, as they were once written: they are read for ever, and come to the same.

`tests/golden` holds them beside what has to come of them. What was committed there is never changed, only added to.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import JournalOffset
from contextcore_install.engine.journal_summary import JournalSummary
from contextcore_install.storage.files import parse_json
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.compaction import past_summary
from contextcore_install.storage.journal.journal import JournalReader, JournalWriter
from contextcore_install.storage.state_file import StateWriter, load_state
from contextcore_install.storage.store import mend_records, read_records

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
STATES = sorted(path.name for path in GOLDEN.glob("state-*.json") if ".expected" not in path.name)
CLUSTER = "o11y-dev"


def expected(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDEN / f"{name.removesuffix('.json')}.expected.json").read_text())
    return document


@pytest.mark.parametrize("name", STATES)
def test_a_state_file_of_any_version_loads_as_it_always_did(name: str) -> None:
    stored = load_state(GOLDEN / name)
    assert stored
    assert stored.state.as_document() == expected(name)
    assert stored.ours == name.startswith("state-1.0")


@pytest.mark.parametrize("name", STATES)
def test_a_state_file_of_any_version_is_taken_over_and_written_in_todays_form(tmp_path: Path, name: str) -> None:
    layout = ClusterLayout(tmp_path)
    shutil.copy(GOLDEN / name, layout.state)
    records = mend_records(layout, CLUSTER)
    StateWriter(layout.state, records.state, JournalOffset).write()
    written = parse_json(layout.state.read_bytes())
    assert {name: written[name] for name in expected(name)} == expected(name)
    assert read_records(layout, CLUSTER).state == records.state


@pytest.mark.parametrize("journal", ["journal.jsonl", "compacted/journal.jsonl"])
def test_a_journal_comes_to_the_same_for_ever(journal: str) -> None:
    summary = JournalSummary(CLUSTER)
    reader = JournalReader(GOLDEN / journal)
    for position, event in reader.read():
        summary.take(position, event)
    assert reader.damage.lines == 0
    told = {name: part for name, part in summary.as_document().items() if name not in ("version", "places")}
    assert told == expected("journal")


def test_the_summarys_of_compressed_parts_are_read_for_ever() -> None:
    summary, end = past_summary(GOLDEN / "compacted" / "journal.jsonl", CLUSTER)
    *ended, last = expected("journal")["runs"]
    assert summary.runs == [*ended, {**last, "outcome": None, "duration_seconds": None}]
    growing = (GOLDEN / "compacted" / "journal.jsonl").stat().st_size
    assert end == JournalReader(GOLDEN / "journal.jsonl").size() - growing


@pytest.mark.parametrize("kept", [("journal.jsonl", "state-1.0.json"), ("journal.jsonl",), ("state-1.0.json",)])
def test_what_is_left_of_the_records_comes_to_the_same_state(tmp_path: Path, kept: tuple[str, ...]) -> None:
    layout = ClusterLayout(tmp_path)
    places = {"journal.jsonl": layout.journal, "state-1.0.json": layout.state}
    for name in kept:
        shutil.copy(GOLDEN / name, places[name])
    assert mend_records(layout, CLUSTER).state.as_document() == expected("journal")["state"]


def test_kinds_and_fields_of_later_versions_survive_a_journal_that_is_mended(tmp_path: Path) -> None:
    layout = ClusterLayout(tmp_path)
    before = (GOLDEN / "journal.jsonl").read_text().splitlines()
    layout.journal.write_text("\n".join([before[0], "garbage", *before[1:]]) + "\n")
    records = mend_records(layout, CLUSTER)
    after = layout.journal.read_text().splitlines()
    assert [json.loads(line) for line in after] == [json.loads(line) for line in before]
    assert '"kind":"step_postponed"' in after[-1]
    assert records.offset.events == len(before)


def test_what_follows_an_event_of_a_later_version_gets_a_number_of_its_own(tmp_path: Path) -> None:
    layout = ClusterLayout(tmp_path)
    shutil.copy(GOLDEN / "journal.jsonl", layout.journal)
    shutil.copy(GOLDEN / "state-1.0.json", layout.state)
    records = mend_records(layout, CLUSTER)
    assert records.notices == []
    JournalWriter(layout.journal, records.offset).close()
    assert records.offset.events == len(layout.journal.read_text().splitlines())


def test_fields_that_others_put_beside_the_steps_are_a_change_that_is_recorded(tmp_path: Path) -> None:
    layout = ClusterLayout(tmp_path)
    shutil.copy(GOLDEN / "journal.jsonl", layout.journal)
    document = json.loads((GOLDEN / "state-1.0.json").read_text())
    document["owner"] = "somebody else"
    layout.state.write_text(json.dumps(document))
    records = mend_records(layout, CLUSTER)
    assert records.imported
    assert records.imported["document"]["owner"] == "somebody else"
    assert records.state.extra == {"owner": "somebody else"}


@pytest.mark.parametrize("version", ["1.1", "2.0", "10"])
def test_a_newer_version_is_refused_with_what_to_do_and_left_alone(tmp_path: Path, version: str) -> None:
    layout = ClusterLayout(tmp_path)
    shutil.copy(GOLDEN / "journal.jsonl", layout.journal)
    document = json.loads((GOLDEN / "state-1.0.json").read_text())
    layout.state.write_text(json.dumps({**document, "version": version}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for read in (read_records, mend_records):
        with pytest.raises(InstallError, match=f"schema version {version}, and this program reads 1.0") as refused:
            read(layout, CLUSTER)
        assert refused.value.exit_code is ExitCode.STATE_UNUSABLE
        assert "use that version" in refused.value.hint
        assert "--reset" in refused.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
