"""Parse files of joblib: the pure-Python unpickler, with the bytes of arrays between the opcodes.

Owns how a joblib file is parsed, for scan and load alike. After the BUILD of joblib's array wrapper come padding and
the raw bytes of the array, or, for an array of objects, another pickle; the array then replaces the wrapper.
Sub-classes say what a name, the fields of the wrapper and the bytes become. Never uses joblib's own loader, which
unpickles arrays of objects without any restriction, and does not need joblib.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

from ..streams import BadStream, Stream

__all__ = ["ALIGNMENT_FIELD", "JoblibUnpickler", "check_fields"]

ALIGNMENT_FIELD = "numpy_array_alignment_bytes"
WRAPPER_FIELDS = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap"})
"""The fields of the wrapper's state, besides the alignment that joblib 1.2 added."""

# The pure-Python unpickler, which joblib uses too. It calls a Python function for each opcode.
_PythonUnpickler: type[Any] = pickle._Unpickler


class JoblibUnpickler(_PythonUnpickler):  # type: ignore[misc]  # the stubs do not have the base class
    """Parses a joblib file. `load` returns its contents."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)
    stack: list[Any]

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.stream = stream

    def wrapper_state(self, wrapper: Any) -> Mapping[str, Any] | None:
        """Return the fields of an array wrapper that was just built, or None for any other object."""
        raise NotImplementedError

    def array_of_objects(self) -> Any:
        """Return the array in the pickle at the current position."""
        raise NotImplementedError

    def array_of_bytes(self, state: Mapping[str, Any]) -> Any:
        """Return the array whose raw bytes begin at the current position."""
        raise NotImplementedError

    def holds_objects(self, state: Mapping[str, Any]) -> bool:
        """Return whether the array with these fields is an array of objects."""
        raise NotImplementedError

    def _load_build(self) -> None:
        super().load_build()
        state = self.wrapper_state(self.stack[-1])
        if state is None:
            return
        if self.holds_objects(state):
            self.stack[-1] = self.array_of_objects()
            return
        if state.get(ALIGNMENT_FIELD) is not None:
            padding = self.stream.read_exactly(1)[0]
            self.stream.read_exactly(padding)
        self.stack[-1] = self.array_of_bytes(state)

    dispatch[pickle.BUILD[0]] = _load_build


def check_fields(state: Any) -> None:
    """Raise BadStream unless the state of a wrapper has exactly the fields that joblib writes."""
    if type(state) is not dict or not WRAPPER_FIELDS <= set(state) <= WRAPPER_FIELDS | {ALIGNMENT_FIELD}:
        raise BadStream("bad-joblib-array", detail="its fields")
