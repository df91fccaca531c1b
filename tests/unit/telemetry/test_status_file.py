"""The status file: how it is written on a disk that says no, who can tell that a daemon lives, and what is not well."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.flocks import FileLock, Holding, who_holds
from model_inbox.errors import StorageError
from model_inbox.registry.paths import daemon_lock, status_paths
from model_inbox.telemetry.health import assess, find_daemon, state_of
from model_inbox.telemetry.status_file import Publisher, disk_left, process_started, read_status, why_unwritable
from support.users import as_user, let_through
from support.waiting import wait_until
from support.world import FailingDisk

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROOMY = {
    "folder": "inbox",
    "path": "/x",
    "free_bytes": 50 << 30,
    "size_bytes": 100 << 30,
    "free_inodes": 9,
    "inodes": 10,
}
PRODUCER = 65533


def document(**changes: Any) -> dict[str, Any]:
    """What a daemon tells of itself when all is well, and what is given."""
    return {
        "format": "model-inbox-status/1",
        "at": "2026-11-24T11:59:50.000Z",
        "next_at": "2026-11-24T12:00:20.000Z",
        "state": "running",
        "ready": True,
        "pid": 4711,
        "process_started": 99,
        "deaf": False,
        "deferred": 0,
        "waiting_files": [],
        "deferred_drops": [],
        **changes,
    }


# --- writing and reading ---------------------------------------------------------------------------------------


def test_it_stands_in_both_places_for_the_groups_to_read(tmp_path: Path) -> None:
    """The same bytes, mode 0640, whole blocks long, readable by any JSON reader; nothing else is left."""
    (tmp_path / "inbox" / "receipts").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    paths = status_paths(tmp_path / "models" / "r.json", tmp_path / "inbox")
    assert Publisher(paths).publish(document(waiting=3)) == ""
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "models/r.status.json",
        "inbox/receipts/.status.json",
    ]
    for path in paths:
        assert json.loads(path.read_bytes())["waiting"] == 3
        assert (path.stat().st_mode & 0o777, path.stat().st_size % 4096) == (0o640, 0)
        assert os.listdir(path.parent) == [path.name]
        assert read_status(path) == document(waiting=3)


def test_a_place_that_is_gone_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    """With the inbox renamed away the one beside the registry is still written, and what failed is returned."""
    publisher = Publisher([tmp_path / "gone" / "a.json", tmp_path / "b.json"])
    assert "gone" in publisher.publish(document())
    assert read_status(tmp_path / "b.json") == document()
    assert read_status(tmp_path / "gone" / "a.json") is None


def test_a_full_disk_is_told_of_in_the_blocks_that_are_there(tmp_path: Path) -> None:
    """Where no new file can be made the old one is written over; what does not fit is left out, the counts stay."""
    path = tmp_path / "s.json"
    assert Publisher([path]).publish(document()) == ""
    size = path.stat().st_size
    full = FailingDisk(lambda step, *_: errno.ENOSPC if step == "create" else None)
    many = [{"name": "x" * 200, "problems": []} for _ in range(100)]
    drops = [{"drop_id": "d", "cause": "no space left"}] * 50
    assert Publisher([path], full).publish(document(deferred=50, waiting_files=many, deferred_drops=drops)) == ""
    told = read_status(path)
    assert told is not None
    assert (told["deferred"], told["shortened"], told["waiting_files"]) == (50, True, [])
    assert told["deferred_drops"] == [{"drop_id": "d", "cause": "no space left"}]
    assert path.stat().st_size == size
    assert Publisher([path], full).publish(document(deferred=1)) == ""
    assert read_status(path) == document(deferred=1)


def test_a_crash_in_the_middle_leaves_the_old_one_and_nothing_for_long(tmp_path: Path) -> None:
    """What an unfinished writing left is removed by the next; a reader sees the old or the new, never a mixture."""
    path = tmp_path / "s.json"
    assert Publisher([path]).publish(document(waiting=1)) == ""
    (tmp_path / ".s.json.new").write_text('{"format": "model-inbox-sta')
    assert read_status(path) == document(waiting=1)
    assert Publisher([path]).publish(document(waiting=2)) == ""
    assert os.listdir(tmp_path) == ["s.json"]
    path.write_text('{"format": "model-inbox-sta')
    assert read_status(path) is None
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError):
        read_status(path)


def test_a_name_that_is_no_text_does_not_stop_the_news(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are escaped."""
    assert Publisher([tmp_path / "s.json"]).publish(document(doing="taking \udcff")) == ""
    assert json.loads((tmp_path / "s.json").read_bytes())["doing"] == "taking \udcff"


