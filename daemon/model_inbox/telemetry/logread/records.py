"""Records of the log: parsing lines of a JSON file or of systemd's journal, and selecting records.

Owns `Record`, its two formats, and which records belong to a drop, a model or a pair. Never reads a file: `sources`
does. Pure.

A line with a stem and no drop_id (a waiting drop has none yet) belongs to the next drop of that stem.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import orjson

from ...base.instants import millisecond_stamp

__all__ = ["LEVELS", "UNIT_EXITED", "UNIT_SAID", "Record", "Wanted", "belonging", "parse_entry", "parse_line"]

LEVELS = ("debug", "info", "warning", "error", "critical")
UNIT_EXITED = "unit.exited"
UNIT_SAID = "unit.said"
# systemd's MESSAGE_ID for "a process of a unit ended".
_PROCESS_EXITED = "98e322203f7a4ed290d09fe03c09fe15"
_LEVEL_OF_PRIORITY = {7: "debug", 6: "info", 5: "info", 4: "warning", 3: "error"}
# Fields whose values are text even if they look like JSON: a stem can be 2025, an owner 1000.
_TEXTS = frozenset(
    {
        *("drop_id", "model_id", "stem", "name", "owner", "version", "sha256", "scaler_sha256", "currency_pair"),
        *("model_type", "path", "config", "inbox", "registry", "rejected_dir", "cause", "problem", "hint", "signal"),
        *("mode", "integrity", "watcher", "variant"),
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log. `fields` are those besides timestamp, level and event."""

    at: datetime
    level: str
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a field as text, or None if the record lacks it."""
        value = self.fields.get(name)
        return None if value is None else str(value)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as the object of a JSON log line."""
        return {"timestamp": millisecond_stamp(self.at), "level": self.level, "event": self.event, **self.fields}


def parse_line(line: bytes | str) -> Record | None:
    """Parse a line of a JSON log. Return None for an incomplete line or one of another program."""
    try:
        values = orjson.loads(line)
        at = datetime.fromisoformat(values.pop("timestamp"))
        level, event = values.pop("level"), values.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(level, str) or not isinstance(event, str):
        return None
    return Record(at if at.tzinfo is not None else at.replace(tzinfo=UTC), level, event, values)


def parse_entry(line: bytes | str) -> Record | None:
    """Parse an entry of `journalctl -o json --all`. Return None for one that is not about our unit."""
    try:
        entry = {name: _text_of(value) for name, value in orjson.loads(line).items()}
        at = _instant_of(entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if "EVENT" in entry and "LEVEL" in entry:
        own = {
            name.lower(): _value_of(name.lower(), value)
            for name, value in entry.items()
            if not name.startswith("_") and name not in _OTHERS
        }
        first = {name: own.pop(name) for name in ("drop_id", "model_id") if name in own}
        return Record(at, entry["LEVEL"], entry["EVENT"], first | dict(sorted(own.items())))
    if "UNIT" not in entry or entry.get("_PID") != "1":
        return None
    priority = int(entry.get("PRIORITY", "6")) if entry.get("PRIORITY", "6").isdecimal() else 6
    level = _LEVEL_OF_PRIORITY.get(priority, "critical")
    message = entry.get("MESSAGE", "")
    if entry.get("MESSAGE_ID") == _PROCESS_EXITED:
        if entry.get("COMMAND", "ExecStart") != "ExecStart":
            return None
        ending = {"code": entry.get("EXIT_CODE"), "status": entry.get("EXIT_STATUS"), "message": message}
        return Record(at, level, UNIT_EXITED, ending)
    return Record(at, level, UNIT_SAID, {"message": message})


_OTHERS = frozenset({"EVENT", "LEVEL", "MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"})


def _text_of(value: object) -> str:
    """Return a value of journalctl's JSON as text. It can be a list of bytes, or of several values."""
    if isinstance(value, list):
        if value and all(isinstance(item, int) for item in value):
            return bytes(value).decode("utf-8", "backslashreplace")
        return _text_of(value[0]) if value else ""
    return "" if value is None else str(value)


def _instant_of(entry: Mapping[str, str]) -> datetime:
    micros = int(entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"])
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _value_of(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@dataclass(frozen=True, slots=True)
class Wanted:
    """The conditions for selecting records; all that are given must be true.

    `events` are patterns, `level` is the lowest level, and `until` is exclusive.
    """

    events: tuple[str, ...] = ()
    level: str = "debug"
    drops: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def names_subjects(self) -> bool:
        """Return whether it selects by drops, models, pairs or types, for which related records are searched."""
        return bool(self.drops or self.models or self.pairs or self.types)

    def in_time(self, record: Record) -> bool:
        """Return whether a record is in the period."""
        return (self.since is None or record.at >= self.since) and (self.until is None or record.at < self.until)

    def is_kind(self, record: Record) -> bool:
        """Return whether a record has one of the events and a sufficient level."""
        known = record.level in LEVELS
        return (not known or LEVELS.index(record.level) >= LEVELS.index(self.level)) and (
            not self.events or any(fnmatchcase(record.event, pattern) for pattern in self.events)
        )


def belonging(records: Iterable[Record], wanted: Wanted) -> list[Record]:
    """Return the selected records in the order of time.

    The records of a drop are those with its drop_id, and those with its stem before it had one. The records of a model
    are those with its model_id, and those of its drops. The records of a pair or a type are those of its models.
    """
    ordered = sorted((record for record in records if wanted.in_time(record)), key=lambda record: record.at)
    if wanted.names_subjects():
        ordered = _about(ordered, wanted)
    return [record for record in ordered if wanted.is_kind(record)]


def _about(records: Sequence[Record], wanted: Wanted) -> list[Record]:
    ids = drop_ids(records)
    models, drops = set(wanted.models), set(wanted.drops)
    models |= {
        model_id
        for record in records
        if (wanted.pairs or wanted.types)
        and (not wanted.pairs or record.text("currency_pair") in wanted.pairs)
        and (not wanted.types or record.text("model_type") in wanted.types)
        and (model_id := record.text("model_id")) is not None
    }
    came_with = {
        drop_id
        for record, drop_id in zip(records, ids, strict=True)
        if drop_id is not None and record.text("model_id") in models
    }
    return [
        record
        for record, drop_id in zip(records, ids, strict=True)
        if record.text("model_id") in models
        or (drop_id is not None and (drop_id in came_with or drop_id in drops))
        or record.text("stem") in drops
        or record.text("name") in drops
    ]


def drop_ids(records: Sequence[Record]) -> list[str | None]:
    """Return the drop_id for each record: its own, or that of the next drop with its stem."""
    found: list[str | None] = [record.text("drop_id") for record in records]
    following: dict[str, str] = {}
    for at in range(len(records) - 1, -1, -1):
        stem, drop_id = records[at].text("stem"), found[at]
        if stem is None:
            continue
        if drop_id is not None:
            following[stem] = drop_id
        else:
            found[at] = following.get(stem)
    return found
