"""The feed: every line once and in order, or the word that nobody can go on from there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox import ModelRegistry, RegistryMissing
from model_inbox.feed import Changes, Compare, Feed
from model_inbox.registry.journal import also_changed
from model_inbox.registry.paths import RegistryFiles
from model_inbox.registry.position import Identity, Position
from model_inbox.registry.segments import JournalFile
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, as_version_0_1, open_registry, register
from support.examples import examples

OTHER = Identity("0123456789abcdef" * 2, "7-0123456789abcdef")


def files_of(folder: Path) -> RegistryFiles:
    return RegistryFiles(folder / "registry.json")


def sequences(found: Changes | Compare) -> list[int]:
    assert isinstance(found, Changes), found
    return [line.sequence for line in found.lines]


def begin_epoch(folder: Path, identity: Identity) -> None:
    """Begin an epoch with the lines that the journal has, as a restore does."""
    file = JournalFile(files_of(folder).journal, QuickDisk(), writable=True)
    file.read_new()
    file.take_over(identity, file.format)
    file.close()
    files_of(folder).mark.unlink(missing_ok=True)


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> ModelRegistry:
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "a")
    register(registry, "b")
    return registry


def test_it_goes_on_from_a_position(registry: ModelRegistry, tmp_path: Path) -> None:
    """The lines after it come once, those that are appended later come with the next read."""
    start = registry.position
    assert start is not None
    feed = Feed(files_of(tmp_path), Position(start.registry_id, start.epoch, 1))
    assert sequences(feed.read()) == [2]
    assert sequences(feed.read()) == []
    registry.set_alias("champion", "a")
    found = feed.read()
    assert sequences(found) == [3]
    assert found.position == feed.position == registry.position


def test_without_a_position_it_begins_with_a_comparison(registry: ModelRegistry, tmp_path: Path) -> None:
    """Then it goes on from the end of the journal as it was."""
    feed = Feed(files_of(tmp_path))
    found = feed.read()
    assert isinstance(found, Compare)
    assert found.position == registry.position
    registry.set_alias("champion", "a")
    assert sequences(feed.read()) == [3]


def test_closed_segments_are_read_one_by_one(registry: ModelRegistry, tmp_path: Path) -> None:
    """A reader that is far behind gets a segment at once, and none is left out or read twice."""
    start = registry.position
    assert start is not None
    registry.change_segment()
    registry.set_alias("champion", "a")
    registry.set_alias("champion", "b")
    registry.change_segment()
    registry.set_alias("champion", "a")
    feed = Feed(files_of(tmp_path), Position(start.registry_id, start.epoch, 1))
    assert [sequences(feed.read()) for _ in range(4)] == [[2], [3, 4], [5], []]


def test_an_open_feed_follows_changes_of_segment(registry: ModelRegistry, tmp_path: Path) -> None:
    """Also two of them, with a line in each, between two reads."""
    feed = Feed(files_of(tmp_path), registry.position)
    assert sequences(feed.read()) == []
    registry.set_alias("champion", "a")
    registry.change_segment()
    registry.set_alias("champion", "b")
    registry.change_segment()
    registry.set_alias("champion", "a")
    assert [sequences(feed.read()) for _ in range(4)] == [[3], [4], [5], []]


def test_another_epoch_is_compared_with(registry: ModelRegistry, tmp_path: Path) -> None:
    """The same numbers are other lines there, so nothing goes on from the old position."""
    feed = Feed(files_of(tmp_path), registry.position)
    assert sequences(feed.read()) == []
    registry.close()
    begin_epoch(tmp_path, OTHER)
    found = feed.read()
    assert isinstance(found, Compare)
    assert found.position == OTHER.at(2)
    assert "7-0123456789abcdef" in found.because
    with open_registry(tmp_path, disk=QuickDisk()) as again:
        again.set_alias("champion", "a")
    assert sequences(feed.read()) == [3]


def test_pruned_and_damaged_history_is_compared_over(registry: ModelRegistry, tmp_path: Path) -> None:
    """A position whose next lines cannot be read leads to a comparison, and never over a gap."""
    start = registry.position
    assert start is not None
    at_begin = Position(start.registry_id, start.epoch, 1)
    registry.change_segment()
    registry.set_alias("champion", "a")
    closed = next(files_of(tmp_path).history.glob("*.jsonl"))
    whole = closed.read_bytes()
    closed.chmod(0o600)
    closed.write_bytes(whole[:-30] + b"?" + whole[-29:])
    assert isinstance(Feed(files_of(tmp_path), at_begin).read(), Compare)
    closed.write_bytes(whole[: whole.find(b"\n") + 1])
    assert isinstance(Feed(files_of(tmp_path), at_begin).read(), Compare)
    closed.unlink()
    found = Feed(files_of(tmp_path), at_begin).read()
    assert isinstance(found, Compare)
    assert found.position == registry.position


def test_lines_that_were_taken_back_are_compared_over(registry: ModelRegistry, tmp_path: Path) -> None:
    """A writer whose sync failed cuts its line away: a reader that saw it must not keep it."""
    feed = Feed(files_of(tmp_path), registry.position)
    journal = files_of(tmp_path).journal
    before = journal.read_bytes()
    registry.set_alias("champion", "a")
    registry.close()
    assert sequences(feed.read()) == [3]
    journal.write_bytes(before)
    found = feed.read()
    assert isinstance(found, Compare)
    assert found.position is not None
    assert found.position.sequence == 2


def test_an_older_copy_is_compared_with(registry: ModelRegistry, tmp_path: Path) -> None:
    """A position beyond the end of the journal leads nowhere, also in the same epoch."""
    assert isinstance(Feed(files_of(tmp_path), _after(registry, 5)).read(), Compare)


def _after(registry: ModelRegistry, lines: int) -> Position:
    found = registry.position
    assert found is not None
    return Position(found.registry_id, found.epoch, found.sequence + lines)


def test_a_registry_that_is_away_is_waited_for(registry: ModelRegistry, tmp_path: Path) -> None:
    """While it is away each read says so, and nothing is left out when it is back."""
    feed = Feed(files_of(tmp_path), registry.position)
    assert sequences(feed.read()) == []
    registry.set_alias("champion", "a")
    registry.change_segment()
    registry.close()
    away = tmp_path.with_name(tmp_path.name + "-away")
    tmp_path.rename(away)
    seen = sequences(feed.read())  # what is open is still read
    for _ in range(2):
        with pytest.raises(RegistryMissing):
            feed.read()
    away.rename(tmp_path)
    seen += sequences(feed.read())
    with open_registry(tmp_path, disk=QuickDisk()) as again:
        again.set_alias("champion", "b")
    assert seen + sequences(feed.read()) == [3, 4]


def test_a_torn_tail_is_no_line(registry: ModelRegistry, tmp_path: Path) -> None:
    """What a writer has not finished is not read, and is read whole once it is there."""
    feed = Feed(files_of(tmp_path), registry.position)
    journal = files_of(tmp_path).journal
    registry.set_alias("champion", "a")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])
    assert sequences(feed.read()) == []
    journal.write_bytes(whole)
    assert sequences(feed.read()) == [3]


def test_a_journal_without_identity_is_compared_when_it_changed(registry: ModelRegistry, tmp_path: Path) -> None:
    """A registry of version 0.1 has no positions: each change leads to a comparison, and none to a busy reader."""
    registry.close()
    as_version_0_1(tmp_path)
    feed = Feed(files_of(tmp_path))
    first, again = feed.read(), feed.read()
    assert isinstance(first, Compare)
    assert (first.position, again) == (None, Changes((), None))
    with open_registry(tmp_path, disk=QuickDisk()) as writer:
        writer.set_alias("champion", "a")
    found = feed.read()
    assert isinstance(found, Compare)
    assert found.position is not None
    assert found.position.sequence == 3


STEPS = st.one_of(
    st.tuples(st.sampled_from(["set_alias", "unalias"]), st.sampled_from("ab")),
    st.tuples(st.sampled_from(["delete_model", "take"]), st.sampled_from("cd")),
    st.tuples(st.sampled_from(["change_segment", "prune", "epoch", "read", "reopen", "checkpoint"])),
)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=25))
def test_who_applies_the_lines_has_the_registry(steps: list[tuple[str, ...]]) -> None:
    """After any history, whenever it was read: the entries made of the lines are those of the registry."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="model-inbox-", dir=root))
    clock = Clock()
    try:
        registry = open_registry(folder, disk=QuickDisk(), clock=clock)
        register(registry, "a")
        register(registry, "b")
        feed, mirror = Feed(files_of(folder)), _Mirror()
        for name, *words in steps:
            clock.ahead(10)
            if name == "epoch":
                registry.close()
                begin_epoch(folder, OTHER.next_epoch(QuickDisk().token))
                registry = open_registry(folder, disk=QuickDisk(), clock=clock)
            elif name == "set_alias":
                registry.set_alias("champion", words[0])
            elif name == "unalias":
                if "champion" in registry.registry[words[0]]["aliases"]:
                    registry.remove_alias("champion", words[0])
            elif name == "take":
                if words[0] not in registry.registry:
                    register(registry, words[0])
            elif name == "prune":
                registry.prune_history(15)
            elif name == "read":
                mirror.take(feed.read(), registry)
            elif name == "reopen":
                feed = Feed(files_of(folder), feed.position)
            else:
                getattr(registry, name)(*words)
        while mirror.take(feed.read(), registry):
            pass
        assert mirror.entries == {entry["model_id"]: entry for entry in registry.stored_entries()[2]}
        assert feed.position == registry.position
        registry.close()
    finally:
        shutil.rmtree(folder)


class _Mirror:
    """What a mirror makes of the lines: a dictionary, set and removed by hand."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def take(self, found: Changes | Compare, registry: ModelRegistry) -> bool:
        """Apply what was read; return whether there was anything."""
        if isinstance(found, Compare):
            self.entries = {entry["model_id"]: entry for entry in registry.stored_entries()[2]}
            return True
        for line in found.lines:
            changed = {line.model_id: line.entry} if line.changes_entry else {}
            for model_id, entry in {**changed, **also_changed(line)}.items():
                if entry is None:
                    self.entries.pop(model_id, None)
                else:
                    self.entries[model_id] = entry
        return bool(found.lines)
