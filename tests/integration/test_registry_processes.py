"""Several processes and threads on one registry: who waits for whom, who sees what, and what a death leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, RegistryCorrupted, RegistryLocked
from model_inbox.registry import store
from model_inbox.registry.repair.rebuild import rebuild
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, metadata, open_registry, plain, register
from support.places import TESTS
from support.plain_reader import read_history, read_registry
from support.waiting import wait_until


@contextmanager
def process(folder: Path, code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code` with `registry` open, and says "ready" when it has come to the line `ready()`."""
    head = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from support.crash_disk import QuickDisk\n"
        "from support.crash_kit import metadata, open_registry, register\n"
        "folder = Path(sys.argv[1])\n"
        "def ready(): print('ready', flush=True); sys.stdin.readline()\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", head + code, str(folder), *words],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
        for stream in (started.stdin, started.stdout):
            assert stream is not None
            stream.close()


def wait_for_ready(started: subprocess.Popen[str]) -> None:
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"


def go_on(started: subprocess.Popen[str]) -> None:
    assert started.stdin is not None
    started.stdin.write("\n")
    started.stdin.flush()


# --- the writer's lock -------------------------------------------------------------------------------------


HOLD = "registry = open_registry(folder)\nwith registry._store.writing():\n ready()\n"


def test_a_writer_that_waits_in_vain_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    """The error names the process and its program; readers are not held up, and afterwards writing works."""
    registry = open_registry(tmp_path, lock_timeout=0.05)
    register(registry, "a")
    with process(tmp_path, HOLD) as holder:
        wait_for_ready(holder)
        with pytest.raises(RegistryLocked, match=rf"within 0\.05 s: held by .*process {holder.pid} \(python") as caught:
            registry.pin("a")
        assert caught.value.exit_status == 75
        assert registry.get_model_info("a") is not None
        assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]
        go_on(holder)
        assert holder.wait(30) == 0
    registry.lock_timeout = 10
    assert registry.pin("a")["pinned"] is True


def test_a_writer_waits_for_another_and_then_sees_what_it_did(tmp_path: Path) -> None:
    """Who gets the lock after a wait goes on from the other's commit, not from what it knew before."""
    registry = open_registry(tmp_path, lock_timeout=30)
    code = (
        "registry = open_registry(folder)\nwith registry._store.writing():\n ready()\n register(registry, 'theirs')\n"
    )
    with process(tmp_path, code) as holder:
        wait_for_ready(holder)
        thread = threading.Thread(target=lambda: register(registry, "ours", b"ours"))
        thread.start()
        go_on(holder)
        thread.join(30)
        assert holder.wait(30) == 0
    assert [line.model_id for line in registry.history()] == ["theirs", "ours"]


@pytest.mark.parametrize("written", [0, 100], ids=["before the line", "within the line"])
def test_a_writer_killed_with_the_lock_leaves_it_free(tmp_path: Path, written: int) -> None:
    """The lock ends with its holder, the torn line is cut by the next writer, and readers never see it."""
    registry = open_registry(tmp_path)
    register(registry, "a")
    code = (
        "class Dies(QuickDisk):\n"
        "    def write(self, fd, data):\n"
        "        if b'operation' in bytes(data):\n"
        f"            os.write(fd, bytes(data)[:{written}])\n"
        "            ready(); signal.pause()\n"
        "        super().write(fd, data)\n"
        "register(open_registry(folder, disk=Dies()), 'b')\n"
    )
    with process(tmp_path, code) as holder:
        wait_for_ready(holder)
        assert list(registry.registry) == ["a"]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert list(open_registry(tmp_path, read_only=True).registry) == ["a"]
    register(registry, "b", b"other bytes")
    assert Path(registry.registry["b"]["model_path"]).read_bytes() == b"other bytes"
    assert [(line["sequence"], line["model_id"]) for line in read_history(tmp_path / "registry.json")] == [
        (1, "a"),
        (2, "b"),
    ]


# --- following ---------------------------------------------------------------------------------------------


def test_a_reader_sees_each_commit_of_another_process_at_once(tmp_path: Path) -> None:
    """Registered, pinned, retired, across checkpoints and segment changes: without reopening, with the next query."""
    open_registry(tmp_path).close()
    code = (
        "registry = open_registry(folder, disk=QuickDisk())\n"
        "for step in (\n"
        "    lambda: register(registry, 'a'), lambda: registry.pin('a'), lambda: registry.checkpoint(),\n"
        "    lambda: registry.change_segment(), lambda: register(registry, 'b', b'b'),\n"
        "    lambda: (registry.change_segment(), registry.unpin('a'), registry.change_segment()),\n"
        "    lambda: registry.delete_model('a'),\n"
        "):\n"
        "    step(); ready()\n"
    )
    reader = open_registry(tmp_path, read_only=True)
    seen = []
    with process(tmp_path, code) as writer:
        for _ in range(7):
            wait_for_ready(writer)
            seen.append({model_id: entry["pinned"] for model_id, entry in reader.registry.items()})
            go_on(writer)
        assert writer.wait(30) == 0
    pinned, both = {"a": True}, {"a": True, "b": False}
    assert seen == [{"a": False}, pinned, pinned, pinned, both, {"a": False, "b": False}, {"b": False}]


