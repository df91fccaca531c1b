"""Real daemons whose folders turn read-only, immutable, full or somebody else's, and can be written again later."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model_inbox import ModelRegistry
from model_inbox.cli import root
from model_inbox.registry.paths import status_paths
from support.crash_kit import metadata
from support.limits import PLAIN_UID, give_to_plain_user, under
from support.users import in_child
from support.world import Daemon, World, must_be_root


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount the folder over itself, read-only: a mount that has files open for writing cannot be changed."""
    run("mount", "--bind", folder, folder)
    try:
        run("mount", "-o", "remount,bind,ro", folder)
        yield
    finally:
        run("umount", "-l", folder)


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    run("chattr", "+i", path)
    try:
        yield
    finally:
        run("chattr", "-i", path)


@contextlib.contextmanager
def mode(path: Path) -> Iterator[None]:
    """Take the owner's right to write away."""
    before = path.stat().st_mode
    path.chmod(0o500)
    try:
        yield
    finally:
        path.chmod(before & 0o7777)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Write until no byte is left: a whole page finds no room when a few blocks of a kilobyte are still free."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[None]:
    """Put a file in the place of the folder."""
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)
    folder.write_bytes(b"")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


@contextlib.contextmanager
def mounted_over(folder: Path) -> Iterator[None]:
    run("mount", "-t", "tmpfs", "none", folder)
    try:
        yield
    finally:
        run("umount", "-l", folder)


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Daemon]]:
    """A daemon of an ordinary user; its inbox is on a small disk in memory, its models on an ext4 file system."""
    must_be_root()
    world = World(tmp_path_factory.mktemp("obstacles"))
    world.configure(logging={"level": "info"})
    image = world.root / "models.img"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run("mkfs.ext4", "-q", "-F", "-m", "0", image)
    with contextlib.ExitStack() as mounts:
        for folder, words in (
            (world.inbox, ("-t", "tmpfs", "-o", "size=2m", "none")),
            (world.models, ("-o", "loop", image)),
        ):
            folder.mkdir()
            run("mount", *words, folder)
            mounts.callback(run, "umount", "-l", folder)
        world.log_path.touch()
        give_to_plain_user(world.inbox)
        give_to_plain_user(world.models)
        daemon = Daemon(world, before=under({}))
        mounts.callback(daemon.kill)
        daemon.wait_for("daemon.ready")
        yield world, daemon


def put(world: World, stem: str) -> None:
    """Drop a model as the user who runs the daemon."""
    world.put(stem)
    for suffix in (".pkl", ".yaml"):
        (world.inbox / f"{stem}{suffix}").chmod(0o660)
    run("chown", PLAIN_UID, world.inbox / f"{stem}.pkl", world.inbox / f"{stem}.yaml")


def asked(world: World, *words: str) -> Any:
    """Call a command as the user who runs the daemon; return its answer."""
    command = ["--config", str(world.config_path), *words, "--json"]
    return json.loads(in_child(under({}), lambda: CliRunner().invoke(root, command).stdout))


def unwritable(world: World) -> list[dict[str, Any]]:
    """Return what `status` says of places that cannot be written."""
    found = asked(world, "status")["problems"]
    return [problem for problem in found if problem["code"] == "status.storage_unwritable"]


def in_models(*parts: str) -> Callable[[World], Path]:
    return lambda world: world.models.joinpath(*parts)


def in_inbox(*parts: str) -> Callable[[World], Path]:
    return lambda world: world.inbox.joinpath(*parts)


