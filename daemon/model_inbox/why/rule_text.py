"""The text of the rules that decided, for a sentence.

Owns which part of the kept rules is shown where, and how settings are written in one line. `config.rules` has the form
of the kept text. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..problems import quoted
from ..registry.journal import Line, rules_of
from .evidence import Evidence, text_of_person

__all__ = ["alias_rules", "gate_rules", "retention_rules", "rules_of_line", "text_of_rules"]

_DIGITS = 12


def rules_of_line(evidence: Evidence, line: Line, part: str, names: Collection[str] = ()) -> str:
    """Return a sentence with a part of the rules that decided a line; see `text_of_rules`."""
    return text_of_rules(evidence, rules_of(line), part, names)


def text_of_rules(evidence: Evidence, digest: str | None, part: str, names: Collection[str] = ()) -> str:
    """Return a sentence with a part of rules: `gates`, `refused`, `promotion` or `retention`.

    `names` are the gates or the aliases that are meant, or for `refused` the messages about gates and checks. It
    says if nothing is known.
    """
    if digest is None:
        return "Which rules counted that day is unknown: they are not named."
    if digest not in evidence.kept:
        return f"The rules of that day are closed to this user (digest {digest[:_DIGITS]})."
    settings = evidence.kept[digest]
    if settings is None:
        return f"The rules of that day are not kept (digest {digest[:_DIGITS]})."
    tell = {"gates": gate_rules, "refused": _refusing, "promotion": alias_rules}.get(part, _retention)
    return f"The rules of that day ({digest[:_DIGITS]}): {tell(settings, names)}."


def _refusing(settings: Mapping[str, Any], messages: Collection[str]) -> str:
    """Return the gates that messages name; the checks if none does."""
    known = {str(gate.get("name")) for gate in _list(settings.get("gates"))}
    names = {name for name in known for message in messages if message.startswith(f"gate {quoted(name)}: ")}
    return gate_rules(settings, names) if names else f"checks: {_shown(settings.get('checks'))}"


def gate_rules(settings: Mapping[str, Any], names: Collection[str]) -> str:
    """Return the gates with these names; the checks if there are none."""
    gates = [gate for gate in _list(settings.get("gates")) if gate.get("name") in names]
    return f"gates: {_shown(gates)}" if gates else f"checks: {_shown(settings.get('checks'))}, no gate for this slot"


def alias_rules(settings: Mapping[str, Any], names: Collection[str]) -> str:
    """Return the rules of promotion for these aliases."""
    rules = [rule for rule in _list(settings.get("promotion")) if rule.get("alias") in names]
    return f"promotion: {_shown(rules)}"


def retention_rules(settings: Mapping[str, Any]) -> str:
    """Return what is kept by which policy."""
    retention = settings.get("retention")
    policies = retention.get("policies") if isinstance(retention, Mapping) else None
    return f"retention.policies: {_shown(policies)}"


def _retention(settings: Mapping[str, Any], names: Collection[str]) -> str:
    if "held_keep" in names:
        return f"registry: {_shown(settings.get('registry'))} (in seconds)"
    return retention_rules(settings)


def _list(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, Sequence) else []


def _shown(value: object) -> str:
    return text_of_person(_written(value))


def _written(value: object) -> str:
    """Return settings as YAML writes them in one line, without those that say nothing."""
    if isinstance(value, Mapping):
        told = [f"{name}: {_written(one)}" for name, one in value.items() if not _says_nothing(one)]
        return f"{{{', '.join(told)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "null" if value is None else str(value)


def _says_nothing(value: object) -> bool:
    """Return whether a setting is the same as one that is not there: a rule that is 0, a match of anything."""
    if isinstance(value, Mapping):
        return all(map(_says_nothing, value.values()))
    return value is None or value == [] or (value == 0 and not isinstance(value, bool))
