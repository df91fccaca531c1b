"""A small world for tests of the drop protocol: folders, producers, a service with a clock of its own, real daemons.

Nothing in it waits for a fixed time: what happens by the clock is reached by advancing `Clock`, what happens in a
real daemon by waiting on a condition.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_inbox.base.accounts import Accounts
from model_inbox.base.boot import BootClock
from model_inbox.base.disk import Disk, PacedDisk
from model_inbox.base.machine import Machine
from model_inbox.config.load import load_config
from model_inbox.config.settings import Config
from model_inbox.pickles import Allowlist, Scan, Scanner
from model_inbox.registry.registry import ModelRegistry
from model_inbox.service.service import Service
from support.waiting import wait_until

TRAINED_AT = datetime(2025, 10, 25, 12, tzinfo=UTC)
OUR_FOLDERS = {"receipts", "rejected"}


# --- what producers write --------------------------------------------------------------------------------------


def pickled(value: Any) -> bytes:
    """Return a pickle of plain values, such as every installation accepts."""
    return pickle.dumps(value, protocol=5)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sidecar(seal: str = "...", leave_out: Sequence[str] = (), **fields: Any) -> bytes:
    """Return the text of a sidecar. `seal` is its last line; `fields` are added or replace others, as JSON values."""
    values: dict[str, Any] = {
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": "2025-10-25T12:00:00Z",
        "version": "1.10",
        "validation_metrics": {"1d": {"rmse": 0.5}},
        "min_samples": 50,
        "calibration_ok": True,
        "features_used": ["sma_5", "rsi_14"],
        "horizons": [1, 7, 30],
        **fields,
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items() if name not in leave_out]
    return ("\n".join(lines) + "\n" + (f"{seal}\n" if seal else "")).encode()


def name_open_file(fd: int, path: Path) -> None:
    """Give a file that was opened with O_TMPFILE its first name."""
    proc = os.open("/proc/self/fd", os.O_PATH)
    try:
        os.link(str(fd), path, src_dir_fd=proc, follow_symlinks=True)  # with a folder, Python asks to follow the link
    finally:
        os.close(proc)


class Clock:
    """The real clocks, set forward by as much as was asked for: files on the disk keep their real times."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.set_by = 0.0
        self.boot_id = "b0" * 16

    def advance(self, seconds: float) -> None:
        self.ahead += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.ahead + self.set_by, UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def jump(self, seconds: float) -> None:
        """Set the time of day alone, as a person or time synchronization does."""
        self.set_by += seconds


class StandingClock(Clock):
    """A clock that stands still but for what is asked for. Its seconds begin at START, its time of day at the real one.

    For exact numbers. Files keep their real times, so what is counted from those is a little off.
    """

    START = 1000.0

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._began + self.ahead + self.set_by, UTC)

    def monotonic(self) -> float:
        return self.START + self.ahead


# --- disks that fail -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone; no handler of errors may see it."""


class StoppingDisk(Disk):
    """Counts its steps; before or after step `stop_at` everything ends, as for a process that is killed.

    With `error` the step fails with that OSError instead, once, if `fails` (given the name of the step and its
    arguments) says so, and the process goes on.
    """

    STEPS = (
        *("create", "open_append", "write", "clone", "truncate", "fsync", "chmod", "link", "rename", "rename_new"),
        *("unlink", "mkdir", "rmdir", "fsync_dir", "syncfs"),
    )

    def __init__(self, stop_at: int | None = None, *, after: bool = False) -> None:
        self.stop_at = stop_at
        self.after = after
        self.count = 0
        self.stopped = False
        self.steps: list[str] = []

    def _step(self, name: str, *args: Any) -> Any:
        if self.stopped:
            raise Killed
        self.count += 1
        self.steps.append(name)
        last = self.count == self.stop_at
        if last and not self.after:
            self.stopped = True
            raise Killed
        result = getattr(Disk, name)(self, *args)
        if last:
            self.stopped = True
            raise Killed
        return result


