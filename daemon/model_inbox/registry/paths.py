"""Where the files of a registry are.

Owns their names: no other module spells one. Knows nothing of what the files hold, and never touches the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..model.file_names import STATUS_IN_INBOX

__all__ = ["RegistryFiles", "daemon_lock", "status_paths"]

HISTORY_NAME = "history"
TRASH_NAME = ".trash"
JOURNAL_SUFFIX = ".journal.jsonl"
OLD_LOGS = 4


@dataclass(frozen=True, slots=True)
class RegistryFiles:
    """The files of the registry whose JSON file is `path`."""

    path: Path

    @property
    def journal(self) -> Path:
        """The current segment of the journal."""
        return self.path.with_name(f"{self.path.stem}{JOURNAL_SUFFIX}")

    @property
    def mark(self) -> Path:
        """What the JSON file and the journal must not fall behind."""
        return self.path.with_name(f"{self.path.stem}.checkpoint.json")

    @property
    def clock(self) -> Path:
        """What the clocks of the machine were when they were last looked at."""
        return self.path.with_name(f"{self.path.stem}.clock.json")

    @property
    def history(self) -> Path:
        """The folder of the closed segments."""
        return self.path.parent / HISTORY_NAME

    @property
    def trash(self) -> Path:
        """The folder of the retired models."""
        return self.path.parent / TRASH_NAME

    def rules(self, digest: str) -> Path:
        """Return the file that keeps the rules whose text has that SHA-256."""
        return self.history / f"{digest}.rules.json"

    @property
    def writer_lock(self) -> Path:
        """The lock that every change is made under."""
        return self.path.with_name(f".{self.path.stem}.writer.lock")

    @property
    def daemon_lock(self) -> Path:
        """The lock that a daemon holds for its life."""
        return self.path.with_name(f".{self.path.stem}.daemon.lock")

    @property
    def status(self) -> Path:
        """What the daemon tells of itself."""
        return self.path.with_name(f"{self.path.stem}.status.json")

    @property
    def replica(self) -> Path:
        """What says that the folder is a replica, and of what: nothing here is changed but by the next pull."""
        return self.path.with_name("replica.json")

    @property
    def log(self) -> Path:
        """The daemon's own log, of JSON lines; see `logs` for what it is renamed to when it is full."""
        return self.path.with_name(f"{self.path.stem}.log.jsonl")

    @property
    def logs(self) -> tuple[Path, ...]:
        """The daemon's own log and its predecessors, the newest first."""
        return self.log, *(self.log.with_name(f"{self.log.name}.{number}") for number in range(1, OLD_LOGS + 1))

    @property
    def own(self) -> tuple[Path, ...]:
        """The files that stand beside the JSON file, and are none of a model where that is in the same folder."""
        return self.path, self.journal, self.mark, self.clock, self.status, *self.logs

    def set_aside(self, path: Path, how: str, now: datetime, number: int) -> Path:
        """Return the name that keeps a derived file which was found edited or damaged; `number` counts from 1."""
        again = f"-{number}" if number > 1 else ""
        return path.with_name(f"{path.name}.{how}-{now:%Y%m%dT%H%M%SZ}{again}")

    def rebuilt(self, now: datetime) -> Path:
        """Return the folder that keeps the old files of a rebuild begun at `now`."""
        return self.path.with_name(f"{self.path.stem}.rebuilt-{now:%Y%m%dT%H%M%SZ}")


def daemon_lock(registry_path: Path) -> Path:
    """Return the file that a daemon holds locked for its life, on the registry at that path."""
    return RegistryFiles(registry_path).daemon_lock


def status_paths(registry_path: Path, inbox_path: Path) -> tuple[Path, Path]:
    """Return where the status file stands: beside the registry, and in the inbox."""
    return RegistryFiles(registry_path).status, inbox_path / STATUS_IN_INBOX
