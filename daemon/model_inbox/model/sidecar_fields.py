"""The fields of a sidecar in the order in which they are written, and the size limit of a sidecar.

Owns the name and the meaning of each field, and whether it is required. Knows nothing about YAML.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.shapes import fields_of_shape
from .metadata import REQUIRED_FIELDS, MetadataFields

__all__ = ["SIDECAR_BYTES", "SIDECAR_BYTES_MAX", "SIDECAR_FIELDS", "SidecarField"]

SIDECAR_BYTES = 1 << 20
"""The default of `inbox.max_sidecar_size`."""
SIDECAR_BYTES_MAX = 16 << 20
"""The largest limit that may be set. Stored sidecars are read up to it, whatever the limit is now."""


@dataclass(frozen=True, slots=True)
class SidecarField:
    """One field of a sidecar, for the manual: its name, the kind of its value and its meaning."""

    name: str
    kind: str
    meaning: str
    required: bool = False


_MEANINGS = {name: schema["description"] for name, schema in fields_of_shape(MetadataFields).items()}


def _metadata(name: str, kind: str, also: str = "") -> SidecarField:
    return SidecarField(name, kind, _MEANINGS[name] + also, required=name in REQUIRED_FIELDS)


SIDECAR_FIELDS = (
    SidecarField("model_id", "name", "The model's id. Default: the sidecar's name without its suffix."),
    _metadata("model_type", "text"),
    _metadata("currency_pair", "text", " `subject` is another name of it."),
    _metadata("trained_at", "date and time"),
    _metadata("version", "text"),
    _metadata("validation_metrics", "mapping"),
    _metadata("min_samples", "whole number"),
    _metadata("calibration_ok", "true or false"),
    _metadata("features_used", "list of names"),
    _metadata("horizons", "list of days"),
    _metadata("variant", "name"),
    _metadata("tags", "mapping or list"),
    _metadata("description", "text"),
    _metadata("provenance", "mapping"),
    SidecarField(
        "model_file", "file name", "The model's file beside the sidecar. Default: the file of its stem, .pkl first."
    ),
    SidecarField(
        "scaler_file",
        "file name or null",
        "The scaler's file beside the sidecar, or null for none. Default: the file <stem>_scaler with a suffix of "
        "models, .pkl first, if there is one.",
    ),
    SidecarField("sha256", "mapping", "SHA-256 of the files in hexadecimal: {model: ..., scaler: ...}."),
)
"""Every field of a sidecar, in the order in which `dump_sidecar` writes them.

The digests come last: a reader can tell by them that the sidecar is complete, so nothing may follow them.
"""
SIDECAR_NAMES = tuple(f.name for f in SIDECAR_FIELDS)
