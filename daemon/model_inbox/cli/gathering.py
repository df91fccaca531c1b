"""The evidence for `model-inbox why`: what files and rules say of a model or a drop.

Owns which files are looked at, and which rules are asked. Searches the journal instead of opening the registry
(`registry.excerpt`), so that the answer comes at once from a large one. Takes no lock, needs no daemon and changes
nothing. What this user may not read is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ..base.disk import exists
from ..base.instants import microseconds_of, parse_stored
from ..base.units import spans
from ..choosing.promotion import rules_for, why_not
from ..config.rules import Deciding, past_rules, rules_text
from ..config.settings import Config
from ..errors import StorageError
from ..inbox.claim_names import claimed_at
from ..inbox.rejected import RejectedDrop, list_rejected
from ..model.file_names import SIDECAR_SUFFIX, scaler_stem, stem_of
from ..model.metadata import is_valid_id
from ..model.receipt import read_receipts
from ..model.slot import Slot, slot_of
from ..problems import problems_in
from ..registry.entry import EntryFields, as_fields, sequence_of
from ..registry.excerpt import Excerpt
from ..registry.files import trash_name
from ..registry.journal import Line, also_changed, named_rules
from ..registry.kept_rules import read_rules
from ..registry.paths import RegistryFiles
from ..registry.state import State
from ..retention.plan import plan
from ..why.evidence import Chance, Evidence, Planned, Refusal, Rules, Waiting

# Imported when there is something to explain: it is a third of the time of most answers.
if TYPE_CHECKING:
    from ..inbox.explain import Explained

__all__ = ["Gatherer", "Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look. `explain` says what names in the inbox wait for; None if there is no inbox here."""

    registry: Path
    storage_dir: Path
    inbox: Path
    explain: Callable[[Sequence[str]], Sequence[Explained]] | None


