"""Makes the allowlists that are shipped: fits real models, pickles them in every way, and notes what they use.

For maintainers, run in an environment that has the frameworks, as this or as `model-inbox allowlist build`:

    python tools/build_allowlist.py                 write daemon/model_inbox/pickles/allow/*.tsv
    python tools/build_allowlist.py --check         say what would change, and exit 1 if anything would
    python tools/build_allowlist.py torch numpy     only what these frameworks' models use
    python tools/build_allowlist.py --merge         keep every name that is listed: for older versions of a framework

What is written is a proposal: read the diff. A new name needs a look at its hooks, the Python code that runs when
it is loaded; a changed hash in a line means that this code is another one than was reviewed.
"""

# ruff: noqa: E402 - the package and its neighbours are found by the path set here
from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import inspect
import io
import pickle
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "daemon")]

from classics import CLASSICS
from classics.siblings import classic_siblings
from named_siblings import named_siblings
from real_models import NUMPY_FUNCTIONS, NUMPY_LINALG, NUMPY_UFUNCS
from real_models import SOURCES as OTHERS
from torch_models import torch_models, torch_siblings

from model_inbox.pickles.allowlist import FRAMEWORKS, AllowedName, parse_list
from model_inbox.pickles.names import (
    ERRORS,
    JOBLIB_ARRAY,
    PATH_MODULES,
    STDLIB_VALUES,
    framework_of,
    is_distribution,
    never_allowed,
    root_of,
)
from model_inbox.pickles.report import problem_of
from model_inbox.pickles.reviewed_code import fetch, hooks_of
from model_inbox.pickles.rules import HASHABLE, call_rules, numpy_rules
from model_inbox.pickles.scan import record
from model_inbox.pickles.streams import MemorySource

SOURCES = {**OTHERS, "torch": torch_models, **CLASSICS}
LISTS = Path(__file__).parents[1] / "daemon" / "model_inbox" / "pickles" / "allow"

NUMPY_TWINS = ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
"""numpy 1 calls `numpy.core` what numpy 2 calls `numpy._core`; both stand in the files of either's users."""


DATEUTIL = {
    "dateutil._common.weekday": "bnr",
    "dateutil.relativedelta.relativedelta": "bnr",
    "dateutil.tz.tz._ttinfo": "bnr",
    "dateutil.tz.tz.tzfile": "bcr",
    "dateutil.tz.tz.tzlocal": "bnr",
    "dateutil.tz.tz.tzrange": "bnr",
    "dateutil.tz.tz.tzstr": "bnr",
}
"""Zones and steps that cannot be written in protocols 0 and 1, or only by versions of dateutil before its third."""

LOSSES = "sklearn._loss._loss."
"""Before scikit-learn 1.8 the classes of this module say that they are of `_loss`, without its package."""


# --- pickling ------------------------------------------------------------------------------------------------


def written(value: Any, framework: str) -> Iterator[tuple[str, bytes]]:
    """Yield the ways in which people save a model: (way, bytes)."""
    import cloudpickle
    import joblib

    if framework in CLASSICS:  # what the formats of joblib do is known from the other models
        for protocol in (2, 4, 5):
            yield f"pickle {protocol}", pickle.dumps(value, protocol)
        return
    # Some objects of torch end the process when they are asked for protocols 0 and 1.
    for protocol in range(2 if framework == "torch" else 0, pickle.HIGHEST_PROTOCOL + 1):
        try:
            yield f"pickle {protocol}", pickle.dumps(value, protocol)
        except TypeError:
            # Protocols 0 and 1 cannot write every object.
            if protocol >= 2:
                raise
    yield "cloudpickle", cloudpickle.dumps(value)
    with tempfile.TemporaryDirectory() as folder:
        for compress in (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), ("lz4", 3)):
            path = Path(folder) / "model"
            joblib.dump(value, path, compress=compress)
            yield f"joblib {compress}", path.read_bytes()
    if framework == "torch":
        import torch

        for zipped in (True, False):
            for protocol in (2, 4):
                file = io.BytesIO()
                torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
                yield f"torch {zipped} {protocol}", file.getvalue()


class Learned:
    """What was seen so far: uses by name, and findings that a rule would refuse."""

    def __init__(self) -> None:
        self.uses: dict[str, set[str]] = defaultdict(set)
        self.refusals: dict[tuple[str, str, str], str] = {}
        self.files = 0

    def look_at(self, label: str, data: bytes) -> None:
        """Scan one file without any allowlist and note what it did."""
        self.files += 1
        recording = record(MemorySource(data))
        for name, letters in recording["uses"].items():
            self.uses[name].update(letters)
        for what, subject, detail in recording["findings"]:
            if what != "partial-of" and not (what == "hashed" and subject in HASHABLE):
                self.refusals.setdefault((what, subject, detail), label)


