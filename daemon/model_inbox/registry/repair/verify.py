"""Comparing a registry with what is on the disk: its own files with each other, and its entries with the models.

Owns `verify`, which tells everything that is wrong at once, and the single comparisons that `rebuild` shares. Never
changes anything, takes no lock and needs no right to write: a daemon may be at work meanwhile. What it changes under
our eyes looks wrong for a moment, so whatever looks wrong is looked at again, in a registry read anew.
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
from ...errors import RegistryMissing
from ...model.metadata import fields_of, is_valid_id
from ...model.sidecar import parse_sidecar
from ...model.sidecar_fields import SIDECAR_BYTES_MAX
from ...pickles import PickleReport, Scanner, changes_since
from ...problems import Problem, quoted
from ...problems.registry import (
    registry_digest_mismatch,
    registry_entry_differs,
    registry_entry_incomplete,
    registry_file_missing,
    registry_file_not_regular,
    registry_file_writable,
    registry_leftover_file,
    registry_sidecar_damaged,
    registry_sidecar_differs,
    registry_sidecar_missing,
    registry_size_mismatch,
    registry_staging_leftover,
    registry_storage_missing,
    registry_trash_incomplete,
    registry_trash_missing,
    registry_trash_unknown,
    registry_unreadable,
    registry_verdict_changed,
)
from ..entry import EntryFields, as_fields, files_of_entry
from ..files import Storage
from ..history import Held, retirements
from ..paths import RegistryFiles
from ..state import State
from .evidence import Base, Evidence, read_evidence

__all__ = [
    "Progress",
    "check_file",
    "check_sidecar",
    "held_in",
    "is_complete",
    "leftovers_in",
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


def verify(
    registry_path: str | os.PathLike[str],
    storage_dir: str | os.PathLike[str],
    *,
    digests: bool = True,
    progress: Progress | None = None,
    scanner: Scanner | None = None,
    rescanned: Callable[[str, Sequence[str]], None] | None = None,
) -> list[Problem]:
    """Return everything that does not agree: registry, journal, history, stored files, trash; [] when all does.

    Each problem says what was found, in which file (damage: at which byte), and what to do. With `digests` every
    stored file is read; `progress` is told how far that is. With a `scanner`, a model whose verdict was another
    Python's, or that of another allowlist, is scanned again: `rescanned` is told its id and what has changed. Raises
    RegistryMissing when there is no registry at all, ScanError when no worker can be started.
    """
    path, folder = Path(registry_path).absolute(), Path(storage_dir).absolute()
    look = _Look(path, folder)
    if not look.evidence.pieces and look.evidence.data is None and look.evidence.mark is None:
        raise RegistryMissing(
            f"cannot verify the registry {str(path)!r}: there is none",
            hint="Is the path right? `registry.path` in config.yaml says where it is",
        )
    whole = look.problems()
    by_model = look.check_models(look.entries, digests=digests, progress=progress)
    if scanner is not None and digests:
        for model_id, problems in look.judge_again(look.entries.keys() - by_model.keys(), scanner, rescanned).items():
            by_model[model_id] = problems
    for seconds in _LOOK_AGAIN_SECONDS:
        if not whole and not by_model:
            break
        time.sleep(seconds)
        look = _Look(path, folder)
        again = set(look.problems())
        whole = [problem for problem in whole if problem in again]
        models_again = look.check_models(by_model, digests=digests, progress=None)
        if scanner is not None and digests:
            models_again.update(look.judge_again(by_model.keys() - models_again.keys(), scanner, None))
        kept = {m: [p for p in found if p in models_again.get(m, ())] for m, found in by_model.items()}
        by_model = {model_id: found for model_id, found in kept.items() if found}
    return [*whole, *(problem for found in by_model.values() for problem in found)]


class _Look:
    """The registry and its folders at one moment."""

    def __init__(self, path: Path, storage_dir: Path) -> None:
        self.evidence = read_evidence(path)
        self.storage = Storage(path.parent, storage_dir, Disk())
        state = self.evidence.seen() or self.evidence.known() or self._replayed()
        self.entries: Mapping[str, EntryFields] = state.entries

    def _replayed(self) -> State:
        return self.evidence.replayed(self.evidence.base or Base(0, {}))

    def problems(self) -> list[Problem]:
        """Return what is wrong beside the models' own files."""
        found = [*self.evidence.problems, *self._replay(), *self._leftovers(), *self._trash(), *self._staging()]
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
            yield registry_unreadable(self.storage.storage_dir, error.strerror or error)
        else:
            for path in paths:
                yield registry_leftover_file(path)

    def _trash(self) -> Iterator[Problem]:
        held = held_in(self.evidence)
        for line in held.values():
            removed = as_fields(line.removed or {})
            folder = self.storage.trash_folder(removed)
            if not folder.is_dir():
                yield registry_trash_missing(folder, line.model_id, line.sequence)
            elif not is_complete(self.storage, removed):
                yield registry_trash_incomplete(folder, line.model_id, line.sequence)
        try:
            strangers = stranger_folders(self.storage, held, self.entries.values())
        except OSError as error:
            yield registry_unreadable(self.storage.trash_dir, error.strerror or error)
            return
        for folder in strangers:
            yield registry_trash_unknown(folder)

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

    def check_models(
        self, model_ids: Collection[str], *, digests: bool, progress: Progress | None
    ) -> dict[str, list[Problem]]:
        """Return what is wrong with the files of these models, by model, as far as they are registered."""
        entries = {model_id: self.entries[model_id] for model_id in model_ids if model_id in self.entries}
        files = {model_id: self.storage.needed_files_of(entry) for model_id, entry in entries.items()}
        count = _Counter(
            progress, sum(_size(path) or 0 for paths in files.values() for path in paths) if digests else 0
        )
        found = {}
        for model_id, entry in entries.items():
            problems = list(self._check_model(model_id, entry, files[model_id], count if digests else None))
            if problems:
                found[model_id] = problems
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
        problem = check_sidecar(self.storage, entry)
        if problem is not None:
            yield problem

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
                for path in (self.storage.folder / file.path for file in files)
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
    try:
        fd = open_regular(path)
    except OSError as error:
        return _cannot_open(path, error)
    try:
        if count is None or digest is None:
            return None
        found = hashlib.sha256()
        while chunk := os.read(fd, _CHUNK_BYTES):
            found.update(chunk)
            count(len(chunk))
    except OSError as error:
        return registry_unreadable(path, error.strerror or error)
    finally:
        os.close(fd)
    if found.hexdigest() == digest:
        return None
    return registry_digest_mismatch(path, found.hexdigest(), digest)


