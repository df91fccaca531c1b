"""Comparing a registry with what is on the disk: its own files with each other, and its entries with the models.

Owns `verify`, which tells everything that is wrong at once, and the single comparisons that `rebuild` shares. Never
changes anything, takes no lock and needs no right to write: a daemon may be at work meanwhile. What it changes under
our eyes looks wrong for a moment, so whatever looks wrong is looked at again, in a registry that is read again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...base.disk import Disk, open_regular, read_regular
from ...errors import RegistryCorrupted, RegistryMissing, RegistryTooNew, StorageError, raise_if_transient
from ...model.metadata import LATER_FIELDS, fields_of
from ...model.sidecar import parse_sidecar
from ...model.sidecar_fields import SIDECAR_BYTES_MAX
from ...pickles import PickleReport, Scanner, changes_since
from ...problems import Problem, quoted
from ...problems.journal import journal_cut
from ...problems.registry import (
    registry_digest_mismatch,
    registry_entry_differs,
    registry_entry_incomplete,
    registry_file_missing,
    registry_file_not_regular,
    registry_file_writable,
    registry_labels_damaged,
    registry_labels_differ,
    registry_labels_missing,
    registry_leftover_file,
    registry_rules_damaged,
    registry_rules_missing,
    registry_sidecar_damaged,
    registry_sidecar_differs,
    registry_sidecar_missing,
    registry_size_mismatch,
    registry_staging_leftover,
    registry_storage_missing,
    registry_trash_damaged,
    registry_trash_extra,
    registry_trash_incomplete,
    registry_trash_missing,
    registry_trash_unknown,
    registry_unreadable,
    registry_verdict_changed,
)
from ..entry import EntryFields, as_fields, files_of_entry, sequence_of
from ..files import Storage
from ..healing import is_set_aside
from ..history import Retirements, retirements
from ..journal import named_rules
from ..kept_rules import rules_files, sound_rules
from ..label_files import read_labels
from ..label_format import has_labels
from ..paths import RegistryFiles
from ..state import State
from ..stored_sidecar import has_sidecar
from .evidence import Base, Evidence, read_evidence, unreadable

__all__ = [
    "Progress",
    "check_file",
    "check_sidecar",
    "extra_files",
    "is_sound",
    "leftovers_in",
    "retirements_in",
    "stranger_folders",
    "verify",
]

Progress = Callable[[int, int], None]
"""Told how many bytes are read, and of how many."""

_LOOK_AGAIN_SECONDS = (0.05, 0.2, 0.75)
"""How long to wait before each further look at what seemed wrong: a commit that is under way is over by then."""

_STAGING_SECONDS = 86_400
_CHUNK_BYTES = 1 << 20
_LEFTOVER = re.compile(r".+\.leftover-[0-9]+", re.ASCII)
_LATE = datetime(9000, 1, 1, tzinfo=UTC)  # whether trained_at was in the future was asked when it was registered
_MAY_CHANGE = frozenset({"tags"})  # of what a sidecar says: by `model-inbox tag`


def _all(_: EntryFields) -> bool:
    return True


def verify(
    registry_path: str | os.PathLike[str],
    storage_dir: str | os.PathLike[str],
    *,
    digests: bool = True,
    progress: Progress | None = None,
    scanner: Scanner | None = None,
    rescanned: Callable[[str, Sequence[str]], None] | None = None,
    belongs_here: Callable[[EntryFields], bool] = _all,
) -> list[Problem]:
    """Return everything that does not agree: registry, journal, history, stored files, trash; [] when all does.

    Each problem says what was found, in which file (damage: at which byte), and what to do. With `digests` every
    stored file is read; `progress` is told how far that is. With a `scanner`, a model whose verdict was another
    Python's, or that of another allowlist, is scanned again: `rescanned` is told its id and what has changed. The
    files of entries that do not belong here are not asked for: those that a replica of some aliases does without.
    Raises RegistryMissing when there is no registry at all, ScanError when no worker can be started.
    """
    path, folder = Path(registry_path).absolute(), Path(storage_dir).absolute()
    look = _Look(path, folder, belongs_here)
    if not look.evidence.pieces and look.evidence.data is None and look.evidence.mark is None:
        raise RegistryMissing(
            f"cannot verify the registry {str(path)!r}: there is none",
            hint="Is the path right? `registry.path` in config.yaml says where it is",
        )
    whole = look.problems()
    count = look.counter(progress) if digests else None
    by_model = look.check_models(look.here, count)
    in_trash = look.check_trash(look.retirements, count)
    if scanner is not None and digests:
        for model_id, problems in look.judge_again(look.here.keys() - by_model.keys(), scanner, rescanned).items():
            by_model[model_id] = problems
    for seconds in _LOOK_AGAIN_SECONDS:
        if not whole and not by_model and not in_trash:
            break
        time.sleep(seconds)
        look = _Look(path, folder, belongs_here)
        again = set(look.problems())
        whole = [problem for problem in whole if problem in again]
        unseen = look.counter(None) if digests else None
        models_again = look.check_models(by_model, unseen)
        if scanner is not None and digests:
            models_again.update(look.judge_again(by_model.keys() - models_again.keys(), scanner, None))
        kept = {m: [p for p in found if p in models_again.get(m, ())] for m, found in by_model.items()}
        by_model = {model_id: found for model_id, found in kept.items() if found}
        trash_again = look.check_trash(in_trash, unseen)
        in_trash = {key: [p for p in found if p in trash_again.get(key, ())] for key, found in in_trash.items()}
        in_trash = {key: found for key, found in in_trash.items() if found}
    return [*whole, *(problem for found in (*by_model.values(), *in_trash.values()) for problem in found)]


class _Look:
    """The registry and its folders at one moment."""

    def __init__(self, path: Path, storage_dir: Path, belongs_here: Callable[[EntryFields], bool] = _all) -> None:
        self.evidence = read_evidence(path)
        self.storage = Storage(path.parent, storage_dir, Disk())
        self.is_replica = os.path.lexists(RegistryFiles(path).replica)
        state = self.evidence.seen() or self.evidence.known() or self._replayed()
        self.entries: Mapping[str, EntryFields] = state.entries
        self.here = {model_id: entry for model_id, entry in state.entries.items() if belongs_here(entry)}
        """The entries whose files are asked for."""
        self.retirements = retirements_in(self.evidence)
        lines = (self.evidence.lines[number].line for number in sorted(self.evidence.lines))
        self.tagged = {line.model_id: line.sequence for line in lines if line.operation == "tag"}
        """The last line that set tags by hand, by model."""

    def _replayed(self) -> State:
        return self.evidence.replayed(self.evidence.base or Base(0, {}))

    def problems(self) -> list[Problem]:
        """Return what is wrong beside the models' own files."""
        found = [*self.evidence.problems, *self._replay(), *self._leftovers(), *self._trash(), *self._staging()]
        found += self._rules()
        return list(dict.fromkeys(found))

    def _replay(self) -> Iterator[Problem]:
        """Compare the entries that readers see with those that the whole history gives."""
        if not self.evidence.is_whole or self.evidence.seen() is None:
            return  # told already, and without all lines there is nothing to compare with
        replayed = self._replayed().entries
        for model_id in sorted(self.entries.keys() | replayed.keys()):
            here, there = self.entries.get(model_id), replayed.get(model_id)
            if here == there:
                continue
            if here is None or there is None:
                what = "is not in the JSON file, but in the journal" if here is None else "is in no line of the journal"
            else:
                names = sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))
                what = f"is not what the journal says: {', '.join(quoted(name) for name in names)}"
            yield registry_entry_differs(self.evidence.files.path, model_id, what)

    def _leftovers(self) -> Iterator[Problem]:
        try:
            paths = leftovers_in(self.storage, self.evidence.files, self.entries.values())
        except FileNotFoundError:
            yield registry_storage_missing(self.storage.storage_dir)
        except OSError as error:
            yield unreadable(self.storage.storage_dir, error)
        else:
            for path in paths:
                yield registry_leftover_file(path)

    def _trash(self) -> Iterator[Problem]:
        for line in self.retirements.values():
            removed = as_fields(line.removed or {})
            folder = self.storage.trash_folder(removed)
            if not folder.is_dir():
                # A replica has no trash.
                if not self.is_replica:
                    yield registry_trash_missing(folder, line.model_id, line.sequence)
            elif not is_complete(self.storage, removed):
                yield registry_trash_incomplete(folder, line.model_id, line.sequence)
            for path in extra_files(self.storage, removed):
                yield registry_trash_extra(path, line.model_id)
        try:
            strangers = stranger_folders(self.storage, self.retirements, self.entries.values())
        except OSError as error:
            yield unreadable(self.storage.trash_dir, error)
            return
        for folder in strangers:
            yield registry_trash_unknown(folder)

    def _rules(self) -> Iterator[Problem]:
        """Look whether the rules that lines name are kept, and are what they were."""
        files = self.evidence.files
        named = named_rules(self.evidence.lines[number].line for number in sorted(self.evidence.lines))
        try:
            there = rules_files(files.history)
            damaged = [path for path in there if sound_rules(path) is None]
        except OSError as error:
            yield unreadable(files.history, error)
            return
        for path in damaged:
            yield registry_rules_damaged(path)
        for path in sorted({files.rules(digest) for digest in named} - {*there}):
            yield registry_rules_missing(path)

    def _staging(self) -> Iterator[Problem]:
        names: list[str] = []
        with suppress(OSError):  # the folder is the writers' own: others see nothing of it, and need not
            names = sorted(os.listdir(self.storage.staging_dir))
        for name in names:
            path = self.storage.staging_dir / name
            with suppress(OSError):
                found = path.lstat()
                if _now().timestamp() - max(found.st_mtime, found.st_ctime) > _STAGING_SECONDS:
                    yield registry_staging_leftover(path)

    def counter(self, progress: Progress | None) -> _Counter:
        """Return what adds up the bytes that are read: all of the models, and of what the trash holds."""
        paths = [
            path
            for entry in self.here.values()
            if not self.storage.outside(entry)
            for path in self.storage.needed_files_of(entry)
        ]
        for line in self.retirements.values():
            paths += self.storage.files_in_trash(as_fields(line.removed or {}))
        return _Counter(progress, sum(_size(path) or 0 for path in paths) if progress is not None else 0)

    def check_models(self, model_ids: Collection[str], count: _Counter | None) -> dict[str, list[Problem]]:
        """Return what is wrong with the files of these models, by model, as far as they are registered.

        With `count` their bytes are read.
        """
        found = {}
        for model_id in model_ids:
            if model_id in self.here:
                entry = self.here[model_id]
                outside = self.storage.outside(entry)
                files = {} if outside else self.storage.needed_files_of(entry)
                problems = [_of_model(problem, model_id) for problem in outside]
                problems += self._check_model(model_id, entry, files, count)
                if problems:
                    found[model_id] = problems
        return found

    def check_trash(
        self, keys: Collection[tuple[str, int]], count: _Counter | None
    ) -> dict[tuple[str, int], list[Problem]]:
        """Return what is wrong with the files that the trash has of these retired models, as `retirements` names them.

        A missing model or scaler is in `problems` already.
        """
        found = {}
        for key in keys:
            line = self.retirements.get(key)
            removed = as_fields((line.removed if line is not None else None) or {})
            if line is None or not self.storage.trash_folder(removed).is_dir():
                continue
            problems = list(_damaged_in_trash(self.storage, line.model_id, removed, count))
            sidecar = check_sidecar(self.storage, removed, self.storage.trash_folder(removed))
            problems += [sidecar] if sidecar is not None else []
            labels = self._check_labels(removed, self.storage.trash_folder(removed))
            problems += [labels] if labels is not None else []
            if problems:
                found[key] = problems
        return found

    def _check_model(
        self, model_id: str, entry: EntryFields, files: Mapping[Path, str | None], count: _Counter | None
    ) -> Iterator[Problem]:
        if not entry.get("model_path"):
            yield registry_entry_incomplete(self.evidence.files.path, model_id)
        sound = True
        for path, digest in files.items():
            problem = check_file(path, digest, count)
            if problem is not None:
                sound = False
                yield _of_model(problem, model_id)
            elif _writable_by_others(path):
                yield registry_file_writable(path, model_id)
        sizes = [_size(path) for path in files]
        known = entry.get("size_bytes")
        if sound and files and isinstance(known, int) and None not in sizes:
            total = sum(size for size in sizes if size is not None)
            if total != known:
                yield registry_size_mismatch(next(iter(files)), model_id, total, known)
        for found in (check_sidecar(self.storage, entry), self._check_labels(entry)):
            if found is not None:
                yield found

    def _check_labels(self, entry: EntryFields, folder: Path | None = None) -> Problem | None:
        """Return what is wrong with the labels file of an entry, or None. It is beside the model, or in `folder`.

        In the trash one may be missing: a version that knew none may have retired the model.
        """
        if not has_sidecar(entry) or not self.evidence.identities:
            return None  # version 0.1 wrote none
        model_id = str(entry["model_id"])
        path = self.storage.labels_name(model_id)
        path = path if folder is None else folder / path.name
        try:
            labels = read_labels(path)
        except StorageError as error:
            if error.transient:
                raise
            return registry_unreadable(path, error)
        except RegistryCorrupted as error:
            return registry_labels_damaged(path, model_id, error.what)
        except RegistryTooNew as error:
            return registry_labels_damaged(path, model_id, error.message)
        if labels is None:
            is_needed = has_labels(entry) or self.tagged.get(model_id, 0) > sequence_of(entry)
            return registry_labels_missing(path, model_id) if is_needed and folder is None else None
        current = self.evidence.identities[0]
        if labels.identity == current and labels.sequence > self.evidence.reached:
            return journal_cut(self.evidence.files.journal, self.evidence.reached, labels.sequence)
        if not labels.is_of(entry, current.registry_id):
            return registry_labels_differ(path, model_id, "it is of another model or registry")
        names = ", ".join(labels.differences(entry))
        return registry_labels_differ(path, model_id, names) if names else None

    def judge_again(
        self, model_ids: Collection[str], scanner: Scanner, rescanned: Callable[[str, Sequence[str]], None] | None
    ) -> dict[str, list[Problem]]:
        """Scan the files of those models whose verdict may be another one by now; return what speaks against them.

        Not models that were registered from Python: nothing limits what they import.
        """
        found = {}
        for model_id in sorted(model_ids):
            entry = self.entries.get(model_id)
            imports = entry.get("imports") if entry is not None else None
            if entry is None or not isinstance(imports, Mapping):
                continue
            files = list(files_of_entry(entry))
            changed = changes_since(entry.get("verdict"), scanner.allowlist, {file.role: file.sha256 for file in files})
            if not changed:
                continue
            if rescanned is not None:
                rescanned(model_id, changed)
            problems = [
                problem
                for path in (
                    self.storage.folder / file.path for file in files if self.storage.boundary.holds(file.path)
                )
                if _size(path) is not None  # it was there a moment ago; the next look tells
                for problem in _judged_again(model_id, path, scanner.scan(path), imports, changed)
            ]
            if problems:
                found[model_id] = problems
        return found


