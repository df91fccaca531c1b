"""Every way of arrival, with a real daemon: each drop is registered once, complete, and as soon as it is complete."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import ways
from support.world import Daemon, World, digest, must_be_root, pickled, sidecar

ALICE, BOB, PRODUCERS = 61_001, 61_002, 61_000


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Daemon]]:
    """One daemon for the module; each test drops under names of its own."""
    world = World(tmp_path_factory.mktemp("ways"), {"inbox": {"settle_seconds": 0.4, "incomplete_timeout": "3s"}})
    with world.daemon() as daemon:
        yield world, daemon


@pytest.fixture(name="elsewhere", scope="module")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a file system of its own."""
    must_be_root()
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


_numbers = itertools.count()


def new_stem() -> str:
    return f"m{next(_numbers)}"


def deliver(world: World, stem: str, way: ways.Way, elsewhere: Path, parts: dict[str, bytes]) -> dict[str, Path]:
    """Bring files into the inbox in the order given; return the sources."""
    folder = world.root / f"src-{stem}"
    folder.mkdir()
    for name, data in parts.items():
        (folder / name).write_bytes(data)
        way(folder / name, world.inbox / name, elsewhere)
    return {name: folder / name for name in parts}


def outcome(world: World, daemon: Daemon, stem: str, seconds: float = 30) -> dict[str, Any]:
    receipt: dict[str, Any] = daemon.wait(lambda: world.receipt(stem), seconds)
    return receipt


def parts_of(stem: str, order: str, seal: str = "...") -> dict[str, bytes]:
    """Return a drop's files in an order: m model, s scaler, y sidecar."""
    parts = {
        "m": (f"{stem}.pkl", pickled({"model": stem, "weights": b"w" * 200_000})),
        "s": (f"{stem}_scaler.pkl", pickled({"scaler": stem})),
        "y": (f"{stem}.yaml", sidecar(seal, scaler_file=f"{stem}_scaler.pkl")),
    }
    return dict(parts[part] for part in order)


@pytest.mark.parametrize("order", ["msy", "yms"])
@pytest.mark.parametrize("way", ways.EVERYWHERE.values(), ids=ways.EVERYWHERE)
def test_each_way_of_arrival_is_registered(
    running: tuple[World, Daemon], elsewhere: Path, way: ways.Way, order: str
) -> None:
    """Model and scaler with their very bytes, whatever brought them, sidecar first or last; sources keep theirs."""
    world, daemon = running
    stem = new_stem()
    parts = parts_of(stem, order)
    sources = deliver(world, stem, way, elsewhere, parts)
    receipt = outcome(world, daemon, stem)
    assert (receipt["outcome"], receipt["problems"]) == ("registered", [])
    assert receipt["digests"] == {
        "model": digest(parts[f"{stem}.pkl"]),
        "scaler": digest(parts[f"{stem}_scaler.pkl"]),
    }
    for name, source in sources.items():
        if source.exists():  # the answer comes before the drop's own name is gone
            daemon.wait(lambda source=source: source.stat().st_nlink == 1)
            assert source.read_bytes() == parts[name]


# --- Python's writers ------------------------------------------------------------------------------------------------

WRITERS = {
    "pickle.dump": "import pickle; pickle.dump(value, open(target, 'wb'))",
    "pickle protocol 0": "import pickle; pickle.dump(value, open(target, 'wb'), protocol=0)",
    "cloudpickle": "import cloudpickle; cloudpickle.dump(value, open(target, 'wb'))",
    "unbuffered": "import pickle; pickle.dump(value, open(target, 'wb', buffering=0))",
    "pathlib": "import pickle, pathlib; pathlib.Path(target).write_bytes(pickle.dumps(value))",
}


@pytest.mark.parametrize("code", WRITERS.values(), ids=WRITERS)
def test_pythons_writers(running: tuple[World, Daemon], code: str) -> None:
    """A training script that pickles straight into the inbox, and writes its sidecar behind or before."""
    world, daemon = running
    stem = new_stem()
    (world.inbox / f"{stem}.yaml").write_bytes(sidecar())
    script = f"value = {{'a': list(range(5000))}}\ntarget = {str(world.inbox / f'{stem}.pkl')!r}\n{code}"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert outcome(world, daemon, stem)["outcome"] == "registered"


