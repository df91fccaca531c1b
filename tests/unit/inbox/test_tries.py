"""What fails unexpectedly has two tries: what counts, what does not, and what becomes of the drop after that."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox.base.disk import Disk
from model_inbox.inbox import folder
from model_inbox.inbox.claim_names import claimed_at
from model_inbox.inbox.explain import explain
from model_inbox.inbox.rejected import find_rejected, retry_rejected
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from support.world import Killed, World

HOSTILE = "x\x1b[2J\ny"


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    return World(memory_folder)


def fail_at(service: Service, stem: str, error: BaseException) -> list[int]:
    """Let the judging of one drop raise, each time. The list gets the number of failures before each time."""
    begin, tries = service.intake.judge.begin, []

    def failing(claim: Any) -> Any:
        if claim.stem == stem:
            tries.append(claim.failures)
            if isinstance(error, Killed):
                service.inbox.work.close()  # the dead write nothing
            raise error
        return begin(claim)

    service.intake.judge.begin = failing  # type: ignore[method-assign]
    return tries


def armed(world: World, arm: Callable[[Service], object]) -> Service:
    """Return a service whose parts are changed as soon as they are made."""
    service = world.service()
    make_parts = service._make_parts

    def make() -> None:
        make_parts()
        arm(service)

    service._make_parts = make  # type: ignore[method-assign]
    return service


def starting_with(world: World, arm: Callable[[Service], object]) -> None:
    """Run a daemon whose parts are changed, from its start on."""
    service = armed(world, arm)
    try:
        service.start()
        service.step("start")
        world.live_on(service, 30)
    finally:
        service.close()


def die_at(world: World, arm: Callable[[Service], object]) -> None:
    """Run a daemon that dies where it was armed to."""
    with pytest.raises(Killed):
        starting_with(world, arm)


def work_of(world: World) -> str:
    return (world.inbox / ".processing" / ".in-work").read_text().partition("\n")[0]


def outcome(world: World, stem: str) -> tuple[str, list[str]]:
    receipt = world.receipt(stem)
    assert receipt is not None
    return receipt["outcome"], [problem["code"] for problem in receipt["problems"]]


def run_to_the_end(world: World) -> None:
    with world.running() as service:
        world.live_on(service, 30)


def test_two_exceptions_set_a_drop_aside_and_the_others_of_its_batch_go_on(world: World) -> None:
    """Its answer names the exception, its place and the tries; what a producer wrote in it is escaped."""
    with world.running() as service:
        tries = fail_at(service, "bad", TypeError(HOSTILE))
        for stem in ("a", "bad", "z"):
            world.put(stem)
        world.live_on(service, 30)
    assert tries == [0, 1]
    assert [outcome(world, stem)[0] for stem in ("a", "z")] == ["registered"] * 2
    assert outcome(world, "bad") == ("rejected", ["drop.unexpected"])
    (problem,) = (world.receipt("bad") or {})["problems"]
    start = r"2 attempts to process it failed, the last one so: TypeError: 'x\x1b[2J\ny' (test_tries.py:"
    assert problem["message"].startswith(start)


def test_the_count_outlives_an_orderly_stop(world: World) -> None:
    """One exception in each of two daemons: the second one sets the drop aside."""
    with world.running() as service:
        fail_at(service, "bad", TypeError("first"))
        world.put("bad")
        world.live_on(service)
    (claim,) = (world.inbox / ".processing" / name for name in world.in_hand())
    counted = json.loads((claim / ".tries").read_bytes())
    assert (counted["format"], counted["failures"], counted["run"]) == ("model-inbox-tries/1", 1, "")
    starting_with(world, lambda service: fail_at(service, "bad", TypeError("second")))
    assert outcome(world, "bad") == ("rejected", ["drop.unexpected"])


def test_a_count_that_cannot_be_read_is_none(world: World) -> None:
    """The drop has its tries again."""
    with world.running() as service:
        fail_at(service, "m", TypeError("first"))
        world.put("m")
        world.live_on(service)
    (claim,) = (world.inbox / ".processing" / name for name in world.in_hand())
    (claim / ".tries").write_bytes(b"\0\xff{")
    run_to_the_end(world)
    assert outcome(world, "m") == ("registered", [])


def test_a_retry_of_a_drop_that_was_set_aside_has_its_tries_again(world: World) -> None:
    """Nothing of the count goes with it: one more exception, and it is registered."""
    with world.running() as service:
        fail_at(service, "m", TypeError("no"))
        world.put("m")
        world.live_on(service, 30)
    drop = find_rejected(world.inbox / "rejected", "m")
    assert sorted(drop.files) == ["m.pkl", "m.yaml"]
    with world.running() as service:
        begin = service.intake.judge.begin
        tries = fail_at(service, "m", TypeError("once more"))
        assert sorted(retry_rejected(drop, world.inbox, Disk())) == ["m.pkl", "m.yaml"]
        world.live_on(service)
        service.intake.judge.begin = begin  # type: ignore[method-assign]
        world.live_on(service, 30)
    assert tries == [0]
    assert outcome(world, "m") == ("registered", [])


def test_a_registered_drop_is_never_set_aside(world: World) -> None:
    """Where only its answer fails, the answer is tried again, also after the second time."""
    with world.running() as service:
        write, tries = service.intake._answers.write_receipt, []

        def failing(claim: Any, *args: Any, **options: Any) -> Any:
            tries.append(claim.failures)
            if len(tries) <= 2:
                raise KeyError("answer")
            return write(claim, *args, **options)

        service.intake._answers.write_receipt = failing  # type: ignore[method-assign]
        world.put("m")
        world.live_on(service, 30)
    assert tries == [0, 1, 2]
    assert outcome(world, "m") == ("registered", [])
    assert world.registrations() == ["m"]


def test_the_disk_never_counts(world: World) -> None:
    """However often it says no, the drop is deferred, and registered in the end."""
    with world.running() as service:
        begin = service.intake.judge.begin
        tries = fail_at(service, "m", OSError(28, "No space left on device"))
        world.put("m")
        world.live_on(service, 300)
        assert len(tries) > 5
        assert set(tries) == {0}
        service.intake.judge.begin = begin  # type: ignore[method-assign]
        world.live_on(service, 61)
    assert outcome(world, "m") == ("registered", [])


def test_what_cannot_even_be_set_aside_stays_and_is_told_of(world: World, tmp_path: Path) -> None:
    """It is tried again after a minute, and then later and later; status and explain name it; the others go on."""
    publisher = Publisher([tmp_path / "status.json"])
    with world.running(publisher=publisher) as service:
        service.begin_serving()
        fail_at(service, "bad", TypeError("no"))
        write = service.intake._answers.write_reason

        def failing(claim: Any, problems: Any, missing: Any) -> None:
            if claim.stem == "bad":
                raise TypeError("nor this")
            write(claim, problems, missing)

        service.intake._answers.write_reason = failing  # type: ignore[method-assign]
        world.put("bad")
        with structlog.testing.capture_logs() as said:
            world.live_on(service, 600)
        world.put("z")
        world.live_on(service, 5)
        assert outcome(world, "z") == ("registered", [])
        status = service.reporter.document()
        (told,) = explain(["bad.yaml"], world.inbox, service.inbox.limits, world.clock.now, status=status)
    failed = [line for line in said if line["event"] == "drop.failed_unexpectedly"]
    assert [line["retry_in_seconds"] for line in failed] == [
        1.0,
        0.0,
        60.0,
        120.0,
        240.0,
        480.0,
    ]  # at 0, 1, 1, 61, 181, 421 s
    assert all("nor this" in line["traceback"] for line in failed[2:])
    assert status["deferred_drops"][0]["cause"].startswith("it failed unexpectedly: TypeError: 'nor this'")
    assert told.state == "in_hand"
    assert "nor this" in told.problems[0].message
    run_to_the_end(world)
    assert len(world.in_hand()) == 1, "it waits, also after a restart"


# --- deaths -----------------------------------------------------------------------------------------------------


def test_two_deaths_in_the_work_on_it_set_a_drop_aside(world: World) -> None:
    """The others are taken. It is rejected with what happened, and nothing is left."""
    for stem in ("a", "bad", "z"):
        world.put(stem)
    for _ in range(2):
        die_at(world, lambda service: fail_at(service, "bad", Killed()))
    run_to_the_end(world)
    assert [outcome(world, stem)[0] for stem in ("a", "bad", "z")] == ["registered", "rejected", "registered"]
    (problem,) = (world.receipt("bad") or {})["problems"]
    assert problem["code"] == "drop.unexpected"
    assert "killed by a signal, or out of memory" in problem["message"]
    assert (world.left(), world.in_hand()) == ([], [])


def test_a_death_counts_only_for_what_was_in_work(world: World) -> None:
    """Not for those that lay claimed beside it, however often that happens."""
    for stem in ("a", "bad", "z"):
        world.put(stem)
    die_at(world, lambda service: fail_at(service, "bad", Killed()))
    counted = {name.rpartition("-")[2] for name in world.in_hand() if name in work_of(world)}
    assert (len(world.in_hand()), counted) == (3, {"bad"})


def test_an_end_of_the_machine_does_not_count(world: World) -> None:
    """The line is of another boot: the drop is registered, though it was in work three times."""
    world.put("m")
    for boot in ("b1", "b2", "b3"):
        die_at(world, lambda service: fail_at(service, "m", Killed()))
        world.clock.boot_id = boot * 16
    run_to_the_end(world)
    assert outcome(world, "m") == ("registered", [])


def test_the_same_death_is_counted_once(world: World) -> None:
    """A daemon that dies before it has anything in work leaves the line of the one before."""
    world.put("m")
    die_at(world, lambda service: fail_at(service, "m", Killed()))
    line = work_of(world)
    starting_with(world, lambda service: fail_at(service, "m", OSError(28, "No space left on device")))
    (world.inbox / ".processing" / ".in-work").write_text(line + "\n")
    run_to_the_end(world)
    assert outcome(world, "m") == ("registered", [])


def test_nothing_is_in_work_when_a_pass_is_over_and_after_a_stop(world: World) -> None:
    """A kill while the daemon sleeps, and an orderly stop, accuse nobody."""
    with world.running() as service:
        world.put("m")
        world.put("later", leave_out=["model_type"], seal="")
        world.live_on(service)
        assert len(work_of(world).split(" ")) == 3
    assert len(work_of(world).split(" ")) == 3


# --- files that are still in the inbox ---------------------------------------------------------------------------


def fail_to_parse(monkeypatch: pytest.MonkeyPatch, stem: str, error: BaseException) -> list[str]:
    """Let the reading of one sidecar in the inbox raise, each time."""
    parse, tries = folder.parse_sidecar, []

    def failing(text: bytes, *, stem: str, now: datetime, **options: Any) -> Any:
        if stem == bad:
            tries.append(stem)
            raise error
        return parse(text, stem=stem, now=now, **options)

    bad = stem
    monkeypatch.setattr(folder, "parse_sidecar", failing)
    return tries


def test_a_sidecar_that_cannot_be_looked_at_costs_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exceptions, and it is rejected unseen with its files; every other drop is taken meanwhile."""
    tries = fail_to_parse(monkeypatch, "bad", TypeError(HOSTILE))
    with world.running() as service, structlog.testing.capture_logs() as said:
        for stem in ("a", "bad", "z"):
            world.put(stem)
        world.live_on(service)
        assert [outcome(world, stem)[0] for stem in ("a", "z")] == ["registered"] * 2
        (told,) = explain(
            ["bad.yaml"], world.inbox, service.inbox.limits, world.clock.now, status=service.reporter.document()
        )
        world.live_on(service, 30)
    assert told.problems[0].code == "drop.unexpected"
    assert outcome(world, "bad") == ("rejected", ["drop.unexpected"])
    assert sorted(find_rejected(world.inbox / "rejected", "bad").files) == ["bad.pkl", "bad.yaml"]
    failed = [line for line in said if line["event"] == "drop.failed_unexpectedly"]
    assert [(line["stem"], line["attempt"], line["drop_id"]) for line in failed] == [("bad", 1, None), ("bad", 2, None)]
    assert len(tries) >= 2  # `explain` looks as the daemon does


