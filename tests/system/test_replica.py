"""`replica pull`: a copy of a registry that is in use, by rsync, from a folder and over a remote shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model_inbox import ModelRegistry, RegistryError, RegistryLocked, StorageError
from model_inbox.base.disk import Disk
from model_inbox.base.flocks import FileLock
from model_inbox.cli import root
from model_inbox.registry.journal import named_rules
from model_inbox.registry.kept_rules import read_rules
from model_inbox.registry.paths import RegistryFiles
from model_inbox.registry.position import Identity
from model_inbox.registry.repair.verify import verify
from model_inbox.registry.segments import JournalFile
from model_inbox.replica.pull import Pulled, pull, read_record
from model_inbox.replica.transport import Transport
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock, metadata, open_registry, plain, register, staged
from support.waiting import wait_until

OTHER = Identity("0123456789abcdef" * 2, "7-0123456789abcdef")


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Iterator[ModelRegistry]:
    with open_registry(tmp_path / "source", disk=QuickDisk()) as registry:
        yield registry


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "replica"


def folder_of(registry: ModelRegistry) -> Path:
    return Path(registry.registry_path).parent


def pull_from(registry: ModelRegistry, folder: Path, **options: Any) -> Pulled:
    options.setdefault("disk", QuickDisk())
    return pull(str(folder_of(registry)), folder, clock=Clock(), **options)


def opened(folder: Path) -> dict[str, Any]:
    """Return the entries of a replica, whose files have the bytes that they say."""
    with open_registry(folder) as replica:
        assert replica.read_only
        return plain(replica)


def files_here(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "prediction").glob("*.pkl")}


def test_a_replica_is_what_its_source_is(source: ModelRegistry, folder: Path) -> None:
    """After each pull, whatever happened in between; only what is new is fetched."""
    register(source, "a", b"model a", b"scaler a")
    assert pull_from(source, folder).new_files == 2
    assert opened(folder) == plain(source)
    source.change_segment()
    register(source, "b", b"model b")
    source.set_alias("champion", "a")
    source.change_segment()
    source.set_alias("champion", "b")
    source.delete_model("a")
    done = pull_from(source, folder)
    assert (done.new_files, done.removed_files, done.record.lacking) == (1, 2, ())
    assert opened(folder) == plain(source)
    assert files_here(folder) == {"b.pkl": b"model b"}
    assert verify(folder / "registry.json", folder / "prediction") == []
    assert sorted(path.name for path in (folder / "prediction").iterdir()) == ["b.labels.json", "b.pkl", "b.yaml"]
    assert done.record.position == str(source.position)
    with open_registry(folder) as replica:
        assert [line.operation for line in replica.history()] == [line.operation for line in source.history()]
    assert pull_from(source, folder).new_files == 0


def test_the_rules_that_lines_name_come_along(
    source: ModelRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the history, and those that were kept after the history was fetched."""
    first = source.decide_by(b"first")
    source.register_staged([replace(staged(source, "a", b"model a"), rules=first)])
    fetch_journal = Transport.fetch_journal

    def changed_meanwhile(transport: Transport, target: Path) -> None:
        second = source.decide_by(b"second")
        source.register_staged([replace(staged(source, "b", b"model b"), rules=second)])
        fetch_journal(transport, target)

    monkeypatch.setattr(Transport, "fetch_journal", changed_meanwhile)
    pull_from(source, folder)
    assert opened(folder) == plain(source)
    files = RegistryFiles(folder / "registry.json")
    with open_registry(folder) as replica:
        kept = [read_rules(files, digest) for digest in sorted(named_rules(replica.history()))]
    assert sorted(map(str, kept)) == ["b'first'", "b'second'"]


def test_an_id_that_is_used_again_gets_its_new_bytes(source: ModelRegistry, folder: Path) -> None:
    """The file of the model before, under the same name, is none of it."""
    register(source, "a", b"old")
    pull_from(source, folder)
    source.delete_model("a")
    register(source, "a", b"new")
    pull_from(source, folder)
    assert files_here(folder) == {"a.pkl": b"new"}


def test_a_replica_is_never_written_to(source: ModelRegistry, folder: Path) -> None:
    """Whoever opens it gets a handle that only reads, and the reason."""
    register(source, "a")
    pull_from(source, folder)
    with open_registry(folder) as replica, pytest.raises(RegistryError, match="is a replica"):
        replica.set_alias("champion", "a")


@pytest.mark.parametrize("command", ["rebuild", "run"])
def test_neither_a_rebuild_nor_a_daemon_changes_a_replica(
    source: ModelRegistry, folder: Path, tmp_path: Path, command: str
) -> None:
    """Both say what it is and what to do, and leave everything as it is; of some aliases it lacks files, too."""
    for name in "ab":
        register(source, name)
    source.set_alias("champion", "a")
    pull_from(source, folder, aliases=["champion"])
    config = tmp_path / "config.yaml"
    config.write_text(
        f"inbox:\n  path: {tmp_path / 'inbox'}\nregistry:\n  path: {folder / 'registry.json'}\n"
        f"  storage_dir: {folder / 'prediction'}\n"
    )
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}
    words = [sys.executable, "-m", "model_inbox", "--config", str(config), command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "is a replica" in done.stderr
    assert "pull again" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))} == before


