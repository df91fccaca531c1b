"""The program of the worker process: started by its file name, ended by any unexpected audit event.

Owns the start of the worker, its rights, its limits and its audit hook. It imports the scanning modules of `pickles`
and nothing else of the package: `model_inbox`, `model_inbox.pickles` and the package of this module are empty stand-ins
here, so that the worker is small and starts quickly.

When the audit hook is set, any import, open, exec, connection or other audited event ends the process at once. The
worker needs none of them: files come as open descriptors on its socket, and it reads them by position.
"""

from __future__ import annotations

import os
import sys

# The user that owns nothing, on every Linux.
NOBODY = 65534
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


def _drop_rights() -> None:
    """Give up every right that the parent has: root's user id, all groups, all capabilities. None can come back.

    The capabilities include those that a unit gives the daemon, such as CAP_LEASE. Numbers are from linux/prctl.h and
    linux/capability.h. Raises OSError if a capability is left.
    """
    import ctypes
    from array import array

    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS, then PR_CAP_AMBIENT with PR_CAP_AMBIENT_CLEAR_ALL.
    libc.prctl(38, 1, 0, 0, 0)
    libc.prctl(47, 4, 0, 0, 0)
    # PR_CAPBSET_DROP ends at the first capability that the kernel does not know, or where CAP_SETPCAP is missing.
    capability = 0
    while libc.prctl(24, capability, 0, 0, 0) == 0:
        capability += 1
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            # A container may not have that user. The capabilities, which make root root, go in any case.
            pass
    # capset(2) with _LINUX_CAPABILITY_VERSION_3 for this process: nothing effective, permitted or inheritable.
    header, nothing = array("I", (0x20080522, 0)), array("I", (0,) * 6)
    failed = libc.capset(ctypes.c_void_p(header.buffer_info()[0]), ctypes.c_void_p(nothing.buffer_info()[0])) != 0
    # A hardened unit forbids capset(2). There the scanner has taken care that no capability came here.
    if failed and _has_capabilities():
        raise OSError(ctypes.get_errno(), "a capability cannot be given up")


def _has_capabilities() -> bool:
    """Return whether this process has a capability, or can get one by starting a program.

    The inheritable set gives nothing by itself, and nothing at all to a process without new privileges.
    """
    fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(fd, 1 << 16).splitlines()
    finally:
        os.close(fd)
    return any(int(line.split()[1], 16) for line in lines if line.startswith((b"CapPrm:", b"CapEff:", b"CapAmb:")))


