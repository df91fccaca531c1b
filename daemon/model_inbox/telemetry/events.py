"""The catalogue of log events.

Owns the name, level, fields, meaning and advice of every event that is ever logged. docs/reference/logs.md is its page
for people, systemd's catalogue is made from it, and a test holds both and the call sites equal. Never logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EVENTS", "Event", "Level"]

Level = Literal["debug", "info", "warning", "error", "critical"]


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
    "inbox.unavailable": Event(
        "error",
        ("path", "problem"),
        "The folder at the inbox's path is gone, is another one that cannot be used, or another daemon uses it. It is "
        "looked for every second; logged once for each cause.",
        "Bring the folder back (rename, mount), or do what `problem` says.",
    ),
    "inbox.unreadable": Event(
        "error",
        ("path", "problem"),
        "The inbox is there and cannot be listed. It is tried again every second; logged once for each cause.",
        "See that the service's user may read the folder, and that the disk has no errors.",
    ),
    "inbox.purge_failed": Event(
        "error",
        ("path", "problem"),
        "Rejected drops or receipts that are old enough could not be removed; it is tried again in an hour.",
        "See that `path` and all in it belong to the service's user, and that the disk can be written.",
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
        "A drop has waited long, and will not be rejected by the clock (somebody has it open, or it cannot be read).",
        "The producer closes the file or corrects its rights; `problems` says which.",
    ),
    "drop.move_failed": Event(
        "warning",
        ("stem", "problem"),
        "A drop is ready and cannot be moved out of the inbox; it is tried again, at least every inbox.rescan_seconds.",
        "See that no attribute (chattr), mount, right or full disk keeps the service from moving it.",
    ),
    "drop.stray_move_failed": Event(
        "warning",
        ("name", "problem"),
        "A file that belongs to no drop is to be rejected and cannot be moved out of the inbox; it is tried again.",
        "See that no attribute (chattr), mount, right or full disk keeps the service from moving it, or remove it.",
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
        (*_DROP, "sha256", "scaler_sha256", "owner", "sequence", "seconds", "steps", "problems"),
        "The same model with the same bytes is registered already; nothing changed, the drop is consumed. `problems` "
        "tells what its metadata says otherwise.",
        "Nothing. If `problems` is there: the producer drops the model under another model_id, if the new metadata is "
        "right.",
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
        "We could not decide now (disk full, I/O error, registry locked, the scanner's worker failed or met a hard "
        "limit of this machine, or the inbox was moved away with the drop in hand); it is tried again, never rejected "
        "for it.",
        "Correct what `cause` names (the disk, the lock, the limit), or bring the inbox back, if it does not pass.",
    ),
    "drop.recovery_failed": Event(
        "warning",
        ("problem", "retry_in_seconds"),
        "The drops that were left in hand (by a crash, or with an inbox that was away) could not be listed; nothing of "
        "them is lost, it is tried again.",
        "See that inbox/.processing belongs to the service's user, and that the disk has no errors.",
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
    "registry.taken_over": Event(
        "info",
        ("path", "position"),
        "The first change of a registry that version 0.1 made: its journal got registry_id and epoch. Version 0.1 "
        "refuses to read it from now on.",
    ),
    "registry.epoch_changed": Event(
        "warning",
        ("path", "before", "after", "lost_lines"),
        "The registry was rebuilt, or an older copy was put back: this process has read everything again. Positions "
        "of the epoch before no longer hold; `lost_lines` of those that this process had read are not there any more.",
        "Nothing, if that was meant. Whoever keeps positions compares what it holds with the registry.",
    ),
    "registry.checkpointed": Event("debug", ("sequence", "seconds"), "The JSON file is up to date."),
    "registry.checkpoint_failed": Event(
        "error",
        ("problem",),
        "The JSON file could not be brought up to date; nothing is lost, the journal has it all.",
        "Correct what is wrong with the disk or the lock that `problem` names; it is tried again.",
    ),
    "registry.prune_failed": Event(
        "error",
        ("problem",),
        "Journal segments older than registry.history_keep could not be removed; it is tried again in an hour.",
        "Correct what `problem` names; if it says that a file is damaged, run `model-inbox verify`.",
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
    "registry.leftover_unmoved": Event(
        "error",
        ("problem",),
        "Files that a crash or a full disk had left of retired or purged models could not be put where they belong; it "
        "is tried again, at the latest in an hour.",
        "Correct what `problem` names, and see that models/ belongs to the service's user.",
    ),
    "registry.leftover_purged": Event(
        "info",
        ("name", "bytes"),
        "A file without an entry, which had been set aside in the trash, was removed for good after the grace.",
    ),
    "journal.tail_truncated": Event(
        "warning",
        ("path", "offset", "lost_bytes"),
        "A writer died while appending; its unfinished line, never acknowledged, was cut.",
    ),
    "journal.write_failed": Event(
        "error",
        ("path", "problem"),
        "A write to the journal failed and could not be undone, so its end is not known. Nothing is committed until it "
        "is settled: each change tries that first, drops are deferred. Logged once for each cause.",
        "See that the disk works and has room.",
    ),
    "journal.settled": Event(
        "info",
        ("path", "sequence", "found_lines"),
        "The disk works again: the journal was read anew and written durably. `found_lines` of the write that had "
        "failed were whole and are committed.",
    ),
    "journal.rotation_failed": Event(
        "error",
        ("problem",),
        "The journal is long enough for a new segment, which could not be begun. The old one goes on; it is retried.",
        "Correct what is wrong with the disk or the lock that `problem` names.",
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
        "Applying the plan stopped half-way; each step is whole, the rest is tried at the next run.",
        "Correct what `problem` names, and see that models/ belongs to the service's user.",
    ),
    "retention.purge_failed": Event(
        "error",
        ("problem",),
        "What has been in the trash for longer than the grace could not be removed; it is tried at the next run.",
        "See that models/.trash and all in it belong to the service's user, and that the disk can be written.",
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
