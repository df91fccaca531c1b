"""What is not well with the daemon, as `model-inbox status` tells it. The noun `status`."""

from __future__ import annotations

from .value import Problem, escaped, quoted

__all__ = [
    "status_breaker_tripped",
    "status_checkpoint_failed",
    "status_clock_jumped",
    "status_clock_unknown",
    "status_config_refused",
    "status_deaf",
    "status_deferred",
    "status_disk_nearly_full",
    "status_drops_unmovable",
    "status_file_unwritten",
    "status_history_damaged",
    "status_inbox_unreachable",
    "status_lines_missing",
    "status_log_lost",
    "status_metrics_failed",
    "status_not_ready",
    "status_not_running",
    "status_registry_failed",
    "status_retention_failed",
    "status_rotation_failed",
    "status_storage_unwritable",
    "status_task_failing",
    "status_unknown",
    "status_unresponsive",
]


def status_not_running(*, died: bool) -> Problem:
    """No daemon runs. `died` tells that the last one ended without saying so."""
    last = "; the last one ended without saying so: see its log" if died else ""
    return Problem(
        "status.not_running", f"no daemon runs{last}", "Start it: `systemctl start model-inbox`, or `model-inbox run`"
    )


def status_unknown() -> Problem:
    """This user can neither see the daemon's lock nor its status."""
    return Problem(
        "status.unknown",
        "it is not known whether a daemon runs: this user can read neither its lock nor its status",
        "Ask as the service's user or as root, or as a member of its groups",
    )


def status_not_ready(state: str) -> Problem:
    """The daemon is starting or stopping."""
    return Problem("status.not_ready", f"the daemon is {state} and takes no drops now", "Wait for it")


def status_unresponsive(age: str, why: str = "") -> Problem:
    """The daemon has not written its status for too long. `why` says what is known to keep it from that."""
    cause = why or "it hangs, or can write its status no more"
    return Problem(
        "status.unresponsive",
        f"the daemon last told of itself {age} ago, so what is shown is old: {cause}",
        "Look at the log; a hung one is restarted by systemd when WatchdogSec= is set",
    )


def status_inbox_unreachable(why: object) -> Problem:
    """The inbox cannot be listed, or its folders cannot be used."""
    return Problem(
        "status.inbox_unreachable",
        f"the inbox cannot be used: {why}",
        "See that the folder is there, mounted, and belongs to the service's user",
    )


def status_deaf(why: object) -> Problem:
    """File events do not come."""
    return Problem(
        "status.deaf",
        f"file events do not reach the daemon: {why}",
        "Nothing to do if it passes: the folder is rescanned at intervals meanwhile",
    )


def status_clock_jumped(words: object, before: object, after: object, held_until: object, *, behind: bool) -> Problem:
    """The clock has jumped. `held_until` is when things are removed by age again, if they are not now."""
    follows = [f"nothing is retired or purged until {held_until}"] if held_until else []
    follows += ["drops that look future-dated wait"] if behind else []
    return Problem(
        "status.clock_jumped",
        f"{words}, from {before} to {after}: {' and '.join(follows) or 'ages may be wrong'}",
        "Check the clock (`date -u`, `timedatectl`). If it is right: `model-inbox retention confirm-clock`",
    )


def status_clock_unknown(why: object) -> Problem:
    """Whether the clock has jumped cannot be found out."""
    return Problem(
        "status.clock_unknown",
        f"it is not known whether the clock is right, and nothing is retired or purged: {why}",
        "Correct what is wrong with the disk; it is tried again",
    )


def status_deferred(count: int, cause: object, hint: object = None) -> Problem:
    """Drops are in hand that could not be decided. `cause` and `hint` are those of the first."""
    drops = "1 drop" if count == 1 else f"{count} drops"
    return Problem(
        "status.deferred",
        f"{drops} could not be decided{f': {cause}' if cause is not None else ''}",
        f"{hint or 'Correct what is wrong with the disk or the lock'}; the drops are tried again without you",
    )


