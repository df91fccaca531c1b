"""One drop's journey: what it ends in, what a crash anywhere leaves, and what a disk that says no does to it."""

from __future__ import annotations

import errno
import itertools
import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox import ModelRegistry
from model_inbox.base.disk import Disk
from model_inbox.errors import RegistryLocked, ScanError, StorageError
from model_inbox.pickles import Allowlist, Scan, Scanner, changes_since
from model_inbox.service import passes as taking
from model_inbox.service.service import Service
from support.world import FailingDisk, Killed, StoppingDisk, World, digest, pickled, sidecar


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


def fill(world: World) -> None:
    """Everything that a journey can come to: registered (with scaler), duplicate, taken, refused, put back, stray."""
    world.put("plain", {"a": 1}, seal="")
    world.put("full", {"a": 2}, scaler=[1, 2])
    world.put("again", {"a": 2}, scaler=[1, 2], model_id="full")
    world.put("other", {"b": 3}, model_id="full")
    world.put("typo", {"a": 4}, leave_out=["model_type"], model_typ="lightgbm")
    world.put("wrong", {"a": 5}, sha256={"model": "0" * 64})
    (world.inbox / "lonely.pkl").write_bytes(pickled([1]))


EXPECTED_REJECTED = {
    "lonely": ["drop.no_sidecar"],
    "other": ["registry.model_id_taken"],
    "typo": ["sidecar.unknown_key", "sidecar.missing_field"],
    "wrong": ["artifact.digest_mismatch", "drop.incomplete_timeout"],
}


def assert_all_ended(world: World) -> None:
    """Every drop of `fill` has its one end, and nothing lies about."""
    answered = world.answered()
    assert sorted(world.registrations()) == ["full", "plain"]
    assert sorted(answered.registered) == ["full", "plain"]
    assert answered.rejected == EXPECTED_REJECTED
    assert (answered.left, answered.in_hand, world.staged()) == ([], [], [])
    assert world.stored() == ["full.pkl", "full.yaml", "full_scaler.pkl", "plain.pkl", "plain.yaml"]
    outcomes = {stem: world.receipt(stem)["outcome"] for stem in ("plain", "full", "typo", "other", "wrong", "lonely")}
    assert outcomes == {
        "plain": "registered",
        "full": "registered",
        "typo": "rejected",
        "other": "rejected",
        "wrong": "rejected",
        "lonely": "rejected",
    }
    assert world.receipt("again")["outcome"] in ("duplicate", "registered")
    with world.registry() as registry:
        assert registry.load_model_objects(registry.registry["full"]) == ({"a": 2}, [1, 2])
        assert_positions(world, registry)
    assert os.listdir(world.models / ".trash") == []


def assert_positions(world: World, registry: ModelRegistry) -> None:
    """Every answer names the registry and epoch; the line stands in those of registered drops, and nowhere else."""
    assert registry.position is not None
    receipts = [world.receipt(path.stem) for path in (world.inbox / "receipts").glob("*.json")]
    reasons = [json.loads(path.read_bytes()) for path in (world.inbox / "rejected").glob("*/reason.json")]
    assert (len(receipts), len(reasons)) == (7, 4)
    for answer in (*receipts, *reasons):
        assert answer is not None
        assert (answer["registry_id"], answer["epoch"]) == (registry.position.registry_id, registry.position.epoch)
        is_registered = answer["outcome"] == "registered"
        assert answer["sequence"] == (registry.registry[answer["model_id"]]["sequence"] if is_registered else None)


def run_to_the_end(world: World) -> None:
    with world.running() as service:
        world.live_on(service, 90)


def run_until_killed(world: World, disk: StoppingDisk, seconds: float = 90) -> bool:
    """Run a service that is killed at a step of its disk; return whether it came to that."""
    service = world.service(disk)
    try:
        service.start()
        service.step("start")
        world.live_on(service, seconds)
        return False
    except Killed:
        return True
    finally:
        disk.stopped = True
        let_go(service)


