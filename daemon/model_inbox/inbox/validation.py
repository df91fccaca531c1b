"""One claimed drop, looked into: its files staged, read, digested and scanned, and what that says of it.

Owns the way from a claim to a decision about it: a candidate for the registry, a refusal, or that it is not complete
after all. Moves nothing but what it stages, and leaves nothing staged that is not accepted; `pipeline` carries out what
was decided. Begins with the sidecar, since that says which files there are to judge; nothing is believed of what was
seen before the claim.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..base.copying import digest_open_file
from ..base.disk import content_of, read_open_file
from ..base.leases import Lease
from ..base.log import log
from ..base.machine import Machine
from ..config.gates import GateSection
from ..config.settings import PermitSection, QuotaSection
from ..errors import StorageError
from ..gates import gates_for
from ..model.file_names import SIDECAR, choose
from ..model.metadata import ModelMetadata, fields_of, filled_in
from ..model.owner import OwnerFields
from ..model.sidecar import Sidecar, parse_sidecar
from ..model.slot import slot_of
from ..pickles import PickleReport, Scan, Scanner, claimed_versions, current, imports_of
from ..problems import Problem
from ..problems.artifact import artifact_ambiguous, artifact_digest_mismatch, artifact_missing
from ..problems.drop import drop_changed, drop_linked
from ..problems.sidecar import sidecar_ambiguous
from ..registry.files import StagedFiles
from ..registry.outcomes import Candidate
from ..registry.usage import Quota
from .acceptance import verdict
from .claims import Claim, Integrity, ToJudge, ToRefuse
from .drop import Role
from .folder import Inbox
from .outcomes import NotWhole, Rejected
from .permits import not_permitted, quota_of
from .readiness import dated_by_the_clock
from .staging import Staged, Staging

__all__ = ["Checks", "Judge", "Judging"]


@dataclass(frozen=True, slots=True)
class Checks:
    """What the operator accepts: patterns, None for any; `max_artifact_size` in bytes; who may drop what, how much.

    `rules` is the digest of the rules that say so, "" if they are not kept.
    """

    model_types: tuple[str, ...] | None
    currency_pairs: tuple[str, ...] | None
    pair_pattern: str | None
    max_artifact_size: int
    permits: tuple[PermitSection, ...] | None = None
    quota: tuple[QuotaSection, ...] = ()
    gates: tuple[GateSection, ...] = ()
    rules: str = ""


OverQuota = Callable[[str, Quota, OwnerFields, int], Problem | None]
"""Returns why a model of that id, quota, owner and size may not be registered now."""


@dataclass(frozen=True, slots=True)
class Judging:
    """A drop that is being judged: what it says, and its staged files with the scans that were asked for."""

    sidecar: Sidecar
    text: bytes
    roles: Mapping[Role, str]
    targets: Mapping[str, Path]
    stage: ToJudge
    staged: dict[Role, Staged] = field(default_factory=dict)
    scans: dict[Role, Scan] = field(default_factory=dict)


class Judge:
    """Decides about claimed drops. `scanner` and `checks` may be replaced between two of them. One thread.

    `over_quota` is that of the registry. Several judges may share it.
    """

    def __init__(
        self,
        inbox: Inbox,
        staging: Staging,
        scanner: Scanner,
        checks: Checks,
        machine: Machine,
        *,
        over_quota: OverQuota,
    ) -> None:
        self.scanner = scanner
        self.checks = checks
        self._over_quota = over_quota
        self._inbox = inbox
        self._staging = staging
        self._clock = machine.clock
        self._monotonic = machine.monotonic
        self._disk = machine.disk
        self._read_lease = machine.read_lease
        self._progress = machine.progress
        self._accounts = machine.accounts

    def begin(self, claim: Claim) -> Judging | Rejected | NotWhole:
        """Stage a drop and ask for its scans, or see that it is to be refused still. Raises StorageError."""
        match claim.stage:
            case ToRefuse() as stage:
                return self._check_refusal(claim, stage)
            case ToJudge() as stage:
                return self._stage_drop(claim, stage)
        raise TypeError(f"a drop that is {claim.stage} is not to be judged")

    def end(self, claim: Claim, judging: Judging) -> Candidate | Rejected | NotWhole:
        """Decide about what was begun. Leaves nothing staged but when accepting. Raises StorageError, ScanError."""
        return self._judge(claim, judging)

    def refuse_early(self, claim: Claim) -> Rejected | None:
        """Scan the files of a large drop where they lie, if they are to be copied: what is refused anyhow need not be.

        Only a refusal counts. What seems good, or cannot be told here, is found out of what is staged.
        """
        stage = claim.stage
        if not isinstance(stage, ToJudge) or stage.sidecar is None or stage.sidecar.metadata is None:
            return None
        roles = claim.roles
        if (
            not roles
            or not all(name in claim.files for name in roles.values())
            or self._staging.can_link(claim, by_copy=stage.by_copy)
        ):
            return None
        claim.model_id = stage.sidecar.model_id
        if (refused := self._not_permitted(claim, stage.sidecar)) is not None:
            return refused
        if self.checks.quota and (refused := self._refused_by_quota(claim, stage.sidecar)) is not None:
            return refused
        reports = {name: self.scanner.begin(claim.files[name].path).report() for name in roles.values()}
        if any(_is_cut(report) for report in reports.values()):
            return None
        problems = self._verdict(stage.sidecar.metadata, reports)
        for path, content in claim.files.values():
            if content_of(self._disk.lstat(path)) != content:
                return None
        return Rejected(tuple(problems)) if problems else None

    def unstage(self, claim: Claim) -> None:
        """Remove what is staged of a drop."""
        self._staging.remove(self._staging.targets(claim).values())

    def _check_refusal(self, claim: Claim, stage: ToRefuse) -> Rejected | NotWhole:
        """See that what is to be refused is what was judged, and that nothing it lacked has come meanwhile."""
        modes: dict[str, int] = {}
        for name, (path, content) in claim.files.items():
            try:
                found = self._disk.lstat(path)
            except FileNotFoundError:
                continue
            if content_of(found) != content:
                return NotWhole((drop_changed(name),))
            modes[name] = found.st_mode
        if stat.S_ISREG(modes.get(claim.sidecar_name, 0)) and claim.sidecar_sha256 is not None:
            # Two writes in one tick of the kernel's clock leave the same times.
            text = self.read_sidecar(claim)
            if text is None or hashlib.sha256(text).hexdigest() != claim.sidecar_sha256:
                return NotWhole((drop_changed(claim.sidecar_name),))
        if any(self._disk.exists(self._inbox.path / name) for name in stage.absent):
            return NotWhole((drop_changed(stage.absent[0]),))
        return Rejected(stage.problems)

    def _stage_drop(self, claim: Claim, stage: ToJudge) -> Judging | Rejected | NotWhole:
        """Stage the claimed files and have them looked into. Leaves nothing staged but when there is more to judge."""
        claim.linked.clear()
        text = self.read_sidecar(claim)
        if text is None or hashlib.sha256(text).hexdigest() != claim.sidecar_sha256:
            return NotWhole((drop_changed(claim.sidecar_name),))
        sidecar = stage.sidecar
        if sidecar is None:
            sidecar = self.parse(claim, text)
        if sidecar.stem_problem is not None:  # of a claim that was left; the others were looked at before
            return Rejected((sidecar.stem_problem,))
        claim.model_id = sidecar.model_id
        if sidecar.problems:
            if (doubtful := dated_by_the_clock(sidecar.problems)) and self._inbox.clock_behind_seconds > 0:
                return NotWhole(doubtful)  # of a claim that was left: it waits in the inbox, like any other
            return NotWhole(sidecar.problems) if sidecar.cut_short else Rejected(sidecar.problems)
        if self.checks.permits is not None and (refused := self._not_permitted(claim, sidecar)) is not None:
            return refused
        if self.checks.quota and (refused := self._refused_by_quota(claim, sidecar)) is not None:
            return refused
        if (rivals := sorted(filter(SIDECAR.fullmatch, claim.files)))[1:]:
            return Rejected((sidecar_ambiguous(rivals),))
        roles, unclear = (claim.roles, {}) if claim.roles else choose(claim.stem, claim.files, sidecar.declared)[:2]
        if unclear:
            return Rejected(tuple(artifact_ambiguous(role, names) for role, names in unclear.items()))
        for role, name in roles.items():
            if name not in claim.files:
                return NotWhole((artifact_missing(role, name),))
        for name in claim.files.keys() - {claim.sidecar_name, *roles.values()}:
            # It was taken along to be refused, by a daemon that died then. It must not be removed with the drop.
            return NotWhole((drop_changed(name),))
        targets = self._staging.targets(claim)
        if claim.retry is not None:
            self._staging.remove(targets.values())
        judging = Judging(sidecar, text, roles, targets, stage)
        began = self._monotonic()
        with self._unstaging_unless(lambda: len(judging.scans) == len(roles), targets):
            staged = self._staging.stage(
                claim, roles, targets, max_size=self.checks.max_artifact_size, by_copy=stage.by_copy
            )
            if not isinstance(staged, dict):
                return staged
            if claim.linked and (refused := self._linked_by_others(claim, sidecar, roles)) is not None:
                return refused
            judging.staged.update(staged)
            # Behind the last one that can go wrong here: what is removed again is not scanned.
            for role, part in judging.staged.items():
                judging.scans[role] = self.scanner.begin(part.path, size=part.size)
        self._step(claim, "stage", began)
        return judging

    def _not_permitted(self, claim: Claim, sidecar: Sidecar) -> Rejected | None:
        """Return the refusal of a drop that no permit covers. Raises StorageError if the user is not known now."""
        if self.checks.permits is None or sidecar.metadata is None:
            return None
        account = partial(self._accounts.of, claim.uid)
        problem = not_permitted(self.checks.permits, claim.uid, account, sidecar.metadata)
        return Rejected((problem,)) if problem is not None else None

    def _refused_by_quota(self, claim: Claim, sidecar: Sidecar) -> Rejected | None:
        """Return the refusal of a drop whose user is over the quota already, before the files cost anything.

        The commit decides: what is committed meanwhile counts there. Raises StorageError.
        """
        metadata = sidecar.metadata
        # Whether a model under an automatic id is a duplicate, only its bytes tell.
        if metadata is None or "model_id" in filled_in(metadata.provenance):
            return None
        quota = self._quota(claim)
        if quota is None:
            return None
        size = sum(claim.files[name].content[1] for name in claim.roles.values() if name in claim.files)
        problem = self._over_quota(metadata.model_id, quota, claim.owner, size)
        return Rejected((problem,)) if problem is not None else None

    def _linked_by_others(self, claim: Claim, sidecar: Sidecar, roles: Mapping[Role, str]) -> Rejected | None:
        """Return the refusal of files to which another user may have given the name that they had in the inbox.

        That user would get somebody else's file registered, in the name of its owner. The owner has said which file is
        meant if a sidecar that nobody can have linked has its digest. Of our own files there is nobody to protect.
        """
        if claim.uid == os.geteuid():
            return None
        meant = {name for role, name in roles.items() if sidecar.digests.get(role)}
        doubtful = claim.linked - (meant if claim.sidecar_name not in claim.linked else set())
        problems = tuple(
            drop_linked(name, refused=True)
            for name in sorted(doubtful)
            if not self._inbox.protects_links(claim.files[name].path)
        )
        return Rejected(problems) if problems else None

    def _digest(self, staged: Staged) -> str:
        """Return the SHA-256 of a staged file."""
        if staged.sha256 is not None:
            return staged.sha256
        try:
            fd, _ = self._disk.open_read(staged.path)
            try:
                return digest_open_file(fd, self._progress)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError("digest", staged.path, error) from error

    def _judge(self, claim: Claim, judging: Judging) -> Candidate | Rejected | NotWhole:
        """Decide about what was staged. Leaves nothing staged but when accepting."""
        candidate: Candidate | None = None
        with self._unstaging_unless(lambda: candidate is not None, judging.targets):
            try:
                step = self._judge_files(claim, judging)
            finally:
                for scan in judging.scans.values():  # those whose report was not asked for
                    scan.cancel()
            if isinstance(step, Candidate):
                candidate = step
        return step

    @contextlib.contextmanager
    def _unstaging_unless(self, good: Callable[[], bool], targets: Mapping[str, Path]) -> Iterator[None]:
        """Remove what was staged when the block ends and it is not good, however it ends."""
        try:
            yield
        finally:
            if not good():
                self._staging.remove(targets.values())

    def _judge_files(self, claim: Claim, judging: Judging) -> Candidate | Rejected | NotWhole:
        sidecar, roles = judging.sidecar, judging.roles
        began = self._monotonic()
        digests = claim.digests = {str(role): self._digest(part) for role, part in judging.staged.items()}
        began = self._step(claim, "digest", began)
        for role, name in roles.items():
            said = sidecar.digests.get(role)
            if said is not None and said != digests[role]:
                return NotWhole((artifact_digest_mismatch(role, name, said, digests[role]),), final=True)
        digested = all(sidecar.digests.get(role) for role in roles)
        # To wait for the worker is no work on the drop in this process.
        self._inbox.work.write()
        list(judging.scans.values())[-1].wait()
        self._inbox.work.write(claim.drop_id)
        reports = {name: judging.scans.pop(role).report() for role, name in roles.items()}
        self._step(claim, "scan", began)
        for report in reports.values():
            if any(problem.code == "artifact.scan_limits" for problem in report.problems):
                log.warning("daemon.scanner_restarted", cause=[str(problem) for problem in report.problems])
        if not digested and any(_is_cut(report) for report in reports.values()):
            return NotWhole(tuple(p for report in reports.values() for p in report.problems), final=True)
        assert sidecar.metadata is not None  # noqa: S101  # a sidecar without problems has its metadata
        problems = self._verdict(sidecar.metadata, reports)
        if problems:
            return Rejected(tuple(problems))
        self._staging.accept(
            claim, judging.staged.values(), judging.text, judging.targets["sidecar"], by_copy=judging.stage.by_copy
        )
        linked = [drop_linked(name, refused=False) for name in sorted(claim.linked)]
        # It may have been validated before, and deferred.
        claim.notes = tuple(dict.fromkeys((*sidecar.notes, *claim.notes, *linked)))
        judged: dict[str, tuple[str, PickleReport]] = {
            role: (digests[role], reports[name]) for role, name in roles.items()
        }
        integrity: Integrity = "digest" if digested else judging.stage.integrity
        return self._candidate(claim, judging, integrity, judged)

    def _verdict(self, metadata: ModelMetadata, reports: Mapping[str, PickleReport]) -> list[Problem]:
        checks = self.checks
        return verdict(
            metadata,
            reports,
            model_types=checks.model_types,
            currency_pairs=checks.currency_pairs,
            pair_pattern=checks.pair_pattern,
        )

    def _candidate(
        self,
        claim: Claim,
        judging: Judging,
        integrity: Integrity,
        judged: Mapping[str, tuple[str, PickleReport]],
    ) -> Candidate:
        metadata = judging.sidecar.metadata
        assert metadata is not None  # noqa: S101  # a sidecar without problems has its metadata
        model = judging.staged["model"]
        scaler = judging.staged.get("scaler")
        files = StagedFiles(
            model.path,
            claim.digests["model"],
            model.size,
            scaler.path if scaler is not None else None,
            claim.digests.get("scaler"),
            scaler.size if scaler is not None else 0,
            judging.targets["sidecar"],
        )
        fields = fields_of(metadata)
        return Candidate(
            fields,
            files,
            "inbox",
            claim.drop_id,
            imports_of({role: report for role, (_, report) in judged.items()}),
            integrity,
            f"inbox:{claim.owner_name}",
            "drop",
            current(self.scanner.allowlist, judged),
            claimed_versions(judged),
            claim.owner,
            self._quota(claim) if self.checks.quota else None,
            sum(report.load_bytes for _, report in judged.values()),
            gates_for(self.checks.gates, slot_of(fields)) if self.checks.gates else None,
            self.checks.rules,
        )

    def _quota(self, claim: Claim) -> Quota | None:
        """Return the quota of the user. Raises StorageError if the user is not known now."""
        return quota_of(self.checks.quota, claim.uid, partial(self._accounts.of, claim.uid))

    def parse(self, claim: Claim, text: bytes) -> Sidecar:
        """Return what the text of a claim's sidecar says."""
        limit = self._inbox.limits.max_sidecar_size
        return parse_sidecar(text, stem=claim.stem, now=self._clock(), name=claim.sidecar_name, bytes_max=limit)

    def read_sidecar(self, claim: Claim) -> bytes | None:
        """Return the bytes of a claim's sidecar; None when it is no regular file of the owner's, or is written to."""
        path = claim.folder / claim.sidecar_name
        try:
            fd, found = self._disk.open_read(path)
            try:
                if found.st_nlink > 1:
                    claim.linked.add(claim.sidecar_name)
                if found.st_uid != claim.uid or (self._inbox.has_leases and self._read_lease(fd) is Lease.OPEN):
                    return None
                return read_open_file(fd, self._inbox.limits.max_sidecar_size)
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL):
                return None
            raise StorageError("read", path, error) from error

    def _step(self, claim: Claim, name: str, began: float) -> float:
        now = self._monotonic()
        claim.steps[name] = now - began
        return now


def _is_cut(report: PickleReport) -> bool:
    return any(problem.code == "artifact.truncated" for problem in report.problems)
