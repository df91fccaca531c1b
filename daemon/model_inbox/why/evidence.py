"""What is known of one model or one drop, and what an answer is: values.

Owns no behaviour but how times are written in a sentence. Never reads a file and never asks a rule: the caller brings
what files and rules say, `answers` puts it into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from ..base.instants import parse_stored
from ..problems import Problem, escaped
from ..registry.entry import EntryFields, sequence_of
from ..registry.journal import Line, also_changed

__all__ = [
    "About",
    "Answer",
    "Chance",
    "Evidence",
    "Planned",
    "Refusal",
    "Rules",
    "Waiting",
    "text_of_person",
    "two_times",
    "when",
]

About = Literal[
    "waiting",
    "refused",
    "duplicate",
    "accepted",
    "held",
    "newest",
    "promoted",
    "kept",
    "retired",
    "restored",
    "purged",
    "unknown",
]
"""What an answer is about; they come in this order."""

_TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, in a few sentences. `sequence` is the change of the history that says it, None if none does.

    `rules` is a sentence with the text of the rules that decided, or why it is not known; "" if no rule did.
    """

    about: About
    text: str
    sequence: int | None = None
    rules: str = ""

    @property
    def with_rules(self) -> str:
        """Return all sentences, those about the rules at the end."""
        return f"{self.text} {self.rules}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        return {"about": self.about, "text": self.with_rules, "sequence": self.sequence}


class Refusal(NamedTuple):
    """A rejected drop: when it was refused, and why. It has no problems if its reasons cannot be read.

    `rules` is the digest of the rules in force then, None if it is not known.
    """

    drop_id: str
    at: datetime | None
    problems: tuple[Problem, ...]
    rules: str | None = None


class Waiting(NamedTuple):
    """A file of a drop that is in the inbox, in words that go on after its name, and what happens next."""

    name: str
    words: str
    problems: tuple[Problem, ...] = ()
    until: datetime | None = None
    then: str = ""


class Planned(NamedTuple):
    """What the rules of retention would do to the model: its `reasons` are those of `retention.plan`.

    `is_stopped` is true if they would retire it and the breaker stops that.
    """

    reasons: tuple[str, ...]
    is_kept: bool = True
    is_stopped: bool = False


class Chance(NamedTuple):
    """Why a rule of `promotion` has not given an alias to the model, in words that go on after "because".

    `line` is the change that says so, None if none does.
    """

    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the rules in force say of the model. Times are in seconds.

    `mode` is that of retention, "off" if it has no policies. `planned` is None for a model that is not registered, or
    held. `chances` has each alias for which a rule of `promotion` counts in the slot. `settings` is the text of the
    rules, as `config.rules` writes it.
    """

    mode: str
    trash_grace: float
    held_keep: float
    planned: Planned | None = None
    chances: Mapping[str, Chance] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the journal, receipts, rejected drops and stored sidecars say, as of `moment`.

    `lines` are the changes of the model with this id, oldest first; one that had the id before it is among them.
    `entry` is its entry then, None if it was not registered. `slot` names its slot, where `models` are registered;
    `newest` is the newest of them, and `aliases` are those that name one. `in_trash` is whether the trash has the files
    of the model that was retired last, None if it is closed to this user. `sidecar` is where a stored sidecar of that
    id is, "" if there is none. `kept` are the settings of the rules that lines name, by their digests, None if they are
    not kept; it does not have those that are closed to this user.
    `registration` is the number of the registration that is meant, None for the latest. `missing` names lines of the
    history that are in no file. `rules` is None if they are not known. `is_past` is true if somebody asked for an
    earlier time.
    """

    model_id: str | None
    moment: datetime
    lines: tuple[Line, ...] = ()
    entry: EntryFields | None = None
    slot: str = ""
    models: int = 0
    newest: EntryFields | None = None
    aliases: frozenset[str] = frozenset()
    receipt: Mapping[str, Any] | None = None
    refusals: tuple[Refusal, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    rules: Rules | None = None
    kept: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    in_trash: bool | None = False
    sidecar: str = ""
    registration: int | None = None
    missing: str = ""
    is_past: bool = False

    @property
    def is_known(self) -> bool:
        """Whether anything at all is known of it."""
        return bool(self.lines or self.entry or self.receipt or self.refusals or self.waiting or self.sidecar)

    @property
    def life(self) -> tuple[Line, ...]:
        """The changes of one model: the id may have been used before, or again."""
        numbers = [(line, self._registration_in(line)) for line in self.lines]
        wanted = self.registration
        if wanted is None and self.entry is not None:
            wanted = sequence_of(self.entry)
        if wanted is None:
            wanted = next((number for _, number in reversed(numbers) if number is not None), None)
        return tuple(line for line, number in numbers if number in (wanted, None))

    def _registration_in(self, line: Line) -> int | None:
        """Return the number of the registration of the model that a line changes; None if the line does not say it."""
        if line.model_id != self.model_id:
            entry = also_changed(line).get(str(self.model_id))
        else:
            entry = line.entry or line.removed or (line.detail if line.operation == "purge" else None)
        return sequence_of(entry) if entry else None


def when(moment: object, timespec: str = "seconds") -> str:
    """Return a time as it stands in a sentence. `moment` is an instant, or a text of the journal or of an entry."""
    at = moment if isinstance(moment, datetime) else parse_stored(moment)
    if at is None:
        return "an unknown time"
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(' ', timespec)} UTC"


def two_times(first: object, second: object) -> tuple[str, str]:
    """Return two times as they stand in one sentence, with as many digits of the second as tell them apart."""
    told = [(when(first, timespec), when(second, timespec)) for timespec in ("seconds", "milliseconds", "microseconds")]
    return next((pair for pair in told if pair[0] != pair[1]), told[0])


def text_of_person(text: object) -> str:
    """Return the free text of a person or a rule for a sentence: in one line, cut if it is very long."""
    return escaped(str(text), _TEXT_MAX).rstrip(". ")
