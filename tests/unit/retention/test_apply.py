"""Carrying out a plan: who wins when something changes meanwhile, what a crash leaves, what is purged and when."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, StorageError
from model_inbox.base.disk import Disk
from model_inbox.config.retention import RetentionSection
from model_inbox.registry.position import Identity
from model_inbox.registry.segments import JournalFile
from model_inbox.retention.apply import apply_retention, plan_retention, purge_leftovers, purge_trash
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, as_version_0_1, metadata, open_registry
from support.world import FailingDisk, Killed, StoppingDisk, World, must_be_root

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WEEK = 7 * 86_400.0


def rules(mode: str = "enforce", **policy: Any) -> RetentionSection:
    """Keep the newest and what is tagged `production`, with a breaker that lets all go."""
    keep = policy.pop("keep", {"last": 1, "tags": [["production"]]})
    section = {"mode": mode, "breaker": {"max_fraction": 1}, "policies": [{"keep": keep, **policy}]}
    return RetentionSection.model_validate(section)


def fill(registry: ModelRegistry, *names: str, **fields: Any) -> None:
    """Register models with scalers, the first the oldest, a day apart."""
    for number, name in enumerate(names):
        trained_at = datetime(2026, 11, 1 + number, tzinfo=UTC)
        registry.register_model(metadata(name, trained_at=trained_at, **fields), {"is": name}, {"scales": name})


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with open_registry(tmp_path) as registry:
        fill(registry, "a", "b", "c", "new")
        yield registry


def put_back_older_copy(folder: Path, copy: Path, known: Identity) -> None:
    """Put a copy in the place of a registry, with a new epoch."""
    journal = JournalFile(copy / "registry.journal.jsonl", QuickDisk(), writable=True)
    journal.read_new()
    journal.take_over(known.next_epoch(lambda: "0123456789abcdef"), journal.format)
    journal.close()
    (folder / "registry.checkpoint.json").unlink(missing_ok=True)
    for name in ("registry.json", "registry.journal.jsonl"):
        (copy / name).rename(folder / name)


def in_trash(registry: ModelRegistry) -> list[str]:
    return [item.model_id for item in registry.retired()]


class QuickStoppingDisk(StoppingDisk):
    """A disk that is killed at a step, and syncs nothing: the kernel outlives the process."""

    def _step(self, name: str, *args: Any) -> Any:
        if name in ("fsync", "fsync_dir") and not self.stopped and self.count + 1 != self.stop_at:
            self.count += 1
            self.steps.append(name)
            return None
        return super()._step(name, *args)


def tree(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return all that can be seen of every name below a folder, times included, but for when it was read."""
    seen = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        about = path.lstat()
        digest = int(hashlib.sha256(path.read_bytes()).hexdigest(), 16) if path.is_file() else 0
        seen[str(path)] = (
            *(about.st_ino, about.st_mode, about.st_nlink, about.st_uid, about.st_gid, about.st_size),
            *(about.st_mtime_ns, about.st_ctime_ns, digest),
        )
    return seen


# --- the plan, done ----------------------------------------------------------------------------------------


def test_each_step_is_in_the_history_and_in_the_log_with_its_reasons(registry: ModelRegistry) -> None:
    """What goes is in the trash; the journal and the log say why, and what it weighs."""
    with capture_logs() as logs:
        done = apply_retention(registry, rules(), NOW)
    assert (done.retired, done.skipped, done.refused) == (("a", "b", "c"), (), False)
    assert in_trash(registry) == ["a", "b", "c"]
    line = registry.history("a")[-1]
    why = ["last 1: since 2026-11-02T00:00:00Z", "tags [production]: not set"]
    assert (line.operation, line.actor, line.reason) == ("retire", "retention", "; ".join(why))
    logged = [log for log in logs if log["event"] == "entry.retired"]
    assert [log["model_id"] for log in logged] == ["a", "b", "c"]
    assert logged[0] == {
        "event": "entry.retired",
        "log_level": "info",
        "model_id": "a",
        "currency_pair": "USD/EUR",
        "model_type": "lightgbm",
        "variant": None,
        "reasons": why,
        "bytes": registry.retired()[0].entry["size_bytes"],
        "sequence": 1,
    }


