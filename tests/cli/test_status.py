"""`status`, `reload` and the metrics of a real daemon, as the installed program tells them."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from model_inbox.base.disk import PacedDisk
from model_inbox.base.flocks import Holding
from model_inbox.cli import root
from model_inbox.problems import Problem
from model_inbox.registry.paths import status_paths
from model_inbox.telemetry.health import assess
from model_inbox.telemetry.status_file import Publisher, read_status
from model_inbox.telemetry.watchdog import Heartbeat
from support.ports import reserve_port
from support.waiting import wait_until
from support.world import Clock, FailingDisk, World, must_be_root

pytestmark = pytest.mark.usefixtures("measured")

PROGRAM = str(Path(sys.executable).with_name("model-inbox"))


def call(world: World, *args: str) -> tuple[int, Any]:
    """Call a command with --json in this process; return its status and its answer."""
    done = CliRunner().invoke(root, ["--config", str(world.config_path), *args, "--json"])
    return done.exit_code, json.loads(done.stdout)


def program(world: World, *args: str) -> tuple[int, str]:
    """Call the installed program; return its status and what it prints."""
    done = subprocess.run(
        [PROGRAM, "--config", str(world.config_path), *args], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def problems(answer: dict[str, Any]) -> list[str]:
    """The codes of what is not well, but for the disk of this machine, which is not ours to fill or empty."""
    return [p["code"] for p in answer["problems"] if p["code"] != "status.disk_nearly_full"]


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- status ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_daemon_is_told(world: World) -> None:
    """Not running, running and well, drops counted, killed, running again with what it knew, stopped."""
    status, told = call(world, "status")
    assert (status, told["state"], problems(told)) == (1, "stopped", ["status.not_running"])
    assert (told["ready"], told["alive"], told["last_registered_at"]) == (False, False, None)
    with world.daemon() as daemon:
        status, told = call(world, "status")
        assert (told["state"], told["ready"], told["deaf"], problems(told)) == ("running", True, False, [])
        assert status == (0 if told["ok"] else 1)
        code, said = program(world, "status")
        assert code == status
        assert said.startswith("OK: the daemon is running" if status == 0 else "Not well: the daemon is running")
        assert f"process          {daemon.process.pid}" in said
        assert (told["pid"], told["waiting"], told["deferred"]) == (daemon.process.pid, 0, 0)
        world.put("m")
        world.put("bad", model_typ="x")
        (world.inbox / "alone.pkl").write_bytes(b"x")
        daemon.wait_for("drop.rejected")
        daemon.wait_for("drop.registered")
        told = daemon.wait(
            lambda: (t := call(world, "status")[1])["waiting"] == 1 and sum(t["drops"].values()) == 2 and t
        )
        assert told["drops"] == {"registered": 1, "duplicate": 0, "rejected": 1, "put_back": 0}
        assert told["last_registered_at"] and told["last_rejected_at"]
        assert told["oldest"]["name"] == "alone.pkl"
        assert told["oldest"]["problems"][0]["code"] == "drop.no_sidecar"
        assert told["registry"]["entries"] == 1
        with world.registry() as registry:
            names = ("registry_id", "epoch", "sequence")
            assert "/".join(str(told["registry"][name]) for name in names) == str(registry.position)
        assert told["registry"]["journal_bytes"] == (world.models / "prediction_registry.journal.jsonl").stat().st_size
        daemon.kill()
        status, killed = call(world, "status")
        assert (status, killed["state"], problems(killed)) == (1, "stopped", ["status.not_running"])
        assert "without saying so" in killed["problems"][0]["message"]
        assert (killed["ready"], killed["waiting"], killed["pid"]) == (False, 0, None)
    with world.daemon() as daemon:
        told = call(world, "status")[1]
        assert told["last_registered_at"] == killed["last_registered_at"]
        assert daemon.stop() == 0
        told = call(world, "status")[1]
        assert told["problems"][0]["message"] == "no daemon runs"


def test_a_full_disk_is_told_of(tmp_path: Path) -> None:
    """On a disk without a free block the deferred drop is in the status, with its cause and its next try."""
    must_be_root()
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        world = World(small)
        with world.daemon() as daemon:
            filler = small / "filler"
            # Another user's file is copied, which needs room; what is left is taken first.
            world.put("m", b"x" * 200_000)
            daemon.wait_until_empty()
            staged = world.inbox / ".hidden.yaml"
            os.link(os.fspath(_write(world.inbox / ".hidden.pkl", pickle.dumps(b"y" * 400_000))), small / "second")
            with filler.open("wb", buffering=0) as file:
                for size in (1 << 16, 4096):
                    try:
                        while True:
                            file.write(b"\0" * size)
                    except OSError as error:
                        assert error.errno == errno.ENOSPC
            staged_text = world.inbox / "receipts" / "m.json"
            assert staged_text.exists()
            _make_room(filler, 2)
            from support.world import sidecar

            _write(staged, sidecar())
            os.rename(world.inbox / ".hidden.pkl", world.inbox / "full.pkl")
            os.rename(staged, world.inbox / "full.yaml")
            told = daemon.wait(lambda: (t := call(world, "status")[1])["deferred"] == 1 and t)
            assert "status.deferred" in problems(told)
            (drop,) = told["deferred_drops"]
            assert drop["stem"] == "full"
            assert "No space left" in drop["cause"]
            assert drop["retry_at"]
            assert any(p["code"] == "status.disk_nearly_full" for p in told["problems"])
            (one,) = daemon.wait(lambda: (o := call(world, "inbox", "explain", "full.pkl")[1])[0]["until"] and o)
            assert (one["state"], one["then"]) == ("in_hand", "is tried again")
            filler.unlink()
            daemon.wait(lambda: world.receipt("full"))
            daemon.wait(lambda: call(world, "status")[1]["deferred"] == 0)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _make_room(filler: Path, blocks: int) -> None:
    os.truncate(filler, filler.stat().st_size - blocks * 4096)


def test_an_inbox_that_went_away_is_told_of(world: World) -> None:
    """Renamed away, the inbox is unreachable, and the status beside the registry says so; back, all is well."""
    world.configure(inbox={"rescan_seconds": 1})
    with world.daemon() as daemon:
        away = world.root / "away"
        world.inbox.rename(away)
        told = daemon.wait(lambda: "status.inbox_unreachable" in problems(t := call(world, "status")[1]) and t)
        assert told["inbox"]["reachable"] is False
        assert told["inbox"]["problem"]
        away.rename(world.inbox)
        daemon.wait(lambda: problems(call(world, "status")[1]) == [])
        world.put("m")
        daemon.wait_for("drop.registered")


# --- reload --------------------------------------------------------------------------------------------------


def test_reload_answers_what_came_of_this_very_request(world: World) -> None:
    """Loaded with the changed keys, refused with the problems, loaded again: each call gets its own answer."""
    assert call(world, "reload")[0] == 75
    with world.daemon() as daemon:
        world.configure(inbox={"rescan_seconds": 7}, registry={"lock_timeout": "3s"})
        status, answer = call(world, "reload")
        assert (status, answer["outcome"]) == (0, "loaded")
        assert answer["changed"] == ["inbox.rescan_seconds", "registry.lock_timeout"]
        assert call(world, "reload")[1]["changed"] == []
        world.configure(inbox={"rescan_seconds": 7, "pth": "x"})
        status, answer = call(world, "reload")
        assert status == 78
        assert [problem["code"] for problem in answer["error"]["problems"]] == ["config.unknown_key"]
        code, said = program(world, "reload")
        assert (code, "Did you mean path?" in said) == (78, True)
        status, told = call(world, "status")
        assert (status, problems(told), told["config"]["refused"]) == (1, ["status.config_refused"], True)
        world.configure(registry={"path": "elsewhere/registry.json"})
        status, answer = call(world, "reload")
        assert (status, answer["restart_needed"]) == (0, ["registry.path"])
        code, said = program(world, "reload")
        assert (code, "after a restart: registry.path" in said) == (0, True)
        told = call(world, "status")[1]
        assert (told["state"], told["config"]["restart_needed"]) == ("running", ["registry.path"])
        assert len(daemon.events("config.loaded")) == 4
    assert call(world, "reload")[0] == 75


def test_a_daemon_that_does_not_answer_is_not_waited_for_in_vain(world: World) -> None:
    """A stopped process gets the signal and says nothing: exit 75 in the time given; then it answers after all."""
    with world.daemon() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            status, answer = call(world, "reload", "--wait", "300ms")
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        assert (status, answer["error"]["code"]) == (75, "reload.no_answer")
        daemon.wait_for("config.loaded")


def test_what_the_command_line_said_holds_after_a_reload(world: World) -> None:
    """`run --json` goes on in JSON lines, whatever config.yaml says of the form."""
    world.configure(logging={"format": "console"})
    log = (world.root / "log").open("wb")
    daemon = subprocess.Popen(
        [PROGRAM, "--config", str(world.config_path), "run", "--json"], stderr=log, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: b'"daemon.ready"' in (world.root / "log").read_bytes(), daemon)
        status, answer = call(world, "reload")
        assert (status, answer["changed"]) == (0, [])
        lines = (world.root / "log").read_text().splitlines()
        assert all(line.startswith("{") for line in lines)
    finally:
        daemon.terminate()
        daemon.wait(30)
        log.close()


# --- metrics ---------------------------------------------------------------------------------------------------


def numbers(data: str) -> dict[tuple[str, str], float]:
    """Return samples by name and the value of their last label."""
    return {
        (s.name, next(reversed([*s.labels.values()]), "")): s.value
        for family in text_string_to_metric_families(data)
        for s in family.samples
    }


def scrape(port: int) -> dict[tuple[str, str], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return numbers(answer.read().decode())


def test_metrics_are_written_and_served(world: World) -> None:
    """The file for node_exporter and the answer on the loopback address tell of the same drops; both can change."""
    port, textfile = reserve_port(), world.root / "model_inbox.prom"
    world.configure(metrics={"listen": f"127.0.0.1:{port}", "textfile": str(textfile)})
    with world.daemon() as daemon:
        world.put("m")
        world.put("bad", model_typ="x")
        daemon.wait_for("drop.registered")
        daemon.wait_for("drop.rejected")
        daemon.wait(lambda: scrape(port)[("model_inbox_drops_total", "rejected")] == 1)  # within a second
        found = scrape(port)
        assert found[("model_inbox_drops_total", "registered")] == 1
        assert found[("model_inbox_drops_total", "rejected")] == 1
        assert found[("model_inbox_drop_step_duration_seconds_count", "commit")] == 1
        assert found[("model_inbox_ready", "")] == 1
        assert found[("model_inbox_registry_entries", "")] == 1
        daemon.wait(lambda: numbers(textfile.read_text())[("model_inbox_drops_total", "rejected")] == 1)
        assert textfile.stat().st_mode & 0o777 == 0o644
        other = world.root / "other.prom"
        world.configure(metrics={"textfile": str(other)})
        assert call(world, "reload")[1]["changed"] == ["metrics.textfile", "metrics.listen"]
        assert (other.exists(), textfile.exists()) == (True, False)
        with pytest.raises(OSError):
            scrape(port)
    assert numbers(other.read_text())[("model_inbox_ready", "")] == 0


def test_metrics_that_cannot_be_told_stop_no_drop(world: World) -> None:
    """A port that is taken and a folder that is not there are said in the log and in the status; drops go on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        world.configure(metrics={"listen": f"127.0.0.1:{port}", "textfile": "nowhere/model_inbox.prom"})
        with world.daemon() as daemon:
            world.put("m")
            daemon.wait_for("drop.registered")
            assert len(daemon.wait_for("daemon.metrics_unwritten", 2)) == 2
            told = call(world, "status")[1]
            assert problems(told) == ["status.metrics_failed"]
            assert "nowhere" in told["metrics"]["problem"]
            assert str(port) in told["metrics"]["problem"]


