"""What a pass carries out: drops are claimed and gone on with in batches, files without a sidecar refused in time.

Owns how much is taken together, and how long a pass goes on. What is ready was decided by `readiness`; what becomes of
a drop is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from ..base.machine import Machine
from ..base.remedies import remedy_for
from ..config.settings import Config
from ..errors import StorageError
from ..inbox.claims import Claim
from ..inbox.drop import Drop, Sighting
from ..inbox.failures import FATAL_ERRORS
from ..inbox.folder import Inbox, Rescan
from ..inbox.late_scaler import find_scalerless_model
from ..inbox.pipeline import Intake
from ..inbox.readiness import Refuse, Take, Wait
from ..problems import escaped
from ..problems.drop import drop_not_movable, drop_scaler_late
from ..registry.registry import ModelRegistry
from .maintenance import Maintenance
from .reporter import Reporter
from .waiting_log import WaitingLog

__all__ = ["Taking"]

log = structlog.get_logger("model_inbox")

BATCH_DROPS = 128
BATCH_SECONDS = 0.5
# What is digested and written in about a second: a large model holds up no more than itself.
BATCH_BYTES = 256 << 20
# How long the bytes of a drop may take, for the promise when the next status comes: a slow disk.
SLOW_BYTES_PER_SECOND = 50e6


class Taking:
    """Takes what is ready. Between two batches the reporter publishes what is due: no lock is held then."""

    def __init__(
        self,
        config: Config,
        inbox: Inbox,
        registry: ModelRegistry,
        intake: Intake,
        maintenance: Maintenance,
        waiting_log: WaitingLog,
        reporter: Reporter,
        machine: Machine,
    ) -> None:
        self._config = config
        self._inbox = inbox
        self._registry = registry
        self._intake = intake
        self._maintenance = maintenance
        self._waiting_log = waiting_log
        self._reporter = reporter
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self.has_failed = False
        """Whether a drop of the last pass could not be claimed."""

    def reconfigure(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def take(self, ready: Sequence[tuple[Drop, Take | Refuse]], enough: Callable[[], bool]) -> bool:
        """Claim and go on in batches: drops that are ready together commit together, and none waits long.

        Returns whether it came to the end before it was `enough`. What is left over is found by the next look, which
        puts in turn what came meanwhile.
        """
        batch: list[Claim] = []
        size = 0
        began = self._monotonic()
        done = True
        self.has_failed = False
        for drop, decision in ready:
            if enough():
                done = False
                break
            if self._is_stopped(decision):
                self.has_failed = True
                continue
            try:
                if isinstance(decision, Take):
                    claim = self._intake.take(drop, decision.integrity)
                else:
                    claim = self._intake.refuse(drop, decision.problems)
            except StorageError as error:
                self.has_failed = True
                self._intake.obstacles.suspect()
                if self._is_stopped(decision):
                    continue
                problem = drop_not_movable(drop.sidecar_name, str(error), remedy_for(error))
                self._inbox.note_unmovable(drop.sidecar_name, drop.present, problem, self._config.inbox.rescan_seconds)
                self._waiting_log.drop_not_moved(drop.sidecar_name, drop.stem, error)
                continue
            except FATAL_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, one drop must not stop the daemon
                self._inbox.note_failed(drop.sightings[drop.sidecar_name], error)
                continue
            if claim is not None:
                batch.append(claim)
                size += claim.size
            if len(batch) >= BATCH_DROPS or size >= BATCH_BYTES or self._monotonic() - began > BATCH_SECONDS:
                self.go_on(batch, more=True)
                batch, size = [], 0
                began = self._monotonic()
        self.go_on(batch)
        return done

    def _is_stopped(self, decision: Take | Refuse) -> bool:
        """Return whether an obstacle is in the way, so that the drop stays where it is."""
        obstacles = self._intake.obstacles
        what = "take" if isinstance(decision, Take) else "refuse"
        return bool(obstacles.found) and obstacles.stopping(what) is not None

    def go_on(self, claims: Sequence[Claim], *, more: bool = False) -> None:
        """Take claimed drops to their ends. With `more` to come, the last of them may be left on their way."""
        if not claims and not self._intake.in_hand:
            return
        # Larger ones are judged beside the loop, which goes on publishing.
        largest = min(max((claim.size for claim in claims), default=0), self._intake.large_bytes)
        self._reporter.allow(largest / SLOW_BYTES_PER_SECOND)
        if self._intake.go_on(claims, more=more):
            self._maintenance.committed()
        self._reporter.publish_if_due()

    def refuse_strays(self, rescan: Rescan, enough: Callable[[], bool]) -> bool:
        """Refuse what has been without a sidecar for too long. Return whether it came to the end."""
        for stray, decision in rescan.strays:
            if enough():
                return False
            try:
                claim = self._refused_stray(stray, decision)
            except StorageError as error:
                self._waiting_log.stray_not_moved(stray.name, error)
                continue
            except FATAL_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, one file must not stop the daemon
                self._inbox.note_failed(stray, error)
                continue
            if claim is not None:
                self._intake.go_on([claim])
        return True

    def _refused_stray(self, stray: Sighting, decision: Wait | Refuse) -> Claim | None:
        """Claim a file that is to be rejected, also a scaler that came too late; None for one that waits."""
        problems, model_id = decision.problems, None
        if isinstance(decision, Refuse) and decision.joins:
            self._intake.join_rejected(stray, decision.joins)
            return None
        if isinstance(decision, Wait):
            model_id = find_scalerless_model(stray, self._inbox, self._registry, self._clock())
            if model_id is None:
                return None
            problems = (drop_scaler_late(stray.name, model_id),)
        claim = self._intake.refuse_stray(stray, problems)
        if claim is not None and model_id is not None:
            claim.model_id = model_id
            log.error(
                "drop.scaler_late",
                stem=escaped(claim.stem),
                model_id=model_id,
                drop_id=claim.drop_id,
            )
        return claim
