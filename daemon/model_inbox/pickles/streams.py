"""Read the bytes of a pickle: the one reader that scan and load share, and the sources that bytes come from.

Owns `Source` (a file, a part of a file, memory, a compressed stream) and `Stream` (what an unpickler reads from).
Never decides what bytes mean, and never opens a file: descriptors are passed in.

A `Stream` has read, readline and readinto, but no peek. If a file has peek, CPython's unpickler reads from a wrong
position where an opcode crosses the end of a frame (gh-154848). The same bytes then parse differently from a file,
from BytesIO and from `loads`. Without peek there is one parse, and scan and load share it.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .kinds import compression_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = [
    "BadStream",
    "FileSource",
    "InflatedSource",
    "MemorySource",
    "PayloadSkippingStream",
    "ReadError",
    "Source",
    "Stream",
    "open_compressed",
]

BUFFER_BYTES = 256 * 1024
"""Bytes of one read from a file. Larger reads, as of arrays, bypass the buffer."""


class BadStream(Exception):
    """The bytes are not valid in their format. `what` is a key of `report.FINDINGS`."""

    def __init__(self, what: str, subject: str = "", detail: str = "") -> None:
        super().__init__(what, subject, detail)
        self.what = what
        self.subject = subject
        self.detail = detail


class ReadError(OSError):
    """The system refused to read the file. That says nothing about its bytes."""


SMALL_BYTES = 64 << 20
"""Files up to this size are read into memory. A pickle without frames (protocols 0 to 3) is read opcode by opcode,
and a call of BytesIO costs half as much as a call of a buffered reader."""


# --- sources -------------------------------------------------------------------------------------------------


class Source(Protocol):
    """Bytes that can be read from their start any number of times.

    `size` is the number of bytes. It is None for compressed data, whose size is known only after reading to the end.
    """

    @property
    def size(self) -> int | None: ...

    def raw(self) -> io.RawIOBase:
        """Return a new raw reader, positioned at the first byte."""
        ...

    def buffered(self) -> io.BufferedIOBase:
        """Return a new buffered reader, positioned at the first byte."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, or fewer at the end. This copies, so use it for small lengths only."""
        ...

    def part(self, offset: int, length: int) -> Source:
        """Return a source for a part of these bytes, without copying them."""
        ...


class _Positioned(io.RawIOBase):
    """A raw reader with random access. Sub-classes copy the bytes at `offset` into a buffer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._position = 0

    def _fill(self, view: memoryview, offset: int) -> int:
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._position)]
        count = self._fill(view, self._position) if view else 0
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


class _FileReader(_Positioned):
    def __init__(self, fd: int, start: int, size: int) -> None:
        super().__init__(size)
        self._fd = fd
        self._start = start

    def _fill(self, view: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._fd, [view], self._start + offset)
        except OSError as error:
            raise ReadError(error.errno, error.strerror) from error


class _MemoryReader(_Positioned):
    def __init__(self, data: memoryview) -> None:
        super().__init__(len(data))
        self._data = data

    def _fill(self, view: memoryview, offset: int) -> int:
        view[:] = self._data[offset : offset + len(view)]
        return len(view)


class FileSource:
    """An open file, or `size` bytes of it from `start`. Reads by position and never moves the descriptor's offset."""

    def __init__(self, fd: int, size: int, start: int = 0) -> None:
        self._fd = fd
        self._start = start
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def raw(self) -> io.RawIOBase:
        return _FileReader(self._fd, self._start, self._size)

    def buffered(self) -> io.BufferedIOBase:
        reader = io.BufferedReader(self.raw(), BUFFER_BYTES)
        return io.BytesIO(reader.read()) if self._size <= SMALL_BYTES else reader

    def read_at(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, max(0, min(length, self._size - offset)), self._start + offset)
        except OSError as error:
            raise ReadError(error.errno, error.strerror) from error

    def part(self, offset: int, length: int) -> FileSource:
        return FileSource(self._fd, length, self._start + offset)


