"""Configures structlog: the format of log lines and where they are written.

Owns `configure`, which only the daemon and the commands call. The Python API logs through structlog and never
configures it. A call site names an event of `events` with a literal and puts everything variable into fields.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

import structlog

from ..base.standard_streams import STDERR, has_colours, was_closed
from ..problems import escaped
from .events import EVENTS
from .journald import JournalSender, stderr_is_journal
from .logread.records import Record
from .logread.words import in_words

__all__ = ["configure", "get_logger", "log_problem"]

log = structlog.get_logger("model_inbox")

OWN_FILE_BYTES = 10 << 20
_WAITING_LINES_MAX = 100

_NUMBER: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def get_logger() -> Any:
    """Return the logger of this package."""
    return structlog.get_logger("model_inbox")


class _Output:
    """Writes finished lines to a stream."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.problem = ""

    def msg(self, message: str) -> None:
        """Write one line."""
        self.problem = _print(self._stream, message)

    log = debug = info = warning = error = critical = msg


class _File:
    """A log file that logrotate or a person may rename, remove or truncate while it is open.

    Each line is one append, which goes to the end of a truncated file. Before each line the path is checked, and a new
    file is opened if it leads to another one. Never raises: `problem` says why the last line was not written, or is "".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._fd = -1
        # Whether the last line was written only in part, on a full disk. The next one must start a new line then.
        self._torn = False

    def write(self, line: str) -> None:
        """Append one line, without its newline."""
        try:
            self._open()
            data = (b"\n" if self._torn else b"") + line.encode("utf-8", "backslashreplace") + b"\n"
            written = os.write(self._fd, data)
        except OSError as error:
            self.problem = error.strerror or str(error)
            return
        self._torn = written < len(data)
        self.problem = "only a part of a line could be written: the disk is full" if self._torn else ""

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd >= 0:
            try:
                if os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o640)
        self._torn = False


class _OwnFile(_File):
    """The daemon's own log file, which no other program rotates, so that it cannot fill the disk.

    `paths` are its name and those of its predecessors, the newest first. Until there is a folder for it (the daemon
    makes that at its first start), a few lines wait for it.
    """

    def __init__(self, paths: Sequence[Path], full_bytes: int) -> None:
        super().__init__(paths[0])
        self._paths = paths
        self._full_bytes = full_bytes
        self._waiting: list[str] = []

    def write(self, line: str) -> None:
        """Append one line, and the lines that wait. A full file is renamed first."""
        self._waiting = [*self._waiting, line][-_WAITING_LINES_MAX:]
        try:
            if not self.path.parent.is_dir():
                return
        except OSError as error:
            # No line that cannot be written stops the work that it tells of.
            self.problem = error.strerror or str(error)
            return
        lines, self._waiting = self._waiting, []
        for one in lines:
            self._rotate()
            super().write(one)

    def _rotate(self) -> None:
        """Rename the file if it is full, and its predecessors; the oldest is replaced.

        A crash between two renames leaves a gap in the numbers, which readers do not mind.
        """
        try:
            if self.path.stat().st_size < self._full_bytes:
                return
            for older, newer in zip(self._paths[:0:-1], self._paths[-2::-1], strict=True):
                if newer.exists():
                    os.replace(newer, older)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.problem = error.strerror or str(error)


def _print(stream: IO[str], message: str) -> str:
    """Write a line to a stream. Return why that was not possible, or ""."""
    try:
        stream.write(message + "\n")
        stream.flush()
    except (OSError, ValueError) as error:
        # A closed pipe or a full disk must not stop the work that is logged.
        return f"stderr cannot be written: {error}"
    return ""


def _printable(value: Any) -> Any:
    """Return a field's value with unprintable characters escaped, so that no terminal acts on a producer's text."""
    if isinstance(value, str):
        return value if value.isprintable() else escaped(value, len(value))
    if isinstance(value, dict):
        return {_printable(str(key)): _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item) for item in value]
    if isinstance(value, os.PathLike):
        return _printable(os.fspath(value))
    if isinstance(value, float):
        return round(value, 6)
    return value


def _escape(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _printable(value) for key, value in event.items() if value is not None}


def _to_sentence(stream: IO[str]) -> Callable[..., str]:
    """Return the processor that makes an event a sentence for people, wrapped to the width of the terminal.

    A warning or an error begins with its level and ends with the name of its event, to look it up.
    """
    colours = {"warning": "33", "error": "31", "critical": "31"} if has_colours(stream) else {}

    def render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        fields = dict(event)
        at = datetime.fromisoformat(fields.pop("timestamp"))
        level, name = fields.pop("level"), str(fields.pop("event"))
        serious = _NUMBER[level] >= _NUMBER["warning"]
        words = f"{level.upper()}: " if serious else ""
        said = in_words(Record(at, level, name, fields))
        text = f"{at:%H:%M:%S}  {words}{said}" + (f" [{name}]" if serious or name not in EVENTS else "")
        lines = [text]
        if stream.isatty():
            columns = max(shutil.get_terminal_size().columns, 40)
            lines = textwrap.wrap(
                text, columns, subsequent_indent=" " * 10, break_on_hyphens=False, break_long_words=False
            )
        shown = "\n".join(lines)
        if level in colours:
            shown = shown.replace(words, f"\x1b[{colours[level]}m{words}\x1b[0m", 1)
        return shown

    return render


def _order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = ("timestamp", "level", "event", "drop_id", "model_id")
    return {key: event[key] for key in first if key in event} | {
        key: value for key, value in event.items() if key not in first
    }


# Set by `configure`: returns why log lines are lost, or "".
_find_problem: Callable[[], str] = str


def log_problem() -> str:
    """Return why log lines are lost at present, or "" if none are."""
    return _find_problem()


# The files and sockets that the last `configure` opened. The next one closes them.
_outputs = ExitStack()


def configure(
    *,
    format: Literal["auto", "console", "json", "journal"] = "auto",  # noqa: A002  # the key's name in config.yaml
    level: str = "info",
    file: Path | None = None,
    own_files: Sequence[Path] = (),
    stream: IO[str] | None = None,
) -> str:
    """Configure the log and return the format that is used.

    `auto` means native journal fields if stderr is systemd's journal, sentences on a terminal, and JSON lines
    otherwise. `file` gets JSON lines in addition, and may be rotated by others. Without one, `own_files` are used in
    the same way, unless the journal has the log: the first until it is full, the others for what was before. If a line
    cannot be written, `daemon.log_unwritten` is logged once for each cause, and every further line is tried.
    """
    out = stream if stream is not None else sys.stderr
    chosen: str = format
    if format == "auto":
        if stream is None and stderr_is_journal():
            chosen = "journal"
        else:
            chosen = "console" if out.isatty() else "json"
    _outputs.close()
    log_file = _File(file) if file is not None else None
    if log_file is None and own_files and chosen != "journal":
        log_file = _OwnFile(own_files, OWN_FILE_BYTES)
    if log_file is not None:
        _outputs.callback(log_file.close)
    processors: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _escape,
        _order,
    ]
    to_json = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)

    def also_to_file(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if log_file is not None:
            before = log_file.problem
            log_file.write(str(to_json(logger, method, dict(event))))
            # Logged once for each cause; only the other output gets it.
            if log_file.problem and log_file.problem != before:
                log.error("daemon.log_unwritten", path=str(log_file.path), problem=log_file.problem)
        return event

    processors.append(also_to_file)
    output: Any = _Output(out)
    if chosen == "journal":
        output = JournalSender()
        _outputs.callback(output.close)
    elif chosen == "console":
        processors.append(_to_sentence(out))
    else:
        processors.append(to_json)
    stderr_is_lost = stream is None and was_closed(STDERR)

    def find_problem() -> str:
        if log_file is not None:
            return f"{str(log_file.path)!r} cannot be written: {log_file.problem}" if log_file.problem else ""
        if stderr_is_lost:
            return "stderr was closed when the daemon started, and logging.file is not set"
        return output.problem if isinstance(output, _Output) else ""

    # The log is configured for the whole process, like structlog itself.
    global _find_problem
    _find_problem = find_problem
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBER[level]),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    return chosen
