"""What stands beside models: errors, enumerations, bound methods of cloudpickle, windows of pandas, data of LightGBM.

Each comes in as its library writes it. Its hostile sibling, which calls or replaces something, is refused.
"""

from __future__ import annotations

import argparse
import pickle
import re
import types
from typing import Any

import cloudpickle
import pytest

from model_inbox.errors import LoadRefused
from model_inbox.pickles import Allowlist, load, scan_bytes
from model_inbox.pickles.names import BUILTIN_TYPE, carries_code, is_distribution, is_method, never_allowed
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
REFUSED = {"artifact.forbidden_arguments"}
TYPE = build.named("cloudpickle.cloudpickle", "_builtin_type")
LAZY = build.named("torch.nn.modules.lazy", "LazyModuleMixin._infer_parameters")
KERNEL = build.named("sklearn.gaussian_process.kernels", "Hyperparameter")


def codes(*opcodes: bytes) -> set[str]:
    """Return the codes of the problems that a scan of these opcodes finds."""
    return {problem.code for problem in scan_bytes(build.pickled(*opcodes), ALLOWLIST).problems}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "value", [argparse.Namespace(lr=0.1, layers=[1, 2]), re.findall, re.sub], ids=["settings", "findall", "sub"]
)
def test_values_of_python_come_in(value: Any, protocol: int) -> None:
    """Parsed arguments stand in checkpoints of torch, and functions of `re` as tokenizers."""
    data = pickle.dumps(value, protocol)
    report = scan_bytes(data, ALLOWLIST)
    assert report.problems == ()
    assert load(data, report.imports) == value


def test_namespace_of_cloudpickle_comes_in() -> None:
    """cloudpickle writes its type by a call of its own, which a load does not make."""
    data = cloudpickle.dumps(types.SimpleNamespace(a=1))
    report = scan_bytes(data, ALLOWLIST)
    assert report.problems == ()
    assert report.imports[BUILTIN_TYPE] == "cr"
    assert load(data, report.imports) == types.SimpleNamespace(a=1)


def bound(function: bytes, owner: bytes) -> bytes:
    """Opcodes of a bound method as cloudpickle writes it."""
    return build.called(build.called(TYPE, build.text("MethodType")), function, owner)


def test_method_that_cloudpickle_binds_comes_in() -> None:
    """A lazy module of torch keeps a function of its class, bound to itself."""
    assert codes(bound(LAZY, build.new("torch.nn.modules.linear", "LazyLinear"))) == set()


@pytest.mark.parametrize(
    "opcodes",
    [
        bound(LAZY, build.new("torch.nn.modules.linear", "Linear")),
        bound(build.named("numpy", "log"), build.new("torch.nn.modules.linear", "LazyLinear")),
        bound(LAZY, build.text("x")),
        build.called(build.called(TYPE, build.text("MethodType")), LAZY),
        build.called(TYPE, build.value(1)),
        build.called(TYPE, build.text("a.b")),
    ],
    ids=["another class", "another function", "no object", "one argument", "no text", "no name"],
)
def test_other_binding_is_refused(opcodes: bytes) -> None:
    """Only the methods that `getattr` may look up are bound, and only to the objects that have them."""
    assert codes(opcodes) == REFUSED


def test_method_that_was_bound_is_not_changed() -> None:
    """The object may keep anything by the name of the method. What it keeps would be changed in the name's place."""
    kept = build.mapping({"_h_cubic": build.named("torch.nn.modules.linear", "Linear")})
    owner = build.built(build.new("scipy.interpolate._rbf", "Rbf"), kept)
    method = bound(build.named("scipy.interpolate._rbf", "Rbf._h_cubic"), owner)
    assert codes(method) == set()
    assert codes(build.built(method, b"(N" + build.mapping({"append": build.value(1)}) + b"t")) == {
        "artifact.forbidden_use"
    }


@pytest.mark.parametrize("name", ["CodeType", "FunctionType", "CellType"])
def test_types_of_code_are_code(name: str) -> None:
    """cloudpickle names them in the same way when it writes a function by value."""
    assert "artifact.embedded_code" in codes(build.called(TYPE, build.text(name)))


def test_load_binds_nothing_else() -> None:
    """Whatever a scan has let through, a load gets a function that knows two names."""
    data = build.pickled(build.called(TYPE, build.text("CodeType")))
    with pytest.raises(AttributeError, match="CodeType"):
        load(data, {BUILTIN_TYPE: "cr"})
    with pytest.raises(LoadRefused):
        load(data, {})


