"""The registry's entries on disk: opening, following, committing, checkpoints, segments, history."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import (
    ModelRegistry,
    RegistryCorrupted,
    RegistryError,
    RegistryLocked,
    RegistryMissing,
    RegistryTooNew,
    StorageError,
)
from model_inbox.registry import checkpoint_file, opening
from model_inbox.registry.journal import seal
from model_inbox.registry.segments import JournalFile
from model_inbox.registry.store import Store
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, FailingDisk, metadata, open_registry, register

# --- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["checkpoint", "change_segment"])
@pytest.mark.parametrize(
    ("owner", "step"),
    [(opening, "open_journal"), (opening, "bytes_or_none"), (JournalFile, "read_new"), (opening, "_judge")],
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

    def overtaken(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
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


# --- following ---------------------------------------------------------------------------------------------


def test_a_handle_interrupted_between_append_and_memory_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after the commit: the handle shows the committed line and goes on numbering behind it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    original = Store._apply

    def interrupted(self: Store, lines: Any) -> None:
        if lines:
            monkeypatch.setattr(Store, "_apply", original)
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "_apply", interrupted)
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
    original = Store._take_in

    def counted(self: Store) -> None:
        reads.append(1)
        original(self)

    monkeypatch.setattr(Store, "_take_in", counted)
    for _ in range(5):
        assert reader.get_model_info("a") is not None
    assert isinstance(reader.damage, RegistryCorrupted)
    assert len(reads) == 1


# --- committing --------------------------------------------------------------------------------------------


def test_a_line_has_the_time_of_the_clock_which_may_run_back(tmp_path: Path) -> None:
    """The order is that of the numbers, also across segments."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "a")
    registry.change_segment()
    registry.close()
    clock.ahead(-3600)
    again = open_registry(tmp_path, clock=clock)
    register(again, "b")
    lines = [(line.sequence, line.at) for line in again.history()]
    assert lines == [(1, START), (2, START - timedelta(hours=1))]
    assert again.registry["b"]["registered_at"] == again.history()[1].time


# --- checkpoints and segments ------------------------------------------------------------------------------


def test_a_slow_checkpoint_does_not_replace_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle that is overtaken between making its JSON file and putting it in place leaves the newer one."""
    one, other = open_registry(tmp_path), open_registry(tmp_path)
    register(one, "a")
    original = checkpoint_file.write_new_file
    moments = iter([True])

    def overtaken(disk: Any, path: Path, data: bytes, mode: int) -> None:
        original(disk, path, data, mode)
        if next(moments, False):
            register(other, "b")
            other.checkpoint()

    monkeypatch.setattr(checkpoint_file, "write_new_file", overtaken)
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


def numbered(registry: ModelRegistry) -> list[int]:
    return [line.sequence for line in registry.history(over_gaps=True)]


def test_missing_segments_are_told_by_the_numbers_of_their_lines(tmp_path: Path) -> None:
    """First, middle and last one: history and trash go on with what is there, and `as_of` says what it lacks."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock, disk=QuickDisk())
    for name in "abcd":
        register(registry, name, name.encode())
        registry.pin(name)
        if name == "c":
            registry.unpin(name)
            registry.delete_model(name)
        registry.change_segment()
        clock.ahead(60)
    register(registry, "e")
    assert registry.missing_lines() == []
    folder = tmp_path / "history"
    (folder / f"{2:020d}.jsonl").unlink()
    with open_registry(tmp_path, read_only=True, clock=clock) as reader:
        assert reader.missing_lines() == [(3, 4)]
        assert numbered(reader) == [1, 2, 5, 6, 7, 8, 9, 10, 11]
        assert [item.model_id for item in reader.retired()] == ["c"]
        for moment in (START, clock()):  # the missing lines may be as old as the one before them
            with pytest.raises(RegistryCorrupted, match="the lines 3 to 4 are in no segment"):
                reader.list_models(as_of=moment)
    (folder / f"{0:020d}.jsonl").unlink()
    assert registry.missing_lines() == [(1, 4)]
    (folder / f"{8:020d}.jsonl").unlink()
    assert registry.missing_lines() == [(1, 4), (9, 10)]
    assert numbered(registry) == [5, 6, 7, 8, 11]
    (folder / f"{4:020d}.jsonl").unlink()
    assert registry.missing_lines() == [(1, 10)]
    assert registry.restore("c") is not None if registry.retired() else True
    register(registry, "f")


