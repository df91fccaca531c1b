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
