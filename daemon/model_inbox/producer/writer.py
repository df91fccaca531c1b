"""Writes the files of a drop into the inbox: hidden, synced, renamed, the sidecar last.

Owns the order of these steps, and that a drop that was killed can be repeated: what it left is taken up. Never changes
a file that neither it nor a dead process of `drop` made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..base.abandoned import abandoned, hold, temporary_names
from ..base.copying import digest_open_file
from ..base.disk import Disk, read_open_file, remove_quietly, temporary_name
from ..errors import DropRefused, StorageError
from ..model.file_names import SIDECAR_SUFFIX
from ..model.metadata import is_valid_id
from ..model.sidecar_fields import SIDECAR_BYTES_MAX

__all__ = ["DropWriter", "Role", "copy_all", "free_stem", "write_all", "write_chunks", "write_pickle"]

_COPY_BYTES = 1 << 20
# The service reads a drop as a member of the inbox's group. In a private inbox the kernel gives each new file a list
# that names the service and closes the file to the group; the group's bits are the mask of the list then.
_DROPPED_MODE = 0o640
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


Role = Literal["model", "scaler", "sidecar"]
_ENDS: Mapping[Role, str] = {"model": ".pkl", "scaler": "_scaler.pkl", "sidecar": SIDECAR_SUFFIX}
# What hidden files are called while the stem is not known yet.
_UNNAMED = "model-inbox"
# What differs each time when a job is repeated.
_PROVENANCE = re.compile(rb"^provenance:\n(?:  .*\n)*", re.MULTILINE)
_TRAINED_AT = re.compile(rb"^trained_at: .*\n", re.MULTILINE)
_TRAINED_AT_IS_FILLED = re.compile(rb"^  filled: .*\btrained_at\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a drop: written under `hidden`, to be called by the stem and the end of its role."""

    role: Role
    hidden: Path
    digest: str