def test_the_second_time_changes_nothing(registry: ModelRegistry, tmp_path: Path) -> None:
    """Applying again retires nothing, writes nothing and logs nothing."""
    apply_retention(registry, rules(), NOW)
    before = tree(tmp_path)
    with capture_logs() as logs:
        assert apply_retention(registry, rules(), NOW).retired == ()
    assert (tree(tmp_path), logs) == (before, [])


def test_dry_run_touches_nothing_at_all(registry: ModelRegistry, tmp_path: Path) -> None:
    """In dry-run the plan is made and logged; no name, byte, right or time below the registry changes."""
    registry.delete_model("a")
    before = tree(tmp_path)
    with capture_logs() as logs:
        done = apply_retention(registry, rules("dry-run"), NOW)
    assert [item.model_id for item in done.plan.retire] == ["b", "c"]
    assert (done.retired, done.refused) == ((), False)
    assert [(log["event"], log["mode"], log["retire"]) for log in logs] == [("retention.planned", "dry-run", 2)]
    assert tree(tmp_path) == before


@pytest.mark.parametrize("mode", ["dry-run", "off"])
def test_a_service_that_may_not_retire_touches_no_model(tmp_path: Path, mode: str) -> None:
    """Whatever time passes, `models/` stays as it is to the last time stamp, the trash included, unless it enforces."""
    world = World(tmp_path / "world", {"retention": section_of(mode=mode)})
    with world.running() as service:
        fill(service.registry, "a", "b")
        service.registry.delete_model("a")
        fill(service.registry, "c")
        service.registry.checkpoint(force=True)
        before = tree(world.models)
        for _ in range(3):
            world.clock.advance(10 * 86_400.0)
            world.live_on(service)
        assert tree(world.models) == before
        world.configure(retention=section_of(mode="enforce"))
        service.reload()
        world.live_on(service)
        assert list(service.registry.registry) == ["b"]
        assert in_trash(service.registry) == ["c"]  # and what had been there for longer than the grace is gone


def section_of(**changes: Any) -> dict[str, Any]:
    """Return a section of config.yaml that keeps the newest, and may retire all others in one run."""
    return {"breaker": {"max_fraction": 1}, "policies": [{"keep": {"last": 1}}], **changes}


# --- what changes meanwhile --------------------------------------------------------------------------------


def again(registry: ModelRegistry) -> None:
    registry.delete_model("b")
    registry.register_model(metadata("b", trained_at=datetime(2026, 11, 2, tzinfo=UTC)), {"is": "another"})


def delete_newer(registry: ModelRegistry) -> None:
    for name in ("c", "new"):
        registry.delete_model(name)


CHANGES: dict[str, Callable[[ModelRegistry], object]] = {
    "pin": lambda registry: registry.pin("b"),
    "alias": lambda registry: registry.set_alias("champion", "b"),
    "a tag that a rule keeps": lambda registry: registry.tag("b", {"production": ""}),
    "all newer ones deleted": delete_newer,
}


def before_step(registry: ModelRegistry, model_id: str, change: Callable[[ModelRegistry], object]) -> None:
    """Let another handle make a change just before the step that retires `model_id`, when all has been looked at."""
    delete = registry.delete_model
    pending = [change]

    def delete_later(asked: str, **options: Any) -> bool:
        if asked == model_id and pending:
            with open_registry(Path(registry.registry_path).parent, actor="somebody") as other:
                pending.pop()(other)
        return delete(asked, **options)

    registry.delete_model = delete_later  # type: ignore[method-assign]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_holds_a_model_by_the_time_of_its_step_wins(
    registry: ModelRegistry, change: Callable[[ModelRegistry], object]
) -> None:
    """A pin, an alias, a tag, or the loss of the newer models, committed a moment before the step, keeps the model."""
    before_step(registry, "b", change)
    with capture_logs() as logs:
        done = apply_retention(registry, rules(), NOW)
    assert done.retired[0] == "a"
    assert "b" in done.skipped
    assert registry.get_model_info("b") is not None
    assert {"event": "entry.spared", "log_level": "info", "model_id": "b", "sequence": 2} in logs


def test_a_drop_under_the_id_of_a_model_that_goes_is_another_model(registry: ModelRegistry) -> None:
    """The plan speaks of one registration: who takes the id meanwhile is not meant by it."""
    made = plan_retention(registry, rules(), NOW)
    again(registry)
    done = apply_retention(registry, rules(), NOW, planned=made)
    assert (done.retired, done.skipped) == (("a", "c"), ("b",))
    entry = registry.get_model_info("b")
    assert entry is not None
    assert registry.load_model(entry) == {"is": "another"}
    assert apply_retention(registry, rules(), NOW).retired == ("b",)  # by a plan of its own


