"""Whose config.yaml in the current folder counts: nobody is led to folders that somebody else chose."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.users import is_private_group
from model_inbox.config.load import load_config
from model_inbox.errors import ConfigError
from support.users import as_user, let_through

ALICE, BOB = 54321, 54322
SYSTEM = "inbox: {path: /srv/system}\n"
LOCAL = "inbox: {path: local}\n"


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    """A folder of Alice's with a config.yaml of hers, and a system-wide file that everybody can read."""
    let_through(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "system.yaml").write_text(SYSTEM)
    # Other users cannot read what an import needs, so it is imported now.
    load_config(tmp_path / "system.yaml", env={}, cwd=tmp_path)
    place = tmp_path / "place"
    place.mkdir(0o755)
    (place / "config.yaml").write_text(LOCAL)
    for path in (place, place / "config.yaml"):
        os.chown(path, ALICE, ALICE)
    return place


def found(place: Path, *, system: str = "system.yaml") -> tuple[str, list[str]]:
    """Return the inbox of the configuration that a command in `place` uses, and what it says of a skipped file."""
    said: list[str] = []
    config = load_config(
        None,
        env={},
        cwd=place,
        system_config=place.parent / system,
        on_skipped=lambda problem: said.append(f"{problem.code}: {problem.message}"),
    )
    return str(config.inbox.path), said


def found_by(uid: int, place: Path) -> Any:
    return as_user(uid, lambda: found(place))


def test_the_file_of_the_caller_counts(place: Path) -> None:
    """Who wrote the file in her own folder uses it, and nothing is said."""
    assert found_by(ALICE, place) == [f"{place}/local", []]


def test_the_file_of_root_counts_for_everybody(place: Path) -> None:
    """What root set up in a folder of root's is as good as a file in /etc."""
    for path in (place, place / "config.yaml"):
        os.chown(path, 0, 0)
    assert found_by(BOB, place) == [f"{place}/local", []]


@pytest.mark.parametrize("uid", [0, BOB])
def test_the_file_of_another_user_is_skipped(place: Path, uid: int) -> None:
    """Root and a colleague who stand in Alice's folder use the system's file, and are told whose the skipped one is."""
    message = f"config.not_trusted: the config.yaml in the current folder is not used: the folder belongs to {ALICE}"
    assert found_by(uid, place) == ["/srv/system", [message]]


def chmod(name: str, mode: int) -> Callable[[Path], None]:
    return lambda place: (place / name).chmod(mode)


def linked_to_bobs_folder(place: Path) -> None:
    other = place.parent / "bobs"
    other.mkdir(0o755)
    os.chown(other, BOB, BOB)
    (place / "config.yaml").rename(other / "config.yaml")
    (place / "config.yaml").symlink_to(other / "config.yaml")


def with_an_access_list(place: Path) -> None:
    """Let Bob write by an access list (acl(5)): version 2, then tag, permission and id of each line."""
    nobody = 0xFFFF_FFFF
    lines = ((0x01, 6, nobody), (0x02, 6, BOB), (0x04, 4, nobody), (0x10, 6, nobody), (0x20, 4, nobody))
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *line) for line in lines)
    os.setxattr(place / "config.yaml", "system.posix_acl_access", data)


def in_an_inbox(place: Path) -> None:
    (place.parent / ".processing").mkdir()


UNTRUSTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "the folder's group can write": (chmod(".", 0o775), "others than its owner can write to the folder (mode 0775)"),
    "everybody can write to the folder": (chmod(".", 0o757), "everybody can write to the folder (mode 0757)"),
    "a sticky folder": (chmod(".", 0o1777), "others than its owner can write to the folder (mode 1777)"),
    "the file's group can write": (chmod("config.yaml", 0o664), "others than its owner can write to it (mode 0664)"),
    "everybody can write to the file": (chmod("config.yaml", 0o646), "everybody can write to it (mode 0646)"),
    "a link to a folder of another": (linked_to_bobs_folder, f"the folder belongs to {BOB}"),
    "an access list": (with_an_access_list, "others than its owner can write to it (mode 0664)"),
    "below an inbox": (in_an_inbox, "is an inbox, where others put files"),
    "a file that cannot be read": (chmod("config.yaml", 0o000), "it cannot be read: Permission denied"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_a_file_that_others_can_change_is_skipped(place: Path, case: str) -> None:
    """The owner herself does not use a file that somebody else can have changed or put there, and is told why."""
    prepare, why = UNTRUSTED[case]
    prepare(place)
    used, [said] = found_by(ALICE, place)
    assert used == "/srv/system"
    assert said.endswith(why)


def test_without_another_file_the_command_ends(place: Path) -> None:
    """The defaults would be folders of the other user, so they are not used."""
    with pytest.raises(ConfigError) as caught:
        found(place, system="none.yaml")
    assert [problem.code for problem in caught.value.problems] == ["config.not_trusted"]


@pytest.mark.parametrize("owner", [0, ALICE])
def test_a_fifo_is_never_waited_for(place: Path, owner: int) -> None:
    """A FIFO named config.yaml ends the command with a message, or is skipped, whichever user made it."""
    (place / "config.yaml").unlink()
    os.mkfifo(place / "config.yaml")
    os.chown(place, owner, owner)
    if owner:
        assert found(place)[0] == "/srv/system"
    else:
        with pytest.raises(ConfigError) as caught:
            found(place)
        assert [problem.code for problem in caught.value.problems] == ["config.not_readable"]


def test_a_dangling_link_counts_as_no_file(place: Path) -> None:
    """A link to nothing is no configuration."""
    (place / "config.yaml").unlink()
    (place / "config.yaml").symlink_to("nowhere.yaml")
    assert found_by(ALICE, place) == ["/srv/system", []]


def test_a_file_that_is_named_counts_whoever_wrote_it(place: Path) -> None:
    """--config and the variable are the caller's own decision."""
    named = place / "config.yaml"
    assert load_config(named, env={}, cwd=Path("/")).inbox.path == place / "local"
    assert load_config(None, env={"MODEL_INBOX_CONFIG": str(named)}, cwd=Path("/")).inbox.path == place / "local"


def test_a_swap_never_leads_to_the_others_file(place: Path) -> None:
    """While the folder's name changes between root's folder and Alice's, root reads root's file or skips."""
    own, other = place.parent / "own", place
    own.mkdir(0o755)
    (own / "config.yaml").write_text("inbox: {path: /srv/own}\n")
    (other / "config.yaml").write_text("inbox: {path: /srv/theirs}\n")
    here = place.parent / "here"
    here.symlink_to(own)
    child = os.fork()
    if child == 0:
        try:
            while True:
                for target in (other, own):
                    (place.parent / "next").symlink_to(target)
                    (place.parent / "next").replace(here)
        finally:
            os._exit(1)
    try:
        seen = {found(here)[0] for _ in range(150)}
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert "/srv/theirs" not in seen


def test_the_group_of_one_user_is_private() -> None:
    """Root's own group has no other member; a group without a name may have any."""
    assert is_private_group(0, 0)
    assert not is_private_group(ALICE, ALICE)
    assert not is_private_group(0, ALICE)
