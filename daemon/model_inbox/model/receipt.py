"""The receipt: the answer to a drop, as whoever dropped it reads it.

Owns reading one from the folder of receipts, which others may write to: a receipt that is not one is None. Never
writes (`inbox.receipts` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ..base.disk import read_regular

__all__ = ["read_receipt"]

RECEIPT_BYTES_MAX = 4 << 20


def read_receipt(receipts_dir: Path, stem: str) -> Mapping[str, Any] | None:
    """Return the receipt of a stem, or None when there is none, or none that can be parsed. Raises OSError."""
    try:
        receipt = orjson.loads(read_regular(receipts_dir / f"{stem}.json", RECEIPT_BYTES_MAX))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return receipt if isinstance(receipt, dict) else None
