"""`rebuild` makes a registry again from what is left: it verifies clean, and says what it could not save."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import LoadRefused, ModelRegistry, RegistryError, RegistryLocked, RegistryTooNew, StorageError
from model_inbox.base.flocks import FileLock
from model_inbox.registry.repair import verify as audit
from support.crash_disk import Crashed, CrashingDisk, Moment, QuickDisk, paths_of
from support.crash_kit import START, Clock, metadata, open_registry, plain, register, staged
from support.rebuilding import lose_registry, problems, run

Damage = Callable[[Path], None]

MODEL, SCALER = pickle.dumps({"weights": [1, 2]}), pickle.dumps(OrderedDict(mean=3))
STATES_EACH = int(os.environ.get("CRASH_STATES", "4"))


def make(folder: Path) -> None:
    """Lines 1 to 5 in a closed segment, 6 to 9 in the current one; `old` is in the trash, `gone` was purged."""
    clock = Clock()
    with open_registry(folder, clock=clock, disk=QuickDisk()) as registry:
        register(registry, "one", MODEL, SCALER)
        register(registry, "two", pickle.dumps([2]))
        register(registry, "old", pickle.dumps(["old"]))
        register(registry, "gone", pickle.dumps(["gone"]))
        registry.pin("one")
        registry.change_segment()
        clock.ahead(60)
        registry.delete_model("old")
        registry.delete_model("gone")
        registry.purge(registry.retired()[1])
        registry.set_alias("champion", "two")


@pytest.fixture(name="folder", autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(audit, "_LOOK_AGAIN_SECONDS", (0.0,))
    make(tmp_path / "models")
    yield tmp_path / "models"


def entries(folder: Path) -> dict[str, Any]:
    with open_registry(folder, read_only=True) as registry:
        return plain(registry)


def lines(folder: Path) -> list[tuple[int, str, str]]:
    with open_registry(folder, read_only=True) as registry:
        return [(line.sequence, line.operation, line.model_id) for line in registry.history()]


def journal(folder: Path) -> Path:
    return folder / "registry.journal.jsonl"


def closed(folder: Path) -> Path:
    return folder / "history" / f"{0:020d}.jsonl"


def mark(folder: Path) -> Path:
    return folder / "registry.checkpoint.json"


def break_line(path: Path, number: int) -> None:
    """Change a byte of a line; the header is number 0."""
    found = path.read_bytes().split(b"\n")
    found[number] = found[number][:9] + b"?" + found[number][10:]
    path.write_bytes(b"\n".join(found))


# --- sound registries ------------------------------------------------------------------------------------------


def test_a_sound_registry_stays_as_it_is(folder: Path) -> None:
    """Entries, history and closed segments are the same afterwards, and as often as it is done."""
    before, history, segment = entries(folder), lines(folder), closed(folder).read_bytes()
    for _ in range(2):
        made = run(folder)
        assert (made.entries, made.lines, made.lines_lost, made.lost) == (2, 9, 0, ())
        assert made.undone == ()
        assert entries(folder) == before
        assert lines(folder) == history
        assert closed(folder).read_bytes() == segment
        assert problems(folder) == []


def test_the_old_files_are_kept(folder: Path) -> None:
    """JSON file, mark and journal are in the folder that the result names, byte by byte; its name tells the time."""
    old = {path.name: path.read_bytes() for path in (folder / "registry.json", mark(folder), journal(folder))}
    made = run(folder)
    kept = Path(made.kept_in)
    assert kept == folder / "registry.rebuilt-20261125T120000Z"
    assert {name: (kept / name).read_bytes() for name in old} == old


def test_work_goes_on(folder: Path) -> None:
    """Numbers go on behind all that ever were, the trash restores, and a journal outgrows its segment as before."""
    break_line(journal(folder), 2)
    run(folder)
    with open_registry(folder, clock=Clock(START + timedelta(days=2))) as registry:
        reached = registry.sequence
        assert register(registry, "new", MODEL)["sequence"] == reached + 1
        registry.restore("old")
        registry.change_segment()
        registry.unpin("one")
        registry.prune_history(10**9)
    assert problems(folder) == []
    assert [number for number, _, _ in lines(folder)] == list(range(1, reached + 4))


# --- damaged files ---------------------------------------------------------------------------------------------

ALL = [
    *((n, "register", name) for n, name in enumerate(("one", "two", "old", "gone"), 1)),
    (5, "pin", "one"),
    (6, "retire", "old"),
    (7, "retire", "gone"),
    (8, "purge", "gone"),
    (9, "alias", "two"),
]


@pytest.mark.parametrize("number", range(1, 6))
def test_a_damaged_line_in_the_history(folder: Path, number: int) -> None:
    """It is told as lost, all other lines stay, and the entries are those of the JSON file, to the last field."""
    before = entries(folder)
    break_line(closed(folder), number)
    made = run(folder)
    assert (made.lines, made.lines_lost, made.lost) == (8, 1, ())
    assert entries(folder) == before
    assert problems(folder) == []
    assert lines(folder)[:9] == [(number, "rebuild", "") if line[0] == number else line for line in ALL]
    assert Path(made.kept_in, closed(folder).name).is_file()


@pytest.mark.parametrize("number", range(1, 5))
def test_a_damaged_line_in_the_journal(folder: Path, number: int) -> None:
    """As in the history: the checkpoint holds what the line said."""
    before = entries(folder)
    break_line(journal(folder), number)
    made = run(folder)
    assert (made.lines, made.lines_lost, made.lost) == (8, 1, ())
    assert entries(folder) == before
    assert problems(folder) == []


def test_damage_everywhere(folder: Path) -> None:
    """Headers, JSON file and mark damaged at once: what sound lines say is there."""
    before = entries(folder)
    break_line(closed(folder), 0)
    break_line(journal(folder), 0)
    (folder / "registry.json").write_bytes(b"{")
    mark(folder).write_bytes(b"{}")
    made = run(folder)
    assert (made.lines, made.lines_lost, made.lost) == (9, 0, ())
    assert entries(folder) == before
    assert lines(folder) == ALL
    assert problems(folder) == []


def test_a_lost_line_without_a_json_file(folder: Path) -> None:
    """What only the lost line said is gone, and all else stays: the alias is lost, the model is not."""
    (folder / "prediction" / "two.labels.json").unlink()
    break_line(journal(folder), 4)
    (folder / "registry.json").write_bytes(b"not JSON")
    made = run(folder)
    assert (made.entries, made.lines_lost) == (2, 1)
    assert entries(folder)["two"]["aliases"] == []
    assert entries(folder)["one"]["pinned"] is True
    assert problems(folder) == []


def test_a_missing_journal(folder: Path) -> None:
    """The JSON file tells what became of it; retirement is found in the trash; no number is used again."""
    before = entries(folder)
    journal(folder).unlink()
    made = run(folder)
    assert (made.lines, made.lines_lost, made.retired, made.lost) == (5, 4, ("old",), ())
    assert entries(folder) == before
    assert problems(folder) == []
    with open_registry(folder) as registry:
        assert [item.model_id for item in registry.retired()] == ["old"]
        assert min(line.sequence for line in registry.history() if line.actor == "rebuild" and line.model_id) > 9
        assert registry.restore("old")["sha256"] == hashlib.sha256(pickle.dumps(["old"])).hexdigest()


def test_a_missing_segment_at_the_beginning(folder: Path) -> None:
    """History begins later then; before that is an error, after it what is known."""
    before = entries(folder)
    closed(folder).unlink()
    made = run(folder)
    assert (made.lines, made.lines_lost, made.lines_missing, made.lost) == (4, 5, ((1, 5),), ())
    assert entries(folder) == before
    assert problems(folder) == []
    with open_registry(folder, read_only=True) as registry:
        assert {e["model_id"] for e in registry.list_models(as_of=START + timedelta(seconds=61))} == {"one", "two"}
        with pytest.raises(RegistryError, match="its history begins at"):
            registry.list_models(as_of=START)


def test_entries_that_an_edited_json_file_lacks_come_back(folder: Path) -> None:
    """The report names them; so it does a model whose file is lost, which is registered no more."""
    path = folder / "registry.json"
    edited = json.loads(path.read_text())
    del edited["two"]
    path.write_text(json.dumps(edited))
    (folder / "prediction" / "one.pkl").unlink()
    made = run(folder)
    assert [(item.model_id, item.what) for item in made.undone] == [("one", "vanished"), ("two", "came_back")]
    assert problems(folder) == []


def test_a_missing_segment_in_the_middle(folder: Path) -> None:
    """Its lines are counted and numbered; the next rebuild finds no more."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.change_segment()
        registry.pin("two")
        before = plain(registry)
    (folder / "history" / f"{5:020d}.jsonl").unlink()
    made = run(folder)
    assert (made.lines, made.lines_lost, made.lines_missing) == (6, 4, ((6, 9),))
    assert entries(folder) == before
    assert problems(folder) == []
    assert run(folder).lines_lost == 0


