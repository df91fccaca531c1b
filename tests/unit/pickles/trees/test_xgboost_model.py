"""XGBoost's model is accepted as XGBoost writes it, as UBJSON or JSON, and not with a number changed that it trusts."""

from __future__ import annotations

import copy
import json
import struct
from typing import Any

import pytest

from model_inbox.pickles.trees import NotATree, check_xgboost
from model_inbox.pickles.trees.ubjson import TypedArray, read_ubjson
from support.tree_faults import fault_of

NO_NODE = 2**31 - 1
PARAMETERS = {"base_score": "0", "num_class": "0", "num_feature": "2", "num_target": "1"}
# Node 0 has 1 and 2; node 2 decides by category and has 3 and 4; 5 and 6 are deleted.
TREE: dict[str, Any] = {
    "base_weights": [0.0] * 7,
    "categories": [1, 3],
    "categories_nodes": [2],
    "categories_segments": [0],
    "categories_sizes": [2],
    "default_left": [0] * 7,
    "id": 0,
    "left_children": [1, -1, 3, -1, -1, -1, -1],
    "loss_changes": [0.0] * 7,
    "parents": [NO_NODE, 0, 0, 2, 2, 1, 1],
    "right_children": [2, -1, 4, -1, -1, -1, -1],
    "split_conditions": [0.5, 0.1, 0.0, 0.2, 0.3, 0.0, 0.0],
    "split_indices": [0, 0, 1, 0, 0, NO_NODE, NO_NODE],
    "sum_hessian": [0.0] * 7,
    "split_type": [0, 0, 1, 0, 0, 0, 0],
    "tree_param": {"num_deleted": "2", "num_feature": "2", "num_nodes": "7", "size_leaf_vector": "1"},
}
CATS = {
    "enc": [{"offsets": [], "values": []}, {"offsets": [0, 1, 3], "values": [97, 98, 98]}],
    "feature_segments": [0, 0, 2],
    "sorted_idx": [0, 1],
}
BOOSTER: dict[str, Any] = {
    "name": "gbtree",
    "model": {
        "cats": CATS,
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
        "iteration_indptr": [0, 1],
        "tree_info": [0],
        "trees": [TREE],
    },
}
LEARNER: dict[str, Any] = {
    "feature_names": ["a", "b"],
    "feature_types": ["float", "c"],
    "gradient_booster": BOOSTER,
    "learner_model_param": PARAMETERS,
    "objective": {"name": "reg:squarederror"},
}
CONFIG: dict[str, Any] = {"learner": {"learner_model_param": PARAMETERS, "objective": {"name": "reg:squarederror"}}}
MODEL: dict[str, Any] = {"Config": CONFIG, "Model": {"learner": LEARNER, "version": [3, 2, 0]}}


def ubj(value: Any) -> bytes:
    """A value in UBJSON: lists of integers of 32 bits and lists of floats have a type, as XGBoost's have."""

    def key(text: str) -> bytes:
        return b"L" + struct.pack(">q", len(text)) + text.encode()

    match value:
        case dict():
            return b"{" + b"".join(key(name) + ubj(item) for name, item in value.items()) + b"}"
        case list() if value and all(type(item) is float for item in value):
            return b"[$d#L" + struct.pack(f">q{len(value)}f", len(value), *value)
        case list() if value and all(type(item) is int for item in value):
            return b"[$l#L" + struct.pack(f">q{len(value)}i", len(value), *value)
        case list():
            return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(ubj, value))
        case str():
            return b"S" + key(value)
        case int():
            return b"l" + struct.pack(">i", value)
    raise TypeError(value)


def fault(model: Any) -> str:
    """What is wrong with a model, or "". Both formats give the same answer."""
    forms = (ubj(model), json.dumps(model, separators=(",", ":")).encode())
    answers = [fault_of(check_xgboost, data) for data in forms]
    assert answers[0] == answers[1]
    return answers[0]


def changed(way: str, value: Any) -> Any:
    """The model with another value at a place: keys and positions, with dots."""
    model = copy.deepcopy(MODEL)
    *steps, last = way.split(".")
    holder = model
    for step in steps:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    if isinstance(holder, list):
        holder[int(last)] = value
    elif value is None:
        del holder[last]
    else:
        holder[last] = value
    return model


def test_model_that_xgboost_writes_is_accepted() -> None:
    """Alone, and with its configuration, as in a pickle."""
    assert fault(MODEL) == ""
    assert fault(MODEL["Model"]) == ""


