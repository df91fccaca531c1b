"""Users' names and groups, asked for with a time limit."""

from __future__ import annotations

import grp
import os
import pwd
import threading

import pytest

from model_inbox.base.accounts import (
    FRESH_SECONDS,
    PAUSE_SECONDS,
    STALE_SECONDS,
    Account,
    Accounts,
    look_up_account,
)
from model_inbox.errors import StorageError
from support.waiting import wait_until

NOBODY = 61_234


class Directory:
    """A database of users that answers, hangs until it is freed, or knows nobody. Its clock is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.users = {7: Account(7, "ann", frozenset({"research", "900"}))}
        self.asked: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.accounts = Accounts(lambda: self.now, self.look_up, ask_seconds=0.05)

    def look_up(self, uid: int) -> Account:
        self.asked.append(uid)
        assert self.free.wait(30)
        return self.users.get(uid, Account(uid))


def test_every_user_of_this_system_is_told_as_the_system_says() -> None:
    """Names and groups are those of getpwuid and getgrouplist, by name and number; an unknown user has none."""
    for found in pwd.getpwall():
        account = look_up_account(found.pw_uid)
        name = pwd.getpwuid(found.pw_uid).pw_name
        gids = os.getgrouplist(name, pwd.getpwuid(found.pw_uid).pw_gid)
        names = {group.gr_name for group in grp.getgrall() if group.gr_gid in gids}
        assert account == Account(found.pw_uid, name, frozenset({*map(str, gids), *names}))
    assert look_up_account(NOBODY) == Account(NOBODY)


def test_answers_are_kept_for_a_minute() -> None:
    """One question a minute for each user; a change of groups counts after that."""
    directory = Directory()
    assert directory.accounts.of(7).groups == {"research", "900"}
    directory.users[7] = Account(7, "ann", frozenset())
    directory.now = FRESH_SECONDS - 1
    assert directory.accounts.of(7).groups == {"research", "900"}
    assert directory.asked == [7]
    directory.now = FRESH_SECONDS + 1
    assert directory.accounts.of(7).groups == frozenset()


def test_a_directory_that_hangs_costs_one_wait() -> None:
    """The first question waits for its time; meanwhile nobody else waits, and what is known counts for ten minutes."""
    directory = Directory()
    assert directory.accounts.name_of(7) == "ann"
    directory.free.clear()
    directory.now = FRESH_SECONDS + 1
    assert directory.accounts.name_of(7) == "ann"
    assert directory.accounts.name_of(8) == "8"
    with pytest.raises(StorageError, match="user 8"):
        directory.accounts.of(8)
    assert directory.asked == [7, 7]
    directory.now = STALE_SECONDS + 1
    with pytest.raises(StorageError, match="did not answer"):
        directory.accounts.of(7)
    directory.free.set()
    wait_until(lambda: all(thread.name != "accounts" for thread in threading.enumerate()))
    directory.now += PAUSE_SECONDS + FRESH_SECONDS
    assert directory.accounts.of(7).name == "ann"


def test_a_user_that_is_gone_is_believed_after_ten_minutes() -> None:
    """A directory service that is away looks like one that does not know the user."""
    directory = Directory()
    assert directory.accounts.name_of(7) == "ann"
    directory.users.clear()
    directory.now = FRESH_SECONDS + 1
    assert directory.accounts.name_of(7) == "ann"
    directory.now = STALE_SECONDS + 1
    assert directory.accounts.of(7) == Account(7)
    assert directory.accounts.name_of(7) == "7"
