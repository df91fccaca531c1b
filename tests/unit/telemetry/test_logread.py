"""The log's answers: lines of both forms are read, belong to the right drop, and are counted as written down here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from model_inbox.telemetry.events import EVENTS
from model_inbox.telemetry.journald import encode_entry
from model_inbox.telemetry.logread.questions import QUESTIONS, needed_events
from model_inbox.telemetry.logread.records import Record, Wanted, belonging, parse_entry, parse_line
from model_inbox.telemetry.logread.words import in_words

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def record(when: float, event: str, level: str = "info", /, **fields: Any) -> Record:
    return Record(at(when), level, event, fields)


def ask(name: str, records: Sequence[Record], now: float = 1000) -> list[dict[str, Any]]:
    return QUESTIONS[name].answer(records, at(now))


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_of_json_is_read() -> None:
    """Time, level and event are taken out; everything else is a field as it stands."""
    line = b'{"timestamp":"2026-11-24T12:00:00.5Z","level":"info","event":"a.b","stem":"7","steps":{"scan":0.1}}\n'
    assert parse_line(line) == record(0.5, "a.b", stem="7", steps={"scan": 0.1})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b'{"timestamp":"2026-11-24T12:00:00Z","level":"info","ev',
        b"[1]",
        b"null",
        b'{"timestamp":"yesterday","level":"info","event":"a.b"}',
        b'{"timestamp":5,"level":"info","event":"a.b"}',
        b'{"timestamp":"2026-11-24T12:00:00Z","level":1,"event":"a.b"}',
        b"\xff\xfe",
        b"Traceback (most recent call last):",
    ],
)
def test_what_is_no_line_of_ours_is_passed_over(line: bytes) -> None:
    """Torn lines, other programs' lines and noise are nothing, in either form, and no error."""
    assert parse_line(line) is None
    assert parse_entry(line) is None


def through_the_journal(event: dict[str, Any]) -> bytes:
    """Return an event as journalctl gives it back: what `encode_entry` sends, with the journal's own fields."""
    fields = {}
    for line in encode_entry(event).split(b"\n")[:-1]:
        name, _, value = line.partition(b"=")
        fields[name.decode()] = value.decode()
    return json.dumps(fields | {"_PID": "7", "_UID": "993", "__REALTIME_TIMESTAMP": "1795521600500000"}).encode()


def test_an_entry_of_the_journal_says_the_same() -> None:
    """Through the journal, where all is text, an event comes back with the kinds that its values had."""
    fields = {
        "drop_id": "20261124T12Z-0001-7",
        "model_id": "2025",
        "stem": "7",
        "owner": "1000",
        "version": "1.10",
        "problems": ["a.b: 1 — 2"],
        "steps": {"scan": 0.25},
        "bytes": 206000,
        "seconds": 0.5,
        "until": None,
    }
    line = through_the_journal({"event": "drop.rejected", "level": "warning", **fields})
    found = parse_entry(line)
    assert found == Record(at(0.5), "warning", "drop.rejected", fields)


def test_bytes_and_repeated_fields_of_the_journal_are_text() -> None:
    """journalctl gives what is no plain text as a list of numbers, and a field that came twice as a list."""
    entry = {"EVENT": "drop.waiting", "LEVEL": "info", "STEM": [97, 255], "PATH": ["x", "y"]}
    found = parse_entry(json.dumps(entry | {"__REALTIME_TIMESTAMP": "1795521600000000"}))
    assert found is not None
    assert found.fields == {"path": "x", "stem": "a\\xff"}


def test_systemd_tells_how_the_daemon_ended() -> None:
    """The end of the main process is an event of its own; that of a reload is none; other words are kept."""
    base = {"UNIT": "model-inbox.service", "_PID": "1", "PRIORITY": "5", "__REALTIME_TIMESTAMP": "1795521600000000"}
    ended = {**base, "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15", "EXIT_CODE": "killed", "EXIT_STATUS": "9"}
    found = parse_entry(json.dumps({**ended, "MESSAGE": "Main process exited", "COMMAND": "ExecStart"}))
    assert found == record(0, "unit.exited", code="killed", status="9", message="Main process exited")
    assert parse_entry(json.dumps({**ended, "MESSAGE": "x", "COMMAND": "ExecReload"})) is None
    said = parse_entry(json.dumps({**base, "MESSAGE": "Watchdog timeout (limit 1min)!", "PRIORITY": "3"}))
    assert said == record(0, "unit.said", "error", message="Watchdog timeout (limit 1min)!")
    assert parse_entry(json.dumps({**base, "_PID": "77", "MESSAGE": "somebody else"})) is None


