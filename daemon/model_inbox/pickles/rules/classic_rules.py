"""Rules for the calls and states of statsmodels, arch, ngboost and quantile-forest. Pure.

Owns the rules for what these libraries compute while an object is loaded: formulas that statsmodels evaluates, methods
that a state could replace, classes that ngboost makes, and the compiled types of arch and quantile-forest. Kalman
filters are in `state_space_rules`.
"""

from __future__ import annotations

from typing import Any

from ..arguments import is_count, is_global, is_object, must
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .formula_rules import check_formula
from .framework_rules import member
from .numpy_rules import SCALARS, array_of
from .scipy_rules import has_shape

__all__ = ["CLASSIC_CALLS", "CLASSIC_STATES"]

# --- statsmodels ---------------------------------------------------------------------------------------------


def _model_data_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a state that statsmodels writes")
    check_formula(recorder, target, state)


def _negative_binomial_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # `__setstate__` calls `_initialize`, which compares the name of the method with texts.
    must(type(state) is dict and "_initialize" not in state, "an attribute replaces a method")
    must(type(state.get("loglike_method")) is str, "the method is not text")


def _bunch_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """A dictionary whose attributes are its own items: its state is the object itself."""
    keys = getattr(target, "keys", ()) if state is target else state
    must(state is target or type(state) is dict, "not a state that statsmodels writes")
    must(all(type(key) is str for key in keys), "an attribute whose name is not text")
    if state is target:
        kind: Global = type(target)  # type: ignore[assignment]  # the metaclass of every stub
        recorder.check_attributes(kind, dict.fromkeys(keys))


_WINDOWS = (
    *(f"pandas.api.typing.{name}" for name in ("Expanding", "ExponentialMovingWindow", "Rolling", "Window")),
    *(f"pandas.core.window.{name}" for name in ("expanding.Expanding", "rolling.Rolling", "rolling.Window")),
    "pandas.core.window.ewm.ExponentialMovingWindow",
)


def _window_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """A window of pandas. With a second state, a load would look up `__setstate__` in the columns that it is over."""
    must(not hasattr(target, "value"), "it is set a second time")
    must(type(state) is dict, "not a dictionary of attributes")
    target.value = True


# --- arch ----------------------------------------------------------------------------------------------------

_RECURSIONS = "arch.univariate.recursions."
PERIODS_MAX = 1_000_000


def _numbers(value: Any) -> bool:
    return type(value) in (int, float) or is_object(value, *SCALARS)


def _ewma(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and (args[0] is None or _numbers(args[0])), "not one number")


def _harch(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and has_shape(args[0], "i", 4, None), "not the lags")


def _counts(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """Orders of a process; FIGARCH has its power among them."""
    must(len(args) in (2, 3, 4) and all(type(arg) in (int, float, bool) for arg in args), "not the orders")
    must(all(0 <= arg <= PERIODS_MAX for arg in args), "an order is invalid")
    recorder.charge(callee, sum(64 * int(arg) for arg in args))
    return instance_of(callee, args)


def _risk_metrics(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and is_count(args[0], PERIODS_MAX), "not (components, weights, parameters)")
    must(all(has_shape(arg, "f", 8, args[0]) for arg in args[1:]), "an array has another length")
    return instance_of(callee, args)


def _series_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Numbers and arrays of one dimension. Those of EGARCH are copied together, the others up to their own size."""
    must(type(state) is tuple and 1 <= len(state) <= 5, "not a state that arch writes")
    arrays = [value for value in state if not _numbers(value)]
    must(all(has_shape(value, "f", 8, None) for value in arrays), "an array is invalid")
    if type(target).name.endswith(".EGARCHUpdater"):
        must(len(arrays) == 3 and len({array_of(value).shape for value in arrays}) == 1, "the arrays differ in length")


def _in_mean_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is tuple and len(state) == 1, "not a state that arch writes")
    updater = state[0]
    must(isinstance(updater, Stub) and type(updater).name.startswith(_RECURSIONS), "not the recursion of a volatility")


# --- ngboost -------------------------------------------------------------------------------------------------

_SCORES = ("ngboost.scores.LogScore", "ngboost.scores.CRPScore", "ngboost.scores.CRPS", "ngboost.scores.MLE")
CLASSES_MAX = 1000


def _ngboost_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """`__setstate__` makes a class from the distribution and the score, and a distribution from a number of classes."""
    must(type(state) is dict, "not a state that ngboost writes")
    must(is_global(state.get("Score"), *_SCORES), "not a score of ngboost")
    for key in ("Dist", "_basedist"):
        value = state.get(key)
        must(key not in state or (is_global(value) and value.name.startswith("ngboost.distns.")), "not a distribution")
    must("Dist" in state or "_basedist" in state or "K" in state, "not a state that ngboost writes")
    if "K" in state:
        number = state["K"]
        must(type(number) in (int, float) and 1 <= number <= CLASSES_MAX, "the number of classes is invalid")
        must(state.get("Dist_name") in ("Categorical", "MVN"), "not a distribution")
        must("Dist" not in state, "not a state that ngboost writes")


# --- quantile-forest -----------------------------------------------------------------------------------------


def _quantile_forest(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 4, "not (targets, leaves, bounds, sparse)")
    must(has_shape(args[0], "f", 8, None, None), "the targets are invalid")
    must(has_shape(args[1], "i", 8, None, None, None, None), "the leaves are invalid")
    must(has_shape(args[2], "f", 8, None, None, None), "the bounds are invalid")
    must(type(args[3]) is bool and not args[3], "its leaves are a sparse matrix: fit it without sparse_pickle")


def _quantile_forest_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(state == {}, "its leaves are a sparse matrix: fit it without sparse_pickle")


CLASSIC_CALLS: dict[str, Rule] = {
    f"{_RECURSIONS}EWMAUpdater": _ewma,
    f"{_RECURSIONS}HARCHUpdater": _harch,
    **{f"{_RECURSIONS}{name}": _counts for name in ("EGARCHUpdater", "FIGARCHUpdater", "MIDASUpdater")},
    f"{_RECURSIONS}RiskMetrics2006Updater": _risk_metrics,
    "quantile_forest._quantile_forest_fast.QuantileForest": _quantile_forest,
    "cmdstanpy.cmdstan_args.Method": member,
    "stanio.reshape.VariableType": member,
}
CLASSIC_STATES: dict[str, StateRule] = {
    **{f"statsmodels.base.data.{name}": _model_data_state
       for name in ("FormulaicData", "ModelData", "PandasData", "PatsyData")},
    **dict.fromkeys(_WINDOWS, _window_state),
    "statsmodels.tools.tools.Bunch": _bunch_state,
    "statsmodels.tsa.statespace.dynamic_factor_mq.FactorBlock": _bunch_state,
    **{f"statsmodels.discrete.discrete_model.{name}": _negative_binomial_state for name in ("NegativeBinomial",)},
    **{f"{_RECURSIONS}{name}": _series_state
       for name in ("EGARCHUpdater", "EWMAUpdater", "FIGARCHUpdater", "HARCHUpdater", "MIDASUpdater",
                    "RiskMetrics2006Updater")},
    f"{_RECURSIONS}__pyx_unpickle_ARCHInMeanRecursion": _in_mean_state,
    **{f"ngboost.{name}": _ngboost_state
       for name in ("api.NGBClassifier", "api.NGBRegressor", "api.NGBSurvival", "ngboost.NGBoost")},
    "quantile_forest._quantile_forest_fast.QuantileForest": _quantile_forest_state,
}  # fmt: skip
