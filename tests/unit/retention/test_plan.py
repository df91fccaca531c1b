"""Tests of the retention engine: cases derived by hand, restic's published cases, and properties of any registry."""

from __future__ import annotations

import gc
import json
import math
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model_inbox.base.instants import parse_instant
from model_inbox.config.retention import Breaker, RetentionSection
from model_inbox.retention.groups import breaker_problem
from model_inbox.retention.outcomes import RetentionPlan, ToKeep, ToRetire
from model_inbox.retention.plan import plan
from support.examples import examples
from support.places import GOLDEN, ROOT

PLANS = GOLDEN / "retention"
RESTIC = json.loads((PLANS / "restic_forget.json").read_text(encoding="utf-8"))
CASES = sorted(path for path in PLANS.glob("*.json") if path.name != "restic_forget.json")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def entry(model_id: str, trained_at: object = "2026-11-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    """Return a registry entry with what the engine reads; 100 bytes, EUR/USD, lightgbm unless told otherwise."""
    fields = {
        "model_id": model_id,
        "model_type": "lightgbm",
        "currency_pair": "EUR/USD",
        "trained_at": trained_at,
        "validation_metrics": {},
        "size_bytes": 100,
        "sequence": 1,
        "tags": {},
        "aliases": [],
        "pinned": False,
    }
    return {**fields, **more}


def section(*, zone: str = "UTC", min_keep: int = 1, budget: int | None = None, **keep: Any) -> RetentionSection:
    """Return a section with one policy for all groups."""
    return RetentionSection.model_validate(
        {"timezone": zone, "policies": [{"keep": keep, "min_keep": min_keep, "budget": budget}]}
    )


def kept(result: RetentionPlan) -> list[str]:
    return [model.model_id for model in result.keep]


def retired(result: RetentionPlan) -> list[str]:
    return [model.model_id for model in result.retire]


def reasons(result: RetentionPlan) -> dict[str, tuple[str, ...]]:
    return {model.model_id: model.reasons for model in (*result.keep, *result.retire)}


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


# -- cases derived by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    """A plan is what was worked out by hand: who stays and goes, in order, with every reason."""
    case = json.loads(path.read_text(encoding="utf-8"))
    entries = [{**entry(""), "sequence": number, **given} for number, given in enumerate(case["entries"], start=1)]
    result = plan(
        entries, RetentionSection.model_validate(case["retention"]), now=parse_instant(case["now"]), sequence=77
    )
    assert [[model.model_id, *model.reasons] for model in result.keep] == case["keep"]
    assert [[model.model_id, *model.reasons] for model in result.retire] == case["retire"]
    assert result.bytes_freed == case["bytes_freed"]
    assert [warning.code for warning in result.warnings] == case["warnings"]
    assert (result.breaker.code if result.breaker else None) == case["breaker"]
    assert result.sequence == 77


def test_golden_cases_are_there() -> None:
    """The folder is found, so that the test above is about something."""
    assert len(CASES) >= 20


def test_the_example_of_the_manual_is_true() -> None:
    """Every row of the worked example in docs/reference/retention.md says what the golden case says."""
    manual = (ROOT / "docs" / "reference" / "retention.md").read_text(encoding="utf-8")
    case = json.loads((PLANS / "worked_example.json").read_text(encoding="utf-8"))
    for outcome, models in (("stays", case["keep"]), ("goes", case["retire"])):
        for model_id, *told in models:
            (row,) = [line for line in manual.splitlines() if line.startswith(f"| `{model_id}` | 2026-")]
            assert row.endswith(f"| {outcome} | {', '.join(told)} |")


# -- restic's published cases -------------------------------------------------------------------------------


def restic_entries() -> list[dict[str, Any]]:
    return [
        entry(str(number), time, sequence=number, tags=dict.fromkeys(tags, ""))
        for number, (time, *tags) in enumerate(RESTIC["snapshots"])
    ]


def restic_expectation(case: Mapping[str, Any]) -> Counter[datetime]:
    if "kept" in case:
        times = Counter(parse_instant(time) for time in case["kept"])
        return times - Counter([parse_instant(case["oldest"])] if "oldest" in case else [])
    first = parse_instant(case["down_to"])
    times = Counter(time for time, *_ in map(restic_snapshot, RESTIC["snapshots"]) if time >= first)
    left_out = Counter(parse_instant(time) for time in case.get("except", ()))
    assert left_out <= times
    return times - left_out


def restic_snapshot(row: list[str]) -> tuple[datetime, ...]:
    return (parse_instant(row[0]),)


@pytest.mark.parametrize("case", RESTIC["cases"], ids=lambda case: str(case["case"]))
def test_restic_keeps_the_same(case: dict[str, Any]) -> None:
    """Of restic's own snapshots, each of its policies keeps the same ones, but for its rule about the oldest."""
    rules = RetentionSection.model_validate({"policies": [{"keep": case["keep"], "min_keep": 0}]})
    result = plan(restic_entries(), rules, now=NOW)
    times = Counter(parse_instant(RESTIC["snapshots"][int(model_id)][0]) for model_id in kept(result))
    assert times == restic_expectation(case)


def test_restic_facts_are_complete() -> None:
    """103 snapshots; of 40 cases the first has no rule, and four rest on the rule about the oldest."""
    assert len(RESTIC["snapshots"]) == 103
    assert [case["case"] for case in RESTIC["cases"]] == list(range(1, 40))
    assert [case["case"] for case in RESTIC["cases"] if "oldest" in case] == [16, 17, 35, 39]
    with pytest.raises(ValidationError, match="no rule is set"):
        section()


def registered(days_before: float) -> str:
    return f"{(NOW - timedelta(days=days_before)):%Y-%m-%dT%H:%M:%S}Z"


def test_what_was_registered_lately_is_kept_however_old_it_is() -> None:
    """Counted from the latest registration, in the other direction than `within`: exactly seven days is too long."""
    entries = [
        entry("newest", days_ago(30), registered_at=registered(30), sequence=3),
        entry("backfill", "2020-01-01", registered_at=registered(20), sequence=5),
        entry("before", "2020-01-02", registered_at=registered(26.99), sequence=4),
        entry("long-ago", "2020-01-03", registered_at=registered(27), sequence=2),
        entry("adopted", "2020-01-04", sequence=0),
    ]
    made = plan(entries, section(last=1, min_keep=0, registered_within="7d"), now=NOW)
    assert reasons(made) == {
        "newest": ("last 1/1",),
        "backfill": ("registered_within 7d",),
        "before": ("registered_within 7d",),
        "long-ago": ("last 1: since 2020-01-04T00:00:00Z", f"registered_within 7d: since {registered(20)}"),
        "adopted": (
            f"last 1: since {days_ago(30)[:19]}Z",
            "registered_within 7d: not eligible, the time of its registration is missing",
        ),
    }


def test_a_pause_or_a_clock_that_jumps_ends_no_registered_within() -> None:
    """A year later the same models are kept; a registration dated in the future is kept, and pushes none out."""
    entries = [
        entry("a", "2020-01-01", registered_at=registered(3)),
        entry("b", "2026-11-01", registered_at=registered(1), sequence=2),
        entry("ahead", "2020-01-05", registered_at=registered(-90), sequence=3),
    ]
    rules = section(registered_within="7d", min_keep=0)
    assert retired(plan(entries, rules, now=NOW)) == []
    assert retired(plan(entries[:2], rules, now=NOW + timedelta(days=365))) == []
    assert retired(plan(entries, rules, now=NOW + timedelta(days=91))) == ["a", "b"]


def test_the_budget_leaves_what_was_registered_lately() -> None:
    """It takes what only `within` keeps."""
    entries = [
        entry("old", days_ago(9), registered_at=registered(0)),
        *(entry(f"m{days}", days_ago(days), registered_at=registered(days), sequence=10 - days) for days in (3, 2)),
    ]
    rules = section(within="30d", registered_within="1d", min_keep=1, budget=200)
    assert retired(plan(entries, rules, now=NOW)) == ["m3"]


# -- what holds for any registry ----------------------------------------------------------------------------

HOURS = 24 * 800
START = datetime(2024, 9, 1, tzinfo=UTC)

instants = st.integers(0, HOURS * 4).map(lambda quarters: (START + timedelta(minutes=15 * quarters)).isoformat())
metric = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.5, 0.5, True, "0.5", None, math.nan, math.inf, -math.inf, 10**400, {}, 1]),
)


