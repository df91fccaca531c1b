"""`model-inbox history`: shows who changed what in the registry, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..base.units import spans
from ..errors import EntryNotFound
from ..problems import quoted
from ..registry.changes import change_of
from ..registry.journal import rules_of
from .arguments import find_model
from .common import App, Command, pass_app
from .completion import complete_model
from .output import Column, print_json, print_lines, print_table, when

if TYPE_CHECKING:
    from ..registry.journal import Line

__all__ = ["history"]

_COLUMNS = (
    Column("CHANGE", rank=5, right=True),
    Column("WHEN (UTC)", rank=2),
    Column("WHAT", rank=1, least=8, words=True),
    Column("MODEL"),
    Column("WHO", rank=4, least=6),
    Column("WHY", rank=3, least=12, words=True),
    Column("DROP", rank=6),
)
_COLUMNS_OF_ONE = (
    Column("CHANGE", rank=3, right=True),
    Column("WHEN (UTC)"),
    Column("WHAT", rank=1, least=12, words=True),
    Column("WHO", rank=2, least=6),
    Column("WHY", rank=1, least=12, words=True),
    Column("DROP", rank=4),
)


@click.command(
    cls=Command,
    examples=["model-inbox history usd_eur_20251025", "model-inbox history --json"],
    exits={1: "no model with this id was ever registered"},
)
@click.argument("model_id", metavar="[ID]", required=False, shell_complete=complete_model)
@pass_app
def history(app: App, *, model_id: str | None, as_json: bool) -> None:
    """Show the changes of one model, or of all.

    One line for each committed change, oldest first: when, what, who and why. Times are in UTC.
    """
    with app.reading() as registry:
        model_id = find_model(registry, model_id) if model_id is not None else None
        lines = registry.history(model_id, over_gaps=True)
        missing = registry.missing_lines()
    if not lines and model_id is not None:
        raise EntryNotFound(
            f"cannot show the history of {quoted(model_id)}: no model with this id was ever registered",
            hint="`model-inbox list` shows the ids, `model-inbox history` all changes",
        )
    if as_json:
        print_json([_as_dict(line) for line in lines])
        return
    if not lines:
        print_lines("The history is empty.")
        return
    rows = []
    for line in lines:
        what, why = change_of(line, model_id)
        row = (str(line.sequence), when(line.at, seconds=True), what, line.model_id, line.actor, why, line.drop_id)
        rows.append(row if model_id is None else (*row[:3], *row[4:]))
    print_table(_COLUMNS if model_id is None else _COLUMNS_OF_ONE, rows)
    if missing:
        print_lines(f"Changes are missing in the history: {spans(missing)}. `model-inbox verify` says where.")


def owner_of_line(line: Line) -> Mapping[str, Any] | None:
    """Return the user who dropped the model that a line is about; None if the line does not have its entry."""
    entry = line.entry or line.removed
    return entry.get("owner") if entry is not None else None


def _as_dict(line: Line) -> dict[str, Any]:
    fields = {
        "sequence": line.sequence,
        "at": line.time,
        "operation": line.operation,
        "model_id": line.model_id,
        "actor": line.actor,
        "reason": line.reason,
        "drop_id": line.drop_id,
        "owner": owner_of_line(line),
    }
    if (digest := rules_of(line)) is not None:
        fields["rules"] = digest
    if line.detail and "alias" in line.detail:
        fields["alias"] = line.detail["alias"]
        fields["also"] = sorted(line.detail.get("also", {}))
        fields |= {
            name: line.detail[name] for name in ("from", "rule", "restored", "override_gates") if name in line.detail
        }
    if line.detail and line.operation == "protect":
        fields["aliases"] = line.detail.get("aliases")
    if line.detail and line.operation == "record":
        fields["metrics"] = line.detail.get("metrics")
        fields["measured_at"] = line.detail.get("at")
    if line.detail and line.operation == "clock":
        fields |= {name: line.detail.get(name) for name in ("before", "after", "seconds", "confirmed")}
    return fields
