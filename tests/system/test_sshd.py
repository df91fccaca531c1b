"""Drops on another machine through a real sshd: this machine is both, on a loopback address."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_inbox import ModelRegistry, drop
from model_inbox.producer.remote import SSH_VARIABLE
from support.crash_kit import metadata
from support.ports import reserve_port
from support.waiting import wait_until
from support.world import World, pickled, sidecar


@pytest.fixture(name="ssh", scope="module")
def _ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The words of an ssh that reaches a sshd of this user, by a key that was made for it."""
    # sshd refuses keys below a folder that others may write to, so its rights are ours alone.
    folder = tmp_path_factory.mktemp("sshd")
    port = reserve_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"UsePAM no\nStrictModes no\nPermitRootLogin yes\nSetEnv PATH={path}\n"
    )
    (folder / "ssh_config").write_text(
        f"Host there\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  BatchMode yes\n  StrictHostKeyChecking accept-new\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n"
    )
    sshd = shutil.which("sshd", path=f"/usr/sbin:{os.environ['PATH']}")
    assert sshd is not None
    if os.geteuid() == 0:
        # Where sshd puts the part of it that has no rights yet; the service's start makes it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            [sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=stderr, stdin=subprocess.DEVNULL
        )
    try:
        wait_until(lambda: "listening" in log.read_text(), server)
        yield f"ssh -F {folder}/ssh_config"
    finally:
        server.terminate()
        server.wait()


def test_a_tar_through_ssh_ends_with_the_exit_code_of_the_drop(ssh: str, tmp_path: Path) -> None:
    """Registered is 0, refused 1; what a cut connection would leave behind is nothing."""
    world = World(tmp_path)
    (tmp_path / "m.pkl").write_bytes(pickled({"a": 1}))
    (tmp_path / "m.yaml").write_bytes(sidecar())
    remote = f"{ssh} there model-inbox drop - --inbox {shlex.quote(str(world.inbox))} --wait --json"
    with world.daemon() as daemon:
        for archive, status in (
            ("tar -c m.pkl m.yaml", 0),
            ("tar -c m.pkl", 1),
            ("tar -c m.pkl m.yaml | head -c 900", 1),
        ):
            done = subprocess.run(
                ["sh", "-c", f"{archive} | {remote}"], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == status, done.stderr
        daemon.wait_until_empty()
        assert list(world.answered().registered) == ["m"]


def test_a_training_job_drops_through_ssh(ssh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`drop(inbox="ssh://...")` has the answer of the daemon there."""
    monkeypatch.setenv(SSH_VARIABLE, ssh)
    world = World(tmp_path)
    with world.daemon():
        result = drop(
            {"weights": "x" * 3_000_000},
            inbox=f"ssh://there{world.inbox}",
            wait=True,
            scaler=[1],
            currency_pair="USD/EUR",
            model_type="ridge",
            version="1",
            validation_metrics={"1d": {"rmse": 0.5}},
            min_samples=50,
            calibration_ok=True,
            features_used=["a"],
        )
    assert (result.outcome, result.problems) == ("registered", ())
    assert world.registry().registry[result.model_id]["provenance"]["python"] == sys.version.split()[0]


def test_two_replicas_are_pulled_through_ssh_while_their_source_changes(ssh: str, tmp_path: Path) -> None:
    """A pull that is killed is taken up by the next one; each pull leaves what the source had committed by then."""
    models = tmp_path / "models"
    env = {**os.environ, "RSYNC_RSH": ssh}

    def words(replica: str) -> list[str]:
        command = [sys.executable, "-I", "-m", "model_inbox", "replica", "pull", f"there:{models}"]
        return [*command, str(tmp_path / replica), "--json"]

    with ModelRegistry(models / "prediction_registry.json", models / "prediction") as registry:
        for number in range(4):
            model = {"model": number, "weights": os.urandom(1_000_000)}
            registry.register_model(metadata(f"m{number}"), model, [number])
            killed = subprocess.Popen(words("one"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if number % 2:
                killed.kill()
            killed.wait()
            for replica in ("one", "two"):
                done = subprocess.run(words(replica), env=env, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                with ModelRegistry(tmp_path / replica / "prediction_registry.json", read_only=True) as copy:
                    assert sorted(copy.registry) == [f"m{at}" for at in range(number + 1)]
                    loaded, scaler = copy.load_model_objects(copy.registry[f"m{number}"])
                    assert (loaded, scaler) == (model, [number])
