"""Rebuild a registry from what is left of a damaged one: journal segments first, then sidecars and files.

Owns `rebuild`. It looks at everything first and decides in memory, then writes. Nothing is deleted: what is replaced
or belongs to no entry any more is kept in `<registry>.rebuilt-<time>/` beside the registry. The history goes on: lines
that are whole stay as they are under their numbers, a line that is lost is told by a line of its own (operation
`rebuild`), and what the rebuild finds out is committed as further lines by the actor `rebuild`. Never makes a model
less restricted than it was: one of which only its sidecar is left is scanned like a drop, and may import what the
scan saw.

A crash at any step leaves what a further rebuild ends with the same entries: a sound line is in a segment at its place
until the new segment with it is there, and files leave their names only when no entry could use them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from ...base.copying import move_file
from ...base.disk import Disk, make_folder, open_regular, remove_quietly, replace_file
from ...base.flocks import FileLock
from ...errors import RegistryLocked, StorageError
from ...pickles import Allowlist, Scanner
from ..checkpoint import CHECKPOINT_MODE, NO_FILE, Mark, checkpoint_bytes, fingerprint, mark_bytes
from ..entry import EntryFields, as_fields
from ..files import STORED_MODE, Storage, same_bytes
from ..journal import FORMAT, encode_line, format_of_entry, format_of_line
from ..label_format import has_labels, label_bytes, labelled
from ..opening import must_be_no_replica
from ..paths import RegistryFiles
from ..position import Identity, newest
from ..segments import base_files, base_name, base_sequence, begin_segment, segment_name
from ..stored_sidecar import has_sidecar, sidecar_of_entry
from ..unfinished import Unfinished
from .evidence import read_evidence
from .label_recovery import Recovered
from .rebuild_plan import Lost, Owners, Plan, nothing_to_do
from .undone import Undone
from .verify import check_sidecar

__all__ = ["Lost", "Rebuilt", "Undone", "rebuild"]

WRITER_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild made.

    `entries` are registered now; `lines` of the history were kept, `lines_lost` of it are gone: those with the numbers
    in `lines_missing`, pairs of a first and a last one. `from_checkpoint` are ids that only the JSON file told of,
    `from_sidecars` those that only a stored sidecar did (scanned again; what `not_recovered` lists of them is lost).
    `labels_recovered` are the labels that only labels files told of, `labels_lost` those that were not taken from them
    and why, `without_labels` the models from sidecars without a labels file that counts: what they had is not known.
    `retired` those whose files were found in the trash. `undone` are the entries that are not what the JSON file showed
    before. The old files are in `kept_in`. The registry keeps its `registry_id` where any file tells it, and begins
    another `epoch`.
    """

    entries: int
    lines: int
    lines_lost: int
    lines_missing: tuple[tuple[int, int], ...]
    from_checkpoint: tuple[str, ...]
    from_sidecars: tuple[str, ...]
    retired: tuple[str, ...]
    not_recovered: tuple[str, ...]
    labels_recovered: tuple[Recovered, ...]
    labels_lost: tuple[Lost, ...]
    without_labels: tuple[str, ...]
    undone: tuple[Undone, ...]
    lost: tuple[Lost, ...]
    kept_in: str
    registry_id: str
    epoch: str


