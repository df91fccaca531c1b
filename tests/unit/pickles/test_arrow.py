"""Arrays of Arrow are accepted only if every offset, length and number of nulls fits their buffers."""

from __future__ import annotations

import struct
import sys
from types import ModuleType

import pytest

from model_inbox.pickles import Allowlist, load, scan_bytes
from model_inbox.pickles.rules import arrow_rules
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
TEXT = "large_string"


def kind(name: str) -> bytes:
    """Opcodes of a type of Arrow."""
    return build.called(build.named("pyarrow.lib", "type_for_alias"), build.text(name))


def buffer(content: bytes | None) -> bytes:
    """Opcodes of a buffer, or of None."""
    return b"N" if content is None else build.called(build.named("pyarrow.lib", "py_buffer"), build.data(content))


def parts(
    type_: bytes,
    length: int,
    nulls: int,
    offset: int,
    *buffers: bytes | None,
    dictionary: bytes = b"N",
    children: tuple[bytes, ...] = (),
) -> bytes:
    """Opcodes of the tuple that describes an array."""
    numbers = build.value(length) + build.value(nulls) + build.value(offset)
    parts_of_it = b"](" + b"".join(children) + b"e"
    return b"(" + type_ + numbers + b"](" + b"".join(map(buffer, buffers)) + b"e" + parts_of_it + dictionary + b"t"


def array(*args: object, **more: object) -> bytes:
    """Opcodes of an array."""
    return build.called(build.named("pyarrow.lib", "_restore_array"), parts(*args, **more))  # type: ignore[arg-type]


def offsets(*numbers: int, form: str = "q") -> bytes:
    """The bytes of a buffer of numbers."""
    return struct.pack(f"<{len(numbers)}{form}", *numbers)


def column(content: bytes) -> bytes:
    """A pickle of pandas' array around an array of Arrow."""
    state = build.mapping(
        {
            "_pa_array": content,
            "_dtype": build.called(build.named("pandas", "StringDtype"), build.text("pyarrow")),
            "_cache": b"}",
        }
    )
    return build.pickled(build.built(build.new("pandas.arrays", "ArrowStringArray"), state))


def dictionary(indexes: bytes, *values: str, nulls: int = 0, bitmap: bytes | None = None) -> bytes:
    """Opcodes of an array of four indexes into a dictionary."""
    whole = "".join(values).encode()
    ends = [sum(len(value) for value in values[:count]) for count in range(len(values) + 1)]
    inner = parts(kind("string"), len(values), 0, 0, None, offsets(*ends, form="i"), whole)
    made = build.called(build.named("pyarrow.lib", "dictionary"), kind("int8"), kind("string"), b"\x89")
    return array(made, 4, nulls, 0, bitmap, indexes, dictionary=inner)


def field(name: str, of: bytes) -> bytes:
    """Opcodes of a field without metadata."""
    return build.called(build.named("pyarrow.lib", "field"), build.text(name), of, b"\x88", b"N")


def made(function: str, *args: bytes) -> bytes:
    """Opcodes of a type that a function of pyarrow makes."""
    return build.called(build.named("pyarrow.lib", function), *args)


SHORTS = parts(kind("int16"), 3, 0, 0, None, bytes(6))
TEXTS = parts(kind("string"), 3, 0, 0, None, offsets(0, 1, 2, 3, form="i"), b"abc")
LIST = made("list_", field("item", kind("int16")))
PAIRS = made("list_", kind("int16"), build.value(2))
STRUCT = made("struct", b"](" + field("a", kind("int16")) + field("b", kind("string")) + b"e")
MAP = made("map_", field("key", kind("string")), field("value", kind("int16")))
ENTRIES = parts(STRUCT, 3, 0, 0, None, children=(SHORTS, TEXTS))
"""A struct with the types of the entries of the map, but in another order."""


def deep(levels: int) -> bytes:
    """Opcodes of a list of lists of lists."""
    found = kind("int8")
    for _ in range(levels):
        found = made("list_", field("item", found))
    return found


def wide(levels: int) -> bytes:
    """Opcodes of structs that have the same struct twice, down to the last."""
    found = kind("int8") + b"q\x00"
    for level in range(levels):
        both = field("a", b"h" + bytes([level])) + field("b", b"h" + bytes([level]))
        found += b"0" + made("struct", b"](" + both + b"e") + b"q" + bytes([level + 1])
    return found


LONG = b"a value of more than twelve bytes"


