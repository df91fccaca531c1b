"""What the journal gets from the service, and the log file that logrotate turns over."""

from __future__ import annotations

import json
import re
from pathlib import Path

from installed import CONSUMER, ROOT, STATE, STRANGER, UNIT, Installed
from model_inbox.telemetry.journald import message_id


def test_an_event_is_found_by_its_fields(service: Installed) -> None:
    """DROP_ID=, MODEL_ID=, EVENT= and MESSAGE_ID= each find the one line of a registration, whole."""
    service.drop("found", model_id="found-by-fields")
    service.registered("found")
    answer = service.receipt("found")
    assert answer is not None
    machine = service.machine
    by_model = machine.journal("-u", UNIT, "MODEL_ID=found-by-fields")
    assert [entry["EVENT"] for entry in by_model] == ["drop.registered"]
    assert machine.journal("-u", UNIT, f"DROP_ID={answer['drop_id']}", "EVENT=drop.registered") == by_model
    assert by_model[0] in machine.journal(f"MESSAGE_ID={message_id('drop.registered')}")
    line = by_model[0]
    assert (line["PRIORITY"], line["LEVEL"], line["SYSLOG_IDENTIFIER"]) == ("6", "info", "model-inbox")
    assert (line["OWNER"], line["CURRENCY_PAIR"], line["SHA256"]) == ("alice", "USD/EUR", answer["digests"]["model"])
    assert set(json.loads(line["STEPS"])) >= {"scan", "commit"}


LONG = """
from model_inbox.telemetry.journald import JournalSender
problems = [f"{n} " + "x" * 500 for n in range(2000)]
JournalSender().msg(level="warning", event="drop.rejected", stem="long", problems=problems)
"""


def test_a_long_field_stays_whole(service: Installed) -> None:
    """A field of a megabyte, far beyond what stdout or a datagram could carry, is in the journal to its last byte."""
    service.machine.run("/opt/model-inbox/current/bin/python", "-c", LONG, user="model-inbox")
    (line,) = service.machine.wait(lambda: service.machine.journal("EVENT=drop.rejected", "STEM=long"))
    assert json.loads(line["PROBLEMS"]) == [f"{number} " + "x" * 500 for number in range(2000)]


def test_the_catalogue_explains_events(service: Installed) -> None:
    """`journalctl -x` adds to a line what the event means and what to do; every event of ours is in the catalogue."""
    service.drop("explained", model_typ="x")
    service.answer("explained")
    told = service.machine.run(
        "journalctl", "-x", "--no-pager", "-u", UNIT, "STEM=explained", "EVENT=drop.rejected"
    ).stdout
    assert "Subject: model-inbox: drop.rejected" in told
    assert "The drop was rejected; its files are in inbox/rejected/ with the reasons." in told.replace("\n░░ ", " ")
    assert "model-inbox rejected show DROP_ID" in told.replace("\n░░ ", " ")
    known = service.machine.run("journalctl", "--list-catalog").stdout
    ours = re.findall(r"^-- (\w{32})$", (ROOT / "systemd/model-inbox.catalog").read_text(), re.MULTILINE)
    assert ours
    assert [one for one in ours if one not in known] == []


