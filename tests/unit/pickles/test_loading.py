"""The loader without any framework: what it hands to torch and numpy, and what it refuses before they see it.

The frameworks themselves load real files in tests/frameworks; here small stand-ins show which bytes and names would
reach them.
"""

from __future__ import annotations

import gzip
import io
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest

from model_inbox.errors import LoadRefused
from model_inbox.pickles import Allowlist, load, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()


class FakeDtype:
    """The part of numpy's dtype that the loader uses."""

    def __init__(self, code: str, align: object = None, copy: object = None) -> None:
        self.hasobject = code.startswith("O")
        self.itemsize = 8
        self.isnative = True

    def __setstate__(self, state: object) -> None:
        self.isnative = not (isinstance(state, tuple) and state[1] == ">")

    def newbyteorder(self, order: str) -> str:
        return f"native {order}"


class FakeArray:
    """The part of numpy's array that the loader uses: bytes that are filled in place."""

    def __init__(self, shape: tuple[int, ...], dtype: FakeDtype, order: str) -> None:
        self.shape, self.dtype, self.order = shape, dtype, order
        self.itemsize = dtype.itemsize
        self.size = 1
        for length in shape:
            self.size *= length
        self.content = bytearray(self.size * self.itemsize)
        self.flags = types.SimpleNamespace(forc=True)
        self.swapped: object = None

    def reshape(self, *_shape: int, order: str) -> FakeArray:
        return self

    def byteswap(self) -> FakeArray:
        self.swapped = True
        return self

    def view(self, kind: object) -> Any:
        if kind == "bytes":
            return self.content
        self.swapped = kind
        return self


@pytest.fixture(name="fake_numpy")
def _fake_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    numpy = types.ModuleType("numpy")
    vars(numpy).update(ndarray=FakeArray, dtype=FakeDtype, empty=FakeArray, uint8="bytes")
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    monkeypatch.setitem(sys.modules, "joblib", types.ModuleType("joblib"))
    wrappers = types.ModuleType("joblib.numpy_pickle")
    vars(wrappers)["NumpyArrayWrapper"] = object
    monkeypatch.setitem(sys.modules, "joblib.numpy_pickle", wrappers)
    yield


@pytest.mark.usefixtures("fake_numpy")
@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_arrays_of_joblib_are_filled_from_their_place(wrap: Any) -> None:
    """The padding is skipped, the bytes are in the array, and the parser continues behind them."""
    opcodes = b"](" + build.joblib_array(b"0123456789abcdef") + build.text("after") + b"e"
    data = wrap(build.pickled(opcodes))
    report = scan_bytes(data, ALLOWLIST)
    assert report.problems == ()
    for imports in (report.imports, None):
        array, after = load(data, imports)
        assert (bytes(array.content), array.shape, array.order, after) == (b"0123456789abcdef", (2,), "C", "after")


@pytest.mark.usefixtures("fake_numpy")
def test_arrays_of_joblib_come_in_native_order() -> None:
    """Bytes of the other order are swapped; empty arrays are not read."""
    foreign = build.dtype("f8", (3, ">", None, None, None, -1, -1, 0))
    data = build.pickled(build.joblib_array(kind=foreign))
    assert load(data, scan_bytes(data, ALLOWLIST).imports).swapped == "native ="
    data = build.pickled(build.joblib_array(b"", (0,)))
    assert load(data, scan_bytes(data, ALLOWLIST).imports).size == 0


def array_of_objects(inner: bytes) -> bytes:
    """A joblib file with an array of objects, whose items are a pickle of their own."""
    kind = build.dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    return build.pickled(build.joblib_array(b"", (1,), kind)[: -len(b"\x03\xff\xff\xff")] + inner)


@pytest.mark.usefixtures("fake_numpy")
def test_items_of_an_array_of_objects_are_restricted_too() -> None:
    """An array of objects is loaded with the same table of names, which joblib itself would not do."""
    honest = array_of_objects(pickle.dumps(frozenset({1}), 2))
    report = scan_bytes(honest, ALLOWLIST)
    assert report.problems == ()
    assert load(honest, report.imports) == frozenset({1})
    hostile = array_of_objects(build.pickled(build.named("os", "mkdir")))
    with pytest.raises(LoadRefused, match=r"os\.mkdir"):
        load(hostile, report.imports)
    nested = array_of_objects(build.pickled(build.joblib_array()))
    with pytest.raises(LoadRefused, match="an array inside an array"):
        load(nested, report.imports)


