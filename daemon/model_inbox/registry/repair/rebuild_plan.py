"""What a rebuilt registry will hold: decided from what is left of the old one, before anything is written.

Owns `Plan`: which entries stand, which are made again from a sidecar, what is lost and why, which lines tell of it, and
where each file without an entry belongs. What a source says that is nearer to the commit counts first: a sound line of
the journal, then the JSON file, then a stored sidecar with its files, and the labels file beside it. Reads files, and
has pickles scanned; never changes anything (`rebuild` carries the plan out).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from ...base.copying import digest_regular
from ...base.disk import open_regular, read_regular
from ...errors import RegistryError, RegistryTooNew, StorageError, raise_if_transient
from ...model.metadata import fields_of, is_valid_id
from ...model.owner import OwnerFields
from ...model.sidecar import parse_sidecar
from ...model.sidecar_fields import SIDECAR_BYTES_MAX
from ...pickles import PickleReport, Scanner, claimed_versions, current, imports_of
from ...problems import quoted
from ..entry import EntryFields, as_fields, new_entry, numbered_entry, sequence_of
from ..files import Storage
from ..history import Retirements, note_retirement
from ..journal import Line, Operation, encode_line, format_time
from ..position import newest
from ..state import State
from .evidence import Base, Evidence
from .label_recovery import LabelEvidence, Recovered, in_words, recover, told_until
from .undone import Undone, what_was_undone
from .verify import check_file, extra_files, is_sound, leftovers_in, retirements_in, stranger_folders

__all__ = ["Lost", "Plan", "nothing_to_do"]

ACTOR = "rebuild"
# What neither a stored sidecar nor a labels file tells. The owner is in the receipt of a drop, while that is kept.
NOT_IN_SIDECARS = ("registered_at", "drop_id", "origin")
# What a labels file tells: a sidecar says what the producer wrote, not what was changed afterwards.
NOT_WITHOUT_LABELS = ("aliases", "pinned", "tags set after the registration", "recorded")
_LOST_AT_THE_END_MAX = 100_000
_NUMBERED = re.compile(r".+(?:\.|_scaler@)([0-9]{1,18})(?:\.pkl)?", re.ASCII)


Owners = Mapping[tuple[str, str], OwnerFields]
"""Who dropped a model, by its id and the SHA-256 of its file."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A model that is not registered any more, or a file of which none could be made, and why."""

    model_id: str
    why: str


def nothing_to_do(path: Path, why: str) -> RegistryError:
    """Return the error for a registry of which none can be made."""
    return RegistryError(
        f"cannot rebuild the registry {str(path)!r}: {why}",
        hint="Is the path right, and the file system with the models mounted? Nothing was changed",
    )


