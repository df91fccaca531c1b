"""Trouble with the registry's own files while the daemon runs: it goes on, says so, and is well again by itself."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from model_inbox.registry.paths import status_paths
from model_inbox.service.service import Service
from model_inbox.telemetry.status_file import Publisher
from support.world import FailingDisk, World


def publishing(world: World) -> Publisher:
    return Publisher(status_paths(world.models / "prediction_registry.json", world.inbox))


def told(world: World, service: Service) -> dict[str, Any]:
    """Return what the status file tells of the registry."""
    service.reporter.publish()
    document = json.loads((world.models / "prediction_registry.status.json").read_bytes())
    return document["registry"]  # type: ignore[no-any-return]


def test_a_disk_that_fails_for_a_while_defers_drops_and_no_more(tmp_path: Path) -> None:
    """The append and what would undo it fail for four seconds: one error, deferred drops, each registered once."""
    world = World(tmp_path)
    sick = False

    def fails(name: str, *args: Any) -> int | None:
        return errno.EIO if sick and name in ("fsync", "syncfs", "truncate") and name != "create" else None

    disk = FailingDisk(fails)
    with world.running(disk, publisher=publishing(world)) as service, capture_logs() as logs:
        register = service.registry._store.journal.append

        def falls_sick(lines: Any) -> None:
            nonlocal sick
            sick = True
            register(lines)

        service.registry._store.journal.append = falls_sick  # type: ignore[method-assign]
        for stem in ("a", "b"):
            world.put(stem)
        world.live_on(service, 4)
        assert sick
        assert "Input/output error" in str(told(world, service)["problem"])
        sick = False
        world.live_on(service, 70)
        assert told(world, service)["problem"] is None
    events = [line["event"] for line in logs]
    assert events.count("journal.write_failed") == 1
    assert events.count("journal.settled") == 1
    assert "drop.deferred" in events
    assert sorted(line["stem"] for line in logs if line["event"] == "drop.registered") == ["a", "b"]
    assert "drop.duplicate" not in events
    assert sorted(world.registrations()) == ["a", "b"]
    for stem in ("a", "b"):
        receipt = world.receipt(stem)
        assert receipt is not None and receipt["outcome"] == "registered"


def test_an_edit_of_the_json_file_is_undone_kept_and_shown(tmp_path: Path) -> None:
    """Within a rescan the file is right again; the log and the status say what the edit would have changed."""
    world = World(tmp_path)
    path = world.models / "prediction_registry.json"
    with world.running(publisher=publishing(world)) as service, capture_logs() as logs:
        world.put("a")
        world.live_on(service, 8)
        right = path.read_bytes()
        assert told(world, service)["rewritten"] == []
        path.write_bytes(right.replace(b'"pinned": false', b'"pinned": true'))
        edited = path.read_bytes()
        world.live_on(service, 40)
        assert path.read_bytes() == right
        (kept,) = world.models.glob("prediction_registry.json.edited-*")
        assert kept.read_bytes() == edited
        (one,) = told(world, service)["rewritten"]
        assert (one["path"], one["kept"]) == (str(path), str(kept))
        assert one["changes"] == ["'a': pinned is false, not true (`model-inbox pin / unpin`)"]
    assert [line["changes"] for line in logs if line["event"] == "registry.file_rewritten"] == [one["changes"]]


def test_damage_in_an_old_segment_stops_no_daemon_and_is_in_the_status(tmp_path: Path) -> None:
    """With a claim left in hand, too: drops go on, the log says it once, the status as long as it is so."""
    world = World(tmp_path)
    with world.running() as service:
        world.put("a")
        world.live_on(service)
        service.registry.change_segment()
    closed = world.models / "history" / f"{0:020d}.jsonl"
    whole = closed.read_bytes()
    closed.write_bytes(whole[:-40] + b"x" + whole[-39:])
    claim = world.inbox / ".processing" / "20260101T000000000000Z-0001-left"
    claim.mkdir()
    world.put("left")
    for name in ("left.pkl", "left.yaml"):
        (world.inbox / name).rename(claim / name)
    world.put("b")
    with capture_logs() as logs, world.running(publisher=publishing(world)) as service:
        world.live_on(service, 4000)
        assert sorted(service.registry.registry) == ["a", "b"]
        assert closed.name in told(world, service)["history_problem"]
        assert [closed.name in claim.retry.cause for claim in service.intake.deferred if claim.retry] == [True]
        assert [line["event"] for line in logs].count("registry.history_damaged") == 1
        closed.write_bytes(whole)
        world.live_on(service, 4000)
        assert told(world, service)["history_problem"] is None
        assert sorted(service.registry.registry) == ["a", "b", "left"]
