"""Every table of the commands, on terminals of 60, 80 and 200 columns, with ids of 64 characters."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
from pathlib import Path

import pytest

from model_inbox import cli
from model_inbox.cli import root
from support.home import SIDECAR, Home, rules

MODELS = [f"{'usd_eur_lightgbm_quantiles_of_one_day_in_the_big_study':_<56}2025102{number}" for number in range(3)]
DROP = f"20260101T000000000000Z-0001-{MODELS[0]}"


class Terminal(io.StringIO):
    """What a command prints to a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def line(second: int, event: str, level: str = "info", **fields: object) -> str:
    """Return a line of a JSON log."""
    return json.dumps({"timestamp": f"2026-01-01T12:00:{second:02}Z", "level": level, "event": event, **fields})


LOG = [
    line(0, "daemon.started", version="0.2", settings={"logging.level": "info"}),
    line(1, "daemon.ready"),
    line(
        2,
        "drop.rejected",
        "warning",
        drop_id=DROP,
        stem=MODELS[0],
        owner="training-service",
        problems=["p"],
        codes=["c.d"],
    ),
    line(3, "entry.retired", model_id=MODELS[0], currency_pair="USD/EUR", model_type="lightgbm", reasons=["old " * 30]),
    line(4, "drop.registered", drop_id="x", model_id=MODELS[1], seconds=0.5, steps={"scan": 0.25, "register": 0.125}),
    line(
        5,
        "drop.deferred",
        "warning",
        drop_id="y",
        stem=MODELS[0],
        cause="no space " * 20,
        retry_in_seconds=8,
        attempt=3,
    ),
    line(6, "config.loaded", settings={"logging.level": "debug"}),
    line(7, "daemon.failed", "critical", problem="the disk " * 20),
]


@pytest.fixture(name="full")
def _full(empty: Home) -> Home:
    """A registry, inbox, log and backups that give every table of the commands its rows."""
    for number, model_id in enumerate(MODELS):
        empty.register(model_id, days=number)
    empty.text("alias", "champion-of-the-year", MODELS[2])
    empty.text("delete", MODELS[1], "--reason", f"replaced by {MODELS[2]}")
    (empty.folder / "inbox").mkdir()
    (empty.folder / "inbox" / f"{MODELS[1]}.yaml").write_text(SIDECAR)
    rejected = empty.folder / "inbox" / "rejected" / DROP
    rejected.mkdir(parents=True)
    (rejected / "m.pkl").write_bytes(b"x")
    problem = {"code": "artifact.truncated", "message": "m", "hint": "h"}
    (rejected / "reason.json").write_text(
        json.dumps({"drop_id": DROP, "stem": MODELS[0], "at": "2026-01-01T00:00:00Z", "problems": [problem]})
    )
    (empty.folder / "config.yaml").write_text(rules("dry-run"))
    (empty.folder / "policy.yaml").write_text(rules(last=5))
    (empty.folder / "m.pkl").write_bytes(pickle.dumps({"w": 1}))
    (empty.folder / "m.yaml").write_text(SIDECAR)
    (empty.folder / "log.jsonl").write_text("\n".join(LOG) + "\n")
    empty.text("backup", "backups")
    return empty


TABLES: dict[str, tuple[list[str], list[str]]] = {
    "list": (["list"], [MODELS[0], MODELS[2]]),
    "history": (["history"], MODELS),
    "history of one": (["history", MODELS[1]], []),
    "show": (["show", MODELS[0]], [MODELS[0]]),
    "alias list": (["alias", "list"], [MODELS[2]]),
    "diff": (["diff", MODELS[0], MODELS[2]], [MODELS[0], MODELS[2]]),
    "check": (["check", "m.yaml", "--against", "newest"], []),
    "trash list": (["trash", "list"], [MODELS[1]]),
    "inbox list": (["inbox", "list"], [f"{MODELS[1]}.yaml"]),
    "rejected list": (["rejected", "list"], [DROP]),
    "rejected purge": (["rejected", "purge", "--all", "--yes"], [DROP]),
    "retention plan": (["retention", "plan"], [MODELS[0], MODELS[2]]),
    "retention plan --diff": (["retention", "plan", "--diff", "policy.yaml"], [MODELS[0]]),
    "retention simulate": (["retention", "simulate"], [MODELS[0]]),
    "backup list": (["backup", "list", "backups"], []),
    "backup plan": (["backup", "plan", "backups", "--keep-last", "1"], []),
    "logs rejected": (["logs", "rejected", "--file", "log.jsonl"], [DROP]),
    "logs retired": (["logs", "retired", "--file", "log.jsonl"], [MODELS[0]]),
    "logs durations": (["logs", "durations", "--file", "log.jsonl"], []),
    "logs retries": (["logs", "retries", "--file", "log.jsonl"], [MODELS[0]]),
    "logs changes": (["logs", "changes", "--file", "log.jsonl"], []),
    "logs outages": (["logs", "outages", "--file", "log.jsonl"], []),
}


def on_terminal(columns: int, words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a command prints to a terminal of that width, without their colours."""
    return re.sub(r"\x1b\[\d+m", "", raw_on_terminal(columns, words, monkeypatch)).splitlines()


def raw_on_terminal(columns: int, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a command prints to a terminal of that width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Terminal()
    with contextlib.redirect_stdout(screen), contextlib.suppress(SystemExit):
        root(words, prog_name="model-inbox")
    return screen.getvalue()


@pytest.mark.parametrize("name", TABLES)
def test_ids_are_whole_and_lines_do_not_wrap(full: Home, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, unless it is one id (or path) alone, and every id can be copied whole."""
    words, ids = TABLES[name]
    for columns in (200, 80, 60):
        if "purge" in name and columns != 60:
            continue
        lines = on_terminal(columns, words, monkeypatch)
        assert len(lines) > 1, name
        for shown in lines:
            assert len(shown) <= columns or len(shown.split()) <= 2, shown
        found = " ".join(lines).split()
        assert [one for one in ids if one not in found] == []


def test_a_verdict_has_a_colour_where_the_terminal_has(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red or green on a terminal; with NO_COLOR, TERM=dumb or a pipe the same text without it."""
    words = ["status"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = raw_on_terminal(80, words, monkeypatch)
    assert coloured.startswith("\x1b[31mNOT OK\x1b[0m: the daemon is stopped")
    plain = re.sub(r"\x1b\[\d+m", "", coloured)
    assert full.run(*words).stdout.split() == plain.split()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as one:
            one.setenv(name, value)
            assert raw_on_terminal(80, words, one) == plain


def test_a_model_a_change_and_a_drop_are_one_line_each(full: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is one line, and what has no room is named below the table."""
    lines = on_terminal(80, ["list"], monkeypatch)
    assert [one.split()[0] for one in lines[:3]] == ["MODEL", MODELS[2], MODELS[0]]
    assert len(lines) == 4
    assert lines[3].startswith("No room for ") and lines[3].endswith("(see --json).")
    assert len(on_terminal(80, ["history"], monkeypatch)) == 1 + 5 + 1
    assert full.text("list").splitlines()[1].endswith("champion-of-the-year")


def test_every_command_with_a_table_is_tried_here() -> None:
    """A module of the commands that prints a table has a row in TABLES."""
    folder = Path(cli.__file__).parent
    printing = {path.stem for path in folder.glob("*.py") if re.search(r"(?<!def )print_table\(", path.read_text())}
    # `trials` has tables of `retention`.
    tried = {words[0] for words, _ in TABLES.values()} | {"trials"}
    modules = {"list": "listing", "check": "check_gates"}
    assert printing == {modules.get(word, word) for word in tried}
