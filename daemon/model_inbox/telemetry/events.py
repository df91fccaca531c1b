"""The catalogue of log events.

Owns the name, level, fields, meaning and advice of every event that is logged. docs/reference/logs.md and systemd's
message catalogue are generated from it; a test checks that both and all call sites agree with it. Never logs.

The level says who must act: nobody for debug and info; the producer, or nobody before a retry, for warning; the
operator for error. After a critical event the daemon stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EVENTS", "Event", "Level"]

Level = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log line. `fields` are all fields that it may have besides timestamp, level and event."""

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
        "The daemon runs; it did not list the inbox yet. `settings` are those that differ from the defaults.",
    ),
    "daemon.ready": Event(
        "info", ("waiting", "entries", "seconds"), "The first rescan is done; drops are processed from now on."
    ),
    "daemon.stopping": Event(
        "info", ("signal",), "A signal told the daemon to stop; it finishes or releases the drops in progress first."
    ),
    "daemon.stopped": Event("info", ("uptime_seconds",), "The daemon stopped after a signal."),
    "daemon.failed": Event(
        "critical",
        ("code", "problem", "hint"),
        "The daemon cannot continue and ends. `code` is that of the error; an error that nobody foresaw has none.",
        "Do what the hint says, then start it again.",
    ),
    "daemon.task_failed": Event(
        "error",
        ("task", "cause", "attempt", "retry_in_seconds", "traceback"),
        "A piece of the daemon's own work, which belongs to no drop, failed in a way that nobody foresaw. All other "
        "work goes on; this piece is tried again, with longer pauses each time. Line breaks in `traceback` are "
        "escaped.",
        "Report it, with the traceback.",
    ),
    "daemon.task_recovered": Event("info", ("task",), "A piece of work that had failed unexpectedly succeeds again."),
    "daemon.scanner_restarted": Event(
        "warning",
        ("cause",),
        "The process that scans pickles ended and was started again; the drop that it was scanning is rejected.",
        "Nothing, unless it happens with valid files: then raise pickle.memory_limit or pickle.time_limit.",
    ),
    "daemon.log_unwritten": Event(
        "error",
        ("path", "problem"),
        "`logging.file` cannot be written. Until it can, lines are written only to the other output.",
        "Check that folder and file belong to the service's user, and that the disk is not full.",
    ),
    "daemon.status_unwritten": Event(
        "warning",
        ("problem",),
        "The status file could not be written in one of its two places; `model-inbox status` may show old values.",
        "Check that the folder can be written and that the disk is not full.",
    ),
    "daemon.status_restored": Event("info", ("seconds",), "Both status files can be written again."),
    "daemon.storage_failed": Event(
        "error",
        ("path", "problem", "hint"),
        "The daemon cannot write in a place that drops pass (see `path`). It leaves drops where they are, tries again "
        "after pauses that grow to a few seconds, and logs `daemon.storage_restored` when it can. Logged once.",
        "Do what `hint` says.",
    ),
    "daemon.storage_restored": Event("info", ("path", "seconds"), "The place can be written again, after `seconds`."),
    "daemon.metrics_unwritten": Event(
        "error",
        ("problem",),
        "The metrics cannot be written or served as set in `metrics:` in config.yaml; all else continues.",
        "Correct the path or the address, then run `model-inbox reload`.",
    ),
    # --- the configuration
    "config.loaded": Event(
        "info",
        ("path", "changed", "restart_needed", "settings"),
        "The settings of config.yaml are used now; after a reload `changed` has the keys that changed.",
        "Restart the daemon if `restart_needed` names a key.",
    ),
    "config.refused": Event(
        "error",
        ("path", "problems"),
        "The new config.yaml has problems; the old settings are still used.",
        "Correct the file (`model-inbox config check` shows the same problems), then reload again.",
    ),
    # --- the inbox
    "inbox.rescanned": Event(
        "debug",
        ("cause", "found", "ready", "waiting", "seconds"),
        "The inbox, or only the names in file events, was listed, and its drops were checked.",
    ),
    "inbox.crowded": Event(
        "warning",
        ("owner", "waiting"),
        "More than 50 drops and files of one user have waited in the inbox for five seconds. They are not logged one "
        "by one; this line is logged again when the number has doubled.",
        "`model-inbox inbox` shows what they wait for. The producer completes or removes them.",
    ),
    "inbox.watch_lost": Event(
        "warning",
        ("cause",),
        "File events no longer arrive (the folder was renamed, removed or mounted over, or a limit was reached).",
        "Nothing: the watch is set up again, and until then the inbox is rescanned at intervals.",
    ),
    "inbox.watch_restored": Event("info", ("watcher",), "File events arrive again."),
    "inbox.without_acls": Event(
        "warning",
        ("path",),
        "`inbox.private` is true, and the inbox's file system has no access control lists. Receipts and rejected drops "
        "are for the service alone, and their owners cannot read them. Waiting files have the rights of their modes.",
        "Put the inbox on a file system with POSIX access control lists (ext4, XFS, Btrfs, tmpfs; ZFS with "
        "`acltype=posix`), or set `inbox.private` to false.",
    ),
    "inbox.unprotected": Event(
        "warning",
        ("path", "problem", "hint"),
        "Several users can write in the inbox, and it is not sticky: each can rename, replace and remove the drops of "
        "the others. With `inbox.private` the daemon does not start.",
        "Set the sticky bit: `chmod +t`.",
    ),
    "inbox.left_open": Event(
        "warning",
        ("path", "count"),
        "`inbox.private` is true, and others may read receipts or rejected drops of before (`path` is the first): they "
        "belong to another user than the service, which cannot change their rights.",
        "Look at them, and remove them or give them to the service's user.",
    ),
    "inbox.unavailable": Event(
        "error",
        ("path", "problem"),
        "The folder at the inbox's path is missing, was replaced by one that cannot be used, or is used by another "
        "daemon. The daemon tries again every second; logged once for each cause.",
        "Restore the folder (rename, mount), or do what `problem` says.",
    ),
    "inbox.unreadable": Event(
        "error",
        ("path", "problem"),
        "The inbox exists but cannot be listed. The daemon tries again every second; logged once for each cause.",
        "Check that the service's user may read the folder, and that the disk has no errors.",
    ),
    "inbox.purge_failed": Event(
        "error",
        ("path", "problem", "traceback"),
        "Old rejected drops or receipts could not be removed; the daemon tries again in an hour.",
        "Check that `path` and all in it belong to the service's user, and that the disk can be written.",
    ),
    "inbox.receipts_purged": Event("debug", ("purged",), "Receipts older than inbox.receipts_keep were removed."),
    # --- a drop
    "drop.arriving": Event(
        "debug",
        ("stem", "problems"),
        "A drop is incomplete and was written a moment ago: it is probably still being copied.",
    ),
    "drop.waiting": Event(
        "info",
        ("stem", "problems", "until"),
        "A drop is incomplete for five seconds; logged once for each set of problems.",
        "Nothing, unless it stays: `problems` tells the producer what is missing.",
    ),
    "drop.stale": Event(
        "warning",
        ("stem", "problems", "age_seconds"),
        "A drop waits for a long time and no timeout rejects it (a process has it open, or it cannot be read).",
        "The producer closes the file or corrects its rights; `problems` says which.",
    ),
    "drop.move_failed": Event(
        "warning",
        ("stem", "problem"),
        "A drop is ready but cannot be moved out of the inbox; retried at least every inbox.rescan_seconds.",
        "Check whether a file attribute (chattr), a mount, rights or a full disk prevents the move.",
    ),
    "drop.stray_move_failed": Event(
        "warning",
        ("name", "problem"),
        "A file that belongs to no drop must be rejected but cannot be moved out of the inbox; it is retried.",
        "Check whether a file attribute (chattr), a mount, rights or a full disk prevents the move, or remove it.",
    ),
    "drop.claimed": Event(
        "debug", ("drop_id", "stem"), "A complete drop was moved to inbox/.processing, out of the producers' reach."
    ),
    "drop.put_back": Event(
        "info",
        ("drop_id", "stem", "problems"),
        "A claimed drop was found to be incomplete and was moved back; it is retried when its files change.",
    ),
    "drop.registered": Event(
        "info",
        (
            *_DROP,
            "currency_pair",
            "model_type",
            "variant",
            "held",
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
        "The drop was registered as a model. `held` is why it is not served, if a gate holds it. `steps` has the "
        "seconds of each step.",
    ),
    "drop.duplicate": Event(
        "info",
        (*_DROP, "sha256", "scaler_sha256", "owner", "sequence", "seconds", "steps", "problems"),
        "The same model with the same bytes is already registered; nothing changed, and the drop was removed. "
        "`problems` says where its metadata differs.",
        "Nothing. If there are `problems` and the new metadata is right, the producer drops the model with another "
        "model_id.",
    ),
    "drop.rejected": Event(
        "warning",
        (*_DROP, "problems", "codes", "owner", "rejected_dir", "seconds", "steps"),
        "The drop was rejected; its files are in inbox/rejected/ with the reasons.",
        "The producer corrects what `problems` names and drops again (`model-inbox rejected show DROP_ID`).",
    ),
    "drop.deferred": Event(
        "warning",
        ("drop_id", "stem", "cause", "retry_in_seconds", "attempt"),
        "The drop could not be processed now (disk full, I/O error, registry locked, the scanner's worker failed or "
        "reached a hard limit of this machine, or the inbox was moved away with the drop in it). It is retried, and "
        "never rejected for this.",
        "If it stays: correct what `cause` names (the disk, the lock, the limit), or restore the inbox.",
    ),
    "drop.failed_unexpectedly": Event(
        "error",
        ("drop_id", "stem", "cause", "attempt", "retry_in_seconds", "traceback"),
        "An attempt to process the drop failed in a way that nobody foresaw. It is tried again, alone; after two "
        "failures it is rejected with `drop.unexpected`, or only answered if it is registered. If that fails, too, it "
        "stays where it is and is tried again less and less often. `attempt` 0: it was in work together with others "
        "when the daemon ended, which does not count. Without `drop_id` it was still in the inbox; without `traceback` "
        "the daemon ended in the attempt (killed by a signal, or out of memory). Line breaks in `traceback` are "
        "escaped.",
        "Report it, with the traceback. Without one: `systemctl status` and the kernel's log name the signal.",
    ),
    "drop.recovery_failed": Event(
        "warning",
        ("problem", "retry_in_seconds"),
        "The drops that a crash or a missing inbox left in inbox/.processing could not be listed. Nothing is lost; "
        "it is retried.",
        "Check that inbox/.processing belongs to the service's user, and that the disk has no errors.",
    ),
    "drop.recovered": Event(
        "info",
        ("drop_id", "stem", "sequence"),
        "A drop had been registered just before the daemon last ended; its receipt was written now.",
    ),
    "drop.scaler_late": Event(
        "error",
        ("stem", "model_id", "drop_id"),
        "A scaler arrived after its model had been registered without one; it was rejected.",
        "If the model needs it: `model_inbox.ModelRegistry.replace_scaler`, or drop both again with a new model_id. "
        "Producers avoid this with `scaler_file` in the sidecar.",
    ),
    "drop.completed_rejected": Event(
        "info",
        ("drop_id", "file"),
        "A model or a scaler arrived after its sidecar had been rejected; it was put to the rejected drop.",
    ),
    "drop.stray_found": Event(
        "warning",
        ("name", "problem"),
        "A file or folder in the inbox belongs to no drop; logged once. Files are rejected after inbox.orphan_timeout, "
        "folders stay.",
        "The producer adds the sidecar, or removes the file or folder.",
    ),
    "drop.rejected_purged": Event(
        "info", ("purged", "bytes"), "Rejected drops older than inbox.rejected_keep were removed permanently."
    ),
    # --- the registry
    "registry.opened": Event("info", ("path", "entries", "sequence"), "The registry was read."),
    "registry.taken_over": Event(
        "info",
        ("path", "position", "format"),
        "The journal of an earlier version has the format `format` now: it got registry_id and epoch (/2), or a model "
        "that earlier versions would serve wrongly was registered, such as one with a variant (/3). Versions that do "
        "not know the format refuse to read the registry from now on.",
    ),
    "registry.epoch_changed": Event(
        "warning",
        ("path", "before", "after", "lost_lines"),
        "The registry was rebuilt, or an older copy was restored: this process has read everything again. Positions "
        "of the epoch before are no longer valid; `lost_lines` lines that this process had read no longer exist.",
        "Nothing, if this was intended. Programs that store positions must compare their data with the registry.",
    ),
    "registry.replaced": Event(
        "warning",
        ("path", "before"),
        "The newest receipt in the inbox is of another registry than this one: it was made new, or exchanged.",
        "Nothing, if that was meant. Else see that registry.path and inbox.path belong together.",
    ),
    "registry.clock_jumped": Event(
        "error",
        ("before", "after", "jump_seconds", "hold_seconds", "sequence"),
        "The machine's clock shows `after`, and should show `before`, or a later time. The journal has line `sequence` "
        "about it. Nothing is retired or purged for `hold_seconds`.",
        "Check the clock. If it is right: `model-inbox retention confirm-clock`.",
    ),
    "registry.clock_believed": Event(
        "info",
        ("sequence",),
        "The hour after the jump of line `sequence` is over, or somebody confirmed the clock: removal by age goes on.",
    ),
    "registry.clock_unwritten": Event(
        "error",
        ("problem",),
        "What the clock shows could not be compared or written down; the daemon tries again. Nothing is retired or "
        "purged while that hides a jump.",
        "Correct what is wrong with the disk.",
    ),
    "registry.name_unknown": Event(
        "warning",
        ("name", "problem"),
        "A search (`ModelRegistry.search`) compares a metric, a tag or another name that no model has, so that its "
        "comparison never holds.",
        "Correct the name, if it is misspelled.",
    ),
    "registry.file_rewritten": Event(
        "warning",
        ("path", "problem", "changes", "kept"),
        "The JSON file, its mark or a labels file was edited, damaged or missing, and was made again from the journal. "
        "`kept` is the file that was found; `changes` says field by field what it would have changed, and which "
        "command does that.",
        "Nothing, if nobody edited it. Make such changes with the commands that `changes` names, then remove `kept`.",
    ),
    "registry.file_ignored": Event(
        "warning",
        ("path", "problem", "changes"),
        "The JSON file or its mark was edited, damaged or missing. This process only reads, and uses the journal "
        "instead. The next writer writes the file again.",
    ),
    "registry.history_damaged": Event(
        "error",
        ("problem", "traceback"),
        "A closed segment of the journal, or a base file, is damaged. Drops and models do not depend on it, questions "
        "about the past do. It is looked for at the start and each hour; logged once for each cause.",
        "`model-inbox verify` lists all damage; with the daemon stopped, `model-inbox rebuild` keeps what is intact.",
    ),
    "registry.checkpointed": Event("debug", ("sequence", "seconds"), "The JSON file is up to date."),
    "registry.checkpoint_failed": Event(
        "error",
        ("problem", "traceback"),
        "The JSON file could not be updated. Nothing is lost: the journal has every change. It is retried.",
        "Correct the problem of the disk or the lock that `problem` names.",
    ),
    "registry.prune_failed": Event(
        "error",
        ("problem", "traceback"),
        "Journal segments older than registry.history_keep could not be removed; retried in an hour.",
        "Correct what `problem` names; if it says that a file is damaged, run `model-inbox verify`.",
    ),
    "registry.unreadable": Event(
        "error",
        ("path", "problem"),
        "The registry's files can no longer be read; this process continues with what it has read.",
        "Run `model-inbox verify`, then `model-inbox rebuild` if it says so.",
    ),
    "registry.labels_unwritten": Event(
        "error",
        ("problem",),
        "The labels file of a model could not be written after a change. The change stands; the file is tried again "
        "with the next change and at the next start.",
        "Correct what `problem` names, and check that models/ belongs to the service's user.",
    ),
    "registry.leftover_found": Event(
        "warning",
        ("count",),
        "A crash had left files of retired or purged models in the wrong place; they were moved or removed.",
    ),
    "registry.leftover_unmoved": Event(
        "error",
        ("problem", "traceback"),
        "A crash or a full disk left files of retired or purged models in the wrong place, and they could not be moved "
        "or removed; retried within an hour.",
        "Correct what `problem` names, and check that models/ belongs to the service's user.",
    ),
    "registry.file_left": Event(
        "warning",
        ("model_id", "problem"),
        "A model was retired whose entry names a file outside of the registry's folders. The file stays where it is.",
        "Remove the file by hand, if it is not needed.",
    ),
    "registry.leftover_set_aside": Event(
        "warning",
        ("path", "kept_as"),
        "A writer ended before its line was committed; a file that it left among the stored models was moved to the "
        "trash. The file was never registered.",
        "If a model is missing, register it or drop it again.",
    ),
    "registry.purge_finished": Event(
        "warning",
        ("model_id", "bytes"),
        "A purge had been interrupted after its journal line; the remaining files were removed from the trash now.",
    ),
    "registry.leftover_purged": Event(
        "info",
        ("name", "bytes"),
        "A file without an entry, which had been moved to the trash, was removed permanently after the grace.",
    ),
    "journal.tail_truncated": Event(
        "warning",
        ("path", "offset", "lost_bytes"),
        "A writer ended in the middle of an append; its incomplete line, which was never committed, was cut off.",
    ),
    "journal.write_failed": Event(
        "error",
        ("path", "problem"),
        "A write to the journal failed and could not be undone, so the end of the journal is unknown. Each change "
        "tries to settle that first. Until then nothing is committed and drops are deferred. Logged once for each "
        "cause.",
        "Check that the disk works and has free space.",
    ),
    "journal.settled": Event(
        "info",
        ("path", "sequence", "found_lines"),
        "The disk works again: the journal was read again and written durably. `found_lines` lines of the failed write "
        "were complete and are committed.",
    ),
    "journal.lines_missing": Event(
        "error",
        ("path", "lines"),
        "Lines of the history are in no file, those with these numbers. Drops and readers do not depend on them.",
        "Put the missing file from a backup back into `path`; else stop the daemon, then `model-inbox rebuild`.",
    ),
    "journal.rotation_failed": Event(
        "error",
        ("problem", "traceback"),
        "The journal is large enough for a new segment, which could not be started. The old one stays in use; it is "
        "retried.",
        "Correct the problem of the disk or the lock that `problem` names.",
    ),
    # --- retention
    "retention.planned": Event(
        "info",
        ("mode", "keep", "retire", "bytes"),
        "How many models the rules keep and retire; logged if they retire any.",
    ),
    "retention.refused": Event(
        "error",
        ("problem", "retire", "groups"),
        "The plan is over the breaker's limits for these groups; nothing of them was retired.",
        "Check `model-inbox retention plan`; if it is right, run `model-inbox retention apply --override-breaker`.",
    ),
    "retention.failed": Event(
        "error",
        ("problem", "traceback"),
        "Applying the plan failed. The models retired before stay retired; the next run does the rest.",
        "Correct what `problem` names, and check that models/ belongs to the service's user.",
    ),
    "retention.purge_failed": Event(
        "error",
        ("problem", "traceback"),
        "Models in the trash for longer than the grace could not be removed; retried at the next run.",
        "Check that models/.trash and all in it belong to the service's user, and that the disk can be written.",
    ),
    "entry.promoted": Event(
        "info",
        ("model_id", "alias", "currency_pair", "model_type", "variant", "before", "reason"),
        "A rule of `promotion` gave an alias to a model. `before` is the model that had it.",
        "`model-inbox rollback` gives it back; no rule promotes the model again then.",
    ),
    "promotion.proposed": Event(
        "info",
        ("model_id", "alias", "currency_pair", "model_type", "variant", "before", "reason"),
        "A rule of `promotion` in dry-run mode would give the alias to this model. Logged once for each model.",
        "`model-inbox promote MODEL_ID` does it; `mode: enforce` lets the rule do it.",
    ),
    "promotion.skipped": Event(
        "warning",
        ("alias", "currency_pair", "model_type", "variant", "problem"),
        "A rule of `promotion` cannot compare new models with the one that has the alias. Logged once.",
        "Promote a model that has the metric, or change the rule.",
    ),
    "promotion.failed": Event(
        "error",
        ("problem", "traceback"),
        "The rules of `promotion` could not be applied, or the protection of aliases not be written. Both are tried "
        "again in a minute.",
        "Do what the problem says.",
    ),
    "registry.aliases_protected": Event(
        "info",
        ("aliases",),
        "The journal has a line now that says who may move these aliases, as `aliases` in config.yaml does; all others "
        "are free.",
    ),
    "entry.retired": Event(
        "info",
        ("model_id", "currency_pair", "model_type", "variant", "reasons", "bytes", "sequence"),
        "A model was retired to the trash by the rules.",
        "`model-inbox restore MODEL_ID` brings it back until the grace is over.",
    ),
    "entry.spared": Event(
        "info",
        ("model_id", "sequence"),
        "A model of the plan was not retired, because it was protected, kept by a rule, or gone when its turn came.",
    ),
    "entry.purged": Event(
        "info",
        ("model_id", "sequence", "bytes"),
        "A retired model's files were removed permanently after the grace.",
    ),
    # --- following, in the process of a server
    "follower.swapped": Event(
        "info",
        ("name", "model_id", "before", "seconds"),
        "A server serves another model from now on. `name` is the slot or alias that it follows; `seconds` is how long "
        "the load and the trial took.",
    ),
    "follower.load_failed": Event(
        "warning",
        ("name", "model_id", "serving", "problem", "attempt", "retry_in_seconds"),
        "A model that should be served could not be loaded, or the server's `try_out` refused it. The model `serving` "
        "stays. It is tried again as long as the registry names it; without `retry_in_seconds` it was only a candidate "
        "to go back to.",
        "Correct what `problem` names, or let the alias name another model.",
    ),
    "follower.model_failed": Event(
        "warning",
        ("name", "model_id", "problem"),
        "The server reported (`current.failed(error)`) that the model misbehaves. After `give_up_after` reports the "
        "one before is served.",
        "Look at `problem`; if the model is at fault, let the alias name another one.",
    ),
    "follower.fallen_back": Event(
        "error",
        ("name", "model_id", "serving", "problem"),
        "The model `model_id`, which the registry names, is not served by this process, but `serving`, which was named "
        "before. It stays so until the alias moves.",
        "Let the alias name a model that works: `model-inbox alias`.",
    ),
    "follower.not_fallen_back": Event(
        "error",
        ("name", "model_id", "problem"),
        "The model was reported as failing too often, and no model that was named before can be served. It stays.",
        "Let the alias name a model that works.",
    ),
    "follower.holder_lost": Event(
        "warning",
        ("name", "serving"),
        "The registry names no model any more where this process follows; it goes on with the one that it has.",
        "Set the alias again, or register a model, unless that was meant.",
    ),
    "follower.registry_lost": Event(
        "warning",
        ("path", "problem"),
        "The registry cannot be read now. What is loaded is served, and the registry is looked for all the time.",
        "Restore the folder (rename, mount), or do what `problem` says.",
    ),
    "follower.registry_found": Event("info", ("path",), "The registry can be read again."),
    "follower.became_stale": Event(
        "error",
        ("name", "age_seconds"),
        "For longer than `max_age` it is not known, or not so, that the model which is served is the one that the "
        "registry names.",
        "See the lines before: the registry is away, a replica is not pulled, or the model cannot be loaded.",
    ),
    "follower.became_fresh": Event(
        "info", ("name",), "The model that is served is the one that the registry names, again."
    ),
    "follower.failed_unexpectedly": Event(
        "error",
        ("problem", "attempt", "traceback"),
        "Following failed in a way that nobody foresaw. What is loaded is served, and following goes on; logged again "
        "when the number of failures in a row has doubled. Line breaks in `traceback` are escaped.",
        "Report it, with the traceback.",
    ),
    # --- the pages
    "web.started": Event(
        "info",
        ("version", "pid", "address", "registry"),
        "`model-inbox web` serves the pages at `address`: a link, or the path of a socket after `unix:`.",
    ),
    "web.stopped": Event("info", ("signal", "uptime_seconds"), "A signal told `model-inbox web` to end."),
    "web.failed": Event(
        "critical",
        ("code", "problem", "hint"),
        "The pages cannot be served, and `model-inbox web` ends. The daemon does not depend on it.",
        "Do what the hint says, then start it again.",
    ),
    "web.registry_unreadable": Event(
        "error",
        ("code", "problem", "hint"),
        "The registry or config.yaml cannot be read, and every page says so instead. Each request tries it again; "
        "logged once for each cause.",
        "Do what `hint` says.",
    ),
    "web.registry_readable": Event("info", ("registry",), "The registry can be read again, and the pages are served."),
    "web.page_failed": Event(
        "error",
        ("path", "problem", "traceback"),
        "A page could not be made, for a reason that nobody foresaw. All others are served. Line breaks in `traceback` "
        "are escaped.",
        "Report it, with the traceback.",
    ),
    "web.server_warned": Event(
        "warning",
        ("problem",),
        "The HTTP server reports an error of its own.",
        "Report it if it comes again.",
    ),
    # --- the mirror in MLflow
    "mlflow.started": Event(
        "info",
        ("tracking_uri", "position"),
        "The mirror runs, and goes on from that position; null: it compares both sides first.",
    ),
    "mlflow.stopped": Event("info", (), "A signal ended the mirror. Its next start goes on where this one ended."),
    "mlflow.comparing": Event(
        "info",
        ("because",),
        "The mirror cannot go on from its position, so it compares all models with MLflow and mends what differs.",
    ),
    "mlflow.compared": Event(
        "info", ("pushed", "same", "failed"), "The comparison is done; the mirror follows the registry from here on."
    ),
    "mlflow.mirrored": Event(
        "info",
        ("model_id", "line", "outcome"),
        "MLflow has the model as it was after that line of the journal; `outcome` is mirrored or retired.",
    ),
    "mlflow.swept": Event(
        "info", ("runs",), "So many runs had been left half-way in MLflow; they were finished or deleted."
    ),
    "mlflow.unreachable": Event(
        "warning",
        ("problem", "failures", "retry_in_seconds"),
        "MLflow, its artifact store or the registry cannot be used now. The mirror waits where it is and tries again; "
        "logged again when the number of failures in a row has doubled. The daemon does not wait for it.",
        "Do what `problem` says, if it lasts.",
    ),
    "mlflow.reached": Event("info", ("failures",), "The mirror goes on after so many failures in a row."),
    "mlflow.set_aside": Event(
        "error",
        ("model_id", "line", "problem", "tries"),
        "A model cannot be brought to MLflow. The others go on; this one is tried again at its next change.",
        "Do what `problem` says, then `model-inbox mlflow retry`.",
    ),
    "mlflow.taken_back": Event("info", ("model_id",), "A model that had been set aside is in MLflow now."),
    "mlflow.failed_unexpectedly": Event(
        "error",
        ("model_id", "problem", "traceback"),
        "Something that nobody foresaw happened with a model, which is set aside. Line breaks in `traceback` are "
        "escaped.",
        "Report it, with the traceback.",
    ),
    "mlflow.alias_left_out": Event(
        "warning",
        ("alias", "problem"),
        "MLflow cannot hold this alias. The tag `model_inbox.aliases` of its version names it all the same.",
        "Choose another name for the alias, if MLflow's readers need it.",
    ),
    "mlflow.proxied": Event(
        "info",
        ("scheme",),
        "Artifacts go through MLflow's own server, because it offers no other way.",
        "For large models start it with --no-serve-artifacts and a store such as S3: docs/operations/mlflow.md.",
    ),
    "mlflow.large_proxied": Event(
        "warning",
        ("run_id", "bytes"),
        "A large model goes through MLflow's own server, which takes minutes and much of its memory.",
        "Start the server with --no-serve-artifacts and a store such as S3: docs/operations/mlflow.md.",
    ),
}
"""Every event that can be logged."""