def test_what_a_prune_removed_is_not_missing(tmp_path: Path) -> None:
    """The base file says what came before; a segment with one long line, and one of an adopted registry, too."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock, disk=QuickDisk())
    register(registry, "a")
    registry.change_segment()
    registry.pin("a", reason="long " * 20_000)
    registry.change_segment()
    clock.ahead(1000)
    registry.unpin("a")
    registry.change_segment()
    assert registry.missing_lines() == []
    assert registry.prune_history(10) == 2
    assert registry.missing_lines() == []


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


# --- what is missing or not ours ---------------------------------------------------------------------------


def test_a_reader_makes_nothing(tmp_path: Path) -> None:
    """A registry that does not exist is an error for who only reads, and nothing is made of it."""
    with pytest.raises(RegistryMissing, match="there is none") as caught:
        open_registry(tmp_path / "models", read_only=True)
    assert caught.value.exit_status == 78
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [0, 1], ids=["never checkpointed", "checkpointed"])
@pytest.mark.parametrize("read_only", [True, False], ids=["reader", "writer"])
def test_a_journal_that_is_gone_is_damage(tmp_path: Path, changes: int, read_only: bool) -> None:
    """What was committed since the last checkpoint cannot be known without it; only an empty registry begins again."""
    registry = open_registry(tmp_path)
    if changes:
        register(registry, "a")
    registry.close()
    (tmp_path / "registry.journal.jsonl").unlink()
    if not changes and not read_only:
        assert open_registry(tmp_path).registry == {}
        return
    with pytest.raises(RegistryCorrupted, match=r"registry\.journal\.jsonl.*missing"):
        open_registry(tmp_path, read_only=read_only)
    assert not (tmp_path / "registry.journal.jsonl").exists()


def test_a_json_file_that_is_gone_is_made_again_while_the_journal_has_all_of_it(tmp_path: Path) -> None:
    """With the first segment there is nothing that the journal does not know: readers read, and a writer repairs it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.close()
    (tmp_path / "registry.json").unlink()
    assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]
    open_registry(tmp_path).close()
    assert list(json.loads((tmp_path / "registry.json").read_text())) == ["a"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object of entries"),
        ('{"a": 1}', "not a JSON object of entries"),
        ('{"a": {"model_id": "b"}}', "the entry 'a' calls itself by another model_id"),
    ],
)
def test_a_json_file_that_is_no_registry_is_not_adopted(tmp_path: Path, text: str, what: str) -> None:
    """The file that somebody put there is left as it is, and nothing is made beside it but the lock."""
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(RegistryCorrupted, match=rf"registry\.json.*{what}"):
        open_registry(tmp_path)
    assert (tmp_path / "registry.json").read_text() == text
    assert not (tmp_path / "registry.journal.jsonl").exists()


def test_a_mark_of_a_later_version_is_said(tmp_path: Path) -> None:
    """The registry is not read past it: a later version may mean another thing by it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.close()
    (tmp_path / "registry.checkpoint.json").write_bytes(seal({"format": "model-inbox-checkpoint/3"}))
    with pytest.raises(RegistryTooNew, match=r"registry\.checkpoint\.json.*model-inbox-checkpoint/3"):
        open_registry(tmp_path, read_only=True)


def test_a_journal_that_was_put_back_to_an_older_one_is_damage(tmp_path: Path) -> None:
    """An old copy of the journal under a newer JSON file would lose what came between: it is not served."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    old = (tmp_path / "registry.journal.jsonl").read_bytes()
    register(registry, "b", b"b")
    registry.close()
    (tmp_path / "registry.journal.jsonl").write_bytes(old)
    with pytest.raises(RegistryCorrupted, match="it ends at line 1, but lines up to 2 were committed"):
        open_registry(tmp_path)


def test_a_registry_that_changes_during_each_try_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader does not try for ever."""
    open_registry(tmp_path).close()
    monkeypatch.setattr(JournalFile, "is_current", lambda self: False)
    with pytest.raises(RegistryError, match="it changed during each of many tries"):
        open_registry(tmp_path, read_only=True)


def test_fields_that_nobody_knows_survive(tmp_path: Path) -> None:
    """What a later version, or another program, put into entries and lines is there after rewrites of all kinds."""
    theirs = {"model_id": "a", "model_type": "x", "currency_pair": "y", "later": {"deep": [1, {"x": None}]}}
    (tmp_path / "registry.json").write_text(json.dumps({"a": theirs}))
    registry = open_registry(tmp_path)
    registry.pin("a")
    registry.set_alias("champion", "a")
    registry.change_segment()
    registry.tag("a", {"x": "1"})
    registry.close()
    found = json.loads((tmp_path / "registry.json").read_text())["a"]
    assert {name: found[name] for name in theirs} == theirs
    assert json.loads(json.dumps(open_registry(tmp_path).registry["a"]))["later"] == theirs["later"]


# --- handles -----------------------------------------------------------------------------------------------


def test_a_closed_handle_says_so(tmp_path: Path) -> None:
    """Every use of it is an error rather than an old answer; closing it again is none."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    registry.close()
    registry.close()
    for use in (
        lambda: registry.get_model_info("a"),
        lambda: registry.list_models(),
        lambda: registry.pin("a"),
        lambda: registry.checkpoint(force=True),
    ):
        with pytest.raises(RegistryError, match="this handle is closed"):
            use()