def rebuild(
    registry_path: str | os.PathLike[str],
    storage_dir: str | os.PathLike[str],
    *,
    disk: Disk,
    clock: Callable[[], datetime],
    scanner: Scanner | None = None,
    told: Iterable[Identity] = (),
    owners: Owners = MappingProxyType({}),
) -> Rebuilt:
    """Rebuild the registry at `registry_path`; afterwards `audit.verify` finds nothing.

    `told` are identities that others were told of, as in receipts, the last one first: they count where the registry's
    own files name none, and no epoch gets the number of one of them. `owners` are the users who dropped models, as
    receipts tell: sidecars do not. `scanner` judges models of which only a sidecar is left (default: the shipped
    allowlist). Raises RegistryLocked when a daemon or another writer holds the registry, RegistryTooNew for files of a
    newer version, RegistryError for a replica and when there is nothing to make it from, StorageError and ScanError;
    what was there then is there still, and a further rebuild goes on.
    """
    path, folder = Path(registry_path).absolute(), Path(storage_dir).absolute()
    if not path.parent.is_dir():
        raise nothing_to_do(path, "its folder is missing")
    must_be_no_replica(path)
    files = RegistryFiles(path)
    daemon = FileLock(files.daemon_lock, "daemon's")
    writer = FileLock(files.writer_lock, "registry writer's")
    with contextlib.ExitStack() as stack:
        for lock, seconds in ((daemon, 0.0), (writer, WRITER_WAIT_SECONDS)):
            stack.callback(lock.close)
            _acquire(lock, seconds)
        own = scanner if scanner is not None else Scanner(Allowlist.load())
        if scanner is None:
            stack.callback(own.close)
        plan = Plan(read_evidence(path), Storage(path.parent, folder, disk), own, clock(), owners)
        plan.decide()
        known = newest((*plan.evidence.identities, *plan.labels.identities, *told))
        identity = known.next_epoch(disk.token) if known is not None else Identity.new(disk.token)
        return _Writing(plan, identity, disk).carry_out()


def _acquire(lock: FileLock, seconds: float) -> None:
    try:
        lock.acquire(seconds)
    except RegistryLocked as error:
        raise RegistryLocked(
            f"cannot rebuild the registry while it is in use: {error.message}",
            hint="Stop the daemon, let other writers end, and try again",
        ) from error


