"""docs/reference/logs.md answers questions with commands: each is run here, on a log whose story is known."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model_inbox.cli import root
from support.places import ROOT

PROGRAM = str(Path(sys.executable).with_name("model-inbox"))
MODEL = "usdeur_lightgbm_20261120"
ROW = re.compile(r"^\| ([^|]+) \| `(model-inbox logs [^`]+)` \|$", re.MULTILINE)
NOW = datetime.now(UTC)
YESTERDAY_NOON = NOW.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def questions() -> dict[str, str]:
    """The table of the manual: question -> command."""
    return dict(ROW.findall((ROOT / "docs" / "reference" / "logs.md").read_text()))


def line(moment: datetime, event: str, level: str = "info", **fields: Any) -> str:
    stamp = moment.isoformat().replace("+00:00", "Z")
    return json.dumps({"timestamp": stamp, "level": level, "event": event, **fields})


def story() -> tuple[list[str], list[str]]:
    """What happened: long ago (rotated and packed away), and since yesterday."""
    long_ago, noon = NOW - timedelta(days=30), YESTERDAY_NOON
    old = [
        line(long_ago, "daemon.started", version="0.1.0", pid=7, settings={"inbox.settle_seconds": 2.0}),
        line(long_ago + timedelta(seconds=1), "daemon.ready", seconds=1.0),
        line(
            long_ago + timedelta(seconds=2),
            "drop.rejected",
            "warning",
            drop_id="0-ancient",
            stem="ancient",
            owner="eve",
        ),
        line(
            long_ago + timedelta(seconds=3),
            "entry.retired",
            model_id="old",
            currency_pair="USD/EUR",
            reasons=["too old"],
        ),
    ]
    taken = {
        "owner": "alice",
        "currency_pair": "USD/EUR",
        "model_type": "lightgbm",
        "model_id": MODEL,
        "stem": "usdeur",
    }
    second = timedelta(seconds=1)
    new = [
        line(noon, "drop.waiting", stem="usdeur", problems=["artifact.missing: no usdeur.pkl"]),
        line(noon + second, "drop.rejected", "warning", drop_id="1-usdeur", stem="usdeur", owner="alice")[:-1]
        + ', "codes": ["artifact.forbidden_import"], "problems": ["artifact.forbidden_import: posix.system"]}',
        line(
            noon + 2 * second,
            "drop.registered",
            drop_id="2-usdeur",
            seconds=0.5,
            steps={"scan": 0.25},
            bytes=9,
            **taken,
        ),
        line(
            noon + 3 * second, "drop.deferred", "warning", drop_id="3-chf", stem="chf", cause="cannot write: disk full"
        )[:-1]
        + ', "attempt": 4, "retry_in_seconds": 8.0}',
        line(
            noon + 4 * second, "config.loaded", changed=["inbox.settle_seconds"], settings={"inbox.settle_seconds": 5.0}
        ),
        line(noon + 5 * second, "inbox.watch_lost", "warning", cause="mounted over"),
        line(noon + 9 * second, "inbox.watch_restored", watcher="inotify"),
        line(noon + 20 * second, "daemon.stopping", signal="SIGTERM"),
        line(noon + 50 * second, "daemon.ready", seconds=1.0),
        line(noon + 60 * second, "entry.retired", model_id=MODEL, currency_pair="USD/EUR", reasons=["beyond last: 10"]),
        line(noon + 70 * second, "entry.purged", model_id=MODEL, bytes=9),
        '{"timestamp": "torn',
    ]
    return old, new


# What must be in the answer, and what must not.
EXPECTED: dict[str, tuple[list[str], list[str]]] = {
    "What happened to this drop?": (
        ["no usdeur.pkl", "posix.system", "registered from a drop of alice"],
        ["chf", "mounted"],
    ),
    "Why was it rejected?": ([], ["chf"]),  # its last drop was registered: see below
    "Everything about this model, from drop to purge": (
        ["registered from a drop", "beyond last: 10", "removed permanently"],
        ["posix.system", "too old"],
    ),
    "What was rejected since yesterday, and whose?": (["alice", "artifact.forbidden_import", "1-usdeur"], ["ancient"]),
    "What did retention delete, and why?": (["too old", "beyond last: 10", MODEL], ["chf"]),
    "How long do drops take (p50, p99 by step)?": (["P50", "P99", "scan", "0.25", "0.5"], []),
    "What failed and is being retried?": (["chf", "disk full", "4"], ["usdeur"]),
    "What changed in the configuration?": (["inbox.settle_seconds: 2.0 → 5.0"], ["chf"]),
    "When did the daemon not run, or get no file events?": (
        ["no file events", "mounted over", "not running", "SIGTERM", "30"],
        ["chf"],
    ),
}


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_INBOX_CONFIG", raising=False)
    old, new = story()
    (tmp_path / "log.jsonl.1.gz").write_bytes(gzip.compress("\n".join([*old, ""]).encode()))
    (tmp_path / "log.jsonl").write_text("\n".join(new))
    (tmp_path / "config.yaml").write_text("logging: {file: log.jsonl}\n")
    return tmp_path


def run(command: str) -> str:
    done = CliRunner().invoke(root, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_manual_answers_these_questions() -> None:
    """The questions of the manual are the ones that are tried here."""
    assert questions().keys() == EXPECTED.keys()


def test_each_question_is_answered_by_its_command(folder: Path) -> None:
    """Each command of the manual, as it stands there, gives the answer that the story has, and not another's."""
    for question, command in questions().items():
        answer = run(command)
        wanted, unwanted = EXPECTED[question]
        assert [text for text in wanted if text not in answer] == [], f"{command}\n{answer}"
        assert [text for text in unwanted if text in answer] == [], f"{command}\n{answer}"
        json.loads(run(f"{command} --json"))


