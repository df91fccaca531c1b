"""What is known of a model whose files exist: its metadata, completed.

Owns the order in which metadata comes together: what the sidecar says, what the caller says, what is filled in, and at
last the id, which may need the digest of the model. Never writes a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..base.instants import canonical_instant
from ..base.strict_yaml import Node, Pairs, Scalar
from ..errors import DropRefused
from ..model.metadata import ModelMetadata
from ..model.published import Limits
from ..model.sidecar import Sidecar, parse_sidecar
from ..model.sidecar_parts import a_list, a_mapping, a_text, names_in, with_value, without
from ..problems import Problem, quoted
from .filling import ID_TEMPLATE, NO_ID_YET, horizons_in, is_template, template_problem, with_filled
from .limits import with_id
from .provenance import merged

__all__ = ["Described", "Given", "described"]

Given = Sequence[tuple[Sequence[str], Node]]
"""Values from the command line: the path of each in a sidecar, and the value."""


@dataclass(frozen=True, slots=True)
class Described:
    """The metadata of a drop. `template` makes the id when the digest is known; None: the id is known."""

    metadata: ModelMetadata
    sidecar: Sidecar
    template: str | None


def described(
    data: bytes,
    *,
    name: str | None,
    stem: str,
    size: int | None,
    given: Given,
    mtime: float | None,
    facts: Mapping[str, str],
    said: Mapping[str, str],
    now: datetime,
    limits: Limits,
) -> Described:
    """Return what a sidecar and the caller say of a model, with what can be filled in.

    `name` is that of the sidecar's file, None if there is none; `mtime` that of the model's file; `facts` what was
    collected and `said` what the caller says of the provenance. Raises DropRefused with all problems.
    """
    filling = _Filling(given, mtime, facts, said, has_sidecar=name is not None)
    sidecar = parse_sidecar(
        data,
        stem=stem if name is not None else NO_ID_YET,
        now=now,
        name=name or "",
        bytes_max=limits.max_sidecar_size,
        size=size,
        amend=filling.amend,
    )
    problems = [*sidecar.problems, *filling.problems]
    if problems or sidecar.metadata is None:
        what = f"{quoted(name)}: the sidecar" if name is not None else "the model: its metadata"
        raise DropRefused(f"cannot drop {what} has problems", problems)
    return Described(with_id(sidecar.metadata, filling.template), sidecar, filling.template)


class _Filling:
    """Completes a parsed sidecar. `template` is that of the id, if it is made from one."""

    def __init__(
        self, given: Given, mtime: float | None, facts: Mapping[str, str], said: Mapping[str, str], *, has_sidecar: bool
    ) -> None:
        self._given = given
        self._mtime = mtime
        self._facts = facts
        self._said = said
        self._has_sidecar = has_sidecar
        self.template: str | None = None
        self.problems: list[Problem] = []

    def amend(self, root: Pairs) -> Pairs:
        """Return the mapping with what was given, and with what was filled in."""
        for path, node in self._given:
            root = with_value(root, path, node)
        filled = []
        if root.get("trained_at") is None and self._mtime is not None:
            root = with_value(root, ["trained_at"], a_text(_instant(self._mtime)))
            filled.append("trained_at")
        if root.get("horizons") is None and (days := horizons_in(names_in(root.get("validation_metrics")))):
            root = with_value(root, ["horizons"], a_list(days))
            filled.append("horizons")
        model_id = root.get("model_id")
        if model_id is None and not self._has_sidecar:
            self.template = ID_TEMPLATE
        elif isinstance(model_id, Scalar) and is_template(model_id.text):
            self.template = model_id.text
        if self.template is not None:
            filled.append("model_id")
            if (problem := template_problem(self.template)) is not None:
                self.problems.append(problem)
                self.template = None
            root = with_value(without(root, "model_id"), ["model_id"], a_text(NO_ID_YET))
        there = root.get("provenance")
        if there is None or isinstance(there, Pairs):
            pairs = there.pairs if there is not None else ()
            # What is no text stays, for the checks to refuse.
            if all(isinstance(value, Scalar) for _, value in pairs):
                known = {
                    key.text: "" if value.is_null else value.text for key, value in pairs if isinstance(value, Scalar)
                }
                facts = with_filled(merged(self._facts, {**known, **self._said}), filled)
                root = with_value(root, ["provenance"], a_mapping(facts.items()))
        return root


def _instant(mtime: float) -> str:
    try:
        return canonical_instant(datetime.fromtimestamp(round(mtime, 6), UTC))
    except (OverflowError, ValueError, OSError):
        return str(mtime)
