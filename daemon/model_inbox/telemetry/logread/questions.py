"""What the log says: lines -> records -> answers.

Owns the two forms in which a line comes back (JSON of a file, JSON of journalctl), which lines belong to a drop or a
model, what each event is in words, and the answers to the questions that people ask of a log. Never opens a file,
never asks the clock: whoever calls it brings the lines and says what time it is.

A line that says only a stem (a drop that waits has no drop_id yet) belongs to the next drop of that stem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...base.instants import millisecond_stamp
from .records import UNIT_EXITED, UNIT_SAID, Record, drop_ids

__all__ = ["QUESTIONS", "Question", "needed_events"]

_ENDS = frozenset({"drop.registered", "drop.duplicate", "drop.rejected", "drop.put_back", "drop.recovered"})
# Failures that are logged each time that they are met: what fails, and how long after the last line it still does.
_REPEATS: dict[str, tuple[str, float]] = {
    "drop.recovery_failed": ("what an earlier run had in hand", 60.0),
    "registry.checkpoint_failed": ("the registry's JSON file", 60.0),
    "journal.rotation_failed": ("the next segment of the journal", 60.0),
    "retention.failed": ("the retention rules", 3 * 3600.0),
    "retention.purge_failed": ("the purge of the trash", 3 * 3600.0),
    "registry.leftover_unmoved": ("files of retired or purged models", 3 * 3600.0),
    "registry.prune_failed": ("the removal of old journal segments", 3 * 3600.0),
    "inbox.purge_failed": ("the removal of old receipts and rejected drops", 3 * 3600.0),
}
_LATE = 10.0  # by how many seconds a retry may come later than was said


# --- lines ------------------------------------------------------------------------------------------------------------


# --- which lines ------------------------------------------------------------------------------------------------------


# --- in words ---------------------------------------------------------------------------------------------------------


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
    return {"at": millisecond_stamp(record.at), **{name: record.fields.get(name) for name in names}}


def _rejected(records: Sequence[Record], _now: datetime) -> list[Row]:
    names = ("owner", "stem", "drop_id", "model_id", "codes", "problems")
    return [_row(record, *names) for record in records if record.event == "drop.rejected"]


def _why(records: Sequence[Record], _now: datetime) -> list[Row]:
    """The last word on each drop that has no model to show for it: why it was rejected, or what it waits for."""
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
            names = ("model_id", "currency_pair", "model_type", "reasons", "bytes")
            open_rows[model_id] = _row(record, *names) | {"purged_at": None}
            rows.append(open_rows[model_id])
        elif record.event == "entry.purged":
            row = open_rows.pop(model_id, None)
            if row is None:  # retired before the time that is asked for
                row = {"at": None, "model_id": model_id, "bytes": record.fields.get("bytes"), "reasons": None}
                rows.append(row)
            row["purged_at"] = millisecond_stamp(record.at)
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
        row["to"] = millisecond_stamp(at) if at is not None else None
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
        ("drop.deferred", *sorted(_ENDS), *_REPEATS),
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
