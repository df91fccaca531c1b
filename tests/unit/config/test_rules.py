"""The rules of a configuration as a text: equal rules have equal texts, and the text is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from model_inbox.config.load import parse_config
from model_inbox.config.rules import past_rules, rules_text
from model_inbox.config.settings import Config
from support.places import ROOT

BASE = "retention: {mode: enforce, policies: [{keep: {last: 3, within: 30d, weekly: {within: 90d}}, min_keep: 2}]}\n"
PROMOTION = "promotion: [{match: {currency_pair: 'EUR/*'}, when: {metric: 1d.rmse, order: min, by: '5%'}}]\n"


def config(text: str) -> Config:
    return parse_config(text.encode(), file=Path("/etc/model-inbox/config.yaml"))


def test_the_text_is_read_again() -> None:
    """Retention and promotion come back as they were, also those of the sample."""
    sample = (ROOT / "config.yaml").read_text()
    for text in ("{}", BASE + PROMOTION, sample):
        given = config(text)
        past = past_rules(orjson.loads(rules_text(given)))
        assert past is not None
        assert (past.retention, past.promotion) == (given.retention, given.promotion)
        assert past.held_keep == given.registry.held_keep


@pytest.mark.parametrize(
    ("more", "is_equal"),
    [
        ("# a comment\n", True),
        ("inbox: {settle_seconds: 9}\nlogging: {level: debug}\nmetrics: {listen: '127.0.0.1:9477'}\n", True),
        ("checks: {model_types: [lightgbm]}\n", False),
        ("permits: [{users: [alice]}]\n", False),
        ("quota: [{users: [alice], models_per_day: 3}]\n", False),
        ("gates: [{name: g, require: [calibration_ok]}]\n", False),
        ("pickle: {allow: {fxmodels.lstm.FxLSTM: bnr}}\n", False),
        ("registry: {held_keep: 3d}\n", False),
        (PROMOTION, False),
    ],
)
def test_the_text_changes_with_what_decides_alone(more: str, is_equal: bool) -> None:  # a parameter
    """Comments, paths, times and the log decide about no model."""
    assert (rules_text(config(BASE + more)) == rules_text(config(BASE))) is is_equal


@pytest.mark.parametrize(
    "settings",
    [{}, {"retention": None}, {"retention": {"of_a_later_version": 1}, "promotion": [], "registry": {"held_keep": 1}}],
)
def test_rules_of_another_version_are_not_applied(settings: Any) -> None:
    """A setting that this version does not know may change what the others mean."""
    assert past_rules(settings) is None


def test_the_text_is_as_documented() -> None:
    """formats.md has the format and each field of the text, which is sorted and indented."""
    text = rules_text(config(BASE))
    document = (ROOT / "docs" / "reference" / "formats.md").read_text().partition("### Kept rules")[2]
    section = document.partition("### The clock")[0]
    fields = orjson.loads(text)
    assert fields["format"] == "model-inbox-rules/1"
    assert all(f"`{name}`" in section for name in fields)
    assert fields["registry"] == {"held_keep": 2592000.0}
    assert text == orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"