class FailingDisk(Disk):
    """Fails the steps that `fails` picks, by name and arguments, with the errno that it returns."""

    def __init__(self, fails: Callable[..., int | None]) -> None:
        self.fails = fails
        self.failed = 0

    def _step(self, name: str, *args: Any) -> Any:
        code = self.fails(name, *args)
        if code:
            self.failed += 1
            raise OSError(code, os.strerror(code), *[str(arg) for arg in args[:1] if isinstance(arg, Path)])
        return getattr(Disk, name)(self, *args)


def _stepping(name: str) -> Callable[..., Any]:
    def step(self: Any, *args: Any) -> Any:
        return self._step(name, *args)

    return step


for _name in StoppingDisk.STEPS:
    setattr(StoppingDisk, _name, _stepping(_name))
    setattr(FailingDisk, _name, _stepping(_name))


# --- the world -------------------------------------------------------------------------------------------------


class SharedScanner:
    """One real scanner for many services: `close` leaves its worker running."""

    allowlist = Allowlist.load(None, {})
    _scanner: Scanner | None = None

    def begin(self, path: Any, *, size: int | None = None) -> Scan:
        if SharedScanner._scanner is None:
            SharedScanner._scanner = Scanner(SharedScanner.allowlist)
        return SharedScanner._scanner.begin(path, size=size)

    def make_ready(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Answered:
    """What the folders say of the drops after all is done."""

    registered: dict[str, dict[str, Any]]
    rejected: dict[str, list[str]]
    left: list[str]
    in_hand: list[str]


@dataclass
class World:
    """Folders below `root`, and what happens in them. `settings` are sections of config.yaml."""

    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    accounts: Accounts = field(default_factory=Accounts)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.inbox = self.root / "inbox"
        self.models = self.root / "models"
        self.config_path = self.root / "config.yaml"
        self.log_path = self.root / "log"
        self.configure(**self.settings)

    def configure(self, **sections: Any) -> None:
        """Write config.yaml: quick settings for tests, and what is given."""
        quick: dict[str, Any] = {
            "inbox": {"settle_seconds": 0.3, "incomplete_timeout": "20s", "orphan_timeout": "60s"},
            "logging": {"level": "debug", "format": "json"},
        }
        for name, section in sections.items():
            quick[name] = {**quick.get(name, {}), **section} if isinstance(section, dict) else section
        self.config_path.write_text(json.dumps(quick))

    @property
    def config(self) -> Config:
        return load_config(self.config_path, env={}, cwd=self.root)

    # --- producers

    def put(
        self,
        stem: str,
        value: Any = None,
        *,
        scaler: Any = None,
        text: bytes | None = None,
        sidecar_first: bool = False,
        **fields: Any,
    ) -> None:
        """Write a drop straight into the inbox."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        parts = [(f"{stem}.pkl", pickled({"model": stem} if value is None else value))]
        if scaler is not None:
            parts.append((f"{stem}_scaler.pkl", pickled(scaler)))
        parts.append((f"{stem}.yaml", sidecar(**fields) if text is None else text))
        for name, data in reversed(parts) if sidecar_first else parts:
            (self.inbox / name).write_bytes(data)

    # --- a service in this process

    def machine(self, disk: Disk | None = None, progress: Callable[[], None] = lambda: None) -> Machine:
        """Return this machine with the world's clock."""
        disk = disk if disk is not None else PacedDisk(progress)
        boot = BootClock(self.clock.boot_id, self.clock.monotonic)
        return Machine(self.clock.now, self.clock.monotonic, disk, progress=progress, boot=boot, accounts=self.accounts)

    def service(self, disk: Disk | None = None, **options: Any) -> Service:
        """Return a service with the world's clock, not started."""
        beat = {"progress": options["heartbeat"].beat} if "heartbeat" in options else {}
        return Service(
            self.config,
            self.machine(disk, **beat),
            make_scanner=lambda _: SharedScanner(),  # type: ignore[arg-type,return-value]
            **options,
        )

    @contextlib.contextmanager
    def running(self, disk: Disk | None = None, **options: Any) -> Iterator[Service]:
        """A started service that has made its first pass."""
        service = self.service(disk, **options)
        try:
            service.start()
            service.step("start")
            yield service
        finally:
            service.close()

    def live_on(self, service: Service, seconds: float = 0.0) -> None:
        """Let time pass for a service, pass after pass as its own timers say, for at least one pass."""
        until = self.clock.monotonic() + seconds
        while True:
            service.step("timer")
            service.run_maintenance()
            left = until - self.clock.monotonic()
            if left <= 0:
                return
            self.clock.advance(min(service.due_in(self.clock.monotonic()), left) + 0.001)

    # --- what there is to see

    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.models / "prediction_registry.json", self.models / "prediction", read_only=True)

    def registrations(self) -> list[str]:
        """Return the model ids of all registrations that ever were, with repetitions."""
        with self.registry() as registry:
            return [line.model_id for line in registry.history() if line.operation == "register"]

    def receipt(self, stem: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.inbox / "receipts" / f"{stem}.json").read_bytes())
        except FileNotFoundError:
            return None

    def answered(self) -> Answered:
        with self.registry() as registry:
            registered = {model_id: dict(entry) for model_id, entry in registry.registry.items()}
        rejected: dict[str, list[str]] = {}
        for folder in sorted((self.inbox / "rejected").iterdir()):
            reason = json.loads((folder / "reason.json").read_bytes())
            assert reason["problems"], f"{folder} was rejected without a reason"
            rejected[str(reason["stem"])] = [problem["code"] for problem in reason["problems"]]
        return Answered(registered, rejected, self.left(), self.in_hand())

    def left(self) -> list[str]:
        """Return the names in the inbox that are not ours."""
        return sorted(n for n in os.listdir(self.inbox) if n not in OUR_FOLDERS and n != ".processing")

    def in_hand(self) -> list[str]:
        """Return the claims that are there."""
        return sorted(n for n in os.listdir(self.inbox / ".processing") if not n.startswith("."))

    def staged(self) -> list[str]:
        return sorted(os.listdir(self.models / "prediction" / ".staging"))

    def stored(self) -> list[str]:
        return sorted(n for n in os.listdir(self.models / "prediction") if not n.startswith("."))

    # --- real daemons

    @contextlib.contextmanager
    def daemon(self, *, ready: bool = True, before: Callable[[], None] | None = None) -> Iterator[Daemon]:
        """A real daemon process; it must end with 0 when it is told to, unless the test saw to its end."""
        daemon = Daemon(self, before=before)
        try:
            if ready:
                daemon.wait_for("daemon.ready")
            yield daemon
            if daemon.process.poll() is None:
                assert daemon.stop() == 0, daemon.log_text[-3000:]
        finally:
            daemon.kill()


