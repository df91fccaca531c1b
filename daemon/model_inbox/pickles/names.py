"""Names in pickles: their spelling, aliases and uses, and the names that are never allowed. Pure.

Owns the names that no list may allow, the aliases of Python 2, and the meaning of the letters for uses. Never imports a
name, and has no list of allowed names: `allowlist` has them.
"""

from __future__ import annotations

from sys import stdlib_module_names

__all__ = [
    "JOBLIB_ARRAY",
    "LOAD_FROM_BYTES",
    "PATH_MODULES",
    "PATH_NAMES",
    "USES",
    "carries_code",
    "describe_uses",
    "framework_of",
    "is_well_formed",
    "never_allowed",
    "resolve",
    "root_of",
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

_PYTHON2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_PYTHON2_BUILTINS = {"unicode": "str", "long": "int", "xrange": "range"}


def resolve(module: str, name: str) -> tuple[str, str]:
    """Return module and name as the loader looks them up: a few aliases of Python 2 are replaced.

    Scan and load both call this, so that the scan judges the same object that the load imports.
    """
    if module == "__builtin__":
        name = _PYTHON2_BUILTINS.get(name, name)
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


def root_of(name: str) -> str:
    """Return the top-level package of a full name."""
    return name.partition(".")[0]


# --- names that are never allowed ----------------------------------------------------------------------------

PATH_MODULES = ("pathlib", "pathlib._local")
PATH_NAMES = ("Path", "PosixPath", "PurePath", "PurePosixPath")
"""Python 3.13 writes paths with the module `pathlib._local`, the versions before and after it with `pathlib`."""

_STDLIB_VALUES = frozenset(
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
        "_codecs.encode",
        "copyreg.__newobj__",
        "copyreg._reconstructor",
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
    }
)
"""The value types of the standard library, and the functions that picklers write to make values. Everything else in it
can run code, or can be made to with one call (`functools.partial`, `operator.attrgetter`, `timeit.timeit`, ...)."""

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
    "statsmodels": "its models evaluate formulas when they are loaded",
    "sympy": "it evaluates expressions",
    "numba": "it compiles and runs code",
    "llvmlite": "it compiles and runs code",
}

_NEVER_SUBPACKAGES = {
    "joblib.externals": "it builds code from the file",
    "joblib.memory": "it opens files and calls functions",
    "numpy.distutils": "it runs programs",
    "numpy.f2py": "it runs programs",
    "numpy.testing": "it runs code given as text",
    "pandas.compat.pickle_compat": "it unpickles without restrictions",
    "pandas.core.computation": "it evaluates expressions",
    "pandas.io": "it opens files",
    "scipy.optimize": "it calls functions that the file names",
    "scipy.stats": "its distributions run the text in their state when they are loaded",
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
    "scipy.interpolate._interpolate.interp1d": _IMPORTS_ANYTHING,
    "scipy.interpolate.interpolate.interp1d": _IMPORTS_ANYTHING,
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
    ]
)
"""Packages with many functions that open files or call other functions. Only the shipped lists may permit a call into
them: there each function has a rule for its arguments."""


def never_allowed(name: str, uses: str = "") -> str | None:
    """Return why no list may allow `name` with these `uses`, or None if a list may.

    What this says about names holds for the shipped lists too. What it says about calls holds for the user's own lines.
    """
    if name in _STDLIB_VALUES or name == JOBLIB_ARRAY:
        return None
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
    return name in _CODE_NAMES or name.startswith(_CODE_PACKAGES)


# --- frameworks ----------------------------------------------------------------------------------------------

_FRAMEWORK_OF_PACKAGE = {
    # scikit-learn before 1.8 writes its losses with this module name.
    "_loss": "scikit-learn",
    "catboost": "catboost",
    "joblib": "joblib",
    "lightgbm": "lightgbm",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scikit-learn",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "xgboost": "xgboost",
}


def framework_of(name: str) -> str | None:
    """Return the framework that the package of this name belongs to, or None for any other package."""
    return _FRAMEWORK_OF_PACKAGE.get(root_of(name))


def describe_uses(uses: str) -> str:
    """Return what `uses` permit, in words: "be referred to, be called"."""
    return ", ".join(text for letter, text in USES.items() if letter in uses)
