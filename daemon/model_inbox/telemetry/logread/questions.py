"""What the log says: lines -> records -> answers.

Owns the two forms in which a line comes back (JSON of a file, JSON of journalctl), which lines belong to a drop or a
model, what each event is in words, and the answers to the questions that people ask of a log. Never opens a file,
never asks the clock: whoever calls it brings the lines and says what time it is.

A line that says only a stem (a drop that waits has no drop_id yet) belongs to the next drop of that stem.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import orjson

__all__ = [
    "LEVELS",
    "QUESTIONS",
    "Question",
    "Record",
    "Wanted",
    "belonging",
    "in_words",
    "needed_events",
    "parse_entry",
    "parse_line",
]

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
_ENDS = frozenset({"drop.registered", "drop.duplicate", "drop.rejected", "drop.put_back", "drop.recovered"})
# How long after the last complaint of its kind a failure that repeats itself counts as going on.
_REPEATS_SECONDS = {"registry.checkpoint_failed": 60.0, "retention.failed": 3 * 3600.0}
_LATE = 10.0  # by how many seconds a retry may come later than was said


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
        return {"timestamp": _stamp(self.at), "level": self.level, "event": self.event, **self.fields}


# --- lines ------------------------------------------------------------------------------------------------------------


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


# --- which lines ------------------------------------------------------------------------------------------------------


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
    drop_ids = _drop_ids(records)
    models, drops = set(wanted.models), set(wanted.drops)
    models |= {
        model_id
        for record in records
        if record.text("currency_pair") in wanted.pairs and (model_id := record.text("model_id")) is not None
    }
    came_with = {
        drop_id
        for record, drop_id in zip(records, drop_ids, strict=True)
        if drop_id is not None and record.text("model_id") in models
    }
    return [
        record
        for record, drop_id in zip(records, drop_ids, strict=True)
        if record.text("model_id") in models
        or (drop_id is not None and (drop_id in came_with or drop_id in drops))
        or record.text("stem") in drops
        or record.text("name") in drops
    ]


def _drop_ids(records: Sequence[Record]) -> list[str | None]:
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


# --- in words ---------------------------------------------------------------------------------------------------------


def in_words(record: Record) -> str:
    """Return what a record says, for people: what it is about, and then what happened."""
    fields = record.fields
    about = fields.get("model_id") or fields.get("stem") or fields.get("name") or ""
    words = _WORDS.get(record.event)
    said = words(fields) if words is not None else _plainly(fields)
    return ": ".join(str(part) for part in (about, said) if part)


def _plainly(fields: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in fields.items() if name not in ("model_id", "stem", "name")}
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_short(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items()) or "none"
    return str(value)


def _seconds(value: object) -> str:
    return f"{value:.3g} s" if isinstance(value, (int, float)) else "?"


def _by(fields: Mapping[str, Any]) -> str:
    return f" of {fields['owner']}" if fields.get("owner") else ""


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "drop.registered": lambda f: (
        f"registered from a drop{_by(f)} for {f.get('currency_pair')} {f.get('model_type')}, {f.get('bytes')} bytes, "
        f"in {_seconds(f.get('seconds'))} ({f.get('drop_id')})"
    ),
    "drop.duplicate": lambda f: f"registered before with the same bytes; the drop{_by(f)} changed nothing",
    "drop.rejected": lambda f: f"a drop{_by(f)} was rejected ({f.get('drop_id')}): {_short(f.get('problems') or '?')}",
    "drop.deferred": lambda f: (
        f"cannot be decided now, attempt {f.get('attempt', '?')}: {f.get('cause')}"
        + (f"; again in {_seconds(f['retry_in_seconds'])}" if "retry_in_seconds" in f else "")
    ),
    "drop.arriving": lambda f: f"is on its way: {_short(f.get('problems') or '?')}",
    "drop.waiting": lambda f: f"waits: {_short(f.get('problems') or '?')}",
    "drop.stale": lambda f: f"waits for {_seconds(f.get('age_seconds'))} already: {_short(f.get('problems') or '?')}",
    "drop.put_back": lambda f: f"is not whole after all and was put back: {_short(f.get('problems') or '?')}",
    "drop.recovered": lambda f: f"had been registered before the daemon ended (line {f.get('sequence')}); now answered",
    "entry.retired": lambda f: f"retired to the trash: {_short(f.get('reasons') or '?')}",
    "entry.purged": lambda f: f"removed for good from the trash, {f.get('bytes')} bytes",
    "daemon.started": lambda f: f"model-inbox {f.get('version')} started (process {f.get('pid')})",
    "daemon.ready": lambda f: f"takes drops from now on, after {_seconds(f.get('seconds'))}",
    "daemon.stopping": lambda f: f"was asked to end ({f.get('signal')})",
    "daemon.stopped": lambda f: f"ended as asked, after {_seconds(f.get('uptime_seconds'))}",
    "daemon.failed": lambda f: f"cannot go on: {f.get('problem')}. {f.get('hint') or ''}".rstrip(),
    "inbox.watch_lost": lambda f: f"file events do not reach us: {f.get('cause')}",
    "inbox.watch_restored": lambda f: f"file events reach us again ({f.get('watcher')})",
    UNIT_EXITED: lambda f: str(f.get("message")),
    UNIT_SAID: lambda f: str(f.get("message")),
    "history.changed": lambda f: f"{f.get('operation')} by {f.get('actor')}: {f.get('reason') or 'no reason given'}",
}


# --- questions --------------------------------------------------------------------------------------------------------

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the log. `events` are all that the answer needs; `answer` makes rows of those records.

    `nothing` is what is said where there are no rows. The columns are those of the table for people: title and key.
    """

    asks: str
    events: tuple[str, ...]
    answer: Callable[[Sequence[Record], datetime], list[Row]]
    columns: tuple[tuple[str, str], ...]
    nothing: str


