"""Facts of a page for tests, and what its HTML consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from model_inbox.model.slot import Slot
from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.report.facts import ANY, Overview, Retention

NOW = datetime(2026, 11, 26, 18, 20, tzinfo=UTC)
SLOT = Slot("EUR/USD", "lightgbm")


def entry(number: int, *, slot: Slot = SLOT, days: float | None = None, **fields: Any) -> EntryFields:
    """Return an entry that was trained so many days before NOW, and registered an hour later."""
    trained = NOW - timedelta(days=float(number) if days is None else days)
    return as_fields(
        {
            "model_id": f"m-{number:06d}",
            "currency_pair": slot.currency_pair,
            "model_type": slot.model_type,
            "variant": slot.variant,
            "trained_at": trained.isoformat(),
            "registered_at": (trained + timedelta(hours=1)).isoformat(),
            "sequence": 1_000_000 - number,
            "size_bytes": 1000,
            "validation_metrics": {"1d": {"rmse": 0.004 + number % 7 / 10_000, "accuracy": 0.5 + number % 5 / 100}},
            **fields,
        }
    )


def overview(**changes: Any) -> Overview:
    """Return the facts of an empty registry where all is well, with changes."""
    facts: dict[str, Any] = {
        "host": "fx-models",
        "version": "0.1.0",
        "at": NOW,
        "position": "0",
        "registry_path": "/srv/models/prediction_registry.json",
        "choice": ANY,
        "daemon": "running",
        "retention": Retention("enforce", None, (), 0, {}, 0, (), 0),
        "trash_bytes": 0,
        **dict.fromkeys(("slots_total", "models_total", "drops_total", "waiting_total", "rejected_total"), 0),
        **dict.fromkeys(("trash_total", "history_total"), 0),
        **dict.fromkeys(("attention", "slots", "drops", "waiting", "rejected", "trash", "disks", "slot_bytes"), ()),
        "history": (),
    }
    return Overview(**{**facts, **changes})


@dataclass
class Read(HTMLParser):
    """A page as a browser reads it: elements with their attributes, and the text outside of style and script."""

    page: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._inside = ""
        self.raw: dict[str, str] = {}
        self.feed(self.page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            self.raw[self._inside] = self.raw.get(self._inside, "") + data
        else:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """The text that is shown, with single spaces."""
        return " ".join(" ".join(self.pieces).split())

    @property
    def tags(self) -> list[str]:
        """The names of all elements, in order."""
        return [tag for tag, _ in self.elements]

    def values(self, attribute: str) -> list[str]:
        """Return the values of an attribute."""
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]
