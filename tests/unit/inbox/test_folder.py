"""The inbox folder as it stands: hostile names and shapes, ages, memory, fairness, and the folders of ours in it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox.base.disk import Disk
from model_inbox.base.leases import Lease, read_lease
from model_inbox.errors import ConfigError, StorageError
from model_inbox.inbox import folder as module
from model_inbox.inbox.folder import Rescan
from model_inbox.inbox.readiness import Refuse, Take, Wait
from model_inbox.service.service import Service
from support.examples import examples
from support.sightings import only_drop, parsed, seen
from support.world import World, digest, must_be_root, pickled, sidecar

ALICE, BOB = 61_001, 61_002


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


def ends(world: World, seconds: float = 90) -> dict[str, list[str]]:
    """Let a service live until all time-outs are over; return what was rejected, by stem."""
    with world.running() as service:
        world.live_on(service, seconds)
    return world.answered().rejected


# --- names ---------------------------------------------------------------------------------------------------------

BAD_STEMS = [
    *(b"-rf", b"a b", b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"_x", b"a;rm -rf ~", b"$(id)", b"%s%n", b"{0.x}", b"'\"`"),
    *("é".encode(), "\u202egnp".encode(), b"a_scaler", b"x" * 250, b"m" * 129, b"*", b"~root"),
]


@pytest.mark.parametrize("stem", BAD_STEMS, ids=repr)
def test_a_name_that_is_no_id_is_rejected_with_its_files_and_escaped(world: World, stem: bytes) -> None:
    """Each is rejected as an invalid name; nothing of it reaches a path, a line or an answer unescaped."""
    world.inbox.mkdir()
    for suffix, data in ((b".pkl", pickled(1)), (b".yaml", sidecar())):
        Path(os.fsdecode(os.fsencode(world.inbox) + b"/" + stem + suffix)).write_bytes(data)
    with world.running() as service:
        world.live_on(service, 5)
        (folder,) = list((world.inbox / "rejected").iterdir())
        kept = sorted(os.listdir(os.fsencode(folder)))
        reason = json.loads((folder / "reason.json").read_text())
    assert kept == sorted([stem + b".pkl", stem + b".yaml", b"reason.json"])
    assert [problem["code"] for problem in reason["problems"]] == ["drop.invalid_name"]
    assert all(line.isprintable() for line in json.dumps(reason, ensure_ascii=False).splitlines())
    assert folder.name.isascii()
    assert world.left() == []
    assert world.registrations() == []


def test_case_twins_are_two_models(world: World) -> None:
    """`M` and `m` are two names, and two models."""
    world.put("M", {"v": "large"})
    world.put("m", {"v": "small"})
    assert ends(world, 1) == {}
    with world.registry() as registry:
        assert registry.load_model(registry.registry["M"]) == {"v": "large"}
        assert registry.load_model(registry.registry["m"]) == {"v": "small"}


# --- shapes --------------------------------------------------------------------------------------------------------


def fifo(path: Path, _: World) -> None:
    os.mkfifo(path)


def unix_socket(path: Path, _: World) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path, _: World) -> None:
    must_be_root()
    os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero: reading it to its end never ends


def link_to_passwd(path: Path, _: World) -> None:
    path.symlink_to("/etc/passwd")


def link_to_folder(path: Path, _: World) -> None:
    path.symlink_to("/etc")


def link_to_nowhere(path: Path, _: World) -> None:
    path.symlink_to("nowhere")


def link_to_itself(path: Path, _: World) -> None:
    path.symlink_to(path.name)


def link_into_models(path: Path, world: World) -> None:
    path.symlink_to(world.models / "prediction" / "first.pkl")


SHAPES = [fifo, unix_socket, device, link_to_passwd, link_to_folder, link_to_nowhere, link_to_itself, link_into_models]


def snapshot(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_mode


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_what_is_no_file_is_rejected_unopened(world: World, shape: Callable[[Path, World], None]) -> None:
    """As a model, as a scaler, as a sidecar, and alone: each its problem, and nothing that a link names is touched."""
    world.put("first", {"v": 1})
    with world.running() as service:
        world.live_on(service)
        stored = world.models / "prediction" / "first.pkl"
        before = snapshot(stored), snapshot(Path("/etc/passwd"))
        for stem in ("a", "b"):
            (world.inbox / f"{stem}.yaml").write_bytes(sidecar())
        shape(world.inbox / "a.pkl", world)
        (world.inbox / "b.pkl").write_bytes(pickled(1))
        shape(world.inbox / "b_scaler.pkl", world)
        shape(world.inbox / "c.yaml", world)
        (world.inbox / "c.pkl").write_bytes(pickled(1))
        shape(world.inbox / "d.pkl", world)
        world.live_on(service, 90)
        assert (snapshot(stored), snapshot(Path("/etc/passwd"))) == before
    assert world.answered().rejected == {
        "a": ["artifact.not_regular"],
        "b": ["artifact.not_regular"],
        "c": ["drop.sidecar_not_regular"],
        "d": ["drop.no_sidecar"],
    }
    assert sorted(world.answered().registered) == ["first"]
    assert (world.left(), world.in_hand(), world.staged()) == ([], [], [])


def test_folders_stay_where_they_are(world: World) -> None:
    """Beside a drop, as a sidecar, as a model: not moved, not removed; a sidecar that means one is refused."""
    for name in ("sub", "n.yaml", "m.pkl"):
        (world.inbox / name).mkdir(parents=True)
        (world.inbox / name / "work.txt").write_text("mine")
    (world.inbox / "m.yaml").write_bytes(sidecar())
    assert ends(world) == {"m": ["artifact.not_regular"]}
    assert world.left() == ["m.pkl", "n.yaml", "sub"]
    assert (world.inbox / "m.pkl" / "work.txt").read_text() == "mine"


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n...\n"
BAD_SIDECARS = [
    (b"", "sidecar.empty"),
    (b"\0" * 100, "sidecar.not_yaml"),
    (b"x: " + b"y" * 1_100_000 + b"\n...\n", "sidecar.too_large"),
    (BOMB, "sidecar.anchor"),
    (b"model_type: !!python/object/apply:os.system ['touch owned']\n...\n", "sidecar.tag"),
    (b"[" * 20_000, "sidecar.not_yaml"),
    (b"a: " + b"[" * 12 + b"]" * 12 + b"\n...\n", "sidecar.too_deep"),
    (b"just text\n...\n", "sidecar.not_a_mapping"),
    (sidecar(model_file="../x.pkl"), "sidecar.path_not_plain_name"),
    (sidecar(model_file="/etc/passwd"), "sidecar.path_not_plain_name"),
    (sidecar(model_file="m.yaml"), "sidecar.invalid_name"),
    (sidecar(model_file=".hidden.pkl"), "sidecar.invalid_name"),
    (sidecar(model_file="m.pkl", scaler_file="m.pkl"), "sidecar.same_file_twice"),
    (sidecar(model_id="../../x"), "sidecar.invalid_name"),
]


@pytest.mark.parametrize(("text", "code"), BAD_SIDECARS, ids=[f"{c}-{i}" for i, (_, c) in enumerate(BAD_SIDECARS)])
def test_a_hostile_sidecar_gets_its_problem(world: World, text: bytes, code: str) -> None:
    """Bombs, tags, paths, and text of any size: refused with what is wrong, and the daemon goes on."""
    world.put("m", text=text)
    world.put("good")
    rejected = ends(world)
    assert list(rejected) == ["m"]
    assert code in rejected["m"]
    assert list(world.answered().registered) == ["good"]
    assert not (world.root / "owned").exists()


def test_a_sidecar_that_is_too_large_is_told_its_size_and_the_limit(world: World) -> None:
    """No more of it is read than tells that it is too large; its size is the file's."""
    world.put("m", text=b"# " + b"y" * 2_000_000 + b"\n...\n")
    ends(world)
    (folder,) = (world.inbox / "rejected").iterdir()
    (problem,) = json.loads((folder / "reason.json").read_text())["problems"]
    assert problem["message"] == "the sidecar has 2000007 bytes, more than inbox.max_sidecar_size, 1048576 bytes"
    assert "ask the operator for a larger limit" in problem["hint"]


