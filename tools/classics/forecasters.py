"""Models of prophet and forecasters of skforecast, for learning."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from .common import ROWS, SEASONAL, WALK, Makes, Model, X, Y, dated, made


def prophet_models() -> Iterator[Model]:
    """Prophet with each growth, seasonality, holiday and regressor."""
    import logging

    import pandas as pd
    import prophet

    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    frame = pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=ROWS, freq="D"), "y": SEASONAL, "x": Y, "cap": 99.0, "floor": 0.0}
    )
    holidays = pd.DataFrame({"holiday": "own", "ds": frame["ds"][[3, 30]], "lower_window": 0, "upper_window": 1})

    def regressed() -> Any:
        model = prophet.Prophet(seasonality_mode="multiplicative")
        model.add_regressor("x", standardize=False)
        model.add_seasonality("monthly", 30.5, 3, condition_name=None)
        return model.fit(frame)

    def country() -> Any:
        model = prophet.Prophet(holidays=holidays)
        model.add_country_holidays("US")
        return model.fit(frame)

    yield from made(
        [
            ("linear", lambda: prophet.Prophet().fit(frame[["ds", "y"]])),
            ("logistic", lambda: prophet.Prophet(growth="logistic").fit(frame[["ds", "y", "cap", "floor"]])),
            ("flat", lambda: prophet.Prophet(growth="flat", weekly_seasonality=2, yearly_seasonality=False).fit(frame)),
            ("regressors", regressed),
            ("country", country),
            ("changepoints", lambda: prophet.Prophet(changepoints=["2024-02-01"]).fit(frame)),
            ("samples", lambda: prophet.Prophet(mcmc_samples=4).fit(frame)),
            ("unfitted", prophet.Prophet),
        ]
    )


def skforecast_models() -> Iterator[Model]:
    """Recursive, direct and multi-series forecasters, with what stands beside a regressor in them."""
    import skforecast
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    regressor = "estimator" if tuple(map(int, skforecast.__version__.split(".")[:2])) >= (0, 18) else "regressor"
    series = dated(SEASONAL)
    exog = dated(X)
    frame = dated(np.c_[SEASONAL, WALK])

    def kind(module: str, name: str) -> Any:
        __import__(f"skforecast.{module}")
        return getattr(sys.modules[f"skforecast.{module}"], name)

    def given(model: Any = None, **options: Any) -> dict[str, Any]:
        return {regressor: model or LinearRegression(), **options}

    def rolling() -> Any:
        return kind("preprocessing", "RollingFeatures")(stats=["mean", "std"], window_sizes=3)

    makes: Makes = [
        ("recursive", lambda: _fit_all(kind("recursive", "ForecasterRecursive")(**given(lags=5)), y=series)),
        (
            "recursive exog",
            lambda: _fit_all(
                kind("recursive", "ForecasterRecursive")(
                    **given(
                        Ridge(),
                        lags=[1, 12],
                        transformer_y=StandardScaler(),
                        transformer_exog=StandardScaler(),
                        differentiation=1,
                    )
                ),
                y=series,
                exog=exog,
            ),
        ),
        (
            "recursive windows",
            lambda: _fit_all(
                kind("recursive", "ForecasterRecursive")(**given(lags=3, window_features=rolling())), y=series
            ),
        ),
        ("direct", lambda: _fit_all(kind("direct", "ForecasterDirect")(**given(lags=5, steps=3)), y=series)),
        (
            "direct exog",
            lambda: _fit_all(kind("direct", "ForecasterDirect")(**given(lags=5, steps=2)), y=series, exog=exog),
        ),
        ("multi", lambda: _fit_all(kind("recursive", "ForecasterRecursiveMultiSeries")(**given(lags=4)), series=frame)),
        (
            "multi transformed",
            lambda: _fit_all(
                kind("recursive", "ForecasterRecursiveMultiSeries")(
                    **given(lags=4, transformer_series=StandardScaler(), encoding="onehot", differentiation=1)
                ),
                series=frame,
            ),
        ),
        (
            "multivariate",
            lambda: _fit_all(
                kind("direct", "ForecasterDirectMultiVariate")(**given(lags=4, steps=2, level="v0")), series=frame
            ),
        ),
        (
            "equivalent",
            lambda: _fit_all(kind("recursive", "ForecasterEquivalentDate")(offset=12, n_offsets=2), y=series),
        ),
        ("unfitted", lambda: kind("recursive", "ForecasterRecursive")(**given(lags=5))),
        ("sarimax", lambda: _fit_all(kind("sarimax", "Sarimax")(order=(1, 0, 0), maxiter=3), y=series)),
        (
            "stats",
            lambda: _fit_all(kind("recursive", "ForecasterStats")(kind("stats", "Arima")(order=(1, 0, 0))), y=series),
        ),
        (
            "binned",
            lambda: _fit_all(
                kind("recursive", "ForecasterRecursive")(**given(lags=5, binner_kwargs={"n_bins": 4})),
                y=series,
                store_in_sample_residuals=True,
            ),
        ),
        ("differentiator", lambda: kind("preprocessing", "TimeSeriesDifferentiator")(order=1).fit(SEASONAL)),
        ("dates", lambda: kind("preprocessing", "DateTimeFeatureTransformer")().fit(series.to_frame())),
        ("binner", lambda: kind("preprocessing", "QuantileBinner")(n_bins=4).fit(SEASONAL)),
        ("drift", lambda: kind("drift_detection", "RangeDriftDetector")().fit(frame)),
    ]
    yield from made(makes)


def _fit_all(model: Any, **data: Any) -> Any:
    model.fit(**data)
    return model
