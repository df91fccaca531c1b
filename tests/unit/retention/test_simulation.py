"""What other rules would have done: worked out by hand, and compared with a registry that a daemon looked after."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model_inbox import ModelInboxError, ModelRegistry
from model_inbox.base.instants import canonical_instant
from model_inbox.config.retention import RetentionSection
from model_inbox.registry.entry import EntryFields
from model_inbox.registry.journal import Line, format_time
from model_inbox.registry.past import Past
from model_inbox.retention.apply import apply_retention
from model_inbox.retention.outcomes import is_reason_of_rules, reason_of_rules
from model_inbox.retention.simulation import Simulation, simulate
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, metadata

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def section(*, min_keep: int = 1, breaker: Mapping[str, Any] | None = None, **more: Any) -> RetentionSection:
    """Return a section with one policy for all groups, and a breaker that lets everything go."""
    keep, budget = more.pop("keep", {"last": 1}), more.pop("budget", None)
    policy = {"keep": keep, "min_keep": min_keep, "budget": budget}
    fields = {"breaker": breaker or {"max_fraction": 1, "max_deletes": 1000}, "policies": [policy], **more}
    return RetentionSection.model_validate(fields)


class Told:
    """A past that is told line by line, each at a time in days after BEGIN."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.entries: dict[str, EntryFields] = {}

    def register(self, day: float, model_id: str, *, trained: float | None = None, **more: Any) -> None:
        at = BEGIN + day * DAY
        number = len(self.lines) + 1
        fields: Any = {
            "model_id": model_id,
            "model_type": "lightgbm",
            "currency_pair": "EUR/USD",
            "trained_at": canonical_instant(BEGIN + (day if trained is None else trained) * DAY),
            "registered_at": format_time(at),
            "validation_metrics": {},
            "size_bytes": 100,
            "sequence": number,
            "tags": {},
            "aliases": [],
            "pinned": False,
            **more,
        }
        self.entries[model_id] = fields
        self._add(at, "register", model_id, entry=fields)

    def change(self, day: float, operation: str, model_id: str, *, detail: Any = None, **changes: Any) -> None:
        entry: Any = {**self.entries[model_id], **changes}
        self.entries[model_id] = entry
        self._add(BEGIN + day * DAY, operation, model_id, entry=entry, detail=detail)

    def retire(self, day: float, model_id: str, reason: str, *, actor: str = "retention") -> None:
        removed = self.entries[model_id]
        self._add(BEGIN + day * DAY, "retire", model_id, removed=removed, reason=reason, actor=actor)

    def jump(self, before: float, after: float, seconds: float, *, total: float) -> None:
        """Tell of a jump of the clock, stamped by the clock after it."""
        moments = {"before": format_time(BEGIN + before * DAY), "after": format_time(BEGIN + after * DAY)}
        boot = {"boot_id": "b", "boottime": 1.0}
        detail = {**moments, "seconds": seconds, "total_seconds": total, **boot}
        self._add(BEGIN + after * DAY, "clock", "", detail=detail)

    def _add(self, at: datetime, operation: str, model_id: str, **more: Any) -> None:
        changes_entry = "entry" in more or "removed" in more
        line = Line(len(self.lines) + 1, format_time(at), operation, model_id, changes_entry=changes_entry, **more)
        self.lines.append(line)

    def simulate(self, rules: RetentionSection, days: float = 10.0, **more: Any) -> Simulation:
        past = Past({}, self.lines)
        return simulate(past, rules, begin=BEGIN, end=BEGIN + days * DAY, **more)


def retired(done: Simulation) -> list[tuple[str, str]]:
    """Return the ids and days of what was retired."""
    return [(one.model_id, f"{one.at:%m-%d}") for one in done.retired]


# -- by hand ------------------------------------------------------------------------------------------------


