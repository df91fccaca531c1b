"""The producer's side: writes a drop that the daemon takes at once, and waits for its receipt.

Owns the order in which a drop is written: files under hidden names, synced, renamed, the sealed sidecar last; and that
a drop that was killed can be repeated: what it left is taken up. Needs only the right to write to the inbox, and to
read receipts if it waits. Never imports the daemon's code, and never changes a file that neither it nor a dead process
of `drop` made.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .base.abandoned import abandoned, hold, temporary_names
from .base.copying import digest_open_file
from .base.disk import Disk, open_regular, read_open_file, remove_quietly, temporary_name
from .errors import DropRefused, ModelInboxError, StorageError, is_transient
from .model.checks import check_metadata, check_pair
from .model.file_names import SIDECAR_SUFFIX, STATUS_IN_INBOX, stem_of
from .model.metadata import PAIR_PATTERN, ModelMetadata, is_valid_id
from .model.published import max_sidecar_size, sidecar_too_large
from .model.receipt import read_receipt, read_receipts
from .model.sidecar_fields import SIDECAR_BYTES_MAX
from .model.sidecar_writer import dump_sidecar
from .problems import Problem, problems_in, quoted
from .problems.artifact import artifact_digest_mismatch

__all__ = ["Answers", "DropResult", "drop", "drop_files", "wait_for_answer"]

DEFAULT_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.02
# Where the folder of receipts must be listed to find an answer.
_LISTING_SECONDS = 0.2
# The map of a process that is in no user namespace.
_ALL_USERS = ["0", "0", "4294967295"]
_COPY_BYTES = 1 << 20
# The service reads a drop as a member of the inbox's group. In a private inbox the kernel gives each new file a list
# that names the service and closes the file to the group; the group's bits are the mask of the list then.
_DROPPED_MODE = 0o640


@dataclass(frozen=True, slots=True)
class DropResult:
    """The result of a drop.

    `outcome` is `dropped` (written, without waiting for an answer), `waiting` (no answer in time), `registered`,
    `duplicate` or `rejected`. `problems` are the reasons of a rejection, or the values in which the metadata of
    a duplicate differs from that of the registered model. `notes` are what a registered model should be looked at for.
    `receipt` is the answer with all its fields.
    """

    outcome: str
    model_id: str
    files: tuple[Path, ...]
    drop_id: str | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    receipt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the drop was written and, if an answer was waited for, registered or found to be the same again.

        A duplicate with other metadata is not the same.
        """
        return self.outcome in ("dropped", "registered", "duplicate") and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "outcome": self.outcome,
            "model_id": self.model_id,
            "drop_id": self.drop_id,
            "files": [str(path) for path in self.files],
            "problems": [problem.as_dict() for problem in self.problems],
            "notes": [problem.as_dict() for problem in self.notes],
        }


def drop(
    model: Any,
    metadata: ModelMetadata,
    *,
    inbox: str | os.PathLike[str] = "inbox",
    scaler: Any = None,
    wait: bool | float = False,
    pair_pattern: str | None = PAIR_PATTERN,
) -> DropResult:
    """Pickle a model, and its scaler if it has one, into the inbox with a sealed sidecar.

    The file names start with the model's id. `wait` is how long to wait for the daemon's answer: seconds, True for
    60 seconds, or False. `pair_pattern` is the form of a currency pair, as the operator configured it in
    `checks.pair_pattern`; None is any. Classes are pickled by name, so they must be importable where the model is
    loaded. A drop that was killed can be repeated: it takes up what it left in the inbox.

    Raises DropRefused if the metadata has problems, an object cannot be pickled, or a name is taken in the inbox, and
    StorageError if a file cannot be written. Nothing is left in the inbox then.
    """
    folder = _inbox_folder(inbox)
    problems = check_metadata(metadata, now=datetime.now(UTC), pair_pattern=pair_pattern)
    if problems:
        raise DropRefused(f"cannot drop {quoted(metadata.model_id)}: its metadata has problems", problems)
    _check_size(folder, metadata, has_scaler=scaler is not None)
    stem = _free_stem(folder, metadata.model_id)
    parts = {"model": (f"{stem}.pkl", model)}
    if scaler is not None:
        parts["scaler"] = (f"{stem}_scaler.pkl", scaler)
    with _DropWriter(folder, stem) as writer:
        digests = {
            role: writer.add(name, functools.partial(_write_pickle, value=value, what=role))
            for role, (name, value) in parts.items()
        }
        sidecar = dump_sidecar(
            metadata,
            model_file=parts["model"][0],
            scaler_file=parts["scaler"][0] if "scaler" in parts else None,
            digests=digests,
        )
        writer.add(f"{stem}{SIDECAR_SUFFIX}", functools.partial(_write_all, data=sidecar))
        answers = Answers(folder, stem, sidecar, writer.uid, wait)
        files = writer.publish()
    return answers.result(metadata.model_id, files)