def let_go(service: Service) -> None:
    """What the kernel does for a dead process: its locks and files are gone, nothing else is done."""
    while True:
        try:
            service.close()
            return
        except Killed:
            continue


def test_each_drop_comes_to_its_end(tmp_path: Path) -> None:
    """Registered, duplicate, taken, refused, incomplete and stray drops are answered, and nothing is left."""
    world = World(tmp_path)
    fill(world)
    run_to_the_end(world)
    assert_all_ended(world)
    assert world.receipt("again")["outcome"] == "duplicate"
    assert world.receipt("full")["digests"] == {"model": digest(pickled({"a": 2})), "scaler": digest(pickled([1, 2]))}


def test_a_duplicate_tells_what_its_metadata_says_otherwise(tmp_path: Path) -> None:
    """In its receipt and in its line of the log, value by value; the entry stays, and the drop is consumed."""
    world = World(tmp_path)
    with structlog.testing.capture_logs() as logged, world.running() as service:
        world.put("m", {"a": 1})
        world.live_on(service, 2)
        world.put("m", {"a": 1}, trained_at="2025-10-26T12:00:00Z", validation_metrics={"1d": {"rmse": 0.25}})
        world.live_on(service, 2)
    receipt = world.receipt("m")
    assert receipt is not None
    assert (receipt["outcome"], receipt["sequence"]) == ("duplicate", None)
    told = [(problem["code"], problem["field"], problem["message"]) for problem in receipt["problems"]]
    assert told == [
        (
            "drop.metadata_differs",
            "trained_at",
            "trained_at is registered as '2025-10-25T12:00:00Z', and this drop says '2025-10-26T12:00:00Z'",
        ),
        (
            "drop.metadata_differs",
            "validation_metrics.1d.rmse",
            "validation_metrics.1d.rmse is registered as '0.5', and this drop says '0.25'",
        ),
    ]
    (line,) = [line for line in logged if line["event"] == "drop.duplicate"]
    assert [problem.partition(":")[0] for problem in line["problems"]] == ["drop.metadata_differs"] * 2
    assert (world.left(), world.answered().rejected) == ([], {})
    with world.registry() as registry:
        assert registry.registry["m"]["trained_at"] == "2025-10-25T12:00:00Z"


def test_tags_changed_since_make_no_retry_differ(tmp_path: Path) -> None:
    """A drop's tags are compared with those that its model was registered with."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"a": 1}, tags={"desk": "fx"})
        world.live_on(service, 2)
        with ModelRegistry(world.models / "prediction_registry.json") as registry:
            registry.tag("m", {"desk": "rates", "seen": "yes"})
        world.put("m", {"a": 1}, tags={"desk": "fx"})
        world.live_on(service, 2)
        assert (world.receipt("m") or {})["problems"] == []
        world.put("m", {"a": 1}, tags={"desk": "rates"})
        world.live_on(service, 2)
    (problem,) = (world.receipt("m") or {})["problems"]
    assert problem["message"] == "tags.desk is registered as 'fx', and this drop says 'rates'"


def steps_of_a_whole_run(folder: Path) -> int:
    world = World(folder)
    fill(world)
    disk = StoppingDisk()
    assert not run_until_killed(world, disk)
    return disk.count


@pytest.mark.exhaustive
@pytest.mark.parametrize("batch", [1, 128])
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Killed before any single step of the disk, which is after the one before it, the next daemon brings every
    drop to its one end. Also where the drops of one batch are judged while those of another are on their way.
    """
    monkeypatch.setattr(taking, "BATCH_DROPS", batch)
    total = steps_of_a_whole_run(tmp_path / "count")
    assert total > 100
    for step in range(1, total + 1):
        world = World(tmp_path / str(step))
        fill(world)
        disk = StoppingDisk(step)
        run_until_killed(world, disk)
        try:
            run_to_the_end(world)
            assert_all_ended(world)
        except BaseException as error:
            error.add_note(f"killed before step {step}: {disk.steps[-3:]}")
            raise