def test_rules_retire_on_the_day_when_they_would_have() -> None:
    """Of three models a day apart, `last: 1` retires the first when the second comes, with the reason of the plan."""
    told = Told()
    for day, name in ((0.5, "a"), (1.5, "b"), (2.5, "c")):
        told.register(day, name)
    done = told.simulate(section(), days=4.0)
    assert retired(done) == [("a", "03-02"), ("b", "03-03")]
    assert done.retired[0].reasons == ("last 1: since 2026-03-02T12:00:00Z",)
    assert [size for _, size in done.bytes] == [0, 100, 100, 100, 100]
    assert [size for _, size in done.real_bytes] == [0, 100, 200, 300, 300]
    assert [at.isoformat()[:10] for at, _ in done.bytes] == [f"2026-03-0{day}" for day in range(1, 6)]
    assert (done.models, len(done.regretted)) == (1, 0)


@pytest.mark.parametrize(
    ("operation", "detail", "text"),
    [
        ("promote", {"alias": "champion"}, "promoted to 'champion' 2026-03-06T00:00:00Z, 3d11h later"),
        ("rollback", {"alias": "champion"}, "'champion' was rolled back to it 2026-03-06T00:00:00Z, 3d11h later"),
        ("alias", {"alias": "live"}, "given the alias 'live' 2026-03-06T00:00:00Z, 3d11h later"),
        ("pin", None, "pinned 2026-03-06T00:00:00Z, 3d11h later"),
        ("restore", None, "restored 2026-03-06T00:00:00Z, 3d11h later"),
        ("record", None, "measured in service 2026-03-06T00:00:00Z, 3d11h later"),
        ("replace_scaler", None, "given another scaler 2026-03-06T00:00:00Z, 3d11h later"),
        ("unpin", None, None),
        ("tag", None, None),
        ("hold", None, None),
        ("unalias", None, None),
    ],
)
def test_what_is_regretted(operation: str, detail: Any, text: str | None) -> None:
    """A model that somebody wanted after the rules would have taken it is regretted, and it is said for what."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.5, "b")
    told.change(5, operation, "a", detail=detail)
    done = told.simulate(section(trash_grace="1d"))
    assert [(one.model_id, one.regret) for one in done.retired] == [("a", text)]
    assert done.as_dict()["regret"] == (text is not None)


def test_a_model_that_loses_an_alias_to_another_is_not_regretted() -> None:
    """A line that moves an alias changes the entry of the holder before, too: only the new holder was wanted."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.5, "b")
    told.change(5, "promote", "b", detail={"alias": "champion", "also": {"a": told.entries["a"]}})
    assert [one.regret for one in told.simulate(section()).retired] == [None]


def test_what_a_person_protected_in_time_stays() -> None:
    """A pin that came before the rules would have taken the model protects it, and ends with the unpin."""
    told = Told()
    told.register(0.5, "a")
    told.change(1.0, "pin", "a", pinned=True)
    told.register(1.5, "b")
    told.change(4.5, "unpin", "a", pinned=False)
    done = told.simulate(section())
    assert retired(done) == [("a", "03-05")]
    assert done.retired[0].at == BEGIN + 4.5 * DAY + timedelta(seconds=1)