def drop_files(
    model: Path,
    sidecar: Path,
    *,
    inbox: str | os.PathLike[str] = "inbox",
    scaler: Path | None = None,
    wait: bool | float = False,
    pair_pattern: str | None = PAIR_PATTERN,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_opened: Callable[[Path], None] = lambda _: None,
) -> DropResult:
    """Copy existing files into the inbox, with a sidecar that has their names and digests.

    The file names start with the sidecar's stem. The names of files in the given sidecar are replaced. `wait` is as in
    `drop`. Raises DropRefused if the sidecar has problems or a name is taken in the inbox, and StorageError if a file
    cannot be read or written. Nothing is left in the inbox then. `on_opened` is called with the inbox when the given
    files are open, and before anything in the inbox is read or written: root gives up its rights there.
    """
    folder = _inbox_folder(inbox)
    given = {"sidecar": sidecar, "model": model, **({"scaler": scaler} if scaler is not None else {})}
    with ExitStack() as stack:
        opened = {role: stack.enter_context(_opened(path, role)) for role, path in given.items()}
        on_opened(folder)
        return _drop_opened(given, opened, folder, wait=wait, pair_pattern=pair_pattern, now=now())


def _drop_opened(
    given: Mapping[str, Path],
    opened: Mapping[str, int],
    folder: Path,
    *,
    wait: bool | float,
    pair_pattern: str | None,
    now: datetime,
) -> DropResult:
    """Do as `drop_files` says with the files that are open: sidecar, model and perhaps scaler, by role."""
    # Imported here, because a training job that only calls `drop` needs no YAML library.
    from .model.sidecar import parse_sidecar

    sidecar = given["sidecar"]
    own_stem, limit = stem_of(sidecar.name), max_sidecar_size(folder / STATUS_IN_INBOX)
    try:
        text = read_open_file(opened["sidecar"], limit)
        size = os.fstat(opened["sidecar"]).st_size if len(text) > limit else None
    except OSError as error:
        raise StorageError("read the sidecar", sidecar, error) from error
    parsed = parse_sidecar(text, stem=own_stem, now=now, name=sidecar.name, bytes_max=limit, size=size)
    has_scaler = "scaler" in given
    problems = parsed.problems
    if parsed.metadata is not None:
        problems = (*problems, *check_pair(parsed.metadata.currency_pair, pair_pattern))
    if problems or parsed.metadata is None:
        raise DropRefused(f"cannot drop {str(sidecar)!r}: the sidecar has problems", problems)
    _check_size(folder, parsed.metadata, has_scaler=has_scaler)
    stem = _free_stem(folder, own_stem)
    names = {"model": f"{stem}.pkl", **({"scaler": f"{stem}_scaler.pkl"} if has_scaler else {})}
    digests: dict[str, str] = {}
    with _DropWriter(folder, stem) as writer:
        for role, name in names.items():
            source = given[role]
            digests[role] = writer.add(name, functools.partial(_copy_all, source=opened[role]))
            said = parsed.digests.get(role)
            if said is not None and said != digests[role]:
                problem = artifact_digest_mismatch(role, str(source), said, digests[role])
                raise DropRefused(f"cannot drop {str(source)!r}", [problem])
        text = dump_sidecar(
            parsed.metadata, model_file=names["model"], scaler_file=names.get("scaler"), digests=digests
        )
        writer.add(f"{stem}{SIDECAR_SUFFIX}", functools.partial(_write_all, data=text))
        answers = Answers(folder, stem, text, writer.uid, wait)
        files = writer.publish()
    return answers.result(parsed.metadata.model_id, files)


