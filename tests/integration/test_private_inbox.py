"""`inbox.private`: what one producer drops, no other reads, neither before nor after it was claimed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_inbox import drop
from model_inbox.base.acl import Acl, acl_of, default_acl_of
from model_inbox.base.disk import Disk
from model_inbox.producer.files import drop_files
from support.crash_kit import metadata
from support.people import ALICE, BOB, CAROL, DAVE, PRODUCERS, SERVICE, Installation
from support.waiting import wait_until
from support.world import World, pickled, sidecar

EVERYBODY = (SERVICE, ALICE, BOB, CAROL, DAVE)


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Installation:
    """A private inbox whose service has been started once."""
    it = Installation(tmp_path)
    it.serve()
    return it


def readers(it: Installation, path: Path) -> set[int]:
    return {uid for uid in EVERYBODY if it.may_read(uid, path)}


# --- before it is claimed ---------------------------------------------------------------------------------------------


def by_shell(it: Installation) -> None:
    for name, data in (("m.pkl", pickled(1)), ("m.yaml", sidecar())):
        subprocess.run(["sh", "-c", f'umask 022; cat > "{it.inbox}/{name}"'], input=data, check=True)


def by_cp(it: Installation) -> None:
    source = Path("/tmp") / f"private-{os.getpid()}"
    source.mkdir(mode=0o700)
    try:
        for name, data in (("m.pkl", pickled(1)), ("m.yaml", sidecar())):
            (source / name).write_bytes(data)
            subprocess.run(["cp", source / name, it.inbox / name], check=True)
    finally:
        shutil.rmtree(source)


def by_drop(it: Installation) -> None:
    drop({"v": 1}, metadata("m"), inbox=it.inbox)


def by_a_producer_with_a_closed_umask(it: Installation) -> None:
    os.umask(0o077)
    by_shell(it)


@pytest.mark.parametrize("write", [by_shell, by_cp, by_drop, by_a_producer_with_a_closed_umask])
def test_a_waiting_drop_is_read_by_its_owner_and_the_service(
    it: Installation, write: Callable[[Installation], None]
) -> None:
    """Whatever program and umask wrote it. Nobody else; and it is registered."""
    it.act(ALICE, lambda: write(it))
    for name in ("m.pkl", "m.yaml"):
        assert readers(it, it.inbox / name) == {SERVICE, ALICE}, name
    it.serve()
    receipt = it.world.receipt("m")
    assert receipt is not None
    assert receipt["outcome"] == "registered"
    assert receipt["owner"]["uid"] == ALICE


def test_a_producer_needs_no_list_on_its_own_folders(it: Installation) -> None:
    """`drop --wait` of files that only their owner reads: the answer comes, and another producer cannot read it."""
    source = it.world.root / "alice"
    source.mkdir(mode=0o700)
    for name, data in (("m.pkl", pickled(1)), ("m.yaml", sidecar())):
        (source / name).write_bytes(data)
        (source / name).chmod(0o600)
        os.chown(source / name, ALICE, ALICE)
    os.chown(source, ALICE, ALICE)
    it.act(ALICE, lambda: drop_files(source / "m.pkl", source / "m.yaml", inbox=it.inbox).outcome)
    assert readers(it, it.inbox / "m.pkl") == {SERVICE, ALICE}
    it.serve()
    assert readers(it, it.inbox / "receipts/m.json") == {SERVICE, ALICE}


@pytest.mark.parametrize(
    ("prepare", "hint"),
    [
        (lambda path: path.chmod(0o600), "chmod g+r 'm.pkl'"),
        (lambda path: (Disk().set_acl(path, None), path.chmod(0o600)), f"setfacl -m u:{SERVICE}:r 'm.pkl'"),
    ],
    ids=["a program closed it", "it was moved there"],
)
def test_a_file_that_the_service_cannot_read_is_opened_to_the_service_alone(
    it: Installation, prepare: Callable[[Path], object], hint: str
) -> None:
    """The daemon and `inbox explain` say the one command that helps, which opens it to nobody else."""
    it.put(ALICE, "m")
    it.act(ALICE, lambda: bool(prepare(it.inbox / "m.pkl")))
    it.serve()
    assert it.world.receipt("m") is None
    assert hint in it.command(ALICE, "inbox", "explain", "m.yaml")[1]
    command = hint.split()
    if command[0] == "setfacl":
        # As setfacl does it: the mask becomes what the named users need.
        acl = Acl(6, 0, 0, 4, {SERVICE: 4})
        it.act(ALICE, lambda: Disk().set_acl(it.inbox / "m.pkl", acl))
    else:
        it.act(ALICE, lambda: subprocess.run(["sh", "-c", hint], cwd=it.inbox, check=True).returncode)
    assert readers(it, it.inbox / "m.pkl") == {SERVICE, ALICE}
    it.serve(25)
    assert it.world.receipt("m") is not None


def test_a_moved_file_keeps_its_rights_until_it_is_claimed(it: Installation) -> None:
    """As the manual says: a program that moves a file into the inbox brings the rights that it had."""
    source = it.world.root / "elsewhere"
    source.mkdir()
    source.chmod(0o777)

    def move() -> None:
        (source / "m.pkl").write_bytes(pickled(1))
        (source / "m.pkl").chmod(0o644)
        (source / "m.pkl").rename(it.inbox / "m.pkl")
        (it.inbox / "m.yaml").write_bytes(sidecar())

    it.act(ALICE, move)
    assert readers(it, it.inbox / "m.pkl") == {SERVICE, ALICE, BOB}
    it.serve()
    assert it.world.receipt("m") is not None


# --- what the service holds -------------------------------------------------------------------------------------------


def test_what_is_held_is_read_by_its_owner_and_the_service(it: Installation) -> None:
    """Receipts and rejected drops of two producers, who see each other's names and nothing else."""
    for uid, stem in ((ALICE, "of-alice"), (BOB, "of-bob")):
        it.put(uid, stem)
        it.put(uid, f"{stem}-bad", model_typ="x")
    it.serve()
    for uid, stem in ((ALICE, "of-alice"), (BOB, "of-bob")):
        (folder,) = (it.inbox / "rejected").glob(f"*-{stem}-bad")
        for path in (it.inbox / f"receipts/{stem}.json", it.inbox / f"receipts/{stem}-bad.json", folder):
            assert readers(it, path) == {SERVICE, uid}, path
        for name in ("reason.json", f"{stem}-bad.pkl", f"{stem}-bad.yaml"):
            assert readers(it, folder / name) == {SERVICE, uid}, name


