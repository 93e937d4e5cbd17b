"""Text from outside is shown harmlessly, measured in cells, and cut or wrapped to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.ui import text as ui_text
from contextcore_install.ui.text import (
    cells,
    clip,
    duration,
    latest_line,
    sanitize,
    sanitize_lines,
    size,
    stopwatch,
    wrap,
)
from unit.ui.samples import ENDLESS, HOSTILE, dangerous, hostile_text


@pytest.mark.parametrize("text", [*HOSTILE, *ENDLESS], ids=range(len(HOSTILE) + len(ENDLESS)))
def test_hostile_text_becomes_one_short_harmless_line(text: str) -> None:
    shown = sanitize(text)
    assert not dangerous(shown)
    assert "\n" not in shown
    assert len(shown) <= ui_text.LIMIT


@given(hostile_text, st.integers(1, 50))
def test_no_text_survives_that_could_do_harm_or_is_too_long(text: str, limit: int) -> None:
    assert not dangerous(sanitize(text, limit))
    assert len(sanitize(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("\x1b[1;31mFATAL\x1b[0m: no disk", "FATAL: no disk"),
        ("\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "here"),
        ("one\n  two\tthree", "one two three"),
        ("bell\x07", "bell�"),
        ("abc\u202ecba", "abccba"),
        (12, "12"),
        (None, "None"),
    ],
)
def test_what_can_be_read_of_a_text_stays(text: object, shown: str) -> None:
    assert sanitize(text) == shown


def test_a_line_overwritten_by_carriage_returns_shows_what_a_terminal_would() -> None:
    assert latest_line("10 %\r50 %\r100 %\r") == "100 %"
    assert latest_line("\r\r") == ""


def test_the_last_lines_of_a_long_text_are_kept_and_empty_ones_go() -> None:
    assert sanitize_lines("a\n\nb\r\nc\n", 2) == ["b", "c"]
    assert len(sanitize_lines("line\n" * 100_000, 5)) == 5


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("漢字", 4), ("é", 1), ("e\u0301", 1), ("…", 1), ("", 0)])
def test_width_is_counted_in_terminal_cells(text: str, width: int) -> None:
    assert cells(text) == width


@given(st.text(), st.integers(0, 30))
def test_clipped_text_fits(text: str, width: int) -> None:
    assert cells(clip(text, width)) <= width


@given(st.text(), st.integers(2, 30))
def test_wrapped_text_fits_and_loses_no_word(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1729, "1.7 KiB"),
        (20 * 1024, "20 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (300 * 1024 * 1024, "300 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5000 * 1024**3, "5000 GiB"),
    ],
)
def test_sizes_read_well_however_small_or_large(amount: int, words: str) -> None:
    assert size(amount) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3661, "1 h 01 min"),
        (90_000, "1 d 01 h"),
        (None, ""),
        (True, ""),
        (-1, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        ("7", ""),
    ],
)
def test_durations_read_well_and_nonsense_shows_as_nothing(seconds: object, words: str) -> None:
    assert duration(seconds) == words


def test_a_stopwatch_counts_hours_only_when_there_are_some() -> None:
    assert [stopwatch(seconds) for seconds in (-1, 7.9, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]
