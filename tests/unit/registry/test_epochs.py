"""Which registry and which unbroken history of it: made once, kept, taken over from version 0.1, begun again."""

from __future__ import annotations

import errno
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, RegistryCorrupted, StorageError
from model_inbox.registry.position import Identity, Position
from model_inbox.registry.repair.rebuild import rebuild
from model_inbox.registry.repair.verify import verify
from model_inbox.registry.segments import JournalFile
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, FailingDisk, as_version_0_1, open_registry, plain, register

TOKEN = "0123456789abcdef"
OTHER = Identity(TOKEN + TOKEN, f"7-{TOKEN}")


def position(registry: ModelRegistry) -> Position:
    found = registry.position
    assert found is not None
    return found


def header(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes().partition(b"\n")[0])  # type: ignore[no-any-return]


def journal(folder: Path) -> Path:
    return folder / "registry.journal.jsonl"


def mark(folder: Path) -> Path:
    return folder / "registry.checkpoint.json"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def begin_epoch(folder: Path, identity: Identity) -> None:
    """Begin an epoch with the lines that the journal has, as a restore does; the mark does not know of it."""
    file = JournalFile(journal(folder), QuickDisk(), writable=True)
    file.read_new()
    file.take_over(identity, file.format)
    file.close()
    mark(folder).unlink(missing_ok=True)


# --- an identity for life ------------------------------------------------------------------------------------------


def test_a_new_registry_has_an_identity_of_its_own(tmp_path: Path) -> None:
    """It is in its first epoch, before any line, and no other registry has the same."""
    one = position(open_registry(tmp_path / "one"))
    other = position(open_registry(tmp_path / "other"))
    assert (one.sequence, one.identity.epoch_number) == (0, 1)
    assert one.registry_id != other.registry_id
    assert one.epoch != other.epoch


def test_an_adopted_json_file_gets_one_too(tmp_path: Path) -> None:
    """The registry that somebody else made begins with its first epoch when it is adopted."""
    (tmp_path / "registry.json").write_text('{"theirs": {"model_id": "theirs", "sequence": 4}}')
    found = position(open_registry(tmp_path))
    assert (found.sequence, found.identity.epoch_number) == (4, 1)


