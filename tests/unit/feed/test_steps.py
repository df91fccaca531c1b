"""Where the lines after a position are: in the current segment, in a closed one, or nowhere any more."""

from __future__ import annotations

from model_inbox.feed.steps import Impossible, ReadClosed, ReadCurrent, next_step
from model_inbox.registry.position import Identity

HERE = Identity("0" * 32, "1-0000000000000000")
ELSEWHERE = Identity("0" * 32, "2-0000000000000000")


def test_the_current_segment_goes_on_from_its_beginning() -> None:
    """Its first line follows line 10, so whoever knows line 10 reads it."""
    assert next_step(HERE.at(10), HERE, 10, []) == ReadCurrent()
    assert next_step(HERE.at(12), HERE, 10, [0, 4]) == ReadCurrent()


def test_a_closed_segment_has_what_is_before() -> None:
    """It is the one that the next line is in, whether the position is at its beginning or within it."""
    assert next_step(HERE.at(4), HERE, 10, [0, 4, 7]) == ReadClosed(4)
    assert next_step(HERE.at(6), HERE, 10, [0, 4, 7]) == ReadClosed(4)
    assert next_step(HERE.at(9), HERE, 10, [0, 4, 7]) == ReadClosed(7)


def test_lines_that_were_pruned_are_nowhere() -> None:
    """A position before the oldest segment that is kept leads nowhere, also when none is kept."""
    for closed in ([4, 7], []):
        assert isinstance(next_step(HERE.at(3), HERE, 10, closed), Impossible)


def test_another_epoch_has_other_lines_under_these_numbers() -> None:
    """Nobody goes on from one epoch into another, or into a journal that has none."""
    for identity in (ELSEWHERE, None):
        assert isinstance(next_step(HERE.at(12), identity, 10, [0]), Impossible)
