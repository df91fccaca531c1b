"""`model-inbox replica`: a copy of a registry on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import canonical_instant
from ..base.units import counted, format_duration, format_size
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from .arguments import as_seconds
from .common import App, Command, Group, act_as_owner, now, pass_app
from .output import print_fields, print_json, print_lines

if TYPE_CHECKING:
    from ..replica.record import Record

__all__ = ["replica"]

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


@click.group(cls=Group)
def replica() -> None:
    """Pull a registry from another machine, and tell how old the copy is."""


@replica.command(
    cls=Command,
    examples=[
        "model-inbox replica pull trainer:/var/lib/model-inbox/models /srv/models",
        "model-inbox replica pull /mnt/backup/models /srv/models --alias champion --json",
    ],
    exits={
        1: "the source is none, lacks model files, or DIR holds something else",
        75: "the source cannot be reached, or another pull is at work",
    },
)
@click.argument("source", metavar="SOURCE")
@_FOLDER
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="NAME",
    help="Fetch only models with this alias; may be repeated.",
)
@pass_app
def pull(_app: App, *, source: str, folder: Path, aliases: tuple[str, ...], as_json: bool) -> int:
    """Bring the replica in DIR to what the registry in the folder SOURCE is now.

    SOURCE is [USER@]HOST:FOLDER, which rsync reads over ssh, or a folder here, such as a mounted or backed-up one.
    Model files come first, are verified, and are not fetched twice; the journal that names them comes last. The replica
    can be read and followed all the time, and is changed by nothing else.
    """
    from ..base.disk import Disk
    from ..replica.pull import pull as carry_out

    act_as_owner(folder)
    done = carry_out(source, folder, aliases=aliases, clock=now, disk=Disk())
    if as_json:
        numbers = {"new_files": done.new_files, "new_bytes": done.new_bytes, "removed_files": done.removed_files}
        print_json({**_as_dict(done.record, folder), **numbers})
    else:
        print_lines(
            f"Pulled {counted(done.record.models, 'model')} from {done.record.source}: "
            f"{counted(done.new_files, 'new file')} ({format_size(done.new_bytes)}), {done.removed_files} removed."
        )
        for name in done.record.lacking:
            print_lines(f"The source lacks {name}, or has other bytes there.", indent=2)
    return EXIT_REFUSED if done.record.lacking else EXIT_DONE


@replica.command(
    cls=Command,
    examples=["model-inbox replica status /srv/models --max-age 10m"],
    exits={1: "there is no replica, it was never pulled whole, or that was longer ago than --max-age"},
)
@_FOLDER
@click.option("--max-age", callback=as_seconds, metavar="DURATION", help="How old the replica may be, like 10m.")
@pass_app
def status(_app: App, *, folder: Path, max_age: float | None, as_json: bool) -> int:
    """Tell what the replica in DIR is a copy of, and when it was last the same."""
    from ..replica.pull import read_record

    record = read_record(folder.absolute())
    age = (now() - record.pulled_at).total_seconds() if record.pulled_at is not None else None
    is_stale = age is None or (max_age is not None and age > max_age)
    if as_json:
        print_json({**_as_dict(record, folder), "age_seconds": age, "stale": is_stale})
    else:
        fields = [
            ("source", record.source),
            ("last pulled", "never" if age is None else f"{format_duration(max(age, 0))} ago"),
            ("position", record.position),
            ("models", str(record.models)),
        ]
        if record.aliases:
            fields.append(("only", ", ".join(record.aliases)))
        if record.problem:
            fields.append(("last attempt", record.problem))
        print_fields(fields)
    return EXIT_REFUSED if is_stale else EXIT_DONE


def _as_dict(record: Record, folder: Path) -> dict[str, Any]:
    return {
        "source": record.source,
        "registry": str(folder.absolute() / record.registry) if record.registry else None,
        "aliases": list(record.aliases),
        "position": record.position or None,
        "models": record.models,
        "files": len(record.files),
        "lacking": list(record.lacking),
        "pulled_at": canonical_instant(record.pulled_at) if record.pulled_at is not None else None,
        "failed_at": canonical_instant(record.failed_at) if record.failed_at is not None else None,
        "problem": record.problem or None,
    }
