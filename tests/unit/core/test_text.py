"""What is written as JSON is read by every program."""

from __future__ import annotations

import json

import pytest

from contextcore_install.core.text import IN_FILES, ascii_json, count


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("\ud800x", "\ufffdx"),
        ("\udfff", "\ufffd"),
        ("\udfff\ud800\udfff", "\ufffd\U000103ff"),
        ("\ud800\ud800", "\ufffd\ufffd"),
        ("\U0001f600 \\ud800 \\", "\U0001f600 \\ud800 \\"),
        ("\\\ud800", "\\\ufffd"),
    ],
)
def test_half_a_character_is_shown_as_the_one_that_stands_for_none(text: str, read: str) -> None:
    assert json.loads(ascii_json({text: [text]})) == {read: [read]}


def test_a_file_keeps_the_bytes_of_names_that_are_no_text() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    held = json.dumps([name, "\ud800"], ensure_ascii=False).encode("utf-8", IN_FILES)
    assert json.loads(held) == [name, "\ufffd"]


@pytest.mark.parametrize(
    ("number", "thing", "told"),
    [(1, "step", "1 step"), (2, "step", "2 steps"), (1, "entry", "1 entry"), (0, "entry", "0 entries")],
)
def test_a_number_of_things_is_told_in_the_right_form(number: int, thing: str, told: str) -> None:
    assert count(number, thing) == told
