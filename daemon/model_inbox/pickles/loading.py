"""Load what was scanned: with the kind, the parser and the reader of the scan, and no name that the scan did not see.

Owns `load`. Names are resolved from a table that is made of `imports`. Never reads a file and never decides whether a
file is accepted: the caller has verified the digest of the bytes. Frameworks (numpy, torch, ...) are imported only if
the file needs them.
"""

from __future__ import annotations

import _pickle
import importlib
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..errors import LoadRefused
from ..problems import quoted
from .formats import JoblibUnpickler, check_fields, read_zip_layout
from .kinds import START_BYTES, TORCH_LEGACY, TORCH_ZIP, NeedsJoblib, kind_of_start
from .names import BUILTIN_TYPE, JOBLIB_ARRAY, LOAD_FROM_BYTES, is_method, is_well_formed, resolve, root_of
from .report import problem_of
from .rules import GETATTR, bound_attribute, builtin_type
from .scan import decompressed_max, new_recorder
from .streams import BadStream, InflatedSource, MemorySource, Source, Stream, open_compressed
from .unpicklers import PlainUnpickler, finish, open_stream
from .versions import installed_version

__all__ = ["load"]

_INFLATED_MAX = 1 << 30
"""Scans once accepted files that expand to so much, whatever their size: those must still be loaded."""

Resolver = Callable[[str, str], Any]


def load(data: bytes | bytearray | memoryview, imports: Mapping[str, str] | None) -> Any:
    """Return the object in `data`. Import only the names in `imports`.

    `imports` are the names that the scan saw, with the letters of their uses. None means that a trusted process has
    registered the bytes: then any name may be imported, as by `pickle.loads`. Raise LoadRefused if the bytes need
    another name, or are not valid. Exceptions of the loaded classes themselves are not caught.
    """
    source = MemorySource(data)
    resolver = _from_anywhere if imports is None else _Table(imports)
    try:
        return _load(source, resolver, may_be_joblib=imports is not None and JOBLIB_ARRAY in imports)
    except NeedsJoblib:
        return _load(source, resolver, must_be_joblib=True)
    except BadStream as error:
        raise LoadRefused(f"cannot load the pickle: {_text_of(error)}") from error


def _text_of(error: BadStream) -> str:
    return problem_of(error.what, error.subject, error.detail).message


def _load(
    source: MemorySource, resolver: Resolver, *, may_be_joblib: bool = False, must_be_joblib: bool = False
) -> Any:
    _, contents = open_compressed(source, max(_INFLATED_MAX, decompressed_max(source.size)))
    start = contents.read_at(0, START_BYTES)
    kind = kind_of_start(start)
    if kind in (TORCH_ZIP, TORCH_LEGACY):
        whole = contents.inflate() if isinstance(contents, InflatedSource) else source
        return _load_torch(whole, resolver, is_zip=kind == TORCH_ZIP)
    if must_be_joblib or (may_be_joblib and _is_joblib(contents)):
        unpickler: Any = _LoadingJoblibUnpickler(Stream(contents), resolver)
        result = unpickler.load()
        finish(unpickler.stream)
        return result
    stream = Stream(contents)
    result = _LoadingUnpickler(stream, resolver).load()
    finish(stream)
    return result


# --- names ---------------------------------------------------------------------------------------------------


class _Table:
    """Resolves the names that the scan saw, each once, and refuses all others."""

    def __init__(self, imports: Mapping[str, str]) -> None:
        self._imports = imports
        self._found: dict[str, Any] = {}

    def __call__(self, module: str, name: str) -> Any:
        if not is_well_formed(module, name) and not is_method(module, name):
            raise LoadRefused(
                f"cannot load the pickle: it names {quoted(f'{module} {name}')}, which is not a full name"
            )
        module, name = resolve(module, name)
        full = f"{module}.{name}"
        if full not in self._imports:
            raise LoadRefused(
                f"cannot load the pickle: it names {quoted(full)}, which was not seen when it was accepted",
                hint="Treat the file as hostile, and run `model-inbox verify` to compare it with its entry",
            )
        if full not in self._found:
            self._found[full] = _FUNCTIONS.get(full) or _fetch(module, name)
        return self._found[full]


_STAND_INS = {"numpy.memmap": ("numpy", "ndarray")}
"""joblib names this class for an array that was mapped into memory. The class itself opens files and is never used."""


def _copied_buffer(data: bytes | bytearray) -> Any:
    """Return a buffer of Arrow on a copy. A pickle could change the bytes of the original after they were checked."""
    return importlib.import_module("pyarrow").py_buffer(bytes(data))


def _validated_array(parts: Any) -> Any:
    """Return an array of Arrow whose offsets, lengths and text Arrow itself has compared with its buffers, too."""
    array = importlib.import_module("pyarrow.lib")._restore_array(parts)
    array.validate(full=True)
    return array


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    BUILTIN_TYPE: builtin_type,
    GETATTR: bound_attribute,
    "pyarrow.lib.py_buffer": _copied_buffer,
    "pyarrow.lib._restore_array": _validated_array,
}
"""What a load calls instead of these functions, whatever the scan has found."""


def _fetch(module: str, name: str) -> Any:
    module, name = _STAND_INS.get(f"{module}.{name}", (module, name))
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        error.add_note(_what_is_missing(module, name))
        raise
    return found


