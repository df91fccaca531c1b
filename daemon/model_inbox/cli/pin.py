"""`model-inbox pin`, `unpin`, `hold` and `unhold`: protects a model from retirement, and takes one out of service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..problems import quoted
from .arguments import find_model, model_argument
from .common import App, Command, pass_app, reason_option
from .output import print_json, print_lines

if TYPE_CHECKING:
    from ..registry.entry import Entry
    from ..registry.registry import ModelRegistry

__all__ = ["hold", "pin", "unhold", "unpin"]

_EXITS = {1: "no such model", 75: "another writer holds the registry"}


@click.command(cls=Command, examples=["model-inbox pin usd_eur_20251025 --reason 'audit of October'"], exits=_EXITS)
@model_argument()
@reason_option()
@pass_app
def pin(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Protect a model: neither the retention rules nor `delete` retire it."""
    _change(app, model_id, lambda registry, found: registry.pin(found, reason=reason), "is pinned.", as_json=as_json)


@click.command(cls=Command, examples=["model-inbox unpin usd_eur_20251025"], exits=_EXITS)
@model_argument()
@reason_option()
@pass_app
def unpin(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Remove the protection: the retention rules apply again."""
    _change(
        app, model_id, lambda registry, found: registry.unpin(found, reason=reason), "is not pinned.", as_json=as_json
    )


@click.command(
    cls=Command,
    examples=["model-inbox hold usd_eur_20251025 --reason 'trained on the wrong rates'"],
    exits={1: "no such model, or an alias names it", 75: "another writer holds the registry"},
)
@model_argument()
@reason_option(required=True, text="Why; it stands in the entry and in the history.")
@pass_app
def hold(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Take a model out of service without retiring it.

    A held model is never the newest, and no alias may name it. Retention does not count it. After registry.held_keep
    the daemon retires it.
    """

    def held(registry: ModelRegistry, found: str) -> Entry:
        try:
            return registry.hold(found, reason=reason)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--reason") from error

    _change(app, model_id, held, "is held: it is not served.", as_json=as_json)


@click.command(cls=Command, examples=["model-inbox unhold usd_eur_20251025"], exits=_EXITS)
@model_argument()
@reason_option()
@pass_app
def unhold(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Let a held model be served again."""
    _change(
        app, model_id, lambda registry, found: registry.unhold(found, reason=reason), "is not held.", as_json=as_json
    )


def _change(app: App, given: str, change: Callable[[ModelRegistry, str], Entry], says: str, *, as_json: bool) -> None:
    """Change the model that a person names, and print its new entry, or what holds of it now."""
    with app.writing() as registry:
        model_id = find_model(registry, given)
        entry = change(registry, model_id)
    if as_json:
        print_json(entry)
    else:
        print_lines(f"{quoted(model_id)} {says}")
