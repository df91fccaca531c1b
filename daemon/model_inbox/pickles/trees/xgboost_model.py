"""XGBoost's model: whether its loader and its predictor get what they trust. Pure.

The model is UBJSON or JSON: the model itself, and in a pickle the configuration beside it, whose parameters the loader
takes after those of the model. XGBoost checks the lengths of the arrays of a tree against each other, and trusts their
numbers: children, features, categories, and the group of outputs that a tree adds to (`RegTree::LoadModel` in
src/tree/tree_model.cc, `GBTreeModel::LoadModel` in src/gbm/gbtree_model.cc and `GetNextNode` in
src/predictor/predict_fn.h of its sources).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, compress
from operator import gt
from typing import Any

from .fault import NotATree, check_inside, require
from .shape import check_children
from .ubjson import TypedArray, read_ubjson

__all__ = ["check_xgboost"]

_NO_NODE = 2**31 - 1
_FEATURES_MAX = 10_000_000
_GROUPS_MAX = 1 << 20
_CATEGORY_MAX = 1 << 24
"""XGBoost itself takes no larger one."""
_CATEGORY_BITS_MAX = 1 << 31
"""All sets of categories of a tree, in bits: XGBoost allocates a bit for each category up to the largest of a set."""
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_KINDS: Mapping[type, str] = {dict: "an object", list: "a list"}


def check_xgboost(data: bytes) -> None:
    """Check the model of a booster. Raise NotATree for what XGBoost would not survive."""
    if data[:2] == b'{"':
        try:
            model = json.loads(data, object_pairs_hook=_object_of)
        except (ValueError, RecursionError):
            raise NotATree("the model is not JSON") from None
    else:
        model = read_ubjson(data)
    require(type(model) is dict, "the model is not an object")
    config: dict[str, Any] = {}
    if "Model" in model:
        config = _part(_part(model, "Config", "the pickled booster"), "learner", "the configuration")
        model = _part(model, "Model", "the pickled booster")
    learner = _part(model, "learner", "the model")
    param = _part(learner, "learner_model_param", "the learner")
    features, groups = _parameters(param, "the learner's parameters")
    if "learner_model_param" in config:
        again = _parameters(_part(config, "learner_model_param", "the configuration"), "the configuration")
        require(again == (features, groups), "the configuration has other numbers of features and outputs")
    _check_names(learner, features)
    for where in (learner, config):
        _check_objective(where.get("objective"), groups)
    booster = _part(learner, "gradient_booster", "the learner")
    if booster.get("name") == "gblinear":
        _check_linear(_part(booster, "model", "the booster"), features, groups)
        return
    if booster.get("name") == "dart":
        dropped = len(_numbers(booster, "weight_drop", "the booster"))
        booster = _part(booster, "gbtree", "the booster")
        trees = _check_trees(_part(booster, "model", "the booster"), features, groups)
        require(dropped == trees, f"there are {trees} trees, and weight_drop has {dropped} numbers")
        return
    require(booster.get("name") == "gbtree", "the booster is none that XGBoost has")
    _check_trees(_part(booster, "model", "the booster"), features, groups)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    require(len(found) == len(pairs), "the model has a key twice")
    return found


def _part(holder: Mapping[str, Any], key: str, where: str, kind: type = dict) -> Any:
    found = holder.get(key)
    require(type(found) is kind, f"{where}: {key} is not {_KINDS[kind]}")
    return found


def _number(holder: Mapping[str, Any], key: str, where: str, least: int, most: int, default: int | None = None) -> int:
    """Return a number, which XGBoost writes as text."""
    text = holder.get(key, default if default is None else str(default))
    if type(text) is not str or _INTEGER.fullmatch(text) is None:
        raise NotATree(f"{where}: {key} is not a number")
    require(least <= int(text) <= most, f"{where}: {key} is {text}, not {least} to {most}")
    return int(text)


def _numbers(holder: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found = holder.get(key)
    if isinstance(found, TypedArray):
        return found.values()
    if type(found) is not list or not {int, float}.issuperset(map(type, found)):
        raise NotATree(f"{where}: {key} is not a list of numbers")
    return found


def _integers(holder: Mapping[str, Any], key: str, where: str) -> list[int]:
    typed = holder.get(key)
    if isinstance(typed, TypedArray) and typed.is_of_integers:
        return typed.values()
    found = _numbers(holder, key, where)
    require({int}.issuperset(map(type, found)), f"{where}: {key} is not a list of integers")
    return found


def _parameters(param: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Return the number of features and the number of outputs."""
    features = _number(param, "num_feature", where, 0, _FEATURES_MAX)
    classes = _number(param, "num_class", where, 0, _GROUPS_MAX, 0)
    targets = _number(param, "num_target", where, 0, _GROUPS_MAX, 1)
    return features, max(1, classes, targets)


