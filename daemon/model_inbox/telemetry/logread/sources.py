"""The sources of log lines: systemd's journal, or a JSON file with its rotated predecessors.

Owns finding, unpacking and following them. Never writes, and never parses a line: `records` does.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ...errors import ModelInboxError, StorageError
from ...exit_codes import EXIT_TRY_AGAIN

__all__ = [
    "LogUnreadable",
    "Tail",
    "exists",
    "follow",
    "journal_command",
    "journal_lines",
    "last_lines",
    "lines_of",
    "rotated",
]

UNIT = "model-inbox.service"
FOLLOW_SECONDS = 0.2
# Where the last line of a log is looked for.
_TAIL_BYTES = 1 << 20
_TAIL_LINES = 100


class LogUnreadable(ModelInboxError):
    """The log cannot be read: it does not exist, or this user may not read it."""

    code = "log.unreadable"
    exit_status = EXIT_TRY_AGAIN


# --- files ------------------------------------------------------------------------------------------------------------


def rotated(path: Path) -> list[Path]:
    """Return a log file and its rotated predecessors (with numbers or dates, compressed or not), oldest first.

    Raises StorageError if the folder cannot be listed.
    """
    mark = r"[.-](\d{1,12}|\d{4}-\d\d-\d\d)"
    # logrotate puts the mark at the end or, with its option `extension`, before the suffix: log-20261124.jsonl
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


def exists(path: Path) -> bool:
    """Return whether a log file or a rotated predecessor of it exists. Raises StorageError."""
    try:
        return path.parent.is_dir() and bool(rotated(path))
    except PermissionError as error:
        raise StorageError("read the log", path, error) from error


def lines_of(
    paths: Iterable[Path],
    since: datetime | None,
    needles: Sequence[str],
    damaged: Callable[[bytes], object] = lambda _: None,
) -> Iterator[bytes]:
    """Yield the lines of the files that contain one of `needles`; all lines if there are none.

    A file that was last written before `since` is skipped. `damaged` is called with each line that is none of a JSON
    log; one without its end is still being written. Raises StorageError.
    """
    wanted = [needle.encode() for needle in needles]
    for path in paths:
        try:
            if since is not None and path.stat().st_mtime < since.timestamp():
                continue
            with _opened(path) as file:
                for line in file:
                    is_json = line[:1] == b"{" and line[-2:] == b"}\n"
                    if not is_json and line[-1:] == b"\n" and line.strip():
                        damaged(line)
                    if not wanted or any(needle in line for needle in wanted):
                        yield line
        except _UNREADABLE as error:
            raise _failure(path, error) from error


def last_lines(path: Path) -> Iterator[bytes]:
    """Yield the last lines of a file, the last one first. Raises StorageError."""
    try:
        with _opened(path) as file:
            if path.suffix != ".gz":
                file.seek(max(os.fstat(file.fileno()).st_size - _TAIL_BYTES, 0))
            lines = deque(file, maxlen=_TAIL_LINES)
    except _UNREADABLE as error:
        raise _failure(path, error) from error
    yield from reversed(lines)


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


_UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a log file that may be compressed raises."""


def _failure(path: Path, error: Exception) -> StorageError:
    return StorageError("read the log", path, error if isinstance(error, OSError) else OSError(str(error)))


class Tail:
    """Reads new lines of a file that grows and may be rotated or truncated, from its end or (`whole`) its start."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path = path
        self._file = None if not path.exists() else path.open("rb")
        self._rest = b""
        if self._file is not None and not whole:
            self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[bytes]:
        """Return the complete lines that were added since the last call. Raises StorageError."""
        try:
            found = self._read()
            if self._was_replaced():
                self.close()
                self._file = self.path.open("rb")
                found += self._read()
        except FileNotFoundError:
            # The file is being rotated.
            return []
        except OSError as error:
            raise StorageError("read the log", self.path, error) from error
        return found

    def close(self) -> None:
        """Close the file."""
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
        # The file was truncated (logrotate's `copytruncate`).
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines


def follow(tail: Tail, pause: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Yield new lines as they are written. Never ends."""
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
    newest: bool = False,
) -> list[str]:
    """Return the journalctl command for the entries of a unit, as JSON with complete fields.

    `newest`: only the last ones.
    """
    command = ["journalctl", "--all", "--quiet", "--no-pager", "--output=json", f"--unit={unit}"]
    if since is not None:
        command.append(f"--since=@{int(since.timestamp())}")
    if until is not None:
        command.append(f"--until=@{int(until.timestamp()) + 1}")
    if following:
        command.append("--follow")
        command += [] if since is not None else ["--lines=10"]
    if newest:
        command.append("--lines=10")
    return [*command, *(f"EVENT={event}" for event in events)]


def journal_lines(command: Sequence[str]) -> Iterator[bytes]:
    """Run journalctl and yield its lines. Raises LogUnreadable if it is missing or refuses."""
    program = shutil.which(command[0])
    if program is None:
        raise LogUnreadable(
            "cannot read the log: this machine has no journalctl, and no log file is configured",
            hint="Give the log file: --file LOG.jsonl",
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
                hint="Members of the groups systemd-journal and adm may read it. Try it with sudo",
            )
