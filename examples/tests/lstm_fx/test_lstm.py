"""The network, its loss and the data of the LSTM example."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from fxmodels.lstm import FxLSTM, pinball_loss
from rates import WINDOW, load_rate, past_windows, returns_ahead


def test_pinball_loss_by_hand() -> None:
    """At level 0.9 being 2 too low costs 1.8, being 2 too high 0.2."""
    predicted = torch.tensor([[[1.0]], [[5.0]]])
    actual = torch.tensor([[3.0], [3.0]])
    assert pinball_loss(predicted, actual, [0.9]).item() == pytest.approx((1.8 + 0.2) / 2)


def test_quantiles_never_cross() -> None:
    """Whatever the weights and the input, a higher quantile is never below a lower one."""
    torch.manual_seed(0)
    network = FxLSTM([1, 7], [0.1, 0.5, 0.9])
    outputs = network(torch.randn(50, 20))
    assert outputs.shape == (50, 2, 3)
    assert (outputs.diff(dim=-1) >= 0).all()


def test_network_does_not_depend_on_the_unit() -> None:
    """Returns ten times as large, in a network that was told so, give outputs ten times as large."""
    torch.manual_seed(0)
    network = FxLSTM([1, 7], [0.1, 0.9], return_std=0.01)
    window = torch.randn(4, 20) * 0.01
    expected = network(window) * 10
    network.return_std *= 10
    assert torch.allclose(network(window * 10), expected)


def test_network_is_pickled_by_the_name_of_its_class() -> None:
    """The pickle names fxmodels.lstm.FxLSTM, holds no code, and gives the same outputs again."""
    network = FxLSTM([1], [0.5]).eval()
    data = pickle.dumps(network)
    assert b"fxmodels.lstm" in data
    window = torch.randn(3, 20)
    assert torch.equal(pickle.loads(data)(window), network(window))


def test_windows_end_with_the_return_of_their_own_day() -> None:
    """The first window is of the first day with WINDOW returns, and that day's return is its last number."""
    rate = load_rate("USD/EUR")
    windows = past_windows(rate)
    assert windows.index[0] == rate.index[WINDOW]
    assert windows.iloc[0, -1] == pytest.approx(np.log(rate.iloc[WINDOW] / rate.iloc[WINDOW - 1]))


def test_rate_is_the_price_of_base_in_quote() -> None:
    """On 4 January 1999 a euro was 1.1789 dollars, so a dollar was 1 / 1.1789 euro."""
    assert load_rate("USD/EUR").loc["1999-01-04"] == pytest.approx(1 / 1.1789)


def test_targets_are_the_next_rate_published_on_or_after_the_horizon() -> None:
    """From a Friday one day ahead is the Monday."""
    rate = pd.Series([1.0, 2.0], index=pd.to_datetime(["2025-01-10", "2025-01-13"]))
    ahead = returns_ahead(rate, 1)
    assert ahead["target_date"].tolist() == [pd.Timestamp("2025-01-13")]
    assert ahead["log_return"].tolist() == pytest.approx([np.log(2)])