def test_a_file_that_two_sidecars_name_belongs_to_the_first_that_is_whole(world: World) -> None:
    """The other is rejected for what it then lacks, and a refused one does not take the file along."""
    world.inbox.mkdir()
    (world.inbox / "a.yaml").write_bytes(sidecar(model_file="shared.pkl", leave_out=["version"]))
    with world.running() as service:
        (world.inbox / "shared.pkl").write_bytes(pickled({"v": 1}))
        (world.inbox / "b.yaml").write_bytes(sidecar(model_file="shared.pkl"))
        (world.inbox / "c.yaml").write_bytes(sidecar(model_file="shared.pkl"))
        world.live_on(service, 30)
    answered = world.answered()
    assert list(answered.registered) in (["b"], ["c"])
    assert answered.rejected["a"] == ["sidecar.missing_field"]
    assert sorted(answered.rejected) == sorted({"a", "b", "c"} - set(answered.registered))
    assert answered.left == []


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib", ".pt", ".pth"])
@pytest.mark.parametrize("scaler_suffix", ["same", ".pkl"])
def test_models_of_any_suffix_are_stored_as_one_kind_with_their_scalers(
    world: World, suffix: str, scaler_suffix: str
) -> None:
    """Whatever its name in the inbox, a model is stored as `<model_id>.pkl`, its scaler beside it."""
    scaler = f"m_scaler{suffix if scaler_suffix == 'same' else '.pkl'}"
    with world.running() as service:
        (world.inbox / f"m{suffix}").write_bytes(pickled({"v": 1}))
        (world.inbox / scaler).write_bytes(pickled([1]))
        (world.inbox / "m.yaml").write_bytes(sidecar(model_file=f"m{suffix}", model_id="usd"))
        world.live_on(service)
    assert world.stored() == ["usd.pkl", "usd.yaml", "usd_scaler.pkl"]
    assert (world.left(), world.in_hand()) == ([], [])
    with world.registry() as registry:
        assert registry.load_model_objects(registry.registry["usd"]) == ({"v": 1}, [1])


