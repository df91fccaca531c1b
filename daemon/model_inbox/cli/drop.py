"""`model-inbox drop`: copies a model and its sidecar into the inbox, and can wait for the answer.

A thin layer over `producer.drop_files`. The inbox gives producers the right to write to it, so that they stay who they
are. Root becomes the owner of the inbox: it never works by path where producers can change what a path names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..base.units import format_duration, parse_duration
from ..exit_codes import EXIT_DONE, EXIT_REFUSED, EXIT_TRY_AGAIN
from ..problems import quoted
from .arguments import as_seconds
from .common import App, Command, act_as_owner, pass_app
from .output import print_json, print_lines, print_problems

if TYPE_CHECKING:
    from ..producer import DropResult

__all__ = ["NO_ANSWER", "drop", "exit_code_of", "inbox_option", "print_answer"]

WAIT_SECONDS = 60.0

NO_ANSWER = "Is the daemon running (`model-inbox status`)? `model-inbox inbox list` says what the drop waits for."
"""What to do if no answer comes in time."""

inbox_option = click.option(
    "--inbox",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The inbox. Default: that of the configuration.",
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Drop(Command):
    """Accepts `--wait` without a value, also before a file name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for at, word in enumerate(args):
            if word == "--":
                break
            if word == "--wait" and not _is_duration(args[at + 1 : at + 2]):
                args = [*args[:at], f"--wait={WAIT_SECONDS:g}", *args[at + 1 :]]
        return super().parse_args(ctx, args)


def _is_duration(words: list[str]) -> bool:
    try:
        parse_duration(*words)
    except (TypeError, ValueError):
        return False
    return True


@click.command(
    cls=_Drop,
    examples=[
        "model-inbox drop usd_eur.pkl --meta usd_eur.yaml --scaler usd_eur_scaler.pkl --wait",
        "model-inbox drop usd_eur.pkl --meta usd_eur.yaml --wait 30 --json",
    ],
    exits={
        EXIT_DONE: "dropped; with --wait: registered, or already registered with the same bytes and metadata",
        EXIT_REFUSED: "rejected, already registered with other metadata, or not dropped: the sidecar has problems",
        EXIT_TRY_AGAIN: "dropped, but no answer came in time",
    },
)
@click.argument("model", type=_FILE, metavar="MODEL.pkl")
@click.option(
    "--meta",
    "sidecar",
    type=_FILE,
    required=True,
    metavar="META.yaml",
    help="The sidecar. Its name gives the names in the inbox.",
)
@click.option("--scaler", type=_FILE, metavar="SCALER.pkl", help="The model's scaler.")
@inbox_option
@click.option(
    "--wait",
    callback=as_seconds,
    metavar="[DURATION]",
    help="Wait for the daemon's answer, for a minute or for the given time (30, 90s, 5m).",
)
@pass_app
def drop(
    app: App,
    *,
    model: Path,
    sidecar: Path,
    scaler: Path | None,
    inbox: Path | None,
    wait: float | None,
    as_json: bool,
) -> int:
    """Drop a model into the inbox.

    The files are copied to names made from the sidecar's name. The sidecar, with their digests, is written last, so
    the daemon takes the drop at once. Your own files are not changed. If root runs it, the drop is one of the owner of
    the inbox: run it as the user whose model it is.
    """
    from ..model.metadata import PAIR_PATTERN
    from ..producer import drop_files

    folder: Path | None = inbox
    pattern: str | None = PAIR_PATTERN
    if folder is None:
        folder, pattern = app.config.inbox.path, app.config.checks.pair_pattern
    result = drop_files(
        model,
        sidecar,
        inbox=folder,
        scaler=scaler,
        wait=False if wait is None else wait,
        pair_pattern=pattern,
        on_opened=act_as_owner,
    )
    if as_json:
        print_json(result.as_dict())
    elif result.outcome == "dropped":
        name = quoted(result.model_id)
        print_lines(f"Dropped {name} into {str(folder)!r}. With `--wait` the command waits for the answer.")
    elif result.outcome == "waiting":
        waited = format_duration(wait or 0)
        print_lines(f"Dropped {quoted(result.model_id)}, but no answer came within {waited}. It stays in the inbox.")
        print_lines(NO_ANSWER, indent=2)
    else:
        print_answer(result)
    return exit_code_of(result)


def print_answer(result: DropResult) -> None:
    """Print the daemon's answer to a drop."""
    name = quoted(result.model_id)
    if result.outcome == "registered":
        print_lines(f"Registered {name} (drop {result.drop_id}).", colour="green")
    elif result.outcome == "duplicate" and result.problems:
        print_lines(f"{name} was already registered with the same bytes and other metadata; nothing changed:")
    elif result.outcome == "duplicate":
        print_lines(f"{name} was already registered with the same bytes; nothing changed.")
    else:
        print_lines(f"Rejected {name} (drop {result.drop_id}):", colour="red")
    print_problems((*result.problems, *result.notes))


def exit_code_of(result: DropResult) -> int:
    """Return the exit code that says how a drop ended."""
    if result.outcome == "waiting":
        return EXIT_TRY_AGAIN
    return EXIT_DONE if result.ok else EXIT_REFUSED
