"""The names that a pickle may contain, and the uses of each: the shipped lists and the user's own lines.

Owns the data files in `allow/`, one for each framework, how they are read, and the checks of the user's lines. Only
exact names: no prefix, no pattern. Never reads a pickle and never imports a name.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from ..errors import ConfigError, StorageError
from ..problems import Problem, quoted
from ..problems.config import config_invalid_allow, config_invalid_value
from .names import USES, describe_uses, is_well_formed, never_allowed

__all__ = [
    "FRAMEWORKS",
    "AllowedName",
    "Allowlist",
    "check_extra",
    "check_frameworks",
    "explain",
    "parse_list",
    "read_list",
]

FRAMEWORKS = (
    "arch", "builtins", "catboost", "category-encoders", "hmmlearn", "imbalanced-learn", "joblib", "lightgbm", "mapie",
    "ngboost", "numpy", "pandas", "prophet", "quantile-forest", "scikit-learn", "scipy", "skforecast", "statsmodels",
    "torch", "xgboost",
)  # fmt: skip
"""The shipped lists, by their names in `pickle.frameworks`."""

_SKLEARN = ("numpy", "scikit-learn", "scipy")
_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "arch": ("numpy", "pandas", "scipy", "statsmodels"),
    "builtins": (),
    "catboost": ("numpy",),
    "category-encoders": (*_SKLEARN, "pandas"),
    "hmmlearn": _SKLEARN,
    "imbalanced-learn": _SKLEARN,
    "joblib": ("numpy",),
    "lightgbm": _SKLEARN,
    "mapie": _SKLEARN,
    "ngboost": _SKLEARN,
    "numpy": (),
    "pandas": ("numpy",),
    "prophet": ("numpy", "pandas"),
    "quantile-forest": _SKLEARN,
    "scikit-learn": ("numpy", "scipy"),
    "scipy": ("numpy",),
    "skforecast": (*_SKLEARN, "pandas", "statsmodels"),
    "statsmodels": ("numpy", "pandas", "scipy"),
    "torch": ("numpy",),
    "xgboost": _SKLEARN,
}
"""Frameworks whose names are in the pickles of a framework, too. `builtins` always is."""

RULES_VERSION = 22
"""Increased with each change of the rules for arguments, so that an older verdict is recognised as older."""


@dataclass(frozen=True, slots=True)
class AllowedName:
    """A line of a list. `hooks` are the Python functions that a load of it runs, each with a hash of its source."""

    name: str
    uses: str
    hooks: str = ""


def parse_list(text: str) -> Iterator[AllowedName]:
    """Yield the lines of a list: name, uses and hooks, separated by tabs. # begins a comment."""
    for line in text.splitlines():
        content = line.partition("#")[0].rstrip()
        if content:
            name, uses, *hooks = content.split("\t")
            yield AllowedName(name, uses, hooks[0] if hooks else "")


def read_list(framework: str) -> list[AllowedName]:
    """Return the shipped list of one framework. Raise StorageError if its file cannot be read."""
    return list(parse_list(_text_of(framework)))


@cache
def _text_of(framework: str) -> str:
    try:
        return resources.files(__package__).joinpath("allow", f"{framework}.tsv").read_text("utf-8")
    except OSError as error:
        raise StorageError("read the allowlist", f"{framework}.tsv", error) from error


def explain(name: str) -> dict[str, str | list[str]]:
    """Return what is known of a name: the lists that have it, what they permit, and which code a load runs for it.

    `never` is the reason why no list may have the name, or empty. `hooks` are the Python functions that a load may run
    for it, each with a hash of its source.
    """
    listed = [(framework, line) for framework in FRAMEWORKS for line in read_list(framework) if line.name == name]
    uses = "".join(sorted({letter for _, line in listed for letter in line.uses}))
    return {
        "name": name,
        "frameworks": [framework for framework, _ in listed],
        "uses": uses,
        "permits": describe_uses(uses),
        "hooks": sorted({hook for _, line in listed for hook in line.hooks.split()}),
        "never": never_allowed(name) or "",
    }


