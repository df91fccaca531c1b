"""What the journal gets: the native protocol, read back by a small reader of our own, and a journal that misbehaves."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_inbox.telemetry import journald
from model_inbox.telemetry.events import EVENTS
from model_inbox.telemetry.journald import JournalSender, encode_entry, message_id

Senders = Callable[[str], JournalSender]


def fields_of(data: bytes) -> dict[str, str]:
    """Read one entry as https://systemd.io/JOURNAL_NATIVE_PROTOCOL says."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + length], data[8 + length + 1 :]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


class Journal:
    """A socket that stands where the journal's is."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(5)

    def read(self) -> tuple[dict[str, str], bool]:
        """Return an entry's fields, and whether it came in a memory file."""
        data, rights, _, _ = self.socket.recvmsg(1 << 22, socket.CMSG_LEN(4))
        if not rights:
            return fields_of(data), False
        (fd,) = array.array("i", rights[0][2])
        try:
            assert data == b""
            return fields_of(os.pread(fd, os.fstat(fd).st_size, 0)), True
        finally:
            os.close(fd)


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "socket")
    yield journal
    journal.socket.close()


@pytest.fixture(name="senders")
def _senders() -> Iterator[Callable[[str], JournalSender]]:
    """Makes senders, and closes them at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(contextlib.closing(JournalSender(path)))


def test_an_event_becomes_fields(journal: Journal, senders: Senders) -> None:
    """Every field of an event is one of the entry's, in capitals; level and event tell PRIORITY and MESSAGE_ID."""
    senders(journal.path).msg(
        timestamp="2026-11-24T12:00:00Z",
        level="warning",
        event="drop.rejected",
        drop_id="20261124T12Z-0001-a",
        problems=["one = two", "ends\nhere"],
        seconds=0.25,
    )
    fields, _ = journal.read()
    assert fields == {
        "MESSAGE": 'drop.rejected drop_id=20261124T12Z-0001-a problems=["one = two", "ends\\nhere"] seconds=0.25',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "model-inbox",
        "MESSAGE_ID": message_id("drop.rejected"),
        "EVENT": "drop.rejected",
        "LEVEL": "warning",
        "DROP_ID": "20261124T12Z-0001-a",
        "PROBLEMS": '["one = two", "ends\\nhere"]',
        "SECONDS": "0.25",
    }


def test_the_id_of_an_event_never_changes() -> None:
    """A MESSAGE_ID is what it was in the first version: people have it in their queries and alerts."""
    assert message_id("drop.rejected") == "c9a97e99ba4d599f8ec59b1c4243c487"
    assert len({message_id(event) for event in EVENTS}) == len(EVENTS)


def test_a_newline_in_a_value_makes_no_other_field() -> None:
    """A value with a newline is framed by its length: it cannot end its field and begin another."""
    fields = fields_of(encode_entry({"event": "drop.waiting", "level": "info", "stem": "a\nPRIORITY=0\nb"}))
    assert (fields["STEM"], fields["PRIORITY"]) == ("a\nPRIORITY=0\nb", "6")


def test_a_long_field_stays_whole(journal: Journal, senders: Senders) -> None:
    """What is too long for a datagram goes in a memory file, to the last byte."""
    long = "x" * 3_000_000
    senders(journal.path).msg(level="info", event="drop.waiting", problems=long)
    fields, in_memory = journal.read()
    assert in_memory
    assert fields["PROBLEMS"] == long


def test_a_journal_that_does_not_read_holds_nothing_up(
    journal: Journal, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full socket costs one short wait; lines are dropped until it is read again, and counted."""
    monkeypatch.setattr(journald, "WAIT_SECONDS", 0.05)
    sender = senders(journal.path)
    for number in range(2000):  # net.unix.max_dgram_qlen is far below that
        sender.msg(level="info", event="drop.waiting", number=number)
    first, _ = journal.read()
    assert first["NUMBER"] == "0"
    sender.msg(level="info", event="drop.waiting", number=-1)
    came = [first]
    while came[-1]["NUMBER"] != "-1":
        came.append(journal.read()[0])
    assert len(came) < 2000
    assert int(came[-1]["LINES_LOST"]) == 2001 - len(came)


def test_no_journal_is_no_error(tmp_path: Path, senders: Senders) -> None:
    """Nobody at the socket is nothing that stops a daemon; one that comes back at the same path is heard."""
    sender = senders(str(tmp_path / "socket"))
    sender.msg(level="info", event="daemon.ready")
    journal = Journal(tmp_path / "socket")
    sender.msg(level="info", event="daemon.ready", waiting=3)
    assert journal.read()[0]["WAITING"] == "3"
    journal.socket.close()
