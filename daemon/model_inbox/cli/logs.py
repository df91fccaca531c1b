"""`model-inbox logs`: shows log lines as sentences, or answers a question from them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import parse_instant
from ..base.units import parse_duration
from ..errors import ConfigError, ModelInboxError
from ..problems import quoted
from ..telemetry.logread.questions import QUESTIONS, needed_events
from ..telemetry.logread.records import LEVELS, Record, Wanted, belonging, parse_entry, parse_line
from ..telemetry.logread.words import in_words
from .common import App, Command, now, pass_app
from .output import Column, parse_stored, print_json, print_lines, print_table, printable, when

if TYPE_CHECKING:
    from ..registry.journal import Line

__all__ = ["logs"]

# The tables of the questions: the key of each column, and the column.
_COLUMNS: dict[str, tuple[tuple[str, Column], ...]] = {
    "rejected": (
        ("at", Column("WHEN (UTC)", rank=2)),
        ("owner", Column("OWNER", rank=3, least=6)),
        ("stem", Column("STEM", rank=4)),
        ("codes", Column("PROBLEMS", rank=1, least=12, words=True)),
        ("drop_id", Column("DROP")),
    ),
    "retired": (
        ("at", Column("RETIRED (UTC)", rank=2)),
        ("purged_at", Column("PURGED", rank=3)),
        ("model_id", Column("MODEL")),
        ("currency_pair", Column("PAIR", rank=4, least=7)),
        ("reasons", Column("WHY", rank=1, least=16, words=True)),
    ),
    "durations": (
        ("step", Column("STEP")),
        ("drops", Column("DROPS", right=True)),
        ("p50", Column("P50 (s)", right=True)),
        ("p99", Column("P99 (s)", right=True)),
        ("max", Column("MAX (s)", right=True)),
    ),
    "retries": (
        ("since", Column("SINCE (UTC)", rank=2)),
        ("what", Column("WHAT")),
        ("attempt", Column("ATTEMPT", rank=3, right=True)),
        ("again_at", Column("AGAIN AT", rank=4)),
        ("cause", Column("CAUSE", rank=1, least=16, words=True)),
    ),
    "changes": (
        ("at", Column("WHEN (UTC)")),
        ("what", Column("WHAT", rank=2)),
        ("changed", Column("CHANGED", rank=1, least=16, words=True)),
        ("problems", Column("PROBLEMS", rank=3, least=12, words=True)),
    ),
    "outages": (
        ("from", Column("FROM (UTC)")),
        ("to", Column("TO", rank=3)),
        ("seconds", Column("SECONDS", rank=4, right=True)),
        ("kind", Column("KIND", rank=1)),
        ("cause", Column("CAUSE", rank=2, least=16, words=True)),
    ),
}


def _as_moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time: yesterday, today, now, a duration (before now), or an instant. Days start at midnight UTC."""
    if value is None:
        return None
    moment = now()
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": moment, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if value in days:
        return days[value]
    with contextlib.suppress(ValueError):
        return moment - timedelta(seconds=parse_duration(value.removesuffix(" ago")))
    try:
        return parse_instant(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{quoted(value)} is not a time: write yesterday, today, 2h, 7d, or 2026-11-24T12:00:00Z"
        ) from error


