"""A text of numbers is told from every other text, also where it is checked in pieces."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles.trees.number_text import _PIECE_BYTES, is_numbers, is_plain_numbers

NUMBER = rb"-?\d+(\.\d+)?(e[-+]?\d+)?"
PLAIN = re.compile(rb"%s( %s)*" % (NUMBER, NUMBER))
ANY = re.compile(rb"%s( +%s)*" % ((rb"(%s|-?inf|-?nan)" % NUMBER,) * 2))


@given(st.text("01.-+e ", max_size=24))
def test_plain_numbers_are_those_of_the_grammar(text: str) -> None:
    """Digits, a point, an exponent and its sign, each in its place; one space between two numbers."""
    assert is_plain_numbers(text.encode()) is (PLAIN.fullmatch(text.encode()) is not None)


def test_all_short_texts_are_told_apart() -> None:
    """Up to six characters."""
    for length in range(7):
        for parts in product(b"0.-+e ", repeat=length):
            text = bytes(parts)
            assert is_plain_numbers(text) is (PLAIN.fullmatch(text) is not None), text


@given(st.text(max_size=12))
def test_no_other_character_is_a_number(text: str) -> None:
    """Letters, other digits than ours, control characters."""
    assert is_plain_numbers(text.encode()) is (PLAIN.fullmatch(text.encode()) is not None)


@given(st.text("01.-+einfa ", min_size=1, max_size=24))
def test_numbers_may_have_words_and_more_spaces(text: str) -> None:
    """What the quick check leaves open."""
    stripped = text.encode().strip(b" ")
    if stripped:
        assert is_numbers(stripped) is (ANY.fullmatch(stripped) is not None)


@given(st.integers(-40, 40), st.sampled_from([b"1.5.3", b"1e5.3", b"1e-5e3", b"1-", b"--1", b"1 e3", b"1e5-3", b"x"]))
def test_fault_is_seen_where_a_piece_ends(shift: int, wrong: bytes) -> None:
    """Pieces end at spaces, so that no number is in two."""
    before = b"0.25e-3 " * (_PIECE_BYTES // 8)
    text = before[: len(before) + min(shift, 0)].rstrip(b" .e-") + b"7" * max(shift, 0) + b" "
    assert is_plain_numbers(text + b"1.5 2")
    assert not is_plain_numbers(text + wrong + b" 2")
