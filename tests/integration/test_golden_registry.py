"""A registry that version 0.1.0 made is read, served and gone on with by every later version.

`golden/registry-0.1/registry.tgz` is the whole state folder of a daemon of version 0.1.0 that was killed: entries with
and without scalers, one whose scaler was replaced, an alias that moved, a pin, tags, retired, restored and purged
models, two rejected drops, and a drop that waits. `expected.json` in it is what that version said of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelRegistry
from model_inbox.base.disk import Disk
from support.crash_disk import Crashed, CrashingDisk, Moment, QuickDisk
from support.crash_kit import Clock, metadata
from support.places import GOLDEN
from support.world import World

ARCHIVE = GOLDEN / "registry-0.1" / "registry.tgz"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    subprocess.run(["tar", "-xpzf", ARCHIVE, "--no-same-owner", "-C", tmp_path], check=True)
    return tmp_path / "a"


@pytest.fixture(name="expected")
def _expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text())  # type: ignore[no-any-return]


def contents(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return of every file its mode, the time of its last change, and its digest."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


def command(folder: Path, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "model_inbox", "--config", str(folder / "config.yaml"), *words, "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def same_but_for_new_keys(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Assert that each object has what was expected of it; a later version may say more."""
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        assert {key: one.get(key) for key in wanted} == wanted


