"""Whether children make a tree: one root, and each other node the child of exactly one node before it. Pure.

Libraries number nodes as they make them, so a child has a higher number than its parent. With that and exactly one
parent for each node, there is no circle, and every node can be reached from the root. The checks of the good case use
operations on whole sequences, which run in C; only a tree that fails is searched node by node for its fault.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache
from operator import eq, lt

from .fault import NotATree

__all__ = ["DEPTH_MAX", "check_children", "check_depth", "check_split_children"]

DEPTH_MAX = 4096
"""The depth of the deepest tree that is accepted. Explanations of a prediction (SHAP) walk a tree by recursion, with
memory for the square of its depth."""


def check_children(
    left: Sequence[int], right: Sequence[int], leaf: int, where: str, unused: Set[int] = frozenset()
) -> None:
    """Check nodes that are numbered together with their leaves. Both children of a leaf are `leaf`, a number below 1.

    `unused` are nodes that belong to no tree any more: a leaf each, and the child of no node.
    """
    count = len(left)
    splits = count - left.count(leaf)
    places = range(count)
    good = (
        len(right) == count == 2 * splits + 1 + len(unused)
        and right.count(leaf) == count - splits
        # Each child comes after its parent: `leaf` never does.
        and sum(map(lt, places, left)) == splits == sum(map(lt, places, right))
        and max(left) < count
        and max(right) < count
        and len(children := {*left, *right} - {leaf}) == 2 * splits
        and unused.isdisjoint(children)
        # Two children of one node are the same only where both are `leaf`.
        and sum(map(eq, left, right)) == count - splits
    )
    if not good:
        raise NotATree(_fault_of(left, right, leaf, where, unused))
    if count > DEPTH_MAX:
        check_depth(left, right, where)


def check_split_children(left: Sequence[int], right: Sequence[int], where: str) -> None:
    """Check nodes that are numbered apart from their leaves: a child below 0 is the leaf ~child, as in LightGBM."""
    splits = len(left)
    places = range(splits)
    good = (
        len(right) == splits
        # Each node but the first, and each leaf, stands there once: there are as many numbers as places.
        and {*left, *right} == _split_children_of(splits)
        # Each of the nodes comes after its parent: a leaf never does.
        and sum(map(lt, places, left)) + sum(map(lt, places, right)) == splits - 1
    )
    if not good:
        raise NotATree(_split_fault_of(left, right, where))
    if splits > DEPTH_MAX:
        check_depth(left, right, where)


@lru_cache(maxsize=16)
def _split_children_of(splits: int) -> frozenset[int]:
    """Return all children in a tree with this many splits: the leaves ~0 to ~splits, and all nodes but the first."""
    return frozenset([*range(-splits - 1, 0), *range(1, splits)])


def check_depth(left: Sequence[int], right: Sequence[int], where: str) -> None:
    """Check that a tree in which children come after their parents is not too deep."""
    depths = [1] * len(left)
    for node, children in enumerate(zip(left, right, strict=True)):
        below = depths[node] + 1
        for child in children:
            if child > 0:
                depths[child] = below
    deepest = max(depths)
    if deepest > DEPTH_MAX:
        raise NotATree(f"{where} is {deepest} nodes deep, more than {DEPTH_MAX}")


def _fault_of(left: Sequence[int], right: Sequence[int], leaf: int, where: str, unused: Set[int]) -> str:
    count = len(left)
    if len(right) != count:
        return f"{where} has {count} left and {len(right)} right children"
    parents: dict[int, int] = {}
    for node, children in enumerate(zip(left, right, strict=True)):
        if children == (leaf, leaf):
            continue
        for side, child in zip(("left", "right"), children, strict=True):
            if child == leaf:
                return f"{where}, node {node} has only one child"
            fault = _child_fault(node, side, child, count, parents)
            if fault:
                return f"{where}, {fault}"
    used = next((node for node in unused if node in parents), None)
    if used is not None:
        return f"{where}, node {used} is deleted, and a child of node {parents[used]}"
    lost = next((node for node in range(1, count) if node not in parents and node not in unused), None)
    return f"{where}, node {lost} is the child of no node" if lost is not None else f"{where}, node 0 is no root"


def _split_fault_of(left: Sequence[int], right: Sequence[int], where: str) -> str:
    splits = len(left)
    if len(right) != splits:
        return f"{where} has {splits} left and {len(right)} right children"
    parents: dict[int, int] = {}
    leaves: dict[int, int] = {}
    for node, children in enumerate(zip(left, right, strict=True)):
        for side, child in zip(("left", "right"), children, strict=True):
            if child >= 0:
                fault = _child_fault(node, side, child, splits, parents)
                if fault:
                    return f"{where}, {fault}"
            elif ~child > splits:
                return f"{where}, node {node}: the {side} child is leaf {~child}, and there are {splits + 1} leaves"
            elif ~child in leaves:
                return f"{where}, node {node}: leaf {~child} is a child of node {leaves[~child]}, too"
            else:
                leaves[~child] = node
    lost = next((node for node in range(1, splits) if node not in parents), None)
    return f"{where}, node {lost} is the child of no node"


def _child_fault(node: int, side: str, child: int, count: int, parents: dict[int, int]) -> str:
    """Return what is wrong with the child of a node, or "". Note the node as its parent."""
    if not 0 <= child < count:
        return f"node {node}: the {side} child is {child}, and there are {count} nodes"
    if child <= node:
        return f"node {node}: the {side} child is node {child}, which comes before it"
    if child in parents:
        return f"node {node}: node {child} is a child of node {parents[child]}, too"
    parents[child] = node
    return ""
