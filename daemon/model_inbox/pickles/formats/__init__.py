"""File formats that are more than one plain pickle: torch's archives and old files, and the files of joblib.

Owns how these files are laid out and parsed. `scan_zip` and `scan_legacy` scan torch's files, `scan_nested` a torch
file in the bytes of a pickle. `read_zip_layout` finds the members of an archive. `JoblibUnpickler` parses a joblib file
for scan and load. Never decides about arguments of calls or allowed names, and never imports torch or joblib.
"""

from __future__ import annotations

from .joblib_parser import ALIGNMENT_FIELD, JoblibUnpickler, check_fields
from .torch_scan import scan_legacy, scan_nested, scan_zip
from .torch_storages import ITEM_SIZES, StorageValue, new_storage
from .torch_zip import Member, read_zip_layout

__all__ = [
    "ALIGNMENT_FIELD",
    "ITEM_SIZES",
    "JoblibUnpickler",
    "Member",
    "StorageValue",
    "check_fields",
    "new_storage",
    "read_zip_layout",
    "scan_legacy",
    "scan_nested",
    "scan_zip",
]
