"""What the arguments of calls must look like: the rules of all modules, joined, and those for any other name.

Owns `call_rules`, `state_rules` and `default_rule`, which `stubs.Recorder` is given. A rule sees stubs and plain
values, checks them against the *one* form that honest picklers write, and answers with the result of the call
where its value matters later. Rules of Python, numpy, torch and the other frameworks stand in modules of their own
and are joined here.

Why at all: being allowed to call `numpy.dtype` is harmless only with the arguments that numpy itself writes. A
dtype whose state lies about its size makes numpy read and write where it should not, and a function that calls
its argument turns every allowed name into a callable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import is_global, must, only_scalars, package_of
from ..names import PATH_MODULES, PATH_NAMES
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .framework_rules import FRAMEWORK_CALLS, FRAMEWORK_STATES, pandas_state
from .numpy_rules import NUMPY_CALLS, NUMPY_STATES
from .python_rules import PYTHON_CALLS, PYTHON_STATES
from .torch_rules import TORCH_CALLS, TORCH_STATES

__all__ = ["HASHABLE", "call_rules", "default_rule", "default_state_rule", "state_rules"]


# --- any other name ------------------------------------------------------------------------------------------


def _data_only(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """Without a rule of its own a callable may get data and objects, but never a class or a function to call."""
    if _holds_global(args, depth=4):
        # `report` drops this for names that the user allowed himself: what those do is his to know.
        recorder.note("global-argument", callee.name)


def _holds_global(value: Any, depth: int) -> bool:
    if isinstance(value, Global):
        return True
    if depth and type(value) in (tuple, list, set, frozenset, dict):
        items = [*value, *value.values()] if type(value) is dict else value
        return any(_holds_global(item, depth - 1) for item in items)
    return False


def _unpickle_extension_type(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """Cython's generated unpicklers: (class, checksum, state or None) make an instance of that class."""
    must(len(args) == 3 and is_global(args[0]) and type(args[1]) is int, "not (class, checksum, state)")
    must(args[2] is None or type(args[2]) is tuple, "a state that is no tuple")
    must(package_of(callee) == package_of(args[0]), "a class of another package")
    if type(args[2]) is tuple:
        must(not _holds_global(args[2], depth=1), "a class or function in its state")
        for item in args[2]:
            if type(item) is dict:
                recorder.check_attributes(callee, item)
        rule = state_rules.get(callee.name) or default_state_rule(callee.name)
        if rule is not None:  # what a BUILD would be judged by
            made = instance_of(callee)
            rule(recorder, made, args[2])
            return made
    return None


def default_rule(name: str) -> Rule:
    """Return the rule for a callable that has none of its own."""
    if name.rpartition(".")[2].startswith("__pyx_unpickle_"):
        return _unpickle_extension_type
    return _data_only


def _flat_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """Cython's generated types keep numbers in C, which they take from their state."""
    must(type(state) is tuple and only_scalars(state), "a state that is no tuple of numbers")


def default_state_rule(name: str) -> StateRule | None:
    """Return the rule for the states of a class that has none of its own, or None where any plain state will do."""
    if name.startswith("pandas."):
        return pandas_state
    return _flat_state if name.rpartition(".")[2].startswith("__pyx_unpickle_") else None


call_rules: Mapping[str, Rule] = {**PYTHON_CALLS, **NUMPY_CALLS, **TORCH_CALLS, **FRAMEWORK_CALLS}
state_rules: Mapping[str, StateRule] = {**PYTHON_STATES, **NUMPY_STATES, **TORCH_STATES, **FRAMEWORK_STATES}

HASHABLE = frozenset(
    {
        *(f"builtins.{name}" for name in ("complex", "frozenset", "object", "range", "slice")),
        *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(f"{module}.{name}" for module in PATH_MODULES for name in PATH_NAMES),
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray.scalar",
        "numpy.dtype",
        "pandas._libs.tslibs.timedeltas._timedelta_unpickle",
        "pandas._libs.tslibs.timestamps._unpickle_timestamp",
        "torch.device",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
    }
)
"""Whose objects may be keys and set members: hashing and comparing them runs C code on plain values. (A tensor's
hash is its address; optimizers keep what they know of each parameter under it.)"""
