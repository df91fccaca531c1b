"""What the journal gets from the service, and the log file that logrotate turns over."""

from __future__ import annotations

import json
import re
from pathlib import Path

from installed import ROOT, STATE, UNIT, Installed
from model_inbox.journald import message_id


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
from model_inbox.journald import JournalSender
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
    assert "The drop was refused and lies in rejected/ with its reasons." in told
    assert "model-inbox rejected show DROP_ID" in told.replace("\n░░ ", " ")
    known = service.machine.run("journalctl", "--list-catalog").stdout
    ours = re.findall(r"^-- (\w{32})$", (ROOT / "systemd/model-inbox.catalog").read_text(), re.MULTILINE)
    assert ours
    assert [one for one in ours if one not in known] == []


def test_a_log_file_survives_logrotate(stopped: Installed) -> None:
    """With the example's configuration, and with copytruncate, each registration is in exactly one of the files."""
    machine = stopped.machine
    log = f"{STATE}/log/model-inbox.jsonl"
    stopped.configure(stopped.config.read_text(), ("  file: null", f"  file: {log}"))
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
