"""Claims: in, back and away, across file systems, with a producer who swaps files under our hands."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.disk import Disk
from model_inbox.base.machine import Machine
from model_inbox.errors import StorageError
from model_inbox.inbox.claim_names import claimed_at, is_older, original_name
from model_inbox.inbox.claims import Claims, Left, ToJudge
from model_inbox.inbox.drop import Sighting, safe_stem
from model_inbox.inbox.folder import Inbox
from model_inbox.inbox.readiness import Limits
from model_inbox.service.service import Service
from support.world import FailingDisk, World, digest, must_be_root, pickled, sidecar

NOW = datetime(2026, 11, 24, 4, 53, 15, 102455, tzinfo=UTC)
LIMITS = Limits(2, 900, 86_400, 1 << 30)


@pytest.fixture(name="tmp_path")
def _tmp_path(memory_folder: Path) -> Path:
    return memory_folder


@pytest.fixture(name="inbox")
def _inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = Inbox(tmp_path / "inbox", LIMITS, Machine(clock=lambda: NOW))
    inbox.prepare()
    yield inbox
    inbox.close()


def claims_of(inbox: Inbox, disk: Disk | None = None) -> Claims:
    return Claims(inbox, Machine(lambda: NOW, lambda: 0.0, disk or Disk()))


def put(inbox: Inbox, *names: str) -> dict[str, Sighting]:
    """Write files that hold their own names, and return what was sighted of them."""
    for name in names:
        (inbox.path / name).write_text(name)
    found = inbox._list()
    return {name: found[name] for name in names}


# --- drop_ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "safe"),
    [("usd_eur.1-b", "usd_eur.1-b"), ("a/b\n", "a_b_"), ("x" * 70, "x" * 64), ("", "_"), ("\udcff", "_"), ("é", "_")],
)
def test_the_stem_in_a_drop_id_is_safe_in_a_path_and_in_a_line(text: str, safe: str) -> None:
    """At most 64 characters of letters, digits, dots, dashes and underscores."""
    assert safe_stem(text) == safe


def test_a_drop_id_is_time_counter_and_stem(inbox: Inbox) -> None:
    """And sorts by time; two claims in one microsecond differ."""
    claims = claims_of(inbox)
    first = claims.claim("m", put(inbox, "m.yaml"), ToJudge())
    second = claims.claim("n", put(inbox, "n.yaml"), ToJudge())
    assert first is not None
    assert second is not None
    assert (first.drop_id, second.drop_id) == ("20261124T045315102455Z-0001-m", "20261124T045315102455Z-0002-n")
    assert claimed_at(first.drop_id) == NOW
    assert claimed_at("something else") is None
    assert claimed_at("20261124T045315102455Z-0001-") is None


def test_a_drop_id_is_never_given_twice(inbox: Inbox) -> None:
    """Not while a claim, nor a rejected drop, bears it: after a restart the counter begins again."""
    (inbox.processing_dir / "20261124T045315102455Z-0001-m").mkdir()
    (inbox.rejected_dir / "20261124T045315102455Z-0002-m").mkdir()
    claim = claims_of(inbox).claim("m", put(inbox, "m.yaml"), ToJudge())
    assert claim is not None
    assert claim.drop_id.endswith("Z-0003-m")


@pytest.mark.parametrize(("seconds", "older"), [(59, False), (60, False), (61, True)])
def test_how_long_something_is_kept(seconds: int, older: bool) -> None:
    """Longer than the time, by the moment in its id; what bears no id is never old."""
    assert is_older("20261124T045315102455Z-0001-m", NOW + timedelta(seconds=seconds), 60) is older
    assert not is_older("other", NOW + timedelta(days=9999), 60)


# --- in and out ------------------------------------------------------------------------------------------------------


def test_a_claim_takes_the_sidecar_first_and_gives_it_back_last(inbox: Inbox) -> None:
    """So that a claim with a sidecar is a drop, and one without never got far."""
    moved: list[str] = []

    class Watching(Disk):
        def rename(self, source: Path, target: Path) -> None:
            if source.is_file():
                moved.append(f"{source.name} in")
            super().rename(source, target)

        def rename_new(self, source: Path, target: Path) -> None:
            moved.append(f"{source.name} out")
            super().rename_new(source, target)

    claims = claims_of(inbox, Watching())
    claim = claims.claim("m", put(inbox, "m.yaml", "m.pkl", "m_scaler.pkl"), ToJudge())
    assert claim is not None
    assert sorted(os.listdir(claim.folder)) == ["m.pkl", "m.yaml", "m_scaler.pkl"]
    assert claims.put_back(claim) is None
    assert moved == ["m.yaml in", "m.pkl in", "m_scaler.pkl in", "m.pkl out", "m_scaler.pkl out", "m.yaml out"]
    assert not claim.folder.exists()
    assert {(inbox.path / name).read_text() for name in ("m.yaml", "m.pkl")} == {"m.yaml", "m.pkl"}


def names_in(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name not in (".lease-probe", ".in-work"))


def test_the_folder_of_a_released_drop_serves_the_next_claim(inbox: Inbox) -> None:
    """Renamed, not made again; when there is nothing to do it goes."""
    claims = claims_of(inbox)
    first = claims.claim("m", put(inbox, "m.yaml"), ToJudge())
    assert first is not None
    inode = first.folder.stat().st_ino
    claims.release(first)
    second = claims.claim("n", put(inbox, "n.yaml"), ToJudge())
    assert second is not None
    assert (second.folder.stat().st_ino, second.folder.stat().st_mode & 0o777) == (inode, 0o700)
    assert names_in(inbox.processing_dir) == [second.drop_id]
    claims.release(second)
    claims.tidy()
    assert names_in(inbox.processing_dir) == []


def test_a_folder_that_is_not_empty_serves_no_other_drop(inbox: Inbox) -> None:
    """What lies in it would become the next drop's. It stays what it is, and that is said."""
    claims = claims_of(inbox)
    claim = claims.claim("m", put(inbox, "m.yaml"), ToJudge())
    assert claim is not None
    (claim.folder / "other").touch()
    with pytest.raises(StorageError, match="remove"):
        claims.release(claim)
    assert names_in(claim.folder) == ["other"]