def _what_is_missing(module: str, name: str) -> str:
    """Return in words why a name is not here. numpy and pandas have renamed their modules with their generations."""
    root = root_of(module)
    here = installed_version(_DISTRIBUTIONS.get(root, root))
    found = f"here is {root} {here}" if here else f"{root} is not installed here"
    if here and root == "numpy":
        made = "numpy 2" if module.startswith("numpy._core") else "numpy 1"
        return f"The model was made with {made}, {found}: install {made}, or save the model again with this version"
    if here and root == "pandas":
        made = "pandas 3 or later" if module in ("pandas", "pandas.arrays") else "an earlier pandas"
        return f"The model was made with {made}, {found}: install that, or save the model again with this version"
    return f"The model needs {module}.{name}, and {found}: install the version of the library that made the model"


_DISTRIBUTIONS = {"sklearn": "scikit-learn", "dateutil": "python-dateutil", "imblearn": "imbalanced-learn"}


def _from_anywhere(module: str, name: str) -> Any:
    """Resolve any name, with dots too: for bytes that a trusted process registered."""
    module, name = resolve(module, name)
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


# --- plain and torch -----------------------------------------------------------------------------------------


class _LoadingUnpickler(_pickle.Unpickler):
    """The C unpickler. It gets names from a resolver."""

    def __init__(self, stream: Any, resolver: Resolver) -> None:
        super().__init__(stream)
        self._resolver = resolver

    def find_class(self, module: str, name: str, /) -> Any:
        full = ".".join(resolve(module, name))
        if full == JOBLIB_ARRAY:
            raise NeedsJoblib
        found = self._resolver(module, name)
        return _storage_loader(self._resolver) if full == LOAD_FROM_BYTES else found


def _storage_loader(resolver: Resolver) -> Callable[[bytes], Any]:
    """Return a function that loads the torch file in the bytes of a plain pickle, with the same restrictions."""

    def load_storage(data: bytes) -> Any:
        source = MemorySource(data)
        kind = kind_of_start(source.read_at(0, START_BYTES))
        if kind not in (TORCH_ZIP, TORCH_LEGACY):
            raise BadStream("nested-not-torch")
        return _load_torch(source, resolver, is_zip=kind == TORCH_ZIP)

    return load_storage


def _load_torch(source: MemorySource, resolver: Resolver, *, is_zip: bool) -> Any:
    """Let torch parse its own formats, with our unpickler and our reader instead of its own."""
    if is_zip:
        read_zip_layout(source)
    torch = importlib.import_module("torch")

    class Unpickler(_LoadingUnpickler):
        def __init__(self, file: Any, **_options: Any) -> None:
            super().__init__(_Unpeekable(file), resolver)

    pickling = ModuleType("model_inbox_restricted_pickle")
    vars(pickling).update(
        Unpickler=Unpickler,
        UnpicklingError=pickle.UnpicklingError,
        load=lambda file, **_options: Unpickler(file).load(),
    )
    file = source.buffered()
    return torch.load(file, map_location="cpu", pickle_module=pickling, weights_only=False)


class _Unpeekable:
    """A file that torch opened, without peek: as `streams.Stream` reads it."""

    __slots__ = ("read", "readinto", "readline")

    def __init__(self, file: Any) -> None:
        self.read = file.read
        self.readline = file.readline
        self.readinto = file.readinto


# --- joblib --------------------------------------------------------------------------------------------------


def _is_joblib(contents: Source) -> bool:
    """Return whether the scan would parse this as joblib's: with the same inert parse, which imports nothing."""
    recorder = new_recorder()
    try:
        PlainUnpickler(recorder, open_stream(recorder, contents)).load()
    except NeedsJoblib:
        return True
    except Exception:  # noqa: BLE001 - the real parser gives the better error message
        return False
    return False


class _ArrayWrapper:
    """Stands for joblib's wrapper until the wrapper has its state."""


class _LoadingJoblibUnpickler(JoblibUnpickler):
    """joblib's parser. It gets names from a resolver and reads arrays from the stream without a copy."""

    def __init__(self, stream: Stream, resolver: Resolver, *, inner: bool = False) -> None:
        super().__init__(stream)
        self._resolver = resolver
        self._inner = inner

    def find_class(self, module: str, name: str, /) -> Any:
        full = ".".join(resolve(module, name))
        if full == JOBLIB_ARRAY:
            if self._inner:
                raise BadStream("bad-joblib-array", detail="an array inside an array of objects")
            self._resolver(module, name)
            return _ArrayWrapper
        found = self._resolver(module, name)
        return _storage_loader(self._resolver) if full == LOAD_FROM_BYTES else found

    def wrapper_state(self, wrapper: Any) -> Mapping[str, Any] | None:
        if type(wrapper) is not _ArrayWrapper:
            return None
        check_fields(vars(wrapper))
        return vars(wrapper)

    def holds_objects(self, state: Mapping[str, Any]) -> bool:
        return bool(state["dtype"].hasobject)

    def array_of_objects(self) -> Any:
        return _LoadingJoblibUnpickler(self.stream, self._resolver, inner=True).load()

    def array_of_bytes(self, state: Mapping[str, Any]) -> Any:
        np = importlib.import_module("numpy")

        array = np.empty(state["shape"], dtype=state["dtype"], order=state["order"])
        if array.size and array.itemsize:
            flat = array.reshape(-1, order="A") if array.flags.forc else array
            self.stream.fill(memoryview(flat.view(np.uint8)).cast("B"))
        if not array.dtype.isnative:
            array = array.byteswap().view(array.dtype.newbyteorder("="))
        if getattr(state["subclass"], "__name__", "") == "matrix":
            array = array.view(state["subclass"])
        return array
