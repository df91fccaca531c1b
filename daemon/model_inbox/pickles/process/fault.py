"""What the end of a worker says: whether the file that it was scanning is the cause, and if not, what is.

Owns the distinction, and the words for a worker that failed by itself. A file costs its drop only what it did within
limits that we set: it used up our time or CPU time, crashed the parser, or caused an event that no scan needs. All
else is a failure of the worker or of the machine, and says nothing about the file. Never looks at the worker: status,
times and limits are passed in; only the hard limits that a message names are asked for here.

A signal does not tell who sent it. What the kernel sends for an error of the process itself (SIGSEGV, SIGABRT, ...)
is taken for the file's; SIGKILL, which the kernel sends when the machine's memory runs out, never is.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import ScanError
from .protocol import AUDIT_STATUS, SHORT_LIMITS

__all__ = [
    "End",
    "FilesFault",
    "out_of_memory",
    "shorter_limits",
    "start_failed",
    "verdict_on_end",
    "verdict_on_timeout",
    "worker_failed",
]

CRASHES: Mapping[int, str] = {
    signal.SIGSEGV: "it overflowed the stack, as deeply nested data does",
    signal.SIGABRT: "the interpreter aborted",
    signal.SIGBUS: "it read memory that is not there",
    signal.SIGFPE: "it divided by zero",
    signal.SIGILL: "it ran an invalid instruction",
}
"""Signals that a process gets for its own errors."""

BUSY_FRACTION = 0.5
"""A scan that had at least this part of its time as CPU time has used it up; one that had less was kept waiting."""

_WHERE = {
    "RLIMIT_AS": "`ulimit -Hv`, LimitAS= of the unit",
    "RLIMIT_DATA": "`ulimit -Hd`, LimitDATA= of the unit",
    "RLIMIT_STACK": "`ulimit -Hs`, LimitSTACK= of the unit",
    "RLIMIT_CPU": "`ulimit -Ht`, LimitCPU= of the unit",
}
_MEMORY_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA")


@dataclass(frozen=True, slots=True)
class FilesFault:
    """The file is the cause. `what` is a key of `report.FINDINGS`."""

    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class End:
    """How a worker ended while it scanned a file.

    `status` is negative for a signal, as of `subprocess`. `said` is what it wrote to stderr, `cpu_seconds` the CPU
    time that the file took, `cpu_limit` what it was allowed, and `short` the names of limits lower than ours.
    """

    status: int
    said: str
    cpu_seconds: float
    cpu_limit: int
    short: tuple[str, ...]


def verdict_on_end(end: End) -> FilesFault | ScanError:
    """Return what the file did, or the error if the file is not known to be the cause."""
    # The kernel counts in ticks, and a limit in whole seconds.
    cpu_is_used = end.cpu_seconds + 1 >= end.cpu_limit
    match -end.status:
        case signal.SIGXCPU if "RLIMIT_CPU" not in end.short and cpu_is_used:
            return FilesFault("worker-limit", f"it took more than {end.cpu_limit} s of CPU")
        case signal.SIGXCPU | signal.SIGKILL if "RLIMIT_CPU" in end.short:
            return _under_hard_limit("RLIMIT_CPU")
        case signal.SIGKILL:
            return ScanError(
                "cannot finish the scan: the worker that scans pickles was killed",
                hint="By the kernel, if memory ran out: give the machine or the unit (MemoryMax=) more than "
                "pickle.memory_limit, or lower that",
            )
        case crash if crash in CRASHES:
            for name in ("RLIMIT_STACK", *_MEMORY_LIMITS):
                if name in end.short:
                    return _under_hard_limit(name)
            return FilesFault("worker-crashed", CRASHES[crash])
    if end.status == AUDIT_STATUS:
        return FilesFault("worker-audit", end.said)
    return worker_failed(end.status, end.said)


def verdict_on_timeout(seconds: float, cpu_seconds: float) -> FilesFault | ScanError:
    """Return what it means that a scan did not end in `seconds`, of which it had `cpu_seconds` of CPU time."""
    if cpu_seconds >= seconds * BUSY_FRACTION:
        return FilesFault("worker-limit", f"it took more than {seconds:g} s")
    return ScanError(
        f"cannot finish the scan: in {seconds:g} s it was given only {cpu_seconds:.1f} s of CPU",
        hint="The machine or its disk is too busy, or somebody stopped the worker that scans pickles. "
        "If that is how it is, raise pickle.time_limit",
    )


def worker_failed(status: int, said: str) -> ScanError:
    """Return the error for a worker that ended for no reason that lies in a file."""
    return ScanError(f"cannot finish the scan: the worker that scans pickles ended {_how(status, said)}")


def start_failed(status: int, said: str, program: str) -> ScanError:
    """Return the error for a worker that ended before it was ready. `program` is the interpreter that it runs."""
    limits = [f"{name} {_amount(name)}" for name in SHORT_LIMITS if _hard(name) != resource.RLIM_INFINITY]
    under = f", under the hard limits {', '.join(limits)}" if limits else ""
    return ScanError(
        f"cannot start the worker that scans pickles: it ended {_how(status, said)}",
        hint=f"It runs {program}, which must be able to run as this user{under}",
    )


def _how(status: int, said: str) -> str:
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    return f"{how}: {said}" if said else how


def out_of_memory(short: tuple[str, ...], memory: int) -> ScanError:
    """Return the error for a scan that did not get the `memory` that our limits allow it."""
    for name in _MEMORY_LIMITS:
        if name in short:
            return _under_hard_limit(name)
    return ScanError(
        f"cannot finish the scan: the machine did not give it {memory >> 20} MiB of memory",
        hint="Free some, or lower pickle.memory_limit: a file that needs more than that is rejected",
    )


def shorter_limits(bits: int) -> tuple[str, ...]:
    """Return the names of the limits that a worker says are lower than ours."""
    return tuple(name for bit, name in enumerate(SHORT_LIMITS) if bits >> bit & 1)


def _hard(name: str) -> int:
    """Return a hard limit of this process, which the worker has inherited."""
    return resource.getrlimit(getattr(resource, name))[1]


def _amount(name: str) -> str:
    return f"{_hard(name)} s" if name == "RLIMIT_CPU" else f"{_hard(name) / (1 << 20):g} MiB"


def _under_hard_limit(name: str) -> ScanError:
    remedies = {
        "RLIMIT_CPU": ", or lower pickle.time_limit: a file that needs more than that is rejected",
        "RLIMIT_STACK": "",
    }
    remedy = remedies.get(name, ", or lower pickle.memory_limit: a file that needs more than that is rejected")
    return ScanError(
        f"cannot scan the file under the hard limit {name} of {_amount(name)}, which is lower than a scan may need",
        hint=f"Raise that limit ({_WHERE[name]}){remedy}",
    )
