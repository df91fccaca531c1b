"""The codes of retention, status and errors."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
    # --- retention
    "retention.breaker": About(
        "The plan would retire more models of a group than one run may; nothing of that group is retired.",
        "Rules that are stricter than before, a wrong clock, or many models at once.",
        "Look at `model-inbox retention plan`; if it is right: `model-inbox retention apply --override-breaker`.",
        "the limit that was passed",
    ),
    "retention.unreadable": About(
        "Entries cannot be read by the rules, and are kept. A warning.",
        "An entry was written by another program.",
        "Look at them with `model-inbox show ID`.",
    ),
    "retention.future": About(
        "Models are dated in the future, and are kept. A warning.",
        "A clock was wrong, here or where they were trained.",
        "Check the clocks.",
    ),
    "retention.metric": About(
        "Models have no finite number at the metric of a `best` rule, and cannot be held by it. A warning.",
        "A producer does not write the metric, or the rule names it wrongly.",
        "Write it into `validation_metrics`, or name a metric that the models have.",
    ),
    "retention.size_unknown": About(
        "Models have no size and count as nothing in a budget. A warning.",
        "Entries of a registry that another program wrote.",
        "`model-inbox verify` compares the registry with the files.",
    ),
    "retention.budget": About(
        "A group stays over its budget, because other rules or protections hold what is left. A warning.",
        "The rules contradict each other.",
        "Raise the budget, unpin models, or keep fewer by the other rules.",
    ),
    "retention.soon": About(
        "The rules of retention will retire the model that was just registered. A note in its receipt.",
        "Its `trained_at` is old, as in a backfill, and newer models of its group are enough for all rules; or only "
        "`registered_within` keeps it.",
        "Pin it, give it an alias, or set `registered_within` in the rules. `model-inbox restore ID` brings it back.",
    ),
    "retention.changed": About(
        "The registry changed between the plan that was shown and its application; nothing was done.",
        "A drop was registered meanwhile.",
        "Run the command again.",
    ),
    # --- backup
    "backup.manifest_damaged": About(
        "The manifest of a snapshot is missing, or is not what was written.",
        "Damage of the medium, or somebody changed the file.",
        "Restore from another snapshot. This one counts for nothing and can be removed by hand.",
    ),
    "backup.file_missing": About(
        "A file of a snapshot is gone.",
        "Somebody removed it, or the snapshot was copied in part.",
        "Restore from another snapshot.",
    ),
    "backup.file_differs": About(
        "A file of a snapshot has other bytes than the backup wrote, or cannot be read.",
        "Damage of the medium, or somebody changed the file. Snapshots after this one may share it.",
        "Restore from another snapshot in which `model-inbox backup verify` finds no problems.",
    ),
    "backup.file_unknown": About(
        "A file is in a snapshot that the backup did not write.",
        "Somebody put it there, or opened the snapshot's registry to change it.",
        "Move it elsewhere. Open a snapshot only to read it.",
    ),
    "backup.not_copied": About(
        "The registry names a file that it does not have, or has with other bytes, so the snapshot lacks it.",
        "The registry was damaged before the backup.",
        "See `model-inbox verify`. An earlier snapshot may have the file.",
    ),
    "backup.refused": About(
        "A backup cannot be made, listed or restored as asked; nothing was changed.",
        "The folder is not empty, is inside the registry, or has no such snapshot; or models are outside of the "
        "registry's folder.",
        "The message says which, and what to do.",
    ),
    "backup.damaged": About(
        "A snapshot is not what was written, so it cannot be restored.",
        "Damage of the medium, or somebody changed a file of it.",
        "Restore from another snapshot; `model-inbox backup verify` says which have no problems.",
    ),
    # --- mlflow
    "mlflow.client_missing": About(
        "MLflow's client is not installed in the environment of model-inbox.",
        "It is an extra of its own, for those who use it.",
        "Install it: `pip install model-inbox[mlflow]`, and for a store in S3 also `model-inbox[s3]`.",
    ),
    "mlflow.unreachable": About(
        "MLflow or its artifact store does not answer, or not as it should.",
        "It is down, slow or overloaded, or the network, the address or the credentials are wrong.",
        "Nothing is lost: the mirror tries again, and a push goes on where it ended. The message has the cause.",
    ),
    "mlflow.refused": About(
        "A model cannot be brought to MLflow, and will not be at the next try either.",
        "MLflow refuses a value, its registered model belongs to another slot, or the model's file is not what was "
        "registered.",
        "Do what the message says, then `model-inbox mlflow retry`.",
    ),
    # --- status
    "status.not_running": About(
        "No daemon serves this registry.",
        "It was stopped, was never started, or died.",
        "Start it; look at its log if it died.",
    ),
    "status.unknown": About(
        "This user cannot find out whether a daemon runs.",
        "Neither its lock nor its status file may be read.",
        "Ask as the service's user, as root, or as a member of its groups.",
    ),
    "status.not_ready": About(
        "The daemon is starting or stopping, and takes no drops.",
        "It was just started, or has a large registry to read.",
        "Wait.",
    ),
    "status.unresponsive": About(
        "The daemon runs, but its next status is 15 seconds overdue. A drop is allowed the time of two scans at "
        "`pickle.time_limit` and of a disk that reads 50 MB/s.",
        "It hangs, or cannot write its status because the disk is full.",
        "Look at the log; with `WatchdogSec=` systemd restarts a daemon that hangs.",
    ),
    "status.file_unwritten": About(
        "The daemon cannot write one of its two status files. The other one has this message.",
        "A read-only or full disk, a right on the folder, or an attribute of the file.",
        "Correct what the message names.",
    ),
    "status.storage_unwritable": About(
        "The daemon cannot write in a place that drops pass. Drops stay where they are, and none is rejected for it.",
        "The kernel mounted the disk read-only after an error; the disk or a quota is full; a right, an attribute "
        "(`chattr +i`) or a mount is in the way.",
        "Do what `hint` says. The daemon tries to write every few seconds, and goes on by itself.",
    ),
    "status.drops_unmovable": About(
        "Drops in the inbox are complete, and cannot be moved out of it, though others can.",
        "An attribute of their files (`chattr +i`), or something with the name of a folder of the daemon.",
        "`model-inbox inbox list` shows them; do what `hint` says.",
    ),
    "status.inbox_unreachable": About(
        "The inbox cannot be used.",
        "The folder was removed, is not mounted, or belongs to another user.",
        "See that the folder is there and belongs to the service's user.",
    ),
    "status.deaf": About(
        "File events do not reach the daemon, which rescans the inbox at intervals instead.",
        "The folder was renamed or mounted over, or a limit of the kernel was reached.",
        "Nothing, if it passes; else restart the daemon.",
    ),
    "status.deferred": About(
        "Drops could not be decided yet, because of the disk, a lock or the scanner. They are tried again.",
        "A full disk, an I/O error, a locked registry.",
        "Correct what the message names; the drops are tried again.",
    ),
    "status.checkpoint_failed": About(
        "The registry's JSON file is not up to date. Nothing is lost.",
        "A full disk, or a right on the folder.",
        "Correct what is wrong with the disk.",
    ),
    "status.rotation_failed": About(
        "The registry's journal is long enough for its next segment, which cannot be begun. Nothing is lost.",
        "A full disk, or a right on the folder.",
        "Correct what is wrong with the disk.",
    ),
    "status.task_failing": About(
        "A piece of the daemon's own work, which belongs to no drop, fails in a way that nobody foresaw. All other "
        "work goes on, and this piece is tried again.",
        "A fault of model-inbox, or too little memory.",
        "Report it, with the traceback in the log (`daemon.task_failed`).",
    ),
    "status.lines_missing": About(
        "Lines of the registry's history are in no file. The registered models and new drops do not depend on them; "
        "`history` and queries with `as_of` do.",
        "A file in `history/` was removed.",
        "Put it back from a backup; else stop the daemon, then `model-inbox rebuild`.",
    ),
    "status.clock_jumped": About(
        "The machine's clock has jumped. Nothing is retired or purged for an hour; after a jump backwards, drops that "
        "look future-dated wait for up to a day.",
        "Time synchronization that began late, a machine without a battery for its clock, or somebody set the clock.",
        "Check the clock. If it is right, `model-inbox retention confirm-clock` ends this at once.",
    ),
    "status.clock_unknown": About(
        "The daemon cannot read its journal's history to find out whether the clock is right. Until it can, "
        "nothing is retired or purged.",
        "A disk with errors.",
        "Correct what is wrong with the disk; it is tried again.",
    ),
    "status.registry_failed": About(
        "The registry cannot be changed or followed now. Nothing that was acknowledged is lost.",
        "A disk with errors, or a folder that is gone.",
        "Correct what is wrong with the disk; it is tried again.",
    ),
    "status.history_damaged": About(
        "A closed segment of the journal is damaged. No drop and no model depends on it; questions about the past do.",
        "Damage on the disk, or an edited file.",
        "`model-inbox verify` names file and offset. Stop the daemon; `model-inbox rebuild` keeps what is intact.",
    ),
    "status.breaker_tripped": About(
        "The breaker stopped retention of a group; nothing of that group was retired, and others are not concerned.",
        "See `retention.breaker`.",
        "Look at `model-inbox retention plan`; if it is right: `model-inbox retention apply --override-breaker`.",
    ),
    "status.retention_failed": About(
        "Carrying out a retention plan stopped half-way. Each step is complete.",
        "A full disk, an I/O error, a locked registry.",
        "See the log; the rest is tried again.",
    ),
    "status.config_refused": About(
        "The last reload was refused; an older configuration is in force.",
        "config.yaml has problems.",
        "`model-inbox config check` shows them; correct them, then `model-inbox reload`.",
    ),
    "status.metrics_failed": About(
        "The metrics are not written or served.",
        "The path cannot be written, or the port is taken.",
        "Correct `metrics` in config.yaml, then `model-inbox reload`.",
    ),
    "status.log_lost": About(
        "Log lines are not written where they should be.",
        "Standard error was closed when the daemon started (`2>&-`) and no `logging.file` is set, or that file cannot "
        "be written.",
        "Start the daemon with stderr open, or set `logging.file` to a file that its user may write.",
    ),
    "status.disk_nearly_full": About(
        "Less than 5 % and less than 10 GiB of a disk are left, or less than 5 % of its inodes.",
        "It fills up.",
        "Make room: drops are deferred when it is full.",
    ),
    # --- metadata
    "metadata.invalid": About(
        "The metadata that was given to the Python API, or a tag, has problems. They are listed, with codes of "
        "`sidecar`.",
        "See the listed problems.",
        "Correct them all.",
    ),
    # --- condition
    "condition.invalid": About(
        "A condition on models, as in `list --where` and `ModelRegistry.search`, cannot be used. Nothing was searched.",
        "It is not written in the language of conditions, names nothing that exists, or compares text with a number.",
        "Do what `hint` says; docs/reference/finding.md has the whole language.",
    ),
    # --- command
    "command.refused": About(
        "A command was not carried out; nothing was changed.",
        "Nobody confirmed it, or it makes no sense now.",
        "Do what `hint` says.",
    ),
    # --- scaler
    "scaler.refused": About(
        "`replace-scaler` does not take the file; its problems are listed.",
        "See the listed problems.",
        "Correct them, and give the file again.",
    ),
    # --- reload
    "reload.no_answer": About(
        "No daemon answered to a reload.",
        "None runs, this user cannot see which process it is, or it is at work on a large drop.",
        "Do what `hint` says; `model-inbox status` tells more.",
    ),
    # --- load
    "load.refused": About(
        "A stored model was not loaded.",
        "Its bytes are not those that were registered, or it asks for more than was seen in it.",
        "`model-inbox verify` tells which files were changed. Treat such a file as hostile.",
    ),
    "load.outside": About(
        "A model was not loaded, restored or changed: its entry names a file outside of the registry's folders.",
        "Another program or a person wrote the entry, or the models were moved.",
        "Do what `hint` says. See [formats.md](formats.md#which-files-an-entry-may-name).",
    ),
    # --- scan
    "scan.failed": About(
        "The scanner cannot work at all. No file is judged for it.",
        "Its worker process cannot be started, or was stopped.",
        "Look at the message; try again.",
    ),
    # --- storage
    "storage.failed": About(
        "The disk refused an operation; the message has operation, path and error.",
        "A full disk, an I/O error, or a missing right.",
        "Correct what the message names. Exit status 75 means that the same command may succeed later.",
    ),
    # --- log
    "log.unreadable": About(
        "The log cannot be read.",
        "There is none at that path, or this user may not read it.",
        "Give the right file, or ask as a member of the log's group.",
    ),
    # --- error
    "error": About(
        "What was asked for could not be done, for a reason that has no code of its own.",
        "The message says it.",
        "Do what `hint` says.",
    ),
}