def test_every_rejection_is_told_of_whenever_the_daemon_dies(tmp_path: Path) -> None:
    """Perhaps by both of two daemons, but never by none."""
    for step in itertools.count(1):
        world = World(tmp_path / str(step))
        world.put("typo", leave_out=["model_type"])
        with structlog.testing.capture_logs() as said:
            killed = run_until_killed(world, StoppingDisk(step, after=True))
            run_to_the_end(world)
        (folder,) = (world.inbox / "rejected").iterdir()
        told = [line for line in said if line["event"] == "drop.rejected" and line["drop_id"] == folder.name]
        assert 1 <= len(told) <= 2, f"killed after step {step}"
        assert all(line["rejected_dir"] == str(folder) for line in told)
        if not killed:
            assert len(told) == 1
            break


@pytest.mark.parametrize("seed", range(25))
def test_crashes_in_recoveries_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Killed again and again, also while it recovers, with new drops in between, all ends as without."""
    chance = random.Random(seed)
    monkeypatch.setattr(taking, "BATCH_DROPS", chance.choice([1, 2, 128]))
    world = World(tmp_path)
    fill(world)
    late = [f"late{number}" for number in range(4)]
    for stem in late:
        run_until_killed(
            world, StoppingDisk(chance.randint(1, 60), after=chance.random() < 0.5), seconds=chance.random()
        )
        if (world.inbox / "full.yaml").exists() or chance.random() < 0.5:
            world.put(stem, {"late": stem})
        else:
            world.put(stem, {"late": stem}, scaler={"s": stem}, seal="")
    run_to_the_end(world)
    answered = world.answered()
    assert sorted(world.registrations()) == sorted(["full", "plain", *late])
    assert answered.rejected == EXPECTED_REJECTED
    assert (answered.left, answered.in_hand, world.staged()) == ([], [], [])


def test_the_next_drop_of_a_stem_survives_the_half_release_of_the_first(tmp_path: Path) -> None:
    """A crash while a registered drop's sources are removed does not take the next drop's files with it."""
    world = World(tmp_path)
    world.put("m", {"v": 1}, model_id="first")
    with world.running() as service:
        claims = service.intake._claims
        claims.release = stop_after_first_unlink  # type: ignore[method-assign]
        world.put("m", {"v": 1}, model_id="first")
        with pytest.raises(Killed):
            world.live_on(service)
    assert world.in_hand()
    world.put("m", {"v": 2}, model_id="second")
    run_to_the_end(world)
    answered = world.answered()
    assert sorted(answered.registered) == ["first", "second"]
    assert answered.registered["second"]["sha256"] == digest(pickled({"v": 2}))
    assert (answered.left, answered.in_hand) == ([], [])


def stop_after_first_unlink(claim: Any) -> None:
    (claim.folder / claim.sidecar_last[0]).unlink()
    raise Killed


def test_a_refused_drop_whose_receipt_was_not_written_gets_it(tmp_path: Path) -> None:
    """A crash between the reasons and the receipt leaves no producer without an answer."""
    world = World(tmp_path)
    with world.running() as service:
        service.intake._answers.write_receipt = killed  # type: ignore[method-assign]
        world.put("typo", leave_out=["version"])
        with pytest.raises(Killed):
            world.live_on(service, 1)
    assert world.receipt("typo") is None
    run_to_the_end(world)
    assert world.receipt("typo")["outcome"] == "rejected"
    assert world.receipt("typo")["drop_id"] in os.listdir(world.inbox / "rejected")


def killed(*_: Any) -> None:
    raise Killed


def test_a_wrong_name_is_called_the_same_after_a_restart(tmp_path: Path) -> None:
    """A claim that a dead daemon left has no verdict; the next one finds the same fault by the same name."""
    world = World(tmp_path)
    world.put("two words")
    claim = world.inbox / ".processing" / "20261124T045315102455Z-0001-two_words"
    claim.mkdir(parents=True)
    for suffix in (".pkl", ".yaml"):
        (world.inbox / f"two words{suffix}").rename(claim / f"two words{suffix}")
    run_to_the_end(world)
    assert world.answered().rejected == {"two words": ["drop.invalid_name"]}


def test_an_old_refusal_does_not_overwrite_a_newer_answer(tmp_path: Path) -> None:
    """A left refusal that is finished late leaves the receipt of a newer drop of its stem alone."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1})
        world.live_on(service)
        newer = world.receipt("m")
        old = world.inbox / ".processing" / "20200101T000000000000Z-0001-m"
        old.mkdir()
        (old / "m.yaml").write_text("x")
        reason = {**newer, "drop_id": old.name, "outcome": "rejected", "problems": [{"code": "x", "message": "y"}]}
        (old / "reason.json").write_text(json.dumps(reason))
        world.live_on(service)
    assert world.receipt("m") == newer
    assert (world.inbox / "rejected" / old.name / "m.yaml").exists()


