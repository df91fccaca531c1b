"""What is to be registered, what became of it, and what was retired: values. Owns no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..model.metadata import MetadataFields
from ..model.owner import OwnerFields
from .entry import EntryFields, Integrity, Origin
from .files import StagedFiles

__all__ = ["Candidate", "Outcome", "Registered", "Retired"]

Outcome = Literal["registered", "duplicate", "taken"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose files are staged and whose verdict was "accept", ready to be committed.

    `fields` are those of `metadata.fields_of`; `imports` what its pickles may import when loaded (None: trusted);
    `integrity` what showed that the files were complete (`digest`, `lease`, `quiet`; `api` when we wrote them);
    `verdict` what the scan of its pickles holds for (`pickles.current`; None: they were not scanned); `frameworks` the
    versions that its pickles claim (`pickles.claimed_versions`); `owner` the user who dropped it.
    """

    fields: MetadataFields
    files: StagedFiles
    origin: Origin
    drop_id: str | None = None
    imports: Mapping[str, str] | None = None
    integrity: Integrity = "api"
    actor: str = ""
    reason: str = ""
    verdict: Mapping[str, Any] | None = None
    frameworks: Mapping[str, str] | None = None
    owner: OwnerFields | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a candidate: `registered`, `duplicate` (same id, same bytes) or `taken` (other bytes).

    `entry` is the entry of its id as it is stored: its paths count from the registry's folder.
    """

    outcome: Outcome
    entry: EntryFields


@dataclass(frozen=True, slots=True)
class Retired:
    """A retired model whose files are in the trash.

    `at` is the time of its retirement, by the clock as it was corrected since.
    """

    model_id: str
    sequence: int
    at: datetime
    actor: str
    reason: str
    entry: EntryFields
    folder: Path