def test_a_drop_during_the_run_is_not_retired_by_it(registry: ModelRegistry) -> None:
    """Models that arrive meanwhile, older ones too, wait for a plan that shows them; the rest of the run goes on."""
    before_step(registry, "b", lambda other: fill(other, "late"))
    done = apply_retention(registry, rules(), NOW)
    assert (done.retired, done.skipped) == (("a", "b", "c"), ())
    assert set(registry.registry) == {"late", "new"}


def test_a_change_that_holds_nothing_does_not_stop_the_run(registry: ModelRegistry) -> None:
    """The reasons in the journal are those of the moment, not those of the plan."""
    newest = metadata("newest", trained_at=datetime(2026, 11, 20, tzinfo=UTC))
    made = plan_retention(registry, rules(), NOW)
    registry.register_model(newest, {})
    registry.delete_model("new")
    assert apply_retention(registry, rules(), NOW, planned=made).retired == ("a", "b", "c")
    assert registry.history("c")[-1].reason.startswith("last 1: since 2026-11-20T00:00:00Z")


def test_writers_without_end_keep_their_models_until_the_next_run(registry: ModelRegistry) -> None:
    """Where each look is overtaken by another commit, the step is left to the next run instead of forced."""
    delete = registry.delete_model
    tags = iter(range(100))

    def overtaken(model_id: str, **options: Any) -> bool:
        with open_registry(Path(registry.registry_path).parent) as other:
            other.tag("new", {"n": str(next(tags))})
        return delete(model_id, **options)

    registry.delete_model = overtaken  # type: ignore[method-assign]
    done = apply_retention(registry, rules(), NOW)
    assert (done.retired, done.skipped) == ((), ("a", "b", "c"))


# --- the breaker -------------------------------------------------------------------------------------------


def test_the_breaker_stops_all_and_the_service_shows_it(tmp_path: Path) -> None:
    """Over the limits nothing goes, the log has an error, and the service says so until it is over."""
    world = World(tmp_path / "world", {"retention": section_of(mode="enforce", breaker={"max_deletes": 1})})
    with world.running() as service:
        fill(service.registry, "a", "b", "new")
        with capture_logs() as logs:
            world.live_on(service)
        (refused,) = [log for log in logs if log["log_level"] == "error"]
        assert refused["event"] == "retention.refused"
        assert (
            "retire 2 of 3 models of the group 'USD/EUR', 'lightgbm', and one run may retire 1 model"
            in refused["problem"]
        )
        assert (refused["retire"], refused["groups"]) == (2, 1)
        assert service.health.breaker == refused["problem"]
        assert service.health.retention_problem == ""
        assert set(service.registry.registry) == {"a", "b", "new"}
        service.registry.pin("a")
        world.clock.advance(3700)
        world.live_on(service)
        assert service.health.breaker == ""
        assert set(service.registry.registry) == {"a", "new"}


def test_the_breaker_stops_one_group_and_not_the_others(tmp_path: Path) -> None:
    """The group that is over the limit stays as it is, and is shown; what is due in another one goes."""
    world = World(tmp_path / "world", {"retention": section_of(mode="enforce", breaker={"max_deletes": 2})})
    with world.running() as service:
        fill(service.registry, "a", "b", "c", "new")
        fill(service.registry, "x", "y", currency_pair="EUR/CHF")
        world.live_on(service)
        assert set(service.registry.registry) == {"a", "b", "c", "new", "y"}
        assert "retire 3 of 4 models of the group 'USD/EUR', 'lightgbm'" in service.health.breaker


def test_the_breaker_gives_way_to_a_hand(registry: ModelRegistry) -> None:
    """With `override_breaker` the very plan that was refused is carried out."""
    section = rules().model_copy(update={"breaker": RetentionSection.model_validate({}).breaker})
    refused = apply_retention(registry, section, NOW)
    assert (refused.refused, refused.retired) == (True, ())
    done = apply_retention(registry, section, NOW, planned=refused.plan, override_breaker=True)
    assert done.retired == ("a", "b", "c")


# --- files that are not where they should be ---------------------------------------------------------------


