"""The journal: one line per change of the registry, appended and synced; that is the commit.

Owns the bytes of a line and of a segment, and what a damaged or torn one looks like. Never touches the disk
(`registry` appends and reads) and knows nothing of models beyond the names of a line's fields.

A segment is a file of lines. The first is `{"format": "model-inbox-journal/2", "base_sequence": n, ...}`: the
checkpoint holds everything through n, `base_time` is the time of line n, and `registry_id` and `epoch` say whose line n
that is. Format /1 is the same without those two; it is read, and never written. Format /3 is the same as /2, and says
that entries may be such as earlier versions would serve wrongly (`format_of_entry`): they refuse it. A journal of
format /2 becomes one of format /3 before the first line with such an entry.

Each later line has the next sequence number and ends with `,"checksum":"xxxxxxxx"}`: the CRC-32 (as in zlib) of all
bytes of the line before that, in hex.
A line sets an entry (`"entry": {...}`), removes it (`"entry": null`, with the removed one under `"removed"`), or,
without the key, leaves the entries alone. Replaying a whole segment over any checkpoint made since it began
therefore ends in the same state, so a checkpoint needs no sequence of its own.

The order is that of the sequence numbers. A line's time is what the machine's clock showed, and may be before that of
the line before; `clock` lines tell of jumps.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from ..errors import MetadataError
from ..problems import is_unicode, quoted
from ..problems.registry import registry_text_not_unicode
from .entry import EntryFields, dated_entry, numbered_entry
from .position import Identity

__all__ = [
    "FORMAT",
    "FORMAT_FOR_LATER",
    "Damage",
    "Draft",
    "Header",
    "Line",
    "Segment",
    "TooNew",
    "also_changed",
    "also_set",
    "brings_back",
    "decode_line",
    "encode_header",
    "encode_line",
    "format_of_entry",
    "format_of_line",
    "format_time",
    "named_rules",
    "number_drafts",
    "parse_segment",
    "parse_time",
    "read_header",
    "rules_of",
    "seal",
    "unseal",
]

FORMAT_NAME = "model-inbox-journal/"
FORMAT_WITHOUT_IDENTITY = f"{FORMAT_NAME}1"
FORMAT = f"{FORMAT_NAME}2"
FORMAT_FOR_LATER = f"{FORMAT_NAME}3"
_SEAL = b',"checksum":"'
_SEAL_BYTES = len(_SEAL) + 8 + len(b'"}')

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NONE = type(None)
_FIELDS: dict[str, tuple[type, ...]] = {
    "sequence": (int,),
    "time": (str,),
    "operation": (str,),
    "model_id": (str,),
    "drop_id": (str, _NONE),
    "actor": (str,),
    "reason": (str,),
    "entry": (dict, _NONE),
    "removed": (dict, _NONE),
    "detail": (dict, _NONE),
}

Operation = Literal[
    "register",
    "retire",
    "restore",
    "purge",
    "alias",
    "unalias",
    "pin",
    "unpin",
    "hold",
    "unhold",
    "tag",
    "replace_scaler",
    "promote",
    "rollback",
    "protect",
    "record",
    "rebuild",
    "clock",
]


class Damage(ValueError):
    """Bytes that no writer of ours leaves behind, at `offset` within what was given."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what


class TooNew(ValueError):
    """A segment of a format that a newer version writes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One committed change.

    `changes_entry` tells whether `entry` speaks at all: an entry set, or (None) removed. `removed` is the entry
    that a retirement took away, `detail` what an operation adds (the alias, the file that was replaced).
    """

    sequence: int
    time: str
    operation: str
    model_id: str
    drop_id: str | None = None
    actor: str = ""
    reason: str = ""
    changes_entry: bool = False
    entry: EntryFields | None = None
    removed: EntryFields | None = None
    detail: Mapping[str, Any] | None = None

    @property
    def at(self) -> datetime:
        """The time of the line as an instant."""
        return parse_time(self.time)


