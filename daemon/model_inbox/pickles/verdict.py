"""What a verdict on the files of a model depends on, as the entry stores it, and what of it has changed. Pure.

Owns the field `verdict` of an entry. A verdict depends on the bytes of a file, on its kind, on the Python whose parsers
read it, and on the allowlist with its rules. If all four are unchanged, a scan gives the same result. If one is
changed, the file must be scanned again, as `model-inbox verify` does. Never scans.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from .allowlist import Allowlist
from .report import PickleReport

__all__ = ["changes_since", "current", "verdict_basis"]


def verdict_basis(allowlist: Allowlist) -> dict[str, str]:
    """Return what all files of a model share: the Python version, and the digest of the allowlist."""
    return {"python": platform.python_version(), "allowlist": allowlist.digest}


def current(allowlist: Allowlist, files: Mapping[str, tuple[str, PickleReport]]) -> dict[str, Any]:
    """Return what the verdicts on `files` depend on, to be stored. `files` maps roles to (SHA-256, report)."""
    kinds = {role: {"sha256": digest, "kind": report.kind} for role, (digest, report) in files.items()}
    return {**verdict_basis(allowlist), "files": kinds}


def changes_since(
    stored: Mapping[str, Any] | None,
    allowlist: Allowlist,
    digests: Mapping[str, str | None],
    kinds: Mapping[str, str] | None = None,
) -> list[str]:
    """Return in words what has changed since the files were scanned. If nothing has, the verdict is still valid.

    `stored` is the field `verdict` of the entry. `digests` are the digests of the files now, by role ("model",
    "scaler"); a role with None is left out. `kinds` are the kinds of a new scan, if there was one. Files without a
    verdict (from `register_model`, and of entries older than the field) have never been scanned.
    """
    if not isinstance(stored, Mapping):
        return ["its files were registered without a scan"]
    now = verdict_basis(allowlist)
    changes = []
    if stored.get("python") != now["python"]:
        changes.append(f"it was scanned with Python {stored.get('python')}, this is Python {now['python']}")
    if stored.get("allowlist") != now["allowlist"]:
        changes.append("the allowlist has changed (pickle.frameworks, pickle.allow, or a newer model-inbox)")
    scanned = stored.get("files")
    for role, digest in digests.items():
        if digest is None:
            continue
        file = scanned.get(role) if isinstance(scanned, Mapping) else None
        if not isinstance(file, Mapping):
            changes.append(f"the {role} was never scanned")
        elif file.get("sha256") != digest:
            changes.append(f"the {role} has other bytes than were scanned")
        elif kinds is not None and role in kinds and file.get("kind") != kinds[role]:
            changes.append(f"the kind of the {role} was {file.get('kind')}, and is now {kinds[role]}")
    return changes
