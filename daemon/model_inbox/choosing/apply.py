"""Carries out what the rules of `promotion` decide, in every slot that they match.

Owns that a decision holds at the moment of its commit: if anything was committed since it was made, it is made again.
A rule in dry-run mode only logs. What was logged is not logged again while it stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.log import log
from ..config.settings import PromotionSection
from ..model.slot import Slot, slot_of
from ..problems import escaped
from ..registry.entry import EntryFields
from ..registry.position import Position
from ..registry.registry import ModelRegistry
from .promotion import Decision, decide, rules_for

__all__ = ["ACTOR", "Promoter"]

ACTOR = "promotion"
_ATTEMPTS_MAX = 3


class Promoter:
    """Applies rules to one registry."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._logged: dict[tuple[Slot, str], Decision] = {}

    def apply(self, rules: Sequence[PromotionSection]) -> int:
        """Apply the rules to all slots, and return how many aliases moved.

        Of the rules for one alias, the first that matches a slot counts. Raises StorageError and RegistryError.
        """
        if not rules:
            return 0
        at, slots = self._slots()
        moved = 0
        for slot, entries in slots.items():
            for rule in rules_for(slot, rules):
                moved += self._apply(rule, slot, entries, at)
        return moved

    def _apply(self, rule: PromotionSection, slot: Slot, entries: Sequence[EntryFields], at: Position | int) -> bool:
        """Apply a rule to a slot. Return whether the alias moved."""
        for _ in range(_ATTEMPTS_MAX):
            decision = decide(rule, entries)
            if decision is None:
                return False
            if decision.target is None or rule.mode == "dry-run":
                self._log(rule, slot, decision)
                return False
            move = self._registry.promote_by_rule(
                decision.target, rule.alias, reason=decision.reason, actor=ACTOR, at=at
            )
            if move is not None:
                log.info(
                    "entry.promoted",
                    model_id=escaped(move.to_id),
                    alias=rule.alias,
                    **_words(slot),
                    before=escaped(move.from_id) if move.from_id is not None else None,
                    reason=decision.reason,
                )
                return True
            at, slots = self._slots()
            entries = slots.get(slot, ())
        # Other processes write faster than we decide. The next run tries again.
        return False

    def _slots(self) -> tuple[Position | int, Mapping[Slot, list[EntryFields]]]:
        """Return where the registry stands, and its entries by slot."""
        identity, sequence, entries = self._registry.stored_entries()
        slots: dict[Slot, list[EntryFields]] = {}
        for entry in entries:
            slots.setdefault(slot_of(entry), []).append(entry)
        return identity.at(sequence) if identity is not None else sequence, slots

    def _log(self, rule: PromotionSection, slot: Slot, decision: Decision) -> None:
        if self._logged.get((slot, rule.alias)) == decision:
            return
        self._logged[slot, rule.alias] = decision
        if decision.target is None:
            log.warning("promotion.skipped", alias=rule.alias, **_words(slot), problem=decision.reason)
            return
        log.info(
            "promotion.proposed",
            model_id=escaped(decision.target.model_id),
            alias=rule.alias,
            **_words(slot),
            before=escaped(decision.holder.model_id) if decision.holder is not None else None,
            reason=decision.reason,
        )


def _words(slot: Slot) -> dict[str, str | None]:
    return {
        "currency_pair": escaped(slot.currency_pair),
        "model_type": escaped(slot.model_type),
        "variant": slot.variant or None,
    }
