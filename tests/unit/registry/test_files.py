"""The stored files of models: final names, leftovers, trash, and folders on different file systems."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from model_inbox import EntryNotFound, ModelRegistry, RestoreRefused, StorageError
from model_inbox.base.disk import Disk
from model_inbox.registry.files import Storage, same_bytes, trash_name
from support.crash_disk import QuickDisk
from support.crash_kit import metadata, open_registry, register, staged


class TwoFileSystems(QuickDisk):
    """Refuses links and renames between the tree at `other` and everything else, as two mounts do."""

    def __init__(self, other: Path) -> None:
        self.other = other

    def _between(self, source: Path, target: Path) -> None:
        if source.is_relative_to(self.other) != target.is_relative_to(self.other):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))

    def link(self, source: Path, target: Path) -> None:
        self._between(source, target)
        super().link(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        self._between(source, target)
        super().rename_new(source, target)


class Refusing(QuickDisk):
    """Fails the steps that `refused` names, if the path ends so."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}

    def _ask(self, step: str, path: Path) -> None:
        if step in self.refused and str(path).endswith(self.refused[step]):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def link(self, source: Path, target: Path) -> None:
        self._ask("link", target)
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        self._ask("unlink", path)
        super().unlink(path)

    def mkdir(self, path: Path, mode: int) -> None:
        self._ask("mkdir", path)
        super().mkdir(path, mode)

    def fsync_dir(self, path: Path) -> None:
        self._ask("fsync_dir", path)


def test_models_and_trash_may_be_on_different_file_systems(tmp_path: Path) -> None:
    """Retired, found in the trash, restored and purged by copying; entries then hold absolute paths."""
    store = tmp_path / "elsewhere"
    registry = ModelRegistry(tmp_path / "registry.json", store, disk=TwoFileSystems(store), actor="test")
    entry = registry.register_model(metadata("m"), {"w": 1}, {"mean": 2})
    assert entry["model_path"] == str(store / "m.pkl")
    assert registry.load_model_objects(entry) == ({"w": 1}, {"mean": 2})
    registry.delete_model("m")
    assert sorted(os.listdir(tmp_path / ".trash" / "m.1")) == ["m.pkl", "m.yaml", "m_scaler.pkl"]
    assert [name for name in os.listdir(store) if name != ".staging"] == []
    assert registry.load_model_objects(entry) == ({"w": 1}, {"mean": 2})
    assert registry.restore("m") == entry
    assert registry.load_model_objects(entry) == ({"w": 1}, {"mean": 2})
    assert os.stat(entry["model_path"]).st_mode & 0o777 == 0o440
    assert registry.retired() == []
    registry.delete_model("m")
    assert registry.purge(registry.retired()[0])
    assert os.listdir(tmp_path / ".trash") == []


def test_a_copy_into_the_store_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    """When a restore across file systems finds no room, the trash still has all of the model."""
    store = tmp_path / "elsewhere"
    disk = TwoFileSystems(store)
    registry = ModelRegistry(tmp_path / "registry.json", store, disk=disk, actor="test")
    registry.register_model(metadata("m"), {"w": 1})
    registry.delete_model("m")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.write = full  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="No space left"):
        registry.restore("m")
    assert [name for name in os.listdir(store) if name != ".staging"] == []
    del disk.write  # type: ignore[method-assign]
    assert registry.load_model(registry.restore("m")) == {"w": 1}


# --- leftovers ---------------------------------------------------------------------------------------------


def _leftover(folder: Path, name: str, data: bytes, mode: int) -> Path:
    path = folder / "prediction" / name
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _trash(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder / ".trash")): p.read_bytes() for p in (folder / ".trash").rglob("*") if p.is_file()
    }