def test_folders_kept_by_an_earlier_daemon_are_removed(inbox: Inbox) -> None:
    """By their names. One that holds something is a claim, to be taken up like others."""
    (inbox.processing_dir / ".spare-1").mkdir()
    (inbox.processing_dir / ".spare-2").mkdir()
    (inbox.processing_dir / ".spare-2" / "file").touch()
    claims = claims_of(inbox)
    claims.clean()
    (claim,) = claims.left()
    assert (claim.stage, claims.names_in(claim)) == (Left(), ["file"])
    assert names_in(inbox.processing_dir) == [claim.drop_id]


def test_a_kept_folder_that_is_gone_is_no_trouble(inbox: Inbox) -> None:
    """As when another inbox has been put in the place of ours."""
    claims = claims_of(inbox)
    first = claims.claim("m", put(inbox, "m.yaml"), ToJudge())
    assert first is not None
    claims.release(first)
    (kept,) = (inbox.processing_dir / name for name in names_in(inbox.processing_dir))
    kept.rmdir()
    second = claims.claim("n", put(inbox, "n.yaml"), ToJudge())
    assert second is not None and names_in(second.folder) == ["n.yaml"]


def test_a_drop_that_was_withdrawn_is_no_claim(inbox: Inbox) -> None:
    """The sidecar is gone: nothing is moved and nothing lies about. A file that is gone: the claim lacks it."""
    claims = claims_of(inbox)
    seen = put(inbox, "m.yaml", "m.pkl")
    (inbox.path / "m.yaml").unlink()
    assert claims.claim("m", seen, ToJudge()) is None
    assert (inbox.path / "m.pkl").exists()
    assert claims.left() == []
    seen = put(inbox, "m.yaml", "m.pkl")
    (inbox.path / "m.pkl").unlink()
    claim = claims.claim("m", seen, ToJudge())
    assert claim is not None
    assert list(claim.files) == ["m.yaml"]


