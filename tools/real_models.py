"""Real models for learning what honest pickles carry: fitted, small, and of as many kinds as there are.

Owns the learning set and nothing else: `tools/build_allowlist.py` pickles what it yields. The models of the test
suites are made by other code, on other data, so that what was learned is tested on what was not.
"""

# ruff: noqa: PERF401, PLW0108 - a long list of constructors reads better line by line
from __future__ import annotations

import array
import contextlib
import datetime as dt
import decimal
import fractions
import functools
import http
import ipaddress
import math
import operator
import pathlib
import re
import statistics
import types
import uuid
import warnings
import zoneinfo
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Model = tuple[str, Any]

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4))
POSITIVE = np.abs(X) + 0.1
Y = X[:, 0] * 2 + X[:, 1]
CLASSES = (Y > 0).astype(int)
NAMES = np.where(Y > 0, "up", "down")
THREE = np.digitize(Y, [-1.0, 1.0])
TEXTS = ["euro dollar rise", "yen falls again", "dollar yen flat"] * 20
CATEGORIES = np.array([["a", "x"], ["b", "y"], ["a", "z"]] * 20, dtype=object)

FITS: tuple[tuple[Any, ...], ...] = (
    (X, Y),
    (X, CLASSES),
    (X, NAMES),
    (X, THREE),
    (POSITIVE, THREE),
    (POSITIVE, CLASSES),
    (POSITIVE, POSITIVE[:, 0]),
    (X,),
    (POSITIVE,),
    (CATEGORIES, CLASSES),
    (CATEGORIES,),
    (TEXTS, CLASSES),
    (TEXTS,),
    (CLASSES,),
    (Y[:, None], Y),
    (X, np.c_[Y, Y]),
    (X, np.c_[CLASSES, 1 - CLASSES]),
    ([{"a": 1, "b": 2}, {"a": 3}] * 10,),
    ([["a", "b"], ["a"]] * 10,),
    (np.cov(X.T) @ np.cov(X.T).T,),
)


def fitted(make: Callable[[], Any], *fits: tuple[Any, ...], all_of_them: bool = False) -> Iterator[Any]:
    """Yield a fitted copy for the first kind of data that suits, or for every one."""
    for data in fits or FITS:
        try:
            model = make()
            model.fit(*data)
        except Exception:  # noqa: BLE001 - most estimators suit few kinds of data
            continue
        yield model
        if not all_of_them:
            return


def words(text: str) -> list[str]:
    """Return the words of a long list."""
    return text.split()


