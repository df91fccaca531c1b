"""The parser of pickles that joblib wrote: the pure-Python unpickler, with arrays between its opcodes.

Owns how a joblib file is walked, once for scan and load: after a BUILD that finishes joblib's array wrapper come
padding and the raw bytes of the array (or, for arrays of objects, a pickle of its own), and the wrapper is
replaced by the array. Sub-classes say what a name, the wrapper's fields and the bytes become. joblib itself is
not needed, and its own loader is not used: that one unpickles arrays of objects without any restriction.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

from ..streams import BadStream, Stream

__all__ = ["ALIGNMENT_FIELD", "JoblibUnpickler", "check_fields"]

ALIGNMENT_FIELD = "numpy_array_alignment_bytes"
WRAPPER_FIELDS = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap"})
"""What the wrapper's state holds, besides the alignment that joblib added in 1.2."""

_PythonUnpickler: type[Any] = pickle._Unpickler  # the pure-Python one, as joblib uses


class JoblibUnpickler(_PythonUnpickler):  # type: ignore[misc]  # see above
    """Walks a joblib file. `load` returns what the file holds."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)
    stack: list[Any]

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.stream = stream

    def wrapper_state(self, wrapper: Any) -> Mapping[str, Any] | None:
        """Return the fields of a joblib array wrapper that was just built, or None for any other object."""
        raise NotImplementedError

    def array_of_objects(self) -> Any:
        """Return the array that the pickle at this place holds."""
        raise NotImplementedError

    def array_of_bytes(self, state: Mapping[str, Any]) -> Any:
        """Return the array whose raw bytes begin at this place."""
        raise NotImplementedError

    def holds_objects(self, state: Mapping[str, Any]) -> bool:
        """Tell whether the array of these fields has objects for items."""
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
    """Raise BadStream unless a wrapper's state has the fields that joblib writes, and no others."""
    if type(state) is not dict or not WRAPPER_FIELDS <= set(state) <= WRAPPER_FIELDS | {ALIGNMENT_FIELD}:
        raise BadStream("bad-joblib-array", detail="its fields")
