"""Rules for the distributions of scipy, which stand in the settings of searches. Pure.

Owns the text of the functions that scipy generates for a distribution. scipy runs that text when it loads one: so it
must be, byte for byte, the text that scipy's own class makes for the names of the distribution's parameters.
"""

from __future__ import annotations

import keyword
import re
from typing import Any

from ..arguments import is_object, is_text, must, only_scalars, package_of
from ..names import EMPIRICAL, is_distribution
from ..stubs import Recorder, StateRule, Stub
from .callable_rules import GETATTR
from .numpy_rules import SCALARS

__all__ = ["DISTRIBUTION_STATES", "distribution_state"]

_TEMPLATE = """
def _parse_args(self, {shapes} {given}):
    return ({shapes}), {passed}

def _parse_args_rvs(self, {shapes} {given}, size=None):
    return self._argcheck_rvs({shapes} {passed}, size=size)

def _parse_args_stats(self, {shapes} {given}, moments='mv'):
    return ({shapes}), {passed}, moments
"""
_CONTINUOUS = ("scipy.stats._continuous_distns.", "scipy.stats._levy_stable.")
_SHAPES = re.compile(r"[A-Za-z_]\w{0,30}(, [A-Za-z_]\w{0,30}){0,7}\Z", re.ASCII)
_PLAIN = frozenset(
    {
        "_stats_has_moments",
        "a",
        "b",
        "badvalue",
        "inc",
        "moment_tol",
        "moment_type",
        "name",
        "numargs",
        "shapes",
        "xtol",
        "_parse_arg_template",
        "_support",
        "__doc__",
    }
)
_ENTROPY = "vecentropy"


def distribution_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Check the state of a distribution."""
    must(type(state) is dict, "not a state that scipy writes")
    shapes = state.get("shapes")
    must(shapes is None or (type(shapes) is str and _SHAPES.match(shapes) is not None), "the parameters are invalid")
    names = shapes.split(", ") if shapes else []
    must(not any(keyword.iskeyword(name) for name in names), "the parameters are invalid")
    continuous = type(target).name.startswith(_CONTINUOUS)
    expected = _TEMPLATE.format(
        shapes=", ".join(names) + ", " if names else "",
        given="loc=0, scale=1" if continuous else "loc=0",
        passed="loc, scale" if continuous else "loc, 1",
    )
    must(state.get("_parse_arg_template") == expected, "scipy would run text that is not its own")
    for name, value in state.items():
        if name == "_random_state":
            must(isinstance(value, Stub) and package_of(type(value)) == "numpy", "the random state is invalid")
        elif name == "_ctor_param":
            must(type(value) is dict and all(map(_is_parameter, value.values())), "not a state that scipy writes")
        elif name == _ENTROPY:
            must(is_object(value, *_VECTORIZE, GETATTR), "not a state that scipy writes")
        elif type(target).name in EMPIRICAL and name in _VALUES:
            must(_is_parameter(value), "not a state that scipy writes")
        else:
            must(name in _PLAIN and only_scalars(value), "not a state that scipy writes")


_VALUES = frozenset(
    {"_density", "_hbin_widths", "_hbins", "_hcdf", "_histogram", "_hpdf", "a", "b", "pk", "qvals", "xk"}
)
"""What a distribution keeps that is made of values."""


def _is_parameter(value: Any, levels: int = 2) -> bool:
    """Return whether this is a plain value, an array or number of numpy, or a list or tuple of these."""
    if type(value) in (list, tuple) and levels:
        return all(_is_parameter(item, levels - 1) for item in value)
    return only_scalars(value) or is_object(value, "numpy.ndarray", *SCALARS)


_VECTORIZE = ("numpy.vectorize", "numpy.lib._function_base_impl.vectorize", "numpy.lib.function_base.vectorize")


def _frozen_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is dict and set(state) == {"args", "kwds", "dist", "a", "b"}, "not a state that scipy writes")
    must(type(state["args"]) is tuple and type(state["kwds"]) is dict, "not a state that scipy writes")
    dist = state["dist"]
    must(isinstance(dist, Stub) and is_distribution(type(dist).name), "not a distribution of scipy")
    must(all(is_text(name) for name in state["kwds"]), "not a state that scipy writes")
    for value in (*state["args"], *state["kwds"].values(), state["a"], state["b"]):
        plain = type(value) in (int, float, bool, type(None))
        must(plain or (isinstance(value, Stub) and package_of(type(value)) == "numpy"), "a parameter is no number")


DISTRIBUTION_STATES: dict[str, StateRule] = {
    f"scipy.stats._distn_infrastructure.rv_{kind}_frozen": _frozen_state for kind in ("continuous", "discrete")
}