def test_what_is_said_of_a_half_does_not_replace_the_answer_to_the_whole(tmp_path: Path) -> None:
    """A lone file of a stem that was answered is rejected with its reasons; the receipt stays. Also after a restart."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1})
        world.live_on(service)
        answer = world.receipt("m")
        (world.inbox / "m.pkl").write_bytes(pickled({"v": 1}))
        (world.inbox / "alone.pkl").write_bytes(pickled({"v": 1}))
        world.live_on(service, 70)
        left = world.inbox / ".processing" / "20990101T000000000000Z-0001-m"
        left.mkdir()
        (left / "m.pkl").write_bytes(pickled({"v": 2}))
        (left / "reason.json").write_text(json.dumps({"stem": "m", "drop_id": left.name, "problems": []}))
        world.live_on(service)
        rejected = [path.name for path in (world.inbox / "rejected").iterdir()]
    assert answer["outcome"] == "registered"
    assert world.receipt("m") == answer
    assert world.receipt("alone")["outcome"] == "rejected"
    assert sorted(name.rpartition("-")[2] for name in rejected) == ["alone", "m", "m"]


# --- changes under our hands -----------------------------------------------------------------------------------


def between(part: object, name: str, act: Any) -> None:
    """Let `act` happen once, just before the method `name` of a part is called."""
    real = getattr(part, name)

    def then(*args: Any, **kwargs: Any) -> Any:
        setattr(part, name, real)
        act()
        return real(*args, **kwargs)

    setattr(part, name, then)


def test_a_model_rewritten_while_it_is_taken_is_registered_as_it_is_in_the_end(tmp_path: Path) -> None:
    """A write between the judging and the claim costs a moment, not the drop: it is judged again, soon."""
    world = World(tmp_path, {"inbox": {"settle_seconds": 2}})
    with world.running() as service:
        world.put("m", {"v": 1})
        between(
            service.intake, "take", lambda: (world.inbox / "m.pkl").write_bytes(pickled({"v": "second, and longer"}))
        )
        world.live_on(service)
        assert world.left() == ["m.pkl", "m.yaml"]
        world.live_on(service, 3)
        assert world.answered().registered["m"]["sha256"] == digest(pickled({"v": "second, and longer"}))
    assert world.left() == []


def test_a_sidecar_mended_while_it_is_refused_is_not_refused_for_the_old_one(tmp_path: Path) -> None:
    """The producer replaces a bad sidecar just as it is claimed: the new one is judged."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1}, leave_out=["version"])

        def repair() -> None:
            (world.inbox / ".new").write_bytes(sidecar())
            (world.inbox / ".new").rename(world.inbox / "m.yaml")

        between(service.intake, "refuse", repair)
        world.live_on(service, 3)
        answered = world.answered()
    assert (list(answered.registered), answered.rejected, answered.left) == (["m"], {}, [])


def test_a_file_that_comes_at_the_last_moment_is_not_missed(tmp_path: Path) -> None:
    """The missing model arrives while its sidecar is being rejected for it: the drop is registered."""
    world = World(tmp_path)
    with world.running() as service:
        (world.inbox / "m.yaml").write_bytes(sidecar())
        world.live_on(service, 5)
        between(service.intake, "refuse", lambda: (world.inbox / "m.pkl").write_bytes(pickled([1])))
        world.live_on(service, 25)
        answered = world.answered()
    assert (list(answered.registered), answered.rejected, answered.left) == (["m"], {}, [])


