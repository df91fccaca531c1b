"""`model-inbox list`: lists the registered models, newest first."""

from __future__ import annotations

from datetime import datetime

import click

from ..registry.entry import as_fields
from .arguments import as_instant, pair_option, type_option
from .common import App, Command, now, pass_app
from .output import Column, age, parse_stored, print_json, print_lines, print_table, when

__all__ = ["list_models"]

_COLUMNS = (
    Column("MODEL"),
    Column("PAIR", rank=1, least=7),
    Column("TYPE", rank=4, least=8),
    Column("VERSION", rank=5, least=7),
    Column("TRAINED (UTC)", rank=6),
    Column("AGE", rank=2, right=True),
    Column("NOTES", rank=3, least=8, words=True),
)


@click.command(
    "list",
    cls=Command,
    examples=["model-inbox list", "model-inbox list --pair USD/EUR --as-of yesterday --json"],
)
@pair_option()
@type_option()
@click.option("--as-of", callback=as_instant, metavar="TIME", help="The registry at that time.")
@pass_app
def list_models(app: App, *, pair: str | None, model_type: str | None, as_of: datetime | None, as_json: bool) -> None:
    """List the registered models, newest first by `trained_at`. Times are in UTC."""
    with app.reading() as registry:
        entries = registry.list_models(pair, model_type, as_of=as_of)
    if as_json:
        print_json(entries)
        return
    if not entries:
        print_lines("No models are registered." if pair is model_type is None else "No such model.")
        return
    moment = as_of if as_of is not None else now()
    rows = []
    for entry in map(as_fields, entries):
        trained = parse_stored(entry.get("trained_at"))
        notes = ["pinned"] if entry.get("pinned") else []
        rows.append(
            (
                entry["model_id"],
                entry.get("currency_pair"),
                entry.get("model_type"),
                entry.get("version"),
                when(trained),
                age(trained, moment),
                ", ".join([*notes, *(entry.get("aliases") or ())]),
            )
        )
    print_table(_COLUMNS, rows)