def test_as_of_goes_on_to_work(folder: Path) -> None:
    """The registry as it was before a damaged line, and after it."""
    break_line(journal(folder), 1)  # the retirement of `old`
    run(folder)
    with open_registry(folder, read_only=True) as registry:
        assert {entry["model_id"] for entry in registry.list_models(as_of=START)} == {"one", "two", "old", "gone"}
        assert {entry["model_id"] for entry in registry.list_models()} == {"one", "two"}


def test_a_torn_tail_goes(folder: Path) -> None:
    """Bytes that were never committed are no lost line."""
    with journal(folder).open("ab") as file:
        file.write(b'{"sequence":10,"ti')
    made = run(folder)
    assert (made.lines, made.lines_lost) == (9, 0)
    assert problems(folder) == []


def test_a_stray_name_does_not_make_millions_of_lines(folder: Path) -> None:
    """A folder in the trash with a made-up number is set aside and counts for nothing."""
    (folder / ".trash" / "x.999999999999").mkdir()
    made = run(folder)
    assert made.lines_lost == 0
    assert [lost.model_id for lost in made.lost] == ["x.999999999999"]
    assert problems(folder) == []


# --- models' files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("one.pkl", Path.unlink, "one.pkl: the file is missing"),
        ("one_scaler.pkl", Path.unlink, "one_scaler.pkl: the file is missing"),
        ("one.pkl", lambda path: path.write_bytes(SCALER), "one.pkl: the file's bytes are not those"),
    ],
)
def test_a_model_without_its_files_is_lost(folder: Path, name: str, change: Damage, why: str) -> None:
    """It is told with the reason and by a line; what is left of its files is kept, and stays lost the next time."""
    change(folder / "prediction" / name)
    left = {path.name for path in (folder / "prediction").glob("one*")}
    made = run(folder)
    ((model_id, said),) = [(lost.model_id, lost.why) for lost in made.lost]
    assert (model_id, said.startswith(why)) == ("one", True)
    assert {path.name for path in Path(made.kept_in, "files").iterdir()} == left
    assert sorted(entries(folder)) == ["two"]
    assert lines(folder)[-1] == (10, "rebuild", "one")
    assert problems(folder) == []
    assert run(folder).lost == ()


