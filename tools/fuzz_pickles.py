"""Scans files made from real models by damage and recombination, and loads what is accepted, for as long as wanted.

    python tools/fuzz_pickles.py [--seconds 600] [--seed 1]

These must hold for any bytes at all: they end in a report (never in an exception, a hang, or a worker that is gone
without a finding). An accepted file asks the loader for no name that its report does not list. Its load, in a child,
ends within ten seconds of CPU time and the default of `pickle.load_budget`, without a signal. It runs no program,
writes no file, opens no connection, and calls no function that the file only refers to. With the frameworks installed
(`make fuzz`) their models are among the seeds and are loaded for real; without, loads stop at the first import.
Findings are written to fuzz-<seed>-<number>.pkl here, and make the exit status 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType

# A child that is forked from a process with threads of its own waits for them for ever.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("daemon", "tests", "tests/frameworks")]

from model_inbox.errors import LoadRefused  # noqa: E402 - as above
from model_inbox.pickles import Allowlist, Scanner, load  # noqa: E402 - as above
from model_inbox.pickles.report import LOAD_BYTES_MIN, LOAD_FACTOR  # noqa: E402 - as above
from support import pickle_builders as build  # noqa: E402 - found by the line above

SEED_BYTES_MAX = 60_000
LOAD_SECONDS = 10
LOAD_MEMORY = 16 << 30
REFUSED_STATUS, BUDGET_STATUS, EVENT_STATUS, CALLED_STATUS = 3, 4, 5, 6
FAILURES = {
    REFUSED_STATUS: "it asked for a name that is not on its list",
    BUDGET_STATUS: "its load took more memory than the default of pickle.load_budget",
    EVENT_STATUS: "its load ran a program, wrote a file or opened a connection",
    CALLED_STATUS: "its load called a function that it only refers to",
}
FORBIDDEN_EVENTS = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link",
    "os.symlink", "os.chmod", "os.chown", "os.truncate", "shutil.", "socket.", "subprocess.", "pty.", "urllib.",
)  # fmt: skip
OPCODES = [bytes([code]) for code in b"(.0123FGHIJKLMNPQRSTUVXabcdeghijlopqrstu}]"]
OPCODES += [bytes([code]) for code in (*range(0x80, 0x99),)]


def seeds() -> list[bytes]:
    """Return honest and hostile files of every kind."""
    folder = ROOT / "tests" / "data" / "pickles"
    found = [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".json"]
    found += [
        build.pickled(build.array()),
        build.pickled(build.joblib_array()),
        build.torch_archive(build.pickled(build.tensor(build.storage_id())), {"0": bytes(8)}),
        build.torch_legacy(build.pickled(build.tensor(build.legacy_storage_id())), ["0"], bytes([2] + [0] * 15)),
        build.pickled(build.runs(Path("/nonexistent/at/all"))),
    ]
    found += _real_models()
    return [data for data in found if len(data) <= SEED_BYTES_MAX]


def _real_models() -> Iterator[bytes]:
    """Yield the held-out models of the test suite, where their frameworks are installed."""
    try:
        import held_out_models
        import saving
    except ImportError:
        print("without the frameworks: only the files of the test suite are seeds", file=sys.stderr)
        return
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        for _, model, _ in held_out_models.held_out():
            for way, data in saving.saved(model, Path(folder)):
                if way in ("pickle-0", "pickle-5", "joblib-0"):
                    yield data


def pieces(data: bytes) -> list[bytes]:
    """Return the parts of an uncompressed pickle between its opcodes, for recombination."""
    import pickletools

    positions = []
    try:
        for _, _, position in pickletools.genops(data):
            positions.append(position or 0)
    except Exception:  # noqa: BLE001 - joblib's arrays end the walk; what was met is enough
        pass
    return [data[a:b] for a, b in pairwise(positions) if b - a <= 2000]


def changed(chance: random.Random, data: bytes, others: list[bytes], parts: list[bytes]) -> bytes:
    """Return `data` after one to five changes."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(8):
            case 0:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                made[at:at] = chance.choice(OPCODES)
            case 2:
                del made[at : at + chance.randint(1, 8)]
            case 3:
                del made[at:]
            case 4:
                made[at:at] = chance.choice(parts)
            case 5:
                old, new = chance.choice(parts), chance.choice(parts)
                where = made.find(old)
                if where >= 0:
                    made[where : where + len(old)] = new
            case 6:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                made[at : at + chance.randint(0, 40)] = other[start : start + chance.randint(1, 400)]
            case 7:
                end = min(len(made), at + chance.randint(1, 200))
                made[at:at] = made[at:end]
    return bytes(made[: 4 * SEED_BYTES_MAX])