@st.composite
def registries(draw: st.DrawFn, least: int = 0) -> list[dict[str, Any]]:
    """Entries of up to four groups, some of them protected, dated in the future or unreadable."""
    count = draw(st.integers(least, 24))
    entries = []
    for number in range(count):
        more: dict[str, Any] = {
            "sequence": number,
            "size_bytes": draw(st.integers(0, 500)),
            "currency_pair": draw(st.sampled_from(["EUR/USD", "EUR/USD", "GBP/USD"])),
            "model_type": draw(st.sampled_from(["lightgbm", "lightgbm", "lstm"])),
            "validation_metrics": draw(st.sampled_from([{}, {"m": {"x": draw(metric)}}])),
            "tags": draw(st.sampled_from([{}, {}, {"production": ""}, {"audit": "", "year": "2026"}])),
            "pinned": draw(st.sampled_from([False, False, False, True, "yes"])),
            "aliases": draw(st.sampled_from([[], [], [], ["champion"], "champion"])),
            "registered_at": draw(st.one_of(instants, instants, st.sampled_from([None, "soon", 5, "2099-01-01"]))),
        }
        trained_at = draw(st.one_of(instants, instants, instants, st.sampled_from(["soon", None, "2099-01-01"])))
        entries.append(entry(f"m{number:02d}", trained_at, **more))
    return entries


durations = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 60), st.sampled_from("hdwm"))
buckets = st.one_of(st.just(0), st.integers(-1, 6), durations.map(lambda within: {"within": within}))


@st.composite
def sections(draw: st.DrawFn, *, budget: bool = True) -> RetentionSection:
    keep: dict[str, Any] = {name: draw(buckets) for name in ("hourly", "daily", "weekly", "monthly", "yearly")}
    keep["last"] = draw(st.integers(0, 5))
    keep["within"] = draw(st.one_of(st.none(), durations))
    keep["registered_within"] = draw(st.sampled_from([None, "36h", "3d", "6w"]))
    keep["tags"] = draw(st.sampled_from([[], [["production"]], [["production"], ["audit", "year=2026"]]]))
    if draw(st.booleans()):
        keep["best"] = {"metric": "m.x", "order": draw(st.sampled_from(["max", "min"])), "n": draw(st.integers(1, 3))}
    if not any(keep.values()):
        keep["last"] = 1
    policy: dict[str, Any] = {"keep": keep, "min_keep": draw(st.integers(0, 3))}
    if budget:
        policy["budget"] = draw(st.one_of(st.none(), st.integers(0, 3000)))
    if draw(st.booleans()):
        policy["match"] = {"currency_pair": "EUR/*"}
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]))
    return RetentionSection.model_validate({"timezone": zone, "policies": [policy]})


nows = st.integers(0, HOURS).map(lambda hours: START + timedelta(hours=hours))


