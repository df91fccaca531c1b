"""A program that uses all that `import model_inbox` gives, checked by mypy --strict as a user's program would be.

Run with a folder, it trains nothing and leaves a registry there. Every name in `model_inbox.__all__` occurs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

import model_inbox
from model_inbox import (
    AliasProtected,
    ConditionError,
    ConfigError,
    DropRefused,
    DropResult,
    EntryExists,
    EntryNeeded,
    EntryNotFound,
    EntryProtected,
    FallenBack,
    FileOutside,
    Follower,
    Followers,
    LoadRefused,
    MetadataError,
    MirrorRegistry,
    ModelInboxError,
    ModelMetadata,
    ModelRegistry,
    Position,
    Problem,
    PromotionRefused,
    RegistryCorrupted,
    RegistryError,
    RegistryLocked,
    RegistryMissing,
    RegistryTooNew,
    RestoreRefused,
    ScanError,
    Served,
    StorageError,
    drop,
)


def metadata(model_id: str, trained_at: datetime | str) -> ModelMetadata:
    """Say what a training job knows about its model."""
    return ModelMetadata(
        model_id=model_id,
        model_type="lightgbm",
        currency_pair="USD/EUR",
        trained_at=trained_at,
        version="1.10",
        validation_metrics={"1d": {"rmse": 0.0049}},
        min_samples=5843,
        calibration_ok=True,
        features_used=["sma_5", "rsi_14"],
        horizons=[1, 7, 30],
        tags={"run": "17"},
        description="an example",
    )


def advice(error: ModelInboxError) -> str:
    """Say what a program can tell people and other programs about an error; the finest first."""
    match error:
        case ConfigError() | MetadataError() | DropRefused() | RestoreRefused():
            assert_type(error.problems, tuple[Problem, ...])
            return "\n".join(str(problem) for problem in error.problems)
        case RegistryLocked() | ScanError():
            return f"try again: {error.hint}"
        case ConditionError():
            return f"write it otherwise: {error.hint}"
        case StorageError():
            return f"{'try again' if error.transient else 'repair'}: {error.operation} {error.path}"
        case RegistryCorrupted():
            return f"damaged at {error.offset}: {error.path}"
        case (
            RegistryMissing()
            | RegistryTooNew()
            | EntryNotFound()
            | EntryNeeded()
            | EntryExists()
            | EntryProtected()
            | FileOutside()
            | PromotionRefused()
            | AliasProtected()
            | LoadRefused()
        ):
            return error.hint
        case RegistryError():
            return error.code
    return f"{error.code} {error.message} {error.exit_status}"


def register_and_serve(folder: Path) -> None:
    """Register models from Python, find the newest, load it, retire and restore it."""
    registry_path, storage_dir = folder / "prediction_registry.json", str(folder / "prediction")
    now = datetime.now(UTC)
    with ModelRegistry(registry_path, storage_dir, lock_timeout=5.0) as registry:
        older = metadata("usd-eur-1", now - timedelta(days=1))
        entry = registry.register_model(older, {"weights": [1.0, 2.0]}, scaler_obj={"mean": 0.0})
        assert_type(older.scaler_path, str | None)
        print("registered", entry["model_id"], older.model_path)
        registry.register_model(metadata("usd-eur-2", "2024-10-25T12:00:00Z"), [1, 2, 3])
        try:
            registry.register_model(metadata("usd-eur-2", now), "other bytes")
        except EntryExists as error:
            print("refused:", advice(error))

        newest = registry.get_model("USD/EUR", "lightgbm", calibrated=True)
        if newest is None:
            raise SystemExit("no model")
        trained_at: Any = newest["trained_at"]
        model, scaler = registry.load_model_objects(newest)
        print("newest", trained_at, model, scaler, registry.load_scaler(newest), registry.load_model(newest))

        registry.set_alias("champion", "usd-eur-1")
        registry.pin("usd-eur-1", reason="in production")
        try:
            print("back to", registry.rollback("USD/EUR", alias="champion", reason="errors").to_id)
        except PromotionRefused as error:
            print("refused:", advice(error))
        move = registry.promote("usd-eur-1", alias="next", reason="best of the backtest")
        assert_type(move.from_id, str | None)
        print("moved", move.alias, move.to_id, [holder.model_id for holder in registry.aliases()])
        champion = registry.get_model("USD/EUR", alias="champion", as_of=datetime.now(UTC))
        print("champion", champion["model_id"] if champion is not None else "none yet")
        try:
            registry.delete_model("usd-eur-1")
        except EntryProtected as error:
            print("refused:", advice(error))
        assert_type(registry.delete_model("usd-eur-2"), bool)
        restored = registry.restore("usd-eur-2")
        print("restored", restored.get("version"))
        measured = registry.record("usd-eur-2", {"realised": {"rmse": 0.0061}}, datetime.now(UTC))
        print("measured", measured["recorded"])
        found = registry.search("1d.rmse<0.005", tags={"run": None}, sort="-trained_at", limit=2)
        before = registry.get_model("USD/EUR", trained_before=datetime.now(UTC))
        assert_type(registry.file_of(newest, "scaler"), Path | None)
        print("found", [one["model_id"] for one in found], before is not None)

        entries: Mapping[str, Mapping[str, Any]] = registry.registry
        ids = [found["model_id"] for found in registry.list_models(currency_pair="USD/EUR")]
        print(sorted(entries), ids, [line.operation for line in registry.history("usd-eur-2")])

    reader = ModelRegistry(str(registry_path), read_only=True)
    position = reader.position
    if position is not None:
        assert_type(Position.parse(str(position)), Position)
        print("stands at", position.registry_id, position.epoch, position.sequence)
    info = reader.get_model_info("usd-eur-1")
    print("pinned", info is not None and info["pinned"])
    reader.close()


def drop_into(inbox: Path) -> DropResult:
    """Hand a model to the daemon; nobody need be there to take it."""
    inbox.mkdir()
    result = drop({"weights": [3.0]}, metadata("usd-eur-3", datetime.now(UTC)), inbox=inbox, scaler=None, wait=False)
    by_name = drop(
        [4.0],
        inbox=inbox,
        model_id="{pair}-4",
        currency_pair="USD/EUR",
        model_type="ridge",
        version="1",
        validation_metrics={"1d": {"rmse": 0.5}},
        min_samples=5,
        calibration_ok=True,
        features_used=["sma_5"],
        variant="1d",
        provenance={"data": "v3"},
    )
    print("filled in", by_name.model_id)
    assert_type(result.problems, tuple[Problem, ...])
    assert_type(result.files, tuple[Path, ...])
    print(result.outcome, result.ok, result.model_id, result.drop_id)
    try:
        drop({}, metadata("not/a/name", datetime.now(UTC)), inbox=inbox)
    except DropRefused as error:
        print("refused:", advice(error))
    return result


def follow(folder: Path) -> None:
    """Serve what the registry names, as a server does."""
    with ModelRegistry(folder / "prediction_registry.json", read_only=True) as registry:
        with registry.follow("USD/EUR", try_out=lambda model, _: print(model)) as follower:
            assert_type(follower, Follower)
            assert_type(follower.current, Served)
            assert_type(follower.fallen_back, FallenBack | None)
            entry, model, _ = follower.current
            print(entry["model_id"], model, follower.age, follower.is_stale)
        with registry.follow(wait=1, max_age=60, give_up_after=2) as followers:
            assert_type(followers, Followers)
            for slot, one in followers.items():
                print(slot, one.current.entry["model_id"])
        assert_type(registry.follower_metrics(), bytes)


def read_mirror(uri: str) -> None:
    """Ask a mirror in MLflow what a registry is asked."""
    with MirrorRegistry(uri, registry_id=None, cache_dir=None, poll_seconds=1) as registry:
        print([one["model_id"] for one in registry.list_models("USD/EUR")])
        entry = registry.get_model("USD/EUR", alias="champion")
        if entry is not None:
            model, scaler = registry.load_model_objects(entry)
            print(model, scaler, registry.file_of(entry), registry.search("1d.rmse<1", limit=1))
        with registry.follow("USD/EUR") as follower:
            assert_type(follower, Follower)


def main(folder: Path) -> None:
    """Do it all in `folder`."""
    print("model-inbox", model_inbox.__version__)
    register_and_serve(folder / "models")
    follow(folder / "models")
    if "MLFLOW_TRACKING_URI" in os.environ:
        read_mirror(os.environ["MLFLOW_TRACKING_URI"])
    result = drop_into(folder / "inbox")
    if not result.ok:
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