def test_a_late_scaler_of_another_suffix_is_no_silent_one(world: World) -> None:
    """`m_scaler.joblib` after m.joblib was registered without one: rejected with the model's name."""
    with world.running() as service:
        (world.inbox / "m.joblib").write_bytes(pickled({"v": 1}))
        (world.inbox / "m.yaml").write_bytes(sidecar(model_file="m.joblib"))
        world.live_on(service)
        (world.inbox / "m_scaler.joblib").write_bytes(pickled([1]))
        world.live_on(service, 2)
    assert list(world.answered().rejected.values()) == [["drop.scaler_late"]]


def test_of_two_possible_scalers_the_other_is_not_swallowed(world: World) -> None:
    """`m_scaler.pkl` is the scaler, `m_scaler.pt` a stray: a claim that is taken up again does not take it along."""
    with world.running() as service:
        for name, value in (("m.pt", {"v": 1}), ("m_scaler.pkl", [1]), ("m_scaler.pt", [2])):
            (world.inbox / name).write_bytes(pickled(value))
        (world.inbox / "m.yaml").write_bytes(sidecar(model_file="m.pt"))
        claim = world.inbox / ".processing" / "20261124T045315102455Z-0001-m"
        claim.mkdir()
        (world.inbox / "m.yaml").rename(claim / "m.yaml")  # as a crash after the first rename leaves it
        world.live_on(service)
        assert world.left() == ["m_scaler.pt"]
    assert world.answered().registered["m"]["scaler_sha256"] == digest(pickled([1]))


# --- users ---------------------------------------------------------------------------------------------------------


def give(path: Path, owner: int, mode: int) -> None:
    must_be_root()
    os.chown(path, owner, path.parent.stat().st_gid)
    path.chmod(mode)


def test_a_sidecar_cannot_take_another_users_model(world: World) -> None:
    """Bob's sidecar names alice's file: his is refused, hers stays, and her own drop of it is registered."""
    world.inbox.mkdir()
    (world.inbox / "a.pkl").write_bytes(pickled({"v": "alice"}))
    (world.inbox / "b.yaml").write_bytes(sidecar(model_file="a.pkl"))
    give(world.inbox / "a.pkl", ALICE, 0o640)
    give(world.inbox / "b.yaml", BOB, 0o640)
    with world.running() as service:
        world.live_on(service, 1)
        assert world.left() == ["a.pkl"]
        (world.inbox / "a.yaml").write_bytes(sidecar())
        give(world.inbox / "a.yaml", ALICE, 0o640)
        world.live_on(service, 1)
    answered = world.answered()
    assert answered.rejected == {"b": ["sidecar.not_owner"]}
    assert list(answered.registered) == ["a"]
    assert world.receipt("a")["owner"] == {"name": None, "uid": ALICE}


def rescan_with(drops: list[tuple[str, int, int]]) -> Rescan:
    """Return a look that found drops that are ready: (stem, owner, when)."""
    pairs = []
    for stem, owner, when in drops:
        names = [seen(f"{stem}.yaml", owner=owner)._replace(ctime_ns=when), seen(f"{stem}.pkl", owner=owner)]
        drop = only_drop(names, parsed(stem), f"{stem}.yaml")
        pairs.append((drop, Take("lease")))
    return Rescan(0.0, len(drops) * 2, tuple(pairs), (), 0.0)


def test_owners_take_turns_and_the_oldest_of_each_comes_first() -> None:
    """One user's flood does not make the other wait: b's only drop is second."""
    ready = rescan_with([("a3", 1, 30), ("a1", 1, 10), ("b", 2, 99), ("a2", 1, 20)]).ready()
    assert [drop.stem for drop, _ in ready] == ["a1", "b", "a2", "a3"]


# --- time ----------------------------------------------------------------------------------------------------------


def test_age_survives_a_restart_and_rest_does_not(world: World) -> None:
    """A drop that has been incomplete for its whole time is rejected at the first look of the next daemon."""
    world.inbox.mkdir()
    (world.inbox / "m.yaml").write_bytes(sidecar())
    world.clock.advance(25)  # incomplete_timeout is 20 s
    assert ends(world, 0) == {"m": ["artifact.missing", "drop.incomplete_timeout"]}
    (world.inbox / "n.yaml").write_bytes(sidecar(""))
    (world.inbox / "n.pkl").write_bytes(pickled(1))
    with world.running():
        assert world.left() == ["n.pkl", "n.yaml"]  # old by its times, but nobody has seen it rest


@pytest.mark.parametrize("jump", [-86_400 * 365, 86_400 * 365])
def test_a_clock_that_jumps_changes_nothing(world: World, jump: float) -> None:
    """The time of day goes a year back or ahead while drops settle and wait: they end when they would have."""
    wall = {"ahead": 0.0}
    real = world.clock.now
    from datetime import timedelta

    service = world.service()
    service._clock = service_clock = lambda: real() + timedelta(seconds=wall["ahead"])
    try:
        service.start()
        service.inbox._clock = service_clock
        world.put("settles", seal="")
        (world.inbox / "waits.yaml").write_bytes(sidecar())
        world.live_on(service)
        wall["ahead"] = jump
        world.live_on(service, 1)
        assert list(world.answered().registered) == ["settles"]
        assert world.left() == ["waits.yaml"]
        world.live_on(service, 21)
        assert world.answered().rejected == {"waits": ["artifact.missing", "drop.incomplete_timeout"]}
    finally:
        service.close()