TROUBLES: dict[str, tuple[Callable[[Path], Any], Callable[[World], Path], str]] = {
    "models read-only": (read_only, in_models(), "Read-only file system"),
    "models full": (full, in_models(), "No space left on device"),
    "models immutable": (immutable, in_models("prediction"), "Operation not permitted"),
    "journal immutable": (immutable, in_models("prediction_registry.journal.jsonl"), "Operation not permitted"),
    "models without the right": (mode, in_models("prediction"), "Permission denied"),
    "a file in place of the models": (replaced, in_models("prediction"), "Not a directory"),
    "claims without the right": (mode, in_inbox(".processing"), "Permission denied"),
    "a mount on the claims": (mounted_over, in_inbox(".processing"), "Invalid cross-device link"),
    "receipts immutable": (immutable, in_inbox("receipts"), "Operation not permitted"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_daemon_waits_for_its_folders_and_goes_on(running: tuple[World, Daemon], trouble: str) -> None:
    """Status and `inbox explain` tell the truth at once; one line at each end; nothing is lost, nothing twice."""
    world, daemon = running
    breaks, place, words = TROUBLES[trouble]
    stem = trouble.replace(" ", "-")
    begun, ended = (len(daemon.events(f"daemon.storage_{what}")) for what in ("failed", "restored"))
    with breaks(place(world)):
        put(world, stem)
        daemon.wait_for("daemon.storage_failed", begun + 1)
        problem = daemon.wait(lambda: unwritable(world), 5)[0]
        assert words in problem["message"]
        assert problem["hint"]
        (said,) = asked(world, "inbox", "explain", f"{stem}.yaml")
        assert words in str(said["problems"]), said
        assert said["then"] == "is tried again"
        assert world.receipt(stem) is None
    daemon.wait_for("daemon.storage_restored", ended + 1, 6)
    daemon.wait(lambda: world.receipt(stem), 6)
    daemon.wait_until_empty(6)
    assert unwritable(world) == []
    paths = [event["path"] for event in daemon.events("daemon.storage_failed")[begun:]]
    assert len(set(paths)) == len(paths) == len(daemon.events("daemon.storage_restored")) - ended
    assert world.registrations().count(stem) == 1


def test_a_disk_that_the_kernel_made_read_only_is_told_while_nothing_is_dropped(running: tuple[World, Daemon]) -> None:
    """The daemon sleeps and has noticed nothing; `status` sees the mount and says it at once."""
    world, daemon = running
    daemon.wait(lambda: asked(world, "status")["ready"])
    with read_only(world.models):
        (problem,) = unwritable(world)
        assert "Read-only file system" in problem["message"] or "mounted read-only" in problem["message"]
    daemon.wait(lambda: not unwritable(world), 6)


def test_status_files_that_cannot_be_replaced_are_seen_from_outside(running: tuple[World, Daemon]) -> None:
    """With both of them immutable the daemon can tell nobody but the log; `status` says that what it shows is old."""
    world, daemon = running
    registry, inbox = status_paths(world.models / "prediction_registry.json", world.inbox)
    with immutable(registry), immutable(inbox):
        codes = [problem["code"] for problem in asked(world, "status")["problems"]]
        assert codes.count("status.file_unwritten") == 2
    daemon.wait(lambda: "status.file_unwritten" not in str(asked(world, "status")["problems"]), 6)


def test_a_start_without_the_right_to_write_is_tried_again(tmp_path: Path) -> None:
    """Exit 75 with the reason: a daemon that began with a registry that it only reads would never write to it again."""
    must_be_root()
    world = World(tmp_path)
    world.inbox.mkdir()
    with ModelRegistry(world.models / "prediction_registry.json", world.models / "prediction") as registry:
        registry.register_model(metadata("m"), {"v": 1})
    (world.models / ".prediction_registry.daemon.lock").touch(0o600)
    give_to_plain_user(world.inbox)
    give_to_plain_user(world.models)
    world.log_path.touch()
    put(world, "a")
    with mode(world.models):
        daemon = Daemon(world, before=under({}))
        assert daemon.process.wait(30) == 75
    assert str(world.models) in daemon.events("daemon.failed")[0]["problem"]
    assert (world.left(), world.in_hand()) == (["a.pkl", "a.yaml"], [])