SLOW = """
    import os, sys, mmap
    target, data, go = sys.argv[1], open(sys.argv[2], 'rb').read(), sys.stdin.readline
    half = len(data) // 2
    if sys.argv[3] == 'mapped':
        fd = os.open(target, os.O_RDWR | os.O_CREAT, 0o640)
        os.ftruncate(fd, len(data))
        memory = mmap.mmap(fd, len(data))
        os.close(fd)
        memory[half:] = data[half:]
        print('half', flush=True); go()
        memory[:half] = data[:half]
        memory.close()
    else:
        file = open(target, 'wb')
        file.write(data[:half]); file.flush()
        print('half', flush=True); go()
        file.write(data[half:]); file.close()
"""


def half_written(world: World, stem: str, how: str) -> subprocess.Popen[str]:
    """Start a writer that pauses half-way until it is sent a line."""
    source = world.root / f"{stem}.src"
    source.write_bytes(pickled({"model": stem, "weights": list(range(30_000))}))
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW), str(world.inbox / f"{stem}.pkl"), str(source), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "half\n"
    return writer


@pytest.mark.parametrize("how", ["written", "mapped"])
def test_a_writer_that_pauses_is_waited_for_and_taken_when_it_closes(running: tuple[World, Daemon], how: str) -> None:
    """Far longer than the settle time and the time-out: nothing is taken, nothing refused, and it is said why."""
    world, daemon = running
    stem = new_stem()
    with half_written(world, stem, how) as writer:
        (world.inbox / f"{stem}.yaml").write_bytes(sidecar())
        stale = daemon.wait(lambda: [e for e in daemon.events("drop.stale") if e["stem"] == stem])
        assert "artifact.open_for_writing" in stale[0]["problems"][0]
        assert world.receipt(stem) is None
        writer.communicate("go on\n")
    assert outcome(world, daemon, stem)["outcome"] == "registered"


@pytest.mark.parametrize("how", ["written", "mapped"])
def test_a_writer_that_dies_leaves_a_drop_that_is_rejected(running: tuple[World, Daemon], how: str) -> None:
    """Half a pickle is never registered: it is rejected when its time is over, with what is wrong."""
    world, daemon = running
    stem = new_stem()
    with half_written(world, stem, how) as writer:
        (world.inbox / f"{stem}.yaml").write_bytes(sidecar())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    receipt = outcome(world, daemon, stem)
    assert receipt["outcome"] == "rejected"
    assert receipt["problems"][0]["code"].startswith("artifact.")
    assert stem not in world.answered().registered


def test_several_processes_write_at_once(running: tuple[World, Daemon]) -> None:
    """Eight writers, each with its own drops, interleaved as the scheduler likes: all are registered."""
    world, daemon = running
    stems = [new_stem() for _ in range(24)]
    script = textwrap.dedent("""
        import sys, pickle, pathlib
        inbox, text = pathlib.Path(sys.argv[1]), open(sys.argv[2]).read()
        for stem in sys.argv[3:]:
            with open(inbox / f'{stem}.pkl', 'wb') as file:
                pickle.dump({'m': stem, 'w': [0.5] * 20000}, file)
            (inbox / f'{stem}.yaml').write_text(text)
    """)
    text = world.root / "several.yaml"
    text.write_bytes(sidecar())
    words = [sys.executable, "-c", script, str(world.inbox), str(text)]
    writers = [subprocess.Popen([*words, *stems[number::8]]) for number in range(8)]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert {outcome(world, daemon, stem)["outcome"] for stem in stems} == {"registered"}


# --- users -----------------------------------------------------------------------------------------------------------


def as_user(uid: int, gid: int, groups: list[int]) -> Any:
    def become() -> None:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.umask(0o027)

    return become