@given(registries(), sections(), nows, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_input_order(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime, random: Any
) -> None:
    """The same entries in any order give the same plan, to the last reason."""
    shuffled = random.sample(entries, len(entries))
    ours, theirs = plan(entries, rules, now=now), plan(shuffled, rules, now=now)
    assert (ours.keep, ours.retire, ours.bytes_freed) == (theirs.keep, theirs.retire, theirs.bytes_freed)


@given(registries(), sections(), nows)
def test_kept_and_retired_partition_the_entries(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime
) -> None:
    """Every entry is in the plan exactly once, with at least one reason, and the bytes add up."""
    result = plan(entries, rules, now=now)
    assert sorted([*kept(result), *retired(result)]) == [given["model_id"] for given in entries]
    assert all(model.reasons for model in (*result.keep, *result.retire))
    sizes = {given["model_id"]: given["size_bytes"] for given in entries}
    assert result.bytes_freed == sum(sizes[model_id] for model_id in retired(result))
    assert {(model.model_id, model.bytes) for model in (*result.keep, *result.retire)} == set(sizes.items())


@given(registries(), sections(), nows)
def test_applying_twice_changes_nothing_the_second_time(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime
) -> None:
    """What a plan kept, the next one keeps."""
    stays = set(kept(plan(entries, rules, now=now)))
    again = plan([given for given in entries if given["model_id"] in stays], rules, now=now)
    assert again.retire == ()


@given(registries(), sections(), nows, st.integers(0, 24))
def test_a_run_that_was_cut_short_goes_on_with_the_rest(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime, done: int
) -> None:
    """After the first steps of a plan, in its order, a new plan is what was left of it: no more and no less."""
    steps = retired(plan(entries, rules, now=now))
    left = [given for given in entries if given["model_id"] not in steps[:done]]
    assert retired(plan(left, rules, now=now)) == steps[done:]


@given(registries(), sections(), nows)
def test_protected_is_never_retired(entries: list[dict[str, Any]], rules: RetentionSection, now: datetime) -> None:
    """Pinned, aliased, future-dated and unreadable models stay under any policy."""
    gone = set(retired(plan(entries, rules, now=now)))
    for given_entry in entries:
        trained_at = given_entry["trained_at"]
        if (
            given_entry["pinned"]
            or given_entry["aliases"]
            or trained_at in ("soon", None)
            or parse_instant(trained_at) > now
        ):
            assert given_entry["model_id"] not in gone


@given(registries(), sections(), nows, instants)
def test_adding_a_newer_entry_never_retires_one_of_the_newest(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime, trained_at: str
) -> None:
    """After any arrival, the `min_keep` newest of each group are kept."""
    result = plan([*entries, entry("new", trained_at, sequence=99)], rules, now=now)
    (policy,) = rules.policies
    groups: dict[Any, list[Any]] = {}
    for given_entry in [*entries, entry("new", trained_at, sequence=99)]:
        if given_entry["trained_at"] not in ("soon", None):
            key = (parse_instant(given_entry["trained_at"]), given_entry["sequence"], given_entry["model_id"])
            groups.setdefault((given_entry["currency_pair"], given_entry["model_type"]), []).append(key)
    for members in groups.values():
        newest = sorted(members, reverse=True)[: policy.min_keep]
        assert {model_id for *_, model_id in newest} <= set(kept(result))


@given(registries(), nows, st.tuples(*[st.integers(0, 40)] * 4), st.tuples(*[st.integers(0, 40)] * 4))
def test_a_longer_within_never_keeps_less(
    entries: list[dict[str, Any]], now: datetime, short: tuple[int, ...], more: tuple[int, ...]
) -> None:
    """Where a duration is at least as long in every unit, everything the shorter one kept is still kept."""

    def within(numbers: Iterable[int]) -> RetentionPlan:
        text = "".join(f"{number}{unit}" for number, unit in zip(numbers, "mwdh", strict=True))
        rules = section(zone="Europe/Berlin", within=text, daily={"within": text}, last=1, min_keep=0)
        return plan(entries, rules, now=now)

    longer = within(a + b for a, b in zip(short, more, strict=True))
    assert set(kept(within(short))) <= set(kept(longer))


@given(registries(), sections(budget=False), nows, st.integers(0, 3000))
def test_a_budget_takes_only_what_windows_and_buckets_hold(
    entries: list[dict[str, Any]], rules: RetentionSection, now: datetime, budget: int
) -> None:
    """A budget retires nothing that another rule holds, and either fits or says that it does not."""
    (policy,) = rules.policies
    limited = rules.model_copy(update={"policies": (policy.model_copy(update={"budget": budget}),)})
    without, result = plan(entries, rules, now=now), plan(entries, limited, now=now)
    before = reasons(without)
    soft = ("within ", "hourly ", "daily ", "weekly ", "monthly ", "yearly ")
    for model in result.retire:
        if model.model_id in kept(without):
            assert all(reason.startswith(soft) for reason in before[model.model_id])
            assert model.reasons[0].startswith("budget ")
    over = [warning for warning in result.warnings if warning.code == "retention.budget"]
    sizes: Counter[Any] = Counter()
    for model in result.keep:
        if model.trained_at and model.group and "no policy matches its group" not in model.reasons:
            sizes[model.group] += model.bytes
    assert len(over) == sum(size > budget for size in sizes.values())


# -- a second, slower engine for the rules with buckets -----------------------------------------------------


@given(registries(), nows, st.sampled_from(["UTC", "Europe/Berlin"]), st.integers(1, 4))
def test_buckets_hold_what_a_plain_reading_says(
    entries: list[dict[str, Any]], now: datetime, zone: str, count: int
) -> None:
    """The newest of each of the newest days, weeks and months: read off with strftime, group by group."""
    formats = {"daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m", "yearly": "%Y"}
    groups: dict[Any, list[Any]] = {}
    for given_entry in entries:
        if given_entry["trained_at"] not in ("soon", None):
            key = (parse_instant(given_entry["trained_at"]), given_entry["sequence"], given_entry["model_id"])
            groups.setdefault((given_entry["currency_pair"], given_entry["model_type"]), []).append(key)
    for rule, form in formats.items():
        result = reasons(plan(entries, section(zone=zone, min_keep=0, **{rule: count}), now=now))
        expected = {}
        for members in groups.values():
            newest: dict[str, str] = {}
            for instant, _, model_id in sorted(members, reverse=True):
                newest.setdefault(instant.astimezone(ZoneInfo(zone)).strftime(form), model_id)
            for label, model_id in list(newest.items())[:count]:
                expected[model_id] = f"{rule} {label}"
        found = {
            model_id: reason
            for model_id, told in reasons_of_kept(result).items()
            for reason in told
            if reason.startswith(rule)
        }
        assert found == expected


def reasons_of_kept(told: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {model_id: [reason for reason in told[model_id] if ": since" not in reason] for model_id in told}


@given(registries(), sections(), nows)
@settings(max_examples=examples(60))
def test_since_is_when_the_rule_let_go(entries: list[dict[str, Any]], rules: RetentionSection, now: datetime) -> None:
    """Of the models trained by then, the rule holds it no more; without the one that came then, it held it still.

    Checked for each rule alone, by planning again over the models that were there.
    """
    rules = rules.model_copy(
        update={"policies": tuple(policy.model_copy(update={"budget": None}) for policy in rules.policies)}
    )
    readable = [given for given in entries if given["trained_at"] not in ("soon", None)]
    readable = [given for given in readable if parse_instant(given["trained_at"]) <= now]
    for model in plan(readable, rules, now=now).retire:
        mine = next(given for given in readable if given["model_id"] == model.model_id)
        for reason in model.reasons:
            rule, found, since = reason.partition(": since ")
            # That of registered_within is the time of a registration; a test of its own holds it.
            if not found or rule.startswith("registered_within"):
                continue
            then = parse_instant(since)
            by_then = [given for given in readable if parse_instant(given["trained_at"]) <= then]
            assert holding(plan(by_then, rules, now=now), model.model_id, rule) == []
            earlier = [given for given in readable if parse_instant(given["trained_at"]) < then]
            if mine in earlier:
                assert holding(plan(earlier, rules, now=now), model.model_id, rule) != []


def holding(result: RetentionPlan, model_id: str, rule: str) -> list[str]:
    word = rule.split(maxsplit=1)[0]
    return [
        reason
        for model in result.keep
        if model.model_id == model_id
        for reason in model.reasons
        if reason.split()[0] == word
    ]


# -- entries ------------------------------------------------------------------------------------------------


def test_a_single_model_stays_unless_told_that_none_need_stay() -> None:
    """`min_keep` is 1 by default; with 0 a policy may empty a group."""
    alone = [entry("a")]
    assert kept(plan(alone, section(tags=[["x"]]), now=NOW)) == ["a"]
    assert retired(plan(alone, section(tags=[["x"]], min_keep=0), now=NOW)) == ["a"]


def test_the_start_of_a_window_is_outside() -> None:
    """`within` is strict: one microsecond decides."""
    entries = [
        entry("new", "2026-11-22T00:00:00Z"),
        entry("in", "2026-10-23T00:00:00.000001Z"),
        entry("at", "2026-10-23T00:00:00Z"),
    ]
    assert kept(plan(entries, section(within="30d"), now=NOW)) == ["new", "in"]
    assert kept(plan(entries, section(monthly={"within": "30d"}), now=NOW)) == ["new", "in"]


def test_now_decides_the_future_and_nothing_else() -> None:
    """A model dated exactly now is not in the future; how long ago things were does not matter."""
    entries = [entry("a", days_ago(0)), entry("b", days_ago(1)), entry("c", days_ago(400))]
    today = plan(entries, section(last=2, within="2d"), now=NOW)
    assert "dated in the future" not in str(today.keep)
    later = plan(entries, section(last=2, within="2d"), now=NOW + timedelta(days=4000))
    assert later == today
    assert "dated in the future" in str(plan(entries, section(last=2), now=NOW - timedelta(seconds=1)).keep)


def test_now_may_stand_in_any_zone() -> None:
    """An instant is an instant; a `now` without a zone is a mistake of the caller."""
    entries = [entry("a", days_ago(0)), entry("b", days_ago(1))]
    assert plan(entries, section(last=1), now=NOW.astimezone(ZoneInfo("Asia/Tokyo"))) == plan(
        entries, section(last=1), now=NOW
    )
    with pytest.raises(ValueError, match="no time zone"):
        plan(entries, section(last=1), now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trained_at": None}, "unreadable: trained_at is missing"),
        ({"trained_at": 20261122}, "unreadable: trained_at is '20261122'"),
        ({"trained_at": "2026-02-30T00:00:00Z"}, "unreadable: trained_at is '2026-02-30T00:00:00Z'"),
        ({"trained_at": "0001-01-01T00:00:00+14:00"}, "unreadable: trained_at is '0001-01-01T00:00:00+14:00'"),
        ({"currency_pair": None}, "unreadable: currency_pair is missing"),
        ({"currency_pair": ["EUR"]}, "unreadable: currency_pair is '[\\'EUR\\']'"),
        ({"model_type": 3}, "unreadable: model_type is '3'"),
        ({"size_bytes": -1}, "unreadable: size_bytes is '-1'"),
        ({"size_bytes": True}, "unreadable: size_bytes is 'True'"),
        ({"sequence": "one"}, "unreadable: sequence is 'one'"),
        ({"pinned": "no"}, "unreadable: pinned is 'no'"),
        ({"aliases": "champion"}, "unreadable: aliases is 'champion'"),
        ({"aliases": [1]}, "unreadable: aliases is '[1]'"),
        ({"tags": "production"}, "unreadable: tags is 'production'"),
        ({"tags": {"year": 2026}}, "unreadable: tags is '{\\'year\\': 2026}'"),
        ({"tags": [1]}, "unreadable: tags is '[1]'"),
        ({"validation_metrics": "good"}, "unreadable: validation_metrics is 'good'"),
        ({"trained_at": "\x1b[2J"}, "unreadable: trained_at is '\\x1b[2J'"),
    ],
)
def test_what_cannot_be_read_is_kept_and_said(change: dict[str, Any], reason: str) -> None:
    """An entry with a field of the wrong kind is protected, and the plan says which field; safely for a terminal."""
    result = plan([entry("odd", days_ago(9)) | change, entry("new", days_ago(0))], section(last=1), now=NOW)
    assert reasons(result)["odd"] == (reason,)
    (warning,) = result.warnings
    assert warning.code == "retention.unreadable"
    assert "'odd'" in warning.message
    assert "\x1b" not in json.dumps(result.as_dict())


def test_an_entry_without_an_id_is_kept_and_said() -> None:
    """Whatever stands in the registry is accounted for."""
    result = plan([entry("new", days_ago(0)), {**entry(""), "model_id": None}], section(last=1), now=NOW)
    assert reasons(result)["None"] == ("unreadable: model_id is missing",)


def test_a_pin_that_cannot_be_read_keeps_its_readable_reasons() -> None:
    """One broken field does not hide what the others say."""
    odd = entry("odd", days_ago(9), pinned=True, aliases=["a"], size_bytes="big")
    pinned = entry("pinned", days_ago(8), pinned=True, aliases=None)
    result = plan([odd, pinned, entry("new", days_ago(0))], section(last=1), now=NOW)
    assert reasons(result)["odd"] == ("pinned", "alias 'a'", "unreadable: size_bytes is 'big'")
    assert reasons(result)["pinned"] == ("pinned",)


def test_fields_that_older_entries_lack_have_a_meaning() -> None:
    """No tags, aliases, pin, metrics, sequence or size: nothing of it is there, and that is readable."""
    bare = {"model_id": "old", "model_type": "lightgbm", "currency_pair": "EUR/USD", "trained_at": days_ago(9)}
    nulls = {**entry("nulls", days_ago(8)), **dict.fromkeys(["tags", "aliases", "pinned", "sequence", "size_bytes"])}
    result = plan([bare, nulls, entry("new", days_ago(0))], section(last=1), now=NOW)
    assert retired(result) == ["old", "nulls"]
    assert (result.bytes_freed, result.warnings) == (0, ())


def test_a_missing_size_is_said_where_a_budget_counts_it() -> None:
    """A model without a size counts as nothing, which the operator should know."""
    entries = [entry("new", days_ago(0)), {**entry("old", days_ago(1)), "size_bytes": None}]
    (warning,) = plan(entries, section(within="9d", budget=1000), now=NOW).warnings
    assert warning.code == "retention.size_unknown"
    assert "'old'" in warning.message


def test_first_and_last_days_of_the_calendar_do_not_fail() -> None:
    """The year 1 and the year 9999 are dates; where a zone pushes them over the edge they are unreadable."""
    entries = [entry("first", "0001-01-01T00:00:00Z"), entry("last", "9999-12-31T23:59:59Z"), entry("new", days_ago(0))]
    rules: dict[str, Any] = {"daily": {"within": "9999y"}, "within": "1m", "last": 1}
    utc = plan(entries, section(**rules), now=NOW)
    assert kept(utc) == ["last", "new"]  # nothing is strictly after the beginning but what comes later
    behind = plan(entries, section(zone="America/New_York", **rules), now=NOW)
    assert reasons(behind)["first"] == ("unreadable: trained_at is '0001-01-01T00:00:00Z'",)
    ahead = plan(entries, section(zone="Asia/Tokyo", **rules), now=NOW)
    assert reasons(ahead)["last"] == ("unreadable: trained_at is '9999-12-31T23:59:59Z'",)


def test_long_lists_of_the_unreadable_are_cut() -> None:
    """A warning names ten and counts the rest."""
    entries = [entry(f"m{number:02d}", "soon") for number in range(13)]
    (warning,) = plan(entries, section(last=1), now=NOW).warnings
    assert warning.message.startswith("13 entries")
    assert "'m09'" in warning.message
    assert "'m10'" not in warning.message
    assert warning.message.endswith("and 3 more")


# -- groups and policies ------------------------------------------------------------------------------------


def test_groups_are_ruled_apart() -> None:
    """Each pair and type keeps its own; a hostile pair is only text."""
    entries = [
        entry(f"{pair}-{kind}-{n}", days_ago(n), currency_pair=pair, model_type=kind)
        for pair in ("EUR/USD", "\x1b[31m")
        for kind in ("lightgbm", "lstm")
        for n in range(2)
    ]
    result = plan(entries, section(last=1), now=NOW)
    assert all(model_id.endswith("-1") for model_id in retired(result))
    assert len(result.keep) == len(result.retire) == 4


def test_group_by_may_be_less_more_or_nothing() -> None:
    """Grouping by nothing makes one group of the whole registry; by version, one for each."""
    entries = [
        entry("a", days_ago(1), currency_pair="EUR/USD", version="1"),
        entry("b", days_ago(2), currency_pair="GBP/USD", version="2"),
        entry("c", days_ago(3), currency_pair="GBP/USD", version="2"),
    ]

    def grouped(*keys: str) -> list[str]:
        policies = [{"keep": {"last": 1}}]
        rules = RetentionSection.model_validate({"group_by": keys, "policies": policies})
        return kept(plan(entries, rules, now=NOW))

    assert grouped() == ["a"]
    assert grouped("version") == ["a", "b"]
    assert grouped("version", "model_type", "currency_pair") == ["a", "b"]


def test_without_policies_everything_stays() -> None:
    """No policy matches any group, and the plan says so for each."""
    result = plan([entry("a"), entry("b", pinned=True)], RetentionSection(), now=NOW)
    assert reasons(result) == {
        "a": ("no policy matches its group",),
        "b": ("pinned", "no policy matches its group"),
    }


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("*", True), ("EUR/*", True), ("EUR/US[DX]", True), ("???/USD", True), ("eur/*", False), ("EUR", False)],
)
def test_match_patterns_are_globs_that_mind_case(pattern: str, matches: bool) -> None:
    """`*`, `?` and `[...]` over the whole value, which a slash does not interrupt."""
    rules = RetentionSection.model_validate({"policies": [{"match": {"currency_pair": pattern}, "keep": {"last": 1}}]})
    result = plan([entry("a", days_ago(0)), entry("b", days_ago(1))], rules, now=NOW)
    assert retired(result) == (["b"] if matches else [])