def _check_names(learner: Mapping[str, Any], features: int) -> None:
    for key in ("feature_names", "feature_types"):
        names = learner.get(key, [])
        require(
            type(names) is list and {str}.issuperset(map(type, names)), f"the learner: {key} is not a list of texts"
        )
        require(len(names) in (0, features), f"the learner has {features} features and {len(names)} {key}")


def _check_objective(objective: Any, groups: int) -> None:
    """XGBoost divides by the number of classes that an objective has."""
    if type(objective) is not dict:
        return
    for part in objective.values():
        if type(part) is dict and "num_class" in part:
            found = _number(part, "num_class", "the objective", 0, _GROUPS_MAX)
            require(found == groups or (found == 0 and groups == 1), f"the objective has {found} classes, not {groups}")


def _check_linear(model: Mapping[str, Any], features: int, groups: int) -> None:
    weights = len(_numbers(model, "weights", "the linear model"))
    wanted = (features + 1) * groups
    # A booster that was not trained has none.
    require(weights in (0, wanted), f"the linear model has {weights} weights, not {wanted}")


def _check_trees(model: Mapping[str, Any], features: int, groups: int) -> int:
    """Check all trees, and return how many there are."""
    where = "the booster"
    trees = _part(model, "trees", where, list)
    count = _number(_part(model, "gbtree_model_param", where), "num_trees", where, 0, 1 << 30)
    require(count == len(trees), f"{where}: num_trees is {count}, and there are {len(trees)} trees")
    outputs = _integers(model, "tree_info", where)
    require(len(outputs) == count, f"{where}: tree_info has {len(outputs)} numbers for {count} trees")
    check_inside(outputs, groups, f"{where}, tree_info", "output")
    if "iteration_indptr" in model:
        bounds = _integers(model, "iteration_indptr", where)
        require(
            bounds[:1] == [0] and bounds[-1] == count and bounds == sorted(bounds),
            f"{where}: iteration_indptr does not rise from 0 to {count}",
        )
    if "cats" in model:
        _check_encodings(_part(model, "cats", where), features)
    for place, tree in enumerate(trees):
        require(type(tree) is dict, f"tree {place} is not an object")
        # XGBoost puts a tree where its number says, and leaves the other places empty.
        number = tree.get("id")
        require(type(number) is int and number == place, f"tree {place} has another number")
        _check_tree(tree, features, groups, f"tree {place}")
    return count


_OF_NODES = ("parents", "split_indices", "split_conditions", "default_left", "split_type")

_STATISTICS_OF_NODES = ("loss_changes", "sum_hessian")


def _check_tree(tree: Mapping[str, Any], features: int, groups: int, where: str) -> None:
    param = _part(tree, "tree_param", where)
    nodes = _number(param, "num_nodes", where, 1, 1 << 30)
    outputs = _number(param, "size_leaf_vector", where, 0, _GROUPS_MAX, 1)
    require(outputs in (0, 1, groups), f"{where}: size_leaf_vector is {outputs}, and there are {groups} outputs")
    left, right = _integers(tree, "left_children", where), _integers(tree, "right_children", where)
    for key, found in (("left_children", len(left)), *((key, _length(tree, key, where)) for key in _OF_NODES)):
        require(found == nodes, f"{where}: {key} has {found} numbers, and there are {nodes} nodes")
    if outputs < 2 or "leaf_weights" in tree:
        # Without them XGBoost ends the process. Trees for several outputs had none in its version 2.
        for key in _STATISTICS_OF_NODES:
            found = _length(tree, key, where)
            require(found == nodes, f"{where}: {key} has {found} numbers, and there are {nodes} nodes")
    weights = _length(tree, "base_weights", where)
    wanted = nodes * max(1, outputs)
    require(weights == wanted, f"{where}: base_weights has {weights} numbers, not {wanted}")
    used = _integers(tree, "split_indices", where)
    deleted = {node for node, feature in enumerate(used) if feature == _NO_NODE} if _NO_NODE in used else set()
    told = _number(param, "num_deleted", where, 0, nodes, 0)
    require(told == len(deleted), f"{where}: num_deleted is {told}, and {len(deleted)} nodes are deleted")
    if outputs > 1:
        right = _without_leaves(tree, left, right, outputs, where)
    check_children(left, right, -1, where, deleted)
    _check_parents(_integers(tree, "parents", where), left, right, where)
    if max(used) >= features or min(used) < 0:
        for node, (child, feature) in enumerate(zip(left, used, strict=False)):
            if child != -1 and not 0 <= feature < features:
                raise NotATree(
                    f"{where}, node {node}: it decides by feature {feature}, and there are {features} features"
                )
    _check_categories(tree, where)


def _length(tree: Mapping[str, Any], key: str, where: str) -> int:
    found = tree.get(key)
    require(isinstance(found, (TypedArray, list)), f"{where}: {key} is not a list of numbers")
    return len(found) if isinstance(found, (TypedArray, list)) else 0


