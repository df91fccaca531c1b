"""What `model-inbox check` says of a model beside those in service: the outcomes of gates, and a comparison.

Owns the question to the registry and the words for the answer. Never changes a registry: at the commit of the drop the
gates are evaluated again, over what is in service then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import EntryNotFound, RegistryError, StorageError
from ..problems import escaped, quoted
from .output import Column, print_lines, print_table, short_number

if TYPE_CHECKING:
    from ..registry.entry import GateOutcome
    from ..registry.outcomes import Examined
    from ..registry.registry import ModelRegistry
    from .common import App

__all__ = ["Beside", "beside_those_in_service"]


@dataclass(frozen=True, slots=True)
class Beside:
    """A model beside those in service. `against` is what it was compared with by `--against`; None: nothing.

    `unread` is why the models in service are not known; "" if they are, or were not asked for.
    """

    file: str
    examined: Examined
    metrics: Mapping[str, Any] = field(default_factory=dict)
    against: Mapping[str, Any] | None = None
    unread: str = ""

    @property
    def compared(self) -> dict[str, list[float | None]]:
        """Each metric with the values of the model and of the one that it was compared with; None: it has none."""
        from ..model.conditions.paths import metrics_in

        new = dict(metrics_in(self.metrics))
        old = dict(metrics_in((self.against or {}).get("validation_metrics")))
        return {name: [new.get(name), old.get(name)] for name in dict.fromkeys((*new, *old))}

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        other = self.against
        shown = {"model_id": other["model_id"], "sequence": other.get("sequence")} if other is not None else None
        return {
            "file": self.file,
            "gates": list(self.examined.outcomes),
            **({"against": shown, "metrics": self.compared} if other is not None else {}),
            **({"unread": self.unread} if self.unread else {}),
        }

    def print(self) -> None:
        """Print it for people."""
        if self.against is not None:
            print_lines(f"\n{self.file} beside {quoted(str(self.against['model_id']))}")
            columns = [
                Column("METRIC"),
                Column("THIS", right=True),
                Column("IN SERVICE", right=True),
                Column("CHANGE", right=True),
            ]
            rows = [
                [escaped(name), _text(new), _text(old), _change(new, old)] for name, (new, old) in self.compared.items()
            ]
            print_table(columns, rows)
        if self.examined.outcomes:
            print_lines(f"\ngates for {self.file}")
        for outcome in self.examined.outcomes:
            print_lines(f"{_verdict(outcome)} {outcome['gate']}: {outcome['says']}", indent=2, hanging=4)
        if self.unread:
            print_lines(f"\nNot compared with the models in service: {self.unread}")


def beside_those_in_service(
    app: App, file: str, fields: Mapping[str, Any], size_bytes: int, against: str | None
) -> Beside | None:
    """Return what the gates say of the model that `fields` are the metadata of, and a comparison with `against`.

    None if neither is asked for. Raises EntryNotFound if there is no model to compare with, and what opening the
    registry raises if `against` asks for it. Without it, a registry that cannot be read is said.
    """
    from ..gates import Gates, gates_for
    from ..model.slot import slot_of

    slot = slot_of(fields)
    gates = gates_for(app.config.gates, slot)
    if gates is None and against is None:
        return None
    entry = {**fields, "size_bytes": size_bytes}
    metrics = fields["validation_metrics"]
    if against is None and gates is not None and all(gate.against is None for gate in gates.gates):
        return Beside(file, gates.examine(entry, lambda _: None), metrics)
    examining = gates or Gates(())
    try:
        with app.reading() as registry:

            def in_service(name: str) -> Mapping[str, Any] | None:
                return _named(registry, slot, name)

            other = in_service(against) if against is not None else None
            if against is not None and other is None:
                raise EntryNotFound(
                    f"cannot compare with {quoted(against)}: {quoted(str(slot))} has no such model in service",
                    hint="`model-inbox list` shows the models with their aliases; `--against newest` is the newest one",
                )
            return Beside(file, examining.examine(entry, in_service), metrics, other)
    except (RegistryError, StorageError) as error:
        if against is not None:
            raise
        return Beside(file, examining.examine(entry, lambda _: None), metrics, unread=str(error))


def _named(registry: ModelRegistry, slot: tuple[str, str, str], name: str) -> Mapping[str, Any] | None:
    from ..model.slot import NEWEST

    pair, model_type, variant = slot
    return registry.get_model(pair, model_type, variant=variant, alias=None if name == NEWEST else name)


def _verdict(outcome: GateOutcome) -> str:
    return "passed" if outcome["passed"] else "FAILED"


def _text(value: float | None) -> str:
    return "-" if value is None else short_number(value)


def _change(new: float | None, old: float | None) -> str:
    if new is None or old is None:
        return ""
    return f"{new - old:+.3g}" + (f" ({(new - old) / abs(old):+.1%})" if old else "")
