"""What a refusal says is true: hostile only where no pickler writes it, else what is not supported and what to do."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Mapping

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from model_inbox.pickles.report import OTHER_FORMATS
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()


def archive(members: Mapping[str, bytes]) -> bytes:
    """A zip archive as other programs write it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()


FORMATS = {
    "catboost": b"CBM1\xfc\x03\x00\x00",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "html": b"\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>",
    "json": json.dumps({"learner": {"attributes": {}}, "version": [3, 2, 0]}).encode(),
    "keras": archive({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"}),
    "lightgbm": b"tree\nversion=v4\nnum_class=1\n",
    "npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}",
    "npz": archive({"arr_0.npy": b"\x93NUMPY"}),
    "onnx": b"\x08\x09\x12\x08skl2onnx\x1a\x061.17.0",
    "parquet": b"PAR1\x15\x04" + bytes(40) + b"PAR1",
    "pdf": b"%PDF-1.7\n",
    "safetensors": (60).to_bytes(8, "little")
    + b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    + bytes(4),
    "sqlite": b"SQLite format 3\0" + bytes(84),
    "torchscript": archive({"m/data.pkl": b"\x80\x02.", "m/code/__torch__.py": b"", "m/constants.pkl": b"\x80\x02."}),
    "ubj": b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{",
    "xml": b'<?xml version="1.0"?><PMML/>',
    "zip": archive({"model.pkl": pickle.dumps(1)}),
}


def test_every_format_has_an_example_here() -> None:
    """The table and this test are equal."""
    assert set(FORMATS) == set(OTHER_FORMATS)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_other_formats_are_named_with_what_to_do(name: str, *, compressed: bool) -> None:
    """A file of another program is recognised, also in gzip, and the message says what it is and what to do."""
    data = gzip.compress(FORMATS[name]) if compressed else FORMATS[name]
    (problem,) = scan_bytes(data, ALLOWLIST).problems
    what, hint = OTHER_FORMATS[name]
    assert (problem.code, problem.message, problem.hint) == (
        "artifact.not_a_pickle",
        f"the file is not a pickle: it is {what}",
        hint,
    )


HONEST_BUT_REFUSED = {
    "an unknown form of a call": build.called(build.named("numpy", "dtype"), build.text("f8")),
    "an unknown state": build.built(build.new("uuid", "UUID"), build.mapping({"hex": build.text("0")})),
    "a use that is not listed": build.built(build.named("numpy", "log"), b"}"),
    "a name inside of a class": build.named("mylib.models", "Outer.Inner"),
    "a class without a list": build.new("mylib.models", "Model"),
    "more than a model": build.called(build.named("logging", "getLogger"), build.text("a")),
    "keywords": build.named("numpy", "dtype") + b")}" + build.text("a") + b"K\x01s\x92",
}


@pytest.mark.parametrize("opcodes", HONEST_BUT_REFUSED.values(), ids=HONEST_BUT_REFUSED.keys())
def test_honest_files_are_not_called_hostile(opcodes: bytes) -> None:
    """A pickler can write these: a newer version, another option, a class of somebody."""
    problems = scan_bytes(build.pickled(opcodes), ALLOWLIST).problems
    assert problems
    for problem in problems:
        text = f"{problem.message} {problem.hint}"
        assert "No pickler writes this" not in text or "changes" in text


def test_what_no_pickler_writes_is_called_hostile() -> None:
    """A pickle that changes a class or a module."""
    (problem,) = scan_bytes(build.pickled(build.built(build.named("numpy", "log"), b"}")), ALLOWLIST).problems
    assert problem.hint is not None
    assert "No pickler writes this" in problem.hint


def test_no_line_is_proposed_when_another_name_is_never_allowed() -> None:
    """The line would not help; the message names what stands in the way."""
    both = b"](" + build.new("mylib.models", "Model") + build.named("os", "system") + b"e"
    hints = {problem.code: problem.hint for problem in scan_bytes(build.pickled(both), ALLOWLIST).problems}
    assert "would not help" in str(hints["artifact.forbidden_import"])
    assert "'os.system'" in str(hints["artifact.forbidden_import"])
    alone = scan_bytes(build.pickled(build.new("mylib.models", "Model")), ALLOWLIST).problems
    assert 'add under pickle.allow in config.yaml: "mylib.models.Model": "nr"' in str(alone[0].hint)


def test_names_of_python_2_are_translated_before_they_are_shown() -> None:
    """Protocol 2 writes ValueError as exceptions.ValueError, which nobody could allow or import."""
    assert scan_bytes(pickle.dumps(ValueError, 2), ALLOWLIST).imports == {"builtins.ValueError": "r"}
    assert scan_bytes(pickle.dumps(SystemExit, 2), ALLOWLIST).imports == {"builtins.SystemExit": "r"}