def test_a_file_that_may_not_be_read_is_not_lost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lacking rights stop the rebuild: they say nothing about the model, and nothing is changed."""
    from model_inbox.registry.repair import rebuild_plan

    opens = rebuild_plan.open_regular

    def refusing(path: Path) -> int:
        if path.name == "two.pkl":
            raise PermissionError(13, "Permission denied", str(path))
        return opens(path)

    monkeypatch.setattr(rebuild_plan, "open_regular", refusing)
    names = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(StorageError, match=r"cannot read .*two\.pkl"):
        run(folder)
    assert sorted(path.name for path in folder.rglob("*") if not path.name.endswith(".lock")) == [
        name for name in names if not name.endswith(".lock")
    ]


def test_a_storage_that_is_not_mounted_is_not_lost(folder: Path) -> None:
    """Where no model's file is there, or the folder is not, nothing is made, and the hint asks about the mount."""
    before = journal(folder).read_bytes()
    (folder / "prediction").rename(folder / "elsewhere")
    for _ in range(2):
        with pytest.raises(RegistryError, match="mounted") as caught:
            run(folder)
        assert caught.value.exit_status == 1
        (folder / "prediction").mkdir(exist_ok=True)
    assert journal(folder).read_bytes() == before


def test_a_sidecar_is_written_again_from_its_entry(folder: Path) -> None:
    """One that is missing, and one that says something else; the other one is kept."""
    (folder / "prediction" / "one.yaml").unlink()
    (folder / "prediction" / "two.yaml").write_bytes(b"model_id: two")
    made = run(folder)
    assert made.lost == ()
    assert Path(made.kept_in, "files", "two.yaml").read_bytes() == b"model_id: two"
    assert problems(folder) == []


