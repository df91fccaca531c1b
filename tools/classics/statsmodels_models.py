"""Results and models of statsmodels, for learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .common import (
    CLASSES,
    COUNTS,
    GROUPS,
    PAIR,
    POSITIVE,
    RNG,
    ROWS,
    SEASONAL,
    THREE,
    WALK,
    Makes,
    Model,
    X,
    Y,
    dated,
    grouped,
    removed,
    used,
)


def statsmodels_models() -> Iterator[Model]:
    """Results and models of every kind, from arrays, frames and formulas."""
    yield from grouped(_regressions, _discrete, _time_series, _state_space, _other_statsmodels, _formulas)


def _regressions() -> Makes:
    import statsmodels.api as sm

    const = sm.add_constant(X)
    frame = sm.add_constant(dated(X))
    series = dated(Y)
    makes: Makes = []
    for label, exog, endog in (("array", const, Y), ("frame", frame, series)):
        makes += [
            (f"OLS {label}", lambda x=exog, y=endog: sm.OLS(y, x).fit()),
            (f"WLS {label}", lambda x=exog, y=endog: sm.WLS(y, x, weights=POSITIVE).fit()),
            (f"GLS {label}", lambda x=exog, y=endog: sm.GLS(y, x).fit()),
            (f"GLSAR {label}", lambda x=exog, y=endog: sm.GLSAR(y, x, rho=2).iterative_fit(3)),
            (f"QuantReg {label}", lambda x=exog, y=endog: sm.QuantReg(y, x).fit(q=0.3)),
            (f"RecursiveLS {label}", lambda x=exog, y=endog: sm.RecursiveLS(y, x).fit()),
        ]
    for cov in ("HC0", "HC1", "HC2", "HC3"):
        makes.append((f"OLS {cov}", lambda c=cov: sm.OLS(Y, const).fit(cov_type=c)))
    makes += [
        ("OLS HAC", lambda: sm.OLS(Y, const).fit(cov_type="HAC", cov_kwds={"maxlags": 2})),
        ("OLS cluster", lambda: sm.OLS(Y, const).fit(cov_type="cluster", cov_kwds={"groups": GROUPS})),
        ("OLS used", lambda: used(sm.OLS(Y, const).fit())),
        ("OLS removed", lambda: removed(sm.OLS(Y, const).fit())),
        ("OLS regularized", lambda: sm.OLS(Y, const).fit_regularized(alpha=0.1)),
        ("OLS model", lambda: sm.OLS(Y, const)),
        ("OLS prediction", lambda: sm.OLS(Y, const).fit().get_prediction(const[:3])),
        ("OLS robust", lambda: sm.OLS(Y, const).fit().get_robustcov_results("HC1")),
        ("OLS influence", lambda: sm.OLS(Y, const).fit().get_influence()),
        ("OLS missing", lambda: sm.OLS(np.where(Y > 1, np.nan, Y), const, missing="drop").fit()),
        ("t test", lambda: sm.OLS(Y, const).fit().t_test(np.eye(4))),
        ("f test", lambda: sm.OLS(Y, const).fit().f_test(np.eye(4)[1:])),
        ("wald", lambda: sm.OLS(Y, const).fit().wald_test(np.eye(4)[1:], scalar=True)),
    ]
    from statsmodels.regression.dimred import PrincipalHessianDirections, SlicedInverseReg
    from statsmodels.regression.process_regression import ProcessMLE
    from statsmodels.regression.rolling import RollingOLS, RollingWLS

    makes += [
        ("RollingOLS", lambda: RollingOLS(series, frame, window=30).fit()),
        ("RollingWLS", lambda: RollingWLS(Y, const, window=30, weights=POSITIVE).fit()),
        ("SIR", lambda: SlicedInverseReg(Y, X).fit()),
        ("PHD", lambda: PrincipalHessianDirections(Y, X).fit()),
        (
            "ProcessMLE",
            lambda: ProcessMLE(Y, const, const[:, :2], const[:, :2], const[:, :2], np.arange(ROWS) % 20, GROUPS).fit(),
        ),
    ]
    for norm in (
        "HuberT",
        "TukeyBiweight",
        "AndrewWave",
        "Hampel",
        "LeastSquares",
        "RamsayE",
        "TrimmedMean",
        "TukeyQuartic",
        "StudentT",
    ):
        makes.append((f"RLM {norm}", lambda n=norm: sm.RLM(Y, const, M=getattr(sm.robust.norms, n)()).fit()))
    makes.append(("RLM frame", lambda: sm.RLM(series, frame).fit()))
    makes.append(("RLM scale", lambda: sm.RLM(Y, const).fit(scale_est=sm.robust.scale.HuberScale())))
    families: list[tuple[str, Any, list[str]]] = [
        ("Gaussian", Y, ["Identity", "Log", "InversePower"]),
        ("Gamma", POSITIVE, ["InversePower", "Log", "Identity"]),
        ("Poisson", COUNTS, ["Log", "Sqrt", "Identity"]),
        ("Binomial", CLASSES, ["Logit", "Probit", "Cauchy", "CLogLog", "LogLog", "Log"]),
        ("InverseGaussian", POSITIVE, ["Log", "InverseSquared"]),
        ("NegativeBinomial", COUNTS, ["Log", "NegativeBinomial"]),
        ("Tweedie", POSITIVE, ["Log", "Power"]),
    ]
    for family, endog, links in families:
        makes.append((f"GLM {family}", lambda f=family, y=endog: sm.GLM(y, const, getattr(sm.families, f)()).fit()))
        for link in links:
            makes.append(
                (
                    f"GLM {family} {link}",
                    lambda f=family, k=link, y=endog: sm.GLM(
                        y, const, getattr(sm.families, f)(getattr(sm.families.links, k)())
                    ).fit(maxiter=3),
                )
            )
    makes += [
        ("GLM frame", lambda: sm.GLM(dated(COUNTS), frame, sm.families.Poisson(), offset=Y).fit()),
        ("GLM bfgs", lambda: sm.GLM(COUNTS, const, sm.families.Poisson()).fit(method="bfgs", disp=0)),
        ("GLM weights", lambda: sm.GLM(COUNTS, const, sm.families.Poisson(), freq_weights=COUNTS + 1).fit()),
        ("GLM regularized", lambda: sm.GLM(COUNTS, const, sm.families.Poisson()).fit_regularized(alpha=0.1)),
        ("GLM constrained", lambda: sm.GLM(COUNTS, const, sm.families.Poisson()).fit_constrained("x1 = 0.1")),
        ("GLM used", lambda: used(sm.GLM(COUNTS, const, sm.families.Poisson()).fit())),
        ("GLM prediction", lambda: sm.GLM(COUNTS, const, sm.families.Poisson()).fit().get_prediction(const[:3])),
    ]
    structures = ("Independence", "Exchangeable", "Autoregressive", "Unstructured", "Stationary", "GlobalOddsRatio")
    for structure in structures:
        makes.append(
            (
                f"GEE {structure}",
                lambda s=structure: sm.GEE(
                    CLASSES if s == "GlobalOddsRatio" else COUNTS,
                    const,
                    GROUPS,
                    time=np.arange(ROWS),
                    family=sm.families.Binomial() if s == "GlobalOddsRatio" else sm.families.Poisson(),
                    cov_struct=getattr(sm.cov_struct, s)(
                        *(["nominal"] if s == "GlobalOddsRatio" else []),
                        **({"max_lag": 1} if s == "Stationary" else {}),
                    ),
                ).fit(maxiter=3),
            )
        )
    makes += [
        ("OrdinalGEE", lambda: sm.OrdinalGEE(THREE, X, GROUPS).fit(maxiter=2)),
        ("NominalGEE", lambda: sm.NominalGEE(THREE, const, GROUPS).fit(maxiter=2)),
        ("MixedLM", lambda: sm.MixedLM(Y, const, GROUPS).fit()),
        ("MixedLM re", lambda: sm.MixedLM(series, frame, GROUPS, exog_re=const[:, :2]).fit()),
        ("PHReg", lambda: sm.PHReg(POSITIVE, X, CLASSES).fit()),
        ("PHReg efron", lambda: sm.PHReg(POSITIVE, X, CLASSES, ties="efron", strata=GROUPS).fit()),
        ("SurvfuncRight", lambda: sm.SurvfuncRight(POSITIVE, CLASSES)),
    ]
    from statsmodels.gam.api import BSplines, CyclicCubicSplines, GLMGam
    from statsmodels.othermod.betareg import BetaModel

    makes += [
        ("GLMGam", lambda: GLMGam(Y, const, BSplines(X[:, :2], df=[6, 6], degree=[3, 3]), alpha=[1.0, 1.0]).fit()),
        ("GLMGam cyclic", lambda: GLMGam(Y, smoother=CyclicCubicSplines(X[:, :1], df=[6])).fit()),
        (
            "GLMGam poisson",
            lambda: GLMGam(
                COUNTS, smoother=BSplines(dated(X).iloc[:, :1], df=[5], degree=[3]), family=sm.families.Poisson()
            ).fit(),
        ),
        ("Beta", lambda: BetaModel(1 / (1 + np.exp(-Y)), const, const[:, :2]).fit(disp=0)),
    ]
    return makes


def _discrete() -> Makes:
    import statsmodels.api as sm
    from statsmodels.discrete import count_model
    from statsmodels.discrete.conditional_models import ConditionalLogit, ConditionalMNLogit, ConditionalPoisson
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    const = sm.add_constant(X)
    frame = sm.add_constant(dated(X))
    makes: Makes = []
    for kind, endog in (
        ("Logit", CLASSES),
        ("Probit", CLASSES),
        ("Poisson", COUNTS),
        ("MNLogit", THREE),
        ("NegativeBinomial", COUNTS),
        ("NegativeBinomialP", COUNTS),
        ("GeneralizedPoisson", COUNTS),
    ):
        model = getattr(sm, kind)
        makes += [
            (kind, lambda m=model, y=endog: m(y, const).fit(disp=0)),
            (f"{kind} frame", lambda m=model, y=endog: m(dated(y), frame).fit(disp=0, maxiter=50)),
            (f"{kind} used", lambda m=model, y=endog: used(m(y, const).fit(disp=0))),
            (f"{kind} regularized", lambda m=model, y=endog: m(y, const).fit_regularized(alpha=0.5, disp=0)),
            (f"{kind} robust", lambda m=model, y=endog: m(y, const).fit(disp=0, cov_type="HC0")),
        ]
        for method in ("bfgs", "lbfgs", "nm", "powell", "cg", "ncg", "newton", "basinhopping", "minimize"):
            makes.append(
                (f"{kind} {method}", lambda m=model, y=endog, w=method: m(y, const).fit(method=w, disp=0, maxiter=3))
            )
    for method in ("nb1", "nb2", "geometric"):
        makes.append(
            (
                f"NegativeBinomial {method}",
                lambda m=method: sm.NegativeBinomial(COUNTS, const, loglike_method=m).fit(disp=0),
            )
        )
    makes += [
        ("Logit margins", lambda: sm.Logit(CLASSES, const).fit(disp=0).get_margeff()),
        ("Poisson constrained", lambda: sm.Poisson(COUNTS, const).fit_constrained("x1 = 0", disp=0)),
        ("Poisson offset", lambda: sm.Poisson(COUNTS, const, offset=Y, exposure=POSITIVE).fit(disp=0)),
        ("ZIP", lambda: count_model.ZeroInflatedPoisson(COUNTS, const, const[:, :1]).fit(disp=0, maxiter=20)),
        ("ZIGP", lambda: count_model.ZeroInflatedGeneralizedPoisson(COUNTS, const).fit(disp=0, maxiter=20)),
        ("ZINB", lambda: count_model.ZeroInflatedNegativeBinomialP(COUNTS, const).fit(disp=0, maxiter=20)),
        ("ConditionalLogit", lambda: ConditionalLogit(CLASSES, X, groups=np.arange(ROWS) // 4).fit(disp=0)),
        ("ConditionalMNLogit", lambda: ConditionalMNLogit(THREE, X, groups=np.arange(ROWS) // 4).fit(disp=0)),
        ("ConditionalPoisson", lambda: ConditionalPoisson(COUNTS, X, groups=np.arange(ROWS) // 4).fit(disp=0)),
        (
            "BinomialBayes",
            lambda: sm.BinomialBayesMixedGLM(CLASSES, const, np.eye(6)[GROUPS], np.zeros(6, int)).fit_vb(),
        ),
        ("PoissonBayes", lambda: sm.PoissonBayesMixedGLM(COUNTS, const, np.eye(6)[GROUPS], np.zeros(6, int)).fit_vb()),
    ]
    for distribution in ("probit", "logit"):
        makes.append(
            (
                f"Ordered {distribution}",
                lambda d=distribution: OrderedModel(THREE, X, distr=d).fit(method="bfgs", disp=0),
            )
        )
    makes.append(("Ordered frame", lambda: _ordered_frame(OrderedModel)))
    for name in (
        "TruncatedLFPoisson",
        "TruncatedLFNegativeBinomialP",
        "TruncatedLFGeneralizedPoisson",
        "HurdleCountModel",
    ):
        makes.append((name, lambda n=name: _truncated(n, const)))
    return makes


def _ordered_frame(kind: Any) -> Any:
    import pandas as pd

    frame = dated(X)
    endog = pd.Series(pd.Categorical(np.array(["low", "mid", "top"])[THREE], ordered=True), index=frame.index)
    return kind(endog, frame, distr="logit").fit(method="bfgs", disp=0)


def _truncated(name: str, exog: Any) -> Any:
    from statsmodels.discrete import truncated_model

    keep = COUNTS > 0
    if name == "HurdleCountModel":
        return truncated_model.HurdleCountModel(COUNTS, exog).fit(disp=0, maxiter=20)
    return getattr(truncated_model, name)(COUNTS[keep], exog[keep]).fit(disp=0, maxiter=20)


def _time_series() -> Makes:
    from statsmodels.tsa import api as tsa
    from statsmodels.tsa import stattools
    from statsmodels.tsa.ar_model import AutoReg, ar_select_order
    from statsmodels.tsa.deterministic import CalendarFourier, DeterministicProcess, Fourier
    from statsmodels.tsa.forecasting.stl import STLForecast
    from statsmodels.tsa.forecasting.theta import ThetaModel

    series = dated(SEASONAL)
    makes: Makes = []
    for label, endog in (("array", SEASONAL), ("series", series)):
        makes += [
            (f"AutoReg {label}", lambda y=endog: AutoReg(y, 3).fit()),
            (f"AutoReg seasonal {label}", lambda y=endog: AutoReg(y, [1, 4], seasonal=True, period=12, exog=X).fit()),
            (f"SES {label}", lambda y=endog: tsa.SimpleExpSmoothing(y).fit()),
            (f"Holt {label}", lambda y=endog: tsa.Holt(y, damped_trend=True).fit()),
            (f"Holt exponential {label}", lambda y=endog: tsa.Holt(y, exponential=True).fit()),
        ]
        for trend in (None, "add", "mul"):
            for seasonal in (None, "add", "mul"):
                makes.append(
                    (
                        f"HW {label} {trend} {seasonal}",
                        lambda y=endog, t=trend, s=seasonal: tsa.ExponentialSmoothing(
                            y, trend=t, seasonal=s, seasonal_periods=12
                        ).fit(),
                    )
                )
    makes += [
        ("HW boxcox", lambda: tsa.ExponentialSmoothing(series, trend="add", use_boxcox=True).fit()),
        ("HW log", lambda: tsa.ExponentialSmoothing(series, trend="add", use_boxcox="log", damped_trend=True).fit()),
        ("HW fixed", lambda: tsa.ExponentialSmoothing(SEASONAL).fit(smoothing_level=0.3, optimized=False)),
        ("HW heuristic", lambda: tsa.ExponentialSmoothing(series, initialization_method="heuristic").fit()),
        ("HW minimize", lambda: tsa.ExponentialSmoothing(series, trend="add").fit(method="basinhopping")),
    ]
    for error in ("add", "mul"):
        for trend in (None, "add", "mul"):
            for seasonal in (None, "add"):
                makes.append(
                    (
                        f"ETS {error} {trend} {seasonal}",
                        lambda e=error, t=trend, s=seasonal: tsa.ETSModel(
                            series,
                            error=e,
                            trend=t,
                            seasonal=s,
                            damped_trend=t is not None,
                            seasonal_periods=12 if s else None,
                        ).fit(disp=0, maxiter=3),
                    )
                )
    makes += [
        ("ETS array", lambda: tsa.ETSModel(SEASONAL, error="add", trend="add").fit(disp=0)),
        ("ETS prediction", lambda: tsa.ETSModel(series).fit(disp=0).get_prediction(start=100, end=125)),
        ("ar order", lambda: ar_select_order(series, 4)),
        ("VAR", lambda: tsa.VAR(PAIR).fit(2)),
        ("VAR frame", lambda: tsa.VAR(dated(PAIR)).fit(maxlags=3, ic="aic", trend="ct")),
        ("VAR irf", lambda: tsa.VAR(PAIR).fit(1).irf(5)),
        ("VAR fevd", lambda: tsa.VAR(PAIR).fit(1).fevd(5)),
        ("VAR order", lambda: tsa.VAR(PAIR).select_order(3)),
        ("VAR test", lambda: tsa.VAR(PAIR).fit(1).test_normality()),
        ("SVAR", lambda: tsa.SVAR(PAIR, svar_type="A", A=np.array([[1, "E"], ["E", 1]])).fit(maxlags=1)),
        ("VECM", lambda: tsa.VECM(dated(np.cumsum(PAIR, 0)), k_ar_diff=1, coint_rank=1, deterministic="ci").fit()),
        ("VECM seasons", lambda: tsa.VECM(np.cumsum(PAIR, 0), k_ar_diff=1, coint_rank=1, seasons=4).fit()),
        ("STL", lambda: tsa.STL(series, period=12, robust=True).fit()),
        ("MSTL", lambda: tsa.MSTL(series, periods=(6, 12)).fit()),
        ("decompose", lambda: tsa.seasonal_decompose(series, model="multiplicative", period=12)),
        ("STLForecast", lambda: STLForecast(series, tsa.ARIMA, model_kwargs={"order": (1, 0, 0)}).fit()),
        ("STLForecast AutoReg", lambda: STLForecast(series, AutoReg, model_kwargs={"lags": 2}).fit()),
        ("Theta", lambda: ThetaModel(series, period=12).fit()),
        ("Theta model", lambda: ThetaModel(series, period=12, method="additive")),
        ("ARDL", lambda: tsa.ARDL(series, 2, dated(X), 2).fit()),
        ("UECM", lambda: tsa.UECM(series, 2, dated(X), 2).fit()),
        ("ARDL order", lambda: tsa.ardl_select_order(series, 2, dated(X[:, :1]), 2)),
        ("Fourier", lambda: [Fourier(12, 2), CalendarFourier("YE", 2)]),
        ("deterministic", lambda: DeterministicProcess(series.index, constant=True, order=2, seasonal=True, fourier=0)),
        (
            "AutoReg deterministic",
            lambda: AutoReg(
                series,
                2,
                trend="n",
                deterministic=DeterministicProcess(series.index, order=1, additional_terms=[Fourier(12, 2)]),
            ).fit(),
        ),
        ("ArmaProcess", lambda: tsa.ArmaProcess([1, -0.5], [1, 0.3])),
        ("MarkovRegression", lambda: tsa.MarkovRegression(PAIR[:, 0], 2, switching_variance=True).fit(maxiter=5)),
        ("MarkovRegression frame", lambda: tsa.MarkovRegression(dated(Y), 2, exog=dated(X[:, :1])).fit(maxiter=5)),
        ("MarkovAutoregression", lambda: tsa.MarkovAutoregression(dated(Y), 2, order=1).fit(maxiter=5)),
        ("adfuller", lambda: stattools.adfuller(WALK, store=True, regresults=True)),
        ("adf", lambda: stattools.adfuller(WALK)),
        ("kpss", lambda: stattools.kpss(WALK, store=True)),
        ("coint", lambda: stattools.coint(WALK, SEASONAL)),
        ("x innovations", lambda: tsa.innovations.arma_innovations(Y, [0.5])),
    ]
    return makes


def _state_space() -> Makes:
    from statsmodels.tsa import api as tsa
    from statsmodels.tsa.arima.model import ARIMA

    series = dated(SEASONAL)
    monthly = dated(PAIR)
    quick: dict[str, Any] = {"disp": 0, "maxiter": 3}
    makes: Makes = []
    for label, endog in (("array", SEASONAL), ("series", series)):
        makes += [
            (f"ARIMA {label}", lambda y=endog: ARIMA(y, order=(1, 1, 1)).fit()),
            (f"ARIMA seasonal {label}", lambda y=endog: ARIMA(y, order=(1, 0, 0), seasonal_order=(1, 0, 0, 12)).fit()),
            (
                f"SARIMAX {label}",
                lambda y=endog: tsa.SARIMAX(y, order=(1, 1, 1), seasonal_order=(0, 1, 1, 12)).fit(**quick),
            ),
            (f"UCM {label}", lambda y=endog: tsa.UnobservedComponents(y, "llevel", seasonal=12).fit(**quick)),
        ]
    for method in ("statespace", "innovations_mle", "hannan_rissanen", "burg", "innovations", "yule_walker"):
        order = (0, 0, 1) if method == "innovations" else (2, 0, 0) if method in ("burg", "yule_walker") else (1, 0, 1)
        makes.append((f"ARIMA {method}", lambda m=method, o=order: ARIMA(series, order=o).fit(method=m)))
    makes += [
        ("ARIMA exog", lambda: ARIMA(series, exog=dated(X), order=(1, 0, 0), trend="c").fit()),
        ("ARIMA used", lambda: used(ARIMA(series, order=(1, 1, 0)).fit())),
        ("ARIMA appended", lambda: ARIMA(series[:110], order=(1, 1, 0)).fit().append(series[110:])),
        ("ARIMA forecast", lambda: ARIMA(series, order=(1, 1, 0)).fit().get_forecast(3)),
        ("ARIMA removed", lambda: removed(ARIMA(series, order=(1, 1, 0)).fit())),
        ("ARIMA extended", lambda: ARIMA(series[:110], order=(1, 1, 0)).fit().extend(series[110:])),
        ("ARIMA gls", lambda: ARIMA(series, exog=X, order=(1, 0, 0)).fit(gls=True)),
        ("ARIMA model", lambda: ARIMA(series, order=(1, 1, 0))),
        ("SARIMAX exog", lambda: tsa.SARIMAX(series, exog=X, order=(1, 0, 0), trend="ct").fit(**quick)),
        (
            "SARIMAX varying",
            lambda: tsa.SARIMAX(
                series, exog=X, order=(1, 0, 0), time_varying_regression=True, mle_regression=False
            ).fit(**quick),
        ),
        ("SARIMAX diffuse", lambda: tsa.SARIMAX(series, order=(1, 1, 0), use_exact_diffuse=True).fit(**quick)),
        ("SARIMAX single", lambda: tsa.SARIMAX(series.astype("f4"), order=(1, 0, 0)).fit(**quick)),
        (
            "SARIMAX missing",
            lambda: tsa.SARIMAX(series.where(series > series.quantile(0.1)), order=(1, 0, 0)).fit(**quick),
        ),
        ("SARIMAX opg", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).fit(cov_type="opg", **quick)),
        ("SARIMAX smooth", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).smooth([0.5, 1.0])),
        ("SARIMAX filter", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).filter([0.5, 1.0])),
        ("SARIMAX model", lambda: tsa.SARIMAX(series, order=(1, 0, 0))),
        ("SARIMAX memory", lambda: _memory(tsa.SARIMAX(series, order=(1, 0, 0))).fit(**quick)),
        ("SARIMAX short", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).fit(low_memory=True, **quick)),
        ("SARIMAX fixed", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).fit_constrained({"ar.L1": 0.4}, **quick)),
        ("SARIMAX simulation", lambda: tsa.SARIMAX(series, order=(1, 0, 0)).simulation_smoother()),
        (
            "UCM cycle",
            lambda: tsa.UnobservedComponents(
                series, "rwdrift", cycle=True, autoregressive=1, freq_seasonal=[{"period": 12, "harmonics": 2}]
            ).fit(**quick),
        ),
        ("UCM exog", lambda: tsa.UnobservedComponents(series, "lltrend", exog=X).fit(**quick)),
        ("VARMAX", lambda: tsa.VARMAX(monthly, order=(1, 0)).fit(**quick)),
        ("VARMAX ma", lambda: tsa.VARMAX(PAIR, order=(1, 1), exog=X, trend="ct").fit(**quick)),
        ("DynamicFactor", lambda: tsa.DynamicFactor(monthly, k_factors=1, factor_order=1).fit(**quick)),
        ("DynamicFactorMQ", lambda: tsa.DynamicFactorMQ(monthly, factors=1, factor_orders=1).fit(disp=0, maxiter=2)),
        (
            "ExpSmoothing state space",
            lambda: tsa.statespace.ExponentialSmoothing(series, trend=True, seasonal=12).fit(**quick),
        ),
        ("KalmanFilter", lambda: tsa.statespace.kalman_filter.KalmanFilter(1, 1)),
    ]
    return makes


def _memory(model: Any) -> Any:
    model.ssm.memory_conserve = 1 | 2
    return model


def _other_statsmodels() -> Makes:
    import statsmodels.api as sm
    from statsmodels.distributions.empirical_distribution import ECDF, StepFunction, monotone_fn_inverter
    from statsmodels.imputation import mice
    from statsmodels.multivariate.cancorr import CanCorr
    from statsmodels.multivariate.manova import MANOVA
    from statsmodels.multivariate.multivariate_ols import _MultivariateOLS
    from statsmodels.stats import diagnostic, multicomp, power, proportion, weightstats
    from statsmodels.stats.contingency_tables import Table, Table2x2

    const = sm.add_constant(X)
    table = np.array([[10, 5], [4, 12]])
    return [
        ("KDE", lambda: _fit(sm.nonparametric.KDEUnivariate(Y))),
        ("KDE fft", lambda: _fit(sm.nonparametric.KDEUnivariate(Y), kernel="epa", fft=False)),
        ("KDEMultivariate", lambda: sm.nonparametric.KDEMultivariate(X[:, :2], "cc", bw="normal_reference")),
        (
            "KDEConditional",
            lambda: sm.nonparametric.KDEMultivariateConditional(Y, X[:, :1], "c", "c", bw="normal_reference"),
        ),
        ("KernelReg", lambda: sm.nonparametric.KernelReg(Y[:40], X[:40, :1], "c", bw=[0.5])),
        ("KernelReg lc", lambda: sm.nonparametric.KernelReg(Y[:40], X[:40, :1], "c", reg_type="lc")),
        ("lowess", lambda: sm.nonparametric.lowess(Y, X[:, 0])),
        ("ECDF", lambda: ECDF(Y)),
        ("StepFunction", lambda: StepFunction(np.arange(5), np.arange(5))),
        ("inverter", lambda: monotone_fn_inverter(ECDF(Y), np.sort(Y))),
        ("PCA", lambda: sm.PCA(X, ncomp=2)),
        ("PCA frame", lambda: sm.PCA(dated(X), ncomp=2, method="nipals")),
        ("PCA em", lambda: sm.PCA(X, ncomp=2, missing="fill-em")),
        ("Factor", lambda: sm.Factor(X, n_factor=1).fit()),
        ("Factor ml", lambda: sm.Factor(dated(RNG.normal(size=(ROWS, 6))), n_factor=2, method="ml").fit()),
        ("CanCorr", lambda: CanCorr(X[:, :2], X[:, 1:])),
        ("MANOVA", lambda: MANOVA(X[:, :2], const).mv_test()),
        ("multivariate OLS", lambda: _MultivariateOLS(X[:, :2], const).fit()),
        ("MICE data", lambda: mice.MICEData(dated(np.where(X > 1.5, np.nan, X)))),
        ("describe", lambda: weightstats.DescrStatsW(X)),
        ("compare means", lambda: weightstats.CompareMeans.from_data(X[:, 0], X[:, 1])),
        ("tukey", lambda: multicomp.pairwise_tukeyhsd(Y, GROUPS)),
        ("table", lambda: [Table(table), Table2x2(table)]),
        (
            "power",
            lambda: [power.TTestIndPower(), power.FTestAnovaPower(), power.NormalIndPower(), power.GofChisquarePower()],
        ),
        ("breusch", lambda: diagnostic.het_breuschpagan(Y, const)),
        ("ljung", lambda: diagnostic.acorr_ljungbox(Y, lags=[3])),
        ("proportion", lambda: proportion.proportions_ztest([5, 8], [20, 20])),
        ("nonlinear", lambda: sm.stats.linear_rainbow(sm.OLS(Y, const).fit())),
        ("summary", lambda: sm.OLS(Y, const).fit().summary()),
        ("summary2", lambda: sm.OLS(Y, const).fit().summary2()),
        ("GMM", _gmm),
        ("IV2SLS", lambda: _iv(const)),
        ("lilliefors", lambda: diagnostic.lilliefors(Y)),
        ("copula", _copulas),
        ("treatment", lambda: _treatment(const)),
    ]


def _treatment(exog: Any) -> Any:
    import statsmodels.api as sm
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    return TreatmentEffect(sm.OLS(Y, exog), CLASSES, results_select=sm.Probit(CLASSES, exog).fit(disp=0)).ipw()


def _copulas() -> Any:
    from statsmodels.distributions.copula import api

    return [
        api.GaussianCopula(0.3),
        api.ClaytonCopula(1.5),
        api.FrankCopula(2.0),
        api.GumbelCopula(1.5),
        api.StudentTCopula(0.3, df=4),
        api.IndependenceCopula(2),
    ]


def _gmm() -> Any:
    from statsmodels.sandbox.regression.gmm import LinearIVGMM

    exog = np.c_[np.ones(ROWS), X[:, :1]]
    return LinearIVGMM(Y, exog, np.c_[np.ones(ROWS), X]).fit()


def _iv(exog: Any) -> Any:
    from statsmodels.sandbox.regression.gmm import IV2SLS

    return IV2SLS(Y, exog[:, :3], exog).fit()


def _fit(model: Any, **options: Any) -> Any:
    model.fit(**options)
    return model


def _formulas() -> Makes:
    import statsmodels.formula.api as smf

    frame = dated(X).assign(y=Y, c=COUNTS, b=CLASSES, g=np.array(list("abc"))[THREE], k=GROUPS)
    return [
        ("formula ols", lambda: smf.ols("y ~ v0 + v1", frame).fit()),
        ("formula ols no constant", lambda: smf.ols("y ~ v0 + v1 - 1", frame).fit()),
        ("formula ols product", lambda: smf.ols("y ~ v0 * v1", frame).fit()),
        ("formula ols category", lambda: smf.ols("y ~ v0 + g", frame).fit()),
        ("formula glm", lambda: smf.poisson("c ~ v0 + v1", frame).fit(disp=0)),
        ("formula logit", lambda: smf.logit("b ~ v0 + v1", frame).fit(disp=0)),
        ("formula wls", lambda: smf.wls("y ~ v0", frame, weights=POSITIVE).fit()),
        ("formula quantreg", lambda: smf.quantreg("y ~ v0", frame).fit(q=0.4)),
        ("formula rlm", lambda: smf.rlm("y ~ v0", frame).fit()),
        ("formula mixed", lambda: smf.mixedlm("y ~ v0", frame, groups="k").fit()),
        ("formula gee", lambda: smf.gee("c ~ v0", "k", frame).fit(maxiter=2)),
    ]