def test_a_leftover_of_the_same_bytes_is_used(tmp_path: Path) -> None:
    """What an earlier try of the same model left at its name, ours and read-only, is as good as the new file."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    there = _leftover(tmp_path, "m.pkl", b"same", 0o440)
    inode = there.stat().st_ino
    entry = register(registry, "m", b"same")
    assert os.stat(entry["model_path"]).st_ino == inode
    assert _trash(tmp_path) == {}


@pytest.mark.parametrize(("data", "mode"), [(b"other", 0o440), (b"same", 0o660)], ids=["other bytes", "writable"])
def test_a_leftover_that_cannot_be_trusted_is_set_aside(tmp_path: Path, data: bytes, mode: int) -> None:
    """Other bytes, or the same in a file that somebody may still write, go to the trash; nothing is overwritten."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    _leftover(tmp_path, "m.pkl", data, mode)
    entry = register(registry, "m", b"same")
    assert Path(entry["model_path"]).read_bytes() == b"same"
    assert os.stat(entry["model_path"]).st_mode & 0o222 == 0
    assert _trash(tmp_path) == {"m.pkl.leftover-1/m.pkl": data}
    registry.delete_model("m")
    _leftover(tmp_path, "m.pkl", b"again", 0o440)
    register(registry, "m", b"third")
    assert _trash(tmp_path)["m.pkl.leftover-2/m.pkl"] == b"again"


def test_a_leftover_of_another_user_is_not_used(tmp_path: Path) -> None:
    """Its owner could make it writable again and change it."""
    assert os.geteuid() == 0, "this test gives a file to another user: run the tests as root (in a container, say)"
    registry = open_registry(tmp_path, disk=QuickDisk())
    os.chown(_leftover(tmp_path, "m.pkl", b"same", 0o440), 12001, 12001)
    entry = register(registry, "m", b"same")
    assert os.stat(entry["model_path"]).st_uid == 0
    assert _trash(tmp_path) == {"m.pkl.leftover-1/m.pkl": b"same"}


def test_a_scaler_without_an_entry_does_not_stand_beside_a_model(tmp_path: Path) -> None:
    """A model registered without a scaler is never found with a file that looks like its scaler."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    _leftover(tmp_path, "m_scaler.pkl", b"whose?", 0o440)
    assert register(registry, "m")["scaler_path"] is None
    assert not (tmp_path / "prediction" / "m_scaler.pkl").exists()
    assert _trash(tmp_path) == {"m_scaler.pkl.leftover-1/m_scaler.pkl": b"whose?"}


def test_a_leftover_at_the_name_of_a_restored_model_is_set_aside(tmp_path: Path) -> None:
    """A restore brings back the registered bytes, whatever lies at their name by then."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "m", b"the model")
    registry.delete_model("m")
    _leftover(tmp_path, "m.pkl", b"a stranger", 0o440)
    assert Path(registry.restore("m")["model_path"]).read_bytes() == b"the model"
    assert _trash(tmp_path) == {"m.pkl.leftover-1/m.pkl": b"a stranger"}


# --- the trash ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.pkl", "m_scaler.pkl"])
def test_what_rotted_in_the_trash_is_not_restored(tmp_path: Path, name: str) -> None:
    """The error names the file, the digest that was found and the one that was registered; nothing is changed."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    entry = register(registry, "m", b"model", b"scaler")
    registry.delete_model("m")
    held = tmp_path / ".trash" / "m.1" / name
    held.chmod(0o640)
    held.write_bytes(b"rotten")
    with pytest.raises(RestoreRefused) as caught:
        registry.restore("m")
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == ("registry.trash_damaged", str(held))
    assert hashlib.sha256(b"rotten").hexdigest() in problem.message
    assert entry["sha256" if name == "m.pkl" else "scaler_sha256"] in problem.message
    assert os.listdir(tmp_path / "prediction") == [".staging"]
    assert registry.sequence == 2
    assert [item.model_id for item in registry.retired()] == ["m"]


def test_a_restore_writes_a_lost_sidecar_again(tmp_path: Path) -> None:
    """The trash has lost the sidecar: the restored model has one that says what its entry does."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "m", b"model", b"scaler")
    before = (tmp_path / "prediction" / "m.yaml").read_bytes()
    registry.delete_model("m")
    (tmp_path / ".trash" / "m.1" / "m.yaml").unlink()
    registry.restore("m")
    assert (tmp_path / "prediction" / "m.yaml").read_bytes() == before


