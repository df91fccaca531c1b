"""Answers from the records of the log, as tables.

Owns the questions of `model-inbox logs` and how each is answered. Never reads a file or a clock: records and the
current time are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...base.instants import millisecond_stamp
from .records import UNIT_EXITED, UNIT_SAID, Record, drop_ids

__all__ = ["NOT_RUNNING", "QUESTIONS", "Question", "needed_events"]

NOT_RUNNING = "unit.not_running"
"""The event of a record that is not of the log: it is known that no daemon runs at that time."""

_ENDS = frozenset({"drop.registered", "drop.duplicate", "drop.rejected", "drop.put_back", "drop.recovered"})
# Failures that are logged at each attempt: what fails, and for how many seconds after its last line it still counts.
_REPEATS: dict[str, tuple[str, float]] = {
    "drop.recovery_failed": ("the unfinished drops of an earlier run", 60.0),
    "registry.checkpoint_failed": ("the registry's JSON file", 60.0),
    "journal.rotation_failed": ("the next segment of the journal", 60.0),
    "retention.failed": ("the retention rules", 3 * 3600.0),
    "retention.purge_failed": ("the purge of the trash", 3 * 3600.0),
    "registry.leftover_unmoved": ("files of retired or purged models", 3 * 3600.0),
    "registry.prune_failed": ("the removal of old journal segments", 3 * 3600.0),
    "inbox.purge_failed": ("the removal of old receipts and rejected drops", 3 * 3600.0),
}
# A retry may come this many seconds later than announced.
_LATE_SECONDS = 10.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the log. `answer` makes the rows from the records of `events`, which are all that it needs.

    `nothing` is printed if there are no rows, or `unknown` if not all of the log could be read.
    """

    asks: str
    events: tuple[str, ...]
    answer: Callable[[Sequence[Record], datetime], list[Row]]
    nothing: str
    unknown: str


def _row(record: Record, *names: str) -> Row:
    return {"at": millisecond_stamp(record.at), **{name: record.fields.get(name) for name in names}}


def _rejected(records: Sequence[Record], _now: datetime) -> list[Row]:
    names = ("owner", "stem", "drop_id", "model_id", "codes", "problems")
    rows = [_row(record, *names) for record in records if record.event == "drop.rejected"]
    for row in rows:
        codes = row["codes"]
        # A drop may have several problems of one kind.
        if isinstance(codes, list):
            row["codes"] = [code for at, code in enumerate(codes) if code not in codes[:at]]
    return rows


def _why(records: Sequence[Record], _now: datetime) -> list[Row]:
    """Return a row for each drop that is not registered: why it was rejected, or what it waits for."""
    last: dict[str, Record] = {}
    for record, drop_id in zip(records, drop_ids(records), strict=True):
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
            names = ("model_id", "currency_pair", "model_type", "variant", "reasons", "bytes")
            open_rows[model_id] = _row(record, *names) | {"purged_at": None}
            rows.append(open_rows[model_id])
        elif record.event == "entry.purged":
            row = open_rows.pop(model_id, None)
            # It was retired before the period in question.
            if row is None:
                row = {"at": None, "model_id": model_id, "bytes": record.fields.get("bytes"), "reasons": None}
                rows.append(row)
            row["purged_at"] = millisecond_stamp(record.at)
    return rows


