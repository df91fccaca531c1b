"""What is to be registered, what became of it, and what was retired: values. Owns no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from ..model.metadata import MetadataFields
from ..model.owner import OwnerFields
from ..problems import Problem
from .entry import EntryFields, GateOutcome, Integrity, Origin
from .files import StagedFiles
from .usage import Quota

__all__ = ["Candidate", "Examined", "Gatekeeper", "InService", "Outcome", "Registered", "Retired"]

Outcome = Literal["registered", "duplicate", "taken", "refused"]
InService = Callable[[str], Mapping[str, Any] | None]
"""Returns the model of a slot that an alias names, or the newest one for `slot.NEWEST`; None if there is none."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What the gates say of a model: all `outcomes`, and either the `problems` of one that is refused, or `held`.

    `held` is why a model that is registered is not to be served, None if it is to be served; `notes` say so to the
    producer.
    """

    outcomes: tuple[GateOutcome, ...]
    problems: tuple[Problem, ...]
    held: str | None
    notes: tuple[Problem, ...] = ()


class Gatekeeper(Protocol):
    """Decides whether a model may be registered and served, beside the models in service."""

    def examine(self, entry: Mapping[str, Any], in_service: InService) -> Examined:
        """Return what comes of a model. Called under the writer lock, over all that is committed by then."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose files are staged and whose verdict was "accept", ready to be committed.

    `fields` are those of `metadata.fields_of`; `imports` what its pickles may import when loaded (None: trusted);
    `integrity` what showed that the files were complete (`digest`, `lease`, `quiet`; `api` when we wrote them);
    `verdict` what the scan of its pickles holds for (`pickles.current`; None: they were not scanned); `frameworks` the
    versions that its pickles claim (`pickles.claimed_versions`); `owner` the user who dropped it, `quota` how much that
    user may have (None: as much as there is room for); `load_bytes` what a load of its pickles needs at most; `gates`
    decides beside the models in service (None: no gate is to be passed); `rules` is the digest of the rules that
    accepted it ("": none did).
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
    gates: Gatekeeper | None = None
    rules: str = ""


class Registered(NamedTuple):
    """What became of a candidate: `registered`, `duplicate` (same id, same bytes), `taken` (other bytes), `refused`.

    `entry` is the entry of its id as it is stored: its paths count from the registry's folder. A candidate that is
    refused (it is over its owner's quota, or does not pass a gate) has none, and `problems` say why. `notes` are what
    its producer is told of one that is registered. `near_pair` is the pair that is spelled in nearly the same way,
    and the number of its models, if one is in use.
    """

    outcome: Outcome
    entry: EntryFields
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
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
