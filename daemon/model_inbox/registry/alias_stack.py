"""Who holds an alias in a slot and who held it before: a stack. A promotion pushes to it, and a rollback pops from it.

Owns how the stack is read from the entries of a slot, and which entries a move changes. The holder's entry has the
stack (`promotions`), so that a checkpoint, the base files of the history and `as_of` have it, too. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from .entry import EntryFields, ModelReference, Promotion, as_fields, barred_of, sequence_of

__all__ = ["FORMER_MAX", "Stack", "Target", "give", "promotion_of", "read_stack", "release", "take", "target_of"]

FORMER_MAX = 100
"""How many former holders of an alias are remembered. They are in the holder's entry, which each move writes."""


class Target(NamedTuple):
    """A model that held an alias: its id and the number of its registration. An id can be used again."""

    model_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The holder of an alias, and those before it, the latest last.

    `keepers` are the models that lost the alias without a successor (it was removed) and whose entries still have the
    stack; the latest of them is then the last of `former`. A move takes the stack from them.
    """

    holder: Target | None = None
    former: tuple[Target, ...] = ()
    keepers: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[Target, ...]:
        """All of them, the holder last."""
        return self.former if self.holder is None else (*self.former, self.holder)

    def below(self, target: Target) -> tuple[Target, ...]:
        """Return who held it before `target`, when that becomes the holder by a promotion."""
        models = self.models
        while models and models[-1] == target:
            models = models[:-1]
        return models


def read_stack(entries: Iterable[EntryFields], alias: str) -> Stack:
    """Return the stack of an alias from the entries of one slot.

    An entry that has the alias and no record of it was given it by an earlier version.
    """
    holder: EntryFields | None = None
    keepers: list[EntryFields] = []
    for entry in entries:
        if alias in (entry.get("aliases") or ()):
            holder = entry
        elif promotion_of(entry, alias) is not None:
            keepers.append(entry)
    keepers.sort(key=lambda entry: entry["promotions"][alias]["line"])
    former: tuple[Target, ...] = ()
    if holder is not None and (promotion := promotion_of(holder, alias)) is not None:
        former = _former_in(promotion)
    elif keepers:
        former = (*_former_in(keepers[-1]["promotions"][alias]), target_of(keepers[-1]))
    return Stack(
        target_of(holder) if holder is not None else None,
        former,
        tuple(str(entry["model_id"]) for entry in keepers),
    )


def promotion_of(entry: Mapping[str, Any], alias: str) -> Promotion | None:
    """Return the record of how a model came to an alias, or None.

    An entry that was adopted from another program may have anything under this name.
    """
    promotions = entry.get("promotions")
    found = promotions.get(alias) if isinstance(promotions, dict) else None
    is_ours = isinstance(found, dict) and found.keys() >= Promotion.__annotations__.keys()
    return cast("Promotion", found) if is_ours else None


def target_of(entry: EntryFields) -> Target:
    """Return what names the model of an entry for all time."""
    return Target(str(entry["model_id"]), sequence_of(entry))


def give(
    entry: EntryFields, alias: str, former: Sequence[Target], *, line: int, actor: str, reason: str, by_rule: bool
) -> EntryFields:
    """Return the entry of a model that gets the alias by journal line `line`, which adds its time.

    A move by hand ends the bar that a rollback put on it.
    """
    promotion: Promotion = {
        "at": None,
        "actor": actor,
        "reason": reason,
        "line": line,
        "former": [ModelReference(model_id=one.model_id, sequence=one.sequence) for one in former[-FORMER_MAX:]],
    }
    barred = [name for name in barred_of(entry) if by_rule or name != alias]
    return _with(
        entry,
        aliases=sorted({*(entry.get("aliases") or ()), alias}),
        promotions={**_promotions(entry), alias: promotion},
        barred=barred,
    )


def take(entry: EntryFields, alias: str, *, bar: bool) -> EntryFields:
    """Return the entry of a model that no longer has the alias, nor its stack. With `bar` no rule gives it back."""
    return _with(
        entry,
        aliases=[name for name in entry.get("aliases") or () if name != alias],
        promotions={name: one for name, one in _promotions(entry).items() if name != alias},
        barred=sorted({*barred_of(entry), *([alias] if bar else ())}),
    )


def release(entry: EntryFields, alias: str, former: Sequence[Target]) -> EntryFields:
    """Return the entry of a model whose alias is removed, and which keeps the stack until the next one gets it."""
    promotions = _promotions(entry)
    if alias not in promotions:
        kept = [ModelReference(model_id=one.model_id, sequence=one.sequence) for one in former[-FORMER_MAX:]]
        promotions[alias] = {"at": None, "actor": "", "reason": "", "line": 0, "former": kept}
    aliases = [name for name in entry.get("aliases") or () if name != alias]
    return _with(entry, aliases=aliases, promotions=promotions, barred=barred_of(entry))


def _former_in(promotion: Promotion) -> tuple[Target, ...]:
    return tuple(Target(one["model_id"], one["sequence"]) for one in promotion["former"])


def _promotions(entry: EntryFields) -> dict[str, Promotion]:
    said = entry.get("promotions")
    return {alias: one for alias in said if (one := promotion_of(entry, alias)) is not None} if said else {}


def _with(
    entry: EntryFields, *, aliases: list[str], promotions: Mapping[str, Promotion], barred: list[str]
) -> EntryFields:
    """Return a copy with these fields. An entry has the last two only where they say something."""
    rest = {name: value for name, value in entry.items() if name not in ("promotions", "barred")}
    if promotions:
        rest["promotions"] = dict(promotions)
    if barred:
        rest["barred"] = barred
    return as_fields({**rest, "aliases": aliases})
