"""What the inbox costs, with a real daemon: `python benchmarks/inbox.py [CASE...]`.

    latency   a sealed drop of 200 KB on an idle daemon: from its last rename to its line in the journal
    flood     thousands of such drops at once, beside a bare loop of digest, fsync and rename in two processes
    large     one model of 2 GiB: throughput beside sha256sum, linked and not copied, memory of all processes
    rest      an idle daemon with its worker: memory (PSS) and CPU over some minutes
    strays    an inbox with 40,000 files without a sidecar: CPU at a rescan of 5 s, the wait of a drop among them,
              memory and log
    beside    a sparse model of 5 GiB, linked and then copied: the wait of small drops beside it, the bytes written

Without a case all of them run. Prints what was measured, the target and a verdict for each; exit 1 when a target
is missed. Ratios are taken side by side in one run, since absolute times say more about the disk than about us.
Everything happens in a temporary folder (`--work` names its parent), which is removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MODEL_BYTES = 200_000
GIB = 1 << 30
MIB = 1 << 20

SIDECAR = """\
model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: "1.10"
validation_metrics:
  1d: {rmse: 0.5, directional_accuracy: 0.54}
  7d: {rmse: 0.9, directional_accuracy: 0.52}
min_samples: 50
calibration_ok: true
features_used: [sma_5, sma_21, rsi_14, macd, bollinger_width]
horizons: [1, 7, 30]
sha256:
  model: %s
