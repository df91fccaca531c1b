"""Access control lists: their binary form, and who may do what by them, compared with the kernel's own answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_inbox.base.acl import ACCESS, Acl, acl_of, default_acl_of, one_reader
from model_inbox.base.disk import Disk
from support.users import as_user, let_through
from support.world import must_be_root

OWNER, NAMED, MEMBER, OF_GROUP, STRANGER = 61_501, 61_502, 61_503, 61_504, 61_505
FILE_GROUP, NAMED_GROUP = 61_511, 61_512
GROUPS = {MEMBER: (NAMED_GROUP,), OF_GROUP: (FILE_GROUP,)}

# Version 2, then tag, rights and id of each entry: owner rw-, user 1001 r--, group ---, mask r--, others ---.
BYTES = bytes.fromhex("02000000 01000600ffffffff 02000400e9030000 04000000ffffffff 10000400ffffffff 20000000ffffffff")


def test_the_form_is_that_of_the_kernel() -> None:
    """The bytes of a list were written down by hand from linux/posix_acl_xattr.h."""
    assert one_reader(1001, folder=False).encode() == BYTES
    assert Acl.decode(BYTES) == Acl(6, 0, 0, 4, {1001: 4})


@pytest.mark.parametrize("data", [b"", b"\x01\0\0\0", BYTES[:-1], BYTES[:12], b"\x02\0\0\0"])
def test_what_is_no_list_is_said(data: bytes) -> None:
    """Another version, a piece, or a list without one of its three parts."""
    with pytest.raises(ValueError, match="a list"):
        Acl.decode(data)


def test_the_kernel_keeps_a_list(tmp_path: Path) -> None:
    """What is set is read again; the mode follows it; it is taken away again, also where there is none."""
    file, disk = tmp_path / "file", Disk()
    file.touch(0o600)
    acl = Acl(6, 4, 0, 5, {1001: 4, 1000: 7}, {2000: 1})
    disk.set_acl(file, acl)
    assert acl_of(file) == acl
    assert file.stat().st_mode & 0o777 == 0o650
    assert default_acl_of(tmp_path) is None
    disk.set_acl(tmp_path, acl, default=True)
    assert default_acl_of(tmp_path) == acl
    disk.set_acl(tmp_path, None, default=True)
    disk.set_acl(tmp_path, None, default=True)
    disk.set_acl(file, None)
    assert (default_acl_of(tmp_path), acl_of(file)) == (None, None)


def test_a_list_that_is_not_understood_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a later kernel, in another version."""
    monkeypatch.setattr(os, "getxattr", lambda *_args, **_named: b"\x03\0\0\0")
    assert acl_of(tmp_path) is None


@pytest.mark.parametrize(
    "acl",
    [
        Acl(6, 4, 0, 4, {NAMED: 4}),
        Acl(6, 0, 4, 4, {NAMED: 0}),
        Acl(6, 4, 4, 0, {NAMED: 4}),
        Acl(0, 4, 4, 7, {NAMED: 7}, {NAMED_GROUP: 7}),
        Acl(6, 0, 4, 7, {}, {NAMED_GROUP: 0}),
        Acl(6, 0, 4, 7, {OWNER: 7}, {NAMED_GROUP: 4, FILE_GROUP: 4}),
        Acl(6, 4, 0),
    ],
    ids=repr,
)
def test_who_may_read_is_what_the_kernel_says(tmp_path: Path, acl: Acl) -> None:
    """For owner, named user, members of named and of the file's group, and others, limited by the mask."""
    must_be_root()
    let_through(tmp_path)
    file = tmp_path / "file"
    file.touch()
    os.chown(file, OWNER, FILE_GROUP)
    os.setxattr(file, ACCESS, acl.encode())
    for uid in (OWNER, NAMED, MEMBER, OF_GROUP, STRANGER):
        groups = GROUPS.get(uid, ())
        kernel = as_user(uid, lambda: os.access(file, os.R_OK), groups)
        assert acl.may_read(uid, frozenset({uid, *groups}), OWNER, FILE_GROUP) == kernel, uid