def test_the_mode_is_not_the_engines_business() -> None:
    """A plan can be looked at whatever the mode is."""
    entries = [entry("a", days_ago(0)), entry("b", days_ago(1))]
    for mode in ("off", "dry-run", "enforce"):
        rules = RetentionSection.model_validate({"mode": mode, "policies": [{"keep": {"last": 1}}]})
        assert retired(plan(entries, rules, now=NOW)) == ["b"]


# -- rules --------------------------------------------------------------------------------------------------


def test_last_minus_one_keeps_all() -> None:
    """-1 is all, and the reason says so."""
    result = plan([entry("a", days_ago(0)), entry("b", days_ago(1))], section(last=-1, min_keep=0), now=NOW)
    assert reasons(result) == {"a": ("last 1/all",), "b": ("last 2/all",)}


def test_best_takes_finite_numbers_only_and_says_what_it_found() -> None:
    """bool, NaN, infinities, text, null, a missing path and a mapping are not eligible; an integer is."""
    values = {
        "bool": True,
        "nan": math.nan,
        "inf": math.inf,
        "text": "0.9",
        "null": None,
        "mapping": {"y": 1},
        "huge": 10**400,
        "integer": 1,
        "float": 0.5,
    }
    entries = [
        entry(name, days_ago(number), validation_metrics={"1d": {"x": value}})
        for number, (name, value) in enumerate(values.items(), start=2)
    ]
    entries += [
        entry("missing", days_ago(20), validation_metrics={"1d": {}}),
        entry("flat", days_ago(21), validation_metrics={"1d.x": 5, "1d": 5}),
        entry("new", days_ago(1)),
    ]
    result = plan(entries, section(best={"metric": "1d.x", "order": "max", "n": -1}), now=NOW)
    assert reasons(result) == {
        "new": ("min_keep 1/1",),
        "integer": ("best 1d.x 1 #1",),
        "float": ("best 1d.x 0.5 #2",),
        "bool": ("best 1d.x: not eligible, 'True'",),
        "nan": ("best 1d.x: not eligible, nan",),
        "inf": ("best 1d.x: not eligible, inf",),
        "text": ("best 1d.x: not eligible, '0.9'",),
        "null": ("best 1d.x: not eligible, nothing",),
        "mapping": ("best 1d.x: not eligible, '{\\'y\\': 1}'",),
        "huge": ("best 1d.x: not eligible, too large",),
        "missing": ("best 1d.x: not eligible, missing",),
        "flat": ("best 1d.x: not eligible, missing",),
    }
    (warning,) = result.warnings
    assert warning.code == "retention.metric"
    assert warning.message.startswith("10 of 12 models of the group 'EUR/USD', 'lightgbm'")
    assert "'bool' ('True')" in warning.message


