"""The Python code that a load runs for an allowed name, and whether it is still the code that was reviewed.

Owns the third column of the lists: methods that run without the pickle calling them by name, each with a hash of its
source. Unlike everything else in this package it imports what the lists name: it serves maintainers and operators who
ask about an installed framework, never the scan or a load.
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
    """A line of a list that the installed framework no longer bears out.

    `missing`: it has no such name (another version's, or moved); `changed`: other code runs for it than was reviewed.
    `reviewed` and `installed` are the hooks that differ, as the lists write them.
    """

    name: str
    what: Literal["missing", "changed"]
    reviewed: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()


def differences(framework: str) -> Iterator[Difference]:
    """Yield how the installed framework differs from its list; it is imported for that, its models are not.

    Every name is `missing` where the framework is not installed at all.
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
            # The name that another version writes; what this version writes has a line of its own.
            yield Difference(line.name, "missing")
        else:
            yield Difference(
                line.name, "changed", tuple(sorted(reviewed - installed)), tuple(sorted(installed - reviewed))
            )


def fetch(name: str) -> Any:
    """Import what a full name stands for. Raises ImportError or AttributeError where there is none."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def hooks_of(value: Any, uses: str) -> str:
    """Return the Python code that a load of this name may run: `method@class:hash`, blank-separated."""
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
    """Return eight digits of the hash of a function's source, or C where it has none."""
    try:
        return hashlib.sha256(inspect.getsource(inspect.unwrap(function)).encode()).hexdigest()[:8]
    except (TypeError, OSError, ValueError):
        return "C"