def test_files_dated_in_the_future_are_taken_like_any_other(world: World) -> None:
    """A producer's clock is its own: mtime a year ahead changes neither settling nor the time-out."""
    world.inbox.mkdir()
    world.put("m", seal="")
    (world.inbox / "n.yaml").write_bytes(sidecar())
    for path in world.inbox.glob("*.*"):
        os.utime(path, (time.time() + 3e7, time.time() + 3e7))
    assert ends(world, 30) == {"n": ["artifact.missing", "drop.incomplete_timeout"]}
    assert list(world.answered().registered) == ["m"]


def test_a_second_write_in_one_tick_of_the_clock_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size, same times, other bytes, just after we had read it: the new bytes count."""
    monkeypatch.setattr(module, "RACY_SECONDS", 30.0)  # a start may take longer than a tick
    good = sidecar(seal="")
    world.put("m", text=good.replace(b"model_type", b"model_typo"))
    path = world.inbox / "m.yaml"
    with world.running() as service:
        world.live_on(service)
        before = path.stat()
        path.write_bytes(good)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        known = service.inbox._memory["m.yaml"]
        found = path.stat()
        assert found.st_size == before.st_size
        # The kernel's tick has passed by now; make it look as if it had not.
        known.sighting = known.sighting._replace(ctime_ns=found.st_ctime_ns)
        assert known.is_racy
        service.inbox.rescan()
        assert known.sidecar.problems == ()


def test_what_was_read_when_it_had_rested_is_not_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at an inbox that does not change reads no sidecar twice."""
    world.inbox.mkdir()
    (world.inbox / "m.yaml").write_bytes(sidecar())
    with world.running() as service:
        world.clock.advance(1)
        service.inbox.rescan()
        read: list[str] = []
        monkeypatch.setattr(module, "parse_sidecar_file", lambda path, *_: read.append(str(path)))
        service.inbox.rescan()
    assert read == []


def test_what_was_whole_and_free_is_not_opened_again_for_a_while(world: World) -> None:
    """Of thousands that are ready few are taken between two looks. What changed is, and after a while everything."""
    looked: list[str] = []

    def reading(fd: int) -> Lease:
        looked.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        return read_lease(fd)

    with world.running() as service:
        service.inbox._read_lease = reading

        def names_looked_at() -> list[str]:
            looked.clear()
            (found,) = service.inbox.rescan().drops
            assert isinstance(found[1], Take)
            return sorted(looked)

        world.put("m")
        world.clock.advance(1)
        assert names_looked_at() == ["m.pkl", "m.yaml"]
        assert names_looked_at() == []
        (world.inbox / "m.pkl").write_bytes(pickled("other"))
        world.clock.advance(1)
        assert names_looked_at() == ["m.pkl"]
        world.clock.advance(module.LOOK_KEPT_SECONDS)
        assert names_looked_at() == ["m.pkl", "m.yaml"]


# --- many ----------------------------------------------------------------------------------------------------------


def test_while_sidecars_wait_to_be_read_nothing_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that could not read them all takes what is complete, refuses nothing, and is followed by another."""
    world.inbox.mkdir()
    (world.inbox / "a.yaml").write_bytes(sidecar(leave_out=["version"], model_file="shared.pkl"))
    (world.inbox / "shared.pkl").write_bytes(pickled({"v": 1}))
    (world.inbox / "b.yaml").write_bytes(sidecar(model_file="shared.pkl"))
    monkeypatch.setattr(module, "PARSE_SECONDS_PER_RESCAN", -1.0)  # one sidecar a look
    with world.running() as service:
        rescan = service.schedule.last
        assert rescan is not None
        assert rescan.partial
        assert [drop.stem for drop, _ in rescan.drops] == ["a"]
        assert rescan.ready() == []
        assert service.due_in(world.clock.monotonic()) < 0.01
        monkeypatch.undo()
        world.live_on(service, 1)
    assert list(world.answered().registered) == ["b"]
    assert world.answered().rejected == {"a": ["sidecar.missing_field"]}


def test_each_look_reads_on_and_the_owners_take_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time there is: of each owner one is read a look. Bob's are answered while alice's are unread."""
    world.inbox.mkdir()
    for number in range(20):
        (world.inbox / f"a{number:02d}.yaml").write_bytes(sidecar())
        give(world.inbox / f"a{number:02d}.yaml", ALICE, 0o640)
    for name, text in (("b0", sidecar(leave_out=["version"])), ("b1", sidecar())):
        (world.inbox / f"{name}.yaml").write_bytes(text)
        give(world.inbox / f"{name}.yaml", BOB, 0o640)
    service = world.service()
    service.start()
    world.clock.advance(1)  # so that nothing is too young to be remembered
    monkeypatch.setattr(module, "PARSE_SECONDS_PER_RESCAN", -1.0)
    looks = [service.inbox.rescan() for _ in range(20)]
    service.close()
    assert [len(rescan.drops) for rescan in looks] == [2, *range(4, 23)]
    assert [rescan.unread for rescan in looks] == [{ALICE, BOB}, *[{ALICE}] * 18, set()]
    assert looks[0].ready() == []  # the other of bob's might name a file of this one's
    assert [(drop.stem, type(decision)) for drop, decision in looks[1].ready()] == [("b0", Refuse)]


