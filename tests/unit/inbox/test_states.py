"""The table of states: whatever step a daemon dies at, what it leaves is one of the rows, and every row is left."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from model_inbox.inbox.explain import Service, explain
from model_inbox.inbox.folder import limits_of
from model_inbox.inbox.states import STATES, Action, State, Traces, actions_for, signs_of, state_of
from support.world import Killed, StoppingDisk, World, pickled, sidecar

SCALED = ("m.pkl", "m_scaler.pkl", "m.yaml")


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


def traces_of(world: World, stem: str, model_id: str, earlier: dict[str, int]) -> Traces:
    """Return what there is of the drop `stem`. `earlier` are the stored files that were there before, with inodes."""
    inbox = {name for name in world.left() if name.partition(".")[0] in (stem, f"{stem}_scaler")}
    claims = world.in_hand()
    assert len(claims) <= 1
    claimed = set(os.listdir(world.inbox / ".processing" / claims[0])) if claims else set()
    receipt = world.receipt(stem)
    stored_dir = world.models / "prediction"
    stored = {n for n in world.stored() if earlier.get(n) != (stored_dir / n).stat().st_ino}
    with world.registry() as registry:
        entry = registry.registry.get(model_id)
    mine = entry is not None and f"{model_id}.pkl" not in earlier
    rejected = [path for path in (world.inbox / "rejected").iterdir() if (path / "reason.json").exists()]
    return Traces(
        inbox=signs_of(inbox),
        claim=signs_of(claimed - {"reason.json"}) if claims else "-",
        staging=signs_of({name for name in world.staged() if not name.startswith(".")}),
        stored=signs_of({name for name in stored if name.partition(".")[0] in (model_id, f"{model_id}_scaler")}),
        line=mine,
        receipt=receipt["outcome"] if receipt is not None else "",
        reason="reason.json" in claimed,
        rejected=bool(rejected),
    )


def accepted(world: World) -> str:
    world.put("m", {"v": 1}, scaler=[1])
    return "m"


def refused(world: World) -> str:
    world.put("m", {"v": 1}, leave_out=["version"])
    return "m"


def put_back(world: World) -> str:
    world.put("m", {"v": 1}, scaler=[1], sha256={"model": "0" * 64})
    return "m"


def again(world: World) -> str:
    world.put("m", {"v": 1}, scaler=[1], model_id="first")
    return "first"


def stray(world: World) -> str:
    (world.inbox / "m.pkl").write_bytes(pickled(1))
    return "m"


def cases(world: World, put: Callable[[World], str]) -> Iterator[State]:
    """Kill a daemon before each step that it does with the drop, and at the end; return the states that it leaves."""
    step, total = 0, None
    while total is None:
        step += 1
        here = World(world.root / str(step))
        if put is again:
            with here.running() as service:
                here.put("first", {"v": 1}, scaler=[1])
                here.live_on(service)
        disk = StoppingDisk()
        service = here.service(disk)
        service.start()
        folder = here.models / "prediction"
        earlier = {name: (folder / name).stat().st_ino for name in here.stored()}
        model_id = put(here)
        if put is stray:
            here.clock.advance(61)
        disk.count, disk.stop_at = 0, step
        try:
            service.step("start")
            total = disk.count
        except Killed:
            pass
        _let_go(service, disk)
        traces = traces_of(here, "m", model_id, earlier)
        state = state_of(traces)
        assert state is not None, f"killed before step {step} of {disk.steps[-3:]}: {traces}"
        assert_explained(here, state, ["m.pkl"] if put is stray else ["m.yaml", "m.pkl"])
        yield state


def assert_explained(world: World, state: State, names: list[str]) -> None:
    """A user who asks for a file of the drop that has left the inbox is told the words of the drop's state."""
    if state.action is Action.WAIT or state.name == "claim begun":
        return  # all of it is in the inbox
    gone = [name for name in names if name not in world.left()]
    limits, service = limits_of(world.config.inbox, polling=False), Service(os.geteuid(), frozenset())
    for one in explain(gone, world.inbox, limits, world.clock.now, service=service):
        assert state.words in one.words, f"{state.name}: {one}"


