"""Meshes, grids, points and tensor product splines of scipy: what compiled code reads at places that a file names.

A honest state of each is written out here, as scipy 1.17 has it; each test changes one of its arrays or numbers.
"""

from __future__ import annotations

import itertools
import struct

import pytest
from tests.support import pickle_builders as build

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()


def integers(numbers: list[int], shape: tuple[int, ...] | None = None, code: str = "i4") -> bytes:
    """Opcodes of an array of integers."""
    letter = {"i4": "i", "i8": "q"}[code]
    return build.array(shape or (len(numbers),), struct.pack(f"<{len(numbers)}{letter}", *numbers), build.dtype(code))


def problems(module: str, name: str, state: dict[str, bytes]) -> list[str]:
    """The messages of all problems of an object with these attributes."""
    return of_opcodes(build.built(build.new(module, name), build.mapping(state)))


def of_opcodes(opcodes: bytes) -> list[str]:
    """The messages of all problems."""
    return [problem.message for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


# --- triangulations ------------------------------------------------------------------------------------------

# The unit square, cut along a diagonal: 0 = (0, 0), 1 = (1, 0), 2 = (0, 1), 3 = (1, 1).
SQUARE = {
    "_points": build.zeros(4, 2),
    "_qhull": b"N",
    "_transform": b"N",
    "_vertex_neighbor_vertices": b"N",
    "_vertex_to_simplex": b"N",
    "coplanar": integers([], (0, 3)),
    "equations": build.zeros(2, 4),
    "max_bound": build.zeros(2),
    "min_bound": build.zeros(2),
    "ndim": build.value(2),
    "neighbors": integers([1, -1, -1, 0, -1, -1], (2, 3)),
    "npoints": build.value(4),
    "nsimplex": build.value(2),
    "simplices": integers([0, 1, 2, 3, 2, 1], (2, 3)),
}
WORKED_OUT = {
    "_transform": build.zeros(2, 3, 2),
    "_vertex_to_simplex": integers([0, 0, 0, 1]),
    # Each point's neighbors: 0 has 1 and 2; 1 has 0, 2 and 3; 2 has 0, 1 and 3; 3 has 1 and 2.
    "_vertex_neighbor_vertices": b"(" + integers([0, 2, 5, 8, 10]) + integers([1, 2, 0, 2, 3, 0, 1, 3, 1, 2]) + b"t",
    "coplanar": integers([3, 1, 2], (1, 3)),
}


def triangulation(**changed: bytes) -> bytes:
    """Opcodes of the square's triangulation."""
    return build.built(build.new("scipy.spatial._qhull", "Delaunay"), build.mapping({**SQUARE, **changed}))


def test_triangulation_as_scipy_writes_it_is_accepted() -> None:
    """Before and after what is worked out on demand."""
    assert of_opcodes(triangulation()) == []
    assert of_opcodes(triangulation(**WORKED_OUT)) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"simplices": integers([0, 1, 4, 3, 2, 1], (2, 3))}, "a place is outside of the mesh"),
        ({"simplices": integers([0, 1, -1, 3, 2, 1], (2, 3))}, "a place is outside of the mesh"),
        ({"simplices": integers([0, 1, 2, 3], (2, 2))}, "the simplices have another shape"),
        ({"simplices": integers([0, 1, 2, 3, 2, 1], (2, 3), "i8")}, "the simplices have another shape"),
        ({"neighbors": integers([2, -1, -1, 0, -1, -1], (2, 3))}, "a place is outside of the mesh"),
        ({"neighbors": integers([1, -2, -1, 0, -1, -1], (2, 3))}, "a place is outside of the mesh"),
        ({"neighbors": integers([1, -1, -1], (1, 3))}, "the neighbors have another shape"),
        ({"equations": build.zeros(1, 4)}, "the equations have another shape"),
        ({"_points": build.zeros(3, 2)}, "a size is wrong"),
        ({"_points": build.zeros(8)}, "the points are invalid"),
        ({"npoints": build.value(1 << 40)}, "a size is wrong"),
        ({"nsimplex": build.value(3)}, "a size is wrong"),
        ({"ndim": build.value(3)}, "a size is wrong"),
        ({"max_bound": build.zeros(1)}, "a bound is invalid"),
        ({"_transform": build.zeros(1, 3, 2)}, "the transform is invalid"),
        ({"_vertex_to_simplex": integers([0, 0, 0, 2])}, "a place is outside of the mesh"),
        ({"_vertex_to_simplex": integers([0])}, "another number of simplices than of points"),
        ({"coplanar": integers([4, 0, 0], (1, 3))}, "a coplanar point is outside"),
        ({"coplanar": integers([0, 2, 0], (1, 3))}, "a coplanar point is outside"),
        (
            {"_vertex_neighbor_vertices": b"(" + integers([0, 9, 5, 8, 10]) + integers([0] * 10) + b"t"},
            "the ends of the vertices are invalid",
        ),
        (
            {"_vertex_neighbor_vertices": b"(" + integers([0, 0, 0, 0, 1]) + integers([4]) + b"t"},
            "a place is outside of the mesh",
        ),
    ],
)
def test_walk_stays_inside_of_the_mesh(changed: dict[str, bytes], expected: str) -> None:
    """Each place names a point or a simplex that is there, and each array has the size that the others ask for."""
    (message,) = of_opcodes(triangulation(**changed))
    assert expected in message


