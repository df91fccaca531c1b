"""Rules for models of trees: scikit-learn's trees and their ensembles, LightGBM, XGBoost and CatBoost. Pure.

Owns which part of a state holds the trees, and what an ensemble trusts of its members. `pickles.trees` checks the trees
themselves; what it finds becomes a finding of its own ("not-a-tree"), since the pickle is as its library writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..arguments import is_count, is_object, must
from ..names import words
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from ..trees import (
    NodeTable,
    NotATree,
    Unchecked,
    check_catboost,
    check_hist_nodes,
    check_lightgbm,
    check_sklearn_nodes,
    check_xgboost,
)
from .numpy_rules import ArrayValue, array_of, bytes_of

__all__ = ["TREE_CALLS", "TREE_STATES", "is_of_trees", "node_table", "note_faults", "of_trees_state"]

_TREE = "sklearn.tree._tree.Tree"
_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_BIN_MAPPER = "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper"


def note_faults(recorder: Recorder, name: str, check: Callable[[], None]) -> None:
    """Make a check of trees, and record what it finds."""
    try:
        check()
    except NotATree as error:
        recorder.note("unchecked-part" if isinstance(error, Unchecked) else "not-a-tree", name, str(error))


# --- scikit-learn --------------------------------------------------------------------------------------------


class TreesValue:
    """What holds trees: the number of features that its data must have."""

    __slots__ = ("features",)

    def __init__(self, features: int) -> None:
        self.features = features


class TreeValue(TreesValue):
    """A decision tree: its numbers of features and outputs, and whether it has its nodes."""

    __slots__ = ("built", "outputs")

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__(features)
        self.outputs = outputs
        self.built = False


class HistTreeValue(TreesValue):
    """A tree of histogram gradient boosting: the features that it needs at least, and whether it has categories."""

    __slots__ = ("by_category",)

    def __init__(self, features: int, *, by_category: bool) -> None:
        super().__init__(features)
        self.by_category = by_category


class EnsembleValue(TreesValue):
    """An estimator of trees, or its bins."""

    __slots__ = ()


def _tree(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """A decision tree copies n_outputs numbers from an array and does not check its length."""
    must(
        len(args) == 3 and is_count(args[0], 1 << 31) and is_count(args[2], 1 << 20), "not (features, classes, outputs)"
    )
    classes = array_of(args[1])
    must(classes.shape == (args[2],), "the number of outputs is wrong")
    must(
        classes.dtype is not None and classes.dtype.itemsize == 8 and not classes.dtype.has_objects,
        "the classes are invalid",
    )
    value = TreeValue(args[0], args[2])
    recorder.check_later(callee.name, lambda: must(value.built, "a tree has no nodes"))
    return instance_of(callee, value)


def node_table(nodes: ArrayValue) -> NodeTable:
    """Return the nodes in a structured array. Raise NotATree for any other array."""
    dtype = nodes.dtype
    if dtype is None or dtype.fields is None or nodes.contents is None:
        raise NotATree("the nodes are not an array of nodes")
    fields = {
        name: (offset, f"{part.kind}{part.itemsize}", ">" if part.is_big else "<")
        for name, (offset, part) in dtype.fields.items()
    }
    return NodeTable(nodes.contents, dtype.itemsize, fields)


def _tree_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(hasattr(target, "value") and type(state) is dict, "not a state that scikit-learn writes")
    must({"max_depth", "node_count", "nodes", "values"} <= set(state), "not a state that scikit-learn writes")
    must(
        is_count(state["max_depth"], 1 << 31) and is_count(state["node_count"]), "not a state that scikit-learn writes"
    )
    value: TreeValue = target.value
    nodes, values = array_of(state["nodes"]), array_of(state["values"])
    must(nodes.shape == (state["node_count"],), "the number of nodes is wrong")
    must(
        len(values.shape) == 3 and values.shape[:2] == (state["node_count"], value.outputs),
        "the values have another shape",
    )
    value.built = True
    for array in (nodes, values):
        # A tree copies its arrays.
        recorder.charge(type(target), bytes_of(array.dtype, array.shape) if array.dtype is not None else 0)
    note_faults(recorder, _TREE, lambda: check_sklearn_nodes(node_table(nodes), value.features))


def _predictor_state(recorder: Recorder, target: Stub, state: Any) -> None:
    # `__setstate__` calls methods of the nodes to convert them.
    must(type(state) is dict and is_object(state.get("nodes"), "numpy.ndarray"), "the nodes are not an array")
    must(not hasattr(target, "value"), "it is set a second time")
    nodes = array_of(state["nodes"])
    sets = [array_of(state.get(key)) for key in ("binned_left_cat_bitsets", "raw_left_cat_bitsets")]
    for known in sets:
        is_sets = known.dtype is not None and known.dtype.itemsize == 4 and known.shape[1:] == (8,)
        must(is_sets and len(known.shape) == 2, "the sets of categories have another shape")
    categories = min(known.shape[0] for known in sets)

    value = target.value = HistTreeValue(0, by_category=categories > 0)

    def check() -> None:
        value.features = check_hist_nodes(node_table(nodes), categories)

    note_faults(recorder, _PREDICTOR, check)


def _bin_mapper_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    must(type(state) is dict and target.kept is None, "not a state that scikit-learn writes")
    if is_object(state.get("is_categorical_"), "numpy.ndarray"):
        target.value = EnsembleValue(array_of(state["is_categorical_"]).shape[0])


_OF_TREES = (
    "sklearn.tree._classes.",
    "sklearn.ensemble._forest.",
    "sklearn.ensemble._gb.",
    "sklearn.ensemble._iforest.",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.",
    "imblearn.ensemble._forest.",
    "quantile_forest.",
)
"""The beginnings of names of estimators that give their data to trees without a check of its width."""

_HELD = ("tree_", "estimators_", "_predictors")


def is_of_trees(name: str) -> bool:
    """Return whether this is an estimator that trusts its trees with its data."""
    return name.startswith(_OF_TREES)


def of_trees_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """An estimator checks the width of its data. A tree that was made for more features would read past a row."""
    # Attributes of an earlier state would stay beside those that are checked here.
    must(type(state) is dict and target.kept is None, "not a state that scikit-learn writes")
    features = state.get("n_features_in_")
    if not any(key in state for key in _HELD):
        if features is not None:
            target.value = EnsembleValue(0)
        return
    name = type(target).name
    if type(features) is not int or not is_count(features):
        recorder.note("not-a-tree", name, "n_features_in_ is missing, or is not a number")
        return
    target.value = EnsembleValue(features)
    # A pickle can change a list of trees as long as it is read.
    kept = {**state}
    _check_later(recorder, name, lambda: _check_members(kept, features))
    if name.startswith("sklearn.ensemble._gb."):
        _check_later(recorder, name, lambda: _check_outputs(kept))


def _check_members(state: Mapping[str, Any], features: int) -> None:
    tree = state.get("tree_")
    if tree is not None:
        _check_width(tree, TreeValue, features, "tree_")
    parts = _widths_of_parts(state)
    for place, member in enumerate(_members(state.get("estimators_"))):
        width = features if parts is None else parts[place] if place < len(parts) else -1
        _check_width(member, EnsembleValue, width, f"estimators_, place {place}")
    for place, stage in enumerate(_members(state.get("_predictors"))):
        for predictor in _members(stage):
            _check_predictor(predictor, state.get("_bin_mapper"), features, f"_predictors, place {place}")


def _check_outputs(state: Mapping[str, Any]) -> None:
    """Gradient boosting adds to a row of outputs by the number of trees in an iteration."""
    trees = array_of(state.get("estimators_")).shape
    if len(trees) != 2:
        raise NotATree("estimators_ is no table of iterations")
    told = state.get("n_trees_per_iteration_", trees[1])
    if told != trees[1]:
        raise NotATree(f"n_trees_per_iteration_ is {told!r:.20}, and there are {trees[1]} trees in each")
    first = state.get("init_")
    if is_object(first, _FIRST) and first.kept is not None:
        classes = array_of(first.kept.get("class_prior_")).shape
        if classes != (trees[1] if trees[1] > 1 else 2,):
            raise NotATree(f"init_ has another number of classes than {trees[1]} trees in each iteration are for")


_FIRST = "sklearn.dummy.DummyClassifier"


def _first_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """What gradient boosting begins with, which makes a column for each of its classes."""
    must(target.kept is None and type(state) is dict, "not a state that scikit-learn writes")


def _members(value: Any) -> list[Any]:
    """Return the items of a list, or of an array of objects."""
    if value is None:
        return []
    if type(value) in (list, tuple):
        return list(value)
    if is_object(value, "numpy.ndarray") and (items := array_of(value).items) is not None:
        return items
    raise NotATree("the members are neither a list nor an array")


def _widths_of_parts(state: Mapping[str, Any]) -> list[int] | None:
    """Return how many features each member of an ensemble gets, or None if each gets all."""
    parts = state.get("estimators_features_")
    if parts is None:
        return None
    return [array_of(part).shape[0] if is_object(part, "numpy.ndarray") else -1 for part in _members(parts)]


def _check_width(member: Any, kind: type[TreesValue], features: int, where: str) -> None:
    value = getattr(member, "value", None)
    if not isinstance(value, kind) or value.features != features:
        found = f"one for {value.features} features" if isinstance(value, kind) else "none that was checked"
        raise NotATree(f"{where}: there should be a tree for {features} features, and there is {found}")


def _check_predictor(predictor: Any, mapper: Any, features: int, where: str) -> None:
    value = getattr(predictor, "value", None)
    if not isinstance(value, HistTreeValue) or value.features > features:
        found = f"one for {value.features}" if isinstance(value, HistTreeValue) else "none that was checked"
        raise NotATree(f"{where}: there should be a tree for {features} features, and there is {found}")
    known = getattr(mapper, "value", None)
    if value.by_category and not (isinstance(known, EnsembleValue) and known.features == features):
        raise NotATree(f"{where}: it decides by category, and the bins are not those of {features} features")


# --- boosters ------------------------------------------------------------------------------------------------

_PARSED_BYTES = 3
_PARSED_BYTES_PER_MICROSECOND = 20
"""What a booster needs for each byte of its model, and how quickly it is parsed."""


def _check_later(recorder: Recorder, name: str, check: Callable[[], None]) -> None:
    """Check trees when the whole file was parsed: no load needs the memory that the check of a booster needs."""
    recorder.check_later(name, partial(note_faults, recorder, name, check))


def _charge_model(recorder: Recorder, target: Stub, model: str | bytes | bytearray) -> None:
    kind: Global = type(target)
    recorder.charge(kind, _PARSED_BYTES * len(model), 1000 + len(model) // _PARSED_BYTES_PER_MICROSECOND)


_XGBOOST_END_BYTES = 64
_XGBOOST_VERSION = re.compile(rb"version\[#L\0{7}\x03i([\0-\x7f])i([\0-\x7f])i([\0-\x7f])}}\Z", re.DOTALL)
"""UBJSON ends with the version of the library that wrote it."""


def _xgboost_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(type(state) is dict and "handle" in state, "not a state that XGBoost writes")
    handle = state["handle"]
    must(handle is None or type(handle) is bytearray, "the model is not bytes")
    if handle is not None:
        _charge_model(recorder, target, handle)
        model = recorder.real_bytes(handle)
        if match := _XGBOOST_VERSION.search(bytes(model[-_XGBOOST_END_BYTES:])):
            recorder.note_version("xgboost", ".".join(str(part[0]) for part in match.groups()))
        _check_later(recorder, "xgboost.core.Booster", lambda: check_xgboost(model))


_LIGHTGBM_VERSION = re.compile(r"tree\nversion=(v\d{1,3})\n")


def _lightgbm_state(recorder: Recorder, target: Stub, state: Any) -> None:
    # LightGBM frees the values of these attributes as pointers when the booster is deleted.
    must(type(state) is dict, "not a state that LightGBM writes")
    must(not state.get("_network"), "the booster has a network")
    for key in ("_handle", "handle"):
        text = state.get(key)
        if text is None:
            continue
        must(type(text) is str, "the model is not text")
        if match := _LIGHTGBM_VERSION.match(text):
            # The version of the text format, which changes with a major version of LightGBM.
            recorder.note_version("lightgbm", match[1])
        _charge_model(recorder, target, text)
        _check_later(recorder, "lightgbm.basic.Booster", partial(check_lightgbm, text))


_KEPT_OF_DATA = frozenset(
    words("""
        _handle _need_slice _params_back_up _predictor _start_row _has_non_default_feature_names categorical_feature
        data feature_name free_raw_data group init_score label monotone_constraints pandas_categorical params position
        reference silent used_indices version weight
    """)
)


def _data_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """Data that LightGBM has not read yet. It would free a handle in it as a pointer."""
    must(type(state) is dict and set(state) <= _KEPT_OF_DATA, "not a state that LightGBM writes")
    must(state.get("_handle") is None, "the data has a handle")
    kept = {"reference": "lightgbm.basic.Dataset", "_predictor": "lightgbm.basic._InnerPredictor"}
    must(all(state.get(key) is None or is_object(state[key], name) for key, name in kept.items()),
         "there is an object of another class")  # fmt: skip


_KEPT_OF_THE_FIRST: Mapping[str, tuple[type, ...]] = {
    "_InnerPredictor__is_manage_handle": (bool,),
    "num_class": (int,),
    "pandas_categorical": (list, type(None)),
    "pred_parameter": (str, dict),
}


def _first_booster_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """What a booster keeps of the one that it went on from. LightGBM would free a handle in it as a pointer."""
    must(type(state) is dict and set(state) <= set(_KEPT_OF_THE_FIRST), "not a state that LightGBM writes")
    must(
        all(type(value) in _KEPT_OF_THE_FIRST[name] for name, value in state.items()),
        "not a state that LightGBM writes",
    )


def _cv_booster_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """The boosters of a cross-validation: a method of their holder calls the method of that name of each."""
    must(type(state) is dict and type(state.get("boosters")) is list, "not a state that LightGBM writes")
    must(
        all(is_object(one, "lightgbm.basic.Booster") for one in state["boosters"]),
        "there is an object of another class",
    )


_CATBOOST_METHODS = ("_deserialize_model", "_load_from_string", "_set_test_evals", "_set_trained_model_attributes")
"""The methods that its `__setstate__` calls."""


def _catboost_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a state that CatBoost writes")
    model = state.get("__model")
    must(type(model) in (bytes, type(None)), "the model is not bytes")
    must(not any(name in state for name in _CATBOOST_METHODS), "an attribute replaces a method")
    if model is not None:
        _charge_model(recorder, target, model)
        data = recorder.real_bytes(model)
        _check_later(recorder, "catboost.core.CatBoost", lambda: check_catboost(data))


TREE_CALLS: dict[str, Rule] = {_TREE: _tree}

TREE_STATES: Mapping[str, StateRule] = {
    _TREE: _tree_state,
    _PREDICTOR: _predictor_state,
    _BIN_MAPPER: _bin_mapper_state,
    _FIRST: _first_state,
    "xgboost.core.Booster": _xgboost_state,
    "lightgbm.basic.Booster": _lightgbm_state,
    "lightgbm.basic.Dataset": _data_state,
    "lightgbm.basic._InnerPredictor": _first_booster_state,
    "lightgbm.engine.CVBooster": _cv_booster_state,
    **{
        f"catboost.core.{name}": _catboost_state
        for name in ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")
    },
}