def test_name_with_a_dot_is_one_of_the_few() -> None:
    """Methods that objects keep, of these classes and of distributions, and no other name with a dot."""
    assert is_method("scipy.stats._discrete_distns", "randint_gen._entropy")
    assert not is_method("scipy.stats._discrete_distns", "randint_gen._rvs")
    assert not is_method("scipy.stats._stats_py", "norm._entropy")
    assert not is_method("torch.nn.modules.lazy", "LazyModuleMixin.forward")
    assert is_distribution("scipy.stats._levy_stable.levy_stable_gen")
    assert not is_distribution("scipy.stats._distn_infrastructure.rv_continuous")
    assert not carries_code(BUILTIN_TYPE)
    assert carries_code("cloudpickle.cloudpickle._make_function")
    assert never_allowed(BUILTIN_TYPE, "rc")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("lightgbm.basic", "LightGBMError"), ("xgboost.core", "XGBoostError"), ("_catboost", "CatBoostError"),
        ("sklearn.exceptions", "NotFittedError"), ("pandas.errors", "MergeError"), ("numpy.exceptions", "RankWarning"),
        ("catboost.core", "EFstrType"),
    ],
)  # fmt: skip
def test_errors_and_enumerations_are_made_of_a_plain_value(module: str, name: str) -> None:
    """A list in place of the value would be another call than the library writes."""
    assert codes(build.called(build.named(module, name), build.text("x"))) == set()
    assert codes(build.called(build.named(module, name), b"]")) == REFUSED


def test_bounds_of_a_kernel_are_repeated_a_bounded_number_of_times() -> None:
    """numpy would make the array as large as the number says."""
    parts = (build.text("length_scale"), build.text("numeric"), build.text("fixed"))
    assert codes(build.called(KERNEL, *parts, build.value(3), b"\x88")) == set()
    assert codes(build.called(KERNEL, *parts, build.value(1 << 40), b"\x88")) == REFUSED
    assert codes(build.called(KERNEL, *parts[:2], KERNEL, build.value(3), b"\x88")) == REFUSED


def test_repeated_bounds_of_a_kernel_cost_what_they_take() -> None:
    """There may be any number of bounds, and any number of parameters."""
    parts = (build.text("length_scale"), build.text("numeric"))
    assert codes(build.called(KERNEL, *parts, build.zeros(1, 2), build.value(60_000), b"\x88")) == set()
    assert codes(build.called(KERNEL, *parts, build.zeros(60_000, 2), build.value(60_000), b"\x88")) == set()
    for wide in (build.zeros(10_000), build.zeros(1, 10_000)):
        assert codes(build.called(KERNEL, *parts, wide, build.value(60_000), b"\x88")) == {"artifact.load_cost"}


def test_each_copy_of_a_list_costs_what_it_takes() -> None:
    """A list of the file is copied as often as the file says, with a few bytes for each copy."""
    items = build.noted(1001, b"](" + b"N" * 100_000 + b"e") + b"0"
    kind = build.noted(1002, build.named("pandas.api.typing", "FrozenList")) + b"0"
    copy = build.called(build.again(1002), build.again(1001))
    assert codes(items, kind, copy) == set()
    assert codes(items, kind, b"](", copy * 1000, b"e") == {"artifact.load_cost"}


def test_data_of_lightgbm_has_no_handle() -> None:
    """LightGBM frees it as a pointer when the data is deleted."""
    target = build.new("lightgbm.basic", "Dataset")
    assert codes(build.built(target, build.mapping({"_handle": b"N", "data": b"N", "label": b"N"}))) == set()
    for state in (
        {"_handle": build.value(4096)},
        {"_free_handle": build.named("numpy", "log")},
        {"reference": build.new("sklearn.dummy", "DummyRegressor")},
    ):
        assert codes(build.built(target, build.mapping(state))) == REFUSED


@pytest.mark.parametrize("name", ["Rolling", "Expanding", "ExponentialMovingWindow", "Window"])
def test_window_of_pandas_gets_one_state(name: str) -> None:
    """With a second, a load would look up `__setstate__` in the columns that the window is over."""
    target, state = build.new("pandas.api.typing", name), build.mapping({"obj": b"N"})
    assert codes(build.built(target, state)) == set()
    assert codes(build.built(build.built(target, state), state)) == REFUSED


def test_holiday_is_moved_by_a_function_of_pandas() -> None:
    """Any other function could be called in its place."""
    target = build.new("pandas.tseries.holiday", "Holiday")
    moved = build.named("pandas.tseries.holiday", "nearest_workday")
    assert codes(build.built(target, build.mapping({"observance": moved}))) == set()
    assert codes(build.built(target, build.mapping({"observance": build.named("numpy", "log")}))) == REFUSED
    assert codes(build.built(target, build.mapping({"offset": moved}))) == REFUSED


def test_array_that_was_mapped_comes_in() -> None:
    """numpy names its class in the call that makes the array. A load makes a plain array instead."""
    state = b"(" + build.value(1) + build.value((1,)) + build.dtype() + b"\x89" + build.data(bytes(8)) + b"t"
    reconstruct, mapped = build.named("numpy._core.multiarray", "_reconstruct"), build.named("numpy", "memmap")
    assert codes(build.built(build.called(reconstruct, mapped, build.value((0,)), build.data(b"b")), state)) == set()
    assert codes(build.called(mapped, build.text("file"))) == {"artifact.forbidden_use"}
