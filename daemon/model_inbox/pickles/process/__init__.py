"""The process that scans: a worker that may die of a file, and the daemon's side of it.

Owns the worker's life, its limits and what the two say to each other: `Scanner` hands files to the worker and gives
back reports, `Scan` is one that was asked for, `scan_bytes` scans without a worker. Never loads a file; `worker` is
started by its file name and runs nothing of this module.
"""

from __future__ import annotations

from .scanner import Scan, Scanner, scan_bytes

__all__ = ["Scan", "Scanner", "scan_bytes"]
