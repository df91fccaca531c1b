"""Snapshots of a registry: what they hold and share, what a kill leaves, and what a restored registry answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model_inbox import ModelRegistry, RegistryLocked, RegistryMissing
from model_inbox.backup.errors import BackupDamaged, BackupRefused
from model_inbox.backup.folder import BackupFolder, Snapshot
from model_inbox.backup.make import Made, make_backup
from model_inbox.backup.manifest import Manifest, snapshot_name, snapshot_time
from model_inbox.backup.restore import restore
from model_inbox.backup.verification import verify_snapshot
from model_inbox.base.disk import Disk
from model_inbox.registry.repair.verify import verify
from support.crash_disk import Crashed, CrashingDisk, QuickDisk
from support.crash_kit import Clock, as_version_0_1, metadata, open_registry, plain, register
from support.world import Killed, StoppingDisk

BIG = b"m" * 10_000


class Place:
    """A registry with models of every kind, and a folder for its backups."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        self.target = root / "backups"
        self.clock = Clock()
        with self.open() as registry:
            register(registry, "plain", b"plain" + BIG)
            register(registry, "full", b"full" + BIG, b"scaler" + BIG)
            register(registry, "gone", b"gone" + BIG)
            registry.set_alias("champion", "full")
            registry.replace_scaler("full", {"another": 1})
            registry.delete_model("gone")
            registry.change_segment()
            register(registry, "late", b"late" + BIG)

    def open(self) -> ModelRegistry:
        return open_registry(self.models, clock=self.clock, disk=QuickDisk())

    def back_up(self, disk: Disk | None = None) -> Made:
        self.clock.ahead(1)
        return make_backup(
            self.models / "registry.json",
            self.models / "prediction",
            self.target,
            lock_timeout=0,
            clock=self.clock,
            disk=disk if disk is not None else QuickDisk(),
        )

    @property
    def folder(self) -> BackupFolder:
        return BackupFolder(self.target, QuickDisk())


@pytest.fixture(name="place")
def _place(memory_folder: Path) -> Place:
    return Place(memory_folder)


def reader(folder: Path) -> ModelRegistry:
    return open_registry(folder, read_only=True)


def snapshot(made: Made) -> Snapshot:
    return Snapshot(made.path, made.manifest)


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


# --- making ------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_a_whole_registry(place: Place) -> None:
    """It opens as it is, has the same entries and history, the trash, and no problem; the registry is as it was."""
    before = inodes(place.models)
    made = place.back_up()
    assert made.problems == ()
    assert inodes(place.models) == before
    with place.open() as registry, reader(made.path / "models") as copy:
        assert plain(copy) == plain(registry)
        assert [line.sequence for line in copy.history()] == [line.sequence for line in registry.history()]
        assert copy.position == registry.position
        assert [item.model_id for item in copy.retired()] == ["gone"]
        assert made.manifest.position == str(registry.position)
    assert verify(made.path / "models" / "registry.json", made.path / "models" / "prediction") == []
    assert verify_snapshot(snapshot(made)) == []
    (found,) = place.folder.snapshots()
    assert found.manifest == made.manifest


def test_no_file_is_shared_with_the_registry(place: Place) -> None:
    """What happens to a file of the registry happens to no backup."""
    made = place.back_up()
    assert not set(inodes(place.models).values()) & set(inodes(made.path).values())


def test_only_new_bytes_are_copied(place: Place) -> None:
    """Files that the snapshot before has are the same files in the next, also those that went to the trash since."""
    first = place.back_up()
    with place.open() as registry:
        register(registry, "new", b"new" + BIG)
        registry.delete_model("plain")
    second = place.back_up()
    before, after = inodes(first.path / "models"), inodes(second.path / "models")
    own = {"registry.json", "registry.journal.jsonl", "registry.checkpoint.json"}
    moved = {f"prediction/plain{end}": f".trash/plain.1/plain{end}" for end in (".pkl", ".yaml")}
    for name, inode in before.items():
        assert name in own or after[moved.get(name, name)] == inode, name
    assert set(after) - set(before) - set(moved.values()) == {"prediction/new.pkl", "prediction/new.yaml"}
    assert len(b"new" + BIG) < second.new_bytes < 2 * len(BIG)
    assert verify_snapshot(snapshot(first)) == []
    assert verify_snapshot(snapshot(second)) == []