def test_an_identity_outlives_segments_checkpoints_and_processes(tmp_path: Path) -> None:
    """Every segment and the mark carry what the first one had; the position counts lines."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    made = position(registry).identity
    for name in "abc":
        register(registry, name, name.encode())
        registry.change_segment()
    registry.close()
    segments = [*(tmp_path / "history").glob("*.jsonl"), journal(tmp_path)]
    assert len(segments) == 4
    for path in (*segments, mark(tmp_path)):
        assert (header(path)["registry_id"], header(path)["epoch"]) == (made.registry_id, made.epoch)
    assert open_registry(tmp_path, read_only=True).position == made.at(3)


# --- taking over what version 0.1 made ------------------------------------------------------------------------------


@pytest.fixture(name="old")
def _old(tmp_path: Path) -> Path:
    """A registry of version 0.1: a closed segment, two lines in the current one, a mark."""
    folder = tmp_path / "models"
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "a")
        registry.change_segment()
        register(registry, "b", b"b")
        registry.delete_model("a")
    as_version_0_1(folder)
    assert header(journal(folder)) == {
        "format": "model-inbox-journal/1",
        "base_sequence": 1,
        "base_time": "2026-11-24T12:00:00.000000Z",
        "checksum": header(journal(folder))["checksum"],
    }
    return folder


def test_a_reader_of_an_old_registry_changes_nothing(old: Path) -> None:
    """It reads entries and history, has no position, and leaves every byte as it is."""
    before = contents(old)
    with open_registry(old, read_only=True) as reader:
        assert (sorted(reader.registry), reader.sequence, reader.position) == (["b"], 3, None)
        assert len(reader.history()) == 3
    assert contents(old) == before


def test_a_writer_that_changes_nothing_takes_nothing_over(old: Path) -> None:
    """Opening, a lookup of drops, a checkpoint and a refused change leave the journal to the old version."""
    before = journal(old).read_bytes(), mark(old).read_bytes()
    with open_registry(old) as writer:
        assert writer.registrations(["drop-a"]).keys() == {"drop-a"}
        assert writer.delete_model("unknown") is False
        assert writer.checkpoint(force=True)
        assert writer.position is None
    assert journal(old).read_bytes() == before[0]
    assert header(mark(old))["format"] == "model-inbox-checkpoint/1"


def test_the_first_change_takes_an_old_registry_over(old: Path) -> None:
    """The journal gets an identity, keeps every line, and has a format that the old version refuses."""
    old_lines = journal(old).read_bytes().partition(b"\n")[2]
    with open_registry(old) as writer, capture_logs() as logs:
        writer.pin("b")
        taken = position(writer)
        assert (taken.sequence, taken.identity.epoch_number) == (4, 1)
        writer.tag("b", {"n": "1"})
        assert position(writer).identity == taken.identity
    assert [(log["event"], log["position"]) for log in logs] == [("registry.taken_over", str(taken.identity.at(3)))]
    assert journal(old).read_bytes().partition(b"\n")[2].startswith(old_lines)
    assert header(journal(old)) == {
        "format": "model-inbox-journal/2",
        "registry_id": taken.registry_id,
        "epoch": taken.epoch,
        "base_sequence": 1,
        "base_time": "2026-11-24T12:00:00.000000Z",
        "checksum": header(journal(old))["checksum"],
    }
    with open_registry(old, read_only=True) as reader:
        assert reader.position == taken.identity.at(5)
        assert [line.sequence for line in reader.history()] == [1, 2, 3, 4, 5]
    assert verify(old / "registry.json", old / "prediction") == []


def test_a_change_of_segment_takes_an_old_registry_over(old: Path) -> None:
    """The old segment goes to the history as it is, the next one has the identity."""
    segment = journal(old).read_bytes()
    with open_registry(old) as writer:
        writer.change_segment()
        taken = position(writer)
    assert (old / "history" / f"{1:020d}.jsonl").read_bytes() == segment
    assert header(journal(old))["epoch"] == taken.epoch
    with open_registry(old, read_only=True) as reader:
        assert reader.position == taken.identity.at(3)


def test_a_writer_that_dies_after_a_retirement_is_finished_after_the_take_over(tmp_path: Path) -> None:
    """Which files a dead writer left at their names is in the lines of the segment: the change that takes over reads
    them, and puts the files where they belong.
    """
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "a")
        register(registry, "b", b"b")
        registry.delete_model("a")
    shutil.move(tmp_path / ".trash" / "a.1" / "a.pkl", tmp_path / "prediction" / "a.pkl")
    as_version_0_1(tmp_path)
    with open_registry(tmp_path) as writer:
        writer.pin("b")
    assert (tmp_path / ".trash" / "a.1" / "a.pkl").read_bytes() == b"model"
    assert not (tmp_path / "prediction" / "a.pkl").exists()
    with open_registry(tmp_path) as writer:
        assert writer.finish_retirements() == 0


def test_readers_and_writers_follow_a_take_over(old: Path) -> None:
    """Handles that were open before see the change at once, and none of them calls it a new history."""
    reader, other = open_registry(old, read_only=True), open_registry(old)
    with open_registry(old) as writer, capture_logs() as logs:
        writer.pin("b")
        assert reader.position == other.position == writer.position
        assert reader.registry["b"]["pinned"] is True
        other.unpin("b")
        assert reader.registry["b"]["pinned"] is False
        assert [line.sequence for line in writer.history()] == [1, 2, 3, 4, 5]
    assert [log["event"] for log in logs] == ["registry.taken_over"]


def test_two_writers_take_over_once(old: Path) -> None:
    """The second one finds the identity that the first one made."""
    one, other = open_registry(old), open_registry(old)
    one.pin("b")
    made = position(one).identity
    other.unpin("b")
    assert position(other) == position(one) == made.at(5)


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "fsync_dir"])
def test_a_take_over_that_fails_changes_nothing_and_is_done_later(old: Path, step: str) -> None:
    """A disk that refuses a step fails the change; every line is there, and the next change takes over."""
    disk = FailingDisk()
    writer = open_registry(old, disk=disk)
    disk.failing = {step: OSError(errno.ENOSPC, "No space left on device")}
    with pytest.raises(StorageError):
        writer.pin("b")
    disk.failing = {}
    with open_registry(old, read_only=True) as reader:
        assert reader.registry["b"]["pinned"] is False
        assert reader.sequence == 3
    writer.pin("b")
    assert position(writer).sequence == 4
    assert verify(old / "registry.json", old / "prediction") == []


def test_a_segment_that_a_crash_linked_into_the_history_is_taken_over(old: Path) -> None:
    """The link keeps the old header; the next change of segment puts the whole segment in its place."""
    (old / "history" / f"{1:020d}.jsonl").hardlink_to(journal(old))
    with open_registry(old) as writer:
        writer.pin("b")
        assert [line.sequence for line in writer.history()] == [1, 2, 3, 4]
        writer.change_segment()
        taken = position(writer)
        assert [line.sequence for line in writer.history()] == [1, 2, 3, 4]
    assert header(old / "history" / f"{1:020d}.jsonl")["epoch"] == taken.epoch
    assert verify(old / "registry.json", old / "prediction") == []


# --- a new epoch ---------------------------------------------------------------------------------------------------


def test_a_reader_reads_everything_again_in_a_new_epoch(tmp_path: Path) -> None:
    """The same number is another line in another epoch: a reader that stands at it does not go on from there."""
    folder, other = tmp_path / "models", tmp_path / "other"
    with open_registry(folder, disk=QuickDisk()) as writer:
        register(writer, "a")
        register(writer, "b", b"b")
    shutil.copytree(folder, other)
    with open_registry(other, disk=QuickDisk()) as writer:
        known = position(writer).identity
        writer.delete_model("b")
        writer.change_segment()
    begin_epoch(other, Identity(known.registry_id, f"2-{TOKEN}"))
    with open_registry(folder, disk=QuickDisk()) as writer:
        writer.pin("a")
    reader = open_registry(folder, read_only=True)
    assert reader.position == known.at(3)
    mark(folder).unlink()
    for name in ("history", "registry.json", "registry.journal.jsonl"):
        (other / name).rename(folder / name)
    with capture_logs() as logs:
        assert position(reader) == Position(known.registry_id, f"2-{TOKEN}", 3)
    assert plain(reader).keys() == {"a"}
    assert reader.registry["a"]["pinned"] is False
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("registry.file_ignored", "warning"),  # there is no mark
        ("registry.epoch_changed", "warning"),
    ]


def test_a_reader_that_holds_more_than_a_new_epoch_notices(tmp_path: Path) -> None:
    """An older copy that was put back under a new epoch is what counts; how much it lacks is in the log."""
    folder, copy = tmp_path / "models", tmp_path / "copy"
    writer = open_registry(folder, disk=QuickDisk())
    register(writer, "a")
    shutil.copytree(folder, copy)
    for name in "bcd":
        register(writer, name, name.encode())
    known = position(writer).identity
    writer.close()
    reader = open_registry(folder, read_only=True)
    begin_epoch(copy, known.next_epoch(lambda: TOKEN))
    (folder / "registry.checkpoint.json").unlink()
    for name in ("registry.json", "registry.journal.jsonl"):
        (copy / name).rename(folder / name)
    with capture_logs() as logs:
        assert sorted(reader.registry) == ["a"]
        assert position(reader).sequence == 1
    assert logs == [
        {
            "event": "registry.epoch_changed",
            "log_level": "warning",
            "path": str(folder / "registry.json"),
            "before": str(known.at(4)),
            "after": f"{known.registry_id}/2-{TOKEN}/1",
            "lost_lines": 3,
        }
    ]


def test_two_copies_that_begin_an_epoch_differ(tmp_path: Path) -> None:
    """Two restores of one copy have the same number of epochs, and no position of the one is one of the other."""
    with open_registry(tmp_path / "a", disk=QuickDisk()) as registry:
        register(registry, "one", b"one")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    one, other = (run_rebuild(tmp_path / name) for name in "ab")
    assert one.registry_id == other.registry_id
    assert (one.epoch[:2], other.epoch[:2]) == ("2-", "2-")
    assert one.epoch != other.epoch


def test_a_mark_of_an_epoch_that_has_ended_is_made_again(tmp_path: Path) -> None:
    """A rebuild that was cut short leaves it: readers do without it, and a writer makes another."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "a")
        known = position(registry).identity
    kept = mark(tmp_path).read_bytes()
    begin_epoch(tmp_path, known.next_epoch(lambda: TOKEN))
    mark(tmp_path).write_bytes(kept)
    assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]
    assert [problem.code for problem in verify(tmp_path / "registry.json", tmp_path / "prediction")] == [
        "registry.mark_differs"
    ]
    with capture_logs() as logs:
        assert list(open_registry(tmp_path).registry) == ["a"]
    assert [log["event"] for log in logs] == ["registry.file_rewritten"]
    assert f"2-{TOKEN}" in logs[0]["problem"]
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []


