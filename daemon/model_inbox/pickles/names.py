"""Names in pickles: their spelling, aliases and uses, and the names that are never allowed. Pure.

Owns the names that no list may allow, the aliases of Python 2, and the meaning of the letters for uses. Never imports a
name, and has no list of allowed names: `allowlist` has them.
"""

from __future__ import annotations

from sys import stdlib_module_names

__all__ = [
    "BUILTIN_TYPE",
    "EMPIRICAL",
    "ENTROPY",
    "ERRORS",
    "JOBLIB_ARRAY",
    "LIBRARY_ERRORS",
    "LOAD_FROM_BYTES",
    "METHODS",
    "PATH_MODULES",
    "PATH_NAMES",
    "STDLIB_VALUES",
    "USES",
    "carries_code",
    "describe_uses",
    "framework_of",
    "is_distribution",
    "is_method",
    "is_nested",
    "is_well_formed",
    "never_allowed",
    "only_shipped",
    "resolve",
    "root_of",
    "words",
]

USES = {
    "r": "be referred to",
    "n": "be created without calling __init__",
    "c": "be called",
    "b": "have its state set",
    "t": "have attributes set one by one",
    "s": "take items by key",
    "a": "have items appended",
    "d": "have items added",
}
"""What each letter permits. r comes first: every other use implies that the name was looked up."""

NAME_LENGTH_MAX = 200

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
"""joblib writes an object of this class before the raw bytes of an array. A plain unpickler cannot read past it."""

LOAD_FROM_BYTES = "torch.storage._load_from_bytes"
"""torch writes a call of this function for a storage in a plain pickle. Its argument is a whole torch file in bytes."""

_PYTHON2_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "exceptions": "builtins",
    "UserDict": "collections",
    "UserList": "collections",
}
_PYTHON2_NAMES = {
    "__builtin__": {"unicode": "str", "long": "int", "xrange": "range"},
    "UserDict": {"IterableUserDict": "UserDict"},
}
"""Protocols 0 to 2 are written with the names of Python 2. Those of plain values are translated; a name that is not
here is refused under the name that it has in the file."""


def resolve(module: str, name: str) -> tuple[str, str]:
    """Return module and name as the loader looks them up: a few aliases of Python 2 are replaced.

    Scan and load both call this, so that the scan judges the same object that the load imports.
    """
    name = _PYTHON2_NAMES.get(module, {}).get(name, name)
    return _PYTHON2_MODULES.get(module, module), name


def is_well_formed(module: object, name: object) -> bool:
    """Return whether both parts are ASCII identifiers, with dots in the module only. Nothing else is ever looked up.

    With dots in `name`, ('a', 'b.c') and ('a.b', 'c') would be equal after joining, and a pickle could reach an
    attribute of an allowed class.
    """
    if type(module) is not str or type(name) is not str:
        return False
    if not (0 < len(module) <= NAME_LENGTH_MAX and 0 < len(name) <= NAME_LENGTH_MAX):
        return False
    if not (module.isascii() and name.isascii() and name.isidentifier()):
        return False
    return all(part.isidentifier() for part in module.split("."))


def is_nested(module: object, name: object) -> bool:
    """Return whether this is the name of something inside of a class, as protocol 4 writes it: ('a', 'B.c')."""
    if type(name) is not str or "." not in name:
        return False
    return all(is_well_formed(module, part) for part in name.split(".")) and len(name) <= NAME_LENGTH_MAX


def words(text: str) -> tuple[str, ...]:
    """Return the words of a long list."""
    return tuple(text.split())


