"""Registries to look at: empty, with one model, with three hundred, and one whose every text is hostile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_inbox import ModelMetadata, ModelRegistry
from support import demo_registry

__all__ = ["MADE", "PROGRAM"]

PROGRAM = [str(Path(sys.executable).with_name("model-inbox"))]

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;</title></style><svg onload=alert(3)>"
BIDI = "\u202egnp.exe\u2066 \u200f\u0000\u001b[31m"
LONG = "A very long text that says nothing. " * 2_800
WORD = "w" * 5_000


def of_models(folder: Path, count: int) -> Path:
    """Make a registry of `count` models in slots of 30, with champions, and return its config.yaml."""
    with _registry(folder) as registry:
        for number in range(count):
            registry.register_model(_metadata(number), {"model": number})
        for number in range(0, count, 30):
            registry.promote(f"model-{number:05}", "champion", reason="best of the backtest")
            registry.pin(f"model-{number:05}", reason="audit")
    return _config(folder)


def hostile(folder: Path) -> Path:
    """Make a registry and an inbox whose texts want to be markup, to be in control, or to be too much."""
    models = folder / "models"
    models.mkdir(parents=True)
    # As another program may have written it: what is dropped or registered by this one is checked before.
    (models / "prediction_registry.json").write_text(json.dumps({f"old-{n}": _foreign(n) for n in range(8)}))
    with _registry(folder) as registry:
        for number in range(8):
            values: dict[str, Any] = {"tags": {"note": MARKUP, "word": WORD[:256]}, "description": MARKUP}
            values["validation_metrics"] = {"1d": {f"metric_{index:04}": index * 1e-7 for index in range(2_000)}}
            values["variant"] = "v" * 64 if number % 2 else ""
            values["currency_pair"] = ("ÄÖÜ/ßß", "人民币/欧元", "W" * 60, "EUR/USD")[number % 4]
            registry.register_model(_metadata(number, **values), {"model": number})
        registry.promote("model-00003", "champion", reason=MARKUP + LONG[:2_000])
        registry.hold("model-00004", reason=MARKUP)
        registry.record("model-00003", {"realised": 1e-300}, reason=MARKUP)
        registry.delete_model("model-00005", reason=BIDI + MARKUP)
    inbox = folder / "inbox"
    inbox.mkdir()
    for name in (MARKUP.replace("/", "_")[:120] + ".pkl", "\u202egnp.yaml", "w" * 240 + ".pkl", "-rf .pkl"):
        (inbox / name).write_bytes(b"\x80")
    (inbox / "markup.yaml").write_text(f"model_type: {json.dumps(MARKUP)}\ncurrency_pair: {json.dumps(LONG)}\n...\n")
    return _config(folder)


def _foreign(number: int) -> dict[str, Any]:
    text = (MARKUP, BIDI, LONG, WORD)[number % 4]
    return {
        "model_id": f"old-{number}",
        "model_type": text[:200],
        "currency_pair": text[:300],
        "trained_at": "2026-01-01T00:00:00Z",
        "version": text,
        "validation_metrics": {text[:100]: None, "rmse": "NaN", "large": 1e308, "small": -5e-324, "text": text},
        "min_samples": 1,
        "calibration_ok": True,
        "features_used": [text] * 3,
        "horizons": [1],
        "description": text,
        "tags": {text[:50]: text},
        "model_path": f"prediction/old-{number}.pkl",
        "scaler_path": None,
    }


def _registry(folder: Path) -> ModelRegistry:
    (folder / "models").mkdir(parents=True, exist_ok=True)
    return ModelRegistry(folder / "models/prediction_registry.json", folder / "models/prediction", actor="risk-desk")


def _config(folder: Path) -> Path:
    file = folder / "config.yaml"
    policies = [{"match": {}, "keep": {"last": 20}}]
    file.write_text(json.dumps({"retention": {"mode": "enforce", "policies": policies}}))
    return file


def _metadata(number: int, **fields: Any) -> ModelMetadata:
    values: dict[str, Any] = {
        "model_type": "lightgbm",
        "currency_pair": f"{('EUR', 'GBP', 'USD', 'JPY')[number // 30 % 4]}/{('CHF', 'SEK', 'NOK')[number // 120 % 3]}",
        "trained_at": datetime.now(UTC) - timedelta(hours=30) + timedelta(minutes=4 * number),
        "version": "1.0",
        "validation_metrics": {"1d": {"rmse": 0.004 + 0.0001 * (number * 7 % 11), "directional_accuracy": 0.53}},
        "min_samples": 1000,
        "calibration_ok": True,
        "features_used": ["sma_5", "rsi_14"],
        "horizons": [1],
        **fields,
    }
    return ModelMetadata(f"model-{number:05}", **values)


MADE: dict[str, Callable[[Path], Path]] = {
    "no model": lambda folder: of_models(folder, 0),
    "one model": lambda folder: of_models(folder, 1),
    "300 models": lambda folder: of_models(folder, 300),
    "hostile texts": hostile,
    "four months": lambda folder: demo_registry.make(folder).config_path,
}
"""What makes each registry in a folder, and returns its config.yaml."""
