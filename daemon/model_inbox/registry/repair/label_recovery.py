"""The labels that a rebuild takes from labels files, where the journal and the JSON file do not tell of them any more.

Owns which files count: those of the same bytes in the same registry, written after what the lines tell of the model. Of
two that claim one alias, the newer by its line counts. Reads the files; never changes anything.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import RegistryCorrupted, RegistryTooNew
from ...model.slot import Slot, slot_of
from ...problems import quoted
from ..entry import EntryFields, changed_entry
from ..files import LABELS_SUFFIX, Storage
from ..journal import Operation, also_changed
from ..label_files import read_labels
from ..label_format import Labelled, Setting
from ..position import Identity
from .evidence import Evidence

__all__ = ["LabelEvidence", "LabelLine", "Recovered", "in_words", "recover", "told_until"]

_Group = tuple[Slot, str]
REASON = "rebuild: from its labels file"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A model and what its labels file gave back: `alias NAME`, `pinned`, `tags`, `recorded`, in words."""

    model_id: str
    labels: tuple[str, ...]


class LabelLine(NamedTuple):
    """A line that tells of a label which was recovered."""

    operation: Operation
    model_id: str
    reason: str
    entry: EntryFields
    detail: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """The labels files that are beside the stored models.

    `found` are those that can be read, by the model of their name, and `unusable` says of the others why not. They are
    of the registry `registry_id`; where nothing else names that, it is the one that most of them name.
    """

    found: Mapping[str, Labelled]
    unusable: Mapping[str, str]
    registry_id: str | None

    @classmethod
    def read(cls, storage: Storage, known: Sequence[Identity]) -> LabelEvidence:
        """Read all labels files. `known` are the identities that the registry's own files name, the current one first.

        Raises StorageError for a file that we may not read: that says nothing about the labels.
        """
        found: dict[str, Labelled] = {}
        unusable: dict[str, str] = {}
        names = sorted(os.listdir(storage.storage_dir)) if storage.storage_dir.is_dir() else []
        for name in names:
            if not name.endswith(LABELS_SUFFIX) or name.startswith("."):
                continue
            model_id = name.removesuffix(LABELS_SUFFIX)
            try:
                labels = read_labels(storage.storage_dir / name)
            except RegistryCorrupted as error:
                unusable[model_id] = error.what
            except RegistryTooNew as error:
                unusable[model_id] = error.message
            else:
                if labels is not None:
                    found[model_id] = labels
        named = Counter(labels.identity.registry_id for labels in found.values())
        most = named.most_common(1)[0][0] if named else None
        return cls(found, unusable, known[0].registry_id if known else most)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The registry and its epochs as the files name them."""
        found = dict.fromkeys(labels.identity for labels in self.found.values())
        return tuple(identity for identity in found if identity.registry_id == self.registry_id)

    @property
    def sequences(self) -> list[int]:
        """The lines that the files tell of."""
        ours = (labels for labels in self.found.values() if labels.identity.registry_id == self.registry_id)
        return [labels.sequence for labels in ours]

    def of(self, entry: EntryFields) -> Labelled | None:
        """Return the labels of this very model, None where there are none that count."""
        labels = self.found.get(str(entry["model_id"]))
        is_of = labels is not None and self.registry_id is not None and labels.is_of(entry, self.registry_id)
        return labels if is_of else None

    def why_not(self, entry: EntryFields) -> str | None:
        """Return why the labels file of this model does not count; None when it does, or there is none."""
        model_id = str(entry["model_id"])
        if model_id in self.unusable:
            return f"its labels file cannot be used: {self.unusable[model_id]}"
        labels = self.found.get(model_id)
        if labels is None or self.of(entry) is not None:
            return None
        if labels.identity.registry_id != self.registry_id:
            return f"its labels file is of another registry, {labels.identity.registry_id}"
        if labels.model_id != model_id:
            return f"its labels file is that of {quoted(labels.model_id)}"
        return "its labels file is of a model with other bytes"


def recover(
    entries: Mapping[str, EntryFields], evidence: LabelEvidence, last_line_of: Callable[[str], int]
) -> tuple[list[LabelLine], list[tuple[str, str]]]:
    """Return the lines that bring the labels back, oldest labels first, and (model, why) for each alias that does not.

    `last_line_of` is what `told_until` returns.
    """
    used = {
        model_id: labels
        for model_id, entry in entries.items()
        if (labels := evidence.of(entry)) is not None
        and labels.sequence > last_line_of(model_id)
        and labels.differences(entry)
    }
    holders: dict[_Group, tuple[int, str]] = {}
    claims = sorted(
        [(labels.sequence, model_id, alias) for model_id, labels in used.items() for alias in labels.aliases]
        + [
            (last_line_of(model_id), model_id, alias)
            for model_id, entry in entries.items()
            if model_id not in used
            for alias in entry.get("aliases") or ()
        ]
    )
    refused: list[tuple[str, str]] = []
    for sequence, model_id, alias in claims:
        group = _group(entries[model_id], alias)
        if group in holders:
            refused.append((holders[group][1], f"the alias {quoted(alias)} names {quoted(model_id)}, set later"))
        holders[group] = sequence, model_id
    taken = {(group[1], model_id) for group, (_, model_id) in holders.items()}
    now = dict(entries)
    holding = {
        _group(entry, alias): model_id for model_id, entry in entries.items() for alias in entry.get("aliases") or ()
    }
    lines: list[LabelLine] = []
    for model_id, labels in sorted(used.items(), key=lambda item: (item[1].sequence, item[0])):
        aliases = {alias: one for alias, one in labels.aliases.items() if (alias, model_id) in taken}
        for line in _lines_of(model_id, labels, aliases, now, holding):
            now |= {model_id: line.entry, **(line.detail or {}).get("also", {})}
            lines.append(line)
    return lines, refused


def _lines_of(
    model_id: str,
    labels: Labelled,
    aliases: Mapping[str, Setting],
    now: Mapping[str, EntryFields],
    holding: dict[_Group, str],
) -> Iterator[LabelLine]:
    """Yield the lines that give one entry its labels.

    `now` is what the lines yielded before have made of all entries, `holding` which of them each alias names then.
    """
    if (now[model_id].get("tags") or {}) != labels.tags:
        yield LabelLine("tag", model_id, REASON, changed_entry(now[model_id], tags=dict(labels.tags)), None)
    recorded = labels.recorded
    if (now[model_id].get("recorded") or {}) != recorded:
        for at in sorted({measured["at"] for measured in recorded.values()}):
            metrics = {name: measured["value"] for name, measured in recorded.items() if measured["at"] == at}
            kept = {name: measured for name, measured in recorded.items() if measured["at"] <= at}
            entry = changed_entry(now[model_id], recorded=kept)
            yield LabelLine("record", model_id, REASON, entry, {"metrics": metrics, "at": at})
    held = labels.as_changes()["held"]
    if now[model_id].get("held") != held:
        entry = changed_entry(now[model_id], held=held, held_since=labels.as_changes()["held_since"])
        yield LabelLine("hold" if held else "unhold", model_id, _reason(labels.held), entry, None)
    if bool(now[model_id].get("pinned")) != (labels.pinned is not None):
        operation: Operation = "pin" if labels.pinned is not None else "unpin"
        entry = changed_entry(now[model_id], pinned=labels.pinned is not None)
        yield LabelLine(operation, model_id, _reason(labels.pinned), entry, None)
    for alias in sorted({*(now[model_id].get("aliases") or ())} - aliases.keys()):
        if holding.get(_group(now[model_id], alias)) == model_id:
            del holding[_group(now[model_id], alias)]
        yield LabelLine("unalias", model_id, REASON, _without(now[model_id], alias), {"alias": alias})
    for alias in sorted(aliases.keys() - {*(now[model_id].get("aliases") or ())}):
        entry = changed_entry(now[model_id], aliases=sorted({*(now[model_id].get("aliases") or ()), alias}))
        detail: dict[str, Any] = {"alias": alias}
        other = holding.get(_group(entry, alias))
        if other is not None and other != model_id:
            detail["also"] = {other: _without(now[other], alias)}
        holding[_group(entry, alias)] = model_id
        yield LabelLine("alias", model_id, _reason(aliases[alias]), entry, detail)


def told_until(evidence: Evidence, from_sidecars: Collection[str]) -> Callable[[str], int]:
    """Return the function that says up to which line lines and JSON file tell of an entry. 0: they do not."""
    touched: dict[str, int] = {}
    for number in sorted(evidence.lines):
        line = evidence.lines[number].line
        touched |= dict.fromkeys((line.model_id, *also_changed(line)), number)
    shown, reached = evidence.entries or {}, evidence.checkpoint_sequence or 0

    def last_line_of(model_id: str) -> int:
        if model_id in from_sidecars:
            return 0
        return max(touched.get(model_id, 0), reached if model_id in shown else 0)

    return last_line_of


def in_words(line: LabelLine) -> str:
    """Return what a line brings back."""
    words = {
        "tag": "tags",
        "record": "recorded",
        "pin": "pinned",
        "unpin": "not pinned",
        "hold": "held",
        "unhold": "not held",
    }
    alias = (line.detail or {}).get("alias")
    return words.get(line.operation) or f"{'alias' if line.operation == 'alias' else 'no alias'} {alias}"


def _reason(setting: Setting | None) -> str:
    """Return the reason of a line, with who set the label and why as far as that is known."""
    if setting is None or setting["at"] is None:
        return REASON
    why = f": {setting['reason']}" if setting["reason"] else ""
    return f"{REASON}; set by {setting['actor']} at {setting['at']}{why}"


def _without(entry: EntryFields, alias: str) -> EntryFields:
    return changed_entry(entry, aliases=[name for name in entry.get("aliases") or () if name != alias])


def _group(entry: EntryFields, alias: str) -> _Group:
    return slot_of(entry), alias
