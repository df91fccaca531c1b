"""Reload: every setting that can change while the daemon runs does change; the others are said to need a restart."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from model_inbox.base.acl import acl_of, one_reader
from model_inbox.base.flocks import FileLock
from model_inbox.config.changes import RESTART_KEYS
from model_inbox.config.settings import Config, PickleSection
from model_inbox.errors import AliasProtected, RegistryLocked
from model_inbox.model.metadata import ModelMetadata
from model_inbox.service.reload import scanner_of
from model_inbox.service.service import Service
from model_inbox.telemetry.logging import configure
from support.ports import reserve_port
from support.world import Clock, SharedScanner, World, pickled

DAY = 86_400.0
LINEAR = b"csklearn.linear_model._base\nLinearRegression\n."
KEEP_ONE = {"match": {}, "keep": {"last": 1}, "min_keep": 0}


class Reloaded:
    """A daemon in this process, with time of its own, whose config.yaml changes.

    It judges with a real worker: one that all tests share, until `pickle` says something else than the defaults.
    """

    def __init__(self, root: Path) -> None:
        self.world = World(root, clock=Clock())
        self.sections: dict[str, dict[str, Any]] = {}
        self.set(inbox={"settle_seconds": "2s", "incomplete_timeout": "1h", "orphan_timeout": "1h"})
        self.service = Service(
            self.world.config,
            self.world.machine(),
            make_scanner=lambda config: SharedScanner() if config.pickle == PickleSection() else scanner_of(config),
        )
        self.service.start()
        self.live()

    def set(self, **sections: Any) -> None:
        """Change settings in config.yaml; what was set before stays."""
        for name, section in sections.items():
            merged = {**self.sections.get(name, {}), **section} if isinstance(section, dict) else section
            self.sections[name] = merged
        self.world.configure(**self.sections)

    def reload(self, **sections: dict[str, Any]) -> None:
        self.set(**sections)
        self.service.reload()
        self.live()

    def live(self, seconds: float = 0.0) -> None:
        self.world.live_on(self.service, seconds)

    def outcome(self, stem: str) -> str | None:
        receipt = self.world.receipt(stem)
        return None if receipt is None else receipt["outcome"]

    def register(self, *ids: str, pair: str = "USD/EUR", days: int = 0) -> None:
        """Register models, each trained a day after the one before."""
        for number, model_id in enumerate(ids):
            metadata = ModelMetadata(
                model_id=model_id,
                model_type="lightgbm",
                currency_pair=pair,
                trained_at=self.world.clock.now() - timedelta(days=days + 30 - number),
                version="1",
                validation_metrics={"rmse": 1.0},
                min_samples=1,
                calibration_ok=True,
                features_used=["a"],
                horizons=[1],
            )
            self.service.registry.register_model(metadata, {"model": model_id})

    def models(self) -> list[str]:
        return sorted(self.service.registry.registry)

    def close(self) -> None:
        self.service.close()
        configure()  # closes the log's file


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Iterator[Reloaded]:
    reloaded = Reloaded(tmp_path)
    try:
        yield reloaded
    finally:
        reloaded.close()
        structlog.reset_defaults()


# --- one for each setting ------------------------------------------------------------------------------------


def settle_seconds(it: Reloaded) -> None:
    it.world.put("m", seal="")
    it.live(1.0)
    assert it.outcome("m") is None
    it.reload(inbox={"settle_seconds": "500ms"})
    assert it.outcome("m") == "registered"


def rescan_seconds(it: Reloaded) -> None:
    # In real time: else the watch counts as deaf when time is set forward.
    assert it.service.watching.watch.canary_came(10)
    it.live(3)
    assert 10 < it.service.due_in(it.world.clock.monotonic()) <= 30.1
    it.reload(inbox={"rescan_seconds": 3})
    assert it.service.due_in(it.world.clock.monotonic()) <= 3.1


def incomplete_timeout(it: Reloaded) -> None:
    it.world.put("m", scaler_file="gone_scaler.pkl")
    it.live(60)
    assert it.outcome("m") is None
    it.reload(inbox={"incomplete_timeout": "30s"})
    assert it.outcome("m") == "rejected"


def orphan_timeout(it: Reloaded) -> None:
    (it.world.inbox / "m.pkl").write_bytes(pickled([1]))
    it.live(60)
    assert it.world.left() == ["m.pkl"]
    it.reload(inbox={"orphan_timeout": "30s"})
    assert it.world.left() == []


def max_artifact_size(it: Reloaded) -> None:
    it.reload(inbox={"max_artifact_size": 10})
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "rejected"


def max_sidecar_size(it: Reloaded) -> None:
    it.reload(inbox={"max_sidecar_size": "1KiB"})
    it.world.put("m", description="x" * 1024)
    it.live(5)
    assert it.outcome("m") == "rejected"


def rejected_keep(it: Reloaded) -> None:
    it.world.put("m", model_typ="x")
    it.live(60)
    assert len(os.listdir(it.world.inbox / "rejected")) == 1
    it.reload(inbox={"rejected_keep": "30s"})
    assert os.listdir(it.world.inbox / "rejected") == []


def receipts_keep(it: Reloaded) -> None:
    it.world.put("m")
    it.live(60)
    assert it.outcome("m") == "registered"
    it.reload(inbox={"receipts_keep": "30s"})
    assert it.outcome("m") is None


def private(it: Reloaded) -> None:
    it.world.put("m")
    it.live(60)
    receipt = it.world.inbox / "receipts/m.json"
    assert receipt.stat().st_mode & 0o777 == 0o644
    it.reload(inbox={"private": True})
    assert (receipt.stat().st_mode & 0o777, acl_of(receipt)) == (0o640, one_reader(os.geteuid(), folder=False))
    it.reload(inbox={"private": False})
    it.world.put("n")
    it.live(60)
    assert (it.world.inbox / "receipts/n.json").stat().st_mode & 0o777 == 0o644


def lock_timeout(it: Reloaded) -> None:
    lock = FileLock(it.world.models / ".prediction_registry.writer.lock", "test's")
    it.reload(registry={"lock_timeout": "10ms"})
    lock.acquire(0)
    with pytest.raises(RegistryLocked, match=r"0\.01 s"):
        it.service.registry.pin("m")
    lock.close()


def checkpoint_seconds(it: Reloaded) -> None:
    it.reload(registry={"checkpoint_seconds": "1h"})
    it.world.put("first")
    it.live(3600)
    it.world.put("second")
    it.live(60)
    stored = it.world.models / "prediction_registry.json"
    assert sorted(json.loads(stored.read_bytes())) == ["first"]
    it.reload(registry={"checkpoint_seconds": 1})
    it.live(2)
    assert sorted(json.loads(stored.read_bytes())) == ["first", "second"]


def history_keep(it: Reloaded) -> None:
    it.register("m")
    it.service.registry.change_segment()
    it.service.registry.pin("m")
    it.service.registry.change_segment()
    it.world.clock.advance(10 * DAY)
    assert [line.operation for line in it.service.registry.history()] == ["register", "pin"]
    it.reload(registry={"history_keep": "1d"})
    assert "register" not in [line.operation for line in it.service.registry.history()]


def held_keep(it: Reloaded) -> None:
    it.register("m")
    it.register("pinned")
    it.service.registry.pin("pinned")
    for model_id in ("m", "pinned"):
        it.service.registry.hold(model_id, reason="odd")
    it.world.clock.advance(10 * DAY)
    it.live()
    assert sorted(it.service.registry.registry) == ["m", "pinned"]
    it.reload(registry={"held_keep": "1d"})
    assert sorted(it.service.registry.registry) == ["pinned"]
    assert it.service.registry.history("m")[-1].reason == "held for 1d (registry.held_keep)"


def frameworks(it: Reloaded) -> None:
    with_class(it, "before", LINEAR, "registered")
    it.reload(pickle={"frameworks": ["numpy"]})
    numpy_alone = it.service.scanner
    with_class(it, "after", LINEAR, "rejected")
    assert numpy_alone is it.service.intake.judge.scanner
    assert numpy_alone.worker_pid is not None
    it.reload(pickle={"frameworks": None})
    assert numpy_alone.worker_pid is None
    with_class(it, "again", LINEAR, "registered")


def with_class(it: Reloaded, stem: str, data: bytes, outcome: str) -> None:
    it.world.put(stem)
    (it.world.inbox / f"{stem}.pkl").write_bytes(data)
    it.live(3)
    assert it.outcome(stem) == outcome


def allow(it: Reloaded) -> None:
    with_class(it, "before", b"cfxmodels.lstm\nFxLSTM\n.", "rejected")
    it.reload(pickle={"allow": {"fxmodels.lstm.FxLSTM": "r"}})
    with_class(it, "after", b"cfxmodels.lstm\nFxLSTM\n.", "registered")


def memory_limit(it: Reloaded) -> None:
    it.reload(pickle={"memory_limit": "1MB"})
    with_class(it, "m", pickled([bytes(8 << 20)]), "rejected")


def load_budget(it: Reloaded) -> None:
    it.reload(pickle={"load_budget": "1MB"})
    with_class(it, "m", pickled([bytes(8 << 20)]), "rejected")


def time_limit(it: Reloaded) -> None:
    it.reload(pickle={"time_limit": "1ms"})
    it.world.put("m", [[i] for i in range(300_000)])
    it.live(3)
    # A machine that gave the scan no CPU in that time is not the file's fault: the drop is deferred.
    causes = [claim.retry.cause for claim in it.service.intake.deferred if claim.retry is not None]
    assert it.outcome("m") == "rejected" or "in 0.001 s it was given only" in causes[0]


def model_types(it: Reloaded) -> None:
    it.reload(checks={"model_types": ["lstm*"]})
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "rejected"


def currency_pairs(it: Reloaded) -> None:
    it.reload(checks={"currency_pairs": ["EUR/*"]})
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "rejected"


def pair_pattern(it: Reloaded) -> None:
    it.reload(checks={"pair_pattern": "EUR/.*"})
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "rejected"


def permits(it: Reloaded) -> None:
    it.reload(permits=[{"users": [str(os.geteuid())], "ids": "mine_*"}])
    it.world.put("m")
    it.world.put("mine_m")
    it.live()
    assert (it.outcome("m"), it.outcome("mine_m")) == ("rejected", "registered")


def gates(it: Reloaded) -> None:
    it.reload(gates=[{"name": "g", "bounds": {"1d.rmse": {"max": 1}}}])
    it.world.put("bad", validation_metrics={"1d": {"rmse": 1.5}})
    it.world.put("good", validation_metrics={"1d": {"rmse": 0.5}})
    it.live()
    assert (it.outcome("bad"), it.outcome("good")) == ("rejected", "registered")


def quota(it: Reloaded) -> None:
    it.reload(quota=[{"users": ["*"], "models_per_day": 0}])
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "rejected"


def promotion(it: Reloaded) -> None:
    it.world.put("a")
    it.live(2.0)
    it.reload(promotion=[{"when": {"metric": "1d.rmse", "order": "min"}}])
    it.live(2.0)
    assert [one.model_id for one in it.service.registry.aliases()] == ["a"]


def aliases(it: Reloaded) -> None:
    it.register("a")
    it.reload(aliases={"champion": {"may_move": ["nobody-of-us"]}})
    it.live(2.0)
    with pytest.raises(AliasProtected):
        it.service.registry.promote("a")


def mode(it: Reloaded) -> None:
    it.register("a", "b")
    it.reload(retention={"mode": "dry-run", "policies": [KEEP_ONE]})
    assert it.models() == ["a", "b"]
    it.reload(retention={"mode": "enforce"})
    assert it.models() == ["b"]
    # Now the receipt of a model that the rules will retire says so.
    it.world.put("old", trained_at="2020-01-01T00:00:00Z")
    it.live()
    receipt = it.world.receipt("old")
    assert receipt is not None and [note["code"] for note in receipt["notes"]] == ["retention.soon"]


def enforced(it: Reloaded, **changes: Any) -> None:
    it.reload(retention={"mode": "enforce", "policies": [KEEP_ONE], **changes})


def timezone(it: Reloaded) -> None:
    """One a day: at 23:30 and 00:30 in UTC are two days, and one in a zone that is an hour ahead."""
    noon = it.world.clock.now().replace(hour=12, minute=0) - timedelta(days=5)
    daily = {"match": {}, "keep": {"daily": 9}, "min_keep": 0}
    for name, hours in (("late", 11.5), ("early", 12.5)):
        it.register(name)
        entry = it.service.registry.delete_model(name)
        assert entry
        metadata = ModelMetadata(
            model_id=name,
            model_type="lightgbm",
            currency_pair="USD/EUR",
            trained_at=noon + timedelta(hours=hours),
            version="1",
            validation_metrics={"rmse": 1.0},
            min_samples=1,
            calibration_ok=True,
            features_used=["a"],
            horizons=[1],
        )
        it.service.registry.register_model(metadata, {})
    it.reload(retention={"mode": "enforce", "policies": [daily]})
    assert it.models() == ["early", "late"]
    it.reload(retention={"timezone": "Etc/GMT-1"})
    assert it.models() == ["early"]


def group_by(it: Reloaded) -> None:
    it.register("a")
    it.register("b", pair="USD/CHF", days=-1)
    enforced(it)
    assert it.models() == ["a", "b"]
    it.reload(retention={"group_by": ["model_type"]})
    assert it.models() == ["b"]


def trash_grace(it: Reloaded) -> None:
    it.register("a", "b")
    enforced(it)
    it.world.clock.advance(2 * DAY)
    it.live()
    assert len(it.service.registry.retired()) == 1
    it.reload(retention={"trash_grace": "1d"})
    assert it.service.registry.retired() == []


def max_deletes(it: Reloaded) -> None:
    it.register("a", "b", "c")
    enforced(it, breaker={"max_deletes": 1, "max_fraction": 1.0})
    assert it.models() == ["a", "b", "c"]
    it.reload(retention={"breaker": {"max_deletes": 2, "max_fraction": 1.0}})
    assert it.models() == ["c"]


def max_fraction(it: Reloaded) -> None:
    it.register("a", "b", "c")
    enforced(it, breaker={"max_deletes": 50, "max_fraction": 0.5})
    assert it.models() == ["a", "b", "c"]
    it.reload(retention={"breaker": {"max_deletes": 50, "max_fraction": 0.7}})
    assert it.models() == ["c"]


def interval(it: Reloaded) -> None:
    enforced(it)
    assert 3500 < it.service.maintenance.retention_at - it.world.clock.monotonic() <= 3600
    it.reload(retention={"interval": "2h"})
    assert 7000 < it.service.maintenance.retention_at - it.world.clock.monotonic() <= 7200


def policies(it: Reloaded) -> None:
    it.register("a", "b", "c")
    enforced(it, policies=[{"match": {}, "keep": {"last": 2}}])
    assert it.models() == ["b", "c"]
    it.reload(retention={"policies": [KEEP_ONE]})
    assert it.models() == ["c"]


def level(it: Reloaded) -> None:
    log = it.world.root / "log.jsonl"
    it.reload(logging={"file": str(log), "level": "error"})
    size = log.stat().st_size if log.exists() else 0
    it.live(60)
    assert (log.stat().st_size if log.exists() else 0) == size
    it.reload(logging={"level": "debug"})
    assert '"inbox.rescanned"' in log.read_text()


def log_format(it: Reloaded) -> None:
    it.reload(logging={"format": "console"})
    assert structlog.get_config()["processors"][-1].__qualname__.startswith("_to_sentence.")
    it.reload(logging={"format": "json"})
    assert structlog.get_config()["processors"][-1].__class__.__name__ == "JSONRenderer"


def log_file(it: Reloaded) -> None:
    first, second = it.world.root / "1.jsonl", it.world.root / "2.jsonl"
    it.reload(logging={"file": str(first)})
    it.reload(logging={"file": str(second)})
    size = first.stat().st_size
    assert '"config.loaded"' in second.read_text()
    it.live(60)
    assert first.stat().st_size == size


def listen(it: Reloaded) -> None:
    first, second = reserve_port(), reserve_port()
    it.reload(metrics={"listen": f"127.0.0.1:{first}"})
    socket.create_connection(("127.0.0.1", first)).close()
    it.reload(metrics={"listen": f"127.0.0.1:{second}"})
    socket.create_connection(("127.0.0.1", second)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first))
    it.reload(metrics={"listen": None})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second))


SHOWN: dict[str, Callable[[Reloaded], None]] = {
    "inbox.settle_seconds": settle_seconds,
    "inbox.rescan_seconds": rescan_seconds,
    "inbox.incomplete_timeout": incomplete_timeout,
    "inbox.orphan_timeout": orphan_timeout,
    "inbox.max_artifact_size": max_artifact_size,
    "inbox.max_sidecar_size": max_sidecar_size,
    "inbox.rejected_keep": rejected_keep,
    "inbox.receipts_keep": receipts_keep,
    "inbox.private": private,
    "registry.lock_timeout": lock_timeout,
    "registry.checkpoint_seconds": checkpoint_seconds,
    "registry.history_keep": history_keep,
    "registry.held_keep": held_keep,
    "pickle.frameworks": frameworks,
    "pickle.allow": allow,
    "pickle.load_budget": load_budget,
    "pickle.memory_limit": memory_limit,
    "pickle.time_limit": time_limit,
    "checks.model_types": model_types,
    "checks.currency_pairs": currency_pairs,
    "checks.pair_pattern": pair_pattern,
    "permits": permits,
    "quota": quota,
    "gates": gates,
    "promotion": promotion,
    "aliases": aliases,
    "retention.mode": mode,
    "retention.timezone": timezone,
    "retention.group_by": group_by,
    "retention.trash_grace": trash_grace,
    "retention.breaker.max_deletes": max_deletes,
    "retention.breaker.max_fraction": max_fraction,
    "retention.interval": interval,
    "retention.policies": policies,
    "logging.level": level,
    "logging.format": log_format,
    "logging.file": log_file,
    "metrics.listen": listen,
}
# Of other processes: tests/unit/telemetry, tests/unit/web and tests/mlflow.
ELSEWHERE = {"metrics.textfile", "web.listen", "web.group"} | {
    f"mlflow.{name}" for name in ("tracking_uri", "experiment", "name", "retired", "state")
}


def model_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from model_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_setting_is_shown_to_change_or_needs_a_restart() -> None:
    """No setting is forgotten: each is in the table above, or is said to need a restart."""
    assert SHOWN.keys() | ELSEWHERE | RESTART_KEYS == set(model_keys(Config))
    assert not SHOWN.keys() & RESTART_KEYS


@pytest.mark.parametrize("key", list(SHOWN))
def test_a_reload_changes_what_the_daemon_does(it: Reloaded, key: str) -> None:
    """The daemon behaves as the old value says before the reload, and as the new one after it."""
    SHOWN[key](it)


def test_what_needs_a_restart_is_named_until_there_is_one(it: Reloaded) -> None:
    """The four settings that say what it holds are named by each reload, and change nothing."""
    told = it.service.reporter
    it.reload(inbox={"path": "in2", "watcher": "polling"}, registry={"path": "r/r.json", "storage_dir": "r/s"})
    assert set(told.document()["config"]["restart_needed"]) == RESTART_KEYS
    assert told.document()["config"]["reload"]["changed"] == []
    it.reload(inbox={"rescan_seconds": 5})
    assert set(told.document()["config"]["restart_needed"]) == RESTART_KEYS
    assert told.document()["config"]["reload"]["changed"] == ["inbox.rescan_seconds"]
    it.world.put("m")
    it.live()
    assert it.outcome("m") == "registered"
    assert not (it.world.root / "in2").exists()
    assert not it.service.watching.watch.polling


def test_a_bad_file_changes_nothing(it: Reloaded) -> None:
    """Every problem is told with its place, and each old setting stays in force, also those that were right."""
    before, scanner = it.service.config, it.service.scanner
    it.reload(inbox={"rescan_seconds": 5, "pth": 1}, pickle={"time_limit": "never"})
    assert (it.service.config, it.service.scanner) == (before, scanner)
    answer = it.service.reporter.document()["config"]
    assert (answer["refused"], answer["reload"]["outcome"]) == (True, "refused")
    assert [problem["code"] for problem in answer["reload"]["problems"]] == [
        "config.unknown_key",
        "config.invalid_value",
    ]
    assert all(problem["line"] for problem in answer["reload"]["problems"])
    del it.sections["inbox"]["pth"]
    it.reload(pickle={"time_limit": "9s"})
    assert it.service.reporter.document()["config"]["refused"] is False
    assert (it.service.config.pickle.time_limit, it.service.config.inbox.rescan_seconds) == (9.0, 5.0)


def test_an_address_that_cannot_be_had_is_a_bad_file(it: Reloaded) -> None:
    """A port that somebody has is told as a problem of `metrics.listen`, and the old address is still served."""
    first = reserve_port()
    it.reload(metrics={"listen": f"127.0.0.1:{first}"})
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        it.reload(metrics={"listen": f"127.0.0.1:{other.getsockname()[1]}"}, inbox={"rescan_seconds": 5})
    (problem,) = it.service.reporter.document()["config"]["reload"]["problems"]
    assert (problem["code"], problem["field"]) == ("config.not_available", "metrics.listen")
    assert it.service.config.inbox.rescan_seconds == 30.0
    socket.create_connection(("127.0.0.1", first)).close()
