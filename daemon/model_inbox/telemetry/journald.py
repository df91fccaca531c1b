"""Send log events to systemd's journal with native fields.

Owns the format of one journal entry (systemd's "Native Journal Protocol") and the check whether stderr is the journal.
An entry is one datagram of `FIELD=value` lines. A value with a newline is written with its length; an entry that is too
long for a datagram is passed as a memfd. Never decides what is logged.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
import struct
import uuid
from typing import Any

__all__ = ["JournalSender", "encode_entry", "message_id", "stderr_is_journal"]

SOCKET = "/run/systemd/journal/socket"
# How long a line waits for a journal that does not read.
WAIT_SECONDS = 1.0
# syslog's numbers for the levels.
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Makes the MESSAGE_IDs: it must never change.
_NAMESPACE = uuid.UUID("6d6f6465-6c2d-5e69-8e62-6f782d6c6f67")


def message_id(event: str) -> str:
    """Return the MESSAGE_ID of an event: 32 hex digits, the same in every installation and version."""
    return uuid.uuid5(_NAMESPACE, event).hex


def stderr_is_journal() -> bool:
    """Return whether stderr goes to the journal: $JOURNAL_STREAM names its device and inode."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def encode_entry(event: dict[str, Any]) -> bytes:
    """Return one log event as a journal entry: its fields in capitals, MESSAGE, PRIORITY and MESSAGE_ID."""
    level = str(event.get("level", "info"))
    name = str(event.get("event", ""))
    rest = {key: value for key, value in event.items() if key not in ("level", "event", "timestamp")}
    words = " ".join(f"{key}={_text(value)}" for key, value in rest.items())
    fields = {
        "MESSAGE": f"{name} {words}".rstrip(),
        "PRIORITY": str(_PRIORITY.get(level, 6)),
        "SYSLOG_IDENTIFIER": "model-inbox",
        "MESSAGE_ID": message_id(name),
        "EVENT": name,
        "LEVEL": level,
    }
    fields |= {key.upper(): _text(value) for key, value in rest.items()}
    parts = []
    for key, value in fields.items():
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(key.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(key.encode() + b"=" + data + b"\n")
    return b"".join(parts)


class JournalSender:
    """The last step of structlog under systemd: sends each event, and never raises.

    If the journal does not read, the first line waits for `WAIT_SECONDS`. After that, lines are dropped until it reads
    again. The first line that is sent then has the number of lost lines (LINES_LOST=). A journal that was restarted is
    found at the same path.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._lost = 0

    def msg(self, **event: Any) -> None:
        """Send one event."""
        data = encode_entry(event | {"lines_lost": self._lost} if self._lost else event)
        self._socket.settimeout(0 if self._lost else WAIT_SECONDS)
        try:
            self._send(data)
        except (TimeoutError, BlockingIOError):
            self._lost += 1
        except OSError:
            # There is no journal at the path. The work goes on without a log.
            pass
        else:
            self._lost = 0

    log = debug = info = warning = error = critical = msg

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_large(data)

    def _send_large(self, data: bytes) -> None:
        """Send an entry that is too long for a datagram as a sealed memfd."""
        fd = os.memfd_create("model-inbox-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            self._socket.sendmsg([b""], rights, 0, self._path)
        finally:
            os.close(fd)
