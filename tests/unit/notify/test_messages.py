from __future__ import annotations

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.outcome import Outcome
from contextcore_install.notify.messages import Level, RunFacts, failed_before, message_about

STORY = RunFacts(
    place="demo on host (box)",
    mode="resume",
    run_id="r2",
    outcome=Outcome.SUCCEEDED,
    duration_s=3.0,
    took="3.0 s",
    next_command="./create-cluster.sh --resume",
)


def test_a_failure_names_the_step_the_reason_and_what_to_do() -> None:
    error = InstallError("no-room", "the disk is full", hint="free some disk space")
    message = message_about(replace(STORY, outcome=Outcome.FAILED, errors={"pods_ready": error}))
    assert message
    assert message.level is Level.FAILURE
    assert message.title == "demo on host (box): the run failed"
    for part in ("r2", "pods_ready: the disk is full", "free some disk space", "--resume"):
        assert part in message.body


@pytest.mark.parametrize(
    ("story", "title"),
    [
        (STORY, ""),
        (replace(STORY, failed_before=True), "works again"),
        (replace(STORY, took_over="r1"), "has completed"),
        (replace(STORY, duration_s=601.0), "has completed"),
        (replace(STORY, outcome=Outcome.INTERRUPTED, took_over="r1", failed_before=True), ""),
    ],
)
def test_a_success_is_news_only_where_somebody_waits_for_it(story: RunFacts, title: str) -> None:
    message = message_about(story)
    assert (message.title if message else "").endswith(title)
    assert bool(message) == bool(title)


def test_a_run_that_was_taken_over_is_named() -> None:
    message = message_about(replace(STORY, took_over="r1"))
    assert message
    assert "took over the run r1" in message.body


@pytest.mark.parametrize(
    ("outcomes", "failed"),
    [
        ([], False),
        (["failed"], True),
        (["failed", "interrupted"], True),
        (["failed", "succeeded"], False),
        (["succeeded", "failed"], True),
    ],
)
def test_whether_the_run_before_had_failed_is_told_by_the_journal(outcomes: list[str], failed: bool) -> None:
    events = [
        Event(number, number, f"r{number}", Kind.RUN_FINISHED, "", {"outcome": outcome})
        for number, outcome in enumerate([*outcomes, "failed"])
    ]
    assert failed_before(events, f"r{len(outcomes)}") is failed
