"""`model-inbox alias`: sets, removes and lists names like `champion`, by which serving code finds a model."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import parse_instant
from ..model.slot import slot_of
from ..problems import quoted
from .arguments import as_instant, find_model, model_argument, pair_option, type_option, variant_option
from .common import App, Command, Group, nearest, pass_app, reason_option
from .completion import complete_alias
from .output import Column, print_json, print_lines, print_table, when

if TYPE_CHECKING:
    from ..registry.promotions import Holder

__all__ = ["alias"]

_COLUMNS = (
    Column("ALIAS", rank=8, least=8),
    Column("PAIR", rank=7, least=7),
    Column("TYPE", rank=9, least=8),
    Column("VARIANT", rank=6),
    Column("MODEL"),
    Column("SINCE (UTC)", rank=2),
    Column("WHO", rank=3, least=6),
    Column("WHY", rank=4, least=12, words=True),
    Column("BEFORE", rank=5, least=8, words=True),
)


class _Alias(Group):
    """A group whose first word may be an alias: `alias NAME ID` is `alias set NAME ID`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_word = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        mistyped = len(args) == 1 and nearest(args[0], list(self.commands)) is not None
        if args and not is_word and not mistyped:
            args = ["set", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Alias)
def alias() -> None:
    """Set, remove and list aliases. `alias NAME ID` sets one, and obeys what `promote` obeys."""


@alias.command(
    "set",
    cls=Command,
    examples=[
        "model-inbox alias champion usd_eur_20251025",
        "model-inbox alias set --remove champion usd_eur_20251025",
    ],
    exits={
        1: "no such model, the alias does not name it, or you may not move it",
        75: "another writer holds the registry",
    },
)
@click.argument("name", metavar="NAME", shell_complete=complete_alias)
@model_argument()
@click.option("--remove", is_flag=True, help="Remove the alias from the model.")
@reason_option()
@pass_app
def set_alias(app: App, *, name: str, model_id: str, remove: bool, reason: str, as_json: bool) -> None:
    """Set the alias NAME on the model ID, or remove it.

    An alias is unique among the models of one pair, type and variant: if another of them has it, it moves to ID. A
    model with an alias is never retired. `rollback` gives the alias back to the model that had it before.
    """
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        if remove:
            entry = registry.remove_alias(name, model_id, reason=reason)
        else:
            try:
                entry = registry.set_alias(name, model_id, reason=reason)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="NAME") from error
    if as_json:
        print_json(entry)
        return
    where = " ".join(quoted(name) for name in slot_of(entry) if name)
    says = "no longer names" if remove else "names"
    print_lines(f"{quoted(name)} {says} {quoted(model_id)} (of {where}).")


@alias.command(
    "list",
    cls=Command,
    examples=["model-inbox alias list", "model-inbox alias list --pair USD/EUR --as-of 2026-01-31 --json"],
)
@pair_option()
@type_option()
@variant_option()
@click.option(
    "--as-of",
    callback=as_instant,
    metavar="TIME",
    help="Those at that time, in UTC unless it has a zone. Default: now.",
)
@pass_app
def list_aliases(
    app: App,
    *,
    pair: str | None,
    model_type: str | None,
    variant: str | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """List which model each alias names, since when, by whom and why.

    BEFORE has the models that had the alias before, the latest first: `rollback` goes back to the first of them.
    """
    with app.reading() as registry:
        found = registry.aliases(as_of=as_of)
    wanted = (pair, model_type, variant)
    found = [one for one in found if all(name in (None, value) for name, value in zip(wanted, one.slot, strict=True))]
    if as_json:
        print_json([_as_dict(one) for one in found])
        return
    if not found:
        of = " of these models" if any(name is not None for name in wanted) else ""
        are = "are" if as_of is None else "were"
        at = "" if as_of is None else f" at {when(as_of, seconds=True)} UTC"
        print_lines(f"There {are} no aliases{of}{at}.")
        return
    print_table(_COLUMNS, [_row(one) for one in found])


def _row(one: Holder) -> tuple[str, ...]:
    since = when(parse_instant(one.at), seconds=True) if one.at is not None else ""
    return (one.alias, *one.slot, one.model_id, since, one.actor, one.reason, ", ".join(one.former))


def _as_dict(one: Holder) -> dict[str, Any]:
    return {
        "alias": one.alias,
        **one.slot._asdict(),
        "model_id": one.model_id,
        "since": one.at,
        "actor": one.actor,
        "reason": one.reason,
        "former": list(one.former),
        "may_move": list(one.may_move) if one.may_move is not None else None,
    }
