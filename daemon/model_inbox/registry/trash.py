"""The trash: retired models, until they are restored or purged.

Owns retiring, restoring and purging, and what a crash left half done of these. A retirement and a purge commit their
line first and move or remove files after it; a restore gives files their names back first and commits after it. Never
decides which model is to go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from ..base.disk import open_regular, replace_file
from ..base.leases import in_use
from ..base.log import log
from ..errors import EntryExists, EntryNotFound, EntryProtected, ModelInboxError, StorageError
from ..problems import escaped, quoted
from .clock import corrected
from .entry import Entry, EntryFields, as_fields, files_of_entry, sequence_of
from .files import STORED_MODE, Storage, trash_name
from .journal import Draft, Line, brings_back
from .label_files import LabelFiles
from .outcomes import Retired
from .position import Position
from .store import Store
from .stored_sidecar import has_sidecar, sidecar_of_entry

__all__ = ["Trash", "files_in_use"]

_LEFTOVER = re.compile(r".+\.leftover-[0-9]+", re.ASCII)


class Trash:
    """The trash of one registry. Each change is made under the writer lock, which it takes itself."""

    def __init__(self, store: Store, storage: Storage, label_files: LabelFiles) -> None:
        self._store = store
        self._storage = storage
        self.label_files = label_files
        # The ids of entries that were adopted, not registered by us; found out when first asked for.
        self._adopted: list[str] | None = None
        self._has_looked = False

    # --- what is in it ----------------------------------------------------------------------------------------

    def retired(self) -> list[Retired]:
        """Return the retired models whose files are still there, in the order of their retirement."""
        if not self._names():
            return []
        found = (self._retirement(line) for line in self._store.retirements().values())
        return [item for item in found if item.folder.is_dir()]

    def oldest_needed_line(self) -> int | None:
        """Return the number of the oldest line that tells of a model in the trash, or None. Under the writer lock."""
        kept = [line.sequence for line in self._store.retirements().values() if self._retirement(line).folder.is_dir()]
        return min(kept, default=None)

    # --- changes ----------------------------------------------------------------------------------------------

    def retire(self, model_id: str, *, reason: str, actor: str, at: Position | int | None, by_rule: bool) -> bool:
        """Retire a model; False for an unknown id, and when the registry does not stand at `at` any more.

        Raises EntryProtected.
        """
        with self._store.writing():
            self.prepare()
            entry = self._store.state.entries.get(model_id)
            if entry is None or (at is not None and not self._store.state.stands_at(at)):
                # That the model is gone may rest on a line whose writer died before it was synced.
                self._store.sync()
                return False
            _refuse_protected(model_id, entry)
            rules = self._store.rules_in_force if by_rule else ""
            self._store.commit(
                [Draft("retire", model_id, reason, actor, changes_entry=True, removed=entry, rules=rules)]
            )
            # From here the model is retired. A crash before its files have moved leaves them at their names
            # without an entry; `finish` moves them when a writer meets them.
            self._storage.discard(entry, self._named_by_others(entry))
            for problem in self._storage.outside(entry):
                log.warning("registry.file_left", model_id=escaped(model_id), problem=problem.message)
        return True

    def restore(self, model_id: str, *, sequence: int | None, actor: str) -> Entry:
        """Bring back the model that was retired last, or the one of that `sequence`.

        Raises EntryNotFound when the trash does not hold it, EntryExists when the id is taken by now, RestoreRefused
        when its files are damaged.
        """
        with self._store.writing():
            self.prepare()
            if model_id in self._store.state.entries:
                raise EntryExists(
                    f"cannot restore {quoted(model_id)}: the id is taken by a registered model",
                    hint="Delete that one first, or leave the retired one in the trash",
                )
            self.finish(model_id)
            found = [item for item in self.retired() if item.model_id == model_id]
            if sequence is not None:
                found = [item for item in found if item.sequence == sequence]
            if not found:
                raise EntryNotFound(
                    f"cannot restore {quoted(model_id)}: the trash does not hold it",
                    hint="`model-inbox trash list` shows what can be restored",
                )
            with self.brought_back(found[-1]) as entry:
                self._store.commit([Draft("restore", model_id, "restore", actor, changes_entry=True, entry=entry)])
            return self._store.state.show(model_id)

    @contextmanager
    def brought_back(self, retired: Retired) -> Iterator[EntryFields]:
        """Give a retired model's files their names again, around the commit of the line that registers it again.

        Yields its entry. Under the writer lock, while its id is free. Raises RestoreRefused when files are damaged.
        """
        entry, model_id = retired.entry, retired.model_id
        self.finish(model_id)
        named = self._named_by_others(entry)
        self._adopted = None
        try:
            self._storage.bring_back(entry, named)
            self._write_lost_sidecar(entry)
            # A crash before the line leaves files at their final names, and the model retired and restorable. After
            # it, the model is registered, and the next start removes what is still in the trash.
            yield entry
        except BaseException:
            with suppress(ModelInboxError):
                # The line counts if its bytes came to the journal, whatever interrupted its append.
                self._store.look_again()
                if model_id not in self._store.state.entries:
                    self._storage.take_away(entry, named)
            raise
        self._storage.let_go(entry)

    def purge(self, retired: Retired, *, reason: str, actor: str) -> int | None:
        """Remove a retired model's files permanently and return the bytes freed.

        None, and nothing is done, while a process has one of the files open (a loader that got the entry before the
        retirement), and when the model was restored meanwhile.
        """
        with self._store.writing():
            self.prepare()
            line = self._store.retirements().get((retired.model_id, retired.sequence))
            if line is None or self._retirement(line) != retired:
                return None
            # What a failed move left at its final name goes with the rest.
            self.finish(retired.model_id)
            if not retired.folder.is_dir() or files_in_use(retired.folder.iterdir()):
                return None
            detail = {"sequence": retired.sequence}
            # A crash before this line leaves the model in the trash; after it, the next start removes the files.
            self._store.commit([Draft("purge", retired.model_id, reason, actor, detail=detail)])
            return self._storage.erase(retired.folder)

    def _write_lost_sidecar(self, entry: EntryFields) -> None:
        """Make the stored sidecar again where the trash has lost it. A crash after it leaves a leftover."""
        text = sidecar_of_entry(entry) if has_sidecar(entry) else None
        path = self._storage.final_names(str(entry["model_id"]))[2]
        if text is not None and not os.path.lexists(path):
            replace_file(self._storage.disk, path, text, STORED_MODE)

    # --- what a crash left ------------------------------------------------------------------------------------

    def finish(self, model_id: str) -> bool:
        """Move files to the trash whose writer died after the line that let go of them. Return whether there were any.

        Under the writer lock.
        """
        known = self._store.state.entries.get(model_id)
        named = self._storage.files_of(known) if known is not None else []
        found = False
        for line in self._store.unfinished.moves.get(model_id, ()):
            if line.operation == "retire" and line.removed is not None:
                removed = line.removed
                others = self._named_by_others(removed)
                paths = (path for path in self._storage.files_of(removed) if path not in others)
                if known is None and any(map(os.path.lexists, paths)):
                    self._storage.discard(removed, others)
                    found = True
            elif line.entry is not None and line.detail is not None and line.detail.get("replaced"):
                replaced = str(line.detail["replaced"])
                path = self._storage.folder / replaced
                if self._storage.boundary.holds(replaced) and path not in named and os.path.lexists(path):
                    self._storage.discard_file(line.entry, path)
                    found = True
        return found

    def finish_retirements(self) -> int:
        """Do `finish` for all models; return for how many there was something to do.

        Labels files that are behind a line are written. Every model is tried; the first StorageError is raised at the
        end.
        """
        with self._store.writing(), _first_error_at_the_end() as attempt:
            self._write_labels()
            count = 0
            for model_id in list(self._store.unfinished.moves):
                with attempt():
                    count += self.finish(model_id)
            return count

    def finish_purges(self) -> int:
        """Remove what a crash left in the trash of models that were purged or restored; return of how many.

        Every model is tried; the first StorageError is raised at the end.
        """
        if not self._unfinished():
            return 0
        with self._store.writing(), _first_error_at_the_end() as attempt:
            count = 0
            for name, line in self._unfinished().items():
                if line.operation == "purge":
                    with attempt():
                        freed = self._storage.erase(self._storage.trash_dir / name)
                        count += 1
                        log.warning("registry.purge_finished", model_id=escaped(line.model_id), bytes=freed)
                elif line.entry is not None:
                    count += self._storage.let_go(line.entry)
            return count

    def unfinished_purges(self) -> list[str]:
        """Return the ids of purged models whose files a crash left in the trash, for `finish_purges` to remove."""
        return sorted(line.model_id for line in self._unfinished().values() if line.operation == "purge")

    def _unfinished(self) -> dict[str, Line]:
        """Return the folders in the trash whose models were purged or restored, each with the line that said so."""
        last: dict[str, Line] = {}
        names = {name for name in self._names() if not _LEFTOVER.fullmatch(name)}
        if names:
            names -= {self._retirement(line).folder.name for line in self._store.retirements().values()}
        if names:  # else the whole history need not be read
            for line in self._store.lines(over_gaps=True):
                said = {"retire": line.removed, "purge": line.detail}.get(line.operation)
                said = line.entry if brings_back(line) else said
                name = trash_name(line.model_id, sequence_of(said)) if said is not None else ""
                if name in names:
                    last[name] = line
        return {name: line for name, line in last.items() if line.operation != "retire"}

    def set_aside_leftovers(self, coming: Collection[str] = ()) -> int:
        """Move stored files that no line committed to the trash, and return how many.

        A writer that died between the links and its line leaves such files; nothing else ever takes their names. Only
        files that a writer of ours made are moved, each under a name of its own, and the sidecar of a model first: a
        model without its scaler must not stand beside it. A crash in between leaves the rest for the next look. Those
        of the models `coming` stay: their registration uses them, or sets them aside. Every file is tried; the first
        StorageError is raised at the end.
        """
        self._has_looked = True
        if not self._leftovers(coming):
            return 0
        with self._store.writing(), _first_error_at_the_end() as attempt:
            for model_id in list(self._store.unfinished.moves):
                with attempt():
                    self.finish(model_id)
            count = 0
            # Under the lock: what another writer was about to commit has its line by now.
            for path in sorted(self._leftovers(coming), key=lambda path: (path.suffix != ".yaml", path)):
                with attempt():
                    kept = self._storage.set_aside(path)
                    count += 1
                    log.warning("registry.leftover_set_aside", path=str(path), kept_as=str(kept))
            return count

    def prepare(self, coming: Collection[str] = ()) -> None:
        """Do what dead writers left undone, before a change. A failure is logged, and no more."""
        self._write_labels()
        self.set_aside_once(coming)

    def set_aside_once(self, coming: Collection[str] = ()) -> None:
        """Do `set_aside_leftovers` at the first change that this handle makes. A failure is logged, and no more.

        Later it is not done again: it lists the folder, and a change must not cost more in a larger registry.
        """
        if self._has_looked:
            return
        try:
            self.set_aside_leftovers(coming)
        except StorageError as error:
            log.error("registry.leftover_unmoved", problem=str(error))

    def _write_labels(self) -> None:
        """Write the labels files that are behind a line. Nearly always there are none."""
        if self._store.unfinished.labels or not self.label_files.has_looked:
            self.label_files.write()

    def _leftovers(self, coming: Collection[str]) -> list[Path]:
        files = self._store.files
        try:
            paths = self._storage.unnamed_files(list(self._store.state.entries.values()), files.own)
        except OSError as error:
            raise StorageError("list", self._storage.storage_dir, error) from error
        ours = {path for model_id in coming for path in self._storage.final_names(model_id)}
        return [path for path in paths if path not in ours and self._storage.is_stored_file(path)]

    # --- inside -----------------------------------------------------------------------------------------------

    def _retirement(self, line: Line) -> Retired:
        entry = as_fields(line.removed or {})
        folder = self._storage.trash_folder(entry)
        at = corrected(line, self._store.clock_lines())
        return Retired(line.model_id, sequence_of(entry), at, line.actor, line.reason, entry, folder)

    def _named_by_others(self, entry: EntryFields) -> set[Path]:
        """Return those files of an entry that other entries name too.

        Only in a registry that was adopted models may share a scaler, or one may use the file of another.
        """
        entries = self._store.state.entries
        if self._adopted is None:
            self._adopted = [model_id for model_id, one in entries.items() if "origin" not in one]
        ours = {str(path): path for path in self._storage.files_of(entry)} if self._adopted else {}
        others = (entries.get(model_id) for model_id in self._adopted if model_id != entry["model_id"])
        folder = f"{self._storage.folder}/"
        named = set()
        for one in others:
            for file in files_of_entry(one) if one is not None else ():
                # Text is compared, not paths: with thousands of entries, making paths would take seconds.
                place = file.path if file.path.startswith("/") else folder + file.path
                if place in ours:
                    named.add(ours[place])
        return named

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._storage.trash_dir)
        except FileNotFoundError:
            return []


def _refuse_protected(model_id: str, entry: EntryFields) -> None:
    if entry.get("pinned"):
        raise EntryProtected(
            f"cannot delete {quoted(model_id)}: it is pinned",
            hint=f"Unpin it first: `model-inbox unpin {model_id}`",
        )
    if entry.get("aliases"):
        names = ", ".join(quoted(alias) for alias in entry["aliases"])
        raise EntryProtected(
            f"cannot delete {quoted(model_id)}: the alias {names} names it",
            hint="Move the alias to another model, or remove it, first",
        )


def files_in_use(paths: Iterable[Path]) -> bool:
    """Return whether a process has one of these files open.

    On a file system without leases, and where the files belong to another user, the answer is no: what is open stays
    readable after its name is gone.
    """
    for path in paths:
        try:
            fd = open_regular(path)
        except OSError:
            continue
        try:
            if in_use(fd):
                return True
        finally:
            os.close(fd)
    return False


@contextmanager
def _first_error_at_the_end() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Run all attempts, then raise the first StorageError of them again."""
    failed: list[StorageError] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            failed.append(error)

    yield attempt
    if failed:
        raise failed[0]
