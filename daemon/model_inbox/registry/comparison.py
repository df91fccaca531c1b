"""What differs between two entries: metrics, features, imports, provenance, sizes and all other fields.

Owns which differences there are, and which of two metrics is the better one, where the order is known. Never decides
which model is used. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..base.margins import Order
from ..model.conditions.paths import metrics_in

__all__ = ["OF_ONE_MODEL", "Comparison", "OrderOf", "Pair", "SetChange", "compare", "gates_in_words"]

OrderOf = Callable[[str], Order | None]
"""Returns whether the least or the largest value of a metric is best, by its dotted name; None if nobody said so."""

OF_ONE_MODEL = frozenset(
    {
        *("model_path", "scaler_path", "sha256", "scaler_sha256", "sequence", "registered_at", "drop_id", "verdict"),
        *("scaler_imports", "scaler_replaced", "gates"),
    }
)
"""Fields that differ between any two models, and say nothing about them."""

# These have their own parts in a comparison, or name the model itself; the aliases say what of the promotions differs.
_ELSEWHERE = frozenset(
    {"model_id", "validation_metrics", "recorded", "features_used", "imports", "size_bytes", "load_bytes", "promotions"}
)
_MAPPINGS = ("provenance", "frameworks", "tags")
_SIZES = ("size_bytes", "load_bytes")


class Pair(NamedTuple):
    """A value in the first entry and in the second; None where it is missing."""

    first: Any
    second: Any

    @property
    def differs(self) -> bool:
        """Whether the values differ."""
        return bool(self.first != self.second)


class SetChange(NamedTuple):
    """Names that only the second entry has, that only the first has, and that both have."""

    added: list[str]
    removed: list[str]
    common: list[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two entries side by side, by part and name. `features_moved`: both have the same features in another order.

    `better` has the metrics that differ and whose order is known: "a" if the first is better, else "b".
    """

    metrics: Mapping[str, Pair]
    better: Mapping[str, Literal["a", "b"]]
    recorded: Mapping[str, Pair]
    features: SetChange
    features_moved: bool
    imports: SetChange
    provenance: Mapping[str, Pair]
    frameworks: Mapping[str, Pair]
    tags: Mapping[str, Pair]
    sizes: Mapping[str, Pair]
    fields: Mapping[str, Pair]

    def as_dict(self, *, everything: bool = False) -> dict[str, Any]:
        """Return the comparison as a JSON object: what differs, or with `everything` all values."""

        def pairs(values: Mapping[str, Pair]) -> dict[str, list[Any]]:
            return {name: list(pair) for name, pair in values.items() if everything or pair.differs}

        def names(change: SetChange) -> dict[str, list[str]]:
            both = {"common": change.common} if everything else {}
            return {"added": change.added, "removed": change.removed, **both}

        return {
            "metrics": pairs(self.metrics),
            "better": dict(self.better),
            "recorded": pairs(self.recorded),
            "features": names(self.features),
            "imports": names(self.imports),
            **{name: pairs(getattr(self, name)) for name in (*_MAPPINGS, "sizes", "fields")},
        }


def compare(first: Mapping[str, Any], second: Mapping[str, Any], order_of: OrderOf) -> Comparison:
    """Return how two entries differ. `order_of` says whether the least or the largest value of a metric is best."""
    metrics = _pairs(*(dict(metrics_in(entry.get("validation_metrics"))) for entry in (first, second)))
    of_first, of_second = (_names(entry.get("features_used")) for entry in (first, second))
    fields = dict.fromkeys(name for entry in (first, second) for name in entry)
    others = [name for name in fields if name not in _ELSEWHERE and name not in _MAPPINGS]
    return Comparison(
        metrics=metrics,
        better=dict(_judged(metrics, order_of)),
        recorded=_pairs(*(_recorded(entry.get("recorded")) for entry in (first, second))),
        features=_change(of_first, of_second),
        features_moved=of_first != of_second and sorted(of_first) == sorted(of_second),
        imports=_change(*(_names(entry.get("imports")) for entry in (first, second))),
        **{name: _pairs(*(_mapping(entry.get(name)) for entry in (first, second))) for name in _MAPPINGS},
        sizes={name: Pair(first.get(name), second.get(name)) for name in _SIZES if name in first or name in second},
        fields={name: Pair(first.get(name), second.get(name)) for name in others},
    )


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: Pair(first.get(name), second.get(name)) for name in dict.fromkeys((*first, *second))}


def _judged(metrics: Mapping[str, Pair], order_of: OrderOf) -> Iterable[tuple[str, Literal["a", "b"]]]:
    for name, (first, second) in metrics.items():
        if first is None or second is None or first == second:
            continue
        order = order_of(name)
        if order is not None:
            yield name, "b" if (second < first) == (order == "min") else "a"


def _change(first: Sequence[str], second: Sequence[str]) -> SetChange:
    before, after = set(first), set(second)
    return SetChange(
        [name for name in second if name not in before],
        [name for name in first if name not in after],
        [name for name in first if name in after],
    )


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, Mapping | list | tuple) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _recorded(value: object) -> dict[str, int | float]:
    values = {name: one.get("value") for name, one in _mapping(value).items() if isinstance(one, Mapping)}
    return dict(metrics_in(values))


def gates_in_words(gates: object) -> dict[str, str]:
    """Return what came of each gate of an entry, by its name. A gate has an outcome for each value that it asks for."""
    failed: dict[str, list[str]] = {}
    for one in gates if isinstance(gates, list) else ():
        if isinstance(one, Mapping):
            says = failed.setdefault(str(one.get("gate")), [])
            says += [] if one.get("passed") else [str(one.get("says", "failed"))]
    return {name: f"failed: {'; '.join(says)}" if says else "passed" for name, says in failed.items()}
