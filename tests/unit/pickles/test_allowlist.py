"""Allowlists: exact names with uses from data files, and the user's own lines. Some names are never allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.errors import ConfigError
from model_inbox.pickles import FRAMEWORKS, USES, Allowlist, check_extra, describe_uses, explain, verdict_basis
from model_inbox.pickles.allowlist import AllowedName, parse_list, read_list
from model_inbox.pickles.names import framework_of, is_well_formed, never_allowed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_shipped_list_is_in_order(framework: str) -> None:
    """Sorted, no name twice, every name well-formed, of this framework, with known letters, r among them."""
    lines = read_list(framework)
    names = [line.name for line in lines]
    assert names
    assert names == sorted(set(names))
    for line in lines:
        module, _, last = line.name.rpartition(".")
        assert is_well_formed(module, last), line
        assert "".join(sorted(line.uses)) == line.uses
        assert set(line.uses) <= set(USES)
        assert "r" in line.uses
        assert never_allowed(line.name) is None, line
        assert framework_of(line.name) == (None if framework == "builtins" else framework), line


def test_all_lists_together_hold_what_real_models_need() -> None:
    """Names in nearly every model file, of numpy 1 and 2."""
    everything = Allowlist.load()
    for name, uses in {
        "numpy.core.multiarray._reconstruct": "cr",
        "numpy._core.multiarray._reconstruct": "cr",
        "numpy.core.multiarray.scalar": "cr",
        "numpy.ndarray": "br",
        "sklearn.preprocessing._data.StandardScaler": "bnr",
        "lightgbm.basic.Booster": "bnr",
        "lightgbm.sklearn.LGBMRegressor": "bnr",
        "xgboost.core.Booster": "bnr",
        "catboost.core.CatBoostRegressor": "bnr",
        "torch._utils._rebuild_tensor_v2": "cr",
        "torch.nn.modules.rnn.LSTM": "bnr",
        "joblib.numpy_pickle.NumpyArrayWrapper": "bnr",
        "collections.OrderedDict": "bcrs",
        "arch.univariate.base.ARCHModelResult": "bnr",
        "scipy.optimize._optimize.OptimizeResult": "nrs",
        "scipy.spatial._ckdtree.cKDTree": "bnr",
        "statsmodels.regression.linear_model.RegressionResultsWrapper": "bnr",
        "statsmodels.tsa.statespace._kalman_filter.dKalmanFilter": "bcr",
    }.items():
        found = everything.uses(name)
        assert found is not None, name
        assert set(uses) <= set(found), name
    assert len(everything) == len(list(everything))
    assert everything.uses("sklearn.linear_model") is None
    assert everything.uses("sklearn.linear_model._ridge.Ridge.fit") is None


def test_a_framework_brings_what_its_own_pickles_are_made_of() -> None:
    """LightGBM's models hold arrays and label encoders; torch's names are not among them."""
    some = Allowlist.load(["lightgbm"])
    assert some.uses("numpy.ndarray")
    assert some.uses("sklearn.preprocessing._label.LabelEncoder")
    assert some.uses("builtins.set")
    assert some.uses("torch._utils._rebuild_tensor_v2") is None
    assert Allowlist.load([]).uses("numpy.ndarray") is None


def test_digest_changes_with_names_and_uses_only() -> None:
    """Two loads give one digest. Another framework, name or letter gives another."""
    base = Allowlist.load()
    assert Allowlist.load(list(FRAMEWORKS)).digest == base.digest
    others = [
        Allowlist.load(["numpy"]),
        Allowlist.load(extra={"own.Model": "nr"}),
        Allowlist.load(extra={"own.Model": "bnr"}),
        Allowlist.load(extra={"own.Other": "bnr"}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 5
    assert Allowlist.load(extra={"own.Model": "bnr"}).digest == Allowlist.load(extra={"own.Model": "rnb"}).digest
    assert verdict_basis(base)["allowlist"] == base.digest
    assert verdict_basis(base)["python"].startswith("3.")


def test_user_may_add_names_and_widen_uses() -> None:
    """A class of the user is an extra name. A shipped name with one more use stays a shipped name."""
    own = Allowlist.load(extra={"fxmodels.lstm.FxLSTM": "bnr", "sklearn.linear_model._ridge.Ridge": "ar"})
    assert own.uses("fxmodels.lstm.FxLSTM") == "bnr"
    assert own.is_extra("fxmodels.lstm.FxLSTM")
    assert own.uses("sklearn.linear_model._ridge.Ridge") == "abnr"
    assert not own.is_extra("sklearn.linear_model._ridge.Ridge")


@pytest.mark.parametrize(
    ("name", "uses", "message"),
    [
        ("os.system", "cr", "can never be allowed"),
        ("builtins.eval", "r", "can never be allowed"),
        ("functools.partial", "r", "can never be allowed"),
        ("cloudpickle.cloudpickle._make_function", "cr", "can never be allowed"),
        ("__main__.Model", "bnr", "can never be allowed"),
        ("numpy.load", "cr", "can never be allowed to be called"),
        ("Model", "r", "not a full name"),
        ("own.*", "r", "not a full name"),
        ("own.mod.", "r", "not a full name"),
        ("own.Model", "", "not a set of letters"),
        ("own.Model", "xr", "not a set of letters"),
        ("own.Model", "rr", "not a set of letters"),
        ("own.Model", "bn", "may not be referred to"),
    ],
)
def test_line_that_may_not_be_is_a_problem(name: str, uses: str, message: str) -> None:
    """Names that are never allowed, patterns and unknown letters are problems, each with advice."""
    (problem,) = check_extra({name: uses})
    assert problem.code == "config.invalid_allow"
    assert message in problem.message
    assert problem.hint
    with pytest.raises(ConfigError) as caught:
        Allowlist.load(extra={name: uses})
    assert caught.value.problems == (problem,)


def test_honest_lines_are_no_problem() -> None:
    """The line that a rejection proposes is accepted."""
    assert check_extra({"fxmodels.lstm.FxLSTM": "bnr", "fxmodels.data.make": "cr", "numpy.tri": "r"}) == []


def test_unknown_framework_is_an_error_that_helps() -> None:
    """The problem proposes the nearest name, or lists all."""
    with pytest.raises(ConfigError) as caught:
        Allowlist.load(["scikit_learn", "zzz"])
    hints = [problem.hint for problem in caught.value.problems]
    assert hints[0] == "Did you mean scikit-learn?"
    assert "catboost" in hints[1]


@given(st.text(max_size=30), st.text(max_size=8))
def test_any_line_is_judged_without_an_exception(name: str, uses: str) -> None:
    """Any lines in the configuration give problems or a usable allowlist."""
    if not check_extra({name: uses}):
        assert Allowlist.load([], extra={name: uses}).uses(name) == uses


def test_lines_of_a_list_are_read_as_written() -> None:
    """A line has name, uses and hooks. Comments and empty lines are ignored."""
    text = "# head\n\na.B\tbnr\t__init__@a.B:1234\nc.d\tr  # why\n"
    assert list(parse_list(text)) == [AllowedName("a.B", "bnr", "__init__@a.B:1234"), AllowedName("c.d", "r")]


def test_name_is_explained() -> None:
    """The lists that have the name, what they permit, and which code runs for it, or why no list may have it."""
    booster = explain("lightgbm.basic.Booster")
    assert booster["frameworks"] == ["lightgbm"]
    assert booster["uses"] == "bnr"
    assert [hook.partition(":")[0] for hook in booster["hooks"]] == [
        "__del__@lightgbm.basic.Booster",
        "__setstate__@lightgbm.basic.Booster",
    ]
    assert explain("os.system") == {
        "name": "os.system",
        "frameworks": [],
        "uses": "",
        "permits": "",
        "hooks": [],
        "never": "only plain value types of the standard library are allowed",
    }


def test_uses_are_described_in_words() -> None:
    """The words have a fixed order that does not depend on the order of the letters."""
    assert describe_uses("cr") == "be referred to, be called"
