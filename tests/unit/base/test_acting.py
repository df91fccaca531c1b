"""Whose rights a command uses: root acts as the owner of the folder, and works below no path that others can change."""

from __future__ import annotations

import ctypes
import os
import pwd
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelInboxError
from model_inbox.base.owners import owner_of
from model_inbox.base.users import act_as_any_owner, act_as_owner, name_of_user, person
from support.users import as_user, let_through

ALICE, BOB = 54321, 54322
GROUP = 54400


@pytest.fixture(name="top")
def _top(tmp_path: Path) -> Path:
    """A folder of root's that everybody may pass."""
    let_through(tmp_path)
    tmp_path.chmod(0o755)
    return tmp_path


def folder(path: Path, owner: int, mode: int = 0o755) -> Path:
    path.mkdir()
    os.chown(path, owner, GROUP if owner else 0)
    path.chmod(mode)
    return path


def acting(*folders: Path, act: Callable[..., None] = act_as_owner) -> Any:
    """Return what root is after it acts as the owner of the folders: its ids, groups, capabilities, no_new_privs."""

    def become() -> dict[str, Any]:
        act(*folders)
        lines = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {name: lines[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs")}

    return as_user(0, become)


def refused(path: Path) -> str:
    with pytest.raises(ModelInboxError) as caught:
        owner_of(path)
    return caught.value.message


def test_root_becomes_the_owner_with_nothing_left(top: Path) -> None:
    """User, group and supplementary groups are the owner's, no capability is left, and none can be gained."""
    models = folder(top / "models", ALICE)
    assert acting(models) == {
        "Uid": [str(ALICE)] * 4,
        "Gid": [str(GROUP)] * 4,
        "Groups": [],
        "CapEff": ["0" * 16],
        "CapPrm": ["0" * 16],
        "NoNewPrivs": ["1"],
    }


def test_root_becomes_a_user_with_a_name_and_its_groups(top: Path) -> None:
    """A user of the system's database has the groups that the database gives it, not those of the folder."""
    user = pwd.getpwnam("nobody")
    became = acting(folder(top / "models", user.pw_uid))
    assert became["Gid"] == [str(user.pw_gid)] * 4
    assert became["Groups"] == [str(group) for group in os.getgrouplist(user.pw_name, user.pw_gid)]


def test_root_stays_root_in_a_folder_of_its_own(top: Path) -> None:
    """Where nobody else can change the path, root works as root."""
    assert acting(folder(top / "models", 0))["Uid"] == ["0"] * 4


def test_a_plain_user_stays_itself(top: Path) -> None:
    """Only root changes its user."""
    models = folder(top / "models", ALICE)
    assert as_user(BOB, lambda: (act_as_owner(models), os.getuid())[1]) == BOB


def test_the_nearest_folder_that_is_there_counts(top: Path) -> None:
    """Where the folder is still to be made, it is made by the owner of the one above it."""
    assert owner_of(folder(top / "models", ALICE) / "deep" / "deeper") == (ALICE, GROUP, False)


def test_folders_of_several_owners_are_refused(top: Path) -> None:
    """Registry and storage that belong to different users have no common owner to act as."""
    with pytest.raises(ModelInboxError, match=f"belongs to {ALICE} and .* to {BOB}"):
        act_as_owner(folder(top / "models", ALICE), folder(top / "storage", BOB))
    assert acting(top / "models", top / "away")["Uid"] == [str(ALICE)] * 4


def test_a_command_that_only_looks_acts_as_any_owner(top: Path) -> None:
    """The status is told although one of the folders is away or belongs to root."""
    own, models = folder(top / "inbox", 0), folder(top / "models", ALICE)
    assert acting(own, models, act=act_as_any_owner)["Uid"] == [str(ALICE)] * 4
    assert acting(own, top / "away", act=act_as_any_owner)["Uid"] == ["0"] * 4


def test_a_folder_below_another_users_is_refused(top: Path) -> None:
    """The owner of a folder on the path can put another one in its place."""
    place = folder(folder(top / "alice", ALICE) / "models", BOB)
    assert refused(place).endswith(f"the folders on its path belong to several users (uid {ALICE}, {BOB})")


def test_a_folder_of_root_below_another_users_is_refused(top: Path) -> None:
    """Root would stay root below a path that Alice can change."""
    place = folder(folder(top / "alice", ALICE) / "models", 0)
    assert refused(place).endswith(f"'{place}' belongs to root, but others can write to '{top}/alice'")


@pytest.mark.parametrize(("mode", "is_refused"), [(0o777, True), (0o775, True), (0o1777, False), (0o755, False)])
def test_a_folder_of_root_that_others_can_change_is_refused(top: Path, mode: int, is_refused: bool) -> None:
    """With the sticky bit nobody can rename what root made; without it anybody who can write can."""
    place = folder(folder(top / "common", 0, mode) / "models", 0)
    if is_refused:
        assert "others can write to" in refused(place)
    else:
        assert owner_of(place).uid == 0


def test_a_symlink_that_others_can_change_is_refused(top: Path) -> None:
    """A link in Alice's folder, or one of hers in a common folder, may lead anywhere at the next moment."""
    target = folder(top / "models", 0)
    (folder(top / "alice", ALICE) / "link").symlink_to(target)
    common = folder(top / "common", 0, 0o1777)
    (common / "link").symlink_to(target)
    os.chown(common / "link", ALICE, ALICE, follow_symlinks=False)
    for link in (top / "alice" / "link", common / "link"):
        assert refused(link / "deep").endswith(f"'{link}' is a symlink that another user can change")


def test_a_symlink_of_root_is_followed(top: Path) -> None:
    """Systems link /srv or /var elsewhere; relative and absolute links count, and a loop ends."""
    models = folder(top / "models", ALICE)
    (top / "relative").symlink_to("../" + top.name + "/models")
    (top / "absolute").symlink_to(models)
    for link in ("relative", "absolute"):
        assert owner_of(top / link) == (ALICE, GROUP, True)
    (top / "loop").symlink_to("loop")
    assert "symlink" in refused(top / "loop")


def test_a_swap_never_leaves_root(top: Path) -> None:
    """While Alice swaps her folder for a link to root's, root becomes Alice or refuses, and is never left root."""
    alice, goal = folder(top / "alice", ALICE), folder(top / "goal", 0)
    models = folder(alice / "models", ALICE)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            models.rename(alice / "aside")
            models.symlink_to(goal)
            models.unlink()
            (alice / "aside").rename(models)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        for _ in range(2000):
            try:
                seen.add(owner_of(models).uid)
            except ModelInboxError:
                seen.add(-1)
    finally:
        done.set()
        swapping.join()
    assert 0 not in seen
    assert ALICE in seen


def test_a_system_that_refuses_is_an_error(top: Path) -> None:
    """Where even root may not change its user, nothing is written as the wrong one."""
    models = folder(top / "models", ALICE)

    def without_the_right() -> str:
        # capset(2): what there is but CAP_SETGID and CAP_SETUID (6 and 7).
        status = Path("/proc/self/status").read_text()
        kept = int(status.split("CapPrm:\t")[1].split()[0], 16) & ~(3 << 6)
        low, high = kept & 0xFFFF_FFFF, kept >> 32
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
        assert ctypes.CDLL(None).capset(header, sets) == 0
        with pytest.raises(ModelInboxError) as caught:
            act_as_owner(models)
        return f"{caught.value.message} / {caught.value.hint}"

    said = as_user(0, without_the_right)
    assert said.startswith(f"cannot act as the user {ALICE}, who owns '{models}'")
    assert said.endswith(" / Run the command as that user")


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
    assert name_of_user(ALICE) == "54321"
