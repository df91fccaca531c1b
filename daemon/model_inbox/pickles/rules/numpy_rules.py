"""Rules for the calls and states of numpy. Pure.

Owns the description of dtypes and arrays, which the parser of joblib's files uses too. numpy trusts the state that it
unpickles: with a wrong item size, offset or length it reads and writes out of bounds. So each number is compared with
the others, a dtype or an array gets its state exactly once and before its use, and only dtypes that numpy itself writes
are accepted.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from math import inf, ldexp
from typing import Any

from ..arguments import count_of, is_count, is_global, is_object, is_shape, must, only_scalars
from ..names import words
from ..streams import Source
from ..stubs import BadArguments, Global, Recorder, Rule, StateRule, Stub, instance_of, stand_in

__all__ = [
    "MATRIXES", "NUMPY_CALLS", "NUMPY_STATES", "RESULTS", "SCALARS", "ArrayValue", "DtypeValue", "array_of",
    "bytes_of", "dtype_of", "integers_of", "is_integers", "keeps_contents", "must_lie_within", "new_array",
]  # fmt: skip

CORES = ("numpy.core", "numpy._core")
"""numpy 1 and numpy 2 write the same functions with different module names."""
SCALARS = tuple(f"{core}.multiarray.scalar" for core in CORES)
"""The functions that make a number of numpy."""


class DtypeValue:
    """What matters of a dtype for memory safety.

    `itemsize` is in bytes, `built` is set when the dtype gets its state. `is_sub_array` is set if an item is itself an
    array: numpy has such dtypes in fields only. `leaves` is the number of bools in the mask of an item, `depth` how
    deeply its fields are nested. `is_big` is set if its numbers are big-endian. `fields` maps the names of its fields
    to (offset, dtype), and is None without any. `reader` reads a number of it, once one was checked.
    """

    __slots__ = (
        "built", "depth", "fields", "has_objects", "is_big", "is_sub_array", "itemsize", "kind", "leaves", "reader"
    )  # fmt: skip

    def __init__(self, kind: str, itemsize: int, *, has_objects: bool) -> None:
        self.kind = kind
        self.itemsize = itemsize
        self.has_objects = has_objects
        self.is_sub_array = False
        self.leaves = 1
        self.depth = 0
        self.is_big = False
        self.fields: dict[str, tuple[int, DtypeValue]] | None = None
        self.built = False
        self.reader: struct.Struct | None = None

    @property
    def is_of_nodes(self) -> bool:
        """Whether its items are the nodes of a tree of scikit-learn."""
        return self.fields is not None and any(names <= set(self.fields) for names in _NODE_FIELDS)


_NODE_FIELDS = (
    frozenset({"left_child", "right_child"}),
    frozenset({"left", "right", "is_leaf"}),
    frozenset({"idx_start", "idx_end", "is_leaf"}),
)


class ArrayValue:
    """An array: its dtype and shape. The dtype is None until the array gets its state.

    `contents` are the bytes of an array of nodes of a tree, or of single characters: rules look into them. None for
    other arrays, and if there are too many characters. `items` are the items of an array of objects, `item_types` what
    they were when the array was made. `source` returns where its bytes are, for rules that look at numbers. None if
    they were not kept.
    """

    __slots__ = ("contents", "dtype", "item_types", "items", "shape", "source")

    def __init__(self, dtype: DtypeValue | None, shape: tuple[int, ...]) -> None:
        self.contents: bytes | None = None
        self.items: list[Any] | None = None
        self.item_types: frozenset[type] = frozenset()
        self.source: Callable[[], Source] | None = None
        self.dtype = dtype
        self.shape = shape


CONTENTS_MAX = 16 << 20


def keeps_contents(dtype: DtypeValue, shape: tuple[int, ...]) -> bool:
    """Return whether the bytes of such an array are kept for the rules."""
    return ((dtype.kind, dtype.itemsize) == ("S", 1) and count_of(shape) <= CONTENTS_MAX) or dtype.is_of_nodes


def _contents(recorder: Recorder, dtype: DtypeValue, shape: tuple[int, ...], data: bytes | bytearray) -> bytes | None:
    return recorder.real_bytes(data) if keeps_contents(dtype, shape) else None


_DTYPE = re.compile(r"[<>|=]?(?:([?bBhHiIlLqQefdgFDG])|([biufcSUVmM])(\d{1,9})|(O)8?)\Z")
_SIZE_OF_CHARACTER = dict(
    zip("?bBhHiIlLqQefdgFDG", (1, 1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 2, 4, 8, 16, 8, 16, 32), strict=True)
)
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 16), "c": (8, 16, 32), "m": (8,), "M": (8,)}

_PLAIN_FLAGS = (0, 8, 16)
_OBJECT_FLAGS = 63
_STRUCT_FLAGS = 0x98
"""The flags that a structured dtype without objects may have: NPY_NEEDS_INIT (0x08), NPY_NEEDS_PYAPI (0x10) and
NPY_ALIGNED_STRUCT (0x80)."""
_OBJECT_STRUCT_FLAGS = 27
"""The flags that a structured dtype with objects must have, besides NPY_ALIGNED_STRUCT. Without them numpy would take
memory that was never written for references."""


LEAVES_MAX = 100_000
FIELDS_DEPTH_MAX = 16

_RECORDS = ("numpy.record", "numpy.rec.record")


def _dtype(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3, "not (format, align, copy)")
    if is_global(args[0], *_RECORDS):
        must(args[1] in (False, 0) and args[2] in (True, 1), "not (format, False, True)")
        # The size of a record is only in its state.
        return instance_of(callee, DtypeValue("V", -1, has_objects=False))
    must(type(args[0]) is str, "not (format, align, copy)")
    # Without copy=True, the state would change numpy's own shared dtype, for the whole process.
    must(args[1] in (False, 0) and args[2] in (True, 1), "not (format, False, True)")
    match = _DTYPE.match(args[0])
    must(match is not None, "numpy does not write this format")
    assert match is not None  # noqa: S101 - for the type checker; `must` has raised
    character, kind, digits, is_object_format = match.groups()
    if is_object_format:
        value = DtypeValue("O", 8, has_objects=True)
    elif character:
        value = DtypeValue(character, _SIZE_OF_CHARACTER[character], has_objects=False)
    else:
        must(kind not in _SIZES or int(digits) in _SIZES[kind], "numpy does not write this format")
        value = DtypeValue(kind, int(digits) * (4 if kind == "U" else 1), has_objects=False)
    return instance_of(callee, value)


def _string_dtype(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """numpy's dtype for text of any length: whether it converts other values, and what stands for a missing one."""
    must(len(args) in (1, 2) and args[0] in (0, 1), "not (coerce, missing value)")
    must(
        all(type(arg) in (float, str, type(None)) or is_global(arg, *_MISSING) for arg in args[1:]),
        "the missing value is invalid",
    )
    value = DtypeValue("T", 16, has_objects=True)
    value.built = True
    return instance_of(recorder.named("numpy.dtype"), value)


