"""`model-inbox mlflow import`: models of an MLflow registry as drops. It joins the group of `cli/mlflow`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.units import counted
from ..exit_codes import EXIT_DONE, EXIT_REFUSED, EXIT_TRY_AGAIN
from ..problems import quoted
from .arguments import as_seconds, pair_option, type_option, variant_option
from .common import App, Command, act_as_owner, pass_app
from .drop import inbox_option
from .mlflow import mlflow, tracking_uri_of, uri_option
from .output import print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..importing import Imported
    from ..importing.source import Source

__all__ = ["import_models"]


@mlflow.command(
    "import",
    cls=Command,
    examples=[
        "model-inbox mlflow import --tracking-uri http://mlflow:5000 --all --dry-run",
        "model-inbox mlflow import --tracking-uri http://mlflow:5000 --name fx --pair USD/EUR --type ridge --wait 1m",
    ],
    exits={
        EXIT_DONE: "every version was dropped, or registered, or was already there",
        EXIT_REFUSED: "some version cannot be imported, or was rejected",
        EXIT_TRY_AGAIN: "MLflow cannot be reached, or an answer did not come in time",
    },
)
@uri_option
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="A registered model. It may be given several times."
)
@click.option("--all", "everything", is_flag=True, help="All registered models.")
@click.option(
    "--template",
    metavar="TEMPLATE",
    help="How their names are made. Default: {pair}.{type}{.variant}, as the mirror's.",
)
@pair_option("What they forecast, if the names do not say it.")
@type_option("The kind of model, if the names do not say it.")
@variant_option("Their variant.")
@inbox_option
@click.option("--wait", callback=as_seconds, metavar="DURATION", help="How long to wait for each answer, like 30s.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@pass_app
def import_models(
    app: App,
    *,
    tracking_uri: str | None,
    names: tuple[str, ...],
    everything: bool,
    template: str | None,
    pair: str | None,
    model_type: str | None,
    variant: str | None,
    inbox: Path | None,
    wait: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring versions of an MLflow registry into the inbox, where they are judged like any other drop.

    The pickle is found by the file MLmodel; metrics, parameters and the time come from the run. Nothing is loaded. A
    version that cannot be imported is named with the reason. A second run drops the same again: those are duplicates.
    """
    from ..importing import Naming, bring_version, open_source
    from ..mirror.names import DEFAULT_TEMPLATE, template_fault
    from ..model.metadata import PAIR_PATTERN

    if everything == bool(names):
        raise click.UsageError("Say which models to import: --name NAME, or --all.")
    if template is not None and (fault := template_fault(template)):
        raise click.UsageError(f"--template cannot be used: {fault}.")
    naming = Naming(template or DEFAULT_TEMPLATE, pair, model_type, variant)
    source = open_source(tracking_uri_of(app, tracking_uri))
    folder = inbox if inbox is not None else app.config.inbox.path
    options: dict[str, Any] = {
        "inbox": folder,
        "wait": False if wait is None else wait,
        "pair_pattern": PAIR_PATTERN if inbox is not None else app.config.checks.pair_pattern,
        "on_opened": act_as_owner,
    }
    found: list[Imported] = []
    for one in _versions(source, names if names else source.names()):
        found.append(
            bring_version(
                source,
                one,
                naming,
                work=None,
                bytes_max=app.config.inbox.max_artifact_size,
                dry_run=dry_run,
                drop_options=options,
            )
        )
        if not as_json:
            _print_one(found[-1])
    if as_json:
        print_json({"versions": [one.as_dict() for one in found], "dry_run": dry_run})
    else:
        failed = sum(one.outcome in ("not imported", "rejected") for one in found)
        print_lines(f"{counted(len(found), 'version')}, of which {failed} cannot be imported.")
    outcomes = {one.outcome for one in found}
    if outcomes & {"not imported", "rejected"}:
        return EXIT_REFUSED
    return EXIT_TRY_AGAIN if "waiting" in outcomes else EXIT_DONE


def _versions(source: Source, names: Any) -> Iterator[Any]:
    from ..errors import EntryNotFound

    for name in list(names):
        versions = source.versions_of(name)
        if not versions:
            raise EntryNotFound(f"cannot import {quoted(name)}: MLflow has no version of such a model")
        yield from versions


def _print_one(one: Imported) -> None:
    what = f"{quoted(one.name)} version {one.version}"
    text = f"{what}: {one.outcome}" + (f" as {quoted(one.model_id)}" if one.model_id else "")
    print_lines(text + (f": {one.reason}" if one.reason else "."))
