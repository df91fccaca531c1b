"""A registry as it looks after four months of work: for pages to look at, and for tests of what they say.

`PYTHONPATH=tests python -m support.demo_registry FOLDER` makes one that ends now. The product itself makes all of it:
drops go through a service with a clock of its own, and every other change is a call of `ModelRegistry`.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from model_inbox.base.instants import canonical_instant
from model_inbox.registry.registry import ModelRegistry
from model_inbox.service.service import Service
from support.world import World

__all__ = ["DemoRegistry", "make"]

DAYS = 119
_FEATURES = ["sma_5", "sma_20", "rsi_14", "macd", "atr_14", "spread", "hour", "weekday", "carry_3m", "vol_20"]

SETTINGS = {
    "gates": [
        {"name": "sane", "bounds": {"1d.rmse": {"max": 0.0066}}},
        {
            "name": "no-worse",
            "against": "champion",
            "max_regression": {"1d.rmse": "10%"},
            "order": "min",
            "on_fail": "hold",
        },
    ],
    "retention": {
        "mode": "enforce",
        "trash_grace": "14d",
        "policies": [
            {
                "match": {"currency_pair": "*"},
                "keep": {
                    "last": 14,
                    "within": "75d",
                    "registered_within": "3d",
                    "holders": {"alias": "champion", "last": 2},
                },
            }
        ],
    },
}


@dataclass(frozen=True)
class _Line:
    """The models of a slot: one each `every` days until `until`, beginning with an error of `error`."""

    pair: str
    model_type: str
    every: float
    error: float
    slope: float
    until: int = DAYS
    promoted: tuple[int, ...] = ()

    @property
    def stem(self) -> str:
        """The beginning of the ids of its models."""
        return f"{self.pair.replace('/', '-').lower()}-{self.model_type}"


LINES = (
    _Line("EUR/USD", "lightgbm", 4, 0.0056, -0.0012, promoted=(0, 4, 11, 18, 25)),
    _Line("GBP/EUR", "lightgbm", 8, 0.0034, -0.0004, promoted=(1, 6, 13)),
    _Line("GBP/EUR", "lstm", 11, 0.0036, 0.0001, promoted=(2,)),
    _Line("JPY/EUR", "lightgbm", 15, 0.0058, 0.0003, until=100, promoted=(0,)),
    _Line("USD/CHF", "lightgbm", 40, 0.0051, 0.0),
)
"""60 models and more, with those that are dropped and not accepted."""

HELD, REJECTED = (9, 26), (14, 28)
"""Which models of the first line are worse than a gate allows."""

ROLLBACK_AFTER = 20
"""After this model of the first line its champion is rolled back."""


class DemoRegistry:
    """The world of the registry, whose clock begins `DAYS` days ago and ends now."""

    def __init__(self, root: Path, lines: Sequence[_Line] = LINES, seed: int = 7) -> None:
        self.world = World(root, settings=SETTINGS)
        self.world.clock.jump(-DAYS * 86400)
        self._began = self.world.clock.now()
        self._random = random.Random(seed)
        self._lines = lines

    def make(self) -> None:
        """Let the four months pass."""
        drops = sorted(
            (number * line.every + place, number, line)
            for place, line in enumerate(self._lines)
            for number in range(int((line.until - place) / line.every) + 1)
        )
        world = self.world
        with world.running() as service, self._registry() as registry:
            for at, number, line in drops:
                self._advance(at)
                self._drop(service, registry, number, line)
            self._advance(DAYS)
            world.put("gbp-usd-lightgbm-1126", validation_metrics={"1d": {"rmse": 0.0069}}, currency_pair="GBP/USD")
            world.put("eur-chf-lightgbm-1125", validation_metrics="none", currency_pair="EUR/CHF")
            self._pass(service)
        (world.inbox / "usd-chf-lstm.yaml").write_text("model_type: lstm\ncurrency_pair: USD/CHF\n")
        (world.inbox / "eur-usd-arima.pkl").write_bytes(b"\x80\x05")

    def _registry(self) -> ModelRegistry:
        """Return the registry as a person uses it who has the world's clock."""
        models = self.world.models
        return ModelRegistry(
            models / "prediction_registry.json", models / "prediction", actor="risk-desk", clock=self.world.clock.now
        )

    def _advance(self, day: float) -> None:
        """Let the clock go on to a day since the beginning."""
        until = self._began + timedelta(days=day)
        self.world.clock.advance(max(0.0, (until - self.world.clock.now()).total_seconds()))

    def _drop(self, service: Service, registry: ModelRegistry, number: int, line: _Line) -> None:
        now = self.world.clock.now()
        model_id = f"{line.stem}-{now:%m%d}"
        is_first = line is self._lines[0]
        error = line.error + line.slope * number * line.every / DAYS + self._random.uniform(-0.00015, 0.00015)
        error *= 1.25 if is_first and number in HELD else 1.6 if is_first and number in REJECTED else 1.0
        self._put(model_id, now, error, line, number)
        self._pass(service)
        self._record(registry, line, error)
        if number in line.promoted:
            registry.promote(model_id, reason=f"1d.rmse {error:.4f}")
            if number == 4 and is_first:
                registry.pin(model_id, reason="the reference of the paper")
        if is_first and number == ROLLBACK_AFTER:
            registry.rollback(line.pair, line.model_type, reason="answers 3 % worse live")

    def _put(self, model_id: str, now: datetime, error: float, line: _Line, number: int) -> None:
        weights = self._random.randbytes(60_000 + 900 * number if line.model_type == "lightgbm" else 240_000)
        self.world.put(
            model_id,
            {"weights": weights},
            scaler={"mean": error},
            model_type=line.model_type,
            currency_pair=line.pair,
            trained_at=canonical_instant(now - timedelta(hours=2)),
            version=f"2.{number}",
            validation_metrics={
                horizon: {
                    "rmse": round(error * factor, 6),
                    "mae": round(error * factor * 0.77, 6),
                    "directional_accuracy": round(0.585 - error * 6 / factor, 4),
                }
                for horizon, factor in (("1d", 1.0), ("7d", 2.6))
            },
            features_used=_FEATURES[: 8 + number % 3],
            min_samples=4000 + 25 * number,
            horizons=[1, 7],
            tags={"stage": "candidate", "desk": "fx"},
            provenance={"commit": f"{self._random.getrandbits(40):010x}", "host": f"train{1 + number % 2}"},
            description="Gradient-boosted trees on hourly bars." if line.model_type == "lightgbm" else "",
        )
        for path in self.world.inbox.glob(f"{model_id}*"):
            os.utime(path, (now.timestamp(), now.timestamp()))

    def _record(self, registry: ModelRegistry, line: _Line, error: float) -> None:
        """Let what the model before measured live be known, a little worse than when it was validated."""
        entry = registry.get_model(line.pair, line.model_type)
        if entry is not None:
            live = error * self._random.uniform(1.01, 1.09)
            registry.record(entry["model_id"], {"1d": {"rmse": round(live, 6)}}, reason="realised")

    def _pass(self, service: Service) -> None:
        service.step("timer")
        service.run_maintenance()


def make(root: Path) -> World:
    """Make the registry and return its world."""
    demo = DemoRegistry(root)
    demo.make()
    return demo.world


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    made = make(Path(sys.argv[1]))
    with made.registry() as shown:
        print(f"{len(shown.list_models())} models: model-inbox --config {made.config_path} list")