# --- the loop's signs of life --------------------------------------------------------------------------------


@pytest.fixture(name="manager")
def _manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket that hears what a service manager is told, with a watchdog of two seconds."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


def hear(manager: socket.socket, wanted: str) -> list[str]:
    """Return what is heard until the words come."""
    heard: list[str] = []
    while not any(wanted in message for message in heard):
        heard.append(manager.recv(65536).decode())
    return heard


def test_systemd_hears_of_the_whole_life(world: World, manager: socket.socket) -> None:
    """READY once, signs of life at rest though the folder is looked at every 30 s, STATUS with counts, reload, end."""
    with world.daemon() as daemon:
        before = hear(manager, "READY=1")
        assert not any("RELOADING" in message for message in before)
        assert any("EXTEND_TIMEOUT_USEC" in message for message in before)
        assert "0 models, 0 waiting, 0 deferred" in hear(manager, "STATUS=")[-1]
        hear(manager, "WATCHDOG=1")
        hear(manager, "WATCHDOG=1")
        rescans = len(daemon.events("inbox.rescanned"))
        for _ in range(4):
            hear(manager, "WATCHDOG=1")
        assert len(daemon.events("inbox.rescanned")) <= rescans + 1  # a sign of life is no reason to look
        world.put("m")
        hear(manager, "1 model, 0 waiting, 0 deferred, 1 registered")
        assert call(world, "reload")[0] == 0
        heard = hear(manager, "RELOADING=1")[-1]
        assert "MONOTONIC_USEC=" in heard
        hear(manager, "READY=1")
        daemon.process.send_signal(signal.SIGTERM)
        hear(manager, "STOPPING=1")