def stored(folder: Path, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return entries with paths relative to the registry's folder, as they are stored."""
    text = json.dumps([dict(entry) for entry in entries]).replace(f"{folder / 'models'}/", "")
    return json.loads(text)  # type: ignore[no-any-return]


def open_golden(folder: Path, *, read_only: bool = False, disk: Disk | None = None) -> ModelRegistry:
    models = folder / "models"
    return ModelRegistry(
        models / "prediction_registry.json", models / "prediction", read_only=read_only, disk=disk, actor="test"
    )


def listed(folder: Path) -> list[dict[str, Any]]:
    with open_golden(folder, read_only=True) as registry:
        return stored(folder, registry.list_models())  # type: ignore[arg-type]  # entries are dictionaries


# --- reading -------------------------------------------------------------------------------------------------------


def test_the_commands_give_the_same_answers_and_change_nothing(folder: Path, expected: dict[str, Any]) -> None:
    """`list`, `history` and `verify` say what version 0.1.0 said, and every byte, mode and time stays as it was."""
    before = contents(folder)
    same_but_for_new_keys(stored(folder, command(folder, "list")), expected["entries"])
    same_but_for_new_keys(command(folder, "history"), expected["history"])
    assert command(folder, "verify")["problems"] == []
    assert contents(folder) == before


def test_a_reader_loads_the_models_and_changes_nothing(folder: Path, expected: dict[str, Any]) -> None:
    """A read-only handle loads every model, finds the champion and the trash, and has no position yet."""
    before = contents(folder)
    with open_golden(folder, read_only=True) as registry:
        assert registry.position is None
        assert registry.sequence == 24
        loaded = {model_id: registry.load_model_objects(entry) for model_id, entry in registry.registry.items()}
        assert loaded == {
            **{f"m{number}": ({"w": number, "s": 1}, None) for number in (1, 5, 7, 8, 11)},
            "m0": ({"w": 0, "s": 1}, {"mean": 0}),
            "m3": ({"w": 3, "s": 1}, {"mean": 99}),
            "m6": ({"w": 6, "s": 1}, {"mean": 6}),
        }
        champion = registry.get_model("USD/EUR", alias="champion")
        assert champion is not None
        assert champion["model_id"] == "m8"
        assert [item.model_id for item in registry.retired()] == ["m10", "m2", "m4"]
    assert contents(folder) == before


# --- going on ------------------------------------------------------------------------------------------------------


def test_a_daemon_takes_the_waiting_drop(folder: Path, expected: dict[str, Any]) -> None:
    """It registers the drop behind all that was, answers with the registry's identity, and keeps every line."""
    world = World(folder, json.loads((folder / "config.yaml").read_text()))
    with world.daemon() as daemon:
        receipt = daemon.wait(lambda: world.receipt("late"))
        daemon.wait_until_empty()
    assert (receipt["outcome"], receipt["model_id"]) == ("registered", "late")
    with world.registry() as registry:
        position = registry.position
        assert position is not None
        assert (receipt["registry_id"], receipt["epoch"]) == (position.registry_id, position.epoch)
        assert position.identity.epoch_number == 1
        entry = registry.get_model_info("late")
        assert entry is not None
        assert entry["sequence"] == receipt["sequence"] > 24
    same_but_for_new_keys(command(folder, "history")[:24], expected["history"])
    found = [entry for entry in listed(folder) if entry["model_id"] != "late"]
    same_but_for_new_keys(found, expected["entries"])
    assert command(folder, "verify")["problems"] == []


def test_a_program_goes_on_writing(folder: Path, expected: dict[str, Any]) -> None:
    """Registering, restoring, changing the segment and opening again; all answers as of before stay the same."""
    with open_golden(folder) as registry:
        registry.register_model(metadata("new"), {"weights": [1]}, {"mean": 0})
        assert registry.restore("m2")["sequence"] == 3
        registry.change_segment()
        registry.unpin("m11")
        position = registry.position
    assert position is not None
    assert (position.sequence, position.identity.epoch_number) == (27, 1)
    with open_golden(folder, read_only=True) as registry:
        assert registry.position == position
        last = registry.history()[23].at
        same_but_for_new_keys(
            stored(folder, registry.list_models(as_of=last)),  # type: ignore[arg-type]  # entries are dictionaries
            expected["entries"],
        )
    same_but_for_new_keys(command(folder, "history")[:24], expected["history"])
    assert command(folder, "verify")["problems"] == []


@pytest.mark.parametrize("torn", [b"{", b'{"sequence":25,"time":"2026-11-27T18:25:00.000000Z","operation":"pin"'])
def test_a_line_that_the_killed_writer_did_not_finish(folder: Path, expected: dict[str, Any], torn: bytes) -> None:
    """Readers leave it out and leave it there; the first writer cuts it and goes on with its number."""
    journal = folder / "models" / "prediction_registry.journal.jsonl"
    with journal.open("ab") as file:
        file.write(torn)
    before = contents(folder)
    same_but_for_new_keys(listed(folder), expected["entries"])
    assert contents(folder) == before
    with open_golden(folder) as registry:
        registry.pin("m8")
        assert [line.sequence for line in registry.history()] == list(range(1, 26))


# --- a crash in the take-over ----------------------------------------------------------------------------------------


def test_a_take_over_that_is_killed(folder: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    """Killed at any step: the registry is the old one or the new one, with all its lines, and goes on."""

    def crash(stop_at: int | None, moment: Moment) -> tuple[Path, CrashingDisk, bool]:
        subprocess.run(["rm", "-rf", tmp_path / "run"], check=True)
        subprocess.run(["cp", "-a", folder / "models", tmp_path / "run"], check=True)
        disk = CrashingDisk(tmp_path / "run", stop_at, moment)
        registry = None
        try:
            path = tmp_path / "run" / "prediction_registry.json"
            registry = ModelRegistry(path, tmp_path / "run" / "prediction", disk=disk, clock=Clock(), actor="test")
            registry.pin("m8")
        except Crashed:
            pass
        if registry is not None:
            registry._store.json_file.is_dirty = False
            registry.close()
        return tmp_path / "run", disk, disk.crashed

    _, whole, _ = crash(None, "before")
    assert any(step.startswith("rename") and step.endswith("journal.jsonl") for step in whole.steps)
    for number, step in enumerate(whole.steps):
        for moment in ("before", "after", "half") if step == "write" else ("before", "after"):
            run, _, crashed = crash(number, moment)  # type: ignore[arg-type]  # a tuple of literals
            assert crashed
            with ModelRegistry(run / "prediction_registry.json", run / "prediction", disk=QuickDisk()) as registry:
                numbers = [line.sequence for line in registry.history()]
                assert numbers in (list(range(1, 25)), list(range(1, 26)))
                text = json.dumps(registry.list_models()).replace(f"{run}/", "")
                found = [
                    {**entry, "pinned": entry["pinned"] and entry["model_id"] != "m8"} for entry in json.loads(text)
                ]
                same_but_for_new_keys(found, expected["entries"])
                registry.pin("m8")
                assert [line.sequence for line in registry.history()] == list(range(1, 26))
                assert registry.position is not None