@pytest.fixture(name="open_root")
def _open_root() -> Iterator[Path]:
    """A folder that every user can reach, where pytest's own are for root."""
    must_be_root()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_two_users_drop_and_neither_can_touch_the_others(open_root: Path) -> None:
    """Files of two users in one sticky inbox: both registered with their owners, copied and not linked.

    The service's folder: bob can neither rename nor replace what alice put there while it waits.
    """
    world = World(open_root, {"inbox": {"settle_seconds": 0.3}})
    world.inbox.mkdir()
    os.chown(world.inbox, 0, PRODUCERS)
    world.inbox.chmod(0o3770)
    with world.daemon() as daemon:
        for uid, stem in ((ALICE, "alice"), (BOB, "bob")):
            script = f"cat > {stem}.pkl && printf '%s' \"$TEXT\" > {stem}.yaml"
            subprocess.run(
                ["sh", "-c", script],
                input=pickled({"of": stem}),
                cwd=world.inbox,
                env={"PATH": os.environ["PATH"], "TEXT": sidecar().decode()},
                preexec_fn=as_user(uid, PRODUCERS, []),
                check=True,
            )
            receipt = outcome(world, daemon, stem)
            assert (receipt["outcome"], receipt["owner"]) == ("registered", {"name": None, "uid": uid})
        subprocess.run(
            ["sh", "-c", "echo x > hers.pkl"], cwd=world.inbox, preexec_fn=as_user(ALICE, PRODUCERS, []), check=True
        )
        for command in (
            "mv hers.pkl mine.pkl",
            "rm -f hers.pkl",
            "ln hers.pkl mine.pkl",
            "echo y > new && mv new hers.pkl",
        ):
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=world.inbox,
                preexec_fn=as_user(BOB, PRODUCERS, []),
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode != 0, command
        assert (world.inbox / "hers.pkl").read_text() == "x\n"
    stored = (world.models / "prediction" / "alice.pkl").stat()
    assert (stored.st_uid, stored.st_nlink) == (0, 1)


def test_a_file_of_umask_077_waits_with_the_chmod_that_helps(open_root: Path) -> None:
    """A service without root's rights: the drop stays, is told of once, and is taken after the chmod."""
    service = 61_003
    warm = World(open_root / "warm")
    warm.put("m")
    with warm.running():  # what it imports, only root may read here
        assert list(warm.answered().registered) == ["m"]
    world = World(open_root / "world", {"inbox": {"settle_seconds": 0.3}})
    for folder in (world.inbox, world.models):
        folder.mkdir()
        os.chown(folder, service, PRODUCERS)
        folder.chmod(0o3770)
    world.put("m")
    for name in ("m.pkl", "m.yaml"):
        os.chown(world.inbox / name, ALICE, PRODUCERS)
        (world.inbox / name).chmod(0o640)
    (world.inbox / "m.pkl").chmod(0o600)
    with acting_as(service):
        running = world.service()
        running.start()
        world.live_on(running, 30)
    assert world.left() == ["m.pkl", "m.yaml"]
    ((_, decision),) = running.schedule.last.drops
    assert [(problem.code, "chmod g+r" in problem.hint) for problem in decision.problems] == [("drop.unreadable", True)]
    (world.inbox / "m.pkl").chmod(0o640)
    with acting_as(service):
        world.live_on(running, 10)
        running.close()
    assert list(world.answered().registered) == ["m"]
    assert world.left() == []


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """This process without root's rights for a while: no other user can run this interpreter."""
    groups = os.getgroups()
    os.setgroups([PRODUCERS])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def test_a_file_that_an_unreadable_sidecar_names_is_not_refused_meanwhile(open_root: Path) -> None:
    """The whole drop is there, and is registered when the service may read its sidecar at last."""
    service = 61_003
    warm = World(open_root / "warm")
    warm.put("m")
    with warm.running():  # what it imports, only root may read here
        assert list(warm.answered().registered) == ["m"]
    world = World(open_root / "world", {"inbox": {"settle_seconds": 0.3, "orphan_timeout": "60s"}})
    for folder in (world.inbox, world.models):
        folder.mkdir()
        os.chown(folder, service, PRODUCERS)
        folder.chmod(0o3770)
    world.put("m", model_file="weights.pkl")
    (world.inbox / "m.pkl").rename(world.inbox / "weights.pkl")
    for name, mode in (("weights.pkl", 0o640), ("m.yaml", 0o600)):
        os.chown(world.inbox / name, ALICE, PRODUCERS)
        (world.inbox / name).chmod(mode)
    with acting_as(service):
        running = world.service()
        running.start()
        world.live_on(running, 120)
    assert world.left() == ["m.yaml", "weights.pkl"]
    (world.inbox / "m.yaml").chmod(0o640)
    with acting_as(service):
        world.live_on(running, 10)
        running.close()
    assert list(world.answered().registered) == ["m"]


def test_what_is_loaded_is_what_was_dropped(running: tuple[World, Daemon]) -> None:
    """From the first byte to the last, through the registry."""
    world, daemon = running
    stem = new_stem()
    value = {"weights": [0.1 * n for n in range(1000)], "name": "ü"}
    (world.inbox / f"{stem}.pkl").write_bytes(pickle.dumps(value))
    (world.inbox / f"{stem}.yaml").write_bytes(sidecar())
    assert outcome(world, daemon, stem)["outcome"] == "registered"
    with world.registry() as registry:
        assert registry.load_model(registry.registry[stem]) == value
