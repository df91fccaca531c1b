"""What the arguments of calls must look like: the general rules, and those for Python's own types.

Owns `call_rules`, `state_rules` and `default_rule`, which `stubs.Recorder` is given. A rule sees stubs and plain
values, checks them against the *one* form that honest picklers write, and answers with the result of the call
where its value matters later. Rules of numpy, torch and the other frameworks stand in modules of their own and
are joined here.

Why at all: being allowed to call `numpy.dtype` is harmless only with the arguments that numpy itself writes. A
dtype whose state lies about its size makes numpy read and write where it should not, and a function that calls
its argument turns every allowed name into a callable.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from .names import PATH_MODULES, PATH_NAMES
from .rules_frameworks import FRAMEWORK_CALLS, FRAMEWORK_STATES, pandas_state
from .rules_numpy import NUMPY_CALLS, NUMPY_STATES
from .rules_torch import TORCH_CALLS, TORCH_STATES
from .stubs import BadArguments, Global, Recorder, Rule, StateRule, Stub, instance_of
from .values import is_global, is_text, must, only_scalars, package_of

__all__ = ["HASHABLE", "call_rules", "default_rule", "default_state_rule", "state_rules"]


# --- Python's own types --------------------------------------------------------------------------------------


def _encode(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> bytes:
    """Protocols 0 to 2 write bytes as text to encode; the result is known exactly, and others look at it."""
    must(len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1"), "not (text, 'latin1')")
    try:
        return str(args[0]).encode("latin-1")
    except UnicodeEncodeError:
        raise BadArguments("text that is not latin-1") from None


def _bytes(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> bytes:
    must(args == () or (len(args) == 1 and type(args[0]) is bytes), "not bytes")
    return args[0] if args else b""


def _bytearray(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> bytearray:
    if len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1"):
        return bytearray(args[0], "latin-1", "replace")
    must(args == () or (len(args) == 1 and type(args[0]) is bytes), "not bytes")
    return bytearray(args[0]) if args else bytearray()


_NUMBERS = frozenset({int, float, bool, type(None)})
_PLAIN = _NUMBERS | {str, bytes}


def _plain(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(_PLAIN.issuperset(map(type, args)), "not plain values")


def _numbers(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    # Text or bytes would be parsed, and a huge count of bytes or of list items would be made of a small number.
    must(_NUMBERS.issuperset(map(type, args)), "not numbers")


def _collection(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 1 and all(type(arg) in (list, tuple, dict, set) for arg in args), "not one collection")


def _hashing(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Sets and counters hash their items, so the stubs among them must be seen to be hashed."""
    _collection(_recorder, _callee, args)
    try:
        frozenset(*args)
    except TypeError:
        raise BadArguments("items that cannot be hashed") from None


