"""The loop of the worker: one open file in, one recording out. Runs in the process of the worker.

Owns the steps of one scan there: set the limits, scan, lift the limits, answer. Never starts or limits the process
itself: `worker` does, and passes in the socket and the limits.
"""

from __future__ import annotations

import array
import gc
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from ..scan import Recording, record
from ..streams import FileSource
from .protocol import ANSWER_BYTES_MAX, LENGTH, READY, REQUEST

if TYPE_CHECKING:
    from _socket import socket

__all__ = ["RETIRE_GROWTH_BYTES", "Bounds", "serve"]

RETIRE_GROWTH_BYTES = 64 << 20
"""A worker that has grown by this much memory ends after its answer, and the scanner starts another one."""


class Bounds(Protocol):
    """The limits of one scan, and the memory of the process."""

    def set(self, memory: int, cpu_seconds: int) -> None: ...

    def lift(self) -> None: ...

    def resident(self) -> int: ...


def serve(connection: socket, bounds: Bounds) -> None:
    """Answer requests until the other end is closed, or until this process has grown too much."""
    connection.sendall(READY)
    at_first = bounds.resident()
    while (request := _receive(connection)) is not None:
        size, memory, cpu_seconds, fd = request
        try:
            bounds.set(memory, cpu_seconds)
            recording = record(FileSource(fd, size))
        finally:
            os.close(fd)
        gc.collect()
        bounds.lift()
        recording["retires"] = bounds.resident() - at_first > RETIRE_GROWTH_BYTES
        _answer(connection, recording)
        if recording["retires"]:
            return


def _receive(connection: socket) -> tuple[int, int, int, int] | None:
    """Return the next request and its descriptor, or None if the other end is closed."""
    descriptors = array.array("i")
    data, ancillary, _flags, _address = connection.recvmsg(REQUEST.size, 64)
    for _level, _type, payload in ancillary:
        descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if len(data) != REQUEST.size or len(descriptors) != 1:
        return None
    size, memory, cpu_seconds = REQUEST.unpack(data)
    return size, memory, cpu_seconds, descriptors[0]


def _answer(connection: socket, recording: Recording) -> None:
    data = json.dumps(recording).encode("ascii")
    if len(data) > ANSWER_BYTES_MAX:
        bounded: dict[str, Any] = {
            **recording,
            "uses": {},
            "findings": [["too-many-names", "", str(len(recording["uses"]))]],
        }
        data = json.dumps(bounded).encode("ascii")
    connection.sendall(LENGTH.pack(len(data)) + data)
