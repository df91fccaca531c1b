"""`model-inbox report`: writes a page that shows the registry and the inbox, as one HTML file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from .arguments import as_instant, pair_option, type_option
from .common import App, Command, now, pass_app
from .output import print_json

__all__ = ["report"]

_FILE_MODE = 0o644


@click.command(
    cls=Command,
    examples=[
        "model-inbox report -o report.html",
        "model-inbox report --pair EUR/USD --since 30d > eur-usd.html",
    ],
    exits={75: "a disk error"},
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write. Without it the page is printed.",
)
@pair_option()
@type_option()
@click.option("--since", callback=as_instant, metavar="TIME", help="Only what is not older, like 30d.")
@pass_app
def report(
    app: App,
    *,
    output: Path | None,
    pair: str | None,
    model_type: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Write a page that shows the registry and the inbox, as one HTML file.

    What needs somebody stands first, then what is in service, the inbox, retention and the history. The file needs no
    other file and no network. FILE is replaced at once, so that who has it open never
    sees a half. With --json, what was written where.
    """
    from .. import __version__
    from ..base.disk import Disk, replace_file
    from ..report.facts import Choice
    from ..report.gather import gather
    from ..report.render import render_overview

    config = app.config
    with app.reading() as registry:
        facts = gather(registry, config, now(), Choice(pair, model_type, since=since), version=__version__)
    page = render_overview(facts)
    if output is not None:
        replace_file(Disk(), output.absolute(), page.encode(), _FILE_MODE)
    if as_json:
        print_json({"file": str(output.absolute()) if output is not None else None, "bytes": len(page.encode())})
    elif output is None:
        click.echo(page, nl=False)
