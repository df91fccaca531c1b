"""The addresses of pages: in one file the names of its parts, on a server paths of their own.

Owns both forms. A link is made here and nowhere else, so that no page links to what the other form lacks. Pure.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote, urlencode

from ..model.slot import Slot

__all__ = ["Links", "OneFile", "Served", "anchor_of"]


# A text that is no Unicode has links, too.
_ERRORS = "surrogatepass"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors=_ERRORS)


def anchor_of(slot: Slot) -> str:
    """Return the name of a slot's part in a page: a word without a space, and another one for each slot."""
    return "slot-" + "-".join(_quoted(part).replace("-", "%2D").replace("%", "_") for part in slot)


class Links(Protocol):
    """Where a page finds others. None is where nothing is to be linked to."""

    def overview(self) -> str:
        """Return the link to the overview."""

    def slot(self, slot: Slot, *, is_here: bool) -> str | None:
        """Return the link to a slot. `is_here`: the page itself has a part about it."""

    def model(self, model_id: str) -> str | None:
        """Return the link to a registered model."""

    def comparison(self, one: str, other: str) -> str | None:
        """Return the link to a comparison of two registered models."""


class OneFile:
    """The links of a single file: its parts alone."""

    def overview(self) -> str:
        """Return the link to the top."""
        return "#top"

    def slot(self, slot: Slot, *, is_here: bool) -> str | None:
        """Return the link to a slot's part, None if the page has none."""
        return f"#{anchor_of(slot)}" if is_here else None

    def model(self, model_id: str) -> None:  # the form of Links
        """Return None: a file has no pages of models."""

    def comparison(self, one: str, other: str) -> None:  # the form of Links
        """Return None: a file has no comparisons."""


class Served:
    """The links of a server, all of them paths."""

    def overview(self) -> str:
        """Return the path of the overview."""
        return "/"

    def slot(self, slot: Slot, *, is_here: bool) -> str | None:  # noqa: ARG002  # the form of Links
        """Return the path of a slot's page: the overview of that slot alone."""
        fields = {"pair": slot.currency_pair, "type": slot.model_type, "variant": slot.variant}
        return "/?" + urlencode(fields, errors=_ERRORS)

    def model(self, model_id: str) -> str | None:
        """Return the path of a model's page."""
        return f"/model/{_quoted(model_id)}"

    def comparison(self, one: str, other: str) -> str | None:
        """Return the path of a comparison."""
        return "/compare?" + urlencode([("id", one), ("id", other)], errors=_ERRORS)
