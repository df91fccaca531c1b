"""The service on a real systemd: how it starts, lives, is reloaded, dies and comes back, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from installed import STATE, UNIT, Installed
from support.world import pickled, sidecar

INBOX_OWNER = "mode=3770,uid=model-inbox,gid=model-producers"

# --- starting ---------------------------------------------------------------------------------------------------------


def test_the_unit_is_right_and_closed(installation: tuple[Installed, str, str]) -> None:
    """systemd has not a word to say about the unit, and rates its exposure at most 0.5."""
    machine = installation[0].machine
    done = machine.run("systemd-analyze", "verify", UNIT, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit = "/usr/local/lib/systemd/system/" + UNIT
    rated = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", rated)
    assert float(exposure) <= 0.5


def test_the_back_off_is_known_to_newer_systemd(installation: tuple[Installed, str, str]) -> None:
    """What systemd 254 brought is installed for 254 and later alone, where `verify` knows it."""
    installed, machine = installation[0], installation[0].machine
    number = int(machine.run("systemctl", "--version").stdout.split()[1])
    drop_in = machine.root / "usr/local/lib/systemd/system" / f"{UNIT}.d" / "50-backoff.conf"
    assert drop_in.exists() == (number >= 254)
    assert installed.show("RestartUSec") == "5s"
    assert installed.show("StartLimitIntervalUSec") == "0"


def test_ready_comes_after_the_first_look(stopped: Installed) -> None:
    """`systemctl start` returns when what was in the inbox before is answered."""
    stopped.drop("early")
    stopped.systemctl("start")
    assert stopped.receipt("early") is not None
    order = [
        entry.get("EVENT") or "STARTED"
        for entry in stopped.machine.journal("-u", UNIT)
        if entry.get("EVENT") in ("drop.registered", "daemon.ready")
        or entry.get("MESSAGE_ID") == "39f53479d3a045ac8e11786248231fbf"  # systemd: a start job has finished
    ]
    assert order[-3] == "drop.registered"
    assert set(order[-2:]) == {"daemon.ready", "STARTED"}  # at once: which line comes first is nobody's promise


def test_the_status_line_says_what_it_does(service: Installed) -> None:
    """`systemctl status` shows how many drops wait, and follows them."""
    service.machine.wait(lambda: " 0 waiting" in service.show("StatusText"))
    service.put("alone.yaml", sidecar())
    service.machine.wait(lambda: " 1 waiting" in service.show("StatusText"))
    service.put("alone.pkl", pickled({"model": "alone"}))
    service.registered("alone")
    service.machine.wait(lambda: " 0 waiting" in service.show("StatusText"))


def test_the_boot_is_known_to_the_service_and_to_commands_alike(service: Installed) -> None:
    """The unit hides /proc/sys from the service; a jump of the clock must be found by either after a restart."""
    saved = json.loads((service.models / "prediction_registry.clock.json").read_text())
    assert saved["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


# --- reload -----------------------------------------------------------------------------------------------------------


def test_a_reload_waits_until_it_holds(service: Installed) -> None:
    """When `systemctl reload` returns, the new settings are in force: no second later."""
    service.configure(service.config.read_text(), ("currency_pairs: null", "currency_pairs: [CHF/EUR]"))
    service.systemctl("reload")
    loaded = service.events("config.loaded")[-1]
    assert loaded["CHANGED"] == '["checks.currency_pairs"]'
    service.drop("other-pair")
    answer = service.answer("other-pair")
    assert (answer["outcome"], answer["problems"][0]["code"]) == ("rejected", "checks.currency_pair")


def test_a_bad_file_fails_the_reload_and_nothing_else(service: Installed) -> None:
    """`systemctl reload` fails, its problems are in the journal, the daemon goes on with the old settings."""
    pid = service.pid
    service.configure(service.config.read_text(), ("settle_seconds: null", "settle_secnds: 3"))
    assert service.systemctl("reload", check=False).returncode != 0
    assert (service.show("ActiveState"), service.pid) == ("active", pid)
    assert "Did you mean settle_seconds?" in service.events("config.refused")[-1]["PROBLEMS"]
    said = "".join(str(e.get("MESSAGE")) for e in service.machine.journal("-u", UNIT, "-n", "20", "_TRANSPORT=stdout"))
    assert "Did you mean settle_seconds?" in said  # of the command that systemd ran, too
    service.drop("after-bad-reload")
    service.registered("after-bad-reload")


# --- dying ------------------------------------------------------------------------------------------------------------


def test_sigkill_loses_nothing(service: Installed) -> None:
    """Killed again and again while drops come in, it comes back by itself, and each is registered once."""
    with service.machine.drop_in(UNIT, "RestartSec=100ms"):
        stems = [f"killed-{number}" for number in range(12)]
        for number, stem in enumerate(stems):
            service.drop(stem, user=("alice", "bob")[number % 2])
            if number % 4 == 1:
                killed = service.pid
                service.signal("KILL")
                service.machine.wait(lambda killed=killed: service.pid not in (0, killed))
        for stem in stems:
            service.registered(stem)
    known = service.models_known()
    assert [known.count(stem) for stem in stems] == [1] * len(stems)


def test_no_worker_outlives_the_daemon(service: Installed) -> None:
    """The scanner's worker is gone when the daemon was killed: nothing of it is left in the unit's cgroup."""
    service.drop("with-worker")
    service.registered("with-worker")
    machine = service.machine
    with machine.drop_in(UNIT, "Restart=no"):
        daemon = str(service.pid)
        (worker,) = machine.run("pgrep", "-P", daemon).stdout.split()
        service.signal("KILL")
        machine.wait(lambda: service.show("ActiveState") == "failed")
        for pid in (daemon, worker):
            assert machine.run("kill", "-0", pid, check=False).returncode != 0


def test_a_loop_that_hangs_is_started_again(stopped: Installed) -> None:
    """Stopped in its tracks, the daemon is ended by the watchdog and comes back; the journal says that it hung."""
    with stopped.machine.drop_in(UNIT, "WatchdogSec=2s", "TimeoutAbortSec=5s", "RestartSec=100ms"):
        stopped.systemctl("start")
        hung = stopped.pid
        began = time.monotonic()
        stopped.signal("STOP")
        stopped.machine.wait(lambda: stopped.pid not in (0, hung) and stopped.show("ActiveState") == "active")
        assert time.monotonic() - began > 1
        assert stopped.show("NRestarts") == "1"
        lines = [str(entry["MESSAGE"]) for entry in stopped.machine.journal("-u", UNIT)]
        assert any("Watchdog timeout (limit 2s)" in line for line in lines)
        assert any("Fatal Python error: Aborted" in line for line in lines)  # and where it was
        stopped.drop("after-hang")
        stopped.registered("after-hang")


def test_an_idle_daemon_and_a_busy_one_are_not_taken_for_hung(stopped: Installed) -> None:
    """With nothing to do, and with a drop that takes longer than the watchdog waits, it lives on."""
    modulus = (1 << 61) - 1  # ints that all hash alike take quadratic time
    keys = b"".join(b"\x8a\x0b" + (i * modulus).to_bytes(11, "little") + b"N" for i in range(1, 90_000))
    slow = b"\x80\x04}(" + keys + b"u."
    stopped.configure(stopped.config.read_text(), ("time_limit: 120s", "time_limit: 4s"))
    with stopped.machine.drop_in(UNIT, "WatchdogSec=2500ms", "RestartSec=100ms"):
        stopped.systemctl("start")
        pid = stopped.pid
        stopped.drop("slow", data=slow)
        answer = stopped.answer("slow")
        assert answer["problems"][0]["code"] == "artifact.scan_limits"
        rejected = stopped.events("drop.rejected", "STEM=slow")[-1]
        assert float(rejected["SECONDS"]) > 3
        assert (stopped.pid, stopped.show("NRestarts")) == (pid, "0")


def test_foreign_modules_are_never_taken_for_ours(stopped: Installed) -> None:
    """The service starts, scans and reloads with a yaml.py on its PYTHONPATH and in its working folder."""
    planted = stopped.machine.root / "run/planted"
    planted.mkdir()
    for name in ("yaml", "click", "json", "pickle", "structlog", "sitecustomize"):
        (planted / f"{name}.py").write_text("raise SystemExit('foreign')\n")
    with stopped.machine.drop_in(UNIT, "Environment=PYTHONPATH=/run/planted", "WorkingDirectory=/run/planted"):
        stopped.systemctl("start")
        stopped.drop("isolated")
        stopped.registered("isolated")
        stopped.systemctl("reload")
        stopped.systemctl("stop")


# --- trouble that is no reason to die ---------------------------------------------------------------------------------


def test_a_deaf_watch_is_repaired(stopped: Installed) -> None:
    """Mounted over and uncovered again for real, the inbox is watched again, without a restart."""
    machine = stopped.machine
    stopped.configure(stopped.config.read_text(), ("rescan_seconds: 30", "rescan_seconds: 5"))
    stopped.systemctl("start")
    pid, restored = stopped.pid, len(stopped.events("inbox.watch_restored"))
    machine.run("mount", "-t", "tmpfs", "-o", INBOX_OWNER, "over", f"{STATE}/inbox")
    try:
        machine.wait(lambda: len(stopped.events("inbox.watch_restored")) == restored + 1)
        stopped.drop("mounted-over")
        stopped.registered("mounted-over")
    finally:
        machine.run("umount", "--lazy", f"{STATE}/inbox")  # the daemon has it open
    machine.wait(lambda: len(stopped.events("inbox.watch_restored")) == restored + 2)
    stopped.drop("uncovered")
    stopped.registered("uncovered")
    assert (stopped.pid, stopped.show("NRestarts")) == (pid, "0")
    assert all(entry["LEVEL"] == "warning" and entry["CAUSE"] for entry in stopped.events("inbox.watch_lost"))


@contextlib.contextmanager
def small_disk(service: Installed) -> Iterator[Callable[..., None]]:
    """Have models/ on a small file system of its own; gives what fills it, or makes room again."""
    owner = "size=1m,mode=2750,uid=model-inbox,gid=model-consumers"
    service.machine.run("mount", "-t", "tmpfs", "-o", owner, "small", f"{STATE}/models")
    ballast = service.models / "ballast"

    def fill(*, full: bool) -> None:
        ballast.unlink(missing_ok=True)
        if full:
            fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
            with contextlib.suppress(OSError):
                while os.write(fd, b"x" * 4096):
                    pass
            os.close(fd)

    try:
        yield fill
    finally:
        service.systemctl("stop")
        service.machine.run("umount", f"{STATE}/models")


def test_a_full_disk_is_waited_out(stopped: Installed) -> None:
    """On a full disk, also one that is full at the start, drops are deferred and said so; with room again they come."""
    with small_disk(stopped) as fill:
        stopped.systemctl("start")
        for stem in ("no-room", "no-room-at-start"):
            fill(full=True)
            if stem == "no-room-at-start":
                stopped.systemctl("restart")
            pid = stopped.pid
            stopped.drop(stem)
            stopped.machine.wait(lambda stem=stem: stopped.events("drop.deferred", f"STEM={stem}"))
            assert stopped.receipt(stem) is None
            fill(full=False)
            stopped.registered(stem)
            assert (stopped.pid, stopped.show("NRestarts")) == (pid, "0")


def test_a_read_only_disk_is_no_hot_loop(stopped: Installed) -> None:
    """Where nothing can be written at the start, that is said, tried again at a pace, and over when it can be."""
    machine = stopped.machine
    with small_disk(stopped):
        stopped.systemctl("start")
        stopped.systemctl("stop")
        machine.run("mount", "-o", "remount,ro", f"{STATE}/models")
        machine.run("systemctl", "start", "--no-block", UNIT)
        machine.wait(lambda: "Read-only file system" in stopped.events("daemon.failed")[-1]["PROBLEM"])
        machine.wait(lambda: stopped.show("SubState") == "auto-restart")
        machine.run("mount", "-o", "remount,rw", f"{STATE}/models")
        machine.wait(lambda: stopped.show("ActiveState") == "active")
        assert int(stopped.show("NRestarts")) <= 3


def test_what_passes_is_tried_again(stopped: Installed) -> None:
    """Where another daemon serves the inbox (exit 75), the unit tries on at its pace, and succeeds once that ends."""
    machine = stopped.machine
    command = ("model-inbox", "--config", "/etc/model-inbox/config.yaml", "run")
    with machine.running(*command, user="model-inbox") as end_other:
        machine.wait(lambda: stopped.model_inbox("status", "--json", check=False).stdout.find('"running"') > 0)
        with machine.drop_in(UNIT, "RestartSec=200ms"):
            machine.run("systemctl", "start", "--no-block", UNIT)
            machine.wait(lambda: int(stopped.show("NRestarts")) >= 2)
            assert any("status=75" in str(entry["MESSAGE"]) for entry in machine.journal("-u", UNIT, "-n", "20"))
            end_other()
            machine.wait(lambda: stopped.show("ActiveState") == "active")


def last_words(service: Installed) -> str:
    """The last lines in the journal that the unit's own process wrote."""
    return "\n".join(str(entry["MESSAGE"]) for entry in service.machine.journal("-u", UNIT, "-n", "8"))