def test_only_the_holders_of_aliases(source: ModelRegistry, folder: Path) -> None:
    """With `aliases` other models are named, and their files are not fetched; former holders keep theirs."""
    for name in "abc":
        register(source, name, name.encode())
    source.set_alias("champion", "a")
    pull_from(source, folder, aliases=["champion"])
    assert set(files_here(folder)) == {"a.pkl"}
    source.set_alias("champion", "b")
    done = pull_from(source, folder, aliases=["champion"])
    assert set(files_here(folder)) == {"a.pkl", "b.pkl"}
    assert (done.record.aliases, done.record.models) == (("champion",), 3)
    # The labels file of a former holder is that of now, and what nobody fetched is asked for by nobody.
    assert verified(folder) == []
    (folder / "prediction" / "a.pkl").unlink()
    assert verified(folder) == ["registry.file_missing"]


def verified(folder: Path) -> list[str]:
    """Return the codes of what `model-inbox verify` finds in a replica."""
    config = folder.with_name("config.yaml")
    config.write_text(f"registry:\n  path: {folder / 'registry.json'}\n  storage_dir: {folder / 'prediction'}\n")
    words = ["--config", str(config), "verify", "--no-digests", "--json"]
    return [problem["code"] for problem in json.loads(CliRunner().invoke(root, words).stdout)["problems"]]


def test_files_that_are_damaged_or_gone_are_not_put_in_place(source: ModelRegistry, folder: Path) -> None:
    """The rest is pulled, and what lacks is told; once the source has it, it comes."""
    register(source, "a", b"model a")
    register(source, "b", b"model b")
    path = Path(source.registry["b"]["model_path"])
    path.chmod(0o600)
    path.write_bytes(b"other b")
    assert pull_from(source, folder).record.lacking == ("prediction/b.pkl",)
    assert set(files_here(folder)) == {"a.pkl"}
    path.write_bytes(b"model b")
    assert pull_from(source, folder).record.lacking == ()
    assert set(files_here(folder)) == {"a.pkl", "b.pkl"}


def test_a_new_epoch_of_the_source_is_one_of_the_replica(source: ModelRegistry, folder: Path) -> None:
    """After a rebuild of the source, or a backup that was put back there."""
    register(source, "a")
    source.change_segment()
    register(source, "b")
    pull_from(source, folder)
    source.close()
    file = JournalFile(folder_of(source) / "registry.journal.jsonl", QuickDisk(), writable=True)
    file.read_new()
    file.take_over(OTHER, file.format)
    file.close()
    (folder_of(source) / "registry.checkpoint.json").unlink()
    with open_registry(folder_of(source), disk=QuickDisk()) as again:
        register(again, "c")
        pull_from(again, folder)
        assert opened(folder) == plain(again)


class _Stops(Disk):
    """A disk that stops at its n-th step."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or name in ("lstat", "exists", "token", "fstat", "close"):
            return found
        object.__setattr__(self, "left", object.__getattribute__(self, "left") - 1)
        if object.__getattribute__(self, "left") < 0:
            raise KeyboardInterrupt(name)
        return found


def test_whenever_a_pull_stops_the_replica_is_whole(source: ModelRegistry, folder: Path) -> None:
    """After any step on the disk it is what it was or what it becomes, and the next pull goes on."""
    register(source, "a", b"model a")
    source.change_segment()
    register(source, "b", b"model b")
    pull_from(source, folder)
    steps = 0
    while True:
        before = plain(source)
        name = f"m{steps}"
        register(source, name, name.encode())
        if steps % 3 == 0:
            source.change_segment()
        try:
            pull_from(source, folder, disk=_Stops(steps))
        except KeyboardInterrupt:
            assert opened(folder) in (before, plain(source)), steps
            pull_from(source, folder)
            assert opened(folder) == plain(source)
            steps += 2
        else:
            break
    assert steps > 20


def test_one_pull_at_a_time(source: ModelRegistry, folder: Path) -> None:
    """Another one ends at once, and says who is at work."""
    register(source, "a")
    pull_from(source, folder)
    with FileLock(folder / ".replica.lock", "test's") as lock:
        lock.acquire(0)
        with pytest.raises(RegistryLocked):
            pull_from(source, folder)
        lock.close()


def test_a_source_that_is_away_is_told(source: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    """The replica stays what it was, and knows why it is no newer; nothing is made of a folder that is no source."""
    register(source, "a")
    pull_from(source, folder)
    source.close()
    away = tmp_path / "away"
    folder_of(source).rename(away)
    folder_of(source).mkdir()
    with pytest.raises(RegistryError, match="not one journal"):
        pull_from(source, folder)
    assert "not one journal" in read_record(folder).problem
    assert set(opened(folder)) == {"a"}
    with pytest.raises(RegistryError, match="neither a folder"):
        pull("--server", folder, clock=Clock(), disk=QuickDisk())
    with pytest.raises(RegistryError, match="it is a replica of"):
        pull(str(away), folder, clock=Clock(), disk=QuickDisk())
    with pytest.raises(RegistryError, match=r"there is no replica\.json"):
        pull(str(away), tmp_path, clock=Clock(), disk=QuickDisk())


@pytest.fixture(name="shell")
def _shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a remote shell that runs commands here: `localhost` is up, all others are down."""
    shell = tmp_path / "shell"
    is_up = '[ "$1" = localhost ] || { echo "connect to host $1: refused" >&2; exit 255; }'
    shell.write_text(f'#!/bin/sh\n{is_up}\nshift\nexec sh -c "$*"\n')
    shell.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(shell))
    return shell