def _judged_again(
    model_id: str, path: Path, report: PickleReport, imports: Mapping[str, Any], changed: Sequence[str]
) -> Iterator[Problem]:
    """Yield what a new scan of a stored file has against it: it is refused, or does what its entry does not list."""
    since = "; ".join(changed)
    hint = f"`model-inbox delete {quoted(model_id)}` retires it; to keep it, allow what it needs in `pickle.allow`"
    for problem in report.problems:
        what = f"{quoted(model_id)} would be refused now ({since}): {problem.message}"
        yield registry_verdict_changed(path, what, hint)
    more = sorted(name for name, uses in report.imports.items() if set(uses) - set(str(imports.get(name, ""))))
    if more and not report.problems:
        names = ", ".join(quoted(name) for name in more)
        what = f"{quoted(model_id)} does more than its entry lists ({since}): {names}; it cannot be loaded like that"
        yield registry_verdict_changed(path, what, "Drop it again under a new model_id")


# --- single comparisons --------------------------------------------------------------------------------------


class _Counter:
    """Adds up the bytes that were read and tells of them."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def __call__(self, size: int) -> None:
        self._done = min(self._done + size, self._total)
        if self._progress is not None:
            self._progress(self._done, self._total)


def check_file(path: Path, digest: str | None, count: Callable[[int], None] | None) -> Problem | None:
    """Return what is wrong with a stored file, or None.

    Its bytes are read when `count`, which is told how many, is given and the digest is known.
    """
    found = _read_digest(path, count if digest is not None else None)
    if found is None or isinstance(found, Problem):
        return found
    return registry_digest_mismatch(path, found, digest) if digest is not None and found != digest else None


def _read_digest(path: Path, count: Callable[[int], None] | None) -> str | Problem | None:
    """Return the SHA-256 of a file, or why it cannot be read. Without `count` it is opened only: None."""
    try:
        fd = open_regular(path)
    except OSError as error:
        return _cannot_open(path, error)
    try:
        if count is None:
            return None
        found = hashlib.sha256()
        while chunk := os.read(fd, _CHUNK_BYTES):
            found.update(chunk)
            count(len(chunk))
    except OSError as error:
        return unreadable(path, error)
    finally:
        os.close(fd)
    return found.hexdigest()


def _cannot_open(path: Path, error: OSError) -> Problem:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return registry_file_missing(path)
    if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO):
        return registry_file_not_regular(path)
    return unreadable(path, error)


def check_sidecar(storage: Storage, entry: EntryFields, folder: Path | None = None) -> Problem | None:
    """Return what is wrong with the stored sidecar of an entry, or None. An adopted entry has none.

    It is in the storage folder, or in `folder`.
    """
    if not has_sidecar(entry):
        return None
    model_id = str(entry["model_id"])
    path = storage.final_names(model_id)[2]
    if folder is not None:
        path = folder / path.name
    try:
        data = read_regular(path, SIDECAR_BYTES_MAX)
    except FileNotFoundError:
        return registry_sidecar_missing(path, model_id)
    except OSError as error:
        return _cannot_open(path, error)
    sidecar = parse_sidecar(data, stem=model_id, now=_LATE, stored=True)
    if sidecar.metadata is None:
        return registry_sidecar_damaged(path, model_id, sidecar.problems[0].message)
    said: dict[str, Any] = {**fields_of(sidecar.metadata), "sha256": sidecar.digests["model"]}
    if not entry.get("scaler_replaced"):
        said["scaler_sha256"] = sidecar.digests["scaler"]
    names = sorted(
        name
        for name, value in said.items()
        if name not in _MAY_CHANGE
        and value != entry.get(name, LATER_FIELDS.get(name))
        and not (value is None and name.endswith("sha256"))
    )
    if not names:
        return None
    return registry_sidecar_differs(path, model_id, ", ".join(names))


def leftovers_in(storage: Storage, files: RegistryFiles, entries: Iterable[EntryFields]) -> list[Path]:
    """Return the files in the storage folder that no entry names. Raises OSError when it cannot be listed."""
    found = storage.unnamed_files(entries, files.own)
    # Derived files that were set aside lie beside the registry, which may be in the same folder.
    return [path for path in found if not is_set_aside(files, path)]


def retirements_in(evidence: Evidence) -> Retirements:
    """Return the retirements whose models the trash should hold, as far as sound lines tell."""
    return retirements(evidence.lines[number].line for number in sorted(evidence.lines))


def is_complete(storage: Storage, entry: EntryFields) -> bool:
    """Return whether the trash holds the model and the scaler of a retired entry."""
    return all(os.path.lexists(place) for place in storage.files_in_trash(entry))


def is_sound(storage: Storage, entry: EntryFields) -> bool:
    """Return whether the trash holds the model and the scaler of a retired entry, with the registered bytes."""
    return is_complete(storage, entry) and not any(_damaged_in_trash(storage, "", entry, lambda _: None))


def _damaged_in_trash(
    storage: Storage, model_id: str, entry: EntryFields, count: Callable[[int], None] | None
) -> Iterator[Problem]:
    """Yield the files of a retired entry that the trash has, and that are not those that were registered."""
    for place, digest in storage.files_in_trash(entry).items():
        if not os.path.lexists(place):
            continue
        found = _read_digest(place, count if digest is not None else None)
        if isinstance(found, Problem):
            yield found
        elif found is not None and digest is not None and found != digest:
            yield registry_trash_damaged(place, model_id, found, digest)


def extra_files(storage: Storage, entry: EntryFields) -> list[Path]:
    """Return the files in the trash folder of a retired entry that are none of it, nor a scaler that it had before."""
    folder = storage.trash_folder(entry)
    own = {path.name for path in storage.files_of(entry)}
    scaler = re.compile(re.escape(str(entry.get("model_id"))) + r"_scaler(@[0-9]+)?\.pkl", re.ASCII)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise_if_transient("list", folder, error)
        return []  # told already
    return [folder / name for name in names if name not in own and not scaler.fullmatch(name)]


def stranger_folders(storage: Storage, retired: Retirements, entries: Iterable[EntryFields]) -> list[Path]:
    """Return the folders in the trash that belong to no retired model and to no entry whose scaler was replaced.

    What was set aside under a name of its own (`<file>.leftover-<n>`) is none. Raises OSError.
    """
    known = {storage.trash_folder(as_fields(line.removed or {})).name for line in retired.values()}
    known |= {storage.trash_folder(entry).name for entry in entries}
    try:
        names = sorted(os.listdir(storage.trash_dir))
    except FileNotFoundError:
        return []
    return [storage.trash_dir / name for name in names if name not in known and not _LEFTOVER.fullmatch(name)]


def _of_model(problem: Problem, model_id: str) -> Problem:
    return replace(problem, message=f"{quoted(model_id)}: {problem.message}")


def _writable_by_others(path: Path) -> bool:
    with suppress(OSError):
        return bool(path.lstat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return False


def _size(path: Path) -> int | None:
    with suppress(OSError):
        return path.lstat().st_size
    return None


def _now() -> datetime:
    return datetime.now(UTC)
