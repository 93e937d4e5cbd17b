"""What somebody may leave in our files, or answer: made of real documents by changing them, and of nothing at all.

FUZZ_EXAMPLES asks for more examples a test than the few of every test run.
"""

from __future__ import annotations

import copy
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from contextcore_install.__main__ import main
from contextcore_install.core.dataclass import dataclass

LONG = "x" * 1_000_000
NASTY = (
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "two\nlines\r\nand\rmore\x00\x08\x7f\x9b2J",
    "'; touch pwned; $(touch pwned) `touch pwned` \"",
    "\u202egnp.exe\u200b\ufeff",
    "\ud800 half a pair",
    "../../../../etc/passwd",
    "-rf",
    "999999999999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    LONG,
)
CALM_S = 20.0
"""How long anything here may take, in seconds, on a machine that is busy elsewhere."""

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))

examples = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(examples, max_examples=10 * EXAMPLES)
"""For what takes no process and no file."""

texts = st.text(max_size=12) | st.sampled_from(NASTY)
numbers = (
    st.integers()
    | st.sampled_from([10**400, -(2**63), 2**63, 1e308])
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
"""Anything that JSON can say."""


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document in which one to four places hold something else, or nothing."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(document))
        if not places:
            return draw(values)
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()) or isinstance(holder, list):
            holder[key] = draw(values)
        elif draw(st.booleans()):
            del holder[key]
        else:
            holder[draw(texts)] = draw(values)
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in list(keys):
        yield document, key
        yield from _places(document[key])


@dataclass(frozen=True)
class Shown:
    """What an invocation ended with and printed."""

    code: int
    out: str
    err: str


def invoke(home: Path, words: Sequence[str], environ: dict[str, str] | None = None) -> Shown:
    """Carry out one invocation in this process; what it prints goes through a real encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    world = {"CONTEXTCORE_HOME": str(home), "PATH": "/usr/bin:/bin", "HOME": str(home.parent)} | (environ or {})
    began, umask = time.monotonic(), os.umask(0o077)
    with ExitStack() as stack:
        stack.callback(os.umask, umask)
        stack.enter_context(patch.dict(os.environ, world, clear=True))
        for name, stream in (("stdout", out), ("stderr", err)):
            stack.enter_context(patch.object(sys, name, stream))
        stack.enter_context(patch.object(sys, "argv", ["create-cluster.sh"]))
        try:
            code = main([*words])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    took = time.monotonic() - began
    shown = Shown(code, _printed(out), _printed(err))
    assert took < CALM_S, f"{list(words)} took {took:.0f} s"
    assert code in (0, 1, 2, 3, 4, 5), f"{list(words)}: exit code {code}: {shown.out[-3000:]}{shown.err[-3000:]}"
    assert "Traceback" not in shown.out + shown.err, shown
    return shown


def assert_harmless(text: str, most: int = 100_000) -> None:
    """What people are shown does nothing to a terminal, and is no flood."""
    wrong = {character for character in text if not character.isprintable() and character != "\n"}
    assert not wrong, f"{sorted(map(ord, wrong))} in {text[:2000]!r}"
    assert len(text) < most, f"{len(text)} characters"


def _printed(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")
