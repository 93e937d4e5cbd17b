"""The live view's picture of a run."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.live import Heading, Picture
from contextcore_install.ui.console.progress import DisplayPhase, Progress
from contextcore_install.ui.style import Style
from unit.ui.samples import TITLES, EventMaker, FakeClock, dangerous, events, hostile_text, too_wide

HEADING = Heading("o11y-dev", "host", "install", "run-1")


def under_way() -> Progress:
    """Return a run that is in its second step, one part of which is done."""
    progress, told = Progress(TITLES), EventMaker(FakeClock())
    progress.handle(told(Kind.STEP_CHECKING, "preflight"), 0)
    progress.handle(told(Kind.STEP_COMPLETED, "preflight", already=True, duration_seconds=0.8, summary="14 met"), 1)
    progress.handle(told(Kind.STEP_CHECKING, "cluster_create"), 1)
    progress.handle(told(Kind.STEP_STARTED, "cluster_create", attempt=1), 2)
    progress.handle(told(Kind.PART_STARTED, "cluster_create", part="boot the node"), 2)
    progress.handle(told(Kind.PART_STARTED, "cluster_create", part="pull images"), 2)
    progress.handle(told(Kind.PART_FINISHED, "cluster_create", part="pull images", outcome="completed"), 7)
    progress.handle(told(Kind.OUTPUT, "cluster_create", line="\x1b[32mready\x1b[0m\r"), 7)
    return progress


def test_the_view_shows_the_steps_what_runs_and_how_long() -> None:
    assert Picture(under_way(), HEADING, Style(80), 12.0).frame(23, 0.0) == [
        "o11y-dev on host · install · run-1",
        "",
        "  = preflight        0.8 s  up to date: 14 met",
        "  ⠦ cluster_create    0:11  Create the cluster",
        "      ⠦ boot the node   0:10",
        "      ✓ pull images    5.0 s",
        "      → ready",
        "  · manifests_apply         Apply the configuration",
        "  · pods_ready              Wait until everything is ready",
        "  · services_verify         Ask the services",
        "  · metrics_seed            Seed the metrics",
        "",
        "  ━━━━────────────────────   1 of 6   0:12",
    ]


def test_a_part_that_its_step_may_do_without_is_no_failure_of_the_step() -> None:
    progress = under_way()
    failed = EventMaker(FakeClock())(Kind.PART_FINISHED, "cluster_create", part="boot the node", outcome="failed")
    progress.handle(failed, 12)
    assert "      ! boot the node   10 s" in Picture(progress, HEADING, Style(80), 12.0).frame(23, 0.0)


def test_on_a_low_screen_what_runs_is_kept_and_what_waits_goes() -> None:
    lines = Picture(under_way(), HEADING, Style(40), 12.0).frame(6, 0.0)
    assert len(lines) == 6
    assert any("cluster_create" in line for line in lines)
    assert any("boot the node" in line for line in lines)
    assert not any("metrics_seed" in line for line in lines)


def test_ten_lines_show_every_step() -> None:
    lines = Picture(under_way(), HEADING, Style(40), 12.0).frame(9, 0.0)
    assert all(any(step in line for line in lines) for step in TITLES)


def test_what_stays_on_the_screen_tells_how_each_step_ended() -> None:
    progress = under_way()
    progress.stop(15)
    lines = Picture(progress, HEADING, Style(80), 15).final()
    assert lines[3] == "  ◼ cluster_create    14 s  Create the cluster"
    assert len(lines) == 9


def test_a_failure_shows_its_message_even_on_a_narrow_screen() -> None:
    progress, told = Progress(TITLES), EventMaker(FakeClock())
    progress.handle(told(Kind.STEP_FAILED, "pods_ready", error={"message": "it crashes"}, duration_seconds=2), 2)
    assert any("it crashes" in line for line in Picture(progress, HEADING, Style(30), 2).frame(9, 0))
    assert any("it crashes" in line for line in Picture(progress, HEADING, Style(80), 2).frame(9, 0))


@pytest.mark.parametrize(("columns", "lines"), [*itertools.product((1, 10, 40, 80, 160), (1, 3, 9, 23))])
def test_the_view_fits_every_screen(columns: int, lines: int) -> None:
    shown = Picture(under_way(), HEADING, Style(columns), 12.0).frame(lines, 0.0)
    assert 1 <= len(shown) <= lines
    assert not too_wide("\n".join(shown), columns)


def test_ten_thousand_steps_fit_too() -> None:
    progress = Progress({f"step-{n}": "title" for n in range(10_000)})
    progress.handle(EventMaker(FakeClock())(Kind.STEP_STARTED, "step-5000", attempt=1), 0)
    shown = Picture(progress, HEADING, Style(80), 1.0).frame(23, 0.0)
    assert len(shown) <= 23
    assert any("step-5000" in line for line in shown)


@given(st.lists(events, max_size=15), st.integers(1, 120), st.integers(1, 40), st.booleans(), hostile_text)
def test_no_event_breaks_the_view(told: list[Event], width: int, height: int, unicode: bool, name: str) -> None:
    progress = Progress(TITLES, history=lambda: {step: [1.0, 2.0] for step in TITLES}, done_before=["preflight"])
    style = Style(width, unicode=unicode)
    for now, event in enumerate(told):
        progress.handle(event, now)
        shown = Picture(progress, Heading(name, name, name, name), style, now + 0.5).frame(height, 0.0)
        assert len(shown) <= height
        assert not too_wide("\n".join(shown), width)
        assert not dangerous("\n".join(shown))
    final = "\n".join(Picture(progress, HEADING, style, 99.0).final())
    assert not too_wide(final, width)


def test_steps_told_of_but_not_planned_are_shown_behind_the_others() -> None:
    progress = Progress(TITLES)
    progress.handle(EventMaker(FakeClock())(Kind.STEP_STARTED, "extra", attempt=1), 0)
    assert [*progress.steps][-1] == "extra"
    assert progress.steps["extra"].phase is DisplayPhase.RUNNING
