"""The labels file of a model follows each change of its aliases, pin, tags and recorded metrics."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_inbox import ModelRegistry, RegistryCorrupted, RegistryTooNew
from model_inbox.registry.journal import seal
from model_inbox.registry.label_files import read_labels
from model_inbox.registry.label_format import parse_labels
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, FailingDisk, as_version_0_1, open_registry, register
from support.places import ROOT

SHA256 = "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"
"""Of the bytes `model`."""


@pytest.fixture(name="registry")
def _registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with open_registry(tmp_path, disk=QuickDisk()) as registry:
        register(registry, "one")
        register(registry, "two")
        yield registry


def path_of(registry: ModelRegistry, model_id: str) -> Path:
    return Path(registry.storage_dir) / f"{model_id}.labels.json"


def found(registry: ModelRegistry, model_id: str) -> dict[str, Any]:
    return json.loads(path_of(registry, model_id).read_bytes())  # type: ignore[no-any-return]


def write(path: Path, **changes: Any) -> None:
    """Change fields of a labels file, with the checksum that fits."""
    fields = json.loads(path.read_bytes())
    del fields["checksum"]
    path.chmod(0o640)
    path.write_bytes(seal(fields | changes))


def events(logs: list[Any]) -> list[str]:
    return [log["event"] for log in logs]


# --- what it says ----------------------------------------------------------------------------------------------


def test_it_says_what_was_put_on_the_model(registry: ModelRegistry) -> None:
    """Aliases and pin with who, when and why; tags; the latest recorded values; and whose labels these are."""
    registry.set_alias("champion", "one", reason="won", actor="cli:ann")
    registry.pin("one", reason="audit", actor="cli:bob")
    registry.tag("one", {"stage": "live"})
    registry.record("one", {"rmse": 0.5}, "2026-01-02")
    told = found(registry, "one")
    identity = registry.identity
    assert identity is not None
    assert len(told.pop("checksum")) == 8
    assert told == {
        "format": "model-inbox-labels/1",
        "model_id": "one",
        "sha256": SHA256,
        "registry_id": identity.registry_id,
        "epoch": identity.epoch,
        "sequence": 6,
        "aliases": {"champion": {"at": "2026-11-24T12:00:00.000000Z", "actor": "cli:ann", "reason": "won"}},
        "pinned": {"at": "2026-11-24T12:00:00.000000Z", "actor": "cli:bob", "reason": "audit"},
        "held": None,
        "tags": {"stage": "live"},
        "recorded": {"rmse": {"value": 0.5, "at": "2026-01-02T00:00:00Z"}},
    }
    assert path_of(registry, "one").stat().st_mode & 0o777 == 0o440
    assert not path_of(registry, "two").exists()


def test_an_alias_that_moves_changes_both_files(registry: ModelRegistry) -> None:
    """The one that loses it says so, too; what is taken away leaves an empty file."""
    registry.set_alias("champion", "one")
    registry.set_alias("champion", "two")
    assert (found(registry, "one")["aliases"], list(found(registry, "two")["aliases"])) == ({}, ["champion"])
    registry.remove_alias("champion", "two")
    registry.pin("two")
    registry.unpin("two")
    assert (found(registry, "two")["aliases"], found(registry, "two")["pinned"]) == ({}, None)


def test_fields_of_a_later_version_stay(registry: ModelRegistry) -> None:
    """A rewrite keeps what this version does not know."""
    registry.pin("one")
    write(path_of(registry, "one"), seen={"reason": "drift"})
    registry.unpin("one")
    assert (found(registry, "one")["seen"], found(registry, "one")["pinned"]) == ({"reason": "drift"}, None)


@pytest.mark.parametrize(
    "changes",
    [{"sha256": 7}, {"epoch": "x"}, {"aliases": []}, {"pinned": {}}, {"tags": {"a": 1}}, {"recorded": {"a": 0.5}}],
)
def test_a_file_of_another_shape_is_damaged(registry: ModelRegistry, changes: dict[str, Any]) -> None:
    """A right checksum does not make it one."""
    registry.pin("one")
    path = path_of(registry, "one")
    write(path, **changes)
    with pytest.raises(RegistryCorrupted, match="not those of a labels file"):
        read_labels(path)


def test_every_changed_byte_is_damage(registry: ModelRegistry) -> None:
    """The checksum finds it wherever it is; a cut file, too."""
    registry.pin("one")
    data = path_of(registry, "one").read_bytes()
    for at in range(len(data) - 1):
        with pytest.raises((RegistryCorrupted, RegistryTooNew)):
            parse_labels(Path("x"), data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(RegistryCorrupted):
            parse_labels(Path("x"), data[:at])


def test_the_sample_in_the_manual_is_one() -> None:
    """With its checksum."""
    text = (ROOT / "docs" / "reference" / "formats.md").read_text()
    (sample,) = [line for line in text.splitlines() if line.startswith('{"format":"model-inbox-labels')]
    labels = parse_labels(Path("sample"), sample.encode())
    assert (labels.model_id, labels.sha256, list(labels.aliases)) == ("usd_eur_1", SHA256, ["champion"])


# --- when it is written ----------------------------------------------------------------------------------------


def test_a_change_stands_when_the_file_cannot_be_written(tmp_path: Path) -> None:
    """It is logged, and the next change writes the file."""
    disk = FailingDisk()
    with open_registry(tmp_path, disk=disk) as registry:
        register(registry, "one")
        register(registry, "two")
        registry.checkpoint()
        disk.failing["rename"] = OSError(errno.ENOSPC, "No space left on device")
        with capture_logs() as logs:
            assert registry.pin("one", actor="cli:ann")["pinned"]
        assert events(logs) == ["registry.labels_unwritten"]
        assert not path_of(registry, "one").exists()
        disk.failing.clear()
        registry.tag("two", {"a": "b"})
        assert found(registry, "one")["pinned"]["actor"] == "cli:ann"


def test_what_a_dead_writer_left_is_written_by_the_next(registry: ModelRegistry, tmp_path: Path) -> None:
    """By any change of another handle, with who made the change; a registration, too."""
    registry.set_alias("champion", "one")
    before = path_of(registry, "one").read_bytes(), path_of(registry, "two").exists()
    registry.set_alias("champion", "two", actor="cli:ann")
    path_of(registry, "one").chmod(0o640)
    path_of(registry, "one").write_bytes(before[0])
    path_of(registry, "two").unlink()
    with open_registry(tmp_path, disk=QuickDisk()) as other:
        register(other, "three")
        assert found(other, "one")["aliases"] == {}
        assert found(other, "two")["aliases"]["champion"]["actor"] == "cli:ann"


@pytest.mark.parametrize("old", [False, True])
def test_an_older_registry_gets_files_for_what_is_labelled(registry: ModelRegistry, tmp_path: Path, old: bool) -> None:
    """At the first change by a version that writes them; who set a label is not known. Others need no file."""
    registry.set_alias("champion", "one")
    registry.tag("two", {"stage": "live"})
    registry.change_segment()
    register(registry, "three")
    registry.close()
    for path in (tmp_path / "prediction").glob("*.labels.json"):
        path.unlink()
    if old:
        as_version_0_1(tmp_path)
    with open_registry(tmp_path, disk=QuickDisk()) as other:
        register(other, "four")
        register(other, "five")
        assert {path.name for path in (tmp_path / "prediction").glob("*.json")} == {
            "one.labels.json",
            "two.labels.json",
        }
        assert found(other, "one")["aliases"] == {"champion": {"at": None, "actor": "", "reason": ""}}
        assert found(other, "two")["tags"] == {"stage": "live"}


def test_a_start_looks_at_every_file(registry: ModelRegistry) -> None:
    """One that is missing, damaged, or says something else is written again; the damaged one is kept."""
    for model_id in ("one", "two"):
        registry.pin(model_id)
        register(registry, f"{model_id}s")
        registry.tag(f"{model_id}s", {"a": "b"})
    registry.change_segment()
    path_of(registry, "one").unlink()
    path_of(registry, "ones").unlink()
    path_of(registry, "two").chmod(0o640)
    path_of(registry, "two").write_bytes(b"edited")
    write(path_of(registry, "twos"), tags={"a": "c"})
    with capture_logs() as logs:
        registry.check_labels()
    assert events(logs) == ["registry.file_rewritten"]
    assert Path(logs[0]["kept"]).read_bytes() == b"edited"
    assert found(registry, "one")["pinned"] is not None
    assert found(registry, "two")["pinned"] is not None
    assert found(registry, "ones")["tags"] == found(registry, "twos")["tags"] == {"a": "b"}


def test_a_file_of_a_later_format_stays(registry: ModelRegistry) -> None:
    """It is logged, and stops neither a start nor a change."""
    registry.pin("one")
    path = path_of(registry, "one")
    write(path, format="model-inbox-labels/2")
    data = path.read_bytes()
    with capture_logs() as logs:
        registry.check_labels()
        registry.unpin("one")
    assert events(logs) == ["registry.labels_unwritten"] * 2
    assert "has the format 'model-inbox-labels/2'" in logs[0]["problem"]
    assert path.read_bytes() == data


def test_a_file_that_knows_a_later_line_than_the_journal_stays(registry: ModelRegistry) -> None:
    """A journal was cut, or an older one put in its place: a start refuses, and a change leaves the file alone."""
    registry.pin("one")
    path = path_of(registry, "one")
    write(path, sequence=99)
    data = path.read_bytes()
    with pytest.raises(RegistryCorrupted, match="it ends at line 3, but lines up to 99 were committed"):
        registry.check_labels()
    with capture_logs() as logs:
        registry.unpin("one")
    assert events(logs) == ["registry.labels_unwritten"]
    assert path.read_bytes() == data


# --- where it goes ---------------------------------------------------------------------------------------------


def test_it_goes_where_the_model_goes(registry: ModelRegistry) -> None:
    """To the trash, back, and purged."""
    registry.tag("one", {"a": "b"})
    data = path_of(registry, "one").read_bytes()
    registry.delete_model("one")
    held = registry.retired()[0].folder / "one.labels.json"
    assert (path_of(registry, "one").exists(), held.read_bytes()) == (False, data)
    registry.restore("one")
    assert (path_of(registry, "one").read_bytes(), held.exists()) == (data, False)
    registry.delete_model("one")
    (retired,) = registry.retired()
    registry.purge(retired)
    assert not held.parent.exists()


def test_what_a_crash_left_in_the_trash_does_not_come_back(registry: ModelRegistry, tmp_path: Path) -> None:
    """A restore that died before it emptied the trash left an older file there; the newer one takes its place."""
    registry.tag("one", {"a": "b"})
    old = path_of(registry, "one").read_bytes()
    registry.delete_model("one")
    folder = registry.retired()[0].folder
    registry.restore("one")
    registry.tag("one", {"a": "c"})
    folder.mkdir(exist_ok=True)
    (folder / "one.labels.json").write_bytes(old)
    registry.delete_model("one")
    registry.restore("one")
    assert found(registry, "one")["tags"] == {"a": "c"}


def test_a_new_model_has_no_labels_of_an_earlier_one(registry: ModelRegistry, tmp_path: Path) -> None:
    """A labels file that stands at its final name is set aside, also in a handle that looked before."""
    registry.tag("one", {"a": "b"})
    path_of(registry, "new").write_bytes(path_of(registry, "one").read_bytes())
    register(registry, "new")
    assert not path_of(registry, "new").exists()
    assert (tmp_path / ".trash" / "new.labels.json.leftover-1").is_dir()


def test_a_reader_writes_none(registry: ModelRegistry, tmp_path: Path) -> None:
    """A handle that only reads follows the lines and leaves the files alone."""
    registry.pin("one")
    path_of(registry, "one").unlink()
    with open_registry(tmp_path, read_only=True, clock=Clock()) as reader:
        assert reader.registry["one"]["pinned"]
        assert not path_of(registry, "one").exists()