def test_a_changed_file_has_its_tries_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was the bytes of before that failed."""
    tries = fail_to_parse(monkeypatch, "m", TypeError("first"))
    with world.running() as service:
        world.put("m")
        world.live_on(service)
        monkeypatch.undo()
        world.put("m")
        world.live_on(service, 5)
    assert tries == ["m"]
    assert outcome(world, "m") == ("registered", [])


def test_two_deaths_in_a_look_refuse_the_file_unseen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two such files lie there: the count of none is lost over the other. All other drops are taken."""
    for stem in ("a", "bad", "worse", "z"):
        world.put(stem)
    parse, alive = folder.parse_sidecar, []

    def deadly(text: bytes, *, stem: str, now: datetime, **options: Any) -> Any:
        if stem in ("bad", "worse"):
            alive[-1].inbox.work.close()  # the dead write nothing
            raise Killed
        return parse(text, stem=stem, now=now, **options)

    monkeypatch.setattr(folder, "parse_sidecar", deadly)
    for _ in range(4):
        die_at(world, alive.append)
    run_to_the_end(world)
    outcomes = {stem: outcome(world, stem)[0] for stem in ("a", "bad", "worse", "z")}
    assert outcomes == {"a": "registered", "bad": "rejected", "worse": "rejected", "z": "registered"}


