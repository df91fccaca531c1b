"""The registry's entries on disk: opening, following, committing, checkpoints, segments, history."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crash.kit import START, Clock, open_registry, register
from model_inbox import RegistryCorrupted, RegistryError, ledger
from model_inbox.ledger import Ledger
from model_inbox.segments import JournalFile

# --- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["checkpoint", "change_segment"])
@pytest.mark.parametrize(
    ("owner", "step"),
    [(Ledger, "_open_journal"), (Ledger, "_read_entries"), (JournalFile, "read_new"), (ledger, "read_mark")],
)
def test_a_reader_that_is_overtaken_while_it_opens_sees_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, change: str
) -> None:
    """A commit with its checkpoint, or a segment change, behind any step of opening is neither damage nor missed."""
    writer = open_registry(tmp_path)
    register(writer, "a")
    writer.checkpoint()
    register(writer, "b")
    original = getattr(owner, step)
    moments = iter([True])

    def overtaken(*arguments: Any) -> Any:
        result = original(*arguments)
        if next(moments, False):
            register(writer, "c")
            getattr(writer, change)()
        return result

    monkeypatch.setattr(owner, step, overtaken)
    reader = open_registry(tmp_path, read_only=True)
    assert sorted(reader.registry) == ["a", "b", "c"]


def test_two_registries_do_not_share_a_folder(tmp_path: Path) -> None:
    """History and trash belong to one registry: a second one in the folder is refused, and nothing is changed."""
    from model_inbox import ModelRegistry

    ModelRegistry(tmp_path / "one.json").close()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(RegistryError, match=r"cannot make the registry .*two\.json.*one\.journal\.jsonl"):
        ModelRegistry(tmp_path / "two.json")
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == [
        name for name in before if "lock" not in name
    ]


def test_an_adopted_file_that_goes_missing_is_damage(tmp_path: Path) -> None:
    """A registry that began as somebody's JSON file without sequences is never taken for an empty one."""
    (tmp_path / "registry.json").write_text('{"old": {"model_id": "old", "model_type": "x"}}')
    open_registry(tmp_path).close()
    (tmp_path / "registry.json").unlink()
    with pytest.raises(RegistryCorrupted, match=r"registry\.json.*missing"):
        open_registry(tmp_path, read_only=True)


def test_a_damaged_checkpoint_is_found_wherever_the_damage_is(tmp_path: Path) -> None:
    """A byte of the JSON file that rots inside a value is an error naming the file, not another value."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.change_segment()
    registry.close()
    path = tmp_path / "registry.json"
    text = path.read_text()
    assert '"version": "1.10"' in text
    path.write_text(text.replace('"version": "1.10"', '"version": "1.11"'))
    with pytest.raises(RegistryCorrupted, match=r"registry\.json"):
        open_registry(tmp_path, read_only=True)


# --- following ---------------------------------------------------------------------------------------------


def test_a_handle_interrupted_between_append_and_memory_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after the commit: the handle shows the committed line and goes on numbering behind it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    original = Ledger._apply

    def interrupted(self: Ledger, lines: Any) -> None:
        if lines:
            monkeypatch.setattr(Ledger, "_apply", original)
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "_apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        registry.pin("a")
    assert registry.get_model_info("a")["pinned"] is True  # type: ignore[index]
    register(registry, "b")
    again = open_registry(tmp_path, read_only=True)
    assert [line.sequence for line in again.history()] == [1, 2, 3]


def test_damage_met_while_following_is_not_read_again_at_each_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader serves what it holds, and looks again only when the journal has changed."""
    writer = open_registry(tmp_path)
    register(writer, "a")
    reader = open_registry(tmp_path, read_only=True)
    journal = tmp_path / "registry.journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b"{}\n")
    reads: list[int] = []
    original = Ledger._take_in

    def counted(self: Ledger) -> None:
        reads.append(1)
        original(self)

    monkeypatch.setattr(Ledger, "_take_in", counted)
    for _ in range(5):
        assert reader.get_model_info("a") is not None
    assert isinstance(reader.damage, RegistryCorrupted)
    assert len(reads) == 1