def test_models_of_the_same_bytes_are_copied_once(place: Place) -> None:
    """Each has its name in the snapshot."""
    with place.open() as registry:
        register(registry, "twin", b"late" + BIG)
    after = inodes(place.back_up().path / "models")
    assert after["prediction/twin.pkl"] == after["prediction/late.pkl"]


def test_a_file_system_without_hard_links_gets_copies(place: Place) -> None:
    """Every file is there, and on its own."""

    class NoLinks(QuickDisk):
        def link(self, source: Path, target: Path) -> None:  # as on FAT
            raise PermissionError(1, "Operation not permitted")

    place.back_up(NoLinks())
    made = place.back_up(NoLinks())
    assert verify_snapshot(snapshot(made)) == []
    assert {path.stat().st_nlink for path in made.path.rglob("*") if path.is_file()} == {1}


def test_a_registry_of_version_0_1_is_backed_up_as_it_is(place: Place) -> None:
    """It has no identity, and its snapshot has none; restored, it gets one."""
    as_version_0_1(place.models)
    made = place.back_up()
    assert (made.manifest.identity, made.manifest.position) == (None, f"line {made.manifest.sequence}")
    assert verify_snapshot(snapshot(made)) == []
    restore(snapshot(made), place.root / "restored", QuickDisk())
    with reader(place.root / "restored") as registry:
        assert registry.identity is not None


def test_the_link_of_a_change_of_segment_that_was_cut_short_is_left_out(place: Place) -> None:
    """The journal has all of it."""
    name = f"{3 + 2 + 1:020d}.jsonl"
    with place.open() as registry:
        assert registry.history()[-1].sequence == 7
    os.link(place.models / "registry.journal.jsonl", place.models / "history" / name)
    made = place.back_up()
    assert not (made.path / "models" / "history" / name).exists()
    assert verify_snapshot(snapshot(made)) == []


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_what_the_registry_lacks_is_told(place: Place, damage: str) -> None:
    """The rest is backed up; a copy that an earlier snapshot has is used again."""
    model = place.models / "prediction" / "plain.pkl"
    whole = model.read_bytes()
    model.unlink()
    if damage == "other bytes":
        model.write_bytes(whole[:-1] + b"?")
    made = place.back_up()
    assert [(problem.code, problem.file) for problem in made.problems] == [
        ("backup.not_copied", "prediction/plain.pkl")
    ]
    assert made.manifest.lacking == ("prediction/plain.pkl",)
    assert not (made.path / "models" / "prediction" / "plain.pkl").exists()
    model.unlink(missing_ok=True)
    model.write_bytes(whole)
    assert place.back_up().problems == ()
    model.unlink()
    again = place.back_up()
    assert again.problems == ()
    assert (again.path / "models" / "prediction" / "plain.pkl").read_bytes() == whole


def test_places_that_cannot_be_are_refused(place: Place, tmp_path: Path) -> None:
    """A target inside the registry, models outside of its folder, and no registry at all; nothing is made."""
    target = place.target
    place.target = place.models / "prediction" / "backups"
    with pytest.raises(BackupRefused, match="in the registry's own folder"):
        place.back_up()
    assert not place.target.exists()
    place.target = target
    with ModelRegistry(place.models / "registry.json", tmp_path / "elsewhere", clock=place.clock) as registry:
        registry.register_model(metadata("far"), {"a": 1})
    with pytest.raises(BackupRefused, match=r"far\.pkl.*not in the registry's folder"):
        place.back_up()
    assert place.folder.snapshots() == []
    with pytest.raises(RegistryMissing):
        make_backup(
            tmp_path / "none" / "registry.json",
            tmp_path / "none",
            target,
            lock_timeout=0,
            clock=place.clock,
            disk=QuickDisk(),
        )
    assert not (tmp_path / "none").exists()


def test_one_backup_at_a_time(place: Place) -> None:
    """In one folder; the other is told to try again."""
    with place.folder.locked(), pytest.raises(RegistryLocked):
        place.back_up()
    place.back_up()