def learn(frameworks: list[str]) -> Learned:
    """Fit, pickle and scan everything; print what could not be pickled and what a rule refused."""
    learned = Learned()
    for framework in frameworks:
        before = learned.files
        for label, model in models_here(framework):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    for way, data in written(model, framework):
                        learned.look_at(f"{framework}: {label} ({type(model).__name__}), {way}", data)
            except Exception as error:  # noqa: BLE001 - an object that cannot be pickled teaches nothing
                print(f"not pickled: {framework} {label}: {type(error).__name__}: {str(error)[:80]}", file=sys.stderr)
        print(f"{framework}: {learned.files - before} files", file=sys.stderr)
    for (what, subject, detail), label in sorted(learned.refusals.items()):
        print(f"refused: {problem_of(what, subject, detail).code} {subject} {detail} in {label}", file=sys.stderr)
    return learned


def models_here(framework: str) -> Iterator[tuple[str, Any]]:
    """Yield the models of a framework; one that is not installed, or differs too much, ends with a word about it."""
    try:
        if framework in CLASSICS:
            yield from CLASSICS[framework]()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield from SOURCES[framework]()
    except Exception as error:  # noqa: BLE001 - the learning set is written for the newest versions
        print(f"stopped: {framework}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)


# --- names beyond those that were met ------------------------------------------------------------------------


def siblings(frameworks: list[str]) -> dict[str, str]:
    """Return public classes of the same make as learned ones, which no fitted model happened to hold."""
    found: dict[str, str] = {}
    if "builtins" in frameworks:
        found.update({name: "r" for name in STDLIB_VALUES if name not in call_rules})
        found.update({f"builtins.{name}": "cr" for name in ERRORS})
        found.update({f"ipaddress.IPv{version}{kind}": "cr" for version in (4, 6) for kind in ("Address", "Network")})
    if "scikit-learn" in frameworks:
        found.update(_sklearn_siblings())
    if "torch" in frameworks and importlib.util.find_spec("torch") is not None:
        found.update(torch_siblings())
    if "pandas" in frameworks:
        found.update(DATEUTIL)
        found.update(_pandas_siblings())
    if "numpy" in frameworks:
        found.update({f"numpy.{name}": "r" for name in (*NUMPY_FUNCTIONS, *NUMPY_UFUNCS)})
        found.update({f"numpy.linalg.{name}": "r" for name in NUMPY_LINALG})
        # numpy before 2.2 writes its ufuncs with the module that they are in.
        for core in ("core", "_core"):
            found.update({f"numpy.{core}._multiarray_umath.{name}": "r" for name in NUMPY_UFUNCS})
        found["numpy.memmap"] = "r"
        found["numpy.iinfo"] = "bnr"
        found["numpy.random.default_rng"] = "r"
        found.update(dict.fromkeys(numpy_rules.RESULTS, "cnr"))
    found.update(named_siblings(frameworks))
    return found


PANDAS_KINDS = (
    "pandas.Grouper", "pandas.NamedAgg", "pandas.api.indexers.FixedForwardWindowIndexer",
    "pandas.api.indexers.VariableOffsetWindowIndexer", "pandas.api.typing.TimeGrouper",
    "pandas.arrays.NumpyExtensionArray", "pandas.core.dtypes.dtypes.NumpyEADtype",
    "pandas.tseries.holiday.Holiday", "pandas.tseries.holiday.USFederalHolidayCalendar",
    # The names of the same in pandas 2.
    "pandas.core.arrays.numpy_.NumpyExtensionArray", "pandas.core.groupby.grouper.Grouper",
    "pandas.core.indexers.objects.FixedForwardWindowIndexer", "pandas.core.resample.TimeGrouper",
)  # fmt: skip


def _pandas_siblings() -> Iterator[tuple[str, str]]:
    import pandas as pd

    yield from ((name, "bnr") for name in PANDAS_KINDS)
    # A dtype keeps what it has computed once: then its pickle has a state.
    numbers = [f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)]
    for name in (*numbers, "Float32", "Float64", "Boolean"):
        kind = getattr(pd, f"{name}Dtype")
        yield f"{kind.__module__}.{kind.__qualname__}", "bnr"