def test_why_a_drop_was_rejected(folder: Path) -> None:
    """Asked before the drop came again, the answer is all problems of the rejection; afterwards there is none."""
    command = questions()["Why was it rejected?"]
    until = (YESTERDAY_NOON + timedelta(seconds=2)).isoformat()
    answer = run(f"{command} --until {until}")
    assert "rejected: 1-usdeur of alice" in answer
    assert "- artifact.forbidden_import: posix.system" in answer
    assert run(command) == "No such drop was rejected or is waiting.\n"


def test_filters_and_forms(folder: Path) -> None:
    """Events by pattern, levels, times and pairs narrow the timeline; --json gives the lines; stdin works."""
    assert run("model-inbox logs --event 'inbox.*' --json").count('"event"') == 2
    assert "chf" not in run("model-inbox logs --pair USD/EUR")
    warnings = json.loads(run("model-inbox logs --level warning --since yesterday --json"))
    assert [entry["event"] for entry in warnings] == ["drop.rejected", "drop.deferred", "inbox.watch_lost"]
    assert run("model-inbox logs --since 3d --until 2d") == "The log has no such lines.\n"
    new = (folder / "log.jsonl").read_bytes()
    done = subprocess.run([PROGRAM, "logs", "rejected", "--file", "-"], cwd=folder, input=new, capture_output=True)
    assert b"1-usdeur" in done.stdout


def test_what_cannot_be_asked_is_said(folder: Path) -> None:
    """A log that is not there is 75, a question that makes no sense 2, each with what to do."""
    for words, status, said in (
        (["--file", "none.jsonl"], 75, "there is none"),
        (["--since", "whenever"], 2, "yesterday or '2h ago'"),
        (["why", "--follow"], 2, "--follow can be used only with"),
        (["--file", "x", "--unit", "y"], 2, "cannot be used together"),
        (["whence"], 2, "whence"),
    ):
        done = CliRunner().invoke(root, ["logs", *words])
        assert (done.exit_code, said in done.output) == (status, True), done.output


def test_a_log_is_followed(folder: Path) -> None:
    """With --follow the lines since then come first, and then each as it is written, until the program is ended."""
    command = [PROGRAM, "logs", "--follow", "--json", "--event", "drop.rejected", "--since", "yesterday"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["drop_id"] == "1-usdeur"
        with (folder / "log.jsonl").open("a") as log:
            log.write("\n" + line(NOW, "drop.rejected", "warning", drop_id="9-late", stem="late") + "\n")
        assert json.loads(process.stdout.readline())["drop_id"] == "9-late"
    finally:
        process.kill()
        process.communicate()
