"""Storages of torch: what a file holds of a tensor's numbers, as far as a scan needs to know it.

Owns the description that the parsers of torch's files and the rules for its calls share. A storage must lie within the
bytes that the file has for it, which the parsers check; a tensor within its storage, which the rules check. Never reads
the numbers themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..stubs import Recorder, instance_of

__all__ = ["ITEM_SIZES", "StorageValue", "new_storage"]

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
    "torch.ShortStorage": 2,
    "torch.UntypedStorage": 1,
    "torch.storage.UntypedStorage": 1,
}
"""The types of storages that torch writes, with the bytes of an item."""


class StorageValue(NamedTuple):
    """A storage: how many items it has, each of how many bytes."""

    items: int
    item_size: int


def new_storage(recorder: Recorder, value: StorageValue) -> Any:
    """Return what stands for a storage in the scan."""
    return instance_of(recorder.internal("<torch storage>"), value)
