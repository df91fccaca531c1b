"""Pickles made by hand: opcodes, payloads whose effect would be seen, and torch archives of any layout.

Owns the bytes of the pickle tests. Payloads write a marker file when they run, so that a test can show that
nothing ran. Nothing here needs a framework.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STOP = b"."
PROTO = {number: bytes([0x80, number]) for number in range(6)}


def text(value: str) -> bytes:
    """Opcodes that push text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def data(value: bytes) -> bytes:
    """Opcodes that push bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def named(module: str, name: str) -> bytes:
    """Opcodes that push the value of a global name."""
    return text(module) + text(name) + b"\x93"


def called(callee: bytes, *arguments: bytes) -> bytes:
    """Opcodes that push the result of a call."""
    return callee + b"(" + b"".join(arguments) + b"tR"


def built(target: bytes, state: bytes) -> bytes:
    """Opcodes that set the state of the object that `target` pushes."""
    return target + state + b"b"


def noted(place: int, pushed: bytes) -> bytes:
    """Opcodes that keep what `pushed` pushes at a place of the memo: 1000 or more, since `value` uses the first."""
    return pushed + b"r" + struct.pack("<I", place)


def again(place: int) -> bytes:
    """Opcodes that push what is at a place of the memo."""
    return b"j" + struct.pack("<I", place)


def changed(place: int, key: bytes, item: bytes) -> bytes:
    """Opcodes that set an item of the list or dictionary at a place of the memo, and push nothing."""
    return again(place) + key + item + b"s0"


def new(module: str, name: str) -> bytes:
    """Opcodes that push an instance made without __init__."""
    return named(module, name) + b")\x81"


def mapping(items: Mapping[str, bytes]) -> bytes:
    """Opcodes that push a dictionary with text for keys."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def value(plain: Any) -> bytes:
    """Opcodes that push a plain value, as pickle writes it, without a frame or memo."""
    body = pickle._dumps(plain, 3)  # type: ignore[attr-defined]  # the pure-Python one: no frame
    assert body.startswith(PROTO[3])
    assert body.endswith(STOP)
    return body[2:-1]


def pickled(*parts: bytes, protocol: int = 4) -> bytes:
    """Return a whole pickle of the given opcodes."""
    return PROTO[protocol] + b"".join(parts) + STOP


# --- payloads ------------------------------------------------------------------------------------------------


def runs(marker: Path, module: str = "os") -> bytes:
    """Opcodes that make the folder `marker` when they are run."""
    return called(named(module, "mkdir"), text(str(marker)))


@dataclass
class RunsCode:
    """An object whose pickle makes the folder `marker` when it is loaded."""

    marker: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


# --- torch archives ------------------------------------------------------------------------------------------


@dataclass
class Part:
    """A member of an archive. Each number in its headers can be set to a wrong value."""

    name: str
    data: bytes
    local_name: str | None = None
    method: int = 0
    flags: int = 0
    gap: bytes = b""
    central_size: int | None = None
    central_crc: int | None = None


def archive(parts: Sequence[Part], *, before_directory: bytes = b"", comment: bytes = b"", after: bytes = b"") -> bytes:
    """Return a zip of stored members. It is valid unless its parts or the other arguments make it invalid."""
    body = b""
    directory = b""
    for part in parts:
        body += part.gap
        crc = zlib.crc32(part.data)
        offset = len(body)
        name = (part.local_name or part.name).encode()
        fields = (part.flags, part.method, 0, 0, crc, len(part.data), len(part.data))
        body += struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 0, *fields, len(name), 0) + name + part.data
        size = len(part.data) if part.central_size is None else part.central_size
        central_crc = crc if part.central_crc is None else part.central_crc
        name = part.name.encode()
        central = (part.flags, part.method, 0, 0, central_crc, size, size, len(name), 0, 0, 0, 0, 0, offset)
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 0, 0, *central) + name
    body += before_directory
    count = len(parts)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), len(comment))
    return body + directory + end + comment + after


def storage_id(kind: str = "FloatStorage", key: str = "0", items: int = 2) -> bytes:
    """Opcodes of a persistent id of torch: a storage."""
    return b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + value(items) + b"tQ"


def tensor(storage: bytes, offset: int = 0, size: Iterable[int] = (2,), stride: Iterable[int] = (1,)) -> bytes:
    """Opcodes of a tensor on a storage."""
    hooks = called(named("collections", "OrderedDict"))
    parts = (storage, value(offset), value(tuple(size)), value(tuple(stride)), b"\x89", hooks)
    return called(named("torch._utils", "_rebuild_tensor_v2"), *parts)


