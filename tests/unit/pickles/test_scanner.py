"""The worker process: it scans, a file that crashes it does no other harm, and it ends with its parent."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_inbox.errors import ScanError, StorageError
from model_inbox.pickles import Allowlist, PickleReport, Scanner, scan_bytes
from model_inbox.pickles.process import scanner as scanner_module
from model_inbox.pickles.process import worker as worker_module
from model_inbox.pickles.process.protocol import BEGUN, READY, REQUEST, SHORT_LIMITS
from model_inbox.pickles.process.scanner import _Worker
from model_inbox.pickles.process.worker_loop import serve
from support import pickle_builders as build
from support.places import TESTS

ALLOWLIST = Allowlist.load()


@pytest.fixture(name="scanner", scope="module")
def _scanner() -> Iterator[Scanner]:
    with Scanner(ALLOWLIST, memory_limit=1 << 30, time_limit=20) as scanner:
        yield scanner


def codes(report: PickleReport) -> list[str]:
    """Return the codes of the problems of a report."""
    return [problem.code for problem in report.problems]


def write(tmp_path: Path, data: bytes) -> Path:
    """Write a file to scan."""
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    return path


def test_files_are_judged_in_another_process_that_is_kept(scanner: Scanner, tmp_path: Path) -> None:
    """Two files are scanned by one worker, which is another process than this one."""
    path = write(tmp_path, pickle.dumps({"a": 1}))
    assert scanner.scan(path, size=path.stat().st_size) == PickleReport(kind="plain")
    first = scanner.worker_pid
    assert first not in (None, os.getpid())
    assert codes(scanner.scan(write(tmp_path, build.pickled(build.runs(tmp_path / "ran"))))) == [
        "artifact.never_allowed"
    ]
    assert scanner.worker_pid == first
    assert not (tmp_path / "ran").exists()


def test_worker_imports_what_scanning_needs_and_nothing_else() -> None:
    """The worker imports the scanning modules, but no `__init__` of the packages around it and no allowlist."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-I", "-S", "-B", "-X", "importtime", worker_module.__file__, str(os.getpid()), ""]
        with subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.PIPE, text=True, env={}) as process:
            ours.shutdown(socket.SHUT_WR)
            assert process.stderr is not None
            imported = {line.rpartition("|")[2].strip() for line in process.stderr.read().splitlines()}
        assert ours.recv(len(READY)) == READY
    pickles = """
        arguments kinds names places scan streams stubs unpicklers formats rules trees process.protocol
        process.worker_loop
    """
    formats = "joblib_parser torch_scan torch_storages torch_zip"
    rules = """
        arrow_rules callable_rules classic_rules costs distribution_rules formula_rules frame_rules framework_rules
        hook_rules mesh_rules neighbor_rules numpy_rules python_rules quantized_rules scipy_rules spline_rules
        state_space_rules svm_rules table torch_object_rules torch_rules tree_rules zone_rules
    """
    trees = """
        byte_stream catboost_calcers catboost_embeddings catboost_model catboost_statistics catboost_texts fault
        flatbuffer lightgbm_text nodes number_text shape ubjson xgboost_model
    """
    assert {name for name in imported if name.startswith("model_inbox")} == {
        *(f"model_inbox.pickles.{name}" for name in pickles.split()),
        *(f"model_inbox.pickles.formats.{name}" for name in formats.split()),
        *(f"model_inbox.pickles.rules.{name}" for name in rules.split()),
        *(f"model_inbox.pickles.trees.{name}" for name in trees.split()),
    }
    assert imported & {"subprocess", "socket", "selectors", "threading", "hashlib", "importlib.metadata"} == set()