def test_real_rules_are_not_copied_and_people_are() -> None:
    """What the rules of that time retired is still there under laxer ones; what a person deleted is not."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.5, "b")
    told.retire(1.6, "a", "last 1: since 2026-03-02T12:00:00Z")
    told.register(2.5, "c")
    told.retire(2.6, "b", "deleted by hand", actor="cli:anna")
    done = told.simulate(section(keep={"last": 5}))
    assert (retired(done), done.models) == ([], 2)
    assert [size for _, size in done.bytes][:5] == [0, 100, 200, 200, 200]
    assert [size for _, size in done.real_bytes][:5] == [0, 100, 100, 100, 100]


def test_the_breaker_stops_a_run_and_not_a_day() -> None:
    """A breaker that lets one model go at a time stops nothing if they come one by one, and stops two at once."""
    told = Told()
    for number in range(6):
        told.register(0.1 + number / 10, f"m{number}")
    careful = section(breaker={"max_deletes": 1, "max_fraction": 1})
    done = told.simulate(careful, days=1.0)
    assert (len(done.retired), done.breakers) == (5, ())
    told.register(2.0, "x")
    told.register(2.0, "y")
    told.register(3.0, "z")
    done = told.simulate(careful, days=5.0)
    assert (len(done.retired), done.models) == (5, 4)
    ((group, at, problem),) = done.breakers
    assert (dict(group)["currency_pair"], at) == ("EUR/USD", BEGIN + 2 * DAY + timedelta(seconds=1))
    assert problem.code == "retention.breaker"
    assert told.simulate(careful, days=5.0, override_breaker=True).models == 1


def test_a_budget_is_looked_at_after_each_registration() -> None:
    """A large model pushes an old one out of the budget, though a small one takes its place on the same day."""
    told = Told()
    told.register(0.5, "old")
    told.register(1.1, "large", size_bytes=400)
    told.register(1.2, "small", size_bytes=10)
    done = told.simulate(section(keep={"last": 1, "daily": 5}, budget=450))
    assert retired(done) == [("old", "03-02"), ("large", "03-02")]
    assert retired(told.simulate(section(keep={"last": 1, "daily": 5}))) == [("large", "03-02")]


def test_former_holders_are_those_of_each_day() -> None:
    """The last holder before the present one stays, until another promotion makes a later one that."""
    told = Told()

    def promote(day: float, model_id: str, former: list[tuple[str, int]]) -> None:
        references = [{"model_id": name, "sequence": number} for name, number in former]
        move = {"at": None, "actor": "", "reason": "", "line": len(told.lines) + 1, "former": references}
        for name, _ in former[-1:]:
            told.entries[name] = {**told.entries[name], "aliases": [], "promotions": {}}  # type: ignore[typeddict-item]
        also = {name: told.entries[name] for name, _ in former[-1:]}
        detail = {"alias": "champion", "also": also}
        told.change(day, "promote", model_id, detail=detail, aliases=["champion"], promotions={"champion": move})

    told.register(0.1, "a")
    promote(0.2, "a", [])
    told.register(0.3, "b")
    promote(0.4, "b", [("a", 1)])
    told.register(1.5, "c")
    promote(3.5, "c", [("a", 1), ("b", 3)])
    rules = section(keep={"last": 1, "holders": {"alias": "champion", "last": 1}})
    assert retired(told.simulate(rules)) == [("a", "03-04")]


def test_a_model_of_the_future_counts_from_its_day_on() -> None:
    """A model that is dated in the future displaces none before that day; then it does, though nothing is committed."""
    told = Told()
    told.register(0.5, "a")
    told.register(0.6, "b", trained=4.25)
    done = told.simulate(section(keep={"within": "1d"}))
    assert retired(done) == [("a", "03-05")]


def test_days_begin_in_the_zone_of_the_rules() -> None:
    """On the day when the clocks go ahead, a calendar rule's day begins at midnight of the zone, which is 23:00 UTC."""
    told = Told()
    told.register(28.0, "before", trained=27.95)
    told.register(28.1, "first", trained=27.97)
    told.register(28.2, "last", trained=28.88)
    rules = section(keep={"daily": 5}, min_keep=0, timezone="Europe/Berlin")
    # 28 March 22:48 UTC is 23:48 in Berlin; 23:17 UTC is the 29th there, as is 21:07 UTC of the 29th.
    assert retired(told.simulate(rules, days=40)) == [("first", "03-29")]