# --- committing --------------------------------------------------------------------------------------------


def test_a_line_is_never_older_than_the_one_before_also_across_segments(tmp_path: Path) -> None:
    """A clock set back does not unsort the history, though the segment that knew the time is closed."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "a")
    registry.change_segment()
    registry.close()
    clock.ahead(-3600)
    again = open_registry(tmp_path, clock=clock)
    register(again, "b")
    times = [line.at for line in again.history()]
    assert times == [START, START]


# --- checkpoints and segments ------------------------------------------------------------------------------


def test_a_slow_checkpoint_does_not_replace_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle that is overtaken between making its JSON file and putting it in place leaves the newer one."""
    import model_inbox.ledger as ledger_module

    one, other = open_registry(tmp_path), open_registry(tmp_path)
    register(one, "a")
    original = ledger_module.write_new_file
    moments = iter([True])

    def overtaken(disk: Any, path: Path, data: bytes, mode: int) -> None:
        original(disk, path, data, mode)
        if next(moments, False):
            register(other, "b")
            other.checkpoint()

    monkeypatch.setattr(ledger_module, "write_new_file", overtaken)
    one.checkpoint()
    assert sorted(json.loads((tmp_path / "registry.json").read_text())) == ["a", "b"]


def test_segments_without_lines_are_not_closed(tmp_path: Path) -> None:
    """Two changes in a row leave one closed segment, and later ones go on."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.change_segment()
    registry.change_segment()
    register(registry, "b")
    registry.change_segment()
    assert sorted(path.name for path in (tmp_path / "history").iterdir()) == [
        "00000000000000000000.jsonl",
        "00000000000000000001.jsonl",
    ]
    assert [line.sequence for line in registry.history()] == [1, 2]


# --- history -----------------------------------------------------------------------------------------------


def test_as_of_without_the_first_segment_is_an_error(tmp_path: Path) -> None:
    """When the beginning of the history is gone, `as_of` says so rather than leave out what it told of."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "a")
    registry.change_segment()
    clock.ahead(60)
    register(registry, "b")
    (tmp_path / "history" / "00000000000000000000.jsonl").unlink()
    with pytest.raises(RegistryError):
        registry.list_models(as_of=START + timedelta(seconds=61))


def test_pruning_after_a_lost_segment_invents_no_base(tmp_path: Path) -> None:
    """Without the entries a segment builds on, it is not folded into a base file that would lack them."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    for name in "ab":
        register(registry, name, name.encode())
        registry.change_segment()
    (tmp_path / "history" / "00000000000000000000.jsonl").unlink()
    clock.ahead(1000)
    with pytest.raises(RegistryError):
        registry.prune_history(1)
    assert sorted(path.name for path in (tmp_path / "history").iterdir()) == ["00000000000000000001.jsonl"]


# --- permissions -------------------------------------------------------------------------------------------


def as_user(uid: int, work: Any) -> None:
    """Run `work` in a child process as another user and raise what it raised. Needs root."""
    assert os.geteuid() == 0, "this test changes to other users and must be run by root (as CI does)"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            work()
            status = 0
        except BaseException as error:  # handed to the parent as text
            print(f"in the process of user {uid}: {error!r}")
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, "the other user's process failed; its output is above"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user can look into (pytest's own cannot be)."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_who_may_not_write_reads_and_follows(open_path: Path) -> None:
    """Serving code under another user opens the registry as usual, follows it, and is refused changes plainly."""
    tmp_path = open_path
    writer = open_registry(tmp_path)
    register(writer, "a")
    writer.close()
    for path in [*tmp_path.glob("*.json*"), tmp_path / "prediction"]:
        os.chmod(path, 0o755)
    before = sorted(str(path) for path in tmp_path.rglob("*"))

    def read() -> None:
        reader = open_registry(tmp_path)
        assert list(reader.registry) == ["a"]
        with pytest.raises(RegistryError, match="cannot change the registry"):
            reader.pin("a")
        reader.close()

    as_user(12001, read)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