def test_rotten_trash_is_lost_and_said(folder: Path) -> None:
    """A retired model whose bytes rotted cannot be restored any more; its files are kept with the old ones."""
    held = folder / ".trash" / "old.3"
    (held / "old.pkl").chmod(0o640)
    (held / "old.pkl").write_bytes(b"rotten")
    made = run(folder)
    assert [lost.model_id for lost in made.lost] == ["old.3"]
    assert (Path(made.kept_in) / "trash" / "old.3" / "old.pkl").read_bytes() == b"rotten"
    assert problems(folder) == []


def test_a_sidecar_in_the_trash_is_written_again_and_an_extra_file_is_set_aside(folder: Path) -> None:
    """What verify says of a retired model is repaired, and the model can be restored."""
    held = folder / ".trash" / "old.3"
    before = (held / "old.yaml").read_bytes()
    (held / "old.yaml").unlink()
    (held / "notes.txt").write_text("x")
    made = run(folder)
    assert (held / "old.yaml").read_bytes() == before
    assert (Path(made.kept_in) / "trash" / "old.3" / "notes.txt").read_text() == "x"
    assert problems(folder) == []


def test_modes_that_let_others_write_are_mended(folder: Path) -> None:
    """A stored file that others may write is ours alone to read afterwards."""
    (folder / "prediction" / "one.pkl").chmod(0o666)
    run(folder)
    assert (folder / "prediction" / "one.pkl").stat().st_mode & 0o777 == 0o440
    assert problems(folder) == []


def test_what_a_crash_left_of_a_retirement_goes_to_the_trash(folder: Path) -> None:
    """Files of a model whose line of retirement was the last thing are no model to be registered again."""
    registry = open_registry(folder)
    registry._storage.discard = lambda *_: folder  # type: ignore[method-assign]
    registry.delete_model("two") if registry.remove_alias("champion", "two") else None
    registry.close()
    assert (folder / "prediction" / "two.pkl").exists()
    made = run(folder)
    assert (made.from_sidecars, made.lost, sorted(entries(folder))) == ((), (), ["one"])
    assert problems(folder) == []
    with open_registry(folder) as again:
        assert again.restore("two")["model_id"] == "two"


def test_what_a_crash_left_of_a_replaced_scaler_goes_to_the_trash(folder: Path) -> None:
    """The old scaler, whose writer died before it could move it, is in its model's trash folder afterwards."""
    registry = open_registry(folder)
    registry._storage.discard_file = lambda entry, path: None  # type: ignore[method-assign]
    registry.replace_scaler("one", {"mean": 4})
    registry.close()
    made = run(folder)
    assert made.lost == ()
    assert (folder / ".trash" / "one.1" / "one_scaler.pkl").read_bytes() == SCALER
    assert problems(folder) == []
    assert open_registry(folder, read_only=True).registry["one"]["scaler_path"].endswith("one_scaler@10.pkl")


