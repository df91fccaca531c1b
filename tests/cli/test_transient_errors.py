"""An error of the system that may pass is exit 75, wherever it is met: the service is started again after it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model_inbox import ModelRegistry
from model_inbox.backup.manifest import CopiedFile
from model_inbox.backup.verification import check_file
from model_inbox.base.flocks import FileLock
from model_inbox.base.users import act_as_owner
from model_inbox.cli import root
from model_inbox.cli.reload import _report
from model_inbox.config.load import load_config, parse_config
from model_inbox.errors import TRANSIENT, ConfigError, StorageError, is_transient
from model_inbox.pickles import Allowlist, allowlist
from model_inbox.producer import Answers
from model_inbox.service.reload import open_server
from support.crash_kit import metadata
from support.waiting import wait_until
from support.world import World

PROGRAM = [sys.executable, "-I", "-m", "model_inbox"]
# Errors that a person has to do something about.
LASTING = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


def failing(number: int, only: Callable[[Any], bool], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a stand-in for a function, which fails with this errno where `only` says of its first argument."""

    def call(first: Any, *args: Any, **options: Any) -> Any:
        if only(first):
            raise OSError(number, os.strerror(number), str(first))
        return real(first, *args, **options)

    return call


def unreadable(monkeypatch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Let the system refuse to open this file, with this errno."""
    real = Path.open
    monkeypatch.setattr(Path, "open", failing(number, lambda opened: opened == path, real))


def called(*words: str) -> tuple[int, dict[str, Any]]:
    """Run a command here; return its exit status and its error."""
    done = CliRunner().invoke(root, [*words, "--json"], prog_name="model-inbox")
    lines = done.stdout.strip()
    return done.exit_code, json.loads(lines[lines.index("{") :]).get("error", {}) if "{" in lines else {}


@pytest.mark.parametrize("number", sorted(TRANSIENT), ids=errno.errorcode.get)
@pytest.mark.parametrize("words", [("list",), ("config", "check"), ("status",), ("reload",)], ids="-".join)
def test_a_configuration_that_cannot_be_read_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], number: int
) -> None:
    """A full table of files, an I/O error, a server that is away: the daemon and the commands end with 75."""
    config = tmp_path / "config.yaml"
    config.write_text("{}\n")
    unreadable(monkeypatch, config, number)
    status, error = called("--config", str(config), *words)
    assert (status, error.get("code")) == (75, "storage.failed")
    assert os.strerror(number) in error["message"]


@pytest.mark.parametrize("number", [errno.ENOENT, *LASTING], ids=errno.errorcode.get)
def test_a_configuration_that_nobody_lets_us_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No such file, no permission, a folder: a person has to act, and the status is 78."""
    config = tmp_path / "config.yaml"
    config.write_text("{}\n")
    unreadable(monkeypatch, config, number)
    assert called("--config", str(config), "list")[0] == 78


def test_a_real_i_o_error_of_the_configuration_is_tried_again(tmp_path: Path) -> None:
    """The program itself, on a file that opens and gives EIO when it is read."""
    done = subprocess.run([*PROGRAM, "--config", "/proc/self/mem", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 75
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["event"], "Input/output error" in last["problem"]) == ("daemon.failed", True)
    assert last["hint"]


def test_a_folder_in_place_of_the_configuration_is_for_a_person(tmp_path: Path) -> None:
    """The program itself: an error that does not pass ends the daemon with 78, and nobody starts it again."""
    done = subprocess.run([*PROGRAM, "--config", str(tmp_path), "run"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 78


def test_a_process_without_a_free_descriptor_tries_again(tmp_path: Path) -> None:
    """The program itself, at its limit of open files when it reads its configuration."""
    (tmp_path / "config.yaml").write_text("{}\n")
    code = """
import os, resource, sys
import model_inbox.cli.run, model_inbox.config.load, model_inbox.service.loop, model_inbox.telemetry.logging
from model_inbox.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(2), os.dup(2)))
sys.argv = ["model-inbox", "run"]
main()
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    assert "Too many open files" in done.stderr.splitlines()[-1]


def test_a_reload_that_cannot_read_the_file_keeps_the_settings(tmp_path: Path) -> None:
    """A real daemon whose file gives EIO: it says so, goes on with the old settings, and takes the file when it can."""
    config, log = tmp_path / "config.yaml", tmp_path / "daemon.log"
    config.write_text("{}\n")
    with log.open("wb") as stderr:
        daemon = subprocess.Popen([*PROGRAM, "run"], cwd=tmp_path, stderr=stderr)

    def lines(event: str) -> list[dict[str, Any]]:
        whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["event"] == event]

    try:
        wait_until(lambda: lines("daemon.ready"), daemon)
        config.unlink()
        config.symlink_to("/proc/self/mem")
        daemon.send_signal(signal.SIGHUP)
        (refused,) = wait_until(lambda: lines("config.refused"), daemon)
        assert "Input/output error" in refused["problems"][0]
        config.unlink()
        config.write_text("logging: {level: debug}\n")
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: lines("config.loaded"), daemon)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


@pytest.mark.parametrize(("code", "status"), [("storage.failed", 75), ("config.unknown_key", 78)])
def test_a_refused_reload_says_whether_to_try_again(code: str, status: int) -> None:
    """What the daemon could not read just now is 75, what is wrong in the file 78."""
    problem = {"code": code, "message": "cannot read 'config.yaml'", "hint": ""}
    with pytest.raises(ConfigError) as caught:
        _report({"outcome": "refused", "path": "config.yaml", "problems": [problem]}, as_json=False)
    assert caught.value.exit_status == status


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO], ids=errno.errorcode.get)
def test_allowlists_that_cannot_be_read_just_now(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The lists are files of the installation: an error while they are read says nothing about the settings."""
    folder = Path(str(resources.files("model_inbox.pickles"))) / "allow"
    unreadable(monkeypatch, folder / "builtins.tsv", number)
    # A list that this process has read is not read again.
    allowlist._text_of.cache_clear()
    with pytest.raises(StorageError, match="allowlist") as caught:
        Allowlist.load(["builtins"])
    assert caught.value.exit_status == 75


def test_a_time_zone_that_cannot_be_read_just_now_is_not_called_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database of time zones is files, too."""

    def fails(_name: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/usr/share/zoneinfo/Europe/Berlin")

    monkeypatch.setattr("model_inbox.config.retention.ZoneInfo", fails)
    config = tmp_path / "config.yaml"
    config.write_text("retention: {timezone: Europe/Berlin}\n")
    with pytest.raises(StorageError) as caught:
        load_config(config, env={}, cwd=tmp_path)
    assert caught.value.exit_status == 75
    config.write_text("retention: {timezone: Nowhere/Atall}\n")
    monkeypatch.undo()
    with pytest.raises(ConfigError):
        load_config(config, env={}, cwd=tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
def test_a_lock_that_cannot_be_asked_for_just_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A lock server that is away is not a file system without locks."""
    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", failing(number, lambda _: True, real))
    with pytest.raises(StorageError) as caught:
        FileLock(tmp_path / "lock", "writer's").acquire(0)
    assert caught.value.exit_status == 75


def test_a_model_that_check_cannot_open_just_now_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` says 75 and not that the file is unreadable."""
    world = World(tmp_path)
    world.put("m")
    model = world.inbox / "m.pkl"
    monkeypatch.setattr(os, "open", failing(errno.EMFILE, lambda path: str(path) == str(model), os.open))
    unreadable(monkeypatch, model, errno.EMFILE)
    status, error = called("--config", str(world.config_path), "check", str(world.inbox / "m.yaml"))
    assert (status, error.get("code")) == (75, "storage.failed")


REGISTRY_FILES = {
    "journal": "r.journal.jsonl",
    "closed segment": f"history/{0:020d}.jsonl",
    "JSON file": "r.json",
    "mark": "r.checkpoint.json",
    "model": "p/m.pkl",
    "stored sidecar": "p/m.yaml",
    "model in the trash": ".trash/gone.2/gone.pkl",
}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", REGISTRY_FILES)
def test_a_file_of_the_registry_that_cannot_be_read_just_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """`verify` ends with 75 and names the file; as soon as it can be read all is well. `rebuild` changes nothing."""
    config = tmp_path / "config.yaml"
    config.write_text("registry: {path: r.json, storage_dir: p}\n")
    with ModelRegistry(tmp_path / "r.json", tmp_path / "p") as registry:
        for model_id in ("m", "gone"):
            registry.register_model(metadata(model_id), {"weights": [1.0]})
        registry.delete_model("gone")
        registry.change_segment()
    path = tmp_path / REGISTRY_FILES[name]
    assert path.is_file()
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    commands = ["verify", "rebuild"] if name in ("journal", "closed segment", "JSON file", "mark") else ["verify"]
    with monkeypatch.context() as context:
        for function, real in (("os.open", os.open), ("builtins.open", open), ("io.open", open)):
            context.setattr(function, failing(number, lambda opened: str(opened) == str(path), real))
        for command in commands:
            status, error = called("--config", str(config), command)
            assert (status, error.get("code")) == (75, "storage.failed")
            assert path.name in error["message"]
            assert os.strerror(number) in error["message"]
    assert {one: data for one, data in before.items() if one.read_bytes() != data} == {}
    assert called("--config", str(config), "verify")[0] == 0


def test_a_snapshot_that_cannot_be_read_just_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a backup is told from one with other bytes."""
    copied = CopiedFile(1, "0" * 64, None)
    monkeypatch.setattr("model_inbox.backup.verification.digest_regular", refuse(errno.EIO))
    with pytest.raises(StorageError) as caught:
        check_file(tmp_path / "m.pkl", copied)
    assert caught.value.exit_status == 75


def refuse(number: int) -> Callable[..., Any]:
    """Return a stand-in for a function that fails with this errno."""
    return failing(number, lambda _: True, print)


def test_a_port_that_cannot_be_opened_just_now_is_no_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free descriptor no port can be opened. A port that is taken is a setting to be changed."""
    config = parse_config(b"metrics: {listen: 127.0.0.1:9477}", file=tmp_path / "config.yaml")
    monkeypatch.setattr("model_inbox.service.reload.MetricsServer", refuse(errno.EMFILE))
    with pytest.raises(StorageError):
        open_server(config, None)
    monkeypatch.setattr("model_inbox.service.reload.MetricsServer", refuse(errno.EADDRINUSE))
    with pytest.raises(ConfigError):
        open_server(config, None)


def test_a_daemon_whose_port_cannot_be_opened_just_now_takes_drops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metrics are a problem that the status says, and no reason to end."""
    world = World(tmp_path, {"metrics": {"listen": "127.0.0.1:9477"}})
    monkeypatch.setattr("model_inbox.service.reload.MetricsServer", refuse(errno.EMFILE))
    world.put("m")
    with world.running() as service:
        world.live_on(service, 1)
        assert service.health.listen_problem == "cannot listen on '127.0.0.1:9477': Too many open files"
    assert world.registrations() == ["m"]


def test_an_answer_that_cannot_be_read_just_now_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`drop --wait` ends with 75, and not as if the receipts were closed to this user."""
    monkeypatch.setattr("model_inbox.producer.answers.read_receipt", refuse(errno.EIO))
    with pytest.raises(StorageError) as caught:
        Answers(tmp_path, "m", b"", os.geteuid(), 1.0)
    assert caught.value.exit_status == 75


def test_a_user_that_root_cannot_become_just_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EAGAIN says that this user has as many processes as it may: later it may work."""
    os.chown(tmp_path, 54321, 54321)
    monkeypatch.setattr(os, "setgroups", refuse(errno.EAGAIN))
    with pytest.raises(StorageError) as caught:
        act_as_owner(tmp_path)
    assert caught.value.exit_status == 75


def test_one_table_says_what_may_pass() -> None:
    """Each errno of the table makes a StorageError transient, and no other does."""
    for number in errno.errorcode:
        error = OSError(number, os.strerror(number))
        assert is_transient(error) == (number in TRANSIENT) == StorageError("read", "x", error).transient
    assert not TRANSIENT.keys() & set(LASTING)