def test_the_manuals_questions_are_answered_from_the_journal(stopped: Installed) -> None:
    """Each command of the manual, run by root and by a member of systemd-journal, tells what happened here."""
    machine, model = stopped.machine, "usdeur_lightgbm_20261120"
    pair = {"currency_pair": "USD/XAU", "trained_at": "2025-10-01T00:00:00Z"}
    stopped.configure(
        stopped.config.read_text(),
        ("        last: 10", "        last: 1"),
        ("        within: 30d", "        within: 1d"),
        ("        registered_within: 7d", "        registered_within: 0h"),
        ("      min_keep: 2", "      min_keep: 1"),
        ("  trash_grace: 7d", "  trash_grace: 0h"),
    )
    stopped.systemctl("start")
    stopped.drop("usdeur", user="bob", model_id=model, **pair, model_typ="x")
    assert stopped.answer("usdeur")["outcome"] == "rejected"
    why = stopped.model_inbox("logs", "why", "--drop", "usdeur").stdout
    stopped.drop("usdeur", model_id=model, **pair)
    machine.wait(lambda: (stopped.receipt("usdeur") or {}).get("outcome") == "registered")
    stopped.model_inbox("pin", model)
    stopped.model_inbox("unpin", model)
    killed = stopped.pid
    stopped.signal("KILL")
    machine.wait(lambda: stopped.pid not in (0, killed) and stopped.show("ActiveState") == "active")
    stopped.drop("newer", **pair | {"trained_at": "2025-10-20T00:00:00Z"})
    machine.wait(lambda: stopped.events("entry.retired", f"MODEL_ID={model}"))
    stopped.configure(stopped.config.read_text(), ("rescan_seconds: 30", "rescan_seconds: 20"))

    def is_purged() -> bool:
        stopped.systemctl("reload")
        return bool(stopped.events("entry.purged", f"MODEL_ID={model}"))

    machine.wait(is_purged)
    manual = (ROOT / "docs" / "reference" / "logs.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| `model-inbox (logs [^`]+)` \|$", manual, re.MULTILINE)
    # The journal begins with this machine, so what was yesterday is not known, and a command may exit with 75.
    answers = {" ".join(row.split()[:2]): stopped.model_inbox(*row.split(), check=False).stdout for row in rows}
    expected = {
        "logs --drop": ["bob", "sidecar.unknown_key", "registered from a drop of alice"],
        "logs why": ["No such drop was rejected or is waiting."],
        "logs --model": [
            "registered from a drop",
            "pin by cli:root",
            "unpin by cli:root",
            "retired",
            "removed permanently",
        ],
        "logs rejected": ["bob", "usdeur", "sidecar.unknown_key"],
        "logs retired": [model, "USD/XAU"],
        "logs durations": ["scan", "commit", "in all", "P99"],
        "logs retries": [""],
        "logs changes": ["inbox.rescan_seconds: the default → 20", "reloaded"],
        "logs outages": ["ended: killed, 9"],
    }
    assert answers.keys() == expected.keys()
    for question, texts in expected.items():
        assert [text for text in texts if text not in answers[question]] == [], answers[question]
    assert "rejected: " in why
    assert "Did you mean model_type?" in why
    machine.run("usermod", "-aG", "systemd-journal", CONSUMER)
    assert model in stopped.model_inbox("logs", "retired", user=CONSUMER).stdout
    refused = stopped.model_inbox("logs", "retired", user=STRANGER, check=False)
    assert refused.returncode == 75
    assert "systemd-journal" in refused.stderr


def test_the_journal_is_followed(service: Installed) -> None:
    """`model-inbox logs --follow` shows a registration as it happens."""
    follower = service.machine.start("model-inbox", "logs", "--follow", "--event", "drop.registered")
    try:
        assert follower.stdout is not None
        service.drop("followed")
        assert any("followed: registered from a drop of alice" in line for line in follower.stdout)
    finally:
        service.machine.run("pkill", "journalctl", check=False)
        follower.kill()
        follower.communicate()


def test_a_log_file_survives_logrotate(stopped: Installed) -> None:
    """With the example's configuration, and with copytruncate, each registration is in exactly one of the files."""
    machine = stopped.machine
    log = f"{STATE}/log/model-inbox.jsonl"
    stopped.configure(stopped.config.read_text(), ("  file: auto", f"  file: {log}"))
    example = (machine.root / "opt/model-inbox/share/model-inbox.logrotate").read_text()
    config = machine.root / "etc/logrotate.d/model-inbox"
    stopped.systemctl("start")
    stems = []
    for round_, text in enumerate((example, example, example.replace("    create", "    copytruncate\n    create"))):
        for number in range(3):
            stems.append(f"rotated-{round_}-{number}")
            stopped.drop(stems[-1])
            stopped.registered(stems[-1])
        config.write_text(text)
        machine.run("logrotate", "--force", "/etc/logrotate.d/model-inbox")
    stems.append("rotated-last")
    stopped.drop("rotated-last")
    stopped.registered("rotated-last")
    files = sorted(path for path in (stopped.state / "log").iterdir())
    assert len(files) == 4
    assert any(path.suffix == ".gz" for path in files)
    read = "".join(machine.run("zcat", "--force", f"{STATE}/log/{path.name}").stdout for path in files)
    lines = [json.loads(line) for line in read.splitlines()]
    assert sorted(line["stem"] for line in lines if line["event"] == "drop.registered") == sorted(stems)
    current = [json.loads(line) for line in (stopped.state / "log" / Path(log).name).read_text().splitlines()]
    assert [line["stem"] for line in current if line["event"] == "drop.registered"] == ["rotated-last"]
