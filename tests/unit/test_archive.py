"""A drop as a tar archive: what real tar programs write is read; what is not plain, bounded and complete is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox import DropRefused
from model_inbox.model.sidecar import parse_sidecar
from model_inbox.producer.archive import members
from model_inbox.producer.files import drop_archive
from support.world import pickled, sidecar

MODEL = pickled({"a": 1})


@pytest.fixture(name="inbox")
def _inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def tarred(*files: tuple[str, bytes], kind: int = tarfile.PAX_FORMAT, **changes: Any) -> bytes:
    """An archive of files, the last one changed."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=kind) as archive:
        for number, (name, content) in enumerate(files, 1):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_761_393_600
            if number == len(files):
                for field, value in changes.items():
                    setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def contents(data: bytes, bytes_max: int = 1 << 20) -> dict[str, bytes]:
    return {member.name: b"".join(member.read()) for member in members(io.BytesIO(data), bytes_max=bytes_max)}


@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar", "v7"])
def test_what_tar_writes_is_read(tmp_path: Path, kind: str) -> None:
    """The system's tar, in each of its formats, of names and of a whole folder."""
    (tmp_path / "m.pkl").write_bytes(MODEL)
    (tmp_path / "m.yaml").write_bytes(b"")
    for words in (["m.pkl", "m.yaml"], ["."]):
        done = subprocess.run(["tar", f"--format={kind}", "-c", *words], cwd=tmp_path, capture_output=True, check=True)
        assert contents(done.stdout) == {"m.pkl": MODEL, "m.yaml": b""}


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_and_times_are_read(kind: int) -> None:
    """In the extended headers of both formats; with a fraction of a second in one of them."""
    name = "é" * 60 + ".pkl"
    (member,) = members(io.BytesIO(tarred((name, b""), kind=kind, mtime=1_761_393_600.5)), bytes_max=1)
    assert member.name == name
    assert member.mtime == (1_761_393_600.5 if kind == tarfile.PAX_FORMAT else 1_761_393_600)


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "ends too early"),
    "no tar": (b"x" * 1024, "not a tar archive"),
    "compressed": (b"\x1f\x8b" + b"x" * 50, "compressed"),
    "a symlink": (tarred(("m.pkl", b""), type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
    "a hard link": (tarred(("m.pkl", b""), type=tarfile.LNKTYPE, linkname="/etc/passwd"), "hard link"),
    "a FIFO": (tarred(("m.pkl", b""), type=tarfile.FIFOTYPE), "FIFO"),
    "a device": (tarred(("m.pkl", b""), type=tarfile.CHRTYPE), "device"),
    "a folder": (tarred(("m", b""), type=tarfile.DIRTYPE), "folder"),
    "a path": (tarred(("a/m.pkl", b"")), "plain name"),
    "an absolute path": (tarred(("/m.pkl", b"")), "plain name"),
    "a way out": (tarred(("../m.pkl", b"")), "plain name"),
    "a name with a line": (tarred(("a\nb.pkl", b"")), "plain name"),
    "too large": (tarred(("m.pkl", b"x" * 1001)), "more than 1000 bytes"),
    "too many": (tarred(*((f"{number}.pkl", b"") for number in range(65))), "more than 64 files"),
    "sparse": (tarred(("m.pkl", b""), pax_headers={"GNU.sparse.major": "1"}), "sparse"),
    "a large header": (tarred(("m.pkl", b""), pax_headers={"comment": "x" * 70_000}), "header is too large"),
    "a negative size": (tarred(("m.pkl", b""), pax_headers={"size": "-1"}), "header is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_is_refused(name: str) -> None:
    """Whatever it is, the reason is told."""
    data, why = REFUSED[name]
    with pytest.raises(DropRefused, match=why):
        contents(data, 1000)


@given(st.integers(0, 4096), st.integers(0, 255))
def test_a_damaged_archive_is_read_or_refused(at: int, byte: int) -> None:
    """One byte anywhere raises nothing else."""
    data = bytearray(tarred(("m.pkl", MODEL), ("m.yaml", b"a: 1\n"), pax_headers={"comment": "é"}))
    data[at % len(data)] = byte
    with contextlib.suppress(DropRefused):
        contents(bytes(data))


@pytest.mark.parametrize("size", range(0, 2560, 256))
def test_a_cut_off_archive_drops_nothing(inbox: Path, size: int) -> None:
    """Also if it ends between two files: a model without its scaler must not be registered."""
    data = tarred(("m.pkl", MODEL), ("m.yaml", sidecar()), ("m_scaler.pkl", MODEL))
    with pytest.raises(DropRefused, match="ends too early"):
        drop_archive(io.BytesIO(data[:size]), inbox=inbox)
    assert list(inbox.iterdir()) == []


def test_a_drop_comes_as_an_archive(inbox: Path) -> None:
    """In any order of its files; its names and digests are those of any drop, its time is that in the archive."""
    text = sidecar(
        leave_out=("trained_at",),
        model_file="m.joblib",
        sha256={"model": hashlib.sha256(MODEL).hexdigest()},
    )
    data = tarred(("._m.yaml", b"junk"), ("m.yaml", text), ("m_scaler.pkl", MODEL), ("m.joblib", MODEL))
    result = drop_archive(io.BytesIO(data), inbox=inbox)
    assert (result.outcome, result.model_id) == ("dropped", "m")
    assert sorted(os.listdir(inbox)) == ["m.pkl", "m.yaml", "m_scaler.pkl"]
    found = parse_sidecar((inbox / "m.yaml").read_bytes(), stem="m", now=datetime.now(UTC))
    assert found.metadata is not None
    assert str(found.metadata.trained_at) == "2025-10-25 12:00:00+00:00"
    assert found.metadata.provenance == {"filled": "trained_at"}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([("m.yaml", sidecar())], "no model"),
        ([("m.pkl", MODEL), ("n.pkl", MODEL)], "both a model"),
        ([("m.pkl", MODEL), ("m.yaml", sidecar()), ("n.yml", sidecar())], "both a sidecar"),
        ([("m.pkl", MODEL), ("notes.txt", b"")], "neither a model nor a sidecar"),
        ([("m.pkl", MODEL), ("m.yaml", sidecar(scaler_file="s.pkl"))], "names the scaler"),
        ([("m.pkl", MODEL), ("m_scaler.pkl", MODEL), ("m.yaml", sidecar(scaler_file=None))], "has no scaler"),
        ([("m.pkl", MODEL), ("m.yaml", sidecar(sha256={"model": "0" * 64}))], "digest"),
        ([("m.pkl", MODEL), ("m.yaml", b"version: 1")], "problems"),
    ],
)
def test_an_archive_that_is_no_drop_is_refused(inbox: Path, files: list[tuple[str, bytes]], why: str) -> None:
    """Nothing of it is left in the inbox."""
    with pytest.raises(DropRefused, match=why):
        drop_archive(io.BytesIO(tarred(*files)), inbox=inbox)
    assert list(inbox.iterdir()) == []
