"""Evaluates gates: the values of a model against bounds, and against the values of the model in service.

Owns when a gate passes, and the words for it. Pure: the entry and the models in service are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.gates import Bound, GateSection, Margin, Order
from ..model.conditions.paths import METRICS, FieldPath, metrics_in, parse_path
from ..model.slot import NEWEST, Slot
from ..problems import escaped, quoted
from ..problems.gates import gates_failed, gates_held
from ..registry.entry import GateOutcome, sequence_of
from ..registry.outcomes import Examined, InService

__all__ = ["Gates", "gates_for"]

_Entry = Mapping[str, Any]
# Whole numbers below this are written without an exponent.
_WRITTEN_OUT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class _Check:
    """One thing that a gate asks for, of one value, and what came of it. `clause` completes "1d.rmse ..."."""

    gate: GateSection
    path: FieldPath
    rule: str
    passed: bool
    value: Any
    bound: float | None
    clause: str
    against: _Entry | None = None

    @property
    def name(self) -> str:
        """The name of the value. A producer may have given it."""
        return escaped(self.path.part if self.path.is_metric else self.path.text)

    @property
    def field(self) -> str:
        """Where the value stands in a sidecar."""
        return f"{METRICS}.{self.name}" if self.path.is_metric else self.name

    @property
    def says(self) -> str:
        """What came of it, in words."""
        return f"{self.name} {self.clause}"

    def outcome(self) -> GateOutcome:
        """Return what the entry keeps."""
        other = self.against
        return {
            "gate": self.gate.name,
            "name": self.name,
            "rule": self.rule,
            "passed": self.passed,
            "value": self.value,
            "bound": self.bound,
            "against": {"model_id": str(other["model_id"]), "sequence": sequence_of(other)} if other else None,
            "says": self.says,
        }


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of one slot, in the order of config.yaml. The registry evaluates them at the commit."""

    gates: tuple[GateSection, ...]

    def examine(self, entry: _Entry, in_service: InService) -> Examined:
        """Return what comes of a model. `in_service` gives the model that an alias names, or the newest one.

        The model is rejected if a gate with `on_fail: reject` fails, and else held if one with `hold` does.
        """
        checks = [check for gate in self.gates for check in _checks(gate, entry, in_service)]
        failed = [check for check in checks if not check.passed]
        refusing = [check for check in failed if check.gate.on_fail == "reject"]
        outcomes = tuple(check.outcome() for check in checks)
        if refusing:
            said = [gates_failed(check.gate.name, check.field, check.says) for check in refusing]
            return Examined(outcomes, tuple(said), None)
        notes = tuple(gates_held(check.gate.name, check.field, check.says) for check in failed)
        reasons = [f"gate {check.gate.name}: {check.says}" for check in failed]
        return Examined(outcomes, (), "; ".join(reasons) or None, notes)


def gates_for(gates: Sequence[GateSection], slot: Slot) -> Gates | None:
    """Return the gates that match a slot, or None if there is none."""
    matching = tuple(gate for gate in gates if gate.match.matches(slot))
    return Gates(matching) if matching else None


def _checks(gate: GateSection, entry: _Entry, in_service: InService) -> Iterator[_Check]:
    for name in gate.require:
        yield from _required(gate, name, entry)
    for name, bound in gate.bounds.items():
        yield from _bounded(gate, name, bound, entry)
    if gate.against is None:
        return
    other = in_service(gate.against)
    for rule, name, margin, order in gate.comparisons():
        yield from _compared(gate, rule, name, margin, order, entry, other)


def _required(gate: GateSection, name: str, entry: _Entry) -> Iterator[_Check]:
    for path in _paths(name, entry):
        value = path.read(entry)
        passed = value is not None and value is not False
        says = "is there" if passed else "is false, and must be true" if value is False else "is missing"
        yield _Check(gate, path, "require", passed, value if isinstance(value, int | float) else None, None, says)


def _bounded(gate: GateSection, name: str, bound: Bound, entry: _Entry) -> Iterator[_Check]:
    for path in _paths(name, entry):
        value = path.read(entry)
        for rule, limit in (("min", bound.min), ("max", bound.max)):
            if limit is None:
                continue
            passed = value is not None and (value >= limit if rule == "min" else value <= limit)
            must = f"at {'least' if rule == 'min' else 'most'} {_shown(limit)}"
            says = f"is missing, and must be {must}" if value is None else f"is {_shown(value)}, and must be {must}"
            yield _Check(gate, path, rule, passed, value, limit, says)


def _compared(
    gate: GateSection, rule: str, name: str, margin: Margin, order: Order, entry: _Entry, other: _Entry | None
) -> Iterator[_Check]:
    which = gate.against if gate.against == NEWEST else f"alias {quoted(gate.against)}"
    for path in _paths(name, entry, other):
        value = path.read(entry)
        reference = path.read(other) if other is not None else None
        passed, bound, says = _judged(rule, margin, order, value, reference)
        if other is None:
            says = f"is compared with nothing: there is no model of this slot in service ({which})"
        else:
            says += f" ({quoted(str(other['model_id']))}, {which})"
        yield _Check(gate, path, rule, passed, value, bound, says, other)


def _judged(
    rule: str, margin: Margin, order: Order, value: float | None, reference: float | None
) -> tuple[bool, float | None, str]:
    """Return whether a value passes beside that of the model in service, the bound of it, and the words."""
    if reference is None:
        return True, None, "is compared with nothing: the model in service does not have it"
    if value is None:
        return False, None, f"is missing, and the model in service has {_shown(reference)}"
    better = rule == "min_gain"
    bound = margin.bound(reference, order, better=better)
    if bound is None and not better and _reaches(value, reference, order):
        return True, reference, f"is {_shown(value)}, and not worse than {_shown(reference)}"
    if bound is None:
        nothing = f"{margin} of 0, the value of the model in service, says nothing: the gate needs a number"
        return False, None, f"is {_shown(value)}, and {nothing}"
    must = f"at {'most' if order == 'min' else 'least'} {_shown(bound)}"
    how = f"{margin} {'better' if better else 'worse'} than {_shown(reference)}"
    return _reaches(value, bound, order), bound, f"is {_shown(value)}, and must be {must}, {how}"


def _reaches(value: float, bound: float, order: Order) -> bool:
    return value <= bound if order == "min" else value >= bound


def _shown(number: float) -> str:
    """Return a number with all its digits: a value that just fails must not look like its bound."""
    return str(int(number)) if number == int(number) and abs(number) < _WRITTEN_OUT_MAX else repr(number)


def _paths(name: str, entry: _Entry, other: _Entry | None = None) -> list[FieldPath]:
    """Return the names that a name with `*` stands for: metrics of the model, and of the one in service.

    Without such a metric it is the name itself, which no model has.
    """
    if "*" not in name:
        return [parse_path(name)]
    pattern = re.compile(r"[^.]*".join(map(re.escape, name.removeprefix(f"{METRICS}.").split("*"))))
    known = [found for one in (entry, other or {}) for found, _ in metrics_in(one.get(METRICS))]
    matching = [found for found in dict.fromkeys(known) if pattern.fullmatch(found)]
    return [parse_path(f"{METRICS}.{found}") for found in matching] or [parse_path(name)]
