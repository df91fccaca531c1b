"""Splitting in time, scoring and the pickle of the LightGBM example."""

from __future__ import annotations

import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest
from quantiles import fit_quantiles, predict_quantiles, score, split


def test_split_purges_rows_whose_target_is_in_the_test_period() -> None:
    """With a test period from 4 January and targets two days ahead, the 2nd and 3rd are in neither part."""
    days = pd.date_range("2025-01-01", periods=5)
    features = pd.DataFrame({"x": range(5)}, index=days)
    returns = pd.DataFrame({"target_date": days + pd.Timedelta(days=2), "log_return": 0.0}, index=days)
    past, future = split(features, returns, pd.Timestamp("2025-01-04"))
    assert past["x"].tolist() == [0]  # its target is of the 3rd; those of the 2nd and 3rd are of the 4th and 5th
    assert future["x"].tolist() == [3, 4]


def test_scores_by_hand() -> None:
    """Four days: errors 0.1, 0.3, 0.1, 0.1; two of three moves called; three of four inside the quantiles."""
    actual = np.array([0.2, -0.2, 0.0, -0.1])
    predicted = np.array([[0.0, 0.1, 0.3], [-0.1, 0.1, 0.2], [-0.2, 0.1, 0.2], [-0.3, -0.2, 0.0]])
    scores = score(actual, predicted)
    assert scores["rmse"] == pytest.approx(np.sqrt(0.12 / 4))
    assert scores["rmse_no_change"] == pytest.approx(np.sqrt(0.09 / 4))
    assert scores["directional_accuracy"] == pytest.approx(2 / 3)
    assert scores["quantile_coverage"] == pytest.approx(3 / 4)


@pytest.fixture(name="models", scope="module")
def _models() -> dict[float, object]:
    """Quantile models of normal noise that depends on nothing."""
    random = np.random.default_rng(2)
    return fit_quantiles(random.normal(size=(3000, 2)), pd.Series(random.normal(size=3000)))


def test_quantiles_are_those_of_the_data_and_never_cross(models: dict) -> None:
    """The 10, 50 and 90 % quantiles of standard normal noise are near -1.28, 0 and 1.28, in this order."""
    predicted = predict_quantiles(models, np.random.default_rng(3).normal(size=(200, 2)))
    assert predicted.mean(axis=0) == pytest.approx([-1.28, 0, 1.28], abs=0.15)
    assert (np.diff(predicted, axis=1) >= 0).all()


def test_pickle_names_nothing_of_this_folder(models: dict) -> None:
    """A pickle of the models asks for lightgbm and the standard library only, and predicts the same again."""
    data = pickle.dumps({1: models}, protocol=2)  # protocol 2 spells out every name as "module name"
    modules = {arg.split(" ")[0] for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    assert {module.split(".")[0] for module in modules} <= {
        "lightgbm",
        "numpy",
        "collections",
        "builtins",
        "__builtin__",
    }
    rows = np.random.default_rng(4).normal(size=(5, 2))
    again = pickle.loads(data)[1]
    assert (predict_quantiles(again, rows) == predict_quantiles(models, rows)).all()
