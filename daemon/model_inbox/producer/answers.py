"""The answer to a drop: waits for its receipt, and says how the drop ended.

Owns `DropResult`, and which receipt is the answer to which drop. Never writes anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DropRefused, ModelInboxError, StorageError, is_transient
from ..model.receipt import read_receipt, read_receipts
from ..problems import Problem, problems_in

__all__ = ["DEFAULT_WAIT_SECONDS", "Answers", "DropResult", "inbox_folder", "wait_for_answer"]

DEFAULT_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.02
# Where the folder of receipts must be listed to find an answer.
_LISTING_SECONDS = 0.2
# The map of a process that is in no user namespace.
_ALL_USERS = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True)
class DropResult:
    """The result of a drop.

    `outcome` is `dropped` (written, without waiting for an answer), `waiting` (no answer in time), `registered`,
    `duplicate` or `rejected`. `problems` are the reasons of a rejection, or the values in which the metadata of
    a duplicate differs from that of the registered model. `notes` are what a registered model should be looked at for.
    `receipt` is the answer with all its fields.
    """

    outcome: str
    model_id: str
    files: tuple[Path, ...]
    drop_id: str | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    receipt: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the drop was written and, if an answer was waited for, registered or found to be the same again.

        A duplicate with other metadata is not the same.
        """
        return self.outcome in ("dropped", "registered", "duplicate") and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "outcome": self.outcome,
            "model_id": self.model_id,
            "drop_id": self.drop_id,
            "files": [str(path) for path in self.files],
            "problems": [problem.as_dict() for problem in self.problems],
            "notes": [problem.as_dict() for problem in self.notes],
        }


def inbox_folder(inbox: str | os.PathLike[str]) -> Path:
    """Return the path of an inbox. Raises DropRefused if there is no such folder."""
    folder = Path(inbox).absolute()
    if not folder.is_dir():
        raise DropRefused(
            f"cannot drop into {str(folder)!r}: there is no such folder",
            hint="Start the daemon, which makes its inbox, or give another folder",
        )
    return folder


def wait_for_answer(
    stem: str, *, inbox: str | os.PathLike[str], seconds: float, is_in_work: Callable[[], bool]
) -> DropResult:
    """Wait for the answer to this user's drop of a stem, however it came into the inbox.

    An answer that is there already counts unless `is_in_work` returns true: then it is about an earlier drop. Raises
    DropRefused if there is no such inbox, and StorageError or ModelInboxError if the answers cannot be read.
    """
    folder = inbox_folder(inbox)
    # The answer is read first: a drop that is still in work after that has not been answered by it.
    answers = Answers(folder, stem, None, os.geteuid(), seconds)
    if not is_in_work():
        answers.count_the_earlier()
    return answers.result(stem, ())


class Answers:
    """The answers to one drop: the receipt with the digest of its sidecar, and of its user.

    Another user may drop a copy of the sidecar under the same name: the answer to that is not ours. Where user numbers
    mean nothing (see `_knows_users`) the digest alone decides. Made before the sidecar gets its name, because the same
    sidecar may have been dropped and answered earlier. If the sidecar is not known, the stem decides.
    """

    def __init__(self, folder: Path, stem: str, sidecar: bytes | None, uid: int, wait: bool | float) -> None:
        from hashlib import sha256

        self._folder = folder
        self._stem = stem
        self._sha256 = sha256(sidecar).hexdigest() if sidecar is not None else None
        self._uid = uid if _knows_users(folder) else None
        self._wait = wait
        self._earlier = self.find() if wait is not False else None

    def count_the_earlier(self) -> None:
        """Take the answer that is there already for the one that is waited for."""
        self._earlier = None

    def result(self, model_id: str, files: tuple[Path, ...]) -> DropResult:
        """Wait for the answer, if that is wanted, and return the result."""
        if self._wait is False:
            return DropResult("dropped", model_id, files)
        receipt = self.wait(DEFAULT_WAIT_SECONDS if self._wait is True else float(self._wait))
        if receipt is None:
            return DropResult("waiting", model_id, files)
        return DropResult(
            str(receipt.get("outcome")),
            str(receipt.get("model_id") or model_id),
            files,
            str(receipt["drop_id"]) if receipt.get("drop_id") is not None else None,
            problems_in(receipt.get("problems")),
            problems_in(receipt.get("notes")),
            receipt,
        )

    def wait(self, seconds: float) -> Mapping[str, Any] | None:
        """Wait for the answer and return it, or None if it does not come in time."""
        earlier = self._earlier.get("drop_id") if self._earlier is not None else None
        deadline = time.monotonic() + seconds
        while True:
            receipt = self.find()
            if receipt is not None and (earlier is None or receipt.get("drop_id") != earlier):
                return receipt
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS if self._uid is not None else _LISTING_SECONDS)

    def find(self) -> Mapping[str, Any] | None:
        """Return the newest answer to this sidecar, or None. Raises StorageError or ModelInboxError."""
        receipts_dir = self._folder / "receipts"
        try:
            if self._uid is not None:
                receipt = read_receipt(receipts_dir, self._stem, self._uid)
                found = [receipt] if receipt is not None else []
            else:
                found = read_receipts(receipts_dir, self._stem)
        except FileNotFoundError:
            return None
        except OSError as error:
            if is_transient(error):
                raise StorageError("read the answers in", receipts_dir, error) from error
            raise ModelInboxError(
                f"cannot read the answers in {str(receipts_dir)!r}: {error.strerror}",
                hint="Members of the inbox's group may read receipts: join that group",
            ) from error
        if self._sha256 is not None:
            found = [receipt for receipt in found if receipt.get("sidecar_sha256") == self._sha256]
        return max(found, key=lambda receipt: str(receipt.get("drop_id")), default=None)


def _knows_users(folder: Path) -> bool:
    """Return whether a user has the same number here and for the daemon.

    Not so in a user namespace (rootless containers), on a network file system, or on another system than Linux.
    """
    try:
        own = Path("/proc/self/uid_map").read_text("ascii").split()
        from ..base.file_systems import is_network_file_system

        return own == _ALL_USERS and not is_network_file_system(folder)
    except (OSError, AttributeError):
        return False