@dataclass(slots=True)
class Draft:
    """A line before it has its sequence and time; see `Line`.

    `gives` is the alias that the line gives to its model, `rules` the digest of the rules that decided on it ("": none
    did), `format` that of a segment that can hold it.
    """

    operation: Operation
    model_id: str
    reason: str = ""
    actor: str = ""
    drop_id: str | None = None
    changes_entry: bool = False
    entry: EntryFields | None = None
    removed: EntryFields | None = None
    detail: dict[str, Any] | None = None
    gives: str = ""
    rules: str = ""
    format: str = field(init=False)

    def __post_init__(self) -> None:
        """Raise MetadataError for a free text that no file in UTF-8 can hold. All else was checked before."""
        problems = [
            registry_text_not_unicode(name, text)
            for name, text in (("reason", self.reason), ("actor", self.actor))
            if not is_unicode(text)
        ]
        if problems:
            raise MetadataError(f"cannot change {quoted(self.model_id)}", problems)
        self.format = format_of_line(self)


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment begins with: its lines follow `base_sequence`, whose time was `base_time` (or ""); they
    begin at `end`. `identity` is None in a segment of format /1.
    """

    format: str

    base_sequence: int
    base_time: str
    end: int
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class Segment:
    """Lines read from a segment; `end` is the offset behind the last whole one, `torn` the bytes after that."""

    lines: tuple[Line, ...]
    end: int
    torn: int


def also_changed(line: Line) -> Mapping[str, Any]:
    """Return the other entries that a line sets beside its own."""
    return also_set(line.detail)


def also_set(detail: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the other entries that the detail of a line sets."""
    also = (detail or {}).get("also", {})
    return also if isinstance(also, dict) else {}


def format_of_line(line: Draft | Line) -> str:
    """Return the format that a segment must have to hold this line."""
    return max(map(format_of_entry, (line.entry or {}, *also_set(line.detail).values())))


def format_of_entry(entry: Mapping[str, Any]) -> str:
    """Return the format that a segment must have to hold this entry.

    A version that knows no later format than /2 does not keep variants apart, and serves a model that is held.
    """
    return FORMAT_FOR_LATER if entry.get("variant") or entry.get("held") else FORMAT


def rules_of(line: Line) -> str | None:
    """Return the digest of the rules that decided a line, None if it names none."""
    digest = (line.detail or {}).get("rules")
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def named_rules(lines: Iterable[Line]) -> set[str]:
    """Return the digests of all rules that lines name."""
    return {digest for line in lines if (digest := rules_of(line)) is not None}


def brings_back(line: Line) -> bool:
    """Return whether a line makes a retired model a registered one again."""
    return line.entry is not None and (line.operation == "restore" or bool((line.detail or {}).get("restored")))


def number_drafts(drafts: Sequence[Draft], sequence: int, now: datetime) -> list[Line]:
    """Return the lines of these drafts, which follow line `sequence`, as of `now`.

    A registered entry gets its `sequence` and `registered_at` here, and one that gets an alias the time of that.
    """
    time = format_time(now)
    lines = []
    for number, draft in enumerate(drafts, sequence + 1):
        entry = draft.entry
        if draft.operation == "register" and entry is not None:
            entry = numbered_entry(entry, sequence=number, registered_at=time)
        elif draft.gives and entry is not None:
            entry = dated_entry(entry, draft.gives, at=time)
        lines.append(
            Line(
                number,
                time,
                draft.operation,
                draft.model_id,
                draft.drop_id,
                draft.actor,
                draft.reason,
                draft.changes_entry,
                entry,
                draft.removed,
                {**(draft.detail or {}), "rules": draft.rules} if draft.rules else draft.detail,
            )
        )
    return lines


def format_time(moment: datetime) -> str:
    """Return the time as it stands in journal lines: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Return the instant of a line's time."""
    return datetime.fromisoformat(text)


def seal(fields: Mapping[str, Any]) -> bytes:
    """Return a line: a JSON object that ends with the checksum of everything before it, and a newline."""
    return _sealed(orjson.dumps(fields)[:-1])


def _sealed(body: bytes) -> bytes:
    return body + _SEAL + b"%08x" % zlib.crc32(body) + b'"}\n'


