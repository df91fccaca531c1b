"""The process that scans: started by file name, fed one open file at a time, killed by anything unexpected.

Owns the inside of the worker: its limits, its audit hook, and the exchange of messages. It imports the scanning
modules of `pickles` and nothing of the rest of the package (`model_inbox`, `model_inbox.pickles` and the package
of this module are empty stand-ins here), so that it stays small and quick to start.

Once it is armed, any import, open, exec, connection or other audited event ends it at once, for as long as it
lives. It needs none: files come as open descriptors over its socket, and are read by position.

What is said over the socket stands in `protocol`, the loop in `worker_loop`.
"""

from __future__ import annotations

import os
import sys

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
    """Make the scanning modules importable without running the `__init__` files of the packages that this lies in."""
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
    """End this process at any audited event that is not on the short list above, saying which on stderr."""

    def hook(event: str, _args: tuple[object, ...]) -> None:
        if event not in HARMLESS_EVENTS:
            os.write(2, event.encode("ascii", "replace")[:100])
            os._exit(status)

    sys.addaudithook(hook)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill us when our parent ends, and end now if it has ended before we asked."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        os._exit(0)


class ProcessBounds:
    """The limits of this process, and what it takes: `worker_loop.Bounds`, for real."""

    def __init__(self) -> None:
        import resource

        self._resource = resource
        # Kept open, because nothing can be opened once the process is armed.
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")

    def _pages(self) -> tuple[int, int]:
        size, resident = os.pread(self._statm, 100, 0).split()[:2]
        return int(size), int(resident)

    def settle(self) -> None:
        """Set the limits that hold for life: no core dump, little stack, no file written, no process made."""
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
        """Allow this much more address space and CPU time than was used up to now."""
        limits = self._resource
        space = self._pages()[0] * self._page + memory
        limits.setrlimit(limits.RLIMIT_AS, (space, limits.RLIM_INFINITY))
        usage = limits.getrusage(limits.RUSAGE_SELF)
        used = int(usage.ru_utime + usage.ru_stime) + 1
        # Past the soft limit comes SIGXCPU, whose default ends the process.
        limits.setrlimit(limits.RLIMIT_CPU, (used + cpu_seconds, limits.RLIM_INFINITY))

    def lift(self) -> None:
        """Allow any memory again, so that an answer can always be made."""
        infinity = self._resource.RLIM_INFINITY
        self._resource.setrlimit(self._resource.RLIMIT_AS, (infinity, infinity))

    def resident(self) -> int:
        """Return the bytes of memory that this process takes."""
        return self._pages()[1] * self._page


def warm_up() -> None:
    """Use once whatever imports or opens something at first use: the text codecs of the old opcodes."""
    from model_inbox.pickles.scan import record
    from model_inbox.pickles.streams import MemorySource

    old_opcodes = b"(S'a\\x41'\nVb\\u0041\nI1\nF1.0\nL1L\nI01\nc__builtin__\nset\n(i__builtin__\nset\nt"
    for data in (
        old_opcodes + b".",
        # The parser of joblib's files is another one, and asks for its codecs by other names.
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
    """Serve scans on the socket that is descriptor 0 until it is closed. Arguments: parent's pid, where lz4 is."""
    import _signal  # type: ignore[import-not-found]  # `signal` would bring enum along

    parent, lz4_path = int(arguments[0]), arguments[1]
    _die_with_parent(parent)
    # A terminal's Ctrl-C and systemd's SIGTERM go to every process; the daemon decides when we end.
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)
    _import_scanner(os.path.dirname(os.path.abspath(__file__)))
    import _socket
    import gc
    import importlib
    import warnings

    from model_inbox.pickles.process.protocol import AUDIT_STATUS
    from model_inbox.pickles.process.worker_loop import serve

    warnings.simplefilter("error")  # to show one, Python would import and open files
    if lz4_path:
        sys.path.append(lz4_path)
        importlib.import_module("lz4.frame")  # now, because nothing can be imported later
    bounds = ProcessBounds()
    warm_up()
    bounds.settle()
    sys.setrecursionlimit(500)
    gc.disable()  # a pickle only makes objects; what they leave behind is collected after each scan
    gc.freeze()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, 0)
    _arm(AUDIT_STATUS)
    serve(connection, bounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
