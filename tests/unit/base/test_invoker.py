"""Which user runs a process: behind root who logged in or called sudo, also after root became somebody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_inbox.base import users
from support.users import as_user, in_child, let_through

NO_LOGIN = "4294967295"


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the kernel notes who logged in: nobody."""
    path = tmp_path / "loginuid"
    path.write_text(NO_LOGIN)
    monkeypatch.setattr(users, "_LOGIN_UID", path)
    # A command that another test called in this process may have noted who that was.
    monkeypatch.setattr(users, "_before", [])
    monkeypatch.delenv("SUDO_UID", raising=False)
    return path


def test_a_user_is_the_one_of_the_process(login: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment and the login say: only root needs them."""
    login.write_text("1234")
    monkeypatch.setenv("SUDO_UID", "4321")
    assert as_user(1000, users.invoker) == 1000


@pytest.mark.parametrize(
    ("noted", "called", "who"),
    [
        ("1234", "4321", 1234),
        (NO_LOGIN, "4321", 4321),
        ("0", "4321", 0),
        (NO_LOGIN, None, None),
        (NO_LOGIN, "", None),
        (NO_LOGIN, "alice", None),
        (NO_LOGIN, "-1", None),
        (NO_LOGIN, NO_LOGIN, None),
        ("nothing", "4321", 4321),
    ],
)
def test_behind_root_is_the_login_and_then_sudo(
    login: Path, monkeypatch: pytest.MonkeyPatch, noted: str, called: str | None, who: int | None
) -> None:
    """A process of root that no login began, and that sudo did not start, is run by nobody knows whom."""
    login.write_text(noted)
    if called is not None:
        monkeypatch.setenv("SUDO_UID", called)
    assert in_child(lambda: None, users.invoker) == who


def test_a_kernel_that_notes_no_logins(login: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file, sudo counts."""
    login.unlink()
    monkeypatch.setenv("SUDO_UID", "4321")
    assert in_child(lambda: None, users.invoker) == 4321


def test_who_it_was_before_root_became_the_owner_counts(
    login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of root acts as the service's user, and is still run by the one who called it."""
    monkeypatch.setenv("SUDO_UID", "4321")
    let_through(tmp_path)
    folder = tmp_path / "models"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    assert in_child(lambda: users.act_as_owner(folder), lambda: [os.getuid(), users.invoker()]) == [1000, 4321]
