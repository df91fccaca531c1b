"""Estimators with rarer options, and boosters with callbacks: fitted on other data than the lists were learned from.

Owns the models of `test_real_options`, by framework, each made by a function, so that one that a version of a framework
does not have is left out. Shares no code with the maintainers' learning set on purpose.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.special
import scipy.stats
from held_out_models import DIRECTION, LABELS, MIXED, PAIRS, PRICES, RETURNS

Made = tuple[str, str, Any, Any]
"""A framework, a label, a fitted model, and the data to ask it with."""

UP = np.abs(RETURNS) + 0.01
NEWS = [
    f"{pair} {session} {'rises' if value > 0 else 'falls'}"
    for (pair, session), value in zip(PAIRS, RETURNS, strict=True)
]
HIGH = np.quantile(PRICES, 0.9)
HOLES = np.where(PRICES > HIGH, np.nan, PRICES)


def sklearn_recipes() -> Iterator[tuple[str, Callable[[], Any], tuple[Any, ...]]]:
    """Yield (label, how to make it, what to fit it on)."""
    from sklearn import (
        calibration,
        cluster,
        compose,
        ensemble,
        feature_extraction,
        feature_selection,
        impute,
        linear_model,
        metrics,
        model_selection,
        multioutput,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 - they add classes

    whole, direction, prices = (PRICES, RETURNS), (PRICES, DIRECTION), (PRICES,)
    boost = ensemble.HistGradientBoostingRegressor
    vote = ensemble.HistGradientBoostingClassifier
    yield "boost categories", lambda: vote(max_iter=2, categorical_features=["pair", "session"]), (MIXED, DIRECTION)
    yield (
        "boost from types",
        lambda: boost(max_iter=2, categorical_features="from_dtype"),
        (MIXED.drop(columns="pair"), RETURNS),
    )
    for scoring in ("neg_median_absolute_error", "loss", metrics.make_scorer(metrics.d2_pinball_score, alpha=0.2)):
        yield f"boost {scoring}", functools.partial(boost, max_iter=2, early_stopping=True, scoring=scoring), whole
    yield (
        "boost roc",
        lambda: vote(max_iter=2, early_stopping=True, scoring="roc_auc", validation_fraction=0.3),
        direction,
    )
    yield "boost limits", lambda: boost(max_iter=2, monotonic_cst={"x0": 1}, interaction_cst=[{0, 1}]), whole
    grid = {"alpha": [0.5, 2]}
    draws = scipy.stats
    for name in (
        "uniform",
        "expon",
        "halfnorm",
        "norm",
        "logistic",
        "rayleigh",
        "arcsine",
        "cauchy",
        "laplace",
        "gumbel_r",
    ):
        space = {"alpha": getattr(draws, name)(loc=1), "solver": ["svd", "lsqr"]}
        yield (
            f"search {name}",
            functools.partial(
                model_selection.RandomizedSearchCV, linear_model.Ridge(), space, n_iter=1, cv=2, error_score=0.0
            ),
            whole,
        )
    for one in (draws.randint(2, 5), draws.poisson(4, loc=2), draws.geom(0.4, loc=1), draws.zipf(3, loc=1)):
        yield (
            f"search {one.dist.name}",
            functools.partial(
                model_selection.RandomizedSearchCV, tree.DecisionTreeRegressor(), {"max_depth": one}, n_iter=1, cv=2
            ),
            whole,
        )
    yield "halving", lambda: model_selection.HalvingGridSearchCV(linear_model.Ridge(), grid, cv=3, factor=2), whole
    yield (
        "grid with functions",
        lambda: model_selection.GridSearchCV(
            pipeline.make_pipeline(preprocessing.FunctionTransformer(), linear_model.Ridge()),
            {"functiontransformer__func": [None, np.sqrt, np.log1p]},
            cv=model_selection.ShuffleSplit(2, random_state=2),
        ),
        whole,
    )
    yield (
        "nested search",
        lambda: model_selection.GridSearchCV(
            ensemble.BaggingRegressor(linear_model.Ridge(), n_estimators=2),
            {"estimator__alpha": [1, 2]},
            cv=2,
            scoring={"a": "r2", "b": metrics.make_scorer(metrics.max_error, greater_is_better=False)},
            refit="b",
        ),
        whole,
    )
    for estimator in (
        None,
        linear_model.BayesianRidge(),
        ensemble.RandomForestRegressor(2),
        neighbors.KNeighborsRegressor(),
    ):
        yield (
            f"imputer {estimator}",
            functools.partial(
                impute.IterativeImputer, estimator, max_iter=1, initial_strategy="median", imputation_order="roman"
            ),
            (HOLES,),
        )
    yield "imputer of neighbours", lambda: impute.KNNImputer(add_indicator=True, weights="distance"), (HOLES,)
    functions = {
        "log2": np.log2,
        "exp": np.exp,
        "nan_to_num": np.nan_to_num,
        "cumsum": np.cumsum,
        "diff": np.diff,
        "sign": np.sign,
        "logit": scipy.special.logit,
        "expit": scipy.special.expit,
        "gammaln": scipy.special.gammaln,
        "abs": abs,
        "partial clip": functools.partial(np.clip, a_min=1, a_max=1.1),
        "partial roll": functools.partial(np.roll, shift=1),
        "vectorized": np.vectorize(math.floor),
        "scale": preprocessing.minmax_scale,
        "rank": np.argsort,
        "square": np.square,
        "nested partial": functools.partial(functools.partial(np.round), decimals=1),
        "mean": functools.partial(np.mean, axis=1, keepdims=True),
        "power": functools.partial(np.power, 1.5),
        "where": np.isfinite,
        "binarize": preprocessing.binarize,
    }
    for name, function in functions.items():
        yield f"function {name}", functools.partial(preprocessing.FunctionTransformer, function), prices
    yield "function with keywords", lambda: preprocessing.FunctionTransformer(np.round, kw_args={"decimals": 2}), prices
    yield (
        "target",
        lambda: compose.TransformedTargetRegressor(
            linear_model.Lasso(), func=np.cbrt, inverse_func=np.exp2, check_inverse=False
        ),
        whole,
    )
    text = feature_extraction.text
    for kind in (text.CountVectorizer, text.TfidfVectorizer):
        yield f"{kind.__name__} split", functools.partial(kind, tokenizer=str.split, token_pattern=None), (NEWS,)
        yield f"{kind.__name__} case", functools.partial(kind, preprocessor=str.casefold, max_features=5), (NEWS,)
        yield (
            f"{kind.__name__} words",
            functools.partial(kind, stop_words=["rises"], vocabulary={"falls": 0, "tokyo": 1}),
            (NEWS,),
        )
        yield (
            f"{kind.__name__} pattern",
            functools.partial(kind, tokenizer=re.compile("[a-z]+").findall, token_pattern=None),
            (NEWS,),
        )
    yield "hashing", lambda: text.HashingVectorizer(n_features=16, analyzer=str.split, norm=None), (NEWS,)
    yield (
        "text pipeline",
        lambda: pipeline.make_pipeline(text.TfidfVectorizer(ngram_range=(1, 2)), svm.LinearSVC()),
        (NEWS, LABELS),
    )
    yield (
        "union",
        lambda: pipeline.FeatureUnion(
            [("a", text.CountVectorizer(analyzer="char")), ("b", text.TfidfVectorizer(binary=True))],
            transformer_weights={"a": 2},
        ),
        (NEWS,),
    )
    for score in (
        feature_selection.mutual_info_regression,
        feature_selection.f_regression,
        feature_selection.r_regression,
    ):
        yield f"best {score.__name__}", functools.partial(feature_selection.SelectKBest, score, k=2), whole
    yield (
        "best seeded",
        lambda: feature_selection.SelectKBest(
            functools.partial(feature_selection.mutual_info_classif, random_state=4, n_neighbors=2), k=1
        ),
        direction,
    )
    yield (
        "selected",
        lambda: feature_selection.SelectFromModel(tree.DecisionTreeRegressor(), threshold="1.25*median"),
        whole,
    )
    selector = compose.make_column_selector
    yield (
        "columns",
        lambda: pipeline.make_pipeline(
            compose.make_column_transformer(
                (preprocessing.OrdinalEncoder(encoded_missing_value=-2), selector(dtype_include=["category"])),
                (preprocessing.TargetEncoder(cv=2), ["pair"]),
                (preprocessing.StandardScaler(), selector(pattern="lag_[0-2]")),
                (preprocessing.FunctionTransformer(np.log), ["lag_3"]),
                remainder="drop",
                verbose_feature_names_out=False,
            ),
            linear_model.ElasticNet(),
        ),
        (MIXED, RETURNS),
    )
    yield (
        "frame out",
        lambda: compose.ColumnTransformer(
            [
                (
                    "a",
                    preprocessing.OneHotEncoder(
                        sparse_output=False, handle_unknown="infrequent_if_exist", min_frequency=3
                    ),
                    ["pair"],
                )
            ],
            remainder="passthrough",
        ).set_output(transform="pandas"),
        (MIXED.drop(columns="session"),),
    )
    for kernel in (metrics.pairwise.polynomial_kernel, metrics.pairwise.sigmoid_kernel, "precomputed"):
        data = (PRICES @ PRICES.T, DIRECTION) if kernel == "precomputed" else direction
        yield f"kernel {kernel}", functools.partial(svm.NuSVC, kernel=kernel, nu=0.2), data
    for metric in (scipy.spatial.distance.cityblock, scipy.spatial.distance.canberra, "sqeuclidean"):
        yield f"metric {metric}", functools.partial(neighbors.KNeighborsClassifier, 3, metric=metric), direction
    yield "ball tree", lambda: neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="minkowski", p=1.5), whole
    yield (
        "stack",
        lambda: ensemble.StackingRegressor(
            [("a", pipeline.make_pipeline(preprocessing.RobustScaler(), svm.SVR())), ("b", boost(max_iter=2))],
            final_estimator=ensemble.GradientBoostingRegressor(n_estimators=2, loss="huber"),
            passthrough=True,
            cv=2,
        ),
        whole,
    )
    yield (
        "vote",
        lambda: ensemble.VotingClassifier([("a", vote(max_iter=2)), ("b", tree.ExtraTreeClassifier())], voting="hard"),
        (PRICES, LABELS),
    )
    yield (
        "forest",
        lambda: ensemble.RandomForestClassifier(
            3,
            oob_score=metrics.balanced_accuracy_score,
            bootstrap=True,
            class_weight="balanced_subsample",
            ccp_alpha=0.01,
            random_state=np.random.RandomState(3),
        ),
        (PRICES, LABELS),
    )
    yield (
        "trees of many",
        lambda: ensemble.ExtraTreesRegressor(3, max_leaf_nodes=4, criterion="friedman_mse"),
        (PRICES, np.c_[UP, RETURNS]),
    )
    yield (
        "calibrated",
        lambda: calibration.CalibratedClassifierCV(
            neural_network.MLPClassifier((3,), max_iter=5), cv=2, method="isotonic"
        ),
        direction,
    )
    yield (
        "network",
        lambda: neural_network.MLPRegressor(
            (3, 2), solver="sgd", learning_rate="adaptive", early_stopping=True, max_iter=9
        ),
        whole,
    )
    yield (
        "chain",
        lambda: multioutput.ClassifierChain(linear_model.LogisticRegression(), order=[1, 0], cv=2),
        (PRICES, np.c_[DIRECTION, 1 - DIRECTION]),
    )
    yield "quantiles", lambda: linear_model.QuantileRegressor(quantile=0.9, solver="highs"), whole
    yield (
        "robust",
        lambda: linear_model.RANSACRegressor(linear_model.HuberRegressor(), loss="squared_error", random_state=3),
        whole,
    )
    yield "glm", lambda: linear_model.TweedieRegressor(power=1.9, link="log"), (PRICES, UP)
    yield (
        "elastic path",
        lambda: linear_model.LassoLarsIC(),
        whole,
    )
    yield "agglomerated", lambda: cluster.FeatureAgglomeration(3, pooling_func=np.max), prices
    yield "bisecting", lambda: cluster.BisectingKMeans(3, init="random", random_state=2), prices
    if hasattr(model_selection, "TunedThresholdClassifierCV"):
        yield (
            "threshold",
            lambda: model_selection.TunedThresholdClassifierCV(
                linear_model.LogisticRegression(),
                scoring=metrics.make_scorer(metrics.fbeta_score, beta=0.5),
                cv=2,
                store_cv_results=True,
            ),
            direction,
        )


def lightgbm_recipes() -> Iterator[tuple[str, Callable[[], Any], tuple[Any, ...]]]:
    """Yield estimators of LightGBM with rarer options."""
    import lightgbm as lgb

    quiet = {"verbose": -1, "n_estimators": 3, "num_leaves": 5, "min_child_samples": 3}
    for objective in ("fair", "quantile", "mape", "huber", "tweedie", "cross_entropy"):
        yield objective, functools.partial(lgb.LGBMRegressor, objective=objective, **quiet), (PRICES, UP)
    yield "linear", lambda: lgb.LGBMRegressor(linear_tree=True, **quiet), (PRICES, RETURNS)
    yield (
        "categories",
        lambda: lgb.LGBMClassifier(class_weight="balanced", **quiet),
        (MIXED.drop(columns="pair"), LABELS),
    )
    yield (
        "goss",
        lambda: lgb.LGBMClassifier(
            data_sample_strategy="goss", extra_trees=True, random_state=np.random.RandomState(2), **quiet
        ),
        (PRICES, DIRECTION),
    )
    yield (
        "forced",
        lambda: lgb.LGBMRegressor(monotone_constraints=[1, 0, 0, 0, 0, -1], importance_type="gain", **quiet),
        (PRICES, RETURNS),
    )


def xgboost_recipes() -> Iterator[tuple[str, Callable[[], Any], tuple[Any, ...]]]:
    """Yield estimators of XGBoost with rarer options."""
    import xgboost as xgb
    from sklearn.metrics import mean_absolute_error

    for objective in ("reg:pseudohubererror", "reg:quantileerror", "count:poisson", "reg:tweedie", "reg:absoluteerror"):
        more = {"quantile_alpha": np.array([0.2, 0.8])} if "quantile" in objective else {}
        yield objective, functools.partial(xgb.XGBRegressor, n_estimators=2, objective=objective, **more), (PRICES, UP)
    yield (
        "categories",
        lambda: xgb.XGBRegressor(n_estimators=2, enable_categorical=True),
        (MIXED.drop(columns="pair"), RETURNS),
    )
    yield (
        "limits",
        lambda: xgb.XGBRegressor(n_estimators=2, monotone_constraints=(1, 0, 0, 0, 0, 0), grow_policy="lossguide"),
        (PRICES, RETURNS),
    )
    yield (
        "many",
        lambda: xgb.XGBRegressor(n_estimators=2, multi_strategy="multi_output_tree", eval_metric=mean_absolute_error),
        (PRICES, np.c_[UP, RETURNS]),
    )
    yield (
        "linear",
        lambda: xgb.XGBRegressor(n_estimators=2, booster="gblinear", feature_selector="cyclic"),
        (PRICES, RETURNS),
    )
    yield (
        "forest",
        lambda: xgb.XGBRFClassifier(n_estimators=2, random_state=np.random.RandomState(1)),
        (PRICES, DIRECTION),
    )


def catboost_recipes() -> Iterator[tuple[str, Callable[[], Any], tuple[Any, ...]]]:
    """Yield estimators of CatBoost with rarer options."""
    import catboost as cat

    quiet = {"iterations": 2, "depth": 2, "verbose": False, "allow_writing_files": False}
    for loss in (
        "MAE",
        "Quantile:alpha=0.3",
        "Poisson",
        "Huber:delta=0.5",
        "RMSEWithUncertainty",
        "Expectile:alpha=0.2",
    ):
        yield loss, functools.partial(cat.CatBoostRegressor, loss_function=loss, **quiet), (PRICES, UP)
    yield "categories", lambda: cat.CatBoostClassifier(cat_features=["pair", "session"], **quiet), (MIXED, LABELS)
    yield (
        "weights",
        lambda: cat.CatBoostClassifier(class_weights={0: 1, 1: 3}, custom_metric=["F1"], **quiet),
        (PRICES, DIRECTION),
    )
    yield (
        "grown",
        lambda: cat.CatBoostRegressor(grow_policy="Lossguide", max_leaves=4, bootstrap_type="MVS", **quiet),
        (PRICES, RETURNS),
    )
    yield "plain", lambda: cat.CatBoost({**quiet, "loss_function": "MultiRMSE"}), (PRICES, np.c_[UP, RETURNS])
    news = pd.DataFrame(
        {
            "last": RETURNS,
            "news": [f"rates {'up' if up else 'down'} in {place % 7} banks" for place, up in enumerate(DIRECTION)],
            "vector": PRICES.tolist(),
        }
    )
    texts, vectors = {"text_features": ["news"]}, {"embedding_features": ["vector"]}
    yield "texts", lambda: cat.CatBoostClassifier(**texts, **quiet), (news.drop(columns="vector"), DIRECTION)
    yield "embeddings", lambda: cat.CatBoostRegressor(**vectors, **quiet), (news.drop(columns="news"), RETURNS)
    letters = {"dictionary_id": "Letters", "token_level_type": "Letter", "gram_order": "3"}
    yield (
        "texts in letters",
        lambda: cat.CatBoostClassifier(dictionaries=[letters], feature_calcers=["BoW", "NaiveBayes"], **texts, **quiet),
        (news.drop(columns="vector"), LABELS),
    )
    yield "both", lambda: cat.CatBoostClassifier(**texts, **vectors, **quiet), (news, LABELS)


RECIPES = {
    "scikit-learn": sklearn_recipes,
    "LightGBM": lightgbm_recipes,
    "XGBoost": xgboost_recipes,
    "CatBoost": catboost_recipes,
}


def made() -> Iterator[Made]:
    """Yield the fitted models. A model that this version of its framework cannot make is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for framework, recipes in RECIPES.items():
            for label, make, data in recipes():
                try:
                    model = make().fit(*data)
                except (TypeError, ValueError, AttributeError):
                    continue
                yield framework, label, model, data[0]


