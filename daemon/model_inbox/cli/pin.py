"""`model-inbox pin` and `unpin`: protects a model from retirement, and removes the protection."""

from __future__ import annotations

import click

from ..problems import quoted
from .arguments import MODEL, find_model
from .common import App, Command, pass_app, reason_option
from .output import print_json, print_lines

__all__ = ["pin", "unpin"]

_EXITS = {1: "no such model", 75: "another writer holds the registry"}


@click.command(cls=Command, examples=["model-inbox pin usd_eur_20251025 --reason 'audit of October'"], exits=_EXITS)
@click.argument("model_id", metavar=MODEL)
@reason_option()
@pass_app
def pin(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Protect a model: neither the retention rules nor `delete` retire it."""
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        entry = registry.pin(model_id, reason=reason)
    if as_json:
        print_json(entry)
    else:
        print_lines(f"{quoted(model_id)} is pinned.")


@click.command(cls=Command, examples=["model-inbox unpin usd_eur_20251025"], exits=_EXITS)
@click.argument("model_id", metavar=MODEL)
@reason_option()
@pass_app
def unpin(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Remove the protection: the retention rules apply again."""
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        entry = registry.unpin(model_id, reason=reason)
    if as_json:
        print_json(entry)
    else:
        print_lines(f"{quoted(model_id)} is not pinned.")