def test_no_moment_shows_what_is_private(it: Installation, tmp_path: Path) -> None:
    """Bob reads all that he can reach, again and again, while drops of Alice arrive and are answered."""
    begun, stop = tmp_path / "begun", tmp_path / "stop"
    tmp_path.chmod(0o777)

    def read_on() -> list[int]:
        rounds = found = 0
        begun.touch()
        while rounds < 3 or (not stop.exists() and rounds < 100_000):
            rounds += 1
            for folder, _, names in os.walk(it.inbox):
                for name in names:
                    with contextlib.suppress(OSError):
                        data = (Path(folder) / name).read_bytes()
                        found += b"of-alice" in data and not name.startswith(".status.json")
        return [rounds, found]

    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(it.act, BOB, read_on)
        wait_until(begun.exists)  # a child that is made while another is made would keep its pipe open
        try:
            for number in range(4):
                for part in range(4):
                    stem = f"{number}-{part}-of-alice"
                    it.put(ALICE, stem, umask=0, **({"model_typ": stem} if part % 2 else {}))
                it.act(ALICE, lambda number=number: drop("of-alice", metadata(f"d{number}"), inbox=it.inbox).outcome)
                it.serve(0.5)
        finally:
            stop.touch()
        rounds, found = reading.result(60)
    assert (rounds >= 3, found) == (True, 0)
    assert it.world.answered().registered.keys() >= {"0-0-of-alice", "d3"}


