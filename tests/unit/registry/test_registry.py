"""ModelRegistry: what callers may rely on when they register, look up, load, retire, restore and purge."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from model_inbox import (
    EntryNotFound,
    EntryProtected,
    LoadRefused,
    MetadataError,
    ModelInboxError,
    ModelRegistry,
    StorageError,
    pickles,
)
from model_inbox.base.disk import Disk
from model_inbox.registry.outcomes import Candidate
from support.crash_kit import START, Clock, FailingDisk, metadata, open_registry, register, staged
from support.places import TESTS

# --- registering -------------------------------------------------------------------------------------------


def test_a_duplicate_within_one_batch_shows_the_committed_entry(tmp_path: Path) -> None:
    """The second of two equal drops that arrive together is answered with the entry of the first, complete."""
    registry = open_registry(tmp_path)
    one = staged(registry, "m", b"bytes")
    first, second = registry.register_staged([one, dataclasses.replace(one, drop_id="another")])
    assert (first.outcome, second.outcome) == ("registered", "duplicate")
    assert second.entry == first.entry
    assert second.entry["sequence"] == 1
    assert second.entry["registered_at"] == "2026-11-24T12:00:00.000000Z"


def automatic(registry: ModelRegistry, model_id: str, data: bytes = b"bytes", **changes: Any) -> Candidate:
    """Return a staged candidate whose id `drop` made by itself."""
    one = staged(registry, model_id, data)
    fields: Any = {**one.fields, "provenance": {"filled": "model_id,trained_at"}, **changes}
    return dataclasses.replace(one, fields=fields)


def test_the_same_bytes_under_an_automatic_id_are_no_second_model(tmp_path: Path) -> None:
    """In one batch, later, and in another process, the answer is the entry of the first; nothing is stored again."""
    registry = open_registry(tmp_path)
    first, second = registry.register_staged([automatic(registry, "a"), automatic(registry, "b")])
    assert (first.outcome, second.outcome) == ("registered", "duplicate")
    (third,) = registry.register_staged([automatic(registry, "c")])
    (fourth,) = open_registry(tmp_path).register_staged([automatic(registry, "d")])
    assert [done.entry["model_id"] for done in (second, third, fourth)] == ["a", "a", "a"]
    assert list(registry.registry) == ["a"]
    assert sorted(path.name for path in Path(registry.storage_dir).iterdir() if path.is_file()) == ["a.pkl", "a.yaml"]


def test_an_automatic_id_is_another_model_in_another_slot_or_with_other_bytes(tmp_path: Path) -> None:
    """Other bytes, another pair, another type, or an id that the producer chose: each is registered."""
    registry = open_registry(tmp_path)
    batch = [
        automatic(registry, "a"),
        automatic(registry, "b", b"others"),
        automatic(registry, "c", currency_pair="GBP/CHF"),
        automatic(registry, "d", model_type="ridge"),
        staged(registry, "e", b"bytes"),
    ]
    assert [done.outcome for done in registry.register_staged(batch)] == ["registered"] * 5


def test_a_retired_model_does_not_make_its_bytes_a_duplicate(tmp_path: Path) -> None:
    """What was retired since is registered anew; what was registered since is found."""
    registry = open_registry(tmp_path)
    registry.register_staged([automatic(registry, "a")])
    registry.delete_model("a")
    (again,) = registry.register_staged([automatic(registry, "b")])
    (third,) = registry.register_staged([automatic(registry, "c")])
    assert (again.outcome, third.outcome, third.entry["model_id"]) == ("registered", "duplicate", "b")


class Interrupted(Disk):
    """A disk on which Ctrl-C comes at a step: before it, or after it."""

    def __init__(self) -> None:
        self.step = ""
        self.after = False

    def _interrupt(self, step: str, *, after: bool) -> None:
        if self.step == step and self.after == after:
            self.step = ""
            raise KeyboardInterrupt

    def write(self, fd: int, data: bytes | memoryview) -> None:
        self._interrupt("write", after=False)
        super().write(fd, data)
        self._interrupt("write", after=True)

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._interrupt(f"link {target.name}", after=True)


def stored(folder: Path) -> list[str]:
    """Return the names of the stored files, staged ones included."""
    prediction = folder / "prediction"
    return sorted(str(path.relative_to(prediction)) for path in prediction.rglob("*") if path.is_file())


CHANGES: list[tuple[str, Callable[[ModelRegistry], object]]] = [
    ("register_model", lambda registry: registry.register_model(metadata("new"), {"w": 1}, {"mean": 2})),
    ("replace_scaler", lambda registry: registry.replace_scaler("kept", {"mean": 3})),
    ("restore", lambda registry: registry.restore("old")),
]


def a_model_and_a_retired_one(folder: Path, disk: Disk) -> ModelRegistry:
    registry = open_registry(folder, disk=disk)
    register(registry, "old", b"old bytes", b"old scaler")
    registry.delete_model("old")
    register(registry, "kept", b"kept bytes")
    return registry


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES])
def test_a_change_that_fails_after_its_files_have_names_takes_the_names_back(
    tmp_path: Path, change: Callable[[ModelRegistry], object]
) -> None:
    """No space for the line, an object that is no JSON, Ctrl-C: no file stays that no entry names; a retry works."""
    disk = FailingDisk()
    registry = a_model_and_a_retired_one(tmp_path, disk)
    before = stored(tmp_path)
    commit = registry._store.commit

    def refuse(error: BaseException) -> Callable[[Any], Any]:
        def failing(drafts: Any) -> Any:
            raise error

        return failing

    for error in (
        StorageError("append", "x", OSError(errno.ENOSPC, "full")),
        TypeError("no JSON"),
        KeyboardInterrupt(),
    ):
        registry._store.commit = refuse(error)  # type: ignore[method-assign]
        with pytest.raises(type(error)):
            change(registry)
        assert stored(tmp_path) == before
    registry._store.commit = commit  # type: ignore[method-assign]
    change(registry)
    assert registry.sequence == 4
    assert len(stored(tmp_path)) > len(before)


def test_a_batch_of_which_one_file_finds_no_name_leaves_no_name_of_the_others(tmp_path: Path) -> None:
    """The second model's scaler cannot be linked: neither model is registered, and no final name is left."""
    disk = Interrupted()
    registry = open_registry(tmp_path, disk=disk)
    batch = [staged(registry, "one", b"1", b"s1"), staged(registry, "two", b"2", b"s2")]
    disk.step, disk.after = "link two_scaler.pkl", True
    with pytest.raises(KeyboardInterrupt):
        registry.register_staged(batch)
    assert [name for name in stored(tmp_path) if not name.startswith(".staging/")] == []
    assert [done.outcome for done in registry.register_staged(batch)] == ["registered", "registered"]


