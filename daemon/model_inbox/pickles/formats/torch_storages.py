"""Storages of torch: the blocks of numbers that tensors refer to, as far as a scan needs to know them. Pure.

Owns the description that the parsers of torch's files and the rules for torch's calls share. The parsers check that a
storage has the size of its bytes in the file, the rules check that a tensor lies inside its storage. Never reads the
numbers itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..streams import Source
from ..stubs import Recorder, instance_of

__all__ = ["ITEM_SIZES", "STORAGE", "UNTYPED", "StorageValue", "new_storage"]

STORAGE = "<torch storage>"
"""The name of the stubs of storages, which have none in a pickle."""

ITEM_SIZES = {
    "torch.BFloat16Storage": 2,
    "torch.BoolStorage": 1,
    "torch.ByteStorage": 1,
    "torch.CharStorage": 1,
    "torch.ComplexDoubleStorage": 16,
    "torch.ComplexFloatStorage": 8,
    "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4,
    "torch.HalfStorage": 2,
    "torch.IntStorage": 4,
    "torch.LongStorage": 8,
    "torch.QInt32Storage": 4,
    "torch.QInt8Storage": 1,
    "torch.QUInt2x4Storage": 1,
    "torch.QUInt4x2Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.ShortStorage": 2,
    "torch.UntypedStorage": 1,
    "torch.storage.UntypedStorage": 1,
}
"""The types of storages that torch writes, with the bytes of one item."""

UNTYPED = frozenset({"torch.UntypedStorage", "torch.storage.UntypedStorage"})
"""The storages of the types that have none of their own. torch writes them in its old format, but cannot read them."""


@dataclass(slots=True)
class StorageValue:
    """A storage: its number of items, the bytes of one item, the name of its type, and where its bytes are in the file.

    `source` is None until the parser has come to the bytes. Two storages of one size are equal.
    """

    items: int
    item_size: int
    kind: str = field(default="", compare=False)
    source: Source | None = field(default=None, compare=False)


def new_storage(recorder: Recorder, value: StorageValue) -> Any:
    """Return the stub for a storage."""
    return instance_of(recorder.internal(STORAGE), value)