def python_values() -> Iterator[Model]:
    """Plain values of the standard library, as they stand in dictionaries beside a model."""
    zone = dt.timezone(dt.timedelta(hours=2), "X")
    now = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    yield (
        "values",
        {
            "now": now,
            "naive": now.replace(tzinfo=None),
            "utc": now.replace(tzinfo=dt.UTC),
            "day": now.date(),
            "time": now.time(),
            "delta": dt.timedelta(days=1),
            "decimal": decimal.Decimal("1.5"),
            "fraction": fractions.Fraction(1, 3),
            "uuid": uuid.UUID(int=5),
            "path": pathlib.PurePosixPath("a/b"),
            "real_path": pathlib.Path("a/b"),
            "counter": Counter("aab"),
            "ordered": OrderedDict(a=1),
            "default": defaultdict(list, a=[1]),
            "default_int": defaultdict(int, a=1),
            "default_float": defaultdict(float, a=1.0),
            "default_dict": defaultdict(dict, a={}),
            "default_set": defaultdict(set, a={1}),
            "deque": deque([1, 2], 5),
            "set": {1, 2},
            "frozen": frozenset({1}),
            "complex": 1 + 2j,
            "range": range(3),
            "slice": slice(1, 2),
            "bytes": b"ab",
            "no_bytes": b"",
            "bytearray": bytearray(b"ab"),
            "types": [int, float, str, bool, list, dict, set, tuple, bytes, object, complex, frozenset],
            "object": object(),
            "none": [Ellipsis, NotImplemented],
            "pattern": re.compile("a+", re.IGNORECASE),
            "bytes_pattern": re.compile(b"a"),
            "flags": re.IGNORECASE | re.MULTILINE,
            "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
            "zoned": now.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo")),
            "partial": functools.partial(int, base=2),
            "partial_numpy": functools.partial(np.percentile, q=[5, 95]),
            "status": http.HTTPStatus.OK,
            "chain": ChainMap({"a": 1}),
            "user": [UserDict(a=1), UserList([1])],
            "address": [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")],
            "array": array.array("d", [1.0, 2.0]),
            "namespace": types.SimpleNamespace(a=1),
            "text_methods": [str.split, str.lower, str.strip],
            "functions": [abs, all, any, divmod, len, max, min, round, sorted, sum],
            "math": [
                value
                for name, value in vars(math).items()
                if callable(value) and name[0] != "_" and name not in ("comb", "factorial", "perm", "pow", "prod")
            ],
            "statistics": [
                statistics.mean,
                statistics.median,
                statistics.stdev,
                statistics.fmean,
                statistics.mode,
                statistics.pstdev,
                statistics.variance,
                statistics.pvariance,
                statistics.quantiles,
            ],
            "operators": [
                getattr(operator, name)
                for name in (
                    "add",
                    "sub",
                    "mul",
                    "truediv",
                    "floordiv",
                    "mod",
                    "neg",
                    "pos",
                    "lt",
                    "le",
                    "gt",
                    "ge",
                    "eq",
                    "ne",
                    "and_",
                    "or_",
                    "xor",
                    "not_",
                    "abs",
                )
            ],
            "getters": [operator.itemgetter(1), operator.itemgetter("a", "b")],
            "errors": [ValueError, KeyError, TypeError, RuntimeError("a"), Warning, UserWarning, ZeroDivisionError],
            "key_date": {now.date(): 1, decimal.Decimal(1): 2, frozenset({1}): 3},
        },
    )


def numpy_values() -> Iterator[Model]:
    """Arrays, scalars, dtypes and generators."""
    yield (
        "arrays",
        {
            "f8": X,
            "f4": X.astype("f4"),
            "fortran": np.asfortranarray(X),
            "view": X[::2, ::-1],
            "bool": CLASSES.astype(bool),
            "i1": CLASSES.astype("i1"),
            "big": CLASSES.astype(">i4"),
            "str": NAMES,
            "bytes": NAMES.astype("S"),
            "object": CATEGORIES,
            "complex": X.astype(complex),
            "dates": np.array(["2026-01-01", "2026-01-02"], "M8[ns]"),
            "deltas": np.array([1, 2], "m8[D]"),
            "records": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
            "aligned": np.array([(1, 2.0)], np.dtype([("a", "i1"), ("b", "f8")], align=True)),
            "empty": np.empty((0, 3)),
            "scalar_array": np.array(1.0),
            "masked": np.ma.MaskedArray([1.0, 2.0], mask=[True, False]),
            "masked_int": np.ma.masked_array([1, 2], mask=[True, False], fill_value=-1),
            "longdouble": np.array([1.0], "g"),
            "half": np.array([1.0], "f2"),
        },
    )
    scalars = [np.float64(1), np.float32(1), np.int64(1), np.int32(1), np.bool_(1), np.str_("a"), np.uint8(1),
               np.datetime64("2026-01-01"), np.timedelta64(1, "D"), np.bytes_(b"a"), np.int8(1), np.float16(1),
               np.complex128(1)]  # fmt: skip
    yield "scalars", {"list": scalars, "keys": dict.fromkeys(scalars, 1)}
    yield "dtypes", [np.dtype(code) for code in ("f8", "f4", "i8", "O", "U3", "M8[ns]", "bool")]
    kinds = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16,
             np.uint32, np.uint64, np.bool_, np.str_, np.object_, np.complex128, np.complex64, np.datetime64,
             np.timedelta64, np.bytes_, np.longdouble, np.generic, np.number, np.integer, np.floating]  # fmt: skip
    yield "types", kinds
    yield "functions", [getattr(np, name) for name in NUMPY_FUNCTIONS if hasattr(np, name)]
    for generator in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64):
        yield "generator", np.random.Generator(generator(3))
        yield "bit generator", generator(3)
    yield "random state", np.random.RandomState(3)
    yield "seed sequence", np.random.SeedSequence(3)
    yield "legacy state", [np.random.RandomState(3).get_state(), np.random.default_rng(3).bit_generator.state]
    yield "spawned", np.random.SeedSequence(3, spawn_key=(1,)).spawn(2)
    records = np.array([(1, 2.0, "a")], [("a", "i4"), ("b", "f8"), ("c", "U3")])
    yield (
        "classes of arrays",
        {
            "matrix": np.asmatrix(X),
            "recarray": records.view(np.recarray),
            "record": records.view(np.recarray)[0],
            "void": records[0],
            "chararray": np.char.array(["a", "b"]),
            "masked_object": np.ma.masked_array(["a", "b"], mask=[True, False]),
            "masked_constant": np.ma.masked,
            "masked_records": np.ma.masked_array(records, mask=[(True, False, False)]),
            "sub_array": np.zeros(2, [("a", "f4", (2, 3)), ("b", "i2")]),
            "titles": np.zeros(2, np.dtype({"names": ["a"], "formats": ["f8"], "titles": ["A"]})),
            "nested": np.zeros(2, [("a", [("b", "f8"), ("c", "i4")])]),
            "object_field": np.array([(1, "a")], [("a", "i4"), ("b", "O")]),
            "raw": np.zeros(2, "V5"),
        },
    )
    if hasattr(np.dtypes, "StringDType"):
        yield "strings", np.array(["a", "bcd"], np.dtypes.StringDType())
        yield "missing strings", np.array(["a", np.nan], np.dtypes.StringDType(na_object=np.nan))
        yield "no strings", np.array(["a", None], np.dtypes.StringDType(na_object=None))
        yield "strict strings", np.array(["a"], np.dtypes.StringDType(coerce=False))
    for kind in (np.polynomial.Polynomial, np.polynomial.Chebyshev, np.polynomial.Legendre, np.polynomial.Hermite,
                 np.polynomial.HermiteE, np.polynomial.Laguerre):  # fmt: skip
        yield "polynomial", kind([1.0, 2.0])
    yield "poly1d", np.poly1d([1.0, 2.0])
    yield "vectorize", [np.vectorize(np.log), np.vectorize(np.add, otypes=[float], excluded=["b"])]
    yield "parts of ufuncs", [np.add.reduce, np.maximum.accumulate, np.multiply.outer]
    yield "linalg", [getattr(np.linalg, name) for name in NUMPY_LINALG if hasattr(np.linalg, name)]
    yield "slices", [np.s_[1:2], np.index_exp[1:2, ::2], np.newaxis]


NUMPY_FUNCTIONS = words("""
    all allclose amax amin angle any append argmax argmin argpartition argsort argwhere around array array_equal
    asarray ascontiguousarray asfortranarray astype atleast_1d atleast_2d atleast_3d average bincount
    broadcast_to choose clip column_stack compress concat concatenate convolve copy corrcoef correlate
    count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum delete diag diagonal diff digitize dot
    dstack ediff1d einsum empty_like expand_dims extract fix flatnonzero flip fliplr flipud full_like gradient
    heaviside histogram hstack identity imag inner insert interp intersect1d isclose iscomplex isin isneginf
    isposinf isreal kron lexsort linspace max mean median meshgrid min moveaxis nan_to_num nanargmax nanargmin
    nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar
    ndim nonzero ones_like outer pad partition percentile permute_dims polyfit polyval prod ptp quantile ravel
    real real_if_close repeat reshape roll rollaxis rot90 round searchsorted select setdiff1d shape sinc size
    sort split squeeze stack std sum swapaxes take take_along_axis tensordot tile trace transpose trapezoid
    trapz tril triu union1d unique unwrap vander var vdot vstack where zeros_like row_stack in1d msort product
    round_ alltrue sometrue float_power
""")
"""Functions of numpy that stand as parameters in pipelines. They are referred to, never called by a load. None opens a
file or calls a function that it gets."""

NUMPY_LINALG = words("""
    cholesky cond det eig eigh eigvals eigvalsh inv lstsq matrix_power matrix_rank norm pinv qr slogdet solve
    svd
""")
NUMPY_UFUNCS = sorted(name for name in dir(np) if isinstance(getattr(np, name), np.ufunc))


