"""Pulling: bring a replica to what its source is now.

Owns the order of the steps. The source's history is read first, then its journal, then the model files that the journal
names: they are verified, and put in place before anything here names them. The journal comes after all that and is the
commit: whenever a pull is cut short, the replica is what it was, and the next pull goes on where this one ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ..base.copying import digest_regular
from ..base.disk import Disk, exists, make_folder, read_bytes, remove_quietly, replace_file, sync_files, temporary_name
from ..base.flocks import FileLock
from ..errors import ModelInboxError, RegistryCorrupted, RegistryError, StorageError
from ..problems import escaped, quoted
from ..registry.checkpoint import CHECKPOINT_MODE, NO_FILE, Mark, checkpoint_bytes, fingerprint, mark_bytes
from ..registry.entry import EntryFields
from ..registry.files import LABELS_SUFFIX, Storage
from ..registry.history import entries_after
from ..registry.journal import named_rules
from ..registry.paths import RegistryFiles
from ..registry.segments import JOURNAL_MODE, read_segment
from ..registry.state import State
from ..registry.trash import files_in_use
from .record import Record
from .transport import Transport

__all__ = ["Pulled", "pull", "read_record", "record_of"]

WORK_NAME = ".replica"
ROUNDS_MAX = 4
"""How often the journal is read again because files that it names are gone: models were retired meanwhile."""

RECORD_MODE = 0o640
_FOLDER_MODE = 0o750
_JOURNAL_SUFFIX = ".journal.jsonl"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did. `record` is what the replica is now."""

    record: Record
    new_files: int
    new_bytes: int
    removed_files: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """The source as its journal tells: the bytes of its whole lines, the entries after them, the rules they name."""

    name: str
    journal: bytes
    state: State
    rules: Collection[str]


def read_record(folder: Path) -> Record:
    """Return what the replica in a folder is. Raises RegistryError where there is none, and StorageError."""
    path = RegistryFiles(folder / "any.json").replica
    try:
        return Record.decode(read_bytes(path))
    except FileNotFoundError:
        raise RegistryError(
            f"cannot find a replica in {str(folder)!r}: there is no {path.name}",
            hint="`model-inbox replica pull SOURCE DIR` makes one in an empty folder",
        ) from None
    except (ValueError, TypeError) as error:
        raise RegistryError(
            f"cannot read {str(path)!r}: {escaped(error)}", hint="Remove the folder, and pull again"
        ) from error


def record_of(folder: Path) -> Record:
    """Return what `read_record` does; for a folder that is no replica a record that covers everything."""
    return read_record(folder) if exists(RegistryFiles(folder / "any.json").replica) else Record("")


def pull(
    source: str, folder: Path, *, aliases: Collection[str] = (), clock: Callable[[], datetime], disk: Disk
) -> Pulled:
    """Bring the replica in `folder`, which is made if it is missing or empty, to what `source` is now.

    With `aliases` only the files of models that these name are fetched, and those that were fetched stay as long as
    their model is registered. Raises RegistryLocked for another pull at work, RegistryError for a folder that holds
    something else, RegistryCorrupted and StorageError for a source that cannot be read; the replica stays what it was.
    """
    transport = Transport(source)
    folder = folder.absolute()
    record = _opened(folder, transport.source, disk)
    with FileLock(folder / f"{WORK_NAME}.lock", "replica's") as lock:
        lock.acquire(0)
        try:
            begun = clock()
            # Before anything is here: no writer takes the folder for a registry of its own.
            record = replace(record, aliases=tuple(sorted(aliases)))
            _write_record(folder, record, disk)
            return _pull(transport, folder, record, begun, disk)
        except ModelInboxError as error:
            with suppress(ModelInboxError):
                # Other pulls do not run: the lock is held.
                said = replace(read_record(folder), failed_at=clock(), problem=escaped(error, 1000))
                _write_record(folder, said, disk)
            raise
        finally:
            lock.close()


