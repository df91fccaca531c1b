"""One drop's journey: claim, stage, read, scan, verdict, commit, receipt, release.

Owns everything that happens to a drop from the moment it is known to be whole (or to be refused) until nothing
of it is left in hand, and the same journey taken up again after a crash. Decides nothing about arrival (`arrival`),
pickles (`pickles`) or entries (`registry`). A drop ends registered, duplicate or rejected; in between it can be
deferred, when the disk or a lock says no, and it is then tried again from its claim.

`.processing/<drop_id>/` is the claim: while it is there the drop is in hand. Its sidecar is moved in first and
out last, so a claim with a sidecar is a drop, and one without never got far or is nearly released.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from .arrival import SIDECAR_SUFFIX, Drop, Role, Sighting, safe_stem, stem_of
from .checks import imports_of, verdict
from .errors import RegistryLocked, StorageError
from .fsio import (
    Disk,
    copy_open_file,
    digest_open_file,
    move_file,
    open_regular,
    read_regular,
    remove_quietly,
    replace_file,
    write_new_file,
)
from .inbox import Inbox
from .leases import Lease, read_lease
from .metadata import fields_of, is_valid_id
from .pickles import PickleReport, Scanner
from .problems import Problem, quoted
from .registry import Candidate, ModelRegistry, Registered
from .sidecar import SIDECAR_BYTES_MAX, Sidecar, parse_sidecar
from .storage import STORED_MODE, StagedFiles, staged_paths

__all__ = ["Checks", "Intake", "owner_name"]

log = structlog.get_logger("model_inbox")

REASON_NAME = "reason.json"
RECEIPT_MODE = 0o644
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
_DROP_ID = re.compile(r"(\d{8}T\d{12})Z-\d{4,}-[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checks:
    """What the operator accepts: patterns, None for any; `max_artifact_size` in bytes."""

    model_types: tuple[str, ...] | None
    currency_pairs: tuple[str, ...] | None
    max_artifact_size: int


@dataclass(slots=True)
class Claim:
    """A drop in hand. `expected` is what was seen of its files before the claim, None after a restart."""

    drop_id: str
    folder: Path
    stem: str
    names: list[str]
    integrity: Literal["digest", "lease", "quiet"]
    expected: dict[str, tuple[int, int, int]] | None = None
    sidecar_sha256: str | None = None
    refused: tuple[Problem, ...] = ()
    owner: str = ""
    began: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    attempts: int = 0
    retry_at: float = 0.0
    # found out on the way
    model_id: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    committed: tuple[Literal["registered", "duplicate"], Mapping[str, Any]] | None = None

    @property
    def sidecar_name(self) -> str:
        return f"{self.stem}{SIDECAR_SUFFIX}"


@dataclass(frozen=True, slots=True)
class _Rejected:
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _NotWhole:
    problems: tuple[Problem, ...]


class Intake:
    """Carries out what was decided about drops. One thread, one daemon: nobody else touches `.processing/`."""

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
        self._counter = 0
        self.deferred: list[Claim] = []
        self.last_registered_at: datetime | None = None
        self.last_rejected_at: datetime | None = None

    # --- the journey ------------------------------------------------------------------------------------------

    def take(self, drop: Drop, integrity: Literal["digest", "lease", "quiet"]) -> Claim | None:
        """Claim a whole drop; None when it is gone, or cannot be moved now."""
        claim = self._claim(drop.stem, drop.present, drop.sightings)
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
                self._write_receipt(claim, outcome, (), sync=False)
                written.append(claim)
        if not written:
            return
        try:
            self._disk.fsync_dir(self.inbox.receipts_dir)
        except OSError as error:
            for claim in written:
                self._defer(claim, StorageError("sync the receipts", self.inbox.receipts_dir, error))
            return
        for claim in written:
            with self._deferring(claim):
                self._release(claim)

    def refuse(self, drop: Drop, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a drop that is not acceptable as it stands; only files of the sidecar's owner go with it."""
        claim = self._claim(drop.stem, (drop.sidecar_name, *drop.own_files), drop.sightings)
        if claim is not None:
            claim.refused = problems
            if drop.sidecar is not None:
                claim.model_id = drop.sidecar.model_id
                claim.sidecar_sha256 = drop.sidecar.sha256
        return claim

    def refuse_stray(self, stray: Sighting, problems: tuple[Problem, ...]) -> Claim | None:
        """Claim a file without a sidecar, to be rejected."""
        claim = self._claim(stem_of(stray.name), (stray.name,), {stray.name: stray})
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
            receipt = orjson.loads(read_regular(self.inbox.receipts_dir / f"{stem}.json", 1 << 20))
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

        Also removes its leftovers in the staging folder. Raises StorageError.
        """
        self._clean_staging()
        claims = []
        for name in sorted(self._listed(self.inbox.processing_dir)):
            folder = self.inbox.processing_dir / name
            if not folder.is_dir() or folder.is_symlink():
                continue
            held = self._listed(folder)
            if REASON_NAME in held:  # rejected: only the move was missing
                self._move_to_rejected(folder)
                continue
            sidecars = [file for file in held if file.endswith(SIDECAR_SUFFIX)]
            if not sidecars:
                self._return_files(folder, held)
                continue
            claim = self._recovered(name, folder, sidecars[0], held)
            claims.append(claim)
        registered = self.registry.registrations({claim.drop_id for claim in claims}) if claims else {}
        for claim in claims:
            line = registered.get(claim.drop_id)
            if line is not None:
                claim.committed = ("registered", line.entry or {})
                log.info("drop.recovered", drop_id=claim.drop_id, stem=claim.stem, sequence=line.sequence)
        return claims

    def _recovered(self, drop_id: str, folder: Path, sidecar_name: str, held: Sequence[str]) -> Claim:
        """Take up a claim that was cut short: files that its sidecar names and that did not get along follow."""
        stem = sidecar_name[: -len(SIDECAR_SUFFIX)]
        names = list(held)
        sidecar = self._read(folder / sidecar_name, stem)
        if sidecar is not None:
            wanted = [sidecar.model_file]
            if sidecar.scaler_file is not None:
                wanted.append(sidecar.scaler_file)
            elif not sidecar.scaler_declared:
                wanted.append(f"{stem}_scaler.pkl")
            for name in wanted:
                if name not in names and self._pull(name, folder):
                    names.append(name)
        claim = Claim(drop_id, folder, stem, names, "quiet", began=self._monotonic())
        claim.sidecar_sha256 = sidecar.sha256 if sidecar is not None else None
        claim.owner = owner_name((folder / sidecar_name).lstat().st_uid)
        return claim

    def _pull(self, name: str, folder: Path) -> bool:
        try:
            self._disk.rename(self.inbox.path / name, folder / name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError("claim", self.inbox.path / name, error) from error
        return True

    def _return_files(self, folder: Path, held: Sequence[str]) -> None:
        """A claim without a sidecar: what is in it goes back to the inbox, to be judged like anything there."""
        for name in held:
            with contextlib.suppress(StorageError):
                move_file(self._disk, folder / name, self.inbox.path / name)
        if self._listed(folder):
            self._move_to_rejected(folder)  # the names are taken by newer files
        else:
            self._disk.rmdir(folder)

    def _clean_staging(self) -> None:
        """Remove staged files of drops; those of API writers that are at work now are a day old at most."""
        staging = Path(self.registry.storage_dir) / ".staging"
        old = self._clock().timestamp() - 86_400
        for name in self._listed(staging):
            path = staging / name
            with contextlib.suppress(OSError):
                if _DROP_ID.match(name) or path.lstat().st_mtime < old:
                    self._disk.unlink(path)

    # --- claim, put back, release -----------------------------------------------------------------------------

    def _claim(self, stem: str, names: Sequence[str], sightings: Mapping[str, Sighting]) -> Claim | None:
        """Move a drop's files out of the producers' reach, the sidecar first.

        A crash in between leaves a claim whose sidecar names files that are still in the inbox; the restart
        fetches them. Nothing here is synced: whichever of the renames a power cut takes back, the drop is whole
        in the inbox or in its claim, and both are found.
        """
        began = self._monotonic()
        drop_id, folder = self._new_claim_folder(stem)
        claim = Claim(drop_id, folder, stem, [], "quiet", {}, began=began)
        claim.owner = owner_name(sightings[names[0]].owner)
        expected: dict[str, tuple[int, int, int]] = {}
        for name in names:
            try:
                self._disk.rename(self.inbox.path / name, folder / _kept_name(name))
            except FileNotFoundError:
                if name == names[0]:  # withdrawn by its producer, or already taken with another drop
                    self._disk.rmdir(folder)
                    return None
                continue
            except OSError as error:
                self._return_files(folder, claim.names)
                raise StorageError("claim", self.inbox.path / name, error) from error
            claim.names.append(_kept_name(name))
            expected[_kept_name(name)] = sightings[name].content
        claim.expected = expected
        claim.steps["claim"] = self._monotonic() - began
        log.debug("drop.claimed", drop_id=drop_id, stem=_shown(stem))
        return claim

    def _new_claim_folder(self, stem: str) -> tuple[str, Path]:
        moment = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
        while True:
            self._counter += 1
            drop_id = f"{moment}Z-{self._counter:04d}-{safe_stem(stem)}"
            folder = self.inbox.processing_dir / drop_id
            if (self.inbox.rejected_dir / drop_id).exists():
                continue
            try:
                self._disk.mkdir(folder, 0o700)
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError("make the folder", folder, error) from error
            return drop_id, folder

    def _put_back(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Return a drop that is not whole after all, the sidecar last, never over a newer file.

        A crash in between leaves a claim with its sidecar, which the restart completes again.
        """
        names = sorted(claim.names, key=lambda name: name == claim.sidecar_name)
        for name in names:
            try:
                move_file(self._disk, claim.folder / name, self.inbox.path / name)
            except StorageError as error:
                if error.errno == errno.ENOENT:
                    continue
                if error.errno != errno.EEXIST:
                    raise
                replaced = Problem(
                    "drop.replaced",
                    f"a newer {quoted(name)} was put into the inbox while this one was being checked",
                    "Nothing, if the newer one is meant; it is judged on its own",
                )
                self._reject(claim, (*problems, replaced))
                return
        self._disk.rmdir(claim.folder)
        self.inbox.note_put_back(claim.stem, problems)
        log.info("drop.put_back", drop_id=claim.drop_id, stem=_shown(claim.stem), problems=_said(problems))

    def _release(self, claim: Claim) -> None:
        """Remove the sources of a drop that has its answer, the sidecar last, then the claim."""
        for name in sorted(claim.names, key=lambda name: name == claim.sidecar_name):
            try:
                self._disk.unlink(claim.folder / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError("remove", claim.folder / name, error) from error
        try:
            self._disk.rmdir(claim.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError("remove", claim.folder, error) from error

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
        roles: dict[Role, str] = {"model": sidecar.model_file}
        if sidecar.scaler_file is not None:
            roles["scaler"] = sidecar.scaler_file
        elif not sidecar.scaler_declared and f"{claim.stem}_scaler.pkl" in claim.names:
            roles["scaler"] = f"{claim.stem}_scaler.pkl"
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

    # --- answers ----------------------------------------------------------------------------------------------

    def _reject(self, claim: Claim, problems: tuple[Problem, ...]) -> None:
        """Move a drop to `rejected/` with its reasons and write its receipt.

        reason.json is synced first: a crash after it finds it in the claim and completes the move.
        """
        answer = self._answer(claim, "rejected", problems)
        replace_file(self._disk, claim.folder / REASON_NAME, _json(answer), RECEIPT_MODE)
        self._move_to_rejected(claim.folder)
        self._write_receipt(claim, "rejected", problems, sync=True)
        self.last_rejected_at = self._clock()
        log.warning(
            "drop.rejected",
            drop_id=claim.drop_id,
            stem=_shown(claim.stem),
            model_id=claim.model_id,
            problems=_said(problems),
            codes=[problem.code for problem in problems],
            owner=claim.owner,
            rejected_dir=str(self.inbox.rejected_dir / claim.drop_id),
            seconds=self._monotonic() - claim.began,
            steps=claim.steps,
        )

    def _move_to_rejected(self, folder: Path) -> None:
        target = self.inbox.rejected_dir / folder.name
        try:
            os.chmod(folder, 0o750)  # noqa: S103  # the producers' group reads why its drop was refused
            self._disk.rename(folder, target)
            self._disk.fsync_dir(self.inbox.rejected_dir)
            self._disk.fsync_dir(self.inbox.processing_dir)
        except OSError as error:
            raise StorageError("move to rejected", target, error) from error

    def _answer(self, claim: Claim, outcome: str, problems: Sequence[Problem]) -> dict[str, Any]:
        return {
            "drop_id": claim.drop_id,
            "outcome": outcome,
            "model_id": claim.model_id,
            "at": self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "stem": _shown(claim.stem),
            "owner": claim.owner,
            "sidecar_sha256": claim.sidecar_sha256,
            "digests": claim.digests,
            "problems": [problem.as_dict() for problem in problems],
        }

    def _write_receipt(self, claim: Claim, outcome: str, problems: Sequence[Problem], *, sync: bool) -> None:
        """Write the one answer to a drop; a newer drop of the same stem replaces it."""
        if not is_valid_id(claim.stem) and not is_valid_id(claim.stem.removesuffix("_scaler")):
            return  # a stem that cannot be a file name of ours: its answer is in rejected/
        path = self.inbox.receipts_dir / f"{claim.stem}.json"
        data = _json(self._answer(claim, outcome, problems))
        if sync:
            replace_file(self._disk, path, data, RECEIPT_MODE)
            return
        temporary = path.with_name(f".{path.name}.{claim.drop_id[:26]}.tmp")
        remove_quietly(self._disk, temporary)
        write_new_file(self._disk, temporary, data, RECEIPT_MODE)
        try:
            self._disk.rename(temporary, path)
        except OSError as error:
            raise StorageError("write the receipt", path, error) from error

    def _say_committed(self, claim: Claim, outcome: str, entry: Mapping[str, Any]) -> None:
        shared: dict[str, Any] = {
            "drop_id": claim.drop_id,
            "stem": _shown(claim.stem),
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
            stem=_shown(claim.stem),
            cause=str(error),
            retry_in_seconds=wait,
            attempt=claim.attempts,
        )

    # --- small things -----------------------------------------------------------------------------------------

    @property
    def _staging(self) -> Path:
        return Path(self.registry.storage_dir) / ".staging"

    def _unstage(self, candidate: Candidate) -> None:
        for path in candidate.files.paths:
            remove_quietly(self._disk, path)

    def _step(self, claim: Claim, name: str, began: float) -> float:
        now = self._monotonic()
        claim.steps[name] = now - began
        return now

    def _read(self, path: Path, stem: str) -> Sidecar | None:
        try:
            return parse_sidecar(read_regular(path, SIDECAR_BYTES_MAX), stem=stem, now=self._clock())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                return None
            raise StorageError("read", path, error) from error

    def _listed(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError("list", folder, error) from error


def claimed_at(drop_id: str) -> datetime | None:
    """Return the moment in a drop_id, or None when it is none."""
    match = _DROP_ID.fullmatch(drop_id)
    return datetime.strptime(match[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC) if match else None


def is_older(drop_id: str, now: datetime, keep_seconds: float) -> bool:
    """Tell whether a drop_id is from before the time for which things are kept."""
    at = claimed_at(drop_id)
    return at is not None and now - at > timedelta(seconds=keep_seconds)


def owner_name(uid: int) -> str:
    """Return the name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _kept_name(name: str) -> str:
    return name if name != REASON_NAME else f"dropped.{name}"


def _shown(text: str) -> str:
    """Return a stem as it may stand in logs and answers: escaped where it is not plain text."""
    return text if text.isprintable() else quoted(text, 255)[1:-1]


def _said(problems: Sequence[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


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


__all__ += ["claimed_at", "is_older"]
