"""The rules that decided: kept once for each digest, named by lines, carried along, and missed when they are gone."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from model_inbox import ModelRegistry, StorageError
from model_inbox.backup.folder import Snapshot
from model_inbox.backup.make import make_backup
from model_inbox.backup.restore import restore
from model_inbox.base.disk import Disk
from model_inbox.registry.journal import named_rules, rules_of
from model_inbox.registry.kept_rules import read_rules
from model_inbox.registry.paths import RegistryFiles
from model_inbox.registry.repair.rebuild import rebuild
from model_inbox.registry.repair.verify import verify
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, metadata, open_registry, staged
from support.world import FailingDisk, StoppingDisk

FIRST, SECOND = b'{"keep": 1}\n', b'{"keep": 2}\n'


def digest_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def rules_path(folder: Path, text: bytes) -> Path:
    return folder / "history" / f"{digest_of(text)}.rules.json"


def register(registry: ModelRegistry, model_id: str, rules: str) -> None:
    registry.register_staged([replace(staged(registry, model_id, model_id.encode()), rules=rules)])


def named(registry: ModelRegistry) -> dict[str, str | None]:
    """Return the rules that each line names, by operation and model."""
    return {f"{line.operation} {line.model_id}": rules_of(line) for line in registry.history()}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A registry with models that two sets of rules accepted; a closed segment has the lines of the first."""
    folder = tmp_path / "models"
    with open_registry(folder, disk=QuickDisk()) as registry:
        register(registry, "a", registry.decide_by(FIRST))
        registry.change_segment()
        register(registry, "b", registry.decide_by(SECOND))
        registry.register_model(metadata("api"), {"weights": [1]})
    for path in (folder / "prediction").glob("*.*"):
        path.chmod(0o440)
    return folder


def test_what_a_rule_decides_names_the_rules(folder: Path) -> None:
    """Registrations, promotions and retirements by rules do; what a person or a Python program does, does not."""
    with open_registry(folder, disk=QuickDisk()) as registry:
        third = registry.decide_by(b"third")
        registry.promote("a", reason="by hand")
        registry.delete_model("api", reason="by hand")
        assert registry.delete_model("b", reason="last 1", by_rule=True)
        assert named(registry) == {
            "register a": digest_of(FIRST),
            "register b": digest_of(SECOND),
            "register api": None,
            "promote a": None,
            "retire api": None,
            "retire b": third,
        }
    assert read_rules(RegistryFiles(folder / "registry.json"), digest_of(FIRST)) == FIRST


def test_a_registration_costs_nothing_more_once_the_rules_are_kept(tmp_path: Path) -> None:
    """The same steps on the disk with rules and without them."""
    steps = []
    for name, text in (("with", FIRST), ("without", None)):
        disk = StoppingDisk()
        with open_registry(tmp_path / name, disk=disk) as registry:
            digest = registry.decide_by(text) if text is not None else ""
            register(registry, "first", digest)
            candidate = replace(staged(registry, "m", b"m"), rules=digest)
            disk.steps.clear()
            registry.register_staged([candidate])
            steps.append(list(disk.steps))
    assert steps[0] == steps[1]


def test_a_disk_that_cannot_keep_the_rules(tmp_path: Path) -> None:
    """The next registration tries again, and fails before anything is committed; without the fault all goes well."""
    is_full = True

    def fails(name: str, *args: object) -> int | None:
        return errno.ENOSPC if is_full and name == "create" and ".rules.json" in str(args[0]) else None

    with open_registry(tmp_path, disk=FailingDisk(fails)) as registry:
        digest = registry.decide_by(FIRST)
        assert not rules_path(tmp_path, FIRST).exists()
        with pytest.raises(StorageError, match="No space left"):
            register(registry, "m", digest)
        assert registry.history() == []
        assert not list((tmp_path / "prediction").glob("m*"))
        is_full = False
        register(registry, "m", digest)
        assert named(registry) == {"register m": digest}
        assert rules_path(tmp_path, FIRST).read_bytes() == FIRST


def test_rules_outlast_the_lines_that_name_them(folder: Path) -> None:
    """Pruning leaves all rules: this handle goes on naming those of a pruned line without looking for their file."""
    clock = Clock()
    clock.ahead(60)
    with open_registry(folder, clock=clock, disk=QuickDisk()) as registry:
        first = registry.decide_by(FIRST)
        assert registry.prune_history(30) == 1
        assert "register a" not in named(registry)
        register(registry, "c", first)
    assert read_rules(RegistryFiles(folder / "registry.json"), first) == FIRST
    assert verify(folder / "registry.json", folder / "prediction") == []


def test_verify_misses_rules_that_lines_name(folder: Path) -> None:
    """A file that is gone and one with other bytes are problems with its name; a start mends one in force."""
    check = lambda: verify(folder / "registry.json", folder / "prediction")  # noqa: E731  # in four lines
    assert check() == []
    rules_path(folder, FIRST).unlink()
    rules_path(folder, SECOND).chmod(0o640)
    rules_path(folder, SECOND).write_bytes(b"edited")
    assert {problem.code: Path(problem.file or "").name for problem in check()} == {
        "registry.rules_missing": f"{digest_of(FIRST)}.rules.json",
        "registry.rules_damaged": f"{digest_of(SECOND)}.rules.json",
    }
    files = RegistryFiles(folder / "registry.json")
    assert (read_rules(files, digest_of(FIRST)), read_rules(files, digest_of(SECOND))) == (None, None)
    with open_registry(folder, disk=QuickDisk()) as registry:
        registry.decide_by(SECOND)
    assert [problem.code for problem in check()] == ["registry.rules_missing"]


def test_a_backup_and_what_is_restored_from_it_have_the_rules(folder: Path, tmp_path: Path) -> None:
    """Both, and `verify` finds nothing wrong with them."""
    made = make_backup(
        folder / "registry.json", folder / "prediction", tmp_path / "b", lock_timeout=1, clock=Clock(), disk=Disk()
    )
    restore(Snapshot(made.path, made.manifest), tmp_path / "restored", Disk())
    for place in (made.path / "models", tmp_path / "restored"):
        assert verify(place / "registry.json", place / "prediction") == []
        for text in (FIRST, SECOND):
            assert rules_path(place, text).read_bytes() == text


def test_a_rebuild_keeps_the_rules_and_the_lines_that_name_them(folder: Path) -> None:
    """Lines of a damaged journal that are sound still name them."""
    journal = folder / "registry.journal.jsonl"
    data = bytearray(journal.read_bytes())
    data[-40] ^= 1
    journal.write_bytes(data)
    rebuild(folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk())
    with open_registry(folder, read_only=True) as registry:
        assert named_rules(registry.history()) == {digest_of(FIRST), digest_of(SECOND)}
    assert verify(folder / "registry.json", folder / "prediction") == []
