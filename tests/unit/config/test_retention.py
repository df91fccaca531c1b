"""Tests of the `retention:` section: calendar durations, and every mistake found before a model is looked at."""

from __future__ import annotations

import json
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model_inbox.config.retention import CalendarDuration, Keep, RetentionSection, Window, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)


def problems(mapping: Any) -> dict[str, str]:
    """Return what is wrong with the section: dotted place -> message."""
    with pytest.raises(ValidationError) as caught:
        RetentionSection.model_validate(mapping)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def keeping(**keep: Any) -> dict[str, Any]:
    return {"policies": [{"keep": keep}]}


# -- durations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("30d", (0, 0, 0, 30, 0)),
        ("1y2m3d3h", (1, 2, 0, 3, 3)),
        ("1y1d1m", (1, 1, 0, 1, 0)),
        ("2w", (0, 0, 2, 0, 0)),
        ("0d", (0, 0, 0, 0, 0)),
    ],
)
def test_duration_reads_its_units_in_any_order(text: str, numbers: tuple[int, ...]) -> None:
    """`m` is a month, `w` a week, and the order of the units does not matter."""
    duration = CalendarDuration.parse(text)
    assert (duration.years, duration.months, duration.weeks, duration.days, duration.hours) == numbers


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1 d", "30min", "1D", "٣d", "1dd", 30, None, True])
def test_duration_refuses_what_it_cannot_mean(text: object) -> None:
    """No sign, fraction, space, other unit or bare number; the message shows how to write it."""
    with pytest.raises(ValueError, match="30d, 36h or 1y6m"):
        CalendarDuration.parse(text)


def test_duration_refuses_a_unit_twice() -> None:
    """`1d2d` is more likely a slip than three days."""
    with pytest.raises(ValueError, match="has the unit d twice"):
        CalendarDuration.parse("1d2d")


@given(st.tuples(*[st.integers(0, 999)] * 5))
def test_duration_text_reads_back(numbers: tuple[int, ...]) -> None:
    """What a duration prints parses to the same duration, and only nothing at all is false."""
    duration = CalendarDuration(*numbers)
    assert CalendarDuration.parse(str(duration)) == duration
    assert bool(duration) == any(numbers)


@pytest.mark.parametrize(
    ("duration", "when", "expected"),
    [
        ("1m", "2026-03-31T12:00:00", "2026-02-28T12:00:00"),
        ("1m", "2028-03-31T12:00:00", "2028-02-29T12:00:00"),
        ("1y", "2028-02-29T12:00:00", "2027-02-28T12:00:00"),
        ("4y", "2028-02-29T12:00:00", "2024-02-29T12:00:00"),
        ("1m", "2026-01-15T00:00:00", "2025-12-15T00:00:00"),
        ("13m", "2026-01-31T00:00:00", "2024-12-31T00:00:00"),
        ("1m1d", "2026-03-31T00:00:00", "2026-02-27T00:00:00"),  # the month first, clamped, then the day
        ("1w1d", "2026-11-22T00:00:00", "2026-11-14T00:00:00"),
        ("1y2m3d3h", "2016-01-18T12:02:03", "2014-11-15T09:02:03"),
        ("36h", "2026-11-22T00:00:00", "2026-11-20T12:00:00"),
        ("0d", "2026-11-22T00:00:00", "2026-11-22T00:00:00"),
    ],
)
def test_before_follows_the_calendar(duration: str, when: str, expected: str) -> None:
    """A day that the month does not have becomes its last; then days, then hours are taken off."""
    start = CalendarDuration.parse(duration).before(datetime.fromisoformat(when + "Z"), UTC)
    assert start == datetime.fromisoformat(expected + "Z")


@pytest.mark.parametrize("text", ["9999y", "999999999d", "999999999h", "999999999m", "2026y", "2025y300d"])
def test_before_the_beginning_of_the_calendar_is_its_beginning(text: str) -> None:
    """A duration that reaches past the year 1 reaches everything, and does not fail."""
    assert CalendarDuration.parse(text).before(datetime(2026, 1, 18, tzinfo=UTC), UTC) == datetime.min.replace(
        tzinfo=UTC
    )


