"""Verifying snapshots: every file against the manifest, and the registry in it as `model-inbox verify` does.

Changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..base.copying import digest_regular
from ..errors import raise_if_transient
from ..problems import Problem
from ..problems.backup import backup_file_differs, backup_file_missing, backup_file_unknown, backup_manifest_damaged
from ..registry.repair.verify import verify
from .folder import Snapshot
from .manifest import MANIFEST_NAME, MODELS_NAME, CopiedFile, Manifest

__all__ = ["check_file", "verify_snapshot"]


def verify_snapshot(snapshot: Snapshot) -> list[Problem]:
    """Return everything that is wrong with a snapshot; [] for a sound one."""
    if snapshot.manifest is None:
        return [backup_manifest_damaged(snapshot.name, str(snapshot.damage))]
    manifest = snapshot.manifest
    problems = [
        problem
        for name, file in manifest.files.items()
        if (problem := check_file(snapshot.models / name, file)) is not None
    ]
    problems += [backup_file_unknown(name) for name in _names(snapshot.path) if not _is_known(name, manifest)]
    if not problems:
        # The digests are right, so that only what the files say of each other is left to be looked at.
        registry = snapshot.models / manifest.registry
        lacking = {str(snapshot.models / name) for name in manifest.lacking}
        found = verify(registry, snapshot.models / manifest.storage, digests=False)
        problems += [problem for problem in found if problem.file not in lacking]
    return problems


def check_file(path: Path, file: CopiedFile) -> Problem | None:
    """Return what is wrong with a file of a snapshot, None if nothing is."""
    try:
        found = digest_regular(path)
    except FileNotFoundError:
        return backup_file_missing(str(path))
    except OSError as error:
        raise_if_transient("read", path, error)
        return backup_file_differs(str(path), f"it cannot be read: {error.strerror}")
    if found != file.sha256:
        return backup_file_differs(str(path), f"its SHA-256 is {found}, and was {file.sha256}")
    return None


def _names(folder: Path) -> list[str]:
    return sorted(os.path.relpath(Path(parent, name), folder) for parent, _, names in os.walk(folder) for name in names)


def _is_known(name: str, manifest: Manifest) -> bool:
    return name == MANIFEST_NAME or name.removeprefix(f"{MODELS_NAME}/") in manifest.files