@click.command(
    cls=Command,
    examples=[
        "model-inbox logs --drop usdeur",
        "model-inbox logs why --drop usdeur",
        "model-inbox logs --model usdeur_20261120",
        "model-inbox logs rejected --since yesterday",
        "model-inbox logs --follow --level warning",
    ],
    exits={75: "the log cannot be read, or does not exist"},
)
@click.argument("question", required=False, type=click.Choice(tuple(QUESTIONS)), metavar="[QUESTION]")
@click.option("--drop", "drops", multiple=True, metavar="STEM", help="Only this drop: its stem or its drop_id.")
@click.option("--model", "models", multiple=True, metavar="ID", help="Only this model, from its drop to its purge.")
@click.option("--pair", "pairs", multiple=True, metavar="PAIR", help="Only models of this pair, like USD/EUR.")
@click.option("--event", "events", multiple=True, metavar="EVENT", help="Only these events: drop.rejected, 'drop.*'.")
@click.option("--level", type=click.Choice(LEVELS), default="debug", help="Only this level and higher ones.")
@click.option("--since", callback=_as_moment, metavar="TIME", help="From this time: yesterday, 2h, 2026-11-24T12:00Z.")
@click.option("--until", callback=_as_moment, metavar="TIME", help="Before this time.")
@click.option("--follow", "-f", "following", is_flag=True, help="Continue with new lines, until Ctrl-C.")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="LOG",
    help="A JSON log, read with its rotated files, or - for stdin. Default: logging.file, or the journal.",
)
@click.option("--unit", metavar="UNIT", help="The unit whose journal is read. Default: model-inbox.service.")
@pass_app
def logs(
    app: App,
    *,
    question: str | None,
    drops: tuple[str, ...],
    models: tuple[str, ...],
    pairs: tuple[str, ...],
    events: tuple[str, ...],
    level: str,
    since: datetime | None,
    until: datetime | None,
    following: bool,
    file: Path | None,
    unit: str | None,
    as_json: bool,
) -> None:
    """Show log lines, or the answer to a QUESTION.

    --drop and --model show what happened to a drop or a model. The questions:

    \b
    why        why was a drop rejected, or what does it wait for? (with --drop)
    rejected   what was rejected, and whose?
    retired    what did retention retire and purge, and why?
    durations  how long do drops take, by step?
    retries    what failed and is being retried?
    changes    what changed in the configuration?
    outages    when was the daemon down or deaf?

    Reads systemd's journal, or a log of JSON lines. All times are UTC. With --model, changes made by people are added
    from the registry's history.
    """
    if following and (question is not None or until is not None or drops or models or pairs):
        raise click.UsageError("--follow can be used only with --event, --level and --since")
    if file is not None and unit is not None:
        raise click.UsageError("--file and --unit cannot be used together")
    wanted = Wanted(events, level, drops, models, pairs, since, until)
    source = _Source(app, file, unit)
    if following:
        for record in source.follow(since):
            if wanted.in_time(record) and wanted.is_kind(record):
                _print_record(record, as_json=as_json)
        return
    asked = QUESTIONS[question] if question is not None else None
    needed = asked.events if asked is not None else events
    records = source.records(wanted, needed if not wanted.names_subjects() else ())
    found = belonging(records, wanted)
    if asked is not None:
        kinds = Wanted(events=asked.events)
        rows = asked.answer([record for record in found if kinds.is_kind(record)], now())
        if as_json:
            print_json(rows)
        elif question == "why":
            _print_reasons(rows, asked.nothing)
        elif rows:
            columns = _COLUMNS[question or ""]
            print_table(
                [column for _, column in columns], [[_shown(row.get(key)) for key, _ in columns] for row in rows]
            )
        else:
            print_lines(asked.nothing)
        return
    found = sorted([*found, *_by_hand(app, wanted, found)], key=lambda record: record.at)
    if as_json:
        print_json([record.as_dict() for record in found])
    elif not found:
        print_lines("The log has no such lines.")
    for record in found if not as_json else ():
        _print_record(record, as_json=False)


# --- the source of lines ----------------------------------------------------------------------------------------------


