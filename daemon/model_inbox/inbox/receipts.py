"""The answer to each drop: its receipt, and for a refused one `reason.json`.

Owns where both files are, and how they are written; `model/receipt` has the format of a receipt. An answer is written
before the drop's sources are removed: after a crash at any moment, no drop is gone without its answer.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..base.disk import read_regular, remove_quietly, replace_file, sync_files, write_new_file
from ..base.instants import millisecond_stamp
from ..base.machine import Machine
from ..errors import StorageError
from ..model.metadata import MODEL_ID
from ..model.owner import OwnerFields, names_of_owner
from ..model.receipt import (
    REASON_NAME,
    RECEIPT_BYTES_MAX,
    Outcome,
    ReceiptFields,
    is_answer_to,
    problem_fields,
    read_receipt_file,
    receipt_path,
)
from ..problems import Problem, escaped
from ..registry.position import Identity
from ..registry.registry import ModelRegistry
from .claims import Claim
from .privacy import Privacy

__all__ = ["Answers", "Receipt", "identities_told", "owners_told"]

ANSWER_MODE = 0o644
# For the service alone. `privacy` adds the owner of the drop.
CLOSED_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that is written under a temporary name, and of whose drop it is."""

    temporary: Path
    stem: str
    claim: Claim


class Answers:
    """Writes answers, each with the identity of the registry that was asked."""

    def __init__(self, receipts_dir: Path, privacy: Privacy, registry: ModelRegistry, machine: Machine) -> None:
        self._receipts_dir = receipts_dir
        self._privacy = privacy
        self._registry = registry
        self._clock = machine.clock
        self._disk = machine.disk

    def write_reason(self, claim: Claim, problems: Sequence[Problem], missing: Sequence[str]) -> None:
        """Write the reasons into the claim of a refused drop, durably. `missing` are the files that it lacked."""
        answer = self._answer(claim, "rejected", problems)
        answer["missing"] = [escaped(name) for name in missing]
        # Who may read it is decided by the rights of its folder.
        replace_file(self._disk, claim.folder / REASON_NAME, _json(answer), ANSWER_MODE)

    def write_receipt(
        self, claim: Claim, outcome: Outcome, problems: Sequence[Problem] = (), *, sequence: int | None = None
    ) -> Receipt | None:
        """Write the receipt of a drop; it is not there to be read, and does not last, before `publish`.

        `sequence` is the number of the line that registered it, None for any other outcome. Returns None where the
        answer is in `rejected/` alone: for a stem that cannot be a file name of ours, and for a file without a sidecar
        when a drop of its stem was answered. What is said of a half does not replace the answer to the whole.
        """
        if not MODEL_ID.fullmatch(claim.stem):
            return None
        if claim.sidecar_name not in claim.files and self._answers_a_whole(self._place(claim.stem, claim)[1]):
            return None
        return self._write(claim, claim.stem, _json(self._answer(claim, outcome, problems, sequence)))

    def _place(self, stem: str, whose: Claim) -> tuple[Path, Mapping[str, Any]]:
        """Return where a user's receipt of a stem goes, and what is there for that user ({} for nothing).

        An answer to another user stays, so each user has one answer, in one of two places. The producer looks in both
        (`model.receipt`).
        """
        own = receipt_path(self._receipts_dir, stem, whose.uid)
        shared = own.with_name(f"{stem}.json")
        try:
            if not self._disk.exists(own):
                if not self._disk.exists(shared):
                    return shared, {}
                there = read_receipt_file(shared) or {}
                if there.get("owner") is None or is_answer_to(there, whose.uid, whose.owner_name):
                    return shared, there
            return own, read_receipt_file(own) or {}
        except OSError as error:
            raise StorageError("read the receipt in", shared, error) from error

    def _write(self, claim: Claim, stem: str, text: bytes) -> Receipt:
        # The drop_id is part of the name, so a crash leaves at most one of these, which its own retry removes.
        temporary = self._receipts_dir / f".{claim.drop_id}.tmp"
        mode = CLOSED_MODE if self._privacy.is_on else ANSWER_MODE
        try:
            write_new_file(self._disk, temporary, text, mode, sync=False)
        except StorageError as error:
            if error.errno != errno.EEXIST:
                raise
            remove_quietly(self._disk, temporary)
            write_new_file(self._disk, temporary, text, mode, sync=False)
        if self._privacy.is_on:
            self._privacy.close_answer(temporary, claim.uid)
        return Receipt(temporary, stem, claim)

    @staticmethod
    def _answers_a_whole(receipt: Mapping[str, Any]) -> bool:
        return receipt.get("sidecar_sha256") is not None

    def repeat_receipt(self, claim: Claim) -> tuple[Mapping[str, Any], Receipt | None]:
        """Write the receipt of a refused drop from the reasons in its claim, unless a newer drop has answered.

        Returns the reasons, and the receipt if there is one. Reasons that cannot be read count as none. Raises
        StorageError.
        """
        try:
            reason = orjson.loads(read_regular(claim.folder / REASON_NAME, RECEIPT_BYTES_MAX))
            stem = str(reason["stem"])
        except (ValueError, KeyError, TypeError):
            return {}, None
        except OSError as error:
            raise StorageError("read the reasons in", claim.folder, error) from error
        earlier = self._place(stem, claim)[1] if MODEL_ID.fullmatch(stem) else None
        if earlier is None or str(earlier.get("drop_id", "")) > claim.drop_id:
            return dict(reason), None
        if claim.sidecar_name not in claim.files and self._answers_a_whole(earlier):
            return dict(reason), None
        return dict(reason), self._write(claim, stem, _json(reason))

    def publish(self, receipts: Sequence[Receipt], *, synced: bool = False) -> None:
        """Give written receipts their names, over older ones of their stems and users, durably.

        The name is chosen here: two users may have dropped the same stem in one batch.
        Their bytes are synced first, so that no crash leaves an empty receipt under its name. `synced`: they are synced
        already. Raises StorageError; then write them again.
        """
        if not receipts:
            return
        if not synced:
            sync_files(self._disk, [receipt.temporary for receipt in receipts])
        try:
            for receipt in receipts:
                self._disk.rename(receipt.temporary, self._place(receipt.stem, receipt.claim)[0])
        except OSError as error:
            raise StorageError("write the receipts in", self._receipts_dir, error) from error
        self.sync_names()

    def sync_names(self) -> None:
        """Make the names of published receipts durable. Raises StorageError."""
        try:
            self._disk.fsync_dir(self._receipts_dir)
        except OSError as error:
            raise StorageError("write the receipts in", self._receipts_dir, error) from error

    def _answer(
        self, claim: Claim, outcome: Outcome, problems: Sequence[Problem], sequence: int | None = None
    ) -> ReceiptFields:
        identity = self._registry.identity
        answer: ReceiptFields = {
            "drop_id": claim.drop_id,
            "outcome": outcome,
            "model_id": claim.model_id,
            "at": millisecond_stamp(self._clock()),
            "stem": escaped(claim.stem),
            "owner": claim.owner,
            "sidecar_sha256": claim.sidecar_sha256,
            "digests": claim.digests,
            "registry_id": identity.registry_id if identity is not None else None,
            "epoch": identity.epoch if identity is not None else None,
            "sequence": sequence,
            "problems": [problem_fields(problem) for problem in problems],
            "notes": [problem_fields(note) for note in claim.notes],
        }
        if outcome == "rejected":
            answer["rules"] = self._registry.rules_in_force
        return answer


