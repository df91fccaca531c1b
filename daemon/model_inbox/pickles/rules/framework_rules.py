"""Rules for the calls and states of scikit-learn and pandas. Pure.

Owns the rules for their C and Cython types, which trust their arguments and states, and for functions that make an
instance of a class in their arguments. Most estimators need no rule: they are created and get attributes. Models of
trees have rules of their own (`tree_rules`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from ..arguments import is_count, is_global, is_object, is_text, must, only_scalars, package_of
from ..names import LIBRARY_ERRORS, words
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of, stand_in
from .numpy_rules import SCALARS, array_of, bytes_of
from .zone_rules import is_zone

__all__ = ["FRAMEWORK_CALLS", "FRAMEWORK_STATES", "is_offset", "member", "offset_call", "pandas_state"]


# --- scikit-learn --------------------------------------------------------------------------------------------


def _new_of_sklearn(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """`newObj(cls)` of the neighbour trees and distance metrics makes an instance of a class of its own module.

    What it makes is an object of that class, and its state is checked as that of one.
    """
    must(len(args) == 1 and is_global(args[0]), "not one class")
    must(args[0].name.rpartition(".")[0] == callee.name.rpartition(".")[0], "the class is of another module")
    return instance_of(args[0])


def _hyperparameter(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """`Hyperparameter(name, kind, bounds, number, fixed)` of a kernel repeats its bounds for each number."""
    must(len(args) == 5 and is_text(args[0]) and is_text(args[1]), "not the parts of a parameter")
    must(args[2] == "fixed" if type(args[2]) is str else is_object(args[2], "numpy.ndarray"), "the bounds are invalid")
    must(is_count(args[3], _NUMBERS_MAX) and type(args[4]) in (bool, type(None)), "not the parts of a parameter")
    if is_object(args[2], "numpy.ndarray"):
        bounds = array_of(args[2])
        # What has a row for each number already is not repeated.
        copies = args[3] if len(bounds.shape) < 2 or bounds.shape[0] == 1 else 1
        recorder.charge(callee, copies * bytes_of(bounds.dtype, bounds.shape) if bounds.dtype is not None else 0)


_NUMBERS_MAX = 1 << 16


# --- errors --------------------------------------------------------------------------------------------------


def _error(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(only_scalars(args), "not plain values")


def member(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """An enumeration looks its member up by the value, and would hash any other object."""
    must(len(args) == 1 and type(args[0]) in (int, str), "not the value of a member")


_ENUMERATIONS = tuple(
    f"catboost.core.E{name}"
    for name in words("CalcTypes FeaturesSelectionAlgorithm FeaturesSelectionGrouping FstrType ShapCalcType")
)


# --- pandas --------------------------------------------------------------------------------------------------

_OFFSETS = "pandas._libs.tslibs.offsets."
_DATE_OFFSETS = (f"{_OFFSETS}DateOffset", "pandas.DateOffset", "pandas.tseries.offsets.DateOffset")
_DATES = tuple(f"datetime.{name}" for name in ("datetime", "time"))
"""Those whose time zone is not real. All others are real values."""
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
    return only_scalars(value) or is_object(value, "numpy.ndarray", *_DATES, *SCALARS, *_PANDAS_DATES)


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


_FROZEN_LISTS = ("pandas.api.typing.FrozenList", "pandas.core.indexes.frozen.FrozenList")


def _frozen_list(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and type(args[0]) is list, "not one list")
    # It copies the list.
    recorder.charge(callee, 8 * len(args[0]))


def _aggregation_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """A named aggregation keeps the function that it stands for. A load calls nothing of it."""
    must(
        type(state) is dict and set(state) <= {"column", "aggfunc", "args", "kwargs"}, "not a state that pandas writes"
    )


def _holiday_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """A rule for a holiday keeps the function that moves it to another day. A load calls nothing of it."""
    must(type(state) is dict, "not a state that pandas writes")
    function = state.get("observance")
    must(function is None or (is_global(function) and function.name.startswith("pandas.tseries.holiday.")),
         "the function that moves the holiday is not one of pandas")  # fmt: skip
    pandas_state(recorder, target, {**state, "observance": None})


FRAMEWORK_CALLS: dict[str, Rule] = {
    **{
        f"sklearn.{module}.newObj": _new_of_sklearn
        for module in ("neighbors._kd_tree", "neighbors._ball_tree", "metrics._dist_metrics")
    },
    "sklearn.gaussian_process.kernels.Hyperparameter": _hyperparameter,
    **dict.fromkeys(LIBRARY_ERRORS, _error),
    **dict.fromkeys(_ENUMERATIONS, member),
    **dict.fromkeys(_FROZEN_LISTS, _frozen_list),
    "pandas._libs.tslibs.timestamps._unpickle_timestamp": _timestamp,
    "pandas._libs.tslibs.timedeltas._timedelta_unpickle": _timestamp,
    **{f"pandas.{name}": _period for name in ("Period", "_libs.tslibs.period.Period")},
    **{f"pandas.{name}": _interval for name in ("Interval", "_libs.interval.Interval")},
    **dict.fromkeys(_DATE_OFFSETS, _date_offset),
    "pandas.StringDtype": _string_dtype,
    "pandas.core.arrays.string_.StringDtype": _string_dtype,
}

FRAMEWORK_STATES: Mapping[str, StateRule] = {
    **dict.fromkeys(_DATE_OFFSETS, _date_offset_state),
    "pandas.NamedAgg": _aggregation_state,
    "pandas.core.groupby.generic.NamedAgg": _aggregation_state,
    "pandas.tseries.holiday.Holiday": _holiday_state,
}
