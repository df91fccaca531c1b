"""Scalers that come after their model: a lone `<stem>_scaler.pkl` whose drop was registered without one.

Owns how such a file is recognised. Reads the receipt and the registry; moves nothing.
"""

from __future__ import annotations

import os
from datetime import datetime

from ..model.file_names import scaler_stem, stem_of
from ..model.metadata import is_valid_id
from ..model.receipt import read_receipt
from ..registry.registry import ModelRegistry
from .drop import Sighting
from .folder import Inbox

__all__ = ["find_scalerless_model"]


def find_scalerless_model(stray: Sighting, inbox: Inbox, registry: ModelRegistry, now: datetime) -> str | None:
    """Return the model that a lone `<stem>_scaler.pkl` (or of another suffix) came too late for, or None.

    That is the model registered without a scaler from a drop of that stem and user, not longer ago than a drop may
    stay incomplete: later, it is more likely the first file of the next drop. A file that has not settled may still
    be on its way together with others.
    """
    stem = scaler_stem(stray.name)
    if stem is None or stray.kind != "file" or not is_valid_id(stem):
        return None
    if inbox.unchanged_seconds(stray.name) < inbox.limits.settle_seconds:
        return None
    try:
        receipt = read_receipt(inbox.receipts_dir, stem, stray.owner) or {}
        age = now - datetime.fromisoformat(receipt["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    entry = registry.get_model_info(str(receipt.get("model_id")))
    late = (
        receipt.get("outcome") == "registered"
        and age.total_seconds() <= inbox.limits.incomplete_timeout
        and entry is not None
        and entry.get("drop_id") == receipt.get("drop_id")
        and entry.get("scaler_path") is None
    )
    if not late or any(stem_of(name) == stem for name in os.listdir(inbox.path)):
        # It came in time, or more of the next drop is there already.
        return None
    return str(receipt["model_id"])