def test_a_change_of_segment_is_noticed_though_the_clock_stands_still(tmp_path: Path) -> None:
    """A commit right behind a change of segment shows, however soon it came after the line that was seen last."""
    writer = open_registry(tmp_path, disk=QuickDisk())
    reader = open_registry(tmp_path, read_only=True)
    register(writer, "a")
    for _ in range(60):
        writer.tag("a", {"n": str(writer.sequence)})
        assert reader.sequence == writer.sequence
        writer.change_segment()
        writer.tag("a", {"n": str(writer.sequence)})
        assert reader.sequence == writer.sequence


def test_readers_that_start_while_segments_change_see_all_of_it(tmp_path: Path) -> None:
    """However often the files change under a reader that opens, it shows a state that was, and never an older one."""
    open_registry(tmp_path).close()
    code = (
        "registry = open_registry(folder, disk=QuickDisk())\n"
        "register(registry, 'a'); ready()\n"
        "for number in range(60):\n"
        "    registry.tag('a', {'n': str(number)}); registry.change_segment()\n"
        "print('done', flush=True)\n"
    )
    with process(tmp_path, code) as writer:
        wait_for_ready(writer)
        go_on(writer)
        reached, opened = 0, 0
        while writer.poll() is None:
            with open_registry(tmp_path, read_only=True) as reader:
                tags = reader.registry["a"]["tags"]
                line = int(tags["n"]) + 2 if tags else 1
                assert line >= reached
                reached = line
                opened += 1
        assert writer.returncode == 0
    assert opened > 5
    assert open_registry(tmp_path, read_only=True).sequence == 61


def test_a_handle_that_slept_through_everything_writes_behind_the_last_line(tmp_path: Path) -> None:
    """A stale handle whose journal was closed, and its history pruned, goes on where the registry is now."""
    stale = open_registry(tmp_path, disk=QuickDisk())
    register(stale, "a")
    other = open_registry(tmp_path, disk=QuickDisk())
    other._clock.ahead(1000)  # type: ignore[attr-defined]
    for number in range(3):
        register(other, f"b{number}", b"%d" % number)
        other.change_segment()
    other.delete_model("a")
    other.prune_history(1)
    register(stale, "c", b"c")
    assert sorted(other.registry) == sorted(stale.registry) == ["b0", "b1", "b2", "c"]
    assert sorted(read_registry(tmp_path / "registry.json")) == ["b0", "b1", "b2", "c"]
    assert stale.registry["c"]["sequence"] == 6


def test_a_reader_whose_folder_is_moved_away_keeps_what_it_has_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The open files would go on for ever; what stands at the path is looked at now and then, and followed again."""
    folder = tmp_path / "models"
    writer = open_registry(folder)
    register(writer, "a")
    writer.close()
    reader = open_registry(folder, read_only=True)
    monkeypatch.setattr(store, "_PATH_LOOK_SECONDS", 0)
    folder.rename(tmp_path / "elsewhere")
    reader._store._path_look_due = 0
    assert list(reader.registry) == ["a"]
    assert reader.damage is not None and str(folder) in str(reader.damage)
    (tmp_path / "elsewhere").rename(folder)
    assert list(reader.registry) == ["a"]
    assert reader.damage is None


def test_a_reader_does_not_follow_an_older_copy_but_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the same epoch with fewer lines: the reader keeps what it holds; it follows when a new epoch begins."""
    folder, backup = tmp_path / "models", tmp_path / "backup"
    monkeypatch.setattr(store, "_PATH_LOOK_SECONDS", 0)
    writer = open_registry(folder)
    register(writer, "a")
    writer.close()
    shutil.copytree(folder, backup)
    writer = open_registry(folder)
    register(writer, "b", b"b")
    writer.close()
    reader = open_registry(folder, read_only=True)
    assert sorted(reader.registry) == ["a", "b"]
    for name in ("registry.checkpoint.json", "registry.json", "registry.journal.jsonl"):
        (backup / name).rename(folder / name)
    with capture_logs() as logs:
        reader._store.look_at_path()
        assert sorted(reader.registry) == ["a", "b"]
    assert isinstance(reader.damage, RegistryCorrupted)
    assert "ends at line 1, but lines up to 2 were committed" in str(reader.damage)
    assert [log["event"] for log in logs] == ["registry.unreadable"]
    rebuild(folder / "registry.json", folder / "prediction", disk=QuickDisk(), clock=Clock())
    with capture_logs() as logs:
        reader._store.look_at_path()
        assert reader.position is not None and reader.position.epoch.startswith("2-")
    assert reader.damage is None
    assert [log["event"] for log in logs] == ["registry.epoch_changed"]


# --- many at once ------------------------------------------------------------------------------------------


