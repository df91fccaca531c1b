"""What the registry's tests share: a clock that is told the time, metadata, staged files, the state as plain data."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_inbox import ModelMetadata, ModelRegistry
from model_inbox.base.disk import Disk, remove_quietly, write_new_file
from model_inbox.model.metadata import fields_of
from model_inbox.model.sidecar_writer import dump_sidecar
from model_inbox.registry.files import STORED_MODE, StagedFiles
from model_inbox.registry.journal import seal
from model_inbox.registry.outcomes import Candidate

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def ahead(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def metadata(model_id: str, **changes: Any) -> ModelMetadata:
    fields: dict[str, Any] = {
        "model_id": model_id,
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": datetime(2025, 10, 25, 12, 0, tzinfo=UTC),
        "version": "1.10",
        "validation_metrics": {"rmse": 0.012},
        "min_samples": 500,
        "calibration_ok": True,
        "features_used": ["sma_5"],
        "horizons": [1, 7],
    }
    return ModelMetadata(**{**fields, **changes})


def staged(registry: ModelRegistry, model_id: str, model: bytes, scaler: bytes | None = None) -> Candidate:
    """Put files into the staging folder as the intake does, and return the candidate."""
    disk = registry._storage.disk
    folder = Path(registry.storage_dir) / ".staging"
    digest = hashlib.sha256(model).hexdigest()
    scaler_digest = hashlib.sha256(scaler).hexdigest() if scaler is not None else None
    text = dump_sidecar(
        metadata(model_id),
        model_file=f"{model_id}.pkl",
        scaler_file=f"{model_id}_scaler.pkl" if scaler is not None else None,
        digests={"model": digest, "scaler": scaler_digest},
    )
    tag = hashlib.sha256(model + (scaler or b"-")).hexdigest()[:8]
    paths = [folder / f"{tag}-{model_id}.{end}" for end in ("pkl", "scaler", "yaml")]
    for path, data in zip(paths, (model, scaler, text), strict=True):
        remove_quietly(disk, path)
        if data is not None:
            write_new_file(disk, path, data, STORED_MODE)
    files = StagedFiles(
        paths[0],
        digest,
        len(model),
        paths[1] if scaler is not None else None,
        scaler_digest,
        len(scaler or b""),
        paths[2],
    )
    return Candidate(fields_of(metadata(model_id)), files, "inbox", drop_id=f"drop-{model_id}", imports={})


def register(registry: ModelRegistry, model_id: str, model: bytes = b"model", scaler: bytes | None = None) -> Any:
    """Register bytes under an id and return the entry."""
    candidate = staged(registry, model_id, model, scaler)
    done = registry.register_staged([candidate])[0]
    for path in candidate.files.paths:
        remove_quietly(registry._storage.disk, path)
    assert done.outcome == "registered"
    return registry._store.state.show(model_id)


def open_registry(folder: Path, **options: Any) -> ModelRegistry:
    options.setdefault("clock", Clock())
    options.setdefault("actor", "test")
    return ModelRegistry(folder / "registry.json", folder / "prediction", **options)


def plain(registry: ModelRegistry) -> dict[str, Any]:
    """Return the entries as JSON data, paths relative, to compare two registries in two places."""
    text = json.dumps({model_id: registry.registry[model_id] for model_id in sorted(registry.registry)})
    return json.loads(text.replace(str(Path(registry.registry_path).parent) + "/", ""))  # type: ignore[no-any-return]


def as_version_0_1(folder: Path) -> None:
    """Give the registry's own files the headers that version 0.1 wrote: all else in them was the same.

    It wrote no labels files.
    """
    for path in (folder / "prediction").glob("*.labels.json"):
        path.unlink()
    journal, mark = folder / "registry.journal.jsonl", folder / "registry.checkpoint.json"
    for path in [journal, mark, *(folder / "history").glob("*.jsonl")]:
        if not path.exists():
            continue
        first, _, rest = path.read_bytes().partition(b"\n")
        fields = json.loads(first)
        if "epoch" not in fields:
            continue  # another name of a file that was done
        for name in ("registry_id", "epoch", "checksum"):
            fields.pop(name)
        fields["format"] = fields["format"].replace("/2", "/1")
        path.write_bytes(seal(fields) + rest)


class FailingDisk(Disk):
    """A disk on which one kind of step fails as long as `failing` names it."""

    def __init__(self) -> None:
        self.failing: dict[str, OSError] = {}
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name in ("failing", "calls") or not callable(found):
            return found
        self.calls.append(name)
        if name in self.failing:
            raise self.failing[name]
        return found
