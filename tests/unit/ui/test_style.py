"""Lines as a screen can show them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.ui.style import Style, shown_cells, table
from unit.ui.samples import dangerous, too_wide


def test_colour_is_put_around_text_and_takes_no_room() -> None:
    style = Style(20, colour=True)
    line = style.line(("ok", "good"), "  ", ("", "bad"), "text")
    assert line == "\x1b[32mok\x1b[0m  text"
    assert shown_cells(line) == 8


def test_a_screen_without_unicode_gets_ascii_only() -> None:
    style = Style(60, unicode=False)
    line = style.line(style.mark("done"), " 漢字 → here… ", style.spinner(0.3))
    assert line.isascii()
    assert line.startswith("+ ?? -> here... ")


@given(st.lists(st.text(max_size=20)), st.integers(1, 40), st.booleans(), st.booleans())
def test_a_line_fits_its_width_and_holds_no_control_character(
    texts: list[str], width: int, colour: bool, unicode: bool
) -> None:
    line = Style(width, colour=False, unicode=unicode).line(*texts)
    assert shown_cells(line) <= width
    assert not dangerous(line)
    coloured = Style(width, colour=colour, unicode=unicode).line(*[(text, "good") for text in texts])
    assert shown_cells(coloured) <= width


def test_what_is_to_be_copied_is_not_cut() -> None:
    assert Style(10).line("./create-cluster.sh --resume", whole=True) == "./create-cluster.sh --resume"


@given(st.text(max_size=80), st.text(max_size=20), st.integers(2, 60), st.integers(0, 30))
def test_a_paragraph_fits_whatever_stands_before_it(text: str, lead: str, width: int, indent: int) -> None:
    lines = Style(width).paragraph(text, first=[(lead, "")], indent=indent)
    assert not too_wide("\n".join(lines), width)


def test_a_paragraph_hangs_below_its_first_line() -> None:
    lines = Style(24).paragraph("one two three four five", first=[("  ! ", "warn")], indent=4)
    assert lines == ["  ! one two three four", "    five"]


def test_columns_are_aligned_by_cells_and_not_by_characters() -> None:
    style = Style(40)
    lines = table(style, [[("漢字", ""), ("x", "")], [("abc", ""), ("y", "")]])
    assert lines == ["  漢字  x", "  abc   y"]


def test_a_column_that_is_empty_in_every_row_takes_no_room() -> None:
    rows = [[("a", ""), ("", ""), ("x", "")], [("b", ""), ("", ""), ("y", "")]]
    assert table(Style(40), rows) == ["  a  x", "  b  y"]


def test_where_there_is_no_room_the_dispensable_columns_go_first() -> None:
    rows = [[("a" * 10, ""), ("b" * 10, ""), ("c" * 10, ""), ("d" * 3, "")]]

    def shown(width: int) -> str:
        return "".join(dict.fromkeys(table(Style(width), rows, dispensable=(1, 2))[0].replace(" ", "")))

    assert [shown(width) for width in (41, 40, 29, 28, 17)] == ["abcd", "acd", "acd", "ad", "ad"]
    assert table(Style(12), rows, dispensable=(1, 2)) == ["  aaaaaaaaa…"]


def test_in_a_pipe_nothing_is_cut() -> None:
    rows = [[("name", ""), ("what is long " * 5, "")]]
    assert table(Style(20, cuts=False), rows) == ["  name  " + ("what is long " * 5).rstrip()]
    assert table(Style(20), rows, whole={0}) == table(Style(20, cuts=False), rows)
    assert len(table(Style(20), rows)[0]) <= 20
