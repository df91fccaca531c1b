"""Reads a registry with `json` and `zlib` alone, as docs/reference/formats.md says: a reader to compare with."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

SEAL_BYTES = len(',"checksum":"01234567"}')


def unsealed(line: bytes) -> dict[str, Any]:
    """Return the object of a line that has its checksum."""
    body = line[:-SEAL_BYTES]
    assert line == body + b',"checksum":"%08x"}' % zlib.crc32(body), f"not what was written: {line[:200]!r}"
    value: dict[str, Any] = json.loads(line)
    return value


def read_lines(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """Return the base sequence of a segment and its whole lines."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    header, *lines = [unsealed(line) for line in whole.split(b"\n")]
    assert header["format"] in ("model-inbox-journal/1", "model-inbox-journal/2")
    assert ("registry_id" in header) == ("epoch" in header) == (header["format"] == "model-inbox-journal/2")
    numbers = [line["sequence"] for line in lines]
    assert numbers == [header["base_sequence"] + 1 + at for at in range(len(lines))], numbers
    return header["base_sequence"], lines


def apply(entries: dict[str, Any], line: dict[str, Any]) -> None:
    """Make the change that a line tells of."""
    if "entry" in line:
        if line["entry"] is None:
            entries.pop(line["model_id"], None)
        else:
            entries[line["model_id"]] = line["entry"]
    entries.update((line.get("detail") or {}).get("also", {}))


def read_registry(registry: Path) -> dict[str, Any]:
    """Return the entries after the last commit, paths as they are stored."""
    journal = registry.with_name(f"{registry.stem}.journal.jsonl")
    while True:
        inode = journal.stat().st_ino
        try:
            entries: dict[str, Any] = json.loads(registry.read_bytes())
        except FileNotFoundError:
            entries = {}
        _, lines = read_lines(journal)
        if os.stat(journal).st_ino == inode:
            break
    for line in lines:
        apply(entries, line)
    return entries


def read_history(registry: Path) -> list[dict[str, Any]]:
    """Return all lines that are kept, oldest first."""
    found: dict[int, dict[str, Any]] = {}
    segments = sorted((registry.parent / "history").glob("*[0-9].jsonl"))
    for path in [*segments, registry.with_name(f"{registry.stem}.journal.jsonl")]:
        for line in read_lines(path)[1]:
            assert found.setdefault(line["sequence"], line) == line
    return [found[number] for number in sorted(found)]