_MISSING = ("pandas.NA", "pandas._libs.missing.NA")


def dtype_of(value: Any, *, objects: bool = False, sub_arrays: bool = False) -> DtypeValue:
    """Return what is known of a finished dtype. Raise BadArguments for anything else."""
    must(is_object(value, "numpy.dtype") and hasattr(value, "value"), "not a dtype")
    known: DtypeValue = value.value
    must(known.built, "the dtype has no state")
    must(objects or not known.has_objects, "the dtype is of objects")
    must(sub_arrays or not known.is_sub_array, "the dtype is of sub-arrays")
    return known


def _dtype_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    must(hasattr(target, "value"), "the dtype was not made by a call")
    known: DtypeValue = target.value
    must(not known.built, "it is set a second time")
    must(type(state) is tuple and len(state) in (8, 9), "not a state that numpy writes")
    version, byte_order, sub_array, names, fields, itemsize, alignment, flags = state[:8]
    must(
        type(version) is int and version in (3, 4) and byte_order in ("<", ">", "|", "="),
        "not a state that numpy writes",
    )
    known.is_big = byte_order == ">"
    flexible = known.kind in ("S", "U", "V")
    if known.itemsize < 0:
        must(is_count(itemsize, 1 << 31) and type(fields) is dict, "the item size is wrong")
        known.itemsize = itemsize
    must(type(itemsize) is int and itemsize == (known.itemsize if flexible else -1), "the item size is wrong")
    must(type(alignment) is int and alignment in (-1, 1, 2, 4, 8, 16), "the alignment is invalid")
    must(type(flags) is int and -128 <= flags < 256, "the flags are invalid")
    # numpy 1 writes the flags as a signed byte.
    flags &= 0xFF
    if len(state) == 9:
        _check_metadata(known, state[8])
    if sub_array is not None:
        _check_sub_array(known, sub_array)
        must(names is None and fields is None and flags & ~_STRUCT_FLAGS == 0, "the flags are invalid")
    elif names is None and fields is None:
        must(flags in (_PLAIN_FLAGS if not known.has_objects else (_OBJECT_FLAGS,)), "the flags are invalid")
    else:
        _check_fields(known, names, fields)
        if known.has_objects:
            must(flags & ~0x80 == _OBJECT_STRUCT_FLAGS, "the flags are invalid")
        else:
            must(flags & ~_STRUCT_FLAGS == 0, "the flags are invalid")
    known.built = True


