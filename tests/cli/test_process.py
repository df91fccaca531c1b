"""The installed program, as a process of its own: on pipes, on a terminal, as a daemon, and as root."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pickle
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox import ModelMetadata, ModelRegistry

PROGRAM = [str(Path(sys.executable).with_name("model-inbox"))]
MODULE = [sys.executable, "-m", "model_inbox"]

pytestmark = pytest.mark.usefixtures("measured")
PATIENCE_SECONDS = 30.0

SIDECAR = """model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: 1.10
validation_metrics: {rmse: 0.1}
min_samples: 10
calibration_ok: true
features_used: [a, b]
horizons: [1]
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_INBOX_CONFIG", "COLUMNS", "LINES", "SUDO_USER", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def make_registry(folder: Path, models: int = 2) -> None:
    """Register models whose ids are long."""
    with ModelRegistry(folder / "models" / "prediction_registry.json", folder / "models" / "prediction") as registry:
        for number in range(models):
            metadata = ModelMetadata(
                model_id=f"usd_eur_lightgbm_quantiles_of_one_day_2025102{number}",
                model_type="lightgbm",
                currency_pair="USD/EUR",
                trained_at=datetime(2025, 10, 20, tzinfo=UTC) + timedelta(days=number),
                version="1.0",
                validation_metrics={"1d": {"rmse": 0.5}},
                min_samples=10,
                calibration_ok=True,
                features_used=[f"sma_{days}" for days in range(5, 35)],
                horizons=[1],
            )
            registry.register_model(metadata, {"model": number})


def run(*args: str, program: list[str] = PROGRAM) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, on pipes."""
    return subprocess.run([*program, *args], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def on_terminal(*args: str, answer: str = "", columns: int = 80) -> tuple[int, str]:
    """Run the program on a terminal of its own; return status and what the screen got.

    `answer` is typed when the program asks a question.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen([*PROGRAM, *args], stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    screen = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(OSError):  # EIO: the program has ended
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                screen += os.read(leader, 4096)
            if answer and screen.rstrip().endswith(b"[y/N]:"):
                os.write(leader, answer.encode() + b"\n")
                answer = ""
    os.close(leader)
    return process.wait(PATIENCE_SECONDS), screen.decode().replace("\r\n", "\n")


class Daemon:
    """`model-inbox run` in a folder, with its log."""

    def __init__(self, *args: str) -> None:
        self._log = Path("daemon.log").open("wb")  # noqa: SIM115  # closed by `stop`
        self.process = subprocess.Popen([*PROGRAM, *args, "run"], stdout=subprocess.DEVNULL, stderr=self._log)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines that are complete."""
        return [
            json.loads(line) for line in Path("daemon.log").read_text().splitlines(keepends=True) if line[-1:] == "\n"
        ]

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait until an event was logged and return its line."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for line in self.lines():
                if line["event"] == event:
                    return line
            assert self.process.poll() is None, Path("daemon.log").read_text()
            select.select([], [], [], 0.02)
        raise AssertionError(f"no {event} in {Path('daemon.log').read_text()}")

    def stop(self) -> int:
        """End it as systemd does and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_SECONDS)
        finally:
            self._log.close()


@pytest.fixture(name="daemon")
def _daemon(folder: Path) -> Iterator[Daemon]:
    (folder / "config.yaml").write_text("inbox: {settle_seconds: 50ms}\n")
    daemon = Daemon()
    try:
        daemon.wait_for("daemon.ready")
        yield daemon
    finally:
        daemon.stop()


# --- on pipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [PROGRAM, MODULE], ids=["script", "module"])
def test_the_program_is_called_by_its_name_and_as_a_module(folder: Path, program: list[str]) -> None:
    """Script and module are the same program, and name themselves the same way."""
    make_registry(folder)
    assert run("--version", program=program).stdout.startswith("model-inbox ")
    listed = run("list", "--json", program=program)
    assert (listed.returncode, len(json.loads(listed.stdout)), listed.stderr) == (0, 2, "")
    assert run("list", "--wrong", program=program).stderr.startswith("Usage: model-inbox list ")
    assert run("list", "--wrong", program=program).returncode == 2
    assert run("show", "nothing", program=program).returncode == 1
    assert run("--config", "nothing.yaml", "list", program=program).returncode == 78


