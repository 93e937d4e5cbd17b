"""Events, clocks and streams that the tests of the consoles share, and text that means harm."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.style import shown_cells

TITLES = {
    "preflight": "Check the machine",
    "cluster_create": "Create the cluster",
    "manifests_apply": "Apply the configuration",
    "pods_ready": "Wait until everything is ready",
    "services_verify": "Ask the services",
    "metrics_seed": "Seed the metrics",
}
NOON_US = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z

HOSTILE = (
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "two\nlines\r\nand\rmore\x0b\x0c\x85\u2028\u2029",
    "\x00\x07\x08\x7f\x80\x9b31m",
    "\u202eevil\u202c\u200b\u2066\ufeff",
    "\ud800 lone surrogate",
    "漢字かな交じり文 👩‍👩‍👧‍👦 e\u0301\u0301",
    "\x1b",
    "x" * 5_000,
    "\x1b[" + "1;" * 2_000,
    "",
)
ENDLESS = ("x" * 1_000_000, "\x1b[" + "1;" * 500_000)
"""Too long for examples that Hypothesis shows: each has tests of its own."""

hostile_text = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200))
"""What may come from commands, files and other people's state."""

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile_text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)

KEYS = (
    "text", "line", "part", "outcome", "duration_seconds", "error", "summary", "already", "attempt",
    "delay_seconds", "message", "evidence", "remedy", "reason", "mode", "requirements", "running",
)  # fmt: skip

events = st.builds(
    Event,
    st.integers(0, 10**6),
    st.integers(0, 2**52),
    hostile_text,
    st.sampled_from(list(Kind)),
    st.one_of(st.just(""), st.sampled_from([*TITLES]), hostile_text),
    st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5),
)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return NOON_US + round(self.seconds * 1_000_000)

    def monotonic(self) -> float:
        return self.seconds


class EventMaker:
    """Makes events at the clock's time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __call__(self, kind: Kind, step: str = "", **data: Any) -> Event:
        return Event(0, self._clock.now_us(), "run-1", kind, step, data)


class BrokenStream(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def too_wide(text: str, width: int, exempt: Iterable[str] = ()) -> list[str]:
    """Return the lines that take more cells than the width, but for those that hold what is to be copied."""
    return [line for line in text.split("\n") if shown_cells(line) > width and not any(part in line for part in exempt)]


def dangerous(text: str) -> list[str]:
    """Return the characters, line ends aside, that could do something to a terminal or cannot be encoded."""
    return [character for character in text if character != "\n" and not character.isprintable()]
