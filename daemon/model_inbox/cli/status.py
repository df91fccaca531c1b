"""`model-inbox status`: shows whether the daemon runs, what it does, and its problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import parse_stored
from ..base.units import counted, format_duration, format_size
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from .common import App, Command, act_as_any_owner, now, pass_app
from .output import age, print_fields, print_json, print_lines, when
from .output import print_problems as print_all

if TYPE_CHECKING:
    from ..problems import Problem

__all__ = ["status"]

_DEFAULTS: Mapping[str, Any] = {
    "ready": False,
    "deaf": False,
    "waiting": 0,
    "deferred": 0,
    "oldest": None,
    "last_registered_at": None,
    "last_rejected_at": None,
    "started_at": None,
    "pid": None,
    "version": None,
}


@click.command(
    cls=Command,
    examples=["model-inbox status", "model-inbox status --json | jq -e '.ready and .deferred == 0'"],
    exits={
        0: "no problems: the daemon runs and takes drops",
        1: "problems, which are listed: it does not run, gets no file events, has deferred drops, ...",
    },
)
@pass_app
def status(app: App, *, as_json: bool) -> int:
    """Show what the daemon does, and its problems.

    For people and, by its exit status, for monitoring. Reads the newer of the daemon's two status files, and asks the
    kernel whether the daemon's lock is held. Every member of the service's groups may run it.
    """
    from ..telemetry.health import assess, find_daemon, state_of
    from ..telemetry.status_file import disk_left, why_unreplaceable, why_unwritable

    registry_path, inbox_path = app.daemon_places
    act_as_any_owner(registry_path.parent, inbox_path)
    found = find_daemon(registry_path, inbox_path)
    document, holding = found.document, found.holding
    published_disks = {disk.get("folder"): disk for disk in (document or {}).get("disks") or ()}
    folders = (("inbox", inbox_path), ("models", registry_path.parent))
    disks = [disk for name, path in folders if (disk := disk_left(name, path) or published_disks.get(name)) is not None]
    moment = now()
    places = [file.path.parent for file in found.files]
    unwritable = {str(place): why for place in places if (why := why_unwritable(place))}
    unreplaceable = {str(file.path): why for file in found.files if (why := why_unreplaceable(file.path))}
    problems = assess(document, holding, moment, disks=disks, unwritable=unwritable, unreplaceable=unreplaceable)
    state = state_of(document, holding)
    shown: dict[str, Any] = {**_DEFAULTS, **(document or {}), "state": state, "alive": holding.held, "disks": disks}
    # The values of an earlier daemon, or of one that has ended, are no longer true.
    if not found.wrote_document:
        shown |= {name: _DEFAULTS[name] for name in ("ready", "deaf", "waiting", "deferred", "oldest", "pid")}
        shown |= {"waiting_files": [], "deferred_drops": []}
    shown["pid"] = holding.pid or shown["pid"]
    shown["other_status_files"] = [{"path": str(file.path), "problem": why} for file, why in found.other_files()]
    shown |= {"ok": not problems, "problems": [problem.as_dict() for problem in problems]}
    if as_json:
        print_json(shown)
    else:
        _print(shown, problems, moment)
    return EXIT_REFUSED if problems else EXIT_DONE


def _print(shown: Mapping[str, Any], problems: Sequence[Problem], moment: datetime) -> None:
    version = f" (model-inbox {shown['version']})" if shown["version"] else ""
    print_lines(
        f"{'OK' if not problems else 'NOT OK'}: the daemon is {shown['state']}{version}",
        colour="red" if problems else "green",
    )
    if problems:
        print_all(problems)
    print_fields(list(_fields(shown, moment)))


def _fields(shown: Mapping[str, Any], moment: datetime) -> Iterator[tuple[str, object]]:
    def ago(text: object) -> str:
        at = parse_stored(text)
        return f"{when(at, seconds=True)} UTC ({age(at, moment)} ago)" if at is not None else ""

    def to_come(text: object) -> str:
        at = parse_stored(text)
        if at is None:
            return ""
        return f"{when(at, seconds=True)} UTC (in {format_duration(max((at - moment).total_seconds(), 0))})"

    lives = shown["state"] != "stopped"
    yield "running since" if lives else "was started", ago(shown.get("started_at"))
    yield "process", shown["pid"]
    yield "now", shown.get("doing") if lives else ""
    inbox = shown.get("inbox") or {}
    yield "inbox", inbox.get("path")
    watcher = "no file events arrive: rescans at intervals" if shown["deaf"] else inbox.get("watcher")
    yield "watch", watcher if lives else ""
    yield "waiting", shown["waiting"]
    if oldest := shown.get("oldest"):
        said = "; ".join(str(problem.get("message")) for problem in oldest.get("problems") or ())
        until = f", until {to_come(oldest['until'])}" if oldest.get("until") else ""
        yield "oldest", f"{oldest.get('name')}, of {oldest.get('owner')}, unchanged since {ago(oldest.get('since'))}"
        yield "", f"{said}{until}"
    yield "deferred", shown["deferred"]
    for drop in shown.get("deferred_drops") or ():
        yield "", f"{drop.get('drop_id')}: {drop.get('cause')}; again {to_come(drop.get('retry_at'))}"
    yield "last registered", ago(shown.get("last_registered_at")) or "never"
    yield "last rejected", ago(shown.get("last_rejected_at")) or "never"
    registry = shown.get("registry") or {}
    if registry.get("entries") is not None:
        journal = format_size(registry.get("journal_bytes") or 0)
        yield (
            "registry",
            f"{counted(registry['entries'], 'model')}, {registry.get('sequence')} changes, journal {journal}",
        )
    for one in registry.get("rewritten") or ():
        kept = f"; the file that was found is {one.get('kept')}" if one.get("kept") else ""
        yield "written again", f"{one.get('path')} {ago(one.get('at'))}: {one.get('problem')}{kept}"
        for change in one.get("changes") or ():
            yield "", change
    retention = shown.get("retention") or {}
    if retention:
        due = to_come(retention.get("next_run_at")) if lives else ""
        ran = ago(retention.get("last_run_at"))
        parts = [str(retention.get("mode")), f"last run {ran}" if ran else "", f"next run {due}" if due else ""]
        yield "retention", ", ".join(filter(None, parts))
    for file in shown["other_status_files"]:
        yield "status file", f"not used: {file['problem']}"
    for disk in shown["disks"]:
        left, size = format_size(disk.get("free_bytes") or 0), format_size(disk.get("size_bytes") or 0)
        yield f"disk of {disk.get('folder')}", f"{left} of {size} left ({disk.get('path')})"
    config = shown.get("config") or {}
    if config:
        yield "config", f"{config.get('path') or 'the defaults'}, read {ago(config.get('loaded_at'))}"
    reload = config.get("reload") or {}
    yield "last reload", f"{reload.get('outcome')} {ago(reload.get('at'))}" if reload else ""
    for problem in reload.get("problems") or ():
        yield "", problem.get("message")
    yield "restart needed for", ", ".join(config.get("restart_needed") or ())
