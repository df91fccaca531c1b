"""`model-inbox alias`: sets and removes names like `champion`, by which serving code finds a model."""

from __future__ import annotations

import click

from ..model.slot import slot_of
from ..problems import quoted
from .arguments import MODEL, find_model
from .common import App, Command, pass_app, reason_option
from .output import print_json, print_lines

__all__ = ["alias"]


@click.command(
    cls=Command,
    examples=["model-inbox alias champion usd_eur_20251025", "model-inbox alias --remove champion usd_eur_20251025"],
    exits={1: "no such model, or the alias does not name it", 75: "another writer holds the registry"},
)
@click.argument("name", metavar="NAME")
@click.argument("model_id", metavar=MODEL)
@click.option("--remove", is_flag=True, help="Remove the alias from the model.")
@reason_option()
@pass_app
def alias(app: App, *, name: str, model_id: str, remove: bool, reason: str, as_json: bool) -> None:
    """Set the alias NAME on the model ID, or remove it.

    An alias is unique among the models of one pair, type and variant: if another of them has it, it moves to ID. A
    model with an alias is never retired.
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
