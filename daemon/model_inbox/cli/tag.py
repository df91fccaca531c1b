"""`model-inbox tag`: sets and removes tags of a model, for people and for retention rules."""

from __future__ import annotations

import click

from ..problems import quoted
from .arguments import find_model, model_argument
from .common import App, Command, pass_app, reason_option
from .output import print_json, print_lines

__all__ = ["tag"]


@click.command(
    cls=Command,
    examples=[
        "model-inbox tag usd_eur_20251025 production stage=live",
        "model-inbox tag usd_eur_20251025 --remove production",
        "model-inbox tag usd_eur_20251025 stage=",
    ],
    exits={1: "no such model, or an invalid tag", 75: "another writer holds the registry"},
)
@model_argument()
@click.argument("tags", metavar="[NAME[=VALUE]]...", nargs=-1)
@click.option("--remove", multiple=True, metavar="NAME", help="Remove a tag. May be given several times.")
@reason_option()
@pass_app
def tag(app: App, *, model_id: str, tags: tuple[str, ...], remove: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Set and remove tags of a model.

    NAME=VALUE sets a tag, NAME sets a tag without a value, and NAME= removes it.
    """
    changes: dict[str, str | None] = dict.fromkeys(remove)
    for text in tags:
        name, equals, value = text.partition("=")
        if name in changes:
            raise click.UsageError(f"The tag {quoted(name)} is given twice.")
        changes[name] = None if equals and not value else value
    if not changes:
        raise click.UsageError("Give a tag: NAME=VALUE, NAME, or NAME= to remove it.")
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        entry = registry.tag(model_id, changes, reason=reason)
    if as_json:
        print_json(entry)
        return
    shown = ", ".join(f"{name}={value}" if value else name for name, value in (entry.get("tags") or {}).items())
    print_lines(f"{quoted(model_id)} has {f'the tags {shown}' if shown else 'no tags'}.")
