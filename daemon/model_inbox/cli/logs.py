"""`model-inbox logs`: shows log lines as sentences, or answers a question from them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..base.instants import parse_stored
from ..exit_codes import EXIT_DONE, EXIT_TRY_AGAIN
from ..telemetry.logread.questions import QUESTIONS
from ..telemetry.logread.records import LEVELS, Record, Wanted, belonging
from ..telemetry.logread.words import in_words
from .arguments import OneOf, as_instant, find_model, pair_option, type_option
from .common import App, Command, now, pass_app
from .completion import complete_model
from .log_source import Found, Source
from .log_traces import Traces, changes_by_hand, traces, with_traces
from .output import Column, print_json, print_lines, print_table, printable, when

__all__ = ["logs"]

# Words of the answers for people.
_SHOWN = {"down": "not running", "deaf": "no file events"}
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


@click.command(
    cls=Command,
    examples=[
        "model-inbox logs --drop usdeur",
        "model-inbox logs why --drop usdeur",
        "model-inbox logs --model usdeur_20261120",
        "model-inbox logs rejected --since yesterday",
        "model-inbox logs --follow --level warning",
    ],
    exits={
        0: "done; a question is answered completely",
        75: "there is no log, a part of it cannot be read, or it begins later than --since",
    },
)
@click.argument("question", required=False, type=OneOf(tuple(QUESTIONS)), metavar="[QUESTION]")
@click.option("--drop", "drops", multiple=True, metavar="STEM", help="Only this drop: its stem or its drop_id.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ID",
    shell_complete=complete_model,
    help="Only this model, from its drop to its purge.",
)
@pair_option(multiple=True)
@type_option(multiple=True)
@click.option("--event", "events", multiple=True, metavar="EVENT", help="Only these events: drop.rejected, 'drop.*'.")
@click.option("--level", type=OneOf(LEVELS), default="debug", help="Only this level and higher ones.")
@click.option("--since", callback=as_instant, metavar="TIME", help="From this time: yesterday, '2h ago', 2026-11-24.")
@click.option("--until", callback=as_instant, metavar="TIME", help="Before this time.")
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
    types: tuple[str, ...],
    events: tuple[str, ...],
    level: str,
    since: datetime | None,
    until: datetime | None,
    following: bool,
    file: Path | None,
    unit: str | None,
    as_json: bool,
) -> int:
    """Show log lines, or the answer to a QUESTION.

    --drop and --model show what happened to a drop or a model. The questions:

    \b
    why        why was a drop rejected, or what does it wait for? (with --drop)
    rejected   what was rejected, and whose?
    retired    what did retention retire and purge, and why?
    durations  how long do drops take, by step?
    retries    what failed and is being retried?
    changes    what changed in the configuration?
    outages    when did the daemon not run, or get no file events?

    Reads the daemon's log: its file of JSON lines, or systemd's journal. What the log lacks is answered from the
    rejected drops, the receipts, the history and the status, as far as these know it. What was read, from when to when,
    and what is not known is written to stderr. All times are UTC.
    """
    if following and (question is not None or until is not None or drops or models or pairs or types):
        raise click.UsageError("--follow can be used only with --event, --level and --since")
    if file is not None and unit is not None:
        raise click.UsageError("--file and --unit cannot be used together")
    models = tuple(_model(app, given) for given in models)
    wanted = Wanted(events, level, drops, models, pairs, types, since, until)
    source = Source(app, file, unit)
    if following:
        for record in source.follow(since):
            if wanted.in_time(record) and wanted.is_kind(record):
                _print_record(record, as_json=as_json)
        return EXIT_DONE
    asked = QUESTIONS[question] if question is not None else None
    needed = asked.events if asked is not None else events
    read = source.read(wanted, needed if not wanted.names_subjects() else ())
    there_is_log = read.coverage is not None and read.coverage.begins is not None
    others = traces(app, question, wanted, log=there_is_log) if source.configured else Traces()
    records = with_traces(read.records, others.records)
    complete = others.answers or (read.coverage is not None and read.coverage.is_complete(since))
    if asked is not None:
        kinds = Wanted(events=asked.events)
        found = belonging(records, wanted)
        rows = asked.answer([record for record in found if kinds.is_kind(record)], now())
        if as_json:
            print_json(rows)
        elif not rows:
            print_lines(asked.nothing if complete else asked.unknown)
        else:
            _print_answer(question or "", rows)
    else:
        found = belonging(with_traces(records, changes_by_hand(app, wanted)), wanted)
        if as_json:
            print_json([record.as_dict() for record in found])
        elif not found:
            print_lines("The log has no such lines." if there_is_log else "No such event is known.")
        for record in found if not as_json else ():
            _print_record(record, as_json=False)
    for sentence in _sources(read, others, since, there_is_log=there_is_log):
        print_lines(sentence, hanging=2, err=True)
    return EXIT_DONE if complete else EXIT_TRY_AGAIN


def _model(app: App, given: str) -> str:
    if ":" not in given:
        return given
    with app.reading() as registry:
        return find_model(registry, given)


def _sources(read: Found, others: Traces, since: datetime | None, *, there_is_log: bool) -> Iterator[str]:
    """Yield what was read for an answer, from when to when, and what is not known."""
    if read.missing:
        yield f"{read.missing}."
    if read.coverage is not None:
        yield from read.coverage.sentences(since)
    yield from others.sentences
    if not there_is_log and not others.answers and others.unknown:
        yield f"Not known without a log: {others.unknown}."


# --- printing ---------------------------------------------------------------------------------------------------------


def _print_record(record: Record, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(record.as_dict(), ensure_ascii=False))
        return
    level = f"{record.level.upper()}: " if record.level in LEVELS[2:] else ""
    said = in_words(record).replace("\n", " ")
    print_lines(f"{when(record.at, seconds=True)}  {level}{said} [{record.event}]", hanging=4)
    sys.stdout.flush()


def _print_answer(question: str, rows: Sequence[dict[str, Any]]) -> None:
    if question == "why":
        _print_reasons(rows)
        return
    columns = _COLUMNS[question]
    cells = [[_SHOWN.get(str(row.get(key)), _shown(row.get(key))) for key, _ in columns] for row in rows]
    print_table([column for _, column in columns], cells)


def _print_reasons(rows: Sequence[dict[str, Any]]) -> None:
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
