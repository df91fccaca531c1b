"""Rules for the calls and states of pyarrow, whose arrays hold the text of pandas. Pure.

Owns the check that an Arrow array lies inside its buffers. Arrow trusts what it is given: offsets, lengths and numbers
of nulls that do not fit the buffers make it read and write outside of them. Nested arrays (lists, structs, maps) are
checked with their parts: each list lies inside the array of its items. The layouts of views of lists, runs and unions
are not supported.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..arguments import is_count, is_object, is_text, must
from ..stubs import Global, Recorder, Rule, StateRule, Stub, instance_of
from .zone_rules import is_zone_name

__all__ = ["ARROW_CALLS", "ARROW_STATES", "ArrowValue", "is_arrow_array", "is_arrow_type"]

_WIDTHS = {
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "halffloat": 2,
    "float": 4,
    "double": 8,
    "date32[day]": 4,
    "date64[ms]": 8,
    "time32[s]": 4,
    "time32[ms]": 4,
    "time64[us]": 8,
    "time64[ns]": 8,
    "month_day_nano_interval": 16,
    **{f"{kind}[{unit}]": 8 for kind in ("timestamp", "duration") for unit in ("s", "ms", "us", "ns")},
}
"""The types of fixed width, as pyarrow spells them, with the bytes of one value."""

_OFFSETS = {"string": "i", "binary": "i", "large_string": "q", "large_binary": "q"}
"""The types of varying length, with the format of their offsets."""

_VIEWS = ("string_view", "binary_view")
"""The types whose values lie anywhere in any number of buffers, and if they are short, in the view itself."""
_VIEW = "<i12s"
_IN_BUFFER = "<iii"
"""The rest of a view that is not short: a copy of the first four bytes, the number of the buffer, and the place."""
_SHORT_MAX = 12

_INDEXES = {
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
}
_UNITS = ("s", "ms", "us", "ns")
_CHUNK_BYTES = 1 << 16
_TYPE = "pyarrow.lib.type_for_alias"
_FIELD = "pyarrow.lib.field"
_BUFFER = "pyarrow.lib.py_buffer"
_ARRAY = "pyarrow.lib._restore_array"
_MAKERS = ("timestamp", "decimal128", "decimal256", "dictionary", "binary", "list_", "large_list", "struct", "map_")
_TYPE_CALLS = (_TYPE, *(f"pyarrow.lib.{name}" for name in _MAKERS))
_DEPTH_MAX = 16
_TYPES_MAX = 10_000
_LISTS = {"list": "i", "large_list": "q", "map": "i"}
"""The types of lists of varying length, with the format of their offsets."""


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type: its name with its parameters, the bytes of one value (0 if that varies), and the types in it.

    `index` and `values` are those of a dictionary. `parts` are the items of a list, or the fields of a struct. `items`
    is the length of each list, if all have the same. `depth` is how many types are nested in each other here, `size`
    how many there are.
    """

    name: str
    width: int = 0
    index: TypeValue | None = None
    values: TypeValue | None = None
    parts: tuple[TypeValue, ...] = ()
    items: int = 0
    depth: int = field(default=1, compare=False)
    size: int = field(default=1, compare=False)

    @property
    def inner(self) -> tuple[TypeValue, ...]:
        """The types in it."""
        return self.parts if self.values is None else (*self.parts, self.values)


class ArrowValue:
    """An array: its type and its length."""

    __slots__ = ("length", "type")

    def __init__(self, kind: TypeValue, length: int) -> None:
        self.type = kind
        self.length = length


# --- types ---------------------------------------------------------------------------------------------------


def is_arrow_type(value: Any) -> bool:
    """Return whether this is a type of Arrow that the rules here have checked."""
    return is_object(value, *_TYPE_CALLS) and hasattr(value, "value")


def _type_of(value: Any) -> TypeValue:
    must(is_arrow_type(value), "not a type of Arrow")
    known: TypeValue = value.value
    return known


def _type_for_alias(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and type(args[0]) is str, "not the name of a type")
    name = args[0]
    must(
        name in _WIDTHS or name in _OFFSETS or name in _VIEWS or name in ("bool", "null"),
        "this type of Arrow is not supported: cast the column to another type, as large_string",
    )
    return instance_of(callee, TypeValue(name, _WIDTHS.get(name, 0)))