def test_what_many_large_sidecars_say_is_not_all_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for their models they cost a bounded memory, and are registered with all that they say in the end."""
    world.inbox.mkdir()
    texts = {f"m{number}": sidecar(description=f"of {number} " + "x" * 2000) for number in range(8)}
    for stem, text in texts.items():
        (world.inbox / f"{stem}.yaml").write_bytes(text)
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * len(texts["m0"]))
    with world.running() as service:
        world.clock.advance(1)
        service.step("timer")
        service.step("timer")
        kept = [known.sidecar.metadata for known in service.inbox._memory.values() if known.sidecar is not None]
        assert sum(metadata is not None for metadata in kept) == 3
        assert len(kept) == 8
        for stem in texts:
            (world.inbox / f"{stem}.pkl").write_bytes(pickled({"of": stem}))
        world.live_on(service, 1)
    registered = world.answered().registered
    said = {stem: entry["description"][:4] for stem, entry in registered.items()}
    assert said == {f"m{number}": f"of {number}" for number in range(8)}


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_of_arrival_ends_in_the_same_registry(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Files of several drops come in any order, with a look after any of them: the registry is the same."""
    world = World(tmp_path_factory.mktemp("order"))
    files: list[list[tuple[str, bytes]]] = []
    for number in range(3):
        stem, scaled = f"m{number}", number != 1
        lines = [
            (f"{stem}.pkl", pickled({"v": stem})),
            (
                f"{stem}.yaml",
                sidecar("" if number else "...", scaler_file=f"{stem}_scaler.pkl" if scaled else None),
            ),
        ]
        if scaled:
            lines.append((f"{stem}_scaler.pkl", pickled([stem])))
        files.append(lines)
    files.append([("twin.pkl", pickled({"v": "m0"})), ("twin_scaler.pkl", pickled(["m0"])),
                  ("twin.yaml", sidecar(model_id="m0"))])  # the same model once more: a duplicate  # fmt: skip
    order = data.draw(st.permutations([file for lines in files[:3] for file in lines]))
    twin = data.draw(st.integers(0, len(order)))
    order[twin:twin] = files[3]
    looks = data.draw(st.sets(st.integers(0, len(order))))
    with world.running() as service:
        if data.draw(st.booleans()):
            crowd(service)
        for number, (name, content) in enumerate(order):
            (world.inbox / name).write_bytes(content)
            if number in looks:
                world.live_on(service)
        world.live_on(service, 1)
    answered = world.answered()
    expected = {
        f"m{n}": (digest(pickled({"v": f"m{n}"})), digest(pickled([f"m{n}"])) if n != 1 else None) for n in range(3)
    }
    assert {i: (e["sha256"], e["scaler_sha256"]) for i, e in answered.registered.items()} == expected
    assert (answered.rejected, answered.left, answered.in_hand) == ({}, [], [])
    assert sorted(world.registrations()) == ["m0", "m1", "m2"]


# --- more than is looked at each time ------------------------------------------------------------------------------


def crowd(service: Service, sight: int = 1, units: int = 2) -> None:
    """Let hardly anything stay in sight, and little come into it at a time."""
    service.inbox.in_sight_max, service.inbox.look_units = sight, units


class CountingDisk(Disk):
    """Notes which names were looked at, and whether the inbox was listed."""

    def __init__(self) -> None:
        self.looked_at: list[str] = []
        self.listed: list[str] = []

    def lstat(self, path: Path | str) -> os.stat_result:
        self.looked_at.append(os.path.basename(path))
        return super().lstat(path)

    def names(self, folder: Path) -> list[str]:
        self.listed.append(folder.name)
        return super().names(folder)


def look(service: Service, names: list[str] | None = None) -> Rescan:
    """Look until nothing more is to be looked at at once."""
    rescan = service.inbox.rescan(names)
    while rescan.partial:
        rescan = service.inbox.rescan(names)
    return rescan


def strays(world: World, count: int) -> None:
    world.inbox.mkdir(exist_ok=True)
    for number in range(count):
        (world.inbox / f"stray{number:02d}.pkl").write_bytes(b"")


def test_of_many_strays_a_look_looks_at_few(world: World) -> None:
    """All of 40 are known and counted, and then no more than the 3 in sight are looked at."""
    disk = CountingDisk()
    with world.running(disk) as service:
        crowd(service, sight=3, units=4)
        strays(world, 40)
        assert look(service).waiting == 40
        disk.looked_at.clear()
        rescan = service.inbox.rescan()
        assert (rescan.found, rescan.waiting, len(rescan.strays)) == (40, 40, 3)
        assert len(disk.looked_at) == 3


