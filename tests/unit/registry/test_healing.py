"""The JSON file and its mark are made again from the journal, and what was found there is kept and said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, RegistryCorrupted
from model_inbox.registry.healing import KEPT_MAX
from model_inbox.registry.repair.verify import verify
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, open_registry, plain, register

JSON, MARK, JOURNAL = "registry.json", "registry.checkpoint.json", "registry.journal.jsonl"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Two models: `a` in the closed segment, `b` in the journal; a checkpoint has both, and a line came after it."""
    folder = tmp_path / "models"
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "a")
        registry.change_segment()
        register(registry, "b", b"b")
        registry.checkpoint()
        registry.tag("b", {"stage": "live"})
        registry._store.json_file.is_dirty = False  # a process that is killed writes no checkpoint
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Edit the JSON file as a person does, and return its new bytes."""
    entries = json.loads((folder / JSON).read_text())
    change(entries)
    (folder / JSON).write_text(json.dumps(entries, indent=2))
    return (folder / JSON).read_bytes()


def pin_by_hand(value: object, entries: dict[str, Any]) -> None:
    entries["a"]["pinned"] = value


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if "-2026" in path.name}


def test_an_edit_is_kept_and_said_field_by_field(folder: Path) -> None:
    """A writer makes the file again; the log has what the edit would have changed, and the command for each."""
    expected = plain(open_registry(folder, read_only=True))

    def by_hand(entries: dict[str, Any]) -> None:
        entries["a"]["pinned"] = True
        entries["a"]["aliases"] = ["champion"]
        entries["b"]["version"] = "2"
        entries["c"] = {**entries["b"], "model_id": "c"}

    edited = edit(folder, by_hand)
    with capture_logs() as logs:
        registry = open_registry(folder, disk=QuickDisk())
    assert plain(registry) == expected
    assert json.loads((folder / JSON).read_text()) == expected
    assert kept(folder) == {"registry.json.edited-20261124T120000Z": edited}
    (said,) = logs
    assert (said["event"], said["log_level"]) == ("registry.file_rewritten", "warning")
    assert said["path"] == str(folder / JSON)
    assert said["kept"] == str(folder / "registry.json.edited-20261124T120000Z")
    assert said["changes"] == [
        "'a': aliases is [], not [\"champion\"] (`model-inbox alias`)",
        "'a': pinned is false, not true (`model-inbox pin / unpin`)",
        '\'b\': version is "1.10", not "2" (no command: a registered model never changes, drop it again under a new '
        "model_id)",
        "'c': the journal has no such model; drop it into the inbox",
    ]
    assert [one.kept for one in registry.rewritten] == [Path(said["kept"])]


def test_a_model_that_an_edit_took_away_stays(folder: Path) -> None:
    """A line that is cut out of the file by hand retires nothing."""
    edit(folder, lambda entries: entries.pop("a"))
    with capture_logs() as logs:
        assert sorted(open_registry(folder).registry) == ["a", "b"]
    assert logs[0]["changes"] == ["'a': the model is missing there; `model-inbox delete` retires it"]


@pytest.mark.parametrize("name", [JSON, MARK])
@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_a_reader_goes_by_the_journal_and_changes_nothing(folder: Path, name: str, how: str) -> None:
    """Whatever became of a derived file: a read-only handle shows what was committed, and says what it does without."""
    expected = plain(open_registry(folder, read_only=True))
    data = (folder / name).read_bytes()
    if how == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data[:-9] if how == "cut" else data[:30] + bytes([data[30] ^ 1]) + data[31:])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with capture_logs() as logs:
        reader = open_registry(folder, read_only=True)
    assert plain(reader) == expected
    assert [(log["event"], log["path"]) for log in logs] == [("registry.file_ignored", str(folder / name))]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with capture_logs() as logs:
        open_registry(folder, disk=QuickDisk()).close()
    assert [log["event"] for log in logs] == ["registry.file_rewritten"]
    assert len(kept(folder)) == (0 if how == "missing" else 1)
    with capture_logs() as logs:
        assert plain(open_registry(folder)) == expected
    assert logs == []


def test_an_edit_while_a_writer_runs_is_not_overwritten_without_a_copy(folder: Path) -> None:
    """The next checkpoint of a handle that was open all the time keeps the edit and says it."""
    writer = open_registry(folder, disk=QuickDisk())
    assert writer.derived_files_are_sound
    edited = edit(folder, lambda entries: entries["a"].update(pinned=True))
    assert not writer.derived_files_are_sound
    writer.tag("b", {"stage": "old"})
    with capture_logs() as logs:
        assert writer.checkpoint() is True
    assert list(kept(folder).values()) == [edited]
    assert logs[0]["changes"] == ["'a': pinned is false, not true (`model-inbox pin / unpin`)"]
    assert writer.derived_files_are_sound
    assert json.loads((folder / JSON).read_text())["b"]["tags"] == {"stage": "old"}


def test_the_checkpoint_of_another_writer_is_no_edit(folder: Path) -> None:
    """A command wrote the files meanwhile: that is how they should be, and nothing is kept or said."""
    one, other = open_registry(folder, disk=QuickDisk()), open_registry(folder, disk=QuickDisk())
    with capture_logs() as logs:
        other.pin("a")
        other.checkpoint()
        assert one.derived_files_are_sound
        one.unpin("a")
        one.checkpoint()
    assert logs == []
    assert kept(folder) == {}


def test_a_crash_behind_the_new_mark_does_not_make_an_edit_pass(folder: Path) -> None:
    """The mark of the healing allows for the new file alone: an edit that is still there is found again."""

    class Dies(QuickDisk):
        def rename(self, source: Path, target: Path) -> None:
            if target.name == JSON:
                raise KeyboardInterrupt
            super().rename(source, target)

    expected = plain(open_registry(folder, read_only=True))
    edit(folder, lambda entries: entries["a"].update(pinned=True))
    with pytest.raises(KeyboardInterrupt):
        open_registry(folder, disk=Dies())
    with capture_logs() as logs:
        assert plain(open_registry(folder, disk=QuickDisk())) == expected
    assert [log["event"] for log in logs] == ["registry.file_rewritten"]
    assert len(kept(folder)) == 1  # the same file, under the name that the first try gave it


def test_so_many_edits_are_kept_and_no_more(folder: Path) -> None:
    """The oldest goes first."""
    clock = Clock()
    edits = []
    for number in range(KEPT_MAX + 3):
        edits.append(edit(folder, partial(pin_by_hand, number)))
        open_registry(folder, clock=clock, disk=QuickDisk()).close()
        clock.ahead(0 if number < 3 else 1)
    assert sorted(kept(folder).values()) == sorted(edits[-KEPT_MAX:])


# --- only downwards ------------------------------------------------------------------------------------------------


def test_a_journal_that_is_behind_its_mark_or_its_json_file_is_not_healed_over(folder: Path) -> None:
    """A cut journal, with the mark whole or without it: damage, and every file stays as it is."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "c", b"c")
    journal = folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    for damage in (lambda: None, (folder / MARK).unlink):
        damage()
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for read_only in (True, False):
            with pytest.raises(RegistryCorrupted, match=r"ends at line 3, but lines up to 4 were committed"):
                open_registry(folder, read_only=read_only)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# --- where the journal does not begin with line 1 ------------------------------------------------------------------