class Gatherer:
    """Gathers evidence as of `at`, or as of now, when the rules of `config` are in force."""

    def __init__(self, places: Places, config: Config, now: datetime, at: datetime | None = None) -> None:
        self._places = places
        self._files = RegistryFiles(places.registry)
        self._config = config
        self._is_past = at is not None
        self._moment = at if at is not None else now
        self._excerpt = Excerpt(self._files, at)
        # What this user may not read of the rejected drops and of the stored sidecars, in words.
        self._closed = self._closed_sidecars = ""

    def model_of_slot(self, given: str) -> EntryFields | None:
        """Return the entry of the model that `PAIR:TYPE[:VARIANT][@ALIAS]` names, None if it names none."""
        whole, _, alias = given.rpartition("@")
        for text, name in ((given, None), *([(whole, alias)] if whole else [])):
            parts = text.split(":")
            for slot in _slots_of(parts):
                entries = self._of_slot(self._excerpt.entries(slot.currency_pair, slot.model_type), slot)
                if not entries:
                    continue
                if name is None:
                    return _newest(entries, self._moment)
                return next((entry for entry in entries if name in (entry.get("aliases") or ())), None)
        return None

    def of_model(self, model_id: str) -> Evidence:
        """Return what is known of the model with this id."""
        lines = self._excerpt.lines_about(model_id)
        entry = self._entry_after(model_id, lines)
        evidence = self._with_entry(Evidence(model_id, self._moment, tuple(lines), entry))
        drop_id = next((line.drop_id for line in evidence.life if line.operation == "register"), None)
        if entry is not None:
            drop_id = entry.get("drop_id") or drop_id
        evidence = self._with_inbox(evidence, model_id, drop_id)
        if not evidence.is_known and (answer := self._last_answer(model_id)) is not None:
            # The stem of a drop whose model has another id.
            return self.of_drop(answer)
        return evidence

    def of_drop(self, drop_id: str) -> Evidence:
        """Return what is known of a drop, and of the model that it registered."""
        lines = [line for line in self._excerpt.lines_of_drop(drop_id) if line.operation == "register"]
        if not lines:
            found = self._with_inbox(Evidence(None, self._moment), None, drop_id)
            if (found.receipt or {}).get("outcome") == "duplicate" and found.model_id is not None:
                return replace(self.of_model(found.model_id), receipt=found.receipt, refusals=())
            return found
        registered = lines[-1]
        every = self._excerpt.lines_about(registered.model_id)
        entry = self._entry_after(registered.model_id, every)
        if entry is not None and sequence_of(entry) != registered.sequence:
            # The id was used again.
            entry = None
        evidence = Evidence(registered.model_id, self._moment, tuple(every), entry, registration=registered.sequence)
        return self._with_inbox(self._with_entry(evidence), None, drop_id)

    def looked_at(self) -> str:
        """Return where was looked, in words."""
        reached = self._excerpt.reached
        history = f"the history of {str(self._places.registry)!r} up to change {reached}, the stored sidecars"
        history += self._closed_sidecars
        if self._places.explain is None:
            return f"{history}; there is no inbox at {str(self._places.inbox)!r}"
        return f"{history}, the inbox {str(self._places.inbox)!r}, its receipts and its rejected drops{self._closed}"

    # --- the registry -----------------------------------------------------------------------------------------

    def _entry_after(self, model_id: str, lines: Sequence[Line]) -> EntryFields | None:
        """Return the entry of a model after these lines, which are all that change it."""
        for line in reversed(lines):
            if line.model_id == model_id and line.changes_entry:
                return line.entry
            if model_id in also_changed(line):
                return as_fields(also_changed(line)[model_id])
        return self._excerpt.first_entry(model_id)

    def _with_entry(self, evidence: Evidence) -> Evidence:
        """Add what depends on the entry: those beside it, or what is left of a retired model."""
        entry, model_id = evidence.entry, str(evidence.model_id)
        evidence = replace(evidence, missing=spans(self._excerpt.missing()), is_past=self._is_past)
        evidence = replace(evidence, kept=self._kept(named_rules(evidence.life)))
        settings = self._settings()
        deciding = past_rules(settings) if settings is not None else None
        if entry is None:
            removed = [line.removed for line in evidence.life if line.removed is not None]
            name = trash_name(model_id, sequence_of(removed[-1]) if removed else 0)
            in_trash = self._is_there(self._files.path.parent / ".trash" / name) if removed else False
            rules = _rules(deciding) if deciding is not None else None
            return replace(evidence, rules=rules, in_trash=in_trash, sidecar=self._sidecar_of(model_id))
        slot = slot_of(entry)
        group = self._group(slot, deciding)
        entries = self._of_slot(group, slot)
        rules = self._rules_for(deciding, entry, entries, group) if deciding is not None else None
        return replace(
            evidence,
            rules=replace(rules, settings=settings or {}) if rules is not None else None,
            slot=str(slot),
            models=len(entries),
            newest=_newest(entries, self._moment),
            aliases=frozenset(str(alias) for one in entries for alias in one.get("aliases") or ()),
        )

    def _rules_for(
        self, deciding: Deciding, entry: EntryFields, entries: Sequence[EntryFields], group: Mapping[str, EntryFields]
    ) -> Rules:
        """Return what the rules say of the model with this entry, beside the entries of its slot and of its group."""
        counting = rules_for(slot_of(entry), deciding.promotion)
        chances = {rule.alias: Chance(*why_not(rule, entry, entries)) for rule in counting}
        rules = replace(_rules(deciding), chances=chances)
        if rules.mode == "off" or entry.get("held"):
            return rules
        made = plan(group.values(), deciding.retention, now=self._moment)
        kept = next((one for one in made.keep if one.model_id == entry["model_id"]), None)
        if kept is not None:
            return replace(rules, planned=Planned(kept.reasons))
        due = next((one for one in made.retire if one.model_id == entry["model_id"]), None)
        if due is None:
            return rules
        return replace(rules, planned=Planned(due.reasons, is_kept=False, is_stopped=due not in made.allowed()))

    def _group(self, slot: Slot, deciding: Deciding | None) -> dict[str, EntryFields]:
        """Return the entries of a slot, and all that the rules of retention compare with them."""
        retention = deciding.retention if deciding is not None and deciding.retention.policies else None
        keys = retention.group_by if retention is not None else ("currency_pair", "model_type")
        pair = slot.currency_pair if "currency_pair" in keys else None
        return self._excerpt.entries(pair, slot.model_type if "model_type" in keys else None)

    @staticmethod
    def _of_slot(entries: Mapping[str, EntryFields], slot: Slot) -> list[EntryFields]:
        return [entry for entry in entries.values() if slot_of(entry) == slot]

    def _sidecar_of(self, model_id: str) -> str:
        if self._is_past or not is_valid_id(model_id):
            return ""
        path = self._places.storage_dir / f"{model_id}.yaml"
        is_there = self._is_there(path)
        if is_there is None:
            self._closed_sidecars = " (which this user may not read)"
        return str(path) if is_there else ""

    @staticmethod
    def _is_there(path: Path) -> bool | None:
        """Return whether a path exists, None if this user may not look."""
        with suppress(StorageError):
            return exists(path)
        return None

    # --- the rules --------------------------------------------------------------------------------------------

    def _settings(self) -> Mapping[str, Any] | None:
        """Return the settings of the rules in force: of config.yaml, or those that decided last before a past time."""
        if not self._is_past:
            settings: Mapping[str, Any] = orjson.loads(rules_text(self._config))
            return settings
        digest = self._excerpt.last_rules()
        return self._kept([digest]).get(digest) if digest is not None else None

    def _kept(self, digests: Iterable[str]) -> dict[str, Mapping[str, Any] | None]:
        """Return the settings of rules by their digests: None if they are not kept, without those that are closed."""
        kept: dict[str, Mapping[str, Any] | None] = {}
        for digest in digests:
            with suppress(StorageError):
                kept[digest] = _settings_in(read_rules(self._files, digest))
        return kept

    # --- the inbox --------------------------------------------------------------------------------------------

    def _with_inbox(self, evidence: Evidence, model_id: str | None, drop_id: str | None) -> Evidence:
        """Add the receipt, the rejected drops and the files in the inbox."""
        if self._places.explain is None:
            return evidence
        refused = self._refused(model_id, drop_id)
        receipt = self._receipt(model_id, drop_id)
        if evidence.model_id is None:
            answers = [drop.reason for drop in refused[-1:]] + ([receipt] if receipt is not None else [])
            named = next((answer.get("model_id") for answer in answers), None)
            evidence = replace(evidence, model_id=named if isinstance(named, str) else None)
        refusals = tuple(map(_refusal, refused))
        kept = self._kept(one.rules for one in refusals if one.rules is not None)
        evidence = replace(evidence, refusals=refusals, receipt=receipt, kept={**evidence.kept, **kept})
        stem = model_id or _stem_of(drop_id)
        if self._is_past or (drop_id is not None and evidence.is_known and model_id is None):
            return evidence
        return replace(evidence, waiting=self._waiting(stem, even_if_absent=not evidence.is_known))

    def _refused(self, model_id: str | None, drop_id: str | None) -> list[RejectedDrop]:
        """Return the rejected drops of a model, or the one with that id; oldest first."""
        try:
            every = list_rejected(self._places.inbox / "rejected")
        except StorageError:
            self._closed = " (which this user may not read)"
            return []
        if closed := sum(drop.is_closed for drop in every):
            self._closed = f" ({closed} of other users are closed to this user)"
        return [drop for drop in every if self._is_meant(drop, model_id, drop_id)]

    def _is_meant(self, drop: RejectedDrop, model_id: str | None, drop_id: str | None) -> bool:
        at = claimed_at(drop.drop_id)
        names = (drop.reason.get("model_id"), drop.reason.get("stem"))
        is_named = drop.drop_id == drop_id or (model_id is not None and model_id in names)
        return is_named and at is not None and self._is_told(at)

    def _receipt(self, model_id: str | None, drop_id: str | None) -> Mapping[str, Any] | None:
        """Return the answer to a drop; where no drop is known, the one that names the model."""
        for stem in dict.fromkeys((_stem_of(drop_id), model_id or "")):
            if not is_valid_id(stem):
                continue
            with suppress(OSError):
                for receipt in read_receipts(self._places.inbox / "receipts", stem):
                    name, wanted = ("model_id", model_id) if drop_id is None else ("drop_id", drop_id)
                    if receipt.get(name) == wanted and self._is_told(parse_stored(receipt.get("at"))):
                        return receipt
        return None

    def _is_told(self, at: datetime | None) -> bool:
        """Return whether an answer counts: one that came later than the time that is asked for was not there."""
        return not self._is_past or (at is not None and at <= self._moment)

    def _last_answer(self, stem: str) -> str | None:
        """Return the drop of a stem that was answered last, None if none was."""
        drops: list[str] = []
        if self._places.explain is not None and is_valid_id(stem):
            with suppress(OSError):
                receipts = read_receipts(self._places.inbox / "receipts", stem)
                drops = [str(one.get("drop_id")) for one in receipts if self._is_told(parse_stored(one.get("at")))]
        return max(drops, default=None)

    def _waiting(self, stem: str, *, even_if_absent: bool) -> tuple[Waiting, ...]:
        """Return what the files of a stem in the inbox wait for.

        With `even_if_absent` a drop is found, too, that the daemon has in its hands.
        """
        try:
            every = sorted(os.listdir(self._places.inbox))
        except OSError:
            every = []
        names = [name for name in every if stem in (name, stem_of(name), scaler_stem(name))]
        if not names and even_if_absent and is_valid_id(stem):
            names = [f"{stem}{SIDECAR_SUFFIX}"]
        if not names or self._places.explain is None:
            return ()
        try:
            explained = self._places.explain(names)
        except StorageError:
            return ()
        return tuple(
            Waiting(one.name, one.words, one.problems, one.until, one.then)
            for one in explained
            if one.belongs_to is None and one.state != "gone"
        )