def _check_sub_array(known: DtypeValue, sub_array: Any) -> None:
    must(known.kind == "V" and type(sub_array) is tuple and len(sub_array) == 2, "the sub-array is invalid")
    base, shape = dtype_of(sub_array[0]), sub_array[1]
    must(is_shape(shape) and count_of(shape) * base.itemsize == known.itemsize, "the sub-array has another size")
    known.is_sub_array = True
    known.leaves = count_of(shape) * base.leaves
    known.depth = base.depth


def _check_metadata(known: DtypeValue, metadata: Any) -> None:
    """Dates have their unit as metadata: (None, (b'ns', 1, 1, 1)). Other dtypes have none."""
    if known.kind not in ("m", "M"):
        must(metadata is None or metadata == {}, "the dtype has metadata")
        return
    must(type(metadata) is tuple and len(metadata) == 2 and metadata[0] in (None, {}), "numpy does not write this unit")
    unit = metadata[1]
    must(type(unit) is tuple and len(unit) == 4, "numpy does not write this unit")
    must(type(unit[0]) in (bytes, str) and len(unit[0]) <= 8, "numpy does not write this unit")
    must(all(is_count(item, 1 << 31) for item in unit[1:]), "numpy does not write this unit")


def _check_fields(known: DtypeValue, names: Any, fields: Any) -> None:
    must(known.kind == "V" and type(names) is tuple and type(fields) is dict, "this dtype cannot have fields")
    must(all(type(name) is str for name in names), "the name of a field is not text")
    titles: set[str | None] = set()
    known.leaves = 0
    known.fields = {}
    places = []
    for name in names:
        field = fields.get(name)
        must(type(field) is tuple and len(field) in (2, 3) and is_count(field[1]), "a field is invalid")
        assert type(field) is tuple  # noqa: S101 - for the type checker; `must` has raised
        part = dtype_of(field[0], objects=True, sub_arrays=True)
        must(part.kind != "T" and field[1] + part.itemsize <= known.itemsize, "a field is outside of its item")
        known.has_objects |= part.has_objects
        known.leaves += part.leaves
        known.depth = max(known.depth, part.depth + 1)
        known.fields[name] = field[1], part
        places.append((field[1], field[1] + part.itemsize))
        for title in field[2:]:
            # numpy has a field under its title, too.
            must(
                title is None or (type(title) is str and fields.get(title) is field), "the title of a field is invalid"
            )
            titles.update(field[2:])
    must(set(fields) == {*names} | (titles - {None}) and len(set(names)) == len(names), "names and fields differ")
    # numpy walks through all fields of the fields to hash, compare and describe a dtype.
    must(known.leaves <= LEAVES_MAX and known.depth <= FIELDS_DEPTH_MAX, "it has too many fields in its fields")
    if known.has_objects:
        # Numbers in the same place as an object would be taken for its address.
        places.sort()
        must(all(end <= start for (_, end), (start, _) in pairwise(places)), "its fields overlap")