def on_mesh(name: str, **changed: bytes) -> list[str]:
    """The problems of an interpolator on the square."""
    state = {
        "fill_value": build.value(0.0),
        "is_complex": b"\x89",
        "points": build.zeros(4, 2),
        "tri": triangulation(),
        "values": build.zeros(4, 1),
        "values_shape": build.value(()),
        **changed,
    }
    return problems("scipy.interpolate._interpnd", name, state)


def test_each_point_of_a_mesh_has_its_value() -> None:
    """And, for the cubic interpolator, its gradient."""
    assert on_mesh("LinearNDInterpolator") == []
    assert on_mesh("CloughTocher2DInterpolator", grad=build.zeros(4, 1, 2)) == []
    for name, changed, expected in (
        ("LinearNDInterpolator", {"values": build.zeros(3, 1)}, "the values have another shape"),
        ("LinearNDInterpolator", {"values": build.zeros(4, 2)}, "the values have another shape"),
        ("LinearNDInterpolator", {"is_complex": b"\x88"}, "the values have another shape"),
        ("LinearNDInterpolator", {"points": build.zeros(4, 3)}, "the points have another shape"),
        ("LinearNDInterpolator", {"tri": b"N"}, "it has no triangulation"),
        ("LinearNDInterpolator", {"tri": build.new("scipy.spatial._qhull", "Delaunay")}, "it has no triangulation"),
        ("CloughTocher2DInterpolator", {}, "the gradients are invalid"),
        ("CloughTocher2DInterpolator", {"grad": build.zeros(3, 1, 2)}, "the gradients are invalid"),
    ):
        (message,) = on_mesh(name, **changed)
        assert expected in message


# --- grids and tensor product splines ------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "_"])
def test_grid_has_a_value_at_each_place(prefix: str) -> None:
    """In each of the two ways to name them."""

    def of(axes: bytes, values: bytes) -> list[str]:
        state = {f"{prefix}grid": axes, f"{prefix}values": values}
        return problems("scipy.interpolate._rgi", "RegularGridInterpolator", state)

    axes = b"(" + build.zeros(3) + build.zeros(2) + b"t"
    assert of(axes, build.zeros(3, 2)) == []
    assert of(axes, build.zeros(3, 2, 5)) == []
    for grid, values, expected in (
        (axes, build.zeros(2, 2), "fewer values than places"),
        (axes, build.zeros(3), "fewer values than places"),
        (b"(" + build.zeros(0) + b"t", build.zeros(0), "fewer values than places"),
        (b"(" + integers([0, 1, 2]) + b"t", build.zeros(3), "no array of floats"),
        (b")", build.zeros(3), "not a state that scipy writes"),
    ):
        (message,) = of(grid, values)
        assert expected in message


PLACES = [number for row in itertools.product(range(2), range(3)) for number in row]


def tensor(**changed: bytes) -> list[str]:
    """The problems of a spline of degrees 1 and 2, with 5 and 7 knots, and so 3 and 4 coefficients."""
    state = {
        "_k": integers([1, 2], code="i8"),
        "_len_t": integers([5, 7], code="i8"),
        "_t": build.zeros(2, 7),
        "_indices_k1d": integers(PLACES, (6, 2), "i8"),
        "_c": build.zeros(3, 4),
        "extrapolate": b"\x88",
        **changed,
    }
    return problems("scipy.interpolate._ndbspline", "NdBSpline", state)


def test_tensor_spline_reads_inside_of_its_coefficients() -> None:
    """Their number along each axis follows from the knots and the degree."""
    assert tensor() == []
    assert tensor(_c=build.zeros(3, 4, 2)) == []
    for changed, expected in (
        ({"_len_t": integers([5, 8], code="i8")}, "too few knots"),
        ({"_len_t": integers([3, 7], code="i8")}, "too few knots"),
        ({"_len_t": integers([5, -7], code="i8")}, "too few knots"),
        ({"_len_t": integers([6, 7], code="i8")}, "too few coefficients"),
        ({"_len_t": integers([5, 7])}, "not an array of integers"),
        ({"_k": integers([-1, 2], code="i8")}, "the degree is invalid"),
        ({"_k": integers([1], code="i8")}, "other degrees than knots"),
        ({"_t": build.zeros(1, 7)}, "the knots have another shape"),
        ({"_c": build.zeros(3, 3)}, "too few coefficients"),
        ({"_c": build.zeros(12)}, "too few coefficients"),
        ({"_c": build.array((3, 4), bytes(48), build.dtype("f4"))}, "the coefficients are no floats"),
        ({"_indices_k1d": integers([9, *PLACES[1:]], (6, 2), "i8")}, "not those of the degrees"),
        ({"_indices_k1d": integers(PLACES[:10], (5, 2), "i8")}, "the places have another shape"),
    ):
        (message,) = tensor(**changed)
        assert expected in message