def _row(record: Record, *names: str) -> Row:
    return {"at": _stamp(record.at), **{name: record.fields.get(name) for name in names}}


def _rejected(records: Sequence[Record], _now: datetime) -> list[Row]:
    names = ("owner", "stem", "drop_id", "model_id", "codes", "problems")
    return [_row(record, *names) for record in records if record.event == "drop.rejected"]


def _why(records: Sequence[Record], _now: datetime) -> list[Row]:
    """The last word on each drop that has no model to show for it: why it was rejected, or what it waits for."""
    last: dict[str, Record] = {}
    for record, drop_id in zip(records, _drop_ids(records), strict=True):
        subject = record.text("stem") or record.text("name") or drop_id
        if subject is not None:
            last.pop(subject, None)
            last[subject] = record
    rows = []
    for record in last.values():
        if record.event in ("drop.registered", "drop.duplicate", "drop.recovered"):
            continue
        problems = record.fields.get("problems") or [record.fields.get("problem") or record.fields.get("cause")]
        rows.append(
            _row(record, "owner", "stem", "drop_id")
            | {"state": record.event.partition(".")[2], "problems": [str(problem) for problem in problems]}
        )
    return rows


def _retired(records: Sequence[Record], _now: datetime) -> list[Row]:
    rows: list[Row] = []
    open_rows: dict[str, Row] = {}
    for record in records:
        model_id = record.text("model_id") or ""
        if record.event == "entry.retired":
            names = ("model_id", "currency_pair", "model_type", "reasons", "bytes")
            open_rows[model_id] = _row(record, *names) | {"purged_at": None}
            rows.append(open_rows[model_id])
        elif record.event == "entry.purged":
            row = open_rows.pop(model_id, None)
            if row is None:  # retired before the time that is asked for
                row = {"at": None, "model_id": model_id, "bytes": record.fields.get("bytes"), "reasons": None}
                rows.append(row)
            row["purged_at"] = _stamp(record.at)
    return rows


def _durations(records: Sequence[Record], _now: datetime) -> list[Row]:
    """By step and in all, in seconds, of the drops that were registered, duplicate or rejected."""
    taken: dict[str, list[float]] = {}
    for record in records:
        steps = record.fields.get("steps")
        for step, seconds in steps.items() if isinstance(steps, dict) else ():
            if isinstance(seconds, (int, float)):
                taken.setdefault(str(step), []).append(seconds)
        whole = record.fields.get("seconds")
        if isinstance(whole, (int, float)):
            taken.setdefault("in all", []).append(whole)
    order = [*sorted(taken.keys() - {"in all"}, key=lambda step: -sum(taken[step])), *taken.keys() & {"in all"}]
    return [
        {
            "step": step,
            "drops": len(taken[step]),
            "p50": _percentile(taken[step], 50),
            "p99": _percentile(taken[step], 99),
            "max": max(taken[step]),
        }
        for step in order
    ]