def _check_size(folder: Path, metadata: ModelMetadata, *, has_scaler: bool) -> None:
    """Refuse metadata that makes a larger sidecar than the daemon accepts, before anything is written."""
    stem, digest = metadata.model_id, "0" * 64
    text = dump_sidecar(
        metadata,
        model_file=f"{stem}.pkl",
        scaler_file=f"{stem}_scaler.pkl" if has_scaler else None,
        digests={"model": digest, "scaler": digest if has_scaler else None},
    )
    if problems := sidecar_too_large(text, max_sidecar_size(folder / STATUS_IN_INBOX)):
        raise DropRefused(f"cannot drop {quoted(stem)}: its metadata is too large", problems)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a drop: written under `hidden`, to be called `target`."""

    hidden: Path
    target: Path
    digest: str


class _DropWriter:
    """Writes the files of one drop under hidden names and then renames them. On an error all of them are removed.

    It holds its files until the drop is complete. So another process sees that a file without its sidecar belongs to a
    drop in progress. What a killed process leaves nobody holds, and the same drop takes it up:

    - a hidden file: it is removed;
    - a file under its name, without a sidecar yet: it is replaced if a hidden sidecar has its digest, or if it has the
      same bytes. Any other file may be on its way by other means, and is left alone;
    - everything, and the daemon has not taken it: if the sidecar is the same, there is nothing to do.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self._disk = Disk()
        self._parts: list[_Part] = []
        self._hidden: list[Path] = []
        self._held: list[int] = []
        self._published: list[Path] = []
        self.uid = -1
        """The owner of the files, as the file system shows it: the user to whom the daemon answers."""

    def __enter__(self) -> _DropWriter:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        for hidden in self._hidden:
            remove_quietly(self._disk, hidden)
        if kind is not None:
            for path in self._published:
                remove_quietly(self._disk, path)
        for fd in self._held:
            os.close(fd)

    def add(self, name: str, write: Callable[[int], str]) -> str:
        """Write and sync one file under a hidden name, and return its SHA-256. A crash leaves the hidden file."""
        target = self._folder / name
        try:
            hidden, fd = self._new_file(target)
            try:
                self.uid = os.fstat(fd).st_uid
                if os.path.lexists(target):
                    with abandoned(target, self.uid) as left:
                        if left is None:
                            raise _name_taken(target)
                digest = write(fd)
                self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
        except OSError as error:
            raise StorageError("write into the inbox", target, error) from error
        self._parts.append(_Part(hidden, target, digest))
        return digest

    def _new_file(self, target: Path) -> tuple[Path, int]:
        """Make the hidden file of a target and hold it. Return its path, and its descriptor for writing."""
        while True:
            hidden = temporary_name(self._disk, target)
            fd = self._disk.create(hidden, _DROPPED_MODE)
            self._hidden.append(hidden)
            held = hold(hidden)
            if held is not None:
                self._held.append(held)
                return hidden, fd
            self._disk.close(fd)

    def publish(self) -> tuple[Path, ...]:
        """Rename the files durably to their names, the sidecar last. Existing files of others are never replaced.

        A crash before the sidecar's rename leaves files without a sidecar. The same drop takes them up; without it the
        daemon rejects them after a time. A crash after it leaves the complete drop, or a part of it if the folder was
        not synced yet; the same drop completes that.
        """
        targets = tuple(part.target for part in self._parts)
        missing = self._missing_beside_the_same_sidecar()
        left = temporary_names(self._folder, [f"{self._stem}{end}" for end in (".yaml", ".pkl", "_scaler.pkl")])
        left = [path for path in left if path not in self._hidden]
        proven = self._digests_in(left)
        for part in self._parts if missing is None else missing:
            try:
                self._rename(part, proven)
            except OSError as error:
                raise StorageError("write into the inbox", part.target, error) from error
            self._published.append(part.target)
        try:
            self._disk.fsync_dir(self._folder)
        except PermissionError:
            # A producer may be allowed to write to the folder and not to read it. The daemon syncs the folder later.
            pass
        except OSError as error:
            raise StorageError("write into the inbox", self._folder, error) from error
        # At last, because they prove whose the files were that they name: so the next repetition finds them, too.
        for path in left:
            with abandoned(path, self.uid) as fd:
                if fd is not None:
                    remove_quietly(self._disk, path)
        return targets

    def _missing_beside_the_same_sidecar(self) -> list[_Part] | None:
        """Return what is missing of the very same drop if that waits in the inbox, else None.

        The daemon moves a sidecar away before its files: while the sidecar is there, what is missing was never there.
        """
        *files, sidecar = self._parts
        missing = [part for part in files if not os.path.lexists(part.target)]
        with abandoned(sidecar.target, self.uid) as fd:
            return missing if fd is not None and digest_open_file(fd) == sidecar.digest else None

    def _digests_in(self, left: list[Path]) -> frozenset[str]:
        """Return the digests that the sidecars among left files have: those of files which their processes made."""
        found: set[str] = set()
        for path in left:
            if path.name.startswith(f".{self._stem}.yaml."):
                with abandoned(path, self.uid) as fd:
                    if fd is not None:
                        found.update(_DIGEST.findall(read_open_file(fd, SIDECAR_BYTES_MAX).decode("utf-8", "replace")))
        return frozenset(found)

    def _rename(self, part: _Part, proven: frozenset[str]) -> None:
        """Give a file its name, in place of a file that a dead process left there. A crash in between leaves neither,
        and the hidden files.
        """
        try:
            self._disk.rename_new(part.hidden, part.target)
        except FileExistsError:
            with abandoned(part.target, self.uid) as fd:
                if fd is None or digest_open_file(fd) not in {part.digest, *proven}:
                    raise _name_taken(part.target) from None
                self._disk.unlink(part.target)
            try:
                self._disk.rename_new(part.hidden, part.target)
            except FileExistsError:
                raise _name_taken(part.target) from None