def view(value: bytes, number: int = 0, begin: int = 0, size: int | None = None) -> bytes:
    """A view of a value in a buffer, or with the value in itself."""
    size = len(value) if size is None else size
    if len(value) <= 12:
        return struct.pack("<i12s", size, value)
    return struct.pack("<i4sii", size, value[:4], number, begin)


def views(*items: bytes, buffers: tuple[bytes, ...] = (LONG,), name: str = "string_view") -> bytes:
    """Opcodes of an array of views."""
    return array(kind(name), len(items), 0, 0, None, b"".join(items), *buffers)


def one_buffer_again(times: int) -> bytes:
    """Opcodes of an array of one view, which names one buffer so many times."""
    numbers = build.value(1) + build.value(0) + build.value(0)
    named = buffer(LONG) + b"q\xf0" + b"h\xf0" * (times - 1)
    whole = b"(" + kind("string_view") + numbers + b"](N" + buffer(view(LONG)) + named + b"e](eNt"
    return build.called(build.named("pyarrow.lib", "_restore_array"), whole)


HONEST = {
    "views": views(view(b"short"), view(LONG), view(b""), view("zwölf Bytes".encode())),
    "views of two buffers": views(view(LONG, 1, 2), view(LONG), buffers=(LONG, b"xy" + LONG)),
    "views of bytes": views(view(b"\xff" * 12), view(b"\xff" * 13), buffers=(b"\xff" * 13,), name="binary_view"),
    "views of nothing": views(view(b"short"), buffers=()),
    "a part of the views": array(kind("string_view"), 1, 0, 1, None, bytes(16) + view(LONG), LONG),
    "a view of letters of two bytes": views(view("ö".encode() * 20, 0, 2, 36), buffers=("ö".encode() * 20,)),
    "text": array(kind(TEXT), 2, 0, 0, None, offsets(0, 1, 3), b"abc"),
    "text with a null": array(kind(TEXT), 3, 1, 0, b"\x05", offsets(0, 1, 1, 2), b"ab"),
    "a part of the text": array(kind(TEXT), 2, -1, 1, b"\x07", offsets(0, 1, 2, 3), b"abc"),
    "two bytes a letter": array(kind(TEXT), 2, 0, 0, None, offsets(0, 2, 4), "äö".encode()),
    "short offsets": array(kind("string"), 1, 0, 0, None, offsets(0, 1, form="i"), b"a"),
    "nothing": array(kind(TEXT), 0, 0, 0, None, offsets(0), None),
    "numbers": array(kind("int64"), 2, 0, 0, None, bytes(16)),
    "bools": array(kind("bool"), 9, 0, 0, None, bytes(2)),
    "null is no index": dictionary(b"\x00\x63\x00\x00", "a", nulls=1, bitmap=b"\x0d"),
    "dictionary": dictionary(b"\x00\x01\x00\x01", "a", "b"),
    "lists": array(LIST, 2, 0, 0, None, offsets(0, 2, 3, form="i"), children=(SHORTS,)),
    "a part of the lists": array(LIST, 1, -1, 1, None, offsets(0, 2, 3, form="i"), children=(SHORTS,)),
    "pairs": array(PAIRS, 1, 0, 0, None, children=(SHORTS,)),
    "structs": array(STRUCT, 3, 0, 0, None, children=(SHORTS, TEXTS)),
    "decimals": array(made("decimal256", build.value(40), build.value(2)), 2, 0, 0, None, bytes(64)),
    "bytes": array(made("binary", build.value(3)), 2, 0, 0, None, b"abcdef"),
    "map": array(
        MAP,
        1,
        0,
        0,
        None,
        offsets(0, 3, form="i"),
        children=(
            parts(
                made("struct", b"](" + field("key", kind("string")) + field("value", kind("int16")) + b"e"),
                3,
                0,
                0,
                None,
                children=(TEXTS, SHORTS),
            ),
        ),
    ),
    "deep": deep(12),
}
"""Arrays as pyarrow writes them."""

