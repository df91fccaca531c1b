"""A whole daemon in this process, on a disk and a clock that are simulated: what happens depends on a seed alone.

Files are real ones in a folder in memory; what would be durable of them is modelled (`crash_disk.Medium`). Times are
the simulated clock's, also those of files. Nothing has a thread or a process of its own: the folder is polled, and
pickles are scanned by the worker's own code in this process. A crash is a power cut: every further step fails, one of
the states that the medium may be in is put into the folder, and another daemon starts on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from model_inbox.base.boot import BootClock
from model_inbox.base.leases import Lease
from model_inbox.base.machine import Machine
from model_inbox.pickles import Allowlist, Scan
from model_inbox.pickles.scan import record
from model_inbox.pickles.streams import FileSource
from model_inbox.service.service import Service
from support.crash_disk import Crashed, CrashingDisk, Medium
from support.world import World, pickled, sidecar

START = datetime(2027, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=10)
"""How far the clock goes on whenever somebody looks at it."""


class Clock:
    """Time that passes when it is looked at, and when it is told to."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        self._now += TICK
        return self._now

    def monotonic(self) -> float:
        return (self.now() - START).total_seconds()

    def nanoseconds(self) -> int:
        return int((self.now() - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass
class _Times:
    """When the bytes of a file were written last, and when anything of it was changed last, in nanoseconds."""

    written: int
    changed: int


class SimulatedDisk(CrashingDisk):
    """A disk that crashes, whose files have times of the simulated clock, and whose random names are its seed's.

    On an `ordered` one every sync makes all names durable, as on a file system that writes names to one journal.
    """

    def __init__(self, root: Path, clock: Clock, seed: int, *, ordered: bool) -> None:
        super().__init__(root)
        self._clock = clock
        self._ordered = ordered
        self._tokens = random.Random(seed)
        self._times: dict[int, _Times] = {}
        for path in root.rglob("*"):
            self._touch(path, written=True)

    # --- times ------------------------------------------------------------------------------------------------

    def _touch(self, file: Path | int, *, written: bool = False) -> None:
        inode = (os.fstat(file) if isinstance(file, int) else os.lstat(file)).st_ino
        now = self._clock.nanoseconds()
        times = self._times.setdefault(inode, _Times(now, now))
        times.changed = now
        if written:
            times.written = now

    def _timed(self, found: os.stat_result) -> os.stat_result:
        times = self._times.get(found.st_ino)
        if times is None:  # made by nobody who asked this disk: a lock
            return found
        at = times.written / 1e9, times.changed / 1e9
        return os.stat_result(
            (*found[:7], *(int(seconds) for seconds in (at[0], *at))),
            {
                "st_atime": at[0],
                "st_mtime": at[0],
                "st_ctime": at[1],
                "st_atime_ns": times.written,
                "st_mtime_ns": times.written,
                "st_ctime_ns": times.changed,
            },
        )

    # --- looking ----------------------------------------------------------------------------------------------

    def scan(self, folder: Path) -> Any:
        return _Entries(self, folder)

    def names(self, folder: Path) -> list[str]:
        return sorted(super().names(folder))

    def lstat(self, path: Path) -> os.stat_result:
        return self._timed(super().lstat(path))

    def fstat(self, fd: int) -> os.stat_result:
        return self._timed(super().fstat(fd))

    def open_read(self, path: Path | str) -> tuple[int, os.stat_result]:
        fd, found = super().open_read(path)
        return fd, self._timed(found)

    def token(self) -> str:
        return f"{self._tokens.getrandbits(64):016x}"

    # --- steps ------------------------------------------------------------------------------------------------

    def create(self, path: Path, mode: int) -> int:
        fd = super().create(path, mode)
        self._touch(fd, written=True)
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> None:
        super().write(fd, data)
        self._touch(fd, written=True)

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self._touch(fd, written=True)

    def chmod(self, file: int | Path, mode: int) -> None:
        if self.crashed:
            raise Crashed
        super().chmod(file, mode)
        self._touch(file)

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._touch(target)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._touch(target)

    def rename_new(self, source: Path, target: Path) -> None:
        super().rename_new(source, target)
        self._touch(target)

    def mkdir(self, path: Path, mode: int) -> None:
        super().mkdir(path, mode)
        self._touch(path, written=True)

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        self._commit_names()

    def syncfs(self, fd: int) -> None:
        super().syncfs(fd)
        self._commit_names()

    def fsync_dir(self, path: Path) -> None:
        super().fsync_dir(path)
        self._commit_names()

    def _commit_names(self) -> None:
        if self._ordered:
            self.medium.commit_names()

    # --- somebody else's files --------------------------------------------------------------------------------

    def put(self, path: Path, data: bytes) -> None:
        """Let a producer write a file, and sync it. Folders above it that no daemon has made are durable."""
        for folder in reversed(path.relative_to(self.root).parents[:-1]):
            if not (self.root / folder).exists():
                (self.root / folder).mkdir()
                self.medium.new(folder, folder=True)
                self.medium.sync_folder(folder.parent)
        path.write_bytes(data)
        number = self.medium.new(self._of(path), folder=False)
        self.medium.live[number] = self.medium.synced[number] = data
        self.medium.sync_folder(self._of(path.parent))
        self._touch(path, written=True)


class _Entries:
    """The entries of a folder, sorted, with the times that the disk tells. Used as what `os.scandir` returns."""

    def __init__(self, disk: SimulatedDisk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder

    def __enter__(self) -> Iterator[_Entry]:
        return iter([_Entry(self._disk, self._folder / name) for name in self._disk.names(self._folder)])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        return None


class _Entry:
    def __init__(self, disk: SimulatedDisk, path: Path) -> None:
        self.name = path.name
        self.path = str(path)
        self._disk = disk
        self._path = path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        assert not follow_symlinks
        return self._disk.lstat(self._path)

    def is_dir(self) -> bool:
        return self._path.is_dir()


class ScannerHere:
    """Scans when it is asked to, in this process, with the code that the worker runs."""

    def __init__(self) -> None:
        self.allowlist = Allowlist.load(None, {})
        self.load_budget: int | None = None
        self.restarts = 0
        self.progress: Callable[[], None] = lambda: None

    def begin(self, path: Path, *, size: int) -> Scan:
        scan = Scan(self, path, size)  # type: ignore[arg-type]
        with path.open("rb") as file:
            scan.set_result(json.loads(json.dumps(record(FileSource(file.fileno(), size)))))
        return scan

    def make_ready(self) -> None:
        return

    def withdraw(self, scan: Scan) -> None:
        return

    def close(self) -> None:
        return


# --- what producers do -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """A drop that a producer will bring, and what has to become of it."""

    stem: str
    model_id: str
    files: tuple[tuple[str, bytes], ...]
    outcome: str

    @classmethod
    def of(cls, stem: str, value: Any, *, scaler: Any = None, outcome: str = "registered", **fields: Any) -> Planned:
        files = [(f"{stem}.pkl", pickled(value))]
        if scaler is not None:
            files.append((f"{stem}_scaler.pkl", pickled(scaler)))
        files.append((f"{stem}.yaml", sidecar(**fields)))
        return cls(stem, fields.get("model_id", stem), tuple(files), outcome)


def plan(chance: random.Random, count: int) -> list[Planned]:
    """Return drops of all kinds, each of which has one end, in whatever order they are brought and judged."""
    drops: list[Planned] = []
    good: list[Planned] = []
    for number in range(count):
        stem = f"d{number:02d}"
        kind = chance.choice(("good", "good", "good", "scaled", "scaled", "unsealed", "again", "typo", "code", "lone"))
        if kind == "again" and not good:
            kind = "good"
        match kind:
            case "good":
                drops.append(Planned.of(stem, {"v": number}))
            case "scaled":
                drops.append(Planned.of(stem, {"v": number}, scaler=[number]))
            case "unsealed":
                drops.append(Planned.of(stem, {"v": number}, seal=""))
            case "again":
                first = chance.choice(good)
                files = [(name.replace(first.stem, stem), data) for name, data in first.files[:-1]]
                text = sidecar(model_id=first.model_id)
                drops.append(Planned(stem, first.model_id, (*files, (f"{stem}.yaml", text)), "duplicate"))
            case "typo":
                drops.append(Planned.of(stem, {"v": number}, outcome="rejected", leave_out=["version"]))
            case "code":
                bad = b"cposix\nsystem\n(S'true'\ntR."
                files = ((f"{stem}.pkl", bad), (f"{stem}.yaml", sidecar()))
                drops.append(Planned(stem, stem, files, "rejected"))
            case "lone":
                drops.append(Planned(stem, stem, ((f"{stem}.pkl", pickled(number)),), "rejected"))
        if drops[-1].outcome == "registered":
            good.append(drops[-1])
    return drops


# --- the simulation ----------------------------------------------------------------------------------------------


@dataclass
class Simulation:
    """One run: `drops` are brought while daemons live and die. `log` is what the disk was told to do, boot by boot."""

    root: Path
    seed: int
    ordered: bool = True
    count: int = 50
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self.clock = Clock()
        self.drops = plan(self._chance, self.count)
        self._waiting = list(self.drops)
        self.world = self._fresh()
        self.disk = SimulatedDisk(self.root, self.clock, self.seed, ordered=self.ordered)

    def _fresh(self) -> World:
        return World(self.root, {"inbox": {"watcher": "polling"}})

    def run(self, crashes: int) -> None:
        """Let daemons die at that many steps, and one live until all is done."""
        for _ in range(crashes):
            self.disk.stop_at = len(self.disk.steps) + self._chance.randint(20, 500)
            if not self.live():
                break
            self._cut_power()
        self.disk.stop_at = None
        assert not self.live()
        self.log += self.disk.steps

    def live(self) -> bool:
        """Let a daemon live until it has nothing more to do; return whether it died before."""
        scanner = ScannerHere()
        boot = BootClock("b0" * 16, self.clock.monotonic)
        machine = Machine(self.clock.now, self.clock.monotonic, self.disk, lambda _: Lease.FREE, boot=boot)
        service = Service(self.world.config, machine, make_scanner=lambda _: scanner)  # type: ignore[arg-type,return-value]
        try:
            service.start()
            service.step("start")
            while not self._is_done(service):
                service.run_maintenance()
                self._bring_some()
                service.step("timer")
                self.clock.advance(min(service.due_in(self.clock.monotonic()), 1.0))
            service.run_maintenance()
        except Crashed:
            return True
        finally:
            _let_go(service)
        return False

    def _is_done(self, service: Service) -> bool:
        return not (self._waiting or self.world.left() or self.world.in_hand() or service.intake.in_hand)

    def bring(self, drop: Planned) -> None:
        """Let a producer bring a drop, file by file."""
        for name, data in drop.files:
            self.disk.put(self.world.inbox / name, data)

    def _bring_some(self) -> None:
        """Let producers bring some of the drops that are planned."""
        for _ in range(self._chance.choice((0, 0, 1, 1, 2, 5))):
            if self._waiting:
                self.bring(self._waiting.pop(0))

    def _cut_power(self) -> None:
        """Leave of the folder what a power cut leaves, and boot again."""
        self.log += [*self.disk.steps, "power cut"]
        names, data = self.disk.medium.a_state(self._chance)
        shutil.rmtree(self.root)
        self.root.mkdir()
        self.disk.medium.write(self.root, names, data)
        self.clock.advance(60)
        self.world = self._fresh()
        self.disk = SimulatedDisk(self.root, self.clock, self._chance.getrandbits(32), ordered=self.ordered)


def _let_go(service: Service) -> None:
    """What the kernel does for a dead process: its locks and files are closed, nothing else is done."""
    while True:
        with contextlib.suppress(Crashed):
            service.close()
            return


__all__ = ["Medium", "Planned", "ScannerHere", "SimulatedDisk", "Simulation"]