class Daemon:
    """`python -m model_inbox run` on a world. `before` runs in the new process first (to change user, say).

    `by` are the words of a program that runs it (setpriv, say).
    """

    def __init__(self, world: World, *, before: Callable[[], None] | None = None, by: Sequence[str] = ()) -> None:
        self.world = world
        self._from = world.log_path.stat().st_size if world.log_path.exists() else 0
        with world.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*by, sys.executable, "-m", "model_inbox", "--config", str(world.config_path), "run"],
                cwd=world.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=before,
            )

    @property
    def log_text(self) -> str:
        return self.world.log_path.read_bytes()[self._from :].decode("utf-8", "replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines of this daemon, all or those of one event."""
        lines = [json.loads(line) for line in self.log_text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if name is None or line["event"] == name]

    def wait_for(self, event: str, count: int = 1, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait for log lines of an event."""
        return self.wait(lambda: len(found := self.events(event)) >= count and found, seconds)

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        try:
            return wait_until(condition, self.process, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the daemon's last words:\n{self.log_text[-4000:]}") from None

    def wait_until_empty(self, seconds: float = 30) -> None:
        """Wait until nothing is left in the inbox and nothing in hand."""
        self.wait(lambda: not self.world.left() and not self.world.in_hand(), seconds)

    def stop(self) -> int:
        """End it as a service manager does; return how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)


def must_be_root() -> None:
    """Fail, and say why, where a test needs root: it must not be passed over in silence."""
    assert os.geteuid() == 0, "this test changes users or mounts: run the tests as root (in a container, say)"