METHODS: dict[str, frozenset[str]] = {
    "scipy.interpolate._rbf.Rbf": frozenset(
        f"_h_{name}"
        for name in ("cubic", "gaussian", "inverse_multiquadric", "linear", "multiquadric", "quintic", "thin_plate")
    ),
    "scipy.stats._kde.gaussian_kde": frozenset({"scotts_factor", "silverman_factor"}),
    "scipy.stats._qmc.LatinHypercube": frozenset({"_random_lhs", "_random_oa_lhs"}),
    "scipy.stats._qmc.PoissonDisk": frozenset({"_hypersphere_surface_sample", "_hypersphere_volume_sample"}),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.BaseHistGradientBoosting": frozenset({"_raw_predict"}),
    "statsmodels.discrete.count_model.GenericZeroInflated": frozenset({"_hessian_logit", "_hessian_probit"}),
    "statsmodels.nonparametric.kernel_regression.KernelReg": frozenset({"_est_loc_constant", "_est_loc_linear"}),
    "statsmodels.tsa.exponential_smoothing.ets.ETSModel": frozenset({"loglike"}),
    "torch.nn.modules.lazy.LazyModuleMixin": frozenset({"_infer_parameters", "_lazy_load_hook"}),
    "scipy.interpolate._interpolate.interp1d": frozenset(
        words("_call_linear _call_linear_np _call_nan_spline _call_nearest _call_previousnext _call_spline")
    ),
    "torch.optim.lr_scheduler.CyclicLR": frozenset(
        words("_exp_range_scale_fn _triangular_scale_fn _triangular2_scale_fn")
    ),
    "torch.optim.lr_scheduler.OneCycleLR": frozenset({"_annealing_cos", "_annealing_linear"}),
    "torch.optim.swa_utils.SWALR": frozenset({"_cosine_anneal", "_linear_anneal"}),
}
"""Classes whose objects keep one of these functions of the class as an attribute. Pickles name it with a dot:
`interp1d._call_linear`. cloudpickle writes bound methods in this way, too: as the function, and the object."""


def is_method(module: object, name: object) -> bool:
    """Return whether this is one of the few names with a dot that pickles may have: a function of `METHODS`."""
    if type(module) is not str or type(name) is not str:
        return False
    owner, dot, method = name.partition(".")
    full = f"{module}.{owner}"
    return bool(dot) and (method in METHODS.get(full, ()) or (method == ENTROPY and _has_entropy(full)))


ENTROPY = "_entropy"


def _has_entropy(name: str) -> bool:
    """Return whether this is a distribution, or the base class of all, whose objects keep this method of theirs."""
    return is_distribution(name) or name.startswith("scipy.stats._distn_infrastructure.rv_")


def root_of(name: str) -> str:
    """Return the top-level package of a full name."""
    return name.partition(".")[0]


# --- names that are never allowed ----------------------------------------------------------------------------

PATH_MODULES = ("pathlib", "pathlib._local")
PATH_NAMES = ("Path", "PosixPath", "PurePath", "PurePosixPath")
"""Python 3.13 writes paths with the module `pathlib._local`, the versions before and after it with `pathlib`."""


ERRORS = words("""
    ArithmeticError AssertionError AttributeError DeprecationWarning Exception FloatingPointError FutureWarning
    IndexError KeyError LookupError MemoryError NotImplementedError OverflowError RecursionError RuntimeError
    RuntimeWarning StopIteration SyntaxWarning TimeoutError TypeError UserWarning ValueError Warning
    ZeroDivisionError
""")
LIBRARY_ERRORS = (
    "_catboost.CatBoostError",
    "lightgbm.basic.LightGBMError",
    "numpy.linalg.LinAlgError",
    "xgboost.core.XGBoostError",
    *(
        f"{module}.{name}"
        for module, names in (
            ("numpy.exceptions", "AxisError ComplexWarning RankWarning TooHardError VisibleDeprecationWarning"),
            (
                "pandas.errors",
                "DataError DtypeWarning DuplicateLabelError EmptyDataError IntCastingNaNError InvalidIndexError "
                "MergeError OutOfBoundsDatetime OutOfBoundsTimedelta ParserError ParserWarning PerformanceWarning "
                "UnsortedIndexError",
            ),
            ("pandas._libs.tslibs.np_datetime", "OutOfBoundsDatetime OutOfBoundsTimedelta"),
            (
                "sklearn.exceptions",
                "ConvergenceWarning DataConversionWarning DataDimensionalityWarning EfficiencyWarning "
                "FitFailedWarning InconsistentVersionWarning NotFittedError PositiveSpectrumWarning "
                "UndefinedMetricWarning",
            ),
        )
        for name in words(names)
    ),
)
"""Errors and warnings of libraries, which are made of a text."""
_MATH = words("""
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees dist erf erfc exp exp2 expm1 fabs
    floor fmod frexp fsum gamma gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p
    log2 modf nextafter radians remainder sin sinh sqrt sumprod tan tanh trunc ulp fma
""")
"""Without those that make a number as large as their argument is (`factorial`, `comb`, `perm`, `prod`, `pow`)."""
_STATISTICS = words("""
    correlation covariance fmean geometric_mean harmonic_mean linear_regression mean median median_grouped
    median_high median_low mode multimode pstdev pvariance quantiles stdev variance
""")
_OPERATORS = words("""
    abs add and_ eq floordiv ge gt le lt mod mul ne neg not_ or_ pos sub truediv xor
""")