def status_storage_unwritable(why: object, hint: object, *, stops: bool) -> Problem:
    """A place that drops pass cannot be written. `stops`: no drop is taken meanwhile."""
    what = "no drop is taken" if stops else "only what needs this place waits"
    return Problem(
        "status.storage_unwritable", f"{why}; {what} until that ends", f"{hint}. It is noticed within seconds"
    )


def status_file_unwritten(path: object, why: object) -> Problem:
    """The daemon cannot write one of its two status files."""
    return Problem(
        "status.file_unwritten",
        f"the status file {quoted(path, 400)} is old: {why}",
        "Correct what is wrong with that place",
    )


def status_drops_unmovable(count: int, why: object, hint: object) -> Problem:
    """Drops in the inbox cannot be moved out of it. `why` and `hint` are those of the first."""
    drops = "1 drop" if count == 1 else f"{count} drops"
    return Problem("status.drops_unmovable", f"{drops} cannot be taken: {why}", str(hint))


def status_checkpoint_failed() -> Problem:
    """The registry's JSON file is behind its journal."""
    return Problem(
        "status.checkpoint_failed",
        "the registry's JSON file is not up to date",
        "Correct what is wrong with the disk; nothing is lost, the journal has it all",
    )


def status_rotation_failed() -> Problem:
    """The journal's next segment cannot be begun."""
    return Problem(
        "status.rotation_failed",
        "the registry's journal cannot begin its next segment",
        "Correct what is wrong with the disk; nothing is lost, the journal goes on growing",
    )


def status_lines_missing(lines: object) -> Problem:
    """Lines of the registry's history are in no file."""
    return Problem(
        "status.lines_missing",
        f"lines of the registry's history are missing: {lines}",
        "Put the files from a backup back into `history/`; else stop the daemon, then `model-inbox rebuild` goes on "
        "without them",
    )


def status_registry_failed(why: object) -> Problem:
    """The registry cannot be changed or followed now."""
    return Problem(
        "status.registry_failed",
        f"the registry cannot be used: {why}",
        "Correct what is wrong with the disk; it is tried again, and drops wait until then",
    )


def status_history_damaged(why: object) -> Problem:
    """A closed segment of the journal, or a base file, is damaged."""
    return Problem(
        "status.history_damaged",
        f"the registry's history is damaged: {why}",
        "`model-inbox verify` lists all of it; stop the daemon, then `model-inbox rebuild` keeps what is intact",
    )


def status_breaker_tripped(why: object) -> Problem:
    """The breaker stopped retention."""
    return Problem(
        "status.breaker_tripped",
        f"retention retired nothing: {why}",
        "Look at `model-inbox retention plan`; if it is right: `model-inbox retention apply --override-breaker`",
    )


def status_retention_failed(why: object) -> Problem:
    """Carrying out a retention plan failed."""
    return Problem("status.retention_failed", f"retention stopped half-way: {why}", "See the log")


def status_config_refused() -> Problem:
    """The last reload was refused."""
    return Problem(
        "status.config_refused",
        "config.yaml was refused; an older one is in force",
        "`model-inbox config check` shows what is wrong; correct it, then `model-inbox reload`",
    )


def status_metrics_failed(why: object) -> Problem:
    """The metrics are not written or served."""
    return Problem("status.metrics_failed", f"metrics are not published: {why}", "Correct `metrics` in config.yaml")


def status_log_lost(why: object) -> Problem:
    """Log lines are not written where they should be."""
    return Problem(
        "status.log_lost",
        f"log lines are lost: {why}",
        "Start the daemon with stderr open, or correct `logging.file` in config.yaml",
    )


def status_disk_nearly_full(folder: object, path: object, left: str) -> Problem:
    """A disk has little room, or few inodes, left. `left` says how much of how much."""
    return Problem(
        "status.disk_nearly_full",
        f"the disk of {escaped(folder)} ({quoted(path, 400)}) is nearly full: {left} are left",
        "Make room: drops are deferred when it is full",
    )


def status_task_failing(task: object, cause: object) -> Problem:
    """A piece of the daemon's own work fails in a way that nobody foresaw."""
    return Problem(
        "status.task_failing",
        f"{task} fails: {cause}",
        "It is tried again by itself. Report it with the traceback in the log (`daemon.task_failed`)",
    )
