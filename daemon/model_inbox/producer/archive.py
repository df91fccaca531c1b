"""A drop that comes as a tar archive through a pipe.

Owns the reading of such an archive. It comes from somebody else: only plain files with plain names are taken, each and
all of them bounded, and an archive without its end is none. Nothing is extracted: each file is read as it comes. Never
writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import DropRefused
from ..model.file_names import is_ignored
from ..problems import quoted

__all__ = ["Member", "members"]

_BLOCK = 512
_CHUNK = 1 << 20
_HEADER_BYTES_MAX = 1 << 16
_MEMBERS_MAX = 64
_REGULAR = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a FIFO",
}
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_PAX = re.compile(rb"([0-9]{1,6}) ([^=]+)=")
_HINT = "Make it with `tar -c MODEL SIDECAR`, of plain files in one folder"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive. `read` yields its bytes, which must be read before the next member."""

    name: str
    size: int
    mtime: float
    stream: BinaryIO

    def read(self) -> Iterator[bytes]:
        """Yield the bytes of the file. Raises DropRefused if the archive ends in it."""
        left = self.size
        while left:
            chunk = _exactly(self.stream, min(left, _CHUNK))
            left -= len(chunk)
            yield chunk
        _exactly(self.stream, -self.size % _BLOCK)


def members(stream: BinaryIO, *, bytes_max: int) -> Iterator[Member]:
    """Yield the files of an archive in its order. Names that the inbox ignores, such as `._m.pkl`, are passed over.

    `bytes_max` is the largest size of one file. Raises DropRefused for what is not such an archive.
    """
    said: dict[bytes, bytes] = {}
    for number in range(_MEMBERS_MAX):
        header = _exactly(stream, _BLOCK) if number else _first(stream)
        if not header.strip(b"\0"):
            while stream.read(_CHUNK):
                # The rest is padding; a writer that is not read to its end would fail.
                pass
            return
        _check(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            data = _small(stream, size)
            if kind == b"x":
                said |= _pax(data)
            elif kind == b"L":
                said[b"path"] = data.rstrip(b"\0")
            continue
        size = int(said.get(b"size", size))
        name = _name(said.get(b"path", _stored_name(header)))
        mtime = float(said.get(b"mtime", _number(header[136:148])))
        sparse = any(key.startswith(b"GNU.sparse") for key in said)
        said = {}
        if kind == b"5" and name in ("", "."):
            continue
        if kind not in _REGULAR or sparse:
            what = "a sparse file" if sparse or kind == b"S" else _KINDS.get(kind, "no plain file")
            raise _refused(f"{quoted(name)} is {what}")
        if not 0 <= size <= bytes_max:
            raise _refused(f"{quoted(name)} has more than {bytes_max} bytes, the limit of inbox.max_artifact_size")
        member = Member(name, size, mtime, stream)
        if "/" in name or "\\" in name or not name.isprintable() or name in ("", ".", ".."):
            raise _refused(f"{quoted(name)} is not the plain name of a file")
        if not is_ignored(name):
            yield member
            continue
        for _chunk in member.read():
            pass
    raise _refused(f"it has more than {_MEMBERS_MAX} files")


def _first(stream: BinaryIO) -> bytes:
    """Return the first header. A compressed archive may be shorter than one."""
    header = stream.read(_BLOCK)
    if header.startswith(_COMPRESSED):
        raise _refused("it is compressed")
    return header + _exactly(stream, _BLOCK - len(header))


def _refused(why: str) -> DropRefused:
    return DropRefused(f"cannot take the archive: {why}", hint=_HINT)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise DropRefused(
                "cannot take the archive: it ends too early",
                hint="Send it again: the connection was cut, or tar failed",
            )
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _small(stream: BinaryIO, size: int) -> bytes:
    """Return the data of a header that extends the next one."""
    if not 0 <= size <= _HEADER_BYTES_MAX:
        raise _refused("a header is too large")
    data = _exactly(stream, size)
    _exactly(stream, -size % _BLOCK)
    return data


def _check(header: bytes) -> None:
    try:
        told = int(header[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        told = -1
    if told != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise _refused("what came is not a tar archive")


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or binary where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise _refused("a header has a wrong number") from None


def _stored_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0]
    return prefix + b"/" + name if header[257:263] == b"ustar\0" and prefix else name


def _name(path: bytes) -> str:
    name = path.decode("utf-8", "surrogateescape")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _pax(data: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header. Raises DropRefused for a damaged one."""
    records = {}
    at = 0
    while at < len(data):
        match = _PAX.match(data, at)
        if match is None or not match.end() - at < int(match[1]) <= len(data) - at:
            raise _refused("a header is damaged")
        records[match[2]] = data[match.end() : at + int(match[1]) - 1]
        at += int(match[1])
    for key, kind in ((b"size", rb"[0-9]{1,18}"), (b"mtime", rb"-?[0-9]{1,12}(\.[0-9]{1,18})?")):
        if key in records and not re.fullmatch(kind, records[key]):
            raise _refused("a header is damaged")
    return records
