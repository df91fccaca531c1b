"""One log record as one sentence for people.

Owns the sentence for each event. Escapes nothing: all text was escaped when it was logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...base.units import counted, format_duration, format_size
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
    shown = {name: value for name, value in fields.items() if name not in ("model_id", "stem", "name", "traceback")}
    return ", ".join(f"{name} {_short(value)}" for name, value in shown.items())


def _short(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(_short(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items()) or "none"
    return str(value)


def _seconds(value: object) -> str:
    return format_duration(value) if isinstance(value, (int, float)) else "?"


def _bytes(value: object) -> str:
    return format_size(int(value)) if isinstance(value, (int, float)) and value >= 0 else "?"


def _counted(value: object, noun: str) -> str:
    return counted(value, noun) if isinstance(value, int) else f"? {noun}s"


def _by(fields: Mapping[str, Any]) -> str:
    return f" of {fields['owner']}" if fields.get("owner") else ""


def _with(fields: Mapping[str, Any], name: str, before: str) -> str:
    """Return the text `before` and a field, or "" if the record lacks it."""
    return f"{before}{_short(fields[name])}" if fields.get(name) not in (None, [], {}, "") else ""


def _retry(fields: Mapping[str, Any]) -> str:
    return f"; tried again in {_seconds(fields['retry_in_seconds'])}" if "retry_in_seconds" in fields else ""


def _problem(fields: Mapping[str, Any]) -> str:
    return _short(fields.get("problem") or fields.get("cause") or "?")


_Words = Callable[[Mapping[str, Any]], str]

_DAEMON: dict[str, _Words] = {
    "daemon.started": lambda f: (
        f"model-inbox {f.get('version')} started (process {f.get('pid')})"
        + _with(f, "inbox", ", inbox ")
        + _with(f, "registry", ", registry ")
        + _with(f, "config", ", configuration ")
    ),
    "daemon.ready": lambda f: f"ready for drops, after {_seconds(f.get('seconds'))}",
    "daemon.stopping": lambda f: f"stopping after {f.get('signal') or 'a signal'}",
    "daemon.stopped": lambda f: f"stopped; it ran for {_seconds(f.get('uptime_seconds'))}",
    "daemon.failed": lambda f: f"cannot continue: {f.get('problem')}. {f.get('hint') or ''}".rstrip(),
    "daemon.task_failed": lambda f: (
        f"an unexpected error in {f.get('task')}, attempt {f.get('attempt', '?')}: {_problem(f)}{_retry(f)}"
    ),
    "daemon.task_recovered": lambda f: f"works again: {f.get('task')}",
    "daemon.scanner_restarted": lambda f: f"the process that scans pickles ended and was started again: {_problem(f)}",
    "daemon.log_unwritten": lambda f: f"the log file {f.get('path')} cannot be written: {_problem(f)}",
    "daemon.status_unwritten": lambda f: f"a status file cannot be written: {_problem(f)}",
    "daemon.status_restored": lambda f: f"both status files can be written again, after {_seconds(f.get('seconds'))}",
    "daemon.storage_failed": lambda f: f"cannot write in {f.get('path')}: {_problem(f)}{_with(f, 'hint', '. ')}",
    "daemon.storage_restored": lambda f: f"can write in {f.get('path')} again, after {_seconds(f.get('seconds'))}",
    "daemon.metrics_unwritten": lambda f: f"the metrics cannot be written or served: {_problem(f)}",
    "config.loaded": lambda f: (
        f"uses {f.get('path') or 'the default settings'}"
        + _with(f, "changed", "; changed: ")
        + _with(f, "restart_needed", "; restart needed for: ")
    ),
    "config.refused": lambda f: (
        f"{f.get('path')} has problems, and the old settings stay in use: {_short(f.get('problems') or '?')}"
    ),
    "inbox.rescanned": lambda f: (
        f"the inbox was listed ({f.get('cause')}): {f.get('found')} found, {f.get('ready')} complete, "
        f"{f.get('waiting')} waiting"
    ),
    "inbox.crowded": lambda f: f"{f.get('waiting')} drops and files of {f.get('owner')} wait in the inbox",
    "inbox.watch_lost": lambda f: f"file events no longer arrive: {f.get('cause')}",
    "inbox.watch_restored": lambda f: f"file events arrive again ({f.get('watcher')})",
    "inbox.unavailable": lambda f: f"the inbox {f.get('path')} cannot be used: {_problem(f)}",
    "inbox.unreadable": lambda f: f"the inbox {f.get('path')} cannot be listed: {_problem(f)}",
    "inbox.purge_failed": lambda f: f"old rejected drops or receipts cannot be removed: {_problem(f)}",
    "inbox.without_acls": lambda f: f"the file system of {f.get('path')} has no access control lists",
    "inbox.unprotected": lambda f: f"users can take each other's drops: {_problem(f)}",
    "inbox.left_open": lambda f: f"others may read {_counted(f.get('count'), 'file')} of before, as {f.get('path')}",
    "inbox.receipts_purged": lambda f: f"{_counted(f.get('purged'), 'old receipt')} removed",
}


def _instead(fields: Mapping[str, Any]) -> str:
    """Return which model an alias is taken from, if one had it."""
    return f" instead of {fields['before']}" if fields.get("before") else ""


_DROPS: dict[str, _Words] = {
    "drop.registered": lambda f: (
        f"registered from a drop{_by(f)} for {f.get('currency_pair')} {f.get('model_type')}"
        + (f" {f['variant']}" if f.get("variant") else "")
        + (f", {_bytes(f['bytes'])}" if "bytes" in f else "")
        + (f", in {_seconds(f['seconds'])}" if "seconds" in f else "")
        + f" ({f.get('drop_id')})"
        + (f"; held, so it is not served: {_short(f['held'])}" if f.get("held") else "")
    ),
    "drop.duplicate": lambda f: (
        f"already registered with the same bytes; the drop{_by(f)} changed nothing"
        + (f", but its metadata differs: {_short(f['problems'])}" if f.get("problems") else "")
    ),
    "drop.rejected": lambda f: f"a drop{_by(f)} was rejected ({f.get('drop_id')}): {_short(f.get('problems') or '?')}",
    "drop.deferred": lambda f: f"cannot be processed now, attempt {f.get('attempt', '?')}: {_problem(f)}{_retry(f)}",
    "drop.failed_unexpectedly": lambda f: (
        f"an unexpected error, attempt {f.get('attempt', '?')}: {_problem(f)}{_retry(f)}"
    ),
    "drop.arriving": lambda f: f"is arriving: {_short(f.get('problems') or '?')}",
    "drop.waiting": lambda f: f"is waiting: {_short(f.get('problems') or '?')}",
    "drop.stale": lambda f: (
        f"has been waiting for {_seconds(f.get('age_seconds'))}: {_short(f.get('problems') or '?')}"
    ),
    "drop.move_failed": lambda f: f"cannot be moved out of the inbox: {_problem(f)}",
    "drop.stray_move_failed": lambda f: f"cannot be moved out of the inbox: {_problem(f)}",
    "drop.claimed": lambda f: f"complete, and taken out of the inbox ({f.get('drop_id')})",
    "drop.put_back": lambda f: f"was found to be incomplete and put back: {_short(f.get('problems') or '?')}",
    "drop.recovered": lambda _: "was registered before the daemon last ended; its receipt was written now",
    "drop.recovery_failed": lambda f: (
        f"the unfinished drops of an earlier run cannot be listed: {_problem(f)}{_retry(f)}"
    ),
    "drop.scaler_late": lambda f: (
        f"the scaler {f.get('stem')} came after its model was registered without one; it was rejected"
    ),
    "drop.completed_rejected": lambda f: f"{f.get('file')} came after the rejection of {f.get('drop_id')}; put to it",
    "drop.stray_found": lambda f: f"belongs to no drop: {_problem(f)}",
    "drop.rejected_purged": lambda f: (
        f"{_counted(f.get('purged'), 'old rejected drop')} removed permanently, {_bytes(f.get('bytes'))}"
    ),
}
_REGISTRY: dict[str, _Words] = {
    "registry.opened": lambda f: f"opened the registry with {_counted(f.get('entries'), 'registered model')}",
    "registry.name_unknown": lambda f: f"a search asks for {f.get('name')}, which no model has: {_problem(f)}",
    "registry.taken_over": lambda f: (
        f"the registry {f.get('path')} of an earlier version has the format {f.get('format', '?')} now: "
        f"{f.get('position')}"
    ),
    "registry.epoch_changed": lambda f: (
        f"the registry was rebuilt or restored, and was read again: epoch {f.get('before')} became {f.get('after')}, "
        f"{f.get('lost_lines', '?')} lines of its history no longer exist"
    ),
    "registry.replaced": lambda f: (
        f"the newest receipt is of another registry ({f.get('before')}): it was made new, or exchanged"
    ),
    "registry.clock_jumped": lambda f: (
        f"the clock jumped from {f.get('before')} to {f.get('after')}: nothing is retired or purged for "
        f"{_seconds(f.get('hold_seconds'))}"
    ),
    "registry.clock_believed": lambda _: "the clock counts as right again after its jump: removal by age goes on",
    "registry.clock_unwritten": lambda f: f"the clock cannot be compared or written down: {_problem(f)}",
    "registry.file_rewritten": lambda f: (
        f"{f.get('path')} was written again from the journal: {_problem(f)}"
        + _with(f, "changes", "; ")
        + _with(f, "kept", "; the file that was found is kept as ")
    ),
    "registry.file_ignored": lambda f: (
        f"{f.get('path')} is not used, but the journal: {_problem(f)}{_with(f, 'changes', '; ')}"
    ),
    "registry.history_damaged": lambda f: f"the history of the registry is damaged: {_problem(f)}",
    "registry.checkpointed": lambda f: f"the JSON file is up to date, after {_seconds(f.get('seconds'))}",
    "registry.checkpoint_failed": lambda f: f"the JSON file of the registry cannot be updated: {_problem(f)}",
    "registry.prune_failed": lambda f: f"old segments of the journal cannot be removed: {_problem(f)}",
    "registry.unreadable": lambda f: f"the registry {f.get('path')} cannot be read any more: {_problem(f)}",
    "registry.labels_unwritten": lambda f: f"the labels file of a model cannot be written: {_problem(f)}",
    "registry.file_left": lambda f: f"a file of the retired model stays where it is: {_problem(f)}",
    "registry.leftover_found": lambda f: f"files in the wrong place after a crash, moved or removed: {f.get('count')}",
    "registry.leftover_unmoved": lambda f: (
        f"files of retired or purged models cannot be moved or removed: {_problem(f)}"
    ),
    "registry.leftover_set_aside": lambda f: (
        f"{f.get('path')} belongs to no model; it was moved to the trash as {f.get('kept_as')}"
    ),
    "registry.purge_finished": lambda f: f"an interrupted purge was finished, {_bytes(f.get('bytes'))}",
    "registry.leftover_purged": lambda f: (
        f"a file of no model was removed permanently from the trash, {_bytes(f.get('bytes'))}"
    ),
    "journal.tail_truncated": lambda f: (
        f"an incomplete line that was never committed was cut off {f.get('path')}, {_bytes(f.get('lost_bytes'))}"
    ),
    "journal.write_failed": lambda f: (
        f"cannot write to the journal {f.get('path')}: {_problem(f)}; until it can be, drops are deferred"
    ),
    "journal.settled": lambda f: f"the journal {f.get('path')} was read again and written durably",
    "journal.lines_missing": lambda f: (
        f"lines of the history are in no file of {f.get('path')}: {_short(f.get('lines') or '?')}"
    ),
    "journal.rotation_failed": lambda f: f"the next segment of the journal cannot be started: {_problem(f)}",
    "retention.planned": lambda f: (
        f"the retention rules ({f.get('mode')}) keep {_counted(f.get('keep'), 'model')} and retire {f.get('retire')}, "
        f"{_bytes(f.get('bytes'))}"
    ),
    "retention.refused": lambda f: f"nothing was retired by the rules: {_problem(f)}",
    "retention.failed": lambda f: f"the retention rules cannot be applied: {_problem(f)}",
    "retention.purge_failed": lambda f: f"old models in the trash cannot be removed: {_problem(f)}",
    "entry.promoted": lambda f: f"{f.get('alias')} by rule{_instead(f)}: {f.get('reason')}",
    "promotion.proposed": lambda f: (
        f"a rule in dry-run mode would make it {f.get('alias')}{_instead(f)}: {f.get('reason')}"
    ),
    "promotion.skipped": lambda f: f"no rule can move the alias {f.get('alias')}: {_problem(f)}",
    "promotion.failed": lambda f: f"the promotion rules cannot be applied: {_problem(f)}",
    "registry.aliases_protected": lambda f: f"protected aliases: {_short(f.get('aliases') or 'none')}",
    "entry.retired": lambda f: f"retired to the trash: {_short(f.get('reasons') or '?')}",
    "entry.spared": lambda _: "not retired: it was protected, kept by a rule, or gone when its turn came",
    "entry.purged": lambda f: (
        "removed permanently from the trash" + (f", {_bytes(f['bytes'])}" if "bytes" in f else "")
    ),
    "follower.swapped": lambda f: f"served as {f.get('name')}{_with(f, 'before', ', in the place of ')}",
    "follower.load_failed": lambda f: (
        f"cannot be served as {f.get('name')}: {_problem(f)}{_with(f, 'serving', '; the model served is ')}{_retry(f)}"
    ),
    "follower.model_failed": lambda f: f"the server says that it fails as {f.get('name')}: {_problem(f)}",
    "follower.fallen_back": lambda f: f"given up as {f.get('name')}; {f.get('serving')} is served: {_problem(f)}",
    "follower.not_fallen_back": lambda f: f"fails as {f.get('name')}, and no model before can be served: {_problem(f)}",
    "follower.holder_lost": lambda f: f"the registry names no model any more; {f.get('serving')} is served",
    "follower.registry_lost": lambda f: f"the registry {f.get('path')} cannot be followed: {_problem(f)}",
    "follower.registry_found": lambda f: f"the registry {f.get('path')} is followed again",
    "follower.became_stale": lambda f: (
        f"what is served may be outdated: it was last known to be right {_seconds(f.get('age_seconds'))} ago"
    ),
    "follower.became_fresh": lambda _: "what is served is what the registry names, again",
    "follower.failed_unexpectedly": lambda f: f"following failed unexpectedly: {_problem(f)}",
}
_OTHERS: dict[str, _Words] = {
    "web.started": lambda f: f"the pages are served at {f.get('address')} (process {f.get('pid')})",
    "web.stopped": lambda f: f"the pages are no longer served, after {f.get('signal') or 'a signal'}",
    "web.failed": lambda f: f"cannot serve the pages: {f.get('problem')}. {f.get('hint') or ''}".rstrip(),
    "web.registry_unreadable": lambda f: f"the pages say only what is wrong: {f.get('problem')}",
    "web.registry_readable": lambda f: f"the pages of {f.get('registry')} are served again",
    "mlflow.started": lambda f: f"the mirror to {f.get('tracking_uri')} runs{_with(f, 'position', ', from position ')}",
    "mlflow.stopped": lambda _: "the mirror was stopped",
    "mlflow.comparing": lambda f: f"the mirror compares both sides: {f.get('because')}",
    "mlflow.compared": lambda f: (
        f"MLflow was compared: {_counted(f.get('pushed'), 'model')} brought up to date, {f.get('same')} were the same, "
        f"{f.get('failed')} failed"
    ),
    "mlflow.mirrored": lambda f: f"{f.get('outcome')} in MLflow",
    "mlflow.swept": lambda f: f"{_counted(f.get('runs'), 'run')} left half-way in MLflow: finished or deleted",
    "mlflow.unreachable": lambda f: f"MLflow cannot be reached: {_problem(f)}{_retry(f)}",
    "mlflow.reached": lambda f: f"MLflow is reached again, after {_counted(f.get('failures'), 'failure')}",
    "mlflow.set_aside": lambda f: f"cannot be brought to MLflow: {_problem(f)}",
    "mlflow.taken_back": lambda _: "is in MLflow now",
    "mlflow.failed_unexpectedly": lambda f: f"the mirror failed unexpectedly with it: {_problem(f)}",
    "mlflow.alias_left_out": lambda f: f"the alias {f.get('alias')} cannot be in MLflow: {_problem(f)}",
    "mlflow.proxied": lambda f: f"artifacts go through MLflow's own server ({f.get('scheme')})",
    "mlflow.large_proxied": lambda f: f"{_bytes(f.get('bytes'))} go through MLflow's own server, which is slow",
    "web.page_failed": lambda f: f"the page {f.get('path')} could not be made: {_problem(f)}",
    "web.server_warned": lambda f: f"the HTTP server: {_problem(f)}",
    UNIT_EXITED: lambda f: str(f.get("message")),
    UNIT_SAID: lambda f: str(f.get("message")),
    "history.changed": lambda f: f"{f.get('operation')} by {f.get('actor')}: {f.get('reason') or 'no reason given'}",
}
_WORDS: Mapping[str, _Words] = {**_DAEMON, **_DROPS, **_REGISTRY, **_OTHERS}
