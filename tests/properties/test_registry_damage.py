"""A small registry damaged at every byte: the right answer, or an error that names the place; never a wrong answer.

What is derived from the journal (the JSON file, the mark) may be damaged anywhere, and the answer is right.
Each file has a bit flipped in every byte: the journal, the JSON file, the mark, and the closed segment and base file in
`history/`. The journal is cut at every length, the others at every eighth. `DAMAGE_BITS=8`, as in `make test-registry`,
flips each bit of a byte, and cuts everything everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from model_inbox import ModelInboxError, RegistryCorrupted, RegistryTooNew
from model_inbox.registry.store import Store
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, open_registry, register

BITS = int(os.environ.get("DAMAGE_BITS", "1"))
CURRENT = ("registry.journal.jsonl", "registry.json", "registry.checkpoint.json")


@pytest.fixture(name="folder", scope="module")
def _folder() -> Iterator[Path]:
    """Five lines: one pruned into a base file, two in a closed segment, two in the journal, a checkpoint between."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="model-inbox-", dir=root))
    clock = Clock()
    with open_registry(folder, disk=QuickDisk(), clock=clock) as registry:
        register(registry, "a", b"a")
        registry.change_segment()
        clock.ahead(100)
        register(registry, "b", b"b")
        registry.prune_history(50)
        registry.set_alias("champion", "a")
        registry.change_segment()
        registry.tag("b", {"stage": "live"})
        registry.checkpoint()
        registry.set_alias("champion", "b")
        registry._store.json_file.is_dirty = False  # so that closing writes no checkpoint of the last line
    yield folder
    shutil.rmtree(folder)


def damaged(name: str, data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield what was done, where, and the bytes afterwards."""
    for at in range(len(data)):
        if name == CURRENT[0] or at % 8 == 0 or BITS > 1:
            yield "cut", at, data[:at]
        for bit in range(BITS):
            flipped = data[at] ^ (1 << ((at + bit) % 8))
            yield "flipped", at, data[:at] + bytes([flipped]) + data[at + 1 :]


def look(folder: Path) -> dict[str, Any]:
    """Return the entries as stored, or what opening raises."""
    store = Store(folder / "registry.json", read_only=True, lock_timeout=0, clock=Clock(), disk=QuickDisk())
    store.close()
    return store.state.entries


def states(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the entries after each line of the journal, put together by hand from the whole files."""
    lines = [json.loads(line) for line in (folder / CURRENT[0]).read_bytes().splitlines()]
    after = {5: look(folder)}
    # Backwards: the line before the last is the tag, which the checkpoint holds; the last moved the alias.
    before = json.loads(json.dumps(after[5]))
    before["a"]["aliases"], before["b"]["aliases"] = ["champion"], []
    got = {"at": "2026-11-24T12:01:40.000000Z", "actor": "test", "reason": "", "line": 3, "former": []}
    before["a"]["promotions"] = {"champion": got}
    del before["b"]["promotions"]
    after[4] = before
    assert [line.get("sequence") for line in lines] == [None, 4, 5]
    return after


def test_the_files_that_say_what_is(folder: Path) -> None:
    """The journal: what was committed is shown whole, or an error names file and offset. JSON file and mark: always."""
    after = states(folder)
    seen = {"right": 0, "error": 0, "recovered": 0}
    for name in CURRENT:
        path = folder / name
        whole = path.read_bytes()
        ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
        try:
            for how, at, data in damaged(name, whole):
                path.write_bytes(data)
                try:
                    found = look(folder)
                except (RegistryCorrupted, RegistryTooNew) as error:
                    seen["error"] += 1
                    assert name == CURRENT[0] or isinstance(error, RegistryTooNew), f"{how} at {at} of {name}: {error}"
                    assert name in str(error), f"{how} at {at} of {name}: {error}"
                    if isinstance(error, RegistryCorrupted) and error.offset is not None and name == CURRENT[0]:
                        line_start = max([0, *(end for end in ends if end <= at)])
                        assert line_start <= error.offset <= at, f"{how} at {at} of {name}: {error}"
                    continue
                if found == after[5]:
                    seen["right"] += 1
                    assert how == "cut" or name != CURRENT[0], f"{how} at {at} of {name} was not noticed"
                else:
                    # A torn tail: the last line was still being written, for all that can be known.
                    seen["recovered"] += 1
                    assert (name, how, found) == (CURRENT[0], "cut", after[4]), f"{how} at {at} of {name}: {found}"
                    assert ends[1] <= at < ends[2]
        finally:
            path.write_bytes(whole)
    assert look(folder) == after[5]
    assert seen["error"] > 1000 and seen["recovered"] > 500, seen


QUESTIONS: dict[str, Callable[[Any], object]] = {
    "history": lambda registry: [(line.sequence, line.time, line.operation, line.entry) for line in registry.history()],
    "as_of": lambda registry: json.dumps(registry.list_models(as_of=START + timedelta(seconds=100))),
}


def test_the_files_that_say_what_was(folder: Path) -> None:
    """History: a question about the past is answered right, or with an error that names a file of the history."""
    reader = open_registry(folder, read_only=True)
    right = {name: ask(reader) for name, ask in QUESTIONS.items()}
    errors = 0
    paths = sorted((folder / "history").iterdir())
    assert sorted(path.suffix for path in paths) == [".json", ".jsonl"]
    for path in paths:
        name = path.name
        whole = path.read_bytes()
        try:
            for how, at, data in damaged(name, whole):
                path.write_bytes(data)
                for question, ask in QUESTIONS.items():
                    if question == "history" and how == "flipped" and BITS == 1:
                        continue  # as_of reads the same lines
                    try:
                        assert ask(reader) == right[question], f"{how} at {at} of {name}: {question}"
                    except ModelInboxError as error:
                        errors += 1
                        assert "history" in str(error), f"{how} at {at} of {name}: {error}"
        finally:
            path.write_bytes(whole)
    reader.close()
    assert errors > 1000


def test_a_writer_changes_nothing_of_a_damaged_journal(folder: Path, tmp_path: Path) -> None:
    """A handle that opens it to write gets the error, and leaves every file as it was."""
    for name in CURRENT[:1]:
        for at in (5, len((folder / name).read_bytes()) // 2):
            copy = tmp_path / f"{name}-{at}"
            shutil.copytree(folder, copy)
            data = bytearray((copy / name).read_bytes())
            data[at] ^= 1
            (copy / name).write_bytes(data)
            before = {str(path): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
            with pytest.raises(RegistryCorrupted, match=name.replace(".", r"\.")):
                open_registry(copy)
            assert {str(path): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_writer_makes_a_damaged_derived_file_again_and_keeps_it(folder: Path, tmp_path: Path) -> None:
    """Whatever byte it is: the new file is the right one, and the damaged one lies beside it."""
    for name in CURRENT[1:]:
        whole = (folder / name).read_bytes()
        for at in range(0, len(whole), 97):
            copy = tmp_path / f"{name}-{at}"
            shutil.copytree(folder, copy)
            damage = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            (copy / name).write_bytes(damage)
            with open_registry(copy, disk=QuickDisk()):
                pass
            assert json.loads((copy / CURRENT[1]).read_bytes()) == look(folder)
            assert [path.read_bytes() for path in copy.glob(f"{name}.*-20261124T120000Z")] == [damage]
            assert look(copy) == look(folder)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield
