"""Where log lines are read from: systemd's journal, or JSON files with those that were rotated away.

Owns finding, unpacking and following them. Never writes, and never makes sense of a line: `logbook` does.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ...errors import EXIT_TRY_AGAIN, ModelInboxError, StorageError

__all__ = ["LogUnreadable", "Tail", "follow", "journal_command", "journal_lines", "lines_of", "rotated"]

UNIT = "model-inbox.service"
FOLLOW_SECONDS = 0.2


class LogUnreadable(ModelInboxError):
    """The log cannot be read: there is none, or this user may not."""

    code = "log.unreadable"
    exit_status = EXIT_TRY_AGAIN


# --- files ------------------------------------------------------------------------------------------------------------


def rotated(path: Path) -> list[Path]:
    """Return a log file with those that logrotate made of it (numbers or dates, packed or not), oldest first.

    Raises StorageError when the folder cannot be listed.
    """
    mark = r"[.-](\d{1,12}|\d{4}-\d\d-\d\d)"
    # Its mark comes last, or before the suffix (`extension` in its configuration): log-20261124.jsonl
    shapes = (
        rf"{re.escape(path.name)}({mark})?(\.gz)?",
        rf"{re.escape(path.stem)}{mark}{re.escape(path.suffix)}(\.gz)?",
    )
    try:
        names = [name for name in os.listdir(path.parent) if any(re.fullmatch(shape, name) for shape in shapes)]
        found = [path.parent / name for name in names]
        return sorted((one for one in found if one.is_file()), key=lambda one: one.stat().st_mtime)
    except OSError as error:
        raise StorageError("read the log", path, error) from error


def lines_of(paths: Iterable[Path], since: datetime | None, needles: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of these files that hold one of the needles (any line without needles), file after file.

    A file that was last written before `since` is passed over. Raises StorageError.
    """
    wanted = [needle.encode() for needle in needles]
    for path in paths:
        try:
            if since is not None and path.stat().st_mtime < since.timestamp():
                continue
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                for line in file:
                    if not wanted or any(needle in line for needle in wanted):
                        yield line
        except (OSError, EOFError) as error:
            wrapped = error if isinstance(error, OSError) else OSError(str(error))
            raise StorageError("read the log", path, wrapped) from error


class Tail:
    """Reads on in a file that grows, is renamed away or cut: from its end on, or the whole of it."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path = path
        self._file = None if not path.exists() else path.open("rb")
        self._rest = b""
        if self._file is not None and not whole:
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[bytes]:
        """Return the whole lines that came since. Raises StorageError."""
        try:
            found = self._read()
            if self._was_replaced():
                self.close()
                self._file = self.path.open("rb")
                found += self._read()
        except FileNotFoundError:
            return []  # between the two steps of a rotation
        except OSError as error:
            raise StorageError("read the log", self.path, error) from error
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._rest = b""

    def _was_replaced(self) -> bool:
        if self._file is None:
            return True
        return not os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))

    def _read(self) -> list[bytes]:
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # cut: copytruncate
            self._file.seek(0)
            self._rest = b""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines


def follow(tail: Tail, pause: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Yield lines as they come, for ever."""
    while True:
        lines = tail.lines()
        yield from lines
        if not lines:
            pause(FOLLOW_SECONDS)


# --- the journal ------------------------------------------------------------------------------------------------------


def journal_command(
    unit: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    events: Sequence[str] = (),
    following: bool = False,
) -> list[str]:
    """Return the journalctl command for the entries of a unit, as JSON with all fields whole."""
    command = ["journalctl", "--all", "--quiet", "--no-pager", "--output=json", f"--unit={unit}"]
    if since is not None:
        command.append(f"--since=@{int(since.timestamp())}")
    if until is not None:
        command.append(f"--until=@{int(until.timestamp()) + 1}")
    if following:
        command.append("--follow")
        command += [] if since is not None else ["--lines=10"]
    return [*command, *(f"EVENT={event}" for event in events)]


def journal_lines(command: Sequence[str]) -> Iterator[bytes]:
    """Run journalctl and yield its lines as they come. Raises LogUnreadable when it is missing or refuses."""
    program = shutil.which(command[0])
    if program is None:
        raise LogUnreadable(
            "cannot read the log: there is no journalctl here, and no log file is configured",
            hint="Say where the log is: --file LOG.jsonl",
        )
    with subprocess.Popen([program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603  # journalctl
        assert process.stdout is not None and process.stderr is not None  # noqa: S101  # both are pipes
        empty = True
        try:
            for line in process.stdout:
                empty = False
                yield line
        finally:
            process.terminate()
            said = process.stderr.read().decode("utf-8", "replace").strip()
            status = process.wait()
        if empty and said and (status or "ermission" in said):
            raise LogUnreadable(
                f"cannot read the journal: {said.splitlines()[-1]}",
                hint="Members of the groups systemd-journal and adm may read it: try with sudo",
            )
