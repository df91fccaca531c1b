"""What other files than the log tell of the same events, as records: rejected drops, receipts, the history, the status.

Owns which of these answer which question, and what they cannot tell. Never reads the log, and never writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.instants import parse_stored
from ..base.units import spans
from ..errors import ConfigError, ModelInboxError
from ..model.owner import name_of_owner
from ..problems import problems_in
from ..telemetry.logread.questions import NOT_RUNNING
from ..telemetry.logread.records import Record, Wanted
from .common import App, act_as_any_owner, now
from .inbox import look_options
from .output import printable, when

if TYPE_CHECKING:
    from ..registry.journal import Line

# What was read, and the records.
_Read = tuple[str, list[Record]]
_Reader = Callable[[App], _Read]

__all__ = ["Traces", "changes_by_hand", "traces"]

# What is not known of a question without a log.
_UNKNOWN = {
    None: "waiting drops of the past, retries, starts and stops of the daemon, and how long anything took",
    "why": "why a drop waited that is gone",
    "rejected": "rejected drops that were purged, or retried, or dropped again since",
    "retired": "",
    "durations": "how long drops took",
    "retries": "failures of anything but drops (`model-inbox status` shows what fails now)",
    "changes": "what the settings were before (`model-inbox config show` shows those in use)",
    "outages": "when the daemon did not run, or got no file events",
}


@dataclass(slots=True)
class Traces:
    """The records that were found, and sentences about what was read for them.

    `unknown` is what these cannot tell. `answers` is true if they answer the whole question without a log.
    """

    records: list[Record] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    unknown: str = ""
    answers: bool = False


def traces(app: App, question: str | None, wanted: Wanted, *, log: bool) -> Traces:
    """Return what is known besides the log about a question (None: all lines). `log`: there is a log, too."""
    found = Traces(unknown=_UNKNOWN[question])
    # Only what the question needs: the history may be long.
    nothing: tuple[_Reader, ...] = ()
    readers = {
        "why": (_rejected, _receipts) if log else (_rejected, _receipts, _waiting),
        "rejected": (_rejected, _receipts),
        "retired": (_history,),
        "retries": nothing if log else (_deferred,),
        "outages": (_running,) if log else (_ran, _running),
        None: nothing if log else (_history, _rejected, _receipts, _waiting, _deferred),
    }.get(question, nothing)
    unread: list[str] = []
    try:
        act_as_any_owner(app.config.registry.path.parent, app.config.inbox.path)
        for read in readers:
            try:
                name, records = read(app)
            except (ModelInboxError, OSError) as error:
                unread.append(error.message if isinstance(error, ModelInboxError) else str(error))
                continue
            found.records += records
            period = "" if read in (_running, _deferred) else _period_of(records)
            found.sentences.append(f"Read: {name}{period}.")
    except ConfigError as error:
        # The log can be read without it.
        unread.append(error.message)
    found.sentences += [f"Not read: {part}." for part in unread]
    found.records = [record for record in found.records if wanted.in_time(record)]
    found.answers = not unread and (
        question == "retired" or (question == "why" and bool(wanted.drops) and _names_all(found.records, wanted.drops))
    )
    return found


def _period_of(records: Sequence[Record]) -> str:
    if not records:
        return ", and it has nothing about this"
    times = sorted(record.at for record in records)
    return f", from {when(times[0], seconds=True)} to {when(times[-1], seconds=True)} UTC"


def _names_all(records: Sequence[Record], drops: Sequence[str]) -> bool:
    named = {record.text(name) for record in records for name in ("stem", "drop_id")}
    return named.issuperset(drops)


def with_traces(records: Sequence[Record], others: Sequence[Record]) -> list[Record]:
    """Return records with those of others that tell of something else: of another drop, or another change."""
    known = set(filter(None, map(_subject_of, records)))
    result = list(records)
    for record in others:
        subject = _subject_of(record)
        if subject is None or subject not in known:
            result.append(record)
            known.add(subject or ("", ""))
    return result


def _subject_of(record: Record) -> tuple[str, object] | None:
    """Return what identifies the event of a record, which two places may tell of: an answer to a drop, or a change."""
    sequence = record.fields.get("sequence")
    if record.event in ("drop.registered", "drop.duplicate", "drop.rejected"):
        return record.event, record.text("drop_id")
    if record.event in ("entry.retired", "entry.purged"):
        return record.event, (record.text("model_id"), sequence)
    return ("line", sequence) if record.event == "history.changed" else None


def changes_by_hand(app: App, wanted: Wanted) -> list[Record]:
    """Return the changes that people made to the selected models, which the daemon's log does not have."""
    if not wanted.models:
        return []
    try:
        with app.reading() as registry:
            lines = [line for model_id in wanted.models for line in registry.history(model_id, over_gaps=True)]
    except ModelInboxError:
        # The log is from another machine, or this user may not read the registry.
        return []
    return [record for record in map(_changed, lines) if wanted.in_time(record)]


def _rejected(app: App) -> _Read:
    from ..inbox.rejected import list_rejected

    folder = app.config.inbox.path / "rejected"
    drops = [drop.reason | {"drop_id": drop.drop_id} for drop in list_rejected(folder)] if folder.is_dir() else []
    return _name_of(folder), list(_answers(drops, "rejected"))


def _receipts(app: App) -> _Read:
    from ..model.receipt import read_receipt_file

    folder = app.config.inbox.path / "receipts"
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    receipts = [read_receipt_file(path) for path in paths if not path.name.startswith(".")]
    return _name_of(folder), list(_answers([receipt for receipt in receipts if receipt is not None], None))


