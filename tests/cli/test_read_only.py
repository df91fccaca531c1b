"""A registry on a file system that is mounted read-only: reading works and writes nothing, changing says why not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model_inbox import ModelRegistry
from model_inbox.cli import root
from model_inbox.errors import RegistryError
from support.crash_kit import metadata
from support.world import must_be_root

READING = (
    ("list",),
    ("show", "a"),
    ("history",),
    ("history", "a"),
    ("verify",),
    ("trash", "list"),
    ("retention", "plan"),
    ("rejected", "list"),
    ("inbox", "list"),
)
CHANGING = (
    ("pin", "a"),
    ("unpin", "a"),
    ("alias", "champion", "a"),
    ("tag", "a", "x=y"),
    ("record", "a", "--metrics", "rmse=1"),
    ("delete", "a"),
    ("restore", "gone"),
    ("trash", "purge", "--all", "--yes"),
    ("replace-scaler", "a", "models/p/a.pkl"),
)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with config.yaml, an inbox, and a registry whose folder is a read-only mount."""
    must_be_root()
    folder = tmp_path_factory.mktemp("read-only")
    (folder / "config.yaml").write_text("registry: {path: models/r.json, storage_dir: models/p}\n")
    (folder / "inbox" / "rejected").mkdir(parents=True)
    models = folder / "models"
    with ModelRegistry(models / "r.json", models / "p") as registry:
        for model_id in ("a", "b", "gone"):
            registry.register_model(metadata(model_id), {"v": model_id})
        registry.delete_model("gone")
    subprocess.run(["mount", "--bind", models, models], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", models], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", models], check=True)


def called(folder: Path, *words: str) -> tuple[int, Any]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(root, ["--config", "config.yaml", *words, "--json"])
    finally:
        os.chdir(before)
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_commands_that_read_work(folder: Path, words: tuple[str, ...]) -> None:
    """Nothing has to be written, made or locked for them."""
    status, answer = called(folder, *words)
    assert (status, "error" in answer) == (0, False), answer


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_commands_that_change_say_that_the_folder_is_read_only(folder: Path, words: tuple[str, ...]) -> None:
    """One sentence with the path, and what to do."""
    status, answer = called(folder, *words)
    assert status == 1
    assert answer["error"]["message"] == (
        f"cannot change the registry {str(folder / 'models' / 'r.json')!r}: its folder {str(folder / 'models')!r} "
        "is on a file system that is mounted read-only"
    )
    assert answer["error"]["hint"].startswith("Reading works. Mount the file system for writing")


def test_a_handle_reads_and_says_why_it_does_not_write(folder: Path) -> None:
    """A handle that was to write reads, and each change is refused with the same reason."""
    with ModelRegistry(folder / "models" / "r.json", folder / "models" / "p") as registry:
        assert registry.read_only
        assert sorted(registry.registry) == ["a", "b"]
        assert registry.load_model_objects(registry.registry["a"])[0] == {"v": "a"}
        with pytest.raises(RegistryError, match="mounted read-only"):
            registry.pin("a")
        with pytest.raises(RegistryError, match="mounted read-only"):
            registry.register_model(metadata("c"), {})


def test_a_backup_of_what_can_still_be_read(folder: Path) -> None:
    """The disk was made read-only by an error: its models can be saved, while the lock keeps other mounts' writers out.

    The snapshot is sound.
    """
    target = str(folder / "backup")
    assert called(folder, "backup", target)[0] == 0
    assert called(folder, "backup", "verify", target)[0] == 0


def test_the_status_says_it_without_a_daemon(folder: Path) -> None:
    """Whoever is about to start one is told why it will not start."""
    _, answer = called(folder, "status")
    messages = [problem["message"] for problem in answer["problems"]]
    assert any("is on a file system that is mounted read-only" in message for message in messages), messages