def _let_go(service: object, disk: StoppingDisk) -> None:
    """What the kernel does for a dead process, without the checkpoint that a living one would write."""
    disk.stopped = True
    while True:
        try:
            service.close()  # type: ignore[attr-defined]
            return
        except Killed:
            continue


def test_a_daemon_that_dies_leaves_one_of_the_states_and_every_state_is_left_by_one(tmp_path: Path) -> None:
    """The table is whole and holds no fiction: rows and what crashes leave are the same set.

    What a crash after a step leaves is what one before the next step does.
    """
    found = {
        state.name
        for put in (accepted, refused, put_back, again, stray)
        for state in cases(World(tmp_path / put.__name__), put)
    }
    world = World(tmp_path / "partial")
    with world.running() as service:
        (world.inbox / "m.pkl").write_bytes(pickled(1))
        world.live_on(service)
        state = state_of(traces_of(world, "m", "m", {}))
        assert state is not None
        found.add(state.name)
    assert found == {state.name for state in STATES}


EMPTY = Traces("", "-", "", "", line=False, receipt="", reason=False, rejected=False)


@pytest.mark.parametrize("inbox", ["A", "S", "A S"])
def test_a_drop_in_two_places_that_exclude_each_other_is_no_state(inbox: str) -> None:
    """A model that is registered, or a rejected one, is never also in the inbox; none is without a receipt."""
    assert state_of(replace(EMPTY, inbox=inbox, stored="A S", line=True, receipt="registered")) is None
    assert state_of(replace(EMPTY, inbox=inbox, rejected=True, receipt="rejected")) is None
    assert state_of(replace(EMPTY, stored="A S", line=True)) is None


PLACES = {field.name: sorted({v for state in STATES for v in getattr(state, field.name)}) for field in fields(Traces)}


def test_what_a_restart_looks_at_is_enough_to_know_what_to_do() -> None:
    """Whatever the staging folder and the final names hold: claim, journal, receipt and inbox leave one action."""
    looked_at = ("claim", "reason", "line", "receipt", "inbox")
    seen = 0
    for values in itertools.product(*(PLACES[place] for place in looked_at)):
        traces = Traces(rejected=False, **dict(zip(looked_at, values, strict=True)))
        if traces.claim != "-":
            seen += 1
            assert len(actions_for(traces)) == 1, traces
    assert seen > 100


@pytest.mark.parametrize(
    ("traces", "action"),
    [
        (Traces(claim="A S", line=False, receipt="registered", reason=False), Action.JUDGE),
        (Traces(claim="A", line=True, receipt="registered", reason=False), Action.GIVE_BACK),
        (Traces(claim="", reason=True), Action.REJECT),
    ],
)
def test_what_no_row_shows_is_judged_again_or_given_back(traces: Traces, action: Action) -> None:
    """A registry that was put back to an earlier day, or a folder that somebody changed: nothing is removed."""
    assert state_of(traces) is None
    assert actions_for(traces) == {action}


@pytest.mark.parametrize(
    ("names", "signs"),
    [([], ""), (["m.pkl", "m_scaler.pkl"], "A"), (["m.yaml"], "S"), (["m.pkl", "m.yaml"], "A S")],
)
def test_signs_of_names(names: list[str], signs: str) -> None:
    """A for files, S for the sidecar, both, or nothing."""
    assert signs_of(names) == signs


def test_a_rejected_drop_holds_its_reasons_with_its_files(tmp_path: Path) -> None:
    """The end of the row "rejected": files, sidecar and reasons lie together under the drop's id."""
    world = World(tmp_path)
    with world.running() as service:
        (world.inbox / "m.pkl").write_bytes(pickled(1))
        (world.inbox / "m.yaml").write_bytes(sidecar(leave_out=["version"]))
        world.live_on(service)
    receipt = world.receipt("m")
    folder = world.inbox / "rejected" / receipt["drop_id"]
    assert sorted(os.listdir(folder)) == ["m.pkl", "m.yaml", "reason.json"]
    assert json.loads((folder / "reason.json").read_text())["problems"] == receipt["problems"]
