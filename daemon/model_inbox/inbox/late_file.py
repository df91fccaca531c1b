"""Models and scalers that come after their sidecar was rejected: they go along with that answer.

Owns how such a file is recognised: a recently rejected drop of its user lacks a file of that name, or the newest one of
its stem lacks a file of that kind. Reads the folder of rejected drops; moves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from ..base.disk import read_regular
from ..model.file_names import MODEL, SIDECAR, scaler_stem, stem_of, stems_of
from ..model.metadata import is_valid_id
from ..model.owner import uid_of_owner
from ..model.receipt import REASON_NAME, RECEIPT_BYTES_MAX
from ..problems import escaped
from .drop import Sighting, safe_stem
from .readiness import Rejection

__all__ = ["LateFiles"]

# How many of the newest rejected drops are searched for one that names a file of another stem: each is read once.
_NAMING_MAX = 200


class _Reason(NamedTuple):
    """What the reasons of a rejected drop say about it. Names are escaped. One that cannot be read says nothing."""

    stem: str = ""
    uid: int | None = None
    missing: frozenset[str] = frozenset()


class LateFiles:
    """The recently rejected drops, as far as they lack files. What was read of one is kept while it is recent."""

    def __init__(self, rejected_dir: Path) -> None:
        self._rejected_dir = rejected_dir
        self._reasons: dict[str, _Reason] = {}

    def rejection_of(self, stray: Sighting, oldest_id: str) -> Rejection | None:
        """Return the rejected drop that a lone model or scaler belongs to, or None.

        Only drops since `oldest_id` count: what comes later is more likely the first file of the next drop. So it is if
        the rejected drop has its model, or its scaler. What cannot be read counts as none.
        """
        if MODEL.fullmatch(stray.name) is None:
            return None
        try:
            recent = sorted((name for name in os.listdir(self._rejected_dir) if name >= oldest_id), reverse=True)
        except OSError:
            return None
        self._reasons = {drop_id: self._reasons[drop_id] for drop_id in recent if drop_id in self._reasons}
        return self._naming(stray, recent[:_NAMING_MAX]) or self._of_stem(stray, recent)

    def _naming(self, stray: Sighting, drop_ids: Sequence[str]) -> Rejection | None:
        """Return the newest drop whose sidecar means a file of that name, which had not come."""
        name = escaped(stray.name)
        for drop_id in drop_ids:
            reason = self._reason(drop_id)
            if name in reason.missing and reason.uid == stray.owner and stray.name not in self._files(drop_id):
                # A corrected sidecar may name the same file.
                return Rejection(drop_id, renamed=reason.stem in stems_of(stray.name) and not is_valid_id(reason.stem))
        return None

    def _of_stem(self, stray: Sighting, recent: Sequence[str]) -> Rejection | None:
        """Return the newest drop of a stem of the file, if it has no such file yet."""
        scaler_of = scaler_stem(stray.name)
        for stem in stems_of(stray.name):
            end = f"-{safe_stem(stem)}"
            for drop_id in (name for name in recent if name.endswith(end)):
                reason, files = self._reason(drop_id), self._files(drop_id)
                is_its = reason.stem == escaped(stem) and reason.uid == stray.owner
                if not is_its or not any(map(SIDECAR.fullmatch, files)):
                    continue
                if stem == scaler_of:
                    is_there = any(scaler_stem(name) == stem for name in files)
                else:
                    is_there = any(MODEL.fullmatch(name) and stem_of(name) == stem for name in files)
                return None if is_there or stray.name in files else Rejection(drop_id, renamed=not is_valid_id(stem))
        return None

    def _reason(self, drop_id: str) -> _Reason:
        """Return what a rejected drop's reasons say, read once."""
        known = self._reasons.get(drop_id)
        if known is None:
            known = self._reasons[drop_id] = self._read(drop_id)
        return known

    def _read(self, drop_id: str) -> _Reason:
        try:
            said = orjson.loads(read_regular(self._rejected_dir / drop_id / REASON_NAME, RECEIPT_BYTES_MAX))
            missing = said.get("missing") or ()
            return _Reason(str(said["stem"]), uid_of_owner(said["owner"]), frozenset(map(str, missing)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return _Reason()

    def _files(self, drop_id: str) -> Sequence[str]:
        try:
            return os.listdir(self._rejected_dir / drop_id)
        except OSError:
            return ()