def test_a_missing_file_is_retired_cleanly(registry: ModelRegistry) -> None:
    """A model whose file is gone leaves the registry like any other; what is left of it is in the trash."""
    entry = registry.get_model_info("a")
    assert entry is not None
    Path(entry["model_path"]).unlink()
    assert apply_retention(registry, rules(), NOW).retired == ("a", "b", "c")
    folder = registry.retired()[0].folder
    assert sorted(os.listdir(folder)) == ["a.yaml", "a_scaler.pkl"]
    with pytest.raises(FileNotFoundError, match=r"a\.pkl"):
        registry.load_model(entry)
    assert purge_trash(registry, 0, NOW + timedelta(days=8)) == (3, pytest.approx(3000, abs=3000))
    assert in_trash(registry) == []


def test_a_model_whose_whole_folder_is_gone_is_retired_cleanly(tmp_path: Path) -> None:
    """An entry of a registry that was not ours may name a folder that nobody has any more."""
    theirs = {
        "model_id": "theirs",
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": "2025-01-01T00:00:00Z",
        "model_path": "gone/with/it.pkl",
    }
    (tmp_path / "registry.json").write_text(json.dumps({"theirs": theirs}))
    with open_registry(tmp_path) as registry:
        fill(registry, "new")
        assert apply_retention(registry, rules(), NOW).retired == ("theirs",)
        assert list(registry.registry) == ["new"]


def test_a_file_that_another_entry_names_too_stays(tmp_path: Path) -> None:
    """In a registry that was not ours models may share a scaler: it goes with the last of them."""
    (tmp_path / "prediction").mkdir()
    entries = {}
    for number, name in enumerate(["old", "new"], start=1):
        (tmp_path / "prediction" / f"{name}.pkl").write_bytes(name.encode())
        entries[name] = {
            "model_id": name,
            "model_type": "lightgbm",
            "currency_pair": "USD/EUR",
            "trained_at": f"2025-01-0{number}T00:00:00Z",
            "model_path": f"prediction/{name}.pkl",
            "scaler_path": "prediction/shared.pkl",
        }
    shared = tmp_path / "prediction" / "shared.pkl"
    shared.write_bytes(b"scaler")
    (tmp_path / "registry.json").write_text(json.dumps(entries))
    with open_registry(tmp_path) as registry:
        assert apply_retention(registry, rules(), NOW).retired == ("old",)
        assert shared.read_bytes() == b"scaler"
        assert os.listdir(registry.retired()[0].folder) == ["old.pkl"]
        registry.restore("old")
        registry.delete_model("old")
        registry.delete_model("new")
        assert sorted(os.listdir(registry.retired()[-1].folder)) == ["new.pkl", "shared.pkl"]


# --- loading a model that goes -----------------------------------------------------------------------------


def test_a_model_that_is_loaded_is_not_pulled_away(registry: ModelRegistry) -> None:
    """Who has the entry loads it from the trash; who has the file open holds up the purge; after that it is gone."""
    entry = registry.get_model_info("a")
    assert entry is not None
    apply_retention(registry, rules(), NOW)
    assert registry.load_model_objects(entry) == ({"is": "a"}, {"scales": "a"})
    later = NOW + timedelta(days=8)
    (held, *_) = registry.retired()
    with (held.folder / "a_scaler.pkl").open("rb") as file:
        models, freed = purge_trash(registry, WEEK, later)
        assert models == 2
        assert in_trash(registry) == ["a"]
        assert file.read()
    assert registry.load_model_objects(entry) == ({"is": "a"}, {"scales": "a"})
    files = [path.stat().st_size for path in held.folder.iterdir()]
    with capture_logs() as logs:
        assert purge_trash(registry, WEEK, later) == (1, sum(files))
    assert freed > 0
    (logged,) = logs
    assert logged == {
        "event": "entry.purged",
        "log_level": "info",
        "model_id": "a",
        "sequence": 1,
        "bytes": sum(files),
    }
    with pytest.raises(FileNotFoundError, match=r"prediction/a\.pkl"):
        registry.load_model_objects(entry)