def unseal(raw: bytes) -> dict[str, Any] | None:
    """Return the object of a line without its newline, or None when it is not what was written."""
    body = raw[:-_SEAL_BYTES]
    if len(raw) <= _SEAL_BYTES or raw != _sealed(body)[:-1]:
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def encode_header(identity: Identity, base_sequence: int, base_time: str = "", *, name: str = FORMAT) -> bytes:
    """Return the first line of a segment whose lines follow `base_sequence`, committed at `base_time`.

    `name` is the format of the segment: FORMAT or FORMAT_FOR_LATER.
    """
    fields: dict[str, Any] = {
        "format": name,
        "registry_id": identity.registry_id,
        "epoch": identity.epoch,
        "base_sequence": base_sequence,
    }
    if base_time:
        fields["base_time"] = base_time
    return seal(fields)


def encode_line(line: Line) -> bytes:
    """Return the bytes of one line, newline included. TypeError when an entry holds what JSON cannot."""
    fields: dict[str, Any] = {
        "sequence": line.sequence,
        "time": line.time,
        "operation": line.operation,
        "model_id": line.model_id,
        "drop_id": line.drop_id,
        "actor": line.actor,
        "reason": line.reason,
    }
    if line.detail is not None:
        fields["detail"] = line.detail
    if line.removed is not None:
        fields["removed"] = line.removed
    if line.changes_entry:
        fields["entry"] = line.entry
    return seal(fields)


def decode_line(raw: bytes) -> Line:
    """Return the line that `encode_line` wrote (given without its newline). Raises Damage at offset 0."""
    fields = unseal(raw)
    if fields is None:
        raise Damage(0, "a line whose checksum does not match its bytes")
    for name, kinds in _FIELDS.items():
        # What was JSON has exactly these types; true is no number here.
        if type(fields.get(name)) not in kinds:
            raise Damage(0, f"a line whose field {name!r} is missing or of another kind")
    try:
        has_zone = parse_time(fields["time"]).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise Damage(0, "a line whose time is none")
    return Line(
        sequence=fields["sequence"],
        time=fields["time"],
        operation=fields["operation"],
        model_id=fields["model_id"],
        drop_id=fields["drop_id"],
        actor=fields["actor"],
        reason=fields["reason"],
        changes_entry="entry" in fields,
        entry=fields.get("entry"),
        removed=fields.get("removed"),
        detail=fields.get("detail"),
    )


def read_header(data: bytes) -> Header:
    """Return the header of a segment that begins with `data`.

    The header is written with the file, so a missing or cut one is damage, never a torn tail.
    Raises Damage and TooNew.
    """
    end = data.find(b"\n")
    fields = unseal(data[:end]) if end >= 0 else None
    if fields is None:
        raise Damage(0, "the first line is not a journal's header")
    name = fields.get("format")
    if name not in (FORMAT, FORMAT_FOR_LATER, FORMAT_WITHOUT_IDENTITY):
        if isinstance(name, str) and name.startswith(FORMAT_NAME):
            raise TooNew(f"the journal has the format {quoted(name)}, this version reads up to {FORMAT_FOR_LATER}")
        raise Damage(0, "the first line is not a journal's header")
    base_sequence, base_time = fields.get("base_sequence"), fields.get("base_time", "")
    if type(base_sequence) is not int or base_sequence < 0 or not isinstance(base_time, str):
        raise Damage(0, "the journal's header does not say what comes before it")
    identity: Identity | None = None
    if name != FORMAT_WITHOUT_IDENTITY:
        try:
            identity = Identity(fields["registry_id"], fields["epoch"])
        except (KeyError, TypeError, ValueError):
            raise Damage(0, "the journal's header does not say which registry and epoch it is of") from None
    return Header(name, base_sequence, base_time, end + 1, identity)


def parse_segment(data: bytes, sequence: int) -> Segment:
    """Return the lines in `data`, which begins right after the line numbered `sequence`.

    Bytes behind the last newline are a torn append and are left out, unless they hold a whole line with another
    byte behind it, which no cut leaves. Raises Damage with the offset of the first line that is not what was
    written or not the next in sequence.
    """
    lines = []
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        try:
            line = decode_line(data[start:end])
        except Damage as damage:
            raise Damage(start, damage.what) from None
        if line.sequence != sequence + 1:
            raise Damage(start, f"line {line.sequence} follows line {sequence}")
        lines.append(line)
        sequence = line.sequence
        start = end + 1
    tail = data[start:]
    if len(tail) > _SEAL_BYTES and unseal(tail[:-1]) is not None:
        raise Damage(len(data) - 1, "the newline of the last line is another byte")
    return Segment(tuple(lines), start, len(tail))
