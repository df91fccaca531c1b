"""What the daemon says, and how it is written down.

Owns the catalogue of events (`EVENTS`: name, level, fields, meaning, what to do) and `configure`, which only the
daemon and the commands call. Never called by the library parts, which just log through structlog. Call sites
name an event with a literal and put everything variable into fields; docs/logs.md is the catalogue for people,
and a test holds catalogue, page and call sites together.

The level says who acts: debug and info nobody, warning the producer (or nobody: a retry is coming), error the
operator, critical means that the daemon stops.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import structlog

from .journald import JournalSender, stderr_is_journal

__all__ = ["EVENTS", "Event", "configure", "get_logger"]

log = structlog.get_logger("model_inbox")

Level = Literal["debug", "info", "warning", "error", "critical"]
_NUMBER: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line. `fields` are all that it may carry beside timestamp, level and event."""

    level: Level
    fields: tuple[str, ...]
    meaning: str
    action: str = "Nothing to do."


_DROP = ("drop_id", "stem", "model_id")

EVENTS: dict[str, Event] = {
    # --- the daemon
    "daemon.started": Event(
        "info",
        ("version", "pid", "config", "inbox", "registry", "settings"),
        "The daemon runs; it has not looked yet. `settings` are those that are not the defaults.",
    ),
    "daemon.ready": Event(
        "info", ("waiting", "entries", "seconds"), "The first rescan is done; drops are taken from now on."
    ),
    "daemon.stopping": Event("info", ("signal",), "A signal asked it to end; what is in hand is finished first."),
    "daemon.stopped": Event("info", ("uptime_seconds",), "It ended as asked."),
    "daemon.failed": Event(
        "critical",
        ("problem", "hint"),
        "It cannot go on and ends.",
        "Do what the hint says, then start it again.",
    ),
    "daemon.scanner_restarted": Event(
        "warning",
        ("cause",),
        "The process that scans pickles ended and was started anew; the drop that killed it is rejected.",
        "Nothing, unless it happens for good files: then raise pickle.memory_limit or pickle.time_limit.",
    ),
    "daemon.log_unwritten": Event(
        "error",
        ("path", "problem"),
        "`logging.file` cannot be written; the lines go to stderr alone until it can.",
        "See that folder and file belong to the service's user, and that the disk is not full.",
    ),
    "daemon.status_unwritten": Event(
        "warning",
        ("problem",),
        "The status file could not be replaced in each of its places; `model-inbox status` may tell old news.",
        "See that disk and folder can be written.",
    ),
    "daemon.metrics_unwritten": Event(
        "error",
        ("problem",),
        "The metrics cannot be written or served as `metrics:` in config.yaml says; all else goes on.",
        "Mend the path or the address, then `model-inbox reload`.",
    ),
    # --- the configuration
    "config.loaded": Event(
        "info",
        ("path", "changed", "restart_needed", "settings"),
        "config.yaml is in force; after a reload `changed` names the keys that changed.",
        "Restart the daemon if `restart_needed` names a key.",
    ),
    "config.refused": Event(
        "error",
        ("path", "problems"),
        "The new config.yaml has problems; the old one stays in force.",
        "Mend the file (`model-inbox config check` shows the same problems), then reload again.",
    ),
    # --- the inbox
    "inbox.rescanned": Event(
        "debug", ("cause", "found", "ready", "waiting", "seconds"), "The folder was listed and judged."
    ),
    "inbox.watch_lost": Event(
        "warning",
        ("cause",),
        "File events no longer reach us (the folder was renamed, removed or mounted over, or limits were hit).",
        "Nothing: it is set up anew, and the folder is rescanned by the clock meanwhile.",
    ),
    "inbox.watch_restored": Event("info", ("watcher",), "File events reach us again."),
    "inbox.unreadable": Event(
        "error",
        ("path", "problem"),
        "The inbox cannot be listed; it is tried again.",
        "See that the folder is there and belongs to the service's user.",
    ),
    "inbox.receipts_purged": Event("debug", ("purged",), "Receipts older than inbox.receipts_keep were removed."),
    # --- a drop
    "drop.arriving": Event(
        "debug",
        ("stem", "problems"),
        "A drop is not whole yet and came just now: somebody is copying it.",
    ),
    "drop.waiting": Event(
        "info",
        ("stem", "problems", "until"),
        "A drop has not been whole for five seconds; said once for each thing that it waits for.",
        "Nothing, unless it stays: the producer finds in `problems` what is missing.",
    ),
    "drop.stale": Event(
        "warning",
        ("stem", "problems", "age_seconds"),
        "A drop has waited long, and will not be rejected by the clock (somebody has it open, or it cannot be "
        "read or moved).",
        "The producer closes the file or mends its rights; `problems` tells which.",
    ),
    "drop.claimed": Event("debug", ("drop_id", "stem"), "A whole drop was moved out of the producers' reach."),
    "drop.put_back": Event(
        "info",
        ("drop_id", "stem", "problems"),
        "A claimed drop turned out not to be whole and went back; it is tried again when its files change.",
    ),
    "drop.registered": Event(
        "info",
        (
            *_DROP,
            "currency_pair",
            "model_type",
            "sha256",
            "scaler_sha256",
            "bytes",
            "integrity",
            "owner",
            "sequence",
            "seconds",
            "steps",
            "notes",
        ),
        "The drop is a model of the registry now. `steps` gives the seconds of each step.",
    ),
    "drop.duplicate": Event(
        "info",
        (*_DROP, "sha256", "scaler_sha256", "owner", "sequence", "seconds", "steps"),
        "The same model with the same bytes is registered already; nothing changed, the drop is consumed.",
    ),
    "drop.rejected": Event(
        "warning",
        (*_DROP, "problems", "codes", "owner", "rejected_dir", "seconds", "steps"),
        "The drop was refused and lies in rejected/ with its reasons.",
        "The producer mends what `problems` names and drops again (`model-inbox rejected show DROP_ID`).",
    ),
    "drop.deferred": Event(
        "warning",
        ("drop_id", "stem", "cause", "retry_in_seconds", "attempt"),
        "We could not decide now (disk full, I/O error, registry locked); it is tried again, never rejected for it.",
        "Mend the disk or the lock if it does not pass.",
    ),
    "drop.recovered": Event(
        "info",
        ("drop_id", "stem", "sequence"),
        "A drop that was in hand when the daemon last ended had been registered; its receipt was written.",
    ),
    "drop.scaler_late": Event(
        "error",
        ("stem", "model_id", "drop_id"),
        "A scaler came after its model had been registered without one; it was rejected.",
        "If the model needs it: `model_inbox.ModelRegistry.replace_scaler`, or drop both again under a new id. "
        "Producers avoid this with `scaler_file` in the sidecar.",
    ),
    "drop.stray_found": Event(
        "warning",
        ("name", "problem"),
        "Something in the inbox belongs to no drop; said once. Files are rejected after inbox.orphan_timeout, "
        "folders stay.",
        "The producer sends the sidecar, or takes it away.",
    ),
    "drop.rejected_purged": Event(
        "info", ("purged", "bytes"), "Rejected drops older than inbox.rejected_keep were removed for good."
    ),
    # --- the registry
    "registry.opened": Event("info", ("path", "entries", "sequence"), "The registry was read."),
    "registry.checkpointed": Event("debug", ("sequence", "seconds"), "The JSON file is up to date."),
    "registry.checkpoint_failed": Event(
        "error",
        ("problem",),
        "The JSON file could not be brought up to date; nothing is lost, the journal has it all.",
        "Mend the disk; it is tried again.",
    ),
    "registry.unreadable": Event(
        "error",
        ("path", "problem"),
        "The registry's files can no longer be followed; this process serves what it holds.",
        "`model-inbox verify`, then `model-inbox rebuild` if it says so.",
    ),
    "registry.leftover_found": Event(
        "warning",
        ("count",),
        "A crash had left files of retired or purged models behind; they were put where they belong.",
    ),
    "journal.tail_truncated": Event(
        "warning",
        ("path", "offset", "lost_bytes"),
        "A writer died while appending; its unfinished line, never acknowledged, was cut.",
    ),
    # --- retention
    "retention.planned": Event(
        "info",
        ("mode", "keep", "retire", "bytes"),
        "What the rules keep and retire (when they retire anything).",
    ),
    "retention.refused": Event(
        "error",
        ("problem", "retire"),
        "The plan is over the breaker's limits; nothing was retired.",
        "Look at `model-inbox retention plan`; if it is right, `model-inbox retention apply --override-breaker`.",
    ),
    "retention.failed": Event(
        "error",
        ("problem",),
        "Applying the plan stopped half-way; each step is whole, the rest is tried again.",
    ),
    "entry.retired": Event(
        "info",
        ("model_id", "currency_pair", "model_type", "reasons", "bytes", "sequence"),
        "A model was retired to the trash by the rules.",
        "`model-inbox restore MODEL_ID` brings it back until the grace is over.",
    ),
    "entry.spared": Event(
        "info",
        ("model_id", "sequence"),
        "The plan let go of a model, and when its turn came it was protected, held by a rule again, or gone.",
    ),
    "entry.purged": Event(
        "info",
        ("model_id", "sequence", "bytes"),
        "A retired model's files were removed for good after the grace.",
    ),
}
"""Every event that can be logged."""