@pytest.fixture(name="open_path")
def _open_path() -> Iterator[Path]:
    """A folder that every user can look into (pytest's own cannot be)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_purge_waits_for_a_reader_who_is_somebody_else(open_path: Path) -> None:
    """The service, no root, is refused the write lease on its own file while another user has it open."""
    must_be_root()
    service, reader, consumers = 12001, 12002, 12003
    folder = open_path / "models"
    folder.mkdir()
    os.chown(folder, service, consumers)
    folder.chmod(0o2750)  # so that the group of all that is made in it is the consumers'

    def load() -> None:
        """Hold the entry from before the retirement, and load what it names."""
        with open_registry(folder, read_only=True) as registry:
            entry = registry.history("a")[0].entry
            assert entry is not None
            print(registry.load_model_objects(entry))

    def purge() -> None:
        with open_registry(folder) as registry:
            print(purge_trash(registry, WEEK, NOW + timedelta(days=8))[0])

    def retire() -> None:
        with open_registry(folder) as registry:
            fill(registry, "a", "new")
            print(apply_retention(registry, rules(), NOW).retired)

    assert as_user(service, service, retire) == "('a',)"
    assert as_user(reader, consumers, load) == "({'is': 'a'}, {'scales': 'a'})"
    (file,) = folder.glob(".trash/*/a.pkl")
    with reading(reader, consumers, file):
        assert as_user(service, service, purge) == "0"
        assert file.exists()
    assert as_user(service, service, purge) == "1"
    assert not file.parent.exists()


def as_user(uid: int, gid: int, work: Callable[[], None]) -> str:
    """Do something in a process of another user and return the last line it prints."""
    with forked(uid, gid, work) as output:
        return output.read().rstrip().rpartition("\n")[2]


@contextlib.contextmanager
def forked(uid: int, gid: int, work: Callable[[], None]) -> Iterator[TextIO]:
    """Let a process of another user work meanwhile, and yield what it prints; it must end well."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            sys.stdout = os.fdopen(writer, "w", buffering=1)
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as output:
        yield output
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextlib.contextmanager
def reading(uid: int, gid: int, path: Path) -> Iterator[None]:
    """Let a process of another user have a file open meanwhile."""
    waiting, tell = os.pipe()

    def read() -> None:
        os.close(tell)
        with path.open("rb"):
            print("open")
            os.read(waiting, 1)  # until the other end is closed

    with forked(uid, gid, read) as output:
        os.close(waiting)
        try:
            assert output.readline() == "open\n"
            yield
        finally:
            os.close(tell)


# --- the end of the grace ----------------------------------------------------------------------------------


def test_the_grace_is_over_after_it_not_at_it(registry: ModelRegistry) -> None:
    """Exactly seven days is still within seven days."""
    apply_retention(registry, rules(), NOW)
    at = registry.retired()[0].at
    assert purge_trash(registry, WEEK, at + timedelta(days=7)) == (0, 0)
    assert purge_trash(registry, WEEK, at + timedelta(days=7, microseconds=1))[0] == 3


def test_one_that_cannot_be_removed_keeps_no_other_from_going(tmp_path: Path) -> None:
    """The error is raised in the end; the next start tries again and finishes."""

    def stuck(name: str, *args: Any) -> int | None:
        return errno.EPERM if name == "unlink" and "a.1" in str(args[0]) else None

    with open_registry(tmp_path) as registry:
        fill(registry, "a", "b", "new")
        apply_retention(registry, rules(), NOW)
    disk = FailingDisk(stuck)
    with open_registry(tmp_path, disk=disk) as registry:
        with pytest.raises(StorageError, match="purge"):
            purge_trash(registry, WEEK, NOW + timedelta(days=8))
        assert sorted(os.listdir(tmp_path / ".trash")) == ["a.1"]
    with open_registry(tmp_path) as registry:
        assert registry.finish_purges() == 1
        assert os.listdir(tmp_path / ".trash") == []


def test_what_was_left_is_finished_though_one_of_it_cannot_be(tmp_path: Path) -> None:
    """Of two moves and two removals that were cut short, the one that is possible is done; the other is an error."""

    def die(*_: Any) -> None:
        raise Killed

    with open_registry(tmp_path) as registry:
        fill(registry, "a", "b", "c", "d")
        registry.delete_model("a")
        registry.delete_model("b")
        registry._storage.erase = die  # type: ignore[method-assign,assignment]
        for item in registry.retired():
            with pytest.raises(Killed):
                registry.purge(item)
        registry._storage.discard = die  # type: ignore[method-assign,assignment]
        for name in ("c", "d"):
            with pytest.raises(Killed):
                registry.delete_model(name)

    def stuck(name: str, *args: Any) -> int | None:
        return errno.EPERM if name in ("unlink", "rename_new") and args[0].name in ("a.pkl", "c.pkl") else None

    with open_registry(tmp_path, disk=FailingDisk(stuck)) as registry:
        with pytest.raises(StorageError, match=r"prediction/c\.pkl"):
            registry.finish_retirements()
        with pytest.raises(StorageError, match=r"a\.1"):
            registry.finish_purges()
        assert sorted(os.listdir(tmp_path / ".trash")) == ["a.1", "c.3", "d.4"]
        assert sorted(path.name for path in (tmp_path / "prediction").glob("[cd]*")) == [
            "c.pkl",
            "c.yaml",
            "c_scaler.pkl",
        ]
    with open_registry(tmp_path) as registry:
        assert (registry.finish_retirements(), registry.finish_purges()) == (1, 1)
        assert in_trash(registry) == ["c", "d"]


