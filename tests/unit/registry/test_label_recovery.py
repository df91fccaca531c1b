"""A rebuild takes the labels from labels files where nothing else tells of them, and says what it did not take."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_inbox.registry.journal import seal
from model_inbox.registry.repair import verify as audit
from support.crash_disk import QuickDisk
from support.crash_kit import open_registry, plain, register
from support.rebuilding import lose_registry, problems, run

OTHER_ID = "b" * 32


@pytest.fixture(name="folder", autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lines 1 to 3 register `one`, `two` and `three`; 4 to 9 put labels on the first two."""
    monkeypatch.setattr(audit, "_LOOK_AGAIN_SECONDS", (0.0,))
    folder = tmp_path / "models"
    with open_registry(folder, disk=QuickDisk()) as registry:
        for model_id in ("one", "two", "three"):
            register(registry, model_id, pickle.dumps([model_id]))
        registry.set_alias("champion", "one", reason="won", actor="cli:ann")
        registry.pin("one", reason="audit", actor="cli:bob")
        registry.tag("two", {"stage": "live"})
        registry.record("two", {"rmse": 0.5}, "2026-01-02")
        registry.record("two", {"mae": 0.25}, "2026-01-01")
        registry.set_alias("next", "two")
    yield folder


def stored(folder: Path, model_id: str) -> Path:
    return folder / "prediction" / f"{model_id}.labels.json"


def change(folder: Path, name: str, **changes: Any) -> None:
    """Change fields of a labels file, with the checksum that fits."""
    path = stored(folder, name)
    fields = json.loads(path.read_bytes())
    del fields["checksum"]
    path.chmod(0o640)
    path.write_bytes(seal(fields | changes))


def entries(folder: Path) -> dict[str, Any]:
    with open_registry(folder, read_only=True) as registry:
        return plain(registry)


def labels(folder: Path, model_id: str) -> tuple[Any, ...]:
    entry = entries(folder)[model_id]
    return entry["aliases"], entry["pinned"], entry["tags"], entry.get("recorded", {})


RECORDED = {
    "rmse": {"value": 0.5, "at": "2026-01-02T00:00:00Z"},
    "mae": {"value": 0.25, "at": "2026-01-01T00:00:00Z"},
}


def test_nothing_but_the_stored_files_is_left(folder: Path) -> None:
    """All labels are back, by lines that say who had set them; new lines have new numbers; what is lost is told."""
    lose_registry(folder)
    made = run(folder)
    assert labels(folder, "one") == (["champion"], True, {}, {})
    assert labels(folder, "two") == (["next"], False, {"stage": "live"}, RECORDED)
    assert {one.model_id: one.labels for one in made.labels_recovered} == {
        "one": ("pinned", "alias champion"),
        "two": ("tags", "recorded", "alias next"),
    }
    assert made.labels_lost == ()
    assert made.without_labels == ("three",)
    assert made.not_recovered[:2] == ("aliases", "pinned")
    with open_registry(folder, read_only=True) as registry:
        told = [(line.sequence, line.operation, line.model_id) for line in registry.history()]
        reasons = {line.operation: line.reason for line in registry.history("one")}
    assert told == [
        (10, "register", "one"),
        (11, "register", "three"),
        (12, "register", "two"),
        (13, "pin", "one"),
        (14, "alias", "one"),
        (15, "tag", "two"),
        (16, "record", "two"),
        (17, "record", "two"),
        (18, "alias", "two"),
    ]
    since = "rebuild: from its labels file; set by"
    assert reasons["pin"] == f"{since} cli:bob at 2026-11-24T12:00:00.000000Z: audit"
    assert reasons["alias"] == f"{since} cli:ann at 2026-11-24T12:00:00.000000Z: won"
    assert problems(folder) == []
    told_by = json.loads(stored(folder, "one").read_bytes())
    assert (told_by["pinned"]["actor"], made.registry_id) == ("cli:bob", told_by["registry_id"])


