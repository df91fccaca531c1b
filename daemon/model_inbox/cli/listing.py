"""`model-inbox list`: lists the registered models, newest first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from difflib import SequenceMatcher

import click

from ..base.instants import parse_stored
from ..base.units import counted
from ..errors import EntryNotFound
from ..exit_codes import EXIT_REFUSED
from ..model.conditions.condition import Condition
from ..model.conditions.paths import FieldPath
from ..problems import quoted
from ..registry.entry import Entry, as_fields
from ..registry.finding import Sort, Table, conditions_of, find, unknown_names
from ..registry.state import folded
from .arguments import alias_option, as_instant, pair_option, type_option, variant_option
from .common import App, Command, now, pass_app
from .conditions import as_columns, as_conditions, as_sort, as_tags, as_values, table_of
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

# The fields that the usual columns show.
_SHOWN = frozenset(
    {"model_id", "currency_pair", "model_type", "variant", "version", "trained_at", "aliases", "pinned", "held"}
)


@click.command(
    "list",
    cls=Command,
    exits={EXIT_REFUSED: "there is no model of that pair, type or variant"},
    examples=[
        "model-inbox list",
        "model-inbox list --pair USD/EUR --as-of yesterday --json",
        "model-inbox list --where '1d.rmse<0.005 and trained_at>7d ago' --sort 1d.rmse --limit 10",
        "model-inbox list --tag stage=live --columns model_id,1d.rmse,recorded.1d.rmse",
    ],
)
@pair_option()
@type_option()
@variant_option()
@click.option(
    "--where",
    "conditions",
    multiple=True,
    callback=as_conditions,
    metavar="CONDITION",
    help="Only models for which it holds, like 1d.rmse<0.005. Given several times, all must hold.",
)
@click.option(
    "--tag", "tags", multiple=True, callback=as_tags, metavar="NAME[=VALUE]", help="Only models with this tag."
)
@alias_option("Only models with this alias.")
@click.option("--held", is_flag=True, help="Only models that are held.")
@click.option(
    "--sort",
    callback=as_sort,
    metavar="[-]NAME",
    help="Sort by a metric or field, the least first; with a - the largest. Models without it are last.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="NUMBER", help="Show at most so many models.")
@click.option(
    "--columns", callback=as_columns, metavar="NAME,...", help="Show these values, like model_id,1d.rmse,tags.stage."
)
@click.option("--as-of", callback=as_instant, metavar="TIME", help="The registry at that time.")
@pass_app
def list_models(
    app: App,
    *,
    pair: str | None,
    model_type: str | None,
    variant: str | None,
    conditions: list[Condition],
    tags: list[Condition],
    alias: str | None,
    held: bool,
    sort: Sort | None,
    limit: int | None,
    columns: list[FieldPath] | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """List the registered models, newest first by `trained_at`. Times are in UTC.

    A name in a condition, an order or a column is a metric, with dots between its parts, or a field of the entry:
    trained_at, tags.NAME, provenance.NAME, recorded.METRIC, features and others (docs/reference/finding.md).
    """
    with app.reading() as registry:
        entries = registry.list_models(pair, model_type, variant=variant, as_of=as_of)
        if not entries:
            known = registry.list_models(as_of=as_of)
            _must_be_known(known, as_of, currency_pair=pair, model_type=model_type, variant=variant)
    wanted = [*conditions, *tags, *conditions_of(alias=alias, held=held or None, now=now())]
    table = Table(entries)
    found = find(table, wanted, sort, limit)
    for unknown in dict.fromkeys([*found.unknown, *unknown_names(table, columns or ())]):
        print_lines(str(unknown), err=True)
    if alias is not None and entries and not any(alias in (entry.get("aliases") or ()) for entry in entries):
        print_lines(f"None of {counted(len(entries), 'model')} has the alias {quoted(alias)}.", err=True)
    if as_json:
        print_json(found.entries if columns is None else [as_values(entry, columns) for entry in found.entries])
    elif not found.entries:
        print_lines("No models match." if entries else f"No models {_registered(as_of, many=True)}.")
    elif columns is not None:
        print_table(*table_of(found.entries, columns))
    else:
        named = [one.path for condition in (*conditions, *tags) for one in condition.comparisons]
        _print_models(found.entries, [*named, *([sort.path] if sort is not None else [])], as_of)
    if len(found.entries) < found.total and not as_json:
        print_lines(f"{len(found.entries)} of {found.total} models.", err=True)


def _print_models(entries: Sequence[Entry], named: Iterable[FieldPath], as_of: datetime | None) -> None:
    """Print the usual columns, and what the conditions and the order are about."""
    moment = as_of if as_of is not None else now()
    with_variants = any(entry.get("variant") for entry in entries)
    more = [path for path in dict.fromkeys(named) if path.field not in _SHOWN]
    more_columns, more_cells = table_of(entries, more)
    rows = []
    for entry, cells in zip(map(as_fields, entries), more_cells, strict=True):
        trained = parse_stored(entry.get("trained_at"))
        notes = [name for name in ("held", "pinned") if entry.get(name)]
        rows.append(
            (
                entry["model_id"],
                entry.get("currency_pair"),
                entry.get("model_type"),
                *([entry.get("variant")] if with_variants else []),
                *cells,
                entry.get("version"),
                when(trained),
                age(trained, moment),
                ", ".join([*notes, *(entry.get("aliases") or ())]),
            )
        )
    usual = [column for column in _COLUMNS if with_variants or column is not _VARIANT]
    at = 4 if with_variants else 3
    print_table([*usual[:at], *more_columns, *usual[at:]], rows)


def _registered(as_of: datetime | None, *, many: bool = False) -> str:
    """Return the end of a sentence that says what is or was registered: "are registered"."""
    if as_of is None:
        return "are registered" if many else "is registered"
    return f"{'were' if many else 'was'} registered at {when(as_of, seconds=True)} UTC"


def _must_be_known(entries: Sequence[Entry], as_of: datetime | None, **asked: str | None) -> None:
    """Raise EntryNotFound if a pair, a type or a variant was asked for of which none is registered, or was `as_of`.

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
            f"cannot list {quoted(value)}: no model{of} of that {noun} {_registered(as_of)}",
            hint=f"Registered{of}: {listed}{more}" if found else f"No models {_registered(as_of, many=True)}",
        )


def _nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the known names, those most like `name` first."""
    same = folded(name)
    like = SequenceMatcher(b=name[:64])

    def distance(other: str) -> tuple[bool, float, str]:
        like.set_seq1(other[:64])
        return folded(other) != same, -like.ratio(), other

    return sorted(known, key=distance)