def test_long_work_gives_signs_of_life_and_is_allowed_for(tmp_path: Path) -> None:
    """In the middle of a drop that takes minutes, the watchdog is fed, and the status that stands is not overdue."""
    clock = Clock()
    world = World(tmp_path, clock=clock)
    heard: list[str] = []
    heart = Heartbeat(send=heard.append, monotonic=clock.monotonic, environment={"WATCHDOG_USEC": "8000000"})
    config = world.config
    places = status_paths(config.registry.path, config.inbox.path)
    seen: list[dict[str, Any]] = []
    late: list[Problem] = []

    class Slow(PacedDisk):
        """A disk on which each sync takes a minute, once `seen` may be filled."""

        def fsync(self, fd: int) -> None:
            self._slowly()
            super().fsync(fd)

        def syncfs(self, fd: int) -> None:
            self._slowly()
            super().syncfs(fd)

        def _slowly(self) -> None:
            if not world.in_hand():
                return
            clock.advance(60)
            document = read_status(places[0]) or {}
            seen.append(document)
            late.extend(assess(document, Holding(held=True, pid=os.getpid()), clock.now(), disks=[]))

    with world.running(Slow(heart.beat), heartbeat=heart, publisher=Publisher(places)) as service:
        heart.ready()
        service.begin_serving()
        heard.clear()
        world.put("m")
        os.link(world.inbox / "m.pkl", tmp_path / "second")  # so that it is copied
        service.step("hint")
        assert world.receipt("m")
    assert len(seen) >= 2
    assert heard.count("WATCHDOG=1") >= len(seen)
    assert late == []