def test_a_restore_without_the_file_changes_nothing(tmp_path: Path) -> None:
    """A model whose file is nowhere cannot be restored, and the error names the file."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    register(registry, "m", b"model", b"scaler")
    registry.delete_model("m")
    (tmp_path / ".trash" / "m.1" / "m.pkl").unlink()
    with pytest.raises(StorageError, match=r"restore .*m\.pkl") as caught:
        registry.restore("m")
    assert caught.value.errno == errno.ENOENT
    assert os.listdir(tmp_path / "prediction") == [".staging"]
    assert registry.get_model_info("m") is None
    shutil.rmtree(tmp_path / ".trash" / "m.1")
    with pytest.raises(EntryNotFound):
        registry.restore("m")


def test_a_file_that_is_missing_does_not_keep_a_model_from_being_retired(tmp_path: Path) -> None:
    """What is gone already is passed over."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    entry = register(registry, "m", b"model", b"scaler")
    Path(entry["model_path"]).unlink()
    assert registry.delete_model("m") is True
    assert sorted(os.listdir(tmp_path / ".trash" / "m.1")) == ["m.yaml", "m_scaler.pkl"]


def test_a_move_to_the_trash_that_was_done_by_half_is_finished(tmp_path: Path) -> None:
    """Two names of one file, or a stranger's file under the name of one that the trash has: no byte is lost."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    entry = register(registry, "m", b"model", b"scaler")
    folder = tmp_path / ".trash" / "m.1"
    folder.mkdir()
    os.link(entry["model_path"], folder / "m.pkl")
    (folder / "m_scaler.pkl").write_bytes(b"the scaler that was")
    registry.delete_model("m")
    assert not Path(entry["model_path"]).exists() and not Path(entry["scaler_path"]).exists()
    assert (folder / "m.pkl").read_bytes() == b"model"
    assert (folder / "m_scaler.pkl").read_bytes() == b"the scaler that was"
    assert _trash(tmp_path)["m_scaler.pkl.leftover-1/m_scaler.pkl"] == b"scaler"


REFUSALS: list[tuple[str, str, Callable[[ModelRegistry], object]]] = [
    ("link", "m.pkl", lambda registry: register(registry, "m")),
    ("mkdir", "leftover-1", lambda registry: register(registry, "m")),
    ("fsync_dir", "prediction", lambda registry: register(registry, "m")),
    ("link", "kept.pkl", lambda registry: registry.restore("kept")),
]


@pytest.mark.parametrize(("step", "path", "work"), REFUSALS, ids=lambda value: str(value)[:20])
def test_what_the_disk_refuses_before_the_commit_did_not_happen(
    tmp_path: Path, step: str, path: str, work: Callable[[ModelRegistry], object]
) -> None:
    """An I/O error is told with the path, no line is written, and the same thing works once the disk does."""
    disk = Refusing()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "kept", b"kept")
    registry.delete_model("kept")
    if step == "mkdir":
        _leftover(tmp_path, "m.pkl", b"in the way", 0o440)
    disk.refused = {step: path}
    with pytest.raises(StorageError, match=rf"{path}.*Input/output error"):
        work(registry)
    assert registry.sequence == 2
    disk.refused = {}
    work(registry)
    assert registry.sequence == 3


def test_what_the_disk_refuses_after_the_commit_is_finished_later(tmp_path: Path) -> None:
    """A retirement or purge whose files could not be moved or removed is done; the next start does the rest."""
    disk = Refusing()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "m", b"model")
    disk.refused = {"mkdir": "m.1"}
    with pytest.raises(StorageError, match=r"m\.1.*Input/output error"):
        registry.delete_model("m")
    assert registry.get_model_info("m") is None
    disk.refused = {}
    assert registry.finish_retirements() == 1
    (retired,) = registry.retired()
    disk.refused = {"unlink": "m.pkl"}
    with pytest.raises(StorageError, match=r"purge .*m\.1.*Input/output error"):
        registry.purge(retired)
    assert registry.retired() == []
    disk.refused = {}
    assert registry.finish_purges() == 1
    assert os.listdir(tmp_path / ".trash") == []


# --- what no line committed ----------------------------------------------------------------------------------


def _torn(registry: ModelRegistry, model_id: str) -> None:
    """Leave what a writer leaves that dies between its links and its line."""
    registry._storage.place(model_id, staged(registry, model_id, b"torn", b"torn scaler").files)


@pytest.mark.parametrize(
    "change",
    [
        lambda registry: register(registry, "next"),
        lambda registry: registry.delete_model("kept"),
        lambda registry: registry.restore("old"),
        lambda registry: registry.replace_scaler("kept", {"mean": 1}),
        lambda registry: registry.purge(registry.retired()[0]),
        lambda registry: registry.set_aside_leftovers(),
        lambda registry: registry.pin("kept"),
        lambda registry: registry.set_alias("champion", "kept"),
        lambda registry: registry.tag("kept", {"a": "b"}),
        lambda registry: registry.record("kept", {"rmse": 0.5}),
    ],
    ids=[
        "register",
        "delete",
        "restore",
        "replace_scaler",
        "purge",
        "set_aside_leftovers",
        "pin",
        "alias",
        "tag",
        "record",
    ],
)
def test_the_next_writer_sets_aside_what_no_line_committed(
    tmp_path: Path, change: Callable[[ModelRegistry], object]
) -> None:
    """Model, scaler and sidecar go to the trash, one folder each; the log names each; readers change nothing."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "old", b"old")
        registry.delete_model("old")
        register(registry, "kept", b"kept")
        _torn(registry, "torn")
    with open_registry(tmp_path, read_only=True) as reader:
        assert reader.get_model_info("torn") is None
    assert (tmp_path / "prediction" / "torn.pkl").exists()
    with open_registry(tmp_path, disk=QuickDisk()) as registry, structlog.testing.capture_logs() as logged:
        change(registry)
    names = ["torn.yaml", "torn.pkl", "torn_scaler.pkl"]
    assert [Path(line["path"]).name for line in logged if line["event"] == "registry.leftover_set_aside"] == names
    for name in names:
        assert not (tmp_path / "prediction" / name).exists()
        assert (tmp_path / ".trash" / f"{name}.leftover-1" / name).exists()


