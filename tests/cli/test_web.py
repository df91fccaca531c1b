"""`model-inbox web` as a process: how it starts, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.home import Home
from support.places import ROOT
from support.ports import reserve_port
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("measured")

PROGRAM = [str(Path(sys.executable).with_name("model-inbox"))]


class OverSocket(http.client.HTTPConnection):
    """A connection to a socket at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Web:
    """The pages of a folder, served on a port or a socket of their own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.home = Home(folder)
        self.port = reserve_port()
        self.log = folder / "web.log"
        self.configure(web={"listen": f"127.0.0.1:{self.port}"} | settings)

    def configure(self, **sections: Any) -> None:
        (self.folder / "config.yaml").write_text(json.dumps(sections))

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it, and yield the process once the pages are served."""
        with self.log.open("wb") as log, self._started(log) as process:
            try:
                wait_until(lambda: self.lines("web.started"), process)
                yield process
            finally:
                process.kill()

    def _started(self, log: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*PROGRAM, "web"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=log)

    def lines(self, event: str) -> list[dict[str, Any]]:
        text = self.log.read_text()
        return [line for line in map(json.loads, text.splitlines(keepends=False)) if line["event"] == event]

    def get(self, path: str = "/") -> tuple[int, str]:
        return fetched(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20), path)


def fetched(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, str]:
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_pages_follow_the_registry_and_a_signal_ends_them(tmp_path: Path) -> None:
    """Before there is a registry they say so, then they show it; a request leaves no line in the log."""
    web = Web(tmp_path)
    with web.running() as process:
        (started,) = web.lines("web.started")
        assert started["address"] == f"http://127.0.0.1:{web.port}/"
        status, text = web.get()
        assert (status, "there is none" in text) == (503, True)
        web.home.register("eur-usd-1")
        status, text = web.get()
        assert (status, "eur-usd-1" in text) == (200, True)
        assert web.get("/none")[0] == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    events = [json.loads(line)["event"] for line in web.log.read_text().splitlines()]
    assert [event for event in events if event.startswith("web.")] == [
        *("web.started", "web.registry_unreadable", "web.registry_readable", "web.stopped")
    ]
    assert web.lines("web.stopped")[0]["signal"] == "SIGTERM"


def test_settings_are_read_again_when_they_change(tmp_path: Path) -> None:
    """Another registry is shown without a restart. A config.yaml with a mistake changes nothing."""
    web = Web(tmp_path)
    web.home.register("first-place")
    other = tmp_path / "other"
    other.mkdir()
    Home(other).register("second-place")
    with web.running():
        assert "first-place" in web.get()[1]
        web.configure(web={"listn": 1})
        assert "first-place" in web.get()[1]
        places = {"path": "other/models/prediction_registry.json", "storage_dir": "other/models/prediction"}
        web.configure(registry=places)
        assert "second-place" in web.get()[1]


def test_a_socket_serves_its_group(tmp_path: Path) -> None:
    """Its path counts from config.yaml's folder; it is for owner and group, and is gone at the end."""
    web = Web(tmp_path, listen="unix:page.sock", group=str(os.getgid()))
    web.home.register("eur-usd-1")
    with web.running() as process:
        path = tmp_path / "page.sock"
        assert web.lines("web.started")[0]["address"] == f"unix:{path}"
        assert (path.stat().st_mode & 0o777, path.stat().st_gid) == (0o660, os.getgid())
        assert "eur-usd-1" in fetched(OverSocket(path))[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not path.exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_port_that_is_taken_is_said(tmp_path: Path, as_json: bool) -> None:
    """In one line of the log; with --json as JSON as well. The exit code says that it may be tried again."""
    web = Web(tmp_path)
    words = [*PROGRAM, "web", *(["--json"] if as_json else [])]
    with socket.create_server(("127.0.0.1", web.port)):
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 75
    line = json.loads(done.stderr.splitlines()[0])
    assert (line["event"], line["code"]) == ("web.failed", "storage.failed")
    assert line["problem"] == f"cannot listen on '127.0.0.1:{web.port}': Address already in use"
    if as_json:
        assert json.loads(done.stdout)["error"]["hint"].startswith("Another process has this address")


def test_bad_settings_end_it(tmp_path: Path) -> None:
    """All problems are in one line of the log, as those of the daemon."""
    web = Web(tmp_path, listen="0.0.0.0:80", grup="x")
    done = subprocess.run([*PROGRAM, "web"], cwd=web.folder, capture_output=True, text=True)
    assert done.returncode == 78
    (line,) = map(json.loads, done.stderr.splitlines())
    assert "use a reverse proxy with authentication" in line["problem"]
    assert "Did you mean group?" in line["problem"]


def run_both(web: Web) -> subprocess.Popen[bytes]:
    """Start the daemon and the pages as `make run` does."""
    with web.log.open("wb") as log:
        return subprocess.Popen(
            ["sh", str(ROOT / "tools/run.sh"), sys.executable, str(web.folder / "config.yaml")],
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )


@pytest.mark.parametrize("way", ["Ctrl-C", "SIGTERM"])
def test_make_run_ends_daemon_and_pages_together(tmp_path: Path, way: str) -> None:
    """Ctrl-C in a terminal, which reaches all three processes, and SIGTERM to the one that was started."""
    web = Web(tmp_path)
    with run_both(web) as both:
        try:
            wait_until(lambda: web.lines("web.started") and web.lines("daemon.ready"), both)
            assert web.get()[0] == 200
            if way == "Ctrl-C":
                os.killpg(both.pid, signal.SIGINT)
            else:
                both.send_signal(signal.SIGTERM)
            assert both.wait(30) == 0
            assert (len(web.lines("web.stopped")), len(web.lines("daemon.stopped"))) == (1, 1)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(both.pid, signal.SIGKILL)


def test_make_run_goes_on_without_the_pages(tmp_path: Path) -> None:
    """Where their port is taken, that is said; the daemon runs."""
    web = Web(tmp_path)
    with socket.create_server(("127.0.0.1", web.port)), run_both(web) as both:
        try:
            wait_until(lambda: web.lines("web.failed") and web.lines("daemon.ready"), both)
            assert both.poll() is None
            both.send_signal(signal.SIGTERM)
            assert both.wait(30) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(both.pid, signal.SIGKILL)
