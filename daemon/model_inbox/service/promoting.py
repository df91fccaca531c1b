"""When the daemon applies the rules of `promotion`, and writes down which aliases are protected.

Owns the time of both: at the start, after a reload, and for the rules soon after each registration. What a rule decides
is `choosing`'s. Never asks who may move an alias.
"""

from __future__ import annotations

import structlog

from ..base.machine import Machine
from ..choosing.apply import Promoter
from ..config.settings import Config
from ..registry.registry import ModelRegistry
from ..telemetry.metrics import Tally
from .attempt import attempt

__all__ = ["Promoting"]

log = structlog.get_logger("model_inbox")

# Between two runs: what one costs grows with the registry, and drops that come together share it.
APART_SECONDS = 1.0
RETRY_SECONDS = 60.0


class Promoting:
    """Moves aliases by rule. Times are of the monotonic clock, in seconds."""

    def __init__(self, config: Config, registry: ModelRegistry, tally: Tally, machine: Machine) -> None:
        self._config = config
        self._registry = registry
        self._promoter = Promoter(registry)
        self._tally = tally
        self._monotonic = machine.monotonic
        self._due_at: float | None = machine.monotonic()
        self._ran_at = float("-inf")

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds there is something to do, or None."""
        return None if self._due_at is None else self._due_at - now

    def expect(self) -> None:
        """Note that it is time to look again, because something was committed."""
        self._due_at = max(self._monotonic(), self._ran_at + APART_SECONDS)

    def reconfigure(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config
        self.expect()

    def run_if_due(self, now: float) -> bool:
        """Write the protection and apply the rules if it is time. Return whether something was committed.

        What fails is logged, and tried again.
        """
        if self._due_at is None or now < self._due_at:
            return False
        self._due_at, self._ran_at = None, now
        before = self._registry.sequence
        with attempt(self._registry) as work:
            allowed = self._config.aliases.items()
            may_move = {alias: section.may_move for alias, section in allowed if section.may_move is not None}
            if self._registry.protect_aliases(may_move, actor="daemon"):
                log.info("registry.aliases_protected", aliases=sorted(may_move))
            self._tally.promotions += self._promoter.apply(self._config.promotion)
        if work.problem:
            log.error("promotion.failed", problem=work.problem, traceback=work.traceback)
            self._due_at = now + RETRY_SECONDS
        return self._registry.sequence != before
