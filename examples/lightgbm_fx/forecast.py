"""Load the newest models of a pair from the registry and print a forecast with its quantiles.

    python examples/lightgbm_fx/forecast.py [PAIR] [--registry FILE] [--storage-dir DIR]

This is what serving code does: it knows the registry and the name of a pair, nothing of the training job.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from features import compute_features, load_rates, pair_rate
from quantiles import predict_quantiles

from model_inbox import ModelInboxError, ModelRegistry


def main() -> None:
    """Print a forecast. Exits with 1 and the reason when the registry or a model of the pair is missing."""
    parser = argparse.ArgumentParser(description="Forecast a pair with its newest LightGBM model.")
    parser.add_argument("pair", nargs="?", default="USD/EUR", metavar="PAIR", help="BASE/QUOTE (default: USD/EUR)")
    parser.add_argument("--registry", type=Path, default=Path("models/prediction_registry.json"))
    parser.add_argument("--storage-dir", type=Path, default=Path("models/prediction"))
    arguments = parser.parse_args()

    try:
        registry = ModelRegistry(arguments.registry, arguments.storage_dir, read_only=True)
        entry = registry.get_model(arguments.pair, "lightgbm")
        if entry is None:
            sys.exit(f"The registry has no lightgbm model of {arguments.pair}: train.py makes one.")
        models, scaler = registry.load_model_objects(entry)
    except ModelInboxError as error:
        sys.exit(str(error))

    rate = pair_rate(load_rates(), arguments.pair)
    today, spot = rate.index[-1], rate.iloc[-1]
    newest = scaler.transform(compute_features(rate)[entry["features_used"]].tail(1))
    table = {}
    for days in entry["horizons"]:
        log_returns = predict_quantiles(models[days], newest)[0]
        label = f"{days:>2} d, on or after {today + pd.Timedelta(days=days):%a %d %b}"
        table[label] = dict(zip(sorted(models[days]), spot * np.exp(log_returns), strict=True))

    base, quote = arguments.pair.split("/")
    calibrated = "calibrated" if entry["calibration_ok"] else "not calibrated"
    print(f"{arguments.pair} on {today:%a %d %b %Y}: one {base} costs {spot:.5g} {quote}")
    print(f"Model {entry['model_id']}, trained {entry['trained_at']}, {calibrated}\n")
    print(pd.DataFrame(table).T.rename(columns="{:.0%}".format).to_string(float_format="{:#.5g}".format))


if __name__ == "__main__":
    main()
