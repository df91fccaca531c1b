"""`model-inbox wait`: waits for the answer to a drop that is already on its way.

A thin layer over `producer.wait_for_answer`. Changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import click

from ..base.units import format_duration
from ..exit_codes import EXIT_DONE, EXIT_REFUSED, EXIT_TRY_AGAIN
from ..problems import quoted
from .arguments import as_seconds
from .common import App, Command, act_as_owner, pass_app
from .drop import NO_ANSWER, exit_code_of, inbox_option, print_answer
from .output import print_json, print_lines

__all__ = ["wait"]


@click.command(
    cls=Command,
    examples=["model-inbox wait usd_eur", "model-inbox wait inbox/usd_eur.yaml --timeout 30s --json"],
    exits={
        EXIT_DONE: "registered, or already registered with the same bytes and metadata",
        EXIT_REFUSED: "rejected, or already registered with other metadata",
        EXIT_TRY_AGAIN: "no answer came in time",
    },
)
@click.argument("drop", metavar="DROP")
@click.option(
    "--timeout",
    default="10m",
    show_default=True,
    callback=as_seconds,
    metavar="DURATION",
    help="How long to wait (30, 90s, 10m).",
)
@inbox_option
@pass_app
def wait(app: App, *, drop: str, timeout: float, inbox: Path | None, as_json: bool) -> int:
    """Wait for the daemon's answer to a drop, and show it.

    DROP is the drop's stem, or the name or path of one of its files. If nothing of it is in the inbox any more, an
    answer that is there already is shown at once. Exits as `model-inbox drop --wait` does.
    """
    from ..inbox.explain import is_in_work
    from ..model.file_names import scaler_stem, stem_of
    from ..producer import wait_for_answer

    folder = inbox if inbox is not None else app.config.inbox.path
    # As `drop` does: root's drops are those of the owner of the inbox.
    act_as_owner(folder)
    name = Path(drop).name
    stem = scaler_stem(name) or stem_of(name)
    result = wait_for_answer(stem, inbox=folder, seconds=timeout, is_in_work=lambda: is_in_work(stem, folder))
    if as_json:
        print_json(result.as_dict())
    elif result.outcome == "waiting":
        print_lines(f"No answer to {quoted(stem)} came within {format_duration(timeout)}.")
        print_lines(NO_ANSWER, indent=2)
    else:
        print_answer(result)
    return exit_code_of(result)
