"""The ways in which training jobs write a model to a file."""

from __future__ import annotations

import importlib.util
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JOBLIB_COMPRESSIONS: list[Any] = [0, 3, ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)]
if importlib.util.find_spec("lz4") is not None:
    JOBLIB_COMPRESSIONS.append(("lz4", 1))


def saved(model: Any, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (way, bytes) for pickle in every protocol, cloudpickle, and joblib plain and compressed."""
    import cloudpickle
    import joblib

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle-{protocol}", pickle.dumps(model, protocol)
    yield "cloudpickle", cloudpickle.dumps(model)
    path = folder / "saved"
    for compression in JOBLIB_COMPRESSIONS:
        joblib.dump(model, path, compress=compression)
        yield f"joblib-{compression}", path.read_bytes()


def saved_plainly(value: Any, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (way, bytes) for today's ways to save a value. Some zones cannot be written before protocol 2."""
    import joblib

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle-{protocol}", pickle.dumps(value, protocol)
    path = folder / "saved"
    for compression in (0, 3):
        joblib.dump(value, path, compress=compression)
        yield f"joblib-{compression}", path.read_bytes()


def saved_by_torch(model: Any) -> Iterator[tuple[str, bytes]]:
    """Yield (way, bytes) for torch's archive and its old format, and for pickle and cloudpickle."""
    import cloudpickle
    import torch

    for zipped in (True, False):
        for protocol in (2, 5):
            file = io.BytesIO()
            torch.save(model, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
            yield f"torch-{'zip' if zipped else 'legacy'}-{protocol}", file.getvalue()
    for protocol in (2, 3, 4, 5):
        yield f"pickle-{protocol}", pickle.dumps(model, protocol)
    yield "cloudpickle", cloudpickle.dumps(model)
