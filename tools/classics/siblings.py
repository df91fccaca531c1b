"""Classes of the classics that no fitted model of the learning set held, but that are loaded the same way.

Owns which classes of a package are added to its list: Python classes of its own, created without arguments, for which
no Python code runs that does not run for a class that was met. Compiled types are never added.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from model_inbox.pickles.names import framework_of, never_allowed, root_of
from model_inbox.pickles.reviewed_code import fetch, hooks_of

__all__ = ["classic_siblings"]

WALKED = {
    "arch": ("arch.univariate", "arch.unitroot", "arch.bootstrap", "arch.covariance"),
    "category-encoders": ("category_encoders",),
    "hmmlearn": ("hmmlearn",),
    "imbalanced-learn": ("imblearn",),
    "mapie": ("mapie",),
    "ngboost": (),
    "prophet": (),
    "quantile-forest": ("quantile_forest",),
    "scipy": ("scipy.interpolate", "scipy.spatial", "scipy.stats", "scipy.signal", "scipy.integrate", "scipy.optimize"),
    "skforecast": ("skforecast",),
    "statsmodels": tuple(
        f"statsmodels.{name}"
        for name in ("base", "discrete", "distributions", "duration", "gam", "genmod", "imputation", "miscmodels",
                     "multivariate", "nonparametric", "othermod", "regression", "robust", "stats", "treatment", "tsa")
    ),
}  # fmt: skip
SKIPPED = ("tests", "testing", "datasets", "experimental", "_test", "conftest", "plotting", "graphics", "vis",
           "keras", "tensorflow", "_docstring", "foundation")  # fmt: skip
FUNCTIONS = {
    "statsmodels": ("statsmodels.stats.sandwich_covariance", ("weights_bartlett", "weights_uniform")),
}


def classic_siblings(framework: str, uses: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield names with their uses for one of the classics. `uses` is what its models taught."""
    learned = [name for name in uses if framework_of(name) == framework]
    known = {hook for name in learned for hook in _hooks(name)}
    for module in _modules(framework, learned):
        # ngboost's distributions and scores are named, never created.
        named = module.__name__.startswith(("ngboost.distns.", "ngboost.scores"))
        for last, value in list(vars(module).items()):
            if not inspect.isclass(value) or value.__module__ != module.__name__ or value.__qualname__ != last:
                continue
            name = f"{module.__name__}.{last}"
            if name in uses or never_allowed(name) or not (named or set(hooks_of(value, "").split()) <= known):
                continue
            if letters := "r" if named else _letters(value):
                yield name, letters
    for name in _functions(framework):
        yield name, "r"


def _letters(kind: type[Any]) -> str:
    """Return the uses of a class like the learned ones, or "" if it is of another make."""
    if issubclass(kind, BaseException) or kind.__name__.startswith("Test"):
        return ""
    bases = [base for base in kind.__mro__ if base is not object]
    if not all(base.__flags__ & (1 << 9) for base in bases if base not in (tuple, dict)):  # Py_TPFLAGS_HEAPTYPE
        return ""
    if tuple in bases:
        return "cnr" if hasattr(kind, "_fields") and "__getnewargs_ex__" not in vars(kind) else ""
    if dict in bases:
        return "nrs"
    if any("__slots__" in vars(base) and vars(base)["__slots__"] for base in bases):
        return ""
    return "bnr"


def _hooks(name: str) -> list[str]:
    try:
        return hooks_of(fetch(name), "").split()
    except (ImportError, AttributeError):
        return []


def _modules(framework: str, learned: Iterable[str]) -> Iterator[ModuleType]:
    names = {name.rpartition(".")[0] for name in learned}
    for package in WALKED[framework]:
        try:
            found = importlib.import_module(package)
        except ImportError:
            continue
        names.add(package)
        for part in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{package}.", onerror=lambda _: None):
            if not any(piece.startswith(SKIPPED) for piece in part.name.split(".")):
                names.add(part.name)
    for name in sorted(names):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(name)
        except BaseException:  # noqa: BLE001 - a module that needs more than is installed has nothing to add
            continue
        if root_of(name) == root_of(module.__name__) and getattr(module, "__file__", "").endswith(".py"):
            yield module


def _functions(framework: str) -> Iterator[str]:
    module, names = FUNCTIONS.get(framework, ("", ()))
    for name in names:
        yield f"{module}.{name}"
