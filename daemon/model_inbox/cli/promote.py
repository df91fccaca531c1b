"""`model-inbox promote` and `rollback`: move an alias to a model, and back to the one that had it before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..model.slot import slot_of
from ..problems import quoted
from .arguments import alias_option, as_instant, find_model, model_argument, pair_option, type_option, variant_option
from .common import App, Command, pass_app, reason_option
from .completion import complete_model
from .output import print_json, print_lines

if TYPE_CHECKING:
    from ..registry.promotions import Move

__all__ = ["promote", "rollback"]

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_CHAMPION = "champion"


def _alias_option() -> Callable[[_Callback], _Callback]:
    return alias_option(f"The alias. Default: {_CHAMPION}.", default=_CHAMPION)


@click.command(
    cls=Command,
    examples=[
        'model-inbox promote usd_eur_20251025 --reason "best of the backtest"',
        "model-inbox promote USD/EUR:lightgbm --alias challenger",
    ],
    exits={
        1: "no such model, or it cannot be promoted, or you may not move the alias",
        75: "another writer is at work",
    },
)
@model_argument()
@_alias_option()
@click.option("--override-gates", is_flag=True, help="Promote a model that is held, and end that. Needs --reason.")
@reason_option()
@pass_app
def promote(app: App, *, model_id: str, alias: str, override_gates: bool, reason: str, as_json: bool) -> None:
    """Let an alias name the model ID, and no other of its pair, type and variant.

    `rollback` gives the alias back to the model that had it before. A model that a rollback left can be promoted again.
    """
    if override_gates and not reason.strip():
        raise click.UsageError("--override-gates needs a --reason: the history must say why.")
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        try:
            move = registry.promote(model_id, alias, reason=reason, override_gates=override_gates)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--alias") from error
    _print(move, as_json=as_json)


@click.command(
    cls=Command,
    examples=[
        'model-inbox rollback --pair USD/EUR --type lightgbm --reason "errors since noon"',
        "model-inbox rollback --pair USD/EUR --type lightgbm --at 2026-01-31T08:00:00Z --json",
    ],
    exits={
        1: "no model to go back to, or it is not there any more, or you may not move the alias",
        75: "another writer is at work",
    },
)
@pair_option("The pair, like USD/EUR.", required=True)
@type_option("The type, like lightgbm.", required=True)
@variant_option("The variant, like 30d. Default: none.")
@_alias_option()
@click.option("--steps", type=click.IntRange(1), metavar="N", help="How many promotions to go back. Default: 1.")
@click.option(
    "--to", metavar="MODEL_ID", shell_complete=complete_model, help="Go back to this model, which had the alias before."
)
@click.option(
    "--at", callback=as_instant, metavar="TIME", help="Go back to the model of that time, in UTC unless it has a zone."
)
@reason_option()
@pass_app
def rollback(
    app: App,
    *,
    pair: str,
    model_type: str,
    variant: str | None,
    alias: str,
    steps: int | None,
    to: str | None,
    at: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Give an alias back to the model that had it before.

    Two rollbacks go back two promotions. If that model was retired, it is brought back from the trash. The model that
    is left stays registered, keeps its other aliases, and is promoted by no rule until somebody promotes it.
    """
    if sum(one is not None for one in (steps, to, at)) > 1:
        raise click.UsageError("--steps, --to and --at exclude each other.")
    with app.writing() as registry:
        move = registry.rollback(
            pair, model_type, variant=variant or "", alias=alias, steps=steps, to=to, at=at, reason=reason
        )
    _print(move, as_json=as_json)


def _print(move: Move, *, as_json: bool) -> None:
    if as_json:
        print_json({"alias": move.alias, "from": move.from_id, "to": move.to_id})
        return
    where = " ".join(quoted(name) for name in slot_of(move.entry) if name)
    if move.from_id == move.to_id:
        print_lines(f"{quoted(move.alias)} names {quoted(move.to_id)} already (of {where}).")
        return
    before = f", and no longer {quoted(move.from_id)}" if move.from_id is not None else ""
    print_lines(f"{quoted(move.alias)} names {quoted(move.to_id)}{before} (of {where}).")
