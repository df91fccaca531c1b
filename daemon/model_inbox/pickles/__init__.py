"""Pickles: validate a model file without running it, and load no more than was validated.

Owns the validation of model files. `Scanner` scans a file in a worker process and returns a `PickleReport`.
`Allowlist` says which names are accepted. `load` unpickles bytes that were accepted and imports only what the report
lists. `looks_complete` returns whether a file can have its end. Never imports or runs what a file names in order to
validate it, and needs no framework for that.

Other rooms import from here and from no module below. Read next: `scan` (one scan), `stubs` (what stands for each
name), `formats/` (files that are more than one pickle), `rules/` (arguments of calls), `report` (the result in words),
`process/` (the worker around a scan), `loading`.
"""

from __future__ import annotations

from .allowlist import FRAMEWORKS, Allowlist, check_extra, check_frameworks, explain
from .kinds import looks_complete
from .loading import load
from .names import USES, describe_uses, never_allowed
from .process import Scan, Scanner, scan_bytes
from .report import PickleReport, imports_of, report_of
from .reviewed_code import Difference, differences
from .suggestions import block_of, lines_for
from .verdict import changes_since, current, verdict_basis
from .versions import claimed_versions, installed_version, version_differences

__all__ = [
    "FRAMEWORKS",
    "USES",
    "Allowlist",
    "Difference",
    "PickleReport",
    "Scan",
    "Scanner",
    "block_of",
    "changes_since",
    "check_extra",
    "check_frameworks",
    "claimed_versions",
    "current",
    "describe_uses",
    "differences",
    "explain",
    "imports_of",
    "installed_version",
    "lines_for",
    "load",
    "looks_complete",
    "never_allowed",
    "report_of",
    "scan_bytes",
    "verdict_basis",
    "version_differences",
]
