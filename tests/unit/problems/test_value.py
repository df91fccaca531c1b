"""What a producer wrote is safe to print, in a message and in a field of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.problems import escaped, quoted


@pytest.mark.parametrize(
    ("text", "in_a_message", "in_a_field"),
    [
        ("usd_eur.pkl", "'usd_eur.pkl'", "usd_eur.pkl"),
        ("it's\\1 é", r"'it\'s\\1 é'", "it's\\1 é"),
        ("a\x1b[31m\nb", r"'a\x1b[31m\nb'", r"a\x1b[31m\nb"),
        ("\udcff\u202e", r"'\udcff\u202e'", r"\udcff\u202e"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, in_a_message: str, in_a_field: str) -> None:
    """Control characters, surrogates and direction marks are escaped in both; quotes and backslashes in messages."""
    assert quoted(text) == in_a_message
    assert escaped(text) == in_a_field


def test_long_text_is_cut() -> None:
    """A message has 80 characters of it, a field as many as a file name can have, unless another limit is given."""
    assert quoted("x" * 81) == "'" + "x" * 80 + "…'"
    assert escaped("x" * 255) == "x" * 255
    assert escaped("x" * 256) == "x" * 255 + "…"
    assert (quoted("xyz", 2), escaped("xyz", 2)) == ("'xy…'", "xy…")


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_printable_and_can_be_encoded(text: str) -> None:
    """Whatever the text is, the result is printable and valid UTF-8."""
    for safe in (quoted(text), escaped(text)):
        assert safe.isprintable()
        assert safe.encode("utf-8").decode("utf-8") == safe