def test_tensor_spline_of_scipy_before_1_15() -> None:
    """It has a tuple of knots and of degrees."""

    def of(coefficients: bytes) -> list[str]:
        state = {"t": b"(" + build.zeros(5) + build.zeros(7) + b"t", "k": build.value((1, 2)), "c": coefficients}
        return problems("scipy.interpolate._ndbspline", "NdBSpline", state)

    assert of(build.zeros(3, 4)) == []
    (message,) = of(build.zeros(3, 3))
    assert "too few coefficients" in message


# --- points --------------------------------------------------------------------------------------------------


def radial(rest: bytes | None = None, **changed: bytes) -> list[str]:
    """The problems of radial functions over five points in the plane, with the three monomials 1, x and y."""
    parts = {
        "y": build.zeros(5, 2),
        "d": build.zeros(5, 1),
        "d_shape": build.value(()),
        "d_dtype": b"N",
        "neighbors": b"N",
        "smoothing": build.zeros(5),
        "kernel": build.text("thin_plate_spline"),
        "epsilon": build.value(1.0),
        "powers": integers([0, 0, 1, 0, 0, 1], (3, 2), "i8"),
        **changed,
    }
    rest = rest or build.zeros(2) + build.zeros(2) + build.zeros(8, 1)
    state = b"((" + b"".join(parts.values()) + b"t(" + rest + b"tt"
    return of_opcodes(build.built(build.new("scipy.interpolate._rbfinterp", "RBFInterpolator"), state))


def test_radial_functions_have_arrays_of_one_size() -> None:
    """Points, values, powers, shift, scale and coefficients."""
    assert radial() == []
    assert radial(build.value(0), neighbors=build.value(3)) == []
    for rest, changed, expected in (
        (None, {"d": build.zeros(4, 1)}, "another number of values than of points"),
        (None, {"powers": integers([0, 1, 2], (3, 1), "i8")}, "the powers have another shape"),
        (build.zeros(1) + build.zeros(2) + build.zeros(8, 1), {}, "the shift or the scale is invalid"),
        (build.zeros(2) + build.zeros(2) + build.zeros(7, 1), {}, "the coefficients have another shape"),
        (build.value(0), {"neighbors": build.value(6)}, "the number of neighbors is invalid"),
    ):
        (message,) = radial(rest, **changed)
        assert expected in message


def density(**changed: bytes) -> list[str]:
    """The problems of a kernel density over six points in the plane."""
    state = {
        "dataset": build.zeros(2, 6), "d": build.value(2), "n": build.value(6), "_weights": build.zeros(6), **changed,
    }  # fmt: skip
    return problems("scipy.stats._kde", "gaussian_kde", state)


def test_density_has_a_weight_for_each_point() -> None:
    """scipy makes equal weights for `n` points where there are none."""
    assert density() == []
    for changed, expected in (
        ({"_weights": build.zeros(2)}, "another number of weights than of points"),
        ({"n": build.value(2)}, "a size is wrong"),
        ({"d": build.value(3)}, "a size is wrong"),
        ({"dataset": build.zeros(12)}, "the points are invalid"),
    ):
        (message,) = density(**changed)
        assert expected in message


def test_order_of_a_k_d_tree_names_its_points() -> None:
    """A search reads the points at the places in it."""
    leaf = struct.pack("<qqdqqqqqq", -1, 0, 0.0, 0, 2, 0, 0, 0, 0)
    nodes = build.array((len(leaf),), leaf, build.dtype("S1", (3, "|", None, None, None, 1, 1, 0)))

    def of(order: list[int]) -> list[str]:
        parts = (
            nodes, build.zeros(2, 2), build.value(2), build.value(2), build.value(16), build.zeros(2), build.zeros(2),
            integers(order, code="i8"), b"N", b"N",
        )  # fmt: skip
        return of_opcodes(build.built(build.new("scipy.spatial._ckdtree", "cKDTree"), b"(" + b"".join(parts) + b"t"))

    assert of([1, 0]) == []
    for order in ([2, 0], [-1, 0], [1 << 40, 0]):
        (message,) = of(order)
        assert "none of 2 points" in message
