"""The mirror in MLflow as a service of its own: who it runs as, what it may write, and how it waits for MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from installed import SOURCES, Installed

MIRROR = "model-inbox-mlflow.service"
USER = "model-inbox-mlflow"
STATE = f"/var/lib/{USER}"
UNIT = f"/etc/systemd/system/{MIRROR}"
MODELS = "/var/lib/model-inbox/models"
# Nothing listens there.
ADDRESS = "http://127.0.0.1:9"


@pytest.fixture(name="mirror", scope="module")
def _mirror(installation: tuple[Installed, str, str]) -> Iterator[Installed]:
    """The unit as the documentation says: copied, with the address in it, its user made, and the client installed."""
    installed = installation[0]
    machine = installed.machine
    machine.run("useradd", "--system", "--gid", "model-consumers", USER)
    text = (machine.root / SOURCES.lstrip("/") / "systemd" / MIRROR).read_text()
    assert "http://mlflow:5000" in text
    (machine.root / UNIT.lstrip("/")).write_text(text.replace("http://mlflow:5000", ADDRESS))
    machine.run("systemctl", "daemon-reload")
    yield installed
    machine.run("systemctl", "stop", MIRROR)
    (machine.root / UNIT.lstrip("/")).unlink()
    machine.run("systemctl", "daemon-reload")


@pytest.fixture(name="configured")
def _configured(mirror: Installed, service: Installed) -> Iterator[Installed]:
    """The daemon, running, with the mirror's state in the configuration; the mirror does not run."""
    service.configure(service.config.read_text(), ("  state: null\n", f"  state: {STATE}\n"))
    yield service
    service.machine.run("systemctl", "stop", MIRROR)
    service.machine.run("systemctl", "reset-failed", MIRROR, check=False)


def said(installed: Installed, event: str) -> list[dict[str, str]]:
    """Return the mirror's lines of one event in the journal."""
    return installed.machine.journal("-u", MIRROR, f"EVENT={event}")


def test_the_unit_is_right_and_closed(mirror: Installed) -> None:
    """systemd has not a word to say about the unit, and rates its exposure at most 2: it has to reach MLflow."""
    done = mirror.machine.run("systemd-analyze", "verify", MIRROR, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    rated = mirror.machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", rated)
    assert float(exposure) <= 2.0


def test_without_the_client_it_says_so_and_stays_down(configured: Installed) -> None:
    """An installation has not MLflow's client: 78, which systemd does not start again."""
    machine = configured.machine
    machine.run("systemctl", "start", MIRROR)
    machine.wait(lambda: machine.show(MIRROR, "ActiveState")["ActiveState"] == "failed")
    shown = machine.show(MIRROR, "ExecMainStatus", "NRestarts")
    assert shown == {"ExecMainStatus": "78", "NRestarts": "0"}
    text = machine.run("journalctl", "-u", MIRROR, "--no-pager", "-o", "cat").stdout
    assert "its client is not installed" in text
    assert "Traceback" not in text


def test_it_waits_for_an_mlflow_that_is_away_and_ends_when_it_is_told_to(configured: Installed) -> None:
    """It tries again with growing pauses, as a user who can write nothing but its state; stopped, it ends with 0."""
    machine = configured.machine
    configured.add_mlflow_client()
    configured.drop("to-be-mirrored")
    configured.registered("to-be-mirrored")
    machine.run("systemctl", "start", MIRROR)
    # Logged each time that the number of failures has doubled.
    machine.wait(lambda: len(said(configured, "mlflow.unreachable")) >= 3)
    lines = said(configured, "mlflow.unreachable")[:3]
    assert [(line["FAILURES"], line["RETRY_IN_SECONDS"]) for line in lines] == [
        ("1", "0.5"),
        ("2", "1.0"),
        ("4", "4.0"),
    ]
    assert ADDRESS in lines[0]["PROBLEM"]
    # That it runs is not looked at: the kernel lists no lock of a file on this machine's overlay by its number.
    known = json.loads(configured.model_inbox("mlflow", "status", "--json", check=False).stdout)
    assert ADDRESS in known["problem"]

    shown = machine.show(MIRROR, "ActiveState", "NRestarts", "User", "MainPID")
    pid = shown.pop("MainPID")
    assert shown == {"ActiveState": "active", "NRestarts": "0", "User": USER}
    status = (machine.root / f"proc/{pid}/status").read_text()
    for line in (r"CapEff:\s*0+", r"NoNewPrivs:\s*1", r"Seccomp:\s*2"):
        assert re.search(rf"^{line}$", status, re.MULTILINE)

    def touch(path: str, user: str) -> str:
        become = ("setpriv", "--reuid", user, "--regid", "model-consumers", "--clear-groups", "--")
        return machine.run("nsenter", "-t", pid, "-m", *become, "touch", path, check=False).stderr

    # By its rights, and by what its own mounts allow even root.
    assert touch(f"{STATE}/by-hand", USER) == ""
    assert "cannot touch" in touch(f"{MODELS}/by-hand", USER)
    for path in (f"{MODELS}/by-hand", "/var/lib/model-inbox/inbox/by-hand", "/etc/by-hand", "/opt/by-hand"):
        assert "Read-only file system" in touch(path, "root")

    machine.run("systemctl", "stop", MIRROR, seconds=10)
    assert machine.show(MIRROR, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert said(configured, "mlflow.stopped")
