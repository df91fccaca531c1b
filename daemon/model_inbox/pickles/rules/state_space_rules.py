"""Rules for the Kalman filters of statsmodels: Cython types that trust the arrays they get. Pure.

Owns the check that the arrays of a state space belong together, and that a filter's and a smoother's own arrays are as
long as its observations. statsmodels validates most shapes itself, but allocates from them and looks at places in them
without a check of bounds.
"""

from __future__ import annotations

from typing import Any

from ..arguments import is_count, is_object, must, only_scalars, package_of
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .numpy_rules import array_of
from .scipy_rules import has_shape

__all__ = ["STATE_SPACE_CALLS", "STATE_SPACE_STATES"]

_PREFIXES = {"s": ("f", 4), "d": ("f", 8), "c": ("c", 8), "z": ("c", 16)}
_MODULE = "statsmodels.tsa.statespace."
SIZE_MAX = 100_000
"""How many states or series a model may have."""
FLAGS_MAX = 1 << 16


class SpaceValue:
    """What is known of a state space, a filter or a smoother: its number type, and its dimensions."""

    __slots__ = ("endog", "nobs", "prefix", "states")

    def __init__(self, prefix: str, endog: int, states: int, nobs: int) -> None:
        self.prefix = prefix
        self.endog = endog
        self.states = states
        self.nobs = nobs


def _prefix(callee: Global) -> str:
    return callee.name.rpartition(".")[2][0]


def _shape(value: Any) -> tuple[int, ...]:
    return array_of(value).shape


def _space(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """The call of a state space: observations, six matrices and vectors, and whether one of them is diagonal."""
    must(len(args) == 9, "not the arrays of a state space")
    prefix = _prefix(callee)
    for value, dimensions in zip(args[:8], (2, 3, 2, 3, 3, 2, 3, 3), strict=True):
        must(has_shape(value, *_PREFIXES[prefix], *[None] * dimensions), "an array has another kind of numbers")
    must(type(args[8]) is int and -1 <= args[8] <= 1, "not the arrays of a state space")
    obs, design, obs_intercept, obs_cov, transition, state_intercept, selection, state_cov = map(_shape, args[:8])
    endog, nobs, states, shocks = obs[0], obs[1], selection[0], selection[1]
    must(0 < endog <= SIZE_MAX and 0 < states <= SIZE_MAX and nobs > 0 and 0 < shocks <= SIZE_MAX, "an array is empty")
    expected = (
        (design, (endog, states)), (obs_intercept, (endog,)), (obs_cov, (endog, endog)), (transition, (states, states)),
        (state_intercept, (states,)), (selection, (states, shocks)), (state_cov, (shocks, shocks)),
    )  # fmt: skip
    for shape, wanted in expected:
        must(shape[:-1] == wanted and shape[-1] in (1, nobs), "the arrays do not belong together")
    return instance_of(callee, SpaceValue(prefix, endog, states, nobs))


def _known(value: Any, kind: str, prefix: str) -> SpaceValue:
    modules = {"Statespace": "_representation", "KalmanFilter": "_kalman_filter"}
    must(is_object(value, f"{_MODULE}{modules[kind]}.{prefix}{kind}"), f"not a {kind} of the same kind of numbers")
    known = getattr(value, "value", None)
    must(isinstance(known, SpaceValue), f"not a {kind} of the same kind of numbers")
    assert isinstance(known, SpaceValue)  # noqa: S101 - for the type checker; `must` has raised
    return known


def _filter(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 8, "not the settings of a Kalman filter")
    known = _known(args[0], "Statespace", _prefix(callee))
    must(all(is_count(flag, FLAGS_MAX) for flag in args[1:6]) and is_count(args[7]), "a setting is invalid")
    must(type(args[6]) in (int, float), "the tolerance is not a number")
    return instance_of(callee, SpaceValue(known.prefix, known.endog, known.states, known.nobs))


def _smoother(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 4, "not the settings of a Kalman smoother")
    known = _known(args[0], "Statespace", _prefix(callee))
    of_filter = _known(args[1], "KalmanFilter", _prefix(callee))
    must((known.endog, known.states, known.nobs) == (of_filter.endog, of_filter.states, of_filter.nobs),
         "the filter belongs to another model")  # fmt: skip
    must(all(is_count(flag, FLAGS_MAX) for flag in args[2:]), "a setting is invalid")
    return instance_of(callee, SpaceValue(known.prefix, known.endog, known.states, known.nobs))


def _initialization(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 4 and is_count(args[0], SIZE_MAX) and args[0] > 0, "not (states, mean, covariance, variance)")
    dtype = _PREFIXES[_prefix(callee)]
    must(has_shape(args[1], *dtype, args[0]) and has_shape(args[2], *dtype, args[0], args[0]), "an array is invalid")
    must(type(args[3]) in (int, float), "the variance is not a number")


def _arrays_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Numbers and arrays, none of them empty, and places inside of the observations."""
    must(type(state) is dict, "not a state that statsmodels writes")
    known = getattr(target, "value", None)
    for value in state.values():
        if is_object(value, "numpy.ndarray"):
            must(0 not in _shape(value), "an array is empty")
        else:
            numeric = isinstance(value, Stub) and package_of(type(value)) == "numpy"
            must(
                only_scalars(value) or numeric,
                "not a state that statsmodels writes",
            )
    if isinstance(known, SpaceValue):
        place = state.get("t")
        must(type(place) is int and -1 <= place <= known.nobs, "a place is outside of the observations")
        flags = state.get("univariate_filter")
        must(flags is None or has_shape(flags, "i", 4, known.nobs), "an array is shorter than the observations")


def _stl(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """The call of a decomposition: the series, and its settings."""
    must(len(args) == 12, "not a series and its settings")
    must(has_shape(args[0], "f", 8, None), "the series is not an array of numbers: make the decomposition again")
    must(all(type(value) in (int, bool) and 0 <= value <= SIZE_MAX for value in args[1:]), "a setting is invalid")


_KINDS: dict[str, Rule] = {
    "_representation.{}Statespace": _space,
    "_kalman_filter.{}KalmanFilter": _filter,
    "_kalman_smoother.{}KalmanSmoother": _smoother,
    "_initialization.{}Initialization": _initialization,
}
STATE_SPACE_CALLS: dict[str, Rule] = {
    **{_MODULE + name.format(prefix): rule for name, rule in _KINDS.items() for prefix in _PREFIXES},
    "statsmodels.tsa.stl._stl.STL": _stl,
}
STATE_SPACE_STATES: dict[str, StateRule] = {
    _MODULE + name.format(prefix): _arrays_state for name in _KINDS for prefix in _PREFIXES
}
