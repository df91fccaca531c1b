"""torch's archives and old files are accepted only with exactly the layout that torch writes."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from contextlib import suppress

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from model_inbox.pickles.formats import read_zip_layout
from model_inbox.pickles.streams import BadStream, MemorySource
from support import pickle_builders as build
from support.pickle_builders import Part

ALLOWLIST = Allowlist.load()
TENSOR = build.pickled(build.tensor(build.storage_id()))
RETYPED = build.pickled(build.tensor(build.storage_id()), b"0", build.storage_id("ByteStorage", items=8))
"""The same storage twice, with different types: torch would return the first one both times."""
FLOATS = bytes(8)


def problems(data: bytes) -> list[str]:
    """Return the codes of the problems of a file."""
    return [problem.code for problem in scan_bytes(data, ALLOWLIST).problems]


def parts(*more: Part, **changes: object) -> list[Part]:
    """Return the members of a valid archive. `changes` are made to its storage."""
    return [
        Part("archive/data.pkl", TENSOR),
        Part("archive/byteorder", b"little"),
        Part("archive/data/0", FLOATS, **changes),  # type: ignore[arg-type]  # the tests say which
        Part("archive/version", b"3\n"),
        *more,
    ]


def test_honest_archive_is_accepted() -> None:
    """A tensor in a storage of its size, in an archive as torch writes it, is accepted."""
    report = scan_bytes(build.archive(parts()), ALLOWLIST)
    assert report.problems == ()
    assert report.kind == "torch-zip"
    assert report.frameworks == ("torch",)
    assert report.imports["torch._utils._rebuild_tensor_v2"] == "cr"


def test_archive_of_zipfile_is_read_alike() -> None:
    """An archive of Python's zipfile, stored and without gaps, has the expected layout."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part in parts():
            archive.writestr(part.name, part.data)
    assert problems(file.getvalue()) == []
    assert set(read_zip_layout(MemorySource(file.getvalue()))) == {"data.pkl", "byteorder", "data/0", "version"}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (build.archive(parts(), after=b"x"), "artifact.truncated"),
        (build.archive(parts(), comment=b"x"), "artifact.truncated"),
        (build.archive(parts(), before_directory=b"x"), "artifact.malformed"),
        (build.archive(parts(gap=b"x")), "artifact.malformed"),
        (b"x" + build.archive(parts()), "artifact.not_a_pickle"),
        (build.archive(parts())[:-1], "artifact.truncated"),
        (build.archive(parts())[:40], "artifact.truncated"),
        (b"PK\x03\x04", "artifact.truncated"),
        (build.archive(parts(method=8)), "artifact.malformed"),
        (build.archive(parts(flags=1)), "artifact.malformed"),
        (build.archive(parts(local_name="archive/data/1")), "artifact.malformed"),
        (build.archive(parts(central_size=4)), "artifact.malformed"),
        (build.archive(parts(central_crc=5)), "artifact.malformed"),
        (build.archive(parts(Part("archive/data.pkl", TENSOR))), "artifact.malformed"),
        (build.archive(parts(Part("other/data/1", b""))), "artifact.malformed"),
        (build.archive(parts(Part("archive/constants.pkl", b"N."))), "artifact.not_a_pickle"),
        (build.archive(parts(Part("archive/code/x.py", b""))), "artifact.not_a_pickle"),
        (build.archive(parts(Part("archive/../data.pkl", b""))), "artifact.malformed"),
        (build.archive(parts(Part("archive/.data/serialization_id", bytes(5000)))), "artifact.malformed"),
        (build.archive(parts(Part("archive/.storage_alignment", b"x"))), "artifact.malformed"),
        (build.archive([Part("archive/version", b"3\n")]), "artifact.not_a_pickle"),
        (build.archive([Part("archive/data.pkl", b"N."), Part("archive/byteorder", b"middle")]), "artifact.malformed"),
        (build.torch_archive(TENSOR, {}), "artifact.malformed"),
        (build.torch_archive(TENSOR, {"0": bytes(7)}), "artifact.malformed"),
        (build.torch_archive(TENSOR, {"0": bytes(9)}), "artifact.malformed"),
        (build.torch_archive(RETYPED, {"0": FLOATS}), "artifact.malformed"),
        (build.torch_archive(TENSOR + b"x", {"0": FLOATS}), "artifact.trailing_data"),
        (build.torch_archive(TENSOR + TENSOR, {"0": FLOATS}), "artifact.several_pickles"),
        (build.torch_archive(build.pickled(build.joblib_array())), "artifact.malformed"),
    ],
)
def test_archive_that_readers_could_read_differently_is_refused(data: bytes, code: str) -> None:
    """Gaps, double or unknown members, different headers, storages of a wrong size and trailing data are refused."""
    assert problems(data) == [code]


@pytest.mark.parametrize(
    "opcodes",
    [
        build.tensor(build.storage_id(), size=(3,)),
        build.tensor(build.storage_id(), offset=1),
        build.tensor(build.storage_id(), offset=3, size=(0,)),
        build.tensor(build.storage_id(), stride=(2,)),
        build.tensor(build.storage_id(), size=(1, 1), stride=(1,)),
        build.tensor(build.storage_id(), size=(-1,)),
        build.tensor(b"N"),
        build.tensor(build.dtype()),
        build.called(build.named("torch._utils", "_rebuild_parameter"), b"N", b"\x88", b"N"),
        build.called(build.named("torch", "device"), build.text("cpu; x")),
        build.called(build.named("torch", "Size"), build.value([1])),
    ],
)
def test_tensor_outside_its_storage_is_refused(opcodes: bytes) -> None:
    """A size, stride or offset that reaches outside of the storage is refused, and so are invalid arguments."""
    assert set(problems(build.torch_archive(build.pickled(opcodes), {"0": FLOATS}))) == {"artifact.forbidden_arguments"}