@pytest.mark.usefixtures("fake_numpy")
def test_plain_scaler_beside_a_joblib_model_is_loaded_as_plain() -> None:
    """Only the bytes of a file decide which parser reads it: the imports of an entry are those of both of its files."""
    imports = scan_bytes(build.pickled(build.joblib_array()), ALLOWLIST).imports
    assert load(pickle.dumps({"a": 1}), imports) == {"a": 1}
    with pytest.raises(pickle.UnpicklingError):
        load(b"\x80\x04\xff.", imports)


@pytest.mark.usefixtures("fake_numpy")
def test_wrapper_without_its_fields_is_refused() -> None:
    """An object that is not joblib's array wrapper is not read as an array."""
    data = build.pickled(build.built(build.new("joblib.numpy_pickle", "NumpyArrayWrapper"), build.mapping({"a": b"N"})))
    assert [problem.code for problem in scan_bytes(data, ALLOWLIST).problems] == ["artifact.malformed"]
    with pytest.raises(LoadRefused, match="its fields"):
        load(data, {"joblib.numpy_pickle.NumpyArrayWrapper": "bnr"})


class FakeTorch(types.ModuleType):
    """The part of torch.load that the loader uses: it passes the pickle to the pickle module of its caller."""

    def __init__(self) -> None:
        super().__init__("torch")
        self.calls: list[dict[str, Any]] = []

    def load(self, file: Any, **options: Any) -> Any:
        self.calls.append(options)
        data = file.read()
        start = data.index(b"\x80\x04")
        pickling = options["pickle_module"]
        unpickler = pickling.Unpickler(io.BytesIO(data[start:]), encoding="utf-8")
        assert pickling.load(io.BytesIO(b"N.")) is None
        return unpickler.load()


@pytest.fixture(name="torch")
def _torch(monkeypatch: pytest.MonkeyPatch) -> FakeTorch:
    torch = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    storage = types.ModuleType("torch.storage")
    vars(storage)["_load_from_bytes"] = pytest.fail
    monkeypatch.setitem(sys.modules, "torch.storage", storage)
    return torch


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_torch_gets_our_unpickler_and_the_cpu(torch: FakeTorch, wrap: Any) -> None:
    """Tensors are loaded to the CPU, whatever device the file names, and with no name outside of the table."""
    body = build.pickled(build.named("builtins", "set"))
    for data in (build.torch_archive(body), build.torch_legacy(body, [], b"")):
        assert load(wrap(data), {"builtins.set": "r"}) is set
        with pytest.raises(LoadRefused, match=r"builtins\.set"):
            load(wrap(data), {})
        assert load(wrap(data), None) is set
    assert {options["map_location"] for options in torch.calls} == {"cpu"}
    assert {options["weights_only"] for options in torch.calls} == {False}


def test_torch_never_sees_an_archive_that_is_laid_out_oddly(torch: FakeTorch) -> None:
    """An archive with an invalid layout is refused before torch reads it."""
    with pytest.raises(LoadRefused, match="no member"):
        load(build.archive([build.Part("a/data.pkl", b"N.")], before_directory=b"x"), None)
    assert torch.calls == []


def test_storages_in_plain_pickles_are_loaded_under_the_same_table(torch: FakeTorch) -> None:
    """torch's own function for storages, which would load any name, is never called."""
    name = "torch.storage._load_from_bytes"

    def outer(inner: bytes) -> bytes:
        return build.pickled(build.called(build.named("torch.storage", "_load_from_bytes"), build.data(inner)))

    archive = build.torch_archive(build.pickled(build.named("builtins", "set")))
    assert load(outer(archive), {name: "cr", "builtins.set": "r"}) is set
    with pytest.raises(LoadRefused, match=r"builtins\.set"):
        load(outer(archive), {name: "cr"})
    with pytest.raises(LoadRefused, match="are not"):
        load(outer(b"N."), {name: "cr"})


def test_missing_framework_says_what_needs_it() -> None:
    """A missing library gives the error of the import, with the name that the model needs."""
    with pytest.raises(ModuleNotFoundError) as caught:
        load(build.pickled(build.named("nowhere.lstm", "Model")), {"nowhere.lstm.Model": "r"})
    assert "nowhere.lstm.Model" in caught.value.__notes__[0]


def test_trusted_bytes_load_anything() -> None:
    """Bytes of a trusted process load with any name: functions by value, dotted names, several formats."""

    def local(x: int) -> int:
        return x + 1

    assert load(cloudpickle.dumps(local), None)(1) == 2
    assert load(pickle.dumps(types.SimpleNamespace.__eq__), None) == types.SimpleNamespace.__eq__
    assert load(bytearray(pickle.dumps([1], 0)), None) == [1]
    with pytest.raises(LoadRefused, match="bytes follow"):
        load(pickle.dumps(1) + b"x", None)