class Allowlist:
    """Allowed names with their allowed uses. A value: it never changes after `load`."""

    __slots__ = ("_extra", "_names", "digest")

    def __init__(self, names: Mapping[str, str], extra: Mapping[str, str]) -> None:
        self._names = MappingProxyType({**names, **extra})
        self._extra = frozenset(extra)
        lines = [f"rules {RULES_VERSION}"]
        lines += [f"{name}\t{''.join(sorted(uses))}" for name, uses in sorted(self._names.items())]
        self.digest: str = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        """A digest of all that a verdict depends on here: names, uses, and the version of the rules for arguments."""

    @classmethod
    def load(cls, frameworks: Sequence[str] | None = None, extra: Mapping[str, str] | None = None) -> Allowlist:
        """Return the lists of `frameworks` (None: all shipped) with `extra`, the lines of `pickle.allow`.

        A framework includes those whose names are in its pickles, too. Raise ConfigError with all problems if a
        framework is unknown or an extra line is not allowed.
        """
        extra = extra or {}
        wanted = FRAMEWORKS if frameworks is None else tuple(frameworks)
        problems = [*check_frameworks(wanted), *check_extra(extra)]
        if problems:
            raise ConfigError("cannot make the allowlist", problems)
        names: dict[str, set[str]] = {}
        for framework in sorted(_with_implied(wanted)):
            for allowed in read_list(framework):
                names.setdefault(allowed.name, set()).update(allowed.uses)
        own = {name: uses for name, uses in extra.items() if name not in names}
        for name in extra.keys() & names.keys():
            names[name].update(extra[name])
        return cls({name: "".join(sorted(uses)) for name, uses in names.items()}, own)

    def uses(self, name: str) -> str | None:
        """Return the letters of the allowed uses of `name`, or None if the name is not allowed at all."""
        if never_allowed(name):
            return None
        return self._names.get(name)

    def is_extra(self, name: str) -> bool:
        """Return whether a name comes from the user's own lines."""
        return name in self._extra

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def _with_implied(frameworks: Sequence[str]) -> set[str]:
    found = {"builtins"}
    for name in frameworks:
        found |= {name, *_IMPLIED[name]}
    return found


def check_frameworks(names: Iterable[str]) -> list[Problem]:
    """Return the problems of the names under `pickle.frameworks`."""
    problems = []
    for name in names:
        if name not in FRAMEWORKS:
            close = difflib.get_close_matches(name[:64], FRAMEWORKS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"The frameworks are {', '.join(FRAMEWORKS)}"
            what = f"{quoted(name)} is not a known framework"
            problems.append(config_invalid_value(f"pickle.frameworks.{name}", what, hint))
    return problems


def check_extra(extra: Mapping[str, str]) -> list[Problem]:
    """Return the problems of the lines under `pickle.allow`: spelling, letters, and names that are never allowed."""
    problems = []
    for name, uses in extra.items():
        message, hint = _fault_of_extra(name, uses)
        if message:
            problems.append(config_invalid_allow(name, message, hint))
    return problems


_LETTERS = "The letters are " + ", ".join(f"{letter} ({text})" for letter, text in USES.items())


def _fault_of_extra(name: str, uses: str) -> tuple[str, str]:
    module, _, last = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not module or not is_well_formed(module, last):
        hint = "Write the class as module.Class, exactly as the rejection named it; patterns are not accepted"
        return f"{quoted(name)} is not a full name", hint
    if not isinstance(uses, str) or not uses or not set(uses) <= set(USES) or len(set(uses)) != len(uses):
        return f"{quoted(uses)} is not a set of letters for uses (of {quoted(name)})", _LETTERS
    if "r" not in uses:
        return (
            f"{quoted(uses)} permits nothing: without r, {quoted(name)} may not be referred to",
            "Add r to the letters",
        )
    if reason := never_allowed(name, uses):
        called = never_allowed(name) is None
        what = (
            f"{quoted(name)} can never be allowed to {describe_uses('c')}"
            if called
            else f"{quoted(name)} can never be allowed"
        )
        return f"{what}: {reason}", "Remove the line; a model that needs it can be registered by a trusted process"
    return "", ""