# --- who holds the lock ------------------------------------------------------------------------------------------


def test_everybody_can_tell_whether_a_lock_is_held_and_nobody_takes_it(tmp_path: Path) -> None:
    """Free, held, free again; the holder is named by the kernel, and asking keeps nobody from the lock."""
    path = daemon_lock(tmp_path / "registry.json")
    assert path.name == ".registry.daemon.lock"
    assert who_holds(path) == Holding(held=False)
    lock = FileLock(path, "test's")
    lock.acquire(0)
    try:
        assert who_holds(path) == Holding(held=True, pid=os.getpid())
        mine = FileLock(path, "second")
        with pytest.raises(Exception, match="held by"):
            mine.acquire(0)
        mine.close()
    finally:
        lock.close()
    assert who_holds(path) == Holding(held=False)
    lock.acquire(0)
    lock.close()


def test_another_user_can_tell_too(tmp_path: Path) -> None:
    """The lock file is for its owner alone, and still any user learns who holds it."""
    let_through(tmp_path)
    lock = FileLock(tmp_path / "lock", "test's")
    lock.acquire(0)

    def ask() -> str:
        with pytest.raises(PermissionError):
            (tmp_path / "lock").read_bytes()
        return str(who_holds(tmp_path / "lock"))

    try:
        assert as_user(PRODUCER, ask) == f"Holding(held=True, pid={os.getpid()})"
    finally:
        lock.close()
    assert as_user(PRODUCER, ask) == "Holding(held=False, pid=None)"


def test_where_the_kernels_list_is_hidden_the_lock_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a service with ProcSubset=pid: the answer is the same, and the process is the one written in the file."""
    monkeypatch.setattr("model_inbox.base.flocks._listed_holder", lambda _: None)
    path = tmp_path / "lock"
    lock = FileLock(path, "test's")
    lock.acquire(0)
    assert who_holds(path) == Holding(held=True, pid=os.getpid())
    lock.close()
    assert who_holds(path) == Holding(held=False)


def test_a_daemon_is_found_by_its_inbox_when_the_registry_moved_in_the_file(tmp_path: Path) -> None:
    """config.yaml names another registry by now: the inbox's lock and its copy of the status lead to the daemon."""
    (tmp_path / "inbox" / "receipts").mkdir(parents=True)
    (tmp_path / "inbox" / ".processing").mkdir()
    lock = FileLock(tmp_path / "inbox" / ".processing" / ".daemon.lock", "inbox")
    lock.acquire(0)
    told = document(pid=os.getpid())
    Publisher([tmp_path / "inbox" / "receipts" / ".status.json"]).publish(told)
    found = find_daemon(tmp_path / "elsewhere" / "r.json", tmp_path / "inbox")
    lock.close()
    assert (found.holding, found.document, found.wrote_document) == (Holding(held=True, pid=os.getpid()), told, True)
    found = find_daemon(tmp_path / "elsewhere" / "r.json", tmp_path / "inbox")
    assert (found.holding.held, found.wrote_document) == (False, False)


