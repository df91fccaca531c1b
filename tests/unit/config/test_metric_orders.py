"""What config.yaml says of the order of metrics."""

from __future__ import annotations

from pathlib import Path

from model_inbox.config.load import parse_config
from model_inbox.config.metric_orders import order_of_metrics
from model_inbox.model.slot import Slot


def orders(text: str, names: list[str], slot: Slot = Slot("USD/EUR", "lightgbm")) -> list[str | None]:
    order_of = order_of_metrics(parse_config(text.encode(), file=Path("config.yaml")), slot)
    return [order_of(name) for name in names]


def test_the_rule_best_says_the_order() -> None:
    """Of its metric; of one with both orders, and of any other, nothing is known."""
    text = """
retention:
  policies:
    - {match: {model_type: a}, keep: {best: {metric: 1d.rmse, order: min}}}
    - {match: {model_type: b}, keep: {best: {metric: 1d.acc, order: max}}}
    - {match: {model_type: c}, keep: {best: {metric: odd, order: max}}}
    - {keep: {best: {metric: odd, order: min}}}
"""
    assert orders(text, ["1d.rmse", "1d.acc", "odd", "other", "1dxrmse"]) == ["min", "max", None, None, None]


def test_the_gates_of_a_slot_say_the_order() -> None:
    """For each metric, with *, or one for all that they compare; a gate of another slot says nothing."""
    text = """
gates:
  - {name: a, match: {currency_pair: USD/*}, require: [1d.rmse], order: {"*.rmse": min, validation_metrics.acc: max}}
  - {name: b, against: newest, max_regression: {mae: 5%}, min_gain: {mape: 1%}, order: min}
  - {name: c, match: {variant: 30d}, require: [1d.rmse], order: {r2: max}}
"""
    names = ["1d.rmse", "rmse", "a.b.rmse", "acc", "mae", "mape", "r2", "other"]
    assert orders(text, names) == ["min", None, None, "max", "min", "min", None, None]
    assert orders(text, names, Slot("EUR/CHF", "x", "30d")) == [None, None, None, None, "min", "min", "max", None]
