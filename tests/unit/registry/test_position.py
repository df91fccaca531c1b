"""Positions in a registry's history: their text, and what an epoch is."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.registry.position import Identity, Position

ID = "00112233445566778899aabbccddeeff"
TOKENS = st.text("0123456789abcdef", min_size=16, max_size=16)


def test_a_position_is_written_with_slashes() -> None:
    """Its text names registry, epoch and line, and reads back to the same value."""
    position = Identity(ID, "3-0123456789abcdef").at(42)
    assert str(position) == "00112233445566778899aabbccddeeff/3-0123456789abcdef/42"
    assert Position.parse(str(position)) == position
    assert position.identity == Identity(ID, "3-0123456789abcdef")


@given(TOKENS, TOKENS, TOKENS, st.integers(1, 10**9 - 1), st.integers(0, 2**53))
def test_every_position_reads_back(first: str, second: str, third: str, number: int, sequence: int) -> None:
    """Whatever the ids and numbers are, text and value are one."""
    position = Position(first + second, f"{number}-{third}", sequence)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "//",
        f"{ID}",
        f"{ID}/1-0123456789abcdef",
        f"{ID}/1-0123456789abcdef/",
        f"{ID}/1-0123456789abcdef/-1",
        f"{ID}/1-0123456789abcdef/01",
        f"{ID}/1-0123456789abcdef/1/2",
        f"{ID}/1-0123456789abcdef/e1",
        f"{ID}/1-0123456789abcdef/1\n",
        f"{ID}/0-0123456789abcdef/1",
        f"{ID}/1-0123456789ABCDEF/1",
        f"{ID}/1-0123456789abcde/1",
        f"{ID}/1/1",
        f"{ID[1:]}/1-0123456789abcdef/1",
        f"{ID.upper()}/1-0123456789abcdef/1",
        f"{ID}/1-0123456789abcdef/\u0661",
    ],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    """Nothing is guessed: text of any other form raises ValueError."""
    with pytest.raises(ValueError, match="is no "):
        Position.parse(text)


@given(st.text(max_size=80))
def test_no_text_does_anything_else(text: str) -> None:
    """Any text is a position or raises ValueError, and what it read it writes the same."""
    with contextlib.suppress(ValueError):
        assert str(Position.parse(text)) == text


def test_two_next_epochs_of_one_are_not_the_same() -> None:
    """Two copies of one registry that begin a new epoch by themselves have the same number, and still differ."""
    source = (f"{number:016x}" for number in itertools.count(1))
    first = Identity.new(lambda: next(source))
    assert str(first) == f"{1:016x}{2:016x}/1-{3:016x}"
    one, other = first.next_epoch(lambda: next(source)), first.next_epoch(lambda: next(source))
    assert (one.registry_id, one.epoch_number) == (other.registry_id, other.epoch_number) == (first.registry_id, 2)
    assert one != other