HOSTILE = {
    "offset behind the text": array(kind(TEXT), 2, 0, 0, None, offsets(0, 1, 4), b"abc"),
    "negative offset": array(kind(TEXT), 2, 0, 0, None, offsets(-8, 1, 3), b"abc"),
    "falling offsets": array(kind(TEXT), 3, 0, 0, None, offsets(0, 3, 1, 3), b"abc"),
    "too few offsets": array(kind(TEXT), 3, 0, 0, None, offsets(0, 1, 3), b"abc"),
    "no offsets": array(kind(TEXT), 1, 0, 0, None, None, b"abc"),
    "giant length": array(kind(TEXT), 1 << 60, 0, 0, None, offsets(0, 1), b"a"),
    "negative length": array(kind(TEXT), -1, 0, 0, None, offsets(0, 1), b"a"),
    "offset of the array": array(kind("int64"), 1, 0, 2, None, bytes(16)),
    "negative offset of the array": array(kind("int64"), 1, 0, -1, None, bytes(16)),
    "short numbers": array(kind("int64"), 3, 0, 0, None, bytes(16)),
    "short bools": array(kind("bool"), 17, 0, 0, None, bytes(2)),
    "short bitmap": array(kind("int64"), 9, 0, 0, b"\xff", bytes(72)),
    "more nulls than are there": array(kind("int64"), 2, 1, 0, b"\x03", bytes(16)),
    "fewer nulls than are there": array(kind("int64"), 2, 0, 0, b"\x01", bytes(16)),
    "nulls without a bitmap": array(kind("int64"), 2, 1, 0, None, bytes(16)),
    "half a letter": array(kind(TEXT), 2, 0, 0, None, offsets(0, 1, 2), "ä".encode()),
    "no UTF-8": array(kind(TEXT), 1, 0, 0, None, offsets(0, 1), b"\xff"),
    "cut letter": array(kind(TEXT), 1, 0, 0, None, offsets(0, 1), "ä".encode()),
    "one buffer less": array(kind(TEXT), 1, 0, 0, None, offsets(0, 1)),
    "text as numbers": array(kind("int64"), 1, 0, 0, None, offsets(0, 1), b"a"),
    "index behind the dictionary": dictionary(b"\x00\x02\x00\x00", "a", "b"),
    "negative index": dictionary(b"\x00\xff\x00\x00", "a", "b"),
    "name of a nested type": kind("list<item: int64>"),
    "view behind its buffer": views(view(LONG, 0, 1)),
    "view before its buffer": views(view(LONG, 0, -1)),
    "giant view": views(view(LONG, 0, 0, 2**31 - 1)),
    "negative view": views(view(LONG, 0, 0, -1)),
    "view of another buffer": views(view(LONG, 1)),
    "view of a negative buffer": views(view(LONG, -1)),
    "view without buffers": views(view(LONG), buffers=()),
    "view that begins with another value": views(view(b"b" + LONG[1:])),
    "short view with something behind it": views(struct.pack("<i12s", 2, b"abc")),
    "views behind their buffer": array(kind("string_view"), 2, 0, 0, None, view(b"a")),
    "offset of views": array(kind("string_view"), 1, 0, 1, None, view(b"a")),
    "view of no UTF-8": views(view(b"\xff" * 12)),
    "buffer of no UTF-8": views(view(b"\xff" * 13), buffers=(b"\xff" * 13,)),
    "view that begins inside of a letter": views(
        view(("ö" * 20).encode()[1:], 0, 1, 37), buffers=(("ö" * 20).encode(),)
    ),
    "view that ends inside of a letter": views(view(("ö" * 20).encode(), 0, 0, 37), buffers=(("ö" * 20).encode(),)),
    "views without views": array(kind("string_view"), 1, 0, 0, None),
    "views of lists": kind("list_view"),
    "array for a buffer": build.called(build.named("pyarrow.lib", "py_buffer"), build.array()),
    "no type": array(b"N", 1, 0, 0, None, bytes(8)),
    "a function for an array": build.called(build.named("pyarrow.lib", "_restore_array"), build.named("numpy", "log")),
    "list behind its items": array(LIST, 2, 0, 0, None, offsets(0, 2, 4, form="i"), children=(SHORTS,)),
    "negative list": array(LIST, 2, 0, 0, None, offsets(-2, 2, 3, form="i"), children=(SHORTS,)),
    "falling lists": array(LIST, 2, 0, 0, None, offsets(2, 0, 3, form="i"), children=(SHORTS,)),
    "too few lists": array(LIST, 3, 0, 0, None, offsets(0, 2, 3, form="i"), children=(SHORTS,)),
    "lists of text": array(LIST, 2, 0, 0, None, offsets(0, 2, 3, form="i"), children=(TEXTS,)),
    "lists without items": array(LIST, 2, 0, 0, None, offsets(0, 2, 3, form="i")),
    "too many pairs": array(PAIRS, 2, 0, 0, None, children=(SHORTS,)),
    "pairs behind the items": array(PAIRS, 1, 0, 1, None, children=(SHORTS,)),
    "too many structs": array(STRUCT, 4, 0, 0, None, children=(SHORTS, TEXTS)),
    "exchanged fields": array(STRUCT, 3, 0, 0, None, children=(TEXTS, SHORTS)),
    "one field": array(STRUCT, 3, 0, 0, None, children=(SHORTS,)),
    "map of other entries": array(MAP, 1, 0, 0, None, offsets(0, 3, form="i"), children=(ENTRIES,)),
    "short decimals": array(made("decimal256", build.value(40), build.value(2)), 3, 0, 0, None, bytes(64)),
    "short bytes": array(made("binary", build.value(3)), 3, 0, 0, None, b"abcdef"),
    "too deep": deep(20),
    "too wide": wide(14),
    "too many nulls of no type": array(kind("null"), 1 << 40, 1 << 40, 0, None),
}
"""Arrays that would make Arrow read or write outside of their buffers, or that are none."""