def torch_archive(pickle_data: bytes, storages: Mapping[str, bytes] | None = None, *extra: Part) -> bytes:
    """Return an archive with torch's layout, with the given pickle and storages."""
    return archive(
        [
            Part("archive/data.pkl", pickle_data),
            Part("archive/byteorder", b"little"),
            *(Part(f"archive/data/{key}", content) for key, content in (storages or {}).items()),
            Part("archive/version", b"3\n"),
            *extra,
        ]
    )


TORCH_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)


def torch_legacy(body: bytes, keys: Sequence[str], storages: bytes) -> bytes:
    """Return a file of torch's old format."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = TORCH_MAGIC + pickle.dumps(1001, 2) + pickle.dumps(system, 2)
    return head + body + pickle.dumps(list(keys), 2) + storages


def legacy_storage_id(kind: str = "FloatStorage", key: str = "0", items: int = 2) -> bytes:
    """Opcodes of a persistent id in the old format: one more field, for views."""
    return b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu") + value(items) + b"NtQ"


# --- numpy ---------------------------------------------------------------------------------------------------


def dtype(code: str = "f8", state: tuple[Any, ...] | None = None) -> bytes:
    """Opcodes of a numpy dtype with the state that numpy writes for a plain one, or with another."""
    made = called(named("numpy", "dtype"), text(code), b"\x89", b"\x88")
    return built(made, value(state if state is not None else (3, "<", None, None, None, -1, -1, 0)))


def array(
    shape: tuple[int, ...] = (2,), content: bytes = bytes(16), kind: bytes | None = None, order: bytes = b"\x89"
) -> bytes:
    """Opcodes of a numpy array."""
    made = called(named("numpy._core.multiarray", "_reconstruct"), named("numpy", "ndarray"), value((0,)), data(b"b"))
    return built(made, b"(" + value(1) + value(shape) + (kind or dtype()) + order + data(content) + b"t")


def zeros(*shape: int) -> bytes:
    """Opcodes of an array of floats, all of them zero."""
    return array(shape, bytes(8 * math.prod(shape)))


def objects(shape: tuple[int, ...], items: bytes) -> bytes:
    """Opcodes of an array of objects, made of the list that `items` pushes."""
    made = called(named("numpy._core.multiarray", "_reconstruct"), named("numpy", "ndarray"), value((0,)), data(b"b"))
    kind = dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    return built(made, b"(" + value(1) + value(shape) + kind + b"\x89" + items + b"t")


def record(fields: dict[str, str]) -> tuple[bytes, int]:
    """Opcodes of a packed structured dtype, and its size."""
    sizes = [int(code[1]) for code in fields.values()]
    size = sum(sizes)
    parts = [
        text(name)
        + b"("
        + dtype(code, (3, "|" if code == "u1" else "<", None, None, None, -1, -1, 0))
        + value(sum(sizes[:place]))
        + b"t"
        for place, (name, code) in enumerate(fields.items())
    ]
    state = (
        b"(" + value(3) + text("|") + b"N" + value(tuple(fields))
        + b"}(" + b"".join(parts) + b"u" + value(size) + value(1) + value(0) + b"t"
    )  # fmt: skip
    return built(called(named("numpy", "dtype"), text(f"V{size}"), b"\x89", b"\x88"), state), size


def table(fields: dict[str, str], layout: str, rows: list[tuple[Any, ...]]) -> bytes:
    """Opcodes of a structured array."""
    kind, size = record(fields)
    assert struct.calcsize(layout) == size
    return array((len(rows),), b"".join(struct.pack(layout, *row) for row in rows), kind)


# --- joblib --------------------------------------------------------------------------------------------------


def joblib_array(
    content: bytes = bytes(16), shape: tuple[int, ...] = (2,), kind: bytes | None = None, **more: bytes
) -> bytes:
    """Opcodes of joblib's array wrapper, followed by the padding length and the raw bytes of the array."""
    fields = {
        "subclass": named("numpy", "ndarray"),
        "shape": value(shape),
        "order": text("C"),
        "dtype": kind or dtype(),
        "allow_mmap": b"\x88",
        "numpy_array_alignment_bytes": value(16),
        **more,
    }
    wrapper = built(new("joblib.numpy_pickle", "NumpyArrayWrapper"), mapping(fields))
    return wrapper + b"\x03\xff\xff\xff" + content