def test_a_handle_that_only_reads_changes_nothing(tmp_path: Path) -> None:
    """Each change is refused before anything is touched, with what to do instead."""
    open_registry(tmp_path).close()
    reader = open_registry(tmp_path, read_only=True)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    changes: list[Callable[[], object]] = [
        lambda: reader.register_model(metadata("m"), 1),
        lambda: reader.delete_model("m"),
        lambda: reader.replace_scaler("m", 1),
        lambda: reader.checkpoint(),
        lambda: reader.change_segment(),
        lambda: reader.prune_history(1),
    ]
    for change in changes:
        with pytest.raises(RegistryError, match="opened read-only") as caught:
            change()
        assert "without read_only" in caught.value.hint
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_thread_that_waits_in_vain_for_another_is_told(tmp_path: Path) -> None:
    """Two threads of one handle exclude each other as two processes do, with a time-out and the holder named."""
    registry = open_registry(tmp_path, lock_timeout=0.01)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with registry._store.writing():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    with pytest.raises(RegistryLocked, match=r"within 0\.01 s: held by another thread of this process"):
        register(registry, "a")
    assert registry.get_model_info("a") is None  # reading waits for nobody
    registry._store.close(wait=False)  # as at the end of a program: not while a thread is writing
    assert registry.sequence == 0
    leave.set()
    thread.join()
    register(registry, "a")


# --- checkpoints that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename"])
def test_a_checkpoint_that_fails_leaves_the_old_one(tmp_path: Path, step: str) -> None:
    """No room, or an I/O error: nothing is lost, nothing temporary is left, and the next one works."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "a")
    before = (tmp_path / "registry.json").read_bytes()
    for work in (registry.checkpoint, registry.change_segment):
        disk.failing = {step: OSError(errno.ENOSPC, "No space left on device")}
        with pytest.raises(StorageError, match="No space left"):
            work()
        disk.failing = {}
        assert (tmp_path / "registry.json").read_bytes() == before
        assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
        assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]
    registry.checkpoint()
    assert list(json.loads((tmp_path / "registry.json").read_text())) == ["a"]


class _DiesBehindTheMark(QuickDisk):
    """Ends, as a process that is killed, between the mark of a checkpoint and the JSON file."""

    armed = False

    def rename(self, source: Path, target: Path) -> None:
        if self.armed and target.name == "registry.json":
            raise KeyboardInterrupt
        super().rename(source, target)


@pytest.mark.parametrize("when", ["while it opened", "since it wrote its own"])
def test_a_writer_killed_behind_the_mark_leaves_a_registry_that_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The mark allows for the JSON file that is there, whichever process wrote it and whatever its inode number is."""
    other = open_registry(tmp_path, disk=QuickDisk())
    register(other, "a")
    other.checkpoint()
    disk = _DiesBehindTheMark()
    original = opening.read_bytes

    def commit_and_checkpoint() -> None:
        for name in "bc":
            register(other, name, name.encode())
            other.checkpoint()

    def overtaken(path: Path) -> bytes:
        data = original(path)
        if path.name == "registry.json":
            monkeypatch.setattr(opening, "read_bytes", original)
            commit_and_checkpoint()
        return data

    if when == "while it opened":
        monkeypatch.setattr(opening, "read_bytes", overtaken)
        dying = open_registry(tmp_path, disk=disk)
    else:
        dying = open_registry(tmp_path, disk=disk)
        dying.checkpoint(force=True)
        inode = (tmp_path / "registry.json").stat().st_ino
        commit_and_checkpoint()
        for _ in range(50):  # many file systems soon give the number of a file that is gone to another
            if (tmp_path / "registry.json").stat().st_ino == inode:
                break
            other.checkpoint(force=True)
    dying.pin("a")
    disk.armed = True
    with pytest.raises(KeyboardInterrupt):
        dying.checkpoint()
    dying._store.json_file.is_dirty = False  # it is gone: nobody closes anything properly
    dying.close()
    monkeypatch.undo()
    assert sorted(open_registry(tmp_path, read_only=True).registry) == ["a", "b", "c"]
    assert other.checkpoint(force=True) is True
    assert sorted(open_registry(tmp_path, read_only=True).registry) == ["a", "b", "c"]


def test_a_checkpoint_is_written_when_there_is_something_new(tmp_path: Path) -> None:
    """Twice in a row the second does nothing; who committed nothing brings in what others left out."""
    one, other = open_registry(tmp_path), open_registry(tmp_path)
    assert one.checkpoint() is False
    register(one, "a")
    assert other.checkpoint() is True
    assert list(json.loads((tmp_path / "registry.json").read_text())) == ["a"]
    assert other.checkpoint() is False
    assert other.checkpoint(force=True) is True


def test_the_segment_is_changed_when_the_journal_has_outgrown_the_json_file(tmp_path: Path) -> None:
    """Not at each checkpoint: the cost is shared by as many lines as the file has bytes."""
    registry = open_registry(tmp_path, segment_bytes=4000, disk=QuickDisk())
    changed = []
    for number in range(12):
        registry.register_model(metadata(f"m{number}"), number)
        changed.append(len(list((tmp_path / "history").glob("*.jsonl"))) if (tmp_path / "history").exists() else 0)
    line = len((tmp_path / "history" / "00000000000000000000.jsonl").read_bytes()) // changed.count(0)
    assert 600 < line < 1300
    assert changed[0] == 0 and changed[-1] >= 1
    assert changed[-1] <= 2  # the second only when the journal is longer than a file of all that was before it
    assert registry.change_segment_when_outgrown() is False


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
