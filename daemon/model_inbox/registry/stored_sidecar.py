"""The sidecar that is stored beside a model, made from its entry.

Owns its text, for when the producer's own is lost. Pure: no disk, no clock.
"""

from __future__ import annotations

from pathlib import Path

from ..model.metadata import is_valid_id
from ..model.sidecar_writer import dump_sidecar
from .entry import EntryFields, metadata_of

__all__ = ["has_sidecar", "sidecar_of_entry"]


def has_sidecar(entry: EntryFields) -> bool:
    """Return whether a sidecar is stored beside the model. An adopted entry has none."""
    return is_valid_id(str(entry.get("model_id"))) and entry.get("origin") in ("inbox", "api")


def sidecar_of_entry(entry: EntryFields) -> bytes | None:
    """Return the text of a sidecar that says what the entry does; None for an entry that lacks metadata."""
    metadata = metadata_of(entry)
    if metadata is None:
        return None
    scaler = entry.get("scaler_path")
    return dump_sidecar(
        metadata,
        model_file=Path(str(entry["model_path"])).name,
        scaler_file=Path(str(scaler)).name if scaler else None,
        digests={"model": entry.get("sha256"), "scaler": entry.get("scaler_sha256")},
    )
