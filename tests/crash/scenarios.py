"""What is done to a registry while it crashes, step by step, and what must be true of what is left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_inbox import ModelRegistry
from model_inbox.base.disk import Disk
from model_inbox.registry.journal import named_rules
from model_inbox.registry.kept_rules import read_rules
from model_inbox.registry.label_files import read_labels
from model_inbox.registry.label_format import has_labels
from model_inbox.registry.outcomes import Examined
from model_inbox.registry.paths import RegistryFiles
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, as_version_0_1, metadata, plain, register, staged

Step = Callable[[ModelRegistry], object]

GROUP = {"currency_pair": "USD/EUR", "model_type": "lightgbm"}


@dataclass(frozen=True)
class Scenario:
    """`prepare` makes the folder as it is before; each of `steps` is acknowledged when it returns.

    With `batch` a step stands for several changes, each of which is there or not by itself.

    `gone` are the registrations (by their sequence) whose bytes may be gone: the steps purge them.
    """

    name: str
    prepare: Callable[[Path], None]
    steps: tuple[Step, ...]
    gone: frozenset[int] = frozenset()
    segment_bytes: int = 1 << 20
    batch: bool = False

    def open(self, folder: Path, disk: Disk) -> ModelRegistry:
        return ModelRegistry(
            folder / "registry.json",
            folder / "prediction",
            clock=Clock(),
            disk=disk,
            actor="test",
            segment_bytes=self.segment_bytes,
        )

    def states(self, folder: Path) -> list[dict[str, Any]]:
        """Return the entries before the first step and after each, from a run without a crash."""
        registry = self.open(folder, QuickDisk())
        states = [plain(registry)]
        for step in self.steps:
            step(registry)
            states.append(plain(registry))
        registry.close()
        return states


def nothing(folder: Path) -> None:
    return


def some(folder: Path) -> None:
    """Four models: `old` retired, `champ` named by an alias, `plain` and `scaled`."""
    with ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk(), actor="test"
    ) as registry:
        register(registry, "old", b"old bytes", b"old scaler")
        register(registry, "champ", b"champion")
        register(registry, "plain", b"plain bytes")
        register(registry, "scaled", b"scaled bytes", b"its scaler")
        registry.set_alias("champion", "champ")
        registry.delete_model("old")


def some_and_closed_segments(folder: Path) -> None:
    """As `some`, with two closed segments, and nothing in the trash."""
    some(folder)
    with ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk(), actor="test"
    ) as registry:
        registry.change_segment()
        (old,) = registry.retired()
        registry.purge(old)
        registry.change_segment()
        registry.pin("champ")


def some_of_version_0_1(folder: Path) -> None:
    """As `some`, as version 0.1 left it."""
    some(folder)
    as_version_0_1(folder)


def some_of_version_0_1_and_a_link(folder: Path) -> None:
    """The same after a crash of version 0.1: the current segment is linked into the history already."""
    some(folder)
    (folder / "history").mkdir()
    (folder / "history" / f"{0:020d}.jsonl").hardlink_to(folder / "registry.journal.jsonl")
    as_version_0_1(folder)


def some_and_labelled_trash(folder: Path) -> None:
    """As `some`; `scaled` was tagged and retired, too."""
    some(folder)
    with ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk(), actor="test"
    ) as registry:
        registry.tag("scaled", {"stage": "live"})
        registry.delete_model("scaled")


def some_without_labels_files(folder: Path) -> None:
    """As `some`, with a tag, as a version left it that wrote no labels files."""
    some(folder)
    with ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk(), actor="test"
    ) as registry:
        registry.tag("plain", {"stage": "live"})
        registry.change_segment()
    for path in (folder / "prediction").glob("*.labels.json"):
        path.unlink()


def stranger(folder: Path) -> None:
    """A JSON file that some other program made."""
    (folder / "registry.json").write_text(
        json.dumps({"theirs": {"model_id": "theirs", "model_type": "lightgbm", "currency_pair": "USD/EUR"}})
    )


def some_and_leftovers(folder: Path) -> None:
    """As `some`, after a writer died between the links of a model with a scaler and its line."""
    some(folder)
    with ModelRegistry(folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk()) as registry:
        registry._storage.place("torn", staged(registry, "torn", b"torn bytes", b"torn scaler").files)


def _api(registry: ModelRegistry) -> object:
    if registry.get_model_info("api") is not None:
        return None
    return registry.register_model(metadata("api"), {"weights": [1, 2]}, {"mean": 3})


def _batch(registry: ModelRegistry) -> object:
    names = [name for name in ("one", "two") if registry.get_model_info(name) is None]
    return registry.register_staged([staged(registry, name, name.encode(), b"s" + name.encode()) for name in names])


def _alias(registry: ModelRegistry) -> object:
    return registry.set_alias("champion", "plain")


def some_promoted(folder: Path) -> None:
    """As `some`; the alias went from `champ` to `scaled` to `plain`, and `scaled` was retired since."""
    some(folder)
    with ModelRegistry(
        folder / "registry.json", folder / "prediction", clock=Clock(), disk=QuickDisk(), actor="test"
    ) as registry:
        registry.tag("scaled", {"stage": "live"})
        registry.promote("scaled")
        registry.promote("plain")
        registry.delete_model("scaled")


def _roll_back(to: str) -> Step:
    return lambda registry: registry.rollback(*GROUP.values(), to=to)


def _delete(registry: ModelRegistry) -> object:
    return registry.delete_model("scaled")


def _restore(registry: ModelRegistry) -> object:
    return registry.restore("old") if registry.get_model_info("old") is None else None


def _purge(registry: ModelRegistry) -> object:
    return [registry.purge(item) for item in registry.retired() if item.model_id == "old"]


def _replace(model_id: str) -> Step:
    def step(registry: ModelRegistry) -> object:
        entry = registry.get_model_info(model_id)
        assert entry is not None
        return None if entry.get("scaler_replaced") else registry.replace_scaler(model_id, {"mean": 9})

    return step


def _again(registry: ModelRegistry) -> object:
    """Another model under the id that was retired."""
    return register(registry, "scaled", b"other bytes") if registry.get_model_info("scaled") is None else None


def _restore_labelled(registry: ModelRegistry) -> object:
    return registry.restore("scaled") if registry.get_model_info("scaled") is None else None


def _checkpoint(registry: ModelRegistry) -> object:
    return registry.checkpoint(force=True)


def _prune(registry: ModelRegistry) -> object:
    registry._clock.ahead(1000)  # type: ignore[attr-defined]
    registry._store._clock = registry._clock
    return registry.prune_history(10)


class _Holds:
    """A gatekeeper that holds every model."""

    def examine(self, entry: object, in_service: object) -> Examined:  # it looks at nothing
        return Examined((), (), "odd")


def _held(registry: ModelRegistry) -> object:
    """Register a model that a gate holds: the first one that earlier versions would serve wrongly."""
    return registry.register_staged([replace(staged(registry, "held", b"held bytes"), gates=_Holds())])


def _by_rules(registry: ModelRegistry) -> object:
    """Register a model that rules accepted: the first line that names them."""
    digest = registry.decide_by(b'{"format": "model-inbox-rules/1"}\n')
    return registry.register_staged([replace(staged(registry, "ruled", b"ruled bytes"), rules=digest)])


def _retire_by_rules(registry: ModelRegistry) -> object:
    """Retire a model by other rules than those that accepted the one before."""
    registry.decide_by(b'{"format": "model-inbox-rules/1", "retention": {}}\n')
    return registry.delete_model("plain", by_rule=True)


SCENARIOS = (
    Scenario("make", nothing, (_api,)),
    Scenario("adopt", stranger, (_api, _checkpoint)),
    Scenario("register with a scaler", some, (_api,)),
    Scenario("register two together", some, (_batch,), batch=True),
    Scenario("register and change the segment", some, (_api, lambda r: r.change_segment()), segment_bytes=1),
    Scenario("alias", some, (_alias, lambda r: r.remove_alias("champion", "plain"))),
    Scenario("promote", some, (lambda r: r.promote("plain"), lambda r: r.promote("scaled"))),
    Scenario("roll back", some_promoted, (_roll_back("champ"), lambda r: r.promote("plain"))),
    Scenario("roll back to a retired model", some_promoted, (_roll_back("scaled"), _roll_back("champ"))),
    Scenario("protect", some, (lambda r: r.protect_aliases({"next": ["root"]}), lambda r: r.change_segment())),
    Scenario("pin and tag", some, (lambda r: r.pin("plain"), lambda r: r.tag("plain", {"stage": "live"}))),
    Scenario("hold", some, (lambda r: r.hold("plain", reason="odd"), lambda r: r.unhold("plain"))),
    Scenario("register a held model", some, (_held, lambda r: r.change_segment())),
    Scenario("decide by rules", some, (_by_rules, _retire_by_rules)),
    Scenario("record", some, (lambda r: r.record("plain", {"rmse": 0.5}, "2026-01-01"),)),
    Scenario(
        "the first change after labels without files",
        some_without_labels_files,
        (lambda r: r.pin("champ"), lambda r: r.check_labels()),
    ),
    Scenario("restore and label", some_and_labelled_trash, (_restore_labelled, lambda r: r.tag("scaled", {"x": "y"}))),
    Scenario("delete", some, (_delete, lambda r: r.change_segment())),
    Scenario("delete and take the id", some, (_delete, _again)),
    Scenario("restore", some, (_restore,)),
    Scenario("restore from a closed segment", some, (lambda r: r.change_segment(), _restore)),
    Scenario("purge", some, (_purge,), gone=frozenset({1})),
    Scenario("replace a scaler", some, (_replace("scaled"), _delete)),
    Scenario("give a scaler", some, (_replace("plain"),)),
    Scenario("checkpoint", some, (lambda r: r.pin("plain"), _checkpoint, _checkpoint)),
    Scenario("change the segment twice", some, (lambda r: r.change_segment(), _api, lambda r: r.change_segment())),
    Scenario("take over", some_of_version_0_1, (_api, lambda r: r.pin("plain"))),
    Scenario("take over and retire", some_of_version_0_1, (_delete, _checkpoint, lambda r: r.change_segment())),
    Scenario("take over by a change of segment", some_of_version_0_1, (lambda r: r.change_segment(), _api)),
    Scenario("take over what is linked", some_of_version_0_1_and_a_link, (_alias, lambda r: r.change_segment(), _api)),
    Scenario("set leftovers aside", some_and_leftovers, (lambda r: r.set_aside_leftovers(),)),
    Scenario("register beside leftovers", some_and_leftovers, (_api,)),
    Scenario("prune", some_and_closed_segments, (_prune,), gone=frozenset({1})),
)


def check(
    folder: Path, scenario: Scenario, states: list[dict[str, Any]], acknowledged: int, identity: str | None = None
) -> int:
    """Open what a crash left and hold it against every promise; return which of the states it is.

    `identity` is the registry's as somebody knew it before the crash, if anybody did.
    """
    registry = scenario.open(folder, QuickDisk())
    try:
        position = registry.position
        assert identity is None or (position is not None and str(position.identity) == identity)
        found = plain(registry)
        allowed = states[acknowledged : acknowledged + 2]
        if scenario.batch and found not in allowed:
            before, after = allowed
            assert {**found, **before} == found and {**after, **found} == after, f"no part of it: {sorted(found)}"
            at = acknowledged
        else:
            assert found in allowed, f"neither before nor after the step: {sorted(found)}"
            at = acknowledged + allowed.index(found)
        # A line never names rules that are not kept.
        for digest in named_rules(registry.history()):
            assert read_rules(RegistryFiles(folder / "registry.json"), digest) is not None, digest
        # A plain reader gets JSON, always.
        assert isinstance(json.loads((folder / "registry.json").read_text()), dict)
        for entry in registry.registry.values():
            _has_its_files(entry)
        # What was retired can be restored, and its files are nowhere lost.
        registry.finish_retirements()
        registry.finish_purges()
        for line in registry._store.retirements().values():
            assert line.removed is not None
            if line.removed["sequence"] not in scenario.gone or at == 0:
                held = registry._storage.trash_folder(line.removed)
                for path, digest in registry._storage.needed_files_of(line.removed).items():
                    assert hashlib.sha256((held / path.name).read_bytes()).hexdigest() == digest
        # Going on comes to where no crash would have.
        for step in scenario.steps[at:]:
            step(registry)
        assert plain(registry) == states[-1]
        for entry in registry.registry.values():
            _has_its_files(entry)
        assert _stored(registry) == _named(registry)
        _labels_agree(registry)
        assert [line.sequence for line in registry.history()] == sorted({line.sequence for line in registry.history()})
    finally:
        registry._store.json_file.is_dirty = True
        registry.close()
    assert list(json.loads((folder / "registry.json").read_text())) is not None
    with ModelRegistry(folder / "registry.json", folder / "prediction", read_only=True, clock=Clock()) as reader:
        assert plain(reader) == states[-1]
        assert reader.position is not None
        assert identity is None or str(reader.position.identity) == identity
    return at


def _has_its_files(entry: Any) -> None:
    for path, digest in (("model_path", "sha256"), ("scaler_path", "scaler_sha256")):
        if entry.get(path) and entry.get(digest):
            assert hashlib.sha256(Path(entry[path]).read_bytes()).hexdigest() == entry[digest], entry[path]


def _labels_agree(registry: ModelRegistry) -> None:
    """Each labels file says what its entry does, beside the model and in the trash; none is lacking or left over."""
    identity = registry.identity
    assert identity is not None
    folder = Path(registry.storage_dir)
    found = {path.name.removesuffix(".labels.json"): read_labels(path) for path in folder.glob("*.labels.json")}
    tagged = {line.model_id for line in registry.history() if line.operation == "tag"}
    for model_id, entry in registry.registry.items():
        labels = found.pop(model_id, None)
        if labels is None:
            assert not (entry.get("sha256") and (has_labels(entry) or model_id in tagged)), model_id
        else:
            assert labels.is_of(entry, identity.registry_id)
            assert labels.differences(entry) == [], model_id
    assert found == {}
    for line in registry._store.retirements().values():
        assert line.removed is not None
        held = registry._storage.trash_folder(line.removed) / f"{line.model_id}.labels.json"
        labels = read_labels(held)
        assert labels is None or labels.differences(line.removed) == []


def _stored(registry: ModelRegistry) -> set[str]:
    return {path.name for path in Path(registry.storage_dir).iterdir() if path.suffix == ".pkl"}


def _named(registry: ModelRegistry) -> set[str]:
    entries = registry.registry.values()
    paths = [entry.get(name) for entry in entries for name in ("model_path", "scaler_path")]
    return {Path(path).name for path in paths if path}


__all__ = ["GROUP", "SCENARIOS", "START", "Scenario", "check"]
