"""`model-inbox delete` and `restore`: retires a model to the trash, and restores it."""

from __future__ import annotations

import click

from ..errors import EntryNotFound
from ..problems import quoted
from .arguments import find_model, find_retired, model_argument
from .common import App, Command, now, pass_app, reason_option
from .completion import complete_retired
from .output import print_json, print_lines

__all__ = ["delete", "restore"]


@click.command(
    cls=Command,
    examples=["model-inbox delete usd_eur_20251025 --reason 'trained on wrong rates'"],
    exits={1: "no such model, or it is pinned or named by an alias", 75: "another writer holds the registry"},
)
@model_argument()
@reason_option("deleted by hand")
@pass_app
def delete(app: App, *, model_id: str, reason: str, as_json: bool) -> None:
    """Retire a model to the trash.

    Its id becomes free. `model-inbox restore` restores the model as long as it is in the trash.
    """
    # The grace in the trash counts from the time of the line: a wrong clock must be known to be wrong by then.
    app.look_at_clock()
    with app.writing() as registry:
        model_id = find_model(registry, model_id)
        entry = registry.get_model_info(model_id)
        if entry is None or not registry.delete_model(model_id, reason=reason):
            raise EntryNotFound(
                f"cannot delete {quoted(model_id)}: no model with this id is registered",
                hint="`model-inbox list` shows the registered models, `model-inbox trash list` the retired ones",
            )
    if as_json:
        print_json({"model_id": model_id, "sequence": entry.get("sequence"), "reason": reason})
    else:
        print_lines(f"{quoted(model_id)} is in the trash; `model-inbox restore {model_id}` restores it.")


@click.command(
    cls=Command,
    examples=["model-inbox restore usd_eur_20251025"],
    exits={1: "it is not in the trash, or its id is taken", 75: "another writer holds the registry"},
)
@model_argument(complete=complete_retired)
@click.option("--sequence", type=int, metavar="N", help="Which of several retired models with this id (`trash list`).")
@pass_app
def restore(app: App, *, model_id: str, sequence: int | None, as_json: bool) -> None:
    """Restore a retired model from the trash.

    If several models with this id were retired, the last one is restored, or the one given by --sequence. Warns if the
    retention rules would retire it again.
    """
    from ..retention.apply import plan_retention

    section = app.config.retention
    with app.writing() as registry:
        model_id = find_retired(registry.retired(), model_id)
        entry = registry.restore(model_id, sequence=sequence)
        goes = section.mode == "enforce" and any(
            item.model_id == model_id for item in plan_retention(registry, section, now()).retire
        )
    if as_json:
        print_json(entry)
        return
    print_lines(f"{quoted(model_id)} is registered again.")
    if goes:
        print_lines(f"The rules do not keep it. Run `model-inbox pin {model_id}`, or the next run retires it again.")
