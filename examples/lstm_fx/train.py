"""Train an LSTM on real exchange rates and drop it into the inbox in two ways.

    python examples/lstm_fx/train.py [PAIR] [--inbox DIR]

`weights`: the state dict as numpy arrays, with the arguments of the network. Accepted without configuration.
`module`:  the network itself. Its class must be allowed in config.yaml, see README.md beside this file.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fxmodels.lstm import FxLSTM, pinball_loss
from rates import WINDOW, load_rate, past_windows, returns_ahead
from torch.utils.data import DataLoader, TensorDataset

from model_inbox import ModelInboxError, ModelMetadata, drop

HORIZONS = [1, 7, 30]
QUANTILES = [0.1, 0.5, 0.9]
TEST_FROM = pd.Timestamp("2022-01-01")  # training sees nothing published on or after this day
NOMINAL_COVERAGE = QUANTILES[-1] - QUANTILES[0]
COVERAGE_TOLERANCE = 0.05  # calibration_ok: the coverage of every horizon is this close to nominal
EPOCHS = 20


def make_rows(rate: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Return windows, log returns by horizon, and the day on which the last target of a row was published."""
    ahead = {days: returns_ahead(rate, days) for days in HORIZONS}
    actual = pd.DataFrame({days: table["log_return"] for days, table in ahead.items()}).dropna()
    windows = past_windows(rate)
    days = windows.index.intersection(actual.index)
    return windows.loc[days], actual.loc[days], ahead[max(HORIZONS)]["target_date"].loc[days]


def train(windows: pd.DataFrame, actual: pd.DataFrame) -> FxLSTM:
    """Fit the network to windows and the log returns that followed them."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    return_std = float(windows.iloc[:, -1].std())
    network = FxLSTM(HORIZONS, QUANTILES, return_std=return_std)
    scale = return_std * torch.tensor(HORIZONS).sqrt()  # the loss of each horizon counts alike
    rows = TensorDataset(as_tensor(windows), as_tensor(actual) / scale)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(EPOCHS):
        for past, future in DataLoader(rows, batch_size=256, shuffle=True):
            optimizer.zero_grad()
            pinball_loss(network(past) / scale.unsqueeze(-1), future, QUANTILES).backward()
            optimizer.step()
    return network.eval()


def as_tensor(table: pd.DataFrame) -> torch.Tensor:
    """Return a table as a tensor of 32-bit floats."""
    return torch.tensor(table.to_numpy(), dtype=torch.float32)


def score(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compare log returns with predicted quantiles (one column a quantile, lowest first).

    - rmse: of the middle quantile, in log return (0.01 is about one per cent of the rate)
    - rmse_no_change: the same for the forecast that the rate stays where it is, the one to beat
    - directional_accuracy: share of days on which the middle quantile had the sign of what came; days on
      which the rate did not move are left out
    - quantile_coverage: share of days that ended between the outer quantiles; 0.8 would be exact
    """
    low, middle, high = predicted.T
    moved = actual != 0
    return {
        "rmse": float(np.sqrt(np.mean((middle - actual) ** 2))),
        "rmse_no_change": float(np.sqrt(np.mean(actual**2))),
        "directional_accuracy": float(np.mean(np.sign(middle[moved]) == np.sign(actual[moved]))),
        "quantile_coverage": float(np.mean((low <= actual) & (actual <= high))),
    }


def weights_of(network: FxLSTM) -> dict[str, Any]:
    """Return what is needed to build the network again, as plain dicts, lists, numbers and numpy arrays."""
    return {
        "arguments": {
            "horizons": network.horizons,
            "quantiles": network.quantiles,
            "hidden_size": network.lstm.hidden_size,
        },
        "state_dict": {name: tensor.numpy() for name, tensor in network.state_dict().items()},
    }


def main() -> None:
    """Train once, drop twice. Exits with 1 and the reason when a drop was not registered."""
    parser = argparse.ArgumentParser(description="Train an LSTM and drop it into the inbox in two ways.")
    parser.add_argument("pair", nargs="?", default="USD/EUR", metavar="PAIR", help="BASE/QUOTE (default: USD/EUR)")
    parser.add_argument("--inbox", type=Path, default=Path("inbox"), help="the daemon's inbox (default: inbox)")
    arguments = parser.parse_args()

    try:
        rate = load_rate(arguments.pair)
    except ValueError as error:
        parser.error(str(error))
    windows, actual, published = make_rows(rate)
    # Rows that begin before the test period and end within it are purged: they would tell of its first days.
    past, future = published < TEST_FROM, windows.index >= TEST_FROM
    network = train(windows[past], actual[past])
    with torch.no_grad():
        predicted = network(as_tensor(windows[future])).numpy()
    metrics = {f"{days}d": score(actual[future][days].to_numpy(), predicted[:, i]) for i, days in enumerate(HORIZONS)}
    calibration_ok = all(
        abs(of_horizon["quantile_coverage"] - NOMINAL_COVERAGE) <= COVERAGE_TOLERANCE for of_horizon in metrics.values()
    )
    calibrated = "calibrated" if calibration_ok else "not calibrated"
    print(f"{arguments.pair}: {past.sum()} training days, {calibrated}")
    print(pd.DataFrame(metrics).T.round(4).to_string())

    now = datetime.now(UTC)
    for way, model in (("weights", weights_of(network)), ("module", network)):
        metadata = ModelMetadata(
            model_id=f"lstm-{way}-{arguments.pair.replace('/', '-').lower()}-{now:%Y%m%dT%H%M%SZ}",
            model_type="lstm",
            currency_pair=arguments.pair,
            trained_at=now,
            version="1.0",
            validation_metrics=metrics,
            min_samples=int(past.sum()),
            calibration_ok=calibration_ok,
            features_used=[f"log_return_{WINDOW}"],
            horizons=HORIZONS,
            tags={"way": way, "tested": f"{TEST_FROM:%Y-%m-%d} to {rate.index[-1]:%Y-%m-%d}"},
        )
        try:
            result = drop(model, metadata, inbox=arguments.inbox, wait=True)
        except ModelInboxError as error:
            sys.exit(str(error))
        print(f"{result.outcome}: {result.model_id}")
        if result.outcome == "rejected":
            sys.exit("\n".join(str(problem) for problem in result.problems))
        if result.outcome not in ("registered", "duplicate"):
            sys.exit(
                f"No answer from {arguments.inbox} yet. Is the daemon running? Start it with `make run`: "
                "what lies in the inbox is taken then, there is no need to drop it again."
            )


if __name__ == "__main__":
    main()
