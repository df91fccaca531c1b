"""The process that scans: a worker that a file may crash, and the daemon's side of it.

Owns the lifetime and the limits of the worker, how it is killed, and the protocol between the two. `Scanner` sends
files to the worker and returns reports, `Scan` is one requested scan, `scan_bytes` scans without a worker. Never loads
a file. The worker is started by the file name of `worker` and runs nothing of this module.
"""

from __future__ import annotations

from .scanner import Scan, Scanner, scan_bytes

__all__ = ["Scan", "Scanner", "scan_bytes"]