def test_a_day_has_25_or_23_hours_where_clocks_change() -> None:
    """Days keep the time of day in the zone; hours are hours."""
    autumn = datetime(2026, 10, 25, 12, tzinfo=BERLIN)
    spring = datetime(2026, 3, 29, 12, tzinfo=BERLIN)
    assert autumn.astimezone(UTC) - CalendarDuration.parse("1d").before(autumn, BERLIN) == timedelta(hours=25)
    assert spring.astimezone(UTC) - CalendarDuration.parse("1d").before(spring, BERLIN) == timedelta(hours=23)
    assert autumn.astimezone(UTC) - CalendarDuration.parse("24h").before(autumn, BERLIN) == timedelta(hours=24)


def test_where_clocks_change_at_that_time_of_day_the_earlier_reading_counts() -> None:
    """Back from 02:30 to a 02:30 that comes twice, or never, is the earlier of the two readings."""
    # 25 October 2026: 02:30+02:00 is 00:30Z and 02:30+01:00 is 01:30Z
    assert CalendarDuration.parse("1d").before(datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN), BERLIN) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )
    # 29 March 2026: 02:30 is skipped; read at +02:00 it is 00:30Z, at +01:00 01:30Z
    assert CalendarDuration.parse("1d").before(datetime(2026, 3, 30, 2, 30, tzinfo=BERLIN), BERLIN) == datetime(
        2026, 3, 29, 0, 30, tzinfo=UTC
    )


def test_nothing_before_the_second_of_two_equal_readings_is_itself() -> None:
    """Taking off no days does not move the second 02:30 to the first."""
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert CalendarDuration.parse("0d").before(second, BERLIN) == second
    assert CalendarDuration.parse("1h").before(second, BERLIN) == second - timedelta(hours=1)


numbers = st.integers(0, 60)


