"""`audit.verify` tells everything that does not agree, and nothing that does. Each problem by its stable code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import Problem, RegistryMissing
from model_inbox.registry.journal import seal
from model_inbox.registry.repair import verify as audit
from support.crash_kit import metadata, open_registry, register, staged
from support.world import World

Damage = Callable[[Path], None]


def verify(folder: Path, **options: bool) -> list[Problem]:
    return audit.verify(folder / "registry.json", folder / "prediction", **options)


def codes(folder: Path, **options: bool) -> list[str]:
    return sorted(problem.code for problem in verify(folder, **options))


@pytest.fixture(name="folder", autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with a closed segment (1 to 4) and a current one (5 to 7), and one model in the trash."""
    monkeypatch.setattr(audit, "_LOOK_AGAIN_SECONDS", (0.0, 0.0))
    with open_registry(tmp_path) as registry:
        register(registry, "one", b"one bytes", b"one scaler")
        register(registry, "two", b"two bytes")
        register(registry, "old", b"old bytes")
        registry.pin("one")
        registry.change_segment()
        registry.delete_model("old")
        registry.set_alias("champion", "two")
        registry.register_model(metadata("api"), {"weights": [1]}, {"mean": 2})
    for path in (tmp_path / "prediction").glob("*.*"):
        path.chmod(0o440)
    return tmp_path


