"""What a number looks like in YAML 1.2: for readers of YAML, and for writers that must not write text like one.

Needs no YAML library: who only writes sidecars does not import one.
"""

from __future__ import annotations

import re

__all__ = ["number"]

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def number(text: str) -> int | float | None:
    """Return `text` as a decimal number, or None if it is not one. `nan` and `.inf` are returned as floats."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return None