def test_the_owner_of_a_rejected_drop_uses_it(it: Installation) -> None:
    """`rejected list`, `show` and `retry`, and `inbox explain`, for the owner; nothing of it for another producer."""
    it.put(ALICE, "bad", model_typ="secret of alice")
    it.serve()
    (folder,) = (it.inbox / "rejected").glob("*-bad")
    for expected, words in (
        (0, ["rejected", "list"]),
        (0, ["rejected", "show", "bad"]),
        (1, ["inbox", "explain", "bad.yaml"]),  # as for every drop that was rejected
    ):
        status, output = it.command(ALICE, *words)
        assert status == expected, output
        assert "sidecar.unknown_key" in output
        assert "bad" in output
    assert "1 rejected drop of other users" in it.command(BOB, "rejected", "list")[1]
    assert json.loads(it.command(BOB, "rejected", "list", "--json")[1]) == []
    for words in (["rejected", "show", folder.name], ["rejected", "retry", folder.name], ["rejected", "show", "bad"]):
        status, output = it.command(BOB, *words)
        assert (status, "model_typ" in output) == (1, False), output
    assert "it is another user's" in it.command(BOB, "rejected", "show", folder.name)[1]
    status, output = it.command(ALICE, "rejected", "retry", "bad")
    assert (status, output.startswith("Copied to the inbox: bad.pkl, bad.yaml.")) == (0, True), output
    assert readers(it, it.inbox / "bad.pkl") == {SERVICE, ALICE}
    it.serve()
    assert len(list((it.inbox / "rejected").glob("*-bad"))) == 2
    status, output = it.command(0, "rejected", "retry", "bad")
    assert (status, output) == (0, "Moved back to the inbox: bad.pkl, bad.yaml.\n")


def test_an_answer_to_another_user_under_the_same_name_stops_nobody(it: Installation) -> None:
    """`drop --wait` of a producer who cannot read the receipt that has its stem."""
    it.put(BOB, "m")
    it.serve()
    assert not it.may_read(ALICE, it.inbox / "receipts/m.json")
    answer = it.act(ALICE, lambda: drop({"v": 1}, metadata("m"), inbox=it.inbox, wait=0.01).outcome)
    assert answer == "waiting"
    it.serve()
    assert readers(it, it.inbox / f"receipts/m@{ALICE}.json") == {SERVICE, ALICE}
    status, output = it.command(ALICE, "inbox", "explain", "m.yaml")
    assert (status, "registry.model_id_taken" in output) == (1, True), output


def test_the_status_quotes_no_sidecar(it: Installation) -> None:
    """All producers read it: it names what waits, and leaves out what is wrong in a sidecar."""
    it.act(ALICE, lambda: (it.inbox / "m.yaml").write_bytes(b"secret of alice: 1\nversion: ['1.10'"))
    it.put(ALICE, "alone")
    it.act(ALICE, lambda: (it.inbox / "alone.pkl").unlink())

    def published() -> tuple[str, list[dict[str, object]]]:
        with it.world.running() as service:
            it.world.live_on(service, 1)
            text = json.dumps(service.reporter.document())
        return text, json.loads(text)["waiting_files"]

    text, waiting = it.act(SERVICE, published)
    assert "secret" not in text
    assert {one["name"]: [problem["code"] for problem in one["problems"]] for one in waiting} == {
        "m.yaml": [],
        "alone.yaml": ["artifact.missing"],
    }


def test_a_stored_model_has_no_list(tmp_path: Path) -> None:
    """Also one of the service's own user, which is linked from the inbox and not copied."""
    world = World(tmp_path, {"inbox": {"private": True}})
    with world.running() as service:
        world.put("m")
        dropped = {(world.inbox / name).stat().st_ino for name in ("m.pkl", "m.yaml")}
        assert acl_of(world.inbox / "m.pkl") is not None
        world.live_on(service, 1)
    stored = [world.models / "prediction" / name for name in ("m.pkl", "m.yaml")]
    assert {path.stat().st_ino for path in stored} == dropped
    for path in stored:
        assert (acl_of(path), path.stat().st_mode & 0o777) == (None, 0o440)


# --- turned on, turned off, and where it cannot be --------------------------------------------------------------------


