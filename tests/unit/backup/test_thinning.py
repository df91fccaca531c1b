"""Which snapshots the rules of retention keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_inbox.backup.folder import Snapshot
from model_inbox.backup.manifest import Manifest, snapshot_name
from model_inbox.backup.thinning import plan_thinning
from model_inbox.config.retention import Keep

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def snapshots(days: int, damaged: int = -1) -> list[Snapshot]:
    """Two snapshots for each day, at noon and an hour later."""
    moments = [START + timedelta(days=day, hours=hour) for day in range(days) for hour in (0, 1)]
    return [
        Snapshot(Path(snapshot_name(at)), None if number == damaged else Manifest(at, None, 1, 0, "r", "p", {}, ()))
        for number, at in enumerate(moments)
    ]


def kept(found: list[Snapshot], **rules: Any) -> list[str]:
    """The days and hours that are kept, newest first."""
    plan = plan_thinning(found, Keep.model_validate(rules), now=START + timedelta(days=100))
    assert sorted([name for name, _ in plan.keep] + [name for name, _ in plan.remove]) == [one.name for one in found]
    return [name[6:11] for name, _ in plan.keep]


def test_the_rules_are_those_of_retention() -> None:
    """The newest of each bucket; a snapshot stays if at least one rule keeps it."""
    found = snapshots(4)
    assert kept(found, last=3) == ["04T13", "04T12", "03T13"]
    assert kept(found, daily=2) == ["04T13", "03T13"]
    assert kept(found, daily=3, last=2) == ["04T13", "04T12", "03T13", "02T13"]
    assert kept(found, monthly=1) == ["04T13"]
    assert kept(found, within="1d") == ["04T13", "04T12"]


def test_reasons_are_told() -> None:
    """For both sides, as the retention plan does."""
    plan = plan_thinning(snapshots(2), Keep.model_validate({"daily": 1}), now=START + timedelta(days=9))
    assert plan.keep == (("20261102T130000.000000Z", ("daily 2026-11-02", "min_keep 1/1")),)
    name, reasons = plan.remove[-1]
    assert name == "20261102T120000.000000Z"
    assert reasons == ("daily 1: since 2026-11-02T13:00:00Z",)


def test_the_newest_stays_whatever_the_clock_says() -> None:
    """Also with a clock that was set back, by which all are of the future."""
    found = snapshots(2)
    plan = plan_thinning(found, Keep.model_validate({"last": 1}), now=START - timedelta(days=9))
    assert found[-1].name in [name for name, _ in plan.keep]


def test_a_damaged_snapshot_takes_no_place() -> None:
    """It is kept, and a sound one as well."""
    found = snapshots(1, damaged=1)
    assert kept(found, last=1) == ["01T12", "01T13"]