def identities_told(receipts_dir: Path) -> list[Identity]:
    """Return the registries and epochs that receipts name, that of the latest receipt first.

    A folder that is missing has none; a receipt that cannot be read, or names none, is left out.
    """
    found: list[tuple[str, Identity]] = []
    for path in receipts_dir.glob("*.json"):
        with suppress(OSError, TypeError, KeyError, ValueError):
            receipt = read_receipt_file(path) or {}
            found.append((str(receipt["at"]), Identity(receipt["registry_id"], receipt["epoch"])))
    found.sort(key=lambda told: told[0], reverse=True)
    return list(dict.fromkeys(identity for _, identity in found))


def owners_told(receipts_dir: Path) -> dict[tuple[str, str], OwnerFields]:
    """Return who dropped the models that receipts say were registered, by id and SHA-256 of the model.

    A folder that is missing has none; a receipt that cannot be read, or names no owner, is left out.
    """
    found: dict[tuple[str, str], OwnerFields] = {}
    for path in receipts_dir.glob("*.json"):
        with suppress(OSError, TypeError, KeyError, ValueError):
            receipt = read_receipt_file(path) or {}
            name, uid = names_of_owner(receipt["owner"])
            if receipt["outcome"] == "registered" and uid:
                key = str(receipt["model_id"]), str(receipt["digests"]["model"])
                found[key] = OwnerFields(name=name or None, uid=int(uid))
    return found


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
