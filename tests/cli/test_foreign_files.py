"""What stands in a folder that others may write is read by every command without a traceback, whatever it is."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox.base.flocks import FileLock
from model_inbox.cli.reload import _answer_to, _report
from model_inbox.errors import ModelInboxError
from model_inbox.inbox.older_copy import told_by_newest_receipts, told_by_status
from model_inbox.inbox.receipts import identities_told
from model_inbox.producer import Answers
from model_inbox.registry.paths import daemon_lock, status_paths
from model_inbox.telemetry.status_file import Publisher, look_at_status, process_started
from support.home import Home
from support.world import World

DROP_ID = "20261124T045318114026Z-0007-bad"
ODD: list[Any] = [
    *(None, True, False, -1, 0, 7, 2**62, -(2**63), 0.5, 1e308, "", "x", "\x1b[31m", "a.yaml", [], {}, [None], [{}]),
    *([[]], ["x"], [1], {"a": None}, {"first": 1}, [{"problems": 1}], [{"stops": 1, "problem": []}], "9" * 40, DROP_ID),
    *("2026-11-24T12:00:00", "2026-11-24T12:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2026-13-01"),
]
ANY = st.recursive(
    st.one_of(st.sampled_from(ODD), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
SLOW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def places_in(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a JSON document."""
    yield prefix
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*prefix, key))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of a document with another value at one place."""
    if not place:
        return value
    document = copy.deepcopy(document)
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return document


def changes(document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return documents of which one or two values are others, and values that are nothing like it."""
    place = st.sampled_from(list(places_in(document)))
    once = st.builds(changed, st.just(document), place, ANY)
    flat = st.sampled_from([(name,) for name in document])
    return st.one_of(once, st.builds(changed, st.builds(changed, st.just(document), flat, ANY), st.just(("pid",)), ANY))


STATUS: dict[str, Any] = {}
RECEIPT: dict[str, Any] = {
    "drop_id": DROP_ID,
    "outcome": "rejected",
    "model_id": "bad",
    "at": "2026-11-24T04:53:18.115Z",
    "stem": "bad",
    "owner": {"name": "alice", "uid": 1001},
    "sidecar_sha256": "0" * 64,
    "digests": {"model": "2" * 64},
    "registry_id": "7d0c3f1e9a5b4c2d8e6f00112233445a",
    "epoch": "1-4be21f60c9d8a735",
    "sequence": 3,
    "problems": [{"code": "sidecar.unknown_key", "message": "no field", "hint": "x", "line": 1, "file": "bad.yaml"}],
}


def calm(home: Home, *args: str) -> None:
    """Call a command, for people and with --json: it ends with an exit code of its own, and never in a traceback."""
    for more in ((), ("--json",)):
        result = home.run(*args, *more)
        error = result.exception
        assert error is None or isinstance(error, SystemExit), (args, more, repr(error), result.output)
        assert "\x1b" not in result.stdout
        if more:
            json.loads(result.stdout)


def whole_status() -> dict[str, Any]:
    """Return a status document of this process that tells of everything that one can tell of."""
    problem = {"code": "sidecar.missing_field", "message": "no version", "hint": "add it"}
    at, later = "2026-11-24T04:53:18.115Z", "2999-11-24T04:53:18.115Z"
    waits = {
        "name": "w.yaml",
        "owner": "alice",
        "since": at,
        "problems": [problem],
        "until": later,
        "stale": False,
        "seen": {"w.yaml": "1:2:3:4"},
    }
    deferred = {"drop_id": DROP_ID, "stem": "bad", "files": ["bad.yaml"], "owner": "bob", "cause": "full", "hint": "h"}
    return {
        "format": "model-inbox-status/1",
        "at": at,
        "next_at": later,
        "serial": 7,
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "version": "0.2.0",
        "state": "running",
        "ready": True,
        "doing": "idle",
        "started_at": at,
        "deaf": True,
        "deaf_because": "gone",
        "waiting": 1,
        "oldest": waits,
        "waiting_files": [waits],
        "deferred": 1,
        "deferred_drops": [{**deferred, "attempts": 3, "retry_at": later}],
        "last_registered_at": at,
        "last_rejected_at": at,
        "storage": [{"stops": ["take", "refuse"], "problem": "full", "hint": "remove something"}],
        "status_files": [{"path": "/x", "problem": "full"}],
        "unmovable": {"count": 2, "first": problem},
        "failing": [{"task": "purge", "cause": "full"}],
        "inbox": {"path": "/x/inbox", "watcher": "inotify", "reachable": False, "problem": "gone"},
        "registry": {
            "entries": 3,
            "sequence": 9,
            "committed": 9,
            "journal_bytes": 100,
            "registry_id": RECEIPT["registry_id"],
            "epoch": RECEIPT["epoch"],
            "problem": "full",
            "history_problem": "cut",
            "checkpoint_failed": True,
            "rotation_failed": True,
            "missing_lines": "3-4",
            "rewritten": [{"path": "/x", "at": at, "problem": "edited", "kept": "/y", "changes": ["a: b"]}],
        },
        "clock": {"problem": "x", "words": "w", "before": at, "after": at, "held_until": later, "behind": True},
        "retention": {
            "mode": "enforce",
            "last_run_at": at,
            "next_run_at": later,
            "breaker_tripped": True,
            "breaker": "50",
            "failed": True,
            "problem": "full",
        },
        "disks": [
            {"folder": "inbox", "path": "/x", "free_bytes": 1, "size_bytes": 9, "free_inodes": 1, "inodes": 100},
        ],
        "config": {
            "path": "/x/config.yaml",
            "loaded_at": at,
            "refused": True,
            "restart_needed": ["inbox.path"],
            "reload": {
                "began": 5.0,
                "at": at,
                "outcome": "refused",
                "problems": [problem],
                "changed": ["a"],
                "restart_needed": ["inbox.path"],
            },
        },
        "metrics": {"problem": "full"},
        "log": {"problem": "full"},
    }