def leftover(trash: Path, name: str, age_seconds: float, data: bytes = b"12345") -> Path:
    """Make a leftover as `Storage.set_aside` does, that long ago."""
    folder = trash / f"{name}.leftover-1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(data)
    os.utime(folder, (NOW.timestamp() - age_seconds, NOW.timestamp() - age_seconds))
    return folder


def test_leftovers_go_after_the_same_grace(tmp_path: Path) -> None:
    """Files without an entry are kept for the grace too, and what they weighed is told."""
    trash = tmp_path / ".trash"
    assert purge_leftovers(trash, WEEK, NOW, Disk()) == (0, 0)
    old, young = leftover(trash, "old.pkl", WEEK + 1), leftover(trash, "young.pkl", WEEK)
    (trash / "model.7").mkdir()  # a retired model's folder: none of this function's business
    with capture_logs() as logs:
        assert purge_leftovers(trash, WEEK, NOW, Disk()) == (1, 5)
    assert (old.exists(), young.exists(), (trash / "model.7").exists()) == (False, True, True)
    assert logs == [{"event": "registry.leftover_purged", "log_level": "info", "name": "old.pkl", "bytes": 5}]


def test_a_leftover_that_is_no_folder_is_left_alone(tmp_path: Path) -> None:
    """A link by such a name leads nowhere that we would remove anything."""
    trash, elsewhere = tmp_path / ".trash", tmp_path / "elsewhere"
    trash.mkdir()
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"1")
    (trash / "x.leftover-1").symlink_to(elsewhere)
    (trash / "y.leftover-1").write_bytes(b"1")
    assert purge_leftovers(trash, -(10**9), NOW, Disk()) == (0, 0)
    assert (elsewhere / "precious").exists()


def test_one_leftover_that_cannot_be_removed_keeps_no_other(tmp_path: Path) -> None:
    """The first error is raised when all have had their turn."""
    trash = tmp_path / ".trash"
    for name in ("a.pkl", "b.pkl", "c.pkl"):
        leftover(trash, name, WEEK + 1)
    disk = FailingDisk(lambda name, *args: errno.EPERM if name == "unlink" and args[0].name != "c.pkl" else None)
    with pytest.raises(StorageError, match=r"a\.pkl\.leftover-1"):
        purge_leftovers(trash, WEEK, NOW, disk)
    assert sorted(path.name for path in trash.iterdir()) == ["a.pkl.leftover-1", "b.pkl.leftover-1"]


# --- two file systems, and crashes -------------------------------------------------------------------------


@pytest.fixture(name="place", params=["one file system", "the trash on another", "the models on another"])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A registry's folder, all on one file system or with a part of it really on another (a tmpfs)."""
    folder = tmp_path / "models"
    part = {"the trash on another": ".trash", "the models on another": "prediction"}.get(request.param)
    if part is None:
        folder.mkdir()
        yield folder
        return
    must_be_root()
    (folder / part).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder / part)], check=True)
    try:
        assert (folder / part).stat().st_dev != folder.stat().st_dev
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder / part)], check=True)


