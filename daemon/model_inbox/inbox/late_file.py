"""Models and scalers that come after their sidecar was rejected: they go along with that answer.

Owns how such a file is recognised: the newest rejected drop of its stem and its user lacks a file of that kind. Reads
the folder of rejected drops; moves nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from ..base.disk import read_regular
from ..model.file_names import MODEL, SIDECAR, scaler_stem, stem_of, stems_of
from ..model.metadata import is_valid_id
from ..model.owner import uid_of_owner
from ..model.receipt import REASON_NAME, RECEIPT_BYTES_MAX
from ..problems import escaped
from .drop import STEM_CHARACTERS_MAX, UNSAFE_IN_ID, Sighting
from .readiness import Rejection

__all__ = ["find_rejection"]


def find_rejection(stray: Sighting, rejected_dir: Path, oldest_id: str) -> Rejection | None:
    """Return the rejected drop that a lone model or scaler belongs to, or None.

    Only drops since `oldest_id` count: what comes later is more likely the first file of the next drop. So it is if the
    rejected drop has its model, or its scaler. What cannot be read counts as none.
    """
    if MODEL.fullmatch(stray.name) is None:
        return None
    scaler_of = scaler_stem(stray.name)
    for stem in stems_of(stray.name):
        end = "-" + (UNSAFE_IN_ID.sub("_", stem)[:STEM_CHARACTERS_MAX] or "_")
        try:
            names = os.listdir(rejected_dir)
        except OSError:
            return None
        for drop_id in sorted((n for n in names if n >= oldest_id and n.endswith(end)), reverse=True):
            try:
                reason = orjson.loads(read_regular(rejected_dir / drop_id / REASON_NAME, RECEIPT_BYTES_MAX))
                files = os.listdir(rejected_dir / drop_id)
                is_its = reason["stem"] == escaped(stem) and uid_of_owner(reason["owner"]) == stray.owner
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if not is_its or not any(map(SIDECAR.fullmatch, files)):
                continue
            if stem == scaler_of:
                is_there = any(scaler_stem(name) == stem for name in files)
            else:
                is_there = any(MODEL.fullmatch(name) and stem_of(name) == stem for name in files)
            return None if is_there or stray.name in files else Rejection(drop_id, renamed=not is_valid_id(stem))
    return None
