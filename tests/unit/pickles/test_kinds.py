"""The first bytes of a file give its kind, the last bytes show whether it has its end."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles import Allowlist, PickleReport, looks_complete, scan_bytes
from model_inbox.pickles.kinds import PLAIN, TORCH_LEGACY, TORCH_ZIP, compression_of, kind_of_start
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
ARCHIVE = build.torch_archive(build.pickled(b"N"))
LEGACY = build.torch_legacy(build.pickled(b"N"), [], b"")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pickle.dumps([1]), "plain"),
        (pickle.dumps([1], 0), "plain"),
        (build.pickled(build.joblib_array()), "joblib"),
        (ARCHIVE, "torch-zip"),
        (LEGACY, "torch-legacy"),
        (gzip.compress(pickle.dumps([1]), mtime=0), "gzip+plain"),
        (zlib.compress(build.pickled(build.joblib_array())), "zlib+joblib"),
        (zlib.compress(pickle.dumps([1]), 1), "zlib+plain"),
        (bz2.compress(ARCHIVE), "bz2+torch-zip"),
        (lzma.compress(LEGACY), "xz+torch-legacy"),
        (lzma.compress(pickle.dumps([1]), lzma.FORMAT_ALONE), "lzma+plain"),
    ],
)
def test_kind_of_honest_files(data: bytes, kind: str) -> None:
    """Each kind, plain and compressed, is recognised and accepted."""
    report = scan_bytes(data, ALLOWLIST)
    assert (report.kind, report.problems) == (kind, ())


def test_start_tells_the_kind() -> None:
    """A zip, torch's magic number, or anything else."""
    assert kind_of_start(ARCHIVE[:64]) == TORCH_ZIP
    assert kind_of_start(LEGACY[:64]) == TORCH_LEGACY
    assert kind_of_start(b"") == PLAIN
    assert compression_of(b"") == ""
    assert compression_of(pickle.dumps(1)) == ""


@pytest.mark.parametrize(
    "data", [pickle.dumps([1] * 50), pickle.dumps(["a"] * 50, 0), ARCHIVE, build.pickled(build.joblib_array() + b"0N")]
)
def test_file_without_its_end_is_seen(tmp_path: Path, data: bytes) -> None:
    """A file that was cut looks incomplete, unless the cut is behind another stop byte."""
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    assert looks_complete(path)
    for length in range(len(data)):
        cut = data[:length]
        if cut.endswith(b".") or (0 < length < 8):
            continue
        path.write_bytes(cut)
        assert not looks_complete(path), length


@pytest.mark.parametrize("data", [gzip.compress(b"x", mtime=0)[:-3], LEGACY[:-3], b"hello", b"\x89HDF"])
def test_what_cannot_be_told_cheaply_counts_as_whole(tmp_path: Path, data: bytes) -> None:
    """Compressed data, torch's old format and unknown files look complete: the scan decides."""
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert looks_complete(fd)
    finally:
        os.close(fd)


def test_empty_file_has_no_end(tmp_path: Path) -> None:
    """An empty file looks incomplete."""
    path = tmp_path / "model.pkl"
    path.touch()
    assert not looks_complete(path)


@given(st.binary(max_size=60))
def test_report_survives_its_own_json(data: bytes) -> None:
    """as_dict and from_dict are inverse."""
    report = scan_bytes(data, ALLOWLIST)
    assert PickleReport.from_dict(report.as_dict()) == report


def test_report_names_the_frameworks() -> None:
    """The names in the file give its frameworks."""
    report = scan_bytes(build.pickled(build.named("lightgbm.basic", "Booster") + b"0" + build.array()), ALLOWLIST)
    assert report.frameworks == ("lightgbm", "numpy")
    assert report.accepted
    assert not report.embedded_code


@pytest.mark.parametrize(
    ("opcodes", "versions"),
    [
        (build.array(), {"numpy": "2"}),
        (build.named("numpy.core.multiarray", "_reconstruct"), {"numpy": "1"}),
        (
            build.built(
                build.new("sklearn.linear_model._ridge", "Ridge"),
                build.mapping({"_sklearn_version": build.text("1.6.1")}),
            ),
            {"scikit-learn": "1.6.1"},
        ),
        (
            build.built(
                build.new("lightgbm.basic", "Booster"), build.mapping({"_handle": build.text("tree\nversion=v4\n...")})
            ),
            {"lightgbm": "v4"},
        ),
        (
            build.built(
                build.new("sklearn.linear_model._ridge", "Ridge"),
                build.mapping({"_sklearn_version": build.text("1.6\x1b[2J")}),
            ),
            {},
        ),
    ],
)
def test_report_tells_the_versions_that_the_file_leaves_word_of(opcodes: bytes, versions: dict[str, str]) -> None:
    """Versions of scikit-learn, of LightGBM's text format, and numpy 1 or 2 are reported. Other text is not."""
    assert scan_bytes(build.pickled(opcodes), ALLOWLIST).versions == versions
