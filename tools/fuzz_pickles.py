"""Scans files made from real models by damage and recombination, and loads what is accepted, for as long as wanted.

    python tools/fuzz_pickles.py [--seconds 600] [--seed 1]

Two things must hold for any bytes at all: they end in a report (never in an exception, a hang, or a worker that is
gone without a finding), and an accepted file asks the loader for no name that its report does not list. Each accepted
file is loaded in a child, which may die of it without ending the run; that is a finding, too, unless a booster's own
parser did it. With the frameworks
installed (`make fuzz`) their models are among the seeds and are loaded for real; without, loads stop at the first
import. Findings are written to fuzz-<seed>-<number>.pkl here, and make the exit status 1.
"""

from __future__ import annotations

import argparse
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

# A child that is forked from a process with threads of its own waits for them for ever.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("daemon", "tests", "tests/frameworks")]

from model_inbox.errors import LoadRefused  # noqa: E402 - as above
from model_inbox.pickles import Allowlist, Scanner, load  # noqa: E402 - as above
from support import pickle_builders as build  # noqa: E402 - found by the line above

SEED_BYTES_MAX = 60_000
LOAD_SECONDS = 20
LOAD_MEMORY = 4 << 30
REFUSED_STATUS = 3
BOOSTERS = {"catboost", "lightgbm", "xgboost"}
"""Their C++ parsers end the process over damaged models. docs/security.md says so and promises nothing of them, so that
such an end is counted and is no finding."""
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
    """Load in a child; return how it ended: 0 loaded or stopped by the classes, REFUSED_STATUS, or minus a signal."""
    child = os.fork()
    if not child:
        status = 0
        try:
            resource.setrlimit(resource.RLIMIT_AS, (LOAD_MEMORY, LOAD_MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(LOAD_SECONDS)
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            load(data, imports)
        except LoadRefused as error:
            if "was not seen" in str(error):
                status = REFUSED_STATUS
        except BaseException:  # noqa: BLE001 - whatever an honest class says of its odd state
            status = 0
        finally:
            os._exit(status)
    _, how = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(how)


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
                    if status == REFUSED_STATUS:
                        said = "accepted, and then it asked for a name that is not on its list"
                    elif status < 0 and BOOSTERS & set(report.frameworks):
                        counts["ended by a booster's own parser"] += 1
                    elif status < 0 and status != -signal.SIGALRM:
                        said = f"accepted, and loading it ended the process with signal {-status}"
                    counts["loaded" if status != -signal.SIGALRM else "loaded for too long"] += 1
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
