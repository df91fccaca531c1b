"""Rules for the calls and states of Python's own types. Pure.

Owns the rules for the value types of the standard library: numbers, text, collections, dates, paths. They accept what
honest picklers write, and so bound what a load computes, hashes or calls. Knows no framework.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

from ..arguments import is_count, is_global, is_object, is_text, must
from ..names import ERRORS, PATH_MODULES, PATH_NAMES
from ..stubs import BadArguments, Global, Recorder, Rule, StateRule, Stub, instance_of
from .zone_rules import is_zone

__all__ = ["PLAIN_TYPES", "PYTHON_CALLS", "PYTHON_STATES"]


def _encode(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> bytes:
    """Protocols 0 to 2 write bytes as text to encode. Return the real bytes: other rules look at them."""
    must(len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1"), "not (text, 'latin1')")
    try:
        return str(args[0]).encode("latin-1")
    except UnicodeEncodeError:
        raise BadArguments("the text is not latin-1") from None


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


def _slice(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    # A slice only keeps its parts. numpy's numbers are among them where a library computed them.
    scalars = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
    must(all(type(arg) in _PLAIN or is_object(arg, *scalars) for arg in args), "not plain values")


def _numbers(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    # Text and bytes would be parsed, and these types would make a large object from them.
    must(_NUMBERS.issuperset(map(type, args)), "not numbers")


def _collection(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 1 and all(type(arg) in (list, tuple, dict, set) for arg in args), "not one collection")


def _hashing(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Sets and counters hash their items. Hash them here too, so that a stub among them becomes a finding."""
    _collection(_recorder, _callee, args)
    try:
        frozenset(*args)
    except TypeError:
        raise BadArguments("an item cannot be hashed") from None


