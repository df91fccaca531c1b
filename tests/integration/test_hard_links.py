"""Hard links in the inbox: an honest producer's own are copied; nobody registers a file of another user by one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_inbox.producer.files import drop_files
from support.people import ALICE, BOB, PRODUCERS, SERVICE, Installation
from support.world import digest, pickled, sidecar

SETTING = Path("/proc/sys/fs/protected_hardlinks")
SECRET = pickled("private model of alice")


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Installation:
    """A service, and a folder of Alice's from which the service and other producers may read, as many have."""
    it = Installation(tmp_path)
    it.serve()
    (tmp_path / "alice").mkdir()
    for name, data in (("m.pkl", SECRET), ("m.yaml", sidecar())):
        (tmp_path / "alice" / name).write_bytes(data)
        os.chown(tmp_path / "alice" / name, ALICE, PRODUCERS)
        (tmp_path / "alice" / name).chmod(0o640)
    return it


def home(it: Installation) -> Path:
    return it.world.root.parent / "alice"


@contextlib.contextmanager
def setting(value: bytes) -> Iterator[bool]:
    """Set whether the kernel protects files from links of others; yield whether it could be set."""
    before = SETTING.read_bytes()
    try:
        SETTING.write_bytes(value)
    except OSError:
        yield before.strip() == value
        return
    try:
        yield True
    finally:
        SETTING.write_bytes(before)


@pytest.fixture(name="unprotected")
def _unprotected(it: Installation) -> Iterator[None]:
    """Everybody may link Alice's files: by the setting, or where it cannot be set because they may write them."""
    with setting(b"0") as is_set:
        for path in home(it).iterdir() if not is_set else ():
            path.chmod(0o660)
        yield


def link(it: Installation, uid: int, *names: str) -> None:
    """Link files of Alice's into the inbox as that user."""

    def act() -> None:
        for name in names:
            os.link(home(it) / name, it.inbox / name)

    it.act(uid, act)


def outcome(it: Installation) -> tuple[str, set[str]]:
    receipt = it.world.receipt("m")
    assert receipt is not None
    return receipt["outcome"], {problem["code"] for problem in receipt["problems"]}


def notes(it: Installation) -> str:
    """Serve, and return what the log says of the registration."""
    (line,) = (line for line in it.serve() if line["event"] == "drop.registered")
    return str(line["notes"])


def test_a_link_of_the_owner_is_copied_and_said(it: Installation) -> None:
    """Where the kernel protects files, only the owner can have linked them, sidecar and all."""
    with setting(b"1") as is_set:
        assert is_set, "the kernel does not protect files, and it cannot be told to"
        link(it, ALICE, "m.pkl", "m.yaml")
        line = notes(it)
    assert line.count("drop.linked") == 2
    assert outcome(it) == ("registered", set())
    stored = it.models / "prediction/m.pkl"
    assert (stored.stat().st_ino == (home(it) / "m.pkl").stat().st_ino, stored.stat().st_uid) == (False, SERVICE)
    assert (home(it) / "m.pkl").read_bytes() == SECRET


def test_another_cannot_link_where_the_kernel_protects(it: Installation) -> None:
    """What the rule above leans on."""
    with setting(b"1") as is_set:
        assert is_set
        assert not it.may(BOB, lambda: os.link(home(it) / "m.pkl", it.inbox / "m.pkl"))


@pytest.mark.usefixtures("unprotected")
def test_links_of_another_are_refused(it: Installation) -> None:
    """Bob's links to Alice's model and sidecar: nothing is registered in her name, and consumers see nothing of it."""
    link(it, BOB, "m.pkl", "m.yaml")
    it.serve()
    assert outcome(it) == ("rejected", {"drop.linked"})
    with it.world.registry() as registry:
        assert registry.registry == {}
    assert list(it.world.models.rglob("*.pkl")) == []
    assert (home(it) / "m.pkl").read_bytes() == SECRET


@pytest.mark.usefixtures("unprotected")
def test_a_link_beside_a_sidecar_of_the_owner_is_refused(it: Installation) -> None:
    """Alice's sidecar waits for its model; Bob links another of her files under that name."""
    it.act(ALICE, lambda: (it.inbox / "m.yaml").write_bytes(sidecar()))
    link(it, BOB, "m.pkl")
    it.serve()
    assert outcome(it) == ("rejected", {"drop.linked"})


@pytest.mark.usefixtures("unprotected")
def test_a_digest_says_which_file_is_meant(it: Installation) -> None:
    """Alice links a large model, and her sidecar in the inbox, which has one name, has its digest: it is taken."""
    link(it, ALICE, "m.pkl")
    it.act(ALICE, lambda: (it.inbox / "m.yaml").write_bytes(sidecar(sha256={"model": digest(SECRET)})))
    assert "drop.linked" in notes(it)
    assert outcome(it)[0] == "registered"


@pytest.mark.usefixtures("unprotected")
def test_a_linked_sidecar_vouches_for_nothing(it: Installation) -> None:
    """One with digests that Alice has elsewhere, linked by Bob together with the model."""
    (home(it) / "m.yaml").write_bytes(sidecar(sha256={"model": digest(SECRET)}))
    link(it, BOB, "m.pkl", "m.yaml")
    it.serve()
    assert outcome(it) == ("rejected", {"drop.linked"})


@pytest.mark.usefixtures("unprotected")
def test_a_drop_with_digests_is_not_stopped_by_links_to_its_model(it: Installation) -> None:
    """Bob links the model that Alice has dropped: it is registered all the same."""
    it.act(ALICE, lambda: drop_files(home(it) / "m.pkl", home(it) / "m.yaml", inbox=it.inbox).outcome)
    it.act(BOB, lambda: os.link(it.inbox / "m.pkl", it.inbox / ".kept"))
    it.serve()
    assert outcome(it)[0] == "registered"


@pytest.mark.usefixtures("unprotected")
def test_the_probe_leaves_no_name(it: Installation) -> None:
    """Neither its own nor that of one which a crash left."""
    probe = it.inbox / ".processing/.link-probe"
    it.act(SERVICE, lambda: probe.write_bytes(b"left"))
    link(it, BOB, "m.pkl", "m.yaml")
    it.serve()
    assert not probe.exists()
    assert outcome(it)[0] == "rejected"
