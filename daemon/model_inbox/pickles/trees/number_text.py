"""Whether a text consists of numbers as C++ prints them, with one space between two. Pure.

To parse each number would take ten times as long as everything else that is checked of a model. So each character gets
bits for what may stand behind it and for what it is itself, and the bits of neighbours are compared in one operation on
an integer that is as long as the text. It runs in C, and takes a nanosecond for each byte.

`is_plain_numbers` says yes only for a text without "inf" and "nan" and without two spaces; for others `is_numbers`
decides.
"""

from __future__ import annotations

from typing import Final

__all__ = ["is_numbers", "is_plain_numbers"]

_NUMBER_SHAPES: Final = {
    sign + number
    for sign in (b"", b"-")
    for number in (b"inf", b"nan", *(point + power for point in (b"", b".") for power in (b"", b"e", b"e-", b"e+")))
}
"""Numbers without their digits."""
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_MISPLACED: Final = (
    *(b"- ", b"-.", b"-e", b" .", b". ", b".e", b" e", b"e ", b"+ "),
    *(b"0-", b"0+", b"0i", b"n0", b"f0", b"0n"),
)
"""What stands in a text of numbers, with 0 for each digit, only where digits are missing, or where they stand before a
sign or in a word."""
_DIGITS: Final = b"0123456789"
_PIECE_BYTES: Final = 1 << 16
_SPACE, _POINT_OR_E, _MINUS, _PLUS = 1, 2, 4, 8
_ANYTHING: Final = 15


def _table(kinds: dict[str, tuple[int, int]]) -> bytes:
    """Return a table for `translate`: for each character (what it is, what may not follow), and all others nowhere."""
    table = bytearray([_ANYTHING << 4 | _ANYTHING] * 256)
    for characters, (own, refused) in kinds.items():
        for character in characters.encode():
            table[character] = refused << 4 | own
    return bytes(table)


# A point and an e stand behind a digit, a minus behind a space or an e, a plus behind an e, and a space behind a digit.
_IN_TEXT: Final = _table(
    {
        "0123456789": (0, _MINUS | _PLUS),
        " ": (_SPACE, _SPACE | _POINT_OR_E | _PLUS),
        ".": (_POINT_OR_E, _ANYTHING),
        "e": (_POINT_OR_E, _SPACE | _POINT_OR_E),
        "-": (_MINUS, _ANYTHING),
        "+": (_PLUS, _ANYTHING),
    }
)
# Without the digits: a point before the e, and one of each in a number.
_POINT, _E = 1, 2
_IN_SHAPE: Final = _table(
    {
        " ": (0, _PLUS),
        ".": (_POINT, _POINT | _MINUS | _PLUS),
        "e": (_E, _POINT | _E),
        "-": (_MINUS, _MINUS | _PLUS),
        "+": (_PLUS, _ANYTHING),
    }
)


def _has_bad_pair(data: bytes, table: bytes) -> bool:
    bits = int.from_bytes(data.translate(table), "big")
    # What a character refuses stands four bits above what the next one is.
    return bool(bits >> 12 & bits & int.from_bytes(b"\x0f" * len(data), "big"))


def _has_bad_triple(data: bytes) -> bool:
    """Return whether a point or an e follows the sign of an exponent: "e-." or "e-e", without the digits."""
    bits = int.from_bytes(data.translate(_IN_SHAPE), "big")
    return bool(bits >> 16 & bits >> 9 & (bits | bits << 1) & int.from_bytes(b"\x02" * len(data), "big"))


def is_plain_numbers(text: bytes) -> bool:
    """Return whether the text is numbers in digits, with one space between two.

    False may also mean that there are numbers of another form: an infinite one, or two spaces.
    """
    place = 0
    while place < len(text):
        end = text.find(b" ", place + _PIECE_BYTES)
        end = len(text) if end < 0 else end
        piece = b" %s " % text[place:end]
        shape = piece.translate(None, _DIGITS)
        if _has_bad_pair(piece, _IN_TEXT) or _has_bad_pair(shape, _IN_SHAPE) or _has_bad_triple(shape):
            return False
        place = end + 1
    return text[-1:] not in (b"", b" ")


def is_numbers(text: bytes) -> bool:
    """Return whether the text is numbers as C++ prints them, with spaces between them. Slower than the other."""
    padded = b" %s " % text.translate(_ZEROS)
    shapes = set(padded.translate(None, b"0").split(b" "))
    # Nothing is searched for a character that is not there.
    there = {*b" 0", *b"".join(shapes)}
    wrong = any(pair in padded for pair in _MISPLACED if there.issuperset(pair))
    return not wrong and _NUMBER_SHAPES.issuperset(shapes)
