"""A drop into the inbox of another machine, with a real command at the other end of the pipe.

In place of ssh a shell runs the command on this machine, as rsh would on another; tests/system/test_sshd.py has a real
sshd.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from model_inbox import DropRefused, StorageError, drop
from model_inbox.producer.files import drop_files
from model_inbox.producer.remote import SSH_VARIABLE, Place, place_of
from support.world import World, pickled, sidecar

FIELDS: dict[str, Any] = {
    "model_type": "ridge",
    "currency_pair": "USD/EUR",
    "version": "1",
    "validation_metrics": {"1d": {"rmse": 0.5}},
    "min_samples": 50,
    "calibration_ok": True,
    "features_used": ["a"],
}


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose machine is reached by a shell; the words for it are noted."""
    shell = tmp_path / "rsh"
    shell.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/words"\nfor last; do :; done\n'
        f'PATH="{Path(sys.executable).parent}:$PATH"\nexec sh -c "$last"\n'
    )
    shell.chmod(0o755)
    monkeypatch.setenv(SSH_VARIABLE, f"{shell} -v")
    world = World(tmp_path)
    world.inbox.mkdir()
    return world


def test_a_training_job_drops_elsewhere_and_has_the_answer(world: World) -> None:
    """The daemon there registers it; host and id are those that were filled in here."""
    with world.daemon():
        result = drop({"a": 1}, inbox=f"ssh://me@there:22{world.inbox}", scaler=[1], wait=True, **FIELDS)
    assert (result.outcome, result.problems) == ("registered", ())
    entry = world.registry().registry[result.model_id]
    assert entry["provenance"]["filled"] == "model_id,trained_at,horizons"
    assert "python" in entry["provenance"]
    assert entry["scaler_sha256"] is not None
    words = (world.root / "words").read_text().splitlines()
    assert words[:5] == ["-v", "-p", "22", "--", "me@there"]


def test_files_are_dropped_elsewhere(world: World, tmp_path: Path) -> None:
    """As `drop --inbox ssh://...` does; the sidecar keeps its name's id."""
    (tmp_path / "eur.pkl").write_bytes(pickled(1))
    (tmp_path / "eur.yaml").write_bytes(sidecar())
    result = drop_files(tmp_path / "eur.pkl", tmp_path / "eur.yaml", inbox=f"ssh://there{world.inbox}")
    assert (result.outcome, result.model_id) == ("dropped", "eur")
    assert sorted(path.name for path in world.inbox.iterdir()) == ["eur.pkl", "eur.yaml"]


def test_what_the_other_side_refuses_is_told_here(world: World) -> None:
    """With its own words."""
    with pytest.raises(DropRefused, match="no such folder"):
        drop(1, inbox=f"ssh://there{world.inbox}/nowhere", **FIELDS)


@pytest.mark.parametrize("end", ["exit 0", "kill -9 $$"])
def test_a_refusal_is_never_a_success(world: World, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A wrapper may lose the exit code of the command there: the answer says that nothing was dropped."""
    answer = '{"error": {"code": "drop.refused", "message": "it is full"}}'
    monkeypatch.setenv(SSH_VARIABLE, shlex.join(["sh", "-c", f"cat > /dev/null; echo '{answer}'; {end}"]))
    with pytest.raises(DropRefused, match="it is full") as refused:
        drop(1, inbox="ssh://there", **FIELDS)
    assert refused.value.exit_status == 1


def test_a_machine_that_cannot_be_reached_may_be_reached_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ssh says is in the message; the exit code is that of a retry."""
    monkeypatch.setenv(SSH_VARIABLE, "sh -c 'echo no route >&2; exit 255'")
    with pytest.raises(StorageError, match="no route") as failed:
        drop("x" * 1_000_000, inbox="ssh://there", **FIELDS)
    assert failed.value.exit_status == 75
    monkeypatch.setenv(SSH_VARIABLE, str(world.root / "no-program"))
    with pytest.raises(StorageError):
        drop(1, inbox="ssh://there", **FIELDS)


def test_another_command_than_ssh_must_be_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote without an end is told; nothing but spaces is no command, and ssh is the default."""
    monkeypatch.setenv(SSH_VARIABLE, "ssh -F 'my file")
    with pytest.raises(DropRefused, match=r"cannot use \$MODEL_INBOX_SSH"):
        drop(1, inbox="ssh://there", **FIELDS)
    monkeypatch.setenv(SSH_VARIABLE, " ")
    monkeypatch.setenv("PATH", str(world.root))
    with pytest.raises(StorageError, match="'ssh'"):
        drop(1, inbox="ssh://there", **FIELDS)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("ssh://there", Place("there", None, None)),
        ("ssh://me@there:2222/srv/in%20box", Place("me@there", 2222, "/srv/in box")),
        ("ssh://-oProxyCommand=touch", None),
        ("ssh://-v@there/x", None),
        ("ssh://there:port/x", None),
        ("ssh://", None),
        ("ssh://me:secret@there/x", None),
        ("ssh://[there/x", None),
        ("ssh://there/a%00b", None),
        ("ssh://th\0ere/x", None),
    ],
)
def test_an_address_is_never_an_option_of_ssh(address: str, place: Place | None) -> None:
    """Host, port and folder are told apart; anything else is refused."""
    if place is not None:
        assert place_of(address) == place
    else:
        with pytest.raises(DropRefused, match="no address"):
            place_of(address)


def test_a_folder_cannot_be_a_command_of_the_shell_there(world: World) -> None:
    """Its name is quoted."""
    with pytest.raises(DropRefused, match="no such folder"):
        drop(1, inbox=f"ssh://there{world.root}/$(touch {world.root}/was-run);'", **FIELDS)
    assert not (world.root / "was-run").exists()
