"""`model-inbox list`: lists the registered models, newest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from difflib import SequenceMatcher

import click

from ..base.instants import parse_stored
from ..errors import EntryNotFound
from ..exit_codes import EXIT_REFUSED
from ..problems import quoted
from ..registry.entry import Entry, as_fields
from ..registry.state import folded
from .arguments import as_instant, pair_option, type_option, variant_option
from .common import App, Command, now, pass_app
from .output import Column, age, print_json, print_lines, print_table, when

__all__ = ["list_models"]

# How many pairs an error lists.
_LISTED = 10

_VARIANT = Column("VARIANT", rank=4, least=7)
_COLUMNS = (
    Column("MODEL"),
    Column("PAIR", rank=1, least=7),
    Column("TYPE", rank=4, least=8),
    _VARIANT,
    Column("VERSION", rank=5, least=7),
    Column("TRAINED (UTC)", rank=6),
    Column("AGE", rank=2, right=True),
    Column("NOTES", rank=3, least=8, words=True),
)


@click.command(
    "list",
    cls=Command,
    exits={EXIT_REFUSED: "there is no model of that pair, type or variant"},
    examples=["model-inbox list", "model-inbox list --pair USD/EUR --as-of yesterday --json"],
)
@pair_option()
@type_option()
@variant_option()
@click.option("--as-of", callback=as_instant, metavar="TIME", help="The registry at that time.")
@pass_app
def list_models(
    app: App,
    *,
    pair: str | None,
    model_type: str | None,
    variant: str | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """List the registered models, newest first by `trained_at`. Times are in UTC."""
    with app.reading() as registry:
        entries = registry.list_models(pair, model_type, variant=variant, as_of=as_of)
        if not entries:
            known = registry.list_models(as_of=as_of)
            _must_be_known(known, currency_pair=pair, model_type=model_type, variant=variant)
    if as_json:
        print_json(entries)
        return
    if not entries:
        print_lines("No models are registered.")
        return
    moment = as_of if as_of is not None else now()
    rows = []
    with_variants = any(entry.get("variant") for entry in entries)
    for entry in map(as_fields, entries):
        trained = parse_stored(entry.get("trained_at"))
        notes = ["pinned"] if entry.get("pinned") else []
        rows.append(
            (
                entry["model_id"],
                entry.get("currency_pair"),
                entry.get("model_type"),
                *([entry.get("variant")] if with_variants else []),
                entry.get("version"),
                when(trained),
                age(trained, moment),
                ", ".join([*notes, *(entry.get("aliases") or ())]),
            )
        )
    print_table([column for column in _COLUMNS if with_variants or column is not _VARIANT], rows)


def _must_be_known(entries: Sequence[Entry], **asked: str | None) -> None:
    """Raise EntryNotFound if a pair, a type or a variant was asked for: none is registered.

    Says which are, nearest first. `asked` has these fields of an entry.
    """
    for field, value in asked.items():
        others = {name: other for name, other in asked.items() if name != field and other is not None}
        known = {
            str(entry.get(field) or "")
            for entry in entries
            if all((entry.get(name) or "") == o for name, o in others.items())
        }
        if value is None or value in known or (others and not known):
            continue
        noun = field.replace("_", " ")
        found = _nearest(value, known)
        listed = ", ".join(map(quoted, found[:_LISTED]))
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        of = "".join(f" of {quoted(other)}" for other in others.values())
        raise EntryNotFound(
            f"cannot list {quoted(value)}: no model{of} of that {noun} is registered",
            hint=f"Registered{of}: {listed}{more}" if found else "No models are registered",
        )


def _nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known names, those most like `name` first."""
    same = folded(name)
    like = SequenceMatcher(b=name[:64])

    def distance(other: str) -> tuple[bool, float, str]:
        like.set_seq1(other[:64])
        return folded(other) != same, -like.ratio(), other

    return sorted(known, key=distance)