@pytest.mark.parametrize("stuck", ["m.yaml", "m.pkl", "m_scaler.pkl"])
def test_a_file_that_cannot_be_moved_leaves_the_drop_whole_in_the_inbox(inbox: Inbox, stuck: str) -> None:
    """Whichever it is, what had been moved is back."""
    disk = FailingDisk(lambda name, *args: errno.EPERM if name == "rename" and args[0].name == stuck else None)
    names = ["m.yaml", "m.pkl", "m_scaler.pkl"]
    seen = put(inbox, *names)
    with pytest.raises(StorageError, match=stuck):
        claims_of(inbox, disk).claim("m", seen, ToJudge())
    assert sorted(seen) == sorted(inbox._list())
    assert all((inbox.path / name).read_text() == name for name in names)


@pytest.mark.parametrize("name", ["reason.json", "dropped.reason.json", "dropped.dropped.reason.json"])
def test_a_file_named_like_our_reasons_is_kept_under_another_name(inbox: Inbox, name: str) -> None:
    """A producer cannot answer itself, and gets its file back under its own name."""
    claims = claims_of(inbox)
    claim = claims.claim("reason", put(inbox, name), ToJudge())
    assert claim is not None
    assert list(claim.files) == [f"dropped.{name}"]
    assert original_name(next(iter(claim.files))) == name
    assert claims.put_back(claim) is None
    assert (inbox.path / name).read_text() == name


def test_only_regular_files_of_the_owner_are_fetched(inbox: Inbox) -> None:
    """A claim that was cut short is completed with what is its owner's, and with nothing else of that name."""
    must_be_root()
    claims = claims_of(inbox)
    seen = put(inbox, "m.yaml", "theirs.pkl", "ours.pkl")
    os.chown(inbox.path / "theirs.pkl", 61_001, -1)
    (inbox.path / "link.pkl").symlink_to("/etc/passwd")
    os.mkfifo(inbox.path / "fifo.pkl")
    claim = claims.claim("m", {"m.yaml": seen["m.yaml"]}, ToJudge())
    assert claim is not None
    claims.fetch(claim, ["theirs.pkl", "link.pkl", "fifo.pkl", "missing.pkl", "ours.pkl"])
    assert list(claim.files) == ["m.yaml", "ours.pkl"]
    assert sorted(inbox._list()) == ["fifo.pkl", "link.pkl", "theirs.pkl"]


# --- across file systems ---------------------------------------------------------------------------------------------


@pytest.fixture(name="mounted")
def _mounted(tmp_path: Path) -> Iterator[World]:
    """Models on a file system of their own."""
    must_be_root()
    world = World(tmp_path)
    world.models.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(world.models)], check=True)
    try:
        yield world
    finally:
        subprocess.run(["umount", "-l", str(world.models)], check=True)


def test_models_on_another_file_system_are_copied(mounted: World) -> None:
    """Neither link nor rename work there: every outcome is the same, and nothing is left."""
    mounted.put("m", {"v": 1}, scaler=[1])
    mounted.put("bad", leave_out=["version"])
    mounted.put("wrong", sha256={"model": "0" * 64})
    with mounted.running() as service:
        mounted.live_on(service, 30)
    answered = mounted.answered()
    assert answered.registered["m"]["sha256"] == digest(pickled({"v": 1}))
    assert sorted(answered.rejected) == ["bad", "wrong"]
    assert (answered.left, answered.in_hand, mounted.staged()) == ([], [], [])
    assert (mounted.models / "prediction" / "m.pkl").stat().st_dev != mounted.inbox.stat().st_dev