def test_warnings_name_the_registry_when_nothing_is_grouped() -> None:
    """Without group_by there is no group to name."""
    rules = RetentionSection.model_validate(
        {"group_by": [], "policies": [{"keep": {"best": {"metric": "x", "order": "max"}}}]}
    )
    (warning,) = plan([entry("a")], rules, now=NOW).warnings
    assert "of the registry cannot" in warning.message


def test_a_protected_model_takes_its_place() -> None:
    """A pin does not make room for one more: it counts in every rule it would count in anyway."""
    entries = [entry("a", days_ago(0)), entry("b", days_ago(1), pinned=True), entry("c", days_ago(2))]
    result = plan(entries, section(last=2, daily=2), now=NOW)
    assert reasons(result)["b"] == ("pinned", "last 2/2", f"daily {(NOW - timedelta(days=1)).date()}")
    assert retired(result) == ["c"]


# -- the breaker --------------------------------------------------------------------------------------------


GROUP = (("currency_pair", "EUR/USD"), ("owner", "alice"), ("owner_uid", "1001"))


@pytest.mark.parametrize(
    ("gone", "total", "limits", "field"),
    [
        (50, 100, {}, None),
        (51, 1000, {}, "max_deletes"),
        (51, 100, {}, "max_deletes"),
        (6, 11, {}, "max_fraction"),
        (5, 10, {}, None),
        (0, 0, {}, None),
        (1, 1, {"max_fraction": 1}, None),
        (1, 9, {"max_deletes": 0}, "max_deletes"),
        (1, 1000, {"max_fraction": 0}, "max_fraction"),
        (29, 100, {"max_fraction": 0.29}, None),  # 0.29 * 100 is 28.999999999999996 in binary
        (30, 100, {"max_fraction": 0.29}, "max_fraction"),
    ],
)
def test_breaker_stops_what_is_over_a_limit(gone: int, total: int, limits: dict[str, Any], field: str | None) -> None:
    """At a limit is fine, over it is not; the problem names the key and what to run."""
    problem = breaker_problem(gone, total, GROUP, Breaker.model_validate(limits))
    if field is None:
        assert problem is None
    else:
        assert problem is not None
        assert problem.field == f"retention.breaker.{field}"
        assert f"retire {gone} of {total} models of the group 'EUR/USD', 'alice', '1001', and one" in problem.message
        assert "--override-breaker" in problem.hint


