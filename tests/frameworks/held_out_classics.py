"""Fitted models of the classics of statistics and forecasting that the allowlists were not learned from.

Owns the models of `test_classics`, by library, each with the function that asks it for numbers. Other data, classes
and options than those of the maintainers' learning set, with which it shares no code. A library that is not installed
has no models here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

Case = tuple[str, str, Callable[[], Any], Callable[[Any], Any]]
"""Library, label, what makes the model, and what to ask it."""

_ROWS = 84
_RANDOM = np.random.default_rng(20261128)
PRICES = np.cumsum(_RANDOM.normal(scale=0.02, size=(_ROWS, 4)), axis=0) + 2.0
DEMAND = 30 + 5 * np.sin(np.arange(_ROWS) * np.pi / 3) + np.arange(_ROWS) / 8 + _RANDOM.normal(size=_ROWS)
RETURNS = np.diff(PRICES[:, 0], prepend=2.0) * 100
UP = (RETURNS > 0).astype(int)
TRADES = _RANDOM.poisson(3.0, size=_ROWS)
SIDES = np.digitize(RETURNS, [-0.8, 0.8])
WEEKS = pd.date_range("2023-01-01", periods=_ROWS, freq="W")
SERIES = pd.Series(DEMAND, index=WEEKS, name="demand")
FRAME = pd.DataFrame(PRICES, index=WEEKS, columns=list("abcd"))
CONST = np.c_[np.ones(_ROWS), PRICES[:, :2]]
POINTS = np.linspace(2.0, 8.0, 5)


def predict(model: Any) -> Any:
    """Ask for predictions on the prices."""
    return model.predict(PRICES)


def params(model: Any) -> Any:
    """Ask for the estimated parameters."""
    return model.params


def statsmodels_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Regressions, counts, time series and state spaces."""
    import statsmodels.api as sm
    from statsmodels.tsa import api as tsa

    def ahead(model: Any) -> Any:
        return model.forecast(3)

    yield "ols", lambda: sm.OLS(RETURNS, CONST).fit(cov_type="HC2"), lambda m: m.predict(CONST[:4])
    yield "ols frame", lambda: sm.OLS(SERIES, sm.add_constant(FRAME)).fit(), lambda m: m.conf_int()
    yield "wls", lambda: sm.WLS(SERIES, FRAME, weights=TRADES + 1.0).fit(), params
    yield "glsar", lambda: sm.GLSAR(RETURNS, CONST, rho=1).fit(), params
    yield "quantile", lambda: sm.QuantReg(SERIES, FRAME).fit(q=0.7), lambda m: m.predict(FRAME)
    yield "robust", lambda: sm.RLM(RETURNS, CONST, M=sm.robust.norms.Hampel()).fit(), lambda m: m.predict(CONST)
    yield "glm gamma", lambda: sm.GLM(DEMAND, CONST, sm.families.Gamma(sm.families.links.Log())).fit(), params
    yield "glm frame", lambda: sm.GLM(TRADES, FRAME, sm.families.NegativeBinomial(alpha=0.5)).fit(), params
    yield "logit", lambda: sm.Logit(UP, CONST).fit(disp=0, method="lbfgs"), lambda m: m.predict(CONST)
    yield "probit frame", lambda: sm.Probit(pd.Series(UP, WEEKS), FRAME).fit(disp=0), lambda m: m.predict(FRAME)
    yield "poisson", lambda: sm.Poisson(TRADES, CONST).fit(disp=0, method="nm"), params
    yield "negative binomial", lambda: sm.NegativeBinomial(TRADES, CONST).fit(disp=0), params
    yield "many classes", lambda: sm.MNLogit(SIDES, CONST).fit(disp=0), lambda m: m.predict(CONST)
    yield "zero inflated", lambda: sm.ZeroInflatedPoisson(TRADES, CONST).fit(disp=0), params
    yield "mixed", lambda: sm.MixedLM(DEMAND, CONST, TRADES % 4).fit(), lambda m: m.fe_params
    yield "gee", lambda: sm.GEE(TRADES, CONST, np.arange(_ROWS) // 4, family=sm.families.Poisson()).fit(), params
    yield "autoregression", lambda: tsa.AutoReg(SERIES, [1, 2, 6], trend="ct").fit(), ahead
    yield (
        "holt winters",
        lambda: tsa.ExponentialSmoothing(SERIES, trend="add", seasonal="mul", seasonal_periods=6).fit(),
        ahead,
    )
    yield (
        "simple smoothing",
        lambda: tsa.SimpleExpSmoothing(DEMAND, initialization_method="estimated").fit(smoothing_level=0.4),
        ahead,
    )
    yield "holt", lambda: tsa.Holt(SERIES, damped_trend=True, initialization_method="estimated").fit(), ahead
    yield "ets", lambda: tsa.ETSModel(SERIES, error="mul", trend="add", damped_trend=True).fit(disp=0), ahead
    yield "arima", lambda: tsa.ARIMA(SERIES, order=(2, 0, 1)).fit(), ahead
    yield "arima exog", lambda: tsa.ARIMA(DEMAND, exog=PRICES[:, :1], order=(1, 0, 0)).fit(), params
    yield (
        "sarimax",
        lambda: tsa.SARIMAX(SERIES, order=(1, 1, 0), seasonal_order=(1, 0, 0, 6)).fit(disp=0, maxiter=5),
        ahead,
    )
    yield "components", lambda: tsa.UnobservedComponents(SERIES, "lltrend", seasonal=6).fit(disp=0, maxiter=5), ahead
    yield "varmax", lambda: tsa.VARMAX(FRAME[["a", "b"]], order=(1, 0)).fit(disp=0, maxiter=3), ahead
    yield "factors", lambda: tsa.DynamicFactor(FRAME, k_factors=1, factor_order=1).fit(disp=0, maxiter=3), ahead
    yield "var", lambda: tsa.VAR(FRAME).fit(2), lambda m: m.forecast(PRICES[-2:], 3)
    yield "vecm", lambda: tsa.VECM(PRICES[:, :2], k_ar_diff=1, deterministic="co").fit(), lambda m: m.predict(3)
    yield "regimes", lambda: tsa.MarkovRegression(RETURNS, 2).fit(maxiter=5), params
    yield "stl", lambda: tsa.STL(SERIES, period=6).fit(), lambda m: m.trend
    yield "ardl", lambda: tsa.ARDL(SERIES, 1, FRAME[["a"]], 1).fit(), params
    yield "principal components", lambda: sm.PCA(FRAME, ncomp=2), lambda m: m.factors
    yield "distribution", lambda: sm.distributions.ECDF(RETURNS), lambda m: m(POINTS)


def arch_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Means, volatilities and distributions."""
    import arch

    quiet: dict[str, Any] = {"disp": "off", "show_warning": False}
    series = pd.Series(RETURNS, WEEKS)

    def ahead(model: Any) -> Any:
        return model.forecast(horizon=2).variance.to_numpy()[-1]

    for label, options in (
        ("garch", {"p": 2, "q": 1}),
        ("arch", {"vol": "ARCH", "p": 2, "dist": "ged"}),
        ("har", {"mean": "HAR", "lags": [1, 3], "dist": "skewt"}),
        ("figarch", {"vol": "FIGARCH", "dist": "t"}),
        ("harch", {"vol": "HARCH", "p": [1, 2]}),
        ("aparch", {"vol": "APARCH", "o": 1}),
        ("zero", {"mean": "Zero", "vol": "GARCH", "o": 1, "power": 1.0}),
    ):
        yield (
            label,
            lambda o=options: arch.arch_model(series, rescale=False, **o).fit(**quiet),
            ahead if label not in ("aparch", "zero") else params,
        )
    yield "egarch", lambda: arch.arch_model(series, vol="EGARCH", o=1).fit(**quiet), params
    yield "ewma", lambda: _ewma(series).fit(**quiet), ahead
    yield "array", lambda: arch.arch_model(RETURNS, mean="AR", lags=2).fit(**quiet), ahead


def _ewma(series: Any) -> Any:
    from arch import univariate

    return univariate.ZeroMean(series, volatility=univariate.EWMAVariance(), distribution=univariate.StudentsT())


def scipy_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Splines, trees, meshes, sparse matrices, results of optimizers and distributions."""
    from scipy import interpolate, optimize, sparse, spatial, stats

    x, y = np.arange(9.0), np.cos(np.arange(9.0))
    cloud = PRICES[:, :2] + _RANDOM.normal(scale=0.3, size=(_ROWS, 2))
    inside = np.full((2, 2), 2.0)

    def at(model: Any) -> Any:
        return model(POINTS)

    def at_places(model: Any) -> Any:
        return model(inside)

    yield "cubic", lambda: interpolate.CubicSpline(x, y, bc_type="clamped"), at
    yield "pchip", lambda: interpolate.PchipInterpolator(x, y), at
    yield "akima", lambda: interpolate.Akima1DInterpolator(x, y), at
    yield "b-spline", lambda: interpolate.make_interp_spline(x, y, k=2), at
    yield "line", lambda: interpolate.interp1d(x, y), at
    yield "steps", lambda: interpolate.interp1d(x, y, kind="previous", fill_value="extrapolate"), at
    yield "smoothing", lambda: interpolate.UnivariateSpline(x, y, s=0.1), at
    yield "surface", lambda: interpolate.RectBivariateSpline(x, x, np.outer(y, y)), lambda m: m(2.5, 3.5)
    yield "grid", lambda: interpolate.RegularGridInterpolator((x, x), np.outer(y, y)), at_places
    yield "radial", lambda: interpolate.RBFInterpolator(cloud, RETURNS, kernel="linear", smoothing=0.1), at_places
    yield "radial near", lambda: interpolate.RBFInterpolator(cloud, RETURNS, neighbors=9), at_places
    yield "nearest", lambda: interpolate.NearestNDInterpolator(cloud, RETURNS), at_places
    yield "linear", lambda: interpolate.LinearNDInterpolator(cloud, RETURNS, fill_value=0.0), at_places
    yield "clough", lambda: interpolate.CloughTocher2DInterpolator(cloud, RETURNS, fill_value=0.0), at_places
    yield "kd-tree", lambda: spatial.KDTree(PRICES, leafsize=4), lambda m: m.query(PRICES[:3], k=2)[1]
    yield "ckd-tree", lambda: spatial.cKDTree(PRICES, balanced_tree=False), lambda m: m.query(PRICES[:3])[1]
    yield "hull", lambda: spatial.ConvexHull(cloud), lambda m: m.equations
    yield "voronoi", lambda: spatial.Voronoi(cloud), lambda m: m.vertices
    yield "rotation", lambda: spatial.transform.Rotation.from_rotvec([0.1, 0.2, 0.3]), lambda m: m.as_matrix()
    yield "sparse", lambda: sparse.csc_array(np.diag([1.0, 2.0])), lambda m: m.toarray()
    yield "blocks", lambda: sparse.bsr_matrix(np.diag([1.0, 2.0])), lambda m: m.toarray()
    for method in ("BFGS", "L-BFGS-B", "SLSQP", "trust-constr"):
        yield method, lambda m=method: optimize.minimize(_bowl, [1.0, 2.0], method=m), lambda m: m.x
    yield "least squares", lambda: optimize.least_squares(lambda p: p - 1.0, [3.0]), lambda m: m.x
    yield "linear program", lambda: optimize.linprog([1.0], bounds=[(1, 2)]), lambda m: m.x
    for name, shapes in (
        ("weibull_min", (1.2,)),
        ("nct", (4.0, 0.5)),
        ("betabinom", (9, 1.0, 2.0)),
        ("nbinom", (4, 0.3)),
    ):
        yield name, lambda n=name, s=shapes: getattr(stats, n)(*s, loc=1), lambda m: m.cdf(POINTS)
    yield "density", lambda: stats.gaussian_kde(RETURNS), at
    yield (
        "many normals",
        lambda: stats.multivariate_normal([0.0, 1.0], [[2.0, 0.3], [0.3, 1.0]]),
        lambda m: m.pdf(inside),
    )


def _bowl(point: Any) -> Any:
    return float(np.sum((np.asarray(point) - 0.5) ** 2))


def hmmlearn_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Hidden states of each kind of emission."""
    from hmmlearn import hmm

    yield "gaussian", lambda: hmm.GaussianHMM(3, covariance_type="full", n_iter=5, random_state=3).fit(PRICES), predict
    yield "mixture", lambda: hmm.GMMHMM(2, n_mix=2, n_iter=3, random_state=3).fit(PRICES), predict
    yield (
        "poisson",
        lambda: hmm.PoissonHMM(2, n_iter=3, random_state=3).fit(TRADES[:, None]),
        lambda m: m.predict(TRADES[:, None]),
    )
    yield (
        "categories",
        lambda: hmm.CategoricalHMM(2, n_iter=3, random_state=3).fit(SIDES[:, None]),
        lambda m: m.predict(SIDES[:, None]),
    )


def imblearn_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Samplers in pipelines, and ensembles."""
    from imblearn import combine, ensemble, over_sampling, pipeline, under_sampling
    from sklearn.tree import DecisionTreeClassifier

    rare = (np.arange(_ROWS) % 4 == 0).astype(int)
    for sampler in (over_sampling.SMOTE(k_neighbors=3), over_sampling.ADASYN(),
                    over_sampling.BorderlineSMOTE(k_neighbors=3),
                    under_sampling.NearMiss(version=2), under_sampling.TomekLinks(), under_sampling.ClusterCentroids(),
                    combine.SMOTETomek()):  # fmt: skip
        yield (
            type(sampler).__name__,
            lambda s=sampler: pipeline.Pipeline([("s", s), ("t", DecisionTreeClassifier(max_depth=3))]).fit(
                PRICES, rare
            ),
            predict,
        )
    yield "bagging", lambda: ensemble.BalancedBaggingClassifier(n_estimators=3).fit(PRICES, rare), predict
    yield "forest", lambda: ensemble.BalancedRandomForestClassifier(n_estimators=3).fit(PRICES, rare), predict
    yield "easy", lambda: ensemble.EasyEnsembleClassifier(n_estimators=2).fit(PRICES, rare), predict


def quantile_forest_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Forests of both kinds."""
    import quantile_forest as qf

    for kind in (qf.RandomForestQuantileRegressor, qf.ExtraTreesQuantileRegressor):
        yield (
            kind.__name__,
            lambda k=kind: k(n_estimators=5, max_depth=3, random_state=2).fit(PRICES, RETURNS),
            lambda m: m.predict(PRICES, quantiles=[0.2, 0.8]),
        )


def mapie_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Conformal regressors and classifiers."""
    from mapie import classification, regression
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeRegressor

    half = _ROWS // 2

    def interval(model: Any) -> Any:
        return model.predict_interval(PRICES)[1].ravel()

    yield (
        "split",
        lambda: (
            regression.SplitConformalRegressor(Ridge(), prefit=False)
            .fit(PRICES[:half], RETURNS[:half])
            .conformalize(PRICES[half:], RETURNS[half:])
        ),
        interval,
    )
    yield (
        "cross",
        lambda: regression.CrossConformalRegressor(DecisionTreeRegressor(max_depth=2), cv=4).fit_conformalize(
            PRICES, RETURNS
        ),
        interval,
    )
    yield (
        "jackknife",
        lambda: regression.JackknifeAfterBootstrapRegressor(Ridge(), resampling=5).fit_conformalize(PRICES, RETURNS),
        interval,
    )
    yield (
        "classes",
        lambda: classification.CrossConformalClassifier(LogisticRegression(), cv=3).fit_conformalize(PRICES, UP),
        lambda m: m.predict_set(PRICES)[1].ravel(),
    )


def category_encoders_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Encoders of text, in pipelines too."""
    import category_encoders as ce
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    frame = pd.DataFrame(
        {"pair": np.array(["EURUSD", "USDJPY", "GBPUSD"])[SIDES], "session": np.array(["tokyo", "london"])[UP]}
    )
    for name in ("TargetEncoder", "LeaveOneOutEncoder", "WOEEncoder", "CatBoostEncoder", "JamesSteinEncoder",
                 "MEstimateEncoder",
                 "OneHotEncoder", "BinaryEncoder", "OrdinalEncoder", "HelmertEncoder", "SumEncoder", "CountEncoder",
                 "GLMMEncoder", "QuantileEncoder", "BaseNEncoder", "RankHotEncoder"):  # fmt: skip
        yield (
            name,
            lambda n=name: getattr(ce, n)(cols=["pair"]).fit(frame, UP),
            lambda m: m.transform(frame)[[c for c in m.transform(frame) if c != "session"]].to_numpy(float),
        )
    yield (
        "pipeline",
        lambda: make_pipeline(ce.TargetEncoder(), LinearRegression()).fit(frame, RETURNS),
        lambda m: m.predict(frame),
    )


def ngboost_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Distributions of each kind of target."""
    import ngboost
    from ngboost import distns

    quick: dict[str, Any] = {"n_estimators": 4, "verbose": False, "random_state": 4}
    yield "normal", lambda: ngboost.NGBRegressor(minibatch_frac=0.8, **quick).fit(PRICES, RETURNS), predict
    yield "lognormal", lambda: ngboost.NGBRegressor(Dist=distns.LogNormal, **quick).fit(PRICES, DEMAND), predict
    yield "poisson", lambda: ngboost.NGBRegressor(Dist=distns.Poisson, **quick).fit(PRICES, TRADES), predict
    yield "classes", lambda: ngboost.NGBClassifier(Dist=distns.k_categorical(3), **quick).fit(PRICES, SIDES), predict
    yield "survival", lambda: ngboost.NGBSurvival(Dist=distns.Exponential, **quick).fit(PRICES, DEMAND, UP), predict


def skforecast_cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """Forecasters around a regressor."""
    import lightgbm
    from skforecast.direct import ForecasterDirect
    from skforecast.recursive import ForecasterRecursive, ForecasterRecursiveMultiSeries
    from sklearn.linear_model import Lasso

    def fitted(model: Any, *data: Any) -> Any:
        model.fit(*data)
        return model

    def ahead(model: Any) -> Any:
        return model.predict(2)

    trees = lightgbm.LGBMRegressor(n_estimators=3, num_leaves=4, min_child_samples=3, verbose=-1)
    yield "recursive", lambda: fitted(ForecasterRecursive(Lasso(0.01), lags=[1, 6]), SERIES), ahead
    yield "trees", lambda: fitted(ForecasterRecursive(trees, lags=4), SERIES), ahead
    yield "direct", lambda: fitted(ForecasterDirect(estimator=Lasso(0.01), steps=2, lags=3), SERIES), ahead
    yield "many", lambda: fitted(ForecasterRecursiveMultiSeries(Lasso(0.01), lags=3), FRAME), lambda m: ahead(m)["pred"]


LIBRARIES: dict[str, tuple[str, Callable[[], Iterator[tuple[str, Callable[[], Any], Callable[[Any], Any]]]]]] = {
    "arch": ("arch", arch_cases),
    "category-encoders": ("category_encoders", category_encoders_cases),
    "hmmlearn": ("hmmlearn", hmmlearn_cases),
    "imbalanced-learn": ("imblearn", imblearn_cases),
    "mapie": ("mapie", mapie_cases),
    "ngboost": ("ngboost", ngboost_cases),
    "quantile-forest": ("quantile_forest", quantile_forest_cases),
    "scipy": ("scipy", scipy_cases),
    "skforecast": ("skforecast", skforecast_cases),
    "statsmodels": ("statsmodels", statsmodels_cases),
}


def installed() -> list[str]:
    """Return the libraries that are installed here."""
    return [library for library, (package, _) in LIBRARIES.items() if importlib.util.find_spec(package) is not None]


def cases() -> Iterator[Case]:
    """Yield the cases of all libraries that are installed."""
    for library in installed():
        for label, make, ask in LIBRARIES[library][1]():
            yield library, label, make, ask
