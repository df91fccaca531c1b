"""The bytes of the registry's JSON file and of its mark.

Owns how both are written and parsed. The JSON file is a checkpoint: the entries as they were after some line of the
journal. Beside it lies its mark, `<registry>.checkpoint.json`: the line that the journal had reached, and the size and
CRC-32 of the JSON file put in place with it and of the one before, so that a damaged byte in the JSON file is found.
The mark ends with a checksum like a line of the journal, so that a damaged byte in the mark is found, too. Never
touches the disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..base.collector import collector_paused
from ..base.shapes import format_of
from ..errors import RegistryCorrupted, RegistryTooNew
from ..problems import quoted
from .entry import EntryFields
from .journal import seal, unseal
from .position import Identity

__all__ = [
    "CHECKPOINT_MODE",
    "NO_FILE",
    "Fingerprint",
    "Mark",
    "checkpoint_bytes",
    "fingerprint",
    "mark_bytes",
    "parse_checkpoint",
    "parse_mark",
]

CHECKPOINT_FORMAT_NAME = "model-inbox-checkpoint/"
CHECKPOINT_FORMAT = f"{CHECKPOINT_FORMAT_NAME}2"
CHECKPOINT_FORMAT_WITHOUT_IDENTITY = f"{CHECKPOINT_FORMAT_NAME}1"
CHECKPOINT_MODE = 0o640

Fingerprint = tuple[int, str]
"""The size of a file in bytes, and the CRC-32 of its bytes in hexadecimal."""

NO_FILE: Fingerprint = (0, "")
"""Stands for a JSON file that was not there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The journal had reached line `sequence`; the JSON file is `after`, or still `before`.

    `identity` is the journal's; None beside a journal that had none.
    """

    sequence: int
    after: Fingerprint
    before: Fingerprint
    identity: Identity | None

    def fits(self, data: bytes) -> bool:
        """Return whether `data` can be the JSON file that the mark was put in place with."""
        return fingerprint(data) in (self.after, self.before)

    def is_of(self, data: bytes) -> bool:
        """Return whether `data` is the JSON file of line `sequence`, and not the one before."""
        return fingerprint(data) == self.after


def parse_checkpoint(path: Path, data: bytes) -> dict[str, EntryFields]:
    """Return the entries in the bytes of the JSON file at `path`. Raises RegistryCorrupted."""
    try:
        with collector_paused():
            value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RegistryCorrupted(path, error.pos, f"not JSON: {error.msg}") from None
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise RegistryCorrupted(path, 0, "not a JSON object of entries")
    for model_id, entry in value.items():
        if entry.get("model_id") != model_id:
            if "model_id" in entry:
                raise RegistryCorrupted(path, None, f"the entry {quoted(model_id)} calls itself by another model_id")
            entry["model_id"] = model_id
    return value


def checkpoint_bytes(entries: Mapping[str, Any]) -> bytes:
    """Return the JSON file of these entries."""
    return orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def parse_mark(path: Path, data: bytes) -> Mark:
    """Return the mark in the bytes of the file at `path`. Raises RegistryCorrupted and RegistryTooNew."""
    fields = unseal(data.removesuffix(b"\n"))
    name = format_of(data)
    is_known = name in (CHECKPOINT_FORMAT, CHECKPOINT_FORMAT_WITHOUT_IDENTITY)
    if isinstance(name, str) and not is_known and name.startswith(CHECKPOINT_FORMAT_NAME):
        what = f"it has the format {quoted(name)}, this version reads {CHECKPOINT_FORMAT}"
        raise RegistryTooNew.of_file(path, what)
    try:
        if fields is None or not is_known:
            raise ValueError(name)
        before = fields["previous"]
        identity = Identity(fields["registry_id"], fields["epoch"]) if name == CHECKPOINT_FORMAT else None
        return Mark(
            int(fields["sequence"]),
            (int(fields["size"]), str(fields["crc32"])),
            (int(before["size"]), str(before["crc32"])),
            identity,
        )
    except (ValueError, KeyError, TypeError):
        raise RegistryCorrupted(path, 0, "not the mark of a checkpoint") from None


def mark_bytes(mark: Mark) -> bytes:
    """Return the bytes of a mark's file."""
    fields: dict[str, Any] = {"format": CHECKPOINT_FORMAT_WITHOUT_IDENTITY}
    if mark.identity is not None:
        fields = {
            "format": CHECKPOINT_FORMAT,
            "registry_id": mark.identity.registry_id,
            "epoch": mark.identity.epoch,
        }
    fields |= {
        "sequence": mark.sequence,
        "size": mark.after[0],
        "crc32": mark.after[1],
        "previous": {"size": mark.before[0], "crc32": mark.before[1]},
    }
    return seal(fields)


def fingerprint(data: bytes) -> Fingerprint:
    """Return the size and the CRC-32 of the JSON file with these bytes."""
    return len(data), f"{zlib.crc32(data):08x}"
