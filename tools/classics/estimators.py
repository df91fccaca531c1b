"""Estimators of hmmlearn, imbalanced-learn, quantile-forest, mapie, category_encoders and ngboost, for learning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from .common import CLASSES, COUNTS, POSITIVE, ROWS, THREE, Makes, Model, X, Y, dated, grouped, made


def hmmlearn_models() -> Iterator[Model]:
    """Every model of hidden states, with each kind of covariance and algorithm."""
    from hmmlearn import hmm

    counts = COUNTS[:, None]
    makes: Makes = []
    for covariance in ("spherical", "diag", "full", "tied"):
        makes += [
            (f"Gaussian {covariance}", lambda c=covariance: hmm.GaussianHMM(2, covariance_type=c, n_iter=3).fit(X)),
            (f"GMM {covariance}", lambda c=covariance: hmm.GMMHMM(2, n_mix=2, covariance_type=c, n_iter=2).fit(X)),
        ]
    from hmmlearn import vhmm

    makes += [
        ("Multinomial", lambda: hmm.MultinomialHMM(2, n_trials=5, n_iter=2).fit(np.c_[CLASSES * 5, 5 - CLASSES * 5])),
        ("Categorical", lambda: hmm.CategoricalHMM(2, n_iter=2, algorithm="map").fit(THREE[:, None])),
        ("Poisson", lambda: hmm.PoissonHMM(2, n_iter=2, random_state=1).fit(counts)),
        ("seeded", lambda: hmm.GaussianHMM(2, n_iter=2, random_state=np.random.RandomState(1)).fit(X)),
        ("unfitted", lambda: hmm.GaussianHMM(2, implementation="scaling")),
        ("Variational", lambda: vhmm.VariationalGaussianHMM(2, n_iter=2).fit(X)),
        ("Variational full", lambda: vhmm.VariationalGaussianHMM(2, n_iter=2, covariance_type="diag").fit(X)),
        ("VariationalCategorical", lambda: vhmm.VariationalCategoricalHMM(2, n_iter=2).fit(THREE[:, None])),
    ]
    yield from made(makes)


def imblearn_models() -> Iterator[Model]:
    """Every sampler and ensemble, and pipelines with them."""
    import imblearn
    from imblearn.utils.testing import all_estimators
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    rare = (np.arange(ROWS) % 5 == 0).astype(int)
    mixed = np.c_[X, THREE].astype(object)
    makes: Makes = []
    for name, kind in all_estimators():
        makes.append((name, lambda k=kind: k().fit(X, rare)))
        if "sampling_strategy" in inspect.signature(kind).parameters:
            makes += [
                (f"{name} resampled", lambda k=kind: _resampled(k(sampling_strategy="auto"), X, rare)),
                (f"{name} frame", lambda k=kind: _resampled(k(), dated(X), rare)),
                (f"{name} categories", lambda k=kind: _resampled(k(), THREE[:, None], rare)),
            ]
    makes += [
        ("SMOTENC", lambda: _resampled(imblearn.over_sampling.SMOTENC([3], random_state=1), mixed, rare)),
        (
            "SMOTE neighbors",
            lambda: _resampled(imblearn.over_sampling.SMOTE(k_neighbors=NearestNeighbors(n_neighbors=4)), X, rare),
        ),
        (
            "strategy",
            lambda: _resampled(imblearn.under_sampling.RandomUnderSampler(sampling_strategy={0: 30}), X, rare),
        ),
        (
            "pipeline",
            lambda: imblearn.pipeline.make_pipeline(
                StandardScaler(), imblearn.over_sampling.SMOTE(), LogisticRegression()
            ).fit(X, rare),
        ),
        ("FunctionSampler", lambda: _resampled(imblearn.FunctionSampler(), X, rare)),
        ("ValueDifferenceMetric", lambda: imblearn.metrics.pairwise.ValueDifferenceMetric().fit(THREE[:, None], rare)),
        ("InstanceHardnessCV", lambda: imblearn.model_selection.InstanceHardnessCV(LogisticRegression())),
    ]
    yield from made(makes)


def _resampled(sampler: Any, x: Any, y: Any) -> Any:
    sampler.fit_resample(x, y)
    return sampler


def quantile_forest_models() -> Iterator[Model]:
    """Both forests, with their options."""
    import quantile_forest as qf

    makes: Makes = []
    for kind in (qf.RandomForestQuantileRegressor, qf.ExtraTreesQuantileRegressor):
        for options in (
            {},
            {"default_quantiles": [0.1, 0.9]},
            {"max_samples_leaf": None},
            {"criterion": "absolute_error"},
            {"bootstrap": True, "oob_score": True},
            {"monotonic_cst": [1, 0, -1]},
            {"random_state": np.random.RandomState(1)},
        ):
            makes.append(
                (f"{kind.__name__} {options}", lambda k=kind, o=options: k(n_estimators=4, max_depth=4, **o).fit(X, Y))
            )
        makes.append((f"{kind.__name__} two", lambda k=kind: k(n_estimators=3).fit(X, np.c_[Y, -Y])))
        makes.append((f"{kind.__name__} frame", lambda k=kind: k(n_estimators=3).fit(dated(X), dated(Y))))
        makes.append((f"{kind.__name__} used", lambda k=kind: _predicted(k(n_estimators=3).fit(X, Y), quantiles=[0.3])))
    yield from made(makes)


def _predicted(model: Any, **options: Any) -> Any:
    model.predict(X, **options)
    return model


def mapie_models() -> Iterator[Model]:
    """Conformal regressors and classifiers of the versions before and after 1.0."""
    yield from grouped(_mapie, _old_mapie)


def _scores(name: str, **options: Any) -> Any:
    from mapie import conformity_scores

    return getattr(conformity_scores, name)(**options)


def _mapie() -> Makes:
    from mapie import classification, regression
    from mapie.regression import CrossConformalRegressor
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor
    from sklearn.model_selection import KFold

    half = ROWS // 2
    makes: Makes = []
    for score in ("absolute", "gamma", "residual_normalized"):
        y = POSITIVE
        makes.append(
            (
                f"split {score}",
                lambda s=score, y=y: (
                    regression.SplitConformalRegressor(conformity_score=s, prefit=False)
                    .fit(X[:half], y[:half])
                    .conformalize(X[half:], y[half:])
                ),
            )
        )
    for method in ("base", "plus", "minmax"):
        makes += [
            (f"cross {method}", lambda m=method: CrossConformalRegressor(method=m, cv=3).fit_conformalize(X, Y)),
            (
                f"jackknife {method}",
                lambda m=method: regression.JackknifeAfterBootstrapRegressor(
                    method=m if m != "base" else "plus", resampling=4
                ).fit_conformalize(X, Y),
            ),
        ]
    makes += [
        ("split prefit", lambda: regression.SplitConformalRegressor(LinearRegression().fit(X, Y)).conformalize(X, Y)),
        (
            "split levels",
            lambda: regression.SplitConformalRegressor(RandomForestRegressor(3).fit(X, Y), [0.8, 0.9]).conformalize(
                X, Y
            ),
        ),
        (
            "cross folds",
            lambda: CrossConformalRegressor(
                LinearRegression(), cv=KFold(3, shuffle=True, random_state=1)
            ).fit_conformalize(X, Y),
        ),
        (
            "cross gamma",
            lambda: CrossConformalRegressor(conformity_score=_scores("GammaConformityScore"), cv=3).fit_conformalize(
                X, POSITIVE
            ),
        ),
        (
            "quantile",
            lambda: (
                regression.ConformalizedQuantileRegressor(QuantileRegressor(solver="highs"), prefit=False)
                .fit(X[:half], Y[:half])
                .conformalize(X[half:], Y[half:])
            ),
        ),
        (
            "quantile prefit",
            lambda: regression.ConformalizedQuantileRegressor(
                [QuantileRegressor(quantile=q, solver="highs").fit(X, Y) for q in (0.05, 0.95, 0.5)], prefit=True
            ).conformalize(X, Y),
        ),
        (
            "time series",
            lambda: regression.TimeSeriesRegressor(LinearRegression(), method="enbpi", cv=_blocks()).fit(X, Y),
        ),
        (
            "time series aci",
            lambda: regression.TimeSeriesRegressor(LinearRegression(), method="aci", cv=_blocks()).fit(X, Y),
        ),
    ]
    for score in ("lac", "aps", "raps", "top_k"):
        makes += [
            (
                f"classifier split {score}",
                lambda s=score: (
                    classification.SplitConformalClassifier(LogisticRegression(), conformity_score=s, prefit=False)
                    .fit(X[:half], THREE[:half])
                    .conformalize(X[half:], THREE[half:])
                ),
            ),
            (
                f"classifier cross {score}",
                lambda s=score: classification.CrossConformalClassifier(
                    LogisticRegression(), conformity_score=s, cv=3
                ).fit_conformalize(X, THREE),
            ),
        ]
    makes.append(("risk", _risk))
    makes.append(("calibrator", _calibrator))
    makes.append(("venn", _venn))
    return makes


def _venn() -> Any:
    from mapie.calibration import VennAbersCalibrator
    from sklearn.linear_model import LogisticRegression

    return VennAbersCalibrator(LogisticRegression()).fit(X, CLASSES)


def _calibrator() -> Any:
    from mapie.calibration import TopLabelCalibrator
    from sklearn.linear_model import LogisticRegression

    return TopLabelCalibrator(LogisticRegression().fit(X, THREE), cv="split").fit(X, THREE)


def _risk() -> Any:
    from mapie import risk_control
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(X, CLASSES)
    return risk_control.BinaryClassificationController(
        model.predict_proba, risk_control.precision, target_level=0.5
    ).calibrate(X, CLASSES)


def _blocks() -> Any:
    from mapie.subsample import BlockBootstrap

    return BlockBootstrap(n_resamplings=3, length=20, random_state=1)


def _old_mapie() -> Makes:
    from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor

    makes: Makes = []
    from mapie.classification import MapieClassifier
    from mapie.regression import MapieQuantileRegressor, MapieRegressor, MapieTimeSeriesRegressor
    from mapie.subsample import Subsample

    for method in ("naive", "base", "plus", "minmax"):
        makes.append((f"old {method}", lambda m=method: MapieRegressor(LinearRegression(), method=m, cv=3).fit(X, Y)))
    makes += [
        ("old prefit", lambda: MapieRegressor(LinearRegression().fit(X, Y), cv="prefit").fit(X, Y)),
        ("old jackknife", lambda: MapieRegressor(cv=-1).fit(X[:30], Y[:30])),
        ("old subsample", lambda: MapieRegressor(cv=Subsample(3), agg_function="median").fit(X, Y)),
        ("old gamma", lambda: MapieRegressor(conformity_score=_scores("GammaConformityScore")).fit(X, POSITIVE)),
        (
            "old residual",
            lambda: MapieRegressor(conformity_score=_scores("ResidualNormalisedScore"), cv="split").fit(X, Y),
        ),
        ("old quantile", lambda: MapieQuantileRegressor(QuantileRegressor(solver="highs")).fit(X, Y)),
        ("old time series", lambda: MapieTimeSeriesRegressor(LinearRegression(), cv=_blocks()).fit(X, Y)),
    ]
    for method in ("lac", "aps", "raps", "naive", "top_k", "score"):
        makes.append(
            (
                f"old {method}",
                lambda m=method: MapieClassifier(LogisticRegression(), method=m, cv="split").fit(X, THREE),
            )
        )
    return makes


def category_encoders_models() -> Iterator[Model]:
    """Every encoder, on frames with text, with its options."""
    import category_encoders as ce
    import pandas as pd

    frame = pd.DataFrame({"a": np.array(list("xyz"))[THREE], "b": np.array(list("pqr"))[COUNTS % 3], "n": Y})
    category = frame.assign(a=frame["a"].astype("category"))
    missing = frame.assign(a=frame["a"].where(frame["a"] != "x", None))
    makes: Makes = []
    for name in ce.__all__:
        kind = getattr(ce, name)
        if not inspect.isclass(kind):
            continue
        makes += [
            (f"{name}", lambda k=kind: k(cols=["a", "b"]).fit(frame, CLASSES)),
            (f"{name} all", lambda k=kind: k().fit(frame, CLASSES)),
            (f"{name} categories", lambda k=kind: k().fit(category, CLASSES)),
            (f"{name} values", lambda k=kind: k(handle_missing="value", handle_unknown="value").fit(missing, CLASSES)),
            (f"{name} errors", lambda k=kind: k(handle_missing="error", handle_unknown="error").fit(frame, CLASSES)),
            (
                f"{name} nan",
                lambda k=kind: k(handle_missing="return_nan", handle_unknown="return_nan").fit(missing, CLASSES),
            ),
            (f"{name} array", lambda k=kind: k(return_df=False, drop_invariant=True).fit(frame.to_numpy(), CLASSES)),
            (f"{name} continuous", lambda k=kind: k().fit(frame, Y)),
            (f"{name} names", lambda k=kind: k().fit(frame, pd.Series(Y))),
        ]
    makes += [
        ("OneHot names", lambda: ce.OneHotEncoder(use_cat_names=True).fit(frame)),
        (
            "Ordinal mapping",
            lambda: ce.OrdinalEncoder(mapping=[{"col": "a", "mapping": {"x": 1, "y": 2, "z": 3}}]).fit(frame),
        ),
        (
            "Target hierarchy",
            lambda: ce.TargetEncoder(hierarchy={"a": {"G": ("x", "y"), "H": ("z",)}}, cols=["a"]).fit(frame, Y),
        ),
        (
            "Count normalized",
            lambda: ce.CountEncoder(normalize=True, min_group_size=5, combine_min_nan_groups="force").fit(frame),
        ),
        ("Hashing", lambda: ce.HashingEncoder(n_components=4, hash_method="md5", max_process=1).fit(frame)),
        ("Polynomial", lambda: ce.PolynomialWrapper(ce.TargetEncoder()).fit(frame, THREE.astype(str))),
        ("Nested", lambda: ce.wrapper.NestedCVWrapper(ce.TargetEncoder(), cv=2).fit(frame, Y)),
        ("Quantile", lambda: ce.QuantileEncoder(quantile=0.3, m=2.0).fit(frame, Y)),
        ("GLMM", lambda: ce.GLMMEncoder(binomial_target=False).fit(frame, Y)),
    ]
    yield from made(makes)


def ngboost_models() -> Iterator[Model]:
    """Every distribution, score and kind of target."""
    import ngboost
    from ngboost import distns, scores
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    quiet: dict[str, Any] = {"n_estimators": 3, "verbose": False}
    makes: Makes = []
    for name in (
        "Normal",
        "LogNormal",
        "Exponential",
        "Laplace",
        "T",
        "TFixedDf",
        "TFixedDfFixedVar",
        "Cauchy",
        "Poisson",
        "NormalFixedVar",
        "NormalFixedMean",
        "Gamma",
        "HalfNormal",
        "Weibull",
        "LogNormal",
    ):
        for score in ("LogScore", "CRPScore"):
            y = COUNTS if name == "Poisson" else POSITIVE
            makes.append(
                (
                    f"regressor {name} {score}",
                    lambda n=name, s=score, y=y: ngboost.NGBRegressor(
                        Dist=getattr(distns, n), Score=getattr(scores, s), **quiet
                    ).fit(X, y),
                )
            )
    makes += [
        ("regressor", lambda: ngboost.NGBRegressor(**quiet).fit(X, Y)),
        ("early", lambda: ngboost.NGBRegressor(**quiet).fit(X, Y, X_val=X, Y_val=Y, early_stopping_rounds=2)),
        (
            "base",
            lambda: ngboost.NGBRegressor(Base=DecisionTreeRegressor(max_depth=2), natural_gradient=False, **quiet).fit(
                X, Y
            ),
        ),
        (
            "ridge",
            lambda: ngboost.NGBRegressor(Base=Ridge(), minibatch_frac=0.5, col_sample=0.7, random_state=1, **quiet).fit(
                X, Y
            ),
        ),
        ("classifier", lambda: ngboost.NGBClassifier(**quiet).fit(X, CLASSES)),
        ("classifier 3", lambda: ngboost.NGBClassifier(Dist=distns.k_categorical(3), **quiet).fit(X, THREE)),
        ("classifier bernoulli", lambda: ngboost.NGBClassifier(Dist=distns.Bernoulli, **quiet).fit(X, CLASSES)),
        ("survival", lambda: ngboost.NGBSurvival(Dist=distns.LogNormal, **quiet).fit(X, POSITIVE, CLASSES)),
        (
            "survival exponential",
            lambda: ngboost.NGBSurvival(Dist=distns.Exponential, **quiet).fit(X, POSITIVE, CLASSES),
        ),
        ("survival weibull", lambda: ngboost.NGBSurvival(Dist=distns.Weibull, **quiet).fit(X, POSITIVE, CLASSES)),
        ("multivariate", lambda: ngboost.NGBRegressor(Dist=distns.MultivariateNormal(2), **quiet).fit(X, np.c_[Y, -Y])),
        ("unfitted", lambda: ngboost.NGBRegressor(**quiet)),
        ("predicted", lambda: ngboost.NGBRegressor(**quiet).fit(X, Y).pred_dist(X[:3])),
    ]
    yield from made(makes)
