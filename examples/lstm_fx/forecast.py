"""Load the LSTM of a pair in both ways in which train.py dropped it, and print its forecasts.

python examples/lstm_fx/forecast.py [PAIR] [--registry FILE] [--storage-dir DIR]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fxmodels.lstm import FxLSTM
from rates import load_rate, past_windows

from model_inbox import ModelInboxError, ModelRegistry


def network_of(model: Any) -> FxLSTM:
    """Return the network from what the registry gave: itself, or the weights to build it from."""
    if isinstance(model, FxLSTM):
        return model
    network = FxLSTM(**model["arguments"])
    network.load_state_dict({name: torch.tensor(array) for name, array in model["state_dict"].items()})
    return network.eval()


def main() -> None:
    """Print the forecasts. Exits with 1 and the reason when the registry or a model is missing."""
    parser = argparse.ArgumentParser(description="Forecast a pair with its newest LSTM, loaded in both ways.")
    parser.add_argument("pair", nargs="?", default="USD/EUR", metavar="PAIR", help="BASE/QUOTE (default: USD/EUR)")
    parser.add_argument("--registry", type=Path, default=Path("models/prediction_registry.json"))
    parser.add_argument("--storage-dir", type=Path, default=Path("models/prediction"))
    arguments = parser.parse_args()

    try:
        rate = load_rate(arguments.pair)
    except ValueError as error:
        parser.error(str(error))
    today, spot = rate.index[-1], rate.iloc[-1]
    newest = torch.tensor(past_windows(rate).tail(1).to_numpy(), dtype=torch.float32)
    base, quote = arguments.pair.split("/")
    print(f"{arguments.pair} on {today:%a %d %b %Y}: one {base} costs {spot:.5g} {quote}")

    try:
        registry = ModelRegistry(arguments.registry, arguments.storage_dir, read_only=True)
        entries = registry.list_models(arguments.pair, "lstm")  # newest first
        for way in ("weights", "module"):
            entry = next((entry for entry in entries if entry["tags"].get("way") == way), None)
            if entry is None:
                sys.exit(f"The registry has no LSTM of {arguments.pair} dropped as {way}: train.py makes one.")
            model, _ = registry.load_model_objects(entry)
            network = network_of(model)
            with torch.no_grad():
                log_returns = network(newest)[0].numpy()
            table = pd.DataFrame(
                spot * np.exp(log_returns),
                index=[
                    f"{days:>2} d, on or after {today + pd.Timedelta(days=days):%a %d %b}" for days in network.horizons
                ],
                columns=[f"{quantile:.0%}" for quantile in network.quantiles],
            )
            print(f"\nModel {entry['model_id']}, trained {entry['trained_at']}")
            print(table.to_string(float_format="{:#.5g}".format))
    except ModelInboxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
