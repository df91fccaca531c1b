"""What config.yaml says of the order of metrics."""

from __future__ import annotations

from pathlib import Path

from model_inbox.config.load import parse_config
from model_inbox.config.metric_orders import order_of_metrics


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
    order_of = order_of_metrics(parse_config(text.encode(), file=Path("config.yaml")))
    assert [order_of(name) for name in ("1d.rmse", "1d.acc", "odd", "other")] == ["min", "max", None, None]
