"""What the rules will take if models go on coming as they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from model_inbox.config.retention import RetentionSection
from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.retention.forecast import expected

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECTION = RetentionSection.model_validate({"policies": [{"keep": {"last": 5}}]})


def models(*days: float, gap: timedelta = timedelta(days=1)) -> list[EntryFields]:
    """Return a model for each number: trained so many gaps before noon."""
    return [
        as_fields(
            {
                "model_id": f"m{day:g}",
                "model_type": "lightgbm",
                "currency_pair": "EUR/USD",
                "trained_at": (NOW - day * gap).isoformat(),
                "registered_at": (NOW - day * gap).isoformat(),
                "sequence": 100 - int(day),
                "size_bytes": 10,
            }
        )
        for day in days
    ]


def test_each_day_takes_the_oldest_where_each_day_brings_one() -> None:
    """The last five are kept: of those of today and the five days before, one goes now, and then one each day."""
    found = expected(models(0, 1, 2, 3, 4, 5), SECTION, NOW, days=3, steps=3)
    assert [(one.model_id, (one.at - NOW).days) for one in found] == [("m4", 1), ("m3", 2), ("m2", 3)]
    assert found[0].reasons[0].startswith("last 5")


def test_nothing_is_expected_of_a_group_that_got_nothing_for_long() -> None:
    """One a day was usual, and the last came ten days ago: its models stay, as the rules count from the newest."""
    assert expected(models(10, 11, 12, 13, 14, 15), SECTION, NOW) == []


def test_nothing_is_expected_where_nothing_is_usual() -> None:
    """Three models say nothing, and models of one hour came in one go."""
    assert expected(models(0, 1, 2), SECTION, NOW) == []
    assert expected(models(*range(6), gap=timedelta(minutes=2)), SECTION, NOW) == []


def test_models_that_are_protected_stay() -> None:
    """A pin holds in the future as it does now."""
    entries = [as_fields({**one, "pinned": one["model_id"] == "m4"}) for one in models(0, 1, 2, 3, 4)]
    assert [one.model_id for one in expected(entries, SECTION, NOW, days=2, steps=2)] == ["m3"]
