"""Whose rights a command uses: root acts as the owner of the folder, and everybody is named in the history."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelInboxError
from model_inbox.base.users import act_as_owner, name_of_user, person

NOBODY = 54321


class Calls:
    """Records changes of user instead of making them; files belong to `owner`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, euid: int, owner: int) -> None:
        self.made: list[tuple[Any, ...]] = []
        self._owner = owner
        monkeypatch.setattr(os, "geteuid", lambda: euid)
        monkeypatch.setattr(Path, "stat", lambda _path, **_: os.stat_result((0o40755, 1, 1, 1, owner, 77, 0, 0, 0, 0)))
        for name in ("setgroups", "initgroups", "setresgid", "setresuid"):
            monkeypatch.setattr(os, name, lambda *args, name=name: self.made.append((name, *args)))


def test_root_becomes_a_user_with_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """User, group and supplementary groups are the owner's, in the order that lets all three be set."""
    user = pwd.struct_passwd(("modelinbox", "x", NOBODY, 88, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: user)
    calls = Calls(monkeypatch, euid=0, owner=NOBODY)
    act_as_owner(tmp_path)
    assert calls.made == [
        ("initgroups", "modelinbox", 88),
        ("setresgid", 88, 88, 88),
        ("setresuid", NOBODY, NOBODY, NOBODY),
    ]


def test_root_becomes_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An owner that no user database knows has the folder's group and no other."""
    calls = Calls(monkeypatch, euid=0, owner=NOBODY)
    act_as_owner(tmp_path)
    assert calls.made == [("setgroups", []), ("setresgid", 77, 77, 77), ("setresuid", NOBODY, NOBODY, NOBODY)]


@pytest.mark.parametrize(("euid", "owner"), [(0, 0), (1000, NOBODY), (1000, 1000)])
def test_nobody_else_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, euid: int, owner: int) -> None:
    """Root stays root in its own folder, and a plain user itself in any."""
    calls = Calls(monkeypatch, euid=euid, owner=owner)
    act_as_owner(tmp_path)
    assert calls.made == []


def test_the_nearest_folder_that_is_there_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the folder is still to be made, it is made by the owner of the one above it."""
    asked: list[Path] = []
    ours = os.stat_result((0o40755, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "exists", lambda path: path == tmp_path)
    monkeypatch.setattr(Path, "stat", lambda path, **_: asked.append(path) or ours)
    act_as_owner(tmp_path / "models" / "deep")
    assert asked == [tmp_path]


def test_a_system_that_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where even root may not change its user, nothing is written as the wrong one."""
    Calls(monkeypatch, euid=0, owner=NOBODY)

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setresgid", refuse)
    with pytest.raises(ModelInboxError, match="cannot act as the user 54321") as caught:
        act_as_owner(tmp_path)
    assert caught.value.hint == "Run the command as that user"


def test_a_person_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The history has the user's name, and the one behind sudo; a user without a name is a number."""
    me = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert person() == me
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert person() == "alice (sudo)"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert person() == me
    assert name_of_user(NOBODY) == "54321"
