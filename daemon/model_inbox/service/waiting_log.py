"""The log lines about what waits in the inbox: each thing once, and again when it waits for something else.

Of an owner of whom very much waits there is one line for all of it.

Owns what was logged last of each name, only to keep lines from being repeated; nothing else is made from it. Decides
nothing about a drop, and touches no file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import structlog

from ..base.machine import Machine
from ..errors import StorageError
from ..inbox.folder import Inbox, Rescan
from ..inbox.readiness import Wait
from ..problems import escaped
from ..problems.codes import Code

__all__ = ["WaitingLog"]

log = structlog.get_logger("model_inbox")

# What waits for less is an ordinary copy, which comes to its end without anybody's help.
TELL_SECONDS = 5.0

# Of an owner of whom more than that waits there is one line, and another when it has doubled.
EACH_MAX = 50

# Problems that are not logged if a drop has no others: it will be taken soon, or `drop_not_moved` was logged.
_NOT_LOGGED: frozenset[Code] = frozenset({"drop.settling", "drop.not_movable", "drop.storage_unwritable"})

_Kind = Literal["arriving", "waiting", "unmovable"]


@dataclass(slots=True)
class _CrowdOf:
    """Since when very much of an owner waits, on the monotonic clock, and how much that was when it was logged last."""

    since: float
    logged: int = 0


class WaitingLog:
    """Logs what waits. Times are of the monotonic clock, in seconds."""

    def __init__(self, inbox: Inbox, machine: Machine) -> None:
        self._inbox = inbox
        self._accounts = machine.accounts
        self._monotonic = machine.monotonic
        self._logged: dict[tuple[_Kind, str], str] = {}
        self._since: dict[str, float] = {}
        self._crowds: dict[int, _CrowdOf] = {}
        self._again_at: float | None = None

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds something will have waited long enough to be logged, or None."""
        return None if self._again_at is None else self._again_at - now

    def write(self, rescan: Rescan) -> None:
        """Log of each drop and stray what it waits for, if that changed. Forget those that are gone."""
        before, self._since = self._since, {}
        self._again_at = None
        self._write_crowds(rescan)
        for drop, decision in rescan.drops:
            if not isinstance(decision, Wait) or drop.owner in self._crowds:
                continue
            since = self._since[drop.sidecar_name] = before.get(drop.sidecar_name, rescan.at)
            if len(decision.problems) > 1 or decision.problems[0].code not in _NOT_LOGGED:
                self._write_waiting(drop.sidecar_name, drop.stem, decision, rescan.at - since)
        for stray, stray_decision in rescan.strays:
            if not isinstance(stray_decision, Wait) or stray.owner in self._crowds:
                continue
            since = self._since[stray.name] = before.get(stray.name, rescan.at)
            if stray_decision.stale:
                problem = str(stray_decision.problems[0])
                if self._is_new("waiting", stray.name, problem):
                    log.warning("drop.stray_found", name=escaped(stray.name), problem=problem)
            elif self._inbox.unchanged_seconds(stray.name) >= self._inbox.limits.settle_seconds:
                self._write_waiting(stray.name, stray.name, stray_decision, rescan.at - since)
        if rescan.unread:  # what there was no time to look at has not gone
            self._since = {**before, **self._since}
            return
        present = {drop.sidecar_name for drop, _ in rescan.drops} | {stray.name for stray, _ in rescan.strays}
        for kind, name in list(self._logged):
            if name not in (present if kind == "unmovable" else self._since):
                del self._logged[kind, name]

    def _write_crowds(self, rescan: Rescan) -> None:
        """Log of each owner of whom very much has waited for longer than a copy takes how much that is."""
        counts = Counter(rescan.resting)
        counts.update(drop.owner for drop, decision in rescan.drops if isinstance(decision, Wait))
        counts.update(stray.owner for stray, decision in rescan.strays if isinstance(decision, Wait))
        before = self._crowds
        crowds = {owner: count for owner, count in counts.items() if count > EACH_MAX}
        self._crowds = {owner: before.get(owner) or _CrowdOf(rescan.at) for owner in crowds}
        for owner, crowd in self._crowds.items():
            if rescan.at - crowd.since < TELL_SECONDS:
                self._look_again_in(TELL_SECONDS - (rescan.at - crowd.since))
            elif crowds[owner] >= 2 * crowd.logged:
                crowd.logged = crowds[owner]
                log.warning("inbox.crowded", owner=escaped(self._accounts.name_of(owner)), waiting=crowd.logged)

    def _look_again_in(self, seconds: float) -> None:
        again_at = self._monotonic() + seconds
        self._again_at = again_at if self._again_at is None else min(self._again_at, again_at)

    def drop_not_moved(self, sidecar_name: str, stem: str, error: StorageError) -> None:
        """Log that a drop cannot be moved out of the inbox. Where it was to be moved is another place each time."""
        if self._is_new("unmovable", sidecar_name, f"{error.operation} {error.errno}"):
            log.warning("drop.move_failed", stem=escaped(stem), problem=str(error))

    def stray_not_moved(self, name: str, error: StorageError) -> None:
        """Log that a file without a sidecar cannot be moved out of the inbox."""
        if self._is_new("unmovable", name, f"{error.operation} {error.errno}"):
            log.warning("drop.stray_move_failed", name=escaped(name), problem=str(error))

    def _write_waiting(self, name: str, stem: str, decision: Wait, waited: float) -> None:
        """Log what a drop waits for, once it has waited longer than a copy takes, or is stale.

        How much of a file is there may change with each look, and is no news.
        """
        what = f"{decision.stale} {[(problem.code, problem.file, problem.field) for problem in decision.problems]}"
        problems = [str(problem) for problem in decision.problems]
        shown = escaped(stem)
        if waited < TELL_SECONDS and not decision.stale:
            self._look_again_in(TELL_SECONDS - waited)
            if self._is_new("arriving", name, what):
                log.debug("drop.arriving", stem=shown, problems=problems)
        elif self._is_new("waiting", name, what):
            if decision.stale:
                log.warning("drop.stale", stem=shown, problems=problems, age_seconds=self._inbox.age_seconds(name))
            else:
                log.info("drop.waiting", stem=shown, problems=problems, until=decision.until)

    def _is_new(self, kind: _Kind, name: str, what: str) -> bool:
        """Return whether this is not what was logged last of that name, and note it."""
        if self._logged.get((kind, name)) == what:
            return False
        self._logged[kind, name] = what
        return True
