"""All that is still known of a registry's past: the entries where its history begins, and every line since.

Owns how the two are put together where old segments were pruned, lost, or never there. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from .entry import EntryFields, sequence_of
from .history import entries_before
from .journal import Line
from .paths import RegistryFiles
from .segments import all_lines, missing_lines

__all__ = ["Past", "past_of"]

_LOOKS_MAX = 5


@dataclass(frozen=True, slots=True)
class Past:
    """The `lines` that are kept, oldest first, and the `entries` before the first of them, by id.

    `begins` is the time of the first line if there were others before it, of which no more is known than these entries:
    what was retired by then is not among them. It is None where the lines are all that there ever were. `missing` are
    the numbers of lines in between that are in no file.
    """

    entries: Mapping[str, EntryFields]
    lines: Sequence[Line]
    begins: datetime | None = None
    missing: Sequence[tuple[int, int]] = ()


def past_of(files: RegistryFiles, journal_base: int, registered: Iterable[EntryFields]) -> Past:
    """Return the past of a registry. `journal_base` is the line before its current segment.

    Where no file has the entries before the first line, those of the `registered` models that are older are taken: each
    was there. Raises RegistryCorrupted for damaged files, and StorageError.
    """
    for look in range(1, _LOOKS_MAX + 1):
        lines = all_lines(files.journal, files.history, over_gaps=True)
        first = lines[0].sequence if lines else journal_base + 1
        reached, entries = entries_before(files, first)
        if reached == first - 1:
            missing = [span for span in missing_lines(files.history, journal_base) if span[0] > reached]
            break
        # The oldest segment may have turned into a base file between the two reads: look again.
        if look == _LOOKS_MAX:
            entries = {str(entry["model_id"]): entry for entry in registered if sequence_of(entry) < first}
            missing = missing_lines(files.history, journal_base)
    begins = lines[0].at if lines and first > 1 else None
    return Past(entries, lines, begins, missing)