def _mapping(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Dictionaries hash their keys; protocols 0 and 1 give them as a list of pairs."""
    if not args:
        return
    _collection(_recorder, _callee, args)
    try:
        dict(*args)
    except (TypeError, ValueError):
        raise BadArguments("not pairs of keys and values") from None


def _fraction(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    if len(args) == 2:
        must(all(type(arg) is int for arg in args), "not a quotient")
        return
    # Before Python 3.10 it was written as text; '1e1000000000' would be worked out digit by digit.
    must(len(args) == 1 and type(args[0]) is str and _FRACTION.match(args[0]) is not None, "not a quotient")


_FRACTION = re.compile(r"-?\d{1,4000}(/\d{1,4000})?\Z", re.ASCII)


def _deque(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2 and all(type(arg) in (list, tuple) for arg in args[:1]), "not a list")
    must(all(arg is None or type(arg) is int for arg in args[1:]), "not a length")


_FACTORIES = frozenset(
    f"builtins.{name}" for name in ("dict", "float", "frozenset", "int", "list", "set", "str", "tuple")
) | {"collections.OrderedDict", "collections.Counter"}


def _defaultdict(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2, "too many arguments")
    # The factory is called for every key that is missing, so it may only be a plain type.
    must(all(arg is None or is_global(arg, *_FACTORIES) for arg in args[:1]), "a factory that is no plain type")
    must(all(type(arg) is dict for arg in args[1:]), "not a dictionary")


def _timezone(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(1 <= len(args) <= 2, "not an offset")
    must(isinstance(args[0], Stub) and type(args[0]).name == "datetime.timedelta", "not an offset")
    must(all(type(arg) is str for arg in args[1:]), "a name that is not text")


def _moment(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    if len(args) == 1 and type(args[0]) is bytes:
        return  # nearly all of them
    must(bool(args) and len(args) <= 8, "not the parts of a moment")
    zones = [arg for arg in args if isinstance(arg, Stub)]
    must(all(type(zone).name == "datetime.timezone" for zone in zones) and len(zones) <= 1, "an odd time zone")
    must(not any(is_global(arg) for arg in args), "not the parts of a moment")


def _path(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(all(is_text(arg) for arg in args), "not the parts of a path")


def _reconstructor(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """Protocols 0 and 1 make an instance by copyreg: what NEWOBJ does, or a call of the base type with data."""
    must(len(args) == 3 and is_global(args[0]), "not (class, base, state)")
    cls, base, state = args
    must(is_global(base, *(f"builtins.{name}" for name in ("object", "dict", "list", "set"))), "an odd base class")
    plain = type(state) in (dict, list, tuple, set) or (state is None and base.name == "builtins.object")
    must(plain, "a base value that is no plain collection")
    cls.uses.add("n")
    return instance_of(cls)


def _newobj(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and is_global(args[0]), "not one class")
    args[0].uses.add("n")
    return instance_of(args[0])


_PYTHON_CALLS: dict[str, Rule] = {
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytearray,
    **{f"builtins.{name}": _plain for name in ("bool", "slice", "str")},
    **{f"builtins.{name}": _numbers for name in ("complex", "float", "int", "range")},
    **{f"builtins.{name}": _collection for name in ("list", "tuple")},
    **{f"builtins.{name}": _hashing for name in ("frozenset", "set")},
    "builtins.dict": _mapping,
    "collections.Counter": _hashing,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _defaultdict,
    "collections.deque": _deque,
    "copyreg.__newobj__": _newobj,
    "copyreg._reconstructor": _reconstructor,
    "datetime.date": _moment,
    "datetime.datetime": _moment,
    "datetime.time": _moment,
    "datetime.timedelta": _numbers,
    "datetime.timezone": _timezone,
    "decimal.Decimal": _plain,
    "fractions.Fraction": _fraction,
    **{f"{module}.{name}": _path for module in PATH_MODULES for name in PATH_NAMES},
}


def _ordered_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """torch puts `_metadata` on its state dicts. A name that the type has would be called in place of its method."""
    must(type(state) is dict, "not a dictionary of attributes")
    must(not any(hasattr(OrderedDict, name) for name in state if type(name) is str), "an attribute that is a method")


def _uuid_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # UUIDs may be keys, and theirs is the hash of whatever stands here.
    must(type(state) is dict and set(state) <= {"int", "is_safe"}, "not a state that uuid writes")
    must(type(state.get("int")) is int and type(state.get("is_safe", 0)) is int, "not a state that uuid writes")


_PYTHON_STATES: dict[str, StateRule] = {"collections.OrderedDict": _ordered_state, "uuid.UUID": _uuid_state}


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


call_rules: Mapping[str, Rule] = {**_PYTHON_CALLS, **NUMPY_CALLS, **TORCH_CALLS, **FRAMEWORK_CALLS}
state_rules: Mapping[str, StateRule] = {**_PYTHON_STATES, **NUMPY_STATES, **TORCH_STATES, **FRAMEWORK_STATES}

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
