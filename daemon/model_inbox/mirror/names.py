"""What a slot and its aliases are called in MLflow.

Owns the template of a registered model's name, and which aliases MLflow can hold. Pure: no disk, no clock, no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ..model.slot import Slot
from ..problems import quoted

__all__ = ["DEFAULT_TEMPLATE", "alias_fault", "model_name", "owner_tags", "slot_of_tags", "template_fault"]

DEFAULT_TEMPLATE = "{pair}.{type}{.variant}"
"""`USD/EUR` and `lightgbm` become `USD-EUR.lightgbm`; the variant `1d` makes it `USD-EUR.lightgbm.1d`."""

SLOT_TAG = "model_inbox.slot"
REGISTRY_TAG = "model_inbox.registry_id"

# MLflow's databases hold so many characters of a registered model's name.
_NAME_CHARACTERS_MAX = 256
_PLACE = re.compile(r"\{(\.?)(pair|type|variant)\}", re.ASCII)
# What MLflow refuses in a name.
_SEPARATORS = re.compile(r"[/:]")
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_VERSION_ALIAS = re.compile(r"v[0-9]+", re.ASCII | re.IGNORECASE)


def template_fault(template: str) -> str:
    """Return why a template of names cannot be used, as a clause for after a colon. Return "" if it can.

    It has the places `{pair}`, `{type}` and `{variant}`; with a dot, `{.variant}` writes that dot too, and nothing at
    all when the variant is empty. Every place must be there, or two slots would share one registered model.
    """
    found = [name for _, name in _PLACE.findall(template)]
    missing = [name for name in ("pair", "type", "variant") if name not in found]
    if missing:
        return f"it lacks {', '.join('{' + name + '}' for name in missing)}"
    rest = _PLACE.sub("", template)
    if odd := sorted(set(rest) & set("{}/:\0")):
        return f"it contains {', '.join(map(quoted, odd))} outside of {{pair}}, {{type}} and {{variant}}"
    return ""


def model_name(slot: Slot, template: str = DEFAULT_TEMPLATE) -> str:
    """Return the name of the registered model of a slot. Raises ValueError with a sentence if MLflow cannot have it."""
    values = {"pair": slot.currency_pair, "type": slot.model_type, "variant": slot.variant}

    def written(place: re.Match[str]) -> str:
        value = _SEPARATORS.sub("-", values[place[2]])
        return f"{place[1]}{value}" if value else ""

    name = _PLACE.sub(written, template)
    if not name.strip() or name.startswith("..") or name == ".":
        raise ValueError(f"{quoted(name)} is no name for a registered model in MLflow")
    if len(name) > _NAME_CHARACTERS_MAX:
        raise ValueError(f"{quoted(name)} has {len(name)} characters, and MLflow allows {_NAME_CHARACTERS_MAX}")
    return name


def owner_tags(slot: Slot, registry_id: str) -> dict[str, str]:
    """Return the tags of a registered model that say whose it is: the slot and the registry.

    Two slots may come to the same name (`USD/EUR` and `USD-EUR`). Who finds other tags than these leaves that
    registered model alone.
    """
    return {SLOT_TAG: json.dumps(list(slot)), REGISTRY_TAG: registry_id}


def slot_of_tags(tags: Mapping[str, str]) -> Slot | None:
    """Return the slot that the tags of a registered model name; None if they name none."""
    try:
        parts = json.loads(tags[SLOT_TAG])
    except (KeyError, ValueError):
        return None
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) for part in parts):
        return None
    return Slot(*parts)


def alias_fault(alias: str) -> str:
    """Return why MLflow cannot hold an alias, as a clause for after a colon. Return "" if it can.

    Such an alias is left out there. The tag `model_inbox.aliases` names it all the same.
    """
    if alias.lower() == "latest":
        return "MLflow keeps `latest` for itself: it means the newest version"
    if _VERSION_ALIAS.fullmatch(alias):
        return "MLflow keeps `v` with a number for itself: it means the version of that number"
    if not _ALIAS.fullmatch(alias):
        return "MLflow allows letters, digits, underscores and hyphens only"
    return ""
