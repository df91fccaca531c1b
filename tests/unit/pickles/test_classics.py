"""The classics of statistics and forecasting: what each library writes passes, and its hostile siblings are refused.

Owns the rules of scipy, statsmodels, arch, ngboost, quantile-forest and prophet. Every honest form here was taken from
a file that the library wrote; each sibling changes one thing, which would run code, be evaluated, or be followed out of
the arrays while the object is loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles import Allowlist, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
REFUSED = ["artifact.forbidden_arguments"]
LOG = build.named("numpy", "log")
RIDGE = build.new("sklearn.linear_model._ridge", "Ridge")
NUMBERS = {"f8": 8, "f4": 4, "i8": 8, "i4": 4, "c16": 16}


def problems(*opcodes: bytes) -> list[str]:
    """Return the codes of the problems of a pickle with these opcodes."""
    return [problem.code for problem in scan_bytes(build.pickled(*opcodes), ALLOWLIST).problems]


def zeros(*shape: int, code: str = "f8") -> bytes:
    """Opcodes of an array of zeros."""
    size = NUMBERS[code]
    for length in shape:
        size *= length
    return build.array(shape, bytes(size), build.dtype(code))


def row(*values: bytes) -> bytes:
    """Opcodes of a tuple."""
    return b"(" + b"".join(values) + b"t"


# --- k-d trees of scipy --------------------------------------------------------------------------------------

POINTS, DIMENSIONS = 4, 2
Node = tuple[int, int, int, int, int]
"""split dimension (-1 for a leaf), first and last point, and the places of the two children."""
GOOD: list[Node] = [(0, 0, 4, 1, 2), (-1, 0, 2, 0, 0), (-1, 2, 4, 0, 0)]


def nodes_of(nodes: Iterable[Node]) -> bytes:
    """Opcodes of the array of characters in which scipy keeps the nodes. Pointers are whatever they were."""
    data = b"".join(
        struct.pack("<qqdqqqqqq", split, 2, 0.5, first, last, 0x7F00, 0x7F48, less, greater)
        for split, first, last, less, greater in nodes
    )
    return build.array((len(data),), data, build.dtype("S1", (3, "|", None, None, None, 1, 1, 0)))


def kd_tree(nodes: bytes, **changed: bytes) -> bytes:
    """Opcodes of a k-d tree of four points in the plane."""
    state = {
        "nodes": nodes,
        "data": zeros(POINTS, DIMENSIONS),
        "count": build.value(POINTS),
        "dimensions": build.value(DIMENSIONS),
        "leafsize": build.value(2),
        "most": zeros(DIMENSIONS),
        "least": zeros(DIMENSIONS),
        "indices": zeros(POINTS, code="i8"),
        "box": b"N",
        "box_data": b"N",
        **changed,
    }
    return build.built(build.new("scipy.spatial._ckdtree", "cKDTree"), row(*state.values()))


def test_tree_as_scipy_writes_it_is_accepted() -> None:
    """With and without a box, of a single leaf, and of every class."""
    assert problems(kd_tree(nodes_of(GOOD))) == []
    assert problems(kd_tree(nodes_of([(-1, 0, 4, 0, 0)]))) == []
    assert problems(kd_tree(nodes_of(GOOD), box=zeros(DIMENSIONS), box_data=zeros(2 * DIMENSIONS))) == []


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [(0, 0, 4, 1, 3), *GOOD[1:]],
        [(0, 0, 4, 1, -1), *GOOD[1:]],
        [(0, 0, 4, 0, 2), *GOOD[1:]],
        [(0, 0, 4, 1, 1), *GOOD[1:]],
        [GOOD[0], (0, 0, 2, 0, 2), GOOD[2]],
        [(2, 0, 4, 1, 2), *GOOD[1:]],
        [(-2, 0, 4, 1, 2), *GOOD[1:]],
        [(0, 0, 5, 1, 2), *GOOD[1:]],
        [(0, 3, 2, 1, 2), *GOOD[1:]],
        [(0, -1, 4, 1, 2), *GOOD[1:]],
        [*GOOD, (-1, 0, 4, 0, 0)],
        [node for place in range(1200) for node in ((0, 0, 4, 2 * place + 1, 2 * place + 2), (-1, 0, 4, 0, 0))][:-1],
    ],
)
def test_tree_that_a_load_would_follow_out_of_its_nodes_is_refused(nodes: list[Node]) -> None:
    """Places outside, before their parent, of two parents, of none; a split or a point that is not there; too deep."""
    assert problems(kd_tree(nodes_of(nodes))) == REFUSED


@pytest.mark.parametrize(
    "changed",
    [
        {"data": zeros(POINTS - 1, DIMENSIONS)},
        {"data": zeros(POINTS, DIMENSIONS, code="f4")},
        {"count": build.value(2**40)},
        {"dimensions": build.value(3)},
        {"indices": zeros(POINTS, code="i4")},
        {"most": zeros(1)},
        {"box": zeros(DIMENSIONS), "box_data": zeros(DIMENSIONS)},
        {"data": RIDGE},
        {"nodes": zeros(27, code="f8")},
        {"nodes": build.value(b"")},
    ],
)
def test_tree_whose_numbers_do_not_fit_its_arrays_is_refused(changed: dict[str, bytes]) -> None:
    """scipy reads as many points, bounds and places as the numbers say."""
    assert problems(kd_tree(**{"nodes": nodes_of(GOOD), **changed})) == REFUSED


def test_tree_gets_its_state_once() -> None:
    """A second state would free what the first one points to."""
    tree = kd_tree(nodes_of(GOOD))
    again = tree + kd_tree(nodes_of(GOOD)).partition(b")\x81")[2]
    assert problems(again) == REFUSED


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-1, 5), st.integers(-1, 5), st.integers(-1, 5),
                          st.integers(-1, 5)), max_size=5))  # fmt: skip
def test_every_accepted_tree_is_followed_within_its_nodes(nodes: list[Node]) -> None:
    """Follow an accepted tree as scipy does: each node is met once, and no place is outside."""
    if problems(kd_tree(nodes_of(nodes))):
        return
    waiting, met = [0], []
    while waiting:
        place = waiting.pop()
        met.append(place)
        split, first, last, less, greater = nodes[place]
        assert 0 <= first <= last <= POINTS
        if split != -1:
            assert 0 <= split < DIMENSIONS
            waiting += [less, greater]
    assert sorted(met) == list(range(len(nodes)))


def test_nodes_are_read_in_joblibs_files_too() -> None:
    """joblib writes the bytes of arrays between the opcodes."""
    data = struct.pack("<qqdqqqqqq", 0, 2, 0.5, 0, 4, 0, 0, 7, 8)
    characters = build.dtype("S1", (3, "|", None, None, None, 1, 1, 0))
    wrapped = build.joblib_array(data, (len(data),), characters)
    (problem,) = scan_bytes(build.pickled(kd_tree(wrapped)), ALLOWLIST).problems
    assert problem.code == "artifact.forbidden_arguments"
    assert "a node has wrong children" in problem.message


# --- other types of scipy ------------------------------------------------------------------------------------

MESH = ("scipy.spatial._qhull", "ConvexHull")
ROTATION = ("scipy.spatial.transform._rotation", "Rotation")
SPLINE = ("scipy.interpolate._cubic", "CubicSpline")

HONEST: dict[str, bytes] = {
    "a mesh": build.built(build.new(*MESH), build.mapping({"_qhull": b"N", "points": zeros(3, 2)})),
    "a rotation": build.built(build.new(*ROTATION), row(zeros(1, 4), b"\x88")),
    "a spline": build.built(
        build.new(*SPLINE), b"N" + build.mapping({"c": zeros(4, 2), "x": zeros(3), "axis": build.value(0)}) + b"\x86"
    ),
    "the result of an optimizer": build.new("scipy.optimize._optimize", "OptimizeResult")
    + b"(" + build.text("x") + zeros(2) + build.text("success") + b"\x88u",
}  # fmt: skip
HOSTILE: dict[str, bytes] = {
    "a mesh that closes what the file chose": build.built(build.new(*MESH), build.mapping({"_qhull": RIDGE})),
    "a mesh whose close is the file's": build.built(build.new(*MESH), build.mapping({"close": LOG})),
    "a rotation of three numbers": build.built(build.new(*ROTATION), row(zeros(1, 3), b"\x88")),
    "a rotation of an object": build.built(build.new(*ROTATION), row(RIDGE, b"\x88")),
    "a slot that runs a property": build.built(build.new(*SPLINE), b"N" + build.mapping({"fill_value": LOG}) + b"\x86"),
    "a spline's class changed": build.built(build.new(*SPLINE), b"N" + build.mapping({"__class__": LOG}) + b"\x86"),
    "radial functions over an object": build.built(
        build.new("scipy.interpolate._rbfinterp", "RBFInterpolator"),
        row(row(RIDGE, b"N", b"N", b"N", b"N", b"N", b"N", b"N", b"N"), row(b"N", b"N", b"N")),
    ),
}


@pytest.mark.parametrize("opcodes", HONEST.values(), ids=HONEST.keys())
def test_what_scipy_writes_is_accepted(opcodes: bytes) -> None:
    """Meshes, rotations, splines and results."""
    assert problems(opcodes) == []


@pytest.mark.parametrize("opcodes", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_scipy_would_call_or_follow_is_refused(opcodes: bytes) -> None:
    """Methods that a load or a deletion calls, properties that slots would run, arrays of another shape."""
    assert set(problems(opcodes)) == set(REFUSED)


def test_only_results_whose_keywords_are_ignored_get_them() -> None:
    """Protocol 4 creates an object with keywords; what other classes do with them no rule checks."""
    numbers, keywords = b"(G" + bytes(8) + b"G" + bytes(8) + b"t", build.mapping({"correlation": build.value(0.5)})
    for module, name, found in (
        ("scipy.stats._stats_py", "SignificanceResult", []),
        ("scipy.stats._morestats", "Anderson_ksampResult", []),
        ("scipy.stats._stats_py", "ModeResult", REFUSED),
    ):
        assert problems(build.named(module, name) + numbers + keywords + b"\x92") == found, name


def test_interpolator_keeps_one_of_its_own_methods() -> None:
    """By its name with a dot, or looked up; no other method, and no other name with a dot."""
    interp1d = ("scipy.interpolate._interpolate", "interp1d")
    for method, expected in (("_call_linear", []), ("__init__", ["artifact.never_allowed"])):
        state = build.mapping({"_call": build.named(interp1d[0], f"interp1d.{method}")})
        assert problems(build.built(build.new(*interp1d), state)) == expected
    found = build.called(build.named("builtins", "getattr"), build.named(*interp1d), build.text("_call_spline"))
    assert problems(found) == []
    wrong = build.called(build.named("builtins", "getattr"), build.named(*interp1d), build.text("__init__"))
    assert problems(wrong) == REFUSED
    assert problems(build.named("scipy.interpolate._interpolate", "PPoly._call_linear")) == ["artifact.never_allowed"]


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [
        ("statsmodels.tsa.exponential_smoothing.ets", "ETSModel", "loglike"),
        ("statsmodels.discrete.count_model", "ZeroInflatedPoisson", "_hessian_logit"),
        ("scipy.stats._kde", "gaussian_kde", "silverman_factor"),
    ],
)
def test_only_the_method_that_a_model_keeps_is_looked_up(module: str, name: str, method: str) -> None:
    """A model keeps a method of its own as an attribute; any other attribute could be anything."""
    getter = build.named("builtins", "getattr")
    assert problems(build.called(getter, build.new(module, name), build.text(method))) == []
    assert problems(build.called(getter, build.new(module, name), build.text("__class__"))) == REFUSED
    assert problems(build.called(getter, RIDGE, build.text(method))) == REFUSED


def test_result_of_an_optimizer_gets_no_state() -> None:
    """It looks up every attribute among its items, `__setstate__` too."""
    result = build.new("scipy.optimize._optimize", "OptimizeResult")
    assert problems(result + build.text("__setstate__") + LOG + b"s" + b"}b") == ["artifact.forbidden_use"]


# --- statsmodels ---------------------------------------------------------------------------------------------


def model_data(**state: bytes) -> bytes:
    """Opcodes of the data of a model of statsmodels."""
    return build.built(build.new("statsmodels.base.data", "PandasData"), build.mapping(state))


@pytest.mark.parametrize("key", ["restore_model_spec", "restore_design_info"])
def test_formula_is_never_evaluated(key: str) -> None:
    """A state that makes statsmodels evaluate a formula is refused; the message says the way out."""
    assert problems(model_data(endog=zeros(3), formula=build.text("y ~ x"))) == []
    (problem,) = scan_bytes(
        build.pickled(model_data(formula=build.text("__import__('os').system('id')"), **{key: b"\x88"})), ALLOWLIST
    ).problems
    assert problem.code == "artifact.forbidden_arguments"
    assert "evaluate its formula" in problem.message
    assert "sm.OLS(y, X)" in problem.message


@pytest.mark.parametrize(
    "opcodes",
    [
        build.built(
            build.new("statsmodels.discrete.discrete_model", "NegativeBinomial"),
            build.mapping({"loglike_method": build.text("nb2"), "_initialize": LOG}),
        ),
        build.built(
            build.new("statsmodels.discrete.discrete_model", "NegativeBinomial"),
            build.mapping({"loglike_method": RIDGE}),
        ),
        build.built(build.new("pandas.core.window.rolling", "Rolling"), b"}") + b"}b",
        build.new("statsmodels.tools.tools", "Bunch") + build.text("__setstate__") + LOG + b"s" + b"\x94h\x00b",
        build.built(build.new("statsmodels.tools.tools", "Bunch"), build.mapping({"__class__": LOG})),
        build.built(build.new("statsmodels.tools.tools", "Bunch"), build.new("statsmodels.tools.tools", "Bunch")),
    ],
)
def test_method_that_statsmodels_would_call_cannot_be_replaced(opcodes: bytes) -> None:
    """`_initialize` of a count model, what it compares; a second state; `__setstate__` among the items of a bunch."""
    assert problems(opcodes) == REFUSED


SPACE = "statsmodels.tsa.statespace."
STATES, SERIES, ROWS = 2, 1, 5
MATRIXES = ((SERIES, ROWS), (SERIES, STATES, 1), (SERIES, 1), (SERIES, SERIES, 1), (STATES, STATES, 1), (STATES, 1),
            (STATES, 1, 1), (1, 1, 1))  # fmt: skip


def space(*, changed: dict[int, tuple[int, ...]] | None = None, code: str = "f8", prefix: str = "d") -> bytes:
    """Opcodes of a state space. `changed` are other shapes, by the place of the array."""
    shapes = [(changed or {}).get(place, shape) for place, shape in enumerate(MATRIXES)]
    arrays = [zeros(*shape, code=code) for shape in shapes]
    return build.called(build.named(f"{SPACE}_representation", f"{prefix}Statespace"), *arrays, build.value(-1))


def kalman_filter(model: bytes, *, flags: tuple[Any, ...] = (1, 1, 1, 0, 0, 1e-19, 0), prefix: str = "d") -> bytes:
    """Opcodes of a Kalman filter."""
    name = build.named(f"{SPACE}_kalman_filter", f"{prefix}KalmanFilter")
    return build.called(name, model, *map(build.value, flags))


def test_kalman_filter_as_statsmodels_writes_it_is_accepted() -> None:
    """A state space, its filter with a state, and a smoother of both."""
    state = build.mapping({"t": build.value(ROWS), "univariate_filter": zeros(ROWS, code="i4"), "tmp0": zeros(1, 2)})
    filtered = build.built(kalman_filter(space()), state)
    smoother = build.called(
        build.named(f"{SPACE}_kalman_smoother", "dKalmanSmoother"), space(), filtered, build.value(31), build.value(0)
    )
    assert problems(smoother) == []
    assert problems(space(code="c16", prefix="z")) == []


@pytest.mark.parametrize(
    "opcodes",
    [
        *(space(changed={place: (7, *shape[1:])}) for place, shape in enumerate(MATRIXES) if place),
        *(space(changed={place: (*shape[:-1], 3)}) for place, shape in enumerate(MATRIXES) if place),
        space(changed={0: (SERIES, 0)}),
        space(changed={0: (0, ROWS)}),
        space(code="f4"),
        kalman_filter(space(), flags=(1, 1, 1, 0, 0, 1e-19, -1)),
        kalman_filter(space(), flags=(2**40, 1, 1, 0, 0, 1e-19, 0)),
        kalman_filter(RIDGE),
        kalman_filter(space(code="c16", prefix="z")),
        build.built(kalman_filter(space()), build.mapping({"t": build.value(ROWS + 1)})),
        build.built(kalman_filter(space()), build.mapping({"t": build.value(0), "tmp0": zeros(0, 2)})),
        build.built(
            kalman_filter(space()), build.mapping({"t": build.value(0), "univariate_filter": zeros(2, code="i4")})
        ),
        build.built(kalman_filter(space()), build.mapping({"t": build.value(0), "tmp0": RIDGE})),
        build.called(
            build.named(f"{SPACE}_kalman_smoother", "dKalmanSmoother"),
            space(), kalman_filter(space(changed={0: (SERIES, ROWS + 1)})), build.value(31), build.value(0),
        ),
        build.called(
            build.named(f"{SPACE}_initialization", "dInitialization"),
            build.value(3), zeros(2), zeros(2, 2), build.value(1e6),
        ),
        build.called(build.named("statsmodels.tsa.stl._stl", "STL"), RIDGE, *[build.value(12)] * 11),
        build.called(build.named("statsmodels.tsa.stl._stl", "STL"), zeros(9), *[build.value(2**40)] * 11),
    ],
)  # fmt: skip
def test_kalman_filter_whose_arrays_do_not_belong_together_is_refused(opcodes: bytes) -> None:
    """Each array with another shape, empty or of other numbers, a place outside, and objects instead of arrays."""
    assert set(problems(opcodes)) == set(REFUSED)


# --- arch, ngboost, quantile-forest, prophet -----------------------------------------------------------------

RECURSIONS = "arch.univariate.recursions"
FOREST = build.named("quantile_forest._quantile_forest_fast", "QuantileForest")
FOREST_ARRAYS = (zeros(1, 3), zeros(1, 1, 1, 1, code="i8"), zeros(0, 0, 0))


def ngboost(**state: bytes) -> bytes:
    """Opcodes of a regressor of ngboost."""
    plain = {
        "Dist": build.named("ngboost.distns.normal", "Normal"),
        "Score": build.named("ngboost.scores", "LogScore"),
        "Dist_name": build.text("Normal"),
    }
    items = {key: value for key, value in {**plain, **state}.items() if value}
    return build.built(build.new("ngboost.api", "NGBRegressor"), build.mapping(items))


def updater(name: str, args: tuple[Any, ...], *state: bytes) -> bytes:
    """Opcodes of a recursion of arch."""
    made = build.called(
        build.named(RECURSIONS, name), *(arg if type(arg) is bytes else build.value(arg) for arg in args)
    )
    return build.built(made, row(*state)) if state else made


ACCEPTED: dict[str, bytes] = {
    "EGARCH": updater("EGARCHUpdater", (1, 1, 1), build.value(0.5), zeros(4), zeros(4), zeros(4)),
    "EWMA": updater("EWMAUpdater", (0.94,), build.value(0.5), zeros(3)),
    "HARCH": updater("HARCHUpdater", (zeros(2, code="i4"),), build.value(0.5)),
    "ngboost": ngboost(),
    "ngboost of classes": ngboost(Dist=b"", Dist_name=build.text("Categorical"), K=build.value(3)),
    "quantile-forest": build.built(build.called(FOREST, *FOREST_ARRAYS, b"\x89"), b"}"),
    "a kind of command of Stan": build.called(build.named("cmdstanpy.cmdstan_args", "Method"), build.value(2)),
}
MISUSED: dict[str, bytes] = {
    "EGARCH of arrays of other lengths": updater(
        "EGARCHUpdater", (1, 1, 1), build.value(0.5), zeros(4), zeros(1), zeros(4)
    ),
    "EGARCH of negative order": updater("EGARCHUpdater", (-1, 1, 1)),
    "FIGARCH of a huge truncation": updater("FIGARCHUpdater", (1, 1, 2.0, 2**40)),
    "HARCH of other lags": updater("HARCHUpdater", (zeros(2),)),
    "EWMA of an object": updater("EWMAUpdater", (RIDGE,)),
    "EWMA with an object for a state": updater("EWMAUpdater", (0.94,), build.value(0.5), RIDGE),
    "RiskMetrics of short arrays": updater("RiskMetrics2006Updater", (14, zeros(3), zeros(14))),
    "a mean over an object": build.built(
        build.called(
            build.named(RECURSIONS, "__pyx_unpickle_ARCHInMeanRecursion"),
            build.named(RECURSIONS, "ARCHInMeanRecursion"), build.value(1), b"N",
        ),
        RIDGE + b"\x85",
    ),
    "ngboost with a function for a distribution": ngboost(Dist=LOG),
    "ngboost with a class for a score": ngboost(Score=build.named("sklearn.linear_model._ridge", "Ridge")),
    "ngboost with an object for a score": ngboost(Score=RIDGE),
    "ngboost with a million classes": ngboost(Dist=b"", Dist_name=build.text("Categorical"), K=build.value(10**6)),
    "ngboost with another name": ngboost(Dist=b"", Dist_name=build.text("Normal"), K=build.value(3)),
    "a forest of sparse leaves": build.called(FOREST, *FOREST_ARRAYS, b"\x88"),
    "a forest that unpacks a matrix": build.built(
        build.called(FOREST, *FOREST_ARRAYS, b"\x89"), build.mapping({"matrix1": RIDGE})
    ),
    "a forest over other arrays": build.called(FOREST, zeros(3), *FOREST_ARRAYS[1:], b"\x89"),
    "a member that hashes an object": build.called(build.named("cmdstanpy.cmdstan_args", "Method"), RIDGE),
}  # fmt: skip


@pytest.mark.parametrize("opcodes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_the_library_writes_is_accepted(opcodes: bytes) -> None:
    """The forms in which the libraries keep recursions, distributions and leaves."""
    assert problems(opcodes) == []


@pytest.mark.parametrize("opcodes", MISUSED.values(), ids=MISUSED.keys())
def test_what_the_library_would_call_or_copy_is_refused(opcodes: bytes) -> None:
    """Other arrays than it copies, other classes than it makes classes from, and objects that it would ask."""
    assert set(problems(opcodes)) == set(REFUSED)


# --- pandas --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy.poly1d", "numpy.polynomial.polynomial.Polynomial", "numpy.vectorize"])
def test_attribute_of_pandas_is_nothing_that_can_be_called(name: str) -> None:
    """A few classes of numpy make objects that are called like functions."""
    module, _, last = name.rpartition(".")
    state = build.mapping({"construct_array_type": build.built(build.new(module, last), b"}")})
    assert problems(build.built(build.new("pandas", "SparseDtype"), state)) == REFUSED
