"""Rules for the calls and states of scipy. Pure.

Owns the rules for its C and Cython types, which trust their states: k-d trees, rotations and densities. A k-d tree
follows the places in its nodes while it is loaded, so each node is read here. Splines are in `spline_rules`, meshes in
`mesh_rules`, distributions in `distribution_rules`.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

from ..arguments import is_count, is_object, must
from ..stubs import Recorder, StateRule, Stub
from .numpy_rules import ArrayValue, array_of, must_lie_within

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


def _kd_tree_state(recorder: Recorder, target: Stub, state: Any) -> None:
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
    recorder.check_later(
        type(target).name,
        partial(must_lie_within, array_of(indices), 0, count, f"the order has a number that is none of {count} points"),
    )
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


def _rotation_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is tuple and len(state) == 2, "not (quaternions, single)")
    must(has_shape(state[0], "f", 8, None, 4) or has_shape(state[0], "f", 8, 4), "the quaternions are invalid")
    must(type(state[1]) is bool, "not (quaternions, single)")


def _density_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """A kernel density: a weight for each point. Compiled code reads as many weights as there are points."""
    must(target.kept is None and type(state) is dict, "not a state that scipy writes")
    shape = array_of(state.get("dataset")).shape
    must(len(shape) == 2, "the points are invalid")
    sizes = {"d": shape[0], "n": shape[1]}
    must(all(type(state.get(name)) is int and state[name] == size for name, size in sizes.items()), "a size is wrong")
    weights = state.get("_weights")
    must(weights is None or array_of(weights).shape == shape[1:], "there is another number of weights than of points")


SCIPY_STATES: dict[str, StateRule] = {
    **{f"scipy.spatial.{name}": _kd_tree_state for name in ("_ckdtree.cKDTree", "_kdtree.KDTree")},
    "scipy.spatial.transform._rotation.Rotation": _rotation_state,
    "scipy.stats._kde.gaussian_kde": _density_state,
}