def test_threads_of_one_handle_and_processes_register_side_by_side(tmp_path: Path) -> None:
    """Two processes and three threads of a third lose nothing of each other, and all end with the same."""
    registry = open_registry(tmp_path, disk=QuickDisk(), lock_timeout=60)
    code = (
        "registry = open_registry(folder, disk=QuickDisk(), lock_timeout=60)\nready()\n"
        "for number in range(15): registry.register_model(metadata(f'{sys.argv[2]}-{number}'), [number])\n"
    )
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(15):
                registry.register_model(metadata(f"{name}-{number}"), [number])
                assert registry.get_model_info(f"{name}-{number}") is not None
        except BaseException as error:
            failed.append(error)

    with process(tmp_path, code, "p") as one, process(tmp_path, code, "q") as two:
        for started in (one, two):
            wait_for_ready(started)
            go_on(started)
        threads = [threading.Thread(target=work, args=(name,)) for name in "xyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (one.wait(60), two.wait(60)) == (0, 0)
    assert failed == []
    wanted = sorted(f"{name}-{number}" for name in "pqxyz" for number in range(15))
    assert sorted(registry.registry) == wanted
    found = read_registry(tmp_path / "registry.json")
    assert sorted(found) == wanted
    assert sorted(entry["sequence"] for entry in found.values()) == list(range(1, 76))


def test_one_of_two_processes_gets_the_id(tmp_path: Path) -> None:
    """The same id from two processes at once: one is registered, the other is told that it is taken."""
    open_registry(tmp_path).close()
    code = (
        "from model_inbox import EntryExists\n"
        "registry = open_registry(folder, lock_timeout=60)\nready()\n"
        "try: registry.register_model(metadata('same'), {'by': sys.argv[2]})\n"
        "except EntryExists: print('taken', flush=True)\n"
        "else: print('registered', flush=True)\n"
    )
    with process(tmp_path, code, "p") as one, process(tmp_path, code, "q") as two:
        for started in (one, two):
            wait_for_ready(started)
        for started in (one, two):
            go_on(started)
        said = {}
        for started, who in ((one, "p"), (two, "q")):
            assert started.stdout is not None
            said[started.stdout.readline().strip()] = who
    assert sorted(said) == ["registered", "taken"]
    registry = open_registry(tmp_path)
    assert registry.load_model(registry.registry["same"]) == {"by": said["registered"]}


# --- elsewhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_models_copied_or_moved_elsewhere_work_at_once(tmp_path: Path, how: str) -> None:
    """The folder needs no word of where it lies: entries, files, trash and history go with it, written and read."""
    old, new = tmp_path / "models", tmp_path / "else" / "where"
    registry = ModelRegistry(old / "prediction_registry.json", old / "prediction")
    registry.register_model(metadata("a"), {"w": 1}, {"mean": 2})
    registry.register_model(metadata("b"), {"w": 2})
    registry.replace_scaler("b", {"mean": 3})
    registry.change_segment()
    registry.delete_model("a")
    before = plain(registry)
    new.parent.mkdir()
    if how == "moved":
        registry.close()
        old.rename(new)
    else:  # while the handle is open, and its last lines in the journal alone
        shutil.copytree(old, new)
    there = ModelRegistry(new / "prediction_registry.json", new / "prediction")
    assert plain(there) == before
    assert there.registry["b"]["model_path"] == str(new / "prediction" / "b.pkl")
    assert there.load_model_objects(there.registry["b"]) == ({"w": 2}, {"mean": 3})
    assert there.load_model_objects(there.restore("a")) == ({"w": 1}, {"mean": 2})
    there.register_model(metadata("c"), {"w": 3})
    assert [line.operation for line in there.history()] == [
        *("register", "register", "replace_scaler", "retire", "restore", "register"),
    ]
    there.close()
    assert sorted(json.loads((new / "prediction_registry.json").read_text())) == ["a", "b", "c"]


def test_a_plain_reader_of_json_gets_all_that_was_committed_once_a_writer_closes(tmp_path: Path) -> None:
    """`json.load` on the file, paths from its folder: a model can be loaded with the standard library alone."""
    import pickle

    with open_registry(tmp_path) as registry:
        registry.register_model(metadata("a"), {"w": 1})
    with (tmp_path / "registry.json").open() as file:
        entries = json.load(file)
    assert pickle.loads((tmp_path / entries["a"]["model_path"]).read_bytes()) == {"w": 1}


def test_at_exit_the_json_file_is_brought_up_to_date(tmp_path: Path) -> None:
    """A program that never closes its handle leaves the file as complete as one that does."""
    code = "registry = open_registry(folder)\nregister(registry, 'a')\nready()\n"
    with process(tmp_path, code) as writer:
        wait_for_ready(writer)
        assert json.loads((tmp_path / "registry.json").read_text()) == {}
        go_on(writer)
        assert writer.wait(30) == 0
    wait_until(lambda: list(json.loads((tmp_path / "registry.json").read_text())) == ["a"])
