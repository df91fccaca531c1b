"""`model-inbox trash`: the retired models whose files are still there, and their end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ..base.units import format_size
from ..errors import EXIT_DONE, EXIT_TRY_AGAIN, EntryNotFound
from ..problems import quoted
from .common import App, Command, Group, ask, now, pass_app
from .output import age, print_json, print_lines, print_table, when

if TYPE_CHECKING:
    from ..registry.outcomes import Retired

__all__ = ["trash"]


@click.group(cls=Group)
def trash() -> None:
    """See what was retired, and remove it for good."""


@trash.command("list", cls=Command, examples=["model-inbox trash list"])
@pass_app
def list_trash(app: App, *, as_json: bool) -> None:
    """List the retired models that `model-inbox restore` can bring back, oldest retirement first."""
    with app.reading() as registry:
        held = registry.retired()
    grace = app.config.retention.trash_grace.seconds
    if as_json:
        print_json([_as_dict(item, grace) for item in held])
    elif held:
        _print_held(held, now())
    else:
        print_lines("The trash is empty.")


@trash.command(
    cls=Command,
    examples=["model-inbox trash purge", "model-inbox trash purge usd_eur_20251025 --yes --json"],
    exits={
        1: "the trash does not hold it, or nobody confirmed it",
        75: "a process has one of the files open, or another writer holds the registry",
    },
)
@click.argument("model_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also what was retired only lately.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
def purge(app: App, *, model_ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool) -> int:
    """Remove retired models for good.

    Those that are named, or, without a name, all whose grace (`retention.trash_grace`) is over. Shows them and asks.
    A model that a process has open stays.
    """
    grace = app.config.retention.trash_grace.seconds
    with app.reading() as registry:
        unfinished = registry.unfinished_purges()
    if unfinished:
        # Their lines are committed: there is nothing to ask.
        with app.writing() as registry:
            registry.finish_purges()
        if not as_json:
            print_lines(f"Finished what was cut short: {', '.join(map(quoted, unfinished))} removed for good.")
    with app.reading() as registry:
        chosen = _chosen(
            registry.retired(),
            [model_id for model_id in model_ids if model_id not in unfinished],
            None if everything else now() - timedelta(seconds=grace),
            all_by_age=not model_ids,
        )
    if not chosen:
        if as_json:
            print_json({"purged": [], "in_use": [], "bytes_freed": 0, "finished": unfinished})
        elif not unfinished:
            print_lines("Nothing in the trash is old enough to go (--all takes everything).")
        return EXIT_DONE
    if not as_json:
        _print_held(chosen, now())
    ask(f"Remove {_count(len(chosen))} for good?", yes=yes, to="purge the trash")
    purged: list[Retired] = []
    in_use: list[Retired] = []
    freed = 0
    with app.writing() as registry:
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
        print_lines(f"Removed {_count(len(purged))} for good, {format_size(freed)} freed.")
        for item in in_use:
            print_lines(f"{quoted(item.model_id)} stays: a process has a file of it open, or it is gone already.")
    return EXIT_TRY_AGAIN if in_use else EXIT_DONE


def _chosen(
    held: Sequence[Retired], model_ids: Sequence[str], before: datetime | None, *, all_by_age: bool
) -> list[Retired]:
    """Return what is named, or, with `all_by_age`, all that was retired before that instant (None: all)."""
    known = {item.model_id for item in held}
    for model_id in model_ids:
        if model_id not in known:
            raise EntryNotFound(
                f"cannot purge {quoted(model_id)}: the trash does not hold it",
                hint="`model-inbox trash list` shows what it holds",
            )
    if not all_by_age:
        return [item for item in held if item.model_id in model_ids]
    return [item for item in held if before is None or item.at < before]


def _print_held(held: Sequence[Retired], moment: datetime) -> None:
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
        for item in held
    ]
    print_table(
        ("MODEL", "SEQUENCE", "RETIRED (UTC)", "AGE", "SIZE", "BY", "WHY"), rows, right=("SEQUENCE", "AGE", "SIZE")
    )


def _as_dict(item: Retired, grace_seconds: float) -> dict[str, Any]:
    return {
        "model_id": item.model_id,
        "sequence": item.sequence,
        "retired_at": _text(item.at),
        "purged_after": _text(item.at + timedelta(seconds=grace_seconds)),
        "actor": item.actor,
        "reason": item.reason,
        "size_bytes": item.entry.get("size_bytes"),
        "folder": str(item.folder),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _count(models: int) -> str:
    return "1 model" if models == 1 else f"{models} models"
