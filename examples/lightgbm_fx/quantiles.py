"""Quantile models of returns: fit them, predict with them, score them.

The models of one pair are a plain dict, {horizon in days: {quantile: LGBMRegressor}}. No class of this
folder is in it, so the pickle loads wherever lightgbm and scikit-learn are installed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor

HORIZONS = [1, 7, 30]
QUANTILES = [0.1, 0.5, 0.9]

Models = dict[int, dict[float, LGBMRegressor]]


def split(features: pd.DataFrame, returns: pd.DataFrame, test_from: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join features with returns and cut them in time: (training rows, test rows).

    A training row's target is published before `test_from`; a test row begins on it or later. The rows
    between, whose features are old and whose target is in the test period, are purged: kept in training, they
    would tell the model about the first test days.
    """
    rows = features.join(returns, how="inner")
    return rows[rows["target_date"] < test_from], rows[rows.index >= test_from]


def fit_quantiles(features: np.ndarray, log_return: pd.Series) -> dict[float, LGBMRegressor]:
    """Fit one model a quantile. Small trees with many rows a leaf, as daily returns are mostly noise."""
    return {
        quantile: LGBMRegressor(
            objective="quantile",
            alpha=quantile,
            n_estimators=100,
            learning_rate=0.05,
            num_leaves=7,
            min_child_samples=200,
            n_jobs=2,
            random_state=0,
            verbose=-1,
        ).fit(features, log_return)
        for quantile in QUANTILES
    }


def predict_quantiles(models: dict[float, LGBMRegressor], features: np.ndarray) -> np.ndarray:
    """Predict log returns: one row a row of `features`, one column a quantile, lowest first.

    The quantiles are fitted apart and may cross; sorting each row puts that right and never makes the
    forecast worse (Chernozhukov, Fernandez-Val and Galichon, Econometrica 78, 2010).
    """
    return np.sort(np.column_stack([models[q].predict(features) for q in sorted(models)]), axis=1)


def score(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compare log returns with predicted quantiles (columns as `predict_quantiles` gives them).

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
