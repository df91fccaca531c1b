"""Which names a pickle may carry, whatever a list says: spelling, aliases, uses, and what is never allowed.

Owns rule 4 (names that are never allowed), the aliases of Python 2, and the meaning of the use letters. Never
imports what it names, reads no file, and keeps no list of what *is* allowed (`allowlist` does).
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
"""What each letter of a use permits. r comes first: everything else implies that the name was looked up."""

NAME_LENGTH_MAX = 200

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
"""What joblib puts before the raw bytes of an array; a plain unpickler cannot read on after it."""

LOAD_FROM_BYTES = "torch.storage._load_from_bytes"
"""What torch writes for a storage in a plain pickle: it is given a whole torch file in bytes."""

_PYTHON2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_PYTHON2_BUILTINS = {"unicode": "str", "long": "int", "xrange": "range"}


def resolve(module: str, name: str) -> tuple[str, str]:
    """Return module and name as the loader looks them up: the few aliases of Python 2, nothing else.

    Scan and load both call this, so that a verdict is about the very object that a load would fetch.
    """
    if module == "__builtin__":
        name = _PYTHON2_BUILTINS.get(name, name)
    return _PYTHON2_MODULES.get(module, module), name


def is_well_formed(module: object, name: object) -> bool:
    """Tell whether this may be looked up at all: plain ASCII identifiers, and no dot in the name.

    With dots allowed in `name`, ('a', 'b.c') and ('a.b', 'c') would look the same once joined, and an attribute
    of an allowed class could be reached.
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


# --- rule 4: never, whatever a list says ---------------------------------------------------------------------

PATH_MODULES = ("pathlib", "pathlib._local")
PATH_NAMES = ("Path", "PosixPath", "PurePath", "PurePosixPath")
"""Python 3.13 writes paths under another module than those before and after it."""

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
"""The names of the standard library that can stand for a value. Everything else in it is an evaluator, or one
call away from one (`functools.partial`, `operator.attrgetter`, `types.FunctionType`, `timeit.timeit`, ...)."""

_STDLIB = frozenset(stdlib_module_names) | {"__builtin__", "__main__", "nt", "posix", "distutils", "imp"}

_NEVER_PACKAGES = {
    "cloudpickle": "it builds code out of the file",
    "dill": "it builds code out of the file",
    "formulaic": "it evaluates formulas",
    "IPython": "it runs commands",
    "jsonpickle": "it is an unpickler itself",
    "model_inbox": "it is the program that judges",
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
    "joblib.externals": "it builds code out of the file",
    "joblib.memory": "it opens files and calls functions",
    "numpy.distutils": "it runs programs",
    "numpy.f2py": "it runs programs",
    "numpy.testing": "it runs code given as text",
    "pandas.compat.pickle_compat": "it is an unpickler itself",
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

_FETCHES_ANYTHING = "it fetches or calls whatever it is told to"
_OPENS_FILES = "it opens files"
_NEVER_NAMES = {
    "joblib.numpy_pickle.NDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle.ZNDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle_compat.NDArrayWrapper": _OPENS_FILES,
    "joblib.numpy_pickle_compat.ZNDArrayWrapper": _OPENS_FILES,
    "numpy.core._ufunc_reconstruct": _FETCHES_ANYTHING,
    "numpy._core._ufunc_reconstruct": _FETCHES_ANYTHING,
    "numpy.core._internal._reconstruct": _FETCHES_ANYTHING,
    "torch.serialization.load": "it is an unpickler itself",
    "torch.load": "it is an unpickler itself",
    "torch.storage._load_from_file": _OPENS_FILES,
    "scipy.interpolate._interpolate.interp1d": _FETCHES_ANYTHING,
    "scipy.interpolate.interpolate.interp1d": _FETCHES_ANYTHING,
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
"""Packages so full of functions that open files or call other functions that only the shipped lists, each entry
with a rule for its arguments, may let one be called."""


def never_allowed(name: str, uses: str = "") -> str | None:
    """Return why `name` must not be allowed with these `uses`, by any list, or None.

    The shipped lists obey the part about names too; the part about calls is for lines that users add.
    """
    if name in _STDLIB_VALUES or name == JOBLIB_ARRAY:
        return None
    if reason := _NEVER_NAMES.get(name):
        return reason
    root = root_of(name)
    if root == "__main__":
        return "it names a script, which is another one in every process"
    if root in _STDLIB:
        return "of the standard library only plain values may come out of a pickle"
    if reason := _NEVER_PACKAGES.get(root):
        return reason
    if root == "joblib":
        return _OPENS_FILES
    parts = name.split(".")
    for length in range(2, len(parts)):
        if reason := _NEVER_SUBPACKAGES.get(".".join(parts[:length])):
            return reason
    if "c" in uses and root in _NO_CALLS_ADDED:
        return f"calls into {root} are only allowed where the shipped list has a rule for their arguments"
    return None


# --- code carried by value -----------------------------------------------------------------------------------

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
    """Tell whether a pickle that names this holds functions or classes themselves rather than their names."""
    return name in _CODE_NAMES or name.startswith(_CODE_PACKAGES)


# --- frameworks ----------------------------------------------------------------------------------------------

_FRAMEWORK_OF_PACKAGE = {
    "_loss": "scikit-learn",  # its losses go by this name before scikit-learn 1.8
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
    """Return the framework whose list has, or would have, this name; None for any other package."""
    return _FRAMEWORK_OF_PACKAGE.get(root_of(name))


def describe_uses(uses: str) -> str:
    """Return in words what `uses` permit: "be referred to, be called"."""
    return ", ".join(text for letter, text in USES.items() if letter in uses)
