"""What kind of file this is, from its first bytes, and whether it has its end.

Owns the kinds and `looks_complete`. Scan and load call the same `kind_of_start`, so both hand a file to the same
parser. Whether an uncompressed stream is joblib's shows only when the parser meets joblib's array wrapper:
`NeedsJoblib` says so.
"""

from __future__ import annotations

import os

from .streams import compression_of

__all__ = [
    "JOBLIB",
    "PLAIN",
    "TORCH_LEGACY",
    "TORCH_MAGIC",
    "TORCH_ZIP",
    "NeedsJoblib",
    "kind_of_start",
    "looks_complete",
]

PLAIN = "plain"
JOBLIB = "joblib"
TORCH_ZIP = "torch-zip"
TORCH_LEGACY = "torch-legacy"

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_MAGIC_BYTES = TORCH_MAGIC.to_bytes(10, "little")
_ZIP_START = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP_END_BYTES = 22
_OLD_STARTS = (b"(", b"]", b"}", b"ccopy_reg\n", b"c__builtin__\n", b"cnumpy", b"csklearn")
"""How pickles of protocols 0 and 1 begin; they have no header."""

START_BYTES = 64


class NeedsJoblib(Exception):
    """A plain parser met joblib's array wrapper: the file must be parsed from its start by joblib's parser."""


def kind_of_start(start: bytes) -> str:
    """Return the kind of uncompressed data from its first 64 bytes: PLAIN where only parsing tells."""
    if start.startswith(_ZIP_START):
        return TORCH_ZIP
    if _TORCH_MAGIC_BYTES in start[:32]:
        return TORCH_LEGACY
    return PLAIN


def looks_complete(file: int | str | os.PathLike[str]) -> bool:
    """Tell whether a file (a path or an open descriptor) can be whole, from a few bytes at its start and end.

    A pickle ends with its STOP opcode and a zip with its directory; False means that the end is missing. Of other
    kinds (compressed, torch's old format, anything unknown) the end cannot be told cheaply: True. An empty file
    has no end. OSError where it cannot be read.
    """
    if not isinstance(file, int):
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return looks_complete(fd)
        finally:
            os.close(fd)
    size = os.fstat(file).st_size
    if size == 0:
        return False
    start = os.pread(file, START_BYTES, 0)
    end = os.pread(file, _ZIP_END_BYTES, max(0, size - _ZIP_END_BYTES))
    if compression_of(start):
        return True
    kind = kind_of_start(start)
    if kind == TORCH_ZIP:
        return len(end) == _ZIP_END_BYTES and end.startswith(_ZIP_END)
    if kind == PLAIN and (start.startswith(b"\x80") or start.startswith(_OLD_STARTS)):
        return end.endswith(b".")
    return True
