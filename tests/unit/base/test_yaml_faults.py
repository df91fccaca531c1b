"""Why a text is not YAML: the true reason with its place, and whether more text could mend it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.base.strict_yaml import Document, read_yaml
from support.examples import examples


def read(text: str | bytes) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return read_yaml(data, called="sidecar", bytes_max=1 << 20, depth_max=8, nodes_max=10_000)


CONFLICT = "a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n"

REASONS = [
    ("a: 1\nb:\n\tc: 2\n", "not_yaml", "tab", 3, 1),
    ("a: 1\n\tb: 2\n", "not_yaml", "tab", 2, 1),
    ("a:\n  b: 1\n  \tc: 2\nd: 3\n", "not_yaml", "tab", 3, 3),
    ("d: |\n\ttext\n", "not_yaml", "tab", 2, 1),
    (CONFLICT, "not_yaml", "merge conflict", 2, 1),
    (CONFLICT.replace("\n", "\r\n"), "not_yaml", "merge conflict", 2, 1),
    ("a: 1\nb: \0\nc: 2\n", "not_yaml", "NUL", 2, 4),
    (b"\0" * 100, "not_yaml", "NUL", 1, 1),
    ("a: \x07\n", "not_yaml", "control character", 1, 4),
    ("{'a': array([1, 2]), 'b': (1, 2)}", "not_yaml", "did not find expected ','", 1, 13),
    ("a: b: c\nd: 1\n", "not_yaml", "mapping values are not allowed", 1, 5),
    ("a: caf\u00e9\nb: 1\n".encode("latin-1"), "not_utf8", "in Latin-1 that is '\u00e9'", 1, 7),
    ("a: 1\n".encode("utf-16"), "not_utf8", "UTF-16", 1, 1),
    ("a: 1\n".encode("utf-16-be"), "not_utf8", "UTF-16", 1, 1),
    ("a: 1\n".encode("utf-16-le"), "not_utf8", "UTF-16", 1, 1),
    ("a: \u00e4\n".encode("utf-32"), "not_utf8", "UTF-32", 1, 1),
    (b"\x80\x05\x95\x0b\0\0\0\0\0\0\0}\x94\x8c\x01v\x94K\x01s.", "not_utf8", "a pickle", 1, 1),
    (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "not_utf8", "a compressed file", 1, 1),
    (b"PK\x03\x04\x14\0\0\0", "not_utf8", "a zip archive", 1, 1),
]


@pytest.mark.parametrize(("text", "code", "reason", "line", "column"), REASONS)
def test_the_true_reason_is_said_with_its_place(
    text: str | bytes, code: str, reason: str, line: int, column: int
) -> None:
    """A tab is called a tab, UTF-16 is called UTF-16; such a text is broken for good."""
    document = read(text)
    (problem,) = document.problems
    assert (problem.code, problem.line, problem.column) == (f"sidecar.{code}", line, column)
    assert reason in problem.message
    assert "cut off" not in problem.message
    assert document.broken


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment\n",
        "a: [1,\n",
        "a: 'x",
        "a: 1\nb",
        "a: b:",
        "a: http:",
        "{a: 1",
        '{"a": "\\u00',
        b"a: caf\xc3",
        "..",
        "a: [\n...",
    ],
)
def test_what_ends_too_early_may_be_mended_by_more_text(text: str | bytes) -> None:
    """Whatever is wrong only at the end of the text is not broken: it may still be on its way."""
    assert not read(text).broken


@pytest.mark.parametrize("text", ["a: [1,\n...\n", "a: 'x\n...\n", "a: 1\nb\n... # done\n\n", b"a: caf\xc3\n...\n"])
def test_a_text_that_has_its_last_line_is_broken_if_it_does_not_parse(text: str | bytes) -> None:
    """Nothing can follow the line `...`, wherever it stands."""
    document = read(text)
    assert (document.parses, document.broken, document.ended) == (False, True, True)
    assert "cut off" not in document.problems[0].message


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\r\nb: x\r\n...\r\n", '{"a": 1, "b": "x"}', "{\n\t'a': 1,\n\t'b': 'x'\n}\n"]
)
def test_other_ways_of_writing_the_same_are_read(text: str) -> None:
    """CRLF, a byte order mark of UTF-8, JSON, and a dict of Python that has only plain values."""
    document = read(text)
    assert (document.problems, document.parses, document.broken) == ((), True, False)


PIECES = [
    *("a", "b", "1", ": ", ":", " ", "  ", "\n", "\n  ", "\n- ", "- ", "[", "]", "{", "}", ", ", "'", '"', "|", "\n\n"),
    *("|\n  ", ">", "#", " # c", "? ", "\n...\n", "\n---\n", "\t", "%", "''", "=", "\r\n", '"k": ', "<<<<<<< ", "é"),
]


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=16).map("".join))
def test_no_beginning_of_a_readable_text_is_broken(text: str) -> None:
    """A text that is still growing never counts as broken, wherever its writer pauses: in a letter, in a line."""
    data = text.encode()
    if read(data).parses:
        for end in range(len(data)):
            assert not read(data[:end]).broken, data[:end]
