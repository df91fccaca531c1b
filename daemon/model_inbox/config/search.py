"""Finds config.yaml and reads its bytes; decides whether the one in the current folder may be used.

Owns the order in which the places are searched, and whom a file in the current folder must belong to: who writes
the configuration decides which folders a command changes, so a user (above all root) who stands in a folder of others
must not use theirs. Never parses the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..base.disk import open_and_stat, read_open_file
from ..base.units import counted
from ..base.users import is_private_group, name_of_user
from ..errors import ConfigError, StorageError, is_transient
from ..problems import Problem, quoted
from ..problems.config import config_not_found, config_not_readable, config_not_trusted

__all__ = ["CONFIG_BYTES_MAX", "ENVIRONMENT_VARIABLE", "LOCAL_NAME", "SYSTEM_CONFIG", "find_config", "refusal"]

ENVIRONMENT_VARIABLE = "MODEL_INBOX_CONFIG"
LOCAL_NAME = "config.yaml"
SYSTEM_CONFIG = Path("/etc/model-inbox/config.yaml")

CONFIG_BYTES_MAX = 1024 * 1024

# The daemon makes this folder in every inbox.
_CLAIMS_FOLDER = ".processing"
_ACCESS_LIST = "system.posix_acl_access"


class _NotTrustedError(Exception):
    """The file in the current folder may not be used. The text says why, as the end of a sentence."""


def find_config(
    path: Path | None,
    *,
    env: Mapping[str, str],
    cwd: Path,
    system_config: Path,
    on_skipped: Callable[[Problem], None],
) -> tuple[Path, bytes] | None:
    """Return the path of the configuration file and its bytes, or None if there is none.

    If the file in `cwd` may not be used, `on_skipped` is called with the reason and `system_config` is read. Raises
    ConfigError if a file that was named is missing, if a file cannot be read, or if the file in `cwd` may not be used
    and there is no other: the defaults are folders in `cwd`. Raises StorageError for an error that may pass.
    """
    named = path if path is not None else Path(env[ENVIRONMENT_VARIABLE]) if env.get(ENVIRONMENT_VARIABLE) else None
    if named is not None:
        source = "--config" if path is not None else f"${ENVIRONMENT_VARIABLE}"
        return cwd / named, _read(cwd / named, _named_bytes, source)
    local, untrusted = cwd / LOCAL_NAME, None
    for candidate, read in ((local, _own_bytes), (system_config, _regular_bytes)):
        try:
            return candidate, _read(candidate, read)
        except FileNotFoundError:
            continue
        except _NotTrustedError as error:
            untrusted = config_not_trusted(str(error))
            if os.path.lexists(system_config):
                on_skipped(replace(untrusted, file=str(local)))
    if untrusted is not None:
        raise refusal(local, [untrusted])
    return None


def refusal(file: Path, problems: Sequence[Problem]) -> ConfigError:
    """Return the error of a configuration file that cannot be used, with all its problems."""
    count = counted(len(problems), "problem")
    located = [replace(problem, file=file.name) for problem in problems]
    return ConfigError(f"cannot use the configuration {quoted(file, 400)}: {count}", located)


def _read(file: Path, read: Callable[[Path], bytes], source: str | None = None) -> bytes:
    """Return what `read` returns for the file. `source` is who named it; without one it may be missing.

    Raises FileNotFoundError if it is missing and nobody named it, ConfigError, and StorageError.
    """
    try:
        return read(file)
    except FileNotFoundError as error:
        if source is None:
            raise
        raise refusal(file, [config_not_found(error.strerror, source)]) from None
    except OSError as error:
        if is_transient(error):
            raise StorageError("read the configuration", file, error) from error
        raise refusal(file, [config_not_readable(error.strerror)]) from None


def _named_bytes(file: Path) -> bytes:
    """Read a file that the user named: it may be a pipe."""
    with file.open("rb") as stream:
        return stream.read(CONFIG_BYTES_MAX + 1)


def _regular_bytes(file: Path) -> bytes:
    """Read a regular file that may be behind a symlink. A FIFO is never waited for."""
    fd, _ = open_and_stat(os.path.realpath(file))
    try:
        return read_open_file(fd, CONFIG_BYTES_MAX)
    finally:
        os.close(fd)


def _own_bytes(file: Path) -> bytes:
    """Read the file in the current folder, if nobody but this user and root can have put it there or changed it.

    Folder and file are checked and read by their descriptors, so a swap in between changes nothing. Behind a symlink
    the folder of the file itself counts too. Raises _NotTrustedError.
    """
    real = Path(os.path.realpath(file))
    if not os.path.lexists(real):
        raise FileNotFoundError(real)
    for folder in dict.fromkeys((file.parent, real.parent)):
        for above in (folder, *folder.parents):
            if os.path.lexists(above / _CLAIMS_FOLDER):
                raise _NotTrustedError(f"{quoted(above, 400)} is an inbox, where others put files")
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _check_trust(fd, "the folder")
        finally:
            os.close(fd)
    try:
        fd, _ = open_and_stat(real)
    except PermissionError as error:
        raise _NotTrustedError(f"it cannot be read: {error.strerror}") from None
    try:
        _check_trust(fd, "it")
        return read_open_file(fd, CONFIG_BYTES_MAX)
    finally:
        os.close(fd)


def _check_trust(fd: int, what: str) -> None:
    """Raise _NotTrustedError if somebody else than this user and root can change an open file or folder."""
    found = os.fstat(fd)
    if found.st_uid not in (0, os.geteuid()):
        raise _NotTrustedError(f"{what} belongs to {name_of_user(found.st_uid)}")
    writable_by_group = bool(found.st_mode & stat.S_IWGRP)
    # With an access list these bits are its mask: they say what named users and groups may do at most.
    if writable_by_group and (_has_access_list(fd) or not is_private_group(found.st_gid, found.st_uid)):
        raise _NotTrustedError(f"others than its owner can write to {what} (mode {stat.S_IMODE(found.st_mode):04o})")
    if found.st_mode & stat.S_IWOTH:
        raise _NotTrustedError(f"everybody can write to {what} (mode {stat.S_IMODE(found.st_mode):04o})")


def _has_access_list(fd: int) -> bool:
    try:
        return bool(os.getxattr(fd, _ACCESS_LIST))
    except (OSError, AttributeError):
        # The file has none, the file system knows none, or the system has no such call.
        return False