def test_what_rests_is_looked_at_when_it_is_due(world: World) -> None:
    """40 strays out of sight: each is rejected when its time is over, and none before."""
    with world.running() as service:
        crowd(service)
        strays(world, 40)
        world.live_on(service, 55)  # orphan_timeout is 60 s
        assert len(world.left()) == 40
        world.live_on(service, 10)
        assert world.left() == []
    assert set(map(tuple, world.answered().rejected.values())) == {("drop.no_sidecar",)}


def test_a_drop_among_many_strays_is_taken_at_once_and_by_its_name_alone(world: World) -> None:
    """The events' names are enough: the folder is not listed, and no stray that rests is looked at."""
    disk = CountingDisk()
    with world.running(disk) as service:
        crowd(service)
        strays(world, 40)
        look(service)
        world.put("m", scaler=[1])
        disk.looked_at.clear()
        disk.listed.clear()
        service.step("hint", changed=["m.pkl", "m_scaler.pkl", "m.yaml"])
    assert world.registrations() == ["m"]
    assert "inbox" not in disk.listed
    assert len([name for name in disk.looked_at if name.startswith("stray")]) == 1


@pytest.mark.parametrize("told", ["m.pkl", "m_scaler.pkl", "m.yaml"])
def test_the_first_event_of_a_drop_is_enough(world: World, told: str) -> None:
    """Events are read every few milliseconds: what came with the first one is found without waiting for its own."""
    with world.running() as service:
        world.put("m", scaler=[1])
        service.step("hint", changed=[told])
        assert world.registrations() == ["m"]


@pytest.mark.parametrize("told", [["stray07.yaml"], None], ids=["by an event", "by the listing"])
def test_a_stray_that_rests_comes_along_with_its_sidecar(world: World, told: list[str] | None) -> None:
    """The model came first, and rested among others: its sidecar is enough to find it."""
    with world.running() as service:
        crowd(service)
        strays(world, 20)
        (world.inbox / "stray07.pkl").write_bytes(pickled({"v": 7}))
        look(service)
        (world.inbox / "stray07.yaml").write_bytes(sidecar())
        service.step("hint", changed=told)
        assert world.registrations() == ["stray07"]
        assert service.inbox.rescan().waiting == 19


@pytest.mark.parametrize("told", [["m07.pkl"], None], ids=["by an event", "by the listing"])
def test_a_drop_that_rests_is_taken_when_its_model_comes(world: World, told: list[str] | None) -> None:
    """20 sidecars wait for their models, out of sight; one model comes."""
    with world.running() as service:
        crowd(service)
        for number in range(20):
            (world.inbox / f"m{number:02d}.yaml").write_bytes(sidecar())
        world.clock.advance(1)  # so that none is too young to be remembered
        look(service)
        assert len(service.inbox.rescan().drops) == 1
        (world.inbox / "m07.pkl").write_bytes(pickled({"v": 7}))
        service.step("hint", changed=told)
        assert world.registrations() == ["m07"]


def test_a_change_of_what_rests_counts_when_an_event_tells_of_it(world: World) -> None:
    """A model that was cut, and rests, is completed: its drop is registered in the look that is told so."""
    with world.running() as service:
        for number in range(9):
            world.put(f"m{number}")
            (world.inbox / f"m{number}.pkl").write_bytes(b"")
        world.clock.advance(1)
        crowd(service)
        look(service)
        (world.inbox / "m5.pkl").write_bytes(pickled({"v": 5}))
        service.step("hint", changed=["m5.pkl"])
        assert world.registrations() == ["m5"]


def test_where_there_is_no_room_for_more_strays_each_listing_looks_at_a_few_and_has_no_hurry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alice's strays are more than are remembered; bob's one is found among them, and no look follows at once."""
    monkeypatch.setattr("model_inbox.inbox.crowd.UNITS_OF_OWNER", 5)
    monkeypatch.setattr("model_inbox.inbox.sight.FULL_STAT_SECONDS", -1.0)  # one round of names in each listing
    with world.running() as service:
        crowd(service)
        strays(world, 40)
        for path in world.inbox.glob("stray*"):
            give(path, ALICE, 0o640)
        assert look(service).resting == {ALICE: 5}
        (world.inbox / "z.pkl").write_bytes(b"")
        give(world.inbox / "z.pkl", BOB, 0o640)
        looks = 0
        while BOB not in {stray.owner for stray, _ in service.inbox.rescan().strays}:
            looks += 1
            assert looks < 40


def test_more_strays_than_are_remembered_hide_no_drop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop that only the listing tells of is taken although its owner's strays have no room left in the crowd."""
    monkeypatch.setattr("model_inbox.inbox.crowd.UNITS_OF_OWNER", 5)
    with world.running() as service:
        crowd(service)
        strays(world, 30)
        assert look(service).waiting == 6  # of the others it is known when these have left
        world.put("m")
        look(service)
        service.step("timer")
        assert world.registrations() == ["m"]


def test_a_scaler_that_came_too_late_is_noticed_among_many(world: World) -> None:
    """It rests as any stray, and is looked at when it has settled."""
    with world.running() as service:
        crowd(service)
        world.put("m")
        world.live_on(service)
        strays(world, 20)
        (world.inbox / "m_scaler.pkl").write_bytes(pickled([1]))
        world.live_on(service, 2)
        assert list(world.answered().rejected.values()) == [["drop.scaler_late"]]


