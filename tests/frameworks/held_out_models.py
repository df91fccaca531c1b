"""Fitted models that the allowlists were not learned from: other data, other parameters, other compositions.

Owns the models of `test_real_models`, each with the function that asks it for numbers, so that a loaded copy can
be compared with the one that was saved. Shares no code with the maintainers' learning set on purpose.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

Held = tuple[str, Any, Callable[[Any], Any]]
"""A label, a model, and what to ask it."""

_ROWS = 90
_RANDOM = np.random.default_rng(20261123)
PRICES = np.cumsum(_RANDOM.normal(scale=0.01, size=(_ROWS, 6)), axis=0) + 1.1
RETURNS = np.diff(PRICES[:, 0], prepend=PRICES[0, 0])
DIRECTION = np.where(RETURNS > 0, 1, 0)
LABELS = np.array(["short", "flat", "long"])[np.digitize(RETURNS, [-0.004, 0.004])]
PAIRS = [["EURUSD", "tokyo"], ["USDJPY", "london"], ["EURUSD", "new york"]] * 30
FRAME = pd.DataFrame(
    PRICES, columns=[f"lag_{i}" for i in range(6)], index=pd.date_range("2025-03-01", periods=_ROWS, freq="D")
)
MIXED = FRAME.reset_index(drop=True).assign(
    pair=[pair for pair, _ in PAIRS], session=pd.Categorical([s for _, s in PAIRS])
)


def predict(model: Any) -> Any:
    """Ask for predictions on the prices."""
    return np.asarray(model.predict(PRICES))


def predict_frame(model: Any) -> Any:
    """Ask for predictions on the frame of prices."""
    return np.asarray(model.predict(FRAME))


def predict_mixed(model: Any) -> Any:
    """Ask for predictions on the frame with text and categories."""
    return np.asarray(model.predict(MIXED))


def transform(model: Any) -> Any:
    """Ask for transformed prices."""
    result = model.transform(PRICES)
    return np.asarray(result.todense() if hasattr(result, "todense") else result)


def sklearn_models() -> Iterator[Held]:
    """Estimators, pipelines and searches as forecasting jobs make them."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import FastICA, TruncatedSVD
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import (
        AdaBoostRegressor,
        ExtraTreesRegressor,
        GradientBoostingRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
        StackingClassifier,
        VotingRegressor,
    )
    from sklearn.feature_selection import SelectKBest, VarianceThreshold, mutual_info_regression
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    from sklearn.impute import SimpleImputer
    from sklearn.isotonic import IsotonicRegression
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import (
        BayesianRidge,
        ElasticNetCV,
        HuberRegressor,
        LogisticRegression,
        QuantileRegressor,
        SGDRegressor,
        TheilSenRegressor,
        TweedieRegressor,
    )
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, TimeSeriesSplit
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.naive_bayes import ComplementNB
    from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor, RadiusNeighborsRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        MinMaxScaler,
        OneHotEncoder,
        OrdinalEncoder,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        StandardScaler,
    )
    from sklearn.svm import SVR, NuSVC
    from sklearn.tree import DecisionTreeClassifier

    for scaler in (
        StandardScaler(),
        RobustScaler(),
        MinMaxScaler((-1, 1)),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20),
        FunctionTransformer(np.sqrt, np.square),
        TruncatedSVD(2),
        FastICA(2, random_state=0),
        VarianceThreshold(),
    ):
        yield type(scaler).__name__, scaler.fit(PRICES), transform
    for model in (
        BayesianRidge(),
        ElasticNetCV(cv=3),
        HuberRegressor(),
        QuantileRegressor(quantile=0.9),
        SGDRegressor(loss="huber"),
        TheilSenRegressor(random_state=1),
        TweedieRegressor(power=0),
        KernelRidge(kernel="rbf"),
        PLSRegression(2),
        DummyRegressor(strategy="quantile", quantile=0.3),
        SVR(kernel="poly"),
        MLPRegressor(hidden_layer_sizes=(5, 3), max_iter=30),
        RadiusNeighborsRegressor(radius=10.0, metric="manhattan", algorithm="ball_tree"),
        ExtraTreesRegressor(4, max_depth=3),
        GradientBoostingRegressor(loss="quantile", alpha=0.8, n_estimators=5),
        HistGradientBoostingRegressor(loss="quantile", quantile=0.2, max_iter=4, categorical_features=None),
        AdaBoostRegressor(n_estimators=3),
        VotingRegressor([("a", BayesianRidge()), ("b", SVR())]),
        GaussianProcessRegressor(ConstantKernel(1.0) * RBF(0.5) + WhiteKernel(1e-3), normalize_y=True),
        TransformedTargetRegressor(BayesianRidge(), func=np.tanh, inverse_func=np.arctanh, check_inverse=False),
        IsolationForest(n_estimators=4, random_state=2),
        Pipeline([("imp", SimpleImputer(strategy="median")), ("sc", RobustScaler()), ("m", HuberRegressor())]),
        Pipeline(
            [
                ("u", FeatureUnion([("a", StandardScaler()), ("b", SelectKBest(mutual_info_regression, k=2))])),
                ("m", BayesianRidge()),
            ]
        ),
        GridSearchCV(Pipeline([("s", StandardScaler()), ("m", SVR())]), {"m__C": [0.5, 2.0]}, cv=TimeSeriesSplit(3)),
        RandomizedSearchCV(
            ExtraTreesRegressor(2),
            {"max_depth": [2, 3, 4]},
            n_iter=2,
            cv=2,
            random_state=0,
            scoring="neg_mean_absolute_error",
        ),
    ):
        yield type(model).__name__, model.fit(PRICES, RETURNS), predict
    for model in (
        LogisticRegression(C=0.3),
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        NuSVC(nu=0.1, probability=True),
        KNeighborsClassifier(4, weights="distance", metric="chebyshev", algorithm="kd_tree"),
        DecisionTreeClassifier(max_depth=3, class_weight="balanced"),
        RandomForestClassifier(4, oob_score=False, criterion="log_loss"),
        HistGradientBoostingClassifier(max_iter=4, early_stopping=True),
        ComplementNB(),
        StackingClassifier([("t", DecisionTreeClassifier(max_depth=2)), ("l", LogisticRegression())], cv=2),
        CalibratedClassifierCV(RandomForestClassifier(3), method="isotonic", cv=2),
        CalibratedClassifierCV(LogisticRegression(), method="sigmoid", cv=3, ensemble=False),
    ):
        yield type(model).__name__, model.fit(PRICES, LABELS), predict
    yield "mixture", GaussianMixture(2, random_state=1).fit(PRICES), predict
    yield "outliers", LocalOutlierFactor(novelty=True).fit(PRICES), predict
    yield "many", MultiOutputRegressor(HuberRegressor()).fit(PRICES, np.c_[RETURNS, -RETURNS]), predict
    yield (
        "isotonic",
        IsotonicRegression(out_of_bounds="clip").fit(PRICES[:, 0], RETURNS),
        lambda m: m.predict(PRICES[:, 0]),
    )
    yield "named", BayesianRidge().fit(FRAME, RETURNS), predict_frame
    encoder = ColumnTransformer(
        [
            ("num", RobustScaler(), list(FRAME.columns)),
            ("pair", OneHotEncoder(), ["pair"]),
            ("ses", OrdinalEncoder(), ["session"]),
        ],
        remainder="drop",
    )
    yield "mixed", Pipeline([("enc", encoder), ("m", ExtraTreesRegressor(3))]).fit(MIXED, RETURNS), predict_mixed


