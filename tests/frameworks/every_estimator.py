"""Every estimator of scikit-learn that can be made and fitted here, with something to ask it.

Owns how an estimator is made without knowing it: its required arguments by their names, its costly ones small. Shares
nothing with the maintainers' learning set, neither data nor ways of making.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from held_out_models import LABELS, PRICES, RETURNS

POSITIVE = np.abs(PRICES - PRICES.mean(0)) + 0.05
COUNTS = np.arange(len(RETURNS)) % 3
WORDS = [f"{label} {'up' if value > 0 else 'down'} market" for label, value in zip(LABELS, RETURNS, strict=True)]
RECORDS = [{"label": label, "value": float(value)} for label, value in zip(LABELS, RETURNS, strict=True)]
NAMES = LABELS.reshape(-1, 1)
TWO = np.c_[RETURNS, RETURNS[::-1]]
FITS: tuple[tuple[Any, ...], ...] = (
    (PRICES, LABELS),
    (PRICES, RETURNS),
    (POSITIVE, COUNTS),
    (POSITIVE, np.abs(RETURNS) + 0.01),
    (PRICES, TWO),
    (PRICES, np.c_[COUNTS == 1, COUNTS == 2].astype(int)),
    (PRICES[:, :1], RETURNS),
    (PRICES[:, 0], RETURNS),
    (PRICES,),
    (POSITIVE,),
    (NAMES, RETURNS),
    (NAMES,),
    (WORDS, LABELS),
    (WORDS,),
    (RECORDS,),
    (LABELS,),
    ([[label] for label in LABELS],),
    (PRICES @ PRICES.T,),
)
SMALL = {
    "n_estimators": 4, "max_iter": 25, "n_components": 2, "n_clusters": 3, "cv": 2, "n_init": 1, "n_quantiles": 7,
    "random_state": 11, "hidden_layer_sizes": (4,), "min_samples": 3, "n_neighbors": 3, "perplexity": 4, "n_alphas": 3,
    "max_features": 2, "n_nonzero_coefs": 2, "min_features_to_select": 2, "verbose": 0,
}  # fmt: skip
ASKED = (
    "predict_proba",
    "predict",
    "decision_function",
    "transform",
    "score_samples",
    "labels_",
    "embedding_",
    "row_labels_",
    "covariance_",
)
"""What an estimator is asked for: the first that it has."""


def required(name: str) -> Any:
    """Return a value for an argument that an estimator cannot be made without."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    return {
        "estimator": DecisionTreeRegressor(max_depth=2),
        "estimators": [("t", DecisionTreeRegressor(max_depth=2)), ("r", Ridge())],
        "classifiers": [("t", DecisionTreeClassifier(max_depth=2)), ("l", LogisticRegression())],
        "regressor": Ridge(),
        "steps": [("s", MinMaxScaler()), ("m", Ridge())],
        "transformers": [("s", MinMaxScaler(), [0, 2])],
        "transformer_list": [("s", MinMaxScaler()), ("p", "passthrough")],
        "param_grid": {"max_depth": [1, 2]},
        "param_distributions": {"max_depth": [1, 2, 3]},
        "dictionary": np.eye(6),
        "code_book": None,
    }[name]


def makes(kind: type[Any]) -> Iterator[Any]:
    """Yield unfitted estimators of a class: small ones, then as they come; for regression, then for classes."""
    parameters = inspect.signature(kind).parameters
    needed = [n for n, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    small = {name: value for name, value in SMALL.items() if name in parameters and name not in needed}
    for classes in (False, True):
        try:
            given = {name: required(name) for name in needed}
        except KeyError:
            return
        if classes and "estimators" in given:
            given["estimators"] = required("classifiers")
        if classes and "estimator" in given:
            given["estimator"] = required("classifiers")[1 if "param_grid" not in given else 0][1]
        for options in (small, {}):
            yield lambda given=given, options=options: kind(**given, **options)


def question(model: Any, data: Any) -> Callable[[Any], Any] | None:
    """Return what to ask a fitted estimator, or None where it answers nothing."""

    def numbers(result: Any) -> Any:
        result = (
            result[0] if isinstance(result, (tuple, list)) and len(result) and hasattr(result[0], "shape") else result
        )
        if hasattr(result, "tocsr"):  # too wide, now and then, to be written out
            result = result.tocsr()
            return np.concatenate([result.data, result.indices, result.indptr])
        return np.asarray(result)

    for name in ASKED:
        if not hasattr(model, name):
            continue
        if name.endswith("_") and not callable(getattr(model, name)):
            return lambda m, name=name: numbers(getattr(m, name))
        try:
            numbers(getattr(model, name)(data))
        except Exception:
            continue
        return lambda m, name=name: numbers(getattr(m, name)(data))
    return None


def names() -> list[str]:
    """Return the names of all estimators that scikit-learn knows of."""
    from sklearn.utils import all_estimators

    return [name for name, _ in all_estimators()]


def fitted(name: str) -> tuple[Any, Callable[[Any], Any]] | None:
    """Return the estimator of this name, fitted on the first kind of data that suits it, with what to ask it."""
    from sklearn.utils import all_estimators

    kind = dict(all_estimators())[name]
    for make in makes(kind):
        for data in FITS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    model = make().fit(*data)
                    ask = question(model, data[0])
                except Exception:
                    continue
            if ask is not None:
                return model, ask
    return None