def test_a_drop_with_a_wrong_digest_is_claimed_once_and_not_again_and_again(tmp_path: Path) -> None:
    """What was found not to be whole waits for other bytes; then it is taken at once."""
    world = World(tmp_path)
    good = pickled({"v": "good"})
    with world.running() as service:
        world.put("m", {"v": "bad!"}, sha256={"model": digest(good)})
        claims = count_calls(service.intake, "take")
        world.live_on(service, 10)
        assert len(claims) == 1
        (world.inbox / "m.pkl").write_bytes(good)
        world.live_on(service)
        assert len(claims) == 2
    assert world.answered().registered["m"]["integrity"] == "digest"


def test_an_entry_stores_what_its_verdict_holds_for(tmp_path: Path) -> None:
    """Digest, kind, Python and allowlist of the scan: nothing of it has changed for the files as they are stored."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1})
        world.live_on(service, 10)
        allowlist = service.scanner.allowlist
    entry = world.answered().registered["m"]
    assert entry["verdict"]["files"] == {"model": {"sha256": entry["sha256"], "kind": "plain"}}
    assert changes_since(entry["verdict"], allowlist, {"model": entry["sha256"], "scaler": None}) == []


def count_calls(owner: Any, name: str) -> list[Any]:
    calls: list[Any] = []
    real = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return real(*args, **kwargs)

    setattr(owner, name, counted)
    return calls


def test_a_put_back_file_is_as_it_was(tmp_path: Path) -> None:
    """Mode and bytes of a drop that goes back are the producer's, who may have to go on writing."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1}, sha256={"model": "0" * 64})
        (world.inbox / "m.pkl").chmod(0o664)
        world.live_on(service, 1)
        assert (world.inbox / "m.pkl").stat().st_mode & 0o777 == 0o664
        assert (world.inbox / "m.pkl").stat().st_nlink == 1