# --- what belongs together --------------------------------------------------------------------------------------------

STORY = [
    record(0, "drop.waiting", stem="a", problems=["first"]),
    record(1, "drop.claimed", "debug", drop_id="1-a", stem="a"),
    record(2, "drop.rejected", "warning", drop_id="1-a", stem="a", model_id="m", problems=["p"]),
    record(3, "drop.waiting", stem="a", problems=["second"]),
    record(4, "drop.waiting", stem="b", problems=["other"]),
    record(5, "drop.claimed", "debug", drop_id="2-a", stem="a"),
    record(6, "drop.registered", drop_id="2-a", stem="a", model_id="m2", currency_pair="USD/EUR", sequence=1),
    record(7, "drop.registered", drop_id="3-b", stem="b", model_id="b", currency_pair="CHF/EUR", sequence=2),
    record(8, "entry.retired", model_id="m2", currency_pair="USD/EUR", reasons=["old"], sequence=3),
    record(9, "entry.purged", model_id="m2", sequence=4),
    record(10, "daemon.stopped"),
]


def seconds_of(records: Sequence[Record]) -> list[float]:
    return [(one.at - NOON).total_seconds() for one in records]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(drops=("a",)), [0, 1, 2, 3, 5, 6]),  # by stem: every drop of it
        (Wanted(drops=("2-a",)), [3, 5, 6]),  # by drop_id: and what was said before it had one
        (Wanted(drops=("1-a",)), [0, 1, 2]),
        (Wanted(models=("m2",)), [3, 5, 6, 8, 9]),  # from drop to purge
        (Wanted(models=("m",)), [0, 1, 2]),  # one that never was, with the drop that failed
        (Wanted(pairs=("USD/EUR",)), [3, 5, 6, 8, 9]),
        (Wanted(pairs=("USD/EUR", "CHF/EUR")), [3, 4, 5, 6, 7, 8, 9]),
        (Wanted(models=("m2",), events=("drop.*",)), [3, 5, 6]),
        (Wanted(models=("m2",), level="info"), [3, 6, 8, 9]),
        (Wanted(level="warning"), [2]),
        (Wanted(events=("drop.rejected", "daemon.*")), [2, 10]),
        (Wanted(since=at(9)), [9, 10]),
        (Wanted(until=at(2)), [0, 1]),
        (Wanted(drops=("nothing",)), []),
        (Wanted(), list(range(11))),
    ],
)
def test_what_is_asked_for_is_found(wanted: Wanted, expected: list[float]) -> None:
    """Filters by drop, model, pair, event, level and time each find their lines, in any order of lines."""
    assert seconds_of(belonging(STORY, wanted)) == expected
    assert seconds_of(belonging(reversed(STORY), wanted)) == expected


def test_every_event_has_words() -> None:
    """Each event of the catalogue is told with all, with some and with none of its fields, and never raises."""
    for event, entry in EVENTS.items():
        values = {name: ["x"] if name in ("problems", "reasons", "codes") else "x" for name in entry.fields}
        for fields in ({}, values, dict(list(values.items())[:2])):
            assert isinstance(in_words(Record(NOON, entry.level, event, fields)), str)
        if "model_id" in entry.fields:
            assert in_words(Record(NOON, entry.level, event, values)).startswith("x: ")


def test_every_event_has_a_sentence_of_its_own() -> None:
    """No event of the catalogue is told as an unknown one is: as a list of its fields."""
    for event, entry in EVENTS.items():
        values = {name: ["x"] if name in ("problems", "reasons", "codes") else "x" for name in entry.fields}
        told = in_words(Record(NOON, entry.level, event, values))
        assert told != in_words(Record(NOON, entry.level, "no.such_event", values)), event


