"""What tests of `rebuild` share: a scan without a worker, a rebuild, and a registry of which nothing is left."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from model_inbox.base.disk import Disk
from model_inbox.pickles import Allowlist, PickleReport, Scanner, scan_bytes
from model_inbox.registry.repair import verify as audit
from model_inbox.registry.repair.rebuild import Rebuilt, rebuild
from support.crash_disk import QuickDisk
from support.crash_kit import START, Clock


class Scans(Scanner):
    """The scan of a small file of our own, in this process."""

    def __init__(self) -> None:
        super().__init__(Allowlist.load())

    def scan(self, path: str | os.PathLike[str], *, size: int | None = None) -> PickleReport:
        return scan_bytes(Path(path).read_bytes(), self.allowlist)


def run(folder: Path, disk: Disk | None = None, **options: Any) -> Rebuilt:
    options.setdefault("scanner", Scans())
    options.setdefault("clock", Clock(START + timedelta(days=1)))
    return rebuild(folder / "registry.json", folder / "prediction", disk=disk or QuickDisk(), **options)


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in audit.verify(folder / "registry.json", folder / "prediction")]


def lose_registry(folder: Path) -> None:
    """Take away all that the registry itself wrote beside the models."""
    for path in (folder / f"registry.{end}" for end in ("json", "checkpoint.json", "journal.jsonl")):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / "history", ignore_errors=True)
