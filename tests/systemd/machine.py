"""A machine for tests: a real systemd as PID 1 of namespaces of its own, thrown away at the end.

Needs root, a systemd on this machine (which need not be running), and a cgroup2 hierarchy. Nothing that happens
inside reaches the machine that the tests run on, and the kernel ends it all when the test process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from support.waiting import wait_until

BOOT = Path(__file__).with_name("boot.sh")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
PATIENCE_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


class Machine:
    """A booted machine. `root` is its root folder, seen from outside, mounts included."""

    def __init__(self) -> None:
        assert os.geteuid() == 0, "these tests boot a systemd: run them as root (in a container, say)"
        for program in ("unshare", "nsenter", "systemctl", "journalctl", "ip"):
            assert shutil.which(program), f"there is no {program}: on Debian apt-get install systemd iproute2"
        self._folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self._cgroup = _cgroup2() / self._folder.name
        self._cgroup.mkdir()
        self._console = (self._folder / "console").open("wb+")
        (self._folder / "upper").mkdir()
        self._process = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", str(BOOT), str(self._folder / "upper")],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
            preexec_fn=self._enter,
        )
        try:
            self.pid = wait_until(self._find_pid, self._process)
            self.root = Path(f"/proc/{self.pid}/root")
            wait_until(lambda: self._has_become_systemd() and self._is_up(), self._process, PATIENCE_SECONDS)
        except BaseException as error:
            said = (self._folder / "console").read_text(errors="replace")
            self.stop()
            raise AssertionError(f"the machine did not boot: {error}\n{said}") from error

    def _enter(self) -> None:
        """In the new process: end with the tests, and make a cgroup of our own the machine's root."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        (self._cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def _find_pid(self) -> int | None:
        outside = self._process.pid
        children = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        return int(children[0]) if children else None

    def _has_become_systemd(self) -> bool:
        return Path(f"/proc/{self.pid}/comm").read_text().strip() == "systemd"

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    # --- inside ---------------------------------------------------------------------------------------------------

    def command(self, *words: str, user: str = "root") -> list[str]:
        """Return the command that runs these words inside, as that user."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if user != "root" else []
        return [*inside, *become, *words]

    def run(
        self, *words: str, user: str = "root", check: bool = True, seconds: float = PATIENCE_SECONDS, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        done = subprocess.run(
            self.command(*words, user=user),
            env={**ENVIRONMENT, **options.pop("env", {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL if "input" not in options else None,
            **options,
        )
        assert not check or done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *words: str, user: str = "root") -> subprocess.Popen[str]:
        """Start a command inside, with pipes to it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*words, user=user), env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    @contextlib.contextmanager
    def running(self, *words: str, user: str = "root") -> Iterator[Callable[[], None]]:
        """Run a command inside for a while; gives what ends it with SIGTERM. It is killed at the latest at the end."""
        process = self.start(*words, user=user)
        own = process.pid  # of nsenter, which waits for the command as its child
        (inside,) = wait_until(lambda: Path(f"/proc/{own}/task/{own}/children").read_text().split(), process)
        try:
            yield lambda: os.kill(int(inside), signal.SIGTERM)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(inside), signal.SIGKILL)
            process.communicate()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        text = self.run("systemctl", "show", unit, "--property", ",".join(properties)).stdout
        return dict(line.split("=", 1) for line in text.splitlines())

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the journal's entries that match, oldest first, as journalctl's JSON has them."""
        text = self.run("journalctl", "--all", "--no-pager", "-o", "json", *matches).stdout
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait(self, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for a condition; say what the journal has where it does not come."""
        try:
            return wait_until(condition, seconds=seconds)
        except AssertionError as error:
            tail = self.run("journalctl", "--no-pager", "-n", "40", "-o", "short-monotonic", check=False).stdout
            raise AssertionError(f"{error}; the journal ends with\n{tail}") from None

    @contextlib.contextmanager
    def drop_in(self, unit: str, *lines: str, name: str = "test") -> Iterator[None]:
        """Change a unit by a drop-in for a while. It counts from the next start on."""
        path = self.root / "run/systemd/system" / f"{unit}.d" / f"{name}.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["[Service]", *lines, ""]))
        self.run("systemctl", "daemon-reload")
        try:
            yield
        finally:
            path.unlink()
            self.run("systemctl", "daemon-reload")

    # --- the end --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End everything inside and leave nothing behind."""
        self._process.kill()  # unshare's --kill-child takes PID 1 along, and the kernel everything else
        self._process.wait(30)
        self._console.close()
        wait_until(self._has_gone, seconds=30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _has_gone(self) -> bool:
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            with contextlib.suppress(OSError):  # busy: a process in it is still ending
                Path(folder).rmdir()
        return not self._cgroup.exists()


def _cgroup2() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("there is no cgroup2 hierarchy, which systemd needs: mount -t cgroup2 cgroup2 /sys/fs/cgroup")


def copy_tree(source: Path, target: Path, passing: Sequence[str]) -> None:
    """Copy the sources, but for what is passed over by name: in every folder, or with a slash before it at the top."""
    everywhere = shutil.ignore_patterns(*(pattern for pattern in passing if not pattern.startswith("/")))
    at_the_top = {pattern.removeprefix("/") for pattern in passing if pattern.startswith("/")}

    def passed_over(folder: str, names: list[str]) -> set[str]:
        return everywhere(folder, names) | (at_the_top & set(names) if Path(folder) == source else set())

    shutil.copytree(source, target, ignore=passed_over, symlinks=True)