def change_byte(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.chmod(0o640)
    path.write_bytes(data)


def journal(folder: Path) -> Path:
    return folder / "registry.journal.jsonl"


def closed(folder: Path) -> Path:
    return folder / "history" / f"{0:020d}.jsonl"


# --- what agrees -----------------------------------------------------------------------------------------------


def test_a_sound_registry_has_no_problems(folder: Path) -> None:
    """Nothing is found, with and without digests, also before the checkpoint and with a replaced scaler."""
    assert verify(folder) == verify(folder, digests=False) == []
    registry = open_registry(folder)
    registry.replace_scaler("one", {"mean": 3})
    registry.tag("two", {"stage": "live"})
    registry.restore("old")
    assert verify(folder) == []
    registry.delete_model("one") if registry.unpin("one") else None
    registry.purge(registry.retired()[0])
    registry.change_segment()
    registry.prune_history(0)
    assert verify(folder) == []
    registry.close()


def test_a_new_registry_and_an_adopted_one_have_no_problems(tmp_path: Path) -> None:
    """A registry without a line agrees; so does one made by another program, whose entries lack our fields."""
    open_registry(tmp_path / "new").close()
    assert verify(tmp_path / "new") == []
    (tmp_path / "theirs" / "prediction").mkdir(parents=True)
    (tmp_path / "theirs" / "prediction" / "m.joblib").write_bytes(b"theirs")
    entry = {"model_id": "m 1", "model_type": "x", "currency_pair": "USD/EUR", "model_path": "prediction/m.joblib"}
    (tmp_path / "theirs" / "registry.json").write_text(json.dumps({"m 1": entry}))
    open_registry(tmp_path / "theirs").close()
    assert verify(tmp_path / "theirs") == []


def test_no_registry_is_an_error(tmp_path: Path) -> None:
    """Where there is none, that is said, and nothing is made."""
    with pytest.raises(RegistryMissing, match="cannot verify the registry"):
        verify(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_is_changed(folder: Path) -> None:
    """No file or folder is made, changed or locked."""

    def tree() -> dict[str, tuple[int, int]]:
        return {str(p): (p.lstat().st_ino, p.lstat().st_mtime_ns) for p in [folder, *folder.rglob("*")]}

    before = tree()
    verify(folder)
    assert tree() == before


def test_the_progress_goes_from_the_first_byte_to_the_last(folder: Path) -> None:
    """Bytes of all stored and retired models and scalers, of their sum; digests that are not compared cost none."""
    told: list[tuple[int, int]] = []
    audit.verify(
        folder / "registry.json", folder / "prediction", progress=lambda done, total: told.append((done, total))
    )
    total = sum(path.stat().st_size for path in folder.rglob("*.pkl"))
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    audit.verify(
        folder / "registry.json",
        folder / "prediction",
        digests=False,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == []


# --- stored files ----------------------------------------------------------------------------------------------


def stored(name: str, do: Damage) -> Damage:
    return lambda folder: do(folder / "prediction" / name)


def _link(path: Path) -> None:
    path.rename(path.with_name(".elsewhere"))
    path.symlink_to(".elsewhere")


def _say_other(path: Path) -> None:
    text = path.read_text()
    path.chmod(0o640)
    path.write_text(text.replace("min_samples: 500", "min_samples: 501"))


def _sealed(path: Path, **changes: object) -> None:
    fields = json.loads(path.read_bytes())
    del fields["checksum"]
    path.chmod(0o640)
    path.write_bytes(seal(fields | changes))


def _unpinned(path: Path) -> None:
    _sealed(path, pinned=None)


def _ahead(path: Path) -> None:
    _sealed(path, sequence=99)


@pytest.mark.parametrize(
    ("do", "found"),
    [
        (stored("one.pkl", Path.unlink), {"registry.file_missing": "one.pkl"}),
        (stored("one_scaler.pkl", Path.unlink), {"registry.file_missing": "one_scaler.pkl"}),
        (stored("one.pkl", lambda p: change_byte(p, 0)), {"registry.digest_mismatch": "one.pkl"}),
        (stored("one_scaler.pkl", lambda p: change_byte(p, 1)), {"registry.digest_mismatch": "one_scaler.pkl"}),
        (stored("one.pkl", _link), {"registry.file_not_regular": "one.pkl"}),
        (stored("one.pkl", lambda p: p.chmod(0o664)), {"registry.file_writable": "one.pkl"}),
        (stored("one.yaml", Path.unlink), {"registry.sidecar_missing": "one.yaml"}),
        (stored("one.yaml", lambda p: change_byte(p, 0)), {"registry.sidecar_damaged": "one.yaml"}),
        (stored("api.yaml", _say_other), {"registry.sidecar_differs": "api.yaml"}),
        (stored("one.labels.json", Path.unlink), {"registry.labels_missing": "one.labels.json"}),
        (stored("one.labels.json", lambda p: change_byte(p, 30)), {"registry.labels_damaged": "one.labels.json"}),
        (stored("one.labels.json", _unpinned), {"registry.labels_differ": "one.labels.json"}),
        (stored("one.labels.json", _ahead), {"journal.cut": "registry.journal.jsonl"}),
        (stored("extra.pkl", lambda p: p.write_bytes(b"")), {"registry.leftover_file": "extra.pkl"}),
    ],
)
def test_a_stored_file_that_is_not_what_was_registered(folder: Path, do: Damage, found: dict[str, str]) -> None:
    """Each kind of change is found by its code, with the file, and with what to do."""
    do(folder)
    problems = verify(folder)
    assert {problem.code: Path(problem.file or "").name for problem in problems} == found
    assert all(problem.hint for problem in problems)


def test_without_digests_a_file_is_known_by_its_size(folder: Path) -> None:
    """A file that has grown is found without being read; one of the same size is not."""
    change_byte(folder / "prediction" / "two.pkl", 0)
    assert codes(folder, digests=False) == []
    (folder / "prediction" / "two.pkl").write_bytes(b"two bytes and more")
    assert codes(folder, digests=False) == ["registry.size_mismatch"]


def test_a_storage_folder_that_is_missing(folder: Path) -> None:
    """The folder is named, and each file that is not there."""
    (folder / "prediction").rename(folder / "elsewhere")
    found = codes(folder)
    assert found.count("registry.storage_missing") == 1
    assert found.count("registry.file_missing") == 5


# --- trash and staging -----------------------------------------------------------------------------------------


def test_trash_that_the_journal_does_not_tell_of(folder: Path) -> None:
    """A retired model without its folder or file, and a folder of no model, are told; what was set aside is not."""
    held = folder / ".trash" / "old.3"
    (held / "old.pkl").unlink()
    assert codes(folder) == ["registry.trash_incomplete"]
    held.rename(folder / ".trash" / "x.9")
    (folder / ".trash" / "extra.pkl.leftover-1").mkdir()
    assert codes(folder) == ["registry.trash_missing", "registry.trash_unknown"]


def test_the_files_in_the_trash_are_compared_like_those_of_registered_models(folder: Path) -> None:
    """Rotten bytes, a sidecar that is missing, a file that is not the model's: each is told with its path."""
    held = folder / ".trash" / "old.3"
    change_byte(held / "old.pkl", 0)
    (held / "old.yaml").unlink()
    (held / "notes.txt").write_text("x")
    (held / "old_scaler@7.pkl").write_text("a scaler that the model had before")
    found = {(problem.code, problem.file) for problem in verify(folder)}
    assert found == {
        ("registry.trash_damaged", str(held / "old.pkl")),
        ("registry.sidecar_missing", str(held / "old.yaml")),
        ("registry.trash_extra", str(held / "notes.txt")),
    }
    assert codes(folder, digests=False) == ["registry.sidecar_missing", "registry.trash_extra"]


def test_staging_leftovers_are_told_when_they_are_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was staged just now is somebody's work; a day later it is a leftover."""
    (folder / "prediction" / ".staging" / "api-1.pkl").write_bytes(b"")
    assert codes(folder) == []
    now = audit._now()
    monkeypatch.setattr(audit, "_now", lambda: now + timedelta(days=1, minutes=1))
    assert codes(folder) == ["registry.staging_leftover"]


# --- the registry's own files ----------------------------------------------------------------------------------


def test_a_damaged_line_is_told_with_its_offset(folder: Path) -> None:
    """File and offset of each damaged line, in the journal as in the history, all at once."""
    for path in (journal(folder), closed(folder)):
        lines = path.read_bytes().split(b"\n")
        change_byte(path, len(lines[0]) + 1 + len(lines[1]) + 1 + 20)
    lengths = {
        path: sum(len(line) + 1 for line in path.read_bytes().split(b"\n")[:2])
        for path in (journal(folder), closed(folder))
    }
    problems = [problem for problem in verify(folder) if problem.code == "journal.damaged"]
    assert {problem.file for problem in problems} == {str(path) for path in lengths}
    for problem in problems:
        assert f"at byte {lengths[Path(problem.file or '')]}:" in problem.message
        assert "model-inbox rebuild" in problem.hint


def test_damage_of_one_file_hides_nothing_of_others(folder: Path) -> None:
    """A damaged journal, JSON file, mark and model are four problems of one run."""
    change_byte(journal(folder), 3)
    change_byte(folder / "registry.json", 0)
    change_byte(folder / "registry.checkpoint.json", 0)
    (folder / "prediction" / "one.pkl").unlink()
    found = set(codes(folder))
    assert {
        "journal.damaged",
        "registry.checkpoint_damaged",
        "registry.mark_damaged",
        "registry.file_missing",
    } <= found


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("registry.json", "registry.checkpoint_missing"),
        ("registry.checkpoint.json", "registry.mark_missing"),
        ("registry.journal.jsonl", "journal.missing"),
        ("history/00000000000000000000.jsonl", "journal.base_missing"),
    ],
)
def test_a_file_of_the_registry_that_is_missing(folder: Path, name: str, code: str) -> None:
    """Each is told by a code of its own."""
    (folder / name).unlink()
    assert code in codes(folder)


def test_a_byte_that_rots_in_the_json_file_is_found(folder: Path) -> None:
    """Also where it still is JSON: the mark knows the bytes."""
    path = folder / "registry.json"
    path.write_bytes(path.read_bytes().replace(b"1.10", b"1.11"))
    assert "registry.checkpoint_damaged" in codes(folder)


def test_a_journal_that_was_cut(folder: Path) -> None:
    """Lines that the mark knows of and the journal has not are told."""
    path = journal(folder)
    path.write_bytes(b"".join(line + b"\n" for line in path.read_bytes().split(b"\n")[:2]))
    (problem,) = [problem for problem in verify(folder) if problem.code == "journal.cut"]
    assert "ends at line 5, but lines up to 7" in problem.message


def test_a_torn_tail_is_no_problem(folder: Path) -> None:
    """Bytes behind the last newline were never committed."""
    with journal(folder).open("ab") as file:
        file.write(b'{"sequence":8,"ti')
    assert verify(folder) == []


def test_a_gap_between_segments(folder: Path) -> None:
    """Lines that are in no segment are told, with the file behind the gap."""
    with open_registry(folder) as registry:
        registry.change_segment()
        registry.pin("two")
    (folder / "history" / f"{4:020d}.jsonl").unlink()
    (problem,) = [problem for problem in verify(folder) if problem.code == "journal.gap"]
    assert "the lines 5 to 7" in problem.message
    assert problem.file == str(journal(folder))


def test_a_missing_segment_at_the_beginning_is_told_by_its_lines(folder: Path) -> None:
    """The numbers of the lines that are in no file."""
    closed(folder).unlink()
    (problem,) = [problem for problem in verify(folder) if problem.code == "journal.base_missing"]
    assert "the lines 1 to 4" in problem.message


def test_an_entry_that_no_line_tells_of(folder: Path) -> None:
    """A JSON file that was changed together with its mark is held against the journal, field by field."""
    path = folder / "registry.json"
    entries = json.loads(path.read_text())
    entries["one"]["version"] = "2"
    path.write_text(json.dumps(entries))
    (folder / "registry.checkpoint.json").unlink()
    (problem,) = [problem for problem in verify(folder) if problem.code == "registry.entry_differs"]
    assert "'one' is not what the journal says: 'version'" in problem.message


def test_files_of_a_newer_version_are_told(folder: Path) -> None:
    """A format that is not known here is no damage."""
    path = folder / "registry.checkpoint.json"
    path.write_text(path.read_text().replace("checkpoint/2", "checkpoint/3"))
    assert "registry.too_new" in codes(folder)
    assert "registry.mark_damaged" not in codes(folder)


# --- while others work -----------------------------------------------------------------------------------------


def test_what_changes_meanwhile_is_no_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that come, go and are purged during the look are no problems; what is really wrong is one."""
    writer = open_registry(folder)
    (folder / "prediction" / "stays.pkl").write_bytes(b"")
    first = audit._Look.check_models
    moments = iter([True])

    def busy(look: audit._Look, *arguments: object, **options: object) -> object:
        if next(moments, False):
            register(writer, "three", b"three bytes")
            writer.unpin("one")
            writer.delete_model("one")
            for item in writer.retired():
                writer.purge(item)
            writer.change_segment()
        return first(look, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(audit._Look, "check_models", busy)
    assert [(problem.code, Path(problem.file or "").name) for problem in verify(folder)] == [
        ("registry.leftover_file", "stays.pkl")
    ]
    writer.close()


def test_a_file_that_comes_before_its_line_is_no_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration that stands between its names and its commit is looked at again, and is whole by then."""
    writer = open_registry(folder)
    candidate = staged(writer, "three", b"three bytes")
    writer._storage.place("three", candidate.files)
    look = audit._Look(folder / "registry.json", folder / "prediction")
    assert [problem.code for problem in look.problems()] == ["registry.leftover_file"] * 2

    def commit(_seconds: float) -> None:
        if writer.get_model_info("three") is None:
            writer.register_staged([candidate])
            writer._storage.unstage(candidate.files)

    monkeypatch.setattr(audit.time, "sleep", commit)
    assert verify(folder) == []
    assert writer.get_model_info("three") is not None
    writer.close()


# --- verdicts --------------------------------------------------------------------------------------------------


def test_a_verdict_of_another_allowlist_is_made_again_and_said(tmp_path: Path) -> None:
    """Let in by a line of `pickle.allow`: found when the line has gone, and scanned again when there are more."""
    world = World(tmp_path, {"pickle": {"allow": {"ours.Mine": "bnr"}}})
    world.put("m")
    (world.inbox / "m.pkl").write_bytes(b"\x80\x04\x8c\x04ours\x8c\x04Mine\x93)\x81.")  # Mine, made without a call
    with world.daemon() as daemon:
        daemon.wait(lambda: world.receipt("m"))
    assert world.receipt("m")["outcome"] == "registered"
    assert verified(world) == (0, [], {})

    world.configure(pickle={"allow": {"ours.Mine": "bnr", "ours.Other": "r"}})
    code, problems, rescanned = verified(world)
    assert (code, problems, list(rescanned)) == (0, [], ["m"])
    assert rescanned["m"] == ["the allowlist has changed (pickle.frameworks, pickle.allow, or a newer model-inbox)"]

    world.configure()
    code, problems, _ = verified(world)
    assert (code, [problem["code"] for problem in problems]) == (1, ["registry.verdict_changed"])
    assert "ours.Mine" in problems[0]["message"]
    assert "model-inbox delete 'm'" in problems[0]["hint"]


def verified(world: World) -> tuple[int, list[dict[str, Any]], dict[str, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-m", "model_inbox", "--config", str(world.config_path), "verify", "--json"],
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    return done.returncode, told["problems"], told.get("rescanned", {})