# --- what an earlier daemon left ---------------------------------------------------------------------------------


def test_a_claim_that_cannot_be_recovered_costs_itself(world: World) -> None:
    """The start goes on with the other claims, and comes to its end."""
    at = datetime(2026, 11, 24, 4, 53, 15, tzinfo=UTC)
    world.put("bad")
    world.put("good")
    for number, stem in enumerate(("bad", "good"), 1):
        claim = world.inbox / ".processing" / f"{at:%Y%m%dT%H%M%S}000000Z-{number:04d}-{stem}"
        assert claimed_at(claim.name) == at
        claim.mkdir(parents=True)
        for path in world.inbox.glob(f"{stem}.*"):
            path.rename(claim / path.name)
        world.put(f"new-{stem}")

    def arm(service: Service) -> None:
        look = service.intake._recovery._look_into

        def failing(claim: Any) -> Any:
            if claim.stem == "bad" and claim.failures < 2:
                raise TypeError("no")
            return look(claim)

        service.intake._recovery._look_into = failing  # type: ignore[method-assign]

    starting_with(world, arm)
    outcomes = {stem: outcome(world, stem)[0] for stem in ("bad", "good", "new-bad", "new-good")}
    assert outcomes == {"bad": "rejected", "good": "registered", "new-bad": "registered", "new-good": "registered"}