def test_worker_inherits_nothing_and_takes_little_memory(scanner: Scanner, tmp_path: Path) -> None:
    """It has its socket, /dev/null, stderr and one file in /proc open, and takes some ten megabytes."""
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)  # noqa: FBT003 - its only form
        scanner.scan(write(tmp_path, pickle.dumps(1)))
        folder = Path(f"/proc/{scanner.worker_pid}/fd")
        targets = {entry.name: os.readlink(entry) for entry in folder.iterdir()}
    assert set(targets) == {"0", "1", "2", "3"}
    assert targets["0"].startswith("socket:")
    assert targets["1"] == "/dev/null"
    assert targets["3"].endswith("/status")
    status = Path(f"/proc/{scanner.worker_pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident < 24_000


BOMBS = {
    "a memo of a hundred million": build.pickled(b"N", b"r" + (10**8).to_bytes(4, "little")),
    "two million nested tuples as a key": build.pickled(b"}N", b"\x85" * 2_000_000, b"Ns"),
    "two million nested tuples as a key of another mapping": build.pickled(
        build.called(build.named("collections", "OrderedDict")), b"N", b"\x85" * 2_000_000, b"Ns"
    ),
    "a claim of a terabyte": build.pickled(b"\x8e" + (1 << 40).to_bytes(8, "little")),
    "a frame of a terabyte": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bomb_costs_only_its_own_file(scanner: Scanner, tmp_path: Path, bomb: bytes) -> None:
    """The report of such a file says that a limit was reached, and the next file is scanned as usual."""
    found = codes(scanner.scan(write(tmp_path, bomb)))
    assert found in (["artifact.scan_limits"], ["artifact.truncated"])
    assert scanner.scan(write(tmp_path, pickle.dumps({"a": 1}))).problems == ()


def colliding_keys(mapping: bytes) -> bytes:
    modulus = (1 << 61) - 1
    keys = b"".join(b"\x8a\x0b" + (i * modulus).to_bytes(11, "little") + b"N" for i in range(1, 60_000))
    return build.pickled(mapping, b"(", keys, b"u")


@pytest.mark.parametrize("mapping", [b"}", build.called(build.named("collections", "OrderedDict"))])
def test_colliding_keys_are_cut_off_by_their_cpu_time(
    tmp_path: Path, mapping: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integers with one hash take quadratic time. The worker is ended at its limit of seconds, not after minutes."""
    monkeypatch.setattr(scanner_module, "CPU_FLOOR_SECONDS", 1)
    with Scanner(ALLOWLIST) as scanner:
        report = scanner.scan(write(tmp_path, colliding_keys(mapping)))
        assert codes(report) == ["artifact.scan_limits"]
        assert scanner.scan(write(tmp_path, pickle.dumps(1))).problems == ()
        assert scanner.restarts == 1


def test_decompression_bomb_is_refused(scanner: Scanner, tmp_path: Path) -> None:
    """One megabyte that decompresses to more than a gigabyte stops at the bound and never takes that memory."""
    import zlib

    packer = zlib.compressobj(9)
    zeros = bytes(1 << 24)
    body = build.PROTO[4] + b"\x8e" + ((2 << 30) - 32).to_bytes(8, "little")
    data = packer.compress(body) + b"".join(packer.compress(zeros) for _ in range(70)) + packer.flush()
    assert codes(scanner.scan(write(tmp_path, data))) == ["artifact.scan_limits"]


def test_worker_ended_from_outside_is_no_fault_of_the_next_file(tmp_path: Path) -> None:
    """A worker that was killed while idle is started again, and the file is scanned."""
    with Scanner(ALLOWLIST) as scanner:
        path = write(tmp_path, pickle.dumps(1))
        scanner.scan(path)
        assert scanner.worker_pid is not None
        os.kill(scanner.worker_pid, signal.SIGKILL)
        os.waitid(os.P_PID, scanner.worker_pid, os.WEXITED | os.WNOWAIT)
        assert scanner.scan(path).problems == ()
        assert scanner.restarts == 1


def test_files_are_scanned_ahead_and_each_report_is_its_own_files(scanner: Scanner, tmp_path: Path) -> None:
    """More files than the worker may have at once, whose reports are read in another order than they were requested."""
    names = ["os system", "subprocess run", *(f"module{number} name" for number in range(40))]
    scans = {}
    for number, name in enumerate(names):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(build.pickled(build.named(*name.split())))
        scans[name] = scanner.begin(path)
    for name in reversed(names):
        (problem,) = scans[name].report().problems
        assert name.replace(" ", ".") in problem.message


def test_a_file_that_ends_the_worker_costs_none_of_those_asked_for_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files before it have their answers. Files behind it go to the next worker."""
    monkeypatch.setattr(scanner_module, "CPU_FLOOR_SECONDS", 1)
    good, bad = tmp_path / "good.pkl", tmp_path / "bad.pkl"
    good.write_bytes(pickle.dumps({"a": 1}))
    bad.write_bytes(colliding_keys(b"}"))
    with Scanner(ALLOWLIST) as scanner:
        scans = [scanner.begin(bad if number == 3 else good) for number in range(6)]
        found = [codes(scan.report()) for scan in scans]
        assert found == [[], [], [], ["artifact.scan_limits"], [], []]
        assert scanner.restarts == 1


def test_a_worker_that_ends_having_answered_costs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that grew too large ends, even if it has more files. They go to the next, and it counts no restart."""
    answer = _Worker.answer
    pids = []

    def retiring(worker: _Worker, progress: Callable[[], None]) -> Any:
        pids.append(worker.pid)
        return replace(answer(worker, progress), retires=True)

    monkeypatch.setattr(_Worker, "answer", retiring)
    path = write(tmp_path, pickle.dumps({"a": 1}))
    with Scanner(ALLOWLIST) as scanner:
        scans = [scanner.begin(path) for _ in range(3)]
        assert [scan.report().problems for scan in scans] == [()] * 3
        assert len(set(pids)) == 3
        assert scanner.restarts == 0
        scanner.close()
        assert scanner.scan(path).problems == ()
        assert scanner.restarts == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1])
def test_a_worker_that_is_killed_before_it_looks_at_a_file_is_no_fault_of_that_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The first file without an answer has no report, the others go to the next worker, and nobody is blamed."""
    good = write(tmp_path, pickle.dumps({"a": 1}))
    with Scanner(ALLOWLIST) as scanner:
        assert scanner.scan(good).problems == ()
        assert scanner.worker_pid is not None
        os.kill(scanner.worker_pid, signal.SIGSTOP)
        first, *others = [scanner.begin(good) for _ in range(3)]
        os.kill(scanner.worker_pid, number)
        os.kill(scanner.worker_pid, signal.SIGCONT)
        with pytest.raises(ScanError, match=f"ended by signal {int(number)}"):
            first.report()
        assert [scan.report().problems for scan in others] == [(), ()]
        assert scanner.scan(good).problems == ()


def test_an_answer_that_was_not_waited_for_is_never_another_files(tmp_path: Path) -> None:
    """If the caller is interrupted while it waits, by any exception, the next file still gets its own report."""
    good, bad = tmp_path / "good.pkl", tmp_path / "bad.pkl"
    good.write_bytes(pickle.dumps({"a": 1}))
    bad.write_bytes(build.pickled(build.named("os", "system")))
    for error in (MemoryError, OSError, KeyboardInterrupt):
        with Scanner(ALLOWLIST) as scanner:
            assert scanner.scan(good).problems == ()
            assert scanner.worker_pid is not None
            os.kill(scanner.worker_pid, signal.SIGSTOP)
            first, second = scanner.begin(good), scanner.begin(bad)

            def interrupted(error: type[BaseException] = error) -> None:
                raise error

            scanner.progress = interrupted
            with pytest.raises(error):
                first.report()
            scanner.progress = lambda: None
            assert codes(second.report()) == ["artifact.never_allowed"] == codes(scanner.scan(bad))
            with pytest.raises(ScanError, match="interrupted"):
                first.report()


def test_a_cancelled_scan_is_left_out(tmp_path: Path) -> None:
    """A cancelled scan in the queue is never started: its file is not opened."""
    path = write(tmp_path, pickle.dumps(1))
    with Scanner(ALLOWLIST) as scanner:
        scans = [scanner.begin(path) for _ in range(17)]
        late = scanner.begin(tmp_path / "is not there")
        late.cancel()
        assert [scan.report().problems for scan in scans] == [()] * 17
        with pytest.raises(ScanError, match="cancelled"):
            late.report()


def test_a_closed_scanner_reports_nothing(tmp_path: Path) -> None:
    """After `close`, a request for a report raises an error."""
    scanner = Scanner(ALLOWLIST)
    scan = scanner.begin(write(tmp_path, pickle.dumps(1)))
    scanner.close()
    with pytest.raises(ScanError, match="closed"):
        scan.report()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_worker_leaves_signals_to_the_daemon(scanner: Scanner, tmp_path: Path, number: int) -> None:
    """The worker ignores Ctrl-C and systemd's stop signal, which reach every process of the group."""
    path = write(tmp_path, pickle.dumps(1))
    scanner.scan(path)
    before = scanner.worker_pid
    assert before is not None
    os.kill(before, number)
    assert scanner.scan(path).problems == ()
    assert scanner.worker_pid == before


def test_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no worker behind."""
    path = write(tmp_path, pickle.dumps(1))
    code = (
        "import sys; from model_inbox.pickles import Allowlist, Scanner\n"
        "scanner = Scanner(Allowlist.load(['builtins'])); scanner.scan(sys.argv[1])\n"
        "print(scanner.worker_pid, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        import select

        assert select.select([worker], [], [], 10)[0], "the worker lives on"
        os.close(worker)


def test_file_that_is_none_is_refused(scanner: Scanner, tmp_path: Path) -> None:
    """Folders and pipes get a report, links and missing files an error with their name. Nothing blocks."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert codes(scanner.scan(pipe)) == ["artifact.not_regular"]
    assert codes(scanner.scan(tmp_path)) == ["artifact.not_regular"]
    target = write(tmp_path, pickle.dumps(1))
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(StorageError, match="link"):
        scanner.scan(link)
    with pytest.raises(StorageError, match="gone"):
        scanner.scan(tmp_path / "gone")
    assert codes(scanner.scan(target, size=1)) == ["artifact.truncated"]


def test_worker_that_cannot_start_is_an_error_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot start raises ScanError with the message of the interpreter or the system."""
    path = write(tmp_path, pickle.dumps(1))
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ScanError, match="no luck"):
        Scanner(ALLOWLIST).scan(path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(ScanError, match="No such file"):
        Scanner(ALLOWLIST).scan(path)


def test_a_stopped_worker_is_killed_by_the_clock_and_no_fault_of_its_file(tmp_path: Path) -> None:
    """A worker that is stopped never answers. It is killed at the limit of time, of which its file had none."""
    path = write(tmp_path, pickle.dumps(1))
    with Scanner(ALLOWLIST, time_limit=20) as scanner:
        scanner.scan(path)
        assert scanner.worker_pid is not None
        os.kill(scanner.worker_pid, signal.SIGSTOP)
        scanner.time_limit = 0.3
        with pytest.raises(ScanError, match=r"in 0\.3 s it was given only 0\.0 s of CPU"):
            scanner.scan(path)
        scanner.time_limit = 20
        assert scanner.scan(path).problems == ()


FAKE = """#!{python}
import os, resource, signal, socket, time
ours = socket.socket(fileno=0)
ours.send(b'ready\\n')
ours.recv(100)
BEGUN = {begun!r}
{code}
"""


def report_of_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, *, short: int = 0) -> Any:
    """Scan a file with a worker that runs `code` when it has begun; return the report, or the error."""
    fake = tmp_path / "python"
    fake.write_text(FAKE.format(python=sys.executable, begun=BEGUN.pack(short, 0.0), code=code))
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with Scanner(ALLOWLIST, time_limit=30) as scanner:
        try:
            return scanner.scan(write(tmp_path, pickle.dumps(1)))
        except ScanError as error:
            return error


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ours.send(BEGUN); os.write(2, b'open'); os._exit(99)", "at the event open"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGABRT)", "the interpreter aborted"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGSEGV)", "overflowed the stack"),
    ],
)
def test_the_report_says_what_the_file_did_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    """A worker that ends by its audit hook or by a crash: the report has the reason."""
    report = report_of_end(tmp_path, monkeypatch, code)
    assert codes(report) == ["artifact.scan_limits"]
    assert message in report.problems[0].message


@pytest.mark.parametrize(
    ("code", "short", "message"),
    [
        ("os._exit(7)", (), "ended with status 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", (), "ended by signal 11"),
        ("ours.send(BEGUN); os.write(2, b'OSError: no'); os._exit(98)", (), "ended with status 98: OSError: no"),
        ("ours.send(BEGUN); os._exit(0)", (), "ended with status 0"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGKILL)", (), "was killed"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGUSR1)", (), "ended by signal 10"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGXCPU)", (), "ended by signal 24"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGXCPU)", ("RLIMIT_CPU",), "hard limit RLIMIT_CPU"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGKILL)", ("RLIMIT_CPU",), "hard limit RLIMIT_CPU"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGSEGV)", ("RLIMIT_STACK",), "hard limit RLIMIT_STACK"),
        ("ours.send(BEGUN); os.kill(os.getpid(), signal.SIGABRT)", ("RLIMIT_AS",), "hard limit RLIMIT_AS"),
        ("ours.send(BEGUN + b'\\xff\\xff\\xff\\xff')", (), "sent what is no answer"),
        ("ours.send(BEGUN + b'\\2\\0\\0\\0{]')", (), "sent what is no answer"),
    ],
)
def test_what_is_not_known_to_be_the_files_doing_gives_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, short: tuple[str, ...], message: str
) -> None:
    """A worker that fails by itself, is killed, or meets a limit that is not ours: an error that says what failed."""
    bits = sum(1 << SHORT_LIMITS.index(name) for name in short)
    error = report_of_end(tmp_path, monkeypatch, code, short=bits)
    assert isinstance(error, ScanError)
    assert message in error.message


def test_a_file_that_cannot_be_read_is_not_taken_for_a_broken_one(tmp_path: Path) -> None:
    """An I/O error of the disk, met in the worker, gives no report on the file."""
    worker = _Worker.start()
    # The first page of a process's memory: a regular file that opens, and gives EIO when it is read.
    fd = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        worker.send(fd, 100, 1 << 28, 5, 20.0)
        answer = worker.answer(lambda: None)
        assert isinstance(answer.result, OSError)
        assert answer.result.errno == errno.EIO
    finally:
        os.close(fd)
        worker.end()


def test_the_worker_is_the_first_to_go_when_memory_runs_out(scanner: Scanner, tmp_path: Path) -> None:
    """The kernel's killer takes the worker, which can be replaced, before the daemon and before anything else."""
    scanner.scan(write(tmp_path, pickle.dumps(1)))
    assert Path(f"/proc/{scanner.worker_pid}/oom_score_adj").read_text() == "1000\n"


class Unbounded:
    """Limits without effect, to run the loop in this process."""

    def __init__(self) -> None:
        self.grown = 0

    def set(self, memory: int, cpu_seconds: int) -> int:
        self.asked = (memory, cpu_seconds)
        return 0

    def lift(self) -> None:
        self.grown += 40 << 20

    def gives(self, memory: int) -> bool:
        return memory < 1 << 40

    def cpu_seconds_used(self) -> float:
        return 1.5

    def is_cpu_half_used(self) -> bool:
        return False

    def memory(self) -> tuple[int, int]:
        return self.grown, self.grown


def test_loop_answers_until_it_has_grown_too_large(tmp_path: Path) -> None:
    """The loop answers each open file with a recording. The last answer says that the worker ends."""
    import json

    ours, theirs = socket.socketpair()
    bounds = Unbounded()
    thread = threading.Thread(target=serve, args=(theirs, bounds))
    thread.start()
    fd = os.open(write(tmp_path, pickle.dumps({"a": 1})), os.O_RDONLY)
    answers = []
    with ours, ours.makefile("rb") as incoming:
        assert incoming.read(len(READY)) == READY
        for _ in range(2):
            socket.send_fds(ours, [REQUEST.pack(os.fstat(fd).st_size, 1 << 20, 5)], [fd])
            assert BEGUN.unpack(incoming.read(BEGUN.size)) == (0, 1.5)
            answers.append(json.loads(incoming.read(int.from_bytes(incoming.read(4), "little"))))
        thread.join(10)
    os.close(fd)
    theirs.close()
    assert [answer["retires"] for answer in answers] == [False, True]
    assert answers[0]["kind"] == "plain"
    assert bounds.asked == (1 << 20, 5)


def test_loop_ends_with_its_socket() -> None:
    """A closed socket ends the loop."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.shutdown(socket.SHUT_WR)
        serve(theirs, Unbounded())


def test_a_request_without_a_file_is_an_error_of_the_loop() -> None:
    """It is what comes when no more files can be open: the worker says so, and does not end as if asked to."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(REQUEST.pack(1, 1, 1))
        with pytest.raises(OSError, match="without its file"):
            serve(theirs, Unbounded())


def test_no_audit_event_is_raised_by_any_scan(tmp_path: Path) -> None:
    """Under an audit hook that records all events, no scan of any kind of file opens, imports or runs anything."""
    code = """
import sys, pickle
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[1])
from support import pickle_builders as build
from model_inbox.pickles import scan_bytes, Allowlist
from model_inbox.pickles.process.worker import HARMLESS_EVENTS, warm_up
allowlist = Allowlist.load()
import gzip
tensor = build.pickled(build.tensor(build.storage_id()))
files = [
    build.pickled(build.runs(Path("/nowhere/x"))),
    build.pickled(build.array()),
    build.pickled(build.joblib_array()),
    build.torch_archive(tensor, {"0": bytes(8)}),
    gzip.compress(b"N."),
    b"(S'a'\\nVb\\nI1\\nL1L\\nt.",
    b"garbage",
    pickle.dumps({"a": {1, 2}, "b": 1.5}, 0),
    b"\\x80\\x02}N" + b"\\x85" * 99 + b"Ns.",
]
warm_up()
for data in files:
    scan_bytes(data, allowlist)
events = []
armed = True
sys.addaudithook(lambda event, args: events.append(event) if armed and event not in HARMLESS_EVENTS else None)
for data in files:
    scan_bytes(data, allowlist)
armed = False
print(events)
"""
    here = str(TESTS)
    done = subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("opcode", [b"S'a\\x41'\n", b"Va\\u0041\n", b"I1\n", b"F1.0\n", b"L1L\n", b"I01\n"])
@pytest.mark.parametrize("head", [b"", b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n0"], ids=["plain", "joblib"])
def test_old_opcodes_need_nothing_that_is_not_there(
    scanner: Scanner, tmp_path: Path, head: bytes, opcode: bytes
) -> None:
    """Both parsers have the codecs of protocol 0 before the worker is armed."""
    assert scanner.scan(write(tmp_path, head + opcode + b".")).problems == ()


LIGHTGBM_TREE = "Tree={}\nnum_leaves=1\nnum_cat=0\nleaf_value=1\n\n"
LIGHTGBM_TEXT = (
    "tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nfeature_names=a\nfeature_infos=none\ntree_sizes=44 44\n\n"
    f"{LIGHTGBM_TREE.format(0)}{LIGHTGBM_TREE.format(1)}end of trees\n"
)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (LIGHTGBM_TEXT, True),
        (LIGHTGBM_TEXT.replace("44 44", ""), False),
        ("tree\nversion=v2\n", False),
        (LIGHTGBM_TEXT.replace("44 44", "43 44"), False),
        (LIGHTGBM_TEXT.replace("44 44", "44 999999"), False),
        (LIGHTGBM_TEXT.replace("Tree=1", "Three=1"), False),
        (LIGHTGBM_TEXT.replace("Tree=", "tree="), False),
    ],
)
def test_model_of_lightgbm_has_its_trees_where_its_table_says(text: str, accepted: bool) -> None:
    """A text with a tree at a wrong place is refused: LightGBM would abort the whole process that loads it."""
    booster = build.built(build.new("lightgbm.basic", "Booster"), build.mapping({"_handle": build.text(text)}))
    assert scan_bytes(build.pickled(booster), ALLOWLIST).accepted is accepted