def test_an_owner_of_many_does_not_keep_the_other_waiting_for_a_look(world: World) -> None:
    """Alice's 60 sidecars come into sight two at a time; bob's drop does in the first look."""
    world.inbox.mkdir()
    for number in range(60):
        (world.inbox / f"a{number:02d}.yaml").write_bytes(b"")
        give(world.inbox / f"a{number:02d}.yaml", ALICE, 0o640)
    world.put("z")
    for name in ("z.yaml", "z.pkl"):
        give(world.inbox / name, BOB, 0o640)
    service = world.service()
    service.start()
    crowd(service)
    rescan = service.inbox.rescan()
    service.close()
    assert rescan.partial
    assert [drop.stem for drop, _ in rescan.ready()] == ["z"]


def test_what_left_while_it_rested_is_forgotten(world: World) -> None:
    """Strays and a model of a drop go: the listing notices, and a look by names alone does not miss them."""
    with world.running() as service:
        crowd(service)
        strays(world, 10)
        look(service)
        for number in range(1, 10):
            (world.inbox / f"stray{number:02d}.pkl").unlink()
        assert service.inbox.rescan([]).waiting == 10
        assert look(service).waiting == 1


SPOILED = {
    "bad field": "sidecar.missing_field",
    "wrong digest": "artifact.digest_mismatch",
    "cut model": "artifact.truncated",
    "no model": "artifact.missing",
    "another user's model": "sidecar.not_owner",
}
"""What can be wrong with a drop, and what it is rejected for, whenever its files come."""


@dataclass
class Plan:
    """A drop that is to come: its files in the order in which they do, and what it must come to."""

    owner: int
    files: list[tuple[str, bytes, int]]
    digests: tuple[str, str | None] | None
    code: str | None


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Plan]:
    """Some drops of two users, good and spoiled, sealed and not, with scalers named and not named.

    A producer that does not name the scaler sends it before the last other file.
    """
    drops = {}
    for number in range(draw(st.integers(1, 5))):
        stem, owner = f"m{number}", draw(st.sampled_from([ALICE, BOB]))
        fault = draw(st.sampled_from([None, None, *SPOILED]))
        sealed, named, scaled = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
        model, scaler = pickled({"v": stem, "w": [0.5] * 50}), pickled([stem])
        fields: dict[str, Any] = {"scaler_file": f"{stem}_scaler.pkl" if scaled else None} if named else {}
        if fault == "wrong digest":
            fields["sha256"] = {"model": digest(b"other")}
        text = sidecar("..." if sealed else "", ["version"] if fault == "bad field" else [], **fields)
        model_owner = ALICE + BOB - owner if fault == "another user's model" else owner
        parts = [(f"{stem}.yaml", text, owner)]
        if fault != "no model":
            parts.append((f"{stem}.pkl", model[:-9] if fault == "cut model" else model, model_owner))
        order = draw(st.permutations(parts))
        if scaled:
            place = draw(st.integers(0, len(order) if named else len(order) - 1))
            order.insert(place, (f"{stem}_scaler.pkl", scaler, owner))
        digests = (digest(model), digest(scaler) if scaled else None) if fault is None else None
        drops[stem] = Plan(owner, order, digests, SPOILED[fault] if fault is not None else None)
    return drops


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans(), st.data())
def test_any_order_of_arrival_gives_any_drops_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory, drops: dict[str, Plan], data: st.DataObject
) -> None:
    """However the files of good and spoiled drops of two users mix, and whenever the daemon looks.

    The registry holds the good ones with their scalers, each spoiled one is rejected for what is wrong with it, and
    nothing stays. (A file that comes behind its sidecar's rejection is rejected by itself.)
    """
    must_be_root()
    world = World(tmp_path_factory.mktemp("any"))
    lines = [list(plan.files) for plan in drops.values()]
    with world.running() as service:
        if data.draw(st.booleans()):
            crowd(service)
        while any(lines):
            name, content, owner = data.draw(st.sampled_from([line for line in lines if line])).pop(0)
            (world.inbox / ".new").write_bytes(content)
            give(world.inbox / ".new", owner, 0o640)
            (world.inbox / ".new").rename(world.inbox / name)
            pause = data.draw(st.sampled_from([None, 0.0, 0.5]))
            if pause is not None:
                world.live_on(service, pause)
        world.live_on(service, 90)
    answered = world.answered()
    assert {stem: (e["sha256"], e["scaler_sha256"]) for stem, e in answered.registered.items()} == {
        stem: plan.digests for stem, plan in drops.items() if plan.digests is not None
    }
    assert sorted(world.registrations()) == sorted(answered.registered)
    codes: dict[str, set[str]] = {}
    for path in world.inbox.glob("rejected/*/reason.json"):
        reason = json.loads(path.read_bytes())
        codes.setdefault(reason["stem"], set()).update(problem["code"] for problem in reason["problems"])
    assert {stem for stem, plan in drops.items() if plan.code is not None and plan.code in codes.get(stem, ())} == {
        stem for stem, plan in drops.items() if plan.code is not None
    }
    assert {stem.removesuffix("_scaler") for stem in codes} == {s for s, plan in drops.items() if plan.code is not None}
    assert (answered.left, answered.in_hand, world.staged()) == ([], [], [])