def _durations(records: Sequence[Record], _now: datetime) -> list[Row]:
    """Return the seconds of each step and in total, of drops that were registered, duplicate or rejected."""
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
    """Return the smallest value such that at least `percent` of all values are not larger (nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def _retries(records: Sequence[Record], now: datetime) -> list[Row]:
    """Return a row for each failure that is still being retried at `now`."""
    going_on: dict[str, Row] = {}
    ended: set[str] = set()
    for record in records:
        key = record.text("drop_id") or record.event
        if record.event == "drop.deferred":
            wait = record.fields.get("retry_in_seconds")
            # A drop that has ended is deferred only to write its receipt. Success is not logged, a failure is: without
            # a further line when the retry was due, the receipt was written.
            if key in ended and isinstance(wait, (int, float)):
                overdue = record.at + timedelta(seconds=wait + _LATE_SECONDS)
                if now > overdue:
                    going_on.pop(key, None)
                    continue
            since = going_on.get(key, {}).get("since", millisecond_stamp(record.at))
            going_on[key] = {
                "since": since,
                "what": record.text("stem"),
                "drop_id": record.text("drop_id"),
                "attempt": record.fields.get("attempt"),
                "cause": record.text("cause"),
                "again_at": millisecond_stamp(record.at + timedelta(seconds=wait))
                if isinstance(wait, (int, float))
                else None,
            }
        elif record.event in _ENDS:
            ended.add(key)
            going_on.pop(key, None)
        elif record.event in _REPEATS:
            what, lasts_seconds = _REPEATS[record.event]
            if (now - record.at).total_seconds() > lasts_seconds:
                continue
            since = going_on.get(key, {}).get("since", millisecond_stamp(record.at))
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
    """Return a row for each start or reload that changed a setting, and for each configuration that was refused."""
    rows: list[Row] = []
    before: Mapping[str, Any] | None = None
    for record in records:
        if record.event == "config.refused":
            rows.append(_row(record) | {"what": "refused", "changed": {}, "problems": record.fields.get("problems")})
            continue
        settings = record.fields.get("settings")
        if not isinstance(settings, dict):
            continue
        # The settings before are not in this part of the log.
        if before is None:
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
    """Return a row for each time without a running daemon (`down`) or without file events (`deaf`).

    `to` is None if it still lasts. If a daemon ended without logging it, `from` is the time of its last line and
    `exactly` is false.
    """
    rows: list[Row] = []
    deaf: Row | None = None
    down: Row | None = None
    last: Record | None = None
    running = hung = False
    before: tuple[Row | None, Row | None, bool, Record | None, int] | None = None

    def end(row: Row, at: datetime | None) -> None:
        row["to"] = millisecond_stamp(at) if at is not None else None
        row["seconds"] = round(((at or now) - datetime.fromisoformat(row["from"])).total_seconds(), 3)
        rows.append(row)

    for record in records:
        event = record.event
        if event == "daemon.started":
            before = (down, deaf, running, last, len(rows))
        elif event == "daemon.failed" and record.fields.get("code") == "registry.locked" and before is not None:
            # Another daemon runs. What this one logged says nothing about it.
            down, deaf, running, last, count = before
            del rows[count:]
            before = None
            continue
        if event in ("daemon.stopping", "daemon.stopped", "daemon.failed", UNIT_EXITED) or (
            event == "daemon.started" and (running or last is not None) and down is None
        ):
            if down is None:
                cause, since, exactly = _cause_of(record, last)
                cause = f"hung; {cause}" if hung else cause
                down = {"kind": "down", "from": millisecond_stamp(since), "exactly": exactly, "cause": cause}
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
        elif event == NOT_RUNNING and down is None and last is not None:
            cause, since, exactly = _cause_of(record, last)
            down = {"kind": "down", "from": millisecond_stamp(since), "exactly": exactly, "cause": cause}
        elif event == "inbox.watch_lost" and deaf is None:
            deaf = {
                "kind": "deaf",
                "from": millisecond_stamp(record.at),
                "exactly": True,
                "cause": record.text("cause"),
            }
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
        signal = record.text("signal")
        return f"stopped by a signal{f' ({signal})' if signal else ''}", record.at, True
    if record.event == "daemon.failed":
        return record.text("problem") or "", record.at, True
    if record.event == UNIT_EXITED:
        return f"ended: {record.text('code')}, {record.text('status')}", record.at, True
    assert last is not None  # noqa: S101  # a start is an outage only where something was said before it
    return "ended without a last log line (killed, or the machine went down)", last.at, False


_DROPS = ("drop.registered", "drop.duplicate", "drop.rejected")
_DAEMON = ("daemon.started", "daemon.ready", "daemon.stopping", "daemon.stopped", "daemon.failed", UNIT_EXITED)

QUESTIONS: dict[str, Question] = {
    "why": Question(
        "Why was a drop rejected, or what does it wait for? (with --drop)",
        ("drop.*",),
        _why,
        "No such drop was rejected or is waiting.",
        "No such drop is known to be rejected or waiting.",
    ),
    "rejected": Question(
        "What was rejected, and whose?",
        ("drop.rejected",),
        _rejected,
        "Nothing was rejected.",
        "No rejected drop is known.",
    ),
    "retired": Question(
        "What did retention retire and purge, and why?",
        ("entry.retired", "entry.purged"),
        _retired,
        "Nothing was retired or purged by the rules.",
        "No model is known to be retired or purged by the rules.",
    ),
    "durations": Question(
        "How long do drops take, by step?",
        _DROPS,
        _durations,
        "No drop was processed.",
        "It is not known how long drops took.",
    ),
    "retries": Question(
        "What failed and is being retried?",
        ("drop.deferred", *sorted(_ENDS), *_REPEATS),
        _retries,
        "Nothing is being retried.",
        "No retry is known.",
    ),
    "changes": Question(
        "What changed in the configuration?",
        ("daemon.started", "config.loaded", "config.refused"),
        _changes,
        "Nothing changed.",
        "No change is known.",
    ),
    "outages": Question(
        "When did the daemon not run, or get no file events?",
        (*_DAEMON, NOT_RUNNING, UNIT_SAID, "inbox.watch_lost", "inbox.watch_restored", "drop.*", "registry.opened"),
        _outages,
        "It always ran, and got file events.",
        "No time is known when it did not run or got no file events.",
    ),
}
"""The questions by name. What happened to one drop or model is not among them: its records are printed instead."""


def needed_events(names: Collection[str]) -> tuple[str, ...]:
    """Return the events to ask journalctl for. Return none, which means all, if a question has a pattern."""
    return () if any("*" in name or name.startswith("unit.") for name in names) else tuple(names)
