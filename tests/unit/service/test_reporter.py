"""When the daemon publishes its status, and what stands in it: often enough, seldom enough, and never stopped by it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.flocks import Holding
from model_inbox.inbox.watch import Watch
from model_inbox.service.service import Service
from model_inbox.telemetry.health import assess
from model_inbox.telemetry.status_file import Publisher
from support.world import Clock, StandingClock, World, pickled


class Noting(Publisher):
    """Keeps what is published, with the time, instead of writing it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__([])
        self.paths = (Path("/nowhere/status.json"),)
        self.clock = clock
        self.published: list[tuple[float, dict[str, Any]]] = []

    def publish(self, document: Any) -> str:
        self.published.append((self.clock.ahead, dict(document)))
        return ""


class Told:
    """A service with time of its own that has said that it is ready, and what it publishes."""

    def __init__(self, root: Path) -> None:
        self.world = World(root, {"inbox": {"incomplete_timeout": "1h", "orphan_timeout": "2h"}}, clock=StandingClock())
        self.publisher = Noting(self.world.clock)
        self.service: Service = self.world.service(publisher=self.publisher)
        self.service.start()
        self.service.step("start")
        self.service.begin_serving()
        self.publisher.published.clear()

    def pass_time(self, seconds: int) -> None:
        """Let the loop turn once a second."""
        for _ in range(seconds):
            self.world.clock.advance(1)
            self.service.step("timer")
            self.service.report()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [document for _, document in self.publisher.published]


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Iterator[Told]:
    told = Told(tmp_path)
    yield told
    told.service.close()


def test_at_rest_it_is_published_by_the_clock_alone(it: Told) -> None:
    """In ten minutes without any news, about every 30 s: not less often than the folder is looked at."""
    it.pass_time(600)
    times = [at for at, _ in it.publisher.published]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 19 <= len(times) <= 23
    assert max(gaps) <= 30
    assert all(document["at"] <= document["next_at"] for document in it.documents)


def test_news_is_published_within_a_second_but_not_more_often(it: Told) -> None:
    """A thousand things in ten seconds, ten drops among them, are twelve documents at most; the last tells all."""
    for number in range(1000):
        it.world.clock.advance(0.01)
        if number % 100 == 0:
            it.world.put(f"m{number}")
            it.service.step("hint")
        it.service.report()
    it.pass_time(2)
    assert 8 <= len(it.documents) <= 12
    assert it.documents[-1]["drops"]["registered"] == 10
    assert it.documents[-1]["last_registered_at"]


def test_a_status_says_until_when_the_work_may_take(it: Told) -> None:
    """The next status is promised for 30 s later and two scans at their limit: a drop may come at any time."""
    it.world.put("m")
    it.service.step("hint")
    it.pass_time(2)
    assert it.documents
    for document in it.documents:
        assert _seconds(document["next_at"]) - _seconds(document["at"]) == pytest.approx(30 + 2 * 120, abs=0.01)


def test_a_large_drop_is_allowed_for_before_it_is_read(it: Told) -> None:
    """Work that may take longer than was promised is published before it begins: 20 GB at 50 MB/s are 400 s."""
    with it.service.reporter.work("taking 1 drop", 20e9 / 50e6):
        pass
    (before,) = it.documents
    assert before["doing"] == "taking 1 drop"
    assert _seconds(before["next_at"]) - _seconds(before["at"]) == pytest.approx(30 + 2 * 120 + 400, abs=0.01)


def test_small_drops_do_not_publish_each(it: Told) -> None:
    """Work that the last status has allowed for needs no new one: many drops within a second have none."""
    for number in range(20):
        it.world.put(f"m{number}")
        it.world.clock.advance(0.01)
        it.service.step("hint")
    assert it.documents == []


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_what_waits_is_told_the_longest_first_and_bounded(it: Told) -> None:
    """Of many the fifty oldest are named, with owner, reason and end of the wait; all are counted, folders are not."""
    it.world.put("cut", scaler_file="late_scaler.pkl")
    for number in range(70):
        (it.world.inbox / f"alone{number:02}.pkl").write_bytes(pickled([number]))
    (it.world.inbox / "folder").mkdir()
    it.pass_time(2)
    told = it.documents[-1]
    assert (told["waiting"], len(told["waiting_files"])) == (71, 50)
    assert told["oldest"] == told["waiting_files"][0]
    assert told["oldest"]["name"] == "cut.yaml"
    assert told["oldest"]["problems"][0]["code"] == "artifact.missing"
    since = [one["since"] for one in told["waiting_files"]]
    assert since == sorted(since)
    assert "folder" not in [one["name"] for one in told["waiting_files"]]


