"""The registry against a dictionary: whatever several handles do in turn, all of them show what a dict would.

`HYPOTHESIS_EXAMPLES=n`, as in `make test-registry`, plays n games instead of a few.
"""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model_inbox import EntryExists, EntryNotFound, EntryProtected, ModelRegistry, RegistryError
from model_inbox.registry.outcomes import Candidate
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, staged
from support.examples import examples
from support.plain_reader import read_history, read_registry

IDS = st.sampled_from(["a", "b", "c"])
PAIRS = ("USD/EUR", "GBP/EUR")
TYPES = ("lightgbm", "lstm")
ALIASES = st.sampled_from(["champion", "next"])
TRAINED = st.sampled_from([START - timedelta(days=2), START - timedelta(days=1), START + timedelta(minutes=10)])
HANDLE = st.integers(0, 2)


@dataclass
class Model:
    """What the dictionary knows of one model."""

    pair: str
    kind: str
    trained: datetime
    calibrated: bool
    sequence: int
    data: bytes
    scaler: bytes | None
    aliases: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    pinned: bool = False


def shown(entry: Any) -> Model:
    """Return what an entry says, with what its files hold."""
    scaler = Path(entry["scaler_path"]).read_bytes() if entry["scaler_path"] else None
    return Model(
        entry["currency_pair"],
        entry["model_type"],
        datetime.fromisoformat(entry["trained_at"]),
        entry["calibration_ok"],
        entry["sequence"],
        Path(entry["model_path"]).read_bytes(),
        scaler,
        set(entry["aliases"]),
        dict(entry["tags"]),
        entry["pinned"],
    )


