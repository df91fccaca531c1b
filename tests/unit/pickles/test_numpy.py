"""numpy's dtypes and arrays: what numpy itself writes passes, and every number in it that lies is refused.

With nothing but numpy's two classes allowed, such lies make the real numpy read and write out of bounds.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
OBJECTS = (3, "|", None, None, None, -1, -1, 63)


def problems(*opcodes: bytes) -> list[str]:
    """Return the codes of the problems of a pickle with these opcodes."""
    return [problem.code for problem in scan_bytes(build.pickled(*opcodes), ALLOWLIST).problems]


REFUSED = ["artifact.forbidden_arguments"]


def record_dtype(offset: int = 8, itemsize: int = 16, flags: int = 16, names: tuple[str, ...] = ("a", "b")) -> bytes:
    """Opcodes of a structured dtype of two doubles. The arguments can make its numbers wrong."""
    made = build.called(build.named("numpy", "dtype"), build.text("V16"), b"\x89", b"\x88")
    fields = build.mapping(
        {
            "a": build.dtype() + build.value(0) + b"\x86",
            "b": build.dtype() + build.value(offset) + b"\x86",
        }
    )
    numbers = build.value(itemsize) + build.value(1) + build.value(flags)
    state = b"(" + build.value(3) + build.text("|") + b"N" + build.value(names) + fields + numbers + b"t"
    return build.built(made, state)


@pytest.mark.parametrize(
    "opcodes",
    [
        build.dtype(),
        build.dtype("i1", (3, "|", None, None, None, -1, -1, 0)),
        build.dtype("U3", (3, "<", None, None, None, 12, 4, 8)),
        build.dtype("S5", (3, "|", None, None, None, 5, 1, 0)),
        build.dtype("V8", (3, "|", None, None, None, 8, 1, 0)),
        build.dtype("O8", OBJECTS),
        build.dtype("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"ns", 1, 1, 1)))),
        build.dtype("M8", (4, "<", None, None, None, -1, -1, 0, ({}, (b"D", 1, 1, 1)))),
        record_dtype(),
        build.array(),
        build.array((2, 0), b""),
        build.array((), bytes(8)),
        build.array((2,), bytes(32), record_dtype()),
    ],
)
def test_what_numpy_writes_is_accepted(opcodes: bytes) -> None:
    """Plain, flexible, structured and date dtypes, and arrays whose contents fit their shape, are accepted."""
    assert problems(opcodes) == []


@pytest.mark.parametrize(
    "opcodes",
    [
        build.dtype("f8", (3, "<", None, None, None, 1 << 20, -1, 0)),
        build.dtype("S5", (3, "|", None, None, None, 50, 1, 0)),
        build.dtype("V8", (3, "|", None, None, None, 1 << 40, 1, 0)),
        build.dtype("f8", (3, "<", None, None, None, -1, 3, 0)),
        build.dtype("f8", (3, "<", None, None, None, -1, -1, 63)),
        build.dtype("O8", (3, "|", None, None, None, -1, -1, 0)),
        build.dtype("f8", (9, "<", None, None, None, -1, -1, 0)),
        build.dtype("f8", (3, "?", None, None, None, -1, -1, 0)),
        build.dtype("f8", (3, "<", ("f8", (1 << 40,)), None, None, -1, -1, 0)),
        build.dtype("f8", (3, "<", None, None, None, -1, -1, 0, {"a": 1})),
        build.dtype("M8", (4, "<", None, None, None, -1, -1, 0, {})),
        build.dtype("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"ns", -1, 1, 1)))),
        build.dtype("f8", (3, "<", None, ("a",), {}, -1, -1, 0)),
        build.dtype("f3"),
        build.dtype("f8,f8"),
        build.dtype("(3,)f8"),
        build.dtype("f8", (1,)),
        record_dtype(offset=9),
        record_dtype(offset=-8),
        record_dtype(itemsize=8),
        record_dtype(flags=63),
        record_dtype(names=("a",)),
        build.called(build.named("numpy", "dtype"), build.text("f8"), b"\x89", b"\x89"),
        build.called(build.named("numpy", "dtype"), build.text("f8")),
        build.built(build.dtype(), build.value((3, "<", None, None, None, -1, -1, 0))),
        build.array((3,)),
        build.array((2,), bytes(15)),
        build.array((-1, -2)),
        build.array((1,) * 65, bytes(8)),
        build.array((1 << 60,), b""),
        build.array((2,), bytes(16), build.dtype("O8", OBJECTS)),
        build.array((2,), bytes(16), build.called(build.named("numpy", "dtype"), build.text("f8"), b"\x89", b"\x88")),
        build.array((2,), bytes(16), b"N"),
        build.built(build.array(), build.value((1, (0,), None, False, b""))),
        build.called(build.named("numpy._core.multiarray", "scalar"), build.dtype(), build.data(bytes(4))),
        build.called(build.named("numpy._core.multiarray", "scalar"), build.dtype("O8", OBJECTS), build.data(bytes(8))),
        build.called(
            build.named("numpy._core.numeric", "_frombuffer"),
            build.data(bytes(8)),
            build.dtype(),
            build.value((2,)),
            build.text("C"),
        ),
        build.called(
            build.named("numpy._core.multiarray", "_reconstruct"),
            build.named("numpy", "ndarray"),
            build.value((1 << 40,)),
            build.data(b"b"),
        ),
    ],
)
def test_number_that_lies_is_refused(opcodes: bytes) -> None:
    """A size, offset, flag or shape that does not fit the other numbers is refused, and a second state too."""
    assert set(problems(opcodes)) == set(REFUSED)


@given(st.integers(-4, 40), st.lists(st.integers(-1, 5), max_size=4).map(tuple), st.integers(0, 80))
def test_array_is_accepted_exactly_when_its_size_is_true(itemsize: int, shape: tuple[int, ...], length: int) -> None:
    """An array is accepted only if its bytes are as many as its items times the item size."""
    kind = build.dtype("V8", (3, "|", None, None, None, itemsize, 1, 0))
    items = 1
    for dimension in shape:
        items *= dimension
    honest = itemsize == 8 and all(dimension >= 0 for dimension in shape) and items * 8 == length
    assert (problems(build.array(shape, bytes(length), kind)) == []) is honest


def test_every_scalar_of_a_dtype_is_checked() -> None:
    """Also those after the first, which is read as the first was."""
    number = build.named("numpy._core.multiarray", "scalar") + b"q\x50" + build.dtype() + b"q\x51"
    first = number + build.data(bytes(8)) + b"\x86R"
    for size, found in ((8, []), (4, REFUSED), (9, REFUSED), (0, REFUSED)):
        assert problems(first + b"h\x50h\x51" + build.data(bytes(size)) + b"\x86R\x86") == found, size


def test_scalars_and_buffers_of_their_size_are_accepted() -> None:
    """Scalars of numpy and buffers of protocol 5 are accepted only with exactly their bytes."""
    assert (
        problems(build.called(build.named("numpy._core.multiarray", "scalar"), build.dtype(), build.data(bytes(8))))
        == []
    )
    for core in ("numpy.core", "numpy._core"):
        made = build.called(
            build.named(f"{core}.numeric", "_frombuffer"),
            build.data(bytes(16)),
            build.dtype(),
            build.value((2,)),
            build.text("C"),
        )
        assert problems(made) == []


def masked(mask: bytes, fill: Any = None) -> bytes:
    """A masked array of two doubles."""
    made = build.called(
        build.named("numpy.ma.core", "_mareconstruct"),
        build.named("numpy.ma", "MaskedArray"),
        build.named("numpy", "ndarray"),
        build.value((0,)),
        build.data(b"b"),
    )
    parts = build.value(1) + build.value((2,)) + build.dtype() + b"\x89" + build.data(bytes(16)) + build.data(mask)
    return build.built(made, b"(" + parts + build.value(fill) + b"t")


def test_masked_array_needs_a_mask_of_its_size() -> None:
    """The mask has a byte for each item."""
    assert problems(masked(bytes(2))) == []
    assert problems(masked(bytes(2), 1e20)) == []
    assert problems(masked(bytes(3))) == REFUSED
    assert problems(masked(bytes(2), [1])) == REFUSED


def test_generators_are_made_from_their_own_names() -> None:
    """The five bit generators, by text or by class, and generators made from them, are accepted."""
    ctor = build.named("numpy.random._pickle", "__bit_generator_ctor")
    by_text = build.called(ctor, build.text("PCG64"))
    by_class = build.called(ctor, build.named("numpy.random._pcg64", "PCG64"))
    assert problems(by_text) == []
    assert problems(by_class) == []
    assert problems(build.called(build.named("numpy.random._pickle", "__generator_ctor"), by_class)) == []
    assert (
        problems(build.called(build.named("numpy.random._pickle", "__randomstate_ctor"), build.text("MT19937"), ctor))
        == []
    )
    assert problems(build.called(ctor, build.text("os"))) == REFUSED


def test_plain_values_of_python_are_accepted_in_every_protocol() -> None:
    """The standard library's value types need no framework."""
    import datetime as dt
    import decimal
    import fractions
    import pathlib
    import uuid
    from collections import Counter, OrderedDict, defaultdict, deque

    values = {
        "moment": dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2), "X")),
        "day": dt.date(2026, 1, 2),
        "time": dt.time(1, 2),
        "decimal": decimal.Decimal("1.5"),
        "fraction": fractions.Fraction(1, 3),
        "uuid": uuid.UUID(int=5),
        "path": pathlib.PurePosixPath("a/b"),
        "collections": [Counter("aab"), OrderedDict(a=1), defaultdict(list, a=[1]), deque([1], 5)],
        "builtin": [{1}, frozenset({1}), 1 + 2j, range(3), slice(1, 2), b"", b"a", bytearray(b"ab"), object],
        "keys": {dt.date(2026, 1, 2): 1, frozenset({1}): 2, decimal.Decimal(1): 3},
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        report = scan_bytes(pickle.dumps(values, protocol), ALLOWLIST)
        assert report.problems == (), protocol
        assert report.frameworks == ()