def test_breaker_counts_the_models_of_the_group() -> None:
    """Neither those of other groups nor those that cannot be read make room for more."""
    entries = [
        *(entry(f"m{n}", days_ago(n)) for n in range(3)),
        entry("other", currency_pair="GBP/USD"),
        entry("odd", "soon"),
    ]
    rules = RetentionSection.model_validate(
        {
            "breaker": {"max_fraction": 0.4},
            "policies": [{"match": {"currency_pair": "EUR/*"}, "keep": {"last": 1}}],
        }
    )
    result = plan(entries, rules, now=NOW)
    assert len(result.retire) == 2
    assert [dict(group)["currency_pair"] for group, _ in result.breakers] == ["EUR/USD"]


def test_the_breaker_counts_per_group() -> None:
    """75 old models of one producer are over the limit, and stay; the other producer's group goes on."""
    alice, bob = {"name": "alice", "uid": 1001}, {"name": "bob", "uid": 1002}
    flood = [entry(f"a{n:02}", days_ago(100 + n), owner=alice) for n in range(75)]
    mine = [entry(f"b{n:02}", days_ago(n), owner=bob) for n in range(11)]
    rules = section(last=10).model_copy(update={"group_by": ("currency_pair", "owner")})
    result = plan([*flood, *mine], rules, now=NOW)
    assert [dict(group) for group, _ in result.breakers] == [
        {"currency_pair": "EUR/USD", "owner": "alice", "owner_uid": "1001"}
    ]
    assert len(result.retire) == 66
    assert [item.model_id for item in result.allowed()] == ["b10"]
    shown = result.as_dict()["breakers"]
    assert [(one["code"], one["group"]["owner"]) for one in shown] == [("retention.breaker", "alice")]


