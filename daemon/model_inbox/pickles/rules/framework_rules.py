"""Rules for the calls and states of scikit-learn, LightGBM, XGBoost, CatBoost and pandas. Pure.

Owns the rules for their C and Cython types, which trust their arguments and states, and for functions that make an
instance of a class in their arguments. Most estimators need no rule: they are created and get attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from ..arguments import is_count, is_global, is_object, must, only_scalars, package_of
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of, stand_in
from .numpy_rules import array_of, bytes_of
from .zone_rules import is_zone

__all__ = ["FRAMEWORK_CALLS", "FRAMEWORK_STATES", "is_offset", "offset_call", "pandas_state"]


# --- scikit-learn --------------------------------------------------------------------------------------------


def _new_of_sklearn(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """`newObj(cls)` of the neighbour trees and distance metrics makes an instance of a class of its own module.

    What it makes is an object of that class, and its state is checked as that of one.
    """
    must(len(args) == 1 and is_global(args[0]), "not one class")
    must(args[0].name.rpartition(".")[0] == callee.name.rpartition(".")[0], "the class is of another module")
    return instance_of(args[0])


def _tree(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
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
    return instance_of(callee, args[2])


def _tree_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(hasattr(target, "value") and type(state) is dict, "not a state that scikit-learn writes")
    must({"max_depth", "node_count", "nodes", "values"} <= set(state), "not a state that scikit-learn writes")
    must(
        is_count(state["max_depth"], 1 << 31) and is_count(state["node_count"]), "not a state that scikit-learn writes"
    )
    nodes, values = array_of(state["nodes"]), array_of(state["values"])
    must(nodes.shape == (state["node_count"],), "the number of nodes is wrong")
    must(
        len(values.shape) == 3 and values.shape[:2] == (state["node_count"], target.value),
        "the values have another shape",
    )
    kind: Global = type(target)
    for array in (nodes, values):
        # A tree copies its arrays.
        recorder.charge(kind, bytes_of(array.dtype, array.shape) if array.dtype is not None else 0)


def _isotonic_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # `__setstate__` calls it with two values of the state.
    must(type(state) is dict and "_build_f" not in state, "an attribute replaces a method")


def _predictor_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # `__setstate__` calls methods of the nodes to convert them.
    must(type(state) is dict, "not a state that scikit-learn writes")
    must("nodes" not in state or is_object(state["nodes"], "numpy.ndarray"), "the nodes are not an array")


# --- boosters ------------------------------------------------------------------------------------------------


_PARSED_BYTES = 3
_PARSED_BYTES_PER_MICROSECOND = 20
"""What a booster needs for each byte of its model, and how quickly it is parsed."""


def _charge_model(recorder: Recorder, target: Stub, model: Any) -> None:
    if type(model) in (str, bytes, bytearray):
        kind: Global = type(target)
        recorder.charge(kind, _PARSED_BYTES * len(model), 1000 + len(model) // _PARSED_BYTES_PER_MICROSECOND)


def _xgboost_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(type(state) is dict and "handle" in state, "not a state that XGBoost writes")
    must(state["handle"] is None or type(state["handle"]) is bytearray, "the model is not bytes")
    _charge_model(recorder, target, state["handle"])


_TREE_SIZES = re.compile(r"^tree_sizes=([0-9 ]*)$", re.MULTILINE)
_FIRST_TREE = re.compile(r"^Tree=", re.MULTILINE)


def _trees_are_in_place(text: str) -> bool:
    """Return whether the text has a tree at each place in its table of sizes. Otherwise LightGBM aborts the process."""
    sizes, first = _TREE_SIZES.search(text), _FIRST_TREE.search(text)
    if sizes is None or first is None:
        return sizes is None or not sizes[1].strip()
    position = first.start()
    for size in sizes[1].split():
        if len(size) > 12 or not text.startswith("Tree=", position):
            return False
        position += int(size)
    return position <= len(text)


_LIGHTGBM_VERSION = re.compile(r"tree\nversion=(v\d{1,3})\n")


def _lightgbm_state(recorder: Recorder, target: Stub, state: Any) -> None:
    # LightGBM frees the values of these attributes as pointers when the booster is deleted.
    must(type(state) is dict, "not a state that LightGBM writes")
    must(all(type(state.get(key)) in (str, type(None)) for key in ("_handle", "handle")), "the model is not text")
    must(not state.get("_network"), "the booster has a network")
    text = state.get("_handle", state.get("handle"))
    if text is not None and (match := _LIGHTGBM_VERSION.match(text)):
        # The version of the text format, which changes with a major version of LightGBM.
        recorder.note_version("lightgbm", match[1])
    must(text is None or _trees_are_in_place(text), "the trees are not where the table of sizes says")
    _charge_model(recorder, target, text)


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
    must(type(state.get("__model")) in (bytes, str, type(None)), "the model is not bytes")
    must(not any(name in state for name in _CATBOOST_METHODS), "an attribute replaces a method")
    _charge_model(recorder, target, state.get("__model"))


# --- pandas --------------------------------------------------------------------------------------------------

_OFFSETS = "pandas._libs.tslibs.offsets."
_DATE_OFFSETS = (f"{_OFFSETS}DateOffset", "pandas.DateOffset", "pandas.tseries.offsets.DateOffset")
_DATES = tuple(f"datetime.{name}" for name in ("datetime", "time"))
"""Those whose time zone is not real. All others are real values."""
_NUMPY_SCALARS = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
_PANDAS_DATES = tuple(
    f"pandas._libs.tslibs.{name}"
    for name in ("timestamps._unpickle_timestamp", "timedeltas._timedelta_unpickle", "nattype._nat_unpickle")
)


def is_offset(value: Any) -> bool:
    """Return whether this is a step between dates."""
    return isinstance(value, Stub) and (type(value).name.startswith(_OFFSETS) or type(value).name in _DATE_OFFSETS)


def _is_moment(value: Any) -> bool:
    """Return whether this is a plain value, or a date or time of Python, numpy or pandas."""
    if type(value) in (tuple, list):
        return all(_is_moment(item) for item in value)
    if type(value) in (date, datetime, time, timedelta):
        return True
    return only_scalars(value) or is_object(value, "numpy.ndarray", *_DATES, *_NUMPY_SCALARS, *_PANDAS_DATES)


def offset_call(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Steps between dates are made from numbers, times and holidays."""
    must(len(args) <= 8 and all(_is_moment(arg) for arg in args), "not the parts of an offset")