def get_logger() -> Any:
    """Return the logger that all parts use."""
    return structlog.get_logger("model_inbox")


class _Output:
    """Writes finished lines to a stream."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write one line."""
        _print(self._stream, message)

    log = debug = info = warning = error = critical = msg


class _File:
    """A log file that anybody may rename, remove or cut while we write to it, as logrotate does in its two ways.

    Each line is one append: a file that was cut goes on at its new end, and before each line we see whether the
    path still names the file that we have open. Never raises; `problem` says why the last line was not written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._fd = -1
        self._torn = False  # a full disk took only a part of a line: the next one begins on a line of its own

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


def _print(stream: IO[str], message: str) -> None:
    try:
        stream.write(message + "\n")
        stream.flush()
    except (OSError, ValueError):
        # A closed pipe or a full disk under the log must never stop the work that it tells of.
        return


def _printable(value: Any) -> Any:
    """Escape what a terminal would act on; producer text reaches fields only through here."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
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


def _order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = ("timestamp", "level", "event", "drop_id", "model_id")
    return {key: event[key] for key in first if key in event} | {
        key: value for key, value in event.items() if key not in first
    }


_outputs = ExitStack()  # what the last `configure` opened: a reload lets go of it


def configure(
    *,
    format: Literal["auto", "console", "json", "journal"] = "auto",  # noqa: A002  # the key's name in config.yaml
    level: str = "info",
    file: Path | None = None,
    stream: IO[str] | None = None,
    colors: bool | None = None,
) -> str:
    """Set up where log lines go and return the format that was chosen.

    `auto` is native journal fields where stderr is systemd's journal, coloured text on a terminal, and JSON lines
    otherwise. `file` gets JSON lines as well, and survives logrotate; where it cannot be written, that is said once
    as `daemon.log_unwritten`, and tried again with every line.
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
            if log_file.problem and log_file.problem != before:  # said once, to the other output
                log.error("daemon.log_unwritten", path=str(log_file.path), problem=log_file.problem)
        return event

    processors.append(also_to_file)
    output: Any = _Output(out)
    if chosen == "journal":
        output = JournalSender()
        _outputs.callback(output.close)
    elif chosen == "console":
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=out.isatty() if colors is None else colors,
                sort_keys=False,
                exception_formatter=structlog.dev.plain_traceback,
            )
        )
    else:
        processors.append(to_json)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBER[level]),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    return chosen