def sklearn_models() -> Iterator[Model]:
    """Every estimator that can be fitted on some of our data, and the variants that bring in helper classes."""
    from sklearn.utils import all_estimators

    try:
        from sklearn.utils._test_common.instance_generator import _construct_instances
    except ImportError:  # before 1.6
        from sklearn.utils.estimator_checks import _construct_instance

        def _construct_instances(kind: Any) -> Iterator[Any]:
            yield _construct_instance(kind)

    for name, kind in all_estimators():
        try:
            count = len(list(_construct_instances(kind)))
        except BaseException:  # noqa: BLE001 - a few need arguments; their tests raise unittest.SkipTest
            continue
        for index in range(min(count, 4)):
            yield from (
                (name, model)
                for model in fitted(
                    lambda kind=kind, index=index: list(_construct_instances(kind))[index], all_of_them=True
                )
            )
    yield from scipy_values()
    yield from sklearn_results()
    yield from sklearn_variants()


def scipy_values() -> Iterator[Model]:
    """What scipy puts into models: sparse matrices and interpolators."""
    from scipy import interpolate, sparse

    dense = np.where(X > 0.5, X, 0)
    for form in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok"):
        for kind in ("matrix", "array"):
            yield form, getattr(sparse, f"{form}_{kind}")(dense)
    steps = np.arange(10.0)
    yield "cubic", interpolate.CubicSpline(steps, steps**2)
    yield "pchip", interpolate.PchipInterpolator(steps, steps**2)
    yield "akima", interpolate.Akima1DInterpolator(steps, steps**2)
    yield "spline", interpolate.make_interp_spline(steps, steps**2)
    yield "pieces", interpolate.PPoly(np.ones((2, 9)), steps)


def sklearn_variants() -> Iterator[Model]:
    """Estimators whose parameters choose a class of their own: losses, metrics, kernels, splitters, searches."""
    import sklearn
    from sklearn import (
        calibration,
        cluster,
        compose,
        decomposition,
        ensemble,
        feature_extraction,
        feature_selection,
        gaussian_process,
        impute,
        linear_model,
        metrics,
        model_selection,
        multiclass,
        multioutput,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )  # fmt: skip

    makes: list[Callable[[], Any]] = []
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        makes.append(lambda loss=loss: ensemble.GradientBoostingRegressor(loss=loss, n_estimators=3))
    for loss in ("log_loss", "exponential"):
        makes.append(lambda loss=loss: ensemble.GradientBoostingClassifier(loss=loss, n_estimators=3))
    for loss in ("squared_error", "absolute_error", "quantile", "gamma", "poisson"):
        makes.append(lambda loss=loss: ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=3, quantile=0.5))
    makes.append(lambda: ensemble.HistGradientBoostingClassifier(max_iter=3))
    for loss in ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        makes.append(lambda loss=loss: linear_model.SGDRegressor(loss=loss))
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "squared_error", "huber"):
        makes.append(lambda loss=loss: linear_model.SGDClassifier(loss=loss))
    makes += [linear_model.GammaRegressor, linear_model.PoissonRegressor]
    for power, link in ((0, "auto"), (1.5, "log"), (1, "auto"), (2, "auto"), (3, "identity"), (1.5, "identity")):
        makes.append(lambda power=power, link=link: linear_model.TweedieRegressor(power=power, link=link))
    for algorithm in ("ball_tree", "kd_tree", "brute", "auto"):
        for metric in ("euclidean", "manhattan", "chebyshev", "minkowski", "cosine", "canberra", "braycurtis",
                       "hamming", "seuclidean", "haversine", "l1", "l2", "cityblock", "jaccard"):  # fmt: skip
            for kind in (neighbors.KNeighborsRegressor, neighbors.KNeighborsClassifier):
                makes.append(
                    lambda a=algorithm, m=metric, k=kind: k(algorithm=a, metric=m, p=3 if m == "minkowski" else 2)
                )
    makes.append(lambda: neighbors.KernelDensity(metric="manhattan"))
    for method in ("sigmoid", "isotonic", "temperature"):
        makes.append(
            lambda m=method: calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), method=m, cv=2)
        )
    kernels = gaussian_process.kernels
    for kernel in (
        kernels.RBF() + kernels.WhiteKernel(), kernels.ConstantKernel() * kernels.Matern(), kernels.RationalQuadratic(),
        kernels.ExpSineSquared(), kernels.DotProduct() ** 2, kernels.PairwiseKernel(),
        kernels.CompoundKernel([kernels.RBF()]),
    ):  # fmt: skip
        makes.append(lambda kernel=kernel: gaussian_process.GaussianProcessRegressor(kernel))
        makes.append(lambda kernel=kernel: gaussian_process.GaussianProcessClassifier(kernel))
    splitters = [
        model_selection.KFold(3), model_selection.StratifiedKFold(3), model_selection.TimeSeriesSplit(3),
        model_selection.ShuffleSplit(2), model_selection.StratifiedShuffleSplit(2),
        model_selection.RepeatedKFold(n_repeats=1), model_selection.RepeatedStratifiedKFold(n_repeats=1),
        model_selection.GroupKFold(2), model_selection.LeaveOneOut(),
        model_selection.PredefinedSplit([0, 1] * 30), model_selection.StratifiedGroupKFold(2),
    ]  # fmt: skip
    for splitter in splitters:
        makes.append(lambda cv=splitter: model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1, 2]}, cv=cv))
        makes.append(
            lambda cv=splitter: model_selection.RandomizedSearchCV(
                linear_model.LogisticRegression(), {"C": [1, 2]}, n_iter=1, cv=cv
            )
        )
    scorer = metrics.make_scorer(metrics.mean_absolute_error, greater_is_better=False)
    makes.append(lambda: model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1]}, cv=2, scoring=scorer))
    makes.append(
        lambda: model_selection.GridSearchCV(
            linear_model.Ridge(), {"alpha": [1]}, cv=2, scoring={"r": "r2", "m": scorer}, refit="r"
        )
    )
    makes.append(
        lambda: model_selection.GridSearchCV(
            ensemble.RandomForestClassifier(3), {"max_depth": [1, 2]}, cv=2, scoring="roc_auc"
        )
    )
    makes.append(
        lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(), decomposition.PCA(2), linear_model.LogisticRegression()
        )
    )
    makes.append(lambda: pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p), linear_model.Ridge()))
    makes.append(
        lambda: pipeline.make_pipeline(
            impute.SimpleImputer(), impute.KNNImputer(), preprocessing.PolynomialFeatures(), linear_model.Lasso()
        )
    )
    makes.append(
        lambda: pipeline.make_union(preprocessing.StandardScaler(), preprocessing.QuantileTransformer(n_quantiles=5))
    )
    makes.append(
        lambda: compose.ColumnTransformer([("n", preprocessing.StandardScaler(), [0, 1])], remainder="passthrough")
    )
    makes.append(lambda: compose.ColumnTransformer([("o", preprocessing.OneHotEncoder(), [0]), ("d", "drop", [1])]))
    makes.append(
        lambda: compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.arcsinh, inverse_func=np.sinh)
    )
    makes.append(
        lambda: compose.TransformedTargetRegressor(linear_model.Ridge(), transformer=preprocessing.StandardScaler())
    )
    makes.append(lambda: feature_selection.SelectKBest(feature_selection.f_regression, k=2))
    makes.append(lambda: feature_selection.SelectKBest(feature_selection.mutual_info_classif, k=2))
    makes.append(lambda: feature_selection.SelectPercentile(feature_selection.chi2))
    makes.append(lambda: feature_selection.SelectFromModel(linear_model.Lasso()))
    makes.append(lambda: feature_selection.RFECV(linear_model.Ridge(), cv=2))
    makes.append(lambda: feature_selection.SequentialFeatureSelector(linear_model.Ridge(), n_features_to_select=1))
    makes.append(
        lambda: ensemble.StackingRegressor(
            [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=2))]
        )
    )
    makes.append(
        lambda: ensemble.VotingClassifier(
            [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())], voting="soft"
        )
    )
    makes.append(lambda: ensemble.BaggingRegressor(svm.SVR(), n_estimators=2))
    makes.append(lambda: ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(max_depth=1), n_estimators=3))
    makes.append(lambda: ensemble.IsolationForest(n_estimators=5))
    makes.append(
        lambda: ensemble.RandomForestRegressor(3, criterion="absolute_error", random_state=np.random.RandomState(1))
    )
    makes.append(lambda: ensemble.ExtraTreesClassifier(3, criterion="entropy"))
    for criterion in ("squared_error", "friedman_mse", "absolute_error", "poisson"):
        makes.append(lambda c=criterion: tree.DecisionTreeRegressor(criterion=c, splitter="random"))
    makes.append(lambda: multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=2)))
    makes.append(lambda: multioutput.RegressorChain(linear_model.Ridge()))
    makes.append(lambda: multiclass.OneVsRestClassifier(svm.LinearSVC()))
    for solver in ("adam", "sgd", "lbfgs"):
        makes.append(
            lambda s=solver: neural_network.MLPRegressor((4,), solver=s, max_iter=20, early_stopping=s == "adam")
        )
        makes.append(lambda s=solver: neural_network.MLPClassifier((4,), solver=s, max_iter=20))
    makes.append(lambda: preprocessing.SplineTransformer())
    makes.append(lambda: preprocessing.KBinsDiscretizer(3, encode="ordinal"))
    makes.append(lambda: cluster.KMeans(2, n_init=1, random_state=np.random.RandomState(0)))
    makes.append(lambda: cluster.HDBSCAN())
    makes.append(lambda: cluster.FeatureAgglomeration(2))
    makes.append(lambda: feature_extraction.text.TfidfVectorizer())
    makes.append(lambda: feature_extraction.text.HashingVectorizer())
    makes.append(lambda: linear_model.RANSACRegressor(random_state=np.random.default_rng(1).integers(10)))
    makes.append(lambda: linear_model.LogisticRegressionCV(cv=2))
    makes.append(lambda: linear_model.RidgeCV())
    makes.append(
        lambda: calibration.CalibratedClassifierCV(ensemble.RandomForestClassifier(3), method="isotonic", cv=2)
    )
    makes += list(sklearn_options())
    for make in makes:
        for model in fitted(make, all_of_them=True):
            yield "variant", model
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["k"] = ["x", "y", "z"] * 20
    column_transformer = compose.ColumnTransformer(
        [
            ("n", preprocessing.StandardScaler(), ["a", "b"]),
            ("c", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["k"]),
        ],
        remainder="passthrough",
    )
    yield "frame", pipeline.make_pipeline(column_transformer, linear_model.LogisticRegression()).fit(frame, CLASSES)
    selector = compose.make_column_transformer(
        (preprocessing.StandardScaler(), compose.make_column_selector(dtype_include="number")), remainder="drop"
    )
    yield "selector", selector.fit(frame)
    search = model_selection.GridSearchCV(
        pipeline.make_pipeline(column_transformer, linear_model.Ridge()), {"ridge__alpha": [1.0]}, cv=2
    )
    yield "search", search.fit(frame, Y).set_params(estimator__ridge__alpha=2.0)
    yield "frame out", preprocessing.StandardScaler().set_output(transform="pandas").fit(frame[list("abcd")])
    with sklearn.config_context(enable_metadata_routing=True):
        routed = linear_model.LogisticRegression().set_fit_request(sample_weight=True)
        yield "routed", routed.fit(X, CLASSES)