def test_what_a_person_copied_into_the_storage_folder_stays(tmp_path: Path) -> None:
    """Only files with the name, the mode and the owner of a stored file are set aside."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    folder = tmp_path / "prediction"
    for name, mode in (("theirs.pkl", 0o644), ("notes.txt", 0o440), ("-x.pkl", 0o440), ("link.pkl", 0)):
        if mode:
            (folder / name).write_bytes(b"x")
            (folder / name).chmod(mode)
        else:
            (folder / name).symlink_to("theirs.pkl")
    assert registry.set_aside_leftovers() == 0
    assert len(list(folder.glob("[!.]*"))) == 4


def test_a_leftover_that_cannot_be_moved_stops_no_change(tmp_path: Path) -> None:
    """It is logged, the model is registered, and the next handle tries again."""
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        _torn(registry, "torn")
    disk = Refusing()
    registry = open_registry(tmp_path, disk=disk)
    disk.refused = {"mkdir": "leftover-1"}
    with structlog.testing.capture_logs() as logged:
        register(registry, "m")
    assert [line["event"] for line in logged] == ["registry.leftover_unmoved"]
    disk.refused = {}
    with open_registry(tmp_path, disk=QuickDisk()) as again:
        register(again, "n")
    assert sorted(path.name for path in (tmp_path / "prediction").glob("*.pkl")) == ["m.pkl", "n.pkl"]


def test_a_purge_that_was_cut_short_is_finished_and_said(tmp_path: Path) -> None:
    """The line is committed and a file is still there: it is named, removed at the next chance, and logged."""
    disk = Refusing()
    registry = open_registry(tmp_path, disk=disk)
    register(registry, "m", b"model", b"scaler")
    registry.delete_model("m")
    disk.refused = {"unlink": "m_scaler.pkl"}
    with pytest.raises(StorageError):
        registry.purge(registry.retired()[0])
    disk.refused = {}
    assert registry.retired() == []
    with open_registry(tmp_path, read_only=True) as reader:
        assert reader.unfinished_purges() == ["m"]
    with structlog.testing.capture_logs() as logged:
        assert registry.finish_purges() == 1
    assert [(line["event"], line["model_id"]) for line in logged] == [("registry.purge_finished", "m")]
    assert registry.unfinished_purges() == []
    assert os.listdir(tmp_path / ".trash") == []


# --- small things ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_id", ["../../etc", "a/b", "", ".", "x" * 300, "ä", "a\nb", "\udcff"])
def test_an_id_that_is_no_name_gets_a_folder_in_the_trash_and_nowhere_else(model_id: str) -> None:
    """Ids of an adopted registry may hold anything: the name stays one part of a path, and is theirs alone."""
    name = trash_name(model_id, 7)
    assert "/" not in name and name not in (".", "..") and len(name) < 200 and name.isascii()
    assert name.endswith(".7")
    assert name != trash_name(model_id + "x", 7)


def test_an_adopted_id_that_is_no_name_can_be_retired_and_restored(tmp_path: Path) -> None:
    """A registry that some other program made is kept as it is, also where its ids would not be accepted today."""
    (tmp_path / "their.pkl").write_bytes(b"their model")
    (tmp_path / "registry.json").write_text(
        '{"a/b ä": {"model_type": "x", "currency_pair": "y", "model_path": "their.pkl", "extra": [1]}}'
    )
    registry = open_registry(tmp_path, disk=QuickDisk())
    assert registry.registry["a/b ä"]["extra"] == [1]
    registry.delete_model("a/b ä")
    assert not (tmp_path / "their.pkl").exists()
    assert Path(registry.restore("a/b ä")["model_path"]).read_bytes() == b"their model"
    registry.pin("a/b ä")
    registry.checkpoint()
    assert '"extra"' in (tmp_path / "registry.json").read_text()


def test_files_that_cannot_be_read_are_not_the_same(tmp_path: Path) -> None:
    """Only what can be compared is equal: missing files, folders and links are not."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    assert not same_bytes(one, two)
    two.symlink_to(one)
    assert not same_bytes(one, two)
    two.unlink()
    two.write_bytes(b"x")
    assert same_bytes(one, two) and same_bytes(one, one)
    two.write_bytes(b"y")
    assert not same_bytes(one, two)


def test_the_names_of_leftovers_are_not_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand leftovers of one name are a fault of something else, and told as an error."""

    def taken(self: Disk, path: Path, mode: int) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))

    monkeypatch.setattr(Disk, "mkdir", taken)
    storage = Storage(tmp_path, tmp_path / "prediction", Disk())
    with pytest.raises(StorageError, match=r"set aside .*too many leftovers"):
        storage.set_aside(tmp_path / "x.pkl")


def test_a_staged_file_is_no_final_one(tmp_path: Path) -> None:
    """What is staged and never committed is at no name that anybody reads."""
    registry = open_registry(tmp_path, disk=QuickDisk())
    candidate = staged(registry, "m", b"bytes")
    assert [name for name in os.listdir(tmp_path / "prediction") if name != ".staging"] == []
    assert all(path.parent.name == ".staging" for path in candidate.files.paths)