class _Writing:
    """Carries a plan out, in an order that a crash does no harm to. Under both locks."""

    def __init__(self, plan: Plan, identity: Identity, disk: Disk) -> None:
        self.plan = plan
        self.identity = identity
        self.evidence = plan.evidence
        self.format = _format_of(plan)
        self.files = plan.evidence.files
        self.storage = plan.storage
        self.disk = disk
        self.kept = _free_name(self.files.rebuilt(plan.now))

    def carry_out(self) -> Rebuilt:
        """Write the new registry. Raises StorageError."""
        self._keep_old_files()
        self._move_files()
        self._mend_files()
        self._write_history()
        self._write_labels()
        plan = self.plan
        return Rebuilt(
            len(plan.entries),
            sum(1 for number in plan.lines if number in self.evidence.lines),
            plan.lines_lost,
            tuple(plan.lines_missing),
            tuple(plan.from_checkpoint),
            tuple(plan.from_sidecars),
            tuple(plan.retired),
            plan.not_recovered,
            tuple(plan.labels_recovered),
            tuple(plan.labels_lost),
            tuple(plan.without_labels),
            tuple(plan.undone),
            tuple(plan.lost),
            str(self.kept),
            self.identity.registry_id,
            self.identity.epoch,
        )

    def _keep_old_files(self) -> None:
        """Give the registry's own files a second name each, so that what replaces them takes nothing away.

        A crash before the fsync may forget second names, after it leaves them all: the files are where they were
        either way, and the next rebuild keeps them in a folder of its own.
        """
        make_folder(self.disk, self.kept)
        damaged = self._not_sound()
        bases = base_files(self.files.history)
        with self._saying("keep the old files in", self.kept):
            for path in (self.files.path, self.files.mark, self.files.journal, *damaged, *bases):
                if os.path.lexists(path):
                    self.disk.link(path, self.kept / path.name)
            self.disk.fsync_dir(self.kept)

    def _not_sound(self) -> list[Path]:
        """Return the closed segments that cannot stay as they are."""
        return [piece.path for piece in self.evidence.closed if piece.problems]

    def _move_files(self) -> None:
        """Move what no entry names: of retired models to the trash, all other to the old files.

        Sidecars go first, durably: a crash in between leaves files without one, of which the next rebuild makes
        no entry. A model that is still there beside its sidecar, its scaler gone, would be taken for one without.
        The folders that files come to are synced before those that they leave: a crash leaves a name, or two.
        """
        self.storage.make_folders()
        for entry, path in self.plan.discards:
            if path is None:
                folder = self.storage.trash_folder(entry)
                other = [p for p in self.storage.files_of(entry) if _is_other(p, folder / p.name)]
                self._keep_files(other, self.kept / "files")
                self.storage.discard(entry)
            else:
                self.storage.discard_file(entry, path)
        for is_sidecar in (True, False):
            leftovers = [path for path in self.plan.leftovers if (path.suffix == ".yaml") == is_sidecar]
            self._keep_files(leftovers, self.kept / "files")
        for path in self.plan.extra:
            self._keep_files([path], self.kept / "trash" / path.parent.name)
        for folder in self.plan.strangers:
            inside = [folder] if not folder.is_dir() or folder.is_symlink() else sorted(folder.iterdir())
            self._keep_files(inside, self.kept / "trash" / folder.name)
            # The empty folder: before its removal a crash leaves a folder that the next rebuild removes.
            with contextlib.suppress(OSError):
                self.disk.rmdir(folder)

    def _keep_files(self, paths: Iterable[Path], target: Path) -> None:
        left = set()
        for path in paths:
            make_folder(self.disk, target)
            move_file(self.disk, path, target / path.name)
            left.add(path.parent)
        with self._saying("keep files in", target):
            for folder in (target, *sorted(left)) if left else ():
                self.disk.fsync_dir(folder)

    def _mend_files(self) -> None:
        """Write sidecars that are missing or say something else, and take away what others may change.

        The old sidecar goes to the old files first: a crash between leaves none, and the next rebuild writes it.
        """
        for line in self.plan.retirements.values():
            removed = as_fields(line.removed or {})
            folder = self.storage.trash_folder(removed)
            if check_sidecar(self.storage, removed, folder) is not None:
                self._write_sidecar(removed, folder, self.kept / "trash" / folder.name)
        for entry in self.plan.entries.values():
            if check_sidecar(self.storage, entry) is not None:
                self._write_sidecar(entry, self.storage.storage_dir, self.kept / "files")
            if self.plan.labels.why_not(entry) is not None:
                self._keep_files([self.storage.labels_name(str(entry["model_id"]))], self.kept / "files")
            for path in self.storage.needed_files_of(entry) if not self.storage.outside(entry) else ():
                fd = open_regular(path)
                try:
                    if os.fstat(fd).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                        self.disk.chmod(fd, STORED_MODE)  # a crash before it leaves it to the next rebuild
                except OSError as error:
                    raise StorageError("set the mode of", path, error) from error
                finally:
                    os.close(fd)

    def _write_sidecar(self, entry: EntryFields, folder: Path, kept: Path) -> None:
        text = sidecar_of_entry(entry)
        if text is None:
            return  # an entry that no writer of ours made: nothing to write it from
        path = folder / self.storage.final_names(str(entry["model_id"]))[2].name
        if os.path.lexists(path):
            self._keep_files([path], kept)
        replace_file(self.disk, path, text, STORED_MODE)

    def _write_labels(self) -> None:
        """Write the labels files that are needed or there, after the lines: all of them name the new epoch.

        A crash before that leaves files that the next writer finds behind, or that name an earlier epoch.
        """
        plan = self.plan
        noted = Unfinished()
        for number in sorted(self.evidence.lines):
            noted.note(self.evidence.lines[number].line)
        last = max(plan.reached + len(plan.added), plan.base.sequence)
        for model_id, entry in plan.entries.items():
            before = plan.labels.of(entry)
            if has_sidecar(entry) and (before is not None or has_labels(entry) or model_id in noted.labels):
                # A file that agrees knows best who set the labels.
                agrees = before is not None and not before.differences(entry)
                changes = () if agrees else noted.labels.get(model_id, ())
                data = label_bytes(labelled(entry, self.identity, last, before, changes))
                replace_file(self.disk, self.storage.labels_name(model_id), data, STORED_MODE)

    def _write_history(self) -> None:
        """Write what of the history is not in sound segments, then the journal, then the JSON file with its mark."""
        plan = self.plan
        make_folder(self.disk, self.files.history)
        if self.evidence.base is None and plan.base.sequence > 0:
            # Before the journal: the segments that build on it are read by its number. A crash leaves a base too many.
            data = checkpoint_bytes(plan.base.entries)
            base = self.files.history / base_name(plan.base.sequence, data)
            replace_file(self.disk, base, data, CHECKPOINT_MODE)
            for other in base_files(self.files.history):  # a damaged one, which is kept by now, must not be met first
                if other != base and base_sequence(other) == plan.base.sequence:
                    remove_quietly(self.disk, other)
        lines = {**plan.lines, **{line.sequence: encode_line(line) for line in plan.added}}
        *runs, tail = self._runs(lines)
        for begins, numbers in runs:
            # In place of the damaged segment whose sound lines it holds; a crash before the rename leaves that one.
            path = self.files.history / segment_name(begins)
            self._begin_segment(path, begins, numbers, lines)
        begins, numbers = tail
        # The commit, with which the new epoch begins: a crash before this rename leaves the old journal, and the next
        # rebuild comes to the same end; after it the lines that the rebuild added are in the history, and the next one
        # finds them there. Until the mark follows, it is of the old epoch, and nobody reads the JSON file as current.
        self._begin_segment(self.files.journal, begins, numbers, lines)
        self._remove_damaged({self.files.history / segment_name(begins) for begins, _ in runs})
        self._write_checkpoint(max(lines, default=plan.base.sequence))

    def _runs(self, lines: Mapping[int, bytes]) -> list[tuple[int, list[int]]]:
        """Return the lines that sound closed segments do not hold, as segments: (line before it, its lines).

        The last one, which may be empty, becomes the journal.
        """
        kept = [piece for piece in self.evidence.closed if not piece.problems]
        covered = {sound.line.sequence for piece in kept for sound in piece.lines}
        bounds = {piece.begins_after for piece in self.evidence.pieces}
        runs: list[tuple[int, list[int]]] = []
        for number in sorted(lines):
            if number in covered:
                continue
            if not runs or runs[-1][1][-1] != number - 1 or number - 1 in bounds:
                runs.append((number - 1, []))
            runs[-1][1].append(number)
        last = max(lines, default=self.plan.base.sequence)
        if not runs or runs[-1][1][-1] != last:
            runs.append((last, []))
        return runs

    def _begin_segment(self, path: Path, begins: int, numbers: list[int], lines: Mapping[int, bytes]) -> None:
        data = b"".join(lines[number] for number in numbers)
        begin_segment(self.disk, path, self.identity, begins, self.plan.times.get(begins, ""), data, name=self.format)

    def _remove_damaged(self, written: set[Path]) -> None:
        """Remove damaged segments whose lines are in the journal by now, or nowhere; the old files have them.

        A crash before an unlink leaves a damaged segment in the history, which the next rebuild takes away.
        """
        with self._saying("remove damaged segments from", self.files.history):
            for path in self._not_sound():
                if path not in written:
                    self.disk.unlink(path)
            self.disk.fsync_dir(self.files.history)

    def _write_checkpoint(self, sequence: int) -> None:
        """Write the mark, then the JSON file, as for any checkpoint.

        The mark allows for the JSON file that is there only if that is sound: else a crash between the two would
        make a damaged one pass. It leaves one that does not fit its mark instead, and a further rebuild.
        """
        data = checkpoint_bytes(self.plan.entries)
        old = self.evidence.data if self.evidence.entries is not None else None
        mark = Mark(sequence, fingerprint(data), fingerprint(old) if old is not None else NO_FILE, self.identity)
        replace_file(self.disk, self.files.mark, mark_bytes(mark), CHECKPOINT_MODE)
        replace_file(self.disk, self.files.path, data, CHECKPOINT_MODE)

    @contextlib.contextmanager
    def _saying(self, operation: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(operation, path, error) from error


def _format_of(plan: Plan) -> str:
    """Return the format of the new segments: that of the old ones, unless a line or an entry needs a later one."""
    formats = [piece.header.format for piece in plan.evidence.pieces if piece.header is not None]
    lines = [*(sound.line for sound in plan.evidence.lines.values()), *plan.added]
    return max(FORMAT, *formats, *map(format_of_line, lines), *map(format_of_entry, plan.entries.values()))


def _is_other(path: Path, held: Path) -> bool:
    """Return whether two files are there and differ."""
    return os.path.lexists(path) and os.path.lexists(held) and not same_bytes(path, held)


def _free_name(path: Path) -> Path:
    """Return `path`, or the first of its numbered names that is free."""
    number = 1
    free = path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