# -- the owner ----------------------------------------------------------------------------------------------


def owned(model_id: str, days: int, owner: object) -> dict[str, Any]:
    return entry(model_id, days_ago(days), owner=owner)


def test_newer_models_of_another_user_retire_nothing_of_ours() -> None:
    """Eleven newer drops into alice's slot: grouped by owner too, her model stays; grouped by slot alone, it goes."""
    hers = owned("hers", 20, {"name": "alice", "uid": 1001})
    flood = [owned(f"b{n:02}", n, {"name": "bob", "uid": 1002}) for n in range(11)]
    by_slot = section(last=10)
    by_owner = by_slot.model_copy(update={"group_by": ("currency_pair", "model_type", "owner")})
    assert "hers" in retired(plan([hers, *flood], by_slot, now=NOW))
    assert retired(plan([hers, *flood], by_owner, now=NOW)) == ["b10"]


def test_the_number_of_an_owner_decides() -> None:
    """A user who got another name, or whose name was not known, stays in the group, which has the latest name. Entries
    without an owner, of earlier versions and from Python, are a group of their own."""
    rules = section(last=9).model_copy(update={"group_by": ("owner",)})
    entries = [
        {**owned("a", 3, {"name": None, "uid": 7}), "sequence": 1},
        {**owned("b", 2, {"name": "ann", "uid": 7}), "sequence": 2},
        {**owned("c", 1, {"name": "anna", "uid": 7}), "sequence": 3},
        owned("d", 0, None),
        entry("e", days_ago(0)),
        owned("f", 0, ["what"]),
    ]
    groups = {kept.model_id: dict(kept.group) for kept in plan(entries, rules, now=NOW).keep}
    anna, nobody = {"owner": "anna", "owner_uid": "7"}, {"owner": "", "owner_uid": ""}
    assert groups == {**dict.fromkeys("abc", anna), **dict.fromkeys("def", nobody)}


@pytest.mark.parametrize(
    ("pattern", "matches"), [("alice", True), ("al*", True), ("1001", True), ("bob", False), ("?", False), ("*", True)]
)
def test_a_policy_matches_the_owner_by_name_or_number(pattern: str, matches: bool) -> None:
    """A pattern of `owner` is compared with both."""
    policy = {"match": {"owner": pattern}, "keep": {"last": 1}}
    rules = RetentionSection.model_validate({"group_by": ["owner"], "policies": [policy]})
    entries = [owned("new", 0, {"name": "alice", "uid": 1001}), owned("old", 1, {"name": "alice", "uid": 1001})]
    assert retired(plan(entries, rules, now=NOW)) == (["old"] if matches else [])


# -- the plan as a value ------------------------------------------------------------------------------------


def test_a_plan_is_plain_json() -> None:
    """The keys that other programs read, in their shape, and nothing that JSON cannot say."""
    entries = [entry("new", days_ago(0)), entry("old", "2026-11-01T01:00:00+01:00"), entry("odd", "soon")]
    result = plan(entries, section(last=1), now=NOW, sequence=12)
    group = {"currency_pair": "EUR/USD", "model_type": "lightgbm", "variant": ""}
    assert json.loads(json.dumps(result.as_dict())) == {
        "keep": [
            {
                "model_id": "new",
                "reasons": ["last 1/1", "min_keep 1/1"],
                "trained_at": "2026-11-22T12:00:00Z",
                "bytes": 100,
                "group": group,
            },
            {
                "model_id": "odd",
                "reasons": ["unreadable: trained_at is 'soon'"],
                "trained_at": "",
                "bytes": 100,
                "group": group,
            },
        ],
        "retire": [
            {
                "model_id": "old",
                "reasons": ["last 1: since 2026-11-22T12:00:00Z"],
                "trained_at": "2026-11-01T00:00:00Z",
                "bytes": 100,
                "group": group,
            }
        ],
        "bytes_freed": 100,
        "sequence": 12,
        "breaker": None,
        "breakers": [],
        "warnings": [result.warnings[0].as_dict()],
    }


