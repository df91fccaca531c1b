"""What the daemon of an inbox accepts, checked before anything is written; and the id that needs the model's digest.

Needs no YAML library. Never writes a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import DropRefused
from ..model.checks import check_accepted
from ..model.file_names import STATUS_IN_INBOX, Role
from ..model.metadata import PAIR_PATTERN, ModelMetadata, id_fault
from ..model.published import Limits, published_limits, sidecar_too_large
from ..model.sidecar_writer import dump_sidecar
from ..problems import quoted
from ..problems.sidecar import sidecar_invalid_name
from .filling import automatic_id

__all__ = ["limits_of", "must_be_accepted", "sidecar_of", "with_id"]

_NO_DIGEST = "0" * 64


def limits_of(folder: Path, pair_pattern: str | None = PAIR_PATTERN) -> Limits:
    """Return the limits of the daemon of an inbox. A form of a pair that the caller chose counts more."""
    limits = published_limits(folder / STATUS_IN_INBOX)
    return limits if pair_pattern == PAIR_PATTERN else replace(limits, pair_pattern=pair_pattern)


def must_be_accepted(metadata: ModelMetadata, limits: Limits, *, template: str | None, has_scaler: bool) -> None:
    """Raise DropRefused for metadata that the daemon would reject, before anything is written.

    `template` is that of an id that is not known yet.
    """
    problems = check_accepted(
        metadata,
        model_types=limits.model_types,
        currency_pairs=limits.currency_pairs,
        pair_pattern=limits.pair_pattern,
    )
    if fault := id_fault(metadata.model_id):
        # Only a template can make such an id: any other was checked with the other fields.
        problems.append(sidecar_invalid_name("model_id", metadata.model_id, fault))
    text = dump_sidecar(
        metadata,
        model_file="m.pkl",
        scaler_file="m_scaler.pkl" if has_scaler else None,
        digests={"model": _NO_DIGEST, "scaler": _NO_DIGEST if has_scaler else None},
    )
    problems += sidecar_too_large(text, limits.max_sidecar_size)
    if problems:
        what = quoted(metadata.model_id) if template is None else "the model"
        raise DropRefused(f"cannot drop {what}: the daemon would reject it", problems)


def with_id(metadata: ModelMetadata, template: str | None, sha256: str = _NO_DIGEST) -> ModelMetadata:
    """Return the metadata with the id that the template makes, if there is one."""
    if template is None:
        return metadata
    return replace(metadata, model_id=automatic_id(template, metadata, sha256))


def sidecar_of(metadata: ModelMetadata, stem: str, digests: Mapping[Role, str]) -> bytes:
    """Return the sealed sidecar of files that are called by the stem."""
    return dump_sidecar(
        metadata,
        model_file=f"{stem}.pkl",
        scaler_file=f"{stem}_scaler.pkl" if "scaler" in digests else None,
        digests={"model": digests["model"], "scaler": digests.get("scaler")},
    )
