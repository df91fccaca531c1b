"""What a registry's files need over time: checkpoints, new segments, pruning, and what a crash left half done.

Owns the public methods of this, which `ModelRegistry` inherits. Never changes an entry.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.disk import Disk
from ..base.log import log
from ..errors import RegistryError, StorageError
from .access import remove_old_temporaries
from .history import prune_history
from .kept_rules import KeptRules
from .label_files import LabelFiles
from .store import Store
from .trash import Trash

# Imported at the first change: a process that only reads does not need it.
if TYPE_CHECKING:
    from .promotions import Promotions

__all__ = ["Upkeep"]


class Upkeep:
    """The upkeep of one registry. The one who inherits it sets the attributes."""

    storage_dir: str
    _path: Path
    _clock: Callable[[], datetime]
    _disk: Disk
    _store: Store
    _trash: Trash
    _label_files: LabelFiles

    @cached_property
    def _promotions(self) -> Promotions:
        from .promotions import Promotions

        return Promotions(self._store, self._label_files, self._trash)

    def decide_by(self, text: bytes) -> str:
        """Go by these rules from now on: each line that a rule decides names them by their digest, which is returned.

        `text` is what `config.rules.rules_text` makes. It is kept in the history at once. Where that fails it is tried
        again before the first such line, whose change then raises the error.
        """
        rules = KeptRules(self._store.files, text, self._disk)
        self._store.rules[rules.digest], self._store.rules_in_force = rules, rules.digest
        with suppress(StorageError):
            rules.keep()
        return rules.digest

    @property
    def rules_in_force(self) -> str | None:
        """The digest of the rules that decide here, None if there are none or they could not be kept yet."""
        rules = self._store.rules.get(self._store.rules_in_force)
        return rules.digest if rules is not None and rules.is_kept else None

    def checkpoint(self, *, force: bool = False) -> bool:
        """Bring `prediction_registry.json` up to date. Return whether it was written."""
        return self._store.checkpoint(force=force)

    def change_segment(self) -> None:
        """Write a checkpoint and begin a new journal segment; the old one goes to `history/`."""
        with self._store.writing():
            # The next segment no longer tells of them.
            self._label_files.write()
            for model_id in list(self._store.unfinished.moves):
                self._trash.finish(model_id)
            self._store.change_segment()

    def change_segment_when_outgrown(self) -> bool:
        """Change the segment if the journal is larger than the checkpoint. Return whether it was changed."""
        if not self._store.is_outgrown:
            return False
        with self._store.writing():
            if not self._store.is_outgrown:  # another process was faster
                return False
            self.change_segment()
            return True

    def prune_history(self, keep_seconds: float) -> int:
        """Remove closed journal segments whose last line is older than that; return how many.

        A segment that tells of a model in the trash stays until that is purged, and so do the later ones. The line that
        protects aliases is written again before it goes.
        """
        with self._store.writing():
            oldest = self._clock().timestamp() - keep_seconds
            self._promotions.protect_again(oldest)
            return prune_history(
                self._store.files,
                self._disk,
                oldest=oldest,
                current=self._store.journal.inode,
                needed=self._trash.oldest_needed_line(),
                clock_lines=self._store.clock_lines(),
            )

    def finish_retirements(self) -> int:
        """Move files that a crash left where no entry names them to the trash. Return of how many models.

        Every model is tried; the first StorageError is raised at the end.
        """
        return self._trash.finish_retirements()

    def check_labels(self) -> None:
        """Write every labels file that is behind the journal, missing or damaged. All are read: this is for a start.

        Every model is tried; the first StorageError is raised at the end. Raises RegistryCorrupted when a file names a
        line beyond the end of the journal: an older journal was put in its place.
        """
        with self._store.writing():
            self._label_files.check()

    def finish_purges(self) -> int:
        """Remove what a crash left in the trash of models that were purged or restored. Return of how many.

        Temporary files beside the registry that are a day old are removed, too. Every model is tried; the first
        StorageError is raised at the end.
        """
        folders = (self._path.parent, self._store.files.history, Path(self.storage_dir))
        remove_old_temporaries(self._disk, folders, self._clock())
        return self._trash.finish_purges()

    def unfinished_purges(self) -> list[str]:
        """Return the ids of purged models whose files a crash left in the trash, for `finish_purges` to remove."""
        return self._trash.unfinished_purges()

    def set_aside_leftovers(self) -> int:
        """Move the files of registrations that a crash cut short, which no line committed, to the trash.

        Return how many. They are kept under `<file>.leftover-<n>`. A handle does so by itself before the first change
        that it makes. Every file is tried; the first StorageError is raised at the end.
        """
        return self._trash.set_aside_leftovers()

    def _tidy(self) -> None:
        """Change the segment or write a checkpoint if it is time. A failure is logged: the commit stands."""
        try:
            if self.change_segment_when_outgrown():
                return
        except (StorageError, RegistryError) as error:
            log.error("journal.rotation_failed", problem=str(error))
        try:
            if self._store.json_file.is_stale:
                self.checkpoint()
        except (StorageError, RegistryError) as error:
            log.error("registry.checkpoint_failed", problem=str(error))