# --- from sidecars ---------------------------------------------------------------------------------------------


def test_models_of_which_only_sidecars_are_left(folder: Path) -> None:
    """They are scanned and registered by lines that say so; a model in the trash is not registered, but kept."""
    lose_registry(folder)
    for path in (folder / "prediction").glob("*.labels.json"):
        path.unlink()
    made = run(folder)
    assert made.from_sidecars == made.without_labels == ("one", "two")
    assert [lost.model_id for lost in made.lost] == ["old.3"]
    assert problems(folder) == []
    found = entries(folder)["one"]
    expected = {
        "version": "1.10",
        "trained_at": "2025-10-25T12:00:00Z",
        "validation_metrics": {"rmse": 0.012},
        "model_path": "prediction/one.pkl",
        "scaler_path": "prediction/one_scaler.pkl",
        "sha256": hashlib.sha256(MODEL).hexdigest(),
        "scaler_sha256": hashlib.sha256(SCALER).hexdigest(),
        "size_bytes": len(MODEL) + len(SCALER),
        "origin": "inbox",
        "drop_id": None,
        "aliases": [],
        "pinned": False,
    }
    assert {name: found[name] for name in expected} == expected
    with open_registry(folder, read_only=True) as registry:
        line = registry.history("one")[0]
        assert (line.operation, line.actor, line.reason) == ("register", "rebuild", "rebuild: from its stored sidecar")
        assert line.sequence > 3  # the trash tells of a line 3
        assert registry.load_model_objects(registry.registry["one"]) == ({"weights": [1, 2]}, OrderedDict(mean=3))


def test_a_larger_integer_of_an_earlier_version_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0.1 registered metrics beyond 2^53: verify has nothing against them, and a rebuild loses none."""
    with monkeypatch.context() as earlier, open_registry(folder) as registry:
        earlier.setattr("model_inbox.registry.registry.check_metadata", lambda *_, **__: [])
        registry.register_model(metadata("large", validation_metrics={"n": 2**63}), {"w": 1})
    assert problems(folder) == []
    for name in ("registry.json", "registry.journal.jsonl", "registry.checkpoint.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "history")
    assert "large" in run(folder).from_sidecars
    assert entries(folder)["large"]["validation_metrics"] == {"n": 2**63}
    assert problems(folder) == []


def test_a_model_from_a_sidecar_may_import_what_the_scan_saw_and_no_more(folder: Path) -> None:
    """Its imports are those of model and scaler; other bytes in its place are refused when it is loaded."""
    lose_registry(folder)
    run(folder)
    with open_registry(folder, read_only=True) as registry:
        entry = dict(registry.registry["one"])
        assert list(entry["imports"]) == ["collections.OrderedDict"]
        path = folder / "prediction" / "one.pkl"
        path.chmod(0o640)
        path.write_bytes(pickle.dumps(print))
        with pytest.raises(LoadRefused, match=r"builtins\.print"):
            registry.load_model({**entry, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


def test_a_model_that_the_scan_refuses_is_not_registered(folder: Path) -> None:
    """It is told, and its files are kept: also one that was registered from Python without a limit."""
    with open_registry(folder) as registry:
        registry.register_model(metadata("free"), print)
    lose_registry(folder)
    (folder / "prediction" / "one.labels.json").unlink()
    made = run(folder)
    assert made.from_sidecars == ("one", "two")
    assert made.without_labels == ("one",)
    assert {"aliases", "pinned", "tags set after the registration"} < set(made.not_recovered)
    (lost,) = [lost for lost in made.lost if lost.model_id == "free"]
    assert "builtins.print" in lost.why
    assert {path.name for path in Path(made.kept_in, "files").iterdir()} == {"free.pkl", "free.yaml"}
    assert problems(folder) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: (d / "two.pkl").write_bytes(pickle.dumps([3])), "two.pkl: the file's bytes"),
        (lambda d: (d / "two.pkl").unlink(), "two.pkl: the file is missing"),
        (lambda d: (d / "two.yaml").write_bytes(b"x"), "its sidecar cannot be read"),
        (lambda d: (d / "two.yaml").rename(d / "three.yaml"), "its sidecar calls it 'two'"),
        (lambda d: (d / "two.yaml").unlink(), "no sidecar tells"),
    ],
)
def test_a_sidecar_that_does_not_fit_its_files_makes_no_entry(folder: Path, change: Damage, why: str) -> None:
    """The reason is told, and the files are kept."""
    lose_registry(folder)
    change(folder / "prediction")
    made = run(folder)
    assert made.from_sidecars == ("one",)
    assert any(lost.why.startswith(why) for lost in made.lost), made.lost
    assert problems(folder) == []


def test_what_no_line_of_a_whole_journal_committed_is_not_registered(folder: Path) -> None:
    """A writer died before its line: the rebuild names the model, keeps its files aside, and registers nothing."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry._storage.place("torn", staged(registry, "torn", MODEL, SCALER).files)
        registry._storage.place_file(
            staged(registry, "x", pickle.dumps([1])).files.model, registry._storage.scaler_name("one", 10)
        )
        before = plain(registry)
    made = run(folder)
    assert made.from_sidecars == ()
    assert made.lines_lost == 0
    assert [(lost.model_id, lost.why) for lost in made.lost if lost.model_id == "torn"] == [
        ("torn", "no line of the journal, which is complete, registered it")
    ]
    names = {path.name for path in Path(made.kept_in, "files").iterdir()}
    assert names == {"torn.pkl", "torn.yaml", "torn_scaler.pkl", "one_scaler@10.pkl"}
    assert entries(folder) == before
    assert problems(folder) == []


