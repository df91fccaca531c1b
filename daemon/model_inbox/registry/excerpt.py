"""What the files of a registry say about one model and those beside it, without reading all the rest.

Owns a search of the journal, its closed segments and the base file as bytes: to open a registry of 100,000 models takes
seconds, this a part of one. Only what was asked for is parsed, and the checksum of each such line is checked. A damaged
line is left out, and `missing` has the numbers of lines that are in no file. Takes no lock, follows nothing and never
changes a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path

import orjson

from ..base.collector import collector_paused
from ..base.disk import read_bytes
from ..errors import RegistryCorrupted, RegistryError, RegistryMissing, RegistryTooNew
from ..problems import is_unicode
from .checkpoint import parse_checkpoint
from .entry import EntryFields, as_fields
from .journal import (
    Damage,
    Header,
    Line,
    TooNew,
    also_changed,
    decode_line,
    format_time,
    parse_time,
    read_header,
    rules_of,
)
from .paths import RegistryFiles
from .segments import base_sequence, check_base, first_base, history_segments, missing_lines

__all__ = ["Excerpt"]

# What `journal.encode_line` begins a line with.
_HEAD = re.compile(rb'\{"sequence":([0-9]+),"time":"([^"]*)","operation":"[^"]*","model_id":("(?:[^"\\]|\\.)*")')
_ENTRY, _ALSO, _RULES = b'"entry":', b'"also":', b'"rules":"'


class Excerpt:
    """A search of one registry, as of the last line whose time is not after `at`; None is the last line of all.

    `reached` is the number of that line. Raises RegistryMissing, RegistryCorrupted, RegistryTooNew, StorageError, and
    RegistryError for a time before the history that is kept.
    """

    def __init__(self, files: RegistryFiles, at: datetime | None = None) -> None:
        self._files = files
        self._header, last = _ends_of(files.journal)
        self.reached = last if at is None else self._last_not_after(at)

    def missing(self) -> list[tuple[int, int]]:
        """Return the numbers of lines that are in no file, as pairs of a first and a last one."""
        missing = missing_lines(self._files.history, self._header.base_sequence)
        return [(first, min(last, self.reached)) for first, last in missing if first <= self.reached]

    def lines_about(self, model_id: str) -> list[Line]:
        """Return the lines that change the model with this id, oldest first."""
        return self._lines(model_id, lambda line: line.model_id == model_id or model_id in also_changed(line))

    def lines_of_drop(self, drop_id: str) -> list[Line]:
        """Return the lines of a drop, oldest first."""
        return self._lines(drop_id, lambda line: line.drop_id == drop_id)

    def last_rules(self) -> str | None:
        """Return the digest of the rules that the last line names which was decided by rules, None if none does."""
        for data in self._segments():
            at = len(data)
            while (at := data.rfind(_RULES, 0, at)) >= 0:
                with suppress(Damage):
                    line = decode_line(data[data.rfind(b"\n", 0, at) + 1 : data.find(b"\n", at)])
                    if line.sequence <= self.reached and (digest := rules_of(line)) is not None:
                        return digest
        return None

    def first_entry(self, model_id: str) -> EntryFields | None:
        """Return the entry that a model had before the first line that is kept, or None."""
        base = self._base
        if base is None or not is_unicode(model_id):
            return None
        path, data = base
        at = data.find(b"\n  " + orjson.dumps(model_id) + b": {")
        return _entries_at(path, data, [at + 1]).get(model_id) if at >= 0 else None

    def entries(self, currency_pair: str | None = None, model_type: str | None = None) -> dict[str, EntryFields]:
        """Return the entries of a pair and type, by id and in no order; None is any."""
        found: dict[str, EntryFields | None] = {}
        if not all(value is None or is_unicode(value) for value in (currency_pair, model_type)):
            return {}
        with collector_paused():
            for data in self._segments():
                # By id: the last line of this segment that sets or removes the entry.
                latest: dict[str, bytes | EntryFields | None] = {}
                for raw in _hits(data, *_needles(b":", currency_pair, model_type)):
                    self._take(raw, latest)
                for model_id, last in latest.items():
                    if model_id not in found:
                        found[model_id] = _entry_in(last) if isinstance(last, bytes) else last
            base = self._base
            if base is not None:
                path, data = base
                before = _entries_at(path, data, _places(data, *_needles(b": ", currency_pair, model_type)))
                found = {**before, **found}
        return {
            model_id: entry
            for model_id, entry in found.items()
            if entry is not None
            and currency_pair in (None, entry.get("currency_pair"))
            and model_type in (None, entry.get("model_type"))
        }

    # --- inside -----------------------------------------------------------------------------------------------

    def _segments(self) -> Iterator[bytes]:
        """Yield the bytes of the segments, newest first. The current one is read first: it may be closed meanwhile."""
        for path in (self._files.journal, *reversed(history_segments(self._files.history))):
            # Pruned meanwhile.
            with suppress(FileNotFoundError):
                yield read_bytes(path)

    @cached_property
    def _base(self) -> tuple[Path, bytes] | None:
        """The file with the entries before the first line that is kept; None if there were none.

        It can be nearly all of a registry, so it is read and checked once.
        """
        history = self._files.history
        segments = history_segments(history)
        begins = base_sequence(segments[0]) if segments else self._header.base_sequence
        path = first_base(history, begins + 1)
        if path is None:
            return None
        try:
            data = read_bytes(path)
        except FileNotFoundError:
            raise RegistryError(f"cannot read {str(history)!r}: it changed meanwhile", hint="Try again") from None
        check_base(path, data)
        return path, data

    def _lines(self, text: str, wanted: Callable[[Line], bool]) -> list[Line]:
        found: dict[int, Line] = {}
        if not is_unicode(text):
            # Bytes of a command line that are not UTF-8: no line has them.
            return []
        for data in self._segments():
            for raw in _hits(data, orjson.dumps(text)):
                with suppress(Damage):
                    line = decode_line(raw)
                    if line.sequence <= self.reached and wanted(line):
                        found[line.sequence] = line
        return [found[sequence] for sequence in sorted(found)]

    def _take(self, raw: bytes, latest: dict[str, bytes | EntryFields | None]) -> None:
        """Note which entries a line sets. One that sets a single entry is parsed later, if no line comes after it."""
        head = _HEAD.match(raw)
        if head is None or int(head[1]) > self.reached:
            return
        if _ALSO not in raw:
            if _ENTRY in raw:
                latest[orjson.loads(head[3])] = raw
            return
        with suppress(Damage):
            line = decode_line(raw)
            if line.changes_entry:
                latest[line.model_id] = line.entry
            latest.update(also_changed(line))

    def _last_not_after(self, at: datetime) -> int:
        """Return the number of the last line whose time is not after that. The search begins at the end.

        Raises RegistryError if that line is not kept any more.
        """
        oldest = ""
        for data in self._segments():
            end = data.rfind(b"\n")
            while end > 0:
                begin = data.rfind(b"\n", 0, end) + 1
                head = _HEAD.match(data, begin)
                if head is not None:
                    oldest = head[2].decode()
                    with suppress(ValueError):
                        if parse_time(oldest) <= at:
                            return int(head[1])
                end = begin - 1
        if self._base is None:
            return 0
        raise RegistryError(
            f"cannot tell the registry as of {format_time(at)}: its history begins at {oldest or 'its first line'}",
            hint="registry.history_keep says how long the history is kept",
        )


def _ends_of(journal: Path) -> tuple[Header, int]:
    """Return the header of the current segment, and the number of its last whole line."""
    try:
        data = read_bytes(journal)
        header = read_header(data)
    except FileNotFoundError:
        raise RegistryMissing(f"cannot open {str(journal)!r}: there is no such journal") from None
    except Damage as damage:
        raise RegistryCorrupted(journal, damage.offset, damage.what) from None
    except TooNew as error:
        raise RegistryTooNew.of_file(journal, error) from None
    end = data.rfind(b"\n")
    head = _HEAD.match(data, data.rfind(b"\n", 0, end) + 1)
    return header, int(head[1]) if head is not None else header.base_sequence


def _needles(colon: bytes, currency_pair: str | None, model_type: str | None) -> tuple[bytes, ...]:
    """Return the bytes that every entry of a pair and type has."""
    names = (("currency_pair", currency_pair), ("model_type", model_type))
    given = [orjson.dumps(name) + colon + orjson.dumps(value) for name, value in names if value is not None]
    return tuple(given) or (b'"model_id"' + colon,)


def _hits(data: bytes, needle: bytes, *others: bytes) -> Iterator[bytes]:
    """Yield the whole lines in which all of these bytes are, without their newlines."""
    at = data.find(needle)
    while at >= 0:
        end = data.find(b"\n", at)
        if end < 0:
            return
        raw = data[data.rfind(b"\n", 0, at) + 1 : end]
        if all(other in raw for other in others):
            yield raw
        at = data.find(needle, end)


def _entry_in(raw: bytes) -> EntryFields | None:
    with suppress(Damage):
        return decode_line(raw).entry
    return None


# --- in the base file, of which `checkpoint.checkpoint_bytes` makes the layout ----------------------------------------


def _places(data: bytes, needle: bytes, *others: bytes) -> Iterator[int]:
    """Yield where the entries begin in which all of these bytes are."""
    at = data.find(needle)
    while at >= 0:
        begin = data.rfind(b'\n  "', 0, at) + 1
        end = data.find(b"\n  }", at)
        if end < 0:
            return
        if all(data.find(other, begin, end) >= 0 for other in others):
            yield begin
        at = data.find(needle, end)


def _entries_at(path: Path, data: bytes, places: Iterator[int] | list[int]) -> dict[str, EntryFields]:
    """Return the entries that begin at these places, by id. A file of another layout is parsed as a whole."""
    try:
        found: dict[str, EntryFields] = {}
        for begin in places:
            for model_id, entry in orjson.loads(b"{%s}" % data[begin : data.index(b"\n  }", begin) + 4]).items():
                found[model_id] = as_fields(entry)
    except ValueError:
        return parse_checkpoint(path, data)
    return found