@pytest.mark.parametrize("folder", [".processing", "rejected"])
def test_folders_of_ours_on_another_file_system(tmp_path: Path, folder: str) -> None:
    """A mount at one of them: the drop stays, or waits in its claim; none is lost, and the daemon lives."""
    must_be_root()
    world = World(tmp_path)
    (world.inbox / folder).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0750", "none", str(world.inbox / folder)], check=True)
    try:
        with world.running() as service:
            world.put("good")
            world.put("bad", leave_out=["version"])
            world.live_on(service, 10)
            here = {*world.left(), *(n for c in world.in_hand() for n in os.listdir(world.inbox / ".processing" / c))}
        found = {path.name for path in world.inbox.rglob("bad.*")} | here
        assert {"bad.pkl", "bad.yaml"} <= found
    finally:
        subprocess.run(["umount", "-l", str(world.inbox / folder)], check=True)
    with world.running() as service:
        world.live_on(service, 10)
    if folder == "rejected":
        assert world.registrations() == ["good"]
        assert world.answered().rejected == {"bad": ["sidecar.missing_field"]}


# --- swaps -----------------------------------------------------------------------------------------------------------


def swap(service: Service, moment: str, act: Callable[[], None]) -> None:
    """Let the producer act once, just before the step of the claim or the intake named `moment`."""
    intake = service.intake
    owner: Any = next(part for part in (intake._claims, intake.judge, intake) if hasattr(part, moment))
    real = getattr(owner, moment)

    def then(*args: Any, **kwargs: Any) -> Any:
        setattr(owner, moment, real)
        act()
        return real(*args, **kwargs)

    setattr(owner, moment, then)


SECRET = pickled({"secret": "of the service"})


def to_link(path: Path, secret: Path) -> None:
    path.unlink()
    path.symlink_to(secret)


def to_hard_link(path: Path, secret: Path) -> None:
    path.unlink()
    path.hardlink_to(secret)


