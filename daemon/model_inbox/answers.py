"""The answer to each drop: its receipt, and for a refused one `reason.json`.

Owns the form of both files and their places. An answer is written before the drop's sources go, so that whoever
dies when, no drop is gone without its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from .claims import REASON_NAME, Claim
from .errors import StorageError
from .fsio import Disk, read_regular, remove_quietly, replace_file, sync_files, write_new_file
from .metadata import MODEL_ID
from .problems import Problem, quoted

__all__ = ["Answers", "read_receipt", "shown"]

ANSWER_MODE = 0o644
_RECEIPT_BYTES_MAX = 4 << 20


class Answers:
    """Writes answers. `clock` dates them."""

    def __init__(self, receipts_dir: Path, *, clock: Callable[[], datetime], disk: Disk) -> None:
        self._receipts_dir = receipts_dir
        self._clock = clock
        self._disk = disk
        self._written: dict[Path, Path] = {}  # receipts under temporary names, with their own

    def write_reason(self, claim: Claim, problems: Sequence[Problem]) -> None:
        """Write the reasons into the claim of a refused drop, lastingly."""
        answer = self._answer(claim, "rejected", problems)
        replace_file(self._disk, claim.folder / REASON_NAME, _json(answer), ANSWER_MODE)

    def write_receipt(self, claim: Claim, outcome: str, problems: Sequence[Problem] = ()) -> None:
        """Write the receipt of a drop; it is not there to be read, and does not last, before `publish_receipts`.

        A stem that cannot be a file name of ours gets none: its answer is in `rejected/`.
        """
        if MODEL_ID.fullmatch(claim.stem):
            self._write(claim.stem, claim.drop_id, _json(self._answer(claim, outcome, problems)))

    def _write(self, stem: str, drop_id: str, text: bytes) -> None:
        # The drop_id is part of the name, so a crash leaves at most one of these, which its own retry removes.
        temporary = self._receipts_dir / f".{drop_id}.tmp"
        remove_quietly(self._disk, temporary)
        write_new_file(self._disk, temporary, text, ANSWER_MODE, sync=False)
        self._written[temporary] = self._receipts_dir / f"{stem}.json"

    def repeat_receipt(self, folder: Path) -> Mapping[str, Any]:
        """Write the receipt of a refused drop from the reasons in its claim, unless a newer drop has answered.

        Returns the reasons. Raises StorageError; reasons that cannot be read count as none.
        """
        try:
            reason = orjson.loads(read_regular(folder / REASON_NAME, _RECEIPT_BYTES_MAX))
            stem = str(reason["stem"])
            earlier = read_receipt(self._receipts_dir, stem) if MODEL_ID.fullmatch(stem) else None
        except (ValueError, KeyError, TypeError):
            return {}
        except OSError as error:
            raise StorageError("read the reasons in", folder, error) from error
        if not MODEL_ID.fullmatch(stem) or str((earlier or {}).get("drop_id", "")) > folder.name:
            return dict(reason)
        self._write(stem, folder.name, _json(reason))
        return dict(reason)

    def publish_receipts(self) -> None:
        """Give the receipts written since their names, over older ones of their stems, and make them last.

        Their bytes last first, so that no crash leaves an empty receipt under a name that is looked at. Raises
        StorageError; they are to be written again then.
        """
        written, self._written = self._written, {}
        sync_files(self._disk, list(written))
        try:
            for temporary, path in written.items():
                self._disk.rename(temporary, path)
            self._disk.fsync_dir(self._receipts_dir)
        except OSError as error:
            raise StorageError("write the receipts in", self._receipts_dir, error) from error

    def _answer(self, claim: Claim, outcome: str, problems: Sequence[Problem]) -> dict[str, Any]:
        return {
            "drop_id": claim.drop_id,
            "outcome": outcome,
            "model_id": claim.model_id,
            "at": self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "stem": shown(claim.stem),
            "owner": claim.owner,
            "sidecar_sha256": claim.sidecar_sha256,
            "digests": claim.digests,
            "problems": [problem.as_dict() for problem in problems],
        }


def read_receipt(receipts_dir: Path, stem: str) -> Mapping[str, Any] | None:
    """Return the receipt of a stem, or None when there is none, or none that can be parsed. Raises OSError."""
    try:
        receipt = orjson.loads(read_regular(receipts_dir / f"{stem}.json", _RECEIPT_BYTES_MAX))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return receipt if isinstance(receipt, dict) else None


def shown(text: str) -> str:
    """Return a stem or name as it may stand in logs and answers: escaped where it is not plain text."""
    return text if text.isprintable() else quoted(text, 255)[1:-1]


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