def _cannot_open(path: Path, error: OSError) -> Problem:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return registry_file_missing(path)
    if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO):
        return registry_file_not_regular(path)
    return registry_unreadable(path, error.strerror or error)


def check_sidecar(storage: Storage, entry: EntryFields) -> Problem | None:
    """Return what is wrong with the stored sidecar of an entry, or None. An entry that was not ours has none."""
    model_id = str(entry.get("model_id"))
    if not is_valid_id(model_id) or entry.get("origin") not in ("inbox", "api"):
        return None
    path = storage.final_names(model_id)[2]
    try:
        data = read_regular(path, SIDECAR_BYTES_MAX)
    except FileNotFoundError:
        return registry_sidecar_missing(path, model_id)
    except OSError as error:
        return _cannot_open(path, error)
    if len(data) > SIDECAR_BYTES_MAX and entry.get("origin") == "api":
        return None  # of thousands of features; no producer's sidecar is read beyond this
    sidecar = parse_sidecar(data, stem=model_id, now=_LATE, stored=True)
    if sidecar.metadata is None:
        return registry_sidecar_damaged(path, model_id, sidecar.problems[0].message)
    said: dict[str, Any] = {**fields_of(sidecar.metadata), "sha256": sidecar.digests["model"]}
    if not entry.get("scaler_replaced"):
        said["scaler_sha256"] = sidecar.digests["scaler"]
    names = sorted(
        name
        for name, value in said.items()
        if name not in _MAY_CHANGE and value != entry.get(name) and not (value is None and name.endswith("sha256"))
    )
    if not names:
        return None
    return registry_sidecar_differs(path, model_id, ", ".join(names))


def leftovers_in(storage: Storage, files: RegistryFiles, entries: Iterable[EntryFields]) -> list[Path]:
    """Return the files in the storage folder that no entry names. Raises OSError when it cannot be listed."""
    resolved: dict[Path, str] = {}

    def place(path: Path) -> tuple[str, str]:  # the folder may be known by several names
        if path.parent not in resolved:
            resolved[path.parent] = os.path.realpath(path.parent)
        return resolved[path.parent], path.name

    named = {place(path) for entry in entries for path in storage.files_of(entry)}
    named |= {place(path) for path in (files.path, files.journal, files.mark)}
    with os.scandir(storage.storage_dir) as found:
        names = sorted(e.name for e in found if not e.name.startswith(".") and not e.is_dir(follow_symlinks=False))
    return [path for path in (storage.storage_dir / name for name in names) if place(path) not in named]


def held_in(evidence: Evidence) -> Held:
    """Return the retirements whose models the trash should hold, as far as sound lines tell."""
    return retirements(evidence.lines[number].line for number in sorted(evidence.lines))


def is_complete(storage: Storage, entry: EntryFields) -> bool:
    """Tell whether the trash holds the model and the scaler of a retired entry."""
    folder = storage.trash_folder(entry)
    return all(os.path.lexists(folder / path.name) for path in storage.needed_files_of(entry))


def stranger_folders(storage: Storage, held: Held, entries: Iterable[EntryFields]) -> list[Path]:
    """Return the folders in the trash that belong to no retired model and to no entry whose scaler was replaced.

    What was set aside under a name of its own (`<file>.leftover-<n>`) is none. Raises OSError.
    """
    known = {storage.trash_folder(as_fields(line.removed or {})).name for line in held.values()}
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