# --- killed ------------------------------------------------------------------------------------------------------


def steps_of(place: Place) -> int:
    disk = StoppingDisk()
    place.back_up(disk)
    return disk.count


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_killed_backup_leaves_no_half_snapshot(memory_folder: Path, after: bool) -> None:
    """At whatever step: there is the snapshot before, or also the new one, and each that counts is sound."""
    place = Place(memory_folder)
    place.back_up()
    with place.open() as registry:
        register(registry, "new", b"new" + BIG)
    saved = memory_folder / "saved"
    shutil.copytree(place.target, saved)
    steps = steps_of(place)
    assert steps > 40
    for stop_at in range(1, steps + 1):
        shutil.rmtree(place.target)
        shutil.copytree(saved, place.target)
        disk = StoppingDisk(stop_at, after=after)
        with suppress(Killed):
            place.back_up(disk)
        # A step that fails comes to no end after which one could be killed.
        assert disk.stopped or disk.steps[stop_at - 1] == "clone"
        found = place.folder.snapshots()
        assert len(found) in (1, 2)
        assert [problem for one in found for problem in verify_snapshot(one)] == [], stop_at
        made = place.back_up()
        assert verify_snapshot(snapshot(made)) == []
        assert sorted(os.listdir(place.target)) == [".backup.lock", *(one.name for one in [*found, snapshot(made)])]


def states_after_power_cuts(
    root: Path, copy: Callable[[Path], Path], run: Callable[[Path, Disk], object]
) -> Iterator[Path]:
    """Yield a folder with what each of some power cuts leaves, at every step of `run` in a copy of the same folder.

    The last one is of a cut after everything was done.
    """
    count = CrashingDisk(copy(root / "run"))
    run(root / "run", count)
    for number in range(len(count.steps) + 1):
        disk = CrashingDisk(copy(root / "run"), number if number < len(count.steps) else None)
        with suppress(Crashed):
            run(root / "run", disk)
        for names, data in disk.medium.states(6, number):
            cut = root / "cut"
            shutil.rmtree(cut, ignore_errors=True)
            cut.mkdir()
            disk.medium.write(cut, names, data)
            yield cut


def copier(source: Path) -> Callable[[Path], Path]:
    """Return what copies a folder, hard links as hard links, over what an earlier call made."""

    def copy(target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)
        return target

    return copy


@pytest.mark.exhaustive
def test_a_power_cut_leaves_no_half_snapshot(place: Place) -> None:
    """Whatever of the unsynced arrived: each snapshot that counts is sound, and one that was acknowledged counts."""
    place.back_up()
    with place.open() as registry:
        register(registry, "new", b"new" + BIG)
    before = place.root / "before"
    before.mkdir()
    place.models.rename(before / "models")
    place.target.rename(before / "backups")
    later = Clock(place.clock.now + timedelta(seconds=9))

    def run(folder: Path, disk: Disk) -> None:
        registry = folder / "models" / "registry.json"
        make_backup(
            registry, folder / "models" / "prediction", folder / "backups", lock_timeout=0, clock=later, disk=disk
        )

    counts = []
    for cut in states_after_power_cuts(place.root, copier(before), run):
        found = BackupFolder(cut / "backups", QuickDisk()).snapshots()
        assert [problem for one in found for problem in verify_snapshot(one)] == []
        counts.append(len(found))
    assert set(counts) == {1, 2}
    assert counts[-1] == 2


def test_a_power_cut_leaves_no_half_restored_registry(place: Place) -> None:
    """Whatever of the unsynced arrived: what opens has everything, and what was acknowledged opens."""
    made = place.back_up()
    with reader(made.path / "models") as registry:
        expected = plain(registry)
    before = place.root / "before"
    before.mkdir()
    place.target.rename(before / "backups")

    def run(folder: Path, disk: Disk) -> None:
        restore(BackupFolder(folder / "backups", disk).snapshot(None), folder / "restored", disk)

    opened = []
    for cut in states_after_power_cuts(place.root, copier(before), run):
        opened.append((cut / "restored" / "registry.journal.jsonl").exists())
        if opened[-1]:
            assert verify(cut / "restored" / "registry.json", cut / "restored" / "prediction") == []
            with reader(cut / "restored") as registry:
                assert plain(registry) == expected
    assert opened[-1]
    assert not opened[0]


