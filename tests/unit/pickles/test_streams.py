"""The one reader: it reads files, parts, memory and compressed data in the same way, and does not copy payloads."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import pickle
import resource
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.pickles import Allowlist, load, scan_bytes
from model_inbox.pickles.scan import new_recorder, record
from model_inbox.pickles.streams import (
    BadStream,
    FileSource,
    MemorySource,
    PayloadSkippingStream,
    Stream,
    open_compressed,
)
from model_inbox.pickles.unpicklers import PlainUnpickler, open_stream
from support import pickle_builders as build
from support.examples import examples

ALLOWLIST = Allowlist.load()
MEGABYTE = 1 << 20


def test_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """A file, a part of it and memory give the same bytes. Reads by position do not move the descriptor's offset."""
    data = bytes(range(256)) * 9
    path = tmp_path / "file"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        for source in (FileSource(fd, len(data)), MemorySource(data), MemorySource(bytearray(data))):
            part = source.part(100, 300)
            assert part.size == 300
            assert part.read_at(5, 10) == data[105:115]
            assert part.read_at(295, 10) == data[395:400]
            assert part.part(10, 5).read_at(0, 99) == data[110:115]
            reader = io.BufferedReader(part.raw(), 16)
            assert reader.read() == data[100:400]
            assert reader.seek(-3, io.SEEK_END) == 297
            assert reader.read(1) == data[397:398]
            assert reader.seek(1, io.SEEK_CUR) == 299
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    finally:
        os.close(fd)


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zlib", "bz2", "xz", "lzma"]), st.integers(1, 500))
@settings(max_examples=examples(60))
def test_compressed_data_comes_out_as_it_went_in(data: bytes, name: str, step: int) -> None:
    """The bytes do not depend on the size of the reads."""
    packed = pack(data)[name]
    found, source = open_compressed(MemorySource(packed), 10**6)
    assert found == name
    reader = io.BufferedReader(source.raw(), 64)
    pieces = []
    while piece := reader.read(step):
        pieces.append(piece)
    assert b"".join(pieces) == data
    assert source.read_at(0, 10) == data[:10]
    assert source.size is None


def pack(data: bytes) -> dict[str, bytes]:
    """Return the data, compressed in every format of the standard library."""
    return {
        "gzip": gzip.compress(data),
        "zlib": zlib.compress(data),
        "bz2": bz2.compress(data),
        "xz": lzma.compress(data),
        "lzma": lzma.compress(data, lzma.FORMAT_ALONE),
    }


@pytest.mark.parametrize("name", pack(b"").keys())
def test_compressed_data_that_is_cut_damaged_or_followed_is_told_apart(name: str) -> None:
    """Truncated, malformed and trailing data have different codes."""
    packed = pack(pickle.dumps([os.urandom(64) for _ in range(50)]))[name]

    def codes(data: bytes) -> list[str]:
        return [problem.code for problem in scan_bytes(data, ALLOWLIST).problems]

    assert codes(packed) == []
    assert codes(packed[:-9]) == ["artifact.truncated"]
    assert codes(packed + b"x") == ["artifact.trailing_data"]
    assert codes(packed + packed) == ["artifact.trailing_data"]
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    assert codes(bytes(damaged)), "damage must not pass"


def test_lz4_without_lz4_says_what_to_install() -> None:
    """Without lz4 installed, a file that needs it is refused with advice."""
    problems = scan_bytes(b'\x04"M\x18' + bytes(20), ALLOWLIST).problems
    assert [problem.code for problem in problems] in (["artifact.unsupported"], ["artifact.malformed"])
    if importlib.util.find_spec("lz4") is None:
        assert "Install lz4" in problems[0].hint


def test_lz4_is_decompressed_by_lz4(monkeypatch: pytest.MonkeyPatch) -> None:
    """lz4's decompressor is used in the same way as those of the standard library."""

    class Decompressor:
        eof = False
        needs_input = True
        unused_data = b""

        def decompress(self, data: bytes, _max_length: int) -> bytes:
            if data.startswith(b"\x04"):
                return pickle.dumps([1])
            self.eof = True
            return b""

    frame = types.ModuleType("lz4.frame")
    vars(frame)["LZ4FrameDecompressor"] = Decompressor
    monkeypatch.setitem(sys.modules, "lz4", types.ModuleType("lz4"))
    monkeypatch.setitem(sys.modules, "lz4.frame", frame)
    assert scan_bytes(b'\x04"M\x18', ALLOWLIST).kind == "lz4+plain"


def test_inflated_bytes_are_bounded() -> None:
    """The decompressed bytes are counted while they come."""
    _, source = open_compressed(MemorySource(zlib.compress(bytes(MEGABYTE))), 1000)
    with pytest.raises(BadStream) as caught:
        source.raw().read(10)
    assert caught.value.what == "decompression-bomb"
    with pytest.raises(ValueError, match="no parts"):
        source.part(0, 1)
    with pytest.raises(ValueError, match="from its start"):
        source.read_at(1, 1)