def test_an_entry_that_only_an_edited_json_file_has_is_not_registered(folder: Path) -> None:
    """With a whole journal the journal is what counts, whatever somebody wrote into the JSON file."""
    before = entries(folder)
    path = folder / "registry.json"
    edited = json.loads(path.read_text())
    edited["two"]["pinned"] = True
    edited["three"] = {**edited["two"], "model_id": "three"}
    path.write_text(json.dumps(edited))
    made = run(folder)
    assert [(item.model_id, item.what, dict(item.fields)) for item in made.undone] == [
        ("three", "vanished", {}),
        ("two", "changed", {"pinned": (True, False)}),
    ]
    assert entries(folder) == before


def test_a_model_that_only_the_json_file_tells_of(folder: Path) -> None:
    """Its entry is taken over as it was, drop_id included, by a line that says where it is from."""
    before = entries(folder)
    break_line(closed(folder), 2)
    break_line(journal(folder), 4)
    made = run(folder)
    assert made.from_checkpoint == ("two",)
    assert entries(folder) == before
    with open_registry(folder) as registry:
        assert registry.registrations(["drop-two"]).keys() == {"drop-two"}


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["daemon", "writer"])
def test_a_registry_in_use_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The daemon's lock and the writers' each stop it with exit 75, naming the holder."""
    monkeypatch.setattr("model_inbox.registry.repair.rebuild.WRITER_WAIT_SECONDS", 0.0)
    lock = FileLock(folder / f".registry.{name}.lock", "test's")
    lock.acquire(0)
    with pytest.raises(RegistryLocked, match=rf"cannot rebuild .* held by 'process {os.getpid()}") as caught:
        run(folder)
    assert caught.value.exit_status == 75
    lock.close()
    assert not list(folder.glob("*.rebuilt-*"))


def test_files_of_a_newer_version_are_left_alone(folder: Path) -> None:
    """What is not understood is no damage."""
    mark(folder).write_text(mark(folder).read_text().replace("checkpoint/2", "checkpoint/3"))
    with pytest.raises(RegistryTooNew):
        run(folder)
    assert not list(folder.glob("*.rebuilt-*"))


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    """An empty folder, and none, are an error with exit 1."""
    (tmp_path / "empty" / "prediction").mkdir(parents=True)
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(RegistryError, match="cannot rebuild"):
            run(folder)


# --- crashes ---------------------------------------------------------------------------------------------------


def ruin(folder: Path) -> None:
    """A bit of everything: damaged lines, a damaged JSON file, a lost model, a stranger, a model without a line."""
    with open_registry(folder, clock=Clock(START + timedelta(hours=1)), disk=QuickDisk()) as registry:
        register(registry, "broken", pickle.dumps(["broken"]))
        registry.change_segment()
        registry.tag("two", {"stage": "live"})
        candidate = staged(registry, "unlisted", pickle.dumps({"un": "listed"}))
        registry._storage.place("unlisted", candidate.files)
        registry._storage.unstage(candidate.files)
    break_line(closed(folder), 4)
    break_line(folder / "history" / f"{5:020d}.jsonl", 2)
    path = folder / "registry.json"
    path.write_bytes(path.read_bytes().replace(b'"1.10"', b'"1.11"'))  # still JSON
    (folder / "prediction" / "broken.pkl").unlink()
    (folder / "prediction" / "stray.pkl").write_bytes(b"stray")
    shutil.copytree(folder / ".trash" / "old.3", folder / ".trash" / "nobody.4")
    # A model that is good and a scaler that is not, of which its sidecar says nothing.
    text = (folder / "prediction" / "two.yaml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("scaler_file", "sha256", "  ", "  model:"))]
    kept = [line for line in kept if not line.startswith(("model_file", "validation_metrics", "features_used"))]
    kept[-1:] = ["validation_metrics: {rmse: 0.5}", "features_used: [sma_5]"]
    (folder / "prediction" / "half.yaml").write_text("\n".join(kept).replace("two", "half") + "\n")
    (folder / "prediction" / "half.pkl").write_bytes(pickle.dumps(["half"]))
    (folder / "prediction" / "half_scaler.pkl").write_bytes(pickle.dumps(print))


def ruin_the_end(folder: Path) -> None:
    """The journal and the JSON file are gone, and what sound lines there are stand in a damaged segment."""
    break_line(closed(folder), 2)
    journal(folder).unlink()
    (folder / "registry.json").unlink()


class Stage:
    """A ruined registry, kept to be copied, and what a rebuild without a crash makes of it."""

    def __init__(self, before: Path, root: Path) -> None:
        self.before = before
        self.root = root
        self.made = run(self.copy("clean"))
        self.expected = entries(root / "clean")
        self.sound = lines(root / "clean")
        self.bytes = self.contents(root / "clean")

    def copy(self, name: str) -> Path:
        target = self.root / name
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.before), str(target)], check=True)
        return target

    @staticmethod
    def contents(folder: Path) -> set[bytes]:
        """Return the contents of all pickles and sidecars, wherever they are: nothing of them may be lost."""
        return {path.read_bytes() for path in folder.rglob("*") if path.suffix in (".pkl", ".yaml")}

    def crash(self, stop_at: int | None, moment: Moment) -> CrashingDisk:
        disk = CrashingDisk(self.copy("run"), stop_at, moment)
        try:
            run(self.root / "run", disk)
        except Crashed:
            assert stop_at is not None
        return disk

    def check(self, folder: Path) -> None:
        """A further rebuild comes to the same entries, and keeps every line and every byte."""
        run(folder)
        assert problems(folder) == []
        assert {i: _undated(e) for i, e in entries(folder).items()} == {
            i: _undated(e) for i, e in self.expected.items()
        }
        found = lines(folder)
        assert [line for line in found if line[1] != "rebuild"][:9] == [x for x in self.sound if x[1] != "rebuild"][:9]
        assert self.contents(folder) >= self.bytes


def _undated(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in ("sequence", "registered_at")}


@pytest.fixture(name="stage", params=[ruin, ruin_the_end])
def _stage(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Iterator[Stage]:
    request.param(folder)
    root = Path("/dev/shm") / f"model-inbox-rebuild-{os.getpid()}" if Path("/dev/shm").is_dir() else tmp_path / "runs"
    root.mkdir(exist_ok=True)
    yield Stage(folder, root)
    shutil.rmtree(root)


@pytest.mark.parametrize("stage", [ruin], indirect=True)
def test_the_ruined_registry(stage: Stage) -> None:
    """What is left of it is registered, and the rest is told."""
    made = stage.made
    assert sorted(stage.expected) == ["one", "two", "unlisted"]
    assert made.from_sidecars == ("unlisted",)
    assert [lost.model_id for lost in made.lost] == ["broken", "half", "stray.pkl", "nobody.4"]
    assert "half_scaler.pkl: " in made.lost[1].why
    assert made.lines_lost == 2
    stage.check(stage.root / "clean")


@pytest.mark.parametrize("stage", [ruin_the_end], indirect=True)
def test_the_registry_without_an_end(stage: Stage) -> None:
    """Pin, history and the lost model's sidecar are what is left; what the lost end purged is lost again."""
    made = stage.made
    assert (made.from_sidecars, made.retired, made.lines) == (("two",), ("old",), 4)
    assert [lost.model_id for lost in made.lost] == ["gone"]
    assert stage.expected["one"]["pinned"] is True
    stage.check(stage.root / "clean")