def test_a_killed_removal_leaves_no_half_snapshot(place: Place) -> None:
    """The snapshot is whole, or does not count; the next backup removes what is left of it."""
    made = [place.back_up() for _ in range(2)]
    saved = place.root / "saved"
    shutil.copytree(place.target, saved)
    disk = StoppingDisk()
    BackupFolder(place.target, disk).remove(snapshot(made[0]))
    for stop_at in range(1, disk.count + 1):
        shutil.rmtree(place.target)
        shutil.copytree(saved, place.target)
        with pytest.raises(Killed):
            BackupFolder(place.target, StoppingDisk(stop_at)).remove(snapshot(made[0]))
        assert [problem for one in place.folder.snapshots() for problem in verify_snapshot(one)] == []
        with place.folder.locked():
            assert len(os.listdir(place.target)) == 1 + len(place.folder.snapshots())


def test_an_error_leaves_nothing(place: Place) -> None:
    """A full disk is told, and the temporary folder goes."""

    class Full(QuickDisk):
        def rename_new(self, source: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        place.back_up(Full())
    assert os.listdir(place.target) == [".backup.lock"]


# --- verifying ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="made")
def _made(place: Place) -> Iterator[Made]:
    yield place.back_up()


def codes(place: Place) -> list[str]:
    return [problem.code for problem in verify_snapshot(place.folder.snapshots()[-1])]


def test_damage_in_a_snapshot_is_found(place: Place, made: Made) -> None:
    """A byte that changed, a file that is gone or was added, and a manifest that is none."""
    model = made.path / "models" / "prediction" / "plain.pkl"
    whole = model.read_bytes()
    model.chmod(0o600)
    model.write_bytes(whole[:5] + b"?" + whole[6:])
    assert codes(place) == ["backup.file_differs"]
    model.unlink()
    assert codes(place) == ["backup.file_missing"]
    model.write_bytes(whole)
    (made.path / "notes.txt").write_text("x")
    assert codes(place) == ["backup.file_unknown"]
    (made.path / "notes.txt").unlink()
    manifest = made.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"entries":3', b'"entries":4'))
    assert codes(place) == ["backup.manifest_damaged"]
    manifest.unlink()
    assert codes(place) == ["backup.manifest_damaged"]


def test_a_damaged_snapshot_is_no_base_for_the_next(place: Place, made: Made) -> None:
    """Without its manifest nothing of it is trusted: everything is copied."""
    (made.path / "manifest.json").unlink()
    second = place.back_up()
    assert not set(inodes(made.path).values()) & set(inodes(second.path).values())
    assert second.new_bytes == second.manifest.size


def test_a_manifest_reads_back(made: Made) -> None:
    """As it was; a newer format and paths that lead elsewhere are refused."""
    manifest = made.manifest
    assert Manifest.decode(manifest.encode(), "m") == manifest
    (file, *_) = manifest.files.values()
    for path in ("../x", "/x", "a/../../x", "", "a//b"):
        with pytest.raises(BackupDamaged):
            Manifest.decode(replace(manifest, files={path: file}).encode(), "m")
    newer = manifest.encode().replace(b"model-inbox-backup/1", b"model-inbox-backup/2")
    with pytest.raises(BackupDamaged, match="has the format 'model-inbox-backup/2'"):
        Manifest.decode(newer, "m")
    for text in (b"", b"[]", b"\xff", manifest.encode()[:-5]):
        with pytest.raises(BackupDamaged, match="not the manifest"):
            Manifest.decode(text, "m")


def test_names_say_the_time() -> None:
    """To the microsecond, in UTC; no other name is taken for a snapshot's."""
    moment = datetime(2026, 11, 27, 21, 30, 5, 123456, tzinfo=UTC)
    assert snapshot_name(moment.astimezone()) == "20261127T213005.123456Z"
    assert snapshot_time("20261127T213005.123456Z") == moment
    assert [snapshot_time(name) for name in ("20261327T213005.123456Z", "lost+found", ".backup.lock")] == [None] * 3
    assert snapshot_name(moment) < snapshot_name(moment + timedelta(microseconds=1))


# --- restoring ---------------------------------------------------------------------------------------------------


def test_a_restored_registry_gives_the_same_answers(place: Place, made: Made) -> None:
    """Entries, aliases, history, trash and objects, in a new epoch of the same registry; and it can be changed."""
    done = restore(snapshot(made), place.root / "restored", QuickDisk())
    with place.open() as old, open_registry(place.root / "restored", clock=place.clock) as new:
        assert plain(new) == plain(old)
        assert new.history() == old.history()
        assert new.get_model("USD/EUR", alias="champion") is not None
        assert new.load_scaler(new.registry["full"]) == {"another": 1}
        assert old.position is not None
        assert new.position is not None
        assert (new.position.registry_id, new.position.sequence) == (old.position.registry_id, old.position.sequence)
        assert new.position.epoch.startswith("2-")
        assert done.position == str(new.position)
        new.restore("gone")
        new.change_segment()
        register(new, "more", b"more")
        assert sorted(new.registry) == ["full", "gone", "late", "more", "plain"]
    assert verify(place.root / "restored" / "registry.json", place.root / "restored" / "prediction") == []
    assert verify_snapshot(snapshot(made)) == []
    assert not set(inodes(place.root / "restored").values()) & set(inodes(made.path).values())


def test_only_an_empty_folder_is_restored_into(place: Place, made: Made) -> None:
    """One that is there stays as it is, rights and all."""
    target = place.root / "restored"
    target.mkdir(mode=0o700)
    (target / "x").write_text("")
    with pytest.raises(BackupRefused, match="not empty"):
        restore(snapshot(made), target, QuickDisk())
    assert os.listdir(target) == ["x"]
    (target / "x").unlink()
    number = target.stat().st_ino
    restore(snapshot(made), target, QuickDisk())
    assert (target.stat().st_ino, target.stat().st_mode & 0o777) == (number, 0o700)


def test_a_damaged_file_is_not_restored(place: Place, made: Made) -> None:
    """It is named, and the target is no registry."""
    model = made.path / "models" / "prediction" / "plain.pkl"
    model.chmod(0o600)
    model.write_bytes(b"other")
    with pytest.raises(BackupDamaged, match=r"plain\.pkl"):
        restore(snapshot(made), place.root / "restored", QuickDisk())
    with pytest.raises(Exception, match="the journal is missing"):
        open_registry(place.root / "restored")


def test_a_killed_restore_leaves_no_registry_that_opens(place: Place, made: Made) -> None:
    """At whatever step: the folder is empty, or opening it for writing is refused, or everything is there."""
    disk = StoppingDisk()
    restore(snapshot(made), place.root / "whole", disk)
    with reader(place.root / "whole") as registry:
        expected = plain(registry)
    ends = set()
    for stop_at in range(1, disk.count + 1):
        target = place.root / "restored"
        shutil.rmtree(target, ignore_errors=True)
        with pytest.raises(Killed):
            restore(snapshot(made), target, StoppingDisk(stop_at))
        names = os.listdir(target) if target.exists() else []
        if all(name.endswith(".tmp") for name in names):
            ends.add("nothing")
        elif (target / "registry.journal.jsonl").exists():
            ends.add("all")
            with reader(target) as registry:
                assert plain(registry) == expected
        else:
            ends.add("refused")
            with pytest.raises(Exception, match="the journal is missing"):
                open_registry(target)
    assert ends == {"nothing", "refused", "all"}


def test_there_must_be_a_snapshot(place: Place) -> None:
    """Of the name that is given, or any."""
    with pytest.raises(BackupRefused, match="there is no snapshot"):
        place.folder.snapshot(None)
    made = place.back_up()
    assert place.folder.snapshot(None).path == made.path
    with pytest.raises(BackupRefused, match=r"there is no snapshot '20200101T000000\.000000Z'"):
        place.folder.snapshot("20200101T000000.000000Z")
