"""`model-inbox trash`: lists the retired models whose files still exist, and purges them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import canonical_instant
from ..base.units import counted, format_size
from ..errors import EntryNotFound
from ..exit_codes import EXIT_DONE, EXIT_TRY_AGAIN
from ..problems import quoted
from .arguments import find_retired
from .common import App, Command, Group, ask, now, pass_app
from .completion import complete_retired
from .output import Column, age, print_json, print_lines, print_table, when

if TYPE_CHECKING:
    from ..registry.outcomes import Retired

__all__ = ["trash"]

_COLUMNS = (
    Column("MODEL"),
    Column("SEQUENCE", rank=3, right=True),
    Column("RETIRED (UTC)", rank=6),
    Column("AGE", rank=1, right=True),
    Column("SIZE", rank=4, right=True),
    Column("BY", rank=5, least=6),
    Column("WHY", rank=2, least=16, words=True),
)


@click.group(cls=Group)
def trash() -> None:
    """List retired models, and remove them permanently."""


@trash.command("list", cls=Command, examples=["model-inbox trash list"])
@pass_app
def list_trash(app: App, *, as_json: bool) -> None:
    """List the retired models that `model-inbox restore` can restore, in the order of their retirement."""
    with app.reading() as registry:
        retired = registry.retired()
    grace = app.config.retention.trash_grace.seconds
    if as_json:
        print_json([_as_dict(item, grace) for item in retired])
    elif retired:
        _print_retired(retired, now())
    else:
        print_lines("The trash is empty.")


@trash.command(
    cls=Command,
    examples=["model-inbox trash purge", "model-inbox trash purge usd_eur_20251025 --yes --json"],
    exits={
        1: "it is not in the trash, or it was not confirmed",
        75: "the clock has jumped, a process has one of the files open, or another writer holds the registry",
    },
)
@click.argument("model_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_retired)
@click.option("--all", "everything", is_flag=True, help="Also models whose grace is not over.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_app
def purge(app: App, *, model_ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool) -> int:
    """Remove retired models permanently.

    Removes the given models or, without an ID, all whose grace (`retention.trash_grace`) is over. Shows them and asks
    for confirmation. A model is not removed while a process has a file of it open.
    """
    grace = app.config.retention.trash_grace.seconds
    moment = app.read_clock("purge the trash")
    with app.reading() as registry:
        unfinished = registry.unfinished_purges()
    if unfinished:
        # Their journal lines are committed, so there is nothing to confirm.
        with app.writing() as registry:
            registry.finish_purges()
        if not as_json:
            print_lines(f"Finished an interrupted purge: removed {', '.join(map(quoted, unfinished))} permanently.")
    with app.reading() as registry:
        retired = registry.retired()
        model_ids = tuple(find_retired(retired, model_id) for model_id in model_ids)
        chosen = _chosen(
            retired,
            [model_id for model_id in model_ids if model_id not in unfinished],
            None if everything else moment - timedelta(seconds=grace),
            all_by_age=not model_ids,
        )
    if not chosen:
        if as_json:
            print_json({"purged": [], "in_use": [], "bytes_freed": 0, "finished": unfinished})
        elif not unfinished:
            print_lines("No model in the trash is old enough (--all removes all).")
        return EXIT_DONE
    if not as_json:
        _print_retired(chosen, moment)
    ask(f"Remove {counted(len(chosen), 'model')} permanently?", yes=yes, to="purge the trash")
    purged: list[Retired] = []
    in_use: list[Retired] = []
    freed = 0
    with app.writing() as registry:
        registry.clock_watch.look().must_be_believed("purge the trash")
        for item in chosen:
            size = registry.purge(item, reason="purged by hand")
            if size is None:
                in_use.append(item)
            else:
                purged.append(item)
                freed += size
    if as_json:
        print_json(
            {
                "purged": [_as_dict(item, grace) for item in purged],
                "in_use": [_as_dict(item, grace) for item in in_use],
                "bytes_freed": freed,
                "finished": unfinished,
            }
        )
    else:
        print_lines(f"Removed {counted(len(purged), 'model')} permanently, {format_size(freed)} freed.")
        for item in in_use:
            print_lines(f"{quoted(item.model_id)} stays: a process has a file of it open, or it was removed meanwhile.")
    return EXIT_TRY_AGAIN if in_use else EXIT_DONE


def _chosen(
    retired: Sequence[Retired], model_ids: Sequence[str], before: datetime | None, *, all_by_age: bool
) -> list[Retired]:
    """Return the given models or, with `all_by_age`, all that were retired before `before` (None: all).

    Raises EntryNotFound.
    """
    known = {item.model_id for item in retired}
    for model_id in model_ids:
        if model_id not in known:
            raise EntryNotFound(
                f"cannot purge {quoted(model_id)}: it is not in the trash",
                hint="`model-inbox trash list` shows the models in the trash",
            )
    if not all_by_age:
        return [item for item in retired if item.model_id in model_ids]
    return [item for item in retired if before is None or item.at < before]


def _print_retired(retired: Sequence[Retired], moment: datetime) -> None:
    rows = [
        (
            item.model_id,
            item.sequence,
            when(item.at),
            age(item.at, moment),
            format_size(int(item.entry.get("size_bytes") or 0)),
            item.actor,
            item.reason,
        )
        for item in retired
    ]
    print_table(_COLUMNS, rows)


def _as_dict(item: Retired, grace_seconds: float) -> dict[str, Any]:
    return {
        "model_id": item.model_id,
        "sequence": item.sequence,
        "retired_at": canonical_instant(item.at),
        "purged_after": canonical_instant(item.at + timedelta(seconds=grace_seconds)),
        "actor": item.actor,
        "reason": item.reason,
        "size_bytes": item.entry.get("size_bytes"),
        "folder": str(item.folder),
    }