def _name_of(folder: Path) -> str:
    return repr(str(folder)) if folder.is_dir() else f"{str(folder)!r}, which does not exist"


def _answers(receipts: Sequence[Mapping[str, Any]], outcome: str | None) -> Iterator[Record]:
    """Yield the record of each answer to a drop, as the daemon logged it. Other users may write these files."""
    for receipt in receipts:
        at, what = parse_stored(receipt.get("at")), outcome or receipt.get("outcome")
        if at is None or what not in ("registered", "duplicate", "rejected"):
            continue
        problems = problems_in(receipt.get("problems"))
        fields: dict[str, Any] = {name: receipt.get(name) for name in ("drop_id", "stem", "model_id")}
        fields["owner"] = name_of_owner(receipt.get("owner"))
        fields = {name: printable(value) for name, value in fields.items() if value is not None}
        if problems:
            fields |= {
                "problems": [printable(one) for one in problems],
                "codes": list(dict.fromkeys(printable(one.code) for one in problems)),
            }
        yield Record(at, "warning" if what == "rejected" else "info", f"drop.{what}", fields)


def _waiting(app: App) -> _Read:
    from ..inbox.explain import look_over

    path, options = look_options(app)
    looked = look_over(path, **options)
    return repr(str(path)), [
        Record(
            one.since or now(),
            "info",
            "drop.waiting",
            {
                "stem": printable(one.belongs_to or one.name).rsplit(".", 1)[0],
                "owner": one.owner,
                "problems": [printable(problem) for problem in one.problems] or [one.words],
            },
        )
        for one in looked
        if one.state in ("waiting", "stuck", "complete", "refused")
    ]


def _deferred(app: App) -> _Read:
    document, running = _status(app)
    if not running or document is None:
        return "the status of the daemon, which does not run", []
    return "the status of the daemon", [
        Record(
            parse_stored(document.get("at")) or now(),
            "warning",
            "drop.deferred",
            {
                **{name: drop.get(name) for name in ("drop_id", "stem", "cause")},
                "attempt": drop.get("attempts"),
            },
        )
        for drop in document.get("deferred_drops") or ()
    ]


def _running(app: App) -> _Read:
    """Return a record that no daemon runs, if none does: one that was killed could not log it."""
    document, running = _status(app)
    if running:
        started = parse_stored((document or {}).get("started_at"))
        return f"the status of the daemon, which has been running since {when(started, seconds=True)} UTC", []
    if running is None:
        return "the status of the daemon, by which this user cannot see whether it runs", []
    return "the status of the daemon, which does not run", [Record(now(), "warning", NOT_RUNNING)]


def _ran(app: App) -> _Read:
    """Return a record of what the last status document says of its daemon: that it ran then, or that it stopped."""
    from ..telemetry.health import find_daemon

    document = find_daemon(app.config.registry.path, app.config.inbox.path).document or {}
    at = parse_stored(document.get("at"))
    event = "daemon.stopped" if document.get("state") == "stopped" else "daemon.ready"
    return "the last status document", [Record(at, "info", event)] if at is not None else []


def _status(app: App) -> tuple[Mapping[str, Any] | None, bool | None]:
    """Return the status document of the daemon, and whether it runs (None: this user cannot find out)."""
    from ..telemetry.health import find_daemon

    daemon = find_daemon(app.config.registry.path, app.config.inbox.path)
    return daemon.document if daemon.wrote_document else None, daemon.holding.held


def _history(app: App) -> _Read:
    with app.reading() as registry:
        lines = registry.history(over_gaps=True)
        missing = registry.missing_lines()
    name = "the history of the registry"
    if missing:
        name += f" (without its changes {spans(missing)}, which are in no file)"
    return name, [_changed(line) for line in lines]


def _changed(line: Line) -> Record:
    """Return the record of a line of the history: that of the daemon's log for what the daemon logs, too."""
    entry: Mapping[str, Any] = line.entry or line.removed or {}
    fields: dict[str, Any] = {"model_id": line.model_id, "sequence": line.sequence}
    if line.operation == "register" and line.drop_id:
        fields |= {"drop_id": line.drop_id, "stem": line.drop_id.split("-", 2)[-1]}
        shown = {name: entry.get(name) for name in ("currency_pair", "model_type", "variant")}
        shown["owner"] = name_of_owner(entry.get("owner"))
        fields |= {name: value for name, value in shown.items() if value not in (None, "")}
        return Record(line.at, "info", "drop.registered", fields | {"bytes": entry.get("size_bytes")})
    # The log names a retired model by the line that registered it.
    registered_by = {"retire": line.removed, "purge": line.detail}.get(line.operation)
    if registered_by is not None and line.actor == "retention":
        fields["sequence"] = registered_by.get("sequence")
    if line.operation == "retire" and line.actor == "retention":
        fields |= {name: entry.get(name) for name in ("currency_pair", "model_type")}
        if entry.get("variant"):
            fields["variant"] = entry["variant"]
        return Record(
            line.at, "info", "entry.retired", {**fields, "reasons": [line.reason], "bytes": entry.get("size_bytes")}
        )
    if line.operation == "purge" and line.actor == "retention":
        return Record(line.at, "info", "entry.purged", fields)
    told = {"operation": line.operation, "actor": line.actor, "reason": line.reason}
    return Record(line.at, "info", "history.changed", fields | told)
