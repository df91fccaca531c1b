"""Writes a sealed sidecar as YAML that parses back to the same values.

Owns the text of a sidecar. Needs no YAML library, so a producer does not either. Never writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..base.yaml_numbers import number
from .metadata import LATER_FIELDS, ModelMetadata, fields_of
from .sidecar_fields import SIDECAR_NAMES

__all__ = ["dump_sidecar"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", re.ASCII)
_NOT_TEXT = re.compile(r"[0-9][0-9._+-]*|0[xob].*|true|false|yes|no|on|off|null|y|n", re.IGNORECASE)


def dump_sidecar(
    metadata: ModelMetadata,
    *,
    model_file: str,
    scaler_file: str | None,
    digests: Mapping[str, str | None] | None = None,
) -> bytes:
    """Return the text of a sealed sidecar: every field but an empty variant or provenance, and `...` as the last line.

    `parse_sidecar` returns the same values. The metadata must have passed `check_metadata`. With tens of thousands of
    features the text can become larger than the inbox accepts: `published.sidecar_too_large` checks that.
    """
    fields = fields_of(metadata)
    given = {name: digest for name, digest in (digests or {}).items() if digest is not None}
    values: dict[str, Any] = {**fields, "model_file": model_file, "scaler_file": scaler_file, "sha256": given}
    lines: list[str] = []
    for name in SIDECAR_NAMES:
        if name == "trained_at":
            lines.append(f"trained_at: {values[name]}")
        elif (name != "sha256" or given) and (name not in LATER_FIELDS or values[name]):
            # An earlier version reads a sidecar that has only the fields that it knows.
            lines += _yaml_lines(name, values[name], "")
    return ("\n".join(lines) + "\n...\n").encode()


def _yaml_lines(name: str, value: Any, indent: str) -> list[str]:
    head = f"{indent}{_yaml_scalar(name)}:"
    if isinstance(value, dict) and value:
        inner = [line for key, item in value.items() for line in _yaml_lines(key, item, indent + "  ")]
        return [head, *inner]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [head, *(f"{indent}  - {_yaml_scalar(item)}" for item in value)]
    if isinstance(value, list | dict):
        brackets = "[]" if isinstance(value, list) else "{}"
        items = ", ".join(_yaml_scalar(item) for item in value)
        return [f"{head} {brackets[0]}{items}{brackets[1]}"]
    return [f"{head} {_yaml_scalar(value)}"]


def _yaml_scalar(value: str | float | None) -> str:
    """Return a scalar that parsers of YAML 1.1 and 1.2 read as the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # YAML 1.1 reads 1e-05 as text. Both versions read 1.0e-05 as a number.
        digits, e, exponent = repr(value).partition("e")
        return f"{digits}.0e{exponent}" if e and "." not in digits else repr(value)
    if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value) and number(value) is None:
        return value
    return '"' + "".join(_yaml_character(c) for c in value) + '"'


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
