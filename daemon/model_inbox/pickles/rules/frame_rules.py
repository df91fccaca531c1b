"""Rules for the indexes, blocks, categories and sparse arrays of pandas, and for sparse matrices of scipy. Pure.

Owns the comparison of their numbers with each other: pandas and scipy take codes, places and lengths as they are, and
read outside of their arrays where those do not fit. Never reads a number that no other depends on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import le
from typing import Any

from ..arguments import DIMENSIONS_MAX, LENGTH_MAX, is_count, is_global, is_object, is_shape, must
from ..stubs import BadArguments, Global, Recorder, Rule, StateRule, Stub, instance_of
from .arrow_rules import ArrowValue
from .framework_rules import is_offset, pandas_state
from .numpy_rules import SCALARS, ArrayValue, array_of, integers_of, is_integers, must_lie_within

__all__ = ["FRAME_CALLS", "FRAME_STATES", "BlockValue", "count_of_places", "length_of"]

# --- indexes -------------------------------------------------------------------------------------------------

_MODULES = {
    "Index": "base",
    "RangeIndex": "range",
    "MultiIndex": "multi",
    "DatetimeIndex": "datetimes",
    "TimedeltaIndex": "timedeltas",
    "CategoricalIndex": "category",
    "IntervalIndex": "interval",
    "PeriodIndex": "period",
    "Int64Index": "numeric",
    "Float64Index": "numeric",
    "UInt64Index": "numeric",
}
_INDEXES = {
    **{f"pandas.{name}": name for name in _MODULES},
    **{f"pandas.core.indexes.{module}.{name}": name for name, module in _MODULES.items()},
}
_FIELDS = {
    "RangeIndex": frozenset({"name", "start", "stop", "step"}),
    "MultiIndex": frozenset({"levels", "codes", "sortorder", "names"}),
}
_FIELDS_OF_OTHERS = frozenset({"data", "name", "freq"})
_FIELDS_OF_INTERVALS = frozenset({"left", "right", "closed", "name"})
_CLOSED = ("left", "right", "both", "neither")
_TICKS = tuple(f"pandas._libs.tslibs.offsets.{name}" for name in
               ("Day", "Hour", "Minute", "Second", "Milli", "Micro", "Nano"))  # fmt: skip
_STEP_MICROSECONDS = 10
"""How long pandas needs to compute one date of an index whose steps are no fixed time."""

ROWS_MIN = 1 << 24
"""How many rows the ranges of a file may have together, if the file has fewer bytes."""

LEVELS_MAX = 1000
_NUMBERS_MAX = 1 << 62


class IndexValue:
    """An index of pandas: its length."""

    __slots__ = ("length",)

    def __init__(self, length: int) -> None:
        self.length = length


_INNER = ("_ndarray", "_data", "_pa_array", "_left", "left", "_codes")
"""Attributes in which arrays of pandas keep their first array."""


def length_of(value: Any, levels: int = 3) -> int | None:
    """Return the length of an array or an index of numpy, pandas or Arrow, or None if it is none that is known."""
    if not isinstance(value, Stub):
        return None
    known = getattr(value, "value", None)
    if isinstance(known, IndexValue | ArrowValue):
        return known.length
    if isinstance(known, ArrayValue):
        return known.shape[0] if known.dtype is not None and known.shape else None
    state = value.kept[1] if type(value.kept) is tuple and len(value.kept) == 2 else value.kept
    if not levels:
        return None
    for part in state if type(state) is tuple else (state,):
        inner = part
        if type(part) is dict:
            index = part.get("_sparse_index")
            if is_object(index, *_SPARSE_INDEXES):
                return int(index.value[0])
            inner = next((part[name] for name in _INNER if name in part), None)
        if (length := length_of(inner, levels - 1)) is not None:
            return length
    return None


def _known_length(value: Any, otherwise: str) -> int:
    length = length_of(value)
    must(length is not None, otherwise)
    return length or 0


def _check_name(name: Any) -> None:
    """pandas hashes the names of indexes."""
    try:
        hash(name)
    except TypeError:
        raise BadArguments("the name of an index cannot be hashed") from None


def _index(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """`_new_Index(cls, {...})` calls the class with the items of the dictionary as keyword arguments."""
    must(len(args) == 2 and is_global(args[0], *_INDEXES) and type(args[1]) is dict, "not (index class, fields)")
    kind, fields = _INDEXES[args[0].name], args[1]
    of_intervals = kind == "IntervalIndex" and "data" not in fields
    expected = _FIELDS_OF_INTERVALS if of_intervals else _FIELDS.get(kind, _FIELDS_OF_OTHERS)
    must(set(fields) <= expected, "pandas does not write these fields")
    must(not any(isinstance(value, Global) for value in fields.values()), "there is a class or function in the fields")
    _check_name(fields.get("name"))
    if kind == "RangeIndex":
        return instance_of(callee, IndexValue(_range(recorder, callee, fields)))
    if kind == "MultiIndex":
        return instance_of(callee, IndexValue(_levels(recorder, callee, fields)))
    if of_intervals:
        must(fields.get("closed") in _CLOSED, "the intervals are closed at no known side")
        lengths = {_known_length(fields.get(name), "an end of the intervals is no index") for name in ("left", "right")}
        must(len(lengths) == 1, "the ends of the intervals differ in length")
        return instance_of(callee, IndexValue(lengths.pop()))
    length = _known_length(fields.get("data"), "the contents of an index are no array")
    if is_object(fields["data"], "numpy.ndarray"):
        must(len(array_of(fields["data"]).shape) == 1, "the contents of an index have several dimensions")
    freq = fields.get("freq")
    must(freq is None or type(freq) is str or is_offset(freq), "the steps between dates are invalid")
    if freq is not None and not is_object(freq, *_TICKS):
        recorder.charge(callee, 0, _STEP_MICROSECONDS * length)
    return instance_of(callee, IndexValue(length))


def _range(recorder: Recorder, callee: Global, fields: Mapping[str, Any]) -> int:
    start, stop, step = (fields.get(name) for name in ("start", "stop", "step"))
    must(all(type(part) is int and abs(part) < _NUMBERS_MAX for part in (start, stop, step)) and step != 0,
         "the range is invalid")  # fmt: skip
    length = len(range(start, stop, step))  # type: ignore[arg-type]  # `must` has raised
    recorder.rows += length
    if recorder.rows > ROWS_MIN:

        def check() -> None:
            must(recorder.rows <= recorder.bytes_read, f"the ranges have {recorder.rows} rows together, more than the "
                 f"file has bytes ({recorder.bytes_read})")  # fmt: skip

        recorder.check_later(callee.name, check)
    return length


def _levels(recorder: Recorder, callee: Global, fields: Mapping[str, Any]) -> int:
    levels, codes, names = fields.get("levels"), fields.get("codes"), fields.get("names")
    if type(levels) is not list or type(codes) is not list:
        raise BadArguments("not the levels and codes of an index")
    must(0 < len(levels) == len(codes) <= LEVELS_MAX, "levels and codes differ in number")
    must(type(names) is list and len(names) == len(levels), "not a name for each level")
    for name in names or ():
        _check_name(name)
    sort = fields.get("sortorder")
    must(sort is None or is_count(sort, len(levels)), "the order is invalid")
    lengths = set()
    for level, places in zip(levels, codes, strict=True):
        count = _known_length(level, "a level is no index")
        known = array_of(places)
        must(is_integers(known), "the codes of a level are no integers")
        lengths.add(known.shape[0])
        recorder.check_later(
            callee.name, partial(must_lie_within, known, -1, count, f"a code is outside of its level of {count} items")
        )
    must(len(lengths) == 1, "the codes of the levels differ in length")
    return int(lengths.pop())


# --- blocks --------------------------------------------------------------------------------------------------


class BlockValue:
    """A block of a frame: the places of its columns, its number of rows, and the values."""

    __slots__ = ("places", "rows", "values")

    def __init__(self, places: slice | ArrayValue, rows: int, values: Stub) -> None:
        self.places = places
        self.rows = rows
        self.values = values


COLUMNS_MAX = 1 << 24


def count_of_places(places: Any, most: int = LENGTH_MAX) -> int:
    """Return how many places a block has: a slice with no number above `most`, or an array of integers.

    Raise BadArguments for anything else.
    """
    if type(places) is not slice:
        known = array_of(places)
        must(is_integers(known), "the places are invalid")
        return known.shape[0]
    return len(_range_of(places, most))


def _range_of(places: slice, most: int = LENGTH_MAX) -> range:
    """Return the places of a slice. pandas leaves numbers of numpy in some slices, as `unstack` does."""
    bounds = (places.start, places.stop, 1 if places.step is None else places.step)
    start, stop, step = (bound.real if is_object(bound, *SCALARS) else bound for bound in bounds)
    must(all(is_count(bound, most) for bound in (start, stop, step)) and step > 0, "the places are invalid")
    return range(start, stop, step)


def _block(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and isinstance(args[0], Stub) and args[2] in (1, 2), "not (values, places, dimensions)")
    values, places, dimensions = args
    must(not is_object(values, "numpy.dtype"), "the values are not an array")
    shape: tuple[int, ...] | None = None
    if is_object(values, "numpy.ndarray"):
        shape = array_of(values).shape
        must(len(shape) == dimensions, "the number of dimensions is wrong")
    count = count_of_places(places, COLUMNS_MAX)
    must(shape is None or count == shape[0], "a block has another number of places than of values")
    known = places if type(places) is slice else array_of(places)
    return instance_of(callee, BlockValue(known, -1 if shape is None else shape[-1], values))


_BLOCK = "pandas._libs.internals._unpickle_block"


def _manager(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> None:
    """`BlockManager(blocks, axes)`: each place of the columns belongs to one block, and each block has all rows."""
    must(len(args) == 2 and type(args[0]) is tuple and type(args[1]) is list, "not (blocks, axes)")
    blocks, axes = args
    must(all(is_object(block, _BLOCK) and hasattr(block, "value") for block in blocks), "there is no block")
    must(len(axes) == 2, "not (blocks, axes)")
    columns, rows = (_known_length(axis, "an axis is no index") for axis in axes)
    must(all(block.value.rows in (rows, -1) for block in blocks), "a block has another number of rows than its frame")
    must(columns <= COLUMNS_MAX, "it has too many columns")

    def check() -> None:
        taken = bytearray(columns)
        for block in blocks:
            places = block.value.places
            pieces = [_range_of(places)] if type(places) is slice else integers_of(places)
            for piece in pieces:
                must(len(piece) == 0 or (min(piece) >= 0 and max(piece) < columns), "a block is outside of its frame")
                for place in piece:
                    must(not taken[place], "two blocks have one place")
                    taken[place] = 1
        must(0 not in taken, "a column has no block")

    recorder.check_later(callee.name, check)


# --- categories and sparse arrays ----------------------------------------------------------------------------

_CATEGORICALS = ("pandas.Categorical", "pandas.core.arrays.categorical.Categorical")
_CATEGORY_DTYPES = ("pandas.CategoricalDtype", "pandas.core.dtypes.dtypes.CategoricalDtype")
BACKED = "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"


def _backed_array_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """The state of arrays that are based on numpy's: dtype and data in any order, and attributes."""
    # The call has kept its arguments, and a state would stand beside them.
    call = target.kept
    must(type(call) is tuple and len(call) == 3 and is_global(call[0]), "it is set a second time")
    must(type(state) is tuple and len(state) in (2, 3), "not a state that pandas writes")
    arrays = [part for part in state[:2] if is_object(part, "numpy.ndarray")]
    must(len(arrays) == 1, "there is no array")
    for part in state[:2]:
        name = type(part).name if isinstance(part, Stub) else ""
        must(name.startswith(("numpy.", "pandas.")), "the dtype is invalid")
    must(all(type(part) is dict for part in state[2:]), "the attributes are not a dictionary")
    pandas_state(recorder, target, state)
    if call[0].name not in _CATEGORICALS:
        return
    known = array_of(arrays[0])
    dtype = next((part for part in state[:2] if is_object(part, *_CATEGORY_DTYPES)), None)
    must(dtype is not None and type(dtype.kept) is dict, "the categories have no dtype")
    categories = dtype.kept.get("categories") if dtype is not None else None
    count = _known_length(categories, "the categories are no index")
    must(is_integers(known), "the codes of the categories are no integers")
    recorder.check_later(
        BACKED, partial(must_lie_within, known, -1, count, f"a code is outside of the {count} categories")
    )