class _Source:
    """The log to read: stdin, a file, or the journal of a unit."""

    def __init__(self, app: App, file: Path | None, unit: str | None) -> None:
        from ..telemetry.logread.sources import UNIT

        self.file = file
        self.unit = unit or UNIT
        if file is None and unit is None:
            # The log must be readable even if the configuration has problems.
            with contextlib.suppress(ConfigError):
                configured = app.config.logging.file
                self.file = configured if configured is not None and configured.exists() else None

    def records(self, wanted: Wanted, events: Sequence[str]) -> list[Record]:
        """Return the records of the period, only those of `events` if any are given."""
        from ..telemetry.logread import sources as logfiles

        if self.file is None:
            command = logfiles.journal_command(
                self.unit, since=wanted.since, until=wanted.until, events=needed_events(events)
            )
            return _parsed(logfiles.journal_lines(command), parse_entry)
        if str(self.file) == "-":
            return _parsed(sys.stdin.buffer, parse_line)
        paths = logfiles.rotated(self.file)
        if not paths:
            raise logfiles.LogUnreadable(
                f"cannot read the log {str(self.file)!r}: there is none", hint="Check the path"
            )
        # Only lines that contain one of these are parsed, which skips most lines.
        needles = [json.dumps(name)[:-1].rstrip("*") for name in events] if events else []
        return _parsed(logfiles.lines_of(paths, wanted.since, needles), parse_line)

    def follow(self, since: datetime | None) -> Iterator[Record]:
        """Yield the records since `since`, if it is given, and then new ones as they are logged."""
        from ..telemetry.logread import sources as logfiles

        if self.file is None:
            lines = logfiles.journal_lines(logfiles.journal_command(self.unit, since=since, following=True))
            parse: Callable[[bytes], Record | None] = parse_entry
        else:
            if str(self.file) == "-":
                raise click.UsageError("--follow cannot follow stdin")
            earlier = [path for path in logfiles.rotated(self.file) if path != self.file] if since is not None else []
            tail = logfiles.Tail(self.file, whole=since is not None)
            lines, parse = chain(logfiles.lines_of(earlier, since, ()), logfiles.follow(tail)), parse_line
        for line in lines:
            record = parse(line)
            if record is not None:
                yield record


def _parsed(lines: Iterator[bytes] | Any, parse: Callable[[bytes], Record | None]) -> list[Record]:
    return [record for line in lines if (record := parse(line)) is not None]


def _by_hand(app: App, wanted: Wanted, found: Sequence[Record]) -> list[Record]:
    """Return the changes that people made to the selected models, which the daemon's log does not have."""
    if not wanted.models:
        return []
    lines: list[Line] = []
    try:
        with app.reading() as registry:
            for model_id in wanted.models:
                lines += registry.history(model_id)
    except ModelInboxError:
        # The log is from another machine, or this user may not read the registry.
        return []
    known = {record.fields.get("sequence") for record in found}
    changes = [
        Record(
            line.at,
            "info",
            "history.changed",
            {
                "model_id": line.model_id,
                "operation": line.operation,
                "actor": line.actor,
                "reason": line.reason,
                "sequence": line.sequence,
            },
        )
        for line in lines
        if line.sequence not in known
    ]
    return [record for record in changes if wanted.in_time(record) and wanted.is_kind(record)]


# --- printing ---------------------------------------------------------------------------------------------------------


def _print_record(record: Record, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(record.as_dict(), ensure_ascii=False))
        return
    head = f"{when(record.at, seconds=True)}  {record.level:<8}  {record.event:<22}  "
    print_lines(head + in_words(record).replace("\n", " "), hanging=4)
    sys.stdout.flush()


def _print_reasons(rows: Sequence[dict[str, Any]], nothing: str) -> None:
    if not rows:
        print_lines(nothing)
    for row in rows:
        whose = f" of {row['owner']}" if row.get("owner") else ""
        name = row.get("drop_id") or row.get("stem") or "?"
        print_lines(f"{_shown(row['at'])}  {row['state']}: {name}{whose}")
        for problem in row["problems"]:
            print_lines(f"- {problem}", indent=2, hanging=4)


def _shown(value: Any) -> str:
    """Return a value as the text of a table's cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if value < 1000 else f"{value:.0f}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_setting(old)} → {_setting(new)}" for name, (old, new) in value.items())
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    moment = parse_stored(value) if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z") else None
    return when(moment, seconds=True) if moment is not None else printable(value)


def _setting(value: Any) -> str:
    return "the default" if value is None else json.dumps(value, ensure_ascii=False)
