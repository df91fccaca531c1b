"""What lines of the current segment may have left undone: steps on files whose writer died after the line.

Owns which lines these are. Pure: never looks at the files, and does none of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .journal import Line, also_changed, brings_back

__all__ = ["LabelChange", "Unfinished"]

# After these, the labels file of each model that they change is written again.
_SETS_LABELS = frozenset(
    ("alias", "unalias", "promote", "rollback", "pin", "unpin", "hold", "unhold", "tag", "record", "rebuild")
)
# These say who set the label that they set.
_TELLS_WHO = frozenset({"alias", "promote", "rollback", "pin", "hold"})


class LabelChange(NamedTuple):
    """Who set an alias, a pin or a hold by a line. `alias` is None for the other two."""

    operation: str
    alias: str | None
    at: str
    actor: str
    reason: str


@dataclass(slots=True)
class Unfinished:
    """The models that such lines are about, by id.

    `moves` are the lines after which files may lie where no entry names them. `labels` are the models whose labels file
    may be behind, with the changes that it may not tell of yet; the one who wrote it takes the model out.
    """

    moves: dict[str, list[Line]] = field(default_factory=dict)
    labels: dict[str, list[LabelChange]] = field(default_factory=dict)

    def note(self, line: Line) -> None:
        """Take in a line."""
        if line.operation in ("retire", "replace_scaler"):
            self.moves.setdefault(line.model_id, []).append(line)
        elif line.operation == "register" or brings_back(line):
            self.moves.pop(line.model_id, None)  # its writer finished what was left of an earlier model of that id
        if line.operation in _SETS_LABELS and line.changes_entry and line.entry is not None:
            # In this order: a crash between the two files leaves an alias that moved in both, never in none.
            for model_id in (line.model_id, *also_changed(line)):
                changes = self.labels.setdefault(model_id, [])
                if line.operation in _TELLS_WHO:
                    changes.append(_change(line))
        if line.operation in ("register", "retire"):
            self.labels.pop(line.model_id, None)  # a retired model's file was right before the line
        if line.operation == "register" and line.entry is not None and line.entry.get("held"):
            self.labels[line.model_id] = []


def _change(line: Line) -> LabelChange:
    alias = (line.detail or {}).get("alias")
    return LabelChange(line.operation, alias if isinstance(alias, str) else None, line.time, line.actor, line.reason)
