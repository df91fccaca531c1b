"""Rules for time zones: those of the standard library, of pytz and of dateutil. Pure.

Owns what a zone is, so that dates of every library accept the same ones. A name of a zone is a short relative path:
its library looks for a file of that name in its own folders.
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from typing import Any

from ..arguments import is_count, is_global, is_object, is_text, must, only_scalars
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of

__all__ = ["UNPICKLE_ZONE", "ZONE_CALLS", "ZONE_STATES", "is_zone", "is_zone_name"]

UNPICKLE_ZONE = "zoneinfo.ZoneInfo._unpickle"
"""The class method of ZoneInfo that its pickles call. `getattr` gets it; no pickle names it."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,40}(/[A-Za-z0-9_+-]{1,40}){0,3}\Z")
_TZFILES = tuple(f"dateutil.tz.{module}.tzfile" for module in ("_tzfile", "tz"))
_DATEUTIL_STATES = tuple(
    f"dateutil.tz.{name}"
    for name in ("_tzfile.tzfile", "tz.tzfile", "tz._ttinfo", "tz.tzlocal", "tz.tzrange", "tz.tzstr")
)
_ZONES = frozenset(
    {
        "zoneinfo.ZoneInfo",
        *(f"pytz.{name}" for name in ("_p", "_UTC", "FixedOffset")),
        "dateutil.tz._tzfile._unpickle",
        *(f"dateutil.tz.tz.{name}" for name in ("tzutc", "tzoffset")),
        *_DATEUTIL_STATES,
    }
) - {"dateutil.tz.tz._ttinfo"}
_DAY_SECONDS = 86400
_ITEMS_MAX = 10_000


def is_zone(value: Any) -> bool:
    """Return whether this is a time zone."""
    return type(value) is timezone or (isinstance(value, Stub) and type(value).name in _ZONES)


def is_zone_name(value: Any) -> bool:
    """Return whether this can be the name of a time zone, or an offset such as +01:00."""
    return type(value) is str and (_NAME.match(value) is not None or re.match(r"[+-]\d\d:\d\d\Z", value) is not None)


def _unpickle_zone(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 2 and is_zone_name(args[0]) and args[1] in (0, 1), "not (name, flag)")
    return instance_of(recorder.named("zoneinfo.ZoneInfo"))


# --- pytz ----------------------------------------------------------------------------------------------------


def _pytz(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) in (1, 4) and is_zone_name(args[0]), "not the name of a zone")
    must(all(type(arg) is int and abs(arg) <= _DAY_SECONDS for arg in args[1:3]), "not an offset")
    must(all(is_text(arg) for arg in args[3:]), "not an abbreviation")


def _no_arguments(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(args == (), "too many arguments")


def _fixed_offset(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    # A second argument would be taken for the cache of the function.
    must(len(args) == 1 and type(args[0]) is int and abs(args[0]) < 1440, "not an offset")


# --- dateutil ------------------------------------------------------------------------------------------------


def _is_offset(value: Any) -> bool:
    return type(value) is timedelta or (type(value) in (int, float) and abs(value) <= _DAY_SECONDS)


def _tzoffset(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) == 2 and (args[0] is None or is_text(args[0])) and _is_offset(args[1]), "not (name, offset)")


def _tzfile(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Before dateutil 2.10 the class is called without a file: it would read a file that it gets."""
    must(len(args) == 2 and args[0] is None and (args[1] is None or is_text(args[1])), "not (None, name)")


def _unpickle_tzfile(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 4 and is_global(args[0], *_TZFILES), "not (class, name, file name, data)")
    must(all(part is None or is_text(part) for part in args[1:3]), "not (class, name, file name, data)")
    data = args[3]
    must(type(data) is tuple and len(data) == 6, "not the data of a zone")
    must(type(data[5]) in (bytes, str, type(None)) and len(data[5] or b"") <= 200, "not the data of a zone")
    must(
        all(type(part) in (list, tuple) and len(part) <= _ITEMS_MAX and only_scalars(tuple(part)) for part in data[:5]),
        "not the data of a zone",
    )
    must(all(is_count(index, len(data[2]) - 1) for index in data[0]), "not the data of a zone")


def _is_part_of_zone(value: Any) -> bool:
    if isinstance(value, Stub):
        return type(value).name in (
            "dateutil.tz.tz._ttinfo",
            "dateutil.relativedelta.relativedelta",
        )
    if type(value) in (list, tuple):
        return len(value) <= _ITEMS_MAX and all(_is_part_of_zone(item) for item in value)
    return type(value) in (int, float, str, bool, type(None), timedelta)


def _dateutil_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """dateutil computes with the parts of a zone when an aware date is hashed or compared."""
    for part in state if type(state) is tuple else (state,):
        must(part is None or type(part) is dict, "not a state that dateutil writes")
        for name, value in (part or {}).items():
            must(
                type(name) is str
                and name.startswith(
                    ("_", "std_", "dst_", "hasdst", "offset", "delta", "isdst", "abbr", "isstd", "isgmt", "dstoffset")
                ),
                "not a state that dateutil writes",
            )
            must(_is_part_of_zone(value), "a part of the zone is no plain value")


def _relativedelta_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a state that dateutil writes")
    for name, value in state.items():
        is_weekday = name == "weekday" and is_object(value, *_WEEKDAYS)
        must(is_weekday or type(value) in (int, float, type(None)), "not a state that dateutil writes")


def _weekday_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    slots = state[1] if type(state) is tuple and len(state) == 2 and state[0] is None else state
    must(type(slots) is dict and set(slots) <= {"weekday", "n"}, "not a state that dateutil writes")
    must(all(type(value) in (int, type(None)) for value in slots.values()), "not a state that dateutil writes")


_WEEKDAYS = ("dateutil._common.weekday", "dateutil.relativedelta.weekday")

ZONE_CALLS: dict[str, Rule] = {
    UNPICKLE_ZONE: _unpickle_zone,
    "pytz._p": _pytz,
    "pytz._UTC": _no_arguments,
    "pytz.FixedOffset": _fixed_offset,
    "dateutil.tz.tz.tzutc": _no_arguments,
    "dateutil.tz.tz.tzoffset": _tzoffset,
    "dateutil.tz._tzfile._unpickle": _unpickle_tzfile,
    **dict.fromkeys(_TZFILES, _tzfile),
}

ZONE_STATES: dict[str, StateRule] = {
    **dict.fromkeys(_DATEUTIL_STATES, _dateutil_state),
    "dateutil.relativedelta.relativedelta": _relativedelta_state,
    **dict.fromkeys(_WEEKDAYS, _weekday_state),
}
