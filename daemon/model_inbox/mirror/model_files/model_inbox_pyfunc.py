"""Load a mirrored model by `mlflow.pyfunc.load_model`, and predict with it.

This file lies beside the model in MLflow, and MLflow executes it where the model is loaded. There it stands alone: it
needs Python, MLflow, and the libraries that made the model, and not model-inbox. It works with MLflow 2.x and 3.x. It
is the same for all models; what it has to know of one is in `artifacts/loading.json`.

Before a pickle is loaded, its SHA-256 is compared with the registered one. While it is loaded, it may import only the
names that were seen in it when model-inbox accepted it. A model that a trusted process registered from Python has no
such list, and is not limited.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import io
import json
import lzma
import pickle
import re
import zlib
from pathlib import Path
from typing import Any, ClassVar

import mlflow.models
import mlflow.pyfunc

JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
# Protocols 0 to 2 are written with the names of Python 2.
PYTHON2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "exceptions": "builtins"}
PYTHON2_NAMES = {"unicode": "str", "long": "int", "xrange": "range"}


class Refused(Exception):
    """The bytes are not those that were registered, or need what was not seen in them."""


class NeedsJoblib(Exception):
    """The pickle has joblib's raw arrays in it."""


def about(folder: Path) -> dict[str, Any]:
    """Return what is known of the model. A scaler that was replaced has a later file, with the higher number."""
    found = {}
    for path in folder.glob("loading*.json"):
        if number := re.fullmatch(r"loading(?:-([0-9]+))?\.json", path.name):
            found[int(number[1] or 0)] = path
    if not found:
        raise Refused(f"cannot load the model: {str(folder)!r} holds no loading.json")
    known: dict[str, Any] = json.loads(found[max(found)].read_bytes())
    return known


def load(folder: Path, role: str, known: dict[str, Any]) -> Any:
    """Return the model or the scaler; None where there is none. Raise Refused."""
    file = known.get(role)
    if file is None:
        return None
    path = folder / Path(file["name"]).name
    data = path.read_bytes()
    if file["sha256"] is not None and hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise Refused(f"cannot load the {role} {str(path)!r}: its bytes are not those that were registered")
    data = expanded(data)
    if data.startswith(b"PK\x03\x04"):
        raise Refused(f"cannot load the {role} {str(path)!r} here: load files of PyTorch by model_inbox.MirrorRegistry")
    find = Names(role, file["imports"])
    try:
        return PlainUnpickler(io.BytesIO(data), find).load()
    except NeedsJoblib:
        return JoblibUnpickler(io.BytesIO(data), find).load()


def expanded(data: bytes) -> bytes:
    """Return the contents of what joblib may have compressed."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    if data.startswith((b"\xfd7zXZ\x00", b"]\x00\x00")):
        return lzma.decompress(data)
    if data.startswith(b'\x04"M\x18'):
        contents: bytes = importlib.import_module("lz4.frame").decompress(data)
        return contents
    if len(data) > 1 and data[0] == 0x78 and int.from_bytes(data[:2], "big") % 31 == 0:
        return zlib.decompress(data)
    return data


class Names:
    """Imports the names that the model may use, and no others. `imports` is None for a model without limits."""

    def __init__(self, role: str, imports: dict[str, str] | None) -> None:
        self.role, self.imports = role, imports

    def __call__(self, module: str, name: str) -> Any:
        if module == "__builtin__":
            name = PYTHON2_NAMES.get(name, name)
        module = PYTHON2_MODULES.get(module, module)
        full = f"{module}.{name}"
        if self.imports is not None and full not in self.imports:
            raise Refused(f"cannot load the {self.role}: it names {full[:200]!r}, which was not seen when it came")
        if full == "numpy.memmap":
            # The class itself opens files. What joblib means by it is an array.
            name = "ndarray"
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found


class PlainUnpickler(pickle.Unpickler):
    """The C unpickler, with our names."""

    def __init__(self, file: Any, find: Names) -> None:
        super().__init__(file)
        self.find = find

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what a name stands for."""
        if f"{module}.{name}" == JOBLIB_ARRAY:
            raise NeedsJoblib
        return self.find(module, name)


class Array:
    """Stands for joblib's wrapper until its fields are read."""


PythonUnpickler: Any = pickle._Unpickler


class JoblibUnpickler(PythonUnpickler):
    """Python's unpickler, with our names, and joblib's arrays: their raw bytes follow the object that describes them.

    joblib's own reader loads arrays of objects by `pickle.load`, without any limit.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(PythonUnpickler.dispatch)

    def __init__(self, file: Any, find: Names) -> None:
        super().__init__(file)
        self.file, self.find = file, find

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what a name stands for."""
        return Array if f"{module}.{name}" == JOBLIB_ARRAY else self.find(module, name)

    def build(self) -> None:
        """Set the state of an object, and put the array in the place of its wrapper."""
        super().load_build()
        if type(self.stack[-1]) is Array:
            self.stack[-1] = self.array(vars(self.stack[-1]))

    dispatch[pickle.BUILD[0]] = build

    def array(self, fields: dict[str, Any]) -> Any:
        """Return the array whose bytes come next."""
        np = importlib.import_module("numpy")

        dtype, shape = fields["dtype"], tuple(fields["shape"])
        if dtype.hasobject:
            return PlainUnpickler(self.file, self.find).load()
        if fields.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        array = np.empty(shape, dtype, order="F" if fields["order"] == "F" else "C")
        size = array.size * dtype.itemsize
        data = self.file.read(size)
        if len(data) != size:
            raise Refused("cannot load the model: an array in it is cut off")
        flat = np.frombuffer(data, dtype)
        array = flat.reshape(shape[::-1]).T if fields["order"] == "F" else flat.reshape(shape)
        # A copy of its own, which may be changed, in this machine's order of bytes.
        return np.array(array, dtype.newbyteorder("="), order="K")


def predicted(model: Any, values: Any) -> Any:
    """Return what a model says; for a mapping or a list of models, such as one for each horizon, that of each."""
    if hasattr(model, "predict"):
        return model.predict(values)
    if isinstance(model, dict) and model:
        return {key: predicted(one, values) for key, one in model.items()}
    if isinstance(model, list | tuple) and model:
        return [predicted(one, values) for one in model]
    raise TypeError(
        f"cannot predict: the model is a {type(model).__name__}, which has no method predict. Its object is "
        "`unwrap_python_model().model`"
    )


class MirroredModel(mlflow.pyfunc.PythonModel):
    """A model with its scaler. `unwrap_python_model()` returns this; `model` and `scaler` are the objects."""

    # MLflow would warn that it cannot hold the input to a type: a frame and an array are both welcome.
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Load the objects."""
        folder = Path(context.artifacts["loading"])
        known = about(folder)
        self.features = known["features"]
        self.scaler = load(folder, "scaler", known)
        self.model = load(folder, "model", known)

    def predict(self, model_input: Any) -> Any:
        """Return what the model says about rows: a frame, an array, or lists.

        Of a frame that has all features of the model as columns, those are taken, in the model's order.
        """
        values = model_input
        columns = getattr(values, "columns", None)
        if columns is not None and self.features and set(self.features) <= set(columns):
            values = values[self.features]
        if self.scaler is not None:
            values = self.scaler.transform(values)
        return predicted(self.model, values)


mlflow.models.set_model(MirroredModel())