def test_a_clock_that_was_wrong_is_corrected() -> None:
    """What a clock stamped that was 400 days ahead counts as of the real day; for an hour after a jump nothing goes."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.0, "b")
    ahead = 400 * 86_400
    told.jump(1.2, 1.2 + 400, ahead, total=ahead)
    told.register(1.21 + 400, "c", trained=1.21)
    told.jump(1.4 + 400, 1.4, -ahead, total=0)
    done = told.simulate(section(), days=10)
    assert retired(done) == [("a", "03-02"), ("b", "03-02")]
    assert done.retired[1].at == BEGIN + 1.2 * DAY + timedelta(hours=1)


def test_what_is_known_from_a_base_alone_is_there_at_the_beginning() -> None:
    """Where the history begins later than asked, the simulation begins there, with the models of that time."""
    told = Told()
    told.register(0.5, "a")
    told.register(3.5, "b")
    told.register(5.5, "c")
    past = Past({"a": told.entries["a"]}, told.lines[1:], begins=told.lines[1].at, missing=[(7, 8)])
    done = simulate(past, section(), begin=BEGIN - 100 * DAY, end=BEGIN + 10 * DAY)
    assert done.history_begins == done.begin == BEGIN + 3.5 * DAY
    assert retired(done) == [("a", "03-04"), ("b", "03-06")]
    assert done.bytes[0] == (done.begin, 200)
    assert done.as_dict()["missing_lines"] == "7-8"


def test_it_begins_with_what_was_really_there() -> None:
    """Of what happened before the beginning only the outcome counts: also what rules retired by then is gone."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.5, "b")
    told.retire(1.6, "a", "last 1: since 2026-03-02T12:00:00Z")
    told.register(5.5, "c")
    done = simulate(Past({}, told.lines), section(), begin=BEGIN + 3 * DAY, end=BEGIN + 10 * DAY)
    assert (retired(done), done.history_begins) == ([("b", "03-06")], None)


def test_a_restored_model_is_there_again_within_the_grace() -> None:
    """A model that was restored from the trash may be retired a second time; after the grace it was purged."""
    told = Told()
    told.register(0.5, "a")
    told.register(1.5, "b")
    told.change(3.0, "restore", "a")
    done = told.simulate(section(trash_grace="7d"))
    assert retired(done) == [("a", "03-02"), ("a", "03-04")]
    assert done.models_retired == done.retired[1:]
    assert retired(told.simulate(section(trash_grace="1d"))) == [("a", "03-02")]


def test_an_empty_past_has_no_bytes() -> None:
    """Of a registry without a line nothing is told, and nothing fails."""
    done = simulate(Past({}, []), section(), begin=BEGIN, end=BEGIN + 2 * DAY)
    assert (done.retired, done.models, [size for _, size in done.bytes]) == ((), 0, [0, 0, 0])
    with pytest.raises(ValueError, match="no time zone"):
        simulate(Past({}, []), section(), begin=BEGIN.replace(tzinfo=None), end=BEGIN)


@pytest.mark.parametrize(
    "reason", ["", "unused", "last: 5", "best replaced: by hand", "held for 30d (registry.held_keep)", "delete_model"]
)
def test_a_persons_reason_is_none_of_the_rules(reason: str) -> None:
    """What people write when they delete a model, and what `held_keep` says, is not taken for the words of a rule."""
    assert not is_reason_of_rules(reason)


# -- beside a real registry ---------------------------------------------------------------------------------


class Daemon:
    """A real registry, and a daemon that applies the rules a second after registrations and every interval."""

    def __init__(self, folder: Path, rules: RetentionSection) -> None:
        self.clock = Clock(BEGIN)
        self.registry = ModelRegistry(
            folder / "registry.json", folder / "prediction", clock=self.clock, disk=QuickDisk(), actor="cli:anna"
        )
        self.rules = rules
        self.retired: list[tuple[str, int, str]] = []
        self._next = BEGIN + timedelta(seconds=1)

    @property
    def left(self) -> dict[str, int]:
        """The size of each model that is registered."""
        return {model_id: entry["size_bytes"] for model_id, entry in self.registry.registry.items()}

    def do(self, name: str, what: str, number: int, other: int, pair: str) -> None:
        """Take a step of a script; one that the registry refuses changes nothing."""
        if what == "wait":
            self.wait(10 * number)
            return
        models = sorted(self.registry.registry) or ["none"]
        if what == "restore":
            models = [one.model_id for one in self.registry.retired()] or ["none"]
        model = models[number % len(models)]
        with suppress(ModelInboxError):
            match what:
                case "register":
                    trained_at = self.clock.now + timedelta(hours=number)
                    more: dict[str, Any] = {"validation_metrics": {"rmse": float(other)}, "version": str(other % 2)}
                    self.registry.register_model(
                        metadata(name, trained_at=trained_at, currency_pair=pair, **more), {"is": "x" * other * 10}
                    )
                    self._next = min(self._next, self.clock.now + timedelta(seconds=1))
                case "rollback":
                    self.registry.rollback(pair)
                case "unalias":
                    self.registry.remove_alias("champion", model)
                case "tag":
                    self.registry.tag(model, {"production": None if number % 2 else ""})
                case "hold":
                    self.registry.hold(model, reason="bad")
                case "delete":
                    self.registry.delete_model(model)
                case _:
                    getattr(self.registry, what)(model)

    def wait(self, seconds: float) -> None:
        """Let time pass, with the runs that are due."""
        until = self.clock.now + timedelta(seconds=seconds)
        while self._next <= until:
            self.clock.now = self._next
            self._apply()
            self._next += timedelta(seconds=self.rules.interval.seconds)
        self.clock.now = until

    def _apply(self) -> None:
        numbers = {model_id: entry["sequence"] for model_id, entry in self.registry.registry.items()}
        done = apply_retention(self.registry, self.rules, self.clock.now)
        day = f"{self.clock.now:%Y-%m-%d}"
        self.retired += [(model_id, numbers[model_id], day) for model_id in done.retired]
        assert all(is_reason_of_rules(reason_of_rules(one.reasons)) for one in done.plan.retire)


