"""The node arrays of scikit-learn's trees: decision trees, histogram gradient boosting, and neighbours. Pure.

All are structured arrays with a record for each node. scikit-learn checks their dtype and length when it loads them,
and follows their children and features without a check when it predicts (`Tree._apply_dense` in
sklearn/tree/_tree.pyx, `_predict_one_from_raw_data` in
sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx). A tree of neighbours has no children in its nodes: those of
node n are 2n + 1 and 2n + 2 (sklearn/neighbors/_binary_tree.pxi.tp).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from operator import eq, gt

from .fault import NotATree, require
from .shape import check_children

__all__ = ["NodeTable", "check_hist_nodes", "check_neighbor_nodes", "check_sklearn_nodes"]

_CODES = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f4": "f",
    "f8": "d",
}  # fmt: skip
_NATIVE = "<" if struct.pack("=H", 1) == struct.pack("<H", 1) else ">"
_NO_CHILD = -1
_NODE = "the node array"


class NodeTable:
    """A structured array: its bytes, the size of a record, and where each field is in it: (offset, "i8", byte order).

    The byte order is "<" or ">".
    """

    __slots__ = ("data", "fields", "itemsize")

    def __init__(self, data: bytes, itemsize: int, fields: Mapping[str, tuple[int, str, str]]) -> None:
        self.data = data
        self.itemsize = itemsize
        self.fields = fields

    def columns(self, *names: str) -> list[Sequence[int]]:
        """Return the values of each of these fields. Raise NotATree if one is missing or is no integer."""
        count = len(self.data) // self.itemsize if self.itemsize else 0
        require(count > 0, f"{_NODE} is empty")
        columns: list[Sequence[int]] = []
        for name in names:
            require(name in self.fields, f"{_NODE} has no field {name}")
            offset, code, order = self.fields[name]
            require(code in _CODES and code[0] != "f", f"{_NODE}: the field {name} is not an integer")
            size = int(code[1])
            require(offset + size <= self.itemsize, f"{_NODE} has a field outside of its records")
            if order == _NATIVE and self.itemsize % size == 0 == offset % size:
                numbers = memoryview(self.data)[: count * self.itemsize].cast(_CODES[code])  # type: ignore[call-overload]  # the stubs know formats as literals only
                columns.append(numbers[offset // size :: self.itemsize // size].tolist())
            else:
                record = struct.Struct(f"{order}{offset}x{_CODES[code]}{self.itemsize - offset - size}x")
                columns.append([number for (number,) in record.iter_unpack(self.data)])
        return columns


def check_sklearn_nodes(nodes: NodeTable, features: int) -> None:
    """Check the nodes of a decision tree that was fitted with this many features."""
    left, right, used = nodes.columns("left_child", "right_child", "feature")
    check_children(left, right, _NO_CHILD, _NODE)
    _check_features(left, used, _NO_CHILD, features)


def _check_features(left: Sequence[int], used: Sequence[int], leaf: int, features: int) -> None:
    # The feature of a leaf is below 0, too.
    below = sum(map(eq, map((0).__gt__, used), map((0).__gt__, left)))
    if max(used) < features and below == len(used) and leaf < 0:
        return
    for node, (child, feature) in enumerate(zip(left, used, strict=True)):
        if child != leaf and not 0 <= feature < features:
            raise NotATree(f"{_NODE}, node {node}: it decides by feature {feature}, and there are {features} features")


def check_hist_nodes(nodes: NodeTable, categories: int) -> int:
    """Check the nodes of a tree of histogram gradient boosting, with this many sets of categories.

    Return the number of features that it needs at least.
    """
    left, right, used, leaves, by_category, sets = nodes.columns(
        "left", "right", "feature_idx", "is_leaf", "is_categorical", "bitset_idx"
    )
    # The children of a leaf are 0, the root.
    check_children(left, right, 0, _NODE)
    for node, (child, is_leaf, feature, decides, place) in enumerate(
        zip(left, leaves, used, by_category, sets, strict=True)
    ):
        if bool(is_leaf) != (child == 0):
            raise NotATree(f"{_NODE}, node {node}: it is marked as {'a leaf' if is_leaf else 'no leaf'}, and it is not")
        if is_leaf:
            continue
        if feature < 0:
            raise NotATree(f"{_NODE}, node {node}: it decides by feature {feature}")
        if decides and place >= categories:
            raise NotATree(f"{_NODE}, node {node}: its set of categories is {place}, and there are {categories}")
    return max((feature for feature, is_leaf in zip(used, leaves, strict=True) if not is_leaf), default=-1) + 1


def check_neighbor_nodes(nodes: NodeTable, points: int) -> None:
    """Check the nodes of a tree that divides this many points in two, and each half again."""
    starts, ends, leaves = nodes.columns("idx_start", "idx_end", "is_leaf")
    if min(starts) < 0 or max(ends) > points or any(map(gt, starts, ends)):
        for node, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if not 0 <= start <= end <= points:
                raise NotATree(f"{_NODE}, node {node}: it has points {start} to {end}, and there are {points}")
    # Both children of the nodes before this one are in the array.
    childless = (len(leaves) - 1) // 2
    if not all(leaves[childless:]):
        node = next(node for node in range(childless, len(leaves)) if not leaves[node])
        raise NotATree(f"{_NODE}, node {node}: it is no leaf, and its children are outside of the {len(leaves)} nodes")
