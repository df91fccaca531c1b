"""Recognise the kind and the compression of a file from its first bytes, and check that it has its end.

Owns the kinds and `looks_complete`. Never parses a file. Scan and load call the same `kind_of_start`, so both use the
same parser. A file of joblib starts like any pickle: it is recognised when a parser meets joblib's array wrapper and
raises `NeedsJoblib`.
"""

from __future__ import annotations

import os

__all__ = [
    "JOBLIB",
    "PLAIN",
    "TORCH_LEGACY",
    "TORCH_MAGIC",
    "TORCH_ZIP",
    "NeedsJoblib",
    "compression_of",
    "kind_of_start",
    "looks_complete",
    "other_format",
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
"""How pickles of protocols 0 and 1 can begin. They have no header."""

_COMPRESSED_STARTS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"]\x00\x00", "lzma"),
    (b'\x04"M\x18', "lz4"),
)

START_BYTES = 64
"""How many bytes `kind_of_start` needs."""


class NeedsJoblib(Exception):
    """A plain parser met joblib's array wrapper. Parse the file again from its start, with joblib's parser."""


def compression_of(start: bytes) -> str:
    """Return the compression of data that starts with these bytes, or "" if it is not compressed."""
    for magic, name in _COMPRESSED_STARTS:
        if start.startswith(magic):
            return name
    # zlib has no magic number: the first byte is the compression method, and the first two are a multiple of 31.
    if len(start) >= 2 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0:
        return "zlib"
    return ""


def kind_of_start(start: bytes) -> str:
    """Return the kind of uncompressed data from its first bytes. PLAIN can still turn out to be JOBLIB."""
    if start.startswith(_ZIP_START):
        return TORCH_ZIP
    if _TORCH_MAGIC_BYTES in start[:32]:
        return TORCH_LEGACY
    return PLAIN


_FORMATS = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "parquet"),
    (b"\x93NUMPY", "npy"),
    (b"CBM1", "catboost"),
    (b"tree\n", "lightgbm"),
    (b"version https://git-lfs", "git-lfs"),
    (b"%PDF", "pdf"),
    (b"\x7fELF", "elf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"<?xml", "xml"),
)
_PAGES = (b"<!doctype html", b"<html")
_ONNX_FIELDS = (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")
_IN_ZIP = (
    ("torchscript", (b"/constants.pkl", b"/code/")),
    ("keras", (b"model.weights.h5",)),
    ("npz", (b".npy",)),
)


def other_format(start: bytes, end: bytes = b"") -> str:
    """Return the format of a file that is no pickle, a key of `report.OTHER_FORMATS`, or "" if it is not known.

    `start` are its first bytes. For a zip archive `end` are its last ones, where the names of its members are.
    """
    if start.startswith(_ZIP_START):
        return next((name for name, marks in _IN_ZIP if any(mark in end for mark in marks)), "zip")
    for magic, name in _FORMATS:
        if start.startswith(magic):
            return name
    text = start.lstrip()
    if text[:14].lower().startswith(_PAGES):
        return "html"
    if start.startswith(b"{L"):
        return "ubj"
    if start[8:10] == b'{"' and int.from_bytes(start[:8], "little") < 1 << 32:
        return "safetensors"
    if text[:1] in (b"{", b"[") and text[1:].lstrip()[:1] in (b'"', b"{", b"["):
        return "json"
    # ONNX is a protocol buffer that begins with its version, then the name of the program that made it.
    if len(start) > 3 and start[0] == 8 and 0 < start[1] < 32 and start[2:3] in _ONNX_FIELDS:
        return "onnx"
    return ""


def looks_complete(file: int | str | os.PathLike[str]) -> bool:
    """Return whether a file can be complete, from a few bytes at its start and end.

    `file` is a path or an open descriptor. A pickle ends with its STOP opcode, a zip with its directory: False means
    that this end is missing. An empty file has no end. For other kinds (compressed, torch's old format, unknown) a few
    bytes cannot show it: True. Raise OSError if the file cannot be read.
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