_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def _name_taken(target: Path) -> DropRefused:
    return DropRefused(
        f"cannot drop {str(target)!r}: a file of that name is in the inbox already",
        hint="The daemon did not process an earlier drop of this name yet. Wait, remove it, or use another model_id",
    )


def _inbox_folder(inbox: str | os.PathLike[str]) -> Path:
    folder = Path(inbox).absolute()
    if not folder.is_dir():
        raise DropRefused(
            f"cannot drop into {str(folder)!r}: there is no such folder",
            hint="Start the daemon, which makes its inbox, or give another folder",
        )
    return folder


def wait_for_answer(
    stem: str, *, inbox: str | os.PathLike[str], seconds: float, is_in_work: Callable[[], bool]
) -> DropResult:
    """Wait for the answer to this user's drop of a stem, however it came into the inbox.

    An answer that is there already counts unless `is_in_work` returns true: then it is about an earlier drop. Raises
    DropRefused if there is no such inbox, and StorageError or ModelInboxError if the answers cannot be read.
    """
    folder = _inbox_folder(inbox)
    # The answer is read first: a drop that is still in work after that has not been answered by it.
    answers = Answers(folder, stem, None, os.geteuid(), seconds)
    if not is_in_work():
        answers.count_the_earlier()
    return answers.result(stem, ())