# --- questions --------------------------------------------------------------------------------------------------------


def test_why() -> None:
    """The last word on each drop that is no model: rejected with all problems, or what it waits for."""
    assert ask("why", STORY) == []  # each stem's last drop was registered
    told = ask("why", [*STORY[:4], record(5, "drop.deferred", "warning", drop_id="9-c", stem="c", cause="disk full")])
    assert told == [
        {
            "at": "2026-11-24T12:00:03.000Z",
            "owner": None,
            "stem": "a",
            "drop_id": None,
            "state": "waiting",
            "problems": ["second"],
        },
        {
            "at": "2026-11-24T12:00:05.000Z",
            "owner": None,
            "stem": "c",
            "drop_id": "9-c",
            "state": "deferred",
            "problems": ["disk full"],
        },
    ]
    assert ask("why", STORY[:3])[0]["problems"] == ["p"]


def test_rejected() -> None:
    """Each rejection with owner, stem, codes and problems."""
    records = [record(1, "drop.rejected", owner="bob", stem="x", drop_id="1-x", codes=["a.b"], problems=["a.b: no"])]
    assert ask("rejected", records) == [
        {
            "at": "2026-11-24T12:00:01.000Z",
            "owner": "bob",
            "stem": "x",
            "drop_id": "1-x",
            "model_id": None,
            "codes": ["a.b"],
            "problems": ["a.b: no"],
        }
    ]


def test_retired() -> None:
    """Each retirement with its reasons and when it was purged; a purge of what was retired before is told, too."""
    rows = ask("retired", [*STORY, record(11, "entry.purged", model_id="older", bytes=5)])
    assert [(row["model_id"], row["reasons"], row["at"], row["purged_at"]) for row in rows] == [
        ("m2", ["old"], "2026-11-24T12:00:08.000Z", "2026-11-24T12:00:09.000Z"),
        ("older", None, None, "2026-11-24T12:00:11.000Z"),
    ]


def test_durations() -> None:
    """By the nearest rank: of 200 drops of 1 ... 200 s the 100th is p50 and the 198th p99; of one, that one is both."""
    records = [record(n, "drop.registered", seconds=float(n), steps={"scan": n / 2}) for n in range(1, 201)]
    records.append(record(500, "drop.rejected", seconds=0.5, steps={"sidecar": 0.25}))
    assert ask("durations", records) == [
        {"step": "scan", "drops": 200, "p50": 50.0, "p99": 99.0, "max": 100.0},
        {"step": "sidecar", "drops": 1, "p50": 0.25, "p99": 0.25, "max": 0.25},
        {"step": "in all", "drops": 201, "p50": 100.0, "p99": 198.0, "max": 200.0},
    ]


def test_retries() -> None:
    """What was deferred and has not ended, and failures that repeat themselves for as long as they do."""
    records = [
        record(0, "drop.deferred", drop_id="1-a", stem="a", cause="full", attempt=1, retry_in_seconds=1.0),
        record(1, "drop.deferred", drop_id="2-b", stem="b", cause="full", attempt=1, retry_in_seconds=1.0),
        record(2, "drop.deferred", drop_id="1-a", stem="a", cause="locked", attempt=2, retry_in_seconds=2.0),
        record(3, "drop.registered", drop_id="2-b", stem="b"),
        record(100, "registry.checkpoint_failed", problem="full"),
        record(990, "registry.checkpoint_failed", problem="still full"),
        record(995, "inbox.purge_failed", "error", path="/in/rejected", problem="not ours"),
        record(996, "drop.recovery_failed", problem="I/O error", retry_in_seconds=5.0),
    ]
    rows = ask("retries", records, now=1000)
    assert [(row["since"][14:19], row["what"], row["attempt"], row["cause"], row["again_at"]) for row in rows] == [
        ("00:00", "a", 2, "locked", "2026-11-24T12:00:04.000Z"),
        ("16:30", "the registry's JSON file", None, "still full", None),
        ("16:35", "the removal of old receipts and rejected drops", None, "not ours", None),
        ("16:36", "the unfinished drops of an earlier run", None, "I/O error", None),
    ]
    hours_later = ask("retries", records, now=5000)
    assert [row["what"] for row in hours_later] == ["a", "the removal of old receipts and rejected drops"]