class Plan:
    """What the new registry will hold. `decide` reads files, changes nothing, and fills in the rest."""

    def __init__(
        self,
        evidence: Evidence,
        storage: Storage,
        scanner: Scanner,
        now: datetime,
        owners: Owners = MappingProxyType({}),
    ) -> None:
        self.evidence = evidence
        self.labels = LabelEvidence.read(storage, evidence.identities)
        self.storage = storage
        self.scanner = scanner
        self.now = now
        self.owners = owners
        self.entries: dict[str, EntryFields] = {}
        self.lines: dict[int, bytes] = {}
        self.times: dict[int, str] = {}
        self.added: list[Line] = []
        self.lines_lost = 0
        self.lines_missing: list[tuple[int, int]] = []
        self.from_checkpoint: list[str] = []
        self.from_sidecars: list[str] = []
        self.labels_recovered: list[Recovered] = []
        self.labels_lost: list[Lost] = []
        self.without_labels: list[str] = []
        self.retired: list[str] = []
        self.lost: list[Lost] = []
        self.leftovers: list[Path] = []
        self.discards: list[tuple[EntryFields, Path | None]] = []
        self.strangers: list[Path] = []
        self.undone: list[Undone] = []
        self.extra: list[Path] = []
        self.base = Base(0, {})

    @property
    def not_recovered(self) -> tuple[str, ...]:
        """The fields that entries made from sidecars may have had otherwise."""
        if not self.from_sidecars:
            return ()
        unowned = any(self.entries[model_id].get("owner") is None for model_id in self.from_sidecars)
        lost = (*NOT_IN_SIDECARS, *(("owner",) if unowned else ()))
        return (*NOT_WITHOUT_LABELS, *lost) if self.without_labels else lost

    def decide(self) -> None:
        """Find out what can be registered. Raises what `rebuild` does."""
        problem = self.evidence.too_new
        if problem is not None:
            raise RegistryTooNew(f"cannot rebuild the registry: {problem.message}", hint=problem.hint)
        self._refuse_what_may_not_be_read()
        known = self.evidence.known()
        self.is_whole = self._has_all_lines(known)
        self.reached = self.evidence.reached if self.is_whole else self._last_number(known)
        self.base = self._base(known)
        self.replayed = self.evidence.replayed(self.base)
        # With all lines there, nothing counts that no line committed.
        self.known = self.evidence.replayed(self.base) if self.is_whole or known is None else known
        self._refuse_an_empty_storage()
        self._fill_gaps()
        self._check_entries()
        self._check_gone()
        self._sort_leftovers()
        if not self.is_whole:
            self._recover_labels()
        self._check_trash()
        before = self.evidence.shown()
        self.undone = what_was_undone(before.entries, self.entries) if before is not None else []

    def _refuse_what_may_not_be_read(self) -> None:
        """A file of the registry that we lack the right to read is no damage."""
        for problem in self.evidence.problems:
            if problem.code == "registry.unreadable" and problem.file and not os.access(problem.file, os.R_OK):
                what = f"{problem.file!r} {problem.message}"
                raise RegistryError(f"cannot rebuild the registry: {what}", hint=problem.hint)

    def _has_all_lines(self, known: State | None) -> bool:
        """Return whether the journal is whole: no line is missing, and nothing tells of a line behind its end.

        The name of a scaler that replaced another one is no sign of such a line: it comes before the line.
        """
        if not self.evidence.is_whole or self.evidence.begun is None:
            return False
        # A rebuild that was cut short tells of lost lines by lines of its own, and has not said yet what is lost.
        was_cut_short = self.evidence.begun.identity != newest(self.evidence.identities)
        if was_cut_short and any(is_told_lost(sound.line) for sound in self.evidence.lines.values()):
            return False
        entries = known.entries.values() if known is not None else ()
        numbers = [*self._numbers_in_names(self.storage.trash_dir), *(sequence_of(entry) for entry in entries)]
        numbers += self.labels.sequences  # a labels file comes after its line
        return max(numbers, default=0) <= self.evidence.reached

    def _last_number(self, known: State | None) -> int:
        """Return the greatest number that a line ever had: no new line may have one of them."""
        numbers = [*self._numbers_in_names(self.storage.trash_dir, self.storage.storage_dir)]
        numbers += self.labels.sequences
        numbers += [sequence_of(entry) for entry in (known.entries.values() if known is not None else ())]
        reached = self.evidence.reached
        # Each lost line between those that are there and the next is told of: a stray name must not make millions.
        most = reached + _LOST_AT_THE_END_MAX if self.evidence.lines else max(numbers, default=0)
        return max([reached, *(number for number in numbers if number <= most)])

    def _numbers_in_names(self, *folders: Path) -> Iterator[int]:
        """Yield the numbers of lines that names of files tell of."""
        for folder in folders:
            names: list[str] = []
            with contextlib.suppress(FileNotFoundError):
                names = os.listdir(folder)
            for name in names:
                match = _NUMBERED.fullmatch(name)
                if match is not None and (folder == self.storage.trash_dir or "_scaler@" in name):
                    yield int(match[1])

    def _base(self, known: State | None) -> Base:
        """Return where the history begins: as it was kept, else with what is known to be older than its first line."""
        if self.evidence.base is not None:
            return self.evidence.base
        begins = min(self.evidence.lines) - 1 if self.evidence.lines else self.reached
        entries = dict(known.entries) if known is not None else {}
        for sound in self.evidence.lines.values():
            if sound.line.operation == "retire" and sound.line.removed is not None:
                entries.setdefault(sound.line.model_id, sound.line.removed)
        return Base(begins, {model_id: entry for model_id, entry in entries.items() if sequence_of(entry) <= begins})

    def _refuse_an_empty_storage(self) -> None:
        """A storage folder that is not mounted must not look like models that are lost."""
        path = self.evidence.files.path
        if not self.storage.storage_dir.is_dir():
            raise nothing_to_do(path, f"the folder of the stored models, {str(self.storage.storage_dir)!r}, is missing")
        is_empty = all(name.startswith(".") for name in os.listdir(self.storage.storage_dir))
        if is_empty and not self.evidence.pieces and self.evidence.data is None:
            raise nothing_to_do(path, "there is neither a journal nor a JSON file nor a stored model")
        entries = [entry for entry in self.known.entries.values() if not self.storage.outside(entry)]
        files = [path for entry in entries for path in self.storage.needed_files_of(entry)]
        if is_empty and files and not any(os.path.lexists(path) for path in files):
            held = any(self.storage.trash_folder(entry).is_dir() for entry in self.known.entries.values())
            if not held:
                raise nothing_to_do(path, "not one of the registered models' files is there")

    def _fill_gaps(self) -> None:
        """Take over the sound lines, and tell of each lost one by a line that changes nothing."""
        sound = self.evidence.lines
        time = sound[min(sound)].line.time if sound else format_time(self.now)
        if self.evidence.base is None:
            # The history begins with a base that is made here. Nothing can stand in the place of the lines before it.
            self._note_lost(self.evidence.base_lost_after + 1, self.base.sequence)
        for number in range(self.base.sequence + 1, self.reached + 1):
            if number in sound:
                time = sound[number].line.time
                self.lines[number] = sound[number].raw + b"\n"
            else:
                self._note_lost(number, number)
                line = Line(number, time, "rebuild", "", None, ACTOR, "this line of the journal was lost")
                self.lines[number] = encode_line(line)
            self.times[number] = time
        self.time = format_time(self.now)
        self.retirements: Retirements = retirements_in(self.evidence)

    def _note_lost(self, first: int, last: int) -> None:
        """Count lost lines, and put together those that follow each other."""
        if last < first:
            return
        self.lines_lost += last - first + 1
        if self.lines_missing and self.lines_missing[-1][1] == first - 1:
            first = self.lines_missing.pop()[0]
        self.lines_missing.append((first, last))

    def _add(self, line: Line) -> None:
        """Add a line behind all others, numbered and dated."""
        number = self.reached + len(self.added) + 1
        line = replace(line, sequence=number, time=self.time, actor=ACTOR)
        self.added.append(line)
        note_retirement(self.retirements, line)

    def _check_entries(self) -> None:
        """Keep the entries whose files are sound, and tell by lines where the journal does not say so."""
        for model_id, entry in self.known.entries.items():
            why = self._why_unusable(entry)
            before = self.replayed.entries.get(model_id)
            if why is None:
                self.entries[model_id] = entry
                if before is None:
                    self.from_checkpoint.append(model_id)
                if before != entry:
                    self._set(model_id, entry, is_new=before is None)
            elif entry.get("model_path") and is_sound(self.storage, entry):
                self._retire(model_id, entry)
            else:
                self.lost.append(Lost(model_id, why))
                if before is not None:
                    self._add(_line("rebuild", model_id, f"lost: {why}", changes_entry=True, removed=before))

    def _set(self, model_id: str, entry: EntryFields, *, is_new: bool) -> None:
        drop_id = entry.get("drop_id") if is_new else None
        reason = "rebuild: as the JSON file has it"
        line = _line("register" if is_new else "rebuild", model_id, reason, changes_entry=True, entry=entry)
        self._add(replace(line, drop_id=drop_id if isinstance(drop_id, str) else None))

    def _retire(self, model_id: str, entry: EntryFields) -> None:
        self.retired.append(model_id)
        reason = "rebuild: its files are in the trash"
        self._add(_line("retire", model_id, reason, changes_entry=True, removed=entry))
        self.discards.append((entry, None))

    def _why_unusable(self, entry: EntryFields) -> str | None:
        """Return why the files of an entry are no longer those that were registered; None when they are.

        Nothing is found out of files outside of the registry's folders: such an entry stays as it is. Raises
        StorageError for a file that we may not read: that says nothing about the model.
        """
        if not entry.get("model_path"):
            return "its entry names no file"
        if self.storage.outside(entry):
            return None
        for path, digest in self.storage.needed_files_of(entry).items():
            fault = _fault(path, digest)
            if fault is not None:
                return f"{path.name}: {fault}"
        return None

    def _check_gone(self) -> None:
        """Tell by lines of entries that the journal has and the JSON file, which is newer, has no more."""
        for model_id, entry in self.replayed.entries.items():
            if model_id in self.known.entries:
                continue
            if is_sound(self.storage, entry) or self._is_at_its_name(entry):
                self._retire(model_id, entry)
            else:
                reason = "rebuild: the JSON file does not have it any more"
                self._add(_line("rebuild", model_id, reason, changes_entry=True, removed=entry))

    def _is_at_its_name(self, entry: EntryFields) -> bool:
        """Return whether the model of a retired entry was not moved to the trash yet."""
        if self.storage.outside(entry):
            return False
        files = self.storage.needed_files_of(entry)
        return bool(files) and all(digest and _fault(path, digest) is None for path, digest in files.items())

    def _sort_leftovers(self) -> None:
        """Decide about every stored file that no entry names: to the trash, registered again, or kept aside."""
        aside = {path for entry, _ in self.discards for path in self.storage.files_of(entry)}
        done = {str(entry["model_id"]) for entry, _ in self.discards}
        for line in reversed(list(self.retirements.values())):
            removed = as_fields(line.removed or {})
            if line.model_id not in self.entries.keys() | done and self._belongs_in_trash(removed):
                done.add(line.model_id)
                aside.update(self.storage.files_of(removed))
                self.discards.append((removed, None))
        self._sort_replaced_scalers(aside)
        lost = {item.model_id for item in self.lost}
        for path in self._leftovers(aside):
            model_id = path.name.removesuffix(".yaml")
            if path.suffix != ".yaml" or not is_valid_id(model_id) or model_id in self.entries.keys() | lost:
                continue
            if self.is_whole:
                self.lost.append(Lost(model_id, "no line of the journal, which is complete, registered it"))
            else:
                self._register_from_sidecar(model_id, path)
        self.leftovers = self._leftovers(aside)
        told = {item.model_id for item in self.lost}
        for path in self.leftovers:
            stem = re.sub(r"((_scaler(@[0-9]+)?)?\.(pkl|yaml)|\.labels\.json)$", "", path.name)
            if stem not in told and stem not in self.entries:
                self.lost.append(Lost(path.name, "no sidecar tells what this file is"))

    def _belongs_in_trash(self, removed: EntryFields) -> bool:
        """Return whether files at their final names are those of this retired model, and make it complete again."""
        if self.storage.outside(removed):
            return False
        folder = self.storage.trash_folder(removed)
        here = [path for path in self.storage.files_of(removed) if os.path.lexists(path)]
        needed = self.storage.needed_files_of(removed)
        return (
            bool(here)
            and all(needed[path] and _fault(path, needed[path]) is None for path in here if path in needed)
            and all(path in here or os.path.lexists(folder / path.name) for path in needed)
        )

    def _sort_replaced_scalers(self, aside: set[Path]) -> None:
        """A scaler that was replaced, and whose writer died before it could move it, belongs to its model's trash."""
        named = {path for entry in self.entries.values() for path in self.storage.files_of(entry)}
        for sound in self.evidence.lines.values():
            line = sound.line
            if line.operation != "replace_scaler" or line.entry is None or not (line.detail or {}).get("replaced"):
                continue
            replaced = str((line.detail or {})["replaced"])
            path = self.storage.folder / replaced
            entry, known = line.entry, self.entries.get(line.model_id)
            alive = known is not None and sequence_of(known) == sequence_of(entry)
            digest = (line.detail or {}).get("replaced_sha256")
            is_free = self.storage.boundary.holds(replaced) and path not in named and path not in aside
            is_it = is_free and _fault(path, digest) is None
            if is_it and (alive or (line.model_id, sequence_of(entry)) in self.retirements):
                aside.add(path)
                self.discards.append((entry, path))

    def _leftovers(self, aside: set[Path]) -> list[Path]:
        found = leftovers_in(self.storage, self.evidence.files, self.entries.values())
        return [path for path in found if path not in aside]

    def _register_from_sidecar(self, model_id: str, path: Path) -> None:
        """Register a model that only its sidecar and files tell of, if the scan accepts it."""
        made = self._entry_from_sidecar(model_id, path)
        if isinstance(made, str):
            self.lost.append(Lost(model_id, made))
            return
        made = numbered_entry(made, sequence=self.reached + len(self.added) + 1, registered_at=self.time)
        self.entries[model_id] = made
        self.from_sidecars.append(model_id)
        self._add(_line("register", model_id, "rebuild: from its stored sidecar", changes_entry=True, entry=made))

    def _entry_from_sidecar(self, model_id: str, path: Path) -> EntryFields | str:
        """Return an entry of the origin `inbox`, which may import only what the scan sees; or why there is none."""
        try:
            data = read_regular(path, SIDECAR_BYTES_MAX)
            sidecar = parse_sidecar(data, stem=model_id, now=self.now, stored=True)
        except OSError as error:
            raise_if_transient("read", path, error)
            return f"its sidecar cannot be read: {error.strerror}"
        if sidecar.metadata is None:
            return f"its sidecar cannot be read: {sidecar.problems[0].message}"
        if sidecar.model_id != model_id:
            return f"its sidecar calls it {quoted(sidecar.model_id)}"
        model, scaler = self.storage.final_names(model_id)[0], self._newest_scaler(model_id)
        if scaler is None and (sidecar.declared.scaler_file is not None or sidecar.digests["scaler"] is not None):
            return "its scaler is missing"
        digests: dict[str, str] = {}
        reports: dict[str, PickleReport] = {}
        judged: dict[str, tuple[str, PickleReport]] = {}
        for role, file in (("model", model), ("scaler", scaler)):
            if file is None:
                continue
            said = sidecar.digests[role] if file in self.storage.final_names(model_id) else None
            fault = _fault(file, said)
            if fault is not None:
                return f"{file.name}: {fault}"
            digests[role] = digest_regular(file)
            report = self.scanner.scan(file)
            if not report.accepted:
                return f"{file.name}: {report.problems[0].message}; drop it into the inbox to learn more"
            reports[file.name] = report
            judged[role] = digests[role], report
        return new_entry(
            fields_of(sidecar.metadata),
            model_path=self.storage.stored_path(model),
            scaler_path=self.storage.stored_path(scaler) if scaler is not None else None,
            sha256=digests["model"],
            scaler_sha256=digests.get("scaler"),
            size_bytes=sum(file.stat().st_size for file in (model, scaler) if file is not None),
            origin="inbox",
            drop_id=None,
            imports=imports_of(reports),
            verdict=current(self.scanner.allowlist, judged),
            integrity="rebuild",
            frameworks=claimed_versions(judged),
            owner=self.owners.get((model_id, digests["model"])),
            load_bytes=sum(report.load_bytes for _, report in judged.values()),
        )

    def _newest_scaler(self, model_id: str) -> Path | None:
        own = self.storage.final_names(model_id)[1]
        start = f"{model_id}_scaler@"
        numbers = [
            int(match[1])
            for name in os.listdir(self.storage.storage_dir)
            if name.startswith(start) and (match := _NUMBERED.fullmatch(name)) is not None
        ]
        if numbers:
            return self.storage.scaler_name(model_id, max(numbers))
        return own if os.path.lexists(own) else None

    def _recover_labels(self) -> None:
        """Tell by lines of the labels that only labels files tell of, and note what cannot be told."""
        lines, refused = recover(self.entries, self.labels, told_until(self.evidence, self.from_sidecars))
        given: dict[str, list[str]] = {}
        for line in lines:
            given.setdefault(line.model_id, []).append(in_words(line))
            added = _line(line.operation, line.model_id, line.reason, changes_entry=True, entry=line.entry)
            self._add(replace(added, detail=line.detail))
            self.entries |= {line.model_id: line.entry, **(line.detail or {}).get("also", {})}
        self.labels_recovered = [Recovered(name, tuple(dict.fromkeys(words))) for name, words in given.items()]
        self.labels_lost = [Lost(model_id, why) for model_id, why in refused]
        for model_id, entry in self.entries.items():
            if (why := self.labels.why_not(entry)) is not None:
                self.labels_lost.append(Lost(model_id, why))
        self.without_labels = [name for name in self.from_sidecars if self.labels.of(self.entries[name]) is None]

    def _check_trash(self) -> None:
        """Tell by lines which retired models the trash does not hold, and find folders that nothing tells of."""
        coming = {self.storage.trash_folder(entry) for entry, path in self.discards if path is None}
        for line in list(self.retirements.values()):
            removed = as_fields(line.removed or {})
            if self.storage.trash_folder(removed) in coming or is_sound(self.storage, removed):
                self.extra += extra_files(self.storage, removed)
                continue
            detail = {"sequence": sequence_of(removed)}
            self._add(replace(_line("purge", line.model_id, "rebuild: the trash does not hold it"), detail=detail))
        self._check_result()
        self.strangers = stranger_folders(self.storage, self.retirements, self.entries.values())
        self.lost += [Lost(folder.name, "a folder of the trash that nothing tells of") for folder in self.strangers]

    def _check_result(self) -> None:
        """Look before anything is written: the lines must give the entries that the JSON file will have."""
        state = self.replayed
        for line in self.added:
            state.apply(line)
        assert state.entries == self.entries, "the lines of the rebuild do not give its entries"  # noqa: S101


def is_told_lost(line: Line) -> bool:
    """Return whether this line stands in the place of a lost one: it changes nothing, and is of no model."""
    return line.operation == "rebuild" and not line.model_id and not line.changes_entry


def _line(
    operation: Operation,
    model_id: str,
    reason: str,
    *,
    changes_entry: bool = False,
    entry: EntryFields | None = None,
    removed: EntryFields | None = None,
) -> Line:
    return Line(0, "", operation, model_id, None, ACTOR, reason, changes_entry, entry, removed)


def _fault(path: Path, digest: str | None) -> str | None:
    """Return what is wrong with a stored file, or None.

    Raises StorageError for one that we may not read: that says nothing about the model.
    """
    try:
        os.close(open_regular(path))
    except PermissionError as error:
        raise StorageError("read", path, error) from error
    except OSError:
        pass  # told below
    problem = check_file(path, digest, lambda _: None)
    return problem.message if problem is not None else None
