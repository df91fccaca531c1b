"""The data of the classics' models, and how a model is made: one that this version does not have is left out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

Model = tuple[str, Any]
Makes = list[tuple[str, Callable[[], Any]]]

RNG = np.random.default_rng(5)
ROWS = 120
X = RNG.normal(size=(ROWS, 3))
Y = X @ [0.5, -0.2, 0.1] + RNG.normal(scale=0.3, size=ROWS)
POSITIVE = np.exp(Y)
CLASSES = (Y > 0).astype(int)
THREE = np.digitize(Y, [-0.3, 0.3])
COUNTS = RNG.poisson(np.exp(0.3 * Y + 1.0))
WALK = np.cumsum(RNG.normal(size=ROWS)) + 50.0
SEASONAL = 20.0 + np.sin(np.arange(ROWS) * np.pi / 6) * 3 + WALK / 10
PAIR = np.c_[np.diff(WALK, prepend=50.0), Y]
GROUPS = np.arange(ROWS) % 6
RETURNS = RNG.standard_t(6, size=400)


def made(makes: Iterable[tuple[str, Callable[[], Any]]]) -> Iterator[Model]:
    """Yield what can be made with the installed version, and say what cannot."""
    for label, make in makes:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = make()
        except Exception as error:  # noqa: BLE001 - an older or newer version has other classes and options
            print(f"not made: {label}: {type(error).__name__}: {str(error)[:120]}", file=sys.stderr)
            continue
        yield label, model


def grouped(*groups: Callable[[], Makes]) -> Iterator[Model]:
    """Yield what each group of makers makes; a group whose modules are not there ends with a word about it."""
    for group in groups:
        try:
            makes = group()
        except (ImportError, AttributeError) as error:
            print(f"not made: {group.__name__}: {error}", file=sys.stderr)
            continue
        yield from made(makes)


def dated(values: Any, frequency: str = "MS") -> Any:
    """Return values as a series or a frame with dates."""
    import pandas as pd

    dates = pd.date_range("2015-01-01", periods=len(values), freq=frequency)
    if np.ndim(values) == 1:
        return pd.Series(values, index=dates, name="y")
    return pd.DataFrame(values, index=dates, columns=[f"v{i}" for i in range(np.shape(values)[1])])


def used(results: Any) -> Any:
    """Return results after a look at them, which leaves more in their caches."""
    for ask in ("summary", "summary2"):
        try:
            str(getattr(results, ask)())
        except Exception:  # noqa: BLE001 - not every kind of result has it
            continue
    for name in ("resid", "fittedvalues", "bse", "pvalues", "aic", "llnull", "mse_resid", "forecasts_error"):
        getattr(results, name, None)
    return results


def removed(results: Any) -> Any:
    results.remove_data()
    return results