def _opened(folder: Path, source: str, disk: Disk) -> Record:
    """Return the record of the replica in the folder, or a new one for a folder that is empty or missing."""
    make_folder(disk, folder, _FOLDER_MODE)
    names = set(os.listdir(folder)) - {f"{WORK_NAME}.lock"}
    if not names:
        return Record(source)
    record = read_record(folder)
    if record.source != source:
        raise RegistryError(
            f"cannot pull into {str(folder)!r}: it is a replica of {quoted(record.source)}",
            hint="Give another folder, or remove this one",
        )
    return record


def _pull(transport: Transport, folder: Path, record: Record, begun: datetime, disk: Disk) -> Pulled:
    work = folder / WORK_NAME
    for path in (work / "registry", work / "files"):
        make_folder(disk, path, _FOLDER_MODE)
    storage = Storage(folder, folder / "prediction", disk)
    counted = [0, 0]
    for left in reversed(range(ROUNDS_MAX)):
        try:
            transport.fetch_history(work / "registry")
            transport.fetch_journal(work / "registry")
            seen = _look(work / "registry", folder)
            if not all(exists(RegistryFiles(work / "registry" / "any.json").rules(digest)) for digest in seen.rules):
                # A line names rules that were kept after the history was fetched.
                transport.fetch_rules(work / "registry")
        except RegistryCorrupted:
            # A segment was closed between the two.
            if left == 0:
                raise
            continue
        needed = _needed(filter(record.covers, seen.state.entries.values()), storage, folder)
        missing = {
            name: digest
            for name, digest in needed.items()
            if record.files.get(name) != digest or not disk.exists(folder / name)
        }
        if not missing:
            break
        transport.fetch_files(missing, work / "files")
        came = _place(missing, work / "files", folder, disk)
        record = replace(record, files={**record.files, **{name: missing[name] for name in came}})
        # What is here need not be fetched again, whatever comes next.
        _write_record(folder, record, disk)
        counted[0] += len(came)
        counted[1] += sum(came.values())
        lacking = tuple(sorted(missing.keys() - came.keys()))
        if not lacking:
            break
    record = replace(record, lacking=lacking if missing else ())
    _publish(seen, work / "registry", folder, disk)
    _fetch_texts(transport, filter(record.covers, seen.state.entries.values()), storage, folder)
    files, removed = _without_retired(record.files, seen.state, storage, folder, disk)
    record = replace(
        record,
        registry=f"{seen.name}.json",
        pulled_at=begun,
        position=str(seen.state.position or ""),
        models=len(seen.state.entries),
        files=files,
        failed_at=None,
        problem="",
    )
    _write_record(folder, record, disk)
    return Pulled(record, counted[0], counted[1], removed)


def _look(fetched: Path, folder: Path) -> _Seen:
    """Return the source as the fetched history and journal tell. Raises RegistryCorrupted if they do not fit."""
    journals = sorted(name for name in os.listdir(fetched) if name.endswith(_JOURNAL_SUFFIX))
    if len(journals) != 1:
        found = ", ".join(map(quoted, journals)) or "none"
        raise RegistryError(
            f"cannot pull: the source has not one journal, but {found}",
            hint="Name the folder that the source's registry is in",
        )
    name = journals[0].removesuffix(_JOURNAL_SUFFIX)
    files = RegistryFiles(fetched / f"{name}.json")
    segment = read_segment(files.journal)
    header = segment.header
    entries = entries_after(files, header.base_sequence) if header.base_sequence else {}
    state = State(str(folder), entries, header.base_sequence, header.base_time, header.identity)
    for line in segment.lines:
        state.apply(line)
    return _Seen(name, read_bytes(files.journal)[: segment.end], state, named_rules(segment.lines))


def _needed(entries: Iterable[EntryFields], storage: Storage, folder: Path) -> dict[str, str]:
    """Return the files of these models, by their paths below the folder, with their digests."""
    needed: dict[str, str] = {}
    for entry in entries:
        for path, digest in storage.needed_files_of(entry).items():
            needed[str(path.relative_to(folder))] = digest or ""
    return needed


