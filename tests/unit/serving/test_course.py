"""What a follower should serve, decided by values alone."""

from __future__ import annotations

import pytest

from model_inbox.serving.course import Course, Key, Step, key_of, pause_after


def key(model_id: str) -> Key:
    return Key(model_id, 1, None, None)


A, B, C = key("a"), key("b"), key("c")


def course(*, served: Key | None = A, holder: Key | None = A) -> Course:
    return Course(3, served=served, holder=holder)


def look(one: Course, holder: Key | None, now: float = 0.0, *, has_moved: bool = False) -> Step:
    return one.look(holder, has_moved=has_moved, now=now)


def test_what_is_named_and_served_stays() -> None:
    """Nothing is to be done, and nothing is due."""
    one = course()
    assert look(one, A) is Step.KEEP
    assert one.next_due(0.0) is None
    assert one.is_fresh()


def test_another_holder_is_loaded_and_then_served() -> None:
    """The old one is served, and outdated, until the new one is there."""
    one = course()
    assert look(one, B) is Step.LOAD
    assert not one.is_fresh()
    one.serves(B)
    assert look(one, B) is Step.KEEP
    assert one.is_fresh()


def test_a_new_scaler_is_another_model_to_serve() -> None:
    """The files tell, not the id alone."""
    entry = {"model_id": "a", "sequence": 4, "sha256": "1", "scaler_sha256": "2"}
    assert key_of(entry) != key_of({**entry, "scaler_sha256": "3"})
    assert key_of(entry) != key_of({**entry, "sequence": 9})
    assert key_of(entry) == key_of({**entry, "tags": {"x": "y"}})


def test_nobody_named_keeps_what_is_served() -> None:
    """An alias that was removed leaves the server with what it has."""
    assert look(course(), None) is Step.KEEP


def test_a_load_that_fails_is_tried_again_later_and_later() -> None:
    """Twice as long each time, up to a minute; another holder is tried at once."""
    one = course()
    assert look(one, B, 100.0) is Step.LOAD
    assert one.load_failed(100.0) == 0.25
    assert look(one, B, 100.2) is Step.KEEP
    assert one.next_due(100.2) == pytest.approx(0.05)
    assert look(one, B, 100.25) is Step.LOAD
    assert one.load_failed(100.25) == 0.5
    assert look(one, C, 100.3) is Step.LOAD
    assert [pause_after(attempts) for attempts in (1, 2, 3, 9, 10_000)] == [0.25, 0.5, 1.0, 60.0, 60.0]


def test_a_holder_that_is_named_again_is_tried_at_once() -> None:
    """Whoever sets the alias again wants it now."""
    one = course()
    look(one, B, 100.0)
    one.load_failed(100.0)
    assert look(one, B, 100.1, has_moved=True) is Step.LOAD


def test_without_anything_to_serve_a_holder_before_is_looked_for_once() -> None:
    """A server that starts while its model is broken serves the one before, and goes on trying."""
    one = course(served=None, holder=None)
    assert look(one, B, 100.0) is Step.LOAD
    one.load_failed(100.0)
    assert look(one, B, 100.1) is Step.BACK
    one.went_back()
    assert look(one, B, 100.1) is Step.KEEP
    assert look(one, B, 100.25) is Step.LOAD


def test_reports_give_a_model_up() -> None:
    """The third of them does, and the holder before is to be served."""
    one = course()
    assert [one.reported(A) for _ in range(3)] == [False, False, True]
    assert look(one, A) is Step.BACK
    one.serves(B)
    assert look(one, A, 1e9) is Step.KEEP
    assert not one.is_fresh()
    assert not one.is_worth_going_back_to(A)


def test_reports_about_others_do_not_count() -> None:
    """Neither about a model that is no longer served, nor about one that was given up."""
    one = course()
    assert not any(one.reported(B) for _ in range(9))
    assert [one.reported(A) for _ in range(5)] == [False, False, True, False, False]


def test_a_model_that_was_gone_back_to_can_be_given_up_too() -> None:
    """Then an earlier one is looked for, and neither of the two is it."""
    one = course()
    for _ in range(3):
        one.reported(A)
    one.serves(B)
    assert [one.reported(B) for _ in range(3)] == [False, False, True]
    assert look(one, A) is Step.BACK
    assert [one.is_worth_going_back_to(other) for other in (A, B, C)] == [False, False, True]


def test_without_a_way_back_the_model_stays() -> None:
    """It is looked for once, and not again and again."""
    one = course()
    for _ in range(3):
        one.reported(A)
    assert look(one, A) is Step.BACK
    one.went_back()
    assert look(one, A) is Step.KEEP


def test_moving_the_alias_ends_a_fallback() -> None:
    """To another model, away and back, or to the very one that was served meanwhile."""
    for holder, has_moved in ((C, True), (A, True), (C, False)):
        one = course()
        for _ in range(3):
            one.reported(A)
        one.serves(B)
        assert look(one, holder, has_moved=has_moved) is Step.LOAD
    one = course()
    for _ in range(3):
        one.reported(A)
    one.serves(B)
    assert look(one, B, has_moved=True) is Step.KEEP
    assert one.is_fresh()
