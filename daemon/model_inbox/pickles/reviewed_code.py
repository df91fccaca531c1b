"""The Python code that a load runs for an allowed name, and whether it is still the code that was reviewed.

Owns the third column of the lists: methods that a load runs without a call in the pickle, each with a hash of its
source. Unlike the rest of this package it imports the names on the lists: maintainers and operators use it to check an
installed framework. Never used by a scan or a load.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .allowlist import read_list

__all__ = ["Difference", "differences", "fetch", "hooks_of"]

HOOKS = (
    "__setstate__", "__new__", "__del__", "__setattr__", "__getattr__", "__getattribute__", "__hash__", "__eq__",
    "__setitem__", "__reduce__", "__reduce_ex__",
)  # fmt: skip
"""Methods that a load may run without the pickle calling them by name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A line of a list that does not fit the installed framework.

    `missing`: the framework has no such name (the name of another version). `changed`: it runs other code than was
    reviewed. `reviewed` and `installed` are the hooks that differ, as the lists write them.
    """

    name: str
    what: Literal["missing", "changed"]
    reviewed: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()


def differences(framework: str) -> Iterator[Difference]:
    """Yield how the installed framework differs from its list. The framework is imported for that.

    If it is not installed, every name is `missing`.
    """
    for line in read_list(framework):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = fetch(line.name)
                installed = set(hooks_of(value, line.uses).split())
        except (ImportError, AttributeError):
            yield Difference(line.name, "missing")
            continue
        reviewed = set(line.hooks.split())
        if reviewed == installed:
            continue
        if inspect.isclass(value) and f"{value.__module__}.{value.__qualname__}" != line.name:
            # Another version writes this name. The name that this version writes has its own line.
            yield Difference(line.name, "missing")
        else:
            yield Difference(
                line.name, "changed", tuple(sorted(reviewed - installed)), tuple(sorted(installed - reviewed))
            )


def fetch(name: str) -> Any:
    """Import a full name and return its value. Raise ImportError or AttributeError if there is none."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def hooks_of(value: Any, uses: str) -> str:
    """Return the Python code that a load of this name may run: `method@class:hash`, separated by blanks."""
    if not inspect.isclass(value):
        return f"call:{_source_hash(value)}" if "c" in uses else ""
    found = []
    for hook in HOOKS + (("__init__",) if "c" in uses else ()):
        for owner in value.__mro__:
            if hook in vars(owner):
                digest = _source_hash(vars(owner)[hook])
                if owner is not object and digest != "C":
                    found.append(f"{hook}@{owner.__module__}.{owner.__qualname__}:{digest}")
                break
    return " ".join(found)


def _source_hash(function: Any) -> str:
    """Return eight digits of the hash of a function's source, or "C" if it has no Python source."""
    try:
        return hashlib.sha256(inspect.getsource(inspect.unwrap(function)).encode()).hexdigest()[:8]
    except (TypeError, OSError, ValueError):
        return "C"
