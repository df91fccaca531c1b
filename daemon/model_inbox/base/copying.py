"""Copies, digests and moves of whole files, made of the single steps of `disk`.

Owns how a file is copied: by sharing its blocks where the file system can, else byte by byte without filling its holes,
and with its SHA-256 computed on the way. Never decides what is copied where.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .disk import Disk, no_op, open_regular, remove_quietly, storage_errors, temporary_name

__all__ = [
    "COPY_CHUNK_BYTES",
    "DIGEST_CHUNK_BYTES",
    "HOLE_BYTES_MIN",
    "copy_file",
    "copy_open_file",
    "digest_open_file",
    "digest_regular",
    "move_file",
]

COPY_CHUNK_BYTES = 1 << 20
# A shorter hole is copied as zeros: a file of many small holes costs no more system calls than one without.
HOLE_BYTES_MIN = 64 << 10
# Small enough for the processor's cache; hashlib.file_digest uses the same size.
DIGEST_CHUNK_BYTES = 1 << 18
_buffers = threading.local()


def digest_open_file(fd: int, progress: Callable[[], None] = no_op) -> str:
    """Return the SHA-256 of an open file, read from its start. `progress` is called after each chunk."""
    from hashlib import sha256

    digest = sha256()
    # One buffer for each thread: to allocate it takes as long as to fill it.
    try:
        view: memoryview = _buffers.view
    except AttributeError:
        view = _buffers.view = memoryview(bytearray(DIGEST_CHUNK_BYTES))
    place = 0
    while count := os.preadv(fd, [view], place):
        digest.update(view[:count])
        place += count
        progress()
    return digest.hexdigest()


def digest_regular(path: Path | str) -> str:
    """Return the SHA-256 of a regular file. Raises OSError as `open_regular` does."""
    fd = open_regular(path)
    try:
        return digest_open_file(fd)
    finally:
        os.close(fd)


def copy_open_file(
    disk: Disk, source: int, target: Path, mode: int, progress: Callable[[], None] = no_op, *, sync: bool = True
) -> tuple[str, int]:
    """Copy an open file to a new file of ours and make its bytes durable. Return their SHA-256 and their number.

    With `sync=False` the bytes become durable with a later `sync_files`.
    Blocks are shared where the file system can (a reflink); the digest is then computed from the new file, otherwise
    from the bytes while they are written. Holes stay holes. `progress` is called after each chunk. Raises StorageError
    and leaves nothing at `target` then. A crash can leave a partial file.
    """
    with storage_errors("copy to", target):
        fd = disk.create(target, mode)
        try:
            try:
                disk.clone(source, fd)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                result = _copy_bytes(disk, source, fd, progress)
            else:
                result = digest_open_file(fd, progress), os.fstat(fd).st_size
            if sync:
                disk.fsync(fd)
        except OSError:
            remove_quietly(disk, target)
            raise
        finally:
            disk.close(fd)
    return result


def _copy_bytes(disk: Disk, source: int, target: int, progress: Callable[[], None]) -> tuple[str, int]:
    """Write the bytes of an open file to an empty one, and leave out its holes. Return their SHA-256 and number."""
    from hashlib import sha256

    digest = sha256()
    place = 0
    for data, end in _parts(source):
        while place < data:
            zeros = bytes(min(data - place, COPY_CHUNK_BYTES))
            digest.update(zeros)
            place += len(zeros)
            progress()
        os.lseek(source, place, os.SEEK_SET)
        os.lseek(target, place, os.SEEK_SET)
        while chunk := os.read(source, COPY_CHUNK_BYTES if end is None else min(end - place, COPY_CHUNK_BYTES)):
            disk.write(target, chunk)
            digest.update(chunk)
            place += len(chunk)
            progress()
    if os.fstat(target).st_size < place:
        disk.truncate(target, place)
    return digest.hexdigest(), place


def _parts(fd: int) -> Iterator[tuple[int, int | None]]:
    """Return where the parts that are no holes begin and end; None is the end of the file, where the last one begins.

    Where the system does not know holes, all is one part.
    """
    place = 0
    try:
        data = _data_behind(fd, place)
        while data is not None:
            place = os.lseek(fd, data, os.SEEK_HOLE)
            while (following := _data_behind(fd, place)) is not None and following - place < HOLE_BYTES_MIN:
                place = os.lseek(fd, following, os.SEEK_HOLE)
            yield data, place
            data = following
        yield max(place, os.fstat(fd).st_size), None
    except AttributeError:
        yield place, None


def _data_behind(fd: int, place: int) -> int | None:
    """Return where the next bytes are that are not in a hole, or None."""
    try:
        return os.lseek(fd, place, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def move_file(disk: Disk, source: Path, target: Path, mode: int = 0o440) -> None:
    """Move a file to a free name, within or across file systems. The caller syncs both folders.

    Across file systems the file is copied and then the source is removed. A crash at any point leaves at least one
    complete file, and perhaps a temporary one. Raises StorageError, with the errno EEXIST if the name is taken.
    """
    with storage_errors("move", source):
        try:
            disk.rename_new(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_file(disk, source, target, mode)
            disk.unlink(source)


def copy_file(disk: Disk, source: Path, target: Path, mode: int) -> None:
    """Copy a file to a free name, durably. A crash leaves no file there or a complete one, and perhaps a temporary one.

    Raises StorageError, with the errno EEXIST if the name is taken.
    """
    with storage_errors("copy", source):
        _copy_file(disk, source, target, mode)


def _copy_file(disk: Disk, source: Path, target: Path, mode: int) -> None:
    """Copy a file to a temporary name, sync it, rename it to a free name, and sync the folder."""
    temporary = temporary_name(disk, target)
    # Open the source first: after a move that was completed before, the caller needs the error "no such file".
    fd = open_regular(source)
    try:
        if target.exists() or target.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        copy_open_file(disk, fd, temporary, mode)
    finally:
        os.close(fd)
    try:
        disk.rename_new(temporary, target)
    except OSError:
        remove_quietly(disk, temporary)
        raise
    disk.fsync_dir(target.parent)
