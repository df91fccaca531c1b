"""Rules for the states of scipy's splines and interpolators of a grid or of points. Pure.

Owns the comparison of knots, coefficients, degrees and grids with each other: compiled code reads coefficients at
places that it works out from the knots, and compares them only where a spline is made.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..arguments import count_of, is_count, is_object, must, only_scalars, package_of
from ..stubs import BadArguments, Recorder, StateRule, Stub
from .numpy_rules import SCALARS, array_of, integers_of
from .scipy_rules import has_shape

__all__ = ["SPLINE_STATES"]


_SLOTS = frozenset({"_asarray", "_c", "_x", "_y_axis", "_y_extra_shape", "axis", "c", "dtype", "extrapolate", "x"})


def _slots_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """Splines have slots. BUILD sets other names of slots with `setattr`, which runs the code of properties."""
    if type(state) is tuple:
        must(len(state) == 2 and type(state[1]) is dict and set(state[1]) <= _SLOTS, "not a state that scipy writes")


DEGREE_MAX = 5
"""The highest degree that FITPACK's own buffers have room for."""
_SPLINE_DEGREE_MAX = 100


def _is_degree(value: Any, most: int) -> bool:
    return is_count(getattr(value, "real", None) if is_object(value, *SCALARS) else value, most)


def _spline_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Knots, coefficients and a degree: as many coefficients as knots, without one more than the degree."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    degree = state.get("k")
    if not _is_degree(degree, _SPLINE_DEGREE_MAX):
        raise BadArguments("the degree is invalid")
    degree = getattr(degree, "real", degree)
    # scipy 1.15 and later have other names for the arrays.
    known = [names for names in (("t", "c"), ("_t", "_c")) if any(name in state for name in names)]
    must(bool(known), "it has no knots")
    for of_knots, of_coefficients in known:
        knots, coefficients = (array_of(state.get(name)).shape for name in (of_knots, of_coefficients))
        must(len(knots) == 1 and knots[0] >= 2 * degree + 2, "there are too few knots")
        must(len(coefficients) >= 1 and coefficients[0] >= knots[0] - degree - 1, "there are too few coefficients")


def _number(value: Any) -> Any:
    """Return a number of the file: the number of a numpy scalar, else the value itself."""
    return getattr(value, "real", None) if is_object(value, *SCALARS) else value


def _must_hold_coefficients(value: Any, wanted: list[int]) -> None:
    """C code reads them as floats of eight bytes, at the places of a box of this shape."""
    known = array_of(value)
    must(
        known.dtype is not None and (known.dtype.kind, known.dtype.itemsize) in _COEFFICIENTS,
        "the coefficients are no floats",
    )
    must(
        len(known.shape) >= len(wanted)
        and all(length >= least for length, least in zip(known.shape, wanted, strict=False)),
        "there are too few coefficients",
    )


_COEFFICIENTS = (("f", 8), ("d", 8), ("c", 16), ("D", 16))


def _lengths_of(knots: Any, degrees: list[Any]) -> list[int]:
    """Return the number of coefficients along each axis of a tensor product spline of these knots, as counts."""
    must(len(knots) == len(degrees) > 0, "it has other degrees than knots")
    for degree, length in zip(degrees, knots, strict=True):
        must(is_count(degree, _SPLINE_DEGREE_MAX), "the degree is invalid")
        must(length >= 2 * degree + 2, "there are too few knots")
    return [length - degree - 1 for degree, length in zip(degrees, knots, strict=True)]


def _tensor_spline_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Knots and degrees of each axis, and a box of coefficients. scipy compares them only where it makes the spline."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    must("_t" in state or "t" in state, "it has no knots")
    if "_t" in state:
        lengths, degrees = _numbers(state.get("_len_t")), _numbers(state.get("_k"))
        must(has_shape(state["_t"], "f", 8, len(lengths), None), "the knots have another shape")
        must(max(lengths, default=0) <= array_of(state["_t"]).shape[1], "there are too few knots")
        _must_hold_coefficients(state.get("_c"), _lengths_of(lengths, degrees))
        # The places of the coefficients that one value needs: each of a box of one more than the degrees.
        places = state.get("_indices_k1d")
        count = math.prod(degree + 1 for degree in degrees)
        must(has_shape(places, "i", 8, count, len(degrees)), "the places have another shape")
        rows = itertools.product(*(range(degree + 1) for degree in degrees))
        must(_numbers(places) == [*itertools.chain.from_iterable(rows)], "the places are not those of the degrees")
    if "t" in state:
        # As scipy before 1.15 has it.
        knots, degrees = state["t"], state.get("k")
        must(type(knots) is tuple and type(degrees) is tuple, "not a state that scipy writes")
        shapes = [array_of(axis).shape for axis in knots]
        must(all(len(shape) == 1 for shape in shapes), "the knots have another shape")
        wanted = _lengths_of([length for (length,) in shapes], [_number(degree) for degree in degrees])
        _must_hold_coefficients(state.get("c"), wanted)


_NUMBERS_MAX = 1_000_000


