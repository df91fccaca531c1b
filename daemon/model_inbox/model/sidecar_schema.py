"""The JSON schema of a sidecar, for editors and for programs that write sidecars.

Owns the differences between metadata in JSON and in YAML. Fields and limits come from `sidecar_fields` and `metadata`.
A schema is applied to the values of a YAML parser, so it accepts a number for a text field (`version: 2`), as the
inbox does. The inbox checks more than a schema can express. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..base.shapes import document, fields_of_shape, title_of
from .file_names import COMPRESSED_SUFFIXES, MODEL_SUFFIXES
from .metadata import METRIC_SCHEMA, MODEL_ID, MetadataFields
from .sidecar_fields import SIDECAR_FIELDS

__all__ = ["sidecar_schema"]

_WHOLE_NUMBER = "^[-+]?[0-9]+$"
_NUMBER = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_WORD = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo])$"


def _in_any_case(suffixes: Iterable[str]) -> str:
    """Return a pattern that matches one of the suffixes, in any case of letters: JSON schemas have no flag for that."""
    letters = ("".join(f"[{c.upper()}{c}]" if c.isalpha() else re.escape(c) for c in suffix) for suffix in suffixes)
    return f"({'|'.join(letters)})"


_SUFFIX = f"{_in_any_case(MODEL_SUFFIXES)}{_in_any_case(COMPRESSED_SUFFIXES)}?"
_FILE = {"type": "string", "maxLength": 255, "pattern": rf"^[^./\\][^/\\]*{_SUFFIX}$"}
_DIGEST = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}

# Fields whose schema is not derived from `metadata`.
_SPECIAL: dict[str, dict[str, Any]] = {
    "model_id": {
        "type": ["string", "number", "boolean"],
        "pattern": f"^{MODEL_ID.pattern}$",
        "not": {"type": "string", "pattern": "_scaler$"},
    },
    "trained_at": {"type": "string", "pattern": "^ *[0-9]{4}-[0-9]{2}-[0-9]{2}"},
    "model_file": _FILE,
    "scaler_file": {**_FILE, "type": ["string", "null"]},
    "sha256": {
        "type": "object",
        "properties": {
            "model": {"title": "Model", "description": "The digest of the model's file.", **_DIGEST},
            "scaler": {
                "title": "Scaler",
                "description": "The digest of the scaler's file, if there is one.",
                **_DIGEST,
                "type": ["string", "null"],
            },
        },
        "required": ["model"],
        "additionalProperties": False,
    },
}


def sidecar_schema() -> dict[str, Any]:
    """Return the JSON schema of a sidecar."""
    metadata = fields_of_shape(MetadataFields)
    written = {name: _as_written(schema) for name, schema in metadata.items()}
    # A list of tags gives each an empty value. Null means an empty text, no tags, no provenance, or an
    # empty value in them.
    tag, name_of_tag = written["tags"]["additionalProperties"], metadata["tags"]["propertyNames"]
    written["tags"] |= {
        "type": ["object", "array", "null"],
        "additionalProperties": {**tag, "type": [*tag["type"], "null"]},
        "items": {"type": ["string", "number", "boolean"], **name_of_tag},
    }
    known = written["provenance"]["additionalProperties"]
    written["provenance"] |= {
        "type": ["object", "null"],
        "additionalProperties": {**known, "type": [*known["type"], "null"]},
    }
    for name in ("description", "variant"):
        written[name]["type"].append("null")
    fields = {}
    for field in SIDECAR_FIELDS:
        about = {"title": title_of(field.name), "description": field.meaning}
        fields[field.name] = {**(_SPECIAL.get(field.name) or written[field.name]), **about}
    fields["subject"] = {**fields["currency_pair"], "title": "Subject", "description": "Another name of currency_pair."}
    return document(
        "sidecar",
        "Sidecar of model-inbox",
        "The YAML file beside a model in the inbox: the model's metadata and the names of its files.",
        {
            "type": "object",
            "properties": fields,
            "required": [field.name for field in SIDECAR_FIELDS if field.required and field.name != "currency_pair"],
            "if": {"required": ["subject"]},
            "then": {"properties": {"currency_pair": False}},
            "else": {"required": ["currency_pair"]},
            "additionalProperties": False,
            "$defs": {"metric": {**METRIC_SCHEMA, "type": ["number", "object", "string"], "pattern": _NUMBER}},
        },
    )


def _as_written(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the values that a YAML parser may return for this value."""
    match schema.get("type"):
        case "string":
            return {**schema, "type": ["string", "number", "boolean"]}
        case "integer":
            return {**schema, "type": ["integer", "string"], "pattern": _WHOLE_NUMBER}
        case "boolean":
            return {**schema, "type": ["boolean", "string"], "pattern": _WORD}
        case "array":
            return {**schema, "items": _as_written(schema["items"])}
        case "object":
            return {**schema, "additionalProperties": _as_written(schema["additionalProperties"])}
    return dict(schema)