def test_an_old_drop_is_never_put_back_beside_a_newer_one(tmp_path: Path) -> None:
    """A newer sidecar is there when the old drop should go back: the old one is rejected, whole, and never mixed."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": "old"}, sha256={"model": "0" * 64})
        between(service.intake._endings, "put_back", lambda: (world.inbox / "m.yaml").write_bytes(sidecar(version="2")))
        world.live_on(service)
        assert world.left() == ["m.yaml"]
        (world.inbox / "m.pkl").write_bytes(pickled({"v": "new"}))
        world.live_on(service, 1)
        answered = world.answered()
    assert answered.registered["m"]["sha256"] == digest(pickled({"v": "new"}))
    assert answered.rejected == {"m": ["artifact.digest_mismatch", "drop.replaced"]}


def test_a_newer_sidecar_that_comes_in_the_middle_of_a_put_back_takes_nothing_of_the_old(tmp_path: Path) -> None:
    """Between the move of the model and that of the sidecar a newer sidecar comes: the old model is fetched again."""
    world = World(tmp_path)
    with world.running() as service:
        moved = service.intake._claims._disk.rename_new
        world.put("m", {"v": "old"}, sha256={"model": "0" * 64})

        def move(source: Path, target: Path) -> None:
            moved(source, target)
            if target == world.inbox / "m.pkl":
                (world.inbox / "m.yaml").write_bytes(sidecar())

        service.intake._claims._disk.rename_new = move  # type: ignore[method-assign]
        world.live_on(service)
        assert world.left() == ["m.yaml"]
        assert world.answered().rejected == {"m": ["artifact.digest_mismatch", "drop.replaced"]}


# --- a disk that says no ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "batch"), [(errno.ENOSPC, 128), (errno.EIO, 1), (errno.EDQUOT, 128)])
@pytest.mark.parametrize("step", ["link", "copy_write", "fsync", "rename", "mkdir", "fsync_dir", "unlink", "create"])
def test_a_disk_that_says_no_defers_and_never_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, batch: int
) -> None:
    """Whatever step fails for a while, the drop is registered, or rejected for its own reason, when it passes."""
    monkeypatch.setattr(taking, "BATCH_DROPS", batch)
    world = World(tmp_path)
    failing = True
    world.put("warm")
    disk = FailingDisk(lambda name, *args: code if failing_now(name, args) else None)

    def failing_now(name: str, args: tuple[Any, ...]) -> bool:
        wanted = {"copy_write": "write"}.get(step, step)
        return armed and failing and name == wanted

    armed = False
    with world.running(disk) as service:
        armed = True
        world.put("m", {"v": 1}, scaler=[1])
        world.put("bad", {"v": 1}, leave_out=["version"])
        os.link(world.inbox / "warm.pkl", world.inbox / "x.pkl") if (world.inbox / "warm.pkl").exists() else None
        world.live_on(service, 4)
        assert disk.failed > 0
        assert not (world.inbox / "rejected").exists() or "m" not in world.answered().rejected
        failing = False
        world.live_on(service, 70)
        answered = world.answered()
    assert sorted(world.registrations()) == ["m", "warm"]
    assert answered.rejected == {"bad": ["sidecar.missing_field"]}
    assert (answered.left, answered.in_hand, world.staged()) == ([], [], [])
    assert {stem: world.receipt(stem)["outcome"] for stem in ("m", "bad")} == {"m": "registered", "bad": "rejected"}


def test_a_drop_whose_reasons_are_written_is_rejected_whatever_comes_meanwhile(tmp_path: Path) -> None:
    """Its receipt cannot be written for a moment, and in that moment the file comes that it lacked."""
    world = World(tmp_path)
    world.put("m", leave_out=["version"])
    (world.inbox / "m.pkl").unlink()
    failing = True

    def fails(name: str, *args: Any) -> int | None:
        return errno.ENOSPC if failing and name == "create" and args[0].parent.name == "receipts" else None

    with world.running(FailingDisk(fails)) as service:
        assert [claim.stem for claim in service.intake.deferred] == ["m"]
        failing = False
        (world.inbox / "m.pkl").write_bytes(pickled(1))
        world.live_on(service, 90)
        answered = world.answered()
    rejected = [json.loads((folder / "reason.json").read_bytes()) for folder in (world.inbox / "rejected").iterdir()]
    assert sorted([problem["code"] for problem in reason["problems"]] for reason in rejected) == [
        ["drop.no_sidecar"],
        ["sidecar.missing_field"],
    ]
    assert (answered.left, answered.in_hand) == ([], [])


def test_one_drop_that_cannot_be_placed_holds_up_no_other(tmp_path: Path) -> None:
    """Drops commit together; when that fails for one of them, the others are registered at once."""
    world = World(tmp_path)
    blocked = True

    def fails(name: str, *args: Any) -> int | None:
        return errno.EIO if blocked and name == "link" and args[1].name == "b.pkl" else None

    with world.running(FailingDisk(fails)) as service:
        for stem in "abc":
            world.put(stem)
        world.live_on(service)
        assert sorted(world.registrations()) == ["a", "c"]
        blocked = False
        world.live_on(service, 5)
        assert sorted(world.registrations()) == ["a", "b", "c"]


class Beside(Disk):
    """Notes what is linked, and what begins and ends of the syncs that go on beside other work; they may fail."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.done: list[str] = []

    def link(self, source: Path, target: Path) -> None:
        self.done.append("stage" if target.parent.name == ".staging" else "place")
        super().link(source, target)

    def start_syncfs(self, fd: int) -> Callable[[], None]:
        self.done.append("sync begins")

        def wait() -> None:
            self.done.append("sync ends")
            if self.code:
                raise OSError(self.code, os.strerror(self.code))
            self.syncfs(fd)

        return wait


