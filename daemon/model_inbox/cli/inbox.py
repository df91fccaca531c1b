"""`model-inbox inbox`: shows the files in the inbox, and what each waits for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.file_systems import is_network_file_system
from ..base.instants import parse_stored
from ..base.units import format_duration
from ..errors import ModelInboxError, StorageError
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from ..model.owner import owner_in_words
from ..problems import problems_in, quoted
from .common import App, Command, Group, act_as_owner, now, pass_app
from .output import Column, age, print_fields, print_json, print_lines, print_problems, print_table, when

if TYPE_CHECKING:
    from ..config.settings import Config
    from ..inbox.explain import Explained

__all__ = ["inbox", "look_options", "look_options_of"]

_COLUMNS = (
    Column("NAME"),
    Column("OWNER", rank=5, least=6),
    Column("AGE", rank=4, right=True),
    Column("STATE", rank=1),
    Column("UNTIL", rank=3, right=True),
    Column("WHY", rank=2, least=16, words=True),
)


# Words of the table for states whose names are for programs.
_STATES = {"in_hand": "in work", "ours": "own folder"}


@click.group(cls=Group)
def inbox() -> None:
    """Show the files in the inbox and what they wait for."""


@inbox.command("list", cls=Command, examples=["model-inbox inbox list"])
@pass_app
def list_files(app: App, *, as_json: bool) -> None:
    """List the files in the inbox, oldest first, each with what it waits for."""
    from ..inbox.explain import look_over

    path, options = look_options(app)
    everything = look_over(path, **options)
    if as_json:
        print_json([one.as_dict() for one in everything])
        return
    if not everything:
        print_lines("The inbox is empty.")
        return
    moment = now()
    rows = []
    for one in everything:
        why = "; ".join(problem.message for problem in one.problems) or one.words
        rows.append(
            (
                one.name,
                one.owner,
                age(one.since, moment),
                _STATES.get(one.state, one.state),
                _left(one.until, moment),
                why,
            )
        )
    print_table(_COLUMNS, rows)


@inbox.command(
    cls=Command,
    examples=["model-inbox inbox explain usdeur.pkl", "model-inbox inbox explain inbox/*.yaml --json"],
    exits={1: "a FILE is gone and its drop was rejected or has no receipt, or the FILE is refused at the next rescan"},
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@pass_app
def explain(app: App, *, files: tuple[str, ...], as_json: bool) -> int:
    """Show what files in the inbox wait for, and until when.

    FILE is a name in the inbox, or its path. Works without a daemon, for every user who may list the inbox.
    """
    from ..inbox.explain import explain as explain_names

    path, options = look_options(app)
    names = [_name_in(path, file) for file in files]
    explained = explain_names(names, path, **options)
    if as_json:
        print_json([{**one.as_dict(), "receipt": one.receipt} for one in explained])
    else:
        for number, one in enumerate(explained):
            if number:
                print_lines("")
            _print(one)
    return EXIT_REFUSED if any(map(_is_bad_news, explained)) else EXIT_DONE


def _is_bad_news(one: Explained) -> bool:
    """Return whether the file's drop was or is about to be rejected, or nothing is known of it."""
    if one.state != "gone":
        return one.state == "refused"
    return one.receipt is None or one.receipt.get("outcome") == "rejected"


def look_options(app: App) -> tuple[Path, dict[str, Any]]:
    """Return the inbox's path, and the arguments for `inbox.explain`. Root becomes the owner of the inbox first."""
    act_as_owner(app.inbox())
    return app.config.inbox.path, look_options_of(app.config)


def look_options_of(config: Config) -> dict[str, Any]:
    """Return the arguments for `inbox.explain`."""
    from ..inbox.folder import limits_of
    from ..telemetry.health import find_daemon

    section = config.inbox
    status: Mapping[str, Any] | None = None
    # Some users may not read the status file. The inbox is then explained without it.
    with contextlib.suppress(StorageError):
        found = find_daemon(config.registry.path, section.path)
        status = found.document if found.wrote_document else None
    polling = section.watcher == "polling"
    if section.watcher == "auto":
        with contextlib.suppress(OSError):
            polling = is_network_file_system(section.path)
    return {"limits": limits_of(section, polling=polling), "clock": now, "status": status}


def _name_in(inbox_path: Path, file: str) -> str:
    """Return the name of FILE in the inbox. Raises ModelInboxError for a path outside the inbox."""
    folder, _, name = file.rstrip("/").rpartition("/")
    if not folder and not file.startswith("/"):
        return name
    if os.path.realpath(folder or "/") != os.path.realpath(inbox_path):
        raise ModelInboxError(
            f"cannot explain {quoted(file, 255)}: it is not in the inbox {str(inbox_path)!r}",
            hint="`model-inbox check FILE` checks files in any folder",
        )
    return name


def _left(until: datetime | None, moment: datetime) -> str:
    return "" if until is None else format_duration(max((until - moment).total_seconds(), 0.0))


def _print(one: Explained) -> None:
    print_lines(f"{one.name} {one.words}" + (f", as part of {one.belongs_to}" if one.belongs_to else ""))
    print_problems(one.problems)
    moment = now()
    until = f"{when(one.until, seconds=True)} UTC (in {_left(one.until, moment)})" if one.until is not None else ""
    since = f"{when(one.since, seconds=True)} UTC ({age(one.since, moment)} ago)" if one.since is not None else ""
    print_fields(
        [
            ("until", f"{until}: then it {one.then}" if until and one.then else until),
            ("last change", since),
            ("owner", one.owner),
        ]
    )
    receipt = one.receipt
    if receipt is None:
        return
    at = parse_stored(receipt.get("at"))
    print_fields(
        [
            ("dropped by", owner_in_words(receipt.get("owner"))),
            ("last answer", f"{receipt.get('outcome')}, {when(at, seconds=True)} UTC ({age(at, moment)} ago)"),
            ("drop", receipt.get("drop_id")),
            ("model", receipt.get("model_id")),
        ]
    )
    print_problems(problems_in(receipt.get("problems")))