# --- arrays --------------------------------------------------------------------------------------------------


def new_array(
    recorder: Recorder, dtype: DtypeValue | None, shape: tuple[int, ...], contents: bytes | None = None
) -> Any:
    """Return a stub for an array. With dtype None, its state comes later, with a BUILD."""
    value = ArrayValue(dtype, shape)
    value.contents = contents
    kind = recorder.named("numpy.ndarray")
    if dtype is not None:
        recorder.charge(kind, bytes_of(dtype, shape))
    return instance_of(kind, value)


def bytes_of(dtype: DtypeValue, shape: tuple[int, ...]) -> int:
    """Return the bytes of an array. numpy takes a byte for an item without any where it copies one."""
    return count_of(shape) * max(1, dtype.itemsize)


def array_of(value: Any) -> ArrayValue:
    """Return what is known of a finished array. Raise BadArguments for anything else."""
    must(is_object(value, "numpy.ndarray") and hasattr(value, "value"), "not an array")
    known: ArrayValue = value.value
    must(known.dtype is not None, "the array has no contents")
    return known


_INTEGERS = {
    **{("i", size): code for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{("u", size): code for size, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
    **{(code, size): code for code, size in zip("bBhHiIqQ", (1, 1, 2, 2, 4, 4, 8, 8), strict=True)},
    ("l", 8): "q",
    ("L", 8): "Q",
}
_PIECE_BYTES = 1 << 18


def is_integers(known: ArrayValue, dimensions: int = 1) -> bool:
    """Return whether this is an array of integers with so many dimensions."""
    has_integers = known.dtype is not None and (known.dtype.kind, known.dtype.itemsize) in _INTEGERS
    return has_integers and len(known.shape) == dimensions


def integers_of(known: ArrayValue, dimensions: int = 1) -> Iterator[array[int]]:
    """Yield the numbers of an array of integers as they lie in memory, in pieces.

    Raise BadArguments for an array of other items or another number of dimensions.
    """
    if known.dtype is None or not is_integers(known, dimensions):
        raise BadArguments("not an array of integers")
    if known.source is None:
        raise BadArguments("its numbers cannot be read: save it without compression")
    source, size = known.source(), count_of(known.shape) * known.dtype.itemsize
    code = _INTEGERS[known.dtype.kind, known.dtype.itemsize]
    for start in range(0, size, _PIECE_BYTES):
        numbers = array(code)
        numbers.frombytes(source.read_at(start, min(_PIECE_BYTES, size - start)))
        if known.dtype.is_big:
            numbers.byteswap()
        yield numbers


def must_lie_within(known: ArrayValue, least: int, end: int, otherwise: str) -> None:
    """Raise BadArguments with the reason `otherwise` unless each number n of an array has least <= n < end."""
    for numbers in integers_of(known):
        must(min(numbers) >= least and max(numbers) < end, otherwise)


MATRIXES = ("numpy.matrix", "numpy.matrixlib.defmatrix.matrix")
_SUBCLASSES = (
    *MATRIXES,
    "numpy.rec.recarray",
    "numpy.recarray",
    "numpy.char.chararray",
    "numpy.chararray",
    "numpy.core.defchararray.chararray",
)
"""Classes of arrays that numpy makes as it makes arrays."""


def _reconstruct(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    must(
        len(args) == 3
        # A load makes a plain array instead of a memmap, whose class opens files.
        and is_global(args[0], "numpy.ndarray", "numpy.memmap", *_SUBCLASSES)
        and args[1] == (0,)
        and args[2] in (b"b", "b"),
        "not (ndarray, (0,), b'b')",
    )
    # The state of every class of arrays is checked as that of an array, and needs the same permission.
    made = new_array(recorder, None, ())
    # There is no object among the arguments, so none has to be looked for.
    made.depth = 0
    return made


def _array_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(hasattr(target, "value"), "the array was not made by a call")
    known: ArrayValue = target.value
    # A second state would free memory while a view of it can exist.
    must(known.dtype is None, "it is set a second time")
    must(type(state) is tuple and len(state) == 5, "not a state that numpy writes")
    version, shape, dtype, fortran, data = state
    must(type(version) is int and version == 1, "not a state that numpy writes")
    _check_array(shape, dtype, fortran, data)
    known.dtype, known.shape = dtype.value, shape
    recorder.charge(recorder.named("numpy.ndarray"), bytes_of(dtype.value, shape))
    if type(data) in (bytes, bytearray):
        known.contents = _contents(recorder, dtype.value, shape, data)
        if recorder.stream is not None:
            known.source = partial(recorder.stream.payload, data)
    elif dtype.value.kind == "O":
        # A pickle can change the list later, but not the array that was made of it.
        known.items = [*data]
        known.item_types = frozenset(map(type, data))


def _check_array(shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
    must(is_shape(shape) and fortran in (0, 1), "the shape is invalid")
    described = dtype_of(dtype, objects=True)
    if described.has_objects:
        must(type(data) is list and len(data) == count_of(shape), "the shape does not fit the contents")
        if described.kind == "V":
            must(all(type(item) is tuple for item in data), "a record is not a tuple")
        elif described.kind == "T":
            # numpy would convert anything else to text, with the code of its class.
            plain = (str, float, type(None))
            must(all(type(item) in plain or is_global(item, *_MISSING) for item in data), "an item is not text")
    else:
        must(type(data) in (bytes, bytearray), "the contents are not bytes")
        must(len(data) == count_of(shape) * described.itemsize, "the shape does not fit the contents")


def _from_buffer(recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> Any:
    """The call in protocol 5: (buffer, dtype, shape, order), and since numpy 2.1 the order of the axes."""
    must(len(args) in (4, 5), "not (buffer, dtype, shape, order)")
    data, dtype, shape, order = args[:4]
    must(type(data) in (bytes, bytearray), "the contents are not bytes")
    described = dtype_of(dtype)
    must(is_shape(shape) and order in ("C", "F", "K"), "the shape is invalid")
    must(len(data) == count_of(shape) * described.itemsize, "the shape does not fit the contents")
    must(all(axes is None or is_shape(axes) for axes in args[4:]), "the order of the axes is invalid")
    made = new_array(recorder, described, shape, _contents(recorder, described, shape, data))
    if recorder.stream is not None:
        made.value.source = partial(recorder.stream.payload, data)
    return made


def _scalar(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    if len(args) != 2:
        raise BadArguments("not (dtype, bytes)")
    dtype, data = args
    # A file can have millions of numbers of one dtype, and a dtype does not change once it has a state.
    reader = getattr(getattr(dtype, "value", None), "reader", None)
    if reader is not None and type(data) is bytes and len(data) == reader.size:
        made = stand_in(callee, reader.unpack(data)[0])
        made.depth = 1
        return made
    described = dtype_of(dtype)
    must(type(data) is bytes and len(data) == described.itemsize, "the contents do not have the size of the dtype")
    if described.itemsize > _SMALL_BYTES:
        recorder.charge(callee, described.itemsize)
    if form := _FORMS.get((described.kind, described.itemsize)):
        described.reader = struct.Struct((">" if described.is_big else "<") + form)
    return stand_in(callee, _hashed_as(described, data))


_FORMS = {
    **{("f", size): form for size, form in ((2, "e"), (4, "f"), (8, "d"))},
    **{("i", size): form for size, form in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))},
    **{("u", size): form for size, form in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))},
}
"""The numbers that `struct` reads as `_hashed_as` does."""


_SMALL_BYTES = 32


_FLOATS = {2: "e", 4: "f", 8: "d"}


def _hashed_as(dtype: DtypeValue, data: bytes) -> Any:
    """Return what a scalar is hashed and compared as: numbers as those of Python, all others as their bytes."""
    if dtype.kind in "FDGc":
        half = len(data) // 2
        return complex(_float(dtype, data[:half]), _float(dtype, data[half:]))
    if dtype.kind in "efdg":
        return _float(dtype, data)
    if dtype.kind in "SUV":
        return data
    return int.from_bytes(data, "big" if dtype.is_big else "little", signed=dtype.kind not in "?BHILQu")


def _float(dtype: DtypeValue, data: bytes) -> float:
    if len(data) in _FLOATS:
        number: float = struct.unpack((">" if dtype.is_big else "<") + _FLOATS[len(data)], data)[0]
        return number
    # The format of x87, which numpy hashes as the nearest double: mantissa, then sign and exponent.
    mantissa, rest = struct.unpack("<QH", (data[::-1] if dtype.is_big else data)[:10])
    try:
        return ldexp(-mantissa if rest & 0x8000 else mantissa, (rest & 0x7FFF) - 16446)
    except OverflowError:
        return inf


def _masked(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(
        len(args) == 4
        and is_global(args[0], "numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray")
        and is_global(args[1], "numpy.ndarray")
        and args[2] == (0,)
        and args[3] in (b"b", "b"),
        "not (MaskedArray, ndarray, (0,), 'b')",
    )
    return instance_of(callee, ArrayValue(None, ()))


def _masked_state(recorder: Recorder, target: Stub, state: Any) -> None:
    must(hasattr(target, "value") and target.value.dtype is None, "it is set a second time")
    must(type(state) is tuple and len(state) == 7, "not a state that numpy writes")
    _version, shape, dtype, fortran, data, mask, fill_value = state
    _check_array(shape, dtype, fortran, data)
    must(
        type(mask) in (bytes, bytearray) and len(mask) == count_of(shape) * dtype.value.leaves,
        "the mask has a wrong size",
    )
    is_array = is_object(fill_value, "numpy.ndarray") and count_of(array_of(fill_value).shape) == 1
    is_scalar = is_object(fill_value, *SCALARS)
    must(is_array or is_scalar or only_scalars(fill_value), "the fill value is invalid")
    target.value.dtype, target.value.shape = dtype.value, shape
    # It copies the data, and again with the mask.
    recorder.charge(recorder.named("numpy.ndarray"), 2 * bytes_of(dtype.value, shape) + len(mask))


# --- random numbers ------------------------------------------------------------------------------------------

_BIT_GENERATORS = {
    "MT19937": "numpy.random._mt19937",
    "PCG64": "numpy.random._pcg64",
    "PCG64DXSM": "numpy.random._pcg64",
    "Philox": "numpy.random._philox",
    "SFC64": "numpy.random._sfc64",
}
_SEED_SEQUENCE_CALL = "numpy.random.bit_generator.__pyx_unpickle_SeedSequence"
_BIT_GENERATOR_CALL = "numpy.random._pickle.__bit_generator_ctor"


def _is_bit_generator_name(value: Any) -> bool:
    # numpy calls the class that it gets here, so it must be one of the five.
    return (
        value in _BIT_GENERATORS
        if type(value) is str
        else is_global(value, *(f"{module}.{name}" for name, module in _BIT_GENERATORS.items()))
    )


def _bit_generator(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(len(args) <= 1 and all(_is_bit_generator_name(arg) for arg in args), "not the name of a bit generator")


def _generator(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    """Generator and RandomState get a bit generator, or its name and the function that makes one."""
    must(len(args) <= 2, "too many arguments")
    must(
        all(_is_bit_generator_name(arg) or is_object(arg, _BIT_GENERATOR_CALL) for arg in args[:1]),
        "not a bit generator",
    )
    must(all(is_global(arg, _BIT_GENERATOR_CALL) for arg in args[1:]), "the function does not make a bit generator")


_POSITIONS = {"pos": 624, "buffer_pos": 4}
"""Fields with a position in the generator's own tables, and the largest valid value. It reads there without a check."""


def _random_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """The state of a generator: a dictionary with another inside, since numpy 1.26 in a tuple with its seed sequence.

    The old form, a flat tuple, is not accepted: no numpy that is still in use writes it.
    """
    if type(state) is tuple:
        must(len(state) == 2, "not (state, seed sequence)")
        must(state[1] is None or is_object(state[1], _SEED_SEQUENCE_CALL), "not (state, seed sequence)")
        state = state[0]
    must(type(state) is dict, "not a state that numpy writes")
    for numbers in (state, state.get("state"), state.get("bit_generator")):
        _check_positions(numbers)


def _check_positions(numbers: Any) -> None:
    if type(numbers) is dict:
        for name, most in _POSITIONS.items():
            must(name not in numbers or is_count(numbers[name], most), "a position is outside of its table")
    else:
        must(not isinstance(numbers, Stub), "the state is not a plain dictionary")


def _seed_sequence_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    """The state is (entropy, children, pool, size of the pool, key). The pool is read up to that size."""
    must(type(state) is tuple and len(state) == 5, "not a state that numpy writes")
    pool = array_of(state[2])
    must(pool.dtype is not None and pool.dtype.itemsize == 4 and not pool.dtype.has_objects, "the pool is invalid")
    must(type(state[3]) is int and pool.shape == (state[3],), "the size of the pool is wrong")


def _nothing(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(args == (), "too many arguments")


RESULTS = tuple(
    f"numpy.{module}.{name}Result"
    for module, names in (
        ("linalg._linalg", "Eigh Eig QR Slogdet SVD"),
        ("lib._arraysetops_impl", "UniqueAll UniqueCounts UniqueInverse"),
    )
    for name in words(names)
)
"""Tuples of arrays whose parts have names."""
_RESULT_PARTS_MAX = 4


def _result(_recorder: Recorder, _callee: Global, args: tuple[Any, ...]) -> None:
    must(2 <= len(args) <= _RESULT_PARTS_MAX, "not the parts of a result")
    must(all(is_object(arg, "numpy.ndarray", *SCALARS) for arg in args), "a part is not an array or number")


NUMPY_CALLS: dict[str, Rule] = {
    **dict.fromkeys(RESULTS, _result),
    "numpy.dtype": _dtype,
    **{f"{core}._internal._convert_to_stringdtype_kwargs": _string_dtype for core in CORES},
    "numpy.ma.core.MaskedConstant": _nothing,
    **{f"{core}.multiarray._reconstruct": _reconstruct for core in CORES},
    **dict.fromkeys(SCALARS, _scalar),
    **{f"{core}.numeric._frombuffer": _from_buffer for core in CORES},
    "numpy.ma.core._mareconstruct": _masked,
    _BIT_GENERATOR_CALL: _bit_generator,
    "numpy.random._pickle.__generator_ctor": _generator,
    "numpy.random._pickle.__randomstate_ctor": _generator,
}

NUMPY_STATES: dict[str, StateRule] = {
    "numpy.dtype": _dtype_state,
    "numpy.ndarray": _array_state,
    "numpy.ma.core._mareconstruct": _masked_state,
    _BIT_GENERATOR_CALL: _random_state,
    _SEED_SEQUENCE_CALL: _seed_sequence_state,
    "numpy.random._pickle.__generator_ctor": _random_state,
    "numpy.random._pickle.__randomstate_ctor": _random_state,
}
