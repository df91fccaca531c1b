"""Programs under hard limits that they cannot raise: an ordinary user's, as a batch system starts them."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

PLAIN_UID = 54321

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


def under(limits: Mapping[int, int]) -> Callable[[], None]:
    """Return a `preexec_fn` that becomes an ordinary user, if this is root, and sets hard limits {resource: value}."""

    def apply() -> None:
        if os.geteuid() == 0:
            _become_plain_user()
        for which, value in limits.items():
            resource.setrlimit(which, (value, value))

    return apply


def give_to_plain_user(folder: Path) -> None:
    """Make a folder and all in it that user's, and let that user pass to it. Do nothing unless this is root."""
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        # A daemon that is at work there may have removed it meanwhile.
        with suppress(FileNotFoundError):
            os.chown(path, PLAIN_UID, PLAIN_UID)
    for parent in folder.parents[:4]:
        if len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)


def _become_plain_user() -> None:
    """Give up root and every capability but one: to read everything. The interpreter may lie in root's own folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(PLAIN_UID, PLAIN_UID, PLAIN_UID)
    os.setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    kept = 1 << _CAP_DAC_READ_SEARCH
    # Effective, permitted and inheritable: first of the low 32 capabilities, then of the high ones.
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    _must(libc.capset(header, sets))
    _must(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0))


def _must(answer: int) -> None:
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
