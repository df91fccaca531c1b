"""How the tests load a saved model: through `ModelRegistry.load_model_objects`, as serving code does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_inbox import ModelRegistry


class Serving:
    """A registry that is asked to load files which an inbox would have registered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = ModelRegistry(folder / "prediction_registry.json", folder / "prediction")

    def load(self, data: bytes, imports: Mapping[str, str]) -> Any:
        """Write the bytes beside the registry and load them as the entry of a drop with these imports."""
        (self.folder / "model.pkl").write_bytes(data)
        entry = {
            "model_id": "m",
            "model_path": "model.pkl",
            "sha256": hashlib.sha256(data).hexdigest(),
            "scaler_path": None,
            "origin": "inbox",
            "imports": dict(imports),
        }
        model, scaler = self.registry.load_model_objects(entry)
        assert scaler is None
        return model


def same(found: Any, expected: Any, way: str) -> None:
    """Fail unless both are the same numbers; the last digit is free, because sums may run in another order."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.dtype.kind in "fc":
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=way)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=way)
