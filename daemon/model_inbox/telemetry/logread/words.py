"""One log record as one sentence for people.

Owns the sentence for each event. Escapes nothing: all text was escaped when it was logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .records import UNIT_EXITED, UNIT_SAID, Record

__all__ = ["in_words"]


def in_words(record: Record) -> str:
    """Return a record as a sentence: its subject, and what happened."""
    fields = record.fields
    about = fields.get("model_id") or fields.get("stem") or fields.get("name") or ""
    words = _WORDS.get(record.event)
    said = words(fields) if words is not None else _plainly(fields)
    return ": ".join(str(part) for part in (about, said) if part)


def _plainly(fields: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in fields.items() if name not in ("model_id", "stem", "name")}
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_short(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items()) or "none"
    return str(value)


def _seconds(value: object) -> str:
    return f"{value:.3g} s" if isinstance(value, (int, float)) else "?"


def _by(fields: Mapping[str, Any]) -> str:
    return f" of {fields['owner']}" if fields.get("owner") else ""


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "drop.registered": lambda f: (
        f"registered from a drop{_by(f)} for {f.get('currency_pair')} {f.get('model_type')}, {f.get('bytes')} bytes, "
        f"in {_seconds(f.get('seconds'))} ({f.get('drop_id')})"
    ),
    "drop.duplicate": lambda f: (
        f"already registered with the same bytes; the drop{_by(f)} changed nothing"
        + (f", but its metadata differs: {_short(f['problems'])}" if f.get("problems") else "")
    ),
    "drop.rejected": lambda f: f"a drop{_by(f)} was rejected ({f.get('drop_id')}): {_short(f.get('problems') or '?')}",
    "drop.deferred": lambda f: (
        f"could not be processed, attempt {f.get('attempt', '?')}: {f.get('cause')}"
        + (f"; next in {_seconds(f['retry_in_seconds'])}" if "retry_in_seconds" in f else "")
    ),
    "drop.failed_unexpectedly": lambda f: f"failed unexpectedly, attempt {f.get('attempt', '?')}: {f.get('cause')}",
    "drop.arriving": lambda f: f"is arriving: {_short(f.get('problems') or '?')}",
    "drop.waiting": lambda f: f"is waiting: {_short(f.get('problems') or '?')}",
    "drop.stale": lambda f: f"is waiting for {_seconds(f.get('age_seconds'))}: {_short(f.get('problems') or '?')}",
    "drop.move_failed": lambda f: f"cannot be moved out of the inbox: {f.get('problem')}",
    "drop.stray_move_failed": lambda f: f"cannot be moved out of the inbox: {f.get('problem')}",
    "drop.put_back": lambda f: f"was found to be incomplete and put back: {_short(f.get('problems') or '?')}",
    "drop.recovered": lambda f: (
        f"was registered before the daemon last ended (line {f.get('sequence')}); its receipt was written now"
    ),
    "entry.retired": lambda f: f"retired to the trash: {_short(f.get('reasons') or '?')}",
    "entry.purged": lambda f: f"removed permanently from the trash, {f.get('bytes')} bytes",
    "registry.clock_jumped": lambda f: (
        f"the clock jumped from {f.get('before')} to {f.get('after')}: nothing is retired or purged for "
        f"{_seconds(f.get('hold_seconds'))}"
    ),
    "registry.clock_believed": lambda f: f"the clock is believed again after its jump (line {f.get('sequence')})",
    "daemon.started": lambda f: f"model-inbox {f.get('version')} started (process {f.get('pid')})",
    "daemon.ready": lambda f: f"processes drops from now on, after {_seconds(f.get('seconds'))}",
    "daemon.stopping": lambda f: f"is stopping after a signal ({f.get('signal')})",
    "daemon.stopped": lambda f: f"stopped after {_seconds(f.get('uptime_seconds'))}",
    "daemon.failed": lambda f: f"cannot continue: {f.get('problem')}. {f.get('hint') or ''}".rstrip(),
    "inbox.watch_lost": lambda f: f"file events no longer arrive: {f.get('cause')}",
    "inbox.watch_restored": lambda f: f"file events arrive again ({f.get('watcher')})",
    UNIT_EXITED: lambda f: str(f.get("message")),
    UNIT_SAID: lambda f: str(f.get("message")),
    "history.changed": lambda f: f"{f.get('operation')} by {f.get('actor')}: {f.get('reason') or 'no reason given'}",
}