class DropWriter:
    """Writes the files of one drop under hidden names and then renames them. On an error all of them are removed.

    It holds its files until the drop is complete. So another process sees that a file without its sidecar belongs to a
    drop in progress. What a killed process leaves nobody holds, and the same drop takes it up:

    - a hidden file: it is removed;
    - a file under its name, without a sidecar yet: it is replaced if a hidden sidecar has its digest, or if it has the
      same bytes. Any other file may be on its way by other means, and is left alone;
    - everything, and the daemon has not taken it: if the sidecar is the same, there is nothing to do. `adopted` makes
      it the same if only its provenance differs.

    Without a stem the drop has none yet: `name` tells it when the files are written.
    """

    def __init__(self, folder: Path, stem: str | None = None) -> None:
        self._folder = folder
        self.stem = stem
        """What the files will be called by; None while that is not known."""
        self._start = stem if stem is not None else _UNNAMED
        self._disk = Disk()
        self._parts: list[_Part] = []
        self._hidden: list[Path] = []
        self._held: list[int] = []
        self._published: list[Path] = []
        self.uid = -1
        """The owner of the files, as the file system shows it: the user to whom the daemon answers."""

    def __enter__(self) -> DropWriter:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        for hidden in self._hidden:
            remove_quietly(self._disk, hidden)
        if kind is not None:
            for path in self._published:
                remove_quietly(self._disk, path)
        for fd in self._held:
            os.close(fd)

    def add(self, role: Role, write: Callable[[int], str]) -> str:
        """Write and sync one file under a hidden name, and return its SHA-256. A crash leaves the hidden file."""
        target = self._folder / f"{self._start}{_ENDS[role]}"
        try:
            hidden, fd = self._new_file(target)
            try:
                self.uid = os.fstat(fd).st_uid
                if self.stem is not None:
                    self._must_be_free(target)
                digest = write(fd)
                self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
        except OSError as error:
            raise StorageError("write into the inbox", target, error) from error
        self._parts.append(_Part(role, hidden, digest))
        return digest

    def name(self, stem: str) -> None:
        """Tell which stem the files get. Raises DropRefused if one of the names is taken."""
        self.stem = stem
        for part in self._parts:
            self._must_be_free(self._target(part))

    def adopted(self, sidecar: bytes) -> bytes:
        """Return the sidecar that waits in the inbox if it is this one but for what differs each time, else this one.

        So a job that is repeated while its first drop still waits has nothing to do.
        """
        with abandoned(self._folder / f"{self.stem}{SIDECAR_SUFFIX}", self.uid) as fd:
            there = read_open_file(fd, SIDECAR_BYTES_MAX) if fd is not None else b""
        return there if _essence(there) == _essence(sidecar) else sidecar

    def _target(self, part: _Part) -> Path:
        return self._folder / f"{self.stem}{_ENDS[part.role]}"

    def _must_be_free(self, target: Path) -> None:
        if os.path.lexists(target):
            with abandoned(target, self.uid) as left:
                if left is None:
                    raise _name_taken(target)

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
        targets = tuple(map(self._target, self._parts))
        missing = self._missing_beside_the_same_sidecar()
        left = temporary_names(self._folder, [f"{self._start}{end}" for end in _ENDS.values()])
        left = [path for path in left if path not in self._hidden]
        proven = self._digests_in(left)
        for part in self._parts if missing is None else missing:
            try:
                self._rename(part, proven)
            except OSError as error:
                raise StorageError("write into the inbox", self._target(part), error) from error
            self._published.append(self._target(part))
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
        missing = [part for part in files if not os.path.lexists(self._target(part))]
        with abandoned(self._target(sidecar), self.uid) as fd:
            return missing if fd is not None and digest_open_file(fd) == sidecar.digest else None

    def _digests_in(self, left: list[Path]) -> frozenset[str]:
        """Return the digests that the sidecars among left files have: those of files which their processes made."""
        found: set[str] = set()
        for path in left:
            if path.name.startswith(f".{self._start}{SIDECAR_SUFFIX}."):
                with abandoned(path, self.uid) as fd:
                    if fd is not None:
                        found.update(_DIGEST.findall(read_open_file(fd, SIDECAR_BYTES_MAX).decode("utf-8", "replace")))
        return frozenset(found)

    def _rename(self, part: _Part, proven: frozenset[str]) -> None:
        """Give a file its name, in place of a file that a dead process left there. A crash in between leaves neither,
        and the hidden files.

        A file beside a sidecar was not left: it belongs to a complete drop, which waits, whatever its bytes are.
        """
        target = self._target(part)
        try:
            self._disk.rename_new(part.hidden, target)
        except FileExistsError:
            with abandoned(target, self.uid) as fd:
                is_of_waiting = part.role != "sidecar" and os.path.lexists(self._target(self._parts[-1]))
                if fd is None or is_of_waiting or digest_open_file(fd) not in {part.digest, *proven}:
                    raise _name_taken(target) from None
                self._disk.unlink(target)
            try:
                self._disk.rename_new(part.hidden, target)
            except FileExistsError:
                raise _name_taken(target) from None


def _essence(sidecar: bytes) -> bytes:
    """Return a sidecar of `drop` without what differs each time: its provenance, and a time that was filled in."""
    if _TRAINED_AT_IS_FILLED.search(sidecar):
        sidecar = _TRAINED_AT.sub(b"", sidecar)
    return _PROVENANCE.sub(b"", sidecar)


def _name_taken(target: Path) -> DropRefused:
    return DropRefused(
        f"cannot drop {str(target)!r}: a file of that name is in the inbox already",
        hint="The daemon did not process an earlier drop of this name yet. Wait, remove it, or use another model_id",
    )


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


def write_pickle(fd: int, *, value: Any, what: str) -> str:
    """Pickle a value into a file, and return its SHA-256. Raises DropRefused for a value that cannot be pickled."""
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


def write_all(fd: int, *, data: bytes) -> str:
    """Write bytes into a file, and return their SHA-256."""
    writer = _DigestingWriter(fd)
    writer.write(data)
    return writer.hexdigest()


def write_chunks(fd: int, *, chunks: Iterable[bytes]) -> str:
    """Write bytes into a file as they come, and return their SHA-256."""
    writer = _DigestingWriter(fd)
    for chunk in chunks:
        writer.write(chunk)
    return writer.hexdigest()


def copy_all(fd: int, *, source: int) -> str:
    """Copy an open file into another, and return its SHA-256."""
    writer = _DigestingWriter(fd)
    while chunk := os.read(source, _COPY_BYTES):
        writer.write(chunk)
    return writer.hexdigest()


def free_stem(folder: Path, stem: str) -> str:
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