@pytest.mark.exhaustive
def test_a_rebuild_that_is_killed_is_done_again(stage: Stage) -> None:
    """Killed before, after or within any step: a further rebuild comes to the same end."""
    disk = stage.crash(None, "before")
    assert len(disk.steps) > 20
    for number, step in enumerate(disk.steps):
        moments: tuple[Moment, ...] = ("before", "after", "half") if step == "write" else ("before",)
        for moment in moments:
            assert stage.crash(number, moment).crashed
            try:
                stage.check(stage.root / "run")
            except Exception as error:
                raise AssertionError(f"crash {moment} step {number} ({step}) of {disk.steps}: {error!r}") from error


@pytest.mark.exhaustive
def test_a_rebuild_in_a_power_cut_is_done_again(stage: Stage) -> None:
    """Whatever of the unsynced arrived: the same."""
    steps = stage.crash(None, "before").steps
    for number in range(len(steps) + 1):
        crashed = stage.crash(number if number < len(steps) else None, "before")
        for names, data in crashed.medium.states(STATES_EACH, number):
            folder = stage.root / "cut"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            crashed.medium.write(folder, names, data)
            try:
                stage.check(folder)
            except Exception as error:
                left = paths_of(names)
                raise AssertionError(f"power cut before step {number} of {steps}; arrived {left}: {error!r}") from error


