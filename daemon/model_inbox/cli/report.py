"""`model-inbox report`: writes a page that shows the registry and the inbox, as one HTML file."""

from __future__ import annotations

import errno
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import StorageError
from .arguments import MODEL, as_instant, find_model, pair_option, policy_option, read_policy, type_option
from .common import App, Command, now, pass_app
from .completion import complete_model
from .output import print_json

if TYPE_CHECKING:
    from ..report.facts import Choice

__all__ = ["report"]

_FILE_MODE = 0o644
_COMPARED_MAX = 20


@click.command(
    cls=Command,
    examples=[
        "model-inbox report -o report.html",
        "model-inbox report --pair EUR/USD --since 30d > eur-usd.html",
        "model-inbox report --policy stricter.yaml -o tried.html",
        "model-inbox report --model USD/EUR:lightgbm@champion -o champion.html",
        "model-inbox report --compare usd_eur_20251024 usd_eur_20251025 -o compared.html",
    ],
    exits={1: "no such model, or FILE cannot be written", 75: "a disk error"},
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write. Without it the page is printed.",
)
@policy_option("Also what these retention rules would have done in the last year.")
@click.option("--model", "given", metavar=MODEL, shell_complete=complete_model, help="The page of this model.")
@click.option("--compare", "is_comparison", is_flag=True, help="The page of what differs between models.")
@click.argument("models", nargs=-1, metavar=f"[{MODEL}]...", shell_complete=complete_model)
@pair_option()
@type_option()
@click.option("--since", callback=as_instant, metavar="TIME", help="Only what is not older, like 30d.")
@pass_app
def report(
    app: App,
    *,
    output: Path | None,
    given: str | None,
    is_comparison: bool,
    models: tuple[str, ...],
    pair: str | None,
    model_type: str | None,
    since: datetime | None,
    policy_file: Path | None,
    as_json: bool,
) -> None:
    """Write a page that shows the registry and the inbox, as one HTML file.

    What needs somebody stands first, then what is in service, the inbox, retention and the history. With --model, all
    that is known of one model, also of a retired one in the trash; with --compare, what differs between two models or
    more, each beside the first. The file needs no other file and no network. FILE is replaced at once, so that who has
    it open never sees a half. With --json, what was written where, or the page.
    """
    from ..base.collector import collector_paused
    from ..report.facts import Choice

    _check_usage(
        given, models, is_comparison=is_comparison, is_limited=bool(pair or model_type or since or policy_file)
    )
    # From the opening to the page: between two pauses the collector would walk all entries of a large registry.
    with collector_paused():
        if given is not None:
            page = _page_of_model(app, given)
        elif is_comparison:
            page = _page_of_comparison(app, models)
        else:
            page = _overview(app, Choice(pair, model_type, since=since), policy_file)
    if output is not None:
        _write(page, output)
    if as_json:
        said = {"file": str(output.absolute())} if output is not None else {"html": page}
        print_json({**said, "bytes": len(page.encode())})
    elif output is None:
        click.echo(page, nl=False)


def _write(page: str, output: Path) -> None:
    """Replace the file by the page. Raises StorageError."""
    from ..base.disk import Disk, replace_file
    from ..base.users import acting_as

    try:
        replace_file(Disk(), output.absolute(), page.encode(), _FILE_MODE)
    except StorageError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and (user := acting_as()) is not None:
            error.hint = (
                f"Root's commands act as {user}, the owner of the registry, who may not write there. Print the page "
                "instead: `model-inbox report > FILE`"
            )
        raise


def _check_usage(given: str | None, models: tuple[str, ...], *, is_comparison: bool, is_limited: bool) -> None:
    """Raise UsageError if what was asked for is not one page."""
    if given is not None and is_comparison:
        raise click.UsageError("--model and --compare are two pages: ask for one of them.")
    if (given is not None or is_comparison) and is_limited:
        raise click.UsageError("--pair, --type, --since and --policy are about the overview, not about models.")
    if models and not is_comparison:
        raise click.UsageError("Write --compare before models, or --model before a single one.")
    if is_comparison and not 2 <= len(models) <= _COMPARED_MAX:
        raise click.UsageError(f"--compare needs 2 to {_COMPARED_MAX} models, and {len(models)} are given.")


def _overview(app: App, choice: Choice, policy_file: Path | None) -> str:
    from .. import __version__
    from ..report.gather import gather
    from ..report.render import render_overview

    config, moment = app.config, now()
    other = read_policy(policy_file) if policy_file is not None else None
    with app.reading() as registry:
        facts = gather(registry, config, moment, choice, version=__version__)
        trial = None
        if other is not None and policy_file is not None:
            from ..report.gather_trial import gather_trial

            trial = gather_trial(registry, config.retention, other, policy_file.name, moment)
    return render_overview(facts, trial=trial)


def _page_of_model(app: App, given: str) -> str:
    from .. import __version__
    from ..report.gather_models import gather_model
    from ..report.render import render_model
    from .why import said_of_model

    config = app.config
    with app.reading() as registry:
        model_id = find_model(registry, given)
        facts = gather_model(registry, config, model_id, now(), said_of_model, version=__version__)
    return render_model(facts)


def _page_of_comparison(app: App, models: tuple[str, ...]) -> str:
    from .. import __version__
    from ..report.gather_models import gather_comparison
    from ..report.render import render_comparison

    config = app.config
    with app.reading() as registry:
        model_ids = [find_model(registry, given) for given in models]
        facts = gather_comparison(registry, config, model_ids, now(), version=__version__)
    return render_comparison(facts)