def test_a_bad_configuration_is_not_started_again(stopped: Installed) -> None:
    """Exit 78 is the end of it, and the last lines of the journal say what is wrong and what to run."""
    stopped.configure(stopped.config.read_text(), ("watcher: auto", "watcher: guess"))
    assert stopped.systemctl("start", check=False).returncode != 0
    assert (stopped.show("ExecMainStatus"), stopped.show("ActiveState")) == ("78", "failed")
    assert stopped.show("NRestarts") == "0"
    said = last_words(stopped)
    assert "watcher is 'guess'" in said
    assert "model-inbox --config /etc/model-inbox/config.yaml config check" in said
    done = stopped.model_inbox("--config", "/etc/model-inbox/config.yaml", "config", "check", check=False)
    assert (done.returncode, "watcher is 'guess'" in done.stderr) == (78, True)


def test_a_damaged_registry_is_not_started_again(service: Installed) -> None:
    """Exit 78 is the end of it, and the last lines of the journal name `verify` and `rebuild`."""
    service.drop("to-be-damaged")
    service.registered("to-be-damaged")
    service.systemctl("stop")
    journal = service.models / "prediction_registry.journal.jsonl"
    whole = journal.read_bytes()
    try:
        journal.write_bytes(whole.replace(b"to-be-damaged", b"to-be-damagad", 1))
        assert service.systemctl("start", check=False).returncode != 0
        assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("78", "0")
        said = last_words(service)
        assert "model-inbox verify" in said
        assert "model-inbox rebuild" in said
    finally:
        journal.write_bytes(whole)


