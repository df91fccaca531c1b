"""The pages as a service of their own: who they run as, what they reach, and that the daemon does not notice them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from installed import CONSUMER, STRANGER, Installed

PAGES = "model-inbox-web.service"
LISTEN = "  listen: 127.0.0.1:9478\n  # The group"
SOCKET = "/run/model-inbox-web/page.sock"
FETCH = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost", 9478, timeout=20)
if len(sys.argv) > 1:
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sys.argv[1])
connection.request("GET", "/")
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@pytest.fixture(name="pages")
def _pages(service: Installed) -> Iterator[Installed]:
    """The service with its pages, both running."""
    service.machine.run("systemctl", "start", PAGES)
    yield service
    service.machine.run("systemctl", "stop", PAGES)


def fetched(installed: Installed, *path: str, user: str = STRANGER) -> str:
    """Return the status and the overview as a user of the machine gets them."""
    done = installed.machine.run("/usr/bin/python3", "-c", FETCH, *path, user=user, check=False)
    return done.stdout or done.stderr


def test_the_unit_is_right_and_closed(installation: tuple[Installed, str, str]) -> None:
    """systemd has not a word to say about the unit, and rates its exposure at most 1.5."""
    machine = installation[0].machine
    done = machine.run("systemd-analyze", "verify", PAGES, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit = "/usr/local/lib/systemd/system/" + PAGES
    rated = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", rated)
    assert float(exposure) <= 1.5


def test_the_pages_follow_the_daemon(pages: Installed) -> None:
    """Every user of the machine sees them, and a model as soon as it is registered.

    That the daemon runs is not looked at: the kernel lists no lock of a file on this machine's overlay by its number.
    """
    pages.drop("on-the-page")
    pages.registered("on-the-page")
    text = fetched(pages)
    assert text.startswith("200 ")
    assert "on-the-page" in text
    assert "Traceback" not in text
    shown = pages.machine.show(PAGES, "ActiveState", "User", "MainPID")
    assert (shown["ActiveState"], shown["User"]) == ("active", "model-inbox-web")


def test_the_pages_may_write_nothing_and_reach_nobody(pages: Installed) -> None:
    """What runs as they do writes neither beside the registry nor into the inbox, and reaches no other machine."""
    pid = pages.machine.show(PAGES, "MainPID")["MainPID"]
    status = (pages.machine.root / f"proc/{pid}/status").read_text()
    assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s*2$", status, re.MULTILINE)
    mounts = (pages.machine.root / f"proc/{pid}/mountinfo").read_text().splitlines()
    root = [line.split()[5] for line in mounts if line.split()[4] == "/"]
    assert root[-1].startswith("ro,")
    sockets = pages.machine.run("ss", "-Htlnp").stdout
    assert [line.split()[3] for line in sockets.splitlines() if f"pid={pid}," in line] == ["127.0.0.1:9478"]


def test_a_socket_is_for_its_group(stopped: Installed) -> None:
    """Members of the group see the pages, another user does not; the socket is gone when the pages are."""
    machine = stopped.machine
    stopped.configure(
        stopped.config.read_text(),
        (LISTEN, f"  listen: unix:{SOCKET}\n  # The group"),
        ("  group: null\n", "  group: model-consumers\n"),
    )
    stopped.systemctl("start")
    machine.run("systemctl", "start", PAGES)
    try:
        assert machine.run("stat", "-c", "%U %G %a", SOCKET).stdout == "model-inbox-web model-consumers 660\n"
        assert fetched(stopped, SOCKET, user=CONSUMER).startswith("200 ")
        assert "Permission denied" in fetched(stopped, SOCKET, user=STRANGER)
    finally:
        machine.run("systemctl", "stop", PAGES)
    assert not (machine.root / SOCKET.lstrip("/")).exists()


def test_the_daemon_does_not_notice_the_pages(pages: Installed) -> None:
    """They are killed, come back, and stop, while the daemon is the same process."""
    machine, daemon = pages.machine, pages.pid
    before = machine.show(PAGES, "MainPID")["MainPID"]
    with machine.drop_in(PAGES, "RestartSec=100ms"):
        machine.run("systemctl", "kill", "--signal=KILL", PAGES)
        machine.wait(lambda: machine.show(PAGES, "MainPID")["MainPID"] not in ("0", before))
        machine.wait(lambda: fetched(pages).startswith("200 "))
    machine.run("systemctl", "stop", PAGES)
    assert machine.show(PAGES, "Result")["Result"] == "success"
    assert pages.pid == daemon


def test_the_pages_go_on_without_the_daemon(pages: Installed) -> None:
    """When the daemon has ended, they say so; the models are still shown."""
    pages.drop("before-the-end")
    pages.registered("before-the-end")
    pages.systemctl("stop")
    text = fetched(pages)
    assert text.startswith("200 ")
    assert "no daemon runs" in text
    assert "before-the-end" in text