def test_times_that_a_producer_made_up_are_no_trouble(it: Told) -> None:
    """A file from the year 2500, and one from before 1970, wait like others; neither is told to be from then."""
    for name, at in (("future", 16_725_225_600), ("past", -(10**9))):
        (it.world.inbox / f"{name}.pkl").write_bytes(b"x")
        os.utime(it.world.inbox / f"{name}.pkl", (at, at))
    it.pass_time(2)
    told = it.documents[-1]
    assert told["waiting"] == 2
    assert all("2000" < one["since"][:4] < "2400" and one["since"] <= told["at"] for one in told["waiting_files"])


def test_a_name_that_is_no_text_is_told_escaped(it: Told) -> None:
    """Bytes that are no UTF-8, and control characters, reach nobody raw."""
    for name in (b"a\xff.pkl", b"b\x1b[31m.pkl"):
        (it.world.inbox / os.fsdecode(name)).write_bytes(b"x")
    it.pass_time(2)
    names = {one["name"] for one in it.documents[-1]["waiting_files"]}
    assert names == {"a\\udcff.pkl", "b\\x1b[31m.pkl"}


def test_what_the_line_for_systemd_says(it: Told) -> None:
    """What it does, and counts."""
    line = it.service.reporter.line()
    assert line == "Watching; 0 models, 0 waiting, 0 deferred, 0 registered and 0 rejected since the start"
    it.world.put("m")
    it.world.put("bad", model_typ="x")
    (it.world.inbox / "alone.pkl").write_bytes(b"x")
    it.pass_time(2)
    line = it.service.reporter.line()
    assert line == "Watching; 1 model, 1 waiting, 0 deferred, 1 registered and 1 rejected since the start"


def test_retention_is_told_with_its_breaker(it: Told) -> None:
    """Runs, the next one, and a plan over the limits until a later one is within them."""
    for number in range(3):
        it.world.put(f"m{number}")
    it.pass_time(1)
    policy = {"match": {}, "keep": {"last": 1}, "min_keep": 0}
    it.world.configure(retention={"mode": "enforce", "policies": [policy], "breaker": {"max_deletes": 1}})
    it.service.reload()
    it.service.run_maintenance()
    it.pass_time(2)
    told = it.documents[-1]["retention"]
    assert (told["mode"], told["breaker_tripped"], told["failed"]) == ("enforce", True, False)
    assert told["breaker"]
    assert told["last_run_at"] < it.documents[-1]["at"] < told["next_run_at"]
    breaker = {"max_deletes": 5, "max_fraction": 1.0}
    it.world.configure(retention={"mode": "enforce", "policies": [policy], "breaker": breaker})
    it.service.reload()
    it.service.run_maintenance()
    it.pass_time(2)
    assert it.documents[-1]["retention"]["breaker_tripped"] is False
    assert it.documents[-1]["registry"]["entries"] == 1
    assert it.service.intake.tally.retired == 2


def test_what_was_logged_is_no_part_of_the_status(it: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an inbox that is away and a deaf watch, forgetting what was logged changes nothing."""
    service = it.service

    def none_left(watch: Watch) -> bool:
        watch._discard()
        watch.deaf_because = "none left"
        return False

    monkeypatch.setattr(Watch, "start", none_left)
    it.world.inbox.rename(it.world.root / "before")
    it.world.inbox.mkdir()  # another folder: the watch has to be made again
    (it.world.inbox / "alone.pkl").write_bytes(b"x")
    it.pass_time(2)
    it.world.inbox.rename(it.world.root / "away")
    it.pass_time(8)
    before = service.reporter.document()
    assert before["deaf_because"] == "none left"
    assert "cannot open the inbox" in before["inbox"]["problem"]
    problems = assess(before, Holding(held=True, pid=os.getpid()), it.world.clock.now(), disks=[])
    assert [problem.code for problem in problems] == ["status.inbox_unreachable", "status.deaf"]
    assert service.waiting_log._logged and service.watching._logged and service._logged_problem
    service.waiting_log._logged.clear()
    service.watching._logged = service._logged_problem = ""
    after = service.reporter.document()
    passing = {"disks": None}  # what is left of them changes by itself
    assert {**after, **passing} == {**before, **passing}