STDLIB_VALUES = frozenset(
    {
        *(
            f"builtins.{name}"
            for name in [
                "bool",
                "bytearray",
                "bytes",
                "complex",
                "dict",
                "float",
                "frozenset",
                "int",
                "list",
                "object",
                "range",
                "set",
                "slice",
                "str",
                "tuple",
            ]
        ),
        *(f"collections.{name}" for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
        *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(f"{module}.{name}" for module in PATH_MODULES for name in PATH_NAMES),
        *(f"builtins.{name}" for name in ERRORS),
        *(f"builtins.{name}" for name in ("Ellipsis", "NotImplemented")),
        *(
            f"builtins.{name}"
            for name in ("abs", "all", "any", "divmod", "len", "max", "min", "round", "sorted", "sum")
        ),
        *(f"collections.{name}" for name in ("ChainMap", "UserDict", "UserList")),
        *(f"math.{name}" for name in _MATH),
        *(f"statistics.{name}" for name in _STATISTICS),
        *(f"_operator.{name}" for name in _OPERATORS),
        "_codecs.encode",
        "array._array_reconstructor",
        "array.array",
        "copyreg.__newobj__",
        "copyreg._reconstructor",
        "decimal.Decimal",
        "fractions.Fraction",
        "http.HTTPStatus",
        *(f"ipaddress.IPv{version}{kind}" for version in (4, 6) for kind in ("Address", "Network")),
        "argparse.Namespace",
        "operator.itemgetter",
        *(f"re.{name}" for name in ("findall", "fullmatch", "match", "search", "split", "sub")),
        "re.RegexFlag",
        "types.SimpleNamespace",
        "uuid.UUID",
    }
)
"""The value types of the standard library, the functions that picklers write to make values, and functions of numbers
and text that stand as parameters (they are referred to, never called by a load). Everything else in it
can run code, or can be made to with one call (`functools.partial`, `operator.attrgetter`, `timeit.timeit`, ...)."""

BUILTIN_TYPE = "cloudpickle.cloudpickle._builtin_type"
"""cloudpickle writes a call of this function for types of Python without a module: those of methods and namespaces."""

_ONLY_WITH_RULES = frozenset(
    {
        BUILTIN_TYPE,
        "builtins.getattr",
        "functools.partial",
        "re._compile",
        "torch.ScriptObject",
        "torch._C.ScriptObject",
        "zoneinfo.ZoneInfo",
        # A dictionary with another text for people, in a package that opens files.
        "pandas.io.formats.printing.PrettyDict",
        *(f"torch.utils.data.dataset.{name}" for name in ("ConcatDataset", "StackDataset", "Subset", "TensorDataset")),
        *(
            f"torch.utils.data.sampler.{name}Sampler"
            for name in ("Batch", "Random", "Sequential", "SubsetRandom", "WeightedRandom")
        ),
        "torch.utils.hooks.RemovableHandle",
    }
)
"""Names of packages that are not allowed as a whole. The shipped lists have these with a rule for their arguments or
their state. No line of the user may have them: it could only add uses that no rule checks."""

_STDLIB = frozenset(stdlib_module_names) | {"__builtin__", "__main__", "nt", "posix", "distutils", "imp"}

_NEVER_PACKAGES = {
    "cloudpickle": "it builds code from the file",
    "dill": "it builds code from the file",
    "formulaic": "it evaluates formulas",
    "IPython": "it runs commands",
    "jsonpickle": "it unpickles without restrictions",
    "model_inbox": "it is the program that validates models",
    "numexpr": "it evaluates expressions",
    "patsy": "it evaluates formulas",
    "pip": "it runs programs",
    "pkg_resources": "it imports and runs other packages",
    "setuptools": "it runs programs",
    "sympy": "it evaluates expressions",
    "numba": "it compiles and runs code",
    "llvmlite": "it compiles and runs code",
}

_RUNS_TEXT = "some of its objects run the text in their state when they are loaded"

_NEVER_SUBPACKAGES = {
    "joblib.externals": "it builds code from the file",
    "joblib.memory": "it opens files and calls functions",
    "numpy.distutils": "it runs programs",
    "numpy.f2py": "it runs programs",
    "numpy.testing": "it runs code given as text",
    "pandas.compat.pickle_compat": "it unpickles without restrictions",
    "pandas.core.computation": "it evaluates expressions",
    "pandas.io": "it opens files",
    "scipy.weave": "it compiles and runs code",
    "sklearn.datasets": "it opens files",
    "torch._dynamo": "it compiles and runs code",
    "torch._inductor": "it compiles and runs code",
    "torch.distributed": "it opens connections",
    "torch.fx": "it runs code that is in the file",
    "torch.hub": "it downloads and runs code",
    "torch.jit": "it compiles and runs code",
    "torch.multiprocessing": "it starts processes",
    "torch.package": "it runs code that is in the file",
    "torch.utils": "it loads and compiles code",
}

_IMPORTS_ANYTHING = "it imports or calls any name that the file gives"
_OPENS_FILES = "it opens files"
_NEVER_NAMES = {
    "joblib.numpy_pickle.NDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle.ZNDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle_compat.NDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle_compat.ZNDArrayWrapper": _OPENS_FILES,
    "numpy.core._ufunc_reconstruct": _IMPORTS_ANYTHING,
    "numpy._core._ufunc_reconstruct": _IMPORTS_ANYTHING,
    "numpy.core._internal._reconstruct": _IMPORTS_ANYTHING,
    "torch.serialization.load": "it unpickles without restrictions",
    "torch.load": "it unpickles without restrictions",
    "torch.storage._load_from_file": _OPENS_FILES,
}

_NO_CALLS_ADDED = frozenset(
    [
        "numpy",
        "scipy",
        "pandas",
        "sklearn",
        "joblib",
        "torch",
        "lightgbm",
        "xgboost",
        "catboost",
        "pyarrow",
        "polars",
        "keras",
        "tensorflow",
        "arch",
        "category_encoders",
        "cmdstanpy",
        "hmmlearn",
        "imblearn",
        "mapie",
        "ngboost",
        "prophet",
        "quantile_forest",
        "skforecast",
        "statsmodels",
    ]
)
"""Packages with many functions that open files or call other functions. Only the shipped lists may permit a call into
them: there each function has a rule for its arguments."""


_ONLY_SHIPPED = {
    "scipy.interpolate._interpolate.interp1d": "it holds the function that it calls",
    "scipy.interpolate.interpolate.interp1d": "it holds the function that it calls",
    "scipy.optimize": "it calls functions that the file names",
    "scipy.stats": _RUNS_TEXT,
    "statsmodels": "its models evaluate formulas when they are loaded",
}


def only_shipped(name: str) -> str | None:
    """Return why only a shipped list may have `name`, with a rule for its state, or None if the user's lines may."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        if reason := _ONLY_SHIPPED.get(".".join(parts[:length])):
            return reason
    return None


_DISTRIBUTION_MODULES = (
    "scipy.stats._continuous_distns.",
    "scipy.stats._discrete_distns.",
    "scipy.stats._levy_stable.",
    "statsmodels.distributions.discrete.",
)
EMPIRICAL = frozenset({"scipy.stats._continuous_distns.rv_histogram", "scipy.stats._distn_infrastructure.rv_sample"})
"""Distributions that are made of values, which they keep."""
_FROZEN = frozenset(f"scipy.stats._distn_infrastructure.rv_{kind}_frozen" for kind in ("continuous", "discrete"))


def is_distribution(name: str) -> bool:
    """Return whether this is the name of a distribution of scipy or statsmodels. Rules check the text that they run."""
    return name in EMPIRICAL or (name.startswith(_DISTRIBUTION_MODULES) and name.endswith("_gen"))


def never_allowed(name: str, uses: str = "") -> str | None:
    """Return why no list may allow `name` with these `uses`, or None if a list may.

    What this says about names holds for the shipped lists too. What it says about calls holds for the user's own lines.
    """
    if name in STDLIB_VALUES or name == JOBLIB_ARRAY:
        return None
    if name in _ONLY_WITH_RULES or is_distribution(name) or name in _FROZEN:
        return "only the shipped list may have it, with a rule for its arguments" if uses else None
    if reason := _NEVER_NAMES.get(name):
        return reason
    root = root_of(name)
    if root == "__main__":
        return "__main__ is a different script in every process"
    if root in _STDLIB:
        return "only plain value types of the standard library are allowed"
    if reason := _NEVER_PACKAGES.get(root):
        return reason
    if root == "joblib":
        return _OPENS_FILES
    if uses and (reason := only_shipped(name)):
        return reason
    parts = name.split(".")
    for length in range(2, len(parts)):
        if reason := _NEVER_SUBPACKAGES.get(".".join(parts[:length])):
            return reason
    if "c" in uses and root in _NO_CALLS_ADDED:
        return f"a call into {root} is allowed only if the shipped list has a rule for its arguments"
    return None


# --- code by value -------------------------------------------------------------------------------------------

_CODE_PACKAGES = ("cloudpickle.", "dill.", "joblib.externals.", "_dill.")
_CODE_NAMES = frozenset(
    {
        "marshal.loads",
        "types.CellType",
        "types.CodeType",
        "types.FunctionType",
        "types.LambdaType",
        "types.MethodType",
    }
)


def carries_code(name: str) -> bool:
    """Return whether a pickle with this name contains functions or classes by value, not only their names."""
    return name in _CODE_NAMES or (name.startswith(_CODE_PACKAGES) and name != BUILTIN_TYPE)


# --- frameworks ----------------------------------------------------------------------------------------------

_FRAMEWORK_OF_PACKAGE = {
    # scikit-learn before 1.8 writes its losses with this module name.
    "_loss": "scikit-learn",
    "arch": "arch",
    "_catboost": "catboost",
    "catboost": "catboost",
    # Zones and steps of dates, and the text of pandas' frames.
    "dateutil": "pandas",
    "category_encoders": "category-encoders",
    "cmdstanpy": "prophet",
    "hmmlearn": "hmmlearn",
    "imblearn": "imbalanced-learn",
    "joblib": "joblib",
    "lightgbm": "lightgbm",
    "mapie": "mapie",
    "ngboost": "ngboost",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pandas",
    "pytz": "pandas",
    "prophet": "prophet",
    "quantile_forest": "quantile-forest",
    "scipy": "scipy",
    "skforecast": "skforecast",
    "sklearn": "scikit-learn",
    "stanio": "prophet",
    "statsmodels": "statsmodels",
    "torch": "torch",
    "xgboost": "xgboost",
}


def framework_of(name: str) -> str | None:
    """Return the framework that the package of this name belongs to, or None for any other package."""
    return _FRAMEWORK_OF_PACKAGE.get(root_of(name))


def describe_uses(uses: str) -> str:
    """Return what `uses` permit, in words: "be referred to, be called"."""
    return ", ".join(text for letter, text in USES.items() if letter in uses)
