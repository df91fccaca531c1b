"""What the system's databases say of a user: the name and the groups, asked for with a time limit.

Owns the calls of getpwuid(3) and getgrouplist(3). These may ask a directory service (LDAP, SSSD) that does not answer,
and no call can be interrupted. So each is made in a thread of its own, and the caller waits for ASK_SECONDS at most. At
most one such thread is there: while it hangs, nobody waits for another. Answers are kept for FRESH_SECONDS. If there is
no newer one, or the user is not found any more, the last one counts for STALE_SECONDS. Decides nothing.
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ..errors import StorageError

__all__ = ["ASK_SECONDS", "FRESH_SECONDS", "STALE_SECONDS", "Account", "Accounts", "look_up_account"]

ASK_SECONDS = 2.0
FRESH_SECONDS = 60.0
STALE_SECONDS = 600.0
# After a call that took too long, for how long nobody waits for another.
PAUSE_SECONDS = 10.0
_KEPT_MAX = 10_000
_GROUPS_MAX = 65_536


class Account(NamedTuple):
    """A user. `name` is None for one that the databases do not know; `groups` has names and numbers as text."""

    uid: int
    name: str | None = None
    groups: frozenset[str] = frozenset()


class _Kept(NamedTuple):
    account: Account
    at: float


def look_up_account(uid: int) -> Account:
    """Return what the system's databases say. May take as long as they do, and keeps no other thread from running."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid)
    groups = set()
    for gid in _group_numbers(found.pw_name, found.pw_gid):
        groups.add(str(gid))
        with suppress(KeyError):
            groups.add(grp.getgrgid(gid).gr_name)
    return Account(uid, found.pw_name, frozenset(groups))


def _group_numbers(name: str, gid: int) -> list[int]:
    """Return the groups of a user as getgrouplist(3) does. Python's own function keeps the other threads waiting."""
    library = ctypes.CDLL(None)
    count = 64
    while count <= _GROUPS_MAX:
        numbers = (ctypes.c_uint32 * count)()
        found = ctypes.c_int(count)
        if library.getgrouplist(os.fsencode(name), ctypes.c_uint32(gid), numbers, ctypes.byref(found)) >= 0:
            return list(numbers[: found.value])
        count = max(found.value, 2 * count)
    return [gid]


class Accounts:
    """Users by number. Several threads may ask."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        look_up: Callable[[int], Account] = look_up_account,
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._look_up = look_up
        self._ask_seconds = ask_seconds
        self._lock = threading.Lock()
        self._kept: dict[int, _Kept] = {}
        self._asking: threading.Thread | None = None
        self._pause_until = float("-inf")

    def name_of(self, uid: int) -> str:
        """Return a user's name, or the number if there is none, or nobody can say it now."""
        account = self._find(uid)
        return account.name if account is not None and account.name is not None else str(uid)

    def of(self, uid: int) -> Account:
        """Return a user's name and groups. Raises StorageError if nobody can say them now."""
        account = self._find(uid)
        if account is None:
            late = TimeoutError(errno.ETIMEDOUT, "the system's user database did not answer")
            raise StorageError("ask for the name and the groups of", f"user {uid}", late)
        return account

    def _find(self, uid: int) -> Account | None:
        kept = self._kept.get(uid)
        now = self._monotonic()
        if kept is not None and now - kept.at < FRESH_SECONDS:
            return kept.account
        with self._lock:
            self._ask(uid, now)
            kept = self._kept.get(uid)
        return kept.account if kept is not None and now - kept.at < STALE_SECONDS else None

    def _ask(self, uid: int, now: float) -> None:
        """Look a user up, unless an earlier call still hangs. With the lock held."""
        if now < self._pause_until or (self._asking is not None and self._asking.is_alive()):
            return
        self._asking = threading.Thread(target=self._answer, args=(uid, now), name="accounts", daemon=True)
        self._asking.start()
        self._asking.join(self._ask_seconds)
        if self._asking.is_alive():
            self._pause_until = self._monotonic() + PAUSE_SECONDS

    def _answer(self, uid: int, at: float) -> None:
        try:
            account = self._look_up(uid)
        except OSError:
            # No answer, as if it had come too late.
            return
        kept = self._kept.get(uid)
        if account.name is None and kept is not None and kept.account.name is not None and at - kept.at < STALE_SECONDS:
            # A directory service that is away looks like a user that is gone.
            return
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        self._kept[uid] = _Kept(account, at)