def sklearn_options() -> Iterator[Callable[[], Any]]:
    """Options that bring in functions, distributions and classes of other packages."""
    import scipy.spatial.distance
    import scipy.special
    import scipy.stats
    from sklearn import (
        calibration,
        cluster,
        compose,
        cross_decomposition,
        decomposition,
        ensemble,
        feature_extraction,
        feature_selection,
        impute,
        kernel_approximation,
        linear_model,
        metrics,
        model_selection,
        multioutput,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        semi_supervised,
        svm,
        tree,
    )
    from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 - they add classes

    boosting = (ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier)
    for kind in boosting:
        yield lambda kind=kind: kind(max_iter=3, categorical_features=[3])
        yield lambda kind=kind: kind(max_iter=3, categorical_features=[True, False, False, False])
        yield lambda kind=kind: kind(max_iter=3, monotonic_cst=[1, 0, -1, 0], interaction_cst="pairwise")
        for scoring in ("loss", None, "neg_mean_absolute_error", "accuracy", metrics.make_scorer(metrics.r2_score)):
            yield lambda kind=kind, s=scoring: kind(max_iter=3, early_stopping=True, scoring=s, n_iter_no_change=1)
    stats = scipy.stats
    for one in (
        stats.uniform(0, 1),
        stats.loguniform(1e-3, 1e2),
        stats.randint(1, 9),
        stats.norm(),
        stats.expon(scale=2),
        stats.beta(2, 3),
        stats.gamma(2),
        stats.lognorm(1),
        stats.poisson(3),
        stats.binom(5, 0.5),
        stats.geom(0.5),
        stats.truncnorm(-1, 1),
        stats.t(3),
        stats.reciprocal(0.1, 1),
        stats.halfnorm(),
        stats.dirichlet,
        stats.uniform(loc=np.float64(0), scale=np.float64(2)),
        stats.triang(0.5),
        stats.weibull_min(2),
    ):
        yield lambda one=one: model_selection.RandomizedSearchCV(
            linear_model.Ridge(), {"alpha": one, "fit_intercept": [True, False]}, n_iter=2, cv=2, random_state=1
        )
    searches = {"alpha": [0.1, 1]}
    yield lambda: model_selection.HalvingGridSearchCV(linear_model.Ridge(), searches, cv=2, min_resources=10)
    yield lambda: model_selection.HalvingRandomSearchCV(linear_model.Ridge(), {"alpha": stats.uniform()}, cv=2)
    for scoring in (
        ["r2", "neg_mean_squared_error"],
        metrics.make_scorer(metrics.mean_pinball_loss, alpha=0.1),
        metrics.make_scorer(metrics.fbeta_score, beta=2, average="macro"),
    ):
        yield lambda s=scoring: model_selection.GridSearchCV(
            linear_model.Ridge(), searches, cv=2, scoring=s, refit="r2" if isinstance(s, list) else True
        )
    yield lambda: model_selection.GridSearchCV(linear_model.Ridge(), searches, cv=2, refit=np.argmax)
    yield lambda: model_selection.GridSearchCV(
        pipeline.Pipeline([("s", preprocessing.StandardScaler()), ("m", svm.SVR())]),
        [{"m__C": [1, 2]}, {"m": [linear_model.Ridge(), tree.DecisionTreeRegressor()], "s": ["passthrough"]}],
        cv=2,
    )
    for estimator in (
        None,
        linear_model.BayesianRidge(),
        tree.DecisionTreeRegressor(max_depth=2),
        ensemble.ExtraTreesRegressor(2),
        neighbors.KNeighborsRegressor(2),
        linear_model.Ridge(),
    ):
        yield lambda e=estimator: impute.IterativeImputer(e, max_iter=2, add_indicator=True, sample_posterior=False)
    yield lambda: impute.IterativeImputer(max_iter=2, sample_posterior=True, random_state=np.random.RandomState(1))
    yield lambda: impute.SimpleImputer(strategy=np.median)
    functions = (
        np.log1p,
        np.sqrt,
        np.abs,
        np.cbrt,
        np.nan_to_num,
        np.tanh,
        scipy.special.expit,
        scipy.special.logit,
        functools.partial(np.power, 2),
        functools.partial(np.clip, a_min=0, a_max=1),
        abs,
        np.vectorize(np.exp),
        np.add.reduce,
        preprocessing.scale,
        preprocessing.normalize,
        functools.partial(preprocessing.scale, axis=0),
        np.linalg.norm,
        functools.partial(np.round, decimals=1),
        scipy.special.erf,
        np.positive,
        np.rad2deg,
    )
    for function in functions:
        yield lambda f=function: preprocessing.FunctionTransformer(f, inverse_func=np.exp, check_inverse=False)
    yield lambda: preprocessing.FunctionTransformer(
        np.clip, kw_args={"a_min": 0, "a_max": 1}, feature_names_out="one-to-one"
    )
    for pair in ((np.log, np.exp), (np.sqrt, np.square), (scipy.special.logit, scipy.special.expit)):
        yield lambda p=pair: compose.TransformedTargetRegressor(
            linear_model.Ridge(), func=p[0], inverse_func=p[1], check_inverse=False
        )
    text = feature_extraction.text
    for kind in (text.CountVectorizer, text.TfidfVectorizer, text.HashingVectorizer):
        yield lambda kind=kind: kind(tokenizer=str.split, token_pattern=None)
        yield lambda kind=kind: kind(preprocessor=str.lower, tokenizer=str.split, token_pattern=None, lowercase=False)
        yield lambda kind=kind: kind(analyzer="char_wb", ngram_range=(1, 3), stop_words=None)
        yield lambda kind=kind: kind(stop_words="english", strip_accents="unicode", dtype=np.float32)
        yield lambda kind=kind: kind(analyzer=str.split)
        yield lambda kind=kind: kind(tokenizer=re.compile(r"[a-z]+").findall, token_pattern=None)
    for metric in (scipy.spatial.distance.euclidean, scipy.spatial.distance.cosine, "correlation", "nan_euclidean"):
        yield lambda m=metric: neighbors.KNeighborsRegressor(3, metric=m, algorithm="brute")
    yield lambda: neighbors.KNeighborsRegressor(3, weights=np.reciprocal)
    yield lambda: neighbors.NearestNeighbors(metric="mahalanobis", metric_params={"VI": np.eye(4)})
    for kernel in (metrics.pairwise.rbf_kernel, metrics.pairwise.linear_kernel, metrics.pairwise.laplacian_kernel):
        yield lambda k=kernel: svm.SVC(kernel=k, probability=False)
        yield lambda k=kernel: svm.SVR(kernel=k)
        yield lambda k=kernel: kernel_approximation.Nystroem(k, n_components=5)
        yield lambda k=kernel: semi_supervised.LabelPropagation(k)
        yield lambda k=kernel: decomposition.KernelPCA(2, kernel="precomputed" if k is None else "rbf")
    scores = (
        feature_selection.mutual_info_classif,
        feature_selection.f_classif,
        feature_selection.mutual_info_regression,
    )
    for score in scores:
        yield lambda s=score: feature_selection.SelectKBest(functools.partial(s, **_seeded(s)), k=2)
        yield lambda s=score: feature_selection.GenericUnivariateSelect(s, mode="percentile", param=50)
    yield lambda: feature_selection.SelectFromModel(ensemble.RandomForestClassifier(3), importance_getter="auto")
    yield lambda: feature_selection.SelectFromModel(
        linear_model.Ridge(), importance_getter=operator.itemgetter(0), threshold=-np.inf, max_features=len
    )
    for transformer in (
        preprocessing.TargetEncoder(),
        preprocessing.OneHotEncoder(min_frequency=2, sparse_output=False),
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        preprocessing.OneHotEncoder(drop="first", dtype=np.int8, feature_name_combiner="concat"),
        preprocessing.PowerTransformer(),
        preprocessing.KBinsDiscretizer(3),
        preprocessing.RobustScaler(),
        preprocessing.SplineTransformer(extrapolation="periodic"),
        preprocessing.KernelCenterer(),
    ):
        yield lambda t=transformer: t
    columns = (slice(0, 2), [True, False, True, False], [0, 3], compose.make_column_selector(pattern="a"), "a")
    for selected in columns:
        yield lambda c=selected: compose.ColumnTransformer(
            [("s", preprocessing.MinMaxScaler(), c)], remainder=preprocessing.StandardScaler(), sparse_threshold=0
        )
    for cv in (2, model_selection.KFold(2, shuffle=True, random_state=np.random.RandomState(1)), None):
        yield lambda cv=cv: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=cv, ensemble=False)
    yield lambda: ensemble.RandomForestClassifier(3, class_weight={0: 1, 1: 2}, oob_score=True, warm_start=True)
    yield lambda: ensemble.RandomForestRegressor(3, oob_score=metrics.r2_score, monotonic_cst=[1, 0, 0, 0])
    yield lambda: ensemble.GradientBoostingRegressor(n_estimators=3, init=linear_model.Ridge(), n_iter_no_change=1)
    yield lambda: linear_model.RANSACRegressor(loss=np.abs, is_data_valid=None)
    yield lambda: linear_model.LogisticRegressionCV(cv=2, scoring=metrics.make_scorer(metrics.accuracy_score))
    yield lambda: neural_network.MLPRegressor((3,), max_iter=5, early_stopping=True, activation="logistic")
    yield lambda: cluster.AgglomerativeClustering(2, connectivity=None, compute_distances=True)
    yield lambda: cluster.Birch(n_clusters=2)
    yield lambda: cluster.FeatureAgglomeration(2, pooling_func=np.median)
    yield lambda: cluster.OPTICS(metric="euclidean")
    yield lambda: decomposition.FastICA(2, fun="exp")
    yield lambda: cross_decomposition.PLSRegression(1)
    yield lambda: multioutput.RegressorChain(linear_model.Ridge(), order="random", random_state=1)
    if hasattr(model_selection, "TunedThresholdClassifierCV"):
        yield lambda: model_selection.TunedThresholdClassifierCV(linear_model.LogisticRegression(), cv=2)
        yield lambda: model_selection.TunedThresholdClassifierCV(linear_model.LogisticRegression(), scoring="f1", cv=2)
        yield lambda: model_selection.FixedThresholdClassifier(linear_model.LogisticRegression(), threshold=0.3)
    try:
        from sklearn.frozen import FrozenEstimator
    except ImportError:
        return
    yield lambda: FrozenEstimator(linear_model.LogisticRegression().fit(X, CLASSES))
    yield lambda: calibration.CalibratedClassifierCV(FrozenEstimator(linear_model.LogisticRegression().fit(X, CLASSES)))


