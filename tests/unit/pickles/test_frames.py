"""Indexes, blocks, categories and sparse matrices: numbers that others depend on are compared with them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

import pytest

from model_inbox.pickles import Allowlist, PickleReport, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
BASE = "pandas.core.indexes"


def _codes(report: PickleReport) -> list[str]:
    return [problem.code for problem in report.problems]


def integers(*numbers: int, code: str = "q", order: str = "<") -> bytes:
    """Opcodes of an array of integers."""
    size = struct.calcsize(f"<{code}")
    kind = f"i{size}" if code.islower() else f"u{size}"
    dtype = build.dtype(kind, (3, order if size > 1 else "|", None, None, None, -1, -1, 0))
    return build.array((len(numbers),), struct.pack(f"{order}{len(numbers)}{code}", *numbers), dtype)


def index(fields: dict[str, bytes], name: str = "base.Index", function: str = "base._new_Index") -> bytes:
    """Opcodes of an index of pandas."""
    module, _, cls = f"{BASE}.{name}".rpartition(".")
    made_by, _, call = f"{BASE}.{function}".rpartition(".")
    return build.called(build.named(made_by, call), build.named(module, cls), build.mapping(fields))


def plain_index(count: int = 3) -> bytes:
    return index({"data": integers(*range(count)), "name": b"N"})


def range_index(stop: int, start: int = 0, step: int = 1) -> bytes:
    parts = {"start": start, "stop": stop, "step": step}
    fields = {name: build.value(value) for name, value in parts.items()}
    return index({"name": b"N", **fields}, "range.RangeIndex")


def levels(codes: list[bytes], level: bytes | None = None, names: int | None = None) -> bytes:
    """Opcodes of an index with levels of three items each."""
    level = level or plain_index(3)
    fields = {
        "levels": b"](" + level * len(codes) + b"e",
        "codes": b"](" + b"".join(codes) + b"e",
        "sortorder": b"N",
        "names": b"](" + b"N" * (len(codes) if names is None else names) + b"e",
    }
    return index(fields, "multi.MultiIndex")


HONEST = {
    "index": plain_index(),
    "range": range_index(1000),
    "range downwards": range_index(0, 1000, -1),
    "levels": levels([integers(0, 1, 2, -1, code="b"), integers(2, 2, 2, 0, code="h", order=">")]),
    "levels of ranges": levels([integers(0, 1, 2, -1)], range_index(3)),
    "named": index({"data": integers(1), "name": build.value(("a", 1))}),
}
HOSTILE = {
    "code behind its level": levels([integers(0, 3)]),
    "code before its level": levels([integers(0, -2)]),
    "code of another byte order": levels([integers(0, 1 << 56, order=">")]),
    "code of one byte": levels([integers(0, 100, code="b")]),
    "codes that are no integers": levels([build.array()]),
    "codes of two lengths": levels([integers(0, 1), integers(0)]),
    "more codes than levels": index(
        {
            "levels": b"](" + plain_index() + b"e",
            "codes": b"](" + integers(0) + integers(0) + b"e",
            "sortorder": b"N",
            "names": b"](Ne",
        },
        "multi.MultiIndex",
    ),
    "no levels": levels([]),
    "a level that is no index": levels([integers(0)], build.value([1, 2])),
    "names that are too few": levels([integers(0)], names=0),
    "integrity that is not verified": index(
        {"levels": b"]", "codes": b"]", "names": b"]", "sortorder": b"N", "verify_integrity": b"\x89"},
        "multi.MultiIndex",
    ),
    "index of a range": index(
        {"data": build.called(build.named("builtins", "range"), build.value(300_000_000)), "name": b"N"}
    ),
    "index of objects": index({"data": range_index(9), "name": b"N", "dtype": build.dtype("O8")}),
    "index of an index": index({"data": plain_index(), "name": b"N", "copy": b"\x88"}),
    "index of a list": index({"data": build.value([1, 2]), "name": b"N"}),
    "index of a matrix": index({"data": build.array((1, 2)), "name": b"N"}),
    "range without end": range_index(1 << 70),
    "range of no step": range_index(10, 0, 0),
    "range of a billion rows": range_index(10**9),
    "a thousand ranges": b"](" + range_index(1 << 20) * 1000 + b"e",
    "intervals of two lengths": index(
        {"left": plain_index(2), "right": plain_index(3), "closed": build.text("right"), "name": b"N"},
        "interval.IntervalIndex",
        "interval._new_IntervalIndex",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_indexes_that_pandas_writes_are_accepted(name: str) -> None:
    """Codes within their levels, and ranges that are not much longer than the file, are accepted in every form."""
    for wrap in (bytes, gzip.compress):
        report = scan_bytes(wrap(build.pickled(HONEST[name])), ALLOWLIST)
        assert report.accepted, report.problems


@pytest.mark.parametrize("name", HOSTILE)
def test_indexes_whose_numbers_do_not_fit_are_refused(name: str) -> None:
    """pandas does not look at the codes of an index that it loads, and would read outside of its levels."""
    for wrap in (bytes, gzip.compress):
        report = scan_bytes(wrap(build.pickled(HOSTILE[name])), ALLOWLIST)
        assert set(_codes(report)) == {"artifact.forbidden_arguments"}, report.problems


def test_codes_behind_a_skipped_payload_are_compared_too() -> None:
    """Codes of more than a mebibyte are read where they are in the file."""
    count = 1 << 20
    for last, accepted in ((2, True), (3, False)):
        codes = integers(*([1] * (count - 1)), last, code="i")
        assert scan_bytes(build.pickled(levels([codes])), ALLOWLIST).accepted is accepted


def test_the_name_of_an_index_is_hashed_in_the_scan() -> None:
    """A name that cannot be hashed is refused."""
    data = build.pickled(index({"data": integers(1), "name": build.value(["a"])}))
    assert _codes(scan_bytes(data, ALLOWLIST)) == ["artifact.forbidden_arguments"]


# --- frames --------------------------------------------------------------------------------------------------


def block(values: bytes, places: bytes, dimensions: int = 2) -> bytes:
    """Opcodes of a block."""
    return build.called(
        build.named("pandas._libs.internals", "_unpickle_block"), values, places, build.value(dimensions)
    )


def part(start: int, stop: int, step: int = 1) -> bytes:
    """Opcodes of a slice."""
    return build.called(build.named("builtins", "slice"), *(build.value(number) for number in (start, stop, step)))


def manager(blocks: list[bytes], columns: int, rows: int) -> bytes:
    """Opcodes of the manager of a frame."""
    axes = b"](" + plain_index(columns) + range_index(rows) + b"e"
    return build.called(
        build.named("pandas.core.internals.managers", "BlockManager"), b"(" + b"".join(blocks) + b"t", axes
    )


def table(columns: int, rows: int) -> bytes:
    return build.array((columns, rows), bytes(8 * columns * rows))


FRAMES: dict[str, tuple[bytes, bool]] = {
    "one block": (manager([block(table(2, 3), part(0, 2))], 2, 3), True),
    "two blocks": (manager([block(table(1, 3), part(1, 2)), block(table(1, 3), integers(0))], 2, 3), True),
    "other number of rows": (manager([block(table(2, 4), part(0, 2))], 2, 3), False),
    "place behind the columns": (manager([block(table(1, 3), integers(9))], 1, 3), False),
    "place before the columns": (manager([block(table(1, 3), integers(-1))], 1, 3), False),
    "a place of two blocks": (manager([block(table(1, 3), part(0, 1)), block(table(1, 3), part(0, 1))], 2, 3), False),
    "a column without a block": (manager([block(table(1, 3), part(0, 1))], 2, 3), False),
    "more places than values": (block(table(1, 3), part(0, 10**6)), False),
    "places without end": (block(table(1, 3), part(0, 10**15)), False),
    "places that are no integers": (block(table(1, 3), build.array()), False),
}


@pytest.mark.parametrize("name", FRAMES)
def test_each_column_of_a_frame_belongs_to_one_block(name: str) -> None:
    """The places of the blocks are those of the columns, each once, and each block has all rows."""
    opcodes, accepted = FRAMES[name]
    report = scan_bytes(build.pickled(opcodes), ALLOWLIST)
    assert report.accepted is accepted, report.problems


def categorical(codes: bytes, categories: bytes | None = None) -> bytes:
    """Opcodes of a categorical of three categories."""
    dtype = build.built(
        build.new("pandas.core.dtypes.dtypes", "CategoricalDtype"),
        build.mapping({"categories": categories or plain_index(3), "ordered": b"\x89"}),
    )
    made = build.called(
        build.named("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
        build.named("pandas.core.arrays.categorical", "Categorical"),
        build.value(82904607),
        b"N",
    )
    return build.built(made, b"(" + dtype + codes + b"}t")


def test_codes_of_categories_lie_within_them() -> None:
    """The codes of a categorical are places of its categories, or -1."""
    assert scan_bytes(build.pickled(categorical(integers(0, 2, -1, code="b"))), ALLOWLIST).accepted
    for hostile in (integers(3, code="b"), integers(-2, code="b"), build.array()):
        report = scan_bytes(build.pickled(categorical(hostile)), ALLOWLIST)
        assert _codes(report) == ["artifact.forbidden_arguments"], report.problems


# --- sparse matrices -----------------------------------------------------------------------------------------


def compressed(ends: bytes, places: bytes, form: str = "csr_matrix", shape: tuple[int, int] = (2, 5)) -> bytes:
    """Opcodes of a sparse matrix of three items."""
    state = {"_shape": build.value(shape), "indptr": ends, "indices": places, "data": build.array((3,), bytes(24))}
    return build.built(build.new(f"scipy.sparse._{form[:3]}", form), build.mapping(state))


def coordinates(rows: bytes, columns: bytes) -> bytes:
    """Opcodes of a sparse matrix of three items with coordinates."""
    state = {
        "_shape": build.value((2, 5)),
        "coords": b"(" + rows + columns + b"t",
        "data": build.array((3,), bytes(24)),
    }
    return build.built(build.new("scipy.sparse._coo", "coo_array"), build.mapping(state))


MATRICES: dict[str, tuple[bytes, bool]] = {
    "rows": (compressed(integers(0, 2, 3, code="i"), integers(0, 4, 1, code="i")), True),
    "columns": (compressed(integers(0, 2, 3), integers(0, 4, 1), "csc_array", (5, 2)), True),
    "place outside": (compressed(integers(0, 2, 3), integers(0, 5, 1)), False),
    "place before": (compressed(integers(0, 2, 3), integers(0, -1, 1)), False),
    "row that ends outside": (compressed(integers(0, 2, 4), integers(0, 4, 1)), False),
    "row that ends before it begins": (compressed(integers(0, 3, 2), integers(0, 4, 1)), False),
    "row that begins before the first": (compressed(integers(-1, 2, 3), integers(0, 4, 1)), False),
    "other number of rows": (compressed(integers(0, 3), integers(0, 4, 1)), False),
    "place outside of the rows of a matrix by columns": (
        compressed(integers(0, 2, 3), integers(0, 5, 1), "csc_array", (5, 2)),
        False,
    ),
    "coordinates": (coordinates(integers(0, 1, 1), integers(0, 4, 1)), True),
    "row outside": (coordinates(integers(0, 1, 2), integers(0, 4, 1)), False),
    "column outside": (coordinates(integers(0, 1, 1), integers(0, 4, -1)), False),
    "fewer rows than items": (coordinates(integers(0, 1), integers(0, 4, 1)), False),
}


@pytest.mark.parametrize("name", MATRICES)
def test_places_of_sparse_matrices_lie_within_them(name: str) -> None:
    """scipy takes the places of a matrix as they are: each lies within its shape, and each row within the places."""
    opcodes, accepted = MATRICES[name]
    report = scan_bytes(build.pickled(opcodes), ALLOWLIST)
    assert report.accepted is accepted, report.problems


@pytest.mark.parametrize("make", [compressed, coordinates])
def test_a_matrix_gets_its_state_once(make: Callable[[bytes, bytes], bytes]) -> None:
    """A second state could replace the places that were compared."""
    first, second = (
        (integers(0, 2, 3), integers(0, 4, 1)) if make is compressed else (integers(0, 1, 1), integers(0, 4, 1))
    )
    again = build.mapping({"indices": integers(10**9, 0, 0), "coords": b")"})
    report = scan_bytes(build.pickled(make(first, second) + again + b"b"), ALLOWLIST)
    assert _codes(report) == ["artifact.forbidden_arguments"], report.problems
