"""The receipt: the daemon's answer to a drop.

Owns `ReceiptFields`, the definition of a receipt's fields, the names of receipts, and reading one from its folder. The
receipt of a stem is `<stem>.json`; while that is the answer to another user, it is `<stem>@<uid>.json`. A file there
that is not a JSON object counts as no receipt, because other users may write to the folder. Never writes a receipt:
`inbox.receipts` does.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, cast

from ..base.disk import read_regular
from ..base.shapes import Field, document, object_schema
from ..problems import Problem
from .owner import OwnerFields, uid_of_owner

__all__ = [
    "REASON_NAME",
    "RECEIPT_BYTES_MAX",
    "Outcome",
    "ReceiptFields",
    "is_answer_to",
    "problem_fields",
    "read_newest_receipts",
    "read_receipt",
    "read_receipt_file",
    "read_receipts",
    "receipt_path",
    "receipt_schema",
]

REASON_NAME = "reason.json"
"""The name, in the folder of a rejected drop, of the file that holds its reasons."""
RECEIPT_BYTES_MAX = 4 << 20

Digest = Annotated[str, Field("A SHA-256 in hexadecimal.", pattern="^[0-9a-f]{64}$")]


class ProblemInReceipt(TypedDict):
    """The fields that every problem has; see `Problem.as_dict`."""

    code: Annotated[
        str, Field("The stable name of the kind of problem, for programs.", pattern=r"^[a-z_]+(\.[a-z_0-9]+)?$")
    ]
    message: Annotated[str, Field("What was found, for people.", minLength=1)]


class ProblemFields(ProblemInReceipt, total=False):
    """A problem as JSON. Fields without a value are left out."""

    hint: Annotated[str, Field("What to do about it.")]
    field: Annotated[str, Field("The dotted path of the field in the sidecar.")]
    line: Annotated[int, Field("The line in the sidecar, counted from 1.", minimum=1)]
    column: Annotated[int, Field("The column in that line, counted from 1.", minimum=1)]
    file: Annotated[str, Field("The name of the file that has the problem.")]


Outcome = Literal["registered", "duplicate", "rejected"]


class FirstReceipt(TypedDict):
    """The fields of every receipt, including those of version 0.1."""

    drop_id: Annotated[str, Field("The id of the drop; ids sort by time.", minLength=1)]
    outcome: Annotated[Outcome, Field("What happened to the drop.")]
    model_id: Annotated[str | None, Field("The id of the model; null if the sidecar has no valid one.")]
    at: Annotated[
        str, Field("When it was decided, in UTC.", format="date-time", pattern=r"^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z$")
    ]
    stem: Annotated[str, Field("The name of the sidecar without its suffix; unprintable characters are escaped.")]
    owner: Annotated[
        OwnerFields | str, Field("The user who dropped it: the owner of its files. In version 0.1 the name alone.")
    ]
    sidecar_sha256: Annotated[
        Digest | None, Field("The SHA-256 of the sidecar. A producer finds by it the answer to its own drop.")
    ]
    digests: Annotated[
        dict[str, Digest],
        Field(
            "The SHA-256 of the drop's model and scaler, as far as they were computed.",
            propertyNames={"enum": ["model", "scaler"]},
        ),
    ]
    problems: Annotated[
        list[ProblemFields],
        Field(
            "Why it was rejected. For a duplicate: where its metadata differs from the registered one. Otherwise empty."
        ),
    ]


class ReceiptFields(FirstReceipt, total=False):
    """All fields of a receipt, and of the `reason.json` of a rejected drop."""

    registry_id: Annotated[
        str | None, Field("The id of the registry; null for a registry of version 0.1 that was not changed since.")
    ]
    epoch: Annotated[str | None, Field("The epoch of that registry's history; null if registry_id is.")]
    notes: Annotated[list[ProblemFields], Field("What a registered model was accepted with, and should be looked at.")]
    missing: Annotated[
        list[str],
        Field(
            "Only in `reason.json`: the files that the sidecar means and that had not come when it was rejected. One "
            "that comes soon after is put to them; unprintable characters are escaped."
        ),
    ]
    rules: Annotated[
        Digest | None,
        Field(
            "Only of a rejected drop: the SHA-256 of the rules in force, which the registry keeps in its `history/`; "
            "null if it does not."
        ),
    ]
    sequence: Annotated[
        int | None, Field("The sequence number of its journal line; null unless registered.", minimum=1)
    ]


def problem_fields(problem: Problem) -> ProblemFields:
    """Return a problem in its JSON form for a receipt."""
    return cast("ProblemFields", problem.as_dict())


def receipt_schema() -> dict[str, Any]:
    """Return the JSON schema of a receipt."""
    what = "The answer to a drop: inbox/receipts/<stem>.json, and reason.json beside a rejected drop."
    return document("receipt", "Receipt of model-inbox", what, object_schema(ReceiptFields))


def receipt_path(receipts_dir: Path, stem: str, uid: int | None = None) -> Path:
    """Return where the receipt of a stem is; with `uid`, where that user's is while another user's has the other name.

    No stem has an `@`, so the two never meet.
    """
    return receipts_dir / (f"{stem}.json" if uid is None else f"{stem}@{uid}.json")


def is_answer_to(receipt: Mapping[str, Any], uid: int, name: str | None = None) -> bool:
    """Return whether a receipt is about a drop of that user.

    One of version 0.1 has the user's name alone; it counts if that is `name`, and for anybody where no name is given.
    """
    owner = receipt.get("owner")
    if isinstance(owner, str):
        return name is None or owner == name
    return uid_of_owner(owner) == uid


def read_receipt(receipts_dir: Path, stem: str, uid: int) -> Mapping[str, Any] | None:
    """Return the answer to the last drop of a stem by that user, or None. Raises OSError if a file cannot be read.

    One that is closed to this process is another user's (`inbox.private`), and counts as none.
    """
    paths = (receipt_path(receipts_dir, stem), receipt_path(receipts_dir, stem, uid))
    found = [receipt for path in paths if (receipt := _read_if_open(path)) is not None]
    return max((one for one in found if is_answer_to(one, uid)), key=lambda one: str(one.get("drop_id")), default=None)


def read_receipts(receipts_dir: Path, stem: str) -> list[Mapping[str, Any]]:
    """Return the answers to the last drops of a stem by all users. Lists the folder. Raises OSError."""
    with os.scandir(receipts_dir) as entries:
        others = [entry.name for entry in entries if entry.name.startswith(f"{stem}@") and entry.name.endswith(".json")]
    found = [_read_if_open(receipts_dir / name) for name in (f"{stem}.json", *others)]
    return [receipt for receipt in found if receipt is not None]


def read_newest_receipts(receipts_dir: Path, count: int) -> tuple[list[Mapping[str, Any]], int]:
    """Return the newest receipts, newest first, and how many there are.

    One that this user may not read, or that is none, is left out. Raises OSError if the folder cannot be listed.
    """
    found: list[tuple[int, str]] = []
    with os.scandir(receipts_dir) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                # It may be replaced or purged meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    newest = heapq.nlargest(count, found)
    receipts = [receipt for _, name in newest if (receipt := _read_if_open(receipts_dir / name)) is not None]
    return receipts, len(found)


def _read_if_open(path: Path) -> Mapping[str, Any] | None:
    try:
        return read_receipt_file(path)
    except PermissionError:
        if not os.access(path.parent, os.X_OK):
            raise
        return None


def read_receipt_file(path: Path) -> Mapping[str, Any] | None:
    """Return the receipt in a file, or None if it does not exist or is not a JSON object. Raises OSError."""
    import orjson

    try:
        receipt = orjson.loads(read_regular(path, RECEIPT_BYTES_MAX))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return receipt if isinstance(receipt, dict) else None