# --- ending -----------------------------------------------------------------------------------------------------------


def test_it_stops_in_time_with_work_in_hand(service: Installed) -> None:
    """Told to stop in the middle of many drops, it ends by itself and soon; what it left is taken at the next start."""
    stems = [f"many-{number}" for number in range(150)]
    data = pickled(list(range(500_000)))
    for stem in stems:  # as root for the pace; they become alice's
        for name, content in ((f"{stem}.pkl", data), (f"{stem}.yaml", sidecar())):
            path = service.inbox / f".{name}"
            path.write_bytes(content)
    owner = service.machine.run("id", "-u", "alice").stdout.strip()
    script = f'cd {STATE}/inbox && for f in .many-*; do chown {owner} "$f"; chmod 0640 "$f"; mv "$f" "${{f#.}}"; done'
    service.machine.run("sh", "-c", script)
    service.machine.wait(lambda: any(service.receipt(stem) for stem in stems))
    began = time.monotonic()
    service.systemctl("stop")
    took = time.monotonic() - began
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert took < 30
    done = sum(service.receipt(stem) is not None for stem in stems)
    assert done < len(stems), "it was through before it was told: make the work larger"
    service.systemctl("start")
    for stem in stems:
        service.registered(stem)
    known = service.models_known()
    assert [known.count(stem) for stem in stems] == [1] * len(stems)