def empty(folder: Path) -> None:
    """Remove all below a folder but the places that something is mounted on."""
    for path in folder.iterdir():
        if path.is_mount():
            empty(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def test_retire_restore_and_purge_on_any_file_systems(place: Path) -> None:
    """The same bytes go to the trash, load from there, come back, and are removed in the end."""
    with open_registry(place) as registry:
        fill(registry, "a", "b", "new")
        entry = registry.get_model_info("a")
        assert entry is not None
        bytes_before = Path(entry["model_path"]).read_bytes()
        apply_retention(registry, rules(), NOW)
        assert not Path(entry["model_path"]).exists()
        assert registry.load_model_objects(entry) == ({"is": "a"}, {"scales": "a"})
        assert registry.restore("a") == entry
        assert Path(entry["model_path"]).read_bytes() == bytes_before
        assert in_trash(registry) == ["b"]
        apply_retention(registry, rules(), NOW)
        assert in_trash(registry) == ["b", "a"]
        assert purge_trash(registry, WEEK, NOW + timedelta(days=8))[0] == 2
        assert os.listdir(place / ".trash") == []


def whole(registry: ModelRegistry) -> None:
    """Every model is registered, or can be restored, or its purge is in the journal; its bytes are what they were."""
    purged = {line.detail["sequence"] for line in registry.history() if line.operation == "purge" and line.detail}
    held = {item.sequence: item for item in registry.retired()}
    for line in registry.history():
        if line.operation != "register" or line.entry is None or line.sequence in purged:
            continue
        entry = registry.get_model_info(line.model_id)
        if entry is None:
            entry = registry.restore(line.model_id, sequence=held[line.sequence].sequence)
        assert registry.load_model_objects(entry) == ({"is": line.model_id}, {"scales": line.model_id})


def test_a_crash_between_any_two_steps_loses_nothing(place: Path) -> None:
    """Killed before any step on the disk, and after the last: the next start finishes, and nobody needed is gone."""
    later = NOW + timedelta(days=8)

    def prepare() -> None:
        empty(place)
        with open_registry(place, disk=QuickDisk()) as registry:
            fill(registry, "gone", "a", "new")
            registry.delete_model("gone")

    def run(disk: Disk) -> None:
        """Purge what was there and retire one: both ways of losing a model, one after the other."""
        registry = open_registry(place, disk=disk)
        try:
            purge_trash(registry, WEEK, later)
            apply_retention(registry, rules(), later)
        finally:
            registry._store.json_file.is_dirty = False  # a process that is killed writes no checkpoint
            registry._store.close(wait=False)

    prepare()
    counting = QuickStoppingDisk()
    with capture_logs():
        run(counting)
    assert counting.count > 12
    for point in range(1, counting.count + 2):
        prepare()
        disk = QuickStoppingDisk(point)
        with capture_logs(), contextlib.suppress(Killed):
            run(disk)
        where = f"before {(*counting.steps, 'the end')[point - 1]}, step {point}"
        assert disk.stopped == (point <= counting.count), where
        with capture_logs(), open_registry(place, clock=Clock(later), disk=QuickDisk()) as registry:
            assert "new" in registry.registry, where
            registry.finish_retirements()
            registry.finish_purges()
            named = {Path(e[k]).name for e in registry.registry.values() for k in ("model_path", "scaler_path")}
            assert {path.name for path in (place / "prediction").glob("*.pkl")} == named, where
            whole(registry)
            apply_retention(registry, rules(), later)
            purge_trash(registry, WEEK, later + timedelta(days=8))
            assert (set(registry.registry), in_trash(registry)) == ({"new"}, []), where


def test_no_room_in_the_trash_is_no_loss_and_is_made_good(tmp_path: Path) -> None:
    """A trash on a full file system: the rest goes on, the purge makes room, the next run moves what was left."""
    full = [True]

    def no_room(name: str, *args: Any) -> int | None:
        if name == "rename_new" and ".trash" in str(args[1]) and full[0]:
            return errno.ENOSPC
        return None

    world = World(tmp_path / "world", {"retention": section_of(mode="enforce")})
    with world.running() as service:
        fill(service.registry, "ancient", "b")
        service.registry.delete_model("ancient")
    world.clock.advance(8 * 86_400.0)
    with world.running(FailingDisk(no_room)) as service:
        fill(service.registry, "a", "new")
        with capture_logs() as logs:
            world.live_on(service)
        assert {log["event"] for log in logs if log["log_level"] == "error"} == {
            "retention.failed",
            "registry.leftover_unmoved",
        }
        assert "No space left" in service.health.retention_problem
        assert "ancient" in [log.get("model_id") for log in logs if log["event"] == "entry.purged"]
        full[0] = False
        world.clock.advance(3700)
        world.live_on(service)
        assert service.health.retention_problem == ""
        assert {path.name for path in (world.models / "prediction").glob("*.pkl")} == {
            Path(entry[key]).name
            for entry in service.registry.registry.values()
            for key in ("model_path", "scaler_path")
        }
        assert "b" in in_trash(service.registry) or "a" in in_trash(service.registry)


def test_a_file_that_cannot_be_removed_does_not_keep_the_daemon_from_starting(tmp_path: Path) -> None:
    """A purge that a crash cut short is tried again at start; where that fails, drops are taken all the same."""
    world = World(tmp_path / "world", {"retention": section_of(mode="enforce")})
    with world.running() as service:
        fill(service.registry, "a", "new")
        service.registry.delete_model("a")
        (held,) = service.registry.retired()
        with pytest.raises(Killed):
            ModelRegistry.purge(service.registry, held) if kill_erase(service.registry) else None
    stuck = FailingDisk(lambda name, *args: errno.EPERM if name == "unlink" and "a.1" in str(args[0]) else None)
    world.put("drop")
    with capture_logs() as logs, world.running(stuck) as service:
        assert "registry.leftover_unmoved" in [log["event"] for log in logs]
        world.live_on(service, 5)
        assert "drop" in world.registrations()
    assert (world.models / ".trash" / "a.1").is_dir()
    with world.running():
        assert not (world.models / ".trash" / "a.1").exists()


def kill_erase(registry: ModelRegistry) -> bool:
    """Let the next purge end right after its line in the journal."""

    def killed(_folder: Path) -> int:
        raise Killed

    registry._storage.erase = killed  # type: ignore[method-assign]
    return True


# --- a real daemon -----------------------------------------------------------------------------------------


def test_a_daemon_retires_after_a_registration_and_purges_in_time(tmp_path: Path) -> None:
    """The older of two drops goes by itself, with its reasons in the log; without a grace it is gone at once."""
    world = World(tmp_path / "world", {"retention": section_of(mode="enforce", trash_grace="1w")})
    with world.daemon() as daemon:
        world.put("first", trained_at="2025-10-01T00:00:00Z")
        daemon.wait_for("drop.registered")
        world.put("second", trained_at="2025-10-02T00:00:00Z")
        (retired,) = daemon.wait_for("entry.retired")
        assert retired["model_id"] == "first"
        assert retired["reasons"] == ["last 1: since 2025-10-02T00:00:00Z"]
        assert (world.models / ".trash" / f"first.{retired['sequence']}" / "first.pkl").exists()
        world.configure(retention=section_of(mode="enforce", trash_grace="0h"))
        daemon.process.send_signal(signal.SIGHUP)
        (purged,) = daemon.wait_for("entry.purged")
        assert (purged["model_id"], purged["sequence"]) == ("first", retired["sequence"])
        assert purged["bytes"] > retired["bytes"] > 0  # the sidecar goes too
    assert os.listdir(world.models / ".trash") == []
    assert world.registrations() == ["first", "second"]  # the history knows both


# --- another epoch ---------------------------------------------------------------------------------------------------


def test_a_plan_of_another_epoch_is_made_again(tmp_path: Path) -> None:
    """An older copy that was put back has the same number by now, and a tag that holds a model: it stays."""
    folder, copy = tmp_path / "models", tmp_path / "copy"
    with open_registry(folder, disk=QuickDisk()) as registry:
        fill(registry, "a", "b", "c", "new")
    shutil.copytree(folder, copy)
    with open_registry(copy, disk=QuickDisk()) as other:
        other.tag("a", {"production": ""})
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.tag("b", {"n": "1"})
        position = registry.position
        made = plan_retention(registry, rules(), NOW)
        assert [item.model_id for item in made.retire] == ["a", "b", "c"]
        assert position is not None
        put_back_older_copy(folder, copy, position.identity)
        assert registry.sequence == made.sequence
        assert registry.delete_model("a", at=position) is False
        done = apply_retention(registry, rules(), NOW, planned=made)
        assert (done.retired, done.skipped) == (("b", "c"), ("a",))


def test_a_plan_is_applied_to_a_registry_that_it_takes_over(tmp_path: Path) -> None:
    """The first retirement gives a registry of version 0.1 its identity, and the rest of the plan goes on."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        fill(registry, "a", "b", "c", "new")
    as_version_0_1(tmp_path)
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        assert registry.position is None
        assert apply_retention(registry, rules(), NOW).retired == ("a", "b", "c")
        assert registry.position is not None
        assert registry.position.sequence == 7
