"""The sockets that the pages are served on: a loopback address, or a path for one group of users.

Owns how a socket is made and removed. A socket with a path gets its mode and its group before anybody can connect. One
that another process left behind is replaced, one that is served is not, and no other file ever is. Links at the path
are not followed. Never accepts a connection.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..base.users import name_of_group
from ..config.settings import UNIX_PREFIX
from ..errors import ConfigError, StorageError
from ..exit_codes import EXIT_TRY_AGAIN
from ..problems import quoted
from ..problems.config import config_unusable

__all__ = ["listening", "url_of"]

BACKLOG = 128
# Owner and group connect by writing; all others can do nothing with the socket.
_UMASK = 0o117


def url_of(address: str) -> str:
    """Return where people find the pages: the address for a browser, or the path of the socket as it is configured."""
    return address if address.startswith(UNIX_PREFIX) else f"http://{address}/"


@contextmanager
def listening(address: str, group: str | None) -> Iterator[socket.socket]:
    """Yield a socket that listens at an address of `web.listen`. On exit it is closed, and its path is removed.

    Raises StorageError if the system does not allow it or another process listens there, and ConfigError if something
    else is at the path or there is no such group.
    """
    if address.startswith(UNIX_PREFIX):
        with _at_path(Path(address.removeprefix(UNIX_PREFIX)), group) as made:
            yield made
    else:
        with _at_address(address) as made:
            yield made


def _at_address(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # An address whose last connections have not timed out can be used at once.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise _refused(address, error) from error
    return made


def _refused(address: str, cause: OSError) -> StorageError:
    error = StorageError("listen on", address, cause)
    if cause.errno == errno.EADDRINUSE:
        error.exit_status = EXIT_TRY_AGAIN
        error.hint = "Another process has this address: end it, or choose another one in `web.listen`"
    return error


@contextmanager
def _at_path(path: Path, group: str | None) -> Iterator[socket.socket]:
    gid = _number_of(group) if group is not None else None
    with ExitStack() as opened:
        try:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, folder)
            # Of two processes that find the same old socket, the second finds the new one of the first.
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_old(path, folder)
            made = opened.enter_context(_bound(path))
            if gid is not None:
                _give_to(gid, path, folder)
            # Until here every connection is refused.
            made.listen(BACKLOG)
            inode = _inode(path.name, folder)
            fcntl.flock(folder, fcntl.LOCK_UN)
        except OSError as error:
            raise _refused(str(path), error) from error
        try:
            yield made
        finally:
            _remove(path.name, folder, inode)


def _number_of(group: str) -> int:
    if group.isascii() and group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        hint = "Make it (groupadd), or name another one"
        raise _unusable("web.group", f"there is no group {quoted(group)}", hint) from None


def _unusable(field: str, what: str, hint: str) -> ConfigError:
    problem = config_unusable(field, what, hint)
    return ConfigError(f"cannot serve the pages: {problem.message}", hint=hint)


def _remove_old(path: Path, folder: int) -> None:
    """Remove the socket of a process that has ended. Raises ConfigError for anything else, OSError if it is served."""
    try:
        found = os.lstat(path.name, dir_fd=folder)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise _unusable("web.listen", f"{str(path)!r} is there, and is no socket", "Remove it, or name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        asking.settimeout(0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            os.unlink(path.name, dir_fd=folder)
            return
        except BlockingIOError:
            # Somebody listens, who has many connections to accept.
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _bound(path: Path) -> socket.socket:
    """Return a socket at a path where nothing is: a link there, even one that leads nowhere, is in the way."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # No other thread runs yet. The mode of a socket's file cannot be given otherwise at once.
    before = os.umask(_UMASK)
    try:
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def _give_to(gid: int, path: Path, folder: int) -> None:
    inode = _inode(path.name, folder)
    try:
        os.chown(path.name, -1, gid, dir_fd=folder, follow_symlinks=False)
    except PermissionError:
        _remove(path.name, folder, inode)
        raise _unusable(
            "web.group",
            f"this process cannot give {str(path)!r} to the group {name_of_group(gid)}",
            "Add its user to the group (`usermod -aG`, or SupplementaryGroups= in the unit), and start it again",
        ) from None


def _inode(name: str, folder: int) -> tuple[int, int]:
    found = os.lstat(name, dir_fd=folder)
    return found.st_dev, found.st_ino


def _remove(name: str, folder: int, inode: tuple[int, int]) -> None:
    """Remove the path of our socket, unless it is another one's by now. That it is gone already is no problem."""
    try:
        if _inode(name, folder) == inode:
            os.unlink(name, dir_fd=folder)
    except OSError:
        return
