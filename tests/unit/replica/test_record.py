"""`replica.json`: what was written reads back, and nothing else is taken for one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from model_inbox.replica.record import Record, pulled_at

AT = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)


def test_a_record_reads_back() -> None:
    """All of it, before and after the first pull."""
    for record in (
        Record("host:/srv/models"),
        Record("/mnt/x", "r.json", ("a", "b"), AT, "0/1/2", 3, {"prediction/a.pkl": "ab"}, ("x",), AT, "it was away"),
    ):
        assert Record.decode(record.encode()) == record
        assert pulled_at(record.encode()) == record.pulled_at


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "model-inbox-replica/2"}', b"\xff"])
def test_other_files_are_none(data: bytes) -> None:
    """A newer format is refused, too."""
    with pytest.raises(ValueError, match=r"."):
        Record.decode(data)