PAIRS = ("EUR/USD", "GBP/USD")
NUMBERS = st.integers(0, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.integers(-100, 30), st.integers(0, 9), st.sampled_from(PAIRS)),
        st.tuples(st.just("wait"), st.integers(0, 20_000), st.just(0), st.just("")),
        st.tuples(
            st.sampled_from(
                ["pin", "unpin", "promote", "rollback", "unalias", "tag", "hold", "unhold", "delete", "restore"]
            ),
            NUMBERS,
            NUMBERS,
            st.sampled_from(PAIRS),
        ),
    ),
    min_size=5,
    max_size=40,
)
KEEPS = st.fixed_dictionaries(
    {},
    optional={
        "last": st.integers(1, 3),
        "within": st.sampled_from(["12h", "2d", "1m"]),
        "registered_within": st.sampled_from(["12h", "2d"]),
        "daily": st.integers(1, 3),
        "weekly": st.just({"within": "2w"}),
        "best": st.just({"metric": "rmse", "order": "min", "n": 2}),
        "tags": st.just([["production"]]),
        "holders": st.just({"alias": "champion", "last": 1}),
    },
).filter(bool)
RULES = st.builds(
    section,
    keep=KEEPS,
    min_keep=st.integers(0, 2),
    budget=st.sampled_from([None, None, 400]),
    breaker=st.fixed_dictionaries({"max_deletes": st.integers(0, 4), "max_fraction": st.sampled_from([0.3, 0.5, 1])}),
    interval=st.sampled_from(["6h", "1d"]),
    group_by=st.sampled_from([["currency_pair"], ["currency_pair", "version"], []]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    trash_grace=st.just("365d"),
)


@given(rules=RULES, steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_rules_that_were_in_force_are_simulated_as_they_were_applied(rules: RetentionSection, steps: Any) -> None:
    """Simulated rules retire what a daemon with the same rules retired from a real registry, on the same days.

    In between models are registered (also such as are dated in the future, or older than all), promoted, held, pinned,
    tagged, deleted and restored by people.
    """
    with tempfile.TemporaryDirectory() as folder, capture_logs():
        daemon = Daemon(Path(folder), rules)
        for number, step in enumerate(steps):
            daemon.wait(10 * number)
            daemon.do(f"m{number}", *step)
        daemon.wait(86_400)
        past, end, left = daemon.registry.past(), daemon.clock.now, daemon.left
        daemon.registry.close()
    done = simulate(past, rules, begin=BEGIN, end=end)
    found = [(one.model_id, one.sequence, f"{one.at:%Y-%m-%d}") for one in done.retired]
    assert sorted(found) == sorted(daemon.retired)
    assert done.models == len(left)
    assert done.bytes[-1] == done.real_bytes[-1] == (end, sum(left.values()))