def test_a_leaf_that_was_pruned_keeps_its_categories() -> None:
    """XGBoost saves the categories of each node that is marked so, also of leaves that were splits before."""
    model = copy.deepcopy(MODEL)
    model["Model"]["learner"]["gradient_booster"]["model"]["trees"][0] |= {
        "categories": [2, 1, 3],
        "categories_nodes": [1, 2],
        "categories_segments": [0, 1],
        "categories_sizes": [1, 2],
        "split_type": [0, 1, 1, 0, 0, 0, 0],
    }
    assert fault(model) == ""


LEARN = "Model.learner"
TREES = f"{LEARN}.gradient_booster.model"
NODES = f"{TREES}.trees.0"
FRAME = "the categories of the frame"
PARAM = "the learner's parameters"


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (f"{NODES}.left_children.0", 99, "tree 0, node 0: the left child is 99, and there are 7 nodes"),
        (f"{NODES}.left_children.2", 0, "tree 0, node 2: the left child is node 0, which comes before it"),
        (f"{NODES}.left_children.2", 5, "tree 0, node 5 is deleted, and a child of node 2"),
        (f"{NODES}.right_children.2", 3, "tree 0, node 2: node 3 is a child of node 2, too"),
        (f"{NODES}.parents.3", 0, "tree 0, node 3: its parent is 0, not 2"),
        (f"{NODES}.parents.6", 6, "tree 0, node 6: its parent is 6, which does not come before it"),
        (f"{NODES}.split_indices.0", 2, "tree 0, node 0: it decides by feature 2, and there are 2 features"),
        (f"{NODES}.categories_nodes.0", 0, "tree 0: categories_nodes are not the nodes that decide by category"),
        (f"{NODES}.split_type.0", 1, "tree 0: categories_nodes are not the nodes that decide by category"),
        (f"{NODES}.split_type.1", 1, "tree 0: categories_nodes are not the nodes that decide by category"),
        (f"{NODES}.split_type.5", 1, "tree 0: categories_nodes are not the nodes that decide by category"),
        (f"{NODES}.categories_sizes.0", 9, "tree 0, node 2: its categories are outside of the table"),
        (f"{NODES}.categories.0", 2**30, "tree 0, node 2, place 0: 1073741824 is no category (0 to 16777215)"),
        (f"{NODES}.tree_param.num_nodes", "9", "tree 0: left_children has 7 numbers, and there are 9 nodes"),
        (f"{NODES}.tree_param.num_deleted", "1", "tree 0: num_deleted is 1, and 2 nodes are deleted"),
        (f"{NODES}.tree_param.size_leaf_vector", "9", "tree 0: size_leaf_vector is 9, and there are 1 outputs"),
        (f"{NODES}.base_weights", [0.0], "tree 0: base_weights has 1 numbers, not 7"),
        (f"{NODES}.sum_hessian", None, "tree 0: sum_hessian is not a list of numbers"),
        (f"{NODES}.id", 1, "tree 0 has another number"),
        (f"{NODES}.id", None, "tree 0 has another number"),
        (f"{NODES}.left_children", None, "tree 0: left_children is not a list of numbers"),
        (f"{TREES}.tree_info.0", 1, "the booster, tree_info, place 0: 1 is no output (0 to 0)"),
        (f"{TREES}.iteration_indptr", [0, 2], "the booster: iteration_indptr does not rise from 0 to 1"),
        (f"{TREES}.gbtree_model_param.num_trees", "2", "the booster: num_trees is 2, and there are 1 trees"),
        (f"{TREES}.cats.sorted_idx.0", 7, f"{FRAME}, sorted_idx, place 0: 7 is no category (0 to 1)"),
        (f"{TREES}.cats.feature_segments", [0, 9], f"{FRAME}: feature_segments are not those of the tables"),
        (f"{TREES}.cats.enc.1.offsets", [0, 9], f"{FRAME}, table 1: its offsets do not rise from 0 to 3"),
        (f"{LEARN}.feature_names", ["a"], "the learner has 2 features and 1 feature_names"),
        (f"{LEARN}.learner_model_param.num_feature", "-1", f"{PARAM}: num_feature is -1, not 0 to 10000000"),
        (f"{LEARN}.learner_model_param.num_class", "x", f"{PARAM}: num_class is not a number"),
        (f"{LEARN}.objective", {"softmax": {"num_class": "5"}}, "the objective has 5 classes, not 1"),
        (f"{LEARN}.gradient_booster.name", "x", "the booster is none that XGBoost has"),
        ("Config.learner.learner_model_param", {**PARAMETERS, "num_feature": "9"},
         "the configuration has other numbers of features and outputs"),
        ("Config", None, "the pickled booster: Config is not an object"),
    ],
)  # fmt: skip
def test_number_that_xgboost_trusts_is_checked(way: str, value: Any, message: str) -> None:
    """The message names tree, node and value."""
    assert fault(changed(way, value)) == message


