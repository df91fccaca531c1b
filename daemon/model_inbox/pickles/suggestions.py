"""The lines of `pickle.allow` that would make a file acceptable. Pure.

Owns which lines may be suggested: those that an operator may add, and only if they are all that a file lacks. Never
suggests a line for a name that no list may have, nor for a use that a shipped list leaves out on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .allowlist import Allowlist
from .names import describe_uses, never_allowed, only_shipped
from .report import PickleReport

__all__ = ["block_of", "lines_for"]


def lines_for(report: PickleReport, allowlist: Allowlist) -> dict[str, str]:
    """Return the lines that the names in a file need, or none if some name can never be allowed.

    Whether the file is accepted with them is for another scan to find: it may have other problems.
    """
    needed = {}
    for name, letters in report.imports.items():
        allowed = allowlist.uses(name)
        if allowed is not None and set(letters) <= set(allowed):
            continue
        wanted = "".join(sorted({*(allowed or ""), *letters}))
        if only_shipped(name) or never_allowed(name, wanted):
            return {}
        if allowed is not None and not allowlist.is_extra(name):
            return {}
        needed[name] = wanted
    return {} if report.embedded_code else needed


def block_of(lines: Mapping[str, str], needed_by: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the lines of a YAML block with these entries. `needed_by` are the files that need each."""
    yield "pickle:"
    yield "  allow:"
    for name, letters in sorted(lines.items()):
        yield f"    # {', '.join(needed_by[name])}; permits {name} to {describe_uses(letters)}"
        yield f'    "{name}": "{letters}"'
