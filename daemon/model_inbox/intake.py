"""One drop's journey: claim, stage, read, scan, verdict, commit, answer, release.

Owns everything that happens to a drop from the moment it is known to be whole (or to be refused) until nothing
of it is left in hand, and the same journey taken up again after a crash. Decides nothing about arrival
(`arrival`), pickles (`pickles`) or entries (`registry`). A drop ends registered, duplicate or rejected; in between
it can be deferred, when the disk or a lock says no, and it is then tried again from its claim.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from .answers import Answers, read_receipt, shown
from .arrival import SIDECAR_SUFFIX, Drop, Role, Sighting, stem_of
from .checks import imports_of, verdict
from .claims import REASON_NAME, Claim, Claims, Integrity, claimed_at
from .errors import RegistryLocked, StorageError
from .fsio import Disk, copy_open_file, digest_open_file, open_regular, read_regular, remove_quietly, write_new_file
from .inbox import Inbox
from .leases import Lease, read_lease
from .metadata import fields_of, is_valid_id
from .pickles import PickleReport, Scanner
from .problems import Problem, quoted
from .registry import Candidate, ModelRegistry, Registered
from .sidecar import SIDECAR_BYTES_MAX, Sidecar, parse_sidecar
from .storage import STORED_MODE, StagedFiles, staged_paths

__all__ = ["Checks", "Intake"]

log = structlog.get_logger("model_inbox")

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
STAGING_KEEP_SECONDS = 86_400.0  # staged files of an API writer that is at work now are younger


@dataclass(frozen=True, slots=True)
class Checks:
    """What the operator accepts: patterns, None for any; `max_artifact_size` in bytes."""

    model_types: tuple[str, ...] | None
    currency_pairs: tuple[str, ...] | None
    max_artifact_size: int


@dataclass(frozen=True, slots=True)
class _Rejected:
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _NotWhole:
    problems: tuple[Problem, ...]


class Intake:
    """Carries out what was decided about drops. One thread, one daemon."""

    def __init__(
        self,
        inbox: Inbox,
        registry: ModelRegistry,
        scanner: Scanner,
        checks: Checks,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        disk: Disk | None = None,
    ) -> None:
        self.inbox = inbox
        self.registry = registry
        self.scanner = scanner
        self.checks = checks
        self._clock = clock
        self._monotonic = monotonic
        self._disk = disk if disk is not None else Disk()
        self._claims = Claims(inbox, clock=clock, monotonic=monotonic, disk=self._disk)
        self._answers = Answers(inbox.receipts_dir, clock=clock, disk=self._disk)
        self._staging = Path(registry.storage_dir) / ".staging"
        self.deferred: list[Claim] = []
        self.last_registered_at: datetime | None = None
        self.last_rejected_at: datetime | None = None

    # --- the journey ------------------------------------------------------------------------------------------

    def take(self, drop: Drop, integrity: Integrity) -> Claim | None:
        """Claim a whole drop; None when it is gone, or cannot be moved now."""
        claim = self._claims.claim(drop.stem, drop.present, drop.sightings)
        if claim is not None:
            claim.integrity = integrity
            claim.sidecar_sha256 = drop.sidecar.sha256 if drop.sidecar is not None else None
        return claim

    def go_on(self, claims: Sequence[Claim]) -> None:
        """Take claimed drops to their ends. Those that are accepted commit together.

        Raises RegistryError for a registry that cannot be used; what is in hand then stays claimed.
        """
        accepted: list[tuple[Claim, Candidate]] = []
        for claim in claims:
            if claim.committed is not None:  # only the answer was missing
                continue
            with self._deferring(claim):
                step = _Rejected(claim.refused) if claim.refused else self._judge(claim)
                if isinstance(step, Candidate):
                    accepted.append((claim, step))
                elif isinstance(step, _NotWhole):
                    self._put_back(claim, step.problems)
                else:
                    self._reject(claim, step.problems)
        self._commit(accepted)
        self._answer_committed([claim for claim in claims if claim.committed is not None])

    def _commit(self, accepted: Sequence[tuple[Claim, Candidate]]) -> None:
        """Register together what was accepted. A drop whose id is taken is rejected."""
        if not accepted:
            return
        began = self._monotonic()
        try:
            results = self.registry.register_staged([candidate for _, candidate in accepted])
        except (StorageError, RegistryLocked) as error:
            for claim, candidate in accepted:
                self._unstage(candidate)
                self._defer(claim, error)
            return
        commit_seconds = self._monotonic() - began
        for (claim, candidate), result in zip(accepted, results, strict=True):
            claim.steps["commit"] = commit_seconds
            self._unstage(candidate)
            if result.outcome == "taken":
                with self._deferring(claim):
                    self._reject(claim, (_id_taken(candidate, result),))
            else:
                claim.committed = (result.outcome, result.entry)
                self._say_committed(claim, result.outcome, result.entry)

    def _answer_committed(self, claims: Sequence[Claim]) -> None:
        """Write the receipts of committed drops, make them last, and let go of the sources.

        A crash before the receipts last leaves the claims, whose drop_ids the journal knows: the restart does
        this again. So does a retry after a full disk.
        """
        written = []
        for claim in claims:
            assert claim.committed is not None  # noqa: S101  # chosen so by the caller
            outcome, entry = claim.committed
            claim.model_id = entry.get("model_id")
            claim.digests = _digests(entry.get("sha256"), entry.get("scaler_sha256"))
            with self._deferring(claim):
                self._answers.write_receipt(claim, outcome)
                written.append(claim)
        if not written:
            return
        try:
            self._answers.sync_receipts()
        except StorageError as error:
            for claim in written:
                self._defer(claim, error)
            return
        for claim in written:
            with self._deferring(claim):
                self._claims.release(claim)

    def refuse(self, drop: Drop, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a drop that is not acceptable as it stands; only files of the sidecar's owner go with it."""
        claim = self._claims.claim(drop.stem, (drop.sidecar_name, *drop.own_files), drop.sightings)
        if claim is not None:
            claim.refused = problems
            if drop.sidecar is not None:
                claim.model_id = drop.sidecar.model_id
                claim.sidecar_sha256 = drop.sidecar.sha256
        return claim

    def refuse_stray(self, stray: Sighting, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a file without a sidecar, to be rejected."""
        claim = self._claims.claim(stem_of(stray.name), (stray.name,), {stray.name: stray})
        if claim is not None:
            claim.refused = problems
        return claim

    def late_scaler(self, stray: Sighting) -> str | None:
        """Return the model that a lone `<stem>_scaler.pkl` came too late for, or None.

        That is the model registered without a scaler from a drop of that stem, not longer ago than a drop may
        stay incomplete: later, it is more likely the first file of the next drop.
        """
        stem = stray.name.removesuffix("_scaler.pkl")
        if stray.kind != "file" or stem == stray.name or not is_valid_id(stem):
            return None
        try:
            receipt = read_receipt(self.inbox.receipts_dir, stem) or {}
            age = self._clock() - datetime.fromisoformat(receipt["at"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        entry = self.registry.get_model_info(str(receipt.get("model_id")))
        late = (
            receipt.get("outcome") == "registered"
            and age.total_seconds() <= self.inbox.limits.incomplete_timeout
            and entry is not None
            and entry.get("drop_id") == receipt.get("drop_id")
            and entry.get("scaler_path") is None
        )
        return str(receipt["model_id"]) if late else None

    def retry_deferred(self) -> list[Claim]:
        """Return the deferred drops whose time has come, no longer deferred."""
        now = self._monotonic()
        due = [claim for claim in self.deferred if claim.retry_at <= now]
        self.deferred = [claim for claim in self.deferred if claim.retry_at > now]
        return due

    @property
    def next_retry_seconds(self) -> float | None:
        """In how many seconds the next deferred drop is due, or None."""
        return min((max(c.retry_at - self._monotonic(), 0.0) for c in self.deferred), default=None)

    # --- after a restart --------------------------------------------------------------------------------------

    def recover(self) -> list[Claim]:
        """Settle what an earlier daemon had in hand; return the claims to go on with, from the start.

        A drop whose drop_id is in the journal was registered, whatever came after: only its answer may be
        missing. Also removes leftovers in the staging folder. Raises StorageError and RegistryError.
        """
        self._clean_staging()
        claims = []
        for folder, names in self._claims.folders():
            if REASON_NAME in names:  # rejected: only the move was missing
                self._claims.reject(folder)
                continue
            sidecar_name = next((name for name in names if name.endswith(SIDECAR_SUFFIX)), None)
            if sidecar_name is None:
                self._claims.return_files(folder, names)
                continue
            stem = sidecar_name[: -len(SIDECAR_SUFFIX)]
            sidecar = self._read(folder / sidecar_name, stem)
            claim = self._claims.take_up(folder, sidecar_name, names, _named_files(stem, sidecar))
            claim.sidecar_sha256 = sidecar.sha256 if sidecar is not None else None
            claims.append(claim)
        registered = self.registry.registrations({claim.drop_id for claim in claims}) if claims else {}
        for claim in claims:
            line = registered.get(claim.drop_id)
            if line is not None:
                claim.committed = ("registered", line.entry or {})
                log.info("drop.recovered", drop_id=claim.drop_id, stem=shown(claim.stem), sequence=line.sequence)
        return claims

    def _clean_staging(self) -> None:
        """Remove staged files of drops, all of which are begun anew, and very old ones of others."""
        oldest = self._clock().timestamp() - STAGING_KEEP_SECONDS
        with os.scandir(self._staging) as entries:
            for entry in entries:
                stem = entry.name.removesuffix(".yaml").removesuffix(".pkl").removesuffix("_scaler")
                with contextlib.suppress(OSError):
                    if claimed_at(stem) is not None or entry.stat(follow_symlinks=False).st_mtime < oldest:
                        self._disk.unlink(self._staging / entry.name)

    # --- judging ----------------------------------------------------------------------------------------------

    def _judge(self, claim: Claim) -> Candidate | _Rejected | _NotWhole:
        """Stage the claimed files and decide about what was staged. Leaves nothing staged but when accepting."""
        sidecar = self._read(claim.folder / claim.sidecar_name, claim.stem)
        if sidecar is None or (claim.expected is not None and sidecar.sha256 != claim.sidecar_sha256):
            return _NotWhole((_changed(claim.sidecar_name),))
        claim.sidecar_sha256 = sidecar.sha256
        claim.model_id = sidecar.model_id
        if sidecar.problems:
            cut_short = sidecar.cut_short or not sidecar.parses
            return _NotWhole(sidecar.problems) if cut_short else _Rejected(sidecar.problems)
        roles = self._roles(claim, sidecar)
        for role, name in roles.items():
            if name not in claim.names:
                return _NotWhole((_gone(role, name),))
        staged: dict[str, tuple[Path, str, int]] = {}
        targets = dict(zip(("model", "scaler", "sidecar"), staged_paths(self._staging, claim.drop_id), strict=True))
        done = False
        try:
            began = self._monotonic()
            for role, name in roles.items():
                outcome = self._stage(claim, name, targets[role])
                if not isinstance(outcome, tuple):
                    return outcome
                staged[role] = (targets[role], *outcome)
                claim.digests[role] = outcome[0]
                said = sidecar.digests.get(role)
                if said is not None and said != outcome[0]:
                    return _NotWhole((_wrong_digest(role, name, said, outcome[0]),))
            began = self._step(claim, "stage", began)
            reports = {name: self._scan(staged[role][0], staged[role][2]) for role, name in roles.items()}
            self._step(claim, "scan", began)
            if claim.integrity != "digest" and any(_is_cut(report) for report in reports.values()):
                return _NotWhole(tuple(p for report in reports.values() for p in report.problems))
            assert sidecar.metadata is not None  # noqa: S101  # a sidecar without problems has its metadata
            problems = verdict(
                sidecar.metadata,
                reports,
                model_types=self.checks.model_types,
                currency_pairs=self.checks.currency_pairs,
            )
            if problems:
                return _Rejected(tuple(problems))
            write_new_file(
                self._disk,
                targets["sidecar"],
                read_regular(claim.folder / claim.sidecar_name, SIDECAR_BYTES_MAX),
                STORED_MODE,
            )
            claim.notes = sidecar.notes
            candidate = self._candidate(claim, sidecar, staged, targets["sidecar"], reports)
            done = True
            return candidate
        finally:
            if not done:
                for path in targets.values():
                    remove_quietly(self._disk, path)

    def _roles(self, claim: Claim, sidecar: Sidecar) -> dict[Role, str]:
        """Return which claimed name is the model and which, if any, its scaler."""
        names = _named_files(claim.stem, sidecar)
        if not sidecar.scaler_declared and names[-1] not in claim.names:
            names = names[:1]
        roles: dict[Role, str] = {"model": names[0]}
        if len(names) > 1:
            roles["scaler"] = names[1]
        return roles

    def _stage(self, claim: Claim, name: str, target: Path) -> tuple[str, int] | _NotWhole | _Rejected:
        """Bring one claimed file into the staging folder as a synced file of ours; return digest and size.

        A file that is ours alone is linked, whatever its size; any other is copied, so that nobody else can
        change what we judge.
        """
        source = claim.folder / name
        try:
            fd = open_regular(source)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                return _Rejected((_not_a_file(name),))
            raise StorageError("open", source, error) from error
        try:
            found = os.fstat(fd)
            content = (found.st_ino, found.st_size, found.st_mtime_ns)
            if claim.expected is not None and content != claim.expected.get(name):
                return _NotWhole((_changed(name),))
            lease = read_lease(fd) if self.inbox.has_leases else Lease.UNKNOWN
            if lease is Lease.OPEN:
                return _NotWhole((_changed(name),))
            if found.st_size > self.checks.max_artifact_size:
                return _Rejected((_too_large(name),))
            if lease is Lease.FREE and found.st_uid == os.geteuid() and found.st_nlink == 1:
                result = self._stage_by_link(fd, source, target)
                if result is not None:
                    return result, found.st_size
            digest, size = copy_open_file(self._disk, fd, target, STORED_MODE)
            if size != found.st_size or os.fstat(fd).st_mtime_ns != found.st_mtime_ns:
                return _NotWhole((_changed(name),))
            return digest, size
        finally:
            os.close(fd)

    def _stage_by_link(self, fd: int, source: Path, target: Path) -> str | None:
        """Link, sync and digest a file of ours; None on another file system."""
        try:
            self._disk.link(source, target)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                return None
            raise StorageError("stage", target, error) from error
        try:
            self._disk.chmod(fd, STORED_MODE)
            self._disk.fsync(fd)  # the producer may have left it in the page cache only
            return digest_open_file(fd)
        except OSError as error:
            raise StorageError("stage", target, error) from error

    def _scan(self, path: Path, size: int) -> PickleReport:
        report = self.scanner.scan(path, size=size)
        if any(problem.code == "artifact.scan_limits" for problem in report.problems):
            log.warning("daemon.scanner_restarted", cause=_said(report.problems))
        return report

    def _candidate(
        self,
        claim: Claim,
        sidecar: Sidecar,
        staged: Mapping[str, tuple[Path, str, int]],
        sidecar_path: Path,
        reports: Mapping[str, PickleReport],
    ) -> Candidate:
        assert sidecar.metadata is not None  # noqa: S101  # a sidecar without problems has its metadata
        model = staged["model"]
        scaler = staged.get("scaler")
        files = StagedFiles(
            model[0],
            model[1],
            model[2],
            scaler[0] if scaler is not None else None,
            scaler[1] if scaler is not None else None,
            scaler[2] if scaler is not None else 0,
            sidecar_path,
        )
        return Candidate(
            fields_of(sidecar.metadata),
            files,
            "inbox",
            claim.drop_id,
            imports_of(reports),
            claim.integrity,
            f"inbox:{claim.owner}",
            "drop",
        )

    # --- ends that are no registration --------------------------------------------------------------------------

    def _reject(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Move a drop to `rejected/` with its reasons, and answer.

        The reasons last before the move: a crash after that finds them in the claim and completes the move. The
        answer comes before the move, too, or a crash could leave a rejected drop that nobody is told of.
        """
        self._answers.write_reason(claim, problems)
        self._answers.write_receipt(claim, "rejected", problems)
        self._answers.sync_receipts()
        place = self._claims.reject(claim.folder)
        self.last_rejected_at = self._clock()
        log.warning(
            "drop.rejected",
            drop_id=claim.drop_id,
            stem=shown(claim.stem),
            model_id=claim.model_id,
            problems=_said(problems),
            codes=[problem.code for problem in problems],
            owner=claim.owner,
            rejected_dir=str(place),
            seconds=self._monotonic() - claim.began,
            steps=claim.steps,
        )

    def _put_back(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Return a drop that is not whole after all; it is tried again when its files change."""
        taken = self._claims.put_back(claim)
        if taken is not None:
            claim.names = [name for name in claim.names if (claim.folder / name).exists()]
            self._reject(claim, (*problems, _replaced(taken)))
            return
        self.inbox.note_put_back(claim.stem, problems)
        log.info("drop.put_back", drop_id=claim.drop_id, stem=shown(claim.stem), problems=_said(problems))

    def _say_committed(self, claim: Claim, outcome: str, entry: Mapping[str, Any]) -> None:
        shared: dict[str, Any] = {
            "drop_id": claim.drop_id,
            "stem": shown(claim.stem),
            "model_id": entry["model_id"],
            "sha256": entry["sha256"],
            "scaler_sha256": entry["scaler_sha256"],
            "owner": claim.owner,
            "sequence": entry["sequence"],
            "seconds": self._monotonic() - claim.began,
            "steps": claim.steps,
        }
        if outcome == "duplicate":
            log.info("drop.duplicate", **shared)
            return
        self.last_registered_at = self._clock()
        log.info(
            "drop.registered",
            **shared,
            currency_pair=entry["currency_pair"],
            model_type=entry["model_type"],
            bytes=entry["size_bytes"],
            integrity=entry["integrity"],
            notes=_said(claim.notes) or None,
        )

    # --- trouble with the disk --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _deferring(self, claim: Claim) -> Iterator[None]:
        """Keep a drop in hand, to be tried again, when the disk says no."""
        try:
            yield
        except (StorageError, RegistryLocked) as error:
            self._defer(claim, error)
        except OSError as error:
            self._defer(claim, StorageError("go on with", claim.folder, error))

    def _defer(self, claim: Claim, error: StorageError | RegistryLocked) -> None:
        claim.attempts += 1
        wait = min(FIRST_RETRY_SECONDS * 2 ** (claim.attempts - 1), LONGEST_RETRY_SECONDS)
        claim.retry_at = self._monotonic() + wait
        self.deferred.append(claim)
        log.warning(
            "drop.deferred",
            drop_id=claim.drop_id,
            stem=shown(claim.stem),
            cause=str(error),
            retry_in_seconds=wait,
            attempt=claim.attempts,
        )

    # --- small things -----------------------------------------------------------------------------------------

    def _unstage(self, candidate: Candidate) -> None:
        for path in candidate.files.paths:
            remove_quietly(self._disk, path)

    def _step(self, claim: Claim, name: str, began: float) -> float:
        now = self._monotonic()
        claim.steps[name] = now - began
        return now

    def _read(self, path: Path, stem: str) -> Sidecar | None:
        """Return the sidecar in a claim, None when there is no regular file."""
        try:
            return parse_sidecar(read_regular(path, SIDECAR_BYTES_MAX), stem=stem, now=self._clock())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                return None
            raise StorageError("read", path, error) from error


def _named_files(stem: str, sidecar: Sidecar | None) -> list[str]:
    """Return the names of the files that a sidecar means, whether they are there or not."""
    if sidecar is None:
        return []
    if sidecar.scaler_file is not None:
        return [sidecar.model_file, sidecar.scaler_file]
    return [sidecar.model_file] if sidecar.scaler_declared else [sidecar.model_file, f"{stem}_scaler.pkl"]


def _replaced(name: str) -> Problem:
    return Problem(
        "drop.replaced",
        f"a newer {quoted(name)} was put into the inbox while this one was being checked",
        "Nothing, if the newer one is meant; it is judged on its own",
        file=name,
    )


def _said(problems: Sequence[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def _digests(model: str | None, scaler: str | None) -> dict[str, str]:
    return {role: digest for role, digest in (("model", model), ("scaler", scaler)) if digest is not None}


def _is_cut(report: PickleReport) -> bool:
    return any(problem.code == "artifact.truncated" for problem in report.problems)


def _changed(name: str) -> Problem:
    return Problem(
        "drop.changed",
        f"{quoted(name)} was written to while it was being taken",
        "Nothing: it is taken when its writer has finished",
        file=name,
    )


def _gone(role: str, name: str) -> Problem:
    return Problem(
        "artifact.missing",
        f"the {role} {quoted(name)}, named by the sidecar, is not there",
        f"Put {quoted(name)} beside the sidecar, or mend `{role}_file` in it",
        field=f"{role}_file",
        file=name,
    )


def _not_a_file(name: str) -> Problem:
    return Problem(
        "artifact.not_regular",
        f"{quoted(name)} is no regular file",
        "Put the file itself there: copy it, or hard-link it",
        file=name,
    )


def _too_large(name: str) -> Problem:
    return Problem(
        "artifact.too_large",
        f"{quoted(name)} is larger than inbox.max_artifact_size",
        "Drop a smaller model, or ask the operator for a larger limit",
        file=name,
    )


def _wrong_digest(role: str, name: str, said: str, found: str) -> Problem:
    return Problem(
        "artifact.digest_mismatch",
        f"{quoted(name)} has the SHA-256 {found}, the sidecar says {said}",
        "It may still be on its way; if not, send file and sidecar again",
        field=f"sha256.{role}",
        file=name,
    )


def _id_taken(candidate: Candidate, result: Registered) -> Problem:
    model_id = candidate.fields["model_id"]
    return Problem(
        "registry.model_id_taken",
        f"the model_id {quoted(model_id)} is taken by a model with other bytes, "
        f"registered {result.entry.get('registered_at')}",
        "A registered model never changes: choose another model_id (with a date or a version in it)",
        field="model_id",
    )