def _mapping(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Dictionaries hash their keys. Protocols 0 and 1 write them as a list of pairs."""
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
    # Python before 3.10 wrote text. '1e1000000000' would be computed digit by digit.
    must(len(args) == 1 and type(args[0]) is str and _FRACTION.match(args[0]) is not None, "not a quotient")


_FRACTION = re.compile(r"-?\d{1,4000}(/\d{1,4000})?\Z", re.ASCII)


def _deque(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2 and all(type(arg) in (list, tuple) for arg in args[:1]), "not a list")
    must(all(arg is None or type(arg) is int for arg in args[1:]), "not a length")


PLAIN_TYPES = frozenset(
    f"builtins.{name}" for name in ("dict", "float", "frozenset", "int", "list", "set", "str", "tuple")
) | {"collections.OrderedDict", "collections.Counter"}


def _defaultdict(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2, "too many arguments")
    # The factory is called for each missing key, so it may only be a plain type.
    must(all(arg is None or is_global(arg, *PLAIN_TYPES) for arg in args[:1]), "the factory is not a plain type")
    must(all(type(arg) is dict for arg in args[1:]), "not a dictionary")


def _timezone(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(1 <= len(args) <= 2, "not an offset")
    must(isinstance(args[0], Stub) and type(args[0]).name == "datetime.timedelta", "not an offset")
    must(all(type(arg) is str for arg in args[1:]), "the name is not text")


def _date_or_time(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    if len(args) == 1 and type(args[0]) is bytes:
        # Nearly all dates are written as one argument of bytes.
        return
    must(bool(args) and len(args) <= 8, "not the parts of a date or time")
    zones = [arg for arg in args if isinstance(arg, Stub)]
    must(all(is_zone(zone) for zone in zones) and len(zones) <= 1, "the time zone is not one that is supported")
    must(not any(is_global(arg) for arg in args), "not the parts of a date or time")


def _path(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(all(is_text(arg) for arg in args), "not the parts of a path")


def _reconstructor(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """Protocols 0 and 1 make an instance with copyreg: as NEWOBJ does, or with a call of the base type."""
    must(len(args) == 3 and is_global(args[0]), "not (class, base, state)")
    cls, base, state = args
    must(
        is_global(base, *(f"builtins.{name}" for name in ("object", "dict", "list", "set", "tuple"))),
        "the base class is invalid",
    )
    plain = type(state) in (dict, list, tuple, set) or (state is None and base.name == "builtins.object")
    must(plain, "the base value is not a plain collection")
    # A tuple has its items from the call, as a class that is called has.
    cls.uses.update("nc" if base.name == "builtins.tuple" else "n")
    return instance_of(cls)


def _newobj(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and is_global(args[0]), "not one class")
    args[0].uses.add("n")
    return instance_of(args[0])


def _pattern(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """A pattern is compiled when it is loaded. DEBUG would print it."""
    must(len(args) == 2 and type(args[0]) in (str, bytes) and len(args[0]) <= _PATTERN_MAX, "not (pattern, flags)")
    must(type(args[1]) is int and args[1] >= 0 and not args[1] & ~_FLAGS, "not (pattern, flags)")


_PATTERN_MAX = 4096
_FLAGS = int(re.ASCII | re.IGNORECASE | re.LOCALE | re.MULTILINE | re.DOTALL | re.UNICODE | re.VERBOSE)


def _flag(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and type(args[0]) is int and 0 <= args[0] <= 1024, "not a number")


def _address(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1, "not an address")
    must(is_count(args[0], 1 << 128) or (is_text(args[0]) and len(args[0]) <= _ADDRESS_MAX), "not an address")


_ADDRESS_MAX = 64


def _array(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Protocols 0 to 2 write a list of numbers, later ones bytes and the number of their format."""
    if len(args) == 2:
        must(args[0] in _ARRAY_CODES and type(args[1]) is list, "not (type, numbers)")
        must(all(type(item) in (int, float) for item in args[1]), "not (type, numbers)")
        return
    must(len(args) == 4 and is_global(args[0], "array.array"), "not (class, type, format, bytes)")
    must(
        args[1] in _ARRAY_CODES and is_count(args[2], 17) and type(args[3]) is bytes, "not (class, type, format, bytes)"
    )


_ARRAY_CODES = tuple("bBhHiIlLqQfd")


def _nothing(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(args == (), "too many arguments")


def _getter(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) > 0 and all(type(arg) in (int, str) for arg in args), "not names or numbers")


PYTHON_CALLS: dict[str, Rule] = {
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.slice": _slice,
    "builtins.bytearray": _bytearray,
    **{f"builtins.{name}": _plain for name in ("bool", "str", *ERRORS)},
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
    "datetime.date": _date_or_time,
    "datetime.datetime": _date_or_time,
    "datetime.time": _date_or_time,
    "datetime.timedelta": _numbers,
    "datetime.timezone": _timezone,
    "decimal.Decimal": _plain,
    "array.array": _array,
    "array._array_reconstructor": _array,
    "http.HTTPStatus": _flag,
    **{f"ipaddress.IPv{version}{kind}": _address for version in (4, 6) for kind in ("Address", "Network")},
    "operator.itemgetter": _getter,
    "re._compile": _pattern,
    "re.RegexFlag": _flag,
    "types.SimpleNamespace": _nothing,
    "fractions.Fraction": _fraction,
    **{f"{module}.{name}": _path for module in PATH_MODULES for name in PATH_NAMES},
}


def _ordered_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """torch sets `_metadata` on its state dicts. An attribute with the name of a method would be called instead."""
    must(type(state) is dict, "not a dictionary of attributes")
    must(not any(hasattr(OrderedDict, name) for name in state if type(name) is str), "an attribute replaces a method")


def _uuid_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    # A UUID may be a key, and its hash is the hash of this integer.
    must(type(state) is dict and set(state) <= {"int", "is_safe"}, "not a state of a UUID")
    must(type(state.get("int")) is int and type(state.get("is_safe", 0)) is int, "not a state of a UUID")


def _collection_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """The collections that are written in Python have one attribute with a plain collection."""
    name, kind = _COLLECTIONS[type(target).name]
    must(type(state) is dict and set(state) == {name} and type(state[name]) is kind, "not a state of a collection")
    must(name != "maps" or all(type(item) is dict for item in state[name]), "not a state of a collection")


_COLLECTIONS: dict[str, tuple[str, type]] = {
    "collections.ChainMap": ("maps", list),
    "collections.UserDict": ("data", dict),
    "collections.UserList": ("data", list),
}

PYTHON_STATES: dict[str, StateRule] = {
    "collections.OrderedDict": _ordered_state,
    "uuid.UUID": _uuid_state,
    **dict.fromkeys(_COLLECTIONS, _collection_state),
}