def test_a_mark_of_a_later_epoch_or_of_another_registry_is_damage(tmp_path: Path) -> None:
    """The journal may be the file that does not belong there: an older copy, or another registry's."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "a")
        known = position(registry).identity
    begin_epoch(tmp_path, known.next_epoch(lambda: TOKEN))
    open_registry(tmp_path).checkpoint(force=True)
    kept = mark(tmp_path).read_bytes()
    for identity in (known, OTHER, Identity(known.registry_id, f"2-{TOKEN[::-1]}")):
        begin_epoch(tmp_path, identity)
        mark(tmp_path).write_bytes(kept)
        before = contents(tmp_path)
        for read_only in (True, False):
            with pytest.raises(RegistryCorrupted, match=rf"registry\.checkpoint\.json.*2-{TOKEN}.*{identity.epoch}"):
                open_registry(tmp_path, read_only=read_only)
        assert contents(tmp_path) == before


# --- rebuilds ------------------------------------------------------------------------------------------------------


def run_rebuild(folder: Path, **options: Any) -> Any:
    clock = Clock(START + timedelta(days=1))
    return rebuild(folder / "registry.json", folder / "prediction", disk=QuickDisk(), clock=clock, **options)


def made(folder: Path) -> Identity:
    """Make a registry with a closed segment, a current one and a mark; return its identity."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "a")
        registry.change_segment()
        registry.pin("a")
        return position(registry).identity