def _once(recorder: Recorder, target: Stub, state: Any) -> None:
    """Arrays and dtypes whose length others have been compared with may not change."""
    must(target.kept is None, "it is set a second time")
    pandas_state(recorder, target, state)


_SPARSE = "pandas._libs.sparse."
_SPARSE_INDEXES = (f"{_SPARSE}IntIndex", f"{_SPARSE}BlockIndex")


def _sparse_index(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """`IntIndex(length, places)` and `BlockIndex(length, starts, lengths)`, which check themselves what they get."""
    must(len(args) == (2 if callee.name.endswith("IntIndex") else 3) and is_count(args[0], 1 << 31),
         "not the parts of a sparse index")  # fmt: skip
    arrays = [array_of(arg) for arg in args[1:]]
    must(all(is_integers(known) for known in arrays), "not the parts of a sparse index")
    must(len({known.shape for known in arrays}) == 1, "not the parts of a sparse index")
    return instance_of(callee, (args[0], arrays))


def _sparse_state(recorder: Recorder, target: Stub, state: Any) -> None:
    _once(recorder, target, state)
    must(type(state) is dict and is_object(state.get("_sparse_index"), *_SPARSE_INDEXES), "it has no sparse index")
    index = state["_sparse_index"]
    must(hasattr(index, "value"), "it has no sparse index")
    values = array_of(state.get("_sparse_values"))
    must(len(values.shape) == 1, "not a state that pandas writes")

    def check() -> None:
        _length, arrays = index.value
        count = arrays[0].shape[0] if len(arrays) == 1 else sum(sum(piece) for piece in integers_of(arrays[1]))
        must(count == values.shape[0], "the sparse index has another number of places than there are values")

    recorder.check_later(type(target).name, check)


# --- sparse matrices of scipy --------------------------------------------------------------------------------

_COMPRESSED = {"csr": 0, "csc": 1, "bsr": 0}


def _shape_of(state: Any, dimensions: int = 2) -> tuple[int, ...]:
    must(type(state) is dict, "not a dictionary of attributes")
    shape = state.get("_shape")
    must(is_shape(shape) and 0 < len(shape) <= dimensions, "the shape is invalid")
    return tuple(shape)


def _compressed_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """Rows that are compressed: where each ends, and the columns of its items."""
    must(target.kept is None, "it is set a second time")
    shape = _shape_of(state)
    form = type(target).name.rpartition(".")[2][:3]
    major, minor = (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])
    if _COMPRESSED[form]:
        major, minor = minor, major
    ends, places, data = (array_of(state.get(name)) for name in ("indptr", "indices", "data"))
    must(is_integers(ends) and is_integers(places), "its indexes are no integers")
    if form == "bsr":
        must(len(data.shape) == 3 and 0 not in data.shape[1:], "the blocks are invalid")
        must(major % data.shape[1] == 0 and minor % data.shape[2] == 0, "the blocks do not fit the shape")
        major, minor = major // data.shape[1], minor // data.shape[2]
    must(ends.shape == (major + 1,), "it has another number of rows than its shape")
    must(len(data.shape) >= 1 and data.shape[0] >= places.shape[0], "it has fewer values than places")

    def check() -> None:
        before = 0
        for piece in integers_of(ends):
            must(piece[0] >= before and all(map(le, piece, piece[1:])), "the ends of its rows are wrong")
            before = piece[-1]
        must(before <= places.shape[0], "a row ends outside of the places")
        must_lie_within(places, 0, minor, "a place is outside of the matrix")

    recorder.check_later(type(target).name, check)