def test_stream_reads_exactly_or_says_truncated() -> None:
    """Each method to read raises the same error at the end."""
    reads: list[Callable[[Stream], object]] = [
        lambda stream: stream.read_exactly(4),
        lambda stream: stream.skip(4),
        lambda stream: stream.fill(memoryview(bytearray(4))),
    ]
    for source in (MemorySource(b"abc"), open_compressed(MemorySource(zlib.compress(b"abc")), 100)[1]):
        for read in reads:
            with pytest.raises(BadStream, match="truncated"):
                read(Stream(source))
        stream = Stream(source)
        stream.skip(1)
        target = bytearray(1)
        stream.fill(memoryview(target))
        assert (target, stream.read_exactly(1), stream.rest(9)) == (bytearray(b"b"), b"c", b"")


def test_large_payload_is_passed_over_without_touching_memory(tmp_path: Path) -> None:
    """A file with half a gigabyte of zeros in one payload is scanned with a few megabytes."""
    size = 512 * MEGABYTE
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"\x80\x04\x8e" + struct.pack("<Q", size))
        file.truncate(11 + size)
        file.seek(0, io.SEEK_END)
        file.write(b".")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fd = os.open(path, os.O_RDONLY)
    try:
        recording = record(FileSource(fd, path.stat().st_size))
    finally:
        os.close(fd)
    assert recording["findings"] == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_payload_that_ends_too_early_is_truncated() -> None:
    """A payload larger than the file is not skipped: the file is truncated."""
    data = b"\x80\x04\x8e" + struct.pack("<Q", 3 * MEGABYTE) + bytes(2 * MEGABYTE) + b"."
    assert [problem.code for problem in scan_bytes(data, ALLOWLIST).problems] == ["artifact.truncated"]


def large_storage(body: bytes) -> bytes:
    """Return a plain pickle with a torch file in bytes, large enough to be skipped."""
    items = MEGABYTE
    storage = struct.pack("<q", items) + bytes(4 * items)
    nested = build.torch_legacy(build.pickled(build.legacy_storage_id(items=items) + body), ["0"], storage)
    return build.pickled(build.called(build.named("torch.storage", "_load_from_bytes"), build.data(nested)))


def test_nested_file_in_a_large_payload_is_scanned_where_it_lies(tmp_path: Path) -> None:
    """The real bytes of a skipped payload are read from the file or the memory that it is in."""
    for body, expected in ((b"", []), (b"0" + build.runs(tmp_path / "ran"), ["artifact.never_allowed"])):
        data = large_storage(body)
        assert [problem.code for problem in scan_bytes(data, ALLOWLIST).problems] == expected
        packed = scan_bytes(gzip.compress(data, 1), ALLOWLIST)
        assert [problem.code for problem in packed.problems] == expected
    assert not (tmp_path / "ran").exists()


def test_what_the_parser_said_stands_as_it_said_it() -> None:
    """Text of the file in a detail is escaped once: it cannot break a line, and can be read."""
    (problem,) = scan_bytes(b"\x80\x04\x00\x1b.", ALLOWLIST).problems
    assert problem.message == r"the pickle cannot be parsed: UnpicklingError: invalid load key, '\x00'."


def test_payload_that_straddles_a_frame_is_never_taken_for_its_bytes() -> None:
    """A payload that was skipped only in part is refused: the scan would see other bytes than the load."""
    payload = large_storage(b"")
    start = payload.index(b"B") + 5
    head, rest = payload[2:start], payload[start:]
    data = b"\x80\x04\x95" + struct.pack("<Q", len(head) + 20) + head + rest
    assert [problem.code for problem in scan_bytes(data, ALLOWLIST).problems] == ["artifact.malformed"]


def test_marker_is_only_looked_for_in_payloads() -> None:
    """Small bytes are real, and large ones without a marker too."""
    stream = PayloadSkippingStream(MemorySource(b"abc"), b"M" * 16)
    assert stream.payload(b"M" * 30).read_at(0, 4) == b"MMMM"
    assert stream.payload(bytes(2 * MEGABYTE)).size == 2 * MEGABYTE


def test_loader_reads_large_payloads_whole() -> None:
    """The loader returns payloads that the scan skips."""
    value = {"a": os.urandom(3 * MEGABYTE), "b": bytearray(os.urandom(2 * MEGABYTE))}
    for protocol in (3, 5):
        data = pickle.dumps(value, protocol)
        report = scan_bytes(data, ALLOWLIST)
        assert report.problems == ()
        assert load(memoryview(data), report.imports) == value
        assert load(gzip.compress(data, 1), report.imports) == value


def test_parser_leaves_the_stream_behind_the_pickle() -> None:
    """Without peek no parser reads ahead, so another parser can read what follows."""
    data = pickle.dumps([1, "a"], 4) + b"rest"
    recorder = new_recorder()
    stream = open_stream(recorder, MemorySource(data))
    assert PlainUnpickler(recorder, stream).load() == [1, "a"]
    assert stream.tell() == len(data) - 4