class _DigestingWriter:
    """A writable file object that computes the SHA-256 of the bytes while it writes them. Buffers nothing."""

    def __init__(self, fd: int) -> None:
        from hashlib import sha256

        self._fd = fd
        self._digest = sha256()

    def write(self, data: bytes | memoryview) -> int:
        self._digest.update(data)
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self._fd, view) :]
        return len(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _write_pickle(fd: int, *, value: Any, what: str) -> str:
    import pickle

    writer = _DigestingWriter(fd)
    try:
        pickle.dump(value, writer, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise DropRefused(
            f"cannot pickle the {what}: {error}",
            hint="Its class must be importable by name. Move it to a module, or drop plain data (a state dict)",
        ) from error
    return writer.hexdigest()


def _write_all(fd: int, *, data: bytes) -> str:
    writer = _DigestingWriter(fd)
    writer.write(data)
    return writer.hexdigest()


@contextmanager
def _opened(path: Path, role: str) -> Iterator[int]:
    """Open a regular file for reading. Raises StorageError."""
    try:
        fd = open_regular(path)
    except OSError as error:
        raise StorageError("read the sidecar" if role == "sidecar" else "read", path, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_all(fd: int, *, source: int) -> str:
    writer = _DigestingWriter(fd)
    while chunk := os.read(source, _COPY_BYTES):
        writer.write(chunk)
    return writer.hexdigest()


class Answers:
    """The answers to one drop: the receipt with the digest of its sidecar, and of its user.

    Another user may drop a copy of the sidecar under the same name: the answer to that is not ours. Where user numbers
    mean nothing (see `_knows_users`) the digest alone decides. Made before the sidecar gets its name, because the same
    sidecar may have been dropped and answered earlier. If the sidecar is not known, the stem decides.
    """

    def __init__(self, folder: Path, stem: str, sidecar: bytes | None, uid: int, wait: bool | float) -> None:
        from hashlib import sha256

        self._folder = folder
        self._stem = stem
        self._sha256 = sha256(sidecar).hexdigest() if sidecar is not None else None
        self._uid = uid if _knows_users(folder) else None
        self._wait = wait
        self._earlier = self.find() if wait is not False else None

    def count_the_earlier(self) -> None:
        """Take the answer that is there already for the one that is waited for."""
        self._earlier = None

    def result(self, model_id: str, files: tuple[Path, ...]) -> DropResult:
        """Wait for the answer, if that is wanted, and return the result."""
        if self._wait is False:
            return DropResult("dropped", model_id, files)
        receipt = self.wait(DEFAULT_WAIT_SECONDS if self._wait is True else float(self._wait))
        if receipt is None:
            return DropResult("waiting", model_id, files)
        return DropResult(
            str(receipt.get("outcome")),
            str(receipt.get("model_id") or model_id),
            files,
            str(receipt["drop_id"]) if receipt.get("drop_id") is not None else None,
            problems_in(receipt.get("problems")),
            problems_in(receipt.get("notes")),
            receipt,
        )

    def wait(self, seconds: float) -> Mapping[str, Any] | None:
        """Wait for the answer and return it, or None if it does not come in time."""
        earlier = self._earlier.get("drop_id") if self._earlier is not None else None
        deadline = time.monotonic() + seconds
        while True:
            receipt = self.find()
            if receipt is not None and (earlier is None or receipt.get("drop_id") != earlier):
                return receipt
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS if self._uid is not None else _LISTING_SECONDS)

    def find(self) -> Mapping[str, Any] | None:
        """Return the newest answer to this sidecar, or None. Raises StorageError or ModelInboxError."""
        receipts_dir = self._folder / "receipts"
        try:
            if self._uid is not None:
                receipt = read_receipt(receipts_dir, self._stem, self._uid)
                found = [receipt] if receipt is not None else []
            else:
                found = read_receipts(receipts_dir, self._stem)
        except FileNotFoundError:
            return None
        except OSError as error:
            if is_transient(error):
                raise StorageError("read the answers in", receipts_dir, error) from error
            raise ModelInboxError(
                f"cannot read the answers in {str(receipts_dir)!r}: {error.strerror}",
                hint="Members of the inbox's group may read receipts: join that group",
            ) from error
        if self._sha256 is not None:
            found = [receipt for receipt in found if receipt.get("sidecar_sha256") == self._sha256]
        return max(found, key=lambda receipt: str(receipt.get("drop_id")), default=None)


def _free_stem(folder: Path, stem: str) -> str:
    """Return the stem for the names of a drop: `stem`, or another one if another user has a file of one of its names.

    So nobody can keep a producer from dropping by leaving files in the inbox: the second has the user's number, and
    the third cannot be guessed. Whatever the files are called, the sidecar has the model's id.
    """
    uid = os.geteuid() if hasattr(os, "geteuid") else None
    if uid is None:
        return stem
    others = (f"{stem}.uid{uid}", f"{stem}.uid{uid}.{os.urandom(4).hex()}")
    free = (one for one in (stem, *others) if is_valid_id(one) and not _is_anothers(folder, one, uid))
    return next(free, stem)


def _is_anothers(folder: Path, stem: str, uid: int) -> bool:
    """Return whether another user has a file of one of the names of a drop."""
    for name in (f"{stem}.yaml", f"{stem}.pkl", f"{stem}_scaler.pkl"):
        with suppress(OSError):
            if os.lstat(folder / name).st_uid != uid:
                return True
    return False


def _knows_users(folder: Path) -> bool:
    """Return whether a user has the same number here and for the daemon.

    Not so in a user namespace (rootless containers), on a network file system, or on another system than Linux.
    """
    try:
        own = Path("/proc/self/uid_map").read_text("ascii").split()
        from .base.file_systems import is_network_file_system

        return own == _ALL_USERS and not is_network_file_system(folder)
    except (OSError, AttributeError):
        return False
