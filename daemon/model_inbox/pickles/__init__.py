"""Pickles: judging them without running them, and loading only what was judged.

Owns the whole validation of model files. `Scanner` judges a file in a worker process and gives a `PickleReport`;
`Allowlist` says which names are accepted; `load` unpickles bytes that were accepted, importing only what the report
lists; `looks_complete` tells from a few bytes whether a file has its end. Never imports or runs what a file names
to judge it, and needs no framework for that.

Read next: `scan` (one scan), `stubs` (what stands for every name), `rules` (arguments), `report` (the verdict),
`process` (the worker around it), `loading`.
"""

from __future__ import annotations

from .allowlist import FRAMEWORKS, Allowlist, check_extra, explain
from .kinds import looks_complete
from .loading import load
from .names import USES, describe_uses
from .process import Scan, Scanner, scan_bytes
from .report import PickleReport, report_of
from .verdict import changes_since, current, verdict_basis

__all__ = [
    "FRAMEWORKS",
    "USES",
    "Allowlist",
    "PickleReport",
    "Scan",
    "Scanner",
    "changes_since",
    "check_extra",
    "current",
    "describe_uses",
    "explain",
    "load",
    "looks_complete",
    "report_of",
    "scan_bytes",
    "verdict_basis",
]
