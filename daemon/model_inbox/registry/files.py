"""The stored files of models: staging, final names, trash.

Owns the folders `<storage_dir>`, `<storage_dir>/.staging` and `.trash` beside the registry, and which file of a
model has which name. Never reads or writes the journal: `registry` calls it in the order that makes a crash
harmless (files before the line when a model comes, the line before the files when it goes).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..base.copying import copy_open_file, digest_open_file, digest_regular, move_file
from ..base.disk import Disk, make_folder, open_regular, remove_quietly, temporary_name
from ..errors import FileOutside, RestoreRefused, StorageError
from ..model.metadata import is_valid_id
from ..problems import Problem, quoted
from ..problems.registry import registry_file_outside, registry_trash_damaged
from .boundary import Boundary
from .entry import EntryFields, StoredFile, files_of_entry, sequence_of
from .paths import TRASH_NAME

__all__ = ["LABELS_SUFFIX", "STORED_MODE", "StagedFiles", "Storage", "same_bytes", "staged_paths", "trash_name"]

STORED_MODE = 0o440
FOLDER_MODE = 0o750
LABELS_SUFFIX = ".labels.json"
# What follows the id in a final name: of a model, its scaler, a scaler that replaced that, a sidecar, a labels file.
_STORED_NAME = re.compile(r"(_scaler(@[0-9]+)?)?\.pkl$|\.yaml$|\.labels\.json$", re.ASCII)


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """Files of ours in the staging folder, synced, on their way to their final names.

    Digests are SHA-256 in hex. `sidecar` is None only for a model without one.
    """

    model: Path
    sha256: str
    model_bytes: int
    scaler: Path | None = None
    scaler_sha256: str | None = None
    scaler_bytes: int = 0
    sidecar: Path | None = None
    paths: tuple[Path, ...] = field(init=False)
    """All of them."""

    def __post_init__(self) -> None:
        paths = tuple(path for path in (self.model, self.scaler, self.sidecar) if path is not None)
        object.__setattr__(self, "paths", paths)


def trash_name(model_id: str, sequence: int) -> str:
    """Return the name of the folder in the trash that holds the model registered as `sequence`."""
    if is_valid_id(model_id):
        return f"{model_id}.{sequence}"
    # Ids of a registry that was not ours may hold anything; a name must stay in the trash and be theirs alone.
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", model_id, flags=re.ASCII)[:100]
    return f"{plain}.{zlib.crc32(model_id.encode('utf-8', 'surrogatepass')):08x}.{sequence}"


class Storage:
    """The folders of one registry. Every method that changes names is called under the writer lock."""

    def __init__(self, registry_folder: Path, storage_dir: Path, disk: Disk) -> None:
        self.folder = registry_folder
        self.storage_dir = storage_dir
        self.staging_dir = storage_dir / ".staging"
        self.trash_dir = registry_folder / TRASH_NAME
        self.disk = disk
        self.boundary = Boundary(registry_folder, storage_dir)
        self._stored_start = self.stored_path(storage_dir / "x")[:-1]

    def make_folders(self) -> None:
        """Make what is missing. Raises StorageError."""
        for folder in (self.folder, self.storage_dir, self.trash_dir):
            make_folder(self.disk, folder, FOLDER_MODE)
        make_folder(self.disk, self.staging_dir, 0o700)

    def stored_path(self, path: Path) -> str:
        """Return a path as an entry stores it: relative to the registry's folder where it stands below it."""
        try:
            return str(path.relative_to(self.folder))
        except ValueError:
            return str(path)

    def final_names(self, model_id: str) -> tuple[Path, Path, Path]:
        """Return where the model, its scaler and its sidecar go."""
        return (
            self.storage_dir / f"{model_id}.pkl",
            self.storage_dir / f"{model_id}_scaler.pkl",
            self.storage_dir / f"{model_id}.yaml",
        )

    def _stored_names(self, model_id: str) -> tuple[str, str]:
        """Return where the model and its scaler go, as an entry stores it."""
        return f"{self._stored_start}{model_id}.pkl", f"{self._stored_start}{model_id}_scaler.pkl"

    def labels_name(self, model_id: str) -> Path:
        """Return where the labels file of a model goes."""
        return self.storage_dir / f"{model_id}{LABELS_SUFFIX}"

    def scaler_name(self, model_id: str, number: int) -> Path:
        """Return where a scaler goes that replaces another one. No model's own file has such a name: an id holds
        no '@'.
        """
        return self.storage_dir / f"{model_id}_scaler@{number}.pkl"

    def place(self, model_id: str, staged: StagedFiles) -> tuple[str, str | None]:
        """Link staged files to their final names; the caller syncs the folder once for all of a batch.

        Return the names of the model and of its scaler, if it has one, as an entry stores them.

        A crash from here to the journal line leaves names without an entry: leftovers, which the next
        registration of the same id uses (same bytes) or moves to the trash. Nothing is ever overwritten.
        """
        model, scaler, sidecar = self.final_names(model_id)
        wanted = {model: staged.model, scaler: staged.scaler, sidecar: staged.sidecar}
        # A new model has no labels yet.
        wanted[self.labels_name(model_id)] = None
        for final, source in wanted.items():
            if source is not None:
                self.place_file(source, final)
            elif _exists(final):
                # An entry without a scaler must not stand beside a file that looks like its scaler, nor beside the
                # labels of another model.
                self.set_aside(final)
        model_path, scaler_path = self._stored_names(model_id)
        return model_path, scaler_path if staged.scaler is not None else None

    def place_file(self, source: Path, final: Path) -> None:
        """Link one staged file to its final name; a leftover there is used or set aside."""
        try:
            self._link(source, final)
        except StorageError as error:
            if error.errno != errno.EEXIST:
                raise
            if not self._can_use(final, source):
                self.set_aside(final)
                self._link(source, final)

    def displace(self, model_id: str, staged: StagedFiles) -> None:
        """Remove the final names of staged files whose registration failed; unsynced.

        A leftover that was there before, and was used, stays one.
        """
        model, scaler, sidecar = self.final_names(model_id)
        for final, source in ((model, staged.model), (scaler, staged.scaler), (sidecar, staged.sidecar)):
            if source is not None:
                self.displace_file(source, final)

    def displace_file(self, source: Path, final: Path) -> None:
        """Remove the final name of one staged file, if that is what stands there."""
        with suppress(OSError):
            if os.path.samestat(source.lstat(), final.lstat()):
                remove_quietly(self.disk, final)

    def _can_use(self, leftover: Path, source: Path) -> bool:
        """Return whether a leftover is as good as the staged file: the same bytes, ours, not writable, and durable.

        A file that was put there by somebody else may be changed after we looked.
        """
        if not same_bytes(source, leftover):
            return False
        fd = open_regular(leftover)
        try:
            there, ours = os.fstat(fd), source.stat()
            if there.st_ino == ours.st_ino:
                return True
            if there.st_uid != ours.st_uid or there.st_mode & 0o222:
                return False
            self.disk.fsync(fd)
        except OSError as error:
            raise StorageError("place", leftover, error) from error
        finally:
            os.close(fd)
        return True

    def unstage(self, staged: StagedFiles) -> None:
        """Remove the staging names; unsynced, since a start removes what a crash leaves there."""
        for path in staged.paths:
            remove_quietly(self.disk, path)

    def sync_names(self) -> None:
        """Make the names in the storage folder durable. A crash before this may remove the name of a placed file."""
        try:
            self.disk.fsync_dir(self.storage_dir)
        except OSError as error:
            raise StorageError("sync the folder", self.storage_dir, error) from error

    def set_aside(self, path: Path) -> Path:
        """Move a leftover without an entry into the trash under a free name and return where it went."""
        for number in range(1, 10_000):
            folder = self.trash_dir / f"{path.name}.leftover-{number}"
            try:
                self.disk.mkdir(folder, FOLDER_MODE)
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError("make the folder", folder, error) from error
            self._sync(self.trash_dir)
            move_file(self.disk, path, folder / path.name)
            self._sync(folder, path.parent)
            return folder / path.name
        raise StorageError("set aside", path, FileExistsError(errno.EEXIST, "too many leftovers of that name"))

    def unnamed_files(self, entries: Iterable[EntryFields], own: Iterable[Path]) -> list[Path]:
        """Return the files in the storage folder that no entry names; `own` are files of the registry itself.

        Raises OSError when the folder cannot be listed.
        """
        resolved: dict[Path, str] = {}

        def place(path: Path) -> tuple[str, str]:  # the folder may be known by several names
            if path.parent not in resolved:
                resolved[path.parent] = os.path.realpath(path.parent)
            return resolved[path.parent], path.name

        with os.scandir(self.storage_dir) as found:
            left = {e.name for e in found if not e.name.startswith(".") and not e.is_dir(follow_symlinks=False)}
        entries = list(entries)
        for entry in entries:
            left.difference_update(self._names_here(entry))
        named = {
            place(self.folder / file.path)
            for entry in (entries if left else ())
            for file in files_of_entry(entry)
            if file.path.rpartition("/")[2] in left
        }
        named |= {place(path) for path in own}
        return [path for path in (self.storage_dir / name for name in sorted(left)) if place(path) not in named]

    def _names_here(self, entry: EntryFields) -> Iterator[str]:
        """Yield the names in the storage folder that an entry stands for, as far as its text alone tells of them.

        For nearly all entries these are all their files. Paths of 100,000 entries would take seconds.
        """
        model_id, start = str(entry["model_id"]), self._stored_start
        if is_valid_id(model_id):
            yield f"{model_id}.yaml"
            yield f"{model_id}{LABELS_SUFFIX}"
        for file in files_of_entry(entry):
            if file.path.startswith(start):
                # Of a path that goes on, what it goes through: a link to a folder is named, too.
                yield file.path[len(start) :].partition("/")[0]

    def is_stored_file(self, path: Path) -> bool:
        """Return whether a file looks like one that a writer of ours gave a final name: its name, owner and mode.

        What a person copied into the folder is not: nobody may take it away.
        """
        stem = _STORED_NAME.sub("", path.name)
        if stem == path.name or not is_valid_id(stem):
            return False
        try:
            found = path.lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and not found.st_mode & 0o222 and found.st_uid == os.geteuid()

    def needed_files_of(self, entry: EntryFields) -> dict[Path, str | None]:
        """Return the final names of an entry's model and, if it has one, scaler, with their digests.

        Raises FileOutside for one that is not inside the registry's folders.
        """
        return {self.path_of(entry, file): file.sha256 for file in files_of_entry(entry)}

    def path_of(self, entry: EntryFields, file: StoredFile) -> Path:
        """Return the path of one file of an entry. Raises FileOutside."""
        if not self.boundary.holds(file.path):
            problem = self._outside(file)
            raise FileOutside(f"cannot use a file of {quoted(entry['model_id'])}: {problem.message}", hint=problem.hint)
        return self.folder / file.path

    def files_in_trash(self, entry: EntryFields) -> dict[Path, str | None]:
        """Return where the trash has the model and the scaler of a retired entry, with their digests."""
        folder = self.trash_folder(entry)
        files = [file for file in files_of_entry(entry) if self.boundary.holds(file.path)]
        return {folder / os.path.basename(file.path): file.sha256 for file in files}

    def outside(self, entry: EntryFields) -> list[Problem]:
        """Return a problem for each file that an entry names outside of the registry's folders."""
        return [self._outside(file) for file in files_of_entry(entry) if not self.boundary.holds(file.path)]

    def _outside(self, file: StoredFile) -> Problem:
        return registry_file_outside(self.folder / file.path, self.folder, self.storage_dir)

    def files_of(self, entry: EntryFields) -> list[Path]:
        """Return the final names that an entry stands for: model, scaler if it has one, sidecar, labels file.

        Only those inside the registry's folders: what an entry names elsewhere is never moved and never removed.
        """
        files = [self.folder / file.path for file in files_of_entry(entry) if self.boundary.holds(file.path)]
        model_id = str(entry["model_id"])
        if not is_valid_id(model_id):
            return files
        return [*files, self.final_names(model_id)[2], self.labels_name(model_id)]

    def trash_folder(self, entry: EntryFields) -> Path:
        """Return the folder in the trash that a retired entry's files go to."""
        return self.trash_dir / trash_name(str(entry["model_id"]), sequence_of(entry))

    def discard(self, entry: EntryFields, named: Collection[Path] = ()) -> Path:
        """Move the files of a retired entry to the trash; what is there or missing already is passed over, and so
        is what `named` says that other entries name too.

        Called after the journal line. A crash half-way leaves some files at their final names without an
        entry; the next start does this again.
        """
        folder = self.trash_folder(entry)
        make_folder(self.disk, folder, FOLDER_MODE)
        paths = [path for path in self.files_of(entry) if path not in named]
        for path in paths:
            held = folder / path.name
            if path == self.labels_name(str(entry["model_id"])) and _exists(path) and _exists(held):
                # Of an earlier time in the trash. A crash before the move leaves the newer one at its final name.
                remove_quietly(self.disk, held)
            self._move_over(path, held)
        # The trash before the folders that the files left: a crash between leaves two names, never none. A folder
        # that is gone, files and all, has nothing to sync.
        self._sync(folder, self.trash_dir, *(path.parent for path in paths if path.parent.is_dir()))
        return folder

    def discard_file(self, entry: EntryFields, path: Path) -> None:
        """Move one file that an entry no longer names (a replaced scaler) into the entry's trash folder."""
        folder = self.trash_folder(entry)
        make_folder(self.disk, folder, FOLDER_MODE)
        self._move_over(path, folder / path.name)
        self._sync(folder, self.trash_dir, path.parent)

    def bring_back(self, entry: EntryFields, named: Collection[Path] = ()) -> None:
        """Give the files of a retired entry their final names again. Called before the journal line.

        The trash keeps them too until `let_go`, after the line: a crash in between leaves leftovers at the final
        names and the retired model restorable. Raises StorageError (ENOENT), and changes nothing, when a file is
        nowhere, RestoreRefused when one has other bytes than were registered. What other entries name too (`named`)
        never left its place.
        """
        folder = self.trash_folder(entry)
        damaged = []
        for path, digest in self.needed_files_of(entry).items():
            held = folder / path.name
            if path in named and _exists(path):
                continue
            if not _exists(held):
                if not (digest and _digest_of(path) == digest):
                    raise StorageError("restore", path, FileNotFoundError(errno.ENOENT, "not in the trash"))
            elif digest:
                found = _digest_or_error(held)
                if found != digest:
                    damaged.append(registry_trash_damaged(held, str(entry["model_id"]), found, digest))
        if damaged:
            raise RestoreRefused(
                f"cannot restore {quoted(entry['model_id'])}: its files in the trash are damaged", damaged
            )
        paths = self.files_of(entry)
        for path in paths:
            held = folder / path.name
            if not _exists(held):
                continue
            if _exists(path):
                if same_bytes(held, path):
                    continue
                self.set_aside(path)
            self._link_or_copy(held, path)
        self._sync(*(path.parent for path in paths))

    def take_away(self, entry: EntryFields, named: Collection[Path] = ()) -> None:
        """Undo `bring_back` after a failure: remove the final names of what the trash holds as well; unsynced."""
        folder = self.trash_folder(entry)
        for path in self.files_of(entry):
            if path not in named and same_bytes(folder / path.name, path):
                remove_quietly(self.disk, path)

    def let_go(self, entry: EntryFields) -> bool:
        """Remove from the trash what an entry has at its final names again; return whether there was any.

        Unsynced: what a crash leaves of it is removed at the next start. Scalers that were replaced stay.
        """
        folder = self.trash_folder(entry)
        found = False
        labels = self.labels_name(str(entry["model_id"]))
        for path in self.files_of(entry):
            held = folder / path.name
            # The labels may have changed since a crash left the file in the trash.
            if _exists(held) and (path == labels or same_bytes(held, path)):
                found = True
                remove_quietly(self.disk, held)
        with suppress(OSError):
            self.disk.rmdir(folder)
        return found

    def erase(self, folder: Path) -> int:
        """Remove a folder of the trash with its files permanently and return the bytes freed."""
        freed = 0
        try:
            for name in sorted(os.listdir(folder)):
                path = folder / name
                freed += path.lstat().st_size
                self.disk.unlink(path)
            self.disk.rmdir(folder)
            self.disk.fsync_dir(self.trash_dir)
        except FileNotFoundError:
            return freed
        except OSError as error:
            raise StorageError("purge", folder, error) from error
        return freed

    def _link(self, source: Path, final: Path) -> None:
        try:
            self.disk.link(source, final)
        except OSError as error:
            raise StorageError("place", final, error) from error

    def _move_over(self, source: Path, target: Path) -> None:
        """Move a file; one that is gone, or that stands at the target with the same bytes, is done already.

        Other bytes under the name of a file that the trash has are a leftover of the next model of that id, whose
        registration was cut short before its line: it is set aside.
        """
        try:
            move_file(self.disk, source, target)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno != errno.EEXIST:
                raise
            if not same_bytes(source, target):
                self.set_aside(source)
                return
            try:
                self.disk.unlink(source)
            except OSError as cause:
                raise StorageError("move", source, cause) from cause

    def _link_or_copy(self, source: Path, target: Path) -> None:
        """Give a file a second name; across file systems, a second file."""
        try:
            self.disk.link(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise StorageError("restore", target, error) from error
        else:
            return
        temporary = temporary_name(self.disk, target)
        try:
            fd = open_regular(source)
            try:
                copy_open_file(self.disk, fd, temporary, STORED_MODE)
            finally:
                os.close(fd)
            self.disk.rename_new(temporary, target)
        except OSError as error:
            remove_quietly(self.disk, temporary)
            raise StorageError("restore", target, error) from error

    def _sync(self, *folders: Path) -> None:
        for folder in dict.fromkeys(folders):
            try:
                self.disk.fsync_dir(folder)
            except OSError as error:
                raise StorageError("sync the folder", folder, error) from error


def same_bytes(one: Path, other: Path) -> bool:
    """Return whether two paths are one inode or hold the same bytes; False when either cannot be read."""
    opened: list[int] = []
    try:
        opened.append(open_regular(one))
        opened.append(open_regular(other))
        first, second = (os.fstat(fd) for fd in opened)
        if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
            return True
        return first.st_size == second.st_size and digest_open_file(opened[0]) == digest_open_file(opened[1])
    except OSError:
        return False
    finally:
        for fd in opened:
            os.close(fd)


def _digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None when there is none that can be read."""
    try:
        return digest_regular(path)
    except OSError:
        return None


def _digest_or_error(path: Path) -> str:
    """Return the SHA-256 of a file in the trash. Raises StorageError for one that cannot be read."""
    try:
        return digest_regular(path)
    except OSError as error:
        raise StorageError("read", path, error) from error


def _exists(path: Path) -> bool:
    """Return whether anything has that name, be it a link to nowhere."""
    return os.path.lexists(path)


def staged_paths(staging: Path, token: str) -> Sequence[Path]:
    """Return the names in the staging folder for a model, its scaler and its sidecar."""
    return staging / f"{token}.pkl", staging / f"{token}_scaler.pkl", staging / f"{token}.yaml"
