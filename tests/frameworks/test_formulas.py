"""Models that were fitted from a formula: those of plain names come in, and a load evaluates nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from loading import Serving, same

from model_inbox.pickles import Allowlist, scan_bytes

ALLOWLIST = Allowlist.load()
RANDOM = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {"y": RANDOM.random(60), "first": RANDOM.random(60), "second": RANDOM.random(60), "k": RANDOM.integers(0, 3, 60)}
).assign(g=lambda frame: frame["k"].map({0: "low", 1: "middle", 2: "high"}))
FORMULAS = (
    "y ~ first + second", "y ~ first + C(g) + C(k)", "y ~ first * second", "y ~ g", "y ~ first + I(first ** 2) - 1",
    "y ~ first:second + 1",
)  # fmt: skip
FITTED = "y ~ first + second"
HOSTILE = (
    "y ~ open('/tmp/x')", "y ~ exit() + first", "y ~ first.__class__", "y ~ C(first)(first)", "y ~ eval('1') + fir",
    "y ~ [first for i in", "y ~ first ** 999999", "y ~ I(first ** 99)", "exit() ~ first + se", "y ~ C(C(C(C(C(1))))",
    "y ~ first @ second ", "y ~ first + 12345678", "y ~ a:b:c:d:e:f:g:h", "y ~ Q('first') + fi", "y ~ first + (secon",
)  # fmt: skip
"""Each as long as the formula that it stands for, or shorter and filled with spaces."""

pytestmark = pytest.mark.filterwarnings("ignore")


def fitted(formula: str, frame: pd.DataFrame = FRAME) -> Any:
    """Return a model that was fitted from a formula."""
    return smf.ols(formula, frame).fit()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_of_plain_names_comes_in(formula: str, protocol: int, tmp_path: Path) -> None:
    """The model predicts the same from a new frame, whose names it looks up."""
    model = fitted(formula)
    data = pickle.dumps(model, protocol)
    report = scan_bytes(data, ALLOWLIST)
    assert report.problems == ()
    loaded = Serving(tmp_path).load(data, report.imports)
    same(loaded.predict(FRAME.head(9)), model.predict(FRAME.head(9)), formula)


@pytest.mark.parametrize("formula", HOSTILE)
def test_formula_that_would_call_something_is_refused(formula: str) -> None:
    """patsy evaluates each part of a formula as Python."""
    data = pickle.dumps(fitted(FITTED), 4)
    changed = formula[: len(FITTED)].ljust(len(FITTED)).encode()
    assert data.count(FITTED.encode()) > 0
    report = scan_bytes(data.replace(FITTED.encode(), changed), ALLOWLIST)
    assert {problem.code for problem in report.problems} == {"artifact.forbidden_arguments"}


@pytest.mark.parametrize(
    "column",
    [[1 << 61] * 60, [object] * 60, [(1,)] * 60, pd.date_range("2026", periods=60)],
    ids=["integers as objects", "classes", "tuples", "dates"],
)
def test_column_of_other_objects_is_refused(column: Any) -> None:
    """The values of a category are hashed and compared while the model is loaded."""
    values = column if isinstance(column, pd.DatetimeIndex) else pd.Series(column, dtype=object).to_numpy()
    model = fitted(FITTED, FRAME.assign(other=values))
    model.model.data.frame = FRAME.assign(other=values)
    assert scan_bytes(pickle.dumps(model, 4), ALLOWLIST).problems


def test_formula_with_too_many_columns_is_refused() -> None:
    """Each text of a column becomes a column of its own, also those of a product."""
    many = pd.concat([FRAME] * 20, ignore_index=True)
    model = fitted("y ~ first + C(k):C(g)", many)
    codes = {problem.code for problem in scan_bytes(pickle.dumps(model, 4), ALLOWLIST).problems}
    assert codes == {"artifact.load_cost"}
