"""scikit-learn's trees in a pickle: nodes, and the width of the data that an ensemble lets through to its trees."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests.support import pickle_builders as build

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
NODE = {"left_child": "i8", "right_child": "i8", "feature": "i8", "threshold": "f8"}
HIST = {"feature_idx": "i8", "left": "u4", "right": "u4", "is_leaf": "u1", "is_categorical": "u1", "bitset_idx": "u4"}
# A root with two leaves.
GOOD = [(1, 2, 0, 0.5), (-1, -1, -2, -2.0), (-1, -1, -2, -2.0)]


def decision_tree(
    rows: list[tuple[Any, ...]] = GOOD, features: int = 2, outputs: int = 1, count: int | None = None
) -> bytes:
    """Opcodes of the C part of a decision tree."""
    classes = build.array((1,), struct.pack("<q", 1), build.dtype("i8"))
    made = build.called(build.named("sklearn.tree._tree", "Tree"), build.value(features), classes, build.value(outputs))
    state = {
        "max_depth": build.value(1),
        "node_count": build.value(len(rows) if count is None else count),
        "nodes": build.table(NODE, "<qqqd", rows),
        "values": build.array((len(rows), 1, 1), bytes(8 * len(rows))),
    }
    return build.built(made, build.mapping(state))


def estimator(module: str, name: str, **state: bytes) -> bytes:
    """Opcodes of an estimator."""
    return build.built(build.new(f"sklearn.{module}", name), build.mapping(state))


def regressor(tree: bytes, features: int = 2) -> bytes:
    """Opcodes of a fitted DecisionTreeRegressor."""
    return estimator("tree._classes", "DecisionTreeRegressor", tree_=tree, n_features_in_=build.value(features))


def faults(opcodes: bytes) -> list[str]:
    """The codes of all problems."""
    return [problem.code for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems]


def message(opcodes: bytes) -> str:
    """The message of the one problem."""
    (problem,) = scan_bytes(build.pickled(opcodes), ALLOWLIST).problems
    assert problem.code == "artifact.not_a_tree"
    return problem.message.partition(": ")[2]


def test_tree_that_scikit_learn_writes_is_accepted() -> None:
    """Alone, and in its estimator."""
    assert faults(decision_tree()) == []
    assert faults(regressor(decision_tree())) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, 9, 0, 0.5), *GOOD[1:]], "the node array, node 0: the right child is 9, and there are 3 nodes"),
        ([(1, 0, 0, 0.5), *GOOD[1:]], "the node array, node 0: the right child is node 0, which comes before it"),
        ([(1, 2, 7, 0.5), *GOOD[1:]], "the node array, node 0: it decides by feature 7, and there are 2 features"),
        ([(1, 2, -1, 0.5), *GOOD[1:]], "the node array, node 0: it decides by feature -1, and there are 2 features"),
        ([(-1, -1, 0, 0.5), *GOOD[1:]], "the node array, node 1 is the child of no node"),
        ([(1, -1, 0, 0.5), *GOOD[1:]], "the node array, node 0 has only one child"),
    ],
)
def test_nodes_stay_inside_of_their_tree(rows: list[tuple[Any, ...]], expected: str) -> None:
    """Children and features."""
    assert message(decision_tree(rows)) == expected


def test_tree_needs_numbers_that_agree() -> None:
    """Its arrays have as many numbers as it copies from them."""
    assert set(faults(decision_tree(count=4))) == {"artifact.forbidden_arguments"}
    assert set(faults(decision_tree(outputs=9))) == {"artifact.forbidden_arguments"}


def test_estimator_has_the_width_of_its_tree() -> None:
    """It checks its data for n_features_in_ and hands it on."""
    assert message(regressor(decision_tree(features=3))) == (
        "tree_: there should be a tree for 2 features, and there is one for 3 features"
    )
    without = estimator("tree._classes", "DecisionTreeRegressor", tree_=decision_tree())
    assert message(without) == "n_features_in_ is missing, or is not a number"
    other = estimator("tree._classes", "DecisionTreeRegressor", tree_=build.value(1), n_features_in_=build.value(2))
    assert message(other) == "tree_: there should be a tree for 2 features, and there is none that was checked"


def test_state_cannot_be_set_a_second_time() -> None:
    """Another width would come after the check."""
    twice = build.built(regressor(decision_tree()), build.mapping({"n_features_in_": build.value(1)}))
    assert faults(twice) == ["artifact.forbidden_arguments"]


def test_tree_without_nodes_is_refused() -> None:
    """Its library would follow a root that is not there."""
    classes = build.array((1,), struct.pack("<q", 1), build.dtype("i8"))
    made = build.called(build.named("sklearn.tree._tree", "Tree"), build.value(2), classes, build.value(1))
    assert faults(made) == ["artifact.forbidden_arguments"]


def test_members_of_a_forest_have_its_width() -> None:
    """A forest checks its data once for all its trees."""

    def forest(*members: bytes) -> bytes:
        return estimator(
            "ensemble._forest", "RandomForestRegressor",
            estimators_=b"](" + b"".join(members) + b"e", n_features_in_=build.value(2),
        )  # fmt: skip

    good, wide = regressor(decision_tree()), regressor(decision_tree(features=3), 3)
    assert faults(forest(good, good)) == []
    assert message(forest(good, wide)) == (
        "estimators_, place 1: there should be a tree for 2 features, and there is one for 3 features"
    )
    assert message(forest(build.value(1))).endswith("there is none that was checked")


def forest(trees: bytes) -> bytes:
    """Opcodes of a forest for two features."""
    return estimator("ensemble._forest", "RandomForestRegressor", estimators_=trees, n_features_in_=build.value(2))


def test_trees_of_a_forest_are_those_at_the_end() -> None:
    """It holds the list of the file, which can change it later."""
    trees = build.noted(1001, b"](" + regressor(decision_tree()) + b"e")
    assert faults(forest(trees)) == []
    wider = regressor(decision_tree(features=9), features=9)
    expected = "estimators_, place 0: there should be a tree for 2 features, and there is one for 9 features"
    assert message(forest(trees) + build.changed(1001, build.value(0), wider)) == expected


def hist(rows: list[tuple[int, ...]], categories: int = 0, features: int = 2, bins: int = 2) -> bytes:
    """Opcodes of a HistGradientBoostingRegressor of one tree."""
    module = "ensemble._hist_gradient_boosting"
    sets = build.array((categories, 8), bytes(32 * categories), build.dtype("u4"))
    nodes = build.table(HIST, "<qIIBBI", rows)
    predictor = estimator(
        f"{module}.predictor", "TreePredictor", nodes=nodes, binned_left_cat_bitsets=sets, raw_left_cat_bitsets=sets
    )
    flags = build.array((bins,), bytes(bins), build.dtype("u1", (3, "|", None, None, None, -1, -1, 0)))
    return estimator(
        f"{module}.gradient_boosting", "HistGradientBoostingRegressor",
        _predictors=b"](](" + predictor + b"ee", n_features_in_=build.value(features),
        _bin_mapper=estimator(f"{module}.binning", "_BinMapper", is_categorical_=flags),
    )  # fmt: skip


def test_nodes_of_histogram_gradient_boosting_are_a_tree() -> None:
    """A root that decides by feature or by category, and two leaves."""
    leaves = [(0, 0, 0, 1, 0, 0), (0, 0, 0, 1, 0, 0)]
    assert faults(hist([(1, 1, 2, 0, 0, 0), *leaves])) == []
    assert faults(hist([(1, 1, 2, 0, 1, 0), *leaves], categories=1)) == []
    assert message(hist([(1, 1, 9, 0, 0, 0), *leaves])).endswith("the right child is 9, and there are 3 nodes")
    assert message(hist([(1, 1, 2, 1, 0, 0), *leaves])).endswith("it is marked as a leaf, and it is not")
    assert message(hist([(1, 1, 2, 0, 1, 5), *leaves], categories=1)).endswith(
        "its set of categories is 5, and there are 1"
    )
    assert message(hist([(7, 1, 2, 0, 0, 0), *leaves])) == (
        "_predictors, place 0: there should be a tree for 2 features, and there is one for 8"
    )
    assert message(hist([(1, 1, 2, 0, 1, 0), *leaves], categories=1, bins=1)) == (
        "_predictors, place 0: it decides by category, and the bins are not those of 2 features"
    )


def boosting(
    columns: int, told: int, tree: bytes = regressor(decision_tree()), changed: bytes = b"", **more: bytes
) -> bytes:
    """Opcodes of gradient boosting with one iteration of so many trees. The memo has the list at 1001."""
    trees = build.objects((1, columns), build.noted(1001, b"](" + tree * columns + b"e"))
    return build.noted(1002, trees) + b"0" + changed + estimator(
        "ensemble._gb", "GradientBoostingClassifier",
        estimators_=build.again(1002), n_features_in_=build.value(2), n_trees_per_iteration_=build.value(told),
        **more,
    )  # fmt: skip


def test_gradient_boosting_has_an_output_for_each_tree_of_an_iteration() -> None:
    """Each adds to its own column of a table that is made before."""

    def first(classes: int) -> bytes:
        return estimator("dummy", "DummyClassifier", class_prior_=build.array((classes,), bytes(8 * classes)))

    assert faults(boosting(3, 3, init_=first(3))) == []
    assert faults(boosting(1, 1, init_=first(2))) == []
    assert message(boosting(3, 1)) == "n_trees_per_iteration_ is 1, and there are 3 trees in each"
    assert message(boosting(3, 3, init_=first(1))) == (
        "init_ has another number of classes than 3 trees in each iteration are for"
    )
    # What a first state says of the outputs would stay.
    told = estimator("ensemble._gb", "GradientBoostingClassifier", n_trees_per_iteration_=build.value(1))
    trees = {
        "estimators_": build.objects((1, 3), b"](" + 3 * regressor(decision_tree()) + b"e"),
        "n_features_in_": build.value(2),
    }
    assert "artifact.forbidden_arguments" in faults(build.built(told, build.mapping(trees)))
    twice = build.built(first(1), build.mapping({"class_prior_": build.array((3,), bytes(24))}))
    assert "artifact.forbidden_arguments" in faults(boosting(3, 3, init_=twice))


def test_trees_in_an_array_are_those_that_it_was_made_of() -> None:
    """It has copied the list of the file, which can change it later."""
    wider = regressor(decision_tree(features=9), features=9)
    changed = build.changed(1001, build.value(0), regressor(decision_tree()))
    expected = "estimators_, place 0: there should be a tree for 2 features, and there is one for 9 features"
    assert message(boosting(1, 1, wider, changed)) == expected
