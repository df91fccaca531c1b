"""Whose a drop is: in its entry, its receipt, its reasons and the history."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from model_inbox import drop
from model_inbox.inbox.claims import Claim, Left
from model_inbox.inbox.receipts import Answers
from model_inbox.model.metadata import is_valid_id
from model_inbox.model.owner import names_of_owner, owner_in_words, uid_of_owner
from model_inbox.model.receipt import read_receipt, read_receipts, receipt_path
from support.crash_kit import metadata
from support.users import as_user, let_through
from support.world import World, must_be_root, pickled, sidecar

ALICE, BOB, PRODUCERS = 61001, 61002, 61000
DAEMON = pwd.getpwnam("daemon")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def put(world: World, stem: str, uid: int, *, value: object = 1, **fields: object) -> None:
    """Drop a model as that user."""
    must_be_root()
    world.inbox.mkdir(exist_ok=True)
    for name, data in ((f"{stem}.pkl", pickled(value)), (f"{stem}.yaml", sidecar(**fields))):
        path = world.inbox / name
        path.write_bytes(data)
        os.chown(path, uid, -1)


def test_a_drop_has_the_user_who_made_it(world: World) -> None:
    """Entry, journal and receipt have name and number of the user; the name is null where the system knows none."""
    put(world, "a", ALICE)
    put(world, "d", DAEMON.pw_uid)
    with world.running() as service:
        world.live_on(service, 1)
    known = {"name": "daemon", "uid": DAEMON.pw_uid}
    with world.registry() as registry:
        assert registry.registry["a"]["owner"] == {"name": None, "uid": ALICE}
        assert registry.registry["d"]["owner"] == known
        assert [line.entry["owner"] for line in registry.history("d") if line.entry] == [known]
    assert world.receipt("a")["owner"] == {"name": None, "uid": ALICE}
    assert world.receipt("d")["owner"] == known


def test_a_rejected_drop_has_its_user(world: World) -> None:
    """The reasons in `rejected/` say whose drop it was."""
    put(world, "a", ALICE, model_typ="x")
    with world.running() as service:
        world.live_on(service, 1)
    (folder,) = (world.inbox / "rejected").iterdir()
    reason = json.loads((folder / "reason.json").read_text())
    assert reason["owner"] == {"name": None, "uid": ALICE}


@pytest.mark.parametrize(
    ("value", "names", "uid", "words"),
    [
        ({"name": "alice", "uid": 7}, ("alice", "7"), 7, "alice (uid 7)"),
        ({"name": None, "uid": 7}, ("", "7"), 7, "uid 7"),
        ("alice", ("alice", ""), None, "alice"),
        ({"name": "a\x1b[31m", "uid": True}, ("a\x1b[31m", ""), None, "a\\x1b[31m"),
        ({"name": ["a"], "uid": "7"}, ("", ""), None, None),
        ([], ("", ""), None, None),
        (None, ("", ""), None, None),
    ],
)
def test_any_value_is_read_as_an_owner(value: object, names: object, uid: int | None, words: str | None) -> None:
    """A value of an earlier version, or of another program, says what it says, and never fails."""
    assert (names_of_owner(value), uid_of_owner(value), owner_in_words(value)) == (names, uid, words)


# --- receipts of several users ------------------------------------------------------------------------------------


def receipts(world: World) -> dict[str, str]:
    """Return the drop's model of each receipt, by file name."""
    folder = world.inbox / "receipts"
    return {path.name: json.loads(path.read_text())["model_id"] for path in sorted(folder.glob("[!.]*.json"))}


def test_receipts_of_two_users_do_not_replace_one_another(world: World) -> None:
    """The first user of a stem has `<stem>.json` as long as it is there, the other `<stem>@<uid>.json`; each finds its
    own newest answer."""
    folder = world.inbox / "receipts"
    with world.running() as service:
        for uid, model_id in ((ALICE, "a1"), (BOB, "b1"), (ALICE, "a2"), (BOB, "b2")):
            put(world, "m", uid, value=model_id, model_id=model_id)
            world.live_on(service, 1)
    assert receipts(world) == {"m.json": "a2", f"m@{BOB}.json": "b2"}
    mine = {uid: (read_receipt(folder, "m", uid) or {}).get("model_id") for uid in (ALICE, BOB, 61003)}
    assert mine == {ALICE: "a2", BOB: "b2", 61003: None}
    assert {receipt["model_id"] for receipt in read_receipts(folder, "m")} == {"a2", "b2"}
    # Alice's answer expires: bob's stays where it is, and his next one replaces it there.
    (folder / "m.json").unlink()
    with world.running() as service:
        put(world, "m", BOB, value="b3", model_id="b3")
        world.live_on(service, 1)
    assert receipts(world) == {f"m@{BOB}.json": "b3"}


