"""The rules in a configuration as one text, by whose digest the journal names what decided, and reading it again.

Owns which settings decide about models, and the form of the text. Never reads a file: the registry keeps the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from .retention import RetentionSection
from .settings import Config, PromotionSection

__all__ = ["RULES_FORMAT", "Deciding", "past_rules", "rules_text"]

RULES_FORMAT: Final = "model-inbox-rules/1"
# The settings that decide whether a model is accepted, held, promoted or retired.
_SECTIONS: Final = ("checks", "permits", "quota", "gates", "promotion", "retention", "pickle")
_PROMOTION: Final = TypeAdapter(tuple[PromotionSection, ...])


class Deciding(NamedTuple):
    """The rules that can be asked again about a registered model. `held_keep` is in seconds."""

    retention: RetentionSection
    promotion: tuple[PromotionSection, ...]
    held_keep: float


def rules_text(config: Config) -> bytes:
    """Return the settings that decide, all of them and in one order: equal rules have equal texts."""
    settings = config.model_dump(mode="json", include={*_SECTIONS, "registry"})
    told = {name: settings[name] for name in _SECTIONS}
    told["registry"] = {"held_keep": settings["registry"]["held_keep"]}
    return orjson.dumps(
        {"format": RULES_FORMAT, **told}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def past_rules(settings: Mapping[str, Any]) -> Deciding | None:
    """Return the rules in a text that was kept, None if this version does not know one of its settings."""
    try:
        return Deciding(
            RetentionSection.model_validate(settings["retention"]),
            _PROMOTION.validate_python(settings["promotion"]),
            float(settings["registry"]["held_keep"]),
        )
    except (ValidationError, KeyError, TypeError, ValueError):
        return None