def beside_models() -> Iterator[tuple[str, str, Any]]:
    """Yield what stands beside models: callbacks, cross-validations, results of searches."""
    import lightgbm as lgb
    import xgboost as xgb
    from sklearn import inspection, linear_model, model_selection, utils

    yield (
        "LightGBM",
        "callbacks",
        [lgb.early_stopping(4, min_delta=0.1), lgb.log_evaluation(9), lgb.record_evaluation({})],
    )
    quiet = {"verbose": -1, "min_data_in_leaf": 3}
    first = lgb.train(quiet, lgb.Dataset(PRICES, RETURNS), 2)
    yield "LightGBM", "continued", lgb.train(quiet, lgb.Dataset(PRICES, RETURNS), 2, init_model=first)
    yield (
        "LightGBM",
        "folds",
        lgb.cv(quiet, lgb.Dataset(PRICES, RETURNS), 2, nfold=3, stratified=False, return_cvbooster=True),
    )
    yield (
        "XGBoost",
        "callbacks",
        [xgb.callback.EarlyStopping(rounds=4, maximize=True), xgb.callback.EvaluationMonitor(period=2)],
    )
    ridge = linear_model.Ridge().fit(PRICES, RETURNS)
    yield "scikit-learn", "importances", inspection.permutation_importance(ridge, PRICES, RETURNS, n_repeats=2)
    yield "scikit-learn", "folds", model_selection.cross_validate(ridge, PRICES, RETURNS, cv=3, return_estimator=True)
    yield "scikit-learn", "bunch", utils.Bunch(model=ridge, columns=pd.Index(["a", "b"]))
