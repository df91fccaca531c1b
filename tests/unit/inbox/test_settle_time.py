"""The settle time. What waits for it is tested with `readiness`."""

from __future__ import annotations

from model_inbox.config.settings import InboxSection
from model_inbox.inbox.settle_time import seconds_left, settle_seconds_of


def test_the_settle_time_depends_on_the_watcher_unless_it_is_set() -> None:
    """Two seconds, ten where the folder is polled, or what the file says."""
    default = InboxSection().settle_seconds
    assert (settle_seconds_of(default, polling=False), settle_seconds_of(default, polling=True)) == (2.0, 10.0)
    assert (settle_seconds_of(3.0, polling=False), settle_seconds_of(3.0, polling=True)) == (3.0, 3.0)


def test_the_file_that_changed_last_decides() -> None:
    """A drop waits until each of its files has been unchanged for the settle time."""
    assert seconds_left([5.0, 0.5, 9.0], 2.0) == 1.5
    assert seconds_left([2.0, 3.0], 2.0) == 0.0
