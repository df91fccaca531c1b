"""What rests in a crowded inbox: turns, what wakes it, and what is forgotten."""

from __future__ import annotations

from model_inbox.inbox import crowd as module
from model_inbox.inbox.crowd import Crowd, Part, Unit

ALICE, BOB, CAROL = 1, 2, 3


def unit(owner: int, *names: str, due_at: float = 10.0, wanted: tuple[str, ...] = (), urgent: bool = False) -> Unit:
    return Unit(owner, tuple(Part(name, 0.0, 0.0, 0) for name in names), due_at, wanted, urgent)


def taken(crowd: Crowd, now: float, limit: int) -> list[str]:
    return [one.name for one in crowd.take(now, limit)]


def test_owners_take_turns_and_of_each_the_first_that_is_due() -> None:
    """However many of alice's are due, bob's one is the second. What is not due stays."""
    crowd = Crowd()
    for number in (3, 1, 2):
        crowd.put(unit(ALICE, f"a{number}.pkl", due_at=float(number)))
    crowd.put(unit(BOB, "b.pkl", due_at=5.0))
    crowd.put(unit(CAROL, "c.pkl", due_at=99.0))
    assert taken(crowd, now=6.0, limit=3) == ["a1.pkl", "b.pkl", "a2.pkl"]
    assert crowd.next_at == 3.0
    assert taken(crowd, now=6.0, limit=3) == ["a3.pkl"]
    assert list(crowd.units) == ["c.pkl"]
    assert crowd.waiting == {CAROL: 1}


def test_any_name_of_a_drop_wakes_it() -> None:
    """Its sidecar, its model that is there, and a file that it lacks; a stranger's name does not."""
    for name, wakes in (("m.yaml", True), ("m.pkl", True), ("m_scaler.pkl", True), ("n.pkl", False)):
        crowd = Crowd()
        crowd.put(unit(ALICE, "m.yaml", "m.pkl", wanted=("m_scaler.pkl",)))
        crowd.wake(name)
        assert taken(crowd, now=1.0, limit=9) == (["m.yaml"] if wakes else [])


def test_sidecars_that_nobody_has_read_are_known_by_their_owner() -> None:
    """They may name any file of that owner; a stray names none, and what was taken is read."""
    crowd = Crowd()
    crowd.put(unit(ALICE, "a.yaml", due_at=0.0, urgent=True))
    crowd.put(unit(BOB, "b.pkl", due_at=0.0, urgent=True))
    assert crowd.urgent == {ALICE}
    crowd.take(1.0, 9)
    assert crowd.urgent == set()


def test_a_file_of_two_drops_is_pulled_with_both() -> None:
    """To name a file that two drops have shows both."""
    crowd = Crowd()
    crowd.put(unit(ALICE, "a.yaml", "shared.pkl"))
    crowd.put(unit(ALICE, "b.yaml", wanted=("shared.pkl",)))
    assert sorted(one.name for one in crowd.pull("shared.pkl")) == ["a.yaml", "b.yaml"]
    assert (crowd.units, crowd.files, crowd.waiting) == ({}, set(), {})


def test_what_is_not_listed_is_forgotten_and_a_drop_whose_model_left_is_due() -> None:
    """A stray and a sidecar that left are gone; a sidecar without its model waits for another thing now."""
    crowd = Crowd()
    crowd.put(unit(ALICE, "a.pkl"))
    crowd.put(unit(ALICE, "b.yaml", "b.pkl"))
    crowd.put(unit(BOB, "c.yaml", "c.pkl"))
    crowd.keep({"b.yaml", "c.pkl"})
    assert list(crowd.units) == ["b.yaml"]
    assert taken(crowd, now=1.0, limit=9) == ["b.yaml"]


def test_no_more_of_one_owner_is_remembered_than_the_limit() -> None:
    """Bob has room for strays though alice has none, and she has for drops; what leaves makes room."""
    crowd = Crowd()
    for number in range(module.UNITS_OF_OWNER):
        crowd.put(unit(ALICE, f"{number}.pkl"))
    assert not crowd.has_room(ALICE, "one_more.pkl")
    assert crowd.has_room(ALICE, "drop.yaml")
    assert crowd.has_room(BOB, "one_more.pkl")
    crowd.remove("7.pkl")
    assert crowd.has_room(ALICE, "one_more.pkl")