class MemorySource:
    """Bytes in memory, never copied."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")

    @property
    def size(self) -> int:
        return len(self._data)

    def raw(self) -> io.RawIOBase:
        return _MemoryReader(self._data)

    def buffered(self) -> io.BufferedIOBase:
        whole = self._data.obj
        if type(whole) is bytes and len(whole) == len(self._data):
            # BytesIO shares the bytes object and does not copy it.
            return io.BytesIO(whole)
        return io.BytesIO(self._data) if len(self._data) <= SMALL_BYTES else io.BufferedReader(self.raw(), BUFFER_BYTES)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def part(self, offset: int, length: int) -> MemorySource:
        return MemorySource(self._data[offset : offset + length])


# --- compressed sources --------------------------------------------------------------------------------------


class _Decompressor(Protocol):
    """The interface that bz2, lzma and lz4 share. zlib has an adapter to it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _ZlibDecompressor:
    def __init__(self, window_bits: int) -> None:
        import zlib

        self._inner = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _new_decompressor(name: str) -> _Decompressor:
    if name in ("gzip", "zlib"):
        return _ZlibDecompressor(31 if name == "gzip" else 15)
    if name == "bz2":
        import bz2

        return bz2.BZ2Decompressor()
    if name in ("xz", "lzma"):
        import lzma

        form = lzma.FORMAT_XZ if name == "xz" else lzma.FORMAT_ALONE
        return lzma.LZMADecompressor(form, memlimit=1 << 28)
    try:
        lz4_frame = importlib.import_module("lz4.frame")
    except ImportError:
        raise BadStream("no-lz4") from None
    decompressor: _Decompressor = lz4_frame.LZ4FrameDecompressor()
    return decompressor


class _Inflater(io.RawIOBase):
    """Decompresses one compressed stream, with nothing after it. Reads forward only, in bounded steps."""

    _STEP = 1 << 20

    def __init__(self, name: str, compressed: io.RawIOBase, size_max: int) -> None:
        super().__init__()
        self._name = name
        self._compressed = compressed
        self._decompressor = _new_decompressor(name)
        self._left = size_max
        self._ready = memoryview(b"")
        self._read = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._read

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._ready:
            self._ready = memoryview(self._next_piece())
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._read += count
        return count

    def _next_piece(self) -> bytes:
        decompressor = self._decompressor
        while not decompressor.eof:
            wants_input = decompressor.needs_input
            piece = (self._compressed.read(self._STEP) or b"") if wants_input else b""
            try:
                data = decompressor.decompress(piece, self._STEP)
            except (OSError, ValueError, EOFError, RuntimeError) as error:
                raise BadStream("bad-compressed", detail=self._name) from error
            except Exception as error:
                # zlib.error and lzma.LZMAError derive from Exception alone.
                if type(error).__name__ in ("error", "LZMAError"):
                    raise BadStream("bad-compressed", detail=self._name) from error
                raise
            if data:
                self._left -= len(data)
                if self._left < 0:
                    raise BadStream("decompression-bomb", detail=self._name)
                return data
            if wants_input and not piece and not decompressor.eof:
                raise BadStream("truncated-compressed", detail=self._name)
        if decompressor.unused_data or self._compressed.read(1):
            raise BadStream("trailing-compressed", detail=self._name)
        return b""


class InflatedSource:
    """The contents of a compressed source. Each reader decompresses them again; they are not kept."""

    def __init__(self, name: str, compressed: Source, size_max: int) -> None:
        self._name = name
        self._compressed = compressed
        self._size_max = size_max

    @property
    def size(self) -> None:
        return None

    def raw(self) -> io.RawIOBase:
        return _Inflater(self._name, self._compressed.raw(), self._size_max)

    def buffered(self) -> io.BufferedIOBase:
        return io.BufferedReader(self.raw(), BUFFER_BYTES)

    def read_at(self, offset: int, length: int) -> bytes:
        if offset:
            raise ValueError("compressed data can only be read from its start")
        with io.BufferedReader(self.raw()) as reader:
            return reader.read(length)

    def part(self, offset: int, length: int) -> Source:
        raise ValueError(f"compressed data has no parts ({length} bytes at {offset})")

    def inflate(self) -> MemorySource:
        """Return the whole contents in memory, for formats that need random access."""
        data = bytearray()
        raw = self.raw()
        while piece := raw.read(BUFFER_BYTES * 4):
            data += piece
        return MemorySource(data)


