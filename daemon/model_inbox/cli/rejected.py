"""`model-inbox rejected`: shows rejected drops and their problems, retries and purges them."""

from __future__ import annotations

from pathlib import Path

import click

from ..base.instants import parse_stored
from ..base.units import counted, format_duration, format_size
from ..model.owner import owner_in_words
from ..problems import problems_in
from .arguments import as_seconds
from .common import App, Command, Group, act_as_owner, ask, now, pass_app
from .completion import complete_rejected
from .output import Column, age, print_fields, print_json, print_lines, print_problems, print_table, when

__all__ = ["rejected"]

_COLUMNS = (
    Column("DROP"),
    Column("STEM", rank=3),
    Column("AGE", rank=2, right=True),
    Column("PROBLEMS", rank=1, least=12, words=True),
)
_COLUMNS_OF_PURGE = (Column("DROP"), Column("FILES", rank=2, least=12, words=True), Column("SIZE", rank=1, right=True))


@click.group(cls=Group)
def rejected() -> None:
    """Show, retry and purge rejected drops.

    Their files are in `inbox/rejected/<drop_id>/` with the reasons, for the time of `inbox.rejected_keep`.
    """


@rejected.command("list", cls=Command, examples=["model-inbox rejected list"])
@pass_app
def list_drops(app: App, *, as_json: bool) -> None:
    """List the rejected drops, oldest first."""
    from ..inbox.rejected import list_rejected

    found = list_rejected(_folder(app))
    drops = [drop for drop in found if not drop.is_closed]
    if as_json:
        print_json([drop.as_dict() for drop in drops])
        return
    closed = counted(len(found) - len(drops), "rejected drop")
    if not drops:
        print_lines("Nothing was rejected." if not found else f"None of yours was rejected; {closed} of other users.")
        return
    moment = now()
    rows = []
    for drop in drops:
        at = parse_stored(drop.reason.get("at"))
        codes = list(dict.fromkeys(problem.code for problem in problems_in(drop.reason.get("problems"))))
        rows.append((drop.drop_id, drop.reason.get("stem"), age(at, moment), ", ".join(codes) or "?"))
    print_table(_COLUMNS, rows)
    if len(found) > len(drops):
        print_lines(f"\nAnd {closed} of other users, which only they and the service may read.")


@rejected.command(
    cls=Command,
    examples=["model-inbox rejected show usd_eur_20251025"],
    exits={1: "no such rejected drop"},
)
@click.argument("drop_id", metavar="DROP", shell_complete=complete_rejected)
@pass_app
def show(app: App, *, drop_id: str, as_json: bool) -> None:
    """Show a rejected drop with all problems: what was found, where, and what to do.

    DROP is a drop_id, or a stem or model_id, which means the newest rejected drop with it.
    """
    from ..inbox.rejected import find_rejected

    drop = find_rejected(_folder(app), drop_id)
    if as_json:
        print_json(drop.as_dict())
        return
    at = parse_stored(drop.reason.get("at"))
    print_lines(drop.drop_id)
    print_fields(
        [
            (
                "rejected",
                f"{when(at, seconds=True)} UTC ({age(at, now())} ago)" if at is not None else "at an unknown time",
            ),
            ("stem", drop.reason.get("stem")),
            ("model", drop.reason.get("model_id")),
            ("owner", owner_in_words(drop.reason.get("owner"))),
            ("files", ", ".join(f"{name} ({format_size(drop.size_of(name))})" for name in drop.files) or "none"),
            ("folder", drop.folder),
        ]
    )
    problems = problems_in(drop.reason.get("problems"))
    if not problems:
        print_lines("\nIts reasons cannot be read: reason.json is missing or damaged.")
        return
    print_lines(f"\n{counted(len(problems), 'problem')}:")
    print_problems(problems)
    again = f"`model-inbox rejected retry {drop.drop_id}`"
    print_lines(f"\nCorrect it and drop it again. If a setting was wrong, not the drop, correct that and run {again}")


@rejected.command(
    cls=Command,
    examples=["model-inbox rejected retry usd_eur_20251025"],
    exits={1: "no such rejected drop, or the inbox has a newer file of the same name", 75: "a disk error"},
)
@click.argument("drop_id", metavar="DROP", shell_complete=complete_rejected)
@pass_app
def retry(app: App, *, drop_id: str, as_json: bool) -> None:
    """Move the files of a rejected drop back to the inbox, where they are checked like a new drop.

    Use this after changing the setting that caused the rejection, such as `pickle.allow`.
    """
    from ..base.disk import Disk
    from ..inbox.rejected import find_rejected, retry_rejected

    drop = find_rejected(_folder(app), drop_id)
    inbox = app.config.inbox.path
    names = retry_rejected(drop, inbox, Disk())
    if as_json:
        print_json({"drop_id": drop.drop_id, "files": names, "inbox": str(inbox)})
    elif drop.folder.exists():
        print_lines(f"Copied to the inbox: {', '.join(names)}. The rejected drop stays, as you may not remove it.")
    else:
        print_lines(f"Moved back to the inbox: {', '.join(names)}.")


@rejected.command(
    cls=Command,
    examples=["model-inbox rejected purge", "model-inbox rejected purge --older-than 7d --yes --json"],
    exits={1: "it was not confirmed", 75: "the clock has jumped, or a disk error"},
)
@click.option("--older-than", callback=as_seconds, metavar="DURATION", help="Like 7d. Default: `inbox.rejected_keep`.")
@click.option("--all", "everything", is_flag=True, help="All rejected drops, of any age.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_app
def purge(app: App, *, older_than: float | None, everything: bool, yes: bool, as_json: bool) -> None:
    """Remove rejected drops and their files permanently. Shows them and asks for confirmation."""
    from ..base.disk import Disk
    from ..inbox.claim_names import is_older
    from ..inbox.rejected import list_rejected, purge_rejected

    if everything and older_than is not None:
        raise click.UsageError("Give either --all or --older-than.")
    keep = 0.0 if everything else older_than if older_than is not None else app.config.inbox.rejected_keep
    moment = now() if everything else app.read_clock("purge rejected drops")
    folder = _folder(app)
    due = [drop for drop in list_rejected(folder) if is_older(drop.drop_id, moment, keep)]
    if not due:
        if as_json:
            print_json({"purged": [], "bytes_freed": 0})
        else:
            print_lines(f"Nothing was rejected more than {format_duration(keep)} ago.")
        return
    if not as_json:
        rows = [(drop.drop_id, ", ".join(drop.files), format_size(drop.bytes)) for drop in due]
        print_table(_COLUMNS_OF_PURGE, rows)
    count = counted(len(due), "rejected drop")
    ask(f"Remove {count} permanently?", yes=yes, to="purge rejected drops")
    _, freed = purge_rejected(folder, moment, keep, Disk())
    if as_json:
        print_json({"purged": [drop.drop_id for drop in due], "bytes_freed": freed})
    else:
        print_lines(f"Removed {count} permanently, {format_size(freed)} freed.")


def _folder(app: App) -> Path:
    """Return the folder of rejected drops. Root becomes its owner before it reads any of it. Raises StorageError."""
    inbox = app.inbox()
    folder = inbox / "rejected"
    act_as_owner(inbox, folder)
    return folder
