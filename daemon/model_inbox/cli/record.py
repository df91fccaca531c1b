"""`model-inbox record`: records measurements of a registered model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from ..base.strict_yaml import plain_value, read_yaml
from ..base.yaml_numbers import number
from ..errors import MetadataError
from ..problems import quoted
from .arguments import as_instant, find_model, metrics_in, model_argument, no_metrics, read_metrics
from .common import App, Command, pass_app, reason_option
from .output import print_json, print_lines

__all__ = ["record"]

_FILE_BYTES_MAX = 64 * 1024
_DEPTH_MAX = 8
_VALUES_MAX = 10_000


@click.command(
    cls=Command,
    examples=[
        "model-inbox record usd_eur_20251025 --metrics realised.rmse=0.0061 --metrics realised.days=30",
        "model-inbox record usd_eur_20251025 --metrics realised.json --at 2025-12-01T00:00:00Z",
    ],
    exits={1: "no such model, or invalid metrics", 75: "another writer holds the registry"},
)
@model_argument()
@click.option(
    "--metrics",
    "sources",
    required=True,
    multiple=True,
    metavar="FILE|-|KEY=VALUE",
    help="A JSON or YAML file of names and numbers (- is standard input), or one number with its dotted name. May be "
    "given several times.",
)
@click.option(
    "--at", callback=as_instant, metavar="TIME", help="When it was measured, in UTC unless it has a zone. Default: now."
)
@reason_option()
@pass_app
def record(
    app: App, *, model_id: str, sources: tuple[str, ...], at: datetime | None, reason: str, as_json: bool
) -> None:
    """Record measurements of a registered model, such as its realised errors.

    The validation metrics are not changed. `show` prints the latest value of each name, `history` all values. An
    argument with a `=` is KEY=VALUE, so the name of a file must not contain one.
    """
    metrics: dict[str, Any] = {}
    if sources.count("-") > 1:
        raise click.UsageError("Standard input is given twice.")
    for source in sources:
        given = _one(source) if "=" in source else _read(source)
        twice = sorted(metrics.keys() & given.keys())
        if twice:
            raise click.UsageError(f"{quoted(twice[0])} is given twice.")
        metrics |= given
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        entry = registry.record(model_id, metrics, at, reason=reason)
    if as_json:
        print_json(entry)
        return
    print_lines(f"Recorded for {quoted(model_id)}: {', '.join(_names(metrics))}.")


def _one(text: str) -> dict[str, Any]:
    """Parse KEY=VALUE. Raises UsageError."""
    name, _, value = text.partition("=")
    parsed = number(value.strip())
    if not name or parsed is None:
        raise click.UsageError(f"{quoted(text)} is not NAME=NUMBER.")
    return {name: parsed}


def _read(source: str) -> dict[str, Any]:
    """Return the metrics in a file, which is parsed like a sidecar. Raises MetadataError and StorageError."""
    data = read_metrics(source, _FILE_BYTES_MAX)
    document = read_yaml(data, called="file", bytes_max=_FILE_BYTES_MAX, depth_max=_DEPTH_MAX, nodes_max=_VALUES_MAX)
    if document.problems:
        what = f"cannot read {metrics_in(source)} by the rules of a sidecar"
        raise MetadataError(what, document.problems)
    value = plain_value(document.root) if document.root is not None else None
    if not isinstance(value, dict):
        raise MetadataError(no_metrics(source, data))
    return value


def _names(metrics: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for name, value in metrics.items():
        names += _names(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name} = {value}"]
    return names
