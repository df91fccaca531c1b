"""Reads everything that the overview says, from the registry, the inbox and the status of the daemon.

Owns the reading alone: what it means is worked out in `slots`, `decisions` and `attention`. Changes nothing, creates
nothing, and locks nothing. A part that cannot be read is named in the facts, and costs no other part.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..base.collector import collector_paused
from ..base.disk import read_regular
from ..base.file_systems import is_network_file_system
from ..base.instants import parse_stored
from ..config.metric_orders import order_of_metrics
from ..config.settings import Config
from ..inbox.claim_names import claimed_at
from ..inbox.explain import Explained, look_over
from ..inbox.folder import limits_of
from ..inbox.rejected import RejectedDrop, newest_rejected
from ..model.file_names import SIDECAR
from ..model.metadata import fields_of
from ..model.owner import owner_in_words
from ..model.receipt import read_newest_receipts
from ..model.sidecar import parse_sidecar
from ..model.slot import Slot, slot_of
from ..problems import Problem, problems_in
from ..registry.changes import change_of
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line
from ..registry.outcomes import Retired
from ..registry.paths import RegistryFiles
from ..registry.registry import ModelRegistry
from ..registry.segments import lines_of_operations, newest_lines
from ..retention.forecast import Expected, expected
from ..retention.outcomes import RetentionPlan, ToKeep, ToRetire
from ..retention.plan import plan
from ..telemetry.health import Daemon, assess, find_daemon, state_of
from ..telemetry.status_file import disk_left
from .attention import needs
from .decisions import OPERATIONS, by_slot
from .facts import (
    ANY,
    Change,
    Choice,
    DiskUse,
    Drop,
    Overview,
    Rejected,
    Retention,
    SlotBytes,
    SlotFacts,
    Taken,
    Trashed,
    Waiting,
)
from .partial import Parts
from .slots import Asked, groups_of, room_for, size_of, slot_facts

__all__ = ["gather"]

HISTORY_LINES = 40
DROPS = 20
REJECTED = 20
WAITING = 40
TRASHED = 24
KEPT = 8
DAYS = 14
FORESEEN_MAX = 20_000


def gather(
    registry: ModelRegistry,
    config: Config,
    now: datetime,
    choice: Choice = ANY,
    *,
    version: str = "",
) -> Overview:
    """Return all that the overview says. Raises what reading the registry raises; other parts are named in `unread`.

    `version` is that of this package.
    """
    with collector_paused():
        return _Gathering(registry, config, now, choice, version).overview()


@dataclass
class _Gathering:
    """The reading for one page."""

    registry: ModelRegistry
    config: Config
    now: datetime
    choice: Choice
    version: str
    parts: Parts = field(default_factory=Parts)

    def overview(self) -> Overview:
        identity, sequence, stored = self.registry.stored_entries()
        groups = groups_of(stored, self.choice)
        # Without rules nothing goes, and it need not be worked out for each model.
        section = self.config.retention
        made = plan(stored, section, now=self.now) if section.policies else RetentionPlan((), (), 0)
        daemon = self.parts.read("the status of the daemon", self._find_daemon)
        waiting, waiting_total = self.parts.read("the inbox", lambda: self._waiting(daemon)) or ((), 0)
        drops, drops_total = self.parts.read("the receipts", self._drops) or ((), 0)
        rejections, rejected_total = self.parts.read("the rejected drops", self._rejections) or ([], 0)
        rejected = tuple(drop for drop, _ in rejections)
        lines = self.parts.read("the decisions in the history", self._decision_lines) or {}
        retired = self.parts.read("the trash", self.registry.retired) or []
        former = {one.model_id: one.entry for one in retired}
        retention = self._retention(made, daemon, stored)
        slots = self._slots(groups, lines, rejections, former, retention.by_slot)
        trash = self._trash(retired)
        history = self.parts.read("the history", self._history) or ()
        slot_bytes = _slot_bytes(groups, trash)
        disks = self._disks(slot_bytes)
        problems = self._problems(daemon)
        breakers = [problem for _, problem in made.breakers]
        return Overview(
            host=socket.gethostname(),
            version=self.version,
            at=self.now,
            position=str(identity.at(sequence)) if identity is not None else str(sequence),
            registry_path=self.registry.registry_path,
            choice=self.choice,
            daemon=state_of(daemon.document, daemon.holding) if daemon is not None else "unknown",
            attention=needs(problems, rejected, waiting, slots, breakers, made.warnings, _held(groups)),
            slots=slots,
            slots_total=len(groups),
            models_total=sum(map(len, groups.values())),
            drops=drops,
            drops_total=drops_total,
            waiting=waiting,
            waiting_total=waiting_total,
            rejected=rejected,
            rejected_total=rejected_total,
            retention=retention,
            trash=tuple(trash[:TRASHED]),
            trash_total=len(trash),
            trash_bytes=sum(one.bytes for one in trash),
            disks=disks,
            slot_bytes=slot_bytes,
            history=history,
            history_total=sequence,
            unread=tuple(self.parts.unread),
        )

    # --- the daemon and its folders -----------------------------------------------------------------------------------

    def _find_daemon(self) -> Daemon:
        return find_daemon(self.config.registry.path, self.config.inbox.path)

    def _problems(self, daemon: Daemon | None) -> list[Problem]:
        found = []
        if daemon is not None:
            found = assess(daemon.document, daemon.holding, self.now, disks=self._left())
        if (problem := self.registry.problem) is not None:
            found.append(problem.as_problem())
        return found

    def _left(self) -> list[dict[str, Any]]:
        folders = (("inbox", self.config.inbox.path), ("models", self.config.registry.path.parent))
        return [disk for name, path in folders if (disk := disk_left(name, path)) is not None]

    def _waiting(self, daemon: Daemon | None) -> tuple[tuple[Waiting, ...], int]:
        section = self.config.inbox
        polling = section.watcher == "polling"
        if section.watcher == "auto":
            with contextlib.suppress(OSError):
                polling = is_network_file_system(section.path)
        status = daemon.document if daemon is not None and daemon.wrote_document else None
        found = look_over(section.path, limits_of(section, polling=polling), lambda: self.now, status=status)
        shown = [one for one in found if one.state not in ("ignored", "ours")]
        return tuple(map(_waiting, shown[:WAITING])), len(shown)

    def _drops(self) -> tuple[tuple[Drop, ...], int]:
        try:
            receipts, total = read_newest_receipts(self.config.inbox.path / "receipts", DROPS)
        except FileNotFoundError:
            # No daemon has run here yet.
            return (), 0
        return tuple(drop for receipt in receipts if self._is_since((drop := _drop(receipt)).at)), total

    def _rejections(self) -> tuple[list[tuple[Rejected, Mapping[str, Any]]], int]:
        found, total = newest_rejected(self.config.inbox.path / "rejected", REJECTED)
        rejections = [self._rejection(drop) for drop in found if not drop.is_closed]
        chosen = [
            (drop, fields)
            for drop, fields in rejections
            if self._is_since(drop.at) and (drop.slot is None or self.choice.matches(drop.slot))
        ]
        return chosen, total

    def _rejection(self, found: RejectedDrop) -> tuple[Rejected, Mapping[str, Any]]:
        reason = found.reason
        at = parse_stored(reason.get("at")) or claimed_at(found.drop_id)
        fields = self._sidecar_of(found)
        stem, model_id = str(reason.get("stem") or found.drop_id), reason.get("model_id")
        named = model_id if isinstance(model_id, str) else None
        later = self.registry.get_model_info(named or stem)
        registered = parse_stored(later.get("registered_at")) if later is not None else None
        drop = Rejected(
            drop_id=found.drop_id,
            stem=stem,
            model_id=named,
            at=at,
            owner=owner_in_words(reason.get("owner")) or "",
            slot=slot_of(fields) if fields else None,
            problems=problems_in(reason.get("problems")),
            kept_until=at + timedelta(seconds=self.config.inbox.rejected_keep) if at is not None else None,
            is_answered=at is not None and registered is not None and registered > at,
        )
        return drop, fields

    def _sidecar_of(self, found: RejectedDrop) -> dict[str, Any]:
        """Return what the sidecar of a rejected drop says, {} if it cannot be read or has problems of its own."""
        limit = self.config.inbox.max_sidecar_size
        name = next((name for name in found.files if SIDECAR.fullmatch(name)), None)
        if name is None:
            return {}
        try:
            data = read_regular(found.folder / name, limit)
        except OSError:
            return {}
        read = parse_sidecar(data, stem=Path(name).stem, now=self.now, name=name, bytes_max=limit)
        return dict(fields_of(read.metadata)) if read.metadata is not None else {}

    # --- the registry -------------------------------------------------------------------------------------------------

    def _files(self) -> RegistryFiles:
        return RegistryFiles(Path(self.registry.registry_path))

    def _decision_lines(self) -> dict[Slot, list[Line]]:
        files = self._files()
        return by_slot(lines_of_operations(files.journal, files.history, OPERATIONS))

    def _slots(
        self,
        groups: Mapping[Slot, Sequence[EntryFields]],
        lines: Mapping[Slot, Sequence[Line]],
        rejections: Sequence[tuple[Rejected, Mapping[str, Any]]],
        former: Mapping[str, EntryFields],
        going: Mapping[Slot, int],
    ) -> tuple[SlotFacts, ...]:
        room = room_for(len(groups), sum(map(len, groups.values())))
        by_slots: dict[Slot | None, list[tuple[Rejected, Mapping[str, Any]]]] = {}
        for drop, fields in rejections:
            by_slots.setdefault(drop.slot, []).append((drop, fields))
        # Those whose models came last are shown, in the order of their names.
        by_age = sorted(groups, key=lambda slot: max(map(sequence_of, groups[slot])), reverse=True)
        shown, charted = set(by_age[: room.slots]), set(by_age[: room.charted])
        return tuple(
            slot_facts(
                slot,
                entries,
                lines.get(slot, ()),
                by_slots.get(slot, ()),
                self._asked(slot),
                room if slot in charted else room.only_listed(),
                self.now,
                former=former,
                taken=going.get(slot, 0),
            )
            for slot, entries in groups.items()
            if slot in shown
        )

    def _asked(self, slot: Slot) -> Asked:
        compared = (rule.when.metric for rule in self.config.promotion if rule.match.matches(slot))
        gates = tuple(gate for gate in self.config.gates if gate.match.matches(slot))
        return Asked(gates, tuple(compared), order_of_metrics(self.config, slot))

    def _retention(self, made: RetentionPlan, daemon: Daemon | None, stored: Sequence[EntryFields]) -> Retention:
        status = (daemon.document or {}) if daemon is not None and daemon.wrote_document else {}
        said = status.get("retention") or {}
        next_run = parse_stored(said.get("next_run_at")) if isinstance(said, Mapping) else None
        at = next_run or self.now
        entries = {str(entry["model_id"]): entry for entry in stored}
        allowed = made.allowed()
        taken = [
            *(_taken(one, entries[one.model_id], at) for one in allowed),
            *(_taken(one, entries[one.model_id], one.at, is_expected=True) for one in self._expected(stored)),
            *self._held_too_long(stored),
        ]
        taken = sorted((one for one in taken if self.choice.matches(one.slot)), key=lambda one: one.at)
        keep: Iterable[ToKeep] = made.keep
        if self.choice.is_of_slots:
            keep = (one for one in keep if self.choice.matches(slot_of(entries[one.model_id])))
        kept = Counter[str]()
        for reason, count in Counter(one.reasons[0] for one in keep).items():
            kept[_rule(reason)] += count
        return Retention(
            mode=self.config.retention.mode,
            next_run=next_run,
            taken=tuple(taken),
            taken_bytes=sum(one.bytes for one in taken),
            by_slot=Counter(one.slot for one in taken),
            stopped=len(made.retire) - len(allowed),
            kept=tuple(kept.most_common(KEPT)),
            kept_total=sum(kept.values()),
        )

    def _expected(self, stored: Sequence[EntryFields]) -> list[Expected]:
        """Return what goes in the next days. Of a large registry the days are known less exactly: each costs a plan."""
        if self.config.retention.mode == "off" or len(stored) > FORESEEN_MAX:
            return []
        steps = max(1, min(DAYS, FORESEEN_MAX // max(len(stored), 1)))
        return expected(stored, self.config.retention, self.now, days=DAYS, steps=steps)

    def _held_too_long(self, stored: Sequence[EntryFields]) -> list[Taken]:
        """Return the models that are held and go in the next days, because they have been held for long."""
        keep = timedelta(seconds=self.config.registry.held_keep)
        found = []
        for entry in stored:
            since = parse_stored(entry.get("held_since")) if entry.get("held") and not entry.get("pinned") else None
            if since is not None and since + keep <= self.now + timedelta(days=DAYS):
                at, why = max(since + keep, self.now), "held for registry.held_keep"
                found.append(Taken(str(entry["model_id"]), slot_of(entry), at, why, size_of(entry)))
        return found

    def _trash(self, retired: Sequence[Retired]) -> list[Trashed]:
        grace = timedelta(seconds=self.config.retention.trash_grace.seconds)
        found = [self._trashed(one, grace) for one in retired]
        return sorted((one for one in found if self.choice.matches(one.slot)), key=lambda one: one.until)

    def _trashed(self, found: Retired, grace: timedelta) -> Trashed:
        return Trashed(
            found.model_id,
            slot_of(found.entry),
            found.at,
            found.at + grace,
            found.actor,
            found.reason,
            size_of(found.entry),
        )

    def _history(self) -> tuple[Change, ...]:
        files = self._files()
        lines = newest_lines(files.journal, files.history, HISTORY_LINES)
        return tuple(_change(line) for line in lines if self._is_since(line.at) and self._is_chosen(line))

    def _is_chosen(self, line: Line) -> bool:
        entry = line.entry or line.removed
        return entry is None or self.choice.matches(slot_of(entry))

    def _is_since(self, at: datetime | None) -> bool:
        return self.choice.since is None or at is None or at >= self.choice.since

    def _disks(self, slot_bytes: Sequence[SlotBytes]) -> tuple[DiskUse, ...]:
        left = {disk["folder"]: disk for disk in self._left()}
        disk = left.get("models") or {}
        registry = Path(self.registry.registry_path)
        free, size = disk.get("free_bytes"), disk.get("size_bytes")
        return (
            DiskUse("Registered models", sum(one.bytes for one in slot_bytes), str(registry.parent), free, size),
            DiskUse("Trash", sum(one.trash for one in slot_bytes), str(registry.parent), free, size),
            DiskUse("Registry and its history", _bytes_of(self._files()), str(registry.parent), free, size),
        )


def _bytes_of(files: RegistryFiles) -> int:
    paths = [files.path, files.journal]
    with contextlib.suppress(OSError):
        paths += list(files.history.iterdir())
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _rule(reason: str) -> str:
    """Return the rule in a reason to keep a model, without what is different for each model: last 3/10 is last 10."""
    return re.sub(r" [0-9]+/([0-9]+)", r" \1", reason.partition(":")[0], count=1)


def _slot_bytes(groups: Mapping[Slot, Sequence[EntryFields]], trash: Sequence[Trashed]) -> tuple[SlotBytes, ...]:
    """Return what each slot takes, the largest first."""
    in_trash: Counter[Slot] = Counter()
    for one in trash:
        in_trash[one.slot] += one.bytes
    found = [
        SlotBytes(slot, sum(map(size_of, groups.get(slot, ()))), len(groups.get(slot, ())), in_trash[slot])
        for slot in {*groups, *in_trash}
    ]
    return tuple(sorted(found, key=lambda one: (-one.bytes - one.trash, one.slot)))


def _taken(one: ToRetire | Expected, entry: EntryFields, at: datetime, *, is_expected: bool = False) -> Taken:
    return Taken(one.model_id, slot_of(entry), at, "; ".join(one.reasons), one.bytes, is_expected)


def _held(groups: Mapping[Slot, Sequence[EntryFields]]) -> list[tuple[str, str]]:
    """Return the models that are held, with why, the latest first."""
    held = [entry for entries in groups.values() for entry in entries if entry.get("held")]
    held.sort(key=lambda entry: str(entry.get("held_since") or ""), reverse=True)
    return [(str(entry["model_id"]), str(entry["held"])) for entry in held]


def _waiting(one: Explained) -> Waiting:
    return Waiting(one.name, one.owner or "", one.state, one.words, one.since, one.until, one.then, one.problems)


def _drop(receipt: Mapping[str, Any]) -> Drop:
    drop_id, at = str(receipt.get("drop_id")), parse_stored(receipt.get("at"))
    claimed, model_id = claimed_at(drop_id), receipt.get("model_id")
    return Drop(
        drop_id=drop_id,
        stem=str(receipt.get("stem")),
        model_id=model_id if isinstance(model_id, str) else None,
        outcome=str(receipt.get("outcome")),
        at=at,
        owner=owner_in_words(receipt.get("owner")) or "",
        seconds=(at - claimed).total_seconds() if at is not None and claimed is not None else None,
        problems=problems_in(receipt.get("problems")),
        notes=problems_in(receipt.get("notes")),
    )


def _change(line: Line) -> Change:
    what, why = change_of(line, None)
    return Change(line.sequence, line.at, what, line.model_id, line.actor, why)
