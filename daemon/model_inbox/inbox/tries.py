"""How often a claimed drop failed unexpectedly: counted in its claim, by this daemon and by those that died.

Owns `.processing/<drop_id>/.tries`, and that a death counts for those claims alone that the daemon had in work
(`Inbox.work`). Never decides what becomes of a drop: `recovery` and `pipeline` do. A drop that never failed has no file
and costs nothing here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import orjson

from ..base.disk import read_regular, temporary_name, write_new_file
from ..base.machine import Machine
from ..errors import StorageError
from .claims import Claim
from .drop import TRIES_NAME
from .failures import DEATH, log_failure, pause_seconds
from .folder import Inbox

__all__ = ["Tries"]

_FORMAT = "model-inbox-tries/1"
_BYTES_MAX = 1 << 16


class Tries:
    """Counts the failures of claims. One thread, one daemon."""

    def __init__(self, inbox: Inbox, machine: Machine) -> None:
        self._inbox = inbox
        self._disk = machine.disk

    def count(self, claim: Claim, cause: str) -> None:
        """Count a try that raised what nobody foresaw. The next one is made alone."""
        claim.failures += 1
        self._note(claim, cause)

    def recall(self, claim: Claim) -> None:
        """Find out how often a claim that was left failed before, and count the death of a daemon that had it in work.

        A count that cannot be read is none. Where a daemon died that had several drops in work, none of them is blamed
        yet: each is tried alone. So a daemon that is killed from outside, again and again, costs no drop.
        """
        counted = self._read(claim)
        failures, cause = counted.get("failures"), counted.get("cause")
        if isinstance(failures, int) and isinstance(cause, str):
            claim.failures, claim.failure, claim.alone = failures, cause, True
        died = self._inbox.died
        # A daemon that dies between the count and the next note does not count the same death twice.
        if claim.drop_id not in died.words or counted.get("run") == died.run:
            return
        if len(died.words) == 1:
            claim.failures += 1
        self._note(claim, DEATH, died.run)
        log_failure(
            claim.stem,
            DEATH,
            attempt=claim.failures,
            retry_in_seconds=pause_seconds(claim.failures),
            drop_id=claim.drop_id,
        )

    def _note(self, claim: Claim, cause: str, run: str = "") -> None:
        """Write down the count of a claim. `run` names the daemon that died in it.

        The file is not synced. It has to survive the death of this process, and the page cache does; a power cut may
        take it back, and then the drop has that try again. If it cannot be written, this process alone counts.
        """
        claim.failure, claim.alone = cause, True
        counted = {"format": _FORMAT, "failures": claim.failures, "cause": cause, "run": run}
        path = claim.folder / TRIES_NAME
        temporary = temporary_name(self._disk, path)
        with contextlib.suppress(StorageError, OSError):
            write_new_file(self._disk, temporary, orjson.dumps(counted), 0o600, sync=False)
            # A crash before it leaves the count of before, and a temporary file that recovery removes.
            self._disk.rename(temporary, path)

    def _read(self, claim: Claim) -> dict[str, Any]:
        try:
            counted = orjson.loads(read_regular(claim.folder / TRIES_NAME, _BYTES_MAX))
        except (OSError, ValueError):
            return {}
        return counted if isinstance(counted, dict) and counted.get("format") == _FORMAT else {}