def _without_leaves(
    tree: Mapping[str, Any], left: Sequence[int], right: Sequence[int], outputs: int, where: str
) -> list[int]:
    """Return the right children of a tree for several outputs, without the places of its leaves in their own table."""
    if "leaf_weights" not in tree:
        return [*right]
    leaves = [place for child, place in zip(left, right, strict=True) if child == -1]
    weights = _length(tree, "leaf_weights", where)
    require(weights == len(leaves) * outputs, f"{where}: leaf_weights has {weights} numbers for {len(leaves)} leaves")
    check_inside(leaves, len(leaves), f"{where}, right_children", "leaf")
    return [-1 if child == -1 else place for child, place in zip(left, right, strict=True)]


def _check_parents(parents: Sequence[int], left: Sequence[int], right: Sequence[int], where: str) -> None:
    require(parents[0] == _NO_NODE or parents[0] == -1, f"{where}, node 0: its parent is node {parents[0]}")
    # Deleted nodes have parents, too, and XGBoost follows them.
    if min(parents[1:], default=0) < 0 or sum(map(gt, range(len(parents)), parents)) != len(parents) - (
        parents[0] == _NO_NODE
    ):
        node = next(node for node, parent in enumerate(parents) if node and not 0 <= parent < node)
        raise NotATree(f"{where}, node {node}: its parent is {parents[node]}, which does not come before it")
    inner = [*map((-1).__ne__, left)]
    splits = [*compress(range(len(left)), inner)]
    before = [*compress(left, inner)]
    behind = [*compress(right, inner)]
    if not [*map(parents.__getitem__, before)] == splits == [*map(parents.__getitem__, behind)]:
        for node, children in zip(splits, zip(before, behind, strict=True), strict=True):
            for child in children:
                require(parents[child] == node, f"{where}, node {child}: its parent is {parents[child]}, not {node}")
    # The predictor takes the number after the left child for the right one.
    if [*map((1).__add__, before)] != behind:
        node = next(node for node in splits if left[node] + 1 != right[node])
        raise NotATree(f"{where}, node {node}: its right child does not come directly after its left one")


def _check_categories(tree: Mapping[str, Any], where: str) -> None:
    kinds = _integers(tree, "split_type", where)
    require({0, 1}.issuperset(kinds), f"{where}: split_type has a number that is not 0 or 1")
    # Also leaves, which were splits before they were pruned: XGBoost saves the categories of each such node, and aborts
    # where it finds none.
    by_category = [node for node, kind in enumerate(kinds) if kind] if any(kinds) else []
    nodes = _integers(tree, "categories_nodes", where)
    require(nodes == by_category, f"{where}: categories_nodes are not the nodes that decide by category")
    starts, sizes = _integers(tree, "categories_segments", where), _integers(tree, "categories_sizes", where)
    categories = _integers(tree, "categories", where)
    require(len(starts) == len(sizes) == len(nodes), f"{where}: there are not as many sets of categories as such nodes")
    place = bits = 0
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        require(start == place and size > 0, f"{where}, node {node}: its categories are outside of the table")
        place += size
        found = categories[start:place]
        require(len(found) == size, f"{where}, node {node}: its categories are outside of the table")
        check_inside(found, _CATEGORY_MAX, f"{where}, node {node}", "category")
        bits += max(found)
    require(place == len(categories), f"{where}: there are categories that belong to no node")
    require(bits <= _CATEGORY_BITS_MAX, f"{where}: its categories are too large")


def _check_encodings(cats: Mapping[str, Any], features: int) -> None:
    """The categories of the frame that a booster was trained with: a table for each feature, and their sorted order."""
    where = "the categories of the frame"
    tables = _part(cats, "enc", where, list)
    require(len(tables) in (0, features), f"{where}: there are {len(tables)} tables for {features} features")
    segments, order = _integers(cats, "feature_segments", where), _integers(cats, "sorted_idx", where)
    sizes = []
    for place, table in enumerate(tables):
        require(type(table) is dict, f"{where}: table {place} is not an object")
        sizes.append(_table_size(table, f"{where}, table {place}"))
    bounds = [0, *accumulate(sizes)]
    require(not segments or segments == bounds, f"{where}: feature_segments are not those of the tables")
    require(len(order) in (0, bounds[-1]), f"{where}: sorted_idx has {len(order)} numbers, not {bounds[-1]}")
    if order:
        for size, start in zip(sizes, bounds, strict=False):
            check_inside(order[start : start + size], size, f"{where}, sorted_idx", "category")


def _table_size(table: Mapping[str, Any], where: str) -> int:
    """Return how many categories a table has: numbers, or texts that `offsets` cut out of `values`."""
    if "offsets" not in table:
        return len(_numbers(table, "values", where)) if "values" in table else 0
    bounds = _integers(table, "offsets", where)
    values = _length(table, "values", where)
    require(
        not bounds or (bounds[0] == 0 and bounds == sorted(bounds) and bounds[-1] == values),
        f"{where}: its offsets do not rise from 0 to {values}",
    )
    return max(0, len(bounds) - 1)
