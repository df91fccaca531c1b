"""`model-inbox get`: prints where the model is that a program is to load."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Literal

import click

from ..errors import EntryNotFound
from ..exit_codes import EXIT_REFUSED
from ..model.slot import Slot, slot_of
from ..problems import quoted
from .arguments import alias_option, as_instant, no_slot, pair_option, type_option, variant_option
from .common import App, Command, pass_app
from .output import print_json, printable

__all__ = ["get"]


@click.command(
    cls=Command,
    exits={EXIT_REFUSED: "there is no such model, or it has no scaler"},
    examples=[
        "model-inbox get --pair USD/EUR --type lightgbm",
        'MODEL=$(model-inbox get --pair USD/EUR --type lightgbm --alias champion --path) && cp "$MODEL" /srv/',
        "model-inbox get --pair USD/EUR --type lightgbm --as-of 2026-11-20 --scaler-path",
    ],
)
@pair_option("The pair, like USD/EUR.", required=True)
@type_option("The type, like lightgbm.", required=True)
@variant_option("The variant, like 30d. Default: none.")
@alias_option("The model with this alias, in place of the newest.")
@click.option("--calibrated", is_flag=True, help="Only a model whose calibration is good.")
@click.option("--trained-before", callback=as_instant, metavar="TIME", help="Only a model trained before that time.")
@click.option("--as-of", callback=as_instant, metavar="TIME", help="The registry at that time.")
@click.option("--path", "role", flag_value="model", default="model", help="Print the path of the model (the default).")
@click.option("--scaler-path", "role", flag_value="scaler", help="Print the path of the scaler.")
@pass_app
def get(
    app: App,
    *,
    pair: str,
    model_type: str,
    variant: str | None,
    alias: str | None,
    calibrated: bool,
    trained_before: datetime | None,
    as_of: datetime | None,
    role: Literal["model", "scaler"],
    as_json: bool,
) -> None:
    """Print where the newest model of a pair and type is: one absolute path, for scripts.

    Of a model that was retired since --as-of it is the path in the trash. With --json, print the entry.
    """
    slot = Slot(pair, model_type, variant or "")
    with app.reading() as registry:
        entry = registry.get_model(
            *slot[:2],
            variant=slot.variant,
            alias=alias,
            calibrated=calibrated,
            trained_before=trained_before,
            as_of=as_of,
        )
        if entry is None:
            entries = registry.list_models(as_of=as_of)
            if slot not in map(slot_of, entries):
                raise no_slot(str(slot), entries, "is registered" if as_of is None else "was registered then")
            wanted = f" with the alias {quoted(alias)}" if alias is not None else ""
            wanted += ", calibrated" if calibrated else ""
            wanted += f", trained before {trained_before:%Y-%m-%d %H:%M:%S}" if trained_before is not None else ""
            raise EntryNotFound(
                f"cannot find a model of {quoted(slot)}{wanted}",
                hint=f"`model-inbox list --where {quoted(f'pair={pair}')}` shows the models of this pair",
            )
        if as_json:
            print_json(entry)
            return
        place = registry.file_of(entry, role)
    if place is None:
        is_gone = entry.get(f"{role}_path")
        why = "its file is gone" if is_gone else "it has none"
        raise EntryNotFound(
            f"cannot find the {role} of {quoted(entry['model_id'])}: {why}",
            hint="`model-inbox verify` compares the registry with the files" if is_gone else "",
        )
    # A program gets the very bytes of the path. No terminal acts on them.
    click.echo(printable(place) if sys.stdout.isatty() else os.fsencode(place))