def _rules(deciding: Deciding) -> Rules:
    retention = deciding.retention
    mode = retention.mode if retention.policies else "off"
    return Rules(mode, retention.trash_grace.seconds, deciding.held_keep)


def _settings_in(text: bytes | None) -> Mapping[str, Any] | None:
    """Return the settings in the kept text of rules, None without one."""
    with suppress(ValueError):
        settings = orjson.loads(text or b"")
        return settings if isinstance(settings, dict) else None
    return None


def _newest(entries: Sequence[EntryFields], moment: datetime) -> EntryFields | None:
    """Return the newest of the entries of a slot, as the registry does."""
    state = State("", {str(entry["model_id"]): entry for entry in entries}, 0)
    found = state.newest(slot_of(entries[0]), microseconds_of(moment), calibrated=False) if entries else None
    return state.entry(str(found["model_id"])) if found is not None else None


def _refusal(drop: RejectedDrop) -> Refusal:
    at = parse_stored(drop.reason.get("at")) or claimed_at(drop.drop_id)
    rules = drop.reason.get("rules")
    is_digest = isinstance(rules, str) and re.fullmatch(r"[0-9a-f]{64}", rules) is not None
    return Refusal(drop.drop_id, at, problems_in(drop.reason.get("problems")), rules if is_digest else None)


def _stem_of(drop_id: str | None) -> str:
    """Return the stem in a drop_id, of which the first 64 characters are there."""
    return drop_id.split("-", 2)[2] if drop_id is not None and drop_id.count("-") >= 2 else ""


def _slots_of(parts: Sequence[str]) -> list[Slot]:
    """Return the slots that a text may mean which has these parts between its colons. A pair may have colons, too."""
    return [
        Slot(":".join(parts[:at]), ":".join(parts[at:end]), ":".join(parts[end:]))
        for at in range(1, len(parts))
        for end in range(at + 1, len(parts) + 1)
    ]