class ProcessBounds:
    """The limits and the memory of this process: implements `worker_loop.Bounds`.

    A limit is ours or the process's hard limit, whichever is lower: hard limits are kept as they are, and never raised.
    """

    def __init__(self) -> None:
        import resource

        self._resource = resource
        # It stays open, because an armed process cannot open a file.
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._stack_bytes = 0

    def _bytes(self, *names: bytes) -> list[int]:
        """Return what the kernel counts under these names for this process."""
        status = os.pread(self._status, 1 << 14, 0)
        return [int(status.partition(b"\n%s:" % name)[2].split(None, 1)[0]) * 1024 for name in names]

    def _within_hard(self, which: int, most: int) -> int:
        """Return `most`, or the hard limit if that is lower."""
        hard = self._resource.getrlimit(which)[1]
        return most if hard == self._resource.RLIM_INFINITY else min(most, hard)

    def settle(self, stack_bytes: int) -> None:
        """Set the limits of the whole process: no core dump, a small stack, no written file, no new process."""
        limits = self._resource
        self._stack_bytes = stack_bytes
        for which, most in (
            (limits.RLIMIT_CORE, 0),
            (limits.RLIMIT_STACK, stack_bytes),
            (limits.RLIMIT_FSIZE, 0),
            (limits.RLIMIT_NPROC, 0),
            (limits.RLIMIT_NOFILE, 16),
        ):
            limit = self._within_hard(which, most)
            limits.setrlimit(which, (limit, limit))
        # It is no limit of ours: a lower soft one is taken for what a program may raise.
        hard = limits.getrlimit(limits.RLIMIT_DATA)[1]
        limits.setrlimit(limits.RLIMIT_DATA, (hard, hard))

    def set(self, memory: int, cpu_seconds: int) -> int:
        """Allow this much address space and CPU time in addition to what the process has used so far.

        Return the limits that are lower than that, as bits in the order of `protocol.SHORT_LIMITS`.
        """
        limits = self._resource
        space = self._bytes(b"VmSize")[0] + memory
        most_space, hard_space = self._within_hard(limits.RLIMIT_AS, space), limits.getrlimit(limits.RLIMIT_AS)[1]
        limits.setrlimit(limits.RLIMIT_AS, (most_space, hard_space))
        data = limits.getrlimit(limits.RLIMIT_DATA)[0]
        seconds = int(self.cpu_seconds_used()) + 1 + cpu_seconds
        hard_seconds = limits.getrlimit(limits.RLIMIT_CPU)[1]
        # At the soft limit the kernel sends SIGXCPU, which ends the process by default; at the hard limit SIGKILL.
        most_seconds = seconds if hard_seconds == limits.RLIM_INFINITY else max(1, min(seconds, hard_seconds - 1))
        limits.setrlimit(limits.RLIMIT_CPU, (most_seconds, hard_seconds))
        short = (
            most_space < space,
            data != limits.RLIM_INFINITY and data < space,
            limits.getrlimit(limits.RLIMIT_STACK)[0] < self._stack_bytes,
            most_seconds < seconds,
        )
        return sum(1 << bit for bit, is_short in enumerate(short) if is_short)

    def lift(self) -> None:
        """Remove our limit of memory, so that the answer can always be made."""
        hard = self._resource.getrlimit(self._resource.RLIMIT_AS)[1]
        self._resource.setrlimit(self._resource.RLIMIT_AS, (hard, hard))

    def gives(self, memory: int) -> bool:
        """Return whether the process can have this much memory at all. It is asked for, not touched, and given back."""
        try:
            bytes(memory)
        except MemoryError:
            return False
        return True

    def cpu_seconds_used(self) -> float:
        """Return the CPU time that this process has used since its start."""
        usage = self._resource.getrusage(self._resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def is_cpu_half_used(self) -> bool:
        """Return whether half of what the hard limit of CPU time allows is used: the rest may not do for a scan."""
        hard = self._resource.getrlimit(self._resource.RLIMIT_CPU)[1]
        return hard != self._resource.RLIM_INFINITY and self.cpu_seconds_used() * 2 > hard

    def memory(self) -> tuple[int, int]:
        """Return the resident memory of this process in bytes: now, and the most that it has been.

        What getrusage(2) knows as the most is that of the process which started this one, too.
        """
        now, most = self._bytes(b"VmRSS", b"VmHWM")
        return now, max(now, most)


def _be_the_first_to_go() -> None:
    """Ask the kernel to end this process before any other when the machine's memory runs out: it can be replaced."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"1000")
        finally:
            os.close(fd)
    except OSError:
        # The scan is as good without it.
        return


def _fail(error: BaseException, status: int) -> None:
    """Write why this process cannot go on to stderr, and end it. An uncaught exception would be an audited event."""
    os.write(2, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")[:400])
    os._exit(status)


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

    from model_inbox.pickles.process.protocol import AUDIT_STATUS, FAILED_STATUS, STACK_BYTES
    from model_inbox.pickles.process.worker_loop import serve

    # To print a warning, Python would import modules and open files.
    warnings.simplefilter("error")
    if lz4_path:
        sys.path.append(lz4_path)
        # Import it now: an armed process cannot import anything.
        importlib.import_module("lz4.frame")
    bounds = ProcessBounds()
    warm_up()
    _be_the_first_to_go()
    _drop_rights()
    # The change of user has cleared it.
    _die_with_parent(parent)
    bounds.settle(STACK_BYTES)
    sys.setrecursionlimit(500)
    # A scan only makes objects. Garbage is collected after each scan.
    gc.disable()
    gc.freeze()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, 0)
    _arm(AUDIT_STATUS)
    try:
        serve(connection, bounds)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the scanner must hear that no file is the cause
        _fail(error, FAILED_STATUS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