def lightgbm_models() -> Iterator[Held]:
    """LightGBM's estimators and its booster."""
    import lightgbm

    small: dict[str, Any] = {"n_estimators": 6, "num_leaves": 5, "min_child_samples": 3, "verbose": -1}
    yield "lgb huber", lightgbm.LGBMRegressor(objective="huber", **small).fit(PRICES, RETURNS), predict
    yield "lgb multi", lightgbm.LGBMClassifier(class_weight="balanced", **small).fit(PRICES, LABELS), predict
    yield "lgb frame", lightgbm.LGBMRegressor(**small).fit(FRAME, RETURNS), predict_frame
    parameters = {"objective": "regression_l1", "verbose": -1, "num_leaves": 4}
    yield "lgb raw", lightgbm.train(parameters, lightgbm.Dataset(PRICES, RETURNS), 5), predict


def xgboost_models() -> Iterator[Held]:
    """XGBoost's estimators."""
    import xgboost

    thirds = np.digitize(RETURNS, [-0.004, 0.004])
    yield "xgb", xgboost.XGBRegressor(n_estimators=5, max_depth=3).fit(PRICES, RETURNS), predict
    yield "xgb multi", xgboost.XGBClassifier(n_estimators=4).fit(PRICES, thirds), predict
    yield "xgb frame", xgboost.XGBRegressor(n_estimators=2).fit(FRAME, RETURNS), predict_frame