def _sklearn_siblings() -> Iterator[tuple[str, str]]:
    import scipy.spatial.distance
    import scipy.special
    import scipy.stats
    import sklearn.calibration
    import sklearn.feature_selection
    import sklearn.gaussian_process.kernels
    import sklearn.inspection
    import sklearn.metrics
    import sklearn.metrics.pairwise
    import sklearn.model_selection
    import sklearn.neighbors
    import sklearn.preprocessing
    from sklearn.utils import all_estimators

    for _, kind in all_estimators():
        yield f"{kind.__module__}.{kind.__qualname__}", "bnr"
    for module in (sklearn.gaussian_process.kernels, sklearn.model_selection):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__.startswith("sklearn.") and not inspect.isabstract(kind):
                yield f"{kind.__module__}.{kind.__qualname__}", "bnr"
    functions = (
        sklearn.metrics, sklearn.metrics.pairwise, sklearn.feature_selection, sklearn.preprocessing,
        scipy.spatial.distance,
    )  # fmt: skip
    for module in functions:
        for name in module.__all__ if hasattr(module, "__all__") else dir(module):
            function = getattr(module, name)
            if inspect.isfunction(function) and function.__module__.startswith(module.__name__) and name[0] != "_":
                yield f"{function.__module__}.{function.__qualname__}", "r"
    for function in (sklearn.neighbors.kneighbors_graph, sklearn.neighbors.radius_neighbors_graph):
        yield f"{function.__module__}.{function.__qualname__}", "r"
    for module in (sklearn.metrics, sklearn.inspection, sklearn.calibration, sklearn.model_selection):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if name.endswith("Display"):
                yield f"{kind.__module__}.{name}", "bnr"
    for distribution in vars(scipy.stats).values():
        if isinstance(distribution, (scipy.stats.rv_continuous, scipy.stats.rv_discrete)):
            yield f"{type(distribution).__module__}.{type(distribution).__qualname__}", "bnr"
    for name, function in vars(scipy.special).items():
        if type(function).__name__ == "ufunc":
            # The module that a ufunc is in differs between versions of scipy.
            for module in ("_special_ufuncs", "_ufuncs"):
                yield f"scipy.special.{module}.{name}", "r"
    for name in sklearn.metrics.get_scorer_names():
        scorer = sklearn.metrics.get_scorer(name)
        yield f"{scorer._score_func.__module__}.{scorer._score_func.__qualname__}", "r"


EXTENSION_MODULES = ("sklearn._loss._loss", "sklearn.linear_model._sgd_fast", "sklearn.metrics._dist_metrics")
"""Cython modules of small classes of one make: which of them a model holds depends on its data and parameters."""


def module_mates(uses: dict[str, set[str]]) -> dict[str, str]:
    """Return the classes that stand beside learned ones in a module of scikit-learn and are loaded the same way.

    One loss, link or kernel that was met speaks for the others, as long as no Python code runs for them that does
    not run for it: their hooks must be among those learned.
    """
    learned: dict[str, set[str]] = defaultdict(set)
    for name, letters in uses.items():
        module = name.rpartition(".")[0]
        if module.startswith("sklearn.") and ("n" in letters or module in EXTENSION_MODULES):
            learned[module] |= letters - {"b"} if module in EXTENSION_MODULES else letters
    known_hooks = {hook for name in uses if _is_importable(name) for hook in hooks_of(fetch(name), "").split()}
    mates: dict[str, str] = {}
    for module, letters in learned.items():
        try:
            members = vars(importlib.import_module(module))
        except ImportError:  # a module of another version
            continue
        for last, value in members.items():
            name = f"{module}.{last}"
            if module in EXTENSION_MODULES:
                if last.startswith("__pyx_unpickle_") and last.removeprefix("__pyx_unpickle_") in members:
                    mates[name] = "cr"
                elif inspect.isclass(value) and value.__module__ == module:
                    mates[name] = "r" if f"{module}.newObj" in uses else "cr"
            elif inspect.isclass(value) and value.__module__ == module:  # noqa: SIM102 - as the branch above
                if set(hooks_of(value, "").split()) <= known_hooks:
                    mates[name] = "".join(sorted(letters & set("bnr")))
    return mates


def _is_importable(name: str) -> bool:
    try:
        fetch(name)
    except (ImportError, AttributeError):
        return False
    return True


# --- lines ---------------------------------------------------------------------------------------------------