@pytest.mark.exhaustive
def test_a_damaged_json_file_never_passes_for_a_sound_one(stage: Stage) -> None:
    """At no step is a registry left that opens with what the damaged file says instead of what the lines say."""
    steps = stage.crash(None, "before").steps
    opened = 0
    for number in range(len(steps)):
        stage.crash(number, "before")
        try:
            found = entries(stage.root / "run")
        except RegistryError:
            continue
        opened += 1
        assert {entry["version"] for entry in found.values()} == {"1.10"}  # the damaged file says 1.11
        both = found.keys() & stage.expected.keys()
        assert {i: _undated(found[i]) for i in both} == {i: _undated(stage.expected[i]) for i in both}
    assert json.loads((stage.root / "clean" / "registry.json").read_text()).keys() == stage.expected.keys()
    assert opened <= len(steps)


def test_a_disk_that_fails_leaves_what_was_there(folder: Path) -> None:
    """A full disk is an error that may pass; the registry opens as before."""
    before = entries(folder)

    class Full(QuickDisk):
        def create(self, path: Path, mode: int) -> int:
            raise OSError(28, "No space left on device", str(path))

    with pytest.raises(StorageError) as caught:
        run(folder, Full())
    assert caught.value.exit_status == 75
    assert entries(folder) == before
    run(folder)
    assert problems(folder) == []
    with ModelRegistry(folder / "registry.json", folder / "prediction", read_only=True) as registry:
        assert registry.damage is None