def test_turned_on_it_closes_what_was_open(tmp_path: Path) -> None:
    """Receipts and rejected drops from before, for their owners; turned off the inbox has no list any more."""
    it = Installation(tmp_path, inbox={"private": False})
    it.put(ALICE, "m")
    it.put(ALICE, "bad", model_typ="x")
    it.serve()
    (folder,) = (it.inbox / "rejected").glob("*-bad")
    paths = (it.inbox / "receipts/m.json", it.inbox / "receipts/bad.json", folder, folder / "reason.json")
    for path in paths:
        assert readers(it, path) == {SERVICE, ALICE, BOB}, path
    it.world.configure(inbox={"private": True})
    it.serve()
    for path in paths:
        assert readers(it, path) == {SERVICE, ALICE}, path
    it.world.configure(inbox={"private": False})
    it.serve()
    assert default_acl_of(it.inbox) is None
    it.put(ALICE, "n")
    assert readers(it, it.inbox / "n.pkl") == {SERVICE, ALICE, BOB}


def test_what_cannot_be_closed_is_said(tmp_path: Path) -> None:
    """Answers that root has put there, and what is no file: the service starts, names the first, and closes its own."""
    it = Installation(tmp_path, inbox={"private": False})
    it.put(ALICE, "m")
    it.serve()
    receipts = it.inbox / "receipts"
    (receipts / "of-root.json").write_text("{}")
    (receipts / "of-root.json").chmod(0o644)
    os.mkfifo(receipts / "pipe.json", 0o666)
    (receipts / "link.json").symlink_to("/etc/passwd")
    (it.inbox / "rejected/file").write_text("")
    it.world.configure(inbox={"private": True})
    said = [line for line in it.serve() if line["event"] == "inbox.left_open"]
    assert [(line["path"], line["count"]) for line in said] == [(str(receipts / "of-root.json"), 1)]
    assert readers(it, receipts / "m.json") == {SERVICE, ALICE}


def test_a_list_of_the_administrators_stays(tmp_path: Path) -> None:
    """A reader whom the administrator named reads on; the group does not, and the service does."""
    it = Installation(tmp_path)
    Disk().set_acl(it.inbox, Acl(7, 5, 5, 5, {DAVE: 5}), default=True)
    it.serve()
    assert default_acl_of(it.inbox) == Acl(7, 0, 0, 5, {SERVICE: 5, DAVE: 5})
    it.put(ALICE, "m")
    found = acl_of(it.inbox / "m.pkl")
    assert found is not None
    assert found.users == {SERVICE: 5, DAVE: 5}
    assert readers(it, it.inbox / "m.pkl") == {SERVICE, ALICE}  # the inbox itself is closed to Dave
    it.serve()
    assert it.world.receipt("m") is not None


def test_folders_of_ours_that_are_made_again_have_no_list(it: Installation) -> None:
    """A producer reads the status and lists the receipts, although the folder was made below the list."""
    shutil.rmtree(it.inbox / "receipts")
    it.put(ALICE, "m")
    it.serve()
    assert (acl_of(it.inbox / "receipts"), default_acl_of(it.inbox / "receipts")) == (None, None)
    assert it.may_read(BOB, it.inbox / "receipts")
    assert readers(it, it.inbox / "receipts/m.json") == {SERVICE, ALICE}


@pytest.fixture(name="without_lists")
def _without_lists(tmp_path: Path) -> Iterator[Installation]:
    """An installation on a file system that has no lists."""
    folder = tmp_path / "mount"
    folder.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "none", folder], check=True)
    try:
        folder.chmod(0o755)
        yield Installation(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_without_lists_the_service_works_and_nobody_else_reads(without_lists: Installation) -> None:
    """What it holds is for the service alone, which is said; a drop is registered like any other."""
    it = without_lists
    assert "inbox.without_acls" in {line["event"] for line in it.serve()}
    it.put(ALICE, "m")
    it.put(ALICE, "bad", model_typ="x")
    it.serve()
    (folder,) = (it.inbox / "rejected").glob("*-bad")
    for path in (it.inbox / "receipts/m.json", folder):
        assert readers(it, path) == {SERVICE}, path
    receipt = json.loads((it.inbox / "receipts/m.json").read_bytes())
    assert receipt["outcome"] == "registered"
    assert (it.inbox / "receipts").stat().st_gid == PRODUCERS