def _coordinates_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """Items with coordinates: `coords` for each dimension, `row` and `col` before scipy 1.13."""
    must(target.kept is None, "it is set a second time")
    # `__setstate__` of coo_matrix takes items out of the dictionary.
    shape = _shape_of(state, DIMENSIONS_MAX)
    coordinates = state.get("coords") or (state.get("row"), state.get("col"))
    must(type(coordinates) is tuple and len(coordinates) == len(shape), "its coordinates are invalid")
    known = [array_of(one) for one in coordinates]
    data = array_of(state.get("data"))
    must(all(is_integers(one) and one.shape == data.shape for one in known), "its coordinates are invalid")
    for one, length in zip(known, shape, strict=True):
        recorder.check_later(
            type(target).name, partial(must_lie_within, one, 0, length, "a place is outside of the matrix")
        )


def _lists_state(recorder: Recorder, target: Stub, state: Any) -> None:
    """Rows that are lists: the columns of their items, and the items."""
    must(target.kept is None, "it is set a second time")
    shape = _shape_of(state)
    rows, data = array_of(state.get("rows")), array_of(state.get("data"))
    must(len(shape) == 2 and rows.shape == data.shape == shape[:1], "it has another number of rows than its shape")
    if rows.items is None or data.items is None:
        raise BadArguments("its rows are no lists")
    pairs = [*zip(rows.items, data.items, strict=True)]

    def check() -> None:
        for places, values in pairs:
            must(
                type(places) is type(values) is list and len(places) == len(values),
                "a row has other places than values",
            )
            must(all(is_count(place) and place < shape[1] for place in places), "a place is outside of the matrix")

    # A pickle can change a list as long as it is read.
    recorder.check_later(type(target).name, check)