@pytest.mark.parametrize("opcodes", HONEST.values(), ids=HONEST.keys())
def test_array_that_fits_its_buffers_is_accepted(opcodes: bytes) -> None:
    """What pyarrow writes is accepted."""
    assert scan_bytes(build.pickled(opcodes), ALLOWLIST).problems == ()


@pytest.mark.parametrize("opcodes", HOSTILE.values(), ids=HOSTILE.keys())
def test_array_that_does_not_fit_is_refused(opcodes: bytes) -> None:
    """A number that does not fit the others refuses the file, before Arrow sees it."""
    codes = {problem.code for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems}
    assert codes == {"artifact.forbidden_arguments"}


def test_a_buffer_that_is_named_again_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name takes two bytes of a file, and the text that it names may take seconds to read."""
    read = []
    real = arrow_rules._check_utf8
    monkeypatch.setattr(arrow_rules, "_check_utf8", lambda *given: read.append(given[1]) or real(*given))
    assert scan_bytes(build.pickled(one_buffer_again(1000)), ALLOWLIST).problems == ()
    assert [bytes(data) for data in read] == [LONG]


def test_load_copies_buffers_and_lets_arrow_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that changes the bytes after their check changes nothing that Arrow reads, and Arrow looks once more."""
    seen: list[object] = []

    class Array:
        def validate(self, *, full: bool) -> None:
            seen.append(full)
            raise ValueError("invalid")

    fake = ModuleType("pyarrow")
    vars(fake).update(py_buffer=lambda data: (type(data), data), _restore_array=lambda _parts: Array())
    monkeypatch.setitem(sys.modules, "pyarrow", fake)
    monkeypatch.setitem(sys.modules, "pyarrow.lib", fake)
    changed = b"](" + build.called(build.named("builtins", "bytearray"), build.data(b"ab")) + b"q\x00"
    changed += build.called(build.named("pyarrow.lib", "py_buffer"), b"h\x00") + b"eh\x00K\x00K\x7fs0"
    imports = {"builtins.bytearray": "cr", "pyarrow.lib.py_buffer": "cr", "pyarrow.lib._restore_array": "cr"}
    original, buffer = load(build.pickled(changed), imports)
    assert (bytes(original), buffer) == (b"\x7fb", (bytes, b"ab"))
    with pytest.raises(ValueError, match="invalid"):
        load(build.pickled(build.called(build.named("pyarrow.lib", "_restore_array"), b"N")), imports)
    assert seen == [True]


def test_large_buffers_are_checked_too() -> None:
    """Offsets and text of more than a megabyte, which the scan does not keep in memory, are read and compared."""
    count = 300_000
    text, rising = b"abcd" * count, list(range(0, 4 * count + 1, 4))
    good = column(array(kind(TEXT), count, 0, 0, None, offsets(*rising), text))
    assert scan_bytes(good, ALLOWLIST).problems == ()
    rising[200_000] = 8 * count
    bad = column(array(kind(TEXT), count, 0, 0, None, offsets(*rising), text))
    assert scan_bytes(bad, ALLOWLIST).problems[0].code == "artifact.forbidden_arguments"


def test_array_of_numbers_cannot_be_an_array_of_text() -> None:
    """pandas would hand it to functions for text."""
    assert scan_bytes(column(HONEST["text"]), ALLOWLIST).problems == ()
    assert scan_bytes(column(HONEST["numbers"]), ALLOWLIST).problems[0].code == "artifact.forbidden_arguments"
    assert scan_bytes(column(build.array()), ALLOWLIST).problems[0].code == "artifact.forbidden_arguments"
