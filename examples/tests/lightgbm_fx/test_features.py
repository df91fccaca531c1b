"""The indicators, the pairs and the targets of the LightGBM example, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from features import FEATURES, compute_features, load_rates, macd, pair_rate, returns_ahead, rsi, sma


def daily(*values: float) -> pd.Series:
    """Return `values` as rates of consecutive business days from Monday 6 January 2025."""
    return pd.Series(values, index=pd.bdate_range("2025-01-06", periods=len(values)), dtype=float)


def wandering(days: int) -> pd.Series:
    """Return a rate of `days` business days that moves up and down."""
    steps = np.random.default_rng(1).normal(scale=0.005, size=days)
    return daily(*np.exp(np.cumsum(steps)))


def test_pair_is_the_price_of_base_in_quote() -> None:
    """With 1.25 dollars and 0.8 pounds for a euro: a dollar is 0.8 euro, a pound 1.5625 dollars."""
    rates = pd.DataFrame({"USD": [1.25], "GBP": [0.8], "EUR": [1.0]})
    assert pair_rate(rates, "USD/EUR").iloc[0] == pytest.approx(0.8)
    assert pair_rate(rates, "EUR/USD").iloc[0] == pytest.approx(1.25)
    assert pair_rate(rates, "GBP/USD").iloc[0] == pytest.approx(1.5625)


@pytest.mark.parametrize("pair", ["EURUSD", "USD/XXX", "USD/", "USD/EUR/GBP"])
def test_what_is_not_a_pair_is_named(pair: str) -> None:
    """A text that is not two known currencies raises an error that quotes it."""
    with pytest.raises(ValueError, match=repr(pair)):
        pair_rate(pd.DataFrame({"USD": [1.25], "EUR": [1.0]}), pair)


def test_shipped_rates_begin_with_the_euro() -> None:
    """The first published rate is of 4 January 1999: 1.1789 dollars and 133.73 yen for a euro."""
    rates = load_rates()
    assert rates.index.is_monotonic_increasing
    assert rates.index[0] == pd.Timestamp("1999-01-04")
    assert rates.loc["1999-01-04", ["USD", "JPY"]].tolist() == [1.1789, 133.73]


def test_sma_is_the_mean_of_the_last_days() -> None:
    """The three-day averages of 1, 2, 6, 7 are (none), (none), 3, 5."""
    assert sma(daily(1, 2, 6, 7), 3).tolist() == pytest.approx([np.nan, np.nan, 3, 5], nan_ok=True)


def test_rsi_uses_wilders_averages() -> None:
    """Changes +2, -1, +3 over two days: rises 1, then (1 + 3) / 2 = 2; falls 0.5, then (0.5 + 0) / 2 = 0.25.

    So 100 * 1 / 1.5, then 100 * 2 / 2.25.
    """
    expected = [np.nan, np.nan, 100 / 1.5, 200 / 2.25]
    assert rsi(daily(10, 12, 11, 14), 2).tolist() == pytest.approx(expected, nan_ok=True)


def test_rsi_of_one_direction_and_of_none() -> None:
    """Only rises give 100, only falls 0, no movement 50."""
    assert rsi(daily(1, 2, 3), 2).iloc[-1] == 100
    assert rsi(daily(3, 2, 1), 2).iloc[-1] == 0
    assert rsi(daily(2, 2, 2), 2).iloc[-1] == 50


def test_macd_is_the_difference_of_two_emas() -> None:
    """Fast over 1 day is the rate itself; slow over 3 days weighs the newest one half: 4, then 6, then 4.

    So after three rates 2 - 4 = -2, and nothing before.
    """
    assert macd(daily(4, 8, 2), fast=1, slow=3).tolist() == pytest.approx([np.nan, np.nan, -2], nan_ok=True)


def test_features_do_not_depend_on_the_unit() -> None:
    """A rate written in cents instead of euros has the same features."""
    rate = wandering(60)
    pd.testing.assert_frame_equal(compute_features(rate), compute_features(rate * 100))


def test_features_know_nothing_of_the_future() -> None:
    """The features of a day are the same whether or not later rates are there."""
    rate = wandering(60)
    pd.testing.assert_frame_equal(compute_features(rate.iloc[:45]), compute_features(rate).iloc[:20])


def test_features_are_complete() -> None:
    """Of 60 days the first 25, on which MACD warms up, are left out, and no value is missing."""
    table = compute_features(wandering(60))
    assert list(table.columns) == FEATURES
    assert len(table) == 60 - 25
    assert not table.isna().to_numpy().any()


def test_targets_are_the_next_rate_published_on_or_after_the_horizon() -> None:
    """From a Friday one day ahead is the Monday; seven days ahead from Monday the 6th is Monday the 13th."""
    rate = daily(1, 2, 3, 4, 5, 6)  # Monday 6 to Friday 10, and Monday 13 January
    one_day = returns_ahead(rate, 1)
    assert len(one_day) == 5
    assert one_day.loc["2025-01-10", "target_date"] == pd.Timestamp("2025-01-13")
    assert one_day.loc["2025-01-10", "log_return"] == pytest.approx(np.log(6 / 5))
    week = returns_ahead(rate, 7)
    assert week.index.tolist() == [pd.Timestamp("2025-01-06")]
    assert week["log_return"].tolist() == pytest.approx([np.log(6)])