def open_compressed(source: Source, size_max: int) -> tuple[str, Source]:
    """Return the compression of `source` ("" for none) and a source for its contents.

    Only one layer is removed. No writer compresses a pickle twice.
    """
    name = compression_of(source.read_at(0, 8))
    return name, InflatedSource(name, source, size_max) if name else source


# --- streams for unpicklers ----------------------------------------------------------------------------------


class Stream:
    """A source as an unpickler reads it: read, readline and readinto. The other methods are for this package.

    The three are attributes that hold the buffered reader's own methods: the unpickler calls them for each opcode of a
    pickle without frames, and a Python method around them would cost time.
    """

    __slots__ = ("_buffered", "read", "readinto", "readline", "size")

    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    readinto: Callable[[Any], int]

    def __init__(self, source: Source) -> None:
        self._buffered = source.buffered()
        self.size = source.size
        self.read = self._buffered.read
        self.readline = self._buffered.readline
        self.readinto = self._buffered.readinto

    def tell(self) -> int:
        """Return the number of bytes read so far."""
        return self._buffered.tell()

    def rest(self, length: int) -> bytes:
        """Read and return up to `length` bytes."""
        return self._buffered.read(length)

    def read_exactly(self, length: int) -> bytes:
        """Return `length` bytes, or raise BadStream if there are fewer."""
        data = self._buffered.read(length)
        if len(data) != length:
            raise BadStream("truncated")
        return data

    def fill(self, view: memoryview) -> None:
        """Fill `view` from the current position, or raise BadStream if there are too few bytes."""
        done = 0
        while done < len(view):
            count = self._buffered.readinto(view[done:])
            if not count:
                raise BadStream("truncated")
            done += count

    def skip(self, length: int) -> None:
        """Skip `length` bytes, without reading them if the source can, or raise BadStream if there are fewer."""
        if self.size is not None:
            position = self._buffered.tell() + length
            if position > self.size:
                raise BadStream("truncated")
            self._buffered.seek(position)
            return
        while length:
            piece = self._buffered.read(min(length, BUFFER_BYTES))
            if not piece:
                raise BadStream("truncated")
            length -= len(piece)


class PayloadSkippingStream(Stream):
    """A stream for scanning that skips large payloads, so that a 10 GB array does not need 10 GB of memory.

    The unpickler calls `readinto` with a new buffer. If the buffer has `PAYLOAD_BYTES` or more, it gets only a marker
    with the position of the payload in the file. The other pages of the buffer are never touched and take no memory.
    What a pickle *does* cannot depend on a payload: no opcode and no name comes from it. Code that needs the real
    bytes, because they hold another pickle, finds them with `payload`.
    """

    __slots__ = ("_marker", "_source", "skipped")

    PAYLOAD_BYTES = 1 << 20

    def __init__(self, source: Source, marker: bytes) -> None:
        super().__init__(source)
        self._source = source
        self._marker = marker
        self.skipped = 0
        """Bytes of payloads that were not read. A load reads them."""
        if source.size is not None:
            self.readinto = self._readinto

    def _readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if len(view) < self.PAYLOAD_BYTES:
            return self._buffered.readinto(view)
        position = self._buffered.tell()
        if self.size is None or position + len(view) > self.size:
            # The unpickler then reports that the data is truncated.
            return 0
        self._buffered.seek(position + len(view))
        self.skipped += len(view)
        marker = self._marker + position.to_bytes(8, "big")
        view[: len(marker)] = marker
        return len(view)

    def ahead(self, length: int) -> Source | None:
        """Return the source of the next `length` bytes, or None if the stream cannot go back to them."""
        return None if self.size is None else self._source.part(self._buffered.tell(), length)

    def payload(self, data: bytes | bytearray) -> Source:
        """Return the source of the real bytes of `data`, which this stream has filled.

        Raise BadStream if only a part of them was skipped: the payload begins inside a frame and ends outside it, which
        no pickler writes.
        """
        length = len(self._marker)
        found = data.find(self._marker) if len(data) >= self.PAYLOAD_BYTES else -1
        if found < 0:
            return MemorySource(data)
        if found > 0:
            raise BadStream("straddling-payload")
        return self._source.part(int.from_bytes(data[length : length + 8], "big"), len(data))
