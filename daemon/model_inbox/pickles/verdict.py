"""What a verdict on a model's files holds for, as its entry stores it, and what of that has changed since. Pure.

Owns the entry's field `verdict`. A verdict is a function of a file's bytes, of how they are read (the kind, and the
Python whose parsers read them), and of the allowlist with its rules. Where all four are what they were, a scan would
say the same again; where any is not, the file is to be scanned again, as `model-inbox verify` does. Never scans.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from .allowlist import Allowlist
from .report import PickleReport

__all__ = ["changes_since", "current", "verdict_basis"]


def verdict_basis(allowlist: Allowlist) -> dict[str, str]:
    """Return the two parts that all files of a model share: the Python version, and the digest of the allowlist."""
    return {"python": platform.python_version(), "allowlist": allowlist.digest}


def current(allowlist: Allowlist, files: Mapping[str, tuple[str, PickleReport]]) -> dict[str, Any]:
    """Return what the verdicts on `files` hold for, to be stored: role -> (SHA-256, report of the scan just made)."""
    kinds = {role: {"sha256": digest, "kind": report.kind} for role, (digest, report) in files.items()}
    return {**verdict_basis(allowlist), "files": kinds}


def changes_since(
    stored: Mapping[str, Any] | None,
    allowlist: Allowlist,
    digests: Mapping[str, str | None],
    kinds: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what is no longer as it was when the files were judged, in words; nothing: the verdict holds.

    `stored` is the entry's `verdict`. `digests` are those of the files as they are now, by role ("model", "scaler");
    a role with None is left out. `kinds` are those of a scan just made, where there was one. Files that came without
    a verdict (`register_model`, and entries older than the field) have nothing that could hold.
    """
    if not isinstance(stored, Mapping):
        return ["it was registered without a verdict on its files"]
    now = verdict_basis(allowlist)
    said = []
    if stored.get("python") != now["python"]:
        said.append(f"Python {stored.get('python')} judged it, this is {now['python']}")
    if stored.get("allowlist") != now["allowlist"]:
        said.append("the allowlist is another one (pickle.frameworks, pickle.allow, or a newer model-inbox)")
    judged = stored.get("files")
    for role, digest in digests.items():
        if digest is None:
            continue
        file = judged.get(role) if isinstance(judged, Mapping) else None
        if not isinstance(file, Mapping):
            said.append(f"the {role} was never judged")
        elif file.get("sha256") != digest:
            said.append(f"the {role} has other bytes than were judged")
        elif kinds is not None and role in kinds and file.get("kind") != kinds[role]:
            said.append(f"the {role} was read as {file.get('kind')}, and is now read as {kinds[role]}")
    return said