def test_a_plan_over_the_limits_says_so_in_json() -> None:
    """The breaker's problem travels with the plan."""
    entries = [entry("a", days_ago(0)), entry("b", days_ago(1)), entry("c", days_ago(2))]
    shown = plan(entries, section(last=1), now=NOW).as_dict()
    assert shown["breaker"]["code"] == "retention.breaker"
    assert [model["model_id"] for model in shown["retire"]] == ["c", "b"]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    """Planning pauses the collector, and leaves it on or off as it found it, even after an error."""
    rules = RetentionSection()
    try:
        (gc.enable if enabled else gc.disable)()
        plan([], rules, now=NOW)
        assert gc.isenabled() is enabled
        with pytest.raises(AttributeError):
            plan([None], rules, now=NOW)  # type: ignore[list-item]  # a mistake of the caller
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_memory_grows_with_the_entries_and_no_faster() -> None:
    """Four times the entries take four times the memory, within a tenth, and under two kilobytes for each."""
    keep = {"last": 2, "within": "30d", "daily": 7, "weekly": 8, "monthly": 12, "best": {"metric": "x", "order": "max"}}
    peaks = []
    for count in (2_000, 8_000):
        entries = [entry(f"m{n:06d}", days_ago(n / 24), validation_metrics={"x": n / count}) for n in range(count)]
        # It empties the free lists: what other tests left in them would not be counted.
        gc.collect()
        tracemalloc.start()
        try:
            plan(entries, section(**keep), now=NOW)
            peaks.append(tracemalloc.get_traced_memory()[1] / count)
        finally:
            tracemalloc.stop()
    assert max(peaks) < 2048
    assert peaks[1] < 1.1 * peaks[0]


def test_entries_are_not_changed() -> None:
    """The engine looks and does not touch."""
    entries = [entry("a", days_ago(0), tags=["x"]), entry("b", "soon", pinned="maybe")]
    before = json.dumps(entries)
    plan(entries, section(last=1, tags=[["x"]]), now=NOW)
    assert json.dumps(entries) == before


def test_kept_and_retired_can_be_made_by_hand() -> None:
    """Callers that apply plans can make small ones for their own tests."""
    small = RetentionPlan(keep=(ToKeep("a", ("pinned",)),), retire=(ToRetire("b", ("last 1",)),), bytes_freed=0)
    assert small.as_dict()["retire"] == [
        {"model_id": "b", "reasons": ["last 1"], "trained_at": "", "bytes": 0, "group": {}}
    ]


# --- former holders of an alias --------------------------------------------------------------------------------


def promoted(name: str, at: str, *former: str, aliases: tuple[str, ...] = ("champion",), **fields: Any) -> Any:
    """Return an entry that has, or had last, the alias champion after these models."""
    record = {
        "at": None,
        "actor": "",
        "reason": "",
        "line": 9,
        "former": [{"model_id": f, "sequence": 1} for f in former],
    }
    return entry(name, at, sequence=1, aliases=list(aliases), promotions={"champion": record}, **fields)


def test_former_holders_of_an_alias_are_kept() -> None:
    """The last two before the holder; one that had it twice counts once, and another model of an id does not."""
    entries = [promoted("e", days_ago(1), "a", "b", "c", "b", "d")]
    entries += [entry(name, days_ago(days), sequence=1) for name, days in (("a", 9), ("b", 8), ("d", 6))]
    entries += [entry("c", days_ago(7), sequence=2)]
    made = plan(entries, section(holders={"alias": "champion", "last": 2}), now=NOW)
    kept = {one.model_id: one.reasons for one in made.keep}
    assert kept.keys() == {"b", "d", "e"}
    assert (kept["d"], kept["b"]) == (("holders champion 1/2",), ("holders champion 2/2",))
    assert {one.model_id: one.reasons[-1] for one in made.retire} == {
        "a": "holders champion: #4",
        "c": "holders champion: never held it, or long ago",
    }


def test_the_last_holder_of_an_alias_that_was_removed_is_a_former_one() -> None:
    """A rollback gives it back to that model."""
    entries = [
        promoted("b", days_ago(2), "a", aliases=()),
        entry("a", days_ago(3), sequence=1),
        entry("c", days_ago(1)),
    ]
    made = plan(entries, section(last=1, holders={"alias": "champion", "last": -1}), now=NOW)
    assert {one.model_id: one.reasons for one in made.keep if one.model_id != "c"} == {
        "b": ("holders champion 1/all",),
        "a": ("holders champion 2/all",),
    }


def test_former_holders_are_those_of_their_slot() -> None:
    """Also where the groups of retention are larger or smaller than slots."""
    entries = [
        promoted("y", days_ago(1), "x", version="2"),
        entry("x", days_ago(5), sequence=1, version="1"),
        promoted("q", days_ago(1), "p", currency_pair="GBP/EUR", version="1"),
        entry("p", days_ago(5), sequence=1, currency_pair="GBP/EUR", version="1"),
    ]
    keep = section(holders={"alias": "champion", "last": 1}).model_copy(update={"group_by": ("version",)})
    assert plan(entries, keep, now=NOW).retire == ()