...
"""

_missed: list[str] = []


def verdict(what: str, value: float, unit: str, target: float, *, at_least: bool = False) -> None:
    """Print a measurement beside its target."""
    good = value >= target if at_least else value <= target
    sign = ">=" if at_least else "<="
    print(f"  {what:<58} {value:10.4g} {unit:<5} {sign} {target:8.4g}  {'ok' if good else 'MISSED'}", flush=True)
    if not good:
        _missed.append(what)


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def model_bytes(seed: int, size: int = MODEL_BYTES) -> bytes:
    """Return a pickle of about that size, as gradient boosting makes them: the text of many trees, no two alike."""
    chance = random.Random(seed)
    thresholds = " ".join(f"{chance.random():.17g}" for _ in range(250))
    text = f"tree\nversion=v4\nnum_class=1\nseed={seed}\n" + f"Tree=0\nthreshold={thresholds}\n" * (size // 4950)
    return pickle.dumps({"params": {"learning_rate": 0.05, "num_leaves": 31}, "model_str": text}, protocol=5)


def write_drop(folder: Path, stem: str, seed: int) -> None:
    """Write a sealed drop into `folder`, which is not the inbox."""
    data = model_bytes(seed)
    (folder / f"{stem}.pkl").write_bytes(data)
    (folder / f"{stem}.yaml").write_text(SIDECAR % hashlib.sha256(data).hexdigest())


class Daemon:
    """A real daemon on folders below `root`."""

    def __init__(self, root: Path, **inbox: object) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.models = root / "models"
        self.journal = self.models / "prediction_registry.journal.jsonl"
        self.log = root / "log"
        config = {"logging": {"level": "info", "format": "json"}, "inbox": {"max_artifact_size": "20GiB", **inbox}}
        (root / "config.yaml").write_text(json.dumps(config))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "model_inbox", "--config", str(root / "config.yaml"), "run"],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: b'"daemon.ready"' in self.log.read_bytes(), self)
        # The worker that scans is started with the first drop: that is not what is measured.
        write_drop(root, "warm", 0)
        self.deliver(root, "warm")
        wait_for(lambda: self.is_empty, self)

    def deliver(self, source: Path, stem: str) -> None:
        """Move a drop into the inbox, the sidecar last."""
        os.rename(source / f"{stem}.pkl", self.inbox / f"{stem}.pkl")
        os.rename(source / f"{stem}.yaml", self.inbox / f"{stem}.yaml")

    @property
    def is_empty(self) -> bool:
        """Whether every drop was taken, answered and released."""
        names = [name for name in os.listdir(self.inbox) if not name.startswith(".")]
        claims = [name for name in os.listdir(self.inbox / ".processing") if not name.startswith(".")]
        return sorted(names) == ["receipts", "rejected"] and not claims

    @property
    def pids(self) -> list[int]:
        """The daemon and its worker."""
        children = [
            int(child)
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir()  # each lists those that it started
            for child in (thread / "children").read_text().split()
        ]
        return [self.process.pid, *children]

    def pss(self) -> int:
        """Return the memory that all its processes take, in bytes, what they share counted once."""
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its processes have used."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(
            sum(int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]) / ticks
            for pid in self.pids
        )

    def registered(self) -> int:
        """Return how many lines the journal has that register a model."""
        history = self.models / "history"
        files = [self.journal, *(history.glob("*.jsonl") if history.is_dir() else ())]
        return sum(path.read_bytes().count(b'"operation":"register"') for path in files)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@contextmanager
def daemon(work: Path, **inbox: object) -> Iterator[Daemon]:
    """A daemon that is ready, in a folder of its own. `inbox` are keys of that section of config.yaml."""
    root = Path(tempfile.mkdtemp(dir=work))
    running = Daemon(root, **inbox)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(root)


def wait_for(condition: Callable[[], object], running: Daemon, seconds: float = 600) -> None:
    """Wait until something holds; fail when the daemon ends before."""
    deadline = time.monotonic() + seconds
    while not condition():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the daemon did not get there:\n{running.log.read_text()[-2000:]}")
        time.sleep(0.005)


# --- the cases ------------------------------------------------------------------------------------------------------


def latency(work: Path, options: argparse.Namespace) -> None:
    """One drop at a time, each on an idle daemon."""
    print(f"latency: {options.drops} sealed drops of {MODEL_BYTES // 1000} KB, one after the other")
    seconds, digests = [], []
    with daemon(work) as running:
        for number in range(options.drops):
            stem = f"m{number}"
            write_drop(running.root, stem, number)
            data = (running.root / f"{stem}.pkl").read_bytes()
            began = time.perf_counter()
            hashlib.sha256(data).hexdigest()
            digests.append(time.perf_counter() - began)
            os.sync()  # what this program wrote must not be paid for by the daemon's own fsync
            time.sleep(0.02)
            with running.journal.open("rb") as journal:
                journal.seek(0, os.SEEK_END)
                wanted = f'"model_id":"{stem}"'.encode()
                began = time.perf_counter()
                running.deliver(running.root, stem)
                text = b""
                while wanted not in text:
                    text += journal.read()
                    time.sleep(0.0002)
                    if time.perf_counter() - began > 30:
                        raise SystemExit(f"not registered in 30 s:\n{running.log.read_text()[-2000:]}")
                seconds.append(time.perf_counter() - began)
            wait_for(lambda: running.is_empty, running)
    digest = percentile(digests, 0.5)
    print(f"  digest alone: {digest * 1000:.2f} ms; mean {sum(seconds) / len(seconds) * 1000:.2f} ms")
    verdict("p50, last rename to journal line", percentile(seconds, 0.5) * 1000, "ms", (digest + 0.010) * 1000)
    verdict("p99", percentile(seconds, 0.99) * 1000, "ms", 3 * (digest + 0.010) * 1000)


def _deliver_share(source: Path, inbox: Path, stems: list[str]) -> None:
    for stem in stems:
        os.rename(source / f"{stem}.pkl", inbox / f"{stem}.pkl")
        os.rename(source / f"{stem}.yaml", inbox / f"{stem}.yaml")


def _bare_share(source: Path, target: Path, stems: list[str]) -> None:
    for stem in stems:
        for name in (f"{stem}.pkl", f"{stem}.yaml"):
            fd = os.open(source / name, os.O_RDONLY)
            with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor
                hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(fd)
            os.rename(source / name, target / name)


def _in_two_processes(
    work: Callable[[Path, Path, list[str]], None], source: Path, target: Path, stems: list[str]
) -> None:
    context = multiprocessing.get_context("fork")
    halves = [context.Process(target=work, args=(source, target, stems[half::2])) for half in range(2)]
    for half in halves:
        half.start()
    for half in halves:
        half.join()


def _write_flood(folder: Path, stems: list[str], offset: int) -> None:
    """Fresh files, not yet synced: both ways have to do that."""
    folder.mkdir()
    for number, stem in enumerate(stems):
        write_drop(folder, stem, offset + number)


def flood(work: Path, options: argparse.Namespace) -> None:
    """All at once; the bare loop runs once before and once after, on files that were written alike."""
    stems = [f"m{number:05d}" for number in range(options.flood)]
    print(f"flood: {len(stems)} sealed drops of {MODEL_BYTES // 1000} KB, put in place by two processes")
    bare = []
    with daemon(work) as running:
        root = running.root
        for turn in ("before", "after"):
            os.sync()
            _write_flood(root / turn, stems, 1_000_000)
            (root / f"{turn}-done").mkdir()
            began = time.perf_counter()
            _in_two_processes(_bare_share, root / turn, root / f"{turn}-done", stems)
            bare.append(time.perf_counter() - began)  # nothing is removed yet: ext4 makes files slowly for a while then
            if turn == "after":
                break
            os.sync()
            _write_flood(root / "drops", stems, 2_000_000)
            used = running.cpu_seconds()
            began = time.perf_counter()
            _in_two_processes(_deliver_share, root / "drops", running.inbox, stems)
            wait_for(lambda: running.is_empty, running)
            ours = time.perf_counter() - began
            used = running.cpu_seconds() - used
            if running.registered() != len(stems) + 1:
                raise SystemExit(f"registered {running.registered() - 1} of {len(stems)}")
    best = sum(bare) / len(bare)
    print(f"  bare loop {bare[0]:.2f} and {bare[1]:.2f} s; model-inbox {ours:.2f} s, {used:.2f} s of CPU")
    print(f"  {len(stems) / best:.0f} and {len(stems) / ours:.0f} drops a second")
    verdict("share of the bare loop's throughput", best / ours, "", 0.5, at_least=True)


def large(work: Path, options: argparse.Namespace) -> None:
    """One large model: an array of bytes in a pickle, as a big model is for the most part."""
    size = options.large
    print(f"large: one model of {size / GIB:.2g} GiB")
    with daemon(work) as running:
        source = running.root / "big.pkl"
        digest = hashlib.sha256()
        with source.open("wb") as file:

            def put(data: bytes) -> None:
                file.write(data)
                digest.update(data)

            # A bytes object of that size, written piece by piece: BINBYTES8, its length, the bytes, STOP.
            put(b"\x80\x05\x8e" + (size - 12).to_bytes(8, "little"))
            block = os.urandom(MIB)
            left = size - 12
            while left:
                part = block[: min(left, MIB)]
                put(part)
                left -= len(part)
            put(b".")
        os.sync()
        (running.root / "big.yaml").write_text(SIDECAR % digest.hexdigest())
        inode = source.stat().st_ino
        subprocess.run(["sha256sum", str(source)], check=True, capture_output=True)  # into the page cache
        took = []
        for _ in range(2):
            began = time.perf_counter()
            subprocess.run(["sha256sum", str(source)], check=True, capture_output=True)
            took.append(time.perf_counter() - began)
        before = most = running.pss()
        began = time.perf_counter()
        running.deliver(running.root, "big")
        while running.registered() < 2:
            most = max(most, running.pss())
            time.sleep(0.01)
            if time.perf_counter() - began > 600:
                raise SystemExit(f"not registered in 600 s:\n{running.log.read_text()[-2000:]}")
        ours = time.perf_counter() - began
        wait_for(lambda: running.is_empty, running)
        most = max(most, running.pss())
        stored = (running.models / "prediction" / "big.pkl").stat()
    reference = min(took)
    print(f"  sha256sum {reference:.2f} s, model-inbox {ours:.2f} s; memory {before / MIB:.0f} -> {most / MIB:.0f} MiB")
    verdict("share of sha256sum's throughput", reference / ours, "", 0.9, at_least=True)
    verdict("bytes copied (0: linked)", 0 if stored.st_ino == inode else size, "", 0)
    verdict("memory grew by", (most - before) / MIB, "MiB", 100)


def rest(work: Path, options: argparse.Namespace) -> None:
    """Nothing happens."""
    print(f"rest: {options.minutes:g} minutes")
    with daemon(work) as running:
        time.sleep(5)  # the checkpoint and the retention that follow a registration are not rest
        began, used = time.monotonic(), running.cpu_seconds()
        most = 0
        while time.monotonic() - began < options.minutes * 60:
            most = max(most, running.pss())
            time.sleep(min(10.0, options.minutes * 6))
        seconds = time.monotonic() - began
        used = running.cpu_seconds() - used
    verdict("memory (PSS) with the worker", most / MIB, "MiB", 80)
    verdict("CPU, share of a core", used / seconds * 100, "%", 0.05)


OTHER_USER = 61_001


def _answered_after(running: Daemon, stem: str, seed: int, *, other: bool = False) -> float:
    """Deliver a small drop, of an `other` user if we may; return how long it takes until its receipt is there."""
    write_drop(running.root, stem, seed)
    if other and os.geteuid() == 0:
        for suffix in (".pkl", ".yaml"):
            os.chown(running.root / f"{stem}{suffix}", OTHER_USER, -1)
    receipt = running.inbox / "receipts" / f"{stem}.json"
    began = time.perf_counter()
    running.deliver(running.root, stem)
    wait_for(receipt.exists, running, 120)
    return time.perf_counter() - began


def strays(work: Path, options: argparse.Namespace) -> None:
    """Empty files of one producer, and drops among them while they come and when all of them are there."""
    print(f"strays: {options.strays} empty files without a sidecar, a rescan every 5 s")
    period, looks = 5.0, 6
    with daemon(work, rescan_seconds=period, max_artifact_size="1GiB") as running:
        before = running.pss()
        coming = []
        for number in range(options.strays):
            (running.inbox / f"stray{number:06d}{options.suffix}").touch()
            if number % (options.strays // 4) == options.strays // 8:
                coming.append(_answered_after(running, f"coming{number}", number, other=True))
        coming.append(_answered_after(running, "last", options.strays, other=True))
        time.sleep(2 * period)  # all of them were looked at by now
        among = [_answered_after(running, f"among{number}", 10_000_000 + number) for number in range(10)]
        time.sleep(period)  # the checkpoint and the retention that follow a registration are not rest
        used = running.cpu_seconds()
        time.sleep(looks * period)
        used = running.cpu_seconds() - used
        most = running.pss()
        log = running.log.stat().st_size
    print(f"  memory {before / MIB:.0f} -> {most / MIB:.0f} MiB, log {log / 1000:.0f} kB")
    verdict("CPU, share of a core", used / (looks * period) * 100, "%", 3)
    verdict("longest wait of another user's drop while they come", max(coming), "s", 1)
    verdict("longest wait of a drop of the same user among them", max(among), "s", 2)
    verdict("memory grew by", (most - before) / MIB, "MiB", 64)
    verdict("log", log / 1000, "kB", 200)


def _sparse_model(path: Path, size: int) -> str:
    """Write a pickle that is nearly all hole; return its digest."""
    with path.open("wb") as file:
        file.write(b"\x80\x05\x8e" + (size - 12).to_bytes(8, "little"))
        file.truncate(size - 1)
        file.seek(0, os.SEEK_END)
        file.write(b".")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(work: Path, options: argparse.Namespace) -> None:
    """A large model and small drops at the same time. A mode that lets others write it has it copied, not linked."""
    size = options.beside
    print(f"beside: a sparse model of {size / GIB:.2g} GiB, and small drops while it is digested")
    with daemon(work) as running:
        for mode, what in ((0o640, "linked"), (0o660, "copied")):
            source = running.root / f"{what}.pkl"
            digest = _sparse_model(source, size)
            source.chmod(mode)
            (running.root / f"{what}.yaml").write_text(SIDECAR % digest)
            began = time.perf_counter()
            running.deliver(running.root, what)
            waits = []
            while not (running.inbox / "receipts" / f"{what}.json").exists():
                waits.append(_answered_after(running, f"{what}{len(waits)}", len(waits)))
            took = time.perf_counter() - began
            stored = (running.models / "prediction" / f"{what}.pkl").stat()
            print(f"  {what}: registered after {took:.1f} s; {len(waits)} small drops meanwhile")
            verdict(f"longest wait of a small drop, {what}", max(waits), "s", 1)
            verdict(f"bytes on the disk, {what}", stored.st_blocks * 512 / MIB, "MiB", 1)


CASES = {
    "latency": latency,
    "flood": flood,
    "large": large,
    "rest": rest,
    "strays": strays,
    "beside": beside,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help="which; all without one")
    parser.add_argument("--work", type=Path, default=None, help="where to make the temporary folder")
    parser.add_argument("--drops", type=int, default=300, help="drops of the case latency")
    parser.add_argument("--flood", type=int, default=5000, help="drops of the case flood")
    parser.add_argument("--large", type=int, default=2 * GIB, help="bytes of the case large")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the case rest")
    parser.add_argument("--strays", type=int, default=40_000, help="files of the case strays")
    parser.add_argument("--suffix", default=".pkl", help="what the names of those files end in")
    parser.add_argument("--beside", type=int, default=5 * GIB, help="bytes of the case beside")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="inbox-benchmark-", dir=options.work))
    try:
        for name in options.case or CASES:
            CASES[name](work, options)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if _missed:
        print(f"missed: {', '.join(_missed)}")
    return 1 if _missed else 0


if __name__ == "__main__":
    sys.exit(main())
