"""Children make a tree, or the fault is named. The oracle walks from the root and meets each node once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles.trees import NotATree
from model_inbox.pickles.trees.shape import DEPTH_MAX, check_children, check_split_children


def is_tree(left: list[int], right: list[int], leaf: int) -> bool:
    """Return whether a walk from node 0 meets every node once, and each child after its parent."""
    seen: list[int] = []
    waiting = [0]
    while waiting:
        node = waiting.pop()
        if not 0 <= node < len(left) or node in seen:
            return False
        seen.append(node)
        children = [left[node], right[node]]
        if children == [leaf, leaf]:
            continue
        if leaf in children or min(children) <= node:
            return False
        waiting += children
    return len(seen) == len(left)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """A tree that grew split by split, as libraries grow them."""
    left, right = [-1], [-1]
    for _ in range(draw(st.integers(0, 8))):
        leaves = [node for node, child in enumerate(left) if child == -1]
        node = draw(st.sampled_from(leaves))
        left[node], right[node] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    return left, right


@given(trees())
def test_tree_that_grew_is_accepted(tree: tuple[list[int], list[int]]) -> None:
    """Whatever leaf is split next."""
    check_children(*tree, -1, "tree 0")


@given(trees(), st.data())
def test_changed_children_are_accepted_only_if_they_are_still_a_tree(
    tree: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    """One to three children become any number."""
    left, right = tree
    for _ in range(data.draw(st.integers(1, 3))):
        side = data.draw(st.sampled_from([left, right]))
        side[data.draw(st.integers(0, len(side) - 1))] = data.draw(st.integers(-3, len(side) + 2))
    try:
        check_children(left, right, -1, "tree 0")
    except NotATree:
        assert not is_tree(left, right, -1)
    else:
        assert is_tree(left, right, -1)


@given(trees(), st.data())
def test_children_with_leaves_of_their_own_are_told_in_the_same_way(
    tree: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    """The same trees with their leaves numbered apart, and one child changed."""
    numbers: dict[int, int] = {}
    splits = [node for node, child in enumerate(tree[0]) if child != -1]
    if not splits:
        return
    leaves = 0
    for node, child in enumerate(tree[0]):
        if child == -1:
            leaves += 1
            numbers[node] = -leaves
        else:
            numbers[node] = splits.index(node)
    left, right = ([numbers[side[node]] for node in splits] for side in tree)
    check_split_children(left, right, "tree 0")
    place, value = data.draw(st.integers(0, len(splits) - 1)), data.draw(st.integers(-len(splits) - 3, len(splits) + 2))
    if left[place] != value:
        left[place] = value
        # Each number stands in it once, so that another one stands there twice, or nowhere.
        with pytest.raises(NotATree):
            check_split_children(left, right, "tree 0")


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ([1, 3, -1, -1, -1], [2, 5, -1, -1, -1], "tree 7, node 1: the right child is 5, and there are 5 nodes"),
        ([1, 3, -1, -1, -1], [2, 0, -1, -1, -1], "tree 7, node 1: the right child is node 0, which comes before it"),
        ([1, 3, -1, -1, -1], [2, 3, -1, -1, -1], "tree 7, node 1: node 3 is a child of node 1, too"),
        ([1, 3, -1, -1, -1], [2, -1, -1, -1, -1], "tree 7, node 1 has only one child"),
        ([1, -1, -1, -1, -1], [2, -1, -1, -1, -1], "tree 7, node 3 is the child of no node"),
        ([1, 3, -1, -1, -1], [2, 4, -1, -1], "tree 7 has 5 left and 4 right children"),
        ([-2, -1], [1, -1], "tree 7, node 0: the left child is -2, and there are 2 nodes"),
    ],
)
def test_fault_is_named_with_its_node(left: list[int], right: list[int], message: str) -> None:
    """Tree, node and value."""
    with pytest.raises(NotATree) as error:
        check_children(left, right, -1, "tree 7")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ([99, -2], [-1, -3], "tree 7, node 0: the left child is 99, and there are 2 nodes"),
        ([1, 0], [-1, -3], "tree 7, node 1: the left child is node 0, which comes before it"),
        ([1, -2], [-1, -2], "tree 7, node 1: leaf 1 is a child of node 1, too"),
        ([1, -2], [-1, -9], "tree 7, node 1: the right child is leaf 8, and there are 3 leaves"),
        ([-2, -3], [-1, -3], "tree 7, node 1: leaf 2 is a child of node 1, too"),
    ],
)
def test_fault_of_a_tree_with_leaves_of_their_own_is_named(left: list[int], right: list[int], message: str) -> None:
    """Tree, node and value."""
    with pytest.raises(NotATree) as error:
        check_split_children(left, right, "tree 7")
    assert str(error.value) == message


def test_deleted_nodes_stand_beside_the_tree() -> None:
    """They have no parent; one that has is refused."""
    check_children([1, -1, -1, -1], [2, -1, -1, -1], -1, "tree 0", {3})
    with pytest.raises(NotATree, match="tree 0, node 2 is deleted, and a child of node 0"):
        check_children([1, -1, -1, -1], [2, -1, -1, -1], -1, "tree 0", {2})


def test_chain_of_nodes_is_bounded() -> None:
    """Each node has a leaf and the next node."""
    for splits, accepted in ((DEPTH_MAX - 1, True), (2 * DEPTH_MAX, False)):
        left = [child for node in range(splits) for child in (2 * node + 1, -1)] + [-1]
        right = [child for node in range(splits) for child in (2 * node + 2, -1)] + [-1]
        if accepted:
            check_children(left, right, -1, "tree 0")
        else:
            with pytest.raises(NotATree, match=f"tree 0 is {splits + 1} nodes deep"):
                check_children(left, right, -1, "tree 0")