def _timestamp(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 2 and args[0] in _UNITS, "not (unit, time zone)")
    must(args[1] is None or is_zone_name(args[1]), "the time zone is invalid")
    return instance_of(callee, TypeValue(f"timestamp[{args[0]}, {args[1]}]", 8))


def _decimal(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    digits, width = (38, 16) if callee.name.endswith("128") else (76, 32)
    must(len(args) == 2 and is_count(args[0], digits) and args[0] > 0, "not (precision, scale)")
    must(type(args[1]) is int and -digits <= args[1] <= digits, "not (precision, scale)")
    return instance_of(callee, TypeValue(f"decimal({args[0]}, {args[1]})", width))


def _binary(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and is_count(args[0], 1 << 20) and args[0] > 0, "not a width")
    return instance_of(callee, TypeValue(f"binary[{args[0]}]", args[0]))


def _dictionary(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 3 and type(args[2]) is bool, "not (index type, value type, flag)")
    index, values = _type_of(args[0]), _type_of(args[1])
    must(index.name in _INDEXES and values.index is None, "not (index type, value type, flag)")
    return instance_of(callee, _nested(TypeValue("dictionary", index.width, index, values)))


def _nested(kind: TypeValue) -> TypeValue:
    """Return the type with its depth and size, which are bounded: types can share types that share types."""
    depth = 1 + max((one.depth for one in kind.inner), default=0)
    size = 1 + sum(one.size for one in kind.inner)
    must(depth <= _DEPTH_MAX and size <= _TYPES_MAX, "the types of Arrow are nested too deeply")
    return replace(kind, depth=depth, size=size)


def _field(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 4 and is_text(args[0]) and type(args[2]) is bool, "not (name, type, flag, metadata)")
    metadata = args[3] or {}
    must(type(metadata) is dict, "not (name, type, flag, metadata)")
    must(all(type(one) is bytes for item in metadata.items() for one in item), "not (name, type, flag, metadata)")
    return instance_of(callee, _type_of(args[1]))


def _field_type(value: Any) -> TypeValue:
    must(is_object(value, _FIELD) and hasattr(value, "value"), "not a field")
    known: TypeValue = value.value
    return known


def _list(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """(field), or (type or field, length) for lists of one length."""
    must(1 <= len(args) <= 2, "not the type of the items")
    item = _type_of(args[0]) if is_arrow_type(args[0]) else _field_type(args[0])
    if len(args) == 1:
        return instance_of(callee, _nested(TypeValue(callee.name.rpartition(".")[2].strip("_"), parts=(item,))))
    must(callee.name.endswith(".list_") and is_count(args[1], 1 << 31), "not (type, length)")
    return instance_of(callee, _nested(TypeValue("fixed_size_list", parts=(item,), items=args[1])))


def _struct(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and type(args[0]) is list and len(args[0]) <= _TYPES_MAX, "not a list of fields")
    return instance_of(callee, _nested(TypeValue("struct", parts=tuple(map(_field_type, args[0])))))


def _map(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    """(field of the keys, field of the values): a list of structs of both."""
    must(2 <= len(args) <= 3 and all(type(flag) is bool for flag in args[2:]), "not (keys, values)")
    entries = _nested(TypeValue("struct", parts=(_field_type(args[0]), _field_type(args[1]))))
    return instance_of(callee, _nested(TypeValue("map", parts=(entries,))))


# --- buffers -------------------------------------------------------------------------------------------------


def _buffer(_recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1 and type(args[0]) in (bytes, bytearray), "not bytes")
    # An array would keep what the pickle could still change: only the rules here look at the bytes of a buffer.
    return instance_of(callee, args[0])


def _bytes_of(value: Any) -> bytes | bytearray | None:
    if value is None:
        return None
    must(is_object(value, _BUFFER) and hasattr(value, "value"), "not a buffer")
    data: bytes | bytearray = value.value
    return data


def _pieces(recorder: Recorder, data: bytes | bytearray, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes from `start` in pieces. A large buffer was skipped: its bytes are in the file."""
    assert recorder.stream is not None  # noqa: S101 - a call is recorded only while a stream is parsed
    source = recorder.stream.payload(data)
    for position in range(start, start + length, _CHUNK_BYTES):
        yield source.read_at(position, min(_CHUNK_BYTES, start + length - position))


def _numbers(recorder: Recorder, data: bytes | bytearray, form: str, offset: int, count: int) -> Iterator[list[int]]:
    width = struct.calcsize(form)
    for piece in _pieces(recorder, data, offset * width, count * width):
        yield memoryview(piece).cast(form).tolist()  # type: ignore[call-overload]  # the stubs want a literal


# --- arrays --------------------------------------------------------------------------------------------------


def is_arrow_array(value: Any, *names: str) -> bool:
    """Return whether this is an array of Arrow that the rules here have checked, of one of these types if any."""
    return is_object(value, _ARRAY) and hasattr(value, "value") and (not names or value.value.type.name in names)


def _restore_array(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
    must(len(args) == 1, "not one array")
    return instance_of(callee, _check_array(recorder, args[0]))


def _check_array(recorder: Recorder, parts: Any) -> ArrowValue:
    """Check (type, length, number of nulls, offset, buffers, children, dictionary) number against number."""
    must(type(parts) is tuple and len(parts) == 7, "not the parts of an array")
    known = _type_of(parts[0])
    length, nulls, offset, buffers, children, dictionary = parts[1:]
    must(is_count(length) and is_count(offset), "the length or the offset is invalid")
    must(type(nulls) is int and -1 <= nulls <= length, "the number of nulls is invalid")
    must(type(buffers) is list and type(children) is list, "not the parts of an array")
    must(len(children) == len(known.parts), "not the parts of an array")
    must((dictionary is None) == (known.index is None), "not the parts of an array")
    if known.name == "null":
        must(buffers == [None] and nulls in (-1, length) and length <= 1 << 20, "not an array of nulls")
        return ArrowValue(known, length)
    least = _buffers_of(known)
    must(len(buffers) == least or (known.name in _VIEWS and len(buffers) > least), "the number of buffers is wrong")
    data = [_bytes_of(buffer) for buffer in buffers]
    _check_nulls(recorder, data[0], length, nulls, offset)
    values = data[1] if len(data) > 1 and data[1] is not None else b""
    if known.parts:
        _check_parts(recorder, known, children, values, length, offset)
    elif known.name in _OFFSETS:
        _check_text(recorder, known, values, data[2] or b"", length, offset)
    elif known.name in _VIEWS:
        _check_views(recorder, known, data, length, offset)
    elif known.name == "bool":
        must(len(values) * 8 >= offset + length, "the values are outside of their buffer")
    else:
        must(len(values) >= (offset + length) * known.width, "the values are outside of their buffer")
    if known.index is not None:
        inner = _check_array(recorder, dictionary)
        must(inner.type == known.values, "the dictionary has another type")
        at = offset
        for numbers in _numbers(recorder, values, _INDEXES[known.index.name], offset, length):
            if min(numbers) < 0 or max(numbers) >= inner.length:
                wrong = [at + i for i, number in enumerate(numbers) if not 0 <= number < inner.length]
                must(
                    data[0] is not None and _are_nulls(recorder, data[0], wrong),
                    "an index is outside of its dictionary",
                )
            at += len(numbers)
    return ArrowValue(known, length)


def _buffers_of(known: TypeValue) -> int:
    if known.name in _OFFSETS:
        return 3
    return 1 if known.name in ("struct", "fixed_size_list") else 2


def _check_parts(
    recorder: Recorder, known: TypeValue, children: list[Any], ends: bytes | bytearray, length: int, offset: int
) -> None:
    """Each list lies inside the array of its items, after the list before it; a struct has as many of each field."""
    inner = [_check_array(recorder, child) for child in children]
    for made, kind in zip(inner, known.parts, strict=True):
        must(made.type == kind, "a part has another type")
    if known.name in _LISTS:
        _check_ends(recorder, ends, _LISTS[known.name], length, offset, inner[0].length)
    else:
        needed = (offset + length) * (known.items if known.name == "fixed_size_list" else 1)
        must(all(made.length >= needed for made in inner), "a part is too short")


def _check_ends(recorder: Recorder, ends: bytes | bytearray, form: str, length: int, offset: int, items: int) -> None:
    if length == 0 and not ends:
        return
    must(len(ends) >= (offset + length + 1) * struct.calcsize(form), "the offsets are outside of their buffer")
    before = 0
    for numbers in _numbers(recorder, ends, form, offset, length + 1):
        must(before <= numbers[0] and numbers == sorted(numbers), "the offsets do not rise")
        before = numbers[-1]
        must(before <= items, "a list is outside of its items")


def _check_nulls(recorder: Recorder, bitmap: Any, length: int, nulls: int, offset: int) -> None:
    """The number of nulls must be that of the bitmap: Arrow allocates by the number and writes by the bitmap."""
    if bitmap is None:
        must(nulls in (-1, 0), "there are nulls, but no bitmap")
        return
    must(len(bitmap) * 8 >= offset + length, "the bitmap is too short")
    if nulls < 0:
        return
    first, last = offset // 8, (offset + length + 7) // 8
    ones, position = 0, first * 8
    for piece in _pieces(recorder, bitmap, first, last - first):
        bits, width = int.from_bytes(piece, "little"), len(piece) * 8
        if position < offset:
            bits = bits >> (offset - position) << (offset - position)
        if position + width > offset + length:
            bits &= (1 << (offset + length - position)) - 1
        ones += bits.bit_count()
        position += width
    must(length - ones == nulls, "the number of nulls is wrong")


def _are_nulls(recorder: Recorder, bitmap: bytes | bytearray, positions: list[int]) -> bool:
    """Return whether the values at these rising positions are null. The index of a null means nothing."""
    first = positions[0] // 8
    bits = b"".join(_pieces(recorder, bitmap, first, positions[-1] // 8 - first + 1))
    return not any(bits[at // 8 - first] >> at % 8 & 1 for at in positions)


def _check_text(
    recorder: Recorder, known: TypeValue, offsets: bytes | bytearray, data: bytes | bytearray, length: int, offset: int
) -> None:
    """Each value lies in the data, after the one before it. Text is UTF-8, and each piece of it begins a character."""
    form = _OFFSETS[known.name]
    if length == 0 and not offsets:
        return
    must(len(offsets) >= (offset + length + 1) * struct.calcsize(form), "the offsets are outside of their buffer")
    is_text = known.name.endswith("string")
    assert recorder.stream is not None  # noqa: S101 - a call is recorded only while a stream is parsed
    text = recorder.stream.payload(data)
    before = first = -1
    for numbers in _numbers(recorder, offsets, form, offset, length + 1):
        if first < 0:
            first = before = numbers[0]
            must(first >= 0, "an offset is negative")
        must(before <= numbers[0] and numbers == sorted(numbers), "the offsets do not rise")
        before = numbers[-1]
        must(before <= len(data), "an offset is outside of the data")
        if is_text:
            begins = text.read_at(numbers[0], before - numbers[0] + 1)
            # In ASCII every byte begins a character.
            if not begins.isascii():
                starts = bytes(begins[at - numbers[0]] for at in numbers if at < len(data))
                must(all(byte & 0xC0 != 0x80 for byte in starts), "a text begins inside of a character")
    if is_text:
        _check_utf8(recorder, data, first, before - first)


def _check_utf8(recorder: Recorder, data: bytes | bytearray, start: int, length: int) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in _pieces(recorder, data, start, length):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        must(condition=False, otherwise="the text is not UTF-8")


def _check_views(
    recorder: Recorder, known: TypeValue, data: list[bytes | bytearray | None], length: int, offset: int
) -> None:
    """Each value lies in a buffer, and begins there as the view says; or it is short, and is followed by zeros.

    The whole of each buffer of texts is UTF-8, and each text begins and ends between two characters.
    """
    assert recorder.stream is not None  # noqa: S101 - a call is recorded only while a stream is parsed
    views = data[1] or b""
    width = struct.calcsize(_VIEW)
    must(len(views) >= (offset + length) * width, "the views are outside of their buffer")
    buffers = [one or b"" for one in data[2:]]
    sources = [recorder.stream.payload(one) for one in buffers]
    is_text = known.name == "string_view"
    if is_text:
        # A file can name one buffer any number of times.
        for buffer in {id(buffer): buffer for buffer in buffers}.values():
            _check_utf8(recorder, buffer, 0, len(buffer))
    for piece in _pieces(recorder, views, offset * width, length * width):
        for size, rest in struct.iter_unpack(_VIEW, piece):
            if size <= _SHORT_MAX:
                must(size >= 0 and not any(rest[size:]), "a view is of no known form")
                if is_text:
                    must(_is_utf8(rest[:size]), "the text is not UTF-8")
                continue
            _, number, begin = struct.unpack(_IN_BUFFER, rest)
            must(0 <= number < len(buffers), "a view is in no buffer")
            must(0 <= begin <= len(buffers[number]) - size, "a view is outside of its buffer")
            must(sources[number].read_at(begin, 4) == rest[:4], "a view begins with other bytes than its value")
            after = sources[number].read_at(begin + size, 1)
            must(
                not is_text or not (_goes_on(rest[:1]) or _goes_on(after)),
                "a text begins or ends inside of a character",
            )


def _goes_on(byte: bytes) -> bool:
    """Return whether a byte of UTF-8 continues the character before it. None does at the end of the data."""
    return b"\x80" <= byte < b"\xc0"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


ARROW_CALLS: dict[str, Rule] = {
    _TYPE: _type_for_alias,
    "pyarrow.lib.timestamp": _timestamp,
    "pyarrow.lib.decimal128": _decimal,
    "pyarrow.lib.decimal256": _decimal,
    "pyarrow.lib.dictionary": _dictionary,
    "pyarrow.lib.binary": _binary,
    "pyarrow.lib.list_": _list,
    "pyarrow.lib.large_list": _list,
    "pyarrow.lib.struct": _struct,
    "pyarrow.lib.map_": _map,
    _FIELD: _field,
    _BUFFER: _buffer,
    _ARRAY: _restore_array,
}


# --- pandas' arrays around them ------------------------------------------------------------------------------


def _array_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    """`__setstate__` makes a chunked array of `_pa_array` (`_data` before pandas 2.1)."""
    must(type(state) is dict and ("_pa_array" in state) != ("_data" in state), "not a state that pandas writes")
    names = ("string", "large_string") if type(target).name.endswith("StringArray") else ()
    must(is_arrow_array(state.get("_pa_array", state.get("_data")), *names), "there is no array of Arrow")
    dtype = state.get("_dtype")
    must(is_object(dtype, *_DTYPES), "the dtype is invalid")
    must(set(state) <= {"_pa_array", "_data", "_dtype", "_cache", "_readonly"}, "not a state that pandas writes")
    must(state.get("_cache", {}) == {}, "the cache is not empty")
    must(type(state.get("_readonly", False)) is bool, "not a state that pandas writes")


def _dtype_state(_recorder: Recorder, _target: Stub, state: Any) -> None:
    must(type(state) is dict, "not a state that pandas writes")
    must(
        set(state) <= {"_storage", "storage", "pyarrow_dtype", "_cache", "_is_numeric"},
        "not a state that pandas writes",
    )
    must(is_arrow_type(state.get("pyarrow_dtype")), "there is no type of Arrow")
    must(state.get("_storage", "pyarrow") == "pyarrow", "not a state that pandas writes")
    must(state.get("storage", "pyarrow") == "pyarrow", "not a state that pandas writes")


_ARROW_DTYPES = (
    "pandas.ArrowDtype",
    "pandas.core.dtypes.dtypes.ArrowDtype",
    "pandas.core.arrays.arrow.dtype.ArrowDtype",
)
_DTYPES = (*_ARROW_DTYPES, "pandas.StringDtype", "pandas.core.arrays.string_.StringDtype")
_ARRAYS = (
    "pandas.arrays.ArrowStringArray",
    "pandas.arrays.ArrowExtensionArray",
    "pandas.core.arrays.string_arrow.ArrowStringArray",
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
    "pandas.core.arrays.arrow.array.ArrowExtensionArray",
)

ARROW_STATES: dict[str, StateRule] = {
    **dict.fromkeys(_ARRAYS, _array_state),
    **dict.fromkeys(_ARROW_DTYPES, _dtype_state),
}