def test_a_status_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    """On a disk that is read-only the log says so, once, and work goes on."""
    world = World(tmp_path)
    config = world.config
    disk = FailingDisk(lambda step, *_: errno.EROFS if step == "create" else None)
    publisher = Publisher(status_paths(config.registry.path, config.inbox.path), disk)
    with world.running(publisher=publisher) as service:
        service.begin_serving()
        service.begin_stopping()
        world.put("m")
        world.live_on(service)
        assert world.receipt("m")
    assert disk.failed >= 4


# --- a watch that is deaf, for real ----------------------------------------------------------------------------


def _no_inotify() -> None:
    """Put the new process into a user namespace of its own, in which no inotify instance may be made."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWUSER
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("0 0 1")
    Path("/proc/self/gid_map").write_text("0 0 1")
    Path("/proc/sys/user/max_inotify_instances").write_text("0")


def test_a_deaf_watch_is_told_of_until_it_hears_again(world: World) -> None:
    """Without inotify the daemon is deaf, says so, and takes drops by the clock; given some, it hears again."""
    must_be_root()
    world.configure(inbox={"rescan_seconds": 1})
    with world.daemon(before=_no_inotify) as daemon:
        told = daemon.wait(lambda: (t := call(world, "status")[1])["deaf"] and t)
        assert problems(told) == ["status.deaf"]
        assert "inotify" in told["deaf_because"]
        world.put("m")
        daemon.wait_for("drop.registered")
        enter = ["nsenter", "--user", "--preserve-credentials", "--target", str(daemon.process.pid)]
        subprocess.run([*enter, "sh", "-c", "echo 64 >/proc/sys/user/max_inotify_instances"], check=True)
        daemon.wait(lambda: not (call(world, "status")[1])["deaf"])
        assert problems(call(world, "status")[1]) == []