@pytest.fixture(name="served", scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a file that waits, whose daemon's lock is held by this process."""
    folder = tmp_path_factory.mktemp("served")
    with World(folder).running():
        pass
    (folder / "inbox" / "w.yaml").write_text("model_type: x\n")
    before = Path.cwd()
    os.chdir(folder)
    lock = FileLock(daemon_lock(folder / "models" / "prediction_registry.json"), "test")
    lock.acquire(0)
    yield Home(folder)
    lock.release()
    os.chdir(before)
    structlog.reset_defaults()


@SLOW
@given(document=changes(whole_status()), second=st.booleans())
def test_any_status_is_read(served: Home, document: Any, second: bool) -> None:
    """`status`, `inbox` and `reload` read a document in which any value is another one."""
    places = status_paths(served.registry_path, served.folder / "inbox")
    places[second].write_text(json.dumps(document))
    calm(served, "status")
    calm(served, "inbox", "list")
    calm(served, "inbox", "explain", "w.yaml", "bad.yaml")
    told_by_status(look_at_status(places[second]).document)
    answer = _answer_to(places, os.getpid(), 1.0)
    if answer is not None:
        try:
            _report(answer, as_json=False)
        except ModelInboxError as error:
            str(error)


@pytest.mark.parametrize("name", ["at", "last_registered_at", "registry", "pid", "format"])
def test_a_daemon_starts_over_any_status(tmp_path: Path, name: str) -> None:
    """A start takes what it can from the documents that are there, and replaces them."""
    world = World(tmp_path)
    with world.running():
        pass
    places = status_paths(world.models / "prediction_registry.json", world.inbox)
    for value in [*ODD, {"registry_id": "a/b", "epoch": "x-", "committed": 2}, {"registry_id": "r", "epoch": "1-a"}]:
        publisher = Publisher(places)
        for place, told in zip(places, (value, "2026-11-24T12:00:00"), strict=True):
            place.write_text(json.dumps({**whole_status(), name: told}))
        with world.running(publisher=publisher):
            pass
        assert all((look_at_status(place).document or {}).get("pid") == os.getpid() for place in places)


@SLOW
@given(receipt=changes(RECEIPT))
def test_any_receipt_is_read(served: Home, receipt: Any) -> None:
    """`inbox explain`, `drop --wait` and the daemon's start read a receipt in which any value is another one."""
    receipts = served.folder / "inbox" / "receipts"
    for name in ("bad.json", f"bad@{os.getuid()}.json"):
        (receipts / name).write_text(json.dumps(receipt))
    calm(served, "inbox", "explain", "bad.yaml")
    calm(served, "wait", "bad", "--timeout", "1ms")
    answers = Answers(served.folder / "inbox", "bad", b"", os.getuid(), wait=False)
    answers._sha256 = "0" * 64
    answers._wait = 0.0
    answers.result("bad", ()).as_dict()
    identities_told(receipts)
    told_by_newest_receipts(receipts)


@SLOW
@given(reason=changes(RECEIPT))
def test_any_reason_is_read(served: Home, reason: Any) -> None:
    """`rejected` reads a reason.json in which any value is another one."""
    folder = served.folder / "inbox" / "rejected" / DROP_ID
    folder.mkdir(exist_ok=True)
    (folder / "reason.json").write_text(json.dumps(reason))
    calm(served, "rejected", "list")
    calm(served, "rejected", "show", DROP_ID)
    calm(served, "rejected", "show", "bad")


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


SHAPES: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "fifo": os.mkfifo,
    "link": a_link,
    "loop": lambda path: path.symlink_to(path.name),
    "empty": Path.touch,
    "deep": lambda path: path.write_text("[" * 100_000),
    "large": lambda path: path.write_bytes(b"[" + b"1," * (3 << 20) + b"1]"),
    "infinite": lambda path: path.write_text('{"format": "model-inbox-status/1", "waiting": 1e999, "pid": NaN}'),
    "bytes": lambda path: path.write_bytes(b"\xff\x00"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_no_file_of_ours_is_read(tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a FIFO, a link, or a file of any size and depth, in the place of each of them."""
    with World(tmp_path).running():
        pass
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    inbox = tmp_path / "inbox"
    rejected = inbox / "rejected" / DROP_ID
    rejected.mkdir()
    for path in (*status_paths(home.registry_path, inbox), inbox / "receipts" / "bad.json", rejected / "reason.json"):
        path.unlink(missing_ok=True)
        SHAPES[shape](path)
    for command in (
        ["status"],
        ["inbox", "list"],
        ["inbox", "explain", "bad.yaml"],
        ["rejected", "list"],
        ["rejected", "show", DROP_ID],
        ["reload", "--wait", "0.01s"],
        ["rejected", "purge", "--all", "--yes"],
    ):
        calm(home, *command)
    identities_told(inbox / "receipts")
    told_by_newest_receipts(inbox / "receipts")