@pytest.mark.parametrize(
    ("registry", "inbox", "used"),
    [
        ({"serial": 7}, {"serial": 8}, "inbox"),
        ({"serial": 8}, {"serial": 7}, "registry"),
        ({"serial": 8, "at": "2026-11-24T10:00:00.000Z"}, {"serial": 7}, "registry"),
        ({"at": "2026-11-24T11:59:50.000Z"}, {"at": "2026-11-24T11:59:50.001Z"}, "inbox"),
        ({"serial": 900, "process_started": 1, "at": "2026-11-23T12:00:00.000Z"}, {"serial": 1}, "inbox"),
        ({"serial": 900, "pid": 1, "at": "2026-11-25T12:00:00.000Z"}, {"serial": 1}, "inbox"),
    ],
    ids=["number", "number the other way", "clock set back", "times", "an earlier daemon", "another process, later"],
)
def test_the_newer_of_the_two_files_is_used(
    tmp_path: Path, registry: dict[str, Any], inbox: dict[str, Any], used: str
) -> None:
    """By what the documents say and by who wrote them, whatever the times of the files; the other one is named."""
    (tmp_path / "inbox" / "receipts").mkdir(parents=True)
    lock = FileLock(daemon_lock(tmp_path / "r.json"), "registry")
    lock.acquire(0)
    paths = status_paths(tmp_path / "r.json", tmp_path / "inbox")
    here = {"pid": os.getpid()}
    for path, changes in zip(paths, (registry, inbox), strict=True):
        Publisher([path]).publish(document(**{**here, **changes}))
    os.utime(paths[0 if used == "inbox" else 1], (2e9, 2e9))
    found = find_daemon(tmp_path / "r.json", tmp_path / "inbox")
    lock.close()
    assert found.document == document(**{**here, **(inbox if used == "inbox" else registry)})
    ((other, why),) = found.other_files()
    assert other.path == paths[0 if used == "inbox" else 1]
    assert "older" in why or "another process" in why


def test_a_status_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """One that is a folder, or that another program wrote, is said; the other one is used."""
    (tmp_path / "inbox" / "receipts").mkdir(parents=True)
    registry, inbox = status_paths(tmp_path / "r.json", tmp_path / "inbox")
    Publisher([inbox]).publish(document())
    registry.write_text('{"format": "something-else/1"}')
    ((file, why),) = find_daemon(tmp_path / "r.json", tmp_path / "inbox").other_files()
    assert (file.path, why) == (registry, f"{str(registry)!r} is no status document of model-inbox")
    registry.unlink()
    registry.symlink_to(inbox)
    found = find_daemon(tmp_path / "r.json", tmp_path / "inbox")
    ((file, why),) = found.other_files()
    assert (found.document, file.path) == (document(), registry)
    assert why == f"cannot read {str(registry)!r}: Too many levels of symbolic links"


def test_why_a_folder_cannot_be_written_is_seen_from_outside(tmp_path: Path) -> None:
    """A mode; nothing is said of a folder that can be written, or that is not there."""
    os.chown(tmp_path, PRODUCER, -1)
    assert why_unwritable(tmp_path) == ""
    tmp_path.chmod(0o550)
    assert why_unwritable(tmp_path) == "its mode 0550 lets its owner not write"
    assert why_unwritable(tmp_path / "gone") == ""


def test_a_daemon_that_could_not_tell_it_is_told_from_outside() -> None:
    """A folder that cannot be written is a problem at once, and the reason why a document is old."""
    unwritable = {"/models": "it is on a file system that is mounted read-only"}
    (fresh,) = assess(document(), HELD, NOW, disks=[], unwritable=unwritable)
    assert (fresh.code, fresh.message.split(";")[0]) == (
        "status.storage_unwritable",
        "cannot write in '/models': it is on a file system that is mounted read-only",
    )
    frozen = {"/models/r.status.json": "it has the attribute i"}
    (file,) = assess(document(), HELD, NOW, disks=[], unreplaceable=frozen)
    assert (file.code, "r.status.json' is old: it has the attribute i" in file.message) == (
        "status.file_unwritten",
        True,
    )
    late, _ = assess(document(next_at="2026-11-24T11:00:00Z"), HELD, NOW, disks=[], unwritable=unwritable)
    assert late.code == "status.unresponsive"
    assert "so what is shown is old: it cannot write in '/models': it is on" in late.message
    said = document(storage=[{"problem": "cannot write", "hint": "mount it", "stops": ["take"]}])
    assert [one.message for one in assess(said, HELD, NOW, disks=[], unwritable=unwritable)] == [
        "cannot write; no drop is taken until that ends"
    ]


