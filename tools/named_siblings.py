"""Names that stand in files beside models, which no model of the learning set holds: functions, errors, enumerations.

Owns these names by framework. None of the functions opens a file, runs text or starts a program: an object that holds
one may call it when it is used. `build_allowlist.py` adds them to the lists.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterator

from model_inbox.pickles.names import BUILTIN_TYPE, ENTROPY, LIBRARY_ERRORS, METHODS, framework_of, is_method, words

__all__ = ["functions_of", "named_siblings"]

PLAIN: dict[str, dict[str, str]] = {
    "builtins": {
        "argparse.Namespace": "bnr",
        BUILTIN_TYPE: "cr",
        "types.SimpleNamespace": "bcnr",
        **{f"re.{name}": "r" for name in words("findall fullmatch match search split sub")},
    },
    "catboost": {
        **{
            f"catboost.core.E{name}": "cr"
            for name in words("FeaturesSelectionAlgorithm FeaturesSelectionGrouping FstrType ShapCalcType")
        },
    },
    "lightgbm": {"lightgbm.basic.Dataset": "bnr"},
    "numpy": {
        f"numpy.{name}": "r"
        for name in words("""
            arange array_split bartlett blackman busday_count busday_offset can_cast datetime_as_string empty full
            eye hamming hanning i0 is_busday kaiser ma.core.fix_invalid ma.core.getdata ma.core.masked_equal
            ma.core.masked_greater ma.core.masked_inside ma.core.masked_invalid ma.core.masked_less
            ma.core.masked_outside ma.core.masked_values ma.core.masked_where ma.core.max ma.core.mean ma.core.min
            ma.core.std ma.core.sum ma.core.var ma.extras.average ma.extras.median min_scalar_type packbits
            random._generator.Generator
            random.mtrand.RandomState ravel_multi_index result_type unpackbits unravel_index zeros
        """)
    },
    "pandas": {
        **{f"pandas.{name}": "r" for name in words("""
            bdate_range crosstab cut date_range factorize from_dummies infer_freq interval_range melt merge merge_asof
            merge_ordered period_range pivot pivot_table qcut timedelta_range unique
        """)},
        # The same as pandas before 3.0 names them.
        **{f"pandas.{name}": "r" for name in words("""
            core.algorithms.factorize core.algorithms.unique core.indexes.datetimes.bdate_range
            core.indexes.datetimes.date_range core.indexes.interval.interval_range core.indexes.period.period_range
            core.indexes.timedeltas.timedelta_range core.reshape.encoding.from_dummies core.reshape.melt.melt
            core.reshape.merge.merge core.reshape.merge.merge_asof core.reshape.merge.merge_ordered
            core.reshape.pivot.crosstab core.reshape.pivot.pivot core.reshape.pivot.pivot_table core.reshape.tile.cut
            core.reshape.tile.qcut tseries.frequencies.infer_freq
        """)},
        **{f"pandas.api.typing.{name}": "bnr" for name in words("Expanding ExponentialMovingWindow Rolling Window")},
        **{f"pandas.core.window.{name}": "bnr" for name in words("""
            ewm.ExponentialMovingWindow expanding.Expanding rolling.Rolling rolling.Window
        """)},
        "pandas.api.typing.FrozenList": "cr",
        "pandas.core.indexes.frozen.FrozenList": "cr",
        "pandas.io.formats.printing.PrettyDict": "nrs",
        **{f"pandas.tseries.holiday.{name}": "r" for name in words("""
            after_nearest_workday before_nearest_workday nearest_workday next_monday next_monday_or_tuesday
            next_workday previous_friday previous_workday sunday_to_monday weekend_to_monday
        """)},
    },
    "scikit-learn": {
        "sklearn.base.clone": "r",
        "sklearn.gaussian_process.kernels.Hyperparameter": "cnr",
        "sklearn.model_selection._split.train_test_split": "r",
        **{f"sklearn.feature_extraction.text.{name}": "r" for name in words("""
            strip_accents_ascii strip_accents_unicode strip_tags
        """)},
        **{f"sklearn.utils._metadata_requests.{name}": "cnr" for name in ("MethodPair", "RouterMappingPair")},
        **{f"sklearn.utils._tags.{name}": "bnrt" for name in words("""
            ClassifierTags InputTags RegressorTags Tags TargetTags TransformerTags
        """)},
    },
    "torch": {
        f"torch.utils.data.{name}": "bnr"
        for name in words("""
            dataset.ConcatDataset dataset.StackDataset sampler.BatchSampler sampler.RandomSampler
            sampler.SequentialSampler sampler.SubsetRandomSampler sampler.WeightedRandomSampler
        """)
    },
}  # fmt: skip

FUNCTIONS: dict[str, tuple[str, ...]] = {
    "numpy": (
        "numpy.fft", "numpy.strings",
        *(f"numpy.polynomial.{name}" for name in
          ("chebyshev", "hermite", "hermite_e", "laguerre", "legendre", "polynomial")),
    ),
    "scipy": (
        "scipy.fft", "scipy.linalg", "scipy.ndimage", "scipy.signal", "scipy.signal.windows", "scipy.special",
        "scipy.spatial.distance", "scipy.stats",
    ),
}  # fmt: skip
"""Modules whose public functions of Python may stand as parameters."""
BESIDE = (
    "scipy.fft._backend.",
    "scipy.fft._debug_backends.",
    "scipy.fft._pocketfft.",
    "scipy.linalg.blas.",
    "scipy.special._testutils.",
    "scipy.stats._distn_infrastructure.",
    "scipy.stats._distribution_infrastructure.",
    "scipy.stats._fit.",
    "scipy.stats._resampling.",
    "scipy.stats._sensitivity_analysis.",
)
"""Functions that change the library, make classes, or call what they are given."""
TORCH_FUNCTIONS = ("fft", "linalg", "nn", "special")
"""Modules of torch's compiled functions: `torch.linalg.norm` is `torch._C._linalg.linalg_norm` in a file."""


