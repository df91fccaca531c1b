"""The log that `model-inbox logs` reads: a file with its rotated predecessors, stdin, or a unit's journal.

Owns which log that is, and what of it was read. Never interprets a line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

import click

from ..base.units import counted
from ..errors import ConfigError, ModelInboxError, StorageError
from ..registry.paths import RegistryFiles
from ..telemetry.logread import sources as logfiles
from ..telemetry.logread.coverage import Coverage
from ..telemetry.logread.questions import needed_events
from ..telemetry.logread.records import Record, Wanted, parse_entry, parse_line
from .common import App

__all__ = ["Found", "Source"]


@dataclass(frozen=True, slots=True)
class Found:
    """The records that were read, of which log. `missing` says why there is no log to read, or is ""."""

    records: list[Record]
    coverage: Coverage | None
    missing: str = ""


class Source:
    """The log to read. Without a file or a unit it is the one of the configuration.

    That is `logging.file`, if it exists; with `auto` the daemon's own file, if it exists; else the unit's journal.
    """

    def __init__(self, app: App, file: Path | None, unit: str | None) -> None:
        self.unit = unit or logfiles.UNIT
        self.file = file
        # Whether it is the configured log, to which other traces of the same daemon belong.
        self.configured = file is None and unit is None
        self._absent = "no log file is configured"
        # With `auto` the daemon writes either to its own file or to the journal, by how it was started.
        self._also_journal = False
        if self.configured:
            # The log must be readable even if the configuration has problems.
            with contextlib.suppress(ConfigError):
                self.file = self._configured_file(app)

    def _configured_file(self, app: App) -> Path | None:
        setting = app.config.logging.file
        path = RegistryFiles(app.config.registry.path).log if setting == "auto" else setting
        if not isinstance(path, Path):
            return None
        self._absent = f"there is no {str(path)!r}"
        try:
            found = path if logfiles.exists(path) else None
        except StorageError as error:
            # A user whom the registry's folder is closed to may read the journal, if the daemon writes there.
            if setting != "auto" or error.errno != errno.EACCES:
                raise
            self._absent = error.message
            return None
        self._also_journal = found is not None and setting == "auto"
        return found

    def read(self, wanted: Wanted, events: Sequence[str]) -> Found:
        """Return the records of the period, only those of `events` if any are given.

        Raises LogUnreadable if a log that was named, or all of the configured one, cannot be read.
        """
        if self.file is None:
            return self._read_journal(wanted, events)
        if str(self.file) == "-":
            records = _parsed(sys.stdin.buffer, parse_line)
            return Found(records, _covering("stdin", records, ()))
        paths = logfiles.rotated(self.file)
        if not paths:
            raise logfiles.LogUnreadable(
                f"cannot read the log {str(self.file)!r}: there is none", hint="Check the path"
            )
        found = self._read_files(paths, wanted, events)
        return _together(found, self._read_journal(wanted, events)) if self._also_journal else found

    def _read_files(self, paths: Sequence[Path], wanted: Wanted, events: Sequence[str]) -> Found:
        # Only lines that contain one of these are parsed, which skips most lines.
        needles = [json.dumps(name)[:-1].rstrip("*") for name in events] if events else []
        records: list[Record] = []
        unread: list[str] = []
        failed: ModelInboxError | None = None
        readable = []
        for path in paths:
            damaged: list[bytes] = []
            try:
                records += _parsed(logfiles.lines_of([path], wanted.since, needles, damaged.append), parse_line)
                readable.append(path)
            except ModelInboxError as error:
                unread.append(error.message.removeprefix("cannot read the log "))
                failed = error
            if damaged:
                unread.append(f"{counted(len(damaged), 'line')} of {str(path)!r}, which are none of a JSON log")
        if failed is not None and not readable:
            if not self.configured:
                raise failed
            return Found([], None, f"The log cannot be read: {'; '.join(unread)}")
        name = repr(str(self.file)) + (f" and {counted(len(paths) - 1, 'rotated file')}" if len(paths) > 1 else "")
        begins = min(filter(None, map(_first_time, readable)), default=None)
        ends = max(filter(None, map(_last_time, readable)), default=None)
        return Found(records, Coverage(name, begins, ends, tuple(unread)))

    def _read_journal(self, wanted: Wanted, events: Sequence[str]) -> Found:
        command = logfiles.journal_command(
            self.unit, since=wanted.since, until=wanted.until, events=needed_events(events)
        )
        name = f"the journal of {self.unit}"
        try:
            records = _parsed(logfiles.journal_lines(command), parse_entry)
            first = next(_records(logfiles.journal_lines(logfiles.journal_command(self.unit)), parse_entry), None)
        except logfiles.LogUnreadable as error:
            if not self.configured:
                raise
            why = error.message.removeprefix("cannot read the log: ").removeprefix("cannot read the journal: ")
            helps = f". {error.hint}" if error.hint else ""
            return Found([], None, f"There is no log to read: {self._absent}; {why.rstrip('.')}{helps}")
        if first is None and self.configured:
            return Found([], None, f"There is no log to read: {self._absent}, and {name} has no lines")
        newest = logfiles.journal_lines(logfiles.journal_command(self.unit, newest=True)) if first is not None else ()
        last = max((record.at for record in _records(newest, parse_entry)), default=None)
        begins = first.at if first is not None else None
        return Found(records, Coverage(name, begins, last if last is not None else begins))

    def follow(self, since: datetime | None) -> Iterator[Record]:
        """Yield the records since `since`, if it is given, and then new ones as they are logged."""
        if self.file is None:
            lines = logfiles.journal_lines(logfiles.journal_command(self.unit, since=since, following=True))
            parse: Callable[[bytes], Record | None] = parse_entry
        else:
            if str(self.file) == "-":
                raise click.UsageError("--follow cannot follow stdin")
            earlier = [path for path in logfiles.rotated(self.file) if path != self.file] if since is not None else []
            tail = logfiles.Tail(self.file, whole=since is not None)
            lines, parse = chain(logfiles.lines_of(earlier, since, ()), logfiles.follow(tail)), parse_line
        yield from _records(lines, parse)


def _together(file: Found, journal: Found) -> Found:
    """Return what is in a file and in the journal. The journal may be missing, or have nothing."""
    first, second = file.coverage, journal.coverage
    if second is None:
        return file
    if first is None:
        return journal
    begins = [at for at in (first.begins, second.begins) if at is not None]
    ends = [at for at in (first.ends, second.ends) if at is not None]
    both = Coverage(
        f"{first.name} and {second.name}",
        min(begins, default=None),
        max(ends, default=None),
        (*first.unread, *second.unread),
    )
    return Found([*file.records, *journal.records], both)


def _records(lines: Iterable[bytes], parse: Callable[[bytes], Record | None]) -> Iterator[Record]:
    return (record for line in lines if (record := parse(line)) is not None)


def _parsed(lines: Iterable[bytes], parse: Callable[[bytes], Record | None]) -> list[Record]:
    return list(_records(lines, parse))


def _covering(name: str, records: Sequence[Record], unread: tuple[str, ...]) -> Coverage:
    times = [record.at for record in records]
    return Coverage(name, min(times, default=None), max(times, default=None), unread)


def _first_time(path: Path) -> datetime | None:
    return next((record.at for record in _records(logfiles.lines_of([path], None, ()), parse_line)), None)


def _last_time(path: Path) -> datetime | None:
    return next((record.at for record in _records(logfiles.last_lines(path), parse_line)), None)