def test_over_a_remote_shell(source: ModelRegistry, folder: Path, shell: Path) -> None:
    """[USER@]HOST:FOLDER; a host that is down is a reason to try again."""
    register(source, "a", b"model a")
    runner = CliRunner()
    done = runner.invoke(root, ["replica", "pull", f"localhost:{folder_of(source)}", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["models"], told["new_files"], told["position"]) == (1, 1, str(source.position))
    assert told["registry"] == str(folder / "registry.json")
    with pytest.raises(StorageError, match="refused") as caught:
        pull(f"elsewhere:{folder_of(source)}", folder.with_name("other"), clock=Clock(), disk=QuickDisk())
    assert caught.value.exit_status == 75


def test_status_tells_how_old_it_is(source: ModelRegistry, folder: Path) -> None:
    """Exit 1 when that is longer than --max-age, when there is no replica, and when nothing was pulled yet."""
    register(source, "a")
    runner = CliRunner()
    assert runner.invoke(root, ["replica", "status", str(folder)]).exit_code == 1
    assert runner.invoke(root, ["replica", "pull", str(folder_of(source)), str(folder)]).exit_code == 0
    told = json.loads(runner.invoke(root, ["replica", "status", str(folder), "--json"]).stdout)
    assert 0 <= told["age_seconds"] < 60
    assert (told["stale"], told["source"], told["problem"]) == (False, str(folder_of(source)), None)
    assert runner.invoke(root, ["replica", "status", str(folder), "--max-age", "1h"]).exit_code == 0
    assert runner.invoke(root, ["replica", "status", str(folder), "--max-age", "0s"]).exit_code == 1
    assert "last pulled" in runner.invoke(root, ["replica", "status", str(folder)]).stdout


def test_a_replica_is_followed_while_pulls_are_killed(tmp_path: Path, folder: Path) -> None:
    """Two replicas' worth of pulls, some of them killed: the follower serves what the source names, after each pull."""
    with ModelRegistry(tmp_path / "source" / "registry.json", disk=QuickDisk()) as writer:
        register_for_real(writer, 0)
        command = [sys.executable, "-m", "model_inbox", "replica", "pull", str(tmp_path / "source"), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        with ModelRegistry(folder / "registry.json") as replica:
            follower = replica.follow("USD/EUR", max_age=3600)
            assert not follower.is_stale
            for number in range(1, 4):
                register_for_real(writer, number)
                killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                wait_until(lambda killed=killed: started(killed) or killed.poll() is not None)
                killed.kill()
                killed.wait()
                wait_until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0)
                wait_until(lambda number=number: follower.current.model == [number])
            assert follower.problem == ""
            assert not follower.is_stale


def started(process: subprocess.Popen[Any]) -> bool:
    """Return whether the process has begun to change the replica: it holds the lock's file open."""
    try:
        names = os.listdir(f"/proc/{process.pid}/fd")
        return any(os.readlink(f"/proc/{process.pid}/fd/{name}").endswith(".replica.lock") for name in names)
    except OSError:
        return False


def register_for_real(registry: ModelRegistry, number: int) -> None:
    at = START - timedelta(days=9 - number)
    registry.register_model(metadata(f"m{number}", trained_at=at), [number], [number])


def test_the_age_of_a_replica_is_that_of_its_last_pull(source: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    """What is served is as old as the last pull that succeeded; without a pull nobody knows, so it is too old."""
    with ModelRegistry(tmp_path / "real" / "registry.json", disk=QuickDisk()) as writer:
        register_for_real(writer, 0)
        clock = Clock(datetime.now(UTC) - timedelta(hours=2))
        pull(str(tmp_path / "real"), folder, clock=clock, disk=QuickDisk())
        with ModelRegistry(folder / "registry.json") as replica:
            follower = replica.follow("USD/EUR", max_age=3600)
            assert follower.is_stale
            assert 7200 <= follower.age < 7300
            pull(str(tmp_path / "real"), folder, clock=lambda: datetime.now(UTC), disk=QuickDisk())
            wait_until(lambda: not follower.is_stale)
            (folder / "replica.json").write_text("{}")
            wait_until(lambda: follower.is_stale)