@pytest.mark.parametrize(
    "opcodes",
    [
        build.tensor(build.storage_id(), size=(), stride=()),
        build.tensor(build.storage_id(), size=(2, 0), stride=(1, 1)),
        build.tensor(build.storage_id(), offset=1, size=(1,)),
        build.tensor(build.storage_id(), size=(9,), stride=(0,)),
    ],
)
def test_tensor_within_its_storage_is_accepted(opcodes: bytes) -> None:
    """Views, scalars, empty and expanded tensors inside their storage are accepted."""
    assert problems(build.torch_archive(build.pickled(opcodes), {"0": FLOATS})) == []


@pytest.mark.parametrize(
    "persistent_id",
    [
        b"NQ",
        build.text("0") + b"Q",
        b"(" + build.text("module") + build.named("torch", "FloatStorage") + build.text("a") + build.text("b") + b"tQ",
        b"("
        + build.text("storage")
        + build.named("numpy", "ndarray")
        + build.text("0")
        + build.text("cpu")
        + b"K\x02tQ",
        b"(" + build.text("storage") + build.text("x") + build.text("0") + build.text("cpu") + b"K\x02tQ",
        build.storage_id(key="../0"),
        build.storage_id(items=-1),
    ],
)
def test_odd_persistent_id_is_refused(persistent_id: bytes) -> None:
    """A persistent id must be a storage of torch's own types, in a member of the archive."""
    assert "artifact.malformed" in problems(build.torch_archive(build.pickled(persistent_id), {"0": FLOATS}))


# --- the old format --------------------------------------------------------------------------------------------

LEGACY = build.pickled(build.tensor(build.legacy_storage_id()))
TWICE = build.pickled(build.legacy_storage_id() + b"0" + build.legacy_storage_id("LongStorage"))
VIEW = build.pickled(build.legacy_storage_id()[: -len(b"NtQ")] + b"K\x01tQ")
LEGACY_BYTES = struct.pack("<q", 2) + FLOATS


def test_old_format_is_accepted() -> None:
    """A file with magic number, version, system, object, keys, and each storage with its length is accepted."""
    report = scan_bytes(build.torch_legacy(LEGACY, ["0"], LEGACY_BYTES), ALLOWLIST)
    assert report.problems == ()
    assert report.kind == "torch-legacy"


def test_classes_beside_their_source_are_accepted() -> None:
    """The old format has the source text of a module's class beside the class: it is accepted."""
    name = build.named("torch.nn.modules.linear", "Linear")
    pid = b"(" + build.text("module") + name + build.text("linear.py") + build.text("class Linear: ...") + b"tQ"
    assert problems(build.torch_legacy(build.pickled(pid), [], b"")) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (build.torch_legacy(LEGACY, [], b""), "artifact.malformed"),
        (build.torch_legacy(LEGACY, ["1"], LEGACY_BYTES), "artifact.malformed"),
        (build.torch_legacy(LEGACY, ["0"], struct.pack("<q", 3) + bytes(12)), "artifact.malformed"),
        (build.torch_legacy(LEGACY, ["0"], struct.pack("<q", -1)), "artifact.malformed"),
        (build.torch_legacy(LEGACY, ["0"], LEGACY_BYTES[:-1]), "artifact.truncated"),
        (build.torch_legacy(LEGACY, ["0"], LEGACY_BYTES[:4]), "artifact.truncated"),
        (build.torch_legacy(LEGACY, ["0"], LEGACY_BYTES + b"x"), "artifact.trailing_data"),
        (build.TORCH_MAGIC + pickle.dumps(1000, 2), "artifact.malformed"),
        (build.TORCH_MAGIC, "artifact.truncated"),
        (build.torch_legacy(TWICE, ["0"], LEGACY_BYTES), "artifact.malformed"),
        (build.torch_legacy(VIEW, ["0"], LEGACY_BYTES), "artifact.malformed"),
    ],
)
def test_old_format_that_lies_is_refused(data: bytes, code: str) -> None:
    """Keys and lengths must fit the storages of the object. Views and trailing bytes are refused."""
    assert problems(data) == [code]


def test_layout_with_wide_numbers_is_read() -> None:
    """Archives over 4 GiB have 64-bit records. A small one may have them too, and they must equal the short ones."""
    data = build.archive(parts())
    end = data[-22:]
    body = data[:-22]
    count, length, start = struct.unpack("<HII", end[10:20])
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(body), 1)
    assert problems(body + wide + locator + end) == []
    lying = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length - 1, start)
    assert problems(body + lying + locator + end) == ["artifact.malformed"]
    far = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(body) - 1, 1)
    assert problems(body + wide + far + end) == ["artifact.malformed"]
    all_ones = end[:8] + b"\xff" * 12 + end[20:]
    assert problems(body + wide + locator + all_ones) == []
    with pytest.raises(BadStream):
        read_zip_layout(MemorySource(body + all_ones))


def test_every_byte_of_the_directory_counts() -> None:
    """After a change of any byte of the directory or its end, the archive is refused or has the same members."""
    data = bytearray(build.archive(parts()))
    honest = read_zip_layout(MemorySource(data))
    start = struct.unpack("<I", data[-6:-2])[0]
    for at in range(start, len(data)):
        for flip in (1, 0x80):
            data[at] ^= flip
            with suppress(BadStream):
                assert read_zip_layout(MemorySource(data)) == honest
            data[at] ^= flip
