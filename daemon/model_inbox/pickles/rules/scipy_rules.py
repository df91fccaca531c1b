"""Rules for the calls and states of scipy. Pure.

Owns the rules for its C and Cython types, which trust their states: k-d trees, meshes, rotations; and for splines whose
attributes stand in slots. A k-d tree follows the places in its nodes while it is loaded, so each node is read here.
Distributions are in `distribution_rules`.
"""

from __future__ import annotations

import struct
from typing import Any

from ..arguments import is_count, is_object, must, only_scalars, package_of
from ..stubs import BadArguments, Recorder, StateRule, Stub
from .numpy_rules import SCALARS, ArrayValue, array_of

__all__ = ["SCIPY_STATES", "WITH_KEYWORDS", "has_shape"]

WITH_KEYWORDS = frozenset(
    f"scipy.stats.{name}Result"
    for name in (
        "_mgc.MGC", "_morestats.Anderson_ksamp", "_stats_py.Kstest", "_stats_py.Linregress", "_stats_py.MGC",
        "_stats_py.PearsonR", "_stats_py.Significance",
    )
)  # fmt: skip
"""Tuples with attributes. Protocol 4 creates them with the attributes as keywords, which their `__new__` ignores: the
attributes are set from the state."""


def has_shape(value: Any, kind: str, itemsize: int, *shape: int | None) -> bool:
    """Return whether this is a finished array of this dtype and shape. None stands for any length."""
    if not is_object(value, "numpy.ndarray"):
        return False
    known: ArrayValue = array_of(value)
    if known.dtype is None or (known.dtype.kind, known.dtype.itemsize) != (kind, itemsize):
        return False
    return len(known.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, known.shape, strict=True)
    )


# --- k-d trees -----------------------------------------------------------------------------------------------

_NODE = struct.Struct("<qqdqqqqqq")
"""split dimension, children, split, first and last point, two pointers, the places of the two children."""

DEPTH_MAX = 1000


def _kd_tree_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    must(not hasattr(target, "value"), "it is set a second time")
    must(type(state) is tuple and len(state) == 10, "not a state that scipy writes")
    nodes, data, count, dimensions, leafsize, most, least, indices, box, box_data = state
    must(is_count(count) and is_count(dimensions) and is_count(leafsize), "not a state that scipy writes")
    must(has_shape(data, "f", 8, count, dimensions), "the points have another shape")
    must(has_shape(indices, "i", 8, count), "the order of the points has another length")
    must(has_shape(most, "f", 8, dimensions) and has_shape(least, "f", 8, dimensions), "the bounds are invalid")
    must(box is None or has_shape(box, "f", 8, dimensions), "the box is invalid")
    must(box_data is None or has_shape(box_data, "f", 8, 2 * dimensions), "the box is invalid")
    must(has_shape(nodes, "S", 1, None), "the nodes are not bytes")
    contents = array_of(nodes).contents
    must(contents is not None, "it is too large to be checked: store the points, and make the tree again")
    _check_nodes(contents or b"", count, dimensions)
    target.value = True


def _check_nodes(contents: bytes, count: int, dimensions: int) -> None:
    """A load follows the places of children: each node but the first must be the child of one node before it."""
    must(bool(contents) and len(contents) % _NODE.size == 0, "the nodes are cut off")
    depths = {0: 1}
    for place, node in enumerate(_NODE.iter_unpack(contents)):
        split, _children, _value, first, last, _less, _greater, less, greater = node
        must(0 <= first <= last <= count and -1 <= split < dimensions, "a node is invalid")
        must(place in depths, "a node belongs to no other")
        if split == -1:
            continue
        for child in (less, greater):
            must(place < child < len(contents) // _NODE.size and child not in depths, "a node has wrong children")
            depths[child] = depths[place] + 1
            must(depths[child] <= DEPTH_MAX, "the tree is too deep")


# --- other types ---------------------------------------------------------------------------------------------


def _mesh_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # When the object is deleted it calls `close`, and `close` of this attribute.
    must(type(state) is dict and "close" not in state, "an attribute replaces a method")
    must(state.get("_qhull") is None, "it has a mesh that is still open")


def _rotation_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is tuple and len(state) == 2, "not (quaternions, single)")
    must(has_shape(state[0], "f", 8, None, 4) or has_shape(state[0], "f", 8, 4), "the quaternions are invalid")
    must(type(state[1]) is bool, "not (quaternions, single)")


def _is_numeric(value: Any) -> bool:
    return only_scalars(value) or (isinstance(value, Stub) and package_of(type(value)) == "numpy")


def _rbf_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """`__setstate__` looks at the kind of three arrays, and takes the rest as it is. Before 1.15 there was none."""
    if type(state) is dict:
        return
    must(type(state) is tuple and len(state) == 2, "not a state that scipy writes")
    first, second = state
    must(type(first) is tuple and len(first) == 9 and type(second) is tuple, "not a state that scipy writes")
    must(len(second) == (3 if first[4] is None else 1), "not a state that scipy writes")
    must(all(_is_numeric(value) for value in (first[0], first[1], first[5])), "not a state that scipy writes")


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


_INTERPOLATE = "scipy.interpolate."
SCIPY_STATES: dict[str, StateRule] = {
    **{f"scipy.spatial.{name}": _kd_tree_state for name in ("_ckdtree.cKDTree", "_kdtree.KDTree")},
    **{f"scipy.spatial._qhull.{name}": _mesh_state
       for name in ("ConvexHull", "Delaunay", "HalfspaceIntersection", "Voronoi")},
    "scipy.spatial.transform._rotation.Rotation": _rotation_state,
    "scipy.interpolate._rbfinterp.RBFInterpolator": _rbf_state,
    f"{_INTERPOLATE}_bsplines.BSpline": _spline_state,
    **{f"{_INTERPOLATE}_fitpack2.{name}": _fitted_spline_state
       for name in ("BivariateSpline", "InterpolatedUnivariateSpline", "LSQBivariateSpline", "LSQSphereBivariateSpline",
                    "LSQUnivariateSpline", "RectBivariateSpline", "RectSphereBivariateSpline", "SmoothBivariateSpline",
                    "SmoothSphereBivariateSpline", "SphereBivariateSpline", "UnivariateSpline")},
    **{f"{_INTERPOLATE}_cubic.{name}": _slots_state
       for name in ("Akima1DInterpolator", "CubicHermiteSpline", "CubicSpline", "PchipInterpolator")},
    **{f"{_INTERPOLATE}_interpolate.{name}": _slots_state for name in ("BPoly", "PPoly", "interp1d")},
    **{f"{_INTERPOLATE}_polyint.{name}": _slots_state for name in ("BarycentricInterpolator", "KroghInterpolator")},
}  # fmt: skip
