"""Scan files in a worker process, which a file may crash.

Owns the lifetime of the worker: start it, send it open files one after the other, have it killed (`kill`) if a scan
takes too long, and start another for the next file. Scans can be requested in advance: the worker does them while the
caller does other work. If a file crashes the worker, its report says so (`artifact.scan_limits`), and no other file is
affected. Never parses a pickle in this process, except in `scan_bytes`, which is for tests and for callers with limits
of their own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import socket
import stat
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import ScanError, StorageError
from ..allowlist import Allowlist
from ..report import PickleReport, report_of
from ..scan import record
from ..streams import MemorySource
from .fault import (
    End,
    FilesFault,
    out_of_memory,
    shorter_limits,
    start_failed,
    verdict_on_end,
    verdict_on_timeout,
    worker_failed,
)
from .kill import kill, kill_stuck, wait_for_end
from .protocol import ANSWER_BYTES_MAX, BEGUN, LENGTH, READY, REQUEST

__all__ = ["Scan", "Scanner", "scan_bytes"]

START_SECONDS = 60.0
"""How long to wait for a worker to start. After that it has failed."""

SENT_AHEAD_MAX = 16
"""How many files the worker may have without an answer read. With a queue it need not wait for us between two files."""

PROGRESS_SECONDS = 1.0
"""How often `progress` is called while the worker is waited for."""

MEMORY_FLOOR = 256 << 20
MEMORY_PER_BYTE = 64
"""The memory limit of a scan: this much for any file, and more for each of its bytes (an empty list in a list is two
bytes in the file and about a hundred in memory), up to the limit that the operator has set."""

CPU_FLOOR_SECONDS = 5
CPU_BYTES_PER_SECOND = 1 << 20
"""The limit of CPU time of a scan: this much for any file, and a second more for each megabyte."""


def scan_bytes(
    data: bytes | bytearray | memoryview, allowlist: Allowlist, load_budget: int | None = None
) -> PickleReport:
    """Scan `data` in this process, without limits on memory, time or stack, and return the report.

    What plain values need in a load is not estimated: the memory of this process does not tell it.
    """
    return report_of(record(MemorySource(data)), allowlist, load_budget)


_Result = dict[str, Any] | ScanError | StorageError
"""The result of a scan: the recording, or the reason why there is none."""


class Scan:
    """A requested scan. Only the thread that uses the scanner may read its report."""

    def __init__(self, scanner: Scanner, path: Path, size: int | None) -> None:
        self.path = path
        self.size = size
        self._scanner = scanner
        self._result: _Result | None = None

    def set_result(self, result: _Result) -> None:
        """Take the result. For the scanner."""
        self._result = result

    def wait(self) -> None:
        """Wait until the scan is done, and with it those that were requested before."""
        while self._result is None:
            self._scanner.wait_for_one()

    def report(self) -> PickleReport:
        """Wait for the scan and return the report, whatever the file contains.

        Raise ScanError if no worker can be started or it failed by itself, StorageError if the file cannot be opened or
        read. Neither says anything about the contents of the file.
        """
        self.wait()
        if isinstance(self._result, Exception):
            raise self._result
        assert self._result is not None  # noqa: S101  # it was waited for
        return report_of(self._result, self._scanner.allowlist, self._scanner.load_budget)

    def cancel(self) -> None:
        """Do not start the scan, if the worker does not have the file yet. The report is not needed any more."""
        self._scanner.withdraw(self)


class Scanner:
    """Scans files in a worker process that is kept between scans.

    The reports are made with `allowlist`, which may be replaced at any time. `memory_limit` (bytes) and `time_limit`
    (seconds) bound one scan, `load_budget` (bytes; None: by the size of the file) what a load may need.
    Use it in one thread at a time, and `close` it, or use it as a context manager.
    """

    def __init__(
        self,
        allowlist: Allowlist,
        *,
        memory_limit: int = 2 << 30,
        time_limit: float = 120.0,
        load_budget: int | None = None,
    ) -> None:
        self.allowlist = allowlist
        self.load_budget = load_budget
        self.memory_limit = memory_limit
        self.time_limit = time_limit
        self.restarts = 0
        """How often a worker was started in place of one that died or was killed."""
        self.progress: Callable[[], None] = _no_progress
        """Called about once a second while the worker is waited for."""
        self._worker: _Worker | None = None
        self._lost_worker = False
        self._waiting: deque[Scan] = deque()
        # The worker has these files and answers in this order.
        self._sent: deque[Scan] = deque()

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, or None if there is none."""
        return self._worker.pid if self._worker is not None else None

    def scan(self, path: str | os.PathLike[str], *, size: int | None = None) -> PickleReport:
        """Scan the file at `path` and return the report, whatever the file contains. Raises as `Scan.report` does.

        `size` is the size that the file must have, if it is known.
        """
        return self.begin(path, size=size).report()

    def make_ready(self) -> None:
        """Start a worker if there is none. One that does not start is told of by the next scan."""
        with suppress(ScanError):
            self._ready_worker()

    def begin(self, path: str | os.PathLike[str], *, size: int | None = None) -> Scan:
        """Request a scan and return without waiting for it. Scans are done in the order of their requests.

        The file is opened when it is sent to the worker: now, or, if the worker has too many files, in a later call of
        `begin` or `Scan.report`.
        """
        scan = Scan(self, Path(path), size)
        self._waiting.append(scan)
        self._send_waiting()
        return scan

    def wait_for_one(self) -> None:
        """Wait until one more scan has its result. For `Scan`."""
        self._send_waiting()
        if self._sent:
            self._receive()

    def withdraw(self, scan: Scan) -> None:
        """Drop a scan whose file the worker does not have yet. For `Scan`."""
        if scan in self._waiting:
            self._waiting.remove(scan)
            scan.set_result(ScanError("the scan was cancelled"))

    def _send_waiting(self) -> None:
        """Send files to the worker until none waits, or the worker has as many as it may have."""
        while self._waiting and len(self._sent) < SENT_AHEAD_MAX:
            scan = self._waiting[0]
            try:
                if self._send(scan):
                    self._sent.append(scan)
            except _WorkerLost as lost:
                if self._sent:
                    # Which of the files has killed it shows when the answers are read.
                    return
                self._lose_worker()
                scan.set_result(lost.result)
            except (ScanError, StorageError) as error:
                scan.set_result(error)
            self._waiting.popleft()

    def _send(self, scan: Scan) -> bool:
        """Open a file and send it to the worker. Return False if the scan got its result without the worker."""
        try:
            fd = os.open(scan.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("scan", scan.path, error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                scan.set_result(_recording_of("not-regular"))
                return False
            size = status.st_size
            if scan.size is not None and scan.size != size:
                scan.set_result(_recording_of("size-differs", f"{size} bytes, not {scan.size}"))
                return False
            # `+ size` is address space for payloads that are skipped: it is allocated and never touched.
            memory = min(self.memory_limit, MEMORY_FLOOR + MEMORY_PER_BYTE * size) + size
            cpu_seconds = max(1, int(min(self.time_limit, CPU_FLOOR_SECONDS + size / CPU_BYTES_PER_SECOND)))
            self._ready_worker().send(fd, size, memory, cpu_seconds, self.time_limit)
            return True
        finally:
            os.close(fd)

    def _receive(self) -> None:
        """Wait for the next answer. If the worker is gone, the files behind this one go to the next worker."""
        scan = self._sent.popleft()
        assert self._worker is not None  # noqa: S101  # it has this file, and was not ended since
        try:
            answer = self._worker.answer(self.progress)
        except _WorkerLost as lost:
            # `answer` has ended the process.
            self._worker, self._lost_worker = None, True
            answer = _Answer(lost.result, retires=False)
        except _ProgressFailed as failed:
            self._give_up(scan)
            raise failed.__cause__ or failed  # noqa: B904  # the caller's own exception, not a new one
        except BaseException:
            self._give_up(scan)
            raise
        if answer.retires:
            self._end_worker()
        if self._worker is None:
            self._requeue_sent()
        result = answer.result
        scan.set_result(StorageError("scan", scan.path, result) if isinstance(result, OSError) else result)

    def _give_up(self, scan: Scan) -> None:
        """End a worker whose answer was not read, so that the answer is never taken for that of another file."""
        self._lose_worker()
        self._requeue_sent()
        scan.set_result(ScanError("the scan was interrupted"))

    def _requeue_sent(self) -> None:
        """Put the files that the worker has back to the front of the queue."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def _ready_worker(self) -> _Worker:
        if self._worker is not None and not self._sent and not self._worker.is_alive():
            # It was killed from outside while it was idle: no file is the cause.
            self._lose_worker()
        if self._worker is None:
            self._worker = _Worker.start()
            if self._lost_worker:
                self.restarts += 1
                self._lost_worker = False
        return self._worker

    def _lose_worker(self) -> None:
        """End a worker that died or must be killed. The next one counts as a restart."""
        self._lost_worker = True
        self._end_worker()

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def close(self) -> None:
        """End the worker and cancel its scans. A later scan starts another worker."""
        for scan in (*self._sent, *self._waiting):
            scan.set_result(ScanError("the scanner was closed"))
        self._sent.clear()
        self._waiting.clear()
        self._end_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _recording_of(what: str, detail: str = "") -> dict[str, Any]:
    """Return a recording with one finding and nothing else."""
    return {"kind": "", "uses": {}, "findings": [[what, "", detail]], "carries_code": False, "versions": {}}


def _lost_by(verdict: FilesFault | ScanError) -> _WorkerLost:
    if isinstance(verdict, FilesFault):
        return _WorkerLost(_recording_of(verdict.what, verdict.detail))
    return _WorkerLost(verdict)


def _no_progress() -> None:
    """No-op progress callback."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A file that a worker has: when it was sent, and the limits of its scan."""

    sent_at: float
    seconds: float
    memory: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a worker answered about a file (OSError: it could not be read), and whether it ends now."""

    result: dict[str, Any] | ScanError | OSError
    retires: bool


class _WorkerLost(Exception):
    """The worker ended, or was killed, during a scan. `result` is what that means for its file."""

    def __init__(self, result: dict[str, Any] | ScanError) -> None:
        super().__init__(result)
        self.result = result


class _ProgressFailed(Exception):
    """The caller's progress callback raised an exception: see `__cause__`."""


def _keep_capabilities_from_children() -> None:
    """Take what a unit gives this process, such as CAP_LEASE, out of the ambient set: it is then for itself alone.

    The worker cannot give it up by itself where a hardened unit forbids capset(2). CAP_DAC_OVERRIDE and
    CAP_DAC_READ_SEARCH stay: without them a worker of this user may be unable to read Python. It gives them up itself.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # PR_CAP_AMBIENT with PR_CAP_AMBIENT_LOWER, from linux/prctl.h, for each number that the kernel knows.
    for capability in (0, *range(3, 64)):
        if libc.prctl(47, 3, capability, 0, 0) != 0:
            break


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        # Bytes that came and do not belong to an answer yet.
        self._received = bytearray()
        # The files without an answer.
        self._sent: deque[_Request] = deque()
        self._answered_at = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    def start(cls) -> _Worker:
        """Start a worker and wait until it is ready. Raise ScanError with the reason if it does not start."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise ScanError(f"cannot start the worker that scans pickles: {error}") from error
        _keep_capabilities_from_children()
        try:
            # With -S no .pth file of the environment runs in the worker, so the audit hook sees only our own code.
            process = subprocess.Popen(  # noqa: S603 - our own file, with our own interpreter
                [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("worker.py")),
                 str(os.getpid()), _lz4_path()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise ScanError(f"cannot start the worker that scans pickles: {error}") from error
        finally:
            theirs.close()
        worker = cls(process, ours)
        try:
            greeting = worker._receive(len(READY), time.monotonic() + START_SECONDS)
        except (OSError, EOFError):
            greeting = b""
        if greeting != READY:
            status, _ = wait_for_end(process)
            raise start_failed(status, worker.end(), sys.executable)
        return worker

    def is_alive(self) -> bool:
        """Return whether an idle worker is alive: it has sent nothing, and its end of the socket is open."""
        return not self._received and not self._poll.poll(0)

    def send(self, fd: int, size: int, memory: int, cpu_seconds: int, seconds: float) -> None:
        """Send the open file `fd` with the limits of its scan. Raise _WorkerLost if the worker is gone."""
        try:
            self._connection.settimeout(seconds)
            socket.send_fds(self._connection, [REQUEST.pack(size, memory, cpu_seconds)], [fd])
        except OSError:
            status, _ = wait_for_end(self._process)
            raise _WorkerLost(worker_failed(status, self.end())) from None
        self._sent.append(_Request(time.monotonic(), seconds, memory, cpu_seconds))

    def answer(self, progress: Callable[[], None]) -> _Answer:
        """Return the answer about the file that was sent first. Raise _WorkerLost if the worker is gone.

        The time of a scan starts when its file was sent, or when the file before it was answered, if that was later.
        """
        request = self._sent.popleft()
        deadline = max(request.sent_at, self._answered_at) + request.seconds
        begun: tuple[int, float] | None = None
        try:
            begun = BEGUN.unpack(self._receive(BEGUN.size, deadline, progress))
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline, progress))
            if length > ANSWER_BYTES_MAX:
                raise ValueError
            answer: dict[str, Any] = json.loads(self._receive(length, deadline, progress))
        except TimeoutError:
            raise self._timed_out(request, begun) from None
        except ValueError:
            said = self.end()
            raise _WorkerLost(ScanError(f"cannot finish the scan: the worker sent what is no answer. {said}")) from None
        except (OSError, EOFError):
            raise self._lost(request, begun) from None
        self._answered_at = time.monotonic()
        retires = bool(answer.pop("retires", False))
        if "errno" in answer:
            return _Answer(OSError(answer["errno"], answer["failed"]), retires)
        if "failed" in answer:
            return _Answer(out_of_memory(shorter_limits(begun[0]), request.memory), retires)
        return _Answer(answer, retires)

    def _receive(self, length: int, deadline: float, progress: Callable[[], None] = _no_progress) -> bytes:
        """Return that many bytes. Bytes that are there are taken even after the deadline: the delay can be ours."""
        while len(self._received) < length:
            left = deadline - time.monotonic()
            self._connection.settimeout(min(max(left, 0.001), PROGRESS_SECONDS))
            try:
                part = self._connection.recv(1 << 16)
            except TimeoutError:
                if left <= 0:
                    raise
                try:
                    progress()
                except Exception as error:
                    # The caller's error says nothing about the worker.
                    raise _ProgressFailed from error
                continue
            if not part:
                raise EOFError
            self._received += part
        whole = bytes(self._received[:length])
        del self._received[:length]
        return whole

    def _timed_out(self, request: _Request, begun: tuple[int, float] | None) -> _WorkerLost:
        """Kill the worker, whose time is over, and return what that means for the file."""
        cpu_seconds = kill_stuck(self._process)
        self.end()
        cpu_of_file = cpu_seconds - begun[1] if begun is not None else 0.0
        return _lost_by(verdict_on_timeout(request.seconds, cpu_of_file))

    def _lost(self, request: _Request, begun: tuple[int, float] | None) -> _WorkerLost:
        """Return what it means for the file that the worker closed its socket."""
        status, cpu_seconds = wait_for_end(self._process)
        said = self.end()
        if begun is None:
            return _WorkerLost(worker_failed(status, said))
        short, cpu_before = begun
        end = End(status, said, cpu_seconds - cpu_before, request.cpu_seconds, shorter_limits(short))
        return _lost_by(verdict_on_end(end))

    def end(self) -> str:
        """Close the socket, kill the process, and return what it wrote to stderr, shortened."""
        self._connection.close()
        return kill(self._process)


def _lz4_path() -> str:
    """Return the folder that lz4 is installed in, or "". The worker does not see site-packages."""
    spec = importlib.util.find_spec("lz4")
    return str(Path(spec.origin).parent.parent) if spec is not None and spec.origin is not None else ""
