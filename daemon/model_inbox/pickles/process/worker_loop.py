"""The loop of the worker: one open file in, one recording out. Runs in the process of the worker.

Owns the steps of one scan there: set the limits, scan, lift the limits, answer. Never starts or limits the process
itself: `worker` does, and passes in the socket and the limits. Never blames a file for what is not its own: an error
of the disk, or memory that our limits allow and the process does not get, is answered as a failure of ours.
"""

from __future__ import annotations

import array
import gc
import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from ..scan import Recording, record
from ..streams import FileSource, ReadError
from .protocol import ANSWER_BYTES_MAX, BEGUN, LENGTH, READY, REQUEST

if TYPE_CHECKING:
    from _socket import socket

__all__ = ["RETIRE_GROWTH_BYTES", "Bounds", "serve"]

RETIRE_GROWTH_BYTES = 64 << 20
"""A worker that has grown by this much memory ends after its answer, and the scanner starts another one."""


class Bounds(Protocol):
    """The limits of one scan, and the memory of the process."""

    def set(self, memory: int, cpu_seconds: int) -> int: ...

    def lift(self) -> None: ...

    def gives(self, memory: int) -> bool: ...

    def cpu_seconds_used(self) -> float: ...

    def is_cpu_half_used(self) -> bool: ...

    def memory(self) -> tuple[int, int]: ...


def serve(connection: socket, bounds: Bounds) -> None:
    """Answer requests until the other end is closed, or until this process has grown too much."""
    connection.sendall(READY)
    at_first = bounds.memory()[0]
    while (request := _receive(connection)) is not None:
        size, memory, cpu_seconds, fd = request
        try:
            short = bounds.set(memory, cpu_seconds)
            connection.sendall(BEGUN.pack(short, bounds.cpu_seconds_used()))
            answer = _scanned(fd, size, bounds)
        finally:
            os.close(fd)
        gc.collect()
        bounds.lift()
        if _ran_out_of_memory(answer) and not bounds.gives(memory):
            answer = {"failed": "memory"}
        # A higher peak than this would hide those of later scans.
        retires = bounds.memory()[1] - at_first > RETIRE_GROWTH_BYTES or bounds.is_cpu_half_used()
        answer["retires"] = retires
        _answer(connection, answer)
        if retires:
            return


def _scanned(fd: int, size: int, bounds: Bounds) -> Recording:
    try:
        return record(FileSource(fd, size), bounds.memory)
    except ReadError as error:
        return {"failed": error.strerror or "it cannot be read", "errno": error.errno or 0}


def _ran_out_of_memory(answer: Recording) -> bool:
    return any(what == "needs-memory" for what, _, _ in answer.get("findings", ()))


def _receive(connection: socket) -> tuple[int, int, int, int] | None:
    """Return the next request and its descriptor, or None if the other end is closed.

    Raise OSError for a request without a descriptor, as it comes when no more can be open.
    """
    descriptors = array.array("i")
    data, ancillary, _flags, _address = connection.recvmsg(REQUEST.size, 64)
    for _level, _type, payload in ancillary:
        descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    if not data:
        return None
    if len(data) != REQUEST.size or len(descriptors) != 1:
        raise OSError("a request came without its file")
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
