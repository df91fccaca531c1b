"""The program of the worker process: started by its file name, ended by any unexpected audit event.

Owns the start of the worker, its limits and its audit hook. It imports the scanning modules of `pickles` and nothing
else of the package: `model_inbox`, `model_inbox.pickles` and the package of this module are empty stand-ins here, so
that the worker is small and starts quickly.

When the audit hook is set, any import, open, exec, connection or other audited event ends the process at once. The
worker needs none of them: files come as open descriptors on its socket, and it reads them by position.
"""

from __future__ import annotations

import os
import sys

# Audit events of what a scan itself does.
HARMLESS_EVENTS = frozenset(
    {
        "object.__getattr__",
        "object.__setattr__",
        "object.__delattr__",
        "sys._getframe",
        "array.__new__",
        "resource.setrlimit",
        "code.__new__",
        "builtins.id",
    }
)


def _import_scanner(package_path: str) -> None:
    """Make the scanning modules importable without running the `__init__` of the packages around this module."""
    from types import ModuleType

    pickles_path = os.path.dirname(package_path)
    for name, path in (
        ("model_inbox", os.path.dirname(pickles_path)),
        ("model_inbox.pickles", pickles_path),
        ("model_inbox.pickles.process", package_path),
    ):
        module = ModuleType(name)
        module.__path__ = [path]
        sys.modules[name] = module


def _arm(status: int) -> None:
    """End this process at any audited event that is not harmless, and write the event to stderr."""

    def hook(event: str, _args: tuple[object, ...]) -> None:
        if event not in HARMLESS_EVENTS:
            os.write(2, event.encode("ascii", "replace")[:100])
            os._exit(status)

    sys.addaudithook(hook)


def _die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends. If the parent is gone already, end now."""
    import ctypes

    # The arguments are PR_SET_PDEATHSIG and SIGKILL.
    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


class ProcessBounds:
    """The limits and the memory of this process: implements `worker_loop.Bounds`."""

    def __init__(self) -> None:
        import resource

        self._resource = resource
        # It stays open, because an armed process cannot open a file.
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")

    def _pages(self) -> tuple[int, int]:
        size, resident = os.pread(self._statm, 100, 0).split()[:2]
        return int(size), int(resident)

    def settle(self) -> None:
        """Set the limits of the whole process: no core dump, a small stack, no written file, no new process."""
        limits = self._resource
        for which, most in (
            (limits.RLIMIT_CORE, 0),
            (limits.RLIMIT_STACK, 1 << 20),
            (limits.RLIMIT_FSIZE, 0),
            (limits.RLIMIT_NPROC, 0),
            (limits.RLIMIT_NOFILE, 16),
        ):
            limits.setrlimit(which, (most, most))

    def set(self, memory: int, cpu_seconds: int) -> None:
        """Allow this much address space and CPU time in addition to what the process has used so far."""
        limits = self._resource
        space = self._pages()[0] * self._page + memory
        limits.setrlimit(limits.RLIMIT_AS, (space, limits.RLIM_INFINITY))
        usage = limits.getrusage(limits.RUSAGE_SELF)
        used = int(usage.ru_utime + usage.ru_stime) + 1
        # At the soft limit the kernel sends SIGXCPU, which ends the process by default.
        limits.setrlimit(limits.RLIMIT_CPU, (used + cpu_seconds, limits.RLIM_INFINITY))

    def lift(self) -> None:
        """Remove the limit of memory, so that the answer can always be made."""
        infinity = self._resource.RLIM_INFINITY
        self._resource.setrlimit(self._resource.RLIMIT_AS, (infinity, infinity))

    def resident(self) -> int:
        """Return the resident memory of this process in bytes."""
        return self._pages()[1] * self._page


def warm_up() -> None:
    """Use everything once that imports or opens something at its first use: the text codecs of the old opcodes."""
    from model_inbox.pickles.scan import record
    from model_inbox.pickles.streams import MemorySource

    old_opcodes = b"(S'a\\x41'\nVb\\u0041\nI1\nF1.0\nL1L\nI01\nc__builtin__\nset\n(i__builtin__\nset\nt"
    for data in (
        old_opcodes + b".",
        # joblib's files have another parser, which uses other names for the codecs.
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n0" + old_opcodes + b".",
        b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
        b"\x80\x05\xff",
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b.",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\x00",
        b"x\x9c\x01",
    ):
        record(MemorySource(data))


def main(arguments: list[str]) -> int:
    """Answer requests on the socket that is descriptor 0, until it is closed.

    The arguments are the process id of the parent, and the folder that lz4 is installed in ("" for none).
    """
    import _signal  # type: ignore[import-not-found]  # the stubs know only `signal`, which would import enum too

    parent, lz4_path = int(arguments[0]), arguments[1]
    _die_with_parent(parent)
    # Ctrl-C in a terminal and SIGTERM of systemd go to every process. The daemon decides when this one ends.
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)
    _import_scanner(os.path.dirname(os.path.abspath(__file__)))
    import _socket
    import gc
    import importlib
    import warnings

    from model_inbox.pickles.process.protocol import AUDIT_STATUS
    from model_inbox.pickles.process.worker_loop import serve

    # To print a warning, Python would import modules and open files.
    warnings.simplefilter("error")
    if lz4_path:
        sys.path.append(lz4_path)
        # Import it now: an armed process cannot import anything.
        importlib.import_module("lz4.frame")
    bounds = ProcessBounds()
    warm_up()
    bounds.settle()
    sys.setrecursionlimit(500)
    # A scan only makes objects. Garbage is collected after each scan.
    gc.disable()
    gc.freeze()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, 0)
    _arm(AUDIT_STATUS)
    serve(connection, bounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
