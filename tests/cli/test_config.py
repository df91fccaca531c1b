"""`config check`, `config show` and `config schema`."""

from __future__ import annotations

import json

import pytest

from model_inbox.config.load import load_config, parse_config
from support.home import Home


def test_config_check_lists_everything(empty: Home) -> None:
    """A right file is exit 0; a wrong one exit 78 with all its problems; none at all means the defaults."""
    assert empty.text("config", "check").startswith("There is no config.yaml")
    assert empty.json("config", "check") == {"ok": True, "path": None, "problems": []}
    file = empty.folder / "config.yaml"
    file.write_text("inbox: {path: here}\n")
    assert empty.text("config", "check") == f"'{file}' has no problems.\n"
    assert empty.json("config", "check")["path"] == str(file)
    file.write_text("inbox: {path: here, settle_seconds: -1}\nloging: {}\n")
    result = empty.run("config", "check", "--json")
    assert result.exit_code == 78
    said = json.loads(result.stdout)
    assert (said["ok"], sorted(p["code"] for p in said["problems"])) == (
        False,
        ["config.invalid_value", "config.unknown_key"],
    )
    assert "Did you mean logging?" in empty.run("config", "check").stderr


def test_config_schema_describes_every_setting(empty: Home) -> None:
    """The schema is JSON with or without --json."""
    schema = empty.json("config", "schema")
    assert set(schema["properties"]) >= {"inbox", "registry", "pickle", "checks", "retention", "logging"}
    assert json.loads(empty.text("config", "schema")) == schema


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inbox: {path: /srv/inbox, incomplete_timeout: 1.2345s, max_artifact_size: 12345678901}\n",
        "retention: {mode: 'off', trash_grace: 2w, policies: [{keep: {within: 1y2m, daily: {within: 30d}, "
        "best: {metric: a.b, order: max}, tags: [[x], [y, z=1]]}, budget: 20GiB}]}\n"
        "pickle: {frameworks: null, allow: {}, time_limit: 90}\nchecks: {model_types: ['l*']}\n",
    ],
)
def test_what_config_show_prints_is_the_same_configuration(empty: Home, text: str) -> None:
    """Reading the printed settings back gives the very settings that hold, however they were written."""
    (empty.folder / "config.yaml").write_text(text)
    printed = empty.text("config", "show")
    held = load_config(None, env={}, cwd=empty.folder)
    assert parse_config(printed.encode(), file=empty.folder / "x.yaml").model_dump() == held.model_dump()
    assert "rejected_keep: 30d\n" in printed
    assert empty.json("config", "show")["inbox"]["rejected_keep"] == 30 * 86400
