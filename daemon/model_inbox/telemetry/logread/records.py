"""Records of the log: what one line says, from a JSON file or from systemd's journal, and which records are wanted.

Owns the value and its parsing. Pure: lines come from `sources`.
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
_PROCESS_EXITED = "98e322203f7a4ed290d09fe03c09fe15"  # systemd's MESSAGE_ID: a process of a unit ended
_LEVEL_OF_PRIORITY = {7: "debug", 6: "info", 5: "info", 4: "warning", 3: "error"}
# Fields whose values are text even where they look like JSON: a stem may be 2025, an owner 1000.
_TEXTS = frozenset(
    {
        *("drop_id", "model_id", "stem", "name", "owner", "version", "sha256", "scaler_sha256", "currency_pair"),
        *("model_type", "path", "config", "inbox", "registry", "rejected_dir", "cause", "problem", "hint", "signal"),
        *("mode", "integrity", "watcher"),
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log. `fields` are those beside timestamp, level and event."""

    at: datetime
    level: str
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a field as text, or None where there is none."""
        value = self.fields.get(name)
        return None if value is None else str(value)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a line of a JSON log has it."""
        return {"timestamp": millisecond_stamp(self.at), "level": self.level, "event": self.event, **self.fields}


def parse_line(line: bytes | str) -> Record | None:
    """Return what a line of a JSON log says; None for one that is torn or no line of ours."""
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
    """Return what an entry of `journalctl -o json --all` says; None for one that is neither ours nor of our unit."""
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
    """Return a value of journalctl's JSON as text: it may be a list of bytes, or of several values."""
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
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are asked for; all of what is given must hold. Events are patterns, `level` is the least."""

    events: tuple[str, ...] = ()
    level: str = "debug"
    drops: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def is_about(self) -> bool:
        """Tell whether it asks for drops, models or pairs, whose lines are found by what belongs to them."""
        return bool(self.drops or self.models or self.pairs)

    def in_time(self, record: Record) -> bool:
        """Tell whether a record is of the time that is asked for."""
        return (self.since is None or record.at >= self.since) and (self.until is None or record.at < self.until)

    def is_kind(self, record: Record) -> bool:
        """Tell whether a record is of the events and levels that are asked for."""
        known = record.level in LEVELS
        return (not known or LEVELS.index(record.level) >= LEVELS.index(self.level)) and (
            not self.events or any(fnmatchcase(record.event, pattern) for pattern in self.events)
        )


def belonging(records: Iterable[Record], wanted: Wanted) -> list[Record]:
    """Return the records that are asked for, in the order of time.

    Those of a drop are all that carry its drop_id, and what was said of its stem before it had one. Those of a model
    are all that carry its id, and those of the drops that it came with. Those of a pair are those of its models.
    """
    ordered = sorted((record for record in records if wanted.in_time(record)), key=lambda record: record.at)
    if wanted.is_about():
        ordered = _about(ordered, wanted)
    return [record for record in ordered if wanted.is_kind(record)]


def _about(records: Sequence[Record], wanted: Wanted) -> list[Record]:
    ids = drop_ids(records)
    models, drops = set(wanted.models), set(wanted.drops)
    models |= {
        model_id
        for record in records
        if record.text("currency_pair") in wanted.pairs and (model_id := record.text("model_id")) is not None
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
    """Return for each record the drop that it is about: its own drop_id, or the next one of its stem."""
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
