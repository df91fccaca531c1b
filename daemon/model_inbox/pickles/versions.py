"""Versions of frameworks: what the files of a model claim, compared with what is installed.

Owns the distributions behind the names of frameworks, and the words about a difference. A claim comes from a producer:
no decision depends on it. Never imports a framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from .report import PickleReport

__all__ = ["claimed_versions", "installed_version", "version_differences"]


def claimed_versions(files: Mapping[str, tuple[str, PickleReport]]) -> dict[str, str]:
    """Return the versions that the files of a model claim, by framework. `files` are those of `verdict.current`."""
    found: dict[str, str] = {}
    for _, report in files.values():
        for framework, version in report.versions.items():
            # The longer one says more: numpy is known by its first number alone, where no file says more.
            if len(version) > len(found.get(framework, "")):
                found[framework] = version
    return dict(sorted(found.items()))


@cache
def installed_version(framework: str) -> str | None:
    """Return the version of a framework that is installed here, or None."""
    try:
        return metadata.version(framework)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def version_differences(claimed: Mapping[str, Any]) -> list[str]:
    """Return in words how the installed frameworks differ from those that made a model.

    A version may be only the first part of one: then only that part is compared.
    """
    found = []
    for framework, version in claimed.items():
        here = installed_version(framework)
        wanted = str(version).removeprefix("v").split(".")
        if here is not None and here.split(".")[: len(wanted)] != wanted:
            found.append(f"it was made with {framework} {'.'.join(wanted)}, here is {framework} {here}")
    return found