def functions_of(*modules: str) -> Iterator[tuple[str, str]]:
    """Yield the public functions of modules, by the names that pickles give them."""
    for module in modules:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                members = dict(vars(importlib.import_module(module)))
        except ImportError:  # a module of another version
            continue
        root = module.partition(".")[0]
        for last, function in members.items():
            owner = getattr(function, "__module__", None) or ""
            if not callable(function) or inspect.isclass(function) or last.startswith("_"):
                continue
            if inspect.isfunction(inspect.unwrap(function)) and owner.partition(".")[0] == root:
                yield f"{owner}.{function.__qualname__}", "r"


def named_siblings(frameworks: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the names here of these frameworks, each with its uses."""
    for framework in frameworks:
        yield from PLAIN.get(framework, {}).items()
        for name in LIBRARY_ERRORS:
            if framework_of(name) == framework:
                yield name, "cr"
        for name, uses in functions_of(*FUNCTIONS.get(framework, ())):
            beside = name.startswith(BESIDE) or name.endswith("plot") or "<" in name
            if framework_of(name) == framework and not beside:
                yield name, uses
        for owner, methods in METHODS.items():
            if framework_of(owner) == framework:
                yield from ((f"{owner}.{method}", "r") for method in sorted(methods))
        if framework == "scipy":
            yield from _entropies()
        if framework == "catboost":
            yield from _catboost_metrics()
        if framework == "torch":
            yield from _torch_functions()


def _entropies() -> Iterator[tuple[str, str]]:
    """Yield the functions that distributions keep as bound methods, for the classes that define one."""
    for last in ("_continuous_distns", "_discrete_distns", "_distn_infrastructure", "_levy_stable"):
        module = importlib.import_module(f"scipy.stats.{last}")
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and ENTROPY in vars(kind) and is_method(module.__name__, f"{name}.{ENTROPY}"):
                yield f"{module.__name__}.{name}.{ENTROPY}", "r"


def _catboost_metrics() -> Iterator[tuple[str, str]]:
    members = vars(importlib.import_module("catboost.metrics"))
    base = members["BuiltinMetric"]
    for name, kind in members.items():
        if inspect.isclass(kind) and issubclass(kind, base) and kind is not base:
            yield f"catboost.metrics.{name}", "bnr"


def _torch_functions() -> Iterator[tuple[str, str]]:
    for last in TORCH_FUNCTIONS:
        module = importlib.import_module(f"torch._C._{last}")
        for name, value in vars(module).items():
            if callable(value) and name.startswith(f"{last}_"):
                yield f"torch._C._{last}.{name}", "r"
