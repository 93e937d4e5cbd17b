"""What is told of an installation is the same whether its journal was compressed or not."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

from contextcore_install.commands.attach import attach
from contextcore_install.commands.past_runs import history
from contextcore_install.core.events import Kind
from contextcore_install.core.redaction import Redaction
from contextcore_install.runtime.app import App
from contextcore_install.runtime.bundle.evidence import evidence_of
from contextcore_install.runtime.console import recent_events
from contextcore_install.runtime.page.source import PageSource
from contextcore_install.storage.archived import archive_records
from contextcore_install.storage.home import ClusterLayout, make_home
from contextcore_install.storage.journal.compaction import compact
from contextcore_install.storage.journal.journal import JournalReader, copy_lines
from contextcore_install.storage.store import mend_records
from kit.fakes import Told
from kit.page_world import Story

SEGMENT_BYTES = 2_000
RUNS = 12


def a_story(folder: Path, *, compressed: bool) -> Story:
    """Tell of some runs, the second of which was killed; before each, the journal is compressed where it is long."""
    story = Story(folder)
    for number in range(1, RUNS + 1):
        a_run(story, number, compressed=compressed)
    return story


def a_run(story: Story, number: int, *, compressed: bool) -> None:
    if compressed:
        compact(story.files.journal, "test", SEGMENT_BYTES)
    story.begin(number, "install" if number == 1 else "resume")
    story.complete("preflight")
    if number == 1:
        story.add(Kind.VERIFIED, "metrics_seed", requirements=[{"requirement": "platform", "ratio": 1.0}])
    if number == 3:
        story.fail("cluster_create")
    if number != 2:
        story.end("failed" if number == 3 else "succeeded")


def both(tmp_path: Path) -> tuple[Story, Story]:
    plain = a_story(tmp_path / "plain", compressed=False)
    short = a_story(tmp_path / "compressed", compressed=True)
    assert not plain.files.past.exists()
    assert len(list(short.files.past.glob("*.jsonl.gz"))) > 2
    return plain, short


def page_of(source: PageSource) -> dict[str, Any]:
    source.look()
    return {
        "sections": source.sections(),
        "runs": [source.run(run_id) for run_id in source.latest_runs(100)],
        "rows": source.history(100),
        "older": source.history(100, 5),
    }


def told(app: App) -> str:
    assert isinstance(app.stdout, io.StringIO)
    return app.stdout.getvalue()


def test_the_page_tells_the_same(tmp_path: Path) -> None:
    plain, short = both(tmp_path)
    pages = [page_of(PageSource(story.app(), Redaction())) for story in (plain, short)]
    assert pages[0]["rows"]["rows"]
    assert len(pages[0]["runs"]) == RUNS
    assert json.dumps(pages[1]).replace("compressed", "plain") == json.dumps(pages[0])


def test_a_page_that_is_open_while_the_journal_is_compressed_goes_on(tmp_path: Path) -> None:
    story = Story(tmp_path)
    open_before = PageSource(story.app(), Redaction())
    for number in range(1, RUNS + 1):
        a_run(story, number, compressed=True)
        assert page_of(open_before) == page_of(PageSource(story.app(), Redaction()))


def test_a_page_whose_latest_run_is_all_compressed_shows_that_run(tmp_path: Path) -> None:
    plain, short = both(tmp_path)
    compact(short.files.journal, "test", 1)
    assert not short.files.journal.exists()
    pages = [page_of(PageSource(story.app(), Redaction())) for story in (plain, short)]
    assert json.dumps(pages[1]).replace("compressed", "plain") == json.dumps(pages[0])


def test_the_history_tells_the_same(tmp_path: Path) -> None:
    answers = []
    for story in both(tmp_path):
        app = story.app("history", "--output", "json")
        assert history(app) == 0
        answers.append(told(app))
    assert len(json.loads(answers[0])["runs"]) == RUNS
    assert answers[1] == answers[0]


def test_what_is_estimated_from_is_the_same(tmp_path: Path) -> None:
    plain, short = both(tmp_path)
    assert recent_events(short.app()) == recent_events(plain.app())
    assert len({event.run_id for event in recent_events(short.app())}) == RUNS


def test_a_bundle_has_as_much_of_the_journal(tmp_path: Path) -> None:
    found = []
    for story in both(tmp_path):
        all_of_it = evidence_of(story.app(), None, lambda _: (), journal_bytes=4_000)
        (evidence,) = [item for item in all_of_it if item.name == "the journal"]
        found.append(dict(evidence.collect(Told().ctx)))
    assert found[1] == found[0]
    assert len(found[0]["records/journal.jsonl"]) > 10


def test_what_is_put_aside_is_the_whole_history(tmp_path: Path) -> None:
    plain, short = both(tmp_path)
    make_home(short.app().home)
    kept = ClusterLayout(Path(archive_records(short.app().home, "test")))
    assert not short.files.past.exists()
    assert list(JournalReader(kept.journal).read()) == list(JournalReader(plain.files.journal).read())


def test_one_file_of_all_parts_stands_in_for_them(tmp_path: Path) -> None:
    plain, short = both(tmp_path)
    before = mend_records(short.files, "test")
    whole = io.BytesIO()
    copy_lines(short.files.journal, whole)
    assert whole.getvalue() == plain.files.journal.read_bytes()
    shutil.rmtree(short.files.past)
    short.files.journal.write_bytes(whole.getvalue())
    after = mend_records(short.files, "test")
    assert (after.state, after.offset) == (before.state, before.offset)


def test_a_run_that_began_with_compressing_can_be_watched(tmp_path: Path) -> None:
    shown = []
    for name in ("plain", "compressed"):
        story = Story(tmp_path / name)
        for number in range(1, RUNS):
            a_run(story, number, compressed=name == "compressed")
        with story.running():
            a_run(story, RUNS, compressed=name == "compressed")
            app = story.app("--attach")
            assert attach(app) == 0
        shown.append(told(app))
    assert "preflight" in shown[0]
    assert shown[1] == shown[0]
