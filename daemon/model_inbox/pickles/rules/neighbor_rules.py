"""Rules for scikit-learn's neighbour trees, the distances in them, and the estimators of neighbours. Pure.

Owns what their compiled code takes from a state without a check: the order of the points, the nodes and their bounds,
the weights of a distance, and the labels of the points (`BinaryTree` in sklearn/neighbors/_binary_tree.pxi.tp,
`DistanceMetric` in sklearn/metrics/_dist_metrics.pyx.tp, `ArgKminClassMode` in
sklearn/metrics/_pairwise_distances_reduction/_argkmin_classmode.pyx.tp).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..arguments import is_object, must
from ..stubs import Recorder, StateRule, Stub
from ..trees import check_neighbor_nodes
from .numpy_rules import array_of, is_integers, must_lie_within
from .scipy_rules import has_shape
from .tree_rules import node_table, note_faults

__all__ = ["NEIGHBOR_STATES"]

_METRICS = "sklearn.metrics._dist_metrics."
_SPARSE = tuple(f"scipy.sparse._{form}.{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("array", "matrix"))
_NUMBERS_OF_TREE = slice(4, 11)
"""The size of a leaf, levels, nodes, and four counters."""
_NUMBER_MAX = 1 << 31


def _metric_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """The power, the vector and the matrix of a distance; with a function of Python that and its arguments."""
    must(target.kept is None, "it is set a second time")
    must(type(state) is tuple and len(state) in (3, 5), "not a state that scikit-learn writes")
    must(has_shape(state[1], "f", 8, None) and has_shape(state[2], "f", 8, None, None), "its weights are invalid")
    must(all(type(part) is dict for part in state[4:]), "the arguments of its function are no dictionary")


def _must_fit(metric: Any, features: int) -> None:
    """A tree does not ask whether its distance has weights for all features."""
    name = type(metric).name if isinstance(metric, Stub) else ""
    must(name.startswith(_METRICS) and metric.kept is not None, "its distance is none of scikit-learn's")
    kind = name.removeprefix(_METRICS)
    _power, vector, matrix = metric.kept[:3]
    if kind.startswith("SEuclidean"):
        must(array_of(vector).shape == (features,), "its distance has another number of weights than features")
    elif kind.startswith(("Minkowski", "WMinkowski")):
        # Without weights it has an empty vector, or a single 0 before scikit-learn 1.3.
        must(array_of(vector).shape in ((features,), (0,), (1,)), "its distance has another number of weights")
    elif kind.startswith("Mahalanobis"):
        must(array_of(matrix).shape == (features, features), "its distance has another number of weights than features")
    elif kind.startswith("Haversine"):
        must(features == 2, "its distance is one of two features")


def _tree_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(target.kept is None, "it is set a second time")
    must(type(state) is tuple and len(state) == 13, "not a state that scikit-learn writes")
    data, order, nodes, bounds, *_, metric, weights = state
    must(
        all(type(number) is int and abs(number) < _NUMBER_MAX for number in state[_NUMBERS_OF_TREE]),
        "not a state that scikit-learn writes",
    )
    leaf_size, count = state[4], state[6]
    must(leaf_size > 0 and count > 0, "it has no size of a leaf, or no node")
    must(has_shape(data, "f", 8, None, None), "the points are invalid")
    points, features = array_of(data).shape
    must(has_shape(order, "i", 8, points), "the order of the points has another length")
    sides = 2 if type(target).name.startswith("sklearn.neighbors._kd_tree.") else 1
    must(has_shape(bounds, "f", 8, sides, count, features), "the bounds of the nodes have another shape")
    must(weights is None or has_shape(weights, "f", 8, points), "there is another number of weights than of points")
    must(array_of(nodes).shape == (count,), "the number of nodes is wrong")
    _must_fit(metric, features)
    note_faults(recorder, type(target).name, lambda: check_neighbor_nodes(node_table(array_of(nodes)), points))
    recorder.check_later(
        type(target).name,
        partial(must_lie_within, array_of(order), 0, points, f"the order has a number that is none of {points} points"),
    )


def _classifier_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """The labels of the points are places in the table of classes."""
    must(target.kept is None and type(state) is dict, "not a state that scikit-learn writes")
    if "_y" not in state:
        return
    # What is no array becomes one when it is used.
    labels = array_of(state["_y"])
    if len(labels.shape) != 1:
        # Several outputs are looked up by numpy, which checks.
        return
    must(is_integers(labels), "the labels are no integers")
    must(labels.shape == (_rows_of(state.get("_fit_X")),), "there is another number of labels than of points")
    must(is_object(state.get("classes_"), "numpy.ndarray"), "the classes are no array")
    classes = array_of(state["classes_"]).shape[:1]
    must(classes != (), "the classes are no array")
    recorder.check_later(
        type(target).name,
        partial(must_lie_within, labels, 0, classes[0], f"a label is none of {classes[0]} classes"),
    )


def _rows_of(points: Any) -> int:
    if is_object(points, "numpy.ndarray"):
        return next(iter(array_of(points).shape), -1)
    must(is_object(points, *_SPARSE) and type(points.kept) is dict, "the points are no array")
    shape = points.kept.get("_shape")
    return int(shape[0]) if type(shape) is tuple and shape else -1


_DISTANCES = (
    "BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard", "Kulsinski",
    "Mahalanobis", "Manhattan", "Matching", "Minkowski", "PyFunc", "RogersTanimoto", "RussellRao", "SEuclidean",
    "SokalMichener", "SokalSneath", "WMinkowski",
)  # fmt: skip
_KINDS_OF_METRIC = (
    *(f"DistanceMetric{size}" for size in ("", "32", "64")),
    *(f"{name}Distance{size}" for name in _DISTANCES for size in ("", "32", "64")),
)
NEIGHBOR_STATES: dict[str, StateRule] = {
    **{f"{_METRICS}{name}": _metric_state for name in _KINDS_OF_METRIC},
    "sklearn.neighbors._ball_tree.BallTree": _tree_state,
    "sklearn.neighbors._kd_tree.KDTree": _tree_state,
    **{f"sklearn.neighbors._classification.{name}": _classifier_state
       for name in ("KNeighborsClassifier", "RadiusNeighborsClassifier")},
}  # fmt: skip