def test_a_process_is_told_from_the_next_one_with_its_number() -> None:
    """The kernel's start time names it for all time; a process that is gone has none."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_started(child.pid)
    own = process_started(os.getpid())
    assert started is not None and own is not None and started >= own
    child.communicate(b"\n")
    wait_until(lambda: process_started(child.pid) is None)


# --- judging -----------------------------------------------------------------------------------------------------

HELD = Holding(held=True, pid=4711)
FREE = Holding(held=False)

ASSESSED: list[tuple[str, dict[str, Any] | None, Holding, dict[str, Any], list[str]]] = [
    ("well", document(), HELD, {}, []),
    ("well, by a user who sees no process", document(), Holding(held=True), {}, []),
    ("nothing ever ran", None, FREE, {}, ["status.not_running"]),
    ("stopped as asked", document(state="stopping", ready=False), FREE, {}, ["status.not_running"]),
    ("died", document(deaf=True, deferred=1), FREE, {}, ["status.not_running"]),
    ("nobody can tell", None, Holding(held=None), {}, ["status.unknown"]),
    ("starting, nothing said yet", None, HELD, {}, ["status.not_ready"]),
    ("starting, its forerunner's words", document(pid=1), HELD, {}, ["status.not_ready"]),
    ("starting", document(state="starting", ready=False), HELD, {}, ["status.not_ready"]),
    ("stopping", document(state="stopping", ready=False), HELD, {}, ["status.not_ready"]),
    ("late, but not too late", document(next_at="2026-11-24T11:59:46Z"), HELD, {}, []),
    ("hanging", document(next_at="2026-11-24T11:59:44Z"), HELD, {}, ["status.unresponsive"]),
    ("deaf", document(deaf=True, deaf_because="no watch"), HELD, {}, ["status.deaf"]),
    ("deferred", document(deferred=2, deferred_drops=[{"cause": "full"}]), HELD, {}, ["status.deferred"]),
    ("no inbox", document(inbox={"reachable": False, "problem": "gone"}), HELD, {}, ["status.inbox_unreachable"]),
    ("breaker", document(retention={"breaker_tripped": True, "breaker": "50"}), HELD, {}, ["status.breaker_tripped"]),
    ("retention", document(retention={"failed": True, "problem": "x"}), HELD, {}, ["status.retention_failed"]),
    ("checkpoint", document(registry={"checkpoint_failed": True}), HELD, {}, ["status.checkpoint_failed"]),
    ("rotation", document(registry={"rotation_failed": True}), HELD, {}, ["status.rotation_failed"]),
    ("missing lines", document(registry={"missing_lines": "1-5"}), HELD, {}, ["status.lines_missing"]),
    ("registry", document(registry={"problem": "EIO"}), HELD, {}, ["status.registry_failed"]),
    ("history", document(registry={"history_problem": "byte 7"}), HELD, {}, ["status.history_damaged"]),
    ("config", document(config={"refused": True}), HELD, {}, ["status.config_refused"]),
    ("restart needed is no problem", document(config={"restart_needed": ["inbox.path"]}), HELD, {}, []),
    ("metrics", document(metrics={"problem": "port in use"}), HELD, {}, ["status.metrics_failed"]),
    ("log", document(log={"problem": "stderr was closed"}), HELD, {}, ["status.log_lost"]),
    ("storage", document(storage=[{"problem": "x", "stops": []}]), HELD, {}, ["status.storage_unwritable"]),
    ("one status file", document(status_files=[{"path": "x"}]), HELD, {}, ["status.file_unwritten"]),
    ("unmovable", document(unmovable={"count": 1, "first": {}}), HELD, {}, ["status.drops_unmovable"]),
    ("4 % and 4 GiB", document(), HELD, {"free_bytes": 4 << 30}, ["status.disk_nearly_full"]),
    ("6 %", document(), HELD, {"free_bytes": 6 << 30}, []),
    ("4 %, but 40 GiB", document(), HELD, {"free_bytes": 40 << 30, "size_bytes": 1000 << 30}, []),
    ("no inodes", document(), HELD, {"free_inodes": 4, "inodes": 100}, ["status.disk_nearly_full"]),
    ("a disk without inodes", document(), HELD, {"free_inodes": 0, "inodes": 0}, []),
    ("full and stopped", None, FREE, {"free_bytes": 0}, ["status.not_running", "status.disk_nearly_full"]),
]


@pytest.mark.parametrize(
    ("told", "holding", "disk", "codes"), [row[1:] for row in ASSESSED], ids=[row[0] for row in ASSESSED]
)
def test_what_is_not_well(told: Any, holding: Holding, disk: dict[str, Any], codes: list[str]) -> None:
    """Each thing that a person should hear of is a problem, and nothing else is."""
    assert [problem.code for problem in assess(told, holding, NOW, disks=[{**ROOMY, **disk}])] == codes


def test_a_daemon_that_died_is_told_from_one_that_was_stopped() -> None:
    """The lock says that none runs; the last words say whether it had meant to end."""
    (died,) = assess(document(), FREE, NOW, disks=[])
    (stopped,) = assess(document(state="stopping"), FREE, NOW, disks=[])
    assert "without saying so" in died.message
    assert "without saying so" not in stopped.message
    assert (state_of(document(), FREE), state_of(document(state="odd"), HELD)) == ("stopped", "unknown")


def test_what_is_left_on_a_disk_is_what_a_user_may_take(tmp_path: Path) -> None:
    """Blocks kept back for root are not counted as left; a folder that is not there has no disk."""
    found = os.statvfs(tmp_path)
    left = disk_left("models", tmp_path)
    assert left is not None
    assert left["size_bytes"] == found.f_blocks * found.f_frsize
    assert 0 <= left["free_bytes"] <= found.f_bfree * found.f_frsize
    assert disk_left("models", tmp_path / "nowhere") is None


def test_lateness_counts_from_what_was_promised() -> None:
    """A daemon that looks once an hour promises its next word in an hour, and is not late before."""
    hourly = document(at=NOW.isoformat(), next_at=(NOW + timedelta(hours=1)).isoformat())
    for minutes, codes in ((59, []), (61, ["status.unresponsive"])):
        found = assess(hourly, HELD, NOW + timedelta(minutes=minutes), disks=[])
        assert [problem.code for problem in found] == codes


# --- for whom it can be read -------------------------------------------------------------------------------------


def test_each_group_reads_its_own_copy_and_nobody_else_does(tmp_path: Path) -> None:
    """A producer sees only the inbox, a consumer only the models, a stranger neither; both learn that it lives."""
    service, producers, consumers = 65520, 65521, 65522
    let_through(tmp_path)
    models, inbox = tmp_path / "models", tmp_path / "inbox"
    for folder, group, mode in (
        (models, consumers, 0o2750),
        (inbox, producers, 0o3770),
        (inbox / "receipts", producers, 0o2750),
        (inbox / ".processing", producers, 0o700),
    ):
        folder.mkdir()
        os.chown(folder, service, group)
        folder.chmod(mode)
    lock = FileLock(daemon_lock(models / "r.json"), "test's")
    lock.acquire(0)
    told = document(pid=os.getpid(), process_started=process_started(os.getpid()))
    assert Publisher(status_paths(models / "r.json", inbox)).publish(told) == ""

    def look() -> list[Any]:
        try:
            found = find_daemon(models / "r.json", inbox)
        except StorageError as error:
            return [str(error)]
        return [found.holding.held, found.holding.pid, found.document == told]

    try:
        assert as_user(PRODUCER, look, [producers]) == [True, os.getpid(), True]
        assert as_user(PRODUCER, look, [consumers]) == [True, os.getpid(), True]
        (refused,) = as_user(PRODUCER, look)
    finally:
        lock.close()
    assert refused.startswith(f"cannot read '{models / 'r.status.json'}': Permission denied")
    assert as_user(PRODUCER, look, [consumers]) == [False, None, True]