def _percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least so many percent of the values do not exceed (the nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def _retries(records: Sequence[Record], now: datetime) -> list[Row]:
    """What could not be done and has neither ended nor been given up since."""
    going_on: dict[str, Row] = {}
    ended: set[str] = set()
    for record in records:
        key = record.text("drop_id") or record.event
        if record.event == "drop.deferred":
            wait = record.fields.get("retry_in_seconds")
            # What ended lacks its receipt alone. That it was written no line says; that it was not, the next one does.
            if key in ended and isinstance(wait, (int, float)) and now > record.at + timedelta(seconds=wait + _LATE):
                going_on.pop(key, None)
                continue
            since = going_on.get(key, {}).get("since", _stamp(record.at))
            going_on[key] = {
                "since": since,
                "what": record.text("stem") or "what an earlier daemon left",
                "drop_id": record.text("drop_id"),
                "attempt": record.fields.get("attempt"),
                "cause": record.text("cause"),
                "again_at": _stamp(record.at + timedelta(seconds=wait)) if isinstance(wait, (int, float)) else None,
            }
        elif record.event in _ENDS:
            ended.add(key)
            going_on.pop(key, None)
            going_on.pop("drop.deferred", None)
        elif record.event in _REPEATS_SECONDS:
            if (now - record.at).total_seconds() > _REPEATS_SECONDS[record.event]:
                continue
            since = going_on.get(key, {}).get("since", _stamp(record.at))
            what = "the registry's JSON file" if record.event.startswith("registry") else "the retention rules"
            going_on[key] = {
                "since": since,
                "what": what,
                "drop_id": None,
                "attempt": None,
                "cause": record.text("problem"),
                "again_at": None,
            }
    return list(going_on.values())


def _changes(records: Sequence[Record], _now: datetime) -> list[Row]:
    """Each start or reload that changed a setting, and each file that was refused. Two starts are compared, too."""
    rows: list[Row] = []
    before: Mapping[str, Any] | None = None
    for record in records:
        if record.event == "config.refused":
            rows.append(_row(record) | {"what": "refused", "changed": {}, "problems": record.fields.get("problems")})
            continue
        settings = record.fields.get("settings")
        if not isinstance(settings, dict):
            continue
        if before is None:  # what held before is not in this part of the log
            changed = {str(name): ["?", settings.get(name)] for name in record.fields.get("changed") or ()}
        else:
            changed = {name: [before.get(name), settings.get(name)] for name in dict.fromkeys([*before, *settings])}
            changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
        before = settings
        if not changed:
            continue
        what = "restarted" if record.event == "daemon.started" else "reloaded"
        rows.append(
            _row(record)
            | {
                "what": what,
                "changed": changed,
                "restart_needed": record.fields.get("restart_needed") or [],
                "problems": [],
            }
        )
    return rows


def _outages(records: Sequence[Record], now: datetime) -> list[Row]:
    """When no drops were taken (`down`) or no file events came (`deaf`). `to` is None for what goes on.

    A daemon that died without a word went down, at the earliest, with the last thing that it said: `exactly` is then
    false.
    """
    rows: list[Row] = []
    deaf: Row | None = None
    down: Row | None = None
    last: Record | None = None
    running = hung = False

    def end(row: Row, at: datetime | None) -> None:
        row["to"] = _stamp(at) if at is not None else None
        row["seconds"] = round(((at or now) - datetime.fromisoformat(row["from"])).total_seconds(), 3)
        rows.append(row)

    for record in records:
        event = record.event
        if event in ("daemon.stopping", "daemon.stopped", "daemon.failed", UNIT_EXITED) or (
            event == "daemon.started" and (running or last is not None) and down is None
        ):
            if down is None:
                cause, since, exactly = _cause_of(record, last)
                cause = f"hung; {cause}" if hung else cause
                down = {"kind": "down", "from": _stamp(since), "exactly": exactly, "cause": cause}
            elif event == "daemon.failed":
                down["cause"] = _cause_of(record, last)[0]
            hung = False
            running = False
            if deaf is not None:
                end(deaf, record.at)
                deaf = None
        elif event == "daemon.ready":
            if down is not None:
                end(down, record.at)
                down = None
            running = True
        elif event == "inbox.watch_lost" and deaf is None:
            deaf = {"kind": "deaf", "from": _stamp(record.at), "exactly": True, "cause": record.text("cause")}
        elif event == "inbox.watch_restored" and deaf is not None:
            end(deaf, record.at)
            deaf = None
        elif event == UNIT_SAID and "Watchdog timeout" in str(record.fields.get("message")):
            hung = True
        if not event.startswith("unit."):
            last = record
    for row in (deaf, down):
        if row is not None:
            end(row, None)
    return sorted(rows, key=lambda row: str(row["from"]))


def _cause_of(record: Record, last: Record | None) -> tuple[str, datetime, bool]:
    """Return why the daemon is down, since when, and whether that is known exactly."""
    if record.event in ("daemon.stopping", "daemon.stopped"):
        return f"asked to end ({record.text('signal') or 'as asked'})", record.at, True
    if record.event == "daemon.failed":
        return record.text("problem") or "", record.at, True
    if record.event == UNIT_EXITED:
        return f"ended: {record.text('code')}, {record.text('status')}", record.at, True
    assert last is not None  # noqa: S101  # a start is an outage only where something was said before it
    return "ended without a word (killed, or the machine went down)", last.at, False


_DROPS = ("drop.registered", "drop.duplicate", "drop.rejected")
_DAEMON = ("daemon.started", "daemon.ready", "daemon.stopping", "daemon.stopped", "daemon.failed", UNIT_EXITED)

QUESTIONS: dict[str, Question] = {
    "why": Question(
        "Why was a drop rejected, or what does it wait for? (with --drop)",
        ("drop.*",),
        _why,
        (("WHEN (UTC)", "at"), ("OWNER", "owner"), ("DROP", "stem"), ("STATE", "state"), ("WHY", "problems")),
        "No such drop was refused or waits.",
    ),
    "rejected": Question(
        "What was rejected, and whose?",
        ("drop.rejected",),
        _rejected,
        (("WHEN (UTC)", "at"), ("OWNER", "owner"), ("DROP", "stem"), ("CODES", "codes"), ("DROP_ID", "drop_id")),
        "Nothing was rejected.",
    ),
    "retired": Question(
        "What did retention retire and purge, and why?",
        ("entry.retired", "entry.purged"),
        _retired,
        (
            *(("RETIRED (UTC)", "at"), ("PURGED", "purged_at"), ("MODEL", "model_id"), ("PAIR", "currency_pair")),
            ("WHY", "reasons"),
        ),
        "Nothing was retired or purged by the rules.",
    ),
    "durations": Question(
        "How long do drops take, by step?",
        _DROPS,
        _durations,
        (("STEP", "step"), ("DROPS", "drops"), ("P50 (s)", "p50"), ("P99 (s)", "p99"), ("MAX (s)", "max")),
        "No drop was taken.",
    ),
    "retries": Question(
        "What failed and is being retried?",
        ("drop.deferred", *sorted(_ENDS), *_REPEATS_SECONDS),
        _retries,
        (
            *(("SINCE (UTC)", "since"), ("WHAT", "what"), ("ATTEMPT", "attempt"), ("AGAIN AT", "again_at")),
            ("CAUSE", "cause"),
        ),
        "Nothing is being retried.",
    ),
    "changes": Question(
        "What changed in the configuration?",
        ("daemon.started", "config.loaded", "config.refused"),
        _changes,
        (("WHEN (UTC)", "at"), ("WHAT", "what"), ("CHANGED", "changed"), ("PROBLEMS", "problems")),
        "Nothing changed.",
    ),
    "outages": Question(
        "When was the daemon down or deaf?",
        (*_DAEMON, UNIT_SAID, "inbox.watch_lost", "inbox.watch_restored", "drop.*", "registry.opened"),
        _outages,
        (("FROM (UTC)", "from"), ("TO", "to"), ("SECONDS", "seconds"), ("KIND", "kind"), ("CAUSE", "cause")),
        "It was neither down nor deaf.",
    ),
}
"""The questions by name. What happened to one drop or model is no question of these: that is its timeline."""


def needed_events(names: Collection[str]) -> tuple[str, ...]:
    """Return the events that journalctl can be asked for by name; none where a pattern needs all."""
    return () if any("*" in name or name.startswith("unit.") for name in names) else tuple(names)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
