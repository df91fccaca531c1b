"""Measurements made after the registration, such as realised errors: each record is one journal line.

Owns what may be recorded and what of it the entry keeps. Never changes `validation_metrics`, which say what was known
when the model was registered, and touches no file of a model but its labels file, which follows the line.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..base.instants import as_instant, canonical_instant, instant_microseconds
from ..errors import MetadataError
from ..model.checks import check_instant, check_metrics
from ..model.metadata import NAME_CHARACTERS_MAX
from ..problems import Problem, quoted
from ..problems.sidecar import sidecar_invalid_value
from .entry import Entry, Measurement, changed_entry
from .journal import Draft
from .label_files import LabelFiles
from .store import Store
from .trash import Trash

__all__ = ["Measurements", "Metrics", "When"]

Metrics = Mapping[str, Any]
"""Names with finite numbers, or with further such mappings."""

When = datetime | str | None
"""The time of a measurement: a datetime, or ISO 8601 text. Without a zone it counts as UTC. None: now."""

AT_ONCE_MAX = 256
KEPT_MAX = 512
"""How many paths an entry can have. Each line of the journal holds the whole entry, so this bounds a line."""


class Measurements:
    """Records measurements in one registry."""

    def __init__(self, store: Store, label_files: LabelFiles, trash: Trash) -> None:
        self._store = store
        self._trash = trash
        self._label_files = label_files

    def record(
        self,
        model_id: str,
        metrics: Metrics,
        at: When,
        now: datetime,
        reason: str,
        actor: str,
    ) -> Entry:
        """Commit measurements of a registered model as one line. `at` is when they were made; None: now.

        The entry keeps the latest of each path by its time; of two with the same time, the one recorded last. No line
        is written if the entry has all of it already, so that a retry changes nothing. Raises EntryNotFound, and
        MetadataError with all problems.
        """
        at = now if at is None else at
        problems = list(_problems(metrics, at, now))
        if problems:
            raise MetadataError(f"cannot record measurements of {quoted(model_id)}", problems)
        stamp = canonical_instant(as_instant(at))
        measured = dict(_flat(metrics))
        with self._store.writing():
            self._trash.set_aside_once()
            entry = self._store.state.entry(model_id)
            kept = entry.get("recorded") or {}
            given: dict[str, Measurement] = {path: {"value": value, "at": stamp} for path, value in measured.items()}
            if all(kept.get(path) == measurement for path, measurement in given.items()):
                # That it is so already may rest on a line whose writer died before it was synced, or before the file
                # followed.
                self._store.sync()
                self._label_files.write()
                return self._store.state.show(model_id)
            latest = kept | {
                path: new for path, new in given.items() if path not in kept or not _is_older(new, kept[path])
            }
            if len(latest) > KEPT_MAX:
                problem = sidecar_invalid_value(
                    "metrics",
                    f"the model would have {len(latest)} recorded metrics, more than {KEPT_MAX}",
                    "Record fewer",
                )
                raise MetadataError(f"cannot record measurements of {quoted(model_id)}", [problem])
            changed = changed_entry(entry, recorded=latest)
            detail = {"metrics": measured, "at": stamp}
            self._store.commit(
                [Draft("record", model_id, reason, actor, changes_entry=True, entry=changed, detail=detail)]
            )
            # A crash here leaves the labels file behind the line: the next writer writes it.
            self._label_files.write()
            return self._store.state.show(model_id)


def _problems(metrics: object, at: datetime | str, now: datetime) -> Iterator[Problem]:
    """Yield everything that is wrong with measurements. Paths are looked at only if the names in them are good."""
    yield from check_instant("at", at, now=now)
    found = check_metrics("metrics", metrics)
    yield from found
    if found or not isinstance(metrics, Mapping):
        return
    paths = [path for path, _ in _flat(metrics)]
    if not paths:
        yield sidecar_invalid_value("metrics", "there is no number in metrics", "Give a name and a number")
    if len(paths) > AT_ONCE_MAX:
        what = f"metrics has {len(paths)} numbers, more than {AT_ONCE_MAX}"
        yield sidecar_invalid_value("metrics", what, "Record fewer at once")
        return
    for path in paths:
        if len(path) > NAME_CHARACTERS_MAX:
            what = f"the path {quoted(path)} has {len(path)} characters, more than {NAME_CHARACTERS_MAX}"
            yield sidecar_invalid_value("metrics", what, "Use shorter names")
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield sidecar_invalid_value("metrics", f"the path {quoted(path)} is there twice", "Rename one of the two")


def _flat(metrics: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield the dotted path and the value of each number in metrics without problems."""
    for name, value in metrics.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        else:
            yield path, int(value) if isinstance(value, numbers.Integral) else float(value)


def _is_older(one: Measurement, other: Measurement) -> bool:
    return instant_microseconds(one["at"]) < instant_microseconds(other["at"])