def test_with_a_labels_file_for_every_model_only_the_rest_is_not_recovered(folder: Path) -> None:
    """What labels files tell is not named as lost."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.pin("three")
    lose_registry(folder)
    made = run(folder)
    assert made.not_recovered == ("registered_at", "drop_id", "origin", "owner")
    assert made.without_labels == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "0" * 64}, "its labels file is of a model with other bytes"),
        ({"model_id": "two"}, "its labels file is that of 'two'"),
        ({"registry_id": OTHER_ID}, f"its labels file is of another registry, {OTHER_ID}"),
        ({"format": "model-inbox-labels/2"}, "its labels file cannot be used: cannot read"),
        ({"tags": 7}, "its labels file cannot be used: "),
    ],
)
def test_a_file_that_does_not_fit_is_not_used(folder: Path, changes: dict[str, Any], why: str) -> None:
    """It is told why, the file is kept with the old ones, and the model is registered without labels."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.pin("three")  # most files name this registry
    change(folder, "one", **changes)
    data = stored(folder, "one").read_bytes()
    lose_registry(folder)
    made = run(folder)
    ((model_id, said),) = [(lost.model_id, lost.why) for lost in made.labels_lost]
    assert (model_id, said.startswith(why)) == ("one", True), said
    assert labels(folder, "one") == ([], False, {}, {})
    assert labels(folder, "two")[0] == ["next"]
    assert made.without_labels == ("one",)
    assert (Path(made.kept_in) / "files" / "one.labels.json").read_bytes() == data
    assert problems(folder) == []


def test_the_newer_of_two_has_the_alias(folder: Path) -> None:
    """A writer died between the two files of an alias that moved: it names the model that it moved to."""
    before = stored(folder, "one").read_bytes()
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.set_alias("champion", "two")
    stored(folder, "one").chmod(0o640)
    stored(folder, "one").write_bytes(before)
    lose_registry(folder)
    made = run(folder)
    assert labels(folder, "two")[0] == ["champion", "next"]
    assert labels(folder, "one")[:2] == ([], True)
    assert [(lost.model_id, lost.why) for lost in made.labels_lost] == [
        ("one", "the alias 'champion' names 'two', set later")
    ]
    assert problems(folder) == []


def test_a_lost_line_is_made_up_for(folder: Path) -> None:
    """The line of the alias is damaged and the JSON file, too: the labels file tells of it; later lines count more."""
    journal = folder / "registry.journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[4] = lines[4].replace(b"champion", b"chompion", 1)
    lines[9] = lines[9].replace(b'"next"', b'"mext"', 1)
    journal.write_bytes(b"\n".join(lines))
    (folder / "registry.json").write_bytes(b"not JSON")
    made = run(folder)
    assert made.lines_lost == 2
    # Line 5 pinned `one`, and has the alias of line 4; nothing but the labels file tells of line 9.
    assert labels(folder, "one")[:2] == (["champion"], True)
    assert labels(folder, "two")[0] == ["next"]
    assert [(one.model_id, one.labels) for one in made.labels_recovered] == [("two", ("alias next",))]
    assert problems(folder) == []


def test_a_json_file_that_is_older_than_the_labels(folder: Path) -> None:
    """The journal is lost: what the JSON file does not have yet comes from labels files, also what was taken away."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.checkpoint(force=True)
        registry.set_alias("champion", "three", actor="cli:ann")
        registry.unpin("one")
        registry.tag("two", {"stage": None})
        registry._store.json_file.is_dirty = False  # it is killed
    (folder / "registry.journal.jsonl").unlink()
    made = run(folder)
    assert labels(folder, "three")[0] == ["champion"]
    assert labels(folder, "one")[:2] == ([], False)
    assert labels(folder, "two") == (["next"], False, {}, RECORDED)
    assert {one.model_id: one.labels for one in made.labels_recovered} == {
        "one": ("not pinned",),
        "two": ("tags",),
        "three": ("alias champion",),
    }
    assert problems(folder) == []


def test_a_journal_that_was_cut_is_noticed(folder: Path) -> None:
    """A labels file names a line behind its end: the journal is not whole, and the labels count."""
    journal = folder / "registry.journal.jsonl"
    journal.write_bytes(b"\n".join(journal.read_bytes().split(b"\n")[:-2]) + b"\n")
    for end in ("json", "checkpoint.json"):
        (folder / f"registry.{end}").unlink()
    assert [problem.partition(" ")[0] for problem in problems(folder)] != []
    made = run(folder)
    assert (made.lines, made.lines_lost) == (8, 1)
    assert labels(folder, "two")[0] == ["next"]
    assert problems(folder) == []


def test_the_journal_counts_more_than_a_labels_file(folder: Path) -> None:
    """With all lines there, a file that says something else changes nothing, and is written again."""
    before = entries(folder)
    change(folder, "one", aliases={}, pinned=None)
    change(folder, "two", registry_id=OTHER_ID)
    made = run(folder)
    assert (made.labels_recovered, made.labels_lost) == ((), ())
    assert entries(folder) == before
    assert problems(folder) == []
