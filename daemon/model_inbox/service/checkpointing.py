"""When the daemon writes the checkpoint and rotates the journal: at most every `checkpoint_seconds` after a change.

Owns the time of both and the retry of what failed. How a checkpoint is written is the registry's; a handle that is not
the daemon's writes it when it closes.
"""

from __future__ import annotations

import structlog

from ..base.machine import Machine
from ..config.settings import Config
from ..inbox.obstacles import Obstacles
from ..registry.registry import ModelRegistry
from .attempt import attempt
from .health import Health
from .unforeseen import later

__all__ = ["Checkpointing"]

log = structlog.get_logger("model_inbox")

# How long after a commit the checkpoint is written, so that commits that follow each other share it.
CHECKPOINT_DELAY_SECONDS = 0.5


class Checkpointing:
    """Knows whether the JSON file lacks a commit. Times are of the monotonic clock, in seconds."""

    def __init__(
        self, config: Config, registry: ModelRegistry, health: Health, obstacles: Obstacles, machine: Machine
    ) -> None:
        self._config = config
        self._registry = registry
        self._health = health
        self._obstacles = obstacles
        self._monotonic = machine.monotonic
        self._due_at: float | None = None
        self._written_at = machine.monotonic()
        self._failures = 0

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds a checkpoint is to be written, or None when nothing was committed."""
        return None if self._due_at is None else self._due_at - now

    def expect(self) -> None:
        """Note that something was committed."""
        if self._due_at is None:
            soon = self._monotonic() + CHECKPOINT_DELAY_SECONDS
            self._due_at = max(soon, self._written_at + self._config.registry.checkpoint_seconds)

    def reconfigure(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config
        if self._due_at is not None:
            self._due_at = None
            self.expect()

    def write_if_due(self, now: float) -> None:
        """Write the checkpoint and rotate the journal if they are due. What fails is logged, and tried again."""
        if self._due_at is None or now < self._due_at:
            return
        if self._obstacles.stopping() is not None:
            # It would fail as the drops would.
            self._due_at = now + max(self._obstacles.pause_left(), CHECKPOINT_DELAY_SECONDS)
            return
        began = self._monotonic()
        self._due_at = None
        self._written_at = began
        with attempt(self._registry) as checkpoint:
            if self._registry.checkpoint():
                seconds = self._monotonic() - began
                log.debug("registry.checkpointed", sequence=self._registry.sequence, seconds=seconds)
        if checkpoint.problem:
            self._obstacles.suspect()
            log.error("registry.checkpoint_failed", problem=checkpoint.problem, traceback=checkpoint.traceback)
        with attempt(self._registry) as rotation:
            self._registry.change_segment_when_outgrown()
        if rotation.problem:
            self._obstacles.suspect()
            log.error("journal.rotation_failed", problem=rotation.problem, traceback=rotation.traceback)
        self._health.checkpoint_failed = bool(checkpoint.problem)
        self._health.rotation_failed = bool(rotation.problem)
        self._failures = self._failures + 1 if checkpoint.problem or rotation.problem else 0
        if self._failures:
            self._due_at = began + max(self._config.registry.checkpoint_seconds, later(self._failures))
