"""Train LightGBM quantile models on real exchange rates and drop them into the inbox.

    python examples/lightgbm_fx/train.py [PAIR ...] [--inbox DIR]

For each pair: features from features.py, one model a horizon and quantile, judged on years that the models
have not seen. What is dropped is what was judged; it is not fitted again on all data.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from features import FEATURES, compute_features, load_rates, pair_rate, returns_ahead
from quantiles import HORIZONS, QUANTILES, Models, fit_quantiles, predict_quantiles, score, split
from sklearn.preprocessing import StandardScaler

from model_inbox import ModelInboxError, ModelMetadata, drop

PAIRS = ["USD/EUR", "GBP/EUR", "JPY/EUR", "GBP/USD"]
TEST_FROM = pd.Timestamp("2022-01-01")  # training sees nothing published on or after this day
NOMINAL_COVERAGE = QUANTILES[-1] - QUANTILES[0]
COVERAGE_TOLERANCE = 0.05  # calibration_ok: the coverage of every horizon is this close to nominal


def train(rate: pd.Series) -> tuple[Models, StandardScaler, dict[str, dict[str, float]], int]:
    """Return the models of one pair, their scaler, their metrics by horizon and the fewest training rows."""
    features = compute_features(rate)
    parts = {days: split(features, returns_ahead(rate, days), TEST_FROM) for days in HORIZONS}
    fewest_rows = min(len(past) for past, _ in parts.values())
    # Trees need no scaling: the scaler stands for the preprocessing that has to travel with a model.
    scaler = StandardScaler().fit(features[features.index < TEST_FROM])

    models: Models = {}
    metrics: dict[str, dict[str, float]] = {}
    for days, (past, future) in parts.items():
        models[days] = fit_quantiles(scaler.transform(past[FEATURES]), past["log_return"])
        predicted = predict_quantiles(models[days], scaler.transform(future[FEATURES]))
        metrics[f"{days}d"] = score(future["log_return"].to_numpy(), predicted)
    return models, scaler, metrics, fewest_rows


def describe(pair: str, rate: pd.Series, metrics: dict[str, dict[str, float]], fewest_rows: int) -> ModelMetadata:
    """Say what a registry should know about the models: this becomes the YAML sidecar of the drop."""
    now = datetime.now(UTC)
    return ModelMetadata(
        model_id=f"lightgbm-{pair.replace('/', '-').lower()}-{now:%Y%m%dT%H%M%SZ}",
        model_type="lightgbm",
        currency_pair=pair,
        trained_at=now,
        version="1.0",
        validation_metrics=metrics,
        min_samples=fewest_rows,
        calibration_ok=all(
            abs(of_horizon["quantile_coverage"] - NOMINAL_COVERAGE) <= COVERAGE_TOLERANCE
            for of_horizon in metrics.values()
        ),
        features_used=FEATURES,
        horizons=HORIZONS,
        tags={"data": "ecb-eurofxref", "tested": f"{TEST_FROM:%Y-%m-%d} to {rate.index[-1]:%Y-%m-%d}"},
        description=f"Quantiles {QUANTILES} of the log return of {pair}",
    )


def main() -> None:
    """Train and drop each pair. Exits with 1 and the reason when a drop was not registered."""
    parser = argparse.ArgumentParser(description="Train LightGBM quantile models and drop them into the inbox.")
    parser.add_argument("pairs", nargs="*", default=PAIRS, metavar="PAIR", help="BASE/QUOTE, such as USD/EUR")
    parser.add_argument("--inbox", type=Path, default=Path("inbox"), help="the daemon's inbox (default: inbox)")
    arguments = parser.parse_args()

    rates = load_rates()
    for pair in arguments.pairs:
        try:
            rate = pair_rate(rates, pair)
        except ValueError as error:
            parser.error(str(error))
        models, scaler, metrics, fewest_rows = train(rate)
        metadata = describe(pair, rate, metrics, fewest_rows)
        calibrated = "calibrated" if metadata.calibration_ok else "not calibrated"
        print(f"{pair}: {fewest_rows} training days, {calibrated}")
        print(pd.DataFrame(metrics).T.round(4).to_string())

        try:
            result = drop(models, metadata, inbox=arguments.inbox, scaler=scaler, wait=True)
        except ModelInboxError as error:
            sys.exit(str(error))
        print(f"{result.outcome}: {result.model_id}\n")
        if result.outcome == "rejected":
            sys.exit("\n".join(str(problem) for problem in result.problems))
        if result.outcome not in ("registered", "duplicate"):
            sys.exit(
                f"No answer from {arguments.inbox} yet. Is the daemon running? Start it with `make run`: "
                "what lies in the inbox is taken then, there is no need to drop it again."
            )


if __name__ == "__main__":
    main()