def test_drops_are_judged_while_those_before_them_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of eight drops, of two files each: none is placed before its own sync has ended."""
    monkeypatch.setattr(taking, "BATCH_DROPS", 8)
    world = World(tmp_path)
    disk = Beside()
    with world.running(disk) as service:
        for number in range(16):
            world.put(f"m{number:02d}")
        world.live_on(service)
    steps = [step for step, _ in itertools.groupby(disk.done)]
    assert steps == ["stage", "sync begins", "stage", "sync ends", "place", "sync begins", "sync ends", "place"]
    assert len(world.registrations()) == 16 and world.left() == []


def test_drops_whose_common_sync_fails_are_synced_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one file system, or one file, has done to all together need not be the fate of each."""
    monkeypatch.setattr(taking, "BATCH_DROPS", 8)
    world = World(tmp_path)
    disk = Beside(errno.EIO)
    with world.running(disk) as service:
        for number in range(16):
            world.put(f"m{number:02d}")
        world.live_on(service)
        assert service.intake.deferred == []
    assert "sync ends" in disk.done
    assert len(world.registrations()) == 16 and world.left() == []
    assert all(world.receipt(f"m{number:02d}")["outcome"] == "registered" for number in range(16))


@pytest.mark.parametrize("folder", [".staging", "receipts"])
def test_a_file_whose_sync_failed_is_written_again(tmp_path: Path, folder: str) -> None:
    """The kernel tells once that it could not write a file: another sync of the same one would succeed for nothing."""
    failed: list[int] = []
    synced: list[int] = []

    class Forgetful(Disk):
        def fsync(self, fd: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            if path.parent.name == folder:
                if not failed:
                    failed.append(os.fstat(fd).st_ino)
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                synced.append(os.fstat(fd).st_ino)
            super().fsync(fd)

    world = World(tmp_path)
    held = tmp_path / "held"  # so that no number of an inode is given twice
    with world.running(Forgetful()) as service:
        world.put("m")
        os.link(world.inbox / "m.yaml", held) if folder == "receipts" else None
        world.live_on(service)
        assert [claim.stem for claim in service.intake.deferred] == ["m"]
        world.live_on(service, 5)
    assert world.registrations() == ["m"] and world.receipt("m")["outcome"] == "registered"
    assert failed and synced and failed[0] not in synced


def test_a_locked_registry_and_a_dead_scanner_defer(tmp_path: Path) -> None:
    """Neither another writer nor a worker that does not start is a reason to reject, or to stop."""
    world = World(tmp_path)
    with world.running() as service:
        registering, scanning = service.registry.register_staged, service.intake.judge.scanner.begin

        def locked(*_: Any) -> Any:
            raise RegistryLocked("cannot take the lock")

        def dead(path: Path, *, size: int) -> Scan:
            scan = Scan(Scanner(Allowlist.load()), path, size)
            scan.set_result(ScanError("cannot start the worker"))
            return scan

        service.registry.register_staged = locked  # type: ignore[method-assign]
        world.put("a")
        world.live_on(service)
        service.registry.register_staged = registering  # type: ignore[method-assign]
        service.intake.judge.scanner.begin = dead  # type: ignore[method-assign]
        world.put("b")
        world.live_on(service)
        assert len(service.intake.deferred) == 2 and world.registrations() == []
        service.intake.judge.scanner.begin = scanning  # type: ignore[method-assign]
        world.live_on(service, 5)
        assert sorted(world.registrations()) == ["a", "b"]


def test_retries_come_less_and_less_often_but_at_least_once_a_minute(tmp_path: Path) -> None:
    """1, 2, 4 ... 60 seconds between tries."""
    world = World(tmp_path)
    with world.running() as service:
        service.registry.register_staged = raising(StorageError("x", "y", OSError(errno.EIO, "no")))  # type: ignore[method-assign]
        world.put("a")
        waits = []
        for _ in range(9):
            world.live_on(service)
            claim = service.intake.deferred[0]
            assert claim.retry is not None
            waits.append(round(claim.retry.at - world.clock.monotonic()))
            world.clock.advance(claim.retry.at - world.clock.monotonic())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_a_drop_that_trips_us_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    """A fault of ours in judging one drop stops neither the daemon nor the next drop, also after a restart."""
    world = World(tmp_path)
    with world.running() as service:
        begin = service.intake.judge.scanner.begin

        def tripping(path: Path, *, size: int) -> Any:
            if "bad" in path.name:
                raise IndexError("tuple index\nout of range")
            return begin(path, size=size)

        service.intake.judge.scanner.begin = tripping  # type: ignore[method-assign]
        world.put("bad")
        world.put("good")
        world.live_on(service, 5)
        answered = world.answered()
    assert list(answered.registered) == ["good"]
    assert answered.rejected == {"bad": ["drop.unexpected"]}


# --- what is staged --------------------------------------------------------------------------------------------


def test_a_file_of_ours_is_linked_and_one_with_another_name_is_copied(tmp_path: Path) -> None:
    """No byte of a file that is ours alone is copied; of one that is linked elsewhere every byte is."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("ours")
        world.put("linked")
        os.link(world.inbox / "linked.pkl", tmp_path / "elsewhere.pkl")
        inode = (world.inbox / "ours.pkl").stat().st_ino
        world.live_on(service)
    stored = world.models / "prediction"
    assert (stored / "ours.pkl").stat().st_ino == inode
    assert (stored / "linked.pkl").stat().st_ino != (tmp_path / "elsewhere.pkl").stat().st_ino
    assert (tmp_path / "elsewhere.pkl").stat().st_nlink == 1
    assert {path.stat().st_mode & 0o777 for path in stored.glob("[!.]*")} == {0o440}


def test_a_malicious_pickle_is_rejected_with_the_name_that_it_wants(tmp_path: Path) -> None:
    """`os.system` in a pickle is never called, and the answer says what was found."""
    world = World(tmp_path)
    with world.running() as service:
        world.inbox.mkdir(exist_ok=True)
        (world.inbox / "evil.pkl").write_bytes(
            b"cposix\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
        )
        (world.inbox / "evil.yaml").write_bytes(sidecar())
        world.live_on(service)
        assert list(world.answered().rejected) == ["evil"]
    assert "system" in json.dumps(world.receipt("evil"))
    assert not (tmp_path / "owned").exists()


def test_a_pickle_that_ends_too_early_inside_waits_and_is_then_rejected(tmp_path: Path) -> None:
    """Bytes that end like a pickle but are cut inside go back, wait for more, and are answered after the time-out."""
    world = World(tmp_path)
    data = pickle.dumps(["x" * 500, "y" * 500], protocol=4)
    cut = data[: data.index(b"y" * 10) + 5] + b"."
    with world.running() as service:
        (world.inbox / "m.pkl").write_bytes(cut)
        (world.inbox / "m.yaml").write_bytes(sidecar())
        world.live_on(service, 5)
        assert world.left() == ["m.pkl", "m.yaml"]
        world.live_on(service, 30)
        assert world.answered().rejected["m"][-1] == "drop.incomplete_timeout"


# --- late scalers ----------------------------------------------------------------------------------------------


def test_a_scaler_that_comes_after_its_model_is_rejected_with_the_models_name(tmp_path: Path) -> None:
    """Never silently a model without its scaler."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m")
        world.live_on(service)
        (world.inbox / "m_scaler.pkl").write_bytes(pickled([1]))
        world.live_on(service, 2)
        answered = world.answered()
    assert list(answered.rejected.values()) == [["drop.scaler_late"]]
    assert answered.left == []


def test_the_scaler_of_the_next_drop_is_not_late(tmp_path: Path) -> None:
    """Where more of the next drop of that stem is there, its scaler belongs to it."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": 1}, model_id="first")
        world.live_on(service)
        (world.inbox / "m_scaler.pkl").write_bytes(pickled([1]))
        (world.inbox / "m.pkl").write_bytes(pickled({"v": 2}))
        world.live_on(service, 2)
        (world.inbox / "m.yaml").write_bytes(sidecar(model_id="second"))
        world.live_on(service)
        answered = world.answered()
    assert answered.rejected == {}
    assert answered.registered["second"]["scaler_path"] is not None
