"""The tables of statistics behind CatBoost's trees: what stands for a category, or a combination of them. Pure.

A table is a flatbuffer of its own: a hash table of the combinations that were seen, and numbers for each of them.
CatBoost takes both without a check (`TCtrValueTable::LoadSolid` in catboost/libs/model/ctr_value_table.cpp; the fields
are in catboost/libs/model/flatbuffers/ctr_data.fbs): it searches the hash table until it meets an empty place, and
takes the place of the numbers from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .fault import NotATree, require
from .flatbuffer import Table, root_table

__all__ = ["Known", "check_base", "check_statistics", "key_of"]

_BASE, _HASHES, _NUMBERS, _DENOMINATOR, _CLASSES = range(5)
_BUCKET: Final = "<QI"
_EMPTY: Final = 2**64 - 1
_CLASSES_MAX: Final = 1 << 16
_BORDERS, _BUCKETS, _BINARIZED_MEAN, _FLOAT_MEAN, _COUNTER, _FREQUENCY = range(6)
"""The kinds of statistics (ECtrType)."""


class Known:
    """The features that a combination may consist of: the numbers of categorical ones and of ones by number."""

    __slots__ = ("by_number", "categorical")

    def __init__(self, categorical: set[int], by_number: set[int]) -> None:
        self.categorical = categorical
        self.by_number = by_number


def check_base(base: Table | None, known: Known, where: str) -> tuple[Table, int]:
    """Check the combination of features that statistics are about. Return its table, and the kind of statistics."""
    combination = base.table(0) if base is not None else None
    if base is None or combination is None:
        raise NotATree(f"{where} has no features")
    kind: int = base.number(1, "b")
    require(_BORDERS <= kind <= _FREQUENCY, f"{where} is of no known kind")
    used = [*combination.numbers(0, "i"), *(number for number, _ in combination.structs(2, "<ii"))]
    require(known.categorical.issuperset(used), f"{where} is about a category that is no feature of the model")
    numeric = {number for number, _ in combination.structs(1, "<if")}
    require(known.by_number.issuperset(numeric), f"{where} is about a number that is no feature of the model")
    return base, kind


def check_statistics(data: bytes, known: Known) -> tuple[int, dict[bytes, int]]:
    """Check the part of a model with all tables.

    Return the number of bytes that it takes, and the number of classes in the tables of each kind and features.
    """
    require(len(data) >= 4, "the tables of statistics are cut off")
    place = 4
    classes: dict[bytes, int] = {}
    for number in range(int.from_bytes(data[:4], "little")):
        where = f"table of statistics {number}"
        size = int.from_bytes(data[place : place + 4], "little")
        require(0 < size <= len(data) - place - 4, f"{where} is cut off")
        key, found = _check_table(root_table(data[place + 4 : place + 4 + size]), known, where)
        classes[key] = found
        place += 4 + size
    return place, classes


def key_of(base: Table, kind: int) -> bytes:
    """Return what tells which table belongs to which feature: the kind, and the combination."""
    combination = base.table(0)
    parts: list[object] = [kind]
    if combination is not None:
        parts += [combination.numbers(0, "i"), combination.structs(1, "<if"), combination.structs(2, "<ii")]
    return repr(parts).encode()


def _check_table(table: Table, known: Known, where: str) -> tuple[bytes, int]:
    base, kind = check_base(table.table(_BASE), known, where)
    classes: int = table.number(_CLASSES, "i")
    require(0 <= classes <= _CLASSES_MAX, f"{where} has {classes} classes")
    size = table.count(_NUMBERS, 1)
    # Counts of each class, a sum and a count, or one count.
    width = 4 * classes if kind in (_BORDERS, _BUCKETS) else 8 if kind in (_BINARIZED_MEAN, _FLOAT_MEAN) else 4
    require(width > 0, f"{where} has no classes")
    _check_hashes(table, size // width, where)
    return key_of(base, kind), classes


def _check_hashes(table: Table, numbers: int, where: str) -> None:
    raw = table.count(_HASHES, 1)
    buckets: Sequence[tuple[int, int]] = table.bytes_as(_HASHES, _BUCKET)
    count = len(buckets)
    require(
        raw == 12 * count and count > 0 and count & (count - 1) == 0, f"{where} has no hash table of a power of two"
    )
    places = [place for key, place in buckets if key != _EMPTY]
    require(len(places) < count, f"{where} has a hash table without an empty place")
    if max(places, default=0) >= numbers:
        wrong = next(place for place in places if place >= numbers)
        raise NotATree(f"{where}: a category has place {wrong}, and there are {numbers}")
