"""Why a text is not YAML: the place and the true reason, in words, and whether more text could still mend it.

Owns what libyaml's errors and the first bytes of a file say about it. Never parses a text. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from yaml import YAMLError
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

__all__ = ["Fault", "find_bad_byte", "find_fault", "foreign_format"]

_BINARY_STARTS = (
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle"),
    (re.compile(rb"\x1f\x8b\x08|BZh[1-9]|\xfd7zXZ\x00|\x04\x22M\x18|\x28\xb5\x2f\xfd"), "a compressed file"),
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
)
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_CONFLICT = re.compile(r"^(?:<{7} .*|={7}|>{7} .*)\r?$", re.MULTILINE)
_LINE_END = re.compile(r"[\r\n]")
_FLOW_FAULTS = ("did not find expected ',' or ']'", "did not find expected ',' or '}'")
# In brackets, so far before the end of the text a fault does not depend on what follows.
_LOOKED_AHEAD = 3

_SAVE = "Save it as UTF-8"
_LOOK = "Look at that line and the one before; text with special characters needs quotes"


class Fault(NamedTuple):
    """Where and why a text is not YAML. Line and column count from 1, and are None if the place is not known.

    `is_final` is true if no text that follows can make it YAML.
    """

    reason: str
    hint: str
    line: int | None
    column: int | None
    is_final: bool


def foreign_format(data: bytes) -> Fault | None:
    """Return why data cannot be UTF-8 text at all, from its first bytes, or None if they do not show it."""
    for pattern, what in _BINARY_STARTS:
        if pattern.match(data):
            hint = "Is another file meant? This one must be text: lines of 'name: value'"
            return Fault(f"{what}, and not UTF-8 text", hint, 1, 1, is_final=True)
    encoding = next((what for mark, what in _MARKS if data.startswith(mark)), "") or _unmarked(data[:256])
    return Fault(f"{encoding}, and not UTF-8 text", _SAVE, 1, 1, is_final=True) if encoding else None


def _unmarked(start: bytes) -> str:
    """Return "UTF-16" for text of Latin letters in it: each second byte is a zero."""
    even, odd = start[::2], start[1::2]
    for zeros, letters in ((even, odd), (odd, even)):
        if len(letters) > 1 and zeros.count(0) * 10 >= len(zeros) * 8 and letters.count(0) * 10 <= len(letters):
            return "UTF-16"
    return ""


def find_bad_byte(error: UnicodeDecodeError) -> Fault:
    """Return why the bytes of a text are not UTF-8."""
    byte = error.object[error.start]
    letter = bytes([byte]).decode("cp1252", "replace")
    other = f"; in Latin-1 that is {letter!r}" if letter.isprintable() and letter != "\ufffd" else ""
    before = error.object[: error.start].decode("utf-8-sig", "replace")
    # A letter of several bytes may be cut off at the end. All other bytes are wrong whatever follows.
    is_final = error.reason != "unexpected end of data"
    reason = f"not UTF-8: byte {error.start} is 0x{byte:02x}{other}"
    return Fault(reason, _SAVE, *_place(before, len(before)), is_final)


def find_fault(error: YAMLError, text: str) -> Fault:
    """Return why libyaml refused a text."""
    if isinstance(error, ReaderError):
        return _bad_character(error, text)
    if not isinstance(error, MarkedYAMLError):
        return Fault("it cannot be read", _LOOK, None, None, is_final=False)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Fault("it cannot be read", _LOOK, None, None, is_final=False)
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    index, line, column = mark.index, mark.line + 1, mark.column + 1
    # libyaml reads a line at a time at the most before it decides, so what stands before the last line is decided.
    is_final = _LINE_END.search(text, index) is not None
    is_final = is_final or (error.problem in _FLOW_FAULTS and index + _LOOKED_AHEAD < len(text))
    conflict = _CONFLICT.search(text)
    if conflict is not None and text.count("\n", 0, conflict.start()) < line:
        sign = conflict.group()[:7]
        return Fault(
            f"a merge conflict of git begins with this line: {sign!r}",
            "Resolve the conflict: keep one of the two versions, and remove the lines of the marks",
            *_place(text, conflict.start()),
            is_final,
        )
    tab = _tab_near(text, index)
    if tab is not None:
        return Fault(
            "a tab stands where only spaces may: YAML is indented by spaces",
            "Replace the tabs at the beginnings of the lines by spaces",
            *_place(text, tab),
            is_final,
        )
    return Fault(reason, _LOOK, line, column, is_final)


def _bad_character(error: ReaderError, text: str) -> Fault:
    """Return the fault of a character that YAML does not allow at all."""
    before = text.encode()[: error.position].decode("utf-8", "replace")
    character = text[len(before) : len(before) + 1]
    reason, hint = str(error.reason), "Remove the character"
    if character:
        name = "the character NUL" if character == "\0" else "a control character"
        reason = f"it contains {name} (U+{ord(character):04X}), which YAML does not allow"
        hint = "Is the file complete, and text? Remove the character"
    return Fault(reason, hint, *_place(text, len(before)), is_final=True)


def _tab_near(text: str, index: int) -> int | None:
    """Return the position of the tab that is the cause of a fault at `index`, or None.

    It stands there, or among the spaces with which its line begins.
    """
    if text[index : index + 1] == "\t":
        return index
    start = text.rfind("\n", 0, index) + 1
    indentation = text[start:index]
    if "\t" in indentation and not indentation.strip():
        return start + indentation.index("\t")
    return None


def _place(text: str, index: int) -> tuple[int, int]:
    """Return line and column, counted from 1, of a position in the text."""
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1
