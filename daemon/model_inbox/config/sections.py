"""What all sections of config.yaml are made of: the base of a section, and the settings that several of them have.

Owns how a section refuses what it does not know, patterns, and the match of a slot. Never reads a file.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..base.shapes import title_of
from ..model.slot import Slot

__all__ = ["MatchSection", "Pattern", "Section", "setting"]


def setting(default: object, description: str) -> Any:
    """Return a field whose default is written and parsed as in config.yaml."""
    return Field(default=default, description=description)


def _title_of_section(section: type) -> str:
    """Return the title of a section in the schema: its class without the word Section."""
    return section.__name__.removesuffix("Section")


def _title_of_setting(name: str, _: object) -> str:
    """Return the title of a setting in the schema."""
    return title_of(name)


class Section(BaseModel):
    """A section of config.yaml. A key that it does not know is a problem."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        model_title_generator=_title_of_section,
        field_title_generator=_title_of_setting,
    )


def _pattern(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("not a pattern; write text like 'lightgbm' or 'USD/*'")
    return value


def _printable(value: str) -> str:
    return _pattern(value) if value else value


Pattern = Annotated[str, AfterValidator(_pattern)]


class MatchSection(Section):
    """The slots that are meant, each part as a pattern; null is any."""

    currency_pair: Pattern | None = setting(None, "The currency pair, like 'EUR/*'.")
    model_type: Pattern | None = setting(None, "The model type, like 'lightgbm*'.")
    variant: Annotated[str, AfterValidator(_printable)] | None = setting(
        None, "The variant, like '30d'; '' is a model without one."
    )

    def matches(self, slot: Slot) -> bool:
        """Return whether a slot is meant."""
        patterns = (self.currency_pair, self.model_type, self.variant)
        return all(
            pattern is None or fnmatchcase(value, pattern) for pattern, value in zip(patterns, slot, strict=True)
        )