def to_folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def to_fifo(path: Path, _: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_other_file(path: Path, _: Path) -> None:
    path.rename(path.with_name(".old"))
    path.write_bytes(pickled({"v": "swapped in"}) if path.suffix == ".pkl" else sidecar(version="swapped"))


def to_same_size(path: Path, _: Path) -> None:
    before = path.stat()
    data = path.read_bytes().replace(b"honest", b"mallet")
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


SWAPS = [to_link, to_hard_link, to_folder, to_fifo, to_other_file, to_same_size]


@pytest.mark.parametrize("name", ["m.pkl", "m_scaler.pkl", "m.yaml"])
@pytest.mark.parametrize("to", SWAPS, ids=lambda to: to.__name__)
def test_a_swap_between_look_and_claim_gains_nothing(
    tmp_path: Path, name: str, to: Callable[[Path, Path], None]
) -> None:
    """What was judged is what is registered: the swapped-in thing is judged again, or refused, never taken unseen."""
    world = World(tmp_path)
    secret = world.root / "secret.pkl"
    secret.write_bytes(SECRET)
    before = secret.stat()
    with world.running() as service:
        world.put("m", {"v": "honest"}, scaler=["honest"], description="honest")
        swap(service, "claim", lambda: to(world.inbox / name, secret))
        world.live_on(service)
        world.live_on(service, 40)
        answered = world.answered()
    if "m" in answered.registered:
        # Judged again: then the bytes are those of a regular file that lay in the inbox in the end.
        entry = answered.registered["m"]
        assert entry["integrity"] in ("lease", "quiet")
        with world.registry() as registry:
            model, scaler = registry.load_model_objects(registry.registry["m"])
        assert to in (to_other_file, to_same_size, to_hard_link)
        assert (model, scaler) != ({"v": "honest"}, ["honest"]) or name == "m.yaml"
        stored = world.models / "prediction" / "m.pkl"
        assert stored.stat().st_ino != before.st_ino
    elif to is to_folder and name == "m.yaml":
        assert "m.yaml" in world.left()  # a folder, which stays
    else:
        assert answered.rejected["m"]
    after = secret.stat()
    assert (secret.read_bytes(), after.st_mode, after.st_ino) == (SECRET, before.st_mode, before.st_ino)
    assert world.in_hand() == []
    assert world.staged() == []


@pytest.mark.parametrize("moment", ["begin", "end", "_commit", "release"])
def test_a_producer_that_keeps_its_descriptor_changes_nothing_that_is_stored(tmp_path: Path, moment: str) -> None:
    """Opened for reading before, reopened for writing through /proc at any later step: the stored model stays."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("m", {"v": "honest"})
        os.chown(world.inbox / "m.pkl", 61_001, -1)
        os.chown(world.inbox / "m.yaml", 61_001, -1)
        fd = os.open(world.inbox / "m.pkl", os.O_RDONLY)

        def write() -> None:
            again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
            os.pwrite(again, b"\0" * 8, 0)
            os.close(again)

        swap(service, moment, write)
        world.live_on(service, 40)
        os.close(fd)
    answered = world.answered()
    if "m" in answered.registered:
        stored = world.models / "prediction" / "m.pkl"
        assert answered.registered["m"]["sha256"] == digest(pickled({"v": "honest"})) == digest(stored.read_bytes())
    else:
        assert answered.rejected["m"]


def test_a_sidecar_of_another_user_is_not_taken_for_the_one_that_was_judged(tmp_path: Path) -> None:
    """The same bytes from another hand, put there between look and claim: judged again, as that user's."""
    must_be_root()
    world = World(tmp_path)
    with world.running() as service:
        world.put("m")

        def other() -> None:
            data = (world.inbox / "m.yaml").read_bytes()
            (world.inbox / "m.yaml").unlink()
            (world.inbox / "m.yaml").write_bytes(data)
            os.chown(world.inbox / "m.yaml", 61_002, -1)

        swap(service, "claim", other)
        world.live_on(service, 5)
    assert world.registrations() == []
    assert world.answered().rejected == {"m": ["sidecar.not_owner"]}
    assert world.left() == ["m.pkl"]


@pytest.mark.parametrize("part", ["m.pkl", "m.yaml"])
@pytest.mark.parametrize("when", ["holds it open", "writes and closes"])
def test_a_file_of_ours_that_others_may_write_is_not_written_to_once_it_is_stored(
    tmp_path: Path, part: str, when: str
) -> None:
    """The service's own file of mode 0666: another user, who could only read it when it was staged, reopens it then.

    No name of it is in that user's reach, but /proc/self/fd opens what was open for reading, by the mode of the file.
    """
    must_be_root()
    world = World(tmp_path)
    orders, said = os.pipe(), os.pipe()
    with world.running() as service:
        world.put("m", {"v": "honest"})
        world.inbox.joinpath(part).chmod(0o666)
        before = (world.inbox / part).read_bytes()
        fd = os.open(world.inbox / part, os.O_RDONLY)
        child = os.fork()
        if child == 0:  # obeys: o opens for writing, w writes the first byte, c closes; tells whether it could
            os.setgroups([])
            os.setresuid(61_002, 61_002, 61_002)
            held = -1
            while order := os.read(orders[0], 1):
                try:
                    if order == b"o":
                        held = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
                    elif order == b"w":
                        os.pwrite(held, b"X", 0)
                    elif order == b"c":
                        os.close(held)
                    os.write(said[1], b"y")
                except OSError:
                    os.write(said[1], b"n")
                if order == b"q":
                    os._exit(0)
            os._exit(1)

        def tell(order: bytes) -> bytes:
            os.write(orders[1], order)
            return os.read(said[0], 1)

        opened = []

        def meanwhile() -> None:
            opened.append(tell(b"o"))
            if when == "writes and closes":
                tell(b"w")
                tell(b"c")

        try:
            swap(service, "_judge", meanwhile)
            service.step("hint")
            assert opened == [b"y"], "the test is void: the other user could not open it"
            if when == "holds it open":
                tell(b"w")
                tell(b"c")
            os.close(fd)
            world.live_on(service, 40)
        finally:
            tell(b"q")
            os.waitpid(child, 0)
            for pipe in (*orders, *said):
                os.close(pipe)
    answered = world.answered()
    if "m" in answered.registered:  # as it was judged, and it stays so
        suffix = Path(part).suffix
        stored = (world.models / "prediction" / f"m{suffix}").read_bytes()
        assert stored in (before, b"X" + before[1:])
        if suffix == ".pkl":
            assert digest(stored) == answered.registered["m"]["sha256"]
        else:
            assert stored == before
    else:
        assert answered.rejected["m"]