def _seeded(function: Callable[..., Any]) -> dict[str, Any]:
    return {"random_state": 1} if "mutual" in function.__name__ else {}


def sklearn_results() -> Iterator[Model]:
    """What stands beside a model: results of searches, importances, curves."""
    from sklearn import ensemble, inspection, linear_model, metrics, model_selection, utils

    model = ensemble.RandomForestClassifier(3).fit(X, CLASSES)
    yield "importance", inspection.permutation_importance(model, X, CLASSES, n_repeats=2)
    yield "dependence", inspection.partial_dependence(model, X, [0], kind="average")
    yield "validation", model_selection.cross_validate(linear_model.Ridge(), X, Y, cv=2, return_estimator=True)
    yield "curve", metrics.roc_curve(CLASSES, model.predict_proba(X)[:, 1])
    yield "report", metrics.classification_report(CLASSES, model.predict(X), output_dict=True)
    yield "bunch", utils.Bunch(model=model, names=["a"])
    yield "splits", [model_selection.ParameterGrid({"a": [1]}), model_selection.GroupShuffleSplit(2)]


def lightgbm_models() -> Iterator[Model]:
    """LightGBM's estimators and its booster."""
    import lightgbm as lgb
    import pandas as pd

    options: dict[str, Any] = {"n_estimators": 4, "num_leaves": 4, "min_child_samples": 2, "verbose": -1}
    frame = pd.DataFrame(X, columns=list("abcd")).assign(k=pd.Categorical(["x", "y", "z"] * 20))
    first = lgb.train({"verbose": -1, "min_data_in_leaf": 2}, lgb.Dataset(X, Y), 2)
    yield "continued", lgb.train({"verbose": -1, "min_data_in_leaf": 2}, lgb.Dataset(X, Y), 2, init_model=first)
    yield "regressor", lgb.LGBMRegressor(**options).fit(X, Y)
    yield "classifier", lgb.LGBMClassifier(**options).fit(X, CLASSES)
    yield "classifier names", lgb.LGBMClassifier(**options).fit(frame, NAMES)
    yield "frame", lgb.LGBMRegressor(**options).fit(frame, Y)
    yield "ranker", lgb.LGBMRanker(**options).fit(X, CLASSES, group=[30, 30])
    yield (
        "eval",
        lgb.LGBMRegressor(**options).fit(X, Y, eval_set=[(X, Y)], callbacks=[lgb.early_stopping(2, verbose=False)]),
    )
    for boosting in ("dart", "rf"):
        extra = {"bagging_freq": 1, "bagging_fraction": 0.5} if boosting == "rf" else {}
        yield boosting, lgb.LGBMRegressor(boosting_type=boosting, **options, **extra).fit(X, Y)
    yield "callbacks", [lgb.early_stopping(2), lgb.log_evaluation(1), lgb.record_evaluation({}),
                        lgb.reset_parameter(learning_rate=[0.1, 0.2])]  # fmt: skip
    parameters = {"num_leaves": 4, "verbose": -1, "min_data_in_leaf": 2}
    folds = lgb.cv(parameters, lgb.Dataset(X, Y), 3, nfold=2, stratified=False, return_cvbooster=True)
    yield "folds", folds
    yield "booster", lgb.train({**parameters, "objective": "quantile", "alpha": 0.1}, lgb.Dataset(X, Y), 4)
    yield (
        "bundle",
        {
            "model": lgb.train(parameters, lgb.Dataset(frame, Y), 4),
            "features": list("abcd"),
            "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        },
    )


def xgboost_models() -> Iterator[Model]:
    """XGBoost's estimators and its booster."""
    import xgboost as xgb

    for booster in ("gbtree", "gblinear", "dart"):
        yield booster, xgb.XGBRegressor(n_estimators=3, max_depth=2, booster=booster).fit(X, Y)
    yield "classifier", xgb.XGBClassifier(n_estimators=3, max_depth=2).fit(X, CLASSES)
    yield (
        "eval",
        xgb.XGBClassifier(n_estimators=3, max_depth=2, early_stopping_rounds=2).fit(
            X, CLASSES, eval_set=[(X, CLASSES)], verbose=False
        ),
    )
    yield "ranker", xgb.XGBRanker(n_estimators=3).fit(X, CLASSES, qid=np.repeat([0, 1], 30))
    yield "forest", xgb.XGBRFRegressor(n_estimators=3).fit(X, Y)
    yield "forest classifier", xgb.XGBRFClassifier(n_estimators=3).fit(X, CLASSES)
    yield "booster", xgb.train({"max_depth": 2}, xgb.DMatrix(X, Y), 3)
    yield "callbacks", [xgb.callback.EarlyStopping(2), xgb.callback.EvaluationMonitor(),
                        xgb.callback.TrainingCheckPoint("checkpoints")]  # fmt: skip


def catboost_models() -> Iterator[Model]:
    """CatBoost's estimators."""
    import catboost as cb

    options: dict[str, Any] = {"iterations": 3, "depth": 2, "verbose": False, "allow_writing_files": False}
    yield "regressor", cb.CatBoostRegressor(**options).fit(X, Y)
    yield "classifier", cb.CatBoostClassifier(**options).fit(X, CLASSES)
    yield "eval", cb.CatBoostClassifier(**options).fit(X, NAMES, eval_set=(X, NAMES))
    yield "plain", cb.CatBoost({**options, "loss_function": "RMSE"}).fit(X, Y)
    yield "ranker", cb.CatBoostRanker(**options).fit(X, CLASSES, group_id=np.repeat([0, 1], 30))
    yield "unfitted", cb.CatBoostRegressor(**options)


def pandas_values() -> Iterator[Model]:
    """Frames, series and indexes of every common dtype."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "f": X[:, 0],
            "i": CLASSES,
            "s": NAMES,
            "c": pd.Categorical(NAMES),
            "t": pd.date_range("2026-01-01", periods=60, freq="h"),
            "z": pd.date_range("2026-01-01", periods=60, freq="h", tz="UTC"),
            "d": pd.to_timedelta(np.arange(60), unit="s"),
            "I": pd.array([1, None] * 30, dtype="Int64"),
            "F": pd.array([1.5, None] * 30, dtype="Float64"),
            "B": pd.array([True, None] * 30, dtype="boolean"),
            "S": pd.array(["a", None] * 30, dtype="string"),
            "o": pd.Series([1, "a"] * 30, dtype=object),
        }
    )
    yield "frame", frame
    yield "indexed", frame.set_index("t")
    yield "no freq", frame.set_index("t").iloc[[1, 5, 9]]
    yield "multi", frame.set_index(["s", "i"])
    yield "categorical index", frame.set_index("c")
    yield "columns", frame[["f", "i"]]
    for column in frame:
        yield f"series {column}", frame[column]
    yield "timestamp", [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-01", tz="UTC"), pd.Timedelta(1, "D"), pd.NaT]
    yield "keys", {pd.Timestamp("2026-01-01"): 1, pd.Timedelta(1, "D"): 2}
    yield (
        "offsets",
        [
            pd.offsets.Hour(1),
            pd.offsets.Day(1),
            pd.offsets.BusinessDay(1),
            pd.offsets.MonthEnd(1),
            pd.offsets.Minute(5),
        ],
    )
    yield "period", pd.period_range("2026-01", periods=3, freq="M")
    yield "interval", pd.interval_range(0, 3)
    yield "cut", pd.cut(X[:, 0], 3)
    yield "range", pd.RangeIndex(5)
    yield "timedeltas", pd.timedelta_range(0, periods=3, freq="s")
    yield "sparse", pd.arrays.SparseArray([0.0, 1.0])
    yield "dtypes", [frame[column].dtype for column in frame]
    yield "na", pd.NA
    yield from pandas_kinds()


ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "US/Eastern")


def pandas_kinds() -> Iterator[Model]:
    """Every dtype, kind of index, time zone and step of pandas."""
    import dateutil.tz
    import pandas as pd

    for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"):
        yield name, pd.Series([1, None], dtype=name)
    zones: list[Any] = [*ZONES, *map(zoneinfo.ZoneInfo, ZONES), dt.timezone(dt.timedelta(hours=2)), dt.UTC]
    zones += [dateutil.tz.gettz("Europe/Berlin"), dateutil.tz.tzutc(), dateutil.tz.tzoffset("X", 3600)]
    with contextlib.suppress(ImportError):
        import pytz

        zones += [pytz.utc, pytz.timezone("Europe/Berlin"), pytz.FixedOffset(90)]
    for zone in zones:
        try:
            index = pd.date_range("2026-03-01", periods=3, tz=zone)
        except AttributeError:  # pandas does not know every zone of dateutil
            yield "zone", [zone, dt.datetime(2026, 1, 1, tzinfo=zone)]
            continue
        yield (
            f"zone {zone}",
            {
                "index": index,
                "stamp": index[0],
                "series": pd.Series(index),
                "zone": zone,
                "python": index[0].to_pydatetime(),
                "at": pd.Series([1, 2, 3], index=index),
            },
        )
    for unit in ("s", "ms", "us", "ns"):
        yield (
            f"unit {unit}",
            [pd.date_range("2026-01-01", periods=2).as_unit(unit), pd.to_timedelta([1, 2], unit="s").as_unit(unit)],
        )
    for freq in ("D", "h", "min", "s", "W", "M", "Q", "Y", "B"):
        with contextlib.suppress(ValueError):
            periods = pd.period_range("2026-01-01", periods=3, freq=freq)
            yield f"period {freq}", {"index": periods, "one": periods[0], "series": pd.Series(periods)}
    for freq in ("D", "h", "B", "W-SUN", "MS", "ME", "QS", "QE", "YS", "YE", "SMS", "BMS", "BME", "15min", "C", "bh"):
        with contextlib.suppress(ValueError):
            yield f"step {freq}", pd.date_range("2026-01-01", periods=3, freq=freq)
    steps = []
    for name in dir(pd.offsets):
        kind = getattr(pd.offsets, name)
        if isinstance(kind, type) and name not in ("BaseOffset", "Tick"):
            with contextlib.suppress(TypeError):
                steps.append(kind())
    yield "steps", steps
    yield (
        "steps with parts",
        [
            pd.DateOffset(months=1),
            pd.DateOffset(weekday=1, hours=2),
            pd.offsets.Week(weekday=2),
            pd.offsets.BusinessHour(start="08:00", end="18:00"),
            pd.offsets.CustomBusinessDay(holidays=["2026-01-01"], weekmask="Mon Tue"),
            pd.offsets.DateOffset(n=3),
        ],
    )
    for closed in ("left", "right", "both", "neither"):
        yield (
            f"interval {closed}",
            {
                "index": pd.interval_range(0, 3, closed=closed),
                "one": pd.Interval(0, 1, closed),
                "dates": pd.interval_range(pd.Timestamp("2026-01-01"), periods=2, closed=closed),
                "array": pd.arrays.IntervalArray.from_breaks([0.0, 1.0], closed=closed),
            },
        )
    yield (
        "categories",
        [
            pd.Categorical(["a", "b", None], ordered=True),
            pd.Categorical([1, 2]),
            pd.cut([1, 5], [0, 2, 6]),
            pd.qcut([1.0, 2, 3, 4], 2),
            pd.CategoricalDtype(["a", "b"], ordered=True),
            pd.CategoricalDtype(),
            pd.CategoricalIndex(["a", "b"]),
            pd.Categorical(pd.date_range("2026-01-01", periods=2)),
        ],
    )
    levels = [["a", "b"], [1, 2]]
    yield (
        "multi",
        [
            pd.MultiIndex.from_product(levels, names=["x", "y"]),
            pd.DataFrame(1.0, index=pd.MultiIndex.from_product(levels), columns=pd.MultiIndex.from_product(levels)),
            pd.MultiIndex.from_arrays([pd.date_range("2026", periods=2), [1, 2]]),
            pd.MultiIndex.from_tuples([("a", 1.5), ("b", None)]),
        ],
    )
    yield (
        "sparse",
        [
            pd.arrays.SparseArray([0, 1], fill_value=0),
            pd.Series([0.0, 1.0], dtype="Sparse[float]"),
            pd.arrays.SparseArray([0.0, 1.0], kind="block"),
            pd.SparseDtype(int, 0),
            pd.SparseDtype(bool),
            pd.DataFrame({"a": pd.arrays.SparseArray([True, False])}),
        ],
    )
    frame = pd.DataFrame({"a": [1.0, 2], "b": ["x", "y"], "c": [True, False]})
    yield (
        "frames",
        {
            "empty": pd.DataFrame(),
            "no rows": frame.iloc[:0],
            "mixed": frame,
            "transposed": frame.T,
            "columns": frame.columns,
            "numbers": pd.DataFrame(np.ones((2, 3))),
            "duplicates": pd.concat([frame, frame], axis=1),
            "attributes": frame.rename_axis("n").assign(d=1),
            "dtypes": frame.dtypes,
            "row": frame.iloc[0],
            "named": frame["b"],
            "object": frame.astype(object),
            "complex": pd.Series([1j]),
            "bytes": pd.Series([b"a"]),
            "lists": pd.Series([[1], [2]]),
            "index": [
                pd.Index([1, 2]),
                pd.Index([1.5]),
                pd.Index(["a"]),
                pd.Index([True, False]),
                pd.Index([1, "a"]),
                pd.Index([1, 2], dtype="uint8"),
                pd.Index([1, None], dtype="Int64"),
                pd.Index(["a"], dtype="string"),
            ],
            "none": pd.Series([None, None]),
            "described": frame.describe(),
            "counts": frame["b"].value_counts(),
        },
    )
    with_attributes = frame.copy()
    with_attributes.attrs["source"] = "x"
    yield "attrs", with_attributes
    yield "flags", frame.set_flags(allows_duplicate_labels=False)
    yield "pandas types", [pd.DataFrame, pd.Series, pd.Timestamp, pd.Timedelta, pd.Index, pd.Categorical, pd.NaT]
    yield (
        "pandas functions",
        [pd.to_numeric, pd.to_datetime, pd.isna, pd.notna, pd.to_timedelta, pd.concat, pd.get_dummies],
    )
    for storage in ("python", "pyarrow"):
        with contextlib.suppress(ImportError):
            for kind in (f"string[{storage}]", pd.StringDtype(storage, na_value=np.nan)):
                yield (
                    f"text {kind}",
                    {
                        "series": pd.Series(["a", None, "é"], dtype=kind),
                        "dtype": pd.array(["a"], dtype=kind),
                        "slice": pd.Series(["a", None, "b"], dtype=kind)[1:],
                        "index": pd.Index(["a"], dtype=kind),
                        "categorical": pd.Categorical(pd.array(["a", "b"], dtype=kind)),
                    },
                )
    yield from arrow_values()


def arrow_values() -> Iterator[Model]:
    """Columns of Arrow's types, if pyarrow is installed."""
    import pandas as pd

    try:
        import pyarrow as pa
    except ImportError:
        return
    for name in (
        "int8",
        "uint16",
        "int64",
        "float",
        "double",
        "bool",
        "string",
        "large_string",
        "binary",
        "date32[day]",
        "date64[ms]",
        "time32[s]",
        "time64[us]",
        "timestamp[ns]",
        "duration[us]",
        "null",
    ):
        yield name, pd.array([None, None], dtype=pd.ArrowDtype(pa.type_for_alias(name)))
    yield "numbers", pd.DataFrame({"a": [1, None, 3], "b": [1.5, 2, None]}).convert_dtypes(dtype_backend="pyarrow")
    for kind in (pa.timestamp("us", "Europe/Berlin"), pa.decimal128(9, 2), pa.dictionary(pa.int32(), pa.string())):
        yield str(kind), pd.array([None], dtype=pd.ArrowDtype(kind))
    lists = pa.list_(pa.struct([("a", pa.map_(pa.string(), pa.int8())), ("b", pa.list_(pa.float32(), 2))]))
    for kind in (lists, pa.large_list(pa.decimal256(50, 2)), pa.binary(3), pa.month_day_nano_interval()):
        yield str(kind), pd.array([None], dtype=pd.ArrowDtype(kind))
    yield "dictionary", pd.array(["a", "b", "a"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())))


SOURCES: dict[str, Callable[[], Iterator[Model]]] = {
    "builtins": python_values,
    "numpy": numpy_values,
    "scikit-learn": sklearn_models,
    "lightgbm": lightgbm_models,
    "xgboost": xgboost_models,
    "catboost": catboost_models,
    "pandas": pandas_values,
}


def models(framework: str) -> Iterator[Model]:
    """Yield (label, object) of one framework, quietly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from SOURCES[framework]()
