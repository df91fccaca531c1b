"""Tables keep ids whole and each row on one line, and give up the least important columns first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.cli.tables import Column, columns_of_text, lay_out

COLUMNS = (
    Column("MODEL"),
    Column("PAIR", rank=1, least=7),
    Column("SIZE", rank=3, right=True),
    Column("WHY", rank=2, least=10, words=True),
)


def test_a_table_with_room_is_complete() -> None:
    """Nothing is shortened or left out where all of it fits; numbers stand at the right."""
    laid = lay_out(COLUMNS, [("a", "USD/EUR", "1.50 KiB", "it is old"), ("bcd", "EUR", "2 B", "")], 80)
    assert laid.lines == (
        "MODEL  PAIR         SIZE  WHY",
        "a      USD/EUR  1.50 KiB  it is old",
        "bcd    EUR           2 B",
    )
    assert laid.left_out == ()


def test_the_widest_column_is_shortened_first_and_between_words() -> None:
    """The others keep their widths as long as shortening the widest is enough."""
    rows = [("usd_eur_20251025", "USD/EUR", "2 B", "replaced by usd_eur_20251026 of Monday")]
    assert lay_out(COLUMNS, rows, 50).lines[1] == "usd_eur_20251025  USD/EUR   2 B  replaced by…"
    assert lay_out(COLUMNS, rows, 50, ellipsis="...").lines[1] == "usd_eur_20251025  USD/EUR   2 B  replaced by..."


def test_columns_are_left_out_by_their_rank() -> None:
    """What has no room is left out, the highest rank first, and named; the id is what stays."""
    rows = [("usd_eur_20251025", "USD/EUR", "2.00 KiB", "replaced by the one of Monday")]
    assert lay_out(COLUMNS, rows, 40).left_out == ("SIZE",)
    assert lay_out(COLUMNS, rows, 30).left_out == ("SIZE", "WHY")
    laid = lay_out(COLUMNS, rows, 20)
    assert (laid.lines, laid.left_out) == (("MODEL", "usd_eur_20251025"), ("PAIR", "SIZE", "WHY"))


def test_an_id_wider_than_the_terminal_stands_alone_and_costs_no_other_row() -> None:
    """One name of a stranger with 255 characters does not take the room of all other rows."""
    laid = lay_out(COLUMNS, [("x" * 255, "USD/EUR", "2 B", "y"), ("a", "USD/CHF", "3 B", "z")], 60)
    assert laid.lines[1:] == ("x" * 255, "a      USD/CHF   3 B  z")


def test_wide_characters_count_as_two() -> None:
    """A name in Chinese takes two columns a character, and a combining accent none."""
    assert (columns_of_text("模型"), columns_of_text("e\u0301")) == (4, 1)
    laid = lay_out((Column("A"), Column("B")), [("模型", "x"), ("abcd", "y")], 80)
    assert laid.lines == ("A     B", "模型  x", "abcd  y")


CELLS = st.text("ab ÄĠ模:,", max_size=80)


ROWS = st.lists(st.tuples(st.text("abc_1", min_size=1, max_size=90), CELLS, CELLS, CELLS), max_size=6)


@given(ROWS, st.integers(8, 200))
def test_no_line_is_too_wide_and_every_id_is_whole(rows: list[tuple[str, str, str, str]], width: int) -> None:
    """Whatever the cells hold: a line a row, which begins with the whole id, no wider than terminal or id."""
    laid = lay_out(COLUMNS, rows, width)
    assert len(laid.lines) == len(rows) + 1
    for row, line in zip(rows, laid.lines[1:], strict=True):
        assert line.split(" ")[0] == row[0]
        assert columns_of_text(line) <= max(width, len(row[0]))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=6))
def test_without_a_width_nothing_is_lost(rows: list[tuple[str, str, str, str]]) -> None:
    """What goes to a file or a pipe has every cell as it is."""
    laid = lay_out(COLUMNS, rows, None)
    assert laid.left_out == ()
    for row, line in zip(rows, laid.lines[1:], strict=True):
        assert all(cell.strip() in line for cell in row)
