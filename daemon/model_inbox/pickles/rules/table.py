"""The joined tables of all rules, and the rules for names that have none of their own.

Owns `call_rules`, `state_rules` and their defaults, which `stubs.Recorder` gets. A rule gets stubs and plain values,
compares them with the *one* form that honest picklers write, and returns the result of the call if later rules need
its value. Never decides which names are allowed.

Why rules are needed: to allow a call of `numpy.dtype` is safe only with the arguments that numpy itself writes. A dtype
with a wrong size in its state makes numpy read and write outside of its memory, and a function that calls its argument
makes every allowed name callable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import is_global, must, only_scalars, package_of
from ..names import PATH_MODULES, PATH_NAMES, is_distribution
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .arrow_rules import ARROW_CALLS, ARROW_STATES
from .callable_rules import CALLABLE_CALLS, CALLABLE_STATES
from .classic_rules import CLASSIC_CALLS, CLASSIC_STATES
from .distribution_rules import DISTRIBUTION_STATES, distribution_state
from .frame_rules import FRAME_CALLS, FRAME_STATES
from .framework_rules import FRAMEWORK_CALLS, FRAMEWORK_STATES, offset_call, pandas_state
from .hook_rules import HOOK_STATES, module_state
from .mesh_rules import MESH_STATES
from .neighbor_rules import NEIGHBOR_STATES
from .numpy_rules import NUMPY_CALLS, NUMPY_STATES, SCALARS
from .python_rules import PYTHON_CALLS, PYTHON_STATES
from .quantized_rules import QUANTIZED_STATES
from .scipy_rules import SCIPY_STATES
from .spline_rules import SPLINE_STATES
from .state_space_rules import STATE_SPACE_CALLS, STATE_SPACE_STATES
from .svm_rules import SVM_STATES
from .torch_object_rules import TORCH_OBJECT_CALLS, TORCH_OBJECT_STATES, is_result, result_call
from .torch_rules import TORCH_CALLS, TORCH_STATES
from .tree_rules import TREE_CALLS, TREE_STATES, is_of_trees, of_trees_state
from .zone_rules import ZONE_CALLS, ZONE_STATES

__all__ = ["HASHABLE", "call_rules", "default_rule", "default_state_rule", "state_rules"]


def _data_only(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """A callable without a rule of its own may get data and objects, but no class or function: it could call it."""
    if _holds_global(args, depth=4):
        # `report` drops this finding for names that the user has allowed: the user knows what they do.
        recorder.note("global-argument", callee.name)


def _holds_global(value: Any, depth: int) -> bool:
    if isinstance(value, Global):
        return True
    if depth and type(value) in (tuple, list, set, frozenset, dict):
        items = [*value, *value.values()] if type(value) is dict else value
        return any(_holds_global(item, depth - 1) for item in items)
    return False


def _unpickle_extension_type(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """Unpicklers that Cython generates: (class, checksum, state or None) makes an instance of the class."""
    must(len(args) == 3 and is_global(args[0]) and type(args[1]) is int, "not (class, checksum, state)")
    must(args[2] is None or type(args[2]) is tuple, "the state is not a tuple")
    must(package_of(callee) == package_of(args[0]), "the class is of another package")
    if type(args[2]) is tuple:
        must(not _holds_global(args[2], depth=1), "there is a class or function in the state")
        for item in args[2]:
            if type(item) is dict:
                recorder.check_attributes(callee, item)
        rule = state_rules.get(callee.name) or default_state_rule(callee.name)
        # The state gets the same check as in a BUILD.
        if rule is not None:
            made = instance_of(callee)
            rule(recorder, made, args[2])
            return made
    return None


def default_rule(name: str) -> Rule:
    """Return the rule for calls of a name without a rule of its own."""
    if name.rpartition(".")[2].startswith("__pyx_unpickle_"):
        return _unpickle_extension_type
    if name.startswith("pandas._libs.tslibs.offsets."):
        return offset_call
    if is_result(name):
        return result_call
    return _data_only


def _flat_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """Types that Cython generates keep numbers in C, and take them from their state."""
    must(type(state) is tuple and only_scalars(state), "the state is not a tuple of numbers")


def default_state_rule(name: str) -> StateRule | None:
    """Return the rule for states of a name without a rule of its own, or None if any plain state is accepted."""
    if name.startswith("pandas."):
        return pandas_state
    if is_of_trees(name):
        return of_trees_state
    if is_distribution(name):
        return distribution_state
    if name.startswith(("torch.nn.modules.", "torch.ao.nn.")):
        return module_state
    return _flat_state if name.rpartition(".")[2].startswith("__pyx_unpickle_") else None


call_rules: Mapping[str, Rule] = {
    **PYTHON_CALLS,
    **CALLABLE_CALLS,
    **ZONE_CALLS,
    **NUMPY_CALLS,
    **ARROW_CALLS,
    **TORCH_CALLS,
    **TORCH_OBJECT_CALLS,
    **FRAMEWORK_CALLS,
    **FRAME_CALLS,
    **TREE_CALLS,
    **STATE_SPACE_CALLS,
    **CLASSIC_CALLS,
}
state_rules: Mapping[str, StateRule] = {
    **PYTHON_STATES,
    **CALLABLE_STATES,
    **ZONE_STATES,
    **DISTRIBUTION_STATES,
    **NUMPY_STATES,
    **ARROW_STATES,
    **TORCH_STATES,
    **TORCH_OBJECT_STATES,
    **QUANTIZED_STATES,
    **FRAMEWORK_STATES,
    **TREE_STATES,
    **SCIPY_STATES,
    **SPLINE_STATES,
    **MESH_STATES,
    **FRAME_STATES,
    **HOOK_STATES,
    **STATE_SPACE_STATES,
    **CLASSIC_STATES,
    **NEIGHBOR_STATES,
    **SVM_STATES,
}

HASHABLE = frozenset(
    {
        *(f"builtins.{name}" for name in ("complex", "frozenset", "object", "range", "slice")),
        *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(f"{module}.{name}" for module in PATH_MODULES for name in PATH_NAMES),
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        *SCALARS,
        "numpy.dtype",
        "pandas.Interval",
        "pandas.Period",
        "pandas._libs.interval.Interval",
        "pandas._libs.tslibs.period.Period",
        "pandas._libs.tslibs.timedeltas._timedelta_unpickle",
        "pandas._libs.tslibs.timestamps._unpickle_timestamp",
        "torch.device",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch._utils._rebuild_tensor_v2",
    }
)
"""Names whose objects may be keys and members of sets: to hash or compare them runs C code on plain values. (The hash
of a tensor is its address. Optimizers use parameters as keys.)"""