def prune(folder: Path) -> None:
    with open_registry(folder, clock=Clock(START + timedelta(days=9)), disk=QuickDisk()) as registry:
        registry.prune_history(1)
    assert [path.suffix for path in (folder / "history").iterdir()] == [".json"]


@pytest.mark.parametrize("pruned", [True, False], ids=["base file", "closed segment"])
@pytest.mark.parametrize("gone", [(JSON,), (MARK,), (JSON, MARK)], ids="+".join)
def test_the_history_holds_what_the_journal_builds_on(folder: Path, gone: tuple[str, ...], pruned: bool) -> None:
    """A closed segment, or the base file that pruning leaves of it, stands in for the JSON file."""
    if pruned:
        prune(folder)
    expected = plain(open_registry(folder, read_only=True))
    for name in gone:
        (folder / name).unlink()
    assert plain(open_registry(folder, read_only=True)) == expected
    assert plain(open_registry(folder, disk=QuickDisk())) == expected
    assert json.loads((folder / JSON).read_text()) == expected


def test_what_is_in_no_file_is_said_and_not_guessed(folder: Path) -> None:
    """Without history, the JSON file counts only with its mark: edited, or without it, the daemon has to stop."""
    shutil.rmtree(folder / "history")
    expected = plain(open_registry(folder, read_only=True))
    assert expected.keys() == {"a", "b"}
    whole = {name: (folder / name).read_bytes() for name in (JSON, MARK)}
    lost = r"the entries as they were after line 1, where the journal begins, are in no other file"
    for name, damage in ((JSON, b"{}"), (MARK, b"x"), (JSON, None), (MARK, None)):
        (folder / name).unlink()
        if damage is not None:
            (folder / name).write_bytes(damage)
        for read_only in (True, False):
            with pytest.raises(RegistryCorrupted, match=rf"{name}.*{lost}") as caught:
                open_registry(folder, read_only=read_only)
            assert caught.value.exit_status == 78
        (folder / name).write_bytes(whole[name])
        assert plain(open_registry(folder, read_only=True)) == expected


