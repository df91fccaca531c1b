"""Scan torch's two file formats: the zip archive, and the old sequence of pickles and storages.

Owns the order of parts in both formats, and the check that each storage in the pickle has its bytes in the file. Never
reads the bytes of a storage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import is_count
from ..kinds import TORCH_LEGACY, TORCH_MAGIC, TORCH_ZIP, kind_of_start
from ..streams import BadStream, InflatedSource, MemorySource, Source
from ..stubs import Global, Recorder, Stub
from ..unpicklers import PlainUnpickler, TorchUnpickler, finish, open_stream
from .torch_storages import ITEM_SIZES, STORAGE, UNTYPED, StorageValue, new_storage
from .torch_zip import Member, read_zip_layout

__all__ = ["scan_legacy", "scan_nested", "scan_zip"]

_SMALL_MEMBER_BYTES = 4096

StorageCheck = Callable[[str, StorageValue], bool]
"""Raise BadStream unless the file has this storage under this key. Return whether this is its first mention."""


def storage_of_id(recorder: Recorder, persistent_id: Any, check: StorageCheck, *, legacy: bool) -> Any:
    """Return the stub for a persistent id of torch, or raise BadStream: a storage, or in the old format a class."""
    if type(persistent_id) is not tuple:
        raise BadStream("bad-persistent-id")
    if legacy and len(persistent_id) == 4 and persistent_id[0] == "module":
        # The old format has the source text of a class beside it. torch only compares it.
        if isinstance(persistent_id[1], Global) and all(type(part) in (str, type(None)) for part in persistent_id[2:]):
            return persistent_id[1]
        raise BadStream("bad-persistent-id")
    if len(persistent_id) != (6 if legacy else 5) or persistent_id[0] != "storage":
        raise BadStream("bad-persistent-id")
    storage_type, key, location, count = persistent_id[1:5]
    if legacy and persistent_id[5] is not None:
        raise BadStream("bad-persistent-id", detail="it is a view of a storage")
    known_type = isinstance(storage_type, Global) and storage_type.name in ITEM_SIZES
    if not known_type or type(key) is not str or type(location) is not str or not is_count(count):
        raise BadStream("bad-persistent-id")
    if legacy and storage_type.name in UNTYPED:
        raise BadStream("old-torch-format")
    value = StorageValue(count, ITEM_SIZES[storage_type.name], storage_type.name)
    if check(key, value):
        # It is read once, however often it is mentioned.
        recorder.charge(recorder.internal(STORAGE), count * value.item_size)
    return new_storage(recorder, value)


def scan_zip(recorder: Recorder, source: Source) -> Any:
    """Scan a torch archive and return the stub for the object in it."""
    if isinstance(source, InflatedSource):
        source = source.inflate()
    members = read_zip_layout(source)
    _check_small_members(source, members)
    storages: dict[str, StorageValue] = {}

    def check(key: str, value: StorageValue) -> bool:
        is_first = key not in storages
        member = members.get(f"data/{key}") if key.isascii() and key.isdigit() else None
        if member is None or member.size != value.items * value.item_size:
            raise BadStream("bad-storage", key[:40])
        # torch keeps the storage that it makes for the first mention, whatever type a later mention claims.
        if storages.setdefault(key, value) != value:
            raise BadStream("bad-storage", key[:40])
        value.source = source.part(member.offset, member.size)
        return is_first

    data = members["data.pkl"]
    stream = open_stream(recorder, source.part(data.offset, data.size))
    unpickler = TorchUnpickler(recorder, stream, lambda pid: storage_of_id(recorder, pid, check, legacy=False))
    result = unpickler.load()
    finish(stream)
    return result


def _check_small_members(source: Source, members: Mapping[str, Member]) -> None:
    for name, member in members.items():
        if name == "data.pkl" or name.startswith("data/"):
            continue
        if member.size > _SMALL_MEMBER_BYTES:
            raise BadStream("bad-zip-member", name)
        text = source.read_at(member.offset, member.size)
        if name == "byteorder" and text not in (b"little", b"big"):
            raise BadStream("bad-zip-member", name)
        if name in ("version", ".format_version", ".storage_alignment") and not text.strip().isdigit():
            raise BadStream("bad-zip-member", name)


def scan_legacy(recorder: Recorder, source: Source) -> Any:
    """Scan a file in torch's old format and return the stub for its object.

    Its parts are: magic number, version, system, the object, keys of storages, bytes of storages.
    """
    stream = open_stream(recorder, source)
    storages: dict[str, list[StorageValue]] = {}

    def check(key: str, value: StorageValue) -> bool:
        mentions = storages.setdefault(key, [])
        mentions.append(value)
        if mentions[0] != value:
            raise BadStream("bad-storage", key[:40])
        return len(mentions) == 1

    def plain() -> Any:
        return PlainUnpickler(recorder, stream).load()

    if plain() != TORCH_MAGIC or plain() != 1001 or type(plain()) is not dict:
        raise BadStream("bad-torch-legacy")
    unpickler: TorchUnpickler = TorchUnpickler(
        recorder, stream, lambda pid: storage_of_id(recorder, pid, check, legacy=True)
    )
    recorder.torch_legacy = True
    try:
        result = unpickler.load()
    finally:
        recorder.torch_legacy = False
    keys = plain()
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise BadStream("bad-torch-legacy")
    for key in keys:
        (count,) = struct.unpack("<q", stream.read_exactly(8))
        mentions = storages[key]
        if count != mentions[0].items:
            raise BadStream("bad-storage", key[:40])
        size = count * mentions[0].item_size
        # Compressed contents have no positions: what has to be read in them is refused.
        at = None if stream.size is None else source.part(stream.tell(), size)
        for value in mentions:
            value.source = at
        stream.skip(size)
    finish(stream)
    return result


def scan_nested(recorder: Recorder, data: bytes) -> Any:
    """Scan the torch file in the bytes of a pickle, with the same recorder, to a bounded depth."""
    if recorder.nesting >= Recorder.NESTING_MAX:
        raise BadStream("nested-too-deep")
    outer = recorder.stream
    source = outer.payload(data) if outer is not None else MemorySource(data)
    kind = kind_of_start(source.read_at(0, 64))
    recorder.nesting += 1
    try:
        if kind == TORCH_ZIP:
            result = scan_zip(recorder, source)
        elif kind == TORCH_LEGACY:
            result = scan_legacy(recorder, source)
        else:
            raise BadStream("nested-not-torch")
    finally:
        recorder.nesting -= 1
        recorder.stream = outer
    return result if isinstance(result, Stub) else None
