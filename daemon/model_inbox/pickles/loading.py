"""Loading what was judged: same kind, same parser, same reader as the scan, and no name that the scan did not see.

Owns `load`. Names are resolved from a table made of `imports`, never by the pickle's own say. Never reads a file
and never judges: the caller has verified the digest of the bytes that it hands in. The frameworks themselves
(numpy, torch, ...) are imported only where the file needs them.
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
from .names import JOBLIB_ARRAY, LOAD_FROM_BYTES, is_well_formed, resolve
from .report import FINDINGS
from .scan import decompressed_max, new_recorder
from .streams import BadStream, InflatedSource, MemorySource, Source, Stream, open_compressed
from .unpicklers import PlainUnpickler, finish, open_stream

__all__ = ["load"]

Resolver = Callable[[str, str], Any]


def load(data: bytes | bytearray | memoryview, imports: Mapping[str, str] | None) -> Any:
    """Return the object that `data` holds, importing nothing but the names in `imports`.

    `imports` is what the scan saw: full names, with the letters of their uses. None stands for bytes that a
    trusted process registered: then any name may be imported, as by `pickle.loads`. LoadRefused names what the
    bytes ask for beyond that, or what is wrong with their form; whatever the classes themselves raise passes.
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
    return FINDINGS[error.what][1].format(subject=quoted(error.subject), detail=quoted(error.detail, 200)[1:-1])


def _load(
    source: MemorySource, resolver: Resolver, *, may_be_joblib: bool = False, must_be_joblib: bool = False
) -> Any:
    _, contents = open_compressed(source, decompressed_max(source.size))
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
    """Resolves the names that were seen in the scan, each once, and refuses all others."""

    def __init__(self, imports: Mapping[str, str]) -> None:
        self._imports = imports
        self._found: dict[str, Any] = {}

    def __call__(self, module: str, name: str) -> Any:
        if not is_well_formed(module, name):
            raise LoadRefused(f"cannot load the pickle: it names {quoted(f'{module} {name}')}, which is no full name")
        module, name = resolve(module, name)
        full = f"{module}.{name}"
        if full not in self._imports:
            raise LoadRefused(
                f"cannot load the pickle: it names {quoted(full)}, which was not seen when it was accepted",
                hint="Treat the file as hostile; `model-inbox verify` compares it with its registration",
            )
        if full not in self._found:
            self._found[full] = _fetch(module, name)
        return self._found[full]


_STAND_INS = {"numpy.memmap": ("numpy", "ndarray")}
"""joblib names this class where an array was mapped into memory, only to be told; the class itself opens files."""


def _fetch(module: str, name: str) -> Any:
    module, name = _STAND_INS.get(f"{module}.{name}", (module, name))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        error.add_note(f"A model that is being loaded needs {module}.{name}: install the version it was made with")
        raise


def _from_anywhere(module: str, name: str) -> Any:
    """Resolve any name, dotted ones included: for bytes that a trusted process registered."""
    module, name = resolve(module, name)
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


# --- plain and torch -----------------------------------------------------------------------------------------


class _LoadingUnpickler(_pickle.Unpickler):
    """The C unpickler, with names from a resolver."""

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
    """Return what loads the torch file in bytes that a plain pickle holds, under the same restrictions."""

    def load_storage(data: bytes) -> Any:
        source = MemorySource(data)
        kind = kind_of_start(source.read_at(0, START_BYTES))
        if kind not in (TORCH_ZIP, TORCH_LEGACY):
            raise BadStream("nested-not-torch")
        return _load_torch(source, resolver, is_zip=kind == TORCH_ZIP)

    return load_storage


def _load_torch(source: MemorySource, resolver: Resolver, *, is_zip: bool) -> Any:
    """Let torch walk its own formats, with our unpickler and our reader in place of its own."""
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
    """The reader of `streams.Stream` over a file that torch opened."""

    __slots__ = ("read", "readinto", "readline")

    def __init__(self, file: Any) -> None:
        self.read = file.read
        self.readline = file.readline
        self.readinto = file.readinto


# --- joblib --------------------------------------------------------------------------------------------------


def _is_joblib(contents: Source) -> bool:
    """Tell whether the scan would take this for joblib's: by the same inert parse, which imports nothing."""
    recorder = new_recorder()
    try:
        PlainUnpickler(recorder, open_stream(recorder, contents)).load()
    except NeedsJoblib:
        return True
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the real parser says it better
        return False
    return False


class _ArrayWrapper:
    """Stands for joblib's wrapper while it gets its state."""


class _LoadingJoblibUnpickler(JoblibUnpickler):
    """joblib's parser, with names from a resolver and arrays filled from the stream without a copy."""

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
        return array