def loads(data: bytes, imports: dict[str, str]) -> int:
    """Load in a child, and return how it ended: 0, a status of `FAILURES`, or minus the signal that ended it."""
    child = os.fork()
    if not child:
        status = 0
        try:
            resource.setrlimit(resource.RLIMIT_AS, (LOAD_MEMORY, LOAD_MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            status = _load_watched(data, imports)
        except BaseException:  # noqa: BLE001 - whatever an honest class says of its odd state
            status = 0
        finally:
            os._exit(status)
    _, how = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(how)


def _load_watched(data: bytes, imports: dict[str, str]) -> int:
    """Load in this process, which ends afterwards. Return 0 or a status of `FAILURES`."""
    only_referred_to = _import_all(imports)
    # CPU time, because the machine may be busy. The signal ends the process.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, LOAD_SECONDS)
    before = _resident()
    status = 0

    def on_event(event: str, args: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN_EVENTS) or (event == "open" and _writes(args)):
            os._exit(EVENT_STATUS)

    def on_call(frame: FrameType, what: str, argument: object) -> None:
        called = frame.f_code if what == "call" else argument if what == "c_call" else None
        if called is not None and id(called) in only_referred_to:
            os._exit(CALLED_STATUS)

    sys.addaudithook(on_event)
    sys.setprofile(on_call)
    try:
        load(data, imports)
    except LoadRefused as error:
        if "was not seen" in str(error):
            status = REFUSED_STATUS
    except Exception:  # noqa: BLE001 - whatever an honest class says of its odd state
        status = 0
    sys.setprofile(None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return BUDGET_STATUS if peak - before > max(LOAD_BYTES_MIN, LOAD_FACTOR * len(data)) else status


def _import_all(imports: dict[str, str]) -> set[int]:
    """Import the names of a file. Return the ids of functions, or of their code, that a load has no reason to call."""
    found = set()
    for name, uses in imports.items():
        module, _, last = name.rpartition(".")
        try:
            value = getattr(importlib.import_module(module), last)
        except Exception:  # noqa: BLE001 - the load will say so
            continue
        if uses == "r" and not isinstance(value, type):
            found.add(id(getattr(value, "__code__", value)))
    return found


def _writes(args: tuple[object, ...]) -> bool:
    return len(args) > 2 and type(args[2]) is int and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    found = seeds()
    parts = sorted({piece for data in found for piece in pieces(data)})
    allowlist = Allowlist.load()
    counts: Counter[str] = Counter()
    files = findings = 0
    deadline = time.monotonic() + options.seconds
    print(f"{len(found)} seeds, {len(parts)} pieces, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, Scanner(allowlist, memory_limit=1 << 30, time_limit=30) as scanner:
        path = Path(folder) / "file"
        while time.monotonic() < deadline:
            data = changed(chance, chance.choice(found), found, parts)
            path.write_bytes(data)
            files += 1
            said = ""
            try:
                report = scanner.scan(path)
            except Exception as error:  # noqa: BLE001 - this is what must not be
                said = f"the scan raised {type(error).__name__}: {error}"
            else:
                codes = [problem.code for problem in report.problems]
                counts[codes[0] if codes else "accepted"] += 1
                # Python says by way of this hook that memory ran out where it could not raise an error.
                ended = [problem.message for problem in report.problems if "at the event" in problem.message]
                if any("sys.excepthook" not in message for message in ended):
                    said = report.problems[0].message
                if not codes:
                    status = loads(data, dict(report.imports))
                    if status in FAILURES:
                        said = f"accepted, and then {FAILURES[status]}"
                    elif status == -signal.SIGPROF:
                        said = f"accepted, and its load takes more than {LOAD_SECONDS} s of CPU time"
                    elif status < 0:
                        said = f"accepted, and loading it ended the process with signal {-status}"
                    counts["loaded"] += 1
            if said:
                findings += 1
                kept = Path(f"fuzz-{options.seed}-{findings}.pkl")
                kept.write_bytes(data)
                print(f"{kept}: {said}", flush=True)
    for code, count in counts.most_common():
        print(f"{count:8} {code}")
    print(f"{files} files, {findings} findings, {scanner.restarts} workers replaced")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