def test_two_users_are_answered_in_one_batch(world: World) -> None:
    """Both dropped the same stem before either has an answer: neither answer is lost."""
    with world.running() as service:
        answers = Answers(world.inbox / "receipts", service.inbox.privacy, service.intake.registry, world.machine())
        written = []
        for uid, model_id in ((ALICE, "a"), (BOB, "b")):
            claim = Claim(f"20260101T00000000000{uid % 10}Z-0001-m", world.root, "m", Left(), "m.yaml", uid=uid)
            claim.owner, claim.model_id, claim.files = {"name": None, "uid": uid}, model_id, {"m.yaml": None}  # type: ignore[dict-item]
            receipt = answers.write_receipt(claim, "registered", sequence=1)
            assert receipt is not None
            written.append(receipt)
        answers.publish(written)
    assert receipts(world) == {"m.json": "a", f"m@{BOB}.json": "b"}


def test_half_a_drop_of_another_user_replaces_no_answer(world: World) -> None:
    """Bob leaves a lone file under alice's stem: her answer stays, and he finds his own."""
    put(world, "m", ALICE)
    with world.running() as service:
        world.live_on(service, 1)
        (world.inbox / "m.pkl").write_bytes(pickled(2))
        os.chown(world.inbox / "m.pkl", BOB, -1)
        world.clock.advance(100)
        world.live_on(service, 1)
    folder = world.inbox / "receipts"
    outcomes = {uid: (read_receipt(folder, "m", uid) or {}).get("outcome") for uid in (ALICE, BOB)}
    assert outcomes == {ALICE: "registered", BOB: "rejected"}


def test_a_receipt_of_the_first_version_is_its_users(world: World) -> None:
    """It names the user alone: that user's next answer replaces it, another's does not."""
    world.inbox.mkdir()
    first = {"drop_id": "1", "outcome": "registered", "model_id": "old", "owner": str(ALICE), "sidecar_sha256": "0"}
    with world.running() as service:
        (world.inbox / "receipts" / "m.json").write_text(json.dumps(first))
        put(world, "m", BOB, value="b", model_id="b")
        world.live_on(service, 1)
        assert receipts(world) == {"m.json": "old", f"m@{BOB}.json": "b"}
        put(world, "m", ALICE, value="a", model_id="a")
        world.live_on(service, 1)
    assert receipts(world) == {"m.json": "a", f"m@{BOB}.json": "b"}


def test_no_stem_meets_the_receipt_of_a_user() -> None:
    """The name of a receipt with a user's number is the receipt of no stem."""
    assert not is_valid_id(f"m@{BOB}")
    assert receipt_path(Path(), "m", BOB) != receipt_path(Path(), f"m.uid{BOB}")


def test_taken_file_names_keep_nobody_from_dropping(world: World) -> None:
    """Bob leaves `m.yaml`, never complete, and then the next name, too. Alice's `drop` uses others, and is answered."""
    let_through(world.root)
    world.inbox.mkdir()
    os.chown(world.inbox, 0, PRODUCERS)
    world.inbox.chmod(0o3770)
    with world.daemon():

        def squat(name: str) -> None:
            (world.inbox / name).write_bytes(sidecar(seal="")[:40])
            os.chown(world.inbox / name, BOB, -1)

        def drop_it(model_id: str) -> list[Any]:
            done = drop({"a": 1}, metadata(model_id), inbox=world.inbox, wait=30)
            return [done.outcome, done.receipt["stem"], done.receipt["owner"]["uid"]]

        squat("m.yaml")
        assert as_user(ALICE, lambda: drop_it("m"), [PRODUCERS]) == ["registered", f"m.uid{ALICE}", ALICE]
        squat(f"m.uid{ALICE}.yaml")
        outcome, stem, uid = as_user(ALICE, lambda: drop_it("m"), [PRODUCERS])
        assert (outcome, uid) == ("duplicate", ALICE)
        assert stem.startswith(f"m.uid{ALICE}.")
