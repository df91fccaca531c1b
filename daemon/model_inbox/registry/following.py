"""The registry's method `follow`, which starts what stands above this room.

Owns the method, and nothing of what it does: that is the room `serving`, which is imported when somebody follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from ..serving import Follower, FollowerHub, Followers, TryOut

__all__ = ["Followable"]


class Followable:
    """What can be followed: `ModelRegistry`, and a mirror of one, which makes a hub of its own."""

    _hub: FollowerHub | None = None

    @overload
    def follow(
        self,
        pair: str,
        type: str | None = None,  # the word for it everywhere
        variant: str = "",
        alias: str | None = None,
        try_out: TryOut | None = None,
        wait: float = 0,
        max_age: float | None = None,
        give_up_after: int = 3,
    ) -> Follower: ...

    @overload
    def follow(
        self,
        pair: None = None,
        type: str | None = None,  # the word for it everywhere
        variant: str = "",
        alias: str | None = None,
        try_out: TryOut | None = None,
        wait: float = 0,
        max_age: float | None = None,
        give_up_after: int = 3,
    ) -> Followers: ...

    def follow(
        self,
        pair: str | None = None,
        type: str | None = None,  # noqa: A002  # the word for it everywhere
        variant: str = "",
        alias: str | None = None,
        try_out: TryOut | None = None,
        wait: float = 0,
        max_age: float | None = None,
        give_up_after: int = 3,
    ) -> Follower | Followers:
        """Follow the newest model of a pair, type (default: lightgbm) and variant, or with `alias` the one it names.

        `follow(...).current` is the named tuple (entry, model, scaler) to answer with. When the registry names another
        model, that is loaded beside the one that is served, verified, tried by `try_out(model, scaler)`, and takes its
        place at once. A model that cannot be loaded, or that `try_out` refuses with an exception, is logged and tried
        again with growing pauses; the one before is served meanwhile. `current.failed(error)` says that a model
        misbehaves: after `give_up_after` such calls the one before is served until the alias moves.

        Without a pair the result maps every slot (pair, type, variant) to its follower, also those that come later;
        `type` and `variant` choose among them. All followers of a handle share one thread, and one load of a model.

        Without a model to serve it waits up to `wait` seconds for one, then raises EntryNotFound, or what loading
        raised; a mapping may be empty then. `max_age` is the number of seconds after which `is_stale` says that what is
        served may be outdated.
        """
        from ..serving import Wanted

        asked = Wanted(pair, type, variant, alias, try_out, max_age, give_up_after)
        # Of two threads that are the first at the same time both take the hub of one.
        hub: FollowerHub = self._hub or self.__dict__.setdefault("_hub", self._new_hub())
        return hub.follow(asked, wait)

    def follower_metrics(self) -> bytes:
        """Return the metrics of all followers of this handle as text for Prometheus, to serve at `/metrics`."""
        from ..serving import render

        return render(self._hub.followers() if self._hub is not None else ())

    def _new_hub(self) -> FollowerHub:
        """Return what follows this registry."""
        from ..serving import FollowerHub

        return FollowerHub.of(self)

    def _end_following(self) -> None:
        """End all followers."""
        if self._hub is not None:
            self._hub.close()
