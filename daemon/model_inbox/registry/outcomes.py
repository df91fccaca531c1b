"""What is to be registered, what became of it, and what was retired: values. Owns no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..model.metadata import MetadataFields
from ..model.owner import OwnerFields
from ..problems import Problem
from .entry import EntryFields, Integrity, Origin
from .files import StagedFiles
from .usage import Quota

__all__ = ["Candidate", "Outcome", "Registered", "Retired"]

Outcome = Literal["registered", "duplicate", "taken", "over_quota"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose files are staged and whose verdict was "accept", ready to be committed.

    `fields` are those of `metadata.fields_of`; `imports` what its pickles may import when loaded (None: trusted);
    `integrity` what showed that the files were complete (`digest`, `lease`, `quiet`; `api` when we wrote them);
    `verdict` what the scan of its pickles holds for (`pickles.current`; None: they were not scanned); `frameworks` the
    versions that its pickles claim (`pickles.claimed_versions`); `owner` the user who dropped it, `quota` how much that
    user may have (None: as much as there is room for); `load_bytes` what a load of its pickles needs at most.
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
    quota: Quota | None = None
    load_bytes: int | None = None


class Registered(NamedTuple):
    """What became of a candidate: `registered`, `duplicate` (same id, same bytes), `taken` (other bytes), `over_quota`.

    `entry` is the entry of its id as it is stored: its paths count from the registry's folder. A candidate that is over
    its owner's quota has none, and `problem` says why. `near_pair` is the pair that is spelled in nearly the same way,
    and the number of its models, if one is in use.
    """

    outcome: Outcome
    entry: EntryFields
    problem: Problem | None = None
    near_pair: tuple[str, int] | None = None


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
