"""The fields of a sidecar, in the order in which they are written, and how large one may be.

Owns the names, whether each is required, and what it means. Knows no YAML.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SIDECAR_BYTES_MAX", "SIDECAR_FIELDS", "SidecarField"]

SIDECAR_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class SidecarField:
    """One field of a sidecar, for the manual: its name, the kind of its value and what it means."""

    name: str
    kind: str
    meaning: str
    required: bool = False


SIDECAR_FIELDS = (
    SidecarField("model_id", "name", "The model's id; the stem of the sidecar's name when left out."),
    SidecarField("model_type", "text", "The kind of model, like lightgbm.", required=True),
    SidecarField("currency_pair", "text", "What it forecasts, like USD/EUR; up to 64 characters.", required=True),
    SidecarField("trained_at", "date and time", "RFC 3339; without a zone it counts as UTC.", required=True),
    SidecarField("version", "text", "The producer's version, as written: 1.10 stays 1.10.", required=True),
    SidecarField("validation_metrics", "mapping", "Names with finite numbers, nested at will.", required=True),
    SidecarField("min_samples", "whole number", "How many samples a forecast needs.", required=True),
    SidecarField("calibration_ok", "true or false", "Whether calibration was found good.", required=True),
    SidecarField("features_used", "list of names", "The features, in the model's order.", required=True),
    SidecarField("horizons", "list of days", "Forecast horizons in whole days, 1 to 36500.", required=True),
    SidecarField("tags", "mapping or list", "Names with text values, for retention and for people."),
    SidecarField("description", "text", "Anything for people to read, up to 8192 characters."),
    SidecarField("model_file", "file name", "The model beside the sidecar; <stem>.pkl when left out."),
    SidecarField(
        "scaler_file",
        "file name or null",
        "The scaler beside the sidecar, or null for none; when left out, <stem>_scaler.pkl (or with the suffix of "
        "model_file) if it is there.",
    ),
    SidecarField("sha256", "mapping", "SHA-256 of the files in hexadecimal: {model: ..., scaler: ...}."),
)
"""Every field of a sidecar, in the order in which `dump_sidecar` writes them.

The digests come last: with them the sidecar can be seen to be whole, so nothing may come behind.
"""
SIDECAR_NAMES = tuple(f.name for f in SIDECAR_FIELDS)
