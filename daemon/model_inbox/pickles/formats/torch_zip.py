"""Read the layout of torch's zip archives strictly. Pure: reads only through the source that is passed in.

Owns the positions of the members. An archive must have exactly the layout that torch writes: every byte belongs to one
stored member with a known name, and local and central headers are equal. Otherwise two zip readers could see different
files in it. Never reads the contents of a member.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

from ..streams import BadStream, Source

__all__ = ["Member", "read_zip_layout"]

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<4sIQI")

_STREAMED = 0x0008
_UTF8 = 0x0800
_MEMBERS_MAX = 200_000
_MEMBER = re.compile(
    r"(data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,9})\Z"
)


class Member(NamedTuple):
    """A stored member of the archive: where its bytes begin, and their number."""

    offset: int
    size: int


class _Entry(NamedTuple):
    """An entry of the central directory."""

    name: str
    flags: int
    crc: int
    size: int
    header: int


def _bad(detail: str) -> BadStream:
    return BadStream("bad-zip", detail=detail)


def read_zip_layout(source: Source) -> dict[str, Member]:
    """Return the members of a torch archive by their names below its top folder, or raise BadStream.

    Every byte must belong to something: the members follow each other from the first byte, then come the directory and
    its end records, then nothing.
    """
    assert source.size is not None  # noqa: S101 - the caller decompresses a compressed source before
    directory_start, directory_size, count = _read_end(source, source.size)
    entries = _read_directory(source.read_at(directory_start, directory_size), count)
    members: dict[str, Member] = {}
    position = 0
    top = entries[0].name.partition("/")[0] if entries else ""
    for entry in sorted(entries, key=lambda entry: entry.header):
        if entry.header != position:
            raise _bad("some bytes belong to no member")
        member, position = _read_member(source, entry)
        folder, _, name = entry.name.partition("/")
        if folder != top or not _MEMBER.match(name):
            raise BadStream("bad-zip-member", entry.name[:200])
        if name in members:
            raise _bad("two members have one name")
        members[name] = member
    if position != directory_start:
        raise _bad("some bytes belong to no member")
    if "data.pkl" not in members:
        raise _bad("it has no data.pkl")
    return members


def _read_end(source: Source, size: int) -> tuple[int, int, int]:
    """Return start, size and number of entries of the central directory."""
    if size < _END.size:
        raise BadStream("truncated")
    end_at = size - _END.size
    signature, disk, disk_start, here, count, length, start, comment = _END.unpack(source.read_at(end_at, _END.size))
    if signature != b"PK\x05\x06":
        raise BadStream("truncated", detail="it has no directory at its end")
    if disk or disk_start or comment or here != count:
        raise _bad("an invalid end record")
    locator_at = end_at - _LOCATOR64.size
    if locator_at >= _END64.size:
        locator = _LOCATOR64.unpack(source.read_at(locator_at, _LOCATOR64.size))
        if locator[0] == b"PK\x06\x07":
            return _read_end64(source, locator, locator_at, (start, length, count))
    if start + length != end_at or 0xFFFFFFFF in (start, length) or count == 0xFFFF:
        raise _bad("the directory is not where its end record says")
    return _checked_directory(start, length, count)


def _read_end64(
    source: Source, locator: tuple[Any, ...], locator_at: int, short: tuple[int, int, int]
) -> tuple[int, int, int]:
    _, disk, end64_at, disks = locator
    if disk or disks != 1 or end64_at != locator_at - _END64.size:
        raise _bad("an invalid locator")
    fields = _END64.unpack(source.read_at(end64_at, _END64.size))
    signature, record_size, _, _, disk, disk_start, here, count, length, start = fields
    if signature != b"PK\x06\x06" or record_size != _END64.size - 12 or disk or disk_start or here != count:
        raise _bad("an invalid end record")
    if start + length != end64_at:
        raise _bad("the directory is not where its end record says")
    for long, brief, limit in zip((start, length, count), short, (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF), strict=True):
        # The short record repeats each number, or has all bits set if the number does not fit into it.
        if brief != limit and brief != long:
            raise _bad("the end records differ")
    return _checked_directory(start, length, count)


def _checked_directory(start: int, length: int, count: int) -> tuple[int, int, int]:
    if not 0 < count <= _MEMBERS_MAX or length < count * _CENTRAL.size or length > count * 1024:
        raise _bad("an invalid number of members")
    return start, length, count


def _read_directory(data: bytes, count: int) -> list[_Entry]:
    entries = []
    position = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(data):
            raise _bad("the directory is too short")
        fields = _CENTRAL.unpack_from(data, position)
        signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment = fields[:13]
        disk, _, _, header = fields[13:]
        position += _CENTRAL.size
        name = data[position : position + name_length]
        extra = data[position + name_length : position + name_length + extra_length]
        position += name_length + extra_length
        if signature != b"PK\x01\x02" or method or comment or disk or flags & ~(_STREAMED | _UTF8):
            raise _bad("a member that is compressed, encrypted or invalid")
        if packed != size or not name.isascii() or not name.decode("ascii").isprintable() or b"\\" in name:
            raise _bad("a member that is compressed, encrypted or invalid")
        size, header = _wide_numbers(extra, size, packed, header)
        entries.append(_Entry(name.decode("ascii"), flags, crc, size, header))
    if position != len(data):
        raise _bad("the directory is too long")
    return entries


def _wide_numbers(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int]:
    """Return size and header offset. Those with all bits set are in the zip64 extra field."""
    limit = 0xFFFFFFFF
    if limit not in (size, packed, header):
        if extra:
            raise _bad("an invalid extra field")
        return size, header
    wanted = [value == limit for value in (size, packed, header)]
    if len(extra) != 4 + 8 * sum(wanted) or struct.unpack_from("<HH", extra) != (1, len(extra) - 4):
        raise _bad("an invalid extra field")
    values = iter(struct.unpack_from(f"<{sum(wanted)}Q", extra, 4))
    size, packed, header = (
        next(values) if wide else value for wide, value in zip(wanted, (size, packed, header), strict=True)
    )
    if size != packed:
        raise _bad("a member that is compressed, encrypted or invalid")
    return size, header


def _read_member(source: Source, entry: _Entry) -> tuple[Member, int]:
    """Return the position of a member's bytes, and where the next member must begin."""
    head = source.read_at(entry.header, _LOCAL.size)
    if len(head) != _LOCAL.size:
        raise BadStream("truncated")
    fields = _LOCAL.unpack(head)
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    name = source.read_at(entry.header + _LOCAL.size, name_length)
    if signature != b"PK\x03\x04" or flags != entry.flags or method or name != entry.name.encode("ascii"):
        raise _bad("the headers of a member differ")
    offset = entry.header + _LOCAL.size + name_length + extra_length
    end = offset + entry.size
    if flags & _STREAMED:
        # Checksum and sizes follow the bytes of the member. The header can have zeros for them.
        allowed = {(0, 0, 0), (entry.crc, entry.size, entry.size), (0, 0xFFFFFFFF, 0xFFFFFFFF)}
        if (crc, packed, size) not in allowed:
            raise _bad("the headers of a member differ")
        end = _after_descriptor(source, entry, end)
    else:
        wide = entry.size >= 0xFFFFFFFF
        if crc != entry.crc or (packed, size) != ((0xFFFFFFFF,) * 2 if wide else (entry.size,) * 2):
            raise _bad("the headers of a member differ")
    assert source.size is not None  # noqa: S101 - checked by the caller
    if end > source.size:
        raise BadStream("truncated")
    return Member(offset, entry.size), end


def _after_descriptor(source: Source, entry: _Entry, at: int) -> int:
    data = source.read_at(at, 24)
    for form in ("<4sIII", "<4sIQQ"):
        length = struct.calcsize(form)
        if len(data) >= length and struct.unpack_from(form, data) == (b"PK\x07\x08", entry.crc, entry.size, entry.size):
            return at + length
    raise _bad("the headers of a member differ")