def _numbers(value: Any) -> list[int]:
    """Return the numbers of an array of integers of eight bytes, row by row."""
    known = array_of(value)
    must(has_shape(value, "i", 8, *known.shape) and count_of(known.shape) <= _NUMBERS_MAX, "not an array of integers")
    return [number for piece in integers_of(known, len(known.shape)) for number in piece]


def _fitted_spline_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """The knots, coefficients and degrees that FITPACK gets. It compares their numbers, but not the degree."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    degrees = []
    for name, place in (("_eval_args", 2), ("_data", 5)):
        parts = state.get(name)
        if parts is not None:
            must(type(parts) is tuple and len(parts) > place, "not a state that scipy writes")
            degrees.append(parts[place])
    if "degrees" in state:
        must(type(state["degrees"]) is tuple, "not a state that scipy writes")
        degrees += state["degrees"]
    must(all(_is_degree(degree, DEGREE_MAX) for degree in degrees), "a degree is invalid")


def _grid_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Values on a grid, at least as many along each axis as the grid has. scipy names them in two ways."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    known = [names for names in (("grid", "values"), ("_grid", "_values")) if any(name in state for name in names)]
    must(bool(known), "it has no grid")
    for of_grid, of_values in known:
        grid = state.get(of_grid)
        must(type(grid) is tuple and len(grid) > 0, "not a state that scipy writes")
        must(all(has_shape(axis, "f", 8, None) for axis in grid), "an axis of the grid is no array of floats")
        lengths, shape = [array_of(axis).shape[0] for axis in grid], array_of(state.get(of_values)).shape
        has_room = len(shape) >= len(lengths) and all(
            0 < length <= values for length, values in zip(lengths, shape, strict=False)
        )
        must(has_room, "there are fewer values than places of the grid")


# --- radial basis functions ----------------------------------------------------------------------------------


def _is_numeric(value: Any) -> bool:
    return only_scalars(value) or (isinstance(value, Stub) and package_of(type(value)) == "numpy")


def _rbf_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """`__setstate__` looks at the kind of three arrays. The compiled code compares none of them with another."""
    must(target.kept is None, "it is set a second time")
    if type(state) is dict:
        # Before scipy 1.15.
        must(set(_RBF_STATE) <= set(state), "not a state that scipy writes")
        points, values, powers, neighbors = (state[name] for name in _RBF_STATE)
        rest = None if neighbors is not None else tuple(state.get(name) for name in ("_shift", "_scale", "_coeffs"))
    else:
        must(type(state) is tuple and len(state) == 2, "not a state that scipy writes")
        first, second = state
        must(type(first) is tuple and len(first) == 9 and type(second) is tuple, "not a state that scipy writes")
        must(len(second) == (3 if first[4] is None else 1), "not a state that scipy writes")
        must(all(_is_numeric(value) for value in (first[0], first[1], first[5])), "not a state that scipy writes")
        points, values, neighbors, powers = first[0], first[1], first[4], first[8]
        rest = second if neighbors is None else None
    must(has_shape(points, "f", 8, None, None), "the points are invalid")
    count, dimensions = array_of(points).shape
    must(has_shape(values, "f", 8, count, None), "there is another number of values than of points")
    must(has_shape(powers, "i", 8, None, dimensions), "the powers have another shape")
    if rest is None:
        must(is_count(neighbors, count), "the number of neighbors is invalid")
        return
    shift, scale, coefficients = rest
    must(all(has_shape(value, "f", 8, dimensions) for value in (shift, scale)), "the shift or the scale is invalid")
    wanted = count + array_of(powers).shape[0], array_of(values).shape[1]
    must(has_shape(coefficients, "f", 8, *wanted), "the coefficients have another shape")


_RBF_STATE = ("y", "d", "powers", "neighbors")


_INTERPOLATE = "scipy.interpolate."
SPLINE_STATES: dict[str, StateRule] = {
    f"{_INTERPOLATE}_rbfinterp.RBFInterpolator": _rbf_state,
    f"{_INTERPOLATE}_bsplines.BSpline": _spline_state,
    f"{_INTERPOLATE}_rgi.RegularGridInterpolator": _grid_state,
    f"{_INTERPOLATE}_ndbspline.NdBSpline": _tensor_spline_state,
    **{f"{_INTERPOLATE}_fitpack2.{name}": _fitted_spline_state
       for name in ("BivariateSpline", "InterpolatedUnivariateSpline", "LSQBivariateSpline", "LSQSphereBivariateSpline",
                    "LSQUnivariateSpline", "RectBivariateSpline", "RectSphereBivariateSpline", "SmoothBivariateSpline",
                    "SmoothSphereBivariateSpline", "SphereBivariateSpline", "UnivariateSpline")},
    **{f"{_INTERPOLATE}_cubic.{name}": _slots_state
       for name in ("Akima1DInterpolator", "CubicHermiteSpline", "CubicSpline", "PchipInterpolator")},
    **{f"{_INTERPOLATE}_interpolate.{name}": _slots_state for name in ("BPoly", "PPoly", "interp1d")},
    **{f"{_INTERPOLATE}_polyint.{name}": _slots_state for name in ("BarycentricInterpolator", "KroghInterpolator")},
}  # fmt: skip
