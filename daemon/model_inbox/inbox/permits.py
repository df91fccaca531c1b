"""Who may drop what: `permits` and `quota` of config.yaml, against a user and the metadata of a drop.

Owns which permit covers a drop, and which quota counts for a user. What the system says of the user is asked for only
where a number does not tell, because the answer may take long. Pure: the question is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from ..base.accounts import Account
from ..config.settings import PermitSection, QuotaSection
from ..model.metadata import ModelMetadata
from ..model.owner import owner_in_words
from ..model.slot import Slot
from ..problems import Problem, quoted
from ..problems.drop import drop_not_permitted
from ..registry.usage import Quota

__all__ = ["not_permitted", "quota_of"]


def not_permitted(
    permits: Sequence[PermitSection], uid: int, account: Callable[[], Account], metadata: ModelMetadata
) -> Problem | None:
    """Return why a user may not make this drop, with what the user may drop; None for a drop that a permit covers."""
    if any(_names(permit, Account(uid)) and _fits(permit, metadata) for permit in permits):
        return None
    user = account()
    theirs = [permit for permit in permits if _names(permit, user)]
    if any(_fits(permit, metadata) for permit in theirs):
        return None
    slot = f"currency_pair {quoted(metadata.currency_pair)}, model_type {quoted(metadata.model_type)}"
    if metadata.variant:
        slot += f", variant {quoted(metadata.variant)}"
    who = owner_in_words({"name": user.name, "uid": uid}) or str(uid)
    return drop_not_permitted(who, metadata.model_id, slot, [_in_words(permit) for permit in theirs])


def quota_of(quotas: Sequence[QuotaSection], uid: int, account: Callable[[], Account]) -> Quota | None:
    """Return the quota of a user: that of the first entry that names the user, or None."""
    for number, quota in enumerate(quotas):
        by_number = _any(quota.users, (str(uid),))
        if by_number or _any(quota.users, _names_of(account())):
            return Quota(f"quota[{number}]", quota.models_per_day, quota.bytes)
    return None


def _names(permit: PermitSection, user: Account) -> bool:
    return _any(permit.users, _names_of(user)) or _any(permit.groups, user.groups)


def _names_of(user: Account) -> tuple[str, ...]:
    return (str(user.uid),) if user.name is None else (user.name, str(user.uid))


def _any(patterns: Iterable[str], values: Iterable[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns for value in values)


def _fits(permit: PermitSection, metadata: ModelMetadata) -> bool:
    slot = Slot(metadata.currency_pair, metadata.model_type, metadata.variant)
    return permit.match.matches(slot) and (permit.ids is None or fnmatchcase(metadata.model_id, permit.ids))


def _in_words(permit: PermitSection) -> str:
    """Return what a permit lets drop: "currency_pair 'EUR/*', model_id 'alice-*'"."""
    match = permit.match
    pairs = (
        ("currency_pair", match.currency_pair),
        ("model_type", match.model_type),
        ("variant", match.variant),
        ("model_id", permit.ids),
    )
    return ", ".join(f"{name} {quoted(pattern)}" for name, pattern in pairs if pattern is not None) or "anything"