def test_retries_of_an_answer() -> None:
    """What ended already lacks only its receipt: no line tells when that is written, but each failure tells again."""
    records = [
        record(0, "drop.registered", drop_id="1-a", stem="a"),
        record(1, "drop.deferred", drop_id="1-a", stem="a", cause="full", attempt=1, retry_in_seconds=1.0),
    ]
    assert [row["what"] for row in ask("retries", records, now=2.5)] == ["a"]
    assert ask("retries", records, now=100) == []


def test_changes() -> None:
    """Starts and reloads are compared by their settings, with old and new values; refused files are told."""
    records = [
        record(0, "daemon.started", settings={"inbox.settle_seconds": 2.0}),
        record(1, "config.loaded", settings={"inbox.settle_seconds": 5.0}, changed=["inbox.settle_seconds"]),
        record(2, "config.refused", "error", problems=["bad"]),
        record(3, "config.loaded", settings={"inbox.settle_seconds": 5.0}, changed=[]),
        record(4, "daemon.started", settings={"logging.level": "debug"}),
    ]
    assert [(row["what"], row["changed"], row["problems"]) for row in ask("changes", records)] == [
        ("reloaded", {"inbox.settle_seconds": [2.0, 5.0]}, []),
        ("refused", {}, ["bad"]),
        ("restarted", {"inbox.settle_seconds": [5.0, None], "logging.level": [None, "debug"]}, []),
    ]
    assert ask("changes", records[1:2])[0]["changed"] == {"inbox.settle_seconds": ["?", 5.0]}


def test_outages() -> None:
    """Down from the word that it ends to the next that it is ready; deaf likewise; silent deaths are told."""
    records = [
        record(0, "daemon.started"),
        record(1, "daemon.ready"),
        record(10, "inbox.watch_lost", "warning", cause="mounted over"),
        record(15, "inbox.watch_restored"),
        record(20, "daemon.stopping", signal="SIGTERM"),
        record(21, "daemon.stopped"),
        record(30, "daemon.started"),
        record(31, "daemon.ready"),
        record(40, "drop.registered"),  # killed after this, without a word
        record(50, "daemon.started"),
        record(52, "daemon.ready"),
        record(60, "daemon.failed", "critical", problem="the journal is damaged"),
        record(60, "unit.exited", code="exited", status="78"),
    ]
    assert [
        (row["kind"], row["from"][17:19], (row["to"] or "never")[17:19], row["seconds"], row["exactly"], row["cause"])
        for row in ask("outages", records, now=100)
    ] == [
        ("deaf", "10", "15", 5.0, True, "mounted over"),
        ("down", "20", "31", 11.0, True, "stopped by a signal (SIGTERM)"),
        ("down", "40", "52", 12.0, False, "ended without a last log line (killed, or the machine went down)"),
        ("down", "00", "", 40.0, True, "the journal is damaged"),
    ]


def test_a_hung_daemon_is_told_from_a_killed_one() -> None:
    """What systemd says before tells why: the watchdog, or a signal from outside."""
    ready = record(0, "daemon.ready")
    killed = record(5, "unit.exited", code="killed", status="9")
    hang = record(4, "unit.said", "error", message="model-inbox.service: Watchdog timeout (limit 1min)!")
    assert ask("outages", [ready, killed, record(6, "daemon.ready")])[0]["cause"] == "ended: killed, 9"
    assert ask("outages", [ready, hang, killed, record(6, "daemon.ready")])[0]["cause"] == "hung; ended: killed, 9"


def test_a_question_names_all_events_that_it_needs() -> None:
    """Each event a question reads is in the catalogue, or systemd's; only plain names are asked of the journal."""
    for question in QUESTIONS.values():
        for name in question.events:
            assert name in EVENTS or name.startswith("unit.") or name.endswith(".*"), name
    assert needed_events(("a.b", "c.d")) == ("a.b", "c.d")
    assert needed_events(("a.b", "drop.*")) == ()
    assert needed_events(("unit.exited",)) == ()
