"""Load hooks of the installed frameworks: each attribute that one looks at is tried with values that it must not meet.

The attributes are read from the source of the hooks, so a new version that looks at more is tested for that, too.
"""

from __future__ import annotations

import ast
import inspect
import io
import os
import pickle
import signal
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

from model_inbox.pickles import Allowlist, load, scan_bytes
from model_inbox.pickles.allowlist import FRAMEWORKS, read_list
from model_inbox.pickles.reviewed_code import fetch

ALLOWLIST = Allowlist.load()
LOAD_SECONDS = 10
HOSTILE = (range(10**12), 10**12, np.power, pd.RangeIndex(3))


def _models() -> Iterator[Any]:
    """Yield one object for each hook of Python that does more than to keep its state."""
    points = np.arange(20.0).reshape(-1, 1)
    yield Ridge().fit(points, points[:, 0])
    yield IsotonicRegression().fit(points[:, 0], points[:, 0])
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(points, points[:, 0])
    yield boosted._predictors[0][0]
    yield from (pd.DataFrame({"a": [1.0, 2.0]}), pd.Series([1.0, 2.0], name="a"))
    yield from (pd.CategoricalDtype(["a", "b"]), pd.DatetimeTZDtype("ns", "UTC"), pd.IntervalDtype("int64", "left"))
    yield RBFInterpolator(points, points[:, 0])
    yield np.polynomial.Polynomial([1.0, 2.0])
    yield from (
        torch.nn.LSTM(2, 3),
        torch.nn.GRU(2, 3),
        torch.nn.RNN(2, 3),
        torch.nn.Softmax(1),
        torch.nn.LogSoftmax(1),
    )
    yield from (torch.nn.Softmin(1), torch.nn.Conv1d(1, 1, 1), torch.nn.AvgPool3d(2), torch.nn.Upsample(2))
    yield from (torch.nn.MultiheadAttention(2, 1), torch.nn.Linear(1, 1))
    yield from (torch.nn.TransformerEncoderLayer(2, 1, 2), torch.nn.TransformerDecoderLayer(2, 1, 2))
    for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam):
        yield kind([torch.nn.Parameter(torch.zeros(2))], lr=0.1)


def _hook_of(kind: type) -> tuple[type, Any] | None:
    for owner in kind.__mro__:
        if "__setstate__" in vars(owner):
            return owner, vars(owner)["__setstate__"]
    return None


def _names_in(kind: type) -> set[str]:
    """Return the texts and attributes that the hooks of a class mention: the names that they may look up."""
    names = set()
    for owner in kind.__mro__:
        hook = vars(owner).get("__setstate__")
        if hook is None:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(hook)))
        except (OSError, TypeError):
            # It is written in C.
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                names.add(node.value)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


class _Changing(pickle.Pickler):
    """Pickles one object with another state than its own."""

    def __init__(self, file: io.BytesIO, model: Any, state: Any) -> None:
        super().__init__(file, 2)
        self._model = model
        self._state = state

    def reducer_override(self, obj: Any) -> Any:
        if obj is not self._model:
            return NotImplemented
        return (*obj.__reduce_ex__(2)[:2], self._state)


def _pickled(model: Any, state: Any) -> bytes:
    file = io.BytesIO()
    _Changing(file, model, state).dump(model)
    return file.getvalue()


def _loads_in_time(data: bytes, imports: dict[str, str]) -> int:
    """Load in a child. Return 0, or minus the signal that ended it. Exceptions of the classes are no failure."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LOAD_SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load(data, imports)
        except Exception:
            os._exit(0)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("model", list(_models()), ids=lambda model: type(model).__name__)
def test_no_attribute_that_a_hook_looks_at_can_hold_a_load_up(model: Any) -> None:
    """Whatever stands in an attribute that a load hook mentions: the file is refused, or loads in seconds."""
    assert _hook_of(type(model)) is not None
    state = model.__reduce_ex__(2)[2]
    assert scan_bytes(_pickled(model, state), ALLOWLIST).accepted
    if type(state) is tuple:
        changed = [(*state[:at], value, *state[at + 1 :]) for at in range(len(state)) for value in HOSTILE]
    else:
        names = _names_in(type(model)) - {"__dict__"}
        changed = [{**state, name: value} for name in sorted(names) for value in HOSTILE]
    for one in changed:
        data = _pickled(model, one)
        report = scan_bytes(data, ALLOWLIST)
        if report.accepted:
            assert _loads_in_time(data, dict(report.imports)) == 0, one


# Boosters have parsers of their own; the others have their rules tested by hand. Quantized convolutions compute with
# the threads of torch while they load, which a forked child does not have.
_ELSEWHERE = ("lightgbm.", "xgboost.", "catboost.", "scipy.stats.", "ngboost.", "skforecast.", "statsmodels.", "uuid.",
              "pandas.", "scipy.", "numpy.", "category_encoders.", "torch.Tensor", "torch.optim.",
              "torch.ao.nn.quantized.", "torch.nn.modules.module._WrappedHook", "torch.distributions.", "torch.amp.",
              "torch.utils.hooks.")  # fmt: skip


def test_every_hook_of_torch_and_scikit_learn_has_a_model_here() -> None:
    """A hook that a new version adds is tried, too."""
    owners = set()
    for framework in FRAMEWORKS:
        for line in read_list(framework):
            for hook in line.hooks.split():
                name = hook.partition("@")[2].partition(":")[0]
                if hook.startswith("__setstate__@") and not name.startswith(_ELSEWHERE):
                    try:
                        owners.add(fetch(name))
                    except (ImportError, AttributeError):
                        # It is of another version.
                        continue
    tried = {owner for model in _models() for owner in type(model).__mro__}
    known = {owner for owner in owners if owner in tried or owner.__name__ == "Bunch"}
    assert owners == known