def _place(missing: Mapping[str, str], fetched: Path, folder: Path, disk: Disk) -> dict[str, int]:
    """Put files that came, and are what their entries say, in their places, durably. Return them with their sizes.

    A crash leaves a file where it was fetched, or in its place with nothing that names it yet: it is fetched, or
    verified, again.
    """
    came: dict[str, int] = {}
    for name, digest in missing.items():
        with suppress(OSError):
            if digest in ("", digest_regular(fetched / name)):
                came[name] = disk.lstat(fetched / name).st_size
            else:
                # It was changed there, or is of another model by now.
                disk.unlink(fetched / name)
    sync_files(disk, [fetched / name for name in came])
    try:
        for name in came:
            make_folder(disk, (folder / name).parent, _FOLDER_MODE)
            disk.rename(fetched / name, folder / name)
        for parent in {(folder / name).parent for name in came}:
            disk.fsync_dir(parent)
    except OSError as error:
        raise StorageError("put a model file into", folder, error) from error
    return came


def _publish(seen: _Seen, fetched: Path, folder: Path, disk: Disk) -> None:
    """Let the replica's registry be what the source is. The journal is the commit.

    Until the last step there is no mark, so that who opens the replica takes the entries from the history, which has
    what the old journal builds on and what the new one does. The JSON file is never ahead of the journal.
    """
    files = RegistryFiles(folder / f"{seen.name}.json")
    with suppress(FileNotFoundError):
        if read_bytes(files.journal) == seen.journal:
            return
    data = checkpoint_bytes(seen.state.entries)
    make_folder(disk, files.history, _FOLDER_MODE)
    there = sorted(os.listdir(fetched / "history")) if (fetched / "history").is_dir() else []
    try:
        for name in there:
            _link_over(fetched / "history" / name, files.history / name, disk)
        disk.fsync_dir(files.history)
        with suppress(FileNotFoundError):
            disk.unlink(files.mark)
        disk.fsync_dir(folder)
    except OSError as error:
        raise StorageError("write the history of", folder, error) from error
    replace_file(disk, files.journal, seen.journal, JOURNAL_MODE)
    replace_file(disk, files.path, data, CHECKPOINT_MODE)
    mark = Mark(seen.state.sequence, fingerprint(data), NO_FILE, seen.state.identity)
    replace_file(disk, files.mark, mark_bytes(mark), CHECKPOINT_MODE)
    for name in set(os.listdir(files.history)) - set(there):
        remove_quietly(disk, files.history / name)


def _link_over(source: Path, target: Path, disk: Disk) -> None:
    """Give a fetched file its place in the history. A crash leaves the old one, or the new one."""
    with suppress(FileNotFoundError):
        if os.path.samestat(disk.lstat(source), disk.lstat(target)):
            return
    temporary = temporary_name(disk, target)
    disk.link(source, temporary)
    disk.rename(temporary, target)


def _fetch_texts(transport: Transport, entries: Iterable[EntryFields], storage: Storage, folder: Path) -> None:
    """Fetch the sidecars and labels files of these models: `verify` reads them, no server does.

    Labels change with each label, so rsync compares them each time. It replaces files as a whole.
    """
    names: list[str] = []
    for entry in entries:
        loaded = storage.needed_files_of(entry)
        names += [str(path.relative_to(folder)) for path in storage.files_of(entry) if path not in loaded]
    if names:
        transport.fetch_files(names, folder)


def _without_retired(
    files: Mapping[str, str], state: State, storage: Storage, folder: Path, disk: Disk
) -> tuple[dict[str, str], int]:
    """Remove the files of models that are registered no more, and that nobody has open. Return those that are left."""
    registered = _needed(state.entries.values(), storage, folder)
    doomed = [name for name in files if name not in registered and not files_in_use([folder / name])]
    for name in doomed:
        remove_quietly(disk, folder / name)
        text = folder / name.removesuffix(".pkl")
        if text.name not in state.entries:
            remove_quietly(disk, text.with_name(f"{text.name}.yaml"))
            remove_quietly(disk, text.with_name(f"{text.name}{LABELS_SUFFIX}"))
    return {name: digest for name, digest in files.items() if name not in doomed}, len(doomed)


def _write_record(folder: Path, record: Record, disk: Disk) -> None:
    replace_file(disk, RegistryFiles(folder / "any.json").replica, record.encode(), RECORD_MODE)
