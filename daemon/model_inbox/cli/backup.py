"""`model-inbox backup`: snapshots of the registry with its model files, and restoring one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import canonical_instant
from ..base.units import counted, format_size
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from .common import App, Command, Group, act_as_owner, ask, nearest, now, pass_app
from .output import Column, print_fields, print_json, print_lines, print_problems, print_table

if TYPE_CHECKING:
    from ..backup.folder import BackupFolder, Snapshot
    from ..backup.thinning import Thinning
    from ..config.retention import Keep

__all__ = ["backup"]

_COLUMNS = (
    Column("NAME"),
    Column("MODELS", rank=2, right=True),
    Column("SIZE", rank=1, right=True),
    Column("POSITION", rank=3),
)
_COLUMNS_OF_PLAN = (Column("PLAN", rank=1), Column("NAME"), Column("WHY", rank=2, least=16, words=True))


class _Backup(Group):
    """A group whose first word may be a folder: `backup DIR` is `backup make DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_word = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        # A mistyped command, unless a folder has that name.
        mistyped = len(args) > 1 and nearest(args[0], list(self.commands)) is not None and not Path(args[0]).exists()
        if args and not is_word and not mistyped:
            args = ["make", *args]
        return super().parse_args(ctx, args)


_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
_NAME = click.argument("name", metavar="[NAME]", required=False)


def _keep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the rules of retention as options."""
    options = [
        click.option("--keep-last", type=click.IntRange(1), metavar="N", help="Keep the N newest snapshots."),
        click.option("--keep-within", metavar="DURATION", help="Keep all of this much before the newest, like 30d."),
    ]
    options += [
        click.option(
            f"--keep-{rule}", type=click.IntRange(1), metavar="N", help=f"Keep the newest of each of N {units}."
        )
        for rule, units in (
            ("hourly", "hours"),
            ("daily", "days"),
            ("weekly", "weeks"),
            ("monthly", "months"),
            ("yearly", "years"),
        )
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=_Backup)
def backup() -> None:
    """Make, list, verify and restore backups. `backup DIR` makes one."""


@backup.command(
    cls=Command,
    examples=["model-inbox backup /srv/backup/models", "model-inbox backup make /srv/backup/models --json"],
    exits={
        1: "DIR cannot be used, or the registry itself lacks files (the snapshot is made, without them)",
        75: "another backup is at work in DIR, a writer holds the registry, or the disk refused",
    },
)
@_FOLDER
@pass_app
def make(app: App, *, folder: Path, as_json: bool) -> int:
    """Make a snapshot in DIR, while the daemon and other writers go on.

    It holds the registry and its model files as they were at one moment. Files that the snapshot before has, too, are
    shared with it by hard links and cost no space. No file is shared with the registry.
    """
    from ..backup.make import make_backup
    from ..base.disk import Disk

    section = app.config.registry
    app.act_as_owner()
    app.must_exist()
    made = make_backup(
        section.path, section.storage_dir, folder, lock_timeout=section.lock_timeout, clock=now, disk=Disk()
    )
    manifest = made.manifest
    if as_json:
        print_json(
            {
                **_as_dict(made.path.name, manifest),
                "path": str(made.path),
                "new_bytes": made.new_bytes,
                "problems": [problem.as_dict() for problem in made.problems],
            }
        )
    else:
        print_lines(
            f"Made {str(made.path)!r}: {counted(manifest.entries, 'model')}, {counted(len(manifest.files), 'file')}."
        )
        print_lines(f"{format_size(manifest.size)} in all, {format_size(made.new_bytes)} of them new.", indent=2)
        print_problems(made.problems)
    return EXIT_REFUSED if made.problems else EXIT_DONE


@backup.command("list", cls=Command, examples=["model-inbox backup list /srv/backup/models"])
@_FOLDER
@pass_app
def list_backups(_app: App, *, folder: Path, as_json: bool) -> None:
    """List the snapshots in DIR, newest first."""
    found = list(reversed(_folder(folder).snapshots()))
    if as_json:
        print_json([_as_dict(one.name, one.manifest) for one in found])
        return
    if not found:
        print_lines("There is no snapshot.")
        return
    rows = [
        (one.name, str(one.manifest.entries), format_size(one.manifest.size), one.manifest.position)
        if one.manifest is not None
        else (one.name, "", "", "its manifest cannot be read")
        for one in found
    ]
    print_table(_COLUMNS, rows)


@backup.command(
    cls=Command,
    examples=["model-inbox backup verify /srv/backup/models"],
    exits={1: "problems were found, or there is no such snapshot"},
)
@_FOLDER
@_NAME
@pass_app
def verify(_app: App, *, folder: Path, name: str | None, as_json: bool) -> int:
    """Read every file of one snapshot, or of all, and tell what is wrong with them."""
    from ..backup.verification import verify_snapshot

    there = _folder(folder)
    newest = there.snapshot(name)
    found = {one.name: verify_snapshot(one) for one in ([newest] if name is not None else there.snapshots())}
    sound = not any(found.values())
    if as_json:
        print_json(
            {
                "ok": sound,
                "snapshots": [
                    {"name": one, "problems": [problem.as_dict() for problem in problems]}
                    for one, problems in found.items()
                ],
            }
        )
    else:
        for one, problems in found.items():
            print_lines(f"{one}: {'no problems' if not problems else 'has problems'}")
            print_problems(problems)
    return EXIT_DONE if sound else EXIT_REFUSED


@backup.command(
    cls=Command,
    examples=["model-inbox backup restore /srv/backup/models --to /var/lib/model-inbox/models"],
    exits={1: "MODELS is not empty, or there is no such snapshot", 75: "the disk refused"},
)
@_FOLDER
@_NAME
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="MODELS",
    help="The folder that the registry is to be in: an empty one, or a new one.",
)
@pass_app
def restore(_app: App, *, folder: Path, name: str | None, target: Path, as_json: bool) -> None:
    """Make the registry of a snapshot, the newest if none is named, in a folder.

    It is the same registry in a new epoch, so that a follower notices by its position. Each file is verified
    while it is copied.
    """
    from ..backup.restore import restore as carry_out
    from ..base.disk import Disk

    act_as_owner(target, folder)
    snapshot = _folder(folder).snapshot(name)
    done = carry_out(snapshot, target, Disk())
    if as_json:
        print_json(
            {
                "name": snapshot.name,
                "registry": done.registry,
                "position": done.position,
                "models": done.entries,
                "files": done.files,
                "bytes": done.size,
            }
        )
        return
    print_lines(f"Restored {snapshot.name}.")
    fields = [
        ("registry", done.registry),
        ("position", done.position),
        ("models", done.entries),
        ("files", f"{done.files} ({format_size(done.size)})"),
    ]
    print_fields(fields)


@backup.command(
    cls=Command, examples=["model-inbox backup plan /srv/backup/models --keep-last 3 --keep-daily 7 --keep-weekly 8"]
)
@_FOLDER
@_keep_options
@pass_app
def plan(_app: App, /, *, folder: Path, as_json: bool, **rules: Any) -> None:
    """Show which snapshots the rules keep and which they would remove, each with its reasons.

    The rules mean what they mean in `retention:`: a snapshot stays if at least one of them keeps it. The newest one
    always stays. Changes nothing.
    """
    thinning = _thinning(_folder(folder).snapshots(), _keep(rules))
    if as_json:
        print_json(thinning.as_dict())
    else:
        _print_plan(thinning)


@backup.command(
    cls=Command,
    examples=["model-inbox backup apply /srv/backup/models --keep-daily 7 --keep-monthly 12 --yes"],
    exits={1: "nobody confirmed it", 75: "another backup is at work in DIR, or the disk refused"},
)
@_FOLDER
@_keep_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def apply(_app: App, /, *, folder: Path, yes: bool, as_json: bool, **rules: Any) -> None:
    """Remove the snapshots that no rule keeps. Shows the plan and asks."""
    keep = _keep(rules)
    there = _folder(folder)
    shown = _thinning(there.snapshots(), keep)
    if not as_json:
        _print_plan(shown)
    if shown.remove:
        ask(f"Remove {len(shown.remove)} of the snapshots?", yes=yes, to="apply the plan")
        with there.locked():
            # A snapshot that another backup made or removed meanwhile is not touched.
            doomed = {name for name, _ in shown.remove}
            for snapshot in there.snapshots():
                if snapshot.name in doomed:
                    there.remove(snapshot)
    if as_json:
        print_json(shown.as_dict())
    elif shown.remove:
        print_lines(f"Removed {len(shown.remove)}.")


def _folder(path: Path) -> BackupFolder:
    from ..backup.folder import BackupFolder
    from ..base.disk import Disk

    act_as_owner(path)
    return BackupFolder(path.absolute(), Disk())


def _keep(rules: dict[str, Any]) -> Keep:
    """Return the rules that the options give. Raises UsageError for none, and for what no rule can have."""
    from pydantic import ValidationError

    from ..config.retention import Keep

    given = {name.removeprefix("keep_"): value for name, value in rules.items() if value is not None}
    if not given:
        raise click.UsageError("Say what to keep: at least one of the --keep options.")
    try:
        return Keep.model_validate(given)
    except ValidationError as error:
        raise click.UsageError("; ".join(str(found["msg"]) for found in error.errors())) from None


def _thinning(snapshots: Sequence[Snapshot], keep: Keep) -> Thinning:
    from ..backup.thinning import plan_thinning

    return plan_thinning(snapshots, keep, now=now())


def _print_plan(thinning: Thinning) -> None:
    rows = [("keep", name, "; ".join(reasons)) for name, reasons in thinning.keep]
    rows += [("remove", name, "; ".join(reasons)) for name, reasons in thinning.remove]
    if rows:
        print_table(_COLUMNS_OF_PLAN, rows)
    else:
        print_lines("There is no snapshot.")


def _as_dict(name: str, manifest: Any) -> dict[str, Any]:
    if manifest is None:
        return {"name": name, "damaged": True}
    identity = manifest.identity
    return {
        "name": name,
        "damaged": False,
        "at": canonical_instant(manifest.made_at),
        "registry_id": identity.registry_id if identity is not None else None,
        "epoch": identity.epoch if identity is not None else None,
        "sequence": manifest.sequence,
        "models": manifest.entries,
        "files": len(manifest.files),
        "bytes": manifest.size,
        "lacking": list(manifest.lacking),
    }
