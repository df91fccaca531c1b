"""How much of a registry each user has: registrations of the last day, and the bytes of registered models.

Owns the index that `State` keeps, and whether one more model is within a quota. What counts:

- registrations: every drop of the user that was registered in the last 24 hours by the time of its journal line, also
  if the model was retired or purged since. A line that is dated after now does not count.
- bytes: `size_bytes` of the user's registered models. Models in the trash do not count.

Duplicates and rejected drops count for nothing, and neither does what came from Python. Pure.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..base.instants import millisecond_stamp
from ..base.units import counted, format_size
from ..model.owner import owner_in_words, uid_of_owner
from ..problems import Problem
from ..problems.drop import drop_quota
from .entry import EntryFields, sequence_of

__all__ = ["DAY", "Quota", "Usage"]

DAY = timedelta(days=1)
_DAY_MICROSECONDS = DAY // timedelta(microseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one user may have; None for no limit. `name` is its place in config.yaml, like `quota[0]`."""

    name: str
    models_per_day: int | None
    bytes: int | None


class Usage:
    """An index over the entries of a registry and the registrations of a day. Costs one step for each change."""

    def __init__(self, entries: Iterable[EntryFields], retired: Iterable[EntryFields], now: datetime) -> None:
        """`retired` are entries that were registered in the last day and are not in `entries`; others do no harm."""
        self._bytes: dict[int, int] = {}
        since = _microseconds(now - DAY)
        # By the number of the line: a model that was retired, restored and retired again was registered once.
        recent: dict[int, tuple[int, int]] = {}
        for entry in entries:
            self.note(None, entry)
            recent |= _registration(entry, since)
        for entry in retired:
            recent |= _registration(entry, since)
        self._times: dict[int, list[int]] = {}
        for uid, at in sorted(recent.values()):
            self._times.setdefault(uid, []).append(at)

    def note(self, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        """Note that an entry was set, changed or removed."""
        for entry, sign in ((old, -1), (new, 1)):
            uid = uid_of_owner(entry.get("owner")) if entry is not None else None
            if entry is not None and uid is not None:
                self._bytes[uid] = self._bytes.get(uid, 0) + sign * _size(entry)

    def registered(self, entry: Mapping[str, Any]) -> None:
        """Note a registration. `entry` has its time."""
        for uid, at in _registration(entry).values():
            insort(self._times.setdefault(uid, []), at)

    def refusal(
        self, quota: Quota, owner: object, size: int, now: datetime, pending: tuple[int, int] = (0, 0)
    ) -> Problem | None:
        """Return why one more model of `size` bytes is over the quota of its owner, or None if it is within it.

        `pending` are the models and bytes of this owner that are registered in the same commit, before this one.
        """
        uid = uid_of_owner(owner)
        who = owner_in_words(owner) or "nobody"
        models, size_pending = pending
        allowed = quota.models_per_day
        if uid is None:
            return None
        if allowed is not None:
            times, begins, ends = self._day_of(uid, now)
            count = ends - begins + models
            if count >= allowed:
                has = f"has {counted(count, 'registration')} in the last 24 hours, and {allowed} a day are allowed"
                when = "No drop of this user is registered"
                if allowed:
                    oldest = begins + count - allowed
                    first = times[oldest] if oldest < ends else _microseconds(now)
                    frees_at = _EPOCH + first * _MICROSECOND + DAY
                    when = f"The next one can be registered after {millisecond_stamp(frees_at)}: drop it again then"
                return drop_quota(who, has, f"{quota.name}.models_per_day", when)
        used = self._bytes.get(uid, 0) + size_pending
        if quota.bytes is not None and used + size > quota.bytes:
            has = (
                f"has {format_size(used)} of registered models, this one has {format_size(size)}, and "
                f"{format_size(quota.bytes)} are allowed"
            )
            when = "It frees when models of this user are retired, by a rule or by hand: drop it again then"
            return drop_quota(who, has, f"{quota.name}.bytes", when)
        return None

    def _day_of(self, uid: int, now: datetime) -> tuple[list[int], int, int]:
        """Return the times of a user's registrations, and where those of the last day begin and end. Forgets older."""
        times = self._times.get(uid, [])
        moment = _microseconds(now)
        first = bisect_right(times, moment - _DAY_MICROSECONDS)
        if first > len(times) // 2:
            # Half at a time costs one step for each registration, on average.
            del times[:first]
            first = 0
        return times, first, bisect_right(times, moment)


def _registration(entry: Mapping[str, Any], since: int = 0) -> dict[int, tuple[int, int]]:
    """Return the owner and the time of a registration after `since` by the number of its line; {} for any other."""
    uid = uid_of_owner(entry.get("owner"))
    if uid is None:
        return {}
    try:
        at = _microseconds(datetime.fromisoformat(entry["registered_at"]))
    except (KeyError, TypeError, ValueError):
        # Edited by hand.
        return {}
    return {sequence_of(entry): (uid, at)} if at > since else {}


def _size(entry: Mapping[str, Any]) -> int:
    size = entry.get("size_bytes")
    return size if type(size) is int and size > 0 else 0


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