# --- folders of ours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["receipts", "rejected", ".processing"])
def test_a_link_where_a_folder_of_ours_belongs_is_refused_at_the_start(world: World, name: str) -> None:
    """Who made it could put files under our hands: exit 78, naming it, and nothing is written behind it."""
    world.inbox.mkdir()
    (world.root / "elsewhere").mkdir()
    (world.inbox / name).symlink_to(world.root / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        world.service().start()
    assert caught.value.exit_status == 78
    assert [problem.code for problem in caught.value.problems] == ["inbox.not_a_folder"]
    assert os.listdir(world.root / "elsewhere") == []


@pytest.mark.parametrize("name", ["receipts", "rejected", ".processing"])
def test_a_folder_of_somebody_elses_is_refused_at_the_start(world: World, name: str) -> None:
    """The same for a folder that another user made under our name."""
    must_be_root()
    (world.inbox / name).mkdir(parents=True)
    os.chown(world.inbox / name, ALICE, ALICE)
    with pytest.raises(ConfigError) as caught:
        world.service().start()
    assert [problem.code for problem in caught.value.problems] == ["inbox.not_ours"]
    assert_remedy_trusts_nothing(world.inbox / name, caught.value.problems[0].hint)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o2775, 0o702], ids=oct)
@pytest.mark.parametrize("name", ["receipts", "rejected", ".processing"])
def test_a_folder_that_others_can_write_in_is_refused_at_the_start(world: World, name: str, mode: int) -> None:
    """Also when it belongs to us by now: who could write in it may have left a forged answer there."""
    (world.inbox / name).mkdir(parents=True)
    (world.inbox / name).chmod(mode)
    with pytest.raises(ConfigError) as caught:
        world.service().start()
    assert caught.value.exit_status == 78
    assert [problem.code for problem in caught.value.problems] == ["inbox.open_to_others"]
    assert_remedy_trusts_nothing(world.inbox / name, caught.value.problems[0].hint)
    (world.inbox / name).chmod(0o755)
    with world.running():
        pass


@pytest.mark.parametrize("mode", [0o777, 0o2770, 0o720])
def test_an_inbox_that_others_can_write_and_that_is_not_sticky(world: World, mode: int) -> None:
    """A private one is refused at the start; another one is served, with a warning that names the command."""
    world.inbox.mkdir()
    world.inbox.chmod(mode)
    with structlog.testing.capture_logs() as said, world.running():
        pass
    (told,) = [line for line in said if line["event"] == "inbox.unprotected"]
    assert told["hint"] == f"chmod +t {world.inbox}"
    world.configure(inbox={"private": True})
    with pytest.raises(ConfigError) as caught:
        world.service().start()
    assert caught.value.exit_status == 78
    assert [problem.code for problem in caught.value.problems] == ["inbox.not_sticky"]
    world.inbox.chmod(mode | 0o1000)
    with structlog.testing.capture_logs() as said, world.running():
        pass
    assert "inbox.unprotected" not in [line["event"] for line in said]


def assert_remedy_trusts_nothing(folder: Path, hint: str) -> None:
    """The remedy moves the folder away as the shell reads it, and takes over nothing; afterwards a start works."""
    command = re.search(r"`(mv [^`]+)`", hint)
    assert command is not None
    assert not re.search("`ch(own|mod)", hint)
    subprocess.run(["sh", "-c", command[1]], check=True)
    assert not folder.exists()
    folder.with_name(f"{folder.name}.found").rename(folder)


def test_an_inbox_of_our_own_making_is_setgid_and_sticky(world: World) -> None:
    """3770: files get the producers' group, and nobody takes another's away."""
    with world.running() as service:
        assert world.inbox.stat().st_mode & 0o7777 == 0o3770
        assert service.inbox.has_leases


def test_a_drop_that_rests_long_is_judged_seldom(world: World) -> None:
    """What waits for a clock asks to be looked at when that has come, and not before."""
    world.inbox.mkdir()
    (world.inbox / "m.yaml").write_bytes(sidecar())
    with world.running() as service:
        rescan = service.inbox.rescan()
        ((_, decision),) = rescan.drops
        assert isinstance(decision, Wait)
        assert decision.until is not None
        assert 19 < decision.until <= 20
        assert rescan.next_at is not None
        assert rescan.next_at - rescan.at == pytest.approx(decision.until)


def test_an_inbox_that_goes_away_while_it_is_prepared_is_not_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed away at that very moment: a new one in its place would keep it from coming back."""
    with world.running() as service:
        real = service.inbox._prepare_folders

        def gone_meanwhile(owner: int) -> None:
            world.inbox.rename(world.root / "away")
            real(owner)

        monkeypatch.setattr(service.inbox, "_prepare_folders", gone_meanwhile)
        with pytest.raises(StorageError):
            service.inbox.prepare(make=False)
        assert not world.inbox.exists()
        (world.root / "away").rename(world.inbox)