class RegistryMachine(RuleBasedStateMachine):
    """Three handles that write, a dictionary, and what it was after each line."""

    def __init__(self) -> None:
        super().__init__()
        root = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.root = Path(tempfile.mkdtemp(prefix="model-inbox-", dir=root))
        self.folder = self.root / "models-0"
        self.moves = 0
        self.clock = Clock()
        self.models: dict[str, Model] = {}
        self.trash: list[tuple[str, Model]] = []
        self.lines: list[tuple[str, str]] = []
        self.past: list[tuple[datetime, dict[str, Model]]] = []
        self.serial = 0

    def teardown(self) -> None:
        for handle in self.handles:
            handle.close()
        shutil.rmtree(self.root)

    @initialize()
    def open(self) -> None:
        self.handles = [self.opened() for _ in range(3)]

    def opened(self) -> ModelRegistry:
        return ModelRegistry(
            self.folder / "registry.json",
            self.folder / "prediction",
            clock=self.clock,
            actor="test",
            disk=QuickDisk(),
        )

    def committed(self, operation: str, model_id: str) -> None:
        """Note that a line was written: what the registry was after it, and when."""
        self.lines.append((operation, model_id))
        self.past.append((self.clock.now, deepcopy(self.models)))

    # --- changes

    @rule(
        handle=HANDLE,
        model_id=IDS,
        pair=st.sampled_from(PAIRS),
        kind=st.sampled_from(TYPES),
        trained=TRAINED,
        calibrated=st.booleans(),
        scaler=st.booleans(),
    )
    def register(
        self, handle: int, model_id: str, pair: str, kind: str, trained: datetime, calibrated: bool, scaler: bool
    ) -> None:
        self.serial += 1
        data, scaler_data = b"model %d" % self.serial, b"scaler %d" % self.serial if scaler else None
        files = staged(self.handles[handle], model_id, data, scaler_data)
        fields = {
            **files.fields,
            "currency_pair": pair,
            "model_type": kind,
            "trained_at": trained.isoformat(),
            "calibration_ok": calibrated,
        }
        done = self.handles[handle].register_staged([Candidate(fields, files.files, "api")])[0]
        if model_id in self.models:
            assert done.outcome == "taken"
        else:
            assert done.outcome == "registered"
            number = len(self.lines) + 1
            self.models[model_id] = Model(pair, kind, trained, calibrated, number, data, scaler_data)
            self.committed("register", model_id)

    @rule(handle=HANDLE, model_id=IDS)
    def delete(self, handle: int, model_id: str) -> None:
        model = self.models.get(model_id)
        if model is not None and (model.pinned or model.aliases):
            with pytest.raises(EntryProtected):
                self.handles[handle].delete_model(model_id)
            return
        assert self.handles[handle].delete_model(model_id) is (model is not None)
        if model is not None:
            self.trash.append((model_id, self.models.pop(model_id)))
            self.committed("retire", model_id)

    @rule(handle=HANDLE, model_id=IDS)
    def restore(self, handle: int, model_id: str) -> None:
        held = [item for item in self.trash if item[0] == model_id]
        if model_id in self.models or not held:
            with pytest.raises(EntryExists if model_id in self.models else EntryNotFound):
                self.handles[handle].restore(model_id)
            return
        self.handles[handle].restore(model_id)
        self.trash.remove(held[-1])
        self.models[model_id] = held[-1][1]
        self.committed("restore", model_id)

    @rule(handle=HANDLE, at=st.integers(0, 3))
    def purge(self, handle: int, at: int) -> None:
        retired = self.handles[handle].retired()
        assert [(item.model_id, item.sequence) for item in retired] == [(i, m.sequence) for i, m in self.trash]
        if at < len(retired):
            freed = self.handles[handle].purge(retired[at])
            model_id, model = self.trash.pop(at)
            assert freed is not None and freed >= len(model.data) + len(model.scaler or b"")
            self.committed("purge", model_id)

    @rule(handle=HANDLE, model_id=IDS, pinned=st.booleans())
    def pin(self, handle: int, model_id: str, pinned: bool) -> None:
        change = self.handles[handle].pin if pinned else self.handles[handle].unpin
        if model_id not in self.models:
            with pytest.raises(EntryNotFound):
                change(model_id)
            return
        change(model_id)
        if self.models[model_id].pinned != pinned:
            self.models[model_id].pinned = pinned
            self.committed("pin" if pinned else "unpin", model_id)

    @rule(handle=HANDLE, model_id=IDS, alias=ALIASES)
    def set_alias(self, handle: int, model_id: str, alias: str) -> None:
        if model_id not in self.models:
            with pytest.raises(EntryNotFound):
                self.handles[handle].set_alias(alias, model_id)
            return
        self.handles[handle].set_alias(alias, model_id)
        model = self.models[model_id]
        if alias not in model.aliases:
            for other in self.models.values():
                if (other.pair, other.kind) == (model.pair, model.kind):
                    other.aliases.discard(alias)
            model.aliases.add(alias)
            self.committed("alias", model_id)

    @rule(handle=HANDLE, model_id=IDS, alias=ALIASES)
    def remove_alias(self, handle: int, model_id: str, alias: str) -> None:
        if model_id not in self.models or alias not in self.models[model_id].aliases:
            with pytest.raises(EntryNotFound):
                self.handles[handle].remove_alias(alias, model_id)
            return
        self.handles[handle].remove_alias(alias, model_id)
        self.models[model_id].aliases.remove(alias)
        self.committed("unalias", model_id)

    @rule(handle=HANDLE, model_id=IDS, name=st.sampled_from("xy"), value=st.sampled_from(["", "1", None]))
    def tag(self, handle: int, model_id: str, name: str, value: str | None) -> None:
        if model_id not in self.models:
            with pytest.raises(EntryNotFound):
                self.handles[handle].tag(model_id, {name: value})
            return
        self.handles[handle].tag(model_id, {name: value})
        tags = self.models[model_id].tags
        after = {key: text for key, text in {**tags, name: value}.items() if text is not None}
        if after != tags:
            self.models[model_id].tags = after
            self.committed("tag", model_id)

    @rule(handle=HANDLE, model_id=IDS)
    def replace_scaler(self, handle: int, model_id: str) -> None:
        if model_id not in self.models:
            return
        self.serial += 1
        entry = self.handles[handle].replace_scaler(model_id, f"scaler {self.serial}")
        assert self.handles[handle].load_scaler(entry) == f"scaler {self.serial}"
        self.models[model_id].scaler = Path(entry["scaler_path"]).read_bytes()
        self.committed("replace_scaler", model_id)

    # --- what changes nothing

    @rule(handle=HANDLE)
    def checkpoint(self, handle: int) -> None:
        self.handles[handle].checkpoint(force=True)
        assert sorted(read_registry(self.folder / "registry.json")) == sorted(self.models)

    @rule(handle=HANDLE)
    def change_segment(self, handle: int) -> None:
        self.handles[handle].change_segment()

    @rule(handle=HANDLE, seconds=st.sampled_from([100, 100_000]))
    def prune(self, handle: int, seconds: float) -> None:
        self.handles[handle].prune_history(seconds)

    @rule(handle=HANDLE)
    def finish(self, handle: int) -> None:
        assert self.handles[handle].finish_retirements() == 0
        self.handles[handle].finish_purges()

    @rule(handle=HANDLE, properly=st.booleans())
    def reopen(self, handle: int, properly: bool) -> None:
        self.handles[handle]._store.json_file.is_dirty &= properly  # a process that is killed brings nothing up to date
        self.handles[handle].close()
        self.handles[handle] = self.opened()

    @rule()
    def move(self) -> None:
        """Move the whole folder elsewhere, as a person does between two runs."""
        for handle in self.handles:
            handle.close()
        self.moves += 1
        moved = self.root / f"models-{self.moves}"
        self.folder.rename(moved)
        self.folder = moved
        self.handles = [self.opened() for _ in range(3)]

    @rule(seconds=st.sampled_from([1, 3600, -1800]))
    def time_goes_by(self, seconds: int) -> None:
        self.clock.ahead(seconds)

    # --- what must be true after each of them

    @invariant()
    def all_handles_agree(self) -> None:
        for handle in self.handles:
            assert {model_id: shown(entry) for model_id, entry in handle.registry.items()} == self.models
            assert handle.sequence == len(self.lines)

    @invariant()
    def queries_agree(self) -> None:
        handle = self.handles[len(self.lines) % 3]

        def age(item: tuple[str, Model]) -> tuple[datetime, int]:
            return item[1].trained, item[1].sequence

        ordered = [model_id for model_id, _ in sorted(self.models.items(), key=age, reverse=True)]
        assert [entry["model_id"] for entry in handle.list_models()] == ordered
        for pair in PAIRS:
            for kind in TYPES:
                group = [i for i in ordered if (self.models[i].pair, self.models[i].kind) == (pair, kind)]
                assert [entry["model_id"] for entry in handle.list_models(pair, kind)] == group
                past = [model_id for model_id in group if self.models[model_id].trained <= self.clock.now]
                newest = handle.get_model(pair, kind)
                assert (newest and newest["model_id"]) == next(iter(past), None)
                calibrated = handle.get_model(pair, kind, calibrated=True)
                wanted = next((model_id for model_id in past if self.models[model_id].calibrated), None)
                assert (calibrated and calibrated["model_id"]) == wanted
                champions = [model_id for model_id in group if "champion" in self.models[model_id].aliases]
                assert len(champions) <= 1
                champion = handle.get_model(pair, kind, alias="champion")
                assert (champion and champion["model_id"]) == next(iter(champions), None)

    @invariant()
    def the_past_is_kept(self) -> None:
        kept = read_history(self.folder / "registry.json")
        first = kept[0]["sequence"] if kept else len(self.lines) + 1
        told = self.handles[0].history()
        assert [(line.sequence, line.operation, line.model_id) for line in told] == [
            (number, *self.lines[number - 1]) for number in range(first, len(self.lines) + 1)
        ]
        if not self.past:
            return
        for moment in {self.past[0][0], self.past[len(self.past) // 2][0], self.past[-1][0]}:
            then = [state for at, state in self.past if at <= moment][-1]
            if first > 1 and all(moment < datetime.fromisoformat(line["time"]) for line in kept):
                with pytest.raises(RegistryError, match="its history begins at"):
                    self.handles[1].list_models(as_of=moment)
                continue
            found = {entry["model_id"]: entry for entry in self.handles[1].list_models(as_of=moment)}
            assert {model_id: (e["pinned"], set(e["aliases"]), e["tags"]) for model_id, e in found.items()} == {
                model_id: (m.pinned, m.aliases, m.tags) for model_id, m in then.items()
            }
            for model_id in "abc":
                assert self.handles[2].get_model_info(model_id, as_of=moment) == found.get(model_id)


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(
    max_examples=examples(15),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