def test_a_table_on_a_pipe_has_one_line_a_model(folder: Path) -> None:
    """Nothing is folded or coloured where no terminal is."""
    make_registry(folder)
    lines = run("list").stdout.splitlines()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


def test_a_reader_that_goes_away_is_no_error_message(folder: Path) -> None:
    """`model-inbox history | head -1` ends quietly."""
    make_registry(folder, models=1)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ended = subprocess.run([*PROGRAM, "history"], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert ended.stderr == b""


def test_another_encoding_gets_its_answer(folder: Path) -> None:
    """Where the terminal's encoding lacks a character it is escaped, not a traceback."""
    make_registry(folder)
    environment = {**os.environ, "PYTHONIOENCODING": "iso8859-1"}
    done = subprocess.run(
        [*PROGRAM, "tag", "usd_eur_lightgbm_quantiles_of_one_day_20251020", "a=é→"],
        capture_output=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"a=\xe9\\u2192" in done.stdout


def test_a_quick_command_loads_only_what_it_needs(folder: Path) -> None:
    """`list` loads neither scanner nor watch nor service; `--help` and `--version` not even the registry."""
    make_registry(folder)
    code = (
        "import sys; from model_inbox.cli import root; root(sys.argv[1:], standalone_mode=False); "
        "print(*sys.modules, file=sys.stderr)"
    )
    loaded = run("list", "--json", program=[sys.executable, "-c", code]).stderr.split()
    assert "model_inbox.registry.registry" in loaded
    unwanted = {"model_inbox.pickles", "model_inbox.service.service", "model_inbox.inbox.pipeline", "watchdog"}
    assert unwanted.isdisjoint(loaded)
    loaded = run("show", "--help", program=[sys.executable, "-c", code]).stderr.split()
    assert {"model_inbox.registry.registry", "model_inbox.config.load", "pydantic", "structlog"}.isdisjoint(loaded)


# --- on a terminal -----------------------------------------------------------------------------------------


def test_tables_are_readable_at_80_columns(folder: Path) -> None:
    """On a terminal no line is longer than it is wide, and folded cells lose nothing."""
    make_registry(folder)
    model_id = "usd_eur_lightgbm_quantiles_of_one_day_20251020"
    for words in (["list"], ["history"], ["show", model_id], ["history", model_id]):
        status, screen = on_terminal(*words)
        plain = screen.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert status == 0
        # A path or a digest is one word, which a person copies whole: it may stick out.
        long = [line for line in plain.splitlines() if len(line) > 80 and len(line.split()) > 2]
        assert long == []
    table = on_terminal("list")[1].replace("\x1b[1m", "").replace("\x1b[0m", "")
    cells = [line.split(" ")[0] for line in table.splitlines()]
    assert "".join(cells).count(model_id) == 1


@pytest.mark.parametrize(("answer", "status", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_a_person_is_asked_on_a_terminal(folder: Path, answer: str, status: int, left: int) -> None:
    """What cannot be undone is shown and asked for; only a yes does it."""
    make_registry(folder)
    run("delete", "usd_eur_lightgbm_quantiles_of_one_day_20251020")
    ended, screen = on_terminal("trash", "purge", "--all", answer=answer)
    assert "Remove 1 model permanently? [y/N]:" in screen
    assert ended == status
    assert len(json.loads(run("trash", "list", "--json").stdout)) == left


@pytest.mark.parametrize(("answer", "status", "left"), [("n", 1, 2), ("y", 0, 1)])
def test_a_plan_is_shown_and_asked_for_on_a_terminal(folder: Path, answer: str, status: int, left: int) -> None:
    """`retention apply` shows what would go and why; only a yes does it, and then it can be undone."""
    make_registry(folder)
    (folder / "config.yaml").write_text(
        "retention: {mode: enforce, breaker: {max_fraction: 1}, policies: [{keep: {last: 1}}]}\n"
    )
    (goes,) = json.loads(run("retention", "plan", "--json").stdout)["retire"]
    ended, screen = on_terminal("retention", "apply", answer=answer)
    assert screen.index("Retire 1 model (") < screen.index("Retire 1 model to the trash? [y/N]:")
    assert "since" in screen
    assert ended == status
    assert len(json.loads(run("list", "--json").stdout)) == left
    if answer == "y":
        assert run("restore", goes["model_id"]).returncode == 0
        assert len(json.loads(run("list", "--json").stdout)) == 2


def test_the_daemon_tells_a_person_why_it_cannot_start(folder: Path) -> None:
    """On a terminal the reason is said in plain words, too, with every problem."""
    (folder / "config.yaml").write_text("inbox: {pth: x}\n")
    status, screen = on_terminal("run")
    assert status == 78
    assert "model-inbox: cannot use the configuration" in screen
    assert "Did you mean path?" in screen


# --- the daemon --------------------------------------------------------------------------------------------


def test_a_drop_is_answered_and_the_daemon_ends_as_asked(daemon: Daemon, folder: Path) -> None:
    """Registered is 0, the same again 0, a hostile pickle 1 with its reasons, a retry judged again; SIGTERM is 0."""
    (folder / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / "bad.pkl").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    (folder / "usd_eur.yaml").write_text(SIDECAR)
    first = run("drop", "m.pkl", "--meta", "usd_eur.yaml", "--wait", "--json")
    assert (first.returncode, json.loads(first.stdout)["outcome"]) == (0, "registered")
    again = run("drop", "m.pkl", "--meta", "usd_eur.yaml", "--wait", "--json")
    assert (again.returncode, json.loads(again.stdout)["outcome"]) == (0, "duplicate")
    (folder / "worse.yaml").write_text(SIDECAR)
    refused = run("drop", "bad.pkl", "--meta", "worse.yaml", "--wait", "20s", "--json")
    said = json.loads(refused.stdout)
    assert (refused.returncode, said["outcome"]) == (1, "rejected")
    assert said["problems"][0]["code"].startswith("artifact.")
    shown = run("rejected", "show", "worse")
    assert (shown.returncode, said["drop_id"] in shown.stdout, "posix.system" in shown.stdout) == (0, True, True)
    assert run("rejected", "retry", "worse").returncode == 0
    assert [entry["model_id"] for entry in json.loads(run("list", "--json").stdout)] == ["usd_eur"]
    assert daemon.stop() == 0
    assert daemon.lines()[-1]["event"] == "daemon.stopped"


def test_a_second_daemon_is_told_to_go(daemon: Daemon, folder: Path) -> None:
    """A second daemon on the same inbox exits 75 and logs why, with what to do; the first goes on."""
    second = run("run", "--json")
    assert second.returncode == 75
    last = json.loads(second.stderr.splitlines()[-1])
    assert (last["event"], last["level"]) == ("daemon.failed", "critical")
    assert "another model-inbox daemon" in last["problem"]
    assert last["hint"]
    assert json.loads(second.stdout)["error"]["code"] == "registry.locked"
    assert daemon.process.poll() is None


def test_a_daemon_does_not_start_on_damage(folder: Path) -> None:
    """A damaged registry is exit 78 with the commands to run next; a wrong configuration is 78, too."""
    make_registry(folder)
    journal = folder / "models" / "prediction_registry.journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"lightgbm", b"lightgbn", 1))
    ended = run("run")
    assert ended.returncode == 78
    last = json.loads(ended.stderr.splitlines()[-1])
    assert (last["event"], "model-inbox verify" in last["hint"]) == ("daemon.failed", True)
    assert ended.stdout == ""
    (folder / "config.yaml").write_text("inbox: {pth: x}\n")
    ended = run("run")
    assert ended.returncode == 78
    assert "config.unknown_key" in json.loads(ended.stderr.splitlines()[-1])["problem"]


# --- as root -----------------------------------------------------------------------------------------------


def test_root_leaves_nothing_that_the_owner_cannot_write(folder: Path) -> None:
    """A command run by root writes as the owner of the registry's folder; anybody else's command as itself."""
    stranger = 54321 if os.geteuid() == 0 else os.geteuid()
    make_registry(folder)
    folder.chmod(0o755)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, stranger, stranger if os.geteuid() == 0 else -1)
    for parent in folder.parents:  # pytest's own folders are for us alone
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    assert run("pin", "usd_eur_lightgbm_quantiles_of_one_day_20251020").returncode == 0
    assert run("delete", "usd_eur_lightgbm_quantiles_of_one_day_20251021").returncode == 0
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {stranger}