def test_other_boosters_have_as_many_numbers_as_they_need() -> None:
    """A linear booster has a weight for each feature and one more, dart a weight for each tree."""
    linear = {"name": "gblinear", "model": {"weights": [0.5, 0.5, 0.5]}}
    assert fault(changed(f"{LEARN}.gradient_booster", linear)) == ""
    linear["model"] = {"weights": [0.5]}
    assert fault(changed(f"{LEARN}.gradient_booster", linear)) == "the linear model has 1 weights, not 3"
    dart = {"name": "dart", "gbtree": BOOSTER, "weight_drop": [0.5]}
    assert fault(changed(f"{LEARN}.gradient_booster", dart)) == ""
    dart["weight_drop"] = []
    assert fault(changed(f"{LEARN}.gradient_booster", dart)) == "there are 1 trees, and weight_drop has 0 numbers"


def test_leaves_of_several_outputs_have_a_table_of_their_own() -> None:
    """The right child of a leaf is then its place in that table."""
    several = {**PARAMETERS, "num_target": "2"}
    tree = {
        **TREE,
        "base_weights": [0.0] * 6,
        "leaf_weights": [0.0] * 4,
        "loss_changes": [0.0] * 3,
        "sum_hessian": [0.0] * 3,
        "left_children": [1, -1, -1],
        "right_children": [2, 0, 1],
        "parents": [-1, 0, 0],
        "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
        "tree_param": {"num_nodes": "3", "size_leaf_vector": "2"},
    }  # fmt: skip
    tree |= {key: [0, 0, 0] for key in ("split_indices", "split_type", "default_left", "split_conditions")}
    model = {"learner": {**LEARNER, "learner_model_param": several}}
    model["learner"]["gradient_booster"] = {"name": "gbtree", "model": {**BOOSTER["model"], "trees": [tree]}}
    assert fault(model) == ""
    tree["right_children"] = [2, 0, 7]
    assert fault(model) == "tree 0, right_children, place 1: 7 is no leaf (0 to 1)"


# --- UBJSON --------------------------------------------------------------------------------------------------


def test_values_of_ubjson_are_read() -> None:
    """Bytes by hand, from https://ubjson.org/type-reference/."""
    data = b"{U\x01aSU\x02hiU\x01bTU\x01cFU\x01dZU\x01eI\x01\x00U\x01f[i\xffU\x02]U\x01gD\x3f\xf8\0\0\0\0\0\0}"
    assert read_ubjson(data) == {"a": "hi", "b": True, "c": False, "d": None, "e": 256, "f": [-1, 2], "g": 1.5}
    array = read_ubjson(b"[$I#U\x02\x00\x01\xff\xff")
    assert isinstance(array, TypedArray)
    assert array.values() == [1, -1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{U\x01aTU\x01aF}", "the model has 'a' twice"),
        (b"{U\x01aT}x", "there is something behind the model's UBJSON"),
        (b"{U\x01aC\x41}", "the model contains a value that XGBoost does not write"),
        (b"[$l#L" + b"\x7f" * 8, "a length in the model is wrong"),
        (b"[$l#U\x04" + bytes(8), "an array in the model is cut off"),
        (b"[$lU\x01" + bytes(4), "an array in the model has no length"),
        (b"[" * 100 + b"]" * 100, "the model is nested too deeply"),
    ],
)
def test_damaged_ubjson_is_named(data: bytes, message: str) -> None:
    """Whatever is wrong, no other error comes out."""
    with pytest.raises(NotATree) as error:
        read_ubjson(data)
    assert str(error.value) == message


def test_model_that_is_cut_off_anywhere_is_refused() -> None:
    """At each byte."""
    data = ubj(MODEL)
    for end in range(len(data)):
        with pytest.raises(NotATree):
            check_xgboost(data[:end])
