"""Models of arch, for learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .common import RETURNS, RNG, Makes, Model, X, Y, dated, grouped, used


def arch_models() -> Iterator[Model]:
    """Means, volatilities and distributions in combination, forecasts, bootstraps and tests."""
    yield from grouped(_arch)


def _arch() -> Makes:
    import arch
    from arch import bootstrap, univariate
    from arch.unitroot import ADF, DFGLS, KPSS, PhillipsPerron, VarianceRatio, ZivotAndrews

    series = dated(RETURNS, "D")
    quiet: dict[str, Any] = {"disp": "off", "show_warning": False}
    exog = RNG.normal(size=(400, 2))
    makes: Makes = []
    for mean in ("Constant", "Zero", "AR", "HAR", "ARX", "HARX", "LS"):
        makes.append(
            (
                f"mean {mean}",
                lambda m=mean: arch.arch_model(
                    series, x=exog if m in ("ARX", "HARX", "LS") else None, mean=m, lags=[1, 5] if "AR" in m else None
                ).fit(**quiet),
            )
        )
    for volatility in ("GARCH", "ARCH", "EGARCH", "FIGARCH", "APARCH", "HARCH", "CONSTANT"):
        makes.append(
            (
                f"vol {volatility}",
                lambda v=volatility: arch.arch_model(
                    series, vol=v, p=[1, 5] if v == "HARCH" else 1, o=1 if v in ("EGARCH", "APARCH") else 0
                ).fit(**quiet),
            )
        )
    for distribution in ("normal", "t", "skewt", "ged", "gaussian", "studentst"):
        makes.append((f"dist {distribution}", lambda d=distribution: arch.arch_model(RETURNS, dist=d).fit(**quiet)))

    def _model(mean: Any, volatility: Any = None, distribution: Any = None) -> Any:
        if volatility is not None:
            mean.volatility = volatility
        if distribution is not None:
            mean.distribution = distribution
        return mean.fit(**quiet)

    for name in (
        "GARCH",
        "ARCH",
        "EGARCH",
        "FIGARCH",
        "APARCH",
        "HARCH",
        "MIDASHyperbolic",
        "ConstantVariance",
        "EWMAVariance",
        "RiskMetrics2006",
    ):
        makes.append(
            (f"class {name}", lambda n=name: _model(univariate.ConstantMean(series), getattr(univariate, n)()))
        )
    makes += [
        ("fixed variance", lambda: _model(univariate.ZeroMean(RETURNS), univariate.FixedVariance(np.ones(400)))),
        ("gjr", lambda: arch.arch_model(series, p=1, o=1, q=1, dist="skewt").fit(**quiet)),
        ("tarch", lambda: arch.arch_model(series, p=1, o=1, q=1, power=1.0).fit(**quiet)),
        ("archinmean", lambda: univariate.ARCHInMean(RETURNS, form="vol", volatility=univariate.GARCH()).fit(**quiet)),
        (
            "archinmean log",
            lambda: univariate.ARCHInMean(series, form="log", volatility=univariate.GARCH()).fit(**quiet),
        ),
        ("model", lambda: arch.arch_model(series)),
        ("rescale", lambda: arch.arch_model(series / 1000, rescale=True).fit(**quiet)),
        ("holdback", lambda: arch.arch_model(series, hold_back=10).fit(**quiet, last_obs=300)),
        ("fixed", lambda: arch.arch_model(series).fix([0.0, 0.1, 0.1, 0.8])),
        ("fixed array", lambda: arch.arch_model(RETURNS).fix([0.0, 0.1, 0.1, 0.8])),
        ("robust off", lambda: arch.arch_model(series).fit(cov_type="classic", **quiet)),
        ("backcast", lambda: arch.arch_model(series).fit(backcast=1.0, **quiet)),
        ("used", lambda: used(arch.arch_model(series).fit(**quiet))),
        ("forecast", lambda: arch.arch_model(series).fit(**quiet).forecast(horizon=3)),
        (
            "forecast simulation",
            lambda: arch.arch_model(series).fit(**quiet).forecast(horizon=3, method="simulation", simulations=10),
        ),
        (
            "forecast bootstrap",
            lambda: arch.arch_model(series).fit(**quiet).forecast(horizon=3, method="bootstrap", simulations=10),
        ),
        (
            "seeded",
            lambda: univariate.ConstantMean(
                series, volatility=univariate.GARCH(), distribution=univariate.Normal(seed=np.random.RandomState(1))
            ).fit(**quiet),
        ),
        (
            "seeded generator",
            lambda: univariate.ConstantMean(
                series, volatility=univariate.GARCH(), distribution=univariate.StudentsT(seed=np.random.default_rng(1))
            ).fit(**quiet),
        ),
        (
            "ARX seeded",
            lambda: _model(univariate.ARX(series, lags=2), univariate.EGARCH(1, 1, 1), univariate.SkewStudent()),
        ),
        (
            "ged",
            lambda: _model(
                univariate.HARX(series, lags=[1, 5, 22]), univariate.APARCH(), univariate.GeneralizedError()
            ),
        ),
        (
            "unit roots",
            lambda: [
                _asked(test(dated(np.cumsum(RETURNS), "D")))
                for test in (ADF, DFGLS, KPSS, PhillipsPerron, VarianceRatio, ZivotAndrews)
            ],
        ),
        (
            "bootstraps",
            lambda: [
                bootstrap.IIDBootstrap(RETURNS),
                bootstrap.StationaryBootstrap(5, RETURNS),
                bootstrap.CircularBlockBootstrap(5, RETURNS),
                bootstrap.MovingBlockBootstrap(5, RETURNS),
            ],
        ),
        ("MCS", lambda: _computed(bootstrap.MCS(np.abs(RNG.normal(size=(100, 4))), 0.1, reps=20))),
        ("SPA", lambda: _computed(bootstrap.SPA(np.abs(Y), np.abs(X), reps=20))),
        ("cointegration", _cointegration),
    ]
    return makes


def _cointegration() -> Any:
    from arch.unitroot import cointegration as ci

    x, y = dated(np.cumsum(RETURNS), "D"), dated(np.cumsum(RETURNS) + RNG.normal(size=400), "D")
    return [
        ci.engle_granger(y, x),
        ci.phillips_ouliaris(y, x),
        ci.DynamicOLS(y, x).fit(),
        ci.FullyModifiedOLS(y, x).fit(),
        ci.CanonicalCointegratingReg(y, x).fit(),
    ]


def _asked(test: Any) -> Any:
    test.stat  # noqa: B018 - it computes the test
    return test


def _computed(test: Any) -> Any:
    test.compute()
    return test