def catboost_models() -> Iterator[Held]:
    """CatBoost's estimators."""
    import catboost

    quiet: dict[str, Any] = {"iterations": 4, "verbose": 0, "allow_writing_files": False}
    yield "cat", catboost.CatBoostRegressor(depth=3, loss_function="MAE", **quiet).fit(PRICES, RETURNS), predict
    yield "cat multi", catboost.CatBoostClassifier(depth=2, **quiet).fit(PRICES, LABELS), predict
    mixed = catboost.CatBoostRegressor(cat_features=["pair", "session"], **quiet).fit(MIXED, RETURNS)
    yield "cat mixed", mixed, predict_mixed


def bundles() -> Iterator[Held]:
    """What training jobs put around a model."""
    from sklearn.linear_model import Ridge

    model = Ridge(0.5).fit(PRICES, RETURNS)
    bundle = {
        "model": model,
        "features": list(FRAME.columns),
        "trained_at": dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
        "horizon": dt.timedelta(days=5),
        "importance": pd.Series(model.coef_, index=FRAME.columns),
        "validation": FRAME.tail(3),
        "score": np.float64(0.25),
        "counts": OrderedDict(train=80, valid=10),
    }
    yield (
        "bundle",
        bundle,
        lambda b: [*b["model"].predict(PRICES), *b["importance"], b["score"], *b["validation"].to_numpy().ravel()],
    )
    yield (
        "tuple",
        (model, {"mean": PRICES.mean(0), "std": PRICES.std(0)}),
        lambda t: [*t[0].predict(PRICES), *t[1]["mean"]],
    )
    yield (
        "arrays",
        {"w": np.asfortranarray(PRICES), "b": RETURNS.astype(">f4"), "o": LABELS.astype(object)},
        lambda a: [*a["w"].ravel(), *a["b"]],
    )


def held_out() -> Iterator[Held]:
    """Yield all that any pickler can save; XGBoost's and CatBoost's where they are installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from sklearn_models()
        yield from lightgbm_models()
        for package, models in (("xgboost", xgboost_models), ("catboost", catboost_models)):
            if importlib.util.find_spec(package) is not None:
                yield from models()
        yield from bundles()


def torch_models() -> Iterator[Held]:
    """State dicts and whole modules of stock layers."""
    import torch
    from torch import nn

    torch.manual_seed(4)
    batch = torch.tensor(PRICES, dtype=torch.float32)

    def numbers(result: Any) -> Any:
        return (result[0] if isinstance(result, tuple) else result).detach().numpy()

    def run(module: Any) -> Any:
        return numbers(module.eval()(batch))

    def run_sequence(module: Any) -> Any:
        return numbers(module.eval()(batch[None]))

    def values(state: Any) -> Any:
        return [number for tensor in state.values() for number in tensor.float().flatten().tolist()]

    net = nn.Sequential(
        nn.Linear(6, 12), nn.LeakyReLU(0.1), nn.BatchNorm1d(12), nn.Dropout(0.2), nn.Linear(12, 2), nn.Softplus()
    )
    yield "net", net, run
    yield "net state", net.state_dict(), values
    yield "bfloat", {name: tensor.bfloat16() for name, tensor in net.state_dict().items()}, values
    yield "lstm", nn.LSTM(6, 4, num_layers=2, batch_first=True, bidirectional=True), run_sequence
    yield "gru", nn.GRU(6, 3, batch_first=True), run_sequence
    yield (
        "transformer",
        nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, enable_nested_tensor=False),
        run_sequence,
    )
    checkpoint = {"state": net.state_dict(), "epoch": 7, "scaler": {"mean": PRICES.mean(0)}, "shared": [batch, batch.T]}
    yield (
        "checkpoint",
        checkpoint,
        lambda c: [*values(c["state"]), *c["scaler"]["mean"], *c["shared"][1].flatten().tolist()],
    )