def _diagonals_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """Diagonals: how far each is from the main one, and a row of items for each."""
    must(target.kept is None, "it is set a second time")
    _shape_of(state)
    offsets, data = array_of(state.get("offsets")), array_of(state.get("data"))
    must(is_integers(offsets), "its offsets are no integers")
    must(len(data.shape) == 2 and data.shape[:1] == offsets.shape, "it has other diagonals than offsets")


FRAME_CALLS: dict[str, Rule] = {
    _BLOCK: _block,
    "pandas.core.internals.managers.BlockManager": _manager,
    "pandas.core.indexes.base._new_Index": _index,
    "pandas.core.indexes.datetimes._new_DatetimeIndex": _index,
    "pandas.core.indexes.interval._new_IntervalIndex": _index,
    "pandas.core.indexes.timedeltas._new_TimedeltaIndex": _index,
    **dict.fromkeys(_SPARSE_INDEXES, _sparse_index),
}
FRAME_STATES: dict[str, StateRule] = {
    BACKED: _backed_array_state,
    **dict.fromkeys(_CATEGORY_DTYPES, _once),
    **dict.fromkeys(("pandas.arrays.SparseArray", "pandas.core.arrays.sparse.array.SparseArray"), _sparse_state),
    **{f"scipy.sparse._{form}.{form}_{kind}": _compressed_state
       for form in _COMPRESSED for kind in ("array", "matrix")},
    **{f"scipy.sparse._coo.coo_{kind}": _coordinates_state for kind in ("array", "matrix")},
    **{f"scipy.sparse._dia.dia_{kind}": _diagonals_state for kind in ("array", "matrix")},
    **{f"scipy.sparse._lil.lil_{kind}": _lists_state for kind in ("array", "matrix")},
}  # fmt: skip