@given(
    st.integers(0, 50 * 365 * 24 * 60).map(lambda minutes: datetime(1990, 1, 1, tzinfo=UTC) + minutes * MINUTE),
    st.tuples(numbers, numbers, numbers, numbers, numbers),
    st.tuples(numbers, numbers, numbers, numbers, numbers),
    st.sampled_from([UTC, BERLIN, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")]),
)
def test_longer_never_begins_later(
    when: datetime, short: tuple[int, ...], more: tuple[int, ...], zone: ZoneInfo
) -> None:
    """A duration that is at least as long in every unit reaches at least as far back."""
    longer = CalendarDuration(*(a + b for a, b in zip(short, more, strict=True)))
    assert longer.before(when, zone) <= CalendarDuration(*short).before(when, zone) <= when


def test_seconds_exist_for_fixed_lengths_only() -> None:
    """Weeks, days and hours have a length in seconds; months have none."""
    assert CalendarDuration.parse("1w1d1h").seconds == 8 * 86400 + 3600
    with pytest.raises(ValueError, match="1m has no fixed length"):
        _ = CalendarDuration.parse("1m").seconds


# -- zones --------------------------------------------------------------------------------------------------


def test_utc_needs_no_time_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without any zone files UTC works, and anything else says what is missing."""
    monkeypatch.setattr("model_inbox.config.retention.ZoneInfo", ZoneInfo.no_cache)
    zoneinfo.reset_tzpath(to=[])
    try:
        assert RetentionSection.model_validate({"timezone": "UTC"}).zone is UTC
        with pytest.raises(ValueError, match="tzdata"):
            zone_named("Europe/Nowhere")
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "a\0b", "CET/", "utc "])
def test_a_zone_that_does_not_exist_is_a_problem(name: str) -> None:
    """Unknown names, folders of the database, paths and nonsense are all told the same way."""
    assert "there is no time zone" in problems({"timezone": name})["timezone"]


def test_the_zone_of_a_section_is_the_one_it_names() -> None:
    """A known zone is accepted and handed out."""
    assert RetentionSection.model_validate({"timezone": "Europe/Berlin"}).zone == BERLIN


# -- the section --------------------------------------------------------------------------------------------


def test_defaults_keep_everything() -> None:
    """Without a word about retention nothing is ever retired."""
    section = RetentionSection()
    assert (section.mode, section.policies, section.timezone) == ("off", (), "UTC")
    assert section.group_by == ("currency_pair", "model_type", "variant")
    assert (section.breaker.max_deletes, section.breaker.max_fraction) == (50, 0.5)
    assert (str(section.trash_grace), str(section.interval)) == ("7d", "1h")


def test_the_documented_sample_is_read_in_full() -> None:
    """Every key of the documented section is accepted and comes out as it was meant."""
    section = RetentionSection.model_validate(
        {
            "mode": "enforce",
            "timezone": "UTC",
            "group_by": ["currency_pair", "model_type"],
            "trash_grace": "7d",
            "breaker": {"max_deletes": 50, "max_fraction": 0.5},
            "interval": "1h",
            "policies": [
                {
                    "match": {"currency_pair": "EUR/*", "model_type": "*"},
                    "keep": {
                        "last": 5,
                        "within": "30d",
                        "hourly": 0,
                        "daily": {"within": "30d"},
                        "weekly": 8,
                        "monthly": -1,
                        "yearly": "2",
                        "best": {"metric": "1d.directional_accuracy", "order": "max", "n": 3},
                        "tags": [["production"], ["audit", "year=2026"]],
                    },
                    "min_keep": 2,
                    "budget": "20GiB",
                }
            ],
        }
    )
    (policy,) = section.policies
    assert policy.budget == 20 * 2**30
    assert policy.keep.daily == Window(within=CalendarDuration(days=30))
    assert str(policy.keep.daily) == "within 30d"
    assert policy.keep.yearly == 2
    assert policy.keep.rules() == ("last", "within", "daily", "weekly", "monthly", "yearly", "best", "tags")
    assert policy.keep.tags == (("production",), ("audit", "year=2026"))


def test_a_section_survives_being_written_and_read() -> None:
    """What is dumped as JSON validates to the same section, and the JSON schema can be made."""
    section = RetentionSection.model_validate(
        keeping(last=1, daily={"within": "1y6m"}, best={"metric": "a.b", "order": "min", "n": -1})
    )
    text = json.dumps(section.model_dump(mode="json"))
    assert RetentionSection.model_validate(json.loads(text)) == section
    assert RetentionSection.model_validate(section.model_dump()) == section
    assert Keep(last=1, daily=Window(within=CalendarDuration(days=3))).daily == Window(within=CalendarDuration(days=3))
    schema = json.dumps(RetentionSection.model_json_schema())
    assert "max_deletes" in schema
    assert '"within"' in schema


@pytest.mark.parametrize(("written", "mode"), [(False, "off"), ("off", "off"), ("dry-run", "dry-run")])
def test_a_bare_off_in_yaml_means_off(written: object, mode: str) -> None:
    """YAML 1.1 reads `mode: off` as false, and means off."""
    assert RetentionSection.model_validate({"mode": written}).mode == mode


def test_a_section_cannot_be_changed() -> None:
    """Policies are values: they never change."""
    with pytest.raises(ValidationError):
        RetentionSection().mode = "enforce"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mapping", "place", "message"),
    [
        ({"mode": True}, "mode", "'off', 'dry-run' or 'enforce'"),
        ({"modes": "off"}, "modes", "Extra inputs"),
        ({"timezone": 1}, "timezone", "'1' is not text"),
        ({"group_by": ["horizons"]}, "group_by.0", "'currency_pair', 'model_type', 'variant', 'version' or 'owner'"),
        ({"group_by": ["version", "version"]}, "group_by", "has a field twice"),
        ({"trash_grace": "1m"}, "trash_grace", "no fixed length"),
        ({"interval": "30m"}, "interval", "m is a month"),
        ({"interval": "0h"}, "interval", "must be longer than 0"),
        ({"interval": 60}, "interval", "'60' is not a duration"),
        ({"breaker": {"max_deletes": -1}}, "breaker.max_deletes", "'-1' is not a number of models"),
        ({"breaker": {"max_deletes": True}}, "breaker.max_deletes", "'True' is not a number of models"),
        ({"breaker": {"max_fraction": 1.01}}, "breaker.max_fraction", "from 0 to 1"),
        ({"breaker": {"max_fraction": -0.1}}, "breaker.max_fraction", "from 0 to 1"),
        ({"breaker": {"max_fraction": float("nan")}}, "breaker.max_fraction", "from 0 to 1"),
        ({"breaker": {"max_fraction": True}}, "breaker.max_fraction", "not a fraction"),
        ({"policies": [{}]}, "policies.0.keep", "Field required"),
        ({"policies": [{"keep": {}}]}, "policies.0.keep", "no rule is set"),
        (
            keeping(last=0, hourly=0, daily={"within": "0d"}, best={"metric": "a", "order": "max", "n": 0}, tags=[]),
            "policies.0.keep",
            "no rule is set, or all are zero",
        ),
        (keeping(within="0h"), "policies.0.keep", "no rule is set"),
        (keeping(lasts=1), "policies.0.keep.lasts", "Extra inputs"),
        (keeping(last=-2), "policies.0.keep.last", "the count -2 is below -1"),
        (keeping(last=True), "policies.0.keep.last", "'True' is not a count"),
        (keeping(last=1.5), "policies.0.keep.last", "'1.5' is not a count"),
        (keeping(last="many"), "policies.0.keep.last", "'many' is not a count"),
        (keeping(within=30), "policies.0.keep.within", "'30' is not a duration"),
        (keeping(registered_within="1m"), "policies.0.keep.registered_within", "no fixed length"),
        (keeping(daily="week"), "policies.0.keep.daily", "or {within: 30d}"),
        (keeping(daily={"within": "x"}), "policies.0.keep.daily.within", "'x' is not a duration"),
        (keeping(daily={"within": "1d", "n": 1}), "policies.0.keep.daily.n", "Extra inputs"),
        (keeping(daily={}), "policies.0.keep.daily.within", "Field required"),
        (keeping(best={"metric": "a"}), "policies.0.keep.best.order", "Field required"),
        (keeping(best={"metric": "a", "order": "up"}), "policies.0.keep.best.order", "'max' or 'min'"),
        (keeping(best={"metric": "a", "order": "max", "n": -2}), "policies.0.keep.best.n", "below -1"),
        *[
            (keeping(best={"metric": path, "order": "max"}), "policies.0.keep.best.metric", "is not a path")
            for path in ("a..b", ".a", "a.", "a. b", "a\n.b", ".")
        ],
        (keeping(best={"metric": 1, "order": "max"}), "policies.0.keep.best.metric", "'1' is not text"),
        (keeping(best={"metric": "", "order": "max"}), "policies.0.keep.best.metric", "is not text"),
        (keeping(tags="production"), "policies.0.keep.tags", "not a list of lists"),
        (keeping(tags=["production"]), "policies.0.keep.tags", "'production' is not a list"),
        (keeping(tags=[[]]), "policies.0.keep.tags", "has no tag"),
        (keeping(tags=[[2026]]), "policies.0.keep.tags.0.0", "'2026' is not text"),
        (keeping(tags=[["=2026"]]), "policies.0.keep.tags", "no name before the ="),
        ({"policies": [{"keep": {"last": 1}, "min_keep": -1}]}, "policies.0.min_keep", "write 0 or more"),
        ({"policies": [{"keep": {"last": 1}, "budget": "20G"}]}, "policies.0.budget", "'20G': not a unit"),
        ({"policies": [{"keep": {"last": 1}, "budget": -1}]}, "policies.0.budget", "not negative"),
        ({"policies": [{"keep": {"last": 1}, "budget": True}]}, "policies.0.budget", "not a size"),
        ({"policies": [{"keep": {"last": 1}, "match": {"version": 1}}]}, "policies.0.match.version", "not text"),
    ],
)
def test_every_mistake_is_found_with_its_place(mapping: dict[str, Any], place: str, message: str) -> None:
    """A section that cannot be meant is refused at start, naming the key and what to write."""
    found = problems(mapping)
    assert list(found) == [place]
    assert message in found[place]


def test_match_may_name_only_what_is_grouped_by() -> None:
    """A key outside group_by would never be looked at; each one is a problem of its own, braces and all."""
    found = problems(
        {
            "group_by": ["currency_pair"],
            "policies": [
                {"match": {"currency_pair": "*"}, "keep": {"last": 1}},
                {"match": {"model_type": "*", "{pair}": "*"}, "keep": {"last": 1}},
            ],
        }
    )
    assert list(found) == ["policies.1.match.model_type", "policies.1.match.{pair}"]
    assert "'{pair}' is not in group_by" in found["policies.1.match.{pair}"]
    nothing = problems({"group_by": [], "policies": [{"match": {"version": "1"}, "keep": {"last": 1}}]})
    assert "group_by is empty" in nothing["policies.0.match.version"]


def test_all_mistakes_are_reported_together() -> None:
    """One look at the file is enough to correct all of it."""
    assert set(problems({"timezone": "X", **keeping(last=-5, best={"metric": "a"}), "interval": "1"})) == {
        "timezone",
        "interval",
        "policies.0.keep.last",
        "policies.0.keep.best.order",
    }


def test_fixed_offsets_work_as_zones() -> None:
    """Durations count in any tzinfo, not only in named zones."""
    zone = timezone(timedelta(hours=5, minutes=30))
    assert CalendarDuration.parse("1d").before(datetime(2026, 11, 22, tzinfo=zone), zone) == datetime(
        2026, 11, 20, 18, 30, tzinfo=UTC
    )
