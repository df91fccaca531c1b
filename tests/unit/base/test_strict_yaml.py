"""YAML without its surprises: what is read is what was written, with its place, or a problem."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.base.strict_yaml import Document, Items, Pairs, Scalar, locate, plain_value, read_yaml
from model_inbox.base.yaml_numbers import number


def read(text: str | bytes, *, bytes_max: int = 1000, depth_max: int = 4, nodes_max: int = 50) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return read_yaml(data, called="sidecar", bytes_max=bytes_max, depth_max=depth_max, nodes_max=nodes_max)


def found(text: str | bytes) -> list[tuple[str, int | None, int | None]]:
    """Return code, line and column of each problem."""
    return [(p.code.removeprefix("sidecar."), p.line, p.column) for p in read(text).problems]


def values(text: str) -> object:
    root = read(text).root
    assert root is not None
    return plain_value(root)


def test_scalars_stay_the_text_that_was_written() -> None:
    """A schema can tell 1.10 from 1.1, and quotes from none."""
    root = read("a: 1.10\nb: '1.10'\nc: NO\nd: |\n  x\n").root
    assert isinstance(root, Pairs)
    assert [(k.text, v.text, v.style) for k, v in root.pairs if isinstance(v, Scalar)] == [
        ("a", "1.10", ""),
        ("b", "1.10", "'"),
        ("c", "NO", ""),
        ("d", "x\n", "|"),
    ]


def test_places_count_from_one_and_in_characters() -> None:
    """Line and column are those that an editor shows, also behind letters of several bytes and a BOM."""
    root = read(b"\xef\xbb\xbfa: 1\n" + "ä: [x, é, y]\n".encode()).root
    key, node = locate(root, ("ä", 2))
    assert key is None
    assert node == Scalar("y", "", 2, 11, 16)
    key, _ = locate(root, ("ä",))
    assert key is not None
    assert (key.line, key.column) == (2, 1)


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_text_is_no_problem_yet(text: str) -> None:
    """Whether a text may be empty is for its reader to say: an empty config.yaml may, a sidecar may not."""
    document = read(text)
    assert (document.root, document.problems, document.parses) == (None, (), False)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (b"a: \xff\n", [("not_utf8", 1, 4)]),
        (b"\xfe\xff\x00a", [("not_utf8", 1, 1)]),
        ("a: 1\nb: 2\na: 3\n", [("duplicate_key", 3, 1)]),
        ("a: {x: 1, y: 2, x: 3}", [("duplicate_key", 1, 17)]),
        ("a: &x 1\nb: *x\n", [("anchor", 1, 4), ("anchor", 2, 4)]),
        ("a: &x [1]\n", [("anchor", 1, 4)]),
        ("a: !!python/object:os.system ls\n", [("tag", 1, 4)]),
        ("a: !x {b: 1}\n", [("tag", 1, 4)]),
        ("a: ! x\n", [("tag", 1, 4)]),
        ("<<: {a: 1}\n", [("merge_key", 1, 1)]),
        ("[a, b]: 1\n", [("key_not_text", 1, 1)]),
        ("? {a: 1}\n: 2\n", [("key_not_text", 1, 3)]),
        ("a: 1\n---\nb: 2\n", [("several_documents", 2, 1)]),
        ("a: 1\n...\nb: 2\n", [("several_documents", 3, 1)]),
        ("a: 1\n...\n]\n", [("several_documents", 3, 1)]),
        ("a: [1\n", [("not_yaml", 2, 1)]),
        ("a: 'x\n", [("not_yaml", 2, 1)]),
        ("a:\n\tb: 1\n", [("not_yaml", 2, 1)]),
        ("a: é\nb: \x00\n", [("not_yaml", 2, 4)]),
        ("a: *\n", [("not_yaml", 1, 5)]),
        ("a: {b: {c: {d: {e: 1}}}}", [("too_deep", 1, 16)]),
        ("[" * 900, [("too_deep", 1, 5)]),
        ("a: [" + "1," * 60 + "]", [("too_many_values", 1, 99)]),
        ("x" * 1001, [("too_large", None, None)]),
    ],
)
def test_what_makes_yaml_surprising_is_a_problem_with_its_place(
    text: str | bytes, problems: list[tuple[str, int | None, int | None]]
) -> None:
    """Each has a code of its own, and where there are several, all are found."""
    assert found(text) == problems


@pytest.mark.parametrize(
    ("text", "parses"),
    [("", False), ("# x", False), ("a: [", False), (b"\xff", False), ("[" * 9, True), ("a: 1\n---\n", True)],
)
def test_parses_tells_not_yet_from_never(text: str | bytes, parses: bool) -> None:
    """Text that is no YAML may be on its way; text that breaks a limit will not be better with more of it."""
    assert read(text).parses is parses


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("a: 1\n...\n", True),
        ("a: 1\n...", True),
        ("a: 1\n... # done\n\n", True),
        ("--- {a: 1}\n...\n", True),
        ("a: 1\n", False),
        ("a: 1\n..", False),
        ("a: '...'\n", False),
        ("a: |\n  ...\n", False),
        ("a: x\n  ...\n", False),
        ("a: [\n...", False),
    ],
)
def test_only_a_line_of_three_dots_ends_a_document(text: str, ended: bool) -> None:
    """Dots inside a value are no end."""
    assert read(text).ended is ended


def test_a_refused_value_is_marked_so_that_it_is_reported_once() -> None:
    """Aliases and tagged values stand in the tree as refused, tagged keys not at all."""
    root = read("a: &x 1\nb: *x\n!!str c: 2\nd: 3\n").root
    assert isinstance(root, Pairs)
    assert [(k.text, v.refused) for k, v in root.pairs if isinstance(v, Scalar)] == [
        ("a", True),
        ("b", True),
        ("d", False),
    ]


def test_locate_goes_as_near_as_the_text_does() -> None:
    """A path into nothing ends at the last thing on the way; a text finds an item of a list."""
    root = read("a: {b: [x, y]}\n").root
    assert locate(root, ("a", "b", "y"))[1] == Scalar("y", "", 1, 12, 12)
    assert isinstance(locate(root, ("a", "b", 7))[1], Items)
    assert isinstance(locate(root, ("a", "b", "z"))[1], Items)
    assert isinstance(locate(root, ("a", "c", 0))[1], Pairs)
    assert locate(root, ("q",)) == (None, root)
    assert locate(None, ("q",)) == (None, None)


def test_plain_values_follow_yaml_1_2() -> None:
    """null, true, false and decimal numbers are such; all else, and what has quotes, is text."""
    text = "[~, null, '', true, FALSE, yes, on, 12, -0.5, 1e3, 0x10, 1_000, 12:30, .inf, nan, 1e999, '5']"
    expected = [None, None, "", True, False, "yes", "on", 12, -0.5, 1000.0, "0x10", "1_000", "12:30"]
    assert values(text) == [*expected, ".inf", "nan", "1e999", "5"]
    assert values("a: {b: }\n") == {"a": {"b": None}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("5", 5), ("-5", -5), ("+5", 5), ("5.", 5.0), (".5", 0.5), ("1e-5", 1e-5), ("٣", None)),
        *(("9" * 401, float("inf")), ("-.INF", float("-inf"))),
        *(("", None), (".", None), ("e5", None), ("0b1", None)),
    ],
)
def test_numbers_are_decimal(text: str, expected: float | None) -> None:
    """Only decimal digits make a number, and one of hundreds of digits is not finite."""
    assert number(text) == expected


def test_not_a_number_is_a_number_to_be_refused_by_a_schema() -> None:
    """`nan` is recognised, so that a message can say what it is."""
    found_number = number(".NaN")
    assert isinstance(found_number, float)
    assert found_number != found_number


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}!&*'\"|>#%@\n \t.,?0é", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_explained(data: bytes) -> None:
    """Nothing raises; there is a tree, a problem or no text; every place is in the text, every message printable."""
    document = read(data)
    if not document.problems and (document.root is None or not document.parses):
        assert (document.root, document.parses) == (None, False)
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
        assert all(not line or line.startswith(("#", "...")) for line in lines)
    for problem in document.problems:
        assert str(problem).isprintable()
        assert problem.line is None or 1 <= problem.line <= len(data.splitlines()) + 2
