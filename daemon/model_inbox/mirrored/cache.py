"""Files of a mirror that were fetched once, by their digests.

Owns the folder, its size, and that no bytes leave it that do not have the digest in their name. Never decides what is
fetched. Several processes may use one folder.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ..base.disk import Disk, make_folder, open_regular, remove_quietly, temporary_name
from ..errors import LoadRefused, RegistryError, StorageError
from ..problems import quoted

__all__ = ["Cache", "default_folder"]

_ABANDONED_SECONDS = 86_400.0


def default_folder() -> Path:
    """Return where programs of this user keep what they can fetch again."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return home / "model-inbox" / "mirror"


class Cache:
    """A folder of files named `<sha256>.pkl`, of at most so many bytes together, except that one file always fits.

    The folder is made for its user alone. One that others may write to, or own, is refused: what lies there is verified
    at each use, and still nobody else needs to see models or fill the disk.
    """

    def __init__(self, folder: Path, bytes_max: int, disk: Disk) -> None:
        self.folder = folder
        self._bytes_max = bytes_max
        self._disk = disk

    def name(self, digest: str) -> str:
        """Return the name of the file with a digest in hexadecimal."""
        return f"{digest}.pkl"

    def get(self, digest: str, size: int | None, fetch: Callable[[Path], Path]) -> bytes:
        """Return the bytes with this digest. What is missing or damaged here is fetched.

        `size` is that of the file, None if nobody knows. `fetch` gets a new folder and returns the file that it wrote
        below it. Raises what it raises, LoadRefused for other bytes than wanted, RegistryError for a folder that is not
        ours, StorageError.
        """
        self._must_be_ours()
        path = self.folder / self.name(digest)
        data = self._read(path)
        if data is not None and sha256(data).hexdigest() == digest:
            # What was used last is removed last.
            with suppress(OSError):
                os.utime(path)
            return data
        data = self._fetched(path, digest, size, fetch)
        self._make_room(path)
        return data

    def _must_be_ours(self) -> None:
        try:
            for missing in reversed([one for one in (self.folder, *self.folder.parents) if not one.exists()]):
                make_folder(self._disk, missing, 0o700)
            found = self.folder.lstat()
        except OSError as error:
            raise StorageError("make", self.folder, error) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise RegistryError(
                f"cannot keep files of the mirror in {str(self.folder)!r}: it must be this user's, and nobody else "
                "may write to it",
                hint=f"Use another one (cache_dir=...), or: chmod 700 {quoted(str(self.folder))}",
            )

    def _read(self, path: Path) -> bytes | None:
        try:
            with os.fdopen(open_regular(path), "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError("read", path, error) from error

    def _fetched(self, path: Path, digest: str, size: int | None, fetch: Callable[[Path], Path]) -> bytes:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.folder) as name:
            got = fetch(Path(name))
            # The client chose the path: it may be anything.
            if Path(name) not in got.parents or got.is_symlink():
                raise LoadRefused(f"cannot load a file of the mirror: it came as {quoted(str(got))}")
            data = self._read(got)
            if data is None or size not in (None, len(data)) or sha256(data).hexdigest() != digest:
                raise LoadRefused(
                    "cannot load a file of the mirror: the bytes in MLflow's store are not those that were registered",
                    hint="`model-inbox mlflow verify --deep` tells which they are, `--repair` sends them again",
                )
            # Not synced: what a crash leaves here is damaged or missing, and is fetched again.
            final = temporary_name(self._disk, path)
            try:
                self._disk.rename(got, final)
                self._disk.chmod(final, 0o600)
                self._disk.rename(final, path)
            except OSError as error:
                remove_quietly(self._disk, final)
                raise StorageError("keep", path, error) from error
            return data

    def _make_room(self, kept: Path) -> None:
        """Remove what was used longest ago, until all fits; and what a killed process left."""
        files = []
        for path in self.folder.iterdir():
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    files.append((found.st_mtime_ns, found.st_size, path))
                elif path.name.startswith(".fetch-") and kept.stat().st_mtime - found.st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._bytes_max:
                return
            if path != kept and remove_quietly(self._disk, path):
                total -= size