def lines_of(uses: dict[str, set[str]], listed: dict[str, AllowedName], *, keep_hooks: bool) -> dict[str, list[str]]:
    """Return the lines of each list, sorted; names that may never be allowed are left out, and said.

    A name that this environment does not have keeps the hooks that it was listed with.
    """
    lines: dict[str, list[str]] = {framework: [] for framework in FRAMEWORKS}
    for name, letters in sorted(uses.items()):
        if reason := never_allowed(name):
            print(f"left out: {name}: {reason}", file=sys.stderr)
            continue
        framework = framework_of(name)
        if framework is None:
            if never_allowed(f"{root_of(name)}.x") is None:
                print(f"left out: {name}: of no framework", file=sys.stderr)
                continue
            framework = "builtins"
        text = "".join(sorted(letters))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                hooks = hooks_of(fetch(name), text)
        except (ImportError, AttributeError) as error:
            print(f"not importable here: {name}: {error}", file=sys.stderr)
            hooks = listed[name].hooks if name in listed else ""
        if "rv_generic" in hooks and not is_distribution(name):
            print(f"left out: {name}: no rule checks the text that it would run", file=sys.stderr)
            continue
        if keep_hooks and name in listed and listed[name].hooks:
            hooks = listed[name].hooks
        lines[framework].append(f"{name}\t{text}" + (f"\t{hooks}" if hooks else ""))
    return lines


def read(framework: str) -> str:
    """Return the text of a list as it is."""
    path = LISTS / f"{framework}.tsv"
    return path.read_text("utf-8") if path.exists() else ""


def versions(framework: str) -> str:
    """Return what a list was learned from."""
    packages = {"scikit-learn": ("sklearn",), "imbalanced-learn": ("imblearn",), "builtins": ()}.get(
        framework, (framework.replace("-", "_"),)
    )
    found = []
    for name in packages:
        try:
            found.append(f"{name} {importlib.import_module(name).__version__}")
        except (ImportError, AttributeError):
            continue
    return ", ".join([*found, f"Python {sys.version_info.major}.{sys.version_info.minor}"])


def head(framework: str) -> str:
    """Return the comment at the top of a list."""
    return (
        f"# {framework}: learned from {versions(framework)} by tools/build_allowlist.py.\n"
        "# name<TAB>uses<TAB>Python code that runs when it is loaded, with a hash of its source. Reviewed by hand.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "frameworks", nargs="*", choices=[*SOURCES, []], help="whose models to learn from; all of them by default"
    )
    parser.add_argument("--merge", action="store_true", help="keep the names that are listed already, and their hooks")
    parser.add_argument("--check", action="store_true", help="write nothing, say what would change")
    options = parser.parse_args()
    frameworks = options.frameworks or list(SOURCES)
    learned = learn(frameworks)
    uses: dict[str, set[str]] = defaultdict(set, {name: set(letters) for name, letters in learned.uses.items()})
    listed = {allowed.name: allowed for framework in FRAMEWORKS for allowed in parse_list(read(framework))}
    if options.merge or options.frameworks:  # what other models taught stays
        for name, allowed in listed.items():
            uses[name].update(allowed.uses)
    for name, letters in siblings(frameworks).items():
        uses[name].update(letters)
    if "scikit-learn" in frameworks:
        for name, letters in module_mates(uses).items():
            uses[name].update(letters)
    for framework in frameworks:
        if framework in CLASSICS:
            for name, letters in list(classic_siblings(framework, uses)):
                uses[name].update(letters)
    for name in uses:
        if name.startswith(("ngboost.distns.", "ngboost.scores.")):
            uses[name] = {"r"}
    for twin in NUMPY_TWINS:
        both = uses[f"numpy._core.{twin}"] | uses[f"numpy.core.{twin}"]
        uses[f"numpy._core.{twin}"], uses[f"numpy.core.{twin}"] = set(both), set(both)
    for name in [name for name in uses if name.startswith(LOSSES)]:
        uses[name.removeprefix("sklearn._loss.")].update(uses[name])
    for module in PATH_MODULES:
        for last in ("PosixPath", "PurePosixPath"):
            uses[f"{module}.{last}"].update("cr")
    uses[JOBLIB_ARRAY].update("bnr")
    changed = False
    for framework, lines in lines_of(uses, listed, keep_hooks=options.merge).items():
        path = LISTS / f"{framework}.tsv"
        before = read(framework)
        top = head(framework)
        if options.merge:
            top = "".join(line for line in before.splitlines(keepends=True) if line.startswith("#"))
            known = top.partition("learned from ")[2].partition(" by tools/")[0].split(", ")
            here = versions(framework).split(", ") if framework in frameworks else []
            every = ", ".join(dict.fromkeys([*known, *here]))
            top = f"# {framework}: learned from {every} by tools/" + top.partition(" by tools/")[2]
        text = top + "".join(f"{line}\n" for line in lines)
        changed |= text != before
        if options.check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    before.splitlines(keepends=True), text.splitlines(keepends=True), path.name, path.name
                )
            )
        else:
            path.write_text(text, "utf-8")
            print(f"{path.name}: {len(lines)} names", file=sys.stderr)
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