def test_a_handle_that_holds_the_entries_makes_the_files_again_without_the_history(folder: Path) -> None:
    """A daemon that runs needs no history to heal an edit: it knows what it read."""
    writer = open_registry(folder, disk=QuickDisk())
    shutil.rmtree(folder / "history")
    expected = plain(writer)
    edited = edit(folder, lambda entries: entries["a"].update(pinned=True))
    with capture_logs() as logs:
        writer.checkpoint()
    assert json.loads((folder / JSON).read_text()) == expected
    assert list(kept(folder).values()) == [edited]
    assert logs[0]["changes"][0] == "'a': pinned is false, not true (`model-inbox pin / unpin`)"


def test_a_damaged_closed_segment_is_needed_by_nobody_who_has_the_json_file(folder: Path) -> None:
    """Readers and writers open as before; only questions about the past are errors that name the file."""
    (closed,) = (folder / "history").iterdir()
    data = closed.read_bytes()
    closed.write_bytes(data[:-40] + b"x" + data[-39:])
    for read_only in (True, False):
        registry = open_registry(folder, read_only=read_only)
        assert sorted(registry.registry) == ["a", "b"]
        with pytest.raises(RegistryCorrupted, match=closed.name):
            registry.history()
    register(registry, "c", b"c")
    registry.change_segment()


def test_a_fresh_registry_and_one_that_adopted_a_file_have_no_mark_yet(tmp_path: Path) -> None:
    """Nothing is missing there, so nothing is said."""
    with capture_logs() as logs:
        for name, text in (("empty", None), ("adopted", '{"old": {"model_id": "old", "model_type": "x"}}')):
            folder = tmp_path / name
            folder.mkdir()
            if text is not None:
                (folder / JSON).write_text(text)
            for _ in range(2):
                open_registry(folder).close()
            assert not (folder / MARK).exists()
    assert logs == []


def test_a_kept_file_is_no_leftover_where_models_lie_beside_the_registry(tmp_path: Path) -> None:
    """`verify` finds nothing wrong with a registry whose JSON file was edited and is made again."""
    with ModelRegistry(tmp_path / JSON, tmp_path, clock=Clock(), disk=QuickDisk(), actor="test") as registry:
        register(registry, "a")
    edit(tmp_path, partial(pin_by_hand, 1))
    assert [problem.code for problem in verify(tmp_path / JSON, tmp_path)] == ["registry.checkpoint_damaged"]
    ModelRegistry(tmp_path / JSON, tmp_path, clock=Clock(), disk=QuickDisk()).close()
    assert len(kept(tmp_path)) == 1
    assert verify(tmp_path / JSON, tmp_path) == []