def _date_offset(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(args == (), "not the parts of an offset")


def _date_offset_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a state that pandas writes")
    for value in state.values():
        must(
            _is_moment(value) or is_object(value, "dateutil.relativedelta.relativedelta"),
            "not a state that pandas writes",
        )


def _period(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and args[0] is None and is_offset(args[1]) and type(args[2]) is int, "not (None, step, number)")
    return stand_in(callee, args[2])


def _interval(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and type(args[2]) is str, "not (left, right, closed)")
    must(
        all(type(arg) not in (tuple, list) and not is_object(arg, "numpy.ndarray") and _is_moment(arg)
            for arg in args[:2]),
        "not (left, right, closed)",
    )  # fmt: skip
    # Its hash is that of the tuple of its parts.
    return stand_in(callee, args)


def _timestamp(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(
        bool(args) and all(only_scalars(arg) or is_zone(arg) or is_offset(arg) for arg in args),
        "not the parts of a date or time",
    )
    return stand_in(callee, args[0])


def _string_dtype(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2 and all(arg in ("python", "pyarrow", None) for arg in args[:1]), "not (storage, missing)")
    # The missing value is a float, or pandas.NA, which is pickled by its name.
    must(
        all(type(arg) is float or is_global(arg, "pandas.NA", "pandas._libs.missing.NA") for arg in args[1:]),
        "the missing value is invalid",
    )


_WITHOUT_CALLS = frozenset(
    [
        "builtins",
        "collections",
        "dateutil",
        "datetime",
        "decimal",
        "fractions",
        "numpy",
        "pandas",
        "pathlib",
        "pyarrow",
        "pytz",
        "uuid",
        "zoneinfo",
    ]
)
"""Packages whose objects may be attributes of pandas' objects: but for `_CALLED`, none of those can be called."""

_CALLED = ("numpy.poly1d", "numpy.polynomial.", "numpy.vectorize", "numpy.lib.", "builtins.getattr")
"""The beginnings of names of those packages whose objects can be called nevertheless."""


def _may_be_called(kind: Global) -> bool:
    return package_of(kind) not in _WITHOUT_CALLS or kind.name.startswith(_CALLED)


_MISSING_VALUES = ("pandas.NA", "pandas._libs.missing.NA")


def pandas_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """While pandas loads an object it calls methods of its dtypes and arrays: no attribute may replace a method."""
    for part in state if type(state) is tuple else (state,):
        if type(part) is dict:
            for value in part.values():
                foreign = isinstance(value, Stub) and _may_be_called(type(value))
                named = isinstance(value, Global) and not is_global(value, *_MISSING_VALUES)
                must(not foreign and not named, "an attribute could be called")


FRAMEWORK_CALLS: dict[str, Rule] = {
    **{
        f"sklearn.{module}.newObj": _new_of_sklearn
        for module in ("neighbors._kd_tree", "neighbors._ball_tree", "metrics._dist_metrics")
    },
    "sklearn.tree._tree.Tree": _tree,
    "pandas._libs.tslibs.timestamps._unpickle_timestamp": _timestamp,
    "pandas._libs.tslibs.timedeltas._timedelta_unpickle": _timestamp,
    **{f"pandas.{name}": _period for name in ("Period", "_libs.tslibs.period.Period")},
    **{f"pandas.{name}": _interval for name in ("Interval", "_libs.interval.Interval")},
    **dict.fromkeys(_DATE_OFFSETS, _date_offset),
    "pandas.StringDtype": _string_dtype,
    "pandas.core.arrays.string_.StringDtype": _string_dtype,
}

FRAMEWORK_STATES: Mapping[str, StateRule] = {
    "sklearn.tree._tree.Tree": _tree_state,
    "sklearn.isotonic.IsotonicRegression": _isotonic_state,
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": _predictor_state,
    **dict.fromkeys(_DATE_OFFSETS, _date_offset_state),
    "xgboost.core.Booster": _xgboost_state,
    "lightgbm.basic.Booster": _lightgbm_state,
    "lightgbm.engine.CVBooster": _cv_booster_state,
    "catboost.core.CatBoost": _catboost_state,
    "catboost.core.CatBoostClassifier": _catboost_state,
    "catboost.core.CatBoostRanker": _catboost_state,
    "catboost.core.CatBoostRegressor": _catboost_state,
}
