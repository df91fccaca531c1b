"""Judging files in a process of their own, which may die of them.

Owns the worker's life: starting it, handing it open files to scan one after the other, ending it when it takes too
long, and starting it anew for the next file. Scans can be asked for ahead: the worker goes through them while whoever
asked does other things. A file that kills the worker gets a report that says so (`artifact.scan_limits`) and nothing
else happens. Never parses a pickle in this process, but for `scan_bytes`, which is for tests and for
callers that have limits of their own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import ScanError, StorageError
from ..allowlist import Allowlist
from ..report import PickleReport, report_of
from ..scan import record
from ..streams import MemorySource
from .protocol import ANSWER_BYTES_MAX, AUDIT_STATUS, LENGTH, READY, REQUEST

__all__ = ["Scan", "Scanner", "scan_bytes"]

START_SECONDS = 60.0
"""A worker that is not ready by then will not be."""

ASKED_AHEAD = 16
"""How many files the worker is given before their answers are read: between two of them it need not wait for us."""

PROGRESS_SECONDS = 1.0
"""How often whoever waits for us hears that we wait for the worker."""

MEMORY_FLOOR = 256 << 20
MEMORY_PER_BYTE = 64
"""What a scan may take: this much for any file, and this much more for each of its bytes (an empty list in a list
is two bytes in the file and some hundred in memory), up to the limit that the operator set."""

CPU_FLOOR_SECONDS = 5
CPU_BYTES_PER_SECOND = 1 << 20
"""What a scan may take: this much for any file, and a second more for each of its megabytes."""


def scan_bytes(data: bytes | bytearray | memoryview, allowlist: Allowlist) -> PickleReport:
    """Return the report on `data`, scanned in this process: without any limit on memory, time or stack."""
    return report_of(record(MemorySource(data)), allowlist)


class Scan:
    """A scan that was asked for. Its report is read by the thread that uses the scanner."""

    def __init__(self, scanner: Scanner, path: Path, size: int | None) -> None:
        self.path = path
        self.size = size
        self._scanner = scanner
        self._came_to: dict[str, Any] | ScanError | StorageError | None = None

    def come_to(self, what: dict[str, Any] | ScanError | StorageError) -> None:
        """Take what the scan came to: a recording, or why there is none. For the scanner."""
        self._came_to = what

    def report(self) -> PickleReport:
        """Wait for the scan and return the report on the file, whatever it holds.

        ScanError when no worker can be started; StorageError when the file cannot be opened. Neither says anything
        about the file's contents.
        """
        while self._came_to is None:
            self._scanner.go_on()
        if isinstance(self._came_to, Exception):
            raise self._came_to
        return report_of(self._came_to, self._scanner.allowlist)

    def cancel(self) -> None:
        """Nobody wants the report any more: do not begin, if that was not done yet."""
        self._scanner.forget(self)


class Scanner:
    """Scans files in a worker process that is kept between scans.

    `allowlist` judges what is found and may be replaced at any time. `memory_limit` (bytes) and `time_limit`
    (seconds) bound one scan. To be used by one thread at a time; `close` it, or use it as a context manager.
    """

    def __init__(self, allowlist: Allowlist, *, memory_limit: int = 2 << 30, time_limit: float = 120.0) -> None:
        self.allowlist = allowlist
        self.memory_limit = memory_limit
        self.time_limit = time_limit
        self.restarts = 0
        """How often a worker was started in place of one that died or was ended."""
        self.progress: Callable[[], None] = _nothing
        """Called about once a second while a worker is waited for: whoever waits for us sees that we do."""
        self._worker: _Worker | None = None
        self._started_before = False
        self._waiting: deque[Scan] = deque()
        self._asked: deque[Scan] = deque()  # of the worker, which answers in this order

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, or None while there is none."""
        return self._worker.pid if self._worker is not None else None

    def scan(self, path: str | os.PathLike[str], *, size: int | None = None) -> PickleReport:
        """Return the report on the file at `path`, whatever it holds. Raises what `Scan.report` does.

        `size` is what the file must have, where that is known.
        """
        return self.begin(path, size=size).report()

    def begin(self, path: str | os.PathLike[str], *, size: int | None = None) -> Scan:
        """Ask for a scan, which is done after those asked for before, and return without waiting for it.

        The file is opened when it is given to the worker: at once, or, when that has too many already, when somebody
        asks for something here, a `begin` or a `report`.
        """
        scan = Scan(self, Path(path), size)
        self._waiting.append(scan)
        self._ask_more()
        return scan

    def go_on(self) -> None:
        """Wait until the worker is done with one more file. For `Scan`."""
        self._ask_more()
        if self._asked:
            self._hear()

    def forget(self, scan: Scan) -> None:
        """Leave out a scan that the worker was not given yet. For `Scan`."""
        if scan in self._waiting:
            self._waiting.remove(scan)
            scan.come_to(ScanError("the scan was cancelled"))

    def _ask_more(self) -> None:
        """Give the worker files to scan, as long as some wait and it has not too many."""
        while self._waiting and len(self._asked) < ASKED_AHEAD:
            scan = self._waiting[0]
            try:
                if self._ask(scan):
                    self._asked.append(scan)
            except _WorkerLost as lost:
                if self._asked:
                    return  # of which file it died is found out when the answers are read
                self._end_worker()
                scan.come_to(_recording_of(lost.what, lost.detail))
            except (ScanError, StorageError) as error:
                scan.come_to(error)
            self._waiting.popleft()

    def _ask(self, scan: Scan) -> bool:
        """Open a file and give it to the worker; false when it came to its end without that."""
        try:
            fd = os.open(scan.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError("scan", scan.path, error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                scan.come_to(_recording_of("not-regular"))
                return False
            size = status.st_size
            if scan.size is not None and scan.size != size:
                scan.come_to(_recording_of("size-differs", f"{size} bytes, not {scan.size}"))
                return False
            # Address space for payloads that are passed over is asked for and never touched.
            memory = min(self.memory_limit, MEMORY_FLOOR + MEMORY_PER_BYTE * size) + size
            cpu_seconds = max(1, int(min(self.time_limit, CPU_FLOOR_SECONDS + size / CPU_BYTES_PER_SECOND)))
            self._ready_worker().ask(fd, size, memory, cpu_seconds, self.time_limit)
            return True
        finally:
            os.close(fd)

    def _hear(self) -> None:
        """Wait for the next answer. What a worker that is gone did not come to is asked of the next one."""
        scan = self._asked.popleft()
        assert self._worker is not None  # noqa: S101  # it was asked, and nobody ended it since
        try:
            recording = self._worker.answer(self.progress)
        except _WorkerLost as lost:
            self._worker = None
            recording = _recording_of(lost.what, lost.detail)
        except _ProgressFailed as failed:
            self._give_up(scan)
            raise failed.__cause__ or failed  # noqa: B904  # it is theirs
        except BaseException:
            self._give_up(scan)
            raise
        if recording.pop("retires", False):
            self._end_worker()
        if self._worker is None:
            self._ask_again()
        scan.come_to(recording)

    def _give_up(self, scan: Scan) -> None:
        """End a worker whose answer was not read: it must never be taken for that of another file."""
        self._end_worker()
        self._ask_again()
        scan.come_to(ScanError("the scan was cut short"))

    def _ask_again(self) -> None:
        """Let the files that a worker was given wait for the next one."""
        self._waiting.extendleft(reversed(self._asked))
        self._asked.clear()

    def _ready_worker(self) -> _Worker:
        if self._worker is not None and not self._asked and not self._worker.is_alive():
            # It was ended from outside while nothing was being scanned: no file is to blame.
            self._end_worker()
        if self._worker is None:
            if self._started_before:
                self.restarts += 1
            self._worker = _Worker.start()
            self._started_before = True
        return self._worker

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def close(self) -> None:
        """End the worker, with what was asked of it. A later scan would start one again."""
        for scan in (*self._asked, *self._waiting):
            scan.come_to(ScanError("the scanner was closed"))
        self._asked.clear()
        self._waiting.clear()
        self._end_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _recording_of(what: str, detail: str = "") -> dict[str, Any]:
    """Return the recording of a file of which nothing is known but this."""
    return {"kind": "", "uses": {}, "findings": [[what, "", detail]], "carries_code": False, "versions": {}}


def _nothing() -> None:
    """What is called while a worker is waited for where nobody wants to know."""


class _WorkerLost(Exception):
    """The worker ended, or was ended, during a scan. `what` is a key of `report.FINDINGS`."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail


class _ProgressFailed(Exception):
    """Whoever was told that we wait did not take it well: the cause is theirs."""


class _Worker:
    """One worker process and the socket to it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._received = bytearray()  # and not yet asked for
        self._asked: deque[tuple[float, float, int]] = (
            deque()
        )  # when, and how many seconds it may take, of which of CPU
        self._answered_at = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    def start(cls) -> _Worker:
        """Start a worker and wait until it is armed. ScanError says why it did not."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # -S: no .pth file of the environment runs in it, so that the audit hook sees only our own code.
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
            said = worker.end()
            raise ScanError(
                f"cannot start the worker that scans pickles: {said or 'it said nothing'}",
                hint=f"It runs {sys.executable}, which must be able to run as this user",
            )
        return worker

    def is_alive(self) -> bool:
        """Tell whether a worker that was asked nothing is there, and has nothing to say: its end would be heard."""
        return not self._received and not self._poll.poll(0)

    def ask(self, fd: int, size: int, memory: int, cpu_seconds: int, seconds: float) -> None:
        """Hand over the open file `fd`, to be scanned. Raises _WorkerLost."""
        try:
            self._connection.settimeout(seconds)
            socket.send_fds(self._connection, [REQUEST.pack(size, memory, cpu_seconds)], [fd])
        except OSError:
            raise _WorkerLost("worker-died", "its worker had ended") from None
        self._asked.append((time.monotonic(), seconds, cpu_seconds))

    def answer(self, progress: Callable[[], None]) -> dict[str, Any]:
        """Return the recording of the file that was handed over first. Raises _WorkerLost, the process being gone then.

        A file's time begins when it is handed over, or when the one before it was answered, if that is later.
        """
        asked_at, seconds, cpu_seconds = self._asked.popleft()
        deadline = max(asked_at, self._answered_at) + seconds
        try:
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline, progress))
            if length > ANSWER_BYTES_MAX:
                raise EOFError
            recording: dict[str, Any] = json.loads(self._receive(length, deadline, progress))
        except TimeoutError:
            self.end()
            raise _WorkerLost("worker-died", f"it took more than {seconds:g} s") from None
        except (OSError, EOFError, ValueError):
            raise self._lost(cpu_seconds) from None
        self._answered_at = time.monotonic()
        return recording

    def _receive(self, length: int, deadline: float, progress: Callable[[], None] = _nothing) -> bytes:
        """Return that many bytes. What has come is taken also past the deadline: we may have been busy, not it."""
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
                except Exception as error:  # whatever it is, it says nothing about the worker
                    raise _ProgressFailed from error
                continue
            if not part:
                raise EOFError
            self._received += part
        whole = bytes(self._received[:length])
        del self._received[:length]
        return whole

    def _lost(self, cpu_seconds: int) -> _WorkerLost:
        """Return what became of a worker that closed its socket in the middle of a scan."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        said = self.end()
        if status == AUDIT_STATUS:
            return _WorkerLost("worker-audit", said)
        causes = {
            -signal.SIGXCPU: f"it took more than {cpu_seconds} s of CPU",
            -signal.SIGSEGV: "it overflowed the stack, as deeply nested data does",
            -signal.SIGABRT: "the interpreter gave up",
            -signal.SIGKILL: "it was killed, as for want of memory",
        }
        return _WorkerLost("worker-died", causes.get(status, f"its worker ended with status {status}"))

    def end(self) -> str:
        """End the process and return the first words that it left on stderr."""
        self._connection.close()
        self._process.kill()
        assert self._process.stderr is not None  # noqa: S101 - for the type checker: it is a pipe
        with self._process.stderr as pipe:
            os.set_blocking(pipe.fileno(), False)
            said = pipe.read(4096) or b""
        self._process.wait()
        return said.decode("utf-8", "replace").strip()[-400:]


def _lz4_path() -> str:
    """Return the folder that lz4 is installed in, or "": the worker has no site-packages of its own."""
    spec = importlib.util.find_spec("lz4")
    return str(Path(spec.origin).parent.parent) if spec is not None and spec.origin is not None else ""
