"""Rules for the calls and states of Python's own types. Pure.

Owns the rules for the value types of the standard library: numbers, text, collections, dates, paths. They accept what
honest picklers write, and so bound what a load computes, hashes or calls. Knows no framework.

Value types that are made in C and have no attributes are made for real: to hash and to compare them costs a scan what
it costs a load, and a file that makes either endless ends at the limit of the scan.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ..arguments import is_count, is_global, is_object, is_text, must
from ..names import ERRORS, PATH_MODULES, PATH_NAMES
from ..stubs import BadArguments, Global, Recorder, Rule, StateRule, Stub, stand_in
from .numpy_rules import SCALARS
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


def _bytearray(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> bytearray:
    recorder.charge(callee, len(args[0]) if args and type(args[0]) in (str, bytes) else 0)
    if len(args) == 2 and type(args[0]) is str and args[1] in ("latin1", "latin-1"):
        return bytearray(args[0], "latin-1", "replace")
    must(args == () or (len(args) == 1 and type(args[0]) is bytes), "not bytes")
    return bytearray(args[0]) if args else bytearray()


_NUMBERS: frozenset[type] = frozenset({int, float, bool, type(None)})
_PLAIN: frozenset[type] = _NUMBERS | {str, bytes}


def _made(kind: Callable[..., Any], *args: Any, otherwise: str) -> Any:
    """Return what a value type makes of its arguments. Raise BadArguments if it refuses them."""
    try:
        return kind(*args)
    except (TypeError, ValueError, ArithmeticError):
        raise BadArguments(otherwise) from None


def _plain(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(_PLAIN.issuperset(map(type, args)), "not plain values")


def _value_of(kind: Callable[..., Any], accepted: frozenset[type], otherwise: str) -> Rule:
    """Return the rule for a value type that is made for real, of arguments of the accepted types."""

    def make(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
        # A file can have millions of them: no call that is not needed.
        if not accepted.issuperset(map(type, args)):
            raise BadArguments(otherwise)
        try:
            return kind(*args)
        except (TypeError, ValueError, ArithmeticError):
            raise BadArguments(otherwise) from None

    return make


def _slice(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    # A slice only keeps its parts. numpy's numbers are among them where a library computed them.
    must(all(type(arg) in _PLAIN or is_object(arg, *SCALARS) for arg in args), "not plain values")
    return _made(slice, *args, otherwise="not the parts of a slice")


_COLLECTIONS_OF_ITEMS = frozenset({list, tuple, dict, set, frozenset})


def _collection_of(kind: Callable[..., Any]) -> Rule:
    """Return the rule for a collection that is made of another one. Sets hash their items, as in a load."""

    def make(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
        must(len(args) <= 1 and _COLLECTIONS_OF_ITEMS.issuperset(map(type, args)), "not one collection")
        return _made(kind, *args, otherwise="an item cannot be hashed, or is no pair")

    return make


def _counter(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """Counters hash their items. Hash them here too, so that a stub among them becomes a finding."""
    must(len(args) <= 1 and _COLLECTIONS_OF_ITEMS.issuperset(map(type, args)), "not one collection")
    _made(dict.fromkeys, *(args or ((),)), otherwise="an item cannot be hashed")
    must(not args or type(args[0]) is not dict or all(type(count) in _COUNTS for count in args[0].values()),
         "a count is no number")  # fmt: skip
    recorder.charge(callee, _ITEM_BYTES * len(args[0]) if args else 0)


_COUNTS = frozenset({int, float, bool})


_ITEM_BYTES = 128
"""What an item of a dictionary needs, and its place in the order of one that keeps it."""


def _mapping(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """Dictionaries hash their keys. Protocols 0 and 1 write them as a list of pairs."""
    if not args:
        return
    must(len(args) <= 1 and _COLLECTIONS_OF_ITEMS.issuperset(map(type, args)), "not one collection")
    _made(dict, *args, otherwise="not pairs of keys and values")
    recorder.charge(callee, _ITEM_BYTES * len(args[0]))


def _fraction(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    if len(args) == 2:
        must(all(type(arg) is int and arg.bit_length() <= _FRACTION_BITS_MAX for arg in args), "not a quotient")
    else:
        # Python before 3.10 wrote text. '1e1000000000' would be computed digit by digit.
        must(len(args) == 1 and type(args[0]) is str and _FRACTION.match(args[0]) is not None, "not a quotient")
    return stand_in(callee, _made(Fraction, *args, otherwise="not a quotient"))


_FRACTION = re.compile(r"-?\d{1,4000}(/\d{1,4000})?\Z", re.ASCII)
_FRACTION_BITS_MAX = 1 << 16


def _deque(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2 and all(type(arg) in (list, tuple) for arg in args[:1]), "not a list")
    must(all(arg is None or type(arg) is int for arg in args[1:]), "not a length")
    recorder.charge(callee, 8 * len(args[0]) if args else 0)


PLAIN_TYPES = frozenset(
    f"builtins.{name}" for name in ("dict", "float", "frozenset", "int", "list", "set", "str", "tuple")
) | {"collections.OrderedDict", "collections.Counter"}


def _defaultdict(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 2, "too many arguments")
    # The factory is called for each missing key, so it may only be a plain type, or torch's function for a new state.
    factories = (*PLAIN_TYPES, "torch.amp.grad_scaler._refresh_per_optimizer_state")
    must(all(arg is None or is_global(arg, *factories) for arg in args[:1]), "the factory is not a plain type")
    must(all(type(arg) is dict for arg in args[1:]), "not a dictionary")
    recorder.charge(callee, _ITEM_BYTES * len(args[1]) if len(args) > 1 else 0)


def _timezone(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(1 <= len(args) <= 2 and type(args[0]) is timedelta, "not an offset")
    must(all(type(arg) is str for arg in args[1:]), "the name is not text")
    return _made(timezone, *args, otherwise="not an offset")


def _date_or_time(kind: Callable[..., Any]) -> Rule:
    def make(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
        if len(args) == 1 and type(args[0]) is bytes:
            # Nearly all dates are written as one argument of bytes, and a file can have millions.
            try:
                return kind(args[0])
            except (TypeError, ValueError):
                raise BadArguments("not the parts of a date or time") from None
        must(bool(args) and len(args) <= 8, "not the parts of a date or time")
        zones = [arg for arg in args if is_zone(arg)]
        must(len(zones) <= 1, "not the parts of a date or time")
        parts = [None if is_zone(arg) else arg for arg in args]
        must(_PARTS_OF_DATES.issuperset(map(type, parts)), "not the parts of a date or time")
        # Only zones of the standard library are real. Without its zone, a value has nearly the same hash.
        found = _made(kind, *(arg if type(arg) is timezone else part for arg, part in zip(args, parts, strict=True)),
                      otherwise="not the parts of a date or time")  # fmt: skip
        return found if all(type(zone) is timezone for zone in zones) else stand_in(callee, found)

    return make


_PARTS_OF_DATES = frozenset({int, bytes, type(None)})


def _path(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(all(is_text(arg) for arg in args), "not the parts of a path")


def _reconstructor(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """Protocols 0 and 1 make an instance with copyreg: as NEWOBJ does, or with a call of the base type."""
    must(len(args) == 3 and is_global(args[0]), "not (class, base, state)")
    cls, base, state = args
    must(is_global(base, *_BASES), "the base class is invalid")
    plain = type(state) in (dict, list, tuple, set) or (state is None and base.name == "builtins.object")
    must(plain, "the base value is not a plain collection")
    kind = _BASES[base.name]
    # The items of sets and the keys of dictionaries are hashed.
    kept = _made(kind, state, otherwise="an item cannot be hashed, or is no pair") if kind is not object else None
    # A tuple has its items from the call, as a class that is called has.
    cls.uses.update("nc" if kind is tuple else "n")
    made: Any = cls.__new__(cls)
    made.kept = kept
    return made


_BASES = {f"builtins.{kind.__name__}": kind for kind in (object, dict, list, set, tuple)}


def _newobj(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and is_global(args[0]), "not one class")
    return args[0].__new__(args[0])


def _pattern(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """A pattern is compiled when it is loaded, and here, as it can take long. DEBUG would print it."""
    must(len(args) == 2 and type(args[0]) in (str, bytes) and len(args[0]) <= _PATTERN_MAX, "not (pattern, flags)")
    must(type(args[1]) is int and args[1] >= 0 and not args[1] & ~_FLAGS, "not (pattern, flags)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(*args)
        except (re.error, ValueError, OverflowError):
            raise BadArguments("the pattern is invalid") from None
        finally:
            # No file leaves anything to the next.
            re.purge()


_PATTERN_MAX = 4096
_FLAGS = int(re.ASCII | re.IGNORECASE | re.LOCALE | re.MULTILINE | re.DOTALL | re.UNICODE | re.VERBOSE)


def _flag(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1 and type(args[0]) is int and 0 <= args[0] <= 1024, "not a number")


def _address(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 1, "not an address")
    must(is_count(args[0], 1 << 128) or (is_text(args[0]) and len(args[0]) <= _ADDRESS_MAX), "not an address")


_ADDRESS_MAX = 64


def _array(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """Protocols 0 to 2 write a list of numbers, later ones bytes and the number of their format."""
    if len(args) == 2:
        must(args[0] in _ARRAY_CODES and type(args[1]) is list, "not (type, numbers)")
        must(all(type(item) in (int, float) for item in args[1]), "not (type, numbers)")
        recorder.charge(callee, 8 * len(args[1]))
        return
    must(len(args) == 4 and is_global(args[0], "array.array"), "not (class, type, format, bytes)")
    must(
        args[1] in _ARRAY_CODES and is_count(args[2], 17) and type(args[3]) is bytes, "not (class, type, format, bytes)"
    )
    recorder.charge(callee, 8 * len(args[3]))


_ARRAY_CODES = tuple("bBhHiIlLqQfd")


def _nothing(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(args == (), "too many arguments")


def _getter(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """A getter keeps what it will look up. A load never calls one: to call what a pickle made is refused."""
    for arg in args:
        keys = arg if type(arg) is list else (arg,)
        must(all(type(key) in (int, str) for key in keys), "not names or numbers")
    must(len(args) > 0, "not names or numbers")


PYTHON_CALLS: dict[str, Rule] = {
    "_codecs.encode": _encode,
    "builtins.bytes": _bytes,
    "builtins.slice": _slice,
    "builtins.bytearray": _bytearray,
    **{f"builtins.{name}": _plain for name in ERRORS},
    **{f"builtins.{kind.__name__}": _value_of(kind, _PLAIN, "not plain values") for kind in (bool, str)},
    # Text and bytes would be parsed, and these types would make a large object from them.
    **{f"builtins.{kind.__name__}": _value_of(kind, _NUMBERS, "not numbers") for kind in (complex, float, int, range)},
    **{f"builtins.{kind.__name__}": _collection_of(kind) for kind in (dict, frozenset, list, set, tuple)},
    "collections.Counter": _counter,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _defaultdict,
    "collections.deque": _deque,
    "copyreg.__newobj__": _newobj,
    "copyreg._reconstructor": _reconstructor,
    **{f"datetime.{kind.__name__}": _date_or_time(kind) for kind in (date, datetime, time)},
    "datetime.timedelta": _value_of(timedelta, frozenset({int, float}), "not numbers"),
    "datetime.timezone": _timezone,
    "decimal.Decimal": _value_of(Decimal, frozenset({str}), "not a number in text"),
    "array.array": _array,
    "array._array_reconstructor": _array,
    "http.HTTPStatus": _flag,
    **{f"ipaddress.IPv{version}{kind}": _address for version in (4, 6) for kind in ("Address", "Network")},
    "argparse.Namespace": _nothing,
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


def _uuid_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    # A UUID may be a key, and its hash is the hash of this integer.
    must(type(state) is dict and set(state) <= {"int", "is_safe"}, "not a state of a UUID")
    must(is_count(state.get("int"), (1 << 128) - 1) and is_count(state.get("is_safe", 0), 2), "not a state of a UUID")
    must(not hasattr(target, "real"), "it is set a second time")
    target.real = state["int"]


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
