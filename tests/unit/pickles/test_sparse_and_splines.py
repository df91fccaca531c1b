"""Sparse matrices of lists and diagonals, and splines: numbers that scipy's compiled code trusts."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from tests.support import pickle_builders as build

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()


def integers(*numbers: int) -> bytes:
    """Opcodes of an array of integers of four bytes."""
    return build.array((len(numbers),), struct.pack(f"<{len(numbers)}i", *numbers), build.dtype("i4"))


def lists(*rows: Sequence[float]) -> bytes:
    """Opcodes of an array of lists."""
    return build.objects((len(rows),), build.value([*map(list, rows)]))


def listed_rows() -> bytes:
    """Opcodes of an array of two lists, of which the memo has the first."""
    return build.objects((2,), b"](" + build.noted(1001, build.value([0])) + b"]e")


def problems(module: str, name: str, **state: bytes) -> list[str]:
    """The messages of all problems of an object with these attributes."""
    opcodes = build.built(build.new(module, name), build.mapping(state))
    return [problem.message for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


def matrix_of_lists(rows: bytes, data: bytes) -> list[str]:
    """The problems of a matrix of two rows and three columns."""
    return problems("scipy.sparse._lil", "lil_matrix", _shape=build.value((2, 3)), rows=rows, data=data)


def test_places_in_lists_are_columns() -> None:
    """Each row has as many places as values, and none of them is outside."""
    assert matrix_of_lists(lists([0, 2], []), lists([1.0, 1.0], [])) == []
    for rows, data, expected in (
        (lists([0, 3], []), lists([1.0, 1.0], []), "a place is outside of the matrix"),
        (lists([0, -1], []), lists([1.0, 1.0], []), "a place is outside of the matrix"),
        (lists([0, 2], []), lists([1.0], []), "a row has other places than values"),
        (lists([0]), lists([1.0]), "it has another number of rows than its shape"),
        (build.zeros(2), build.zeros(2), "its rows are no lists"),
    ):
        (message,) = matrix_of_lists(rows, data)
        assert expected in message


def test_places_in_lists_are_checked_at_the_end() -> None:
    """The matrix holds the lists of the file, which can change them later."""
    matrix = {"_shape": build.value((2, 3)), "rows": listed_rows(), "data": lists([1.0], [])}
    opcodes = build.built(build.new("scipy.sparse._lil", "lil_matrix"), build.mapping(matrix))
    assert scan_bytes(build.pickled(opcodes), ALLOWLIST).problems == ()
    changed = build.changed(1001, build.value(0), build.value(3))
    (problem,) = scan_bytes(build.pickled(opcodes, changed), ALLOWLIST).problems
    assert "a place is outside of the matrix" in problem.message


def test_each_diagonal_has_its_row() -> None:
    """There is an offset for each row of items."""
    shape = build.value((3, 3))
    assert (
        problems("scipy.sparse._dia", "dia_array", _shape=shape, offsets=integers(0, 1), data=build.zeros(2, 3)) == []
    )
    for offsets, data in ((integers(0, 1, 2), build.zeros(2, 3)), (integers(0), build.zeros(3))):
        (message,) = problems("scipy.sparse._dia", "dia_array", _shape=shape, offsets=offsets, data=data)
        assert "it has other diagonals than offsets" in message


def spline(degree: int, knots: int, coefficients: int, prefix: str = "_") -> list[str]:
    """The problems of a spline."""
    arrays = {f"{prefix}t": build.zeros(knots), f"{prefix}c": build.zeros(coefficients)}
    return problems("scipy.interpolate._bsplines", "BSpline", k=build.value(degree), **arrays)


@pytest.mark.parametrize("prefix", ["", "_"])
def test_spline_has_the_knots_and_coefficients_of_its_degree(prefix: str) -> None:
    """In each of the two ways to name them."""
    assert spline(3, 8, 4, prefix) == []
    for (degree, knots, coefficients), expected in (
        ((1_000_000, 8, 4), "the degree is invalid"),
        ((-5, 8, 4), "the degree is invalid"),
        ((3, 7, 4), "there are too few knots"),
        ((3, 8, 3), "there are too few coefficients"),
    ):
        (message,) = spline(degree, knots, coefficients, prefix)
        assert expected in message


def test_degree_of_a_fitted_spline_is_one_that_fitpack_has() -> None:
    """FITPACK has buffers for degrees up to five, and no check."""
    module = "scipy.interpolate._fitpack2"

    def arguments(degree: int) -> bytes:
        return b"(" + build.zeros(8) + build.zeros(8) + build.value(degree) + b"t"

    assert problems(module, "UnivariateSpline", _eval_args=arguments(3)) == []
    assert problems(module, "RectBivariateSpline", degrees=build.value((3, 3))) == []
    for name, state in (
        ("UnivariateSpline", {"_eval_args": arguments(50)}),
        ("UnivariateSpline", {"_eval_args": arguments(-1)}),
        ("RectBivariateSpline", {"degrees": build.value((3, 1000))}),
    ):
        (message,) = problems(module, name, **state)
        assert "a degree is invalid" in message