@pytest.mark.parametrize("after", [False, True])
def test_an_append_that_is_interrupted_counts_when_its_bytes_are_there(tmp_path: Path, after: bool) -> None:
    """Ctrl-C within the commit: the files have names exactly if the journal has the line."""
    disk = Interrupted()
    registry = open_registry(tmp_path, disk=disk)
    candidate = staged(registry, "m", b"bytes", b"scaler")
    disk.step, disk.after = "write", after
    with pytest.raises(KeyboardInterrupt):
        registry.register_staged([candidate])
    with open_registry(tmp_path, read_only=True) as reader:
        assert (reader.get_model_info("m") is not None) == after
    final = [name for name in stored(tmp_path) if not name.startswith(".staging/")]
    assert final == (["m.pkl", "m.yaml", "m_scaler.pkl"] if after else [])


def test_a_number_that_json_readers_would_round_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """An integer metric beyond 2^53 is a problem of the metadata; no file and no line comes of it."""
    registry = open_registry(tmp_path)
    with pytest.raises(MetadataError, match=r"n is 18446744073709551616, and integers go up to 2\^53"):
        registry.register_model(metadata("m", validation_metrics={"n": 2**64}), {"w": 1})
    assert stored(tmp_path) == []
    assert registry.sequence == 0


def test_a_registration_does_not_fail_for_a_segment_change_after_it(tmp_path: Path) -> None:
    """What is committed is reported as registered, though the checkpoint that was due after it found no room."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk, segment_bytes=1)
    register(registry, "a", b"x" * 10)
    assert registry._store.is_outgrown  # so that the next registration changes the segment
    original = type(registry).change_segment

    def full(self: ModelRegistry) -> None:
        disk.failing = {"create": OSError(errno.ENOSPC, "No space left on device")}
        original(self)

    type(registry).change_segment = full  # type: ignore[method-assign]
    try:
        entry = registry.register_model(metadata("b"), {"w": 1})
    finally:
        type(registry).change_segment = original  # type: ignore[method-assign]
        disk.failing = {}
    assert entry["model_id"] == "b"
    assert registry.get_model_info("b") == entry


def test_a_crash_while_staging_does_not_stand_in_the_way_of_the_same_process_number(tmp_path: Path) -> None:
    """In a container each run has the same process number: what one left in the staging folder blocks no other."""
    code = (
        "import itertools, os, sys\n"
        "os.getpid = lambda: 7\n"
        "from support.crash_kit import metadata, open_registry\n"
        "from pathlib import Path\n"
        "registry = open_registry(Path(sys.argv[1]))\n"
        "if sys.argv[2] == 'die':\n"
        "    registry.register_staged = lambda _: os._exit(9)\n"
        "registry.register_model(metadata('m'), {'w': 1})\n"
    )
    for how, status in (("die", 9), ("live", 0)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), how],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
    assert list(open_registry(tmp_path).registry) == ["m"]


# --- loading -----------------------------------------------------------------------------------------------


def test_a_model_is_found_in_the_trash_though_its_id_was_taken_again(tmp_path: Path) -> None:
    """Who holds the entry of a retired model loads that model, not the newer one of the same id."""
    registry = open_registry(tmp_path)
    old = registry.register_model(metadata("m"), {"is": "old"}, ["old scaler"])
    registry.delete_model("m")
    new = registry.register_model(metadata("m"), {"is": "new"}, ["new scaler"])
    assert registry.load_model_objects(old) == ({"is": "old"}, ["old scaler"])
    assert registry.load_model_objects(new) == ({"is": "new"}, ["new scaler"])


# --- trash -------------------------------------------------------------------------------------------------


def test_a_restore_that_fails_at_its_commit_can_be_tried_again_after_a_segment_change(tmp_path: Path) -> None:
    """Until a restore is committed the trash keeps the model, whatever became of its files meanwhile."""
    disk = FailingDisk()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "m", b"bytes", b"scaler")
    registry.delete_model("m")
    registry.change_segment()
    commit = registry._store.commit

    def refuse(drafts: Any) -> Any:
        raise StorageError("append to the journal", "x", OSError(errno.ENOSPC, "No space left on device"))

    registry._store.commit = refuse  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        registry.restore("m")
    registry._store.commit = commit  # type: ignore[method-assign]
    entry = registry.restore("m")
    assert Path(entry["model_path"]).read_bytes() == b"bytes"
    assert Path(entry["scaler_path"]).read_bytes() == b"scaler"
    assert registry.retired() == []


def test_an_unfinished_restore_survives_another_registration_of_the_id(tmp_path: Path) -> None:
    """A model whose restore was cut short stays restorable when somebody takes, and frees, its id."""
    registry = open_registry(tmp_path)
    register(registry, "m", b"old bytes")
    registry.delete_model("m")
    registry.change_segment()
    registry._storage.bring_back(dict(registry.retired()[0].entry))  # and then the writer died
    register(registry, "m", b"new bytes")
    registry.delete_model("m")
    assert [item.sequence for item in registry.retired()] == [1, 3]
    entry = registry.restore("m", sequence=1)
    assert Path(entry["model_path"]).read_bytes() == b"old bytes"


def test_a_purge_takes_only_the_retirement_that_was_looked_at(tmp_path: Path) -> None:
    """A model restored and retired again after the trash was listed has its whole grace again."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "m", b"bytes")
    registry.delete_model("m")
    (seen,) = registry.retired()
    registry.restore("m")
    clock.ahead(3600)
    registry.delete_model("m")
    assert registry.purge(seen) is None
    (now,) = registry.retired()
    assert now.at == START + timedelta(hours=1)
    held = sum(path.stat().st_size for path in now.folder.iterdir())
    assert held > len(b"bytes")
    assert registry.purge(now) == held
    assert registry.retired() == []