def test_a_rebuild_begins_a_new_epoch_of_the_same_registry(tmp_path: Path) -> None:
    """Every time; journal and mark carry it, and the result names it."""
    known = made(tmp_path)
    for number in (2, 3):
        done = run_rebuild(tmp_path)
        assert (done.registry_id, done.epoch.partition("-")[0]) == (known.registry_id, str(number))
        with open_registry(tmp_path, read_only=True) as reader:
            assert reader.position == Position(done.registry_id, done.epoch, 2)
        assert header(mark(tmp_path))["epoch"] == done.epoch


def test_an_open_reader_follows_a_rebuild(tmp_path: Path) -> None:
    """Its position is of the new epoch, though no number has changed."""
    known = made(tmp_path)
    reader = open_registry(tmp_path, read_only=True)
    assert reader.position == known.at(2)
    done = run_rebuild(tmp_path)
    reader._store._path_look_due = 0
    assert reader.position == Position(done.registry_id, done.epoch, 2)


def journal_only(folder: Path) -> None:
    mark(folder).unlink()
    shutil.rmtree(folder / "history")


def history_only(folder: Path) -> None:
    journal(folder).unlink()
    mark(folder).unlink()


def mark_only(folder: Path) -> None:
    journal(folder).unlink()
    shutil.rmtree(folder / "history")


@pytest.mark.parametrize("lose", [journal_only, history_only, mark_only])
def test_a_rebuild_takes_the_identity_from_any_file_that_is_left(tmp_path: Path, lose: Any) -> None:
    """Journal, history and mark each are enough to know which registry it was, and after which epoch."""
    known = made(tmp_path)
    lose(tmp_path)
    done = run_rebuild(tmp_path)
    assert (done.registry_id, done.epoch.partition("-")[0]) == (known.registry_id, "2")


def test_no_epoch_gets_the_number_of_a_later_one_that_receipts_name(tmp_path: Path) -> None:
    """What others were told counts, too: where the files name an older epoch, and where they name none."""
    known = made(tmp_path)
    told = [Identity(known.registry_id, f"5-{TOKEN}"), OTHER]
    assert run_rebuild(tmp_path, told=told).epoch.partition("-")[0] == "6"
    for path in (journal(tmp_path), mark(tmp_path)):
        path.unlink()
    shutil.rmtree(tmp_path / "history")
    # The labels files are the registry's own, too.
    done = run_rebuild(tmp_path, told=[OTHER])
    assert (done.registry_id, done.epoch.partition("-")[0]) == (known.registry_id, "7")
    for path in (journal(tmp_path), mark(tmp_path), *(tmp_path / "prediction").glob("*.labels.json")):
        path.unlink()
    shutil.rmtree(tmp_path / "history")
    done = run_rebuild(tmp_path, told=[OTHER])
    assert (done.registry_id, done.epoch.partition("-")[0]) == (OTHER.registry_id, "8")


def test_a_registry_that_nothing_names_begins_with_a_new_identity(tmp_path: Path) -> None:
    """A rebuild of what version 0.1 made is its first epoch."""
    made(tmp_path)
    as_version_0_1(tmp_path)
    done = run_rebuild(tmp_path)
    assert done.epoch.startswith("1-")
    with open_registry(tmp_path, read_only=True) as reader:
        assert reader.position == Position(done.registry_id, done.epoch, 2)
    assert verify(tmp_path / "registry.json", tmp_path / "prediction") == []