def test_a_segment_whose_retirements_are_still_in_the_trash_is_not_pruned(tmp_path: Path) -> None:
    """As long as a retired model can be restored, the line that tells of it is kept."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock)
    register(registry, "m", b"bytes")
    registry.delete_model("m")
    registry.change_segment()
    clock.ahead(1000)
    register(registry, "n", b"other")
    assert registry.prune_history(10) == 0
    assert registry.restore("m")["model_id"] == "m"


# --- threads and forks -------------------------------------------------------------------------------------


def test_a_reader_in_another_thread_never_misses_a_model_that_is_being_changed(tmp_path: Path) -> None:
    """While one thread pins and unpins, others see the model each time, and end with its last entry."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "m")
    for number in range(20):
        register(registry, f"n{number}", b"%d" % number)
    stop = threading.Event()
    missed: list[str] = []

    def look() -> None:
        while not stop.is_set():
            if registry.get_model_info("m") is None:
                missed.append("info")
            try:
                if len(registry.list_models()) != 21:
                    missed.append("list")
            except Exception as error:
                missed.append(repr(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    readers = [threading.Thread(target=look) for _ in range(2)]
    try:
        for reader in readers:
            reader.start()
        for _ in range(150):
            registry.pin("m")
            registry.unpin("m")
        registry.pin("m")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert missed == []
    assert registry.get_model_info("m")["pinned"] is True  # type: ignore[index]


def _NoSync() -> Any:  # noqa: N802  # stands for a class

    class NoSync(Disk):
        def fsync(self, fd: int) -> None:
            return

        def fsync_dir(self, path: Path) -> None:
            return

    return NoSync()


def test_a_child_forked_while_another_thread_writes_can_read_and_write(tmp_path: Path) -> None:
    """The child of a fork takes no lock over from a thread that it does not have."""
    code = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from support.crash_kit import open_registry, register\n"
        "registry = open_registry(Path(sys.argv[1]))\n"
        "register(registry, 'a')\n"
        "inside, go = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with registry._store.writing():\n"
        "        inside.set(); go.wait()\n"
        "thread = threading.Thread(target=hold)\n"
        "thread.start(); inside.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        registry.lock_timeout = 0\n"
        "        assert list(registry.registry) == ['a']\n"
        "        try:\n"
        "            registry.pin('a')\n"
        "        except Exception as error:\n"
        "            assert type(error).__name__ == 'RegistryLocked', error\n"
        "        else:\n"
        "            raise AssertionError('the parent holds the lock')\n"
        "    except BaseException as error:\n"
        "        print(repr(error), file=sys.stderr); os._exit(1)\n"
        "    os._exit(0)\n"
        "deadline = time.monotonic() + 20\n"
        "while True:\n"
        "    done, status = os.waitpid(child, os.WNOHANG)\n"
        "    if done: break\n"
        "    if time.monotonic() > deadline:\n"
        "        os.kill(child, 9); print('the child hangs', file=sys.stderr); go.set(); sys.exit(2)\n"
        "go.set(); thread.join()\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# --- aliases, pins, tags -----------------------------------------------------------------------------------


def test_an_alias_names_one_model_within_a_pair_and_type(tmp_path: Path) -> None:
    """The same alias may stand in every pair and type, once in each; asking for it elsewhere gives None."""
    registry = open_registry(tmp_path, disk=_NoSync())
    registry.register_model(metadata("eur"), 1)
    registry.register_model(metadata("gbp", currency_pair="GBP/EUR"), 2)
    registry.register_model(metadata("lstm", model_type="lstm"), 3)
    for model_id in ("eur", "gbp", "lstm"):
        registry.set_alias("champion", model_id)
    asked = [("USD/EUR", "lightgbm"), ("GBP/EUR", "lightgbm"), ("USD/EUR", "lstm"), ("GBP/EUR", "lstm")]
    found = [registry.get_model(pair, kind, alias="champion") for pair, kind in asked]
    assert [entry and entry["model_id"] for entry in found] == ["eur", "gbp", "lstm", None]
    assert registry.get_model("USD/EUR", alias="other") is None


def test_moving_an_alias_is_one_line_that_changes_both_models(tmp_path: Path) -> None:
    """No reader ever sees it on both, or on none; the history of either model tells of the move."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "a")
    register(registry, "b", b"b")
    registry.set_alias("champion", "a")
    before = (tmp_path / "registry.journal.jsonl").read_bytes()
    entry = registry.set_alias("champion", "b", reason="better", actor="anna")
    (line,) = (tmp_path / "registry.journal.jsonl").read_bytes()[len(before) :].splitlines()
    told = json.loads(line)
    assert told["entry"]["aliases"] == entry["aliases"] == ["champion"]
    assert {model_id: other["aliases"] for model_id, other in told["detail"]["also"].items()} == {"a": []}
    assert (told["reason"], told["actor"]) == ("better", "anna")
    assert [line.operation for line in registry.history("a")] == ["register", "alias", "alias"]
    assert registry.set_alias("champion", "b")["sequence"] == 2
    assert registry.sequence == 4  # setting what is set already writes no line


def test_a_calibrated_alias_is_none_when_its_model_is_not(tmp_path: Path) -> None:
    """`calibrated=True` applies to aliases too: no model is returned rather than one that is not calibrated."""
    registry = open_registry(tmp_path, disk=_NoSync())
    registry.register_model(metadata("a", calibration_ok=False), 1)
    registry.set_alias("champion", "a")
    assert registry.get_model("USD/EUR", alias="champion") is not None
    assert registry.get_model("USD/EUR", alias="champion", calibrated=True) is None


@pytest.mark.parametrize("alias", ["", "../up", "a b", "x_scaler", "é"])
def test_an_alias_is_written_like_an_id(tmp_path: Path, alias: str) -> None:
    """Whatever could not be a model_id is no alias either."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "a")
    with pytest.raises(ValueError, match="cannot set the alias"):
        registry.set_alias(alias, "a")
    assert registry.sequence == 1


def test_every_change_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    """Nothing is written, and the error names the id and is a LookupError."""
    registry = open_registry(tmp_path, disk=_NoSync())
    changes: list[Callable[[], object]] = [
        lambda: registry.pin("no"),
        lambda: registry.unpin("no"),
        lambda: registry.tag("no", {"a": "b"}),
        lambda: registry.set_alias("champion", "no"),
        lambda: registry.remove_alias("champion", "no"),
        lambda: registry.replace_scaler("no", {}),
        lambda: registry.restore("no"),
    ]
    for change in changes:
        with pytest.raises(LookupError, match="'no'"):
            change()
    assert registry.sequence == 0


def test_pins_and_aliases_protect_and_say_how_to_go_on(tmp_path: Path) -> None:
    """A protected model is not retired; the hint names the way."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "a")
    registry.pin("a", reason="audit")
    with pytest.raises(EntryProtected, match="it is pinned") as caught:
        registry.delete_model("a")
    assert "unpin a" in caught.value.hint
    registry.unpin("a")
    registry.set_alias("champion", "a")
    with pytest.raises(EntryProtected, match="the alias 'champion' names it"):
        registry.delete_model("a")
    registry.remove_alias("champion", "a")
    assert registry.delete_model("a") is True
    assert [line.operation for line in registry.history("a")] == [
        *("register", "pin", "unpin", "alias", "unalias", "retire"),
    ]


def test_tags_are_checked_like_those_of_a_sidecar(tmp_path: Path) -> None:
    """A tag that no sidecar could have is refused with the problem, and nothing is changed."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "a")
    with pytest.raises(MetadataError) as caught:
        registry.tag("a", {"": "x"})
    assert caught.value.problems
    assert registry.tag("a", {"stage": "live", "note": ""})["tags"] == {"stage": "live", "note": ""}
    assert registry.tag("a", {"stage": None, "missing": None})["tags"] == {"note": ""}
    assert registry.sequence == 3


# --- the past ----------------------------------------------------------------------------------------------


def test_every_query_can_be_asked_as_of_a_moment(tmp_path: Path) -> None:
    """As of T is the registry after the last line at or before T, also for what is newest and what an alias names."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock, disk=_NoSync())
    registry.register_model(metadata("old", trained_at=START - timedelta(days=2)), 1)
    clock.ahead(60)
    registry.register_model(metadata("new", trained_at=START - timedelta(days=1)), 2)
    registry.set_alias("champion", "old")
    clock.ahead(60)
    registry.set_alias("champion", "new")
    registry.change_segment()
    clock.ahead(60)
    registry.unpin("new")
    registry.remove_alias("champion", "new")
    registry.delete_model("new")

    def as_of(seconds: float) -> tuple[object, ...]:
        moment = START + timedelta(seconds=seconds)
        newest = registry.get_model("USD/EUR", as_of=moment)
        champion = registry.get_model("USD/EUR", alias="champion", as_of=moment)
        info = registry.get_model_info("new", as_of=moment)
        return (
            [entry["model_id"] for entry in registry.list_models(as_of=moment)],
            newest and newest["model_id"],
            champion and champion["model_id"],
            info and info["aliases"],
        )

    assert as_of(-1) == ([], None, None, None)
    assert as_of(0) == (["old"], "old", None, None)
    assert as_of(59.999999) == (["old"], "old", None, None)
    assert as_of(60) == (["new", "old"], "new", "old", [])
    assert as_of(120) == (["new", "old"], "new", "new", ["champion"])
    assert as_of(180) == (["old"], "old", None, None)
    naive = (START + timedelta(seconds=60)).replace(tzinfo=None)  # without a zone it counts as UTC
    assert registry.get_model_info("new", as_of=naive) is not None


def test_as_of_a_moment_a_model_trained_later_is_not_newest(tmp_path: Path) -> None:
    """What was dated in the future then was not newest then, though it is today."""
    clock = Clock()
    registry = open_registry(tmp_path, clock=clock, disk=_NoSync())
    registry.register_model(metadata("now", trained_at=START), 1)
    registry.register_model(metadata("soon", trained_at=START + timedelta(minutes=4)), 2)
    found = registry.get_model("USD/EUR")
    assert found is not None and found["model_id"] == "now"
    clock.ahead(300)
    found = registry.get_model("USD/EUR")
    assert found is not None and found["model_id"] == "soon"
    found = registry.get_model("USD/EUR", as_of=START)
    assert found is not None and found["model_id"] == "now"


# --- replacing a scaler ------------------------------------------------------------------------------------


def test_a_scaler_is_replaced_by_a_new_file_and_one_line(tmp_path: Path) -> None:
    """The new file has a name of its own, the old one is in the trash, and old entries still load what they name."""
    registry = open_registry(tmp_path, disk=_NoSync())
    old = registry.register_model(metadata("m"), {"w": 1}, {"mean": 1})
    new = registry.replace_scaler("m", {"mean": 2}, reason="wrong window", actor="anna")
    assert Path(new["scaler_path"]).name == "m_scaler@2.pkl"
    assert new["scaler_replaced"] == 2
    assert new["sha256"] == old["sha256"]
    assert new["size_bytes"] == Path(new["model_path"]).stat().st_size + Path(new["scaler_path"]).stat().st_size
    assert registry.load_model_objects(new) == ({"w": 1}, {"mean": 2})
    assert registry.load_model_objects(old) == ({"w": 1}, {"mean": 1})
    assert not Path(old["scaler_path"]).exists()
    line = registry.history("m")[-1]
    assert (line.sequence, line.operation, line.reason, line.actor) == (2, "replace_scaler", "wrong window", "anna")
    assert line.detail == {"replaced": "prediction/m_scaler.pkl", "replaced_sha256": old["scaler_sha256"]}
    again = registry.replace_scaler("m", {"mean": 3})
    assert [registry.load_scaler(entry) for entry in (old, new, again)] == [{"mean": 1}, {"mean": 2}, {"mean": 3}]


def test_none_is_no_scaler_and_what_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    """Nothing is changed, and no staged file is left."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "m")
    for value in (None, threading.Lock()):
        with pytest.raises(ModelInboxError, match=r"cannot (replace the scaler|pickle the scaler) of 'm'"):
            registry.replace_scaler("m", value)
    assert registry.sequence == 1
    assert list((tmp_path / "prediction" / ".staging").iterdir()) == []


def test_a_scaler_from_a_file_may_import_only_what_was_judged(tmp_path: Path) -> None:
    """Its copy is judged before the commit; a refusal changes nothing; loading is held to what the judge returned."""
    registry = open_registry(tmp_path, disk=_NoSync())
    register(registry, "m")
    file = tmp_path / "scaler.pkl"
    file.write_bytes(pickle.dumps(Fraction(1, 3)))

    def replace(judge: Callable[[Path], dict[str, str]]) -> Any:
        with file.open("rb") as opened:
            return registry.replace_scaler_file("m", opened.fileno(), judge)

    def refuse(copy: Path) -> dict[str, str]:
        assert copy.read_bytes() == file.read_bytes() and copy != file
        raise ModelInboxError("no")

    with pytest.raises(ModelInboxError, match="no"):
        replace(refuse)
    assert registry.sequence == 1
    assert list((tmp_path / "prediction" / ".staging").iterdir()) == []
    entry = replace(lambda _: {"fractions.Fraction": "c"})
    assert registry.load_scaler(entry) == Fraction(1, 3)
    entry = replace(lambda _: {})
    with pytest.raises(LoadRefused, match=r"fractions\.Fraction"):
        registry.load_scaler(entry)
    assert registry.load_scaler(registry.replace_scaler("m", Fraction(1, 7))) == Fraction(1, 7)
    with pytest.raises(EntryNotFound), file.open("rb") as opened:
        registry.replace_scaler_file("other", opened.fileno(), lambda _: {})


# --- loading what is stored --------------------------------------------------------------------------------


def _stored(registry: ModelRegistry, value: object, imports: dict[str, str]) -> Any:
    """Register a pickle as if it had come through the inbox with these imports."""
    candidate = staged(registry, "m", pickle.dumps(value))
    registry.register_staged([dataclasses.replace(candidate, imports=imports)])
    return registry.get_model_info("m")


def test_a_model_of_the_inbox_may_import_what_was_seen_in_it_and_nothing_else(tmp_path: Path) -> None:
    """The entry's list is the bound; what a Python program registered itself is loaded as it pickled it."""
    registry = open_registry(tmp_path, disk=_NoSync())
    entry = _stored(registry, Fraction(1, 3), {"fractions.Fraction": "c"})
    assert registry.load_model(entry) == Fraction(1, 3)
    with pytest.raises(LoadRefused, match=r"fractions\.Fraction"):
        registry.load_model({**entry, "imports": {}})
    with pytest.raises(LoadRefused, match=r"fractions\.Fraction"):
        registry.load_model({**entry, "imports": None})
    own = registry.register_model(metadata("own"), Fraction(1, 3))
    assert registry.load_model(own) == Fraction(1, 3)


def test_bytes_that_were_not_registered_are_not_loaded(tmp_path: Path) -> None:
    """A file that was changed on disk is refused before a byte of it is unpickled."""
    registry = open_registry(tmp_path, disk=_NoSync())
    entry = registry.register_model(metadata("m"), {"w": 1}, {"mean": 1})
    for path, load in (("model_path", registry.load_model), ("scaler_path", registry.load_scaler)):
        file = Path(entry[path])
        file.chmod(0o640)
        file.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
        with pytest.raises(LoadRefused, match=f"{file.name}.*not those that were registered"):
            load(entry)


def test_what_is_unpickled_is_what_was_digested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is rewritten between its digest and its loading changes nothing: it is read once."""
    registry = open_registry(tmp_path, disk=_NoSync())
    entry = registry.register_model(metadata("m"), {"w": 1})
    file = Path(entry["model_path"])
    original = pickles.load

    def late(data: Any, imports: Any) -> Any:
        file.chmod(0o640)
        file.write_bytes(pickle.dumps("hostile"))
        return original(data, imports)

    monkeypatch.setattr(pickles, "load", late)
    assert registry.load_model(entry) == {"w": 1}


def test_a_model_whose_id_is_used_again_is_gone_and_not_damaged(tmp_path: Path) -> None:
    """Retired, purged, and the id registered anew: the old entry's model is no longer there. In the trash, it is."""
    registry = open_registry(tmp_path, disk=_NoSync())
    first = registry.register_model(metadata("m"), {"w": 1}, {"mean": 1})
    registry.delete_model("m")
    second = registry.register_model(metadata("m"), {"w": 2}, {"mean": 2})
    assert registry.load_model_objects(first) == ({"w": 1}, {"mean": 1})
    (retired,) = registry.retired()
    held = retired.folder / "m.pkl"
    held.chmod(0o640)
    held.write_bytes(b"damaged")
    with pytest.raises(LoadRefused, match=r"\.trash/m\.1/m\.pkl.*not those that were registered"):
        registry.load_model(first)
    registry.purge(retired, reason="test")
    for load, path in ((registry.load_model, "model_path"), (registry.load_scaler, "scaler_path")):
        with pytest.raises(FileNotFoundError, match="belongs to the model of change 3 of the history") as raised:
            load(first)
        assert raised.value.filename == first[path]
    assert registry.load_model_objects(second) == ({"w": 2}, {"mean": 2})


def test_a_model_that_is_gone_is_named(tmp_path: Path) -> None:
    """After a purge it is FileNotFoundError with the path where the model was, as for any missing file."""
    registry = open_registry(tmp_path, disk=_NoSync())
    entry = registry.register_model(metadata("m"), {"w": 1}, {"mean": 1})
    registry.delete_model("m")
    assert registry.load_model_objects(entry) == ({"w": 1}, {"mean": 1})
    registry.purge(registry.retired()[0])
    with pytest.raises(FileNotFoundError) as caught:
        registry.load_model_objects(entry)
    assert caught.value.filename == entry["model_path"]
    with pytest.raises(FileNotFoundError) as caught:
        registry.load_scaler(entry)
    assert caught.value.filename == entry["scaler_path"]


def test_a_file_that_cannot_be_opened_is_an_error_with_its_path(tmp_path: Path) -> None:
    """A symlink, or a folder, in the place of a model is neither followed nor taken for a missing file."""
    registry = open_registry(tmp_path, disk=_NoSync())
    entry = registry.register_model(metadata("m"), {"w": 1})
    file = Path(entry["model_path"])
    file.rename(tmp_path / "other.pkl")
    file.symlink_to(tmp_path / "other.pkl")
    with pytest.raises(StorageError, match=r"open .*m\.pkl"):
        registry.load_model(entry)


def test_a_large_model_is_in_memory_once_beside_what_it_becomes(tmp_path: Path) -> None:
    """Loading takes the file and the object at its peak: no second reading, no copy for the digest or the reader."""
    registry = open_registry(tmp_path, disk=_NoSync())
    for origin, size in (("inbox", 24 << 20), ("api", 72 << 20)):
        candidate = staged(registry, origin, pickle.dumps({"w": bytes(size)}, protocol=5))
        registry.register_staged([dataclasses.replace(candidate, origin=origin)])  # type: ignore[arg-type]
        entry = registry.registry[origin]
        code = (
            "import re, sys\nfrom pathlib import Path\nfrom support.crash_kit import open_registry\n"
            "def most(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024\n"
            "registry = open_registry(Path(sys.argv[1]), read_only=True)\n"
            "registry.load_model(registry.registry['small'])\n"
            "before = most()\n"
            "model, scaler = registry.load_model_objects(registry.registry[sys.argv[2]])\n"
            f"assert len(model['w']) == {size} and scaler is None\n"
            "print(most() - before)\n"
        )
        if origin == "inbox":
            register(registry, "small", pickle.dumps(1))
        assert entry["model_id"] == origin
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), origin],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        times = int(done.stdout) / size
        assert 1.9 < times < 2.2, f"{times:.2f} times the file"


def test_a_plain_reader_sees_what_a_script_has_registered_before_it_ends(tmp_path: Path) -> None:
    """The JSON file is written when it lacks more than it has: at most half of a growing registry is missing in it."""
    with open_registry(tmp_path) as registry:
        for number in range(1, 41):
            registry.register_model(metadata(f"m{number}"), number)
            seen = json.loads((tmp_path / "registry.json").read_text())
            assert len(seen) >= number // 2
            if number == 1:
                assert list(seen) == ["m1"]
    assert len(json.loads((tmp_path / "registry.json").read_text())) == 40
