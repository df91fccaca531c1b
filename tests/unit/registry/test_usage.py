"""How much each user has of a registry, and what is over a quota."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.model.metadata import fields_of
from model_inbox.model.owner import OwnerFields
from model_inbox.registry.files import StagedFiles
from model_inbox.registry.outcomes import Candidate, Registered
from model_inbox.registry.registry import ModelRegistry
from model_inbox.registry.usage import DAY, Quota, Usage
from support.crash_kit import metadata

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

ANN, BOB = OwnerFields(name="ann", uid=7), OwnerFields(name="bob", uid=8)
THREE = Quota("quota[0]", 3, None)


class Handle:
    """A registry with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.registry = self.open()

    def open(self, **options: Any) -> ModelRegistry:
        path = self.folder / "models" / "registry.json"
        path.parent.mkdir(exist_ok=True)
        return ModelRegistry(path, clock=lambda: self.now, actor="test", **options)

    def candidate(
        self, name: str, owner: OwnerFields | None = ANN, quota: Quota | None = THREE, size: int = 10
    ) -> Candidate:
        staging = Path(self.registry.storage_dir) / ".staging"
        model, sidecar = staging / f"{name}.pkl", staging / f"{name}.yaml"
        data = name.encode().ljust(size, b".")[:size]
        model.unlink(missing_ok=True)
        model.write_bytes(data)
        sidecar.unlink(missing_ok=True)
        sidecar.write_bytes(b"x: y\n")
        files = StagedFiles(model, hashlib.sha256(data).hexdigest(), size, None, None, 0, sidecar)
        return Candidate(fields_of(metadata(name)), files, "inbox", drop_id=name, imports={}, owner=owner, quota=quota)

    def register(self, *names: str, **how: Any) -> list[Registered]:
        return self.registry.register_staged([self.candidate(name, **how) for name in names])


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Iterator[Handle]:
    handle = Handle(tmp_path)
    with handle.registry:
        yield handle


def outcomes(done: list[Registered]) -> list[str]:
    return [one.outcome for one in done]


def test_a_batch_cannot_pass_a_quota_together(it: Handle) -> None:
    """Of five drops that commit together three are registered; the others are told what is used and when it frees."""
    done = it.register("a", "b", "c", "d", "e")
    assert outcomes(done) == ["registered"] * 3 + ["refused"] * 2
    assert sorted(it.registry.registry) == ["a", "b", "c"]
    (problem,) = done[3].problems
    assert problem is not None
    assert problem.code == "drop.quota"
    assert "ann (uid 7) has 3 registrations in the last 24 hours, and 3 a day are allowed" in problem.message
    assert "quota[0].models_per_day" in problem.message
    assert (NOW + DAY).isoformat(timespec="milliseconds").replace("+00:00", "Z") in problem.hint
    assert outcomes(it.register("f", owner=BOB)) == ["registered"]
    assert sorted(path.name for path in Path(it.registry.storage_dir).glob("[de].*")) == []


def test_a_day_later_it_frees(it: Handle) -> None:
    """One by one, when each registration is a day old."""
    it.register("a", "b")
    it.now += timedelta(hours=5)
    it.register("c")
    it.now = NOW + DAY - timedelta(seconds=1)
    assert outcomes(it.register("d")) == ["refused"]
    it.now = NOW + DAY + timedelta(seconds=1)
    assert outcomes(it.register("d", "e", "f")) == ["registered", "registered", "refused"]


def test_what_was_retired_and_purged_counts_also_after_a_start(it: Handle) -> None:
    """Neither retention nor a new process makes room for more on the same day; the index begins with the journal."""
    it.register("a", "b", "c")
    for name in "ab":
        it.registry.delete_model(name)
    it.registry.purge(it.registry.retired()[0])
    assert outcomes(it.register("d")) == ["refused"]
    it.registry.change_segment()
    it.registry.close()
    it.registry = it.open()
    with it.registry:
        assert outcomes(it.register("d")) == ["refused"]


def test_two_handles_cannot_pass_a_quota_together(it: Handle) -> None:
    """Each sees what the other committed, before and after it began to count."""
    with it.open() as other:
        assert outcomes(other.register_staged([it.candidate("a")])) == ["registered"]
        assert outcomes(it.register("b")) == ["registered"]
        assert outcomes(other.register_staged([it.candidate("c")])) == ["registered"]
        assert outcomes(it.register("d")) == ["refused"]


def test_duplicates_count_for_nothing(it: Handle) -> None:
    """The same drop again is a duplicate, also of a user whose quota is used up."""
    it.register("a", "b", "c")
    again = dataclasses.replace(it.candidate("a"), drop_id="another")
    assert outcomes(it.registry.register_staged([again])) == ["duplicate"]


def test_bytes_are_those_of_registered_models(it: Handle) -> None:
    """Up to the limit is fine; a model that is retired makes room, one that is restored takes it."""
    quota = Quota("quota[1]", None, 100)
    assert outcomes(it.register("a", "b", quota=quota, size=50)) == ["registered", "registered"]
    (over,) = it.register("c", quota=quota, size=1)
    said = "has 100 B of registered models, this one has 1 B, and 100 B are allowed (quota[1].bytes"
    assert said in over.problems[0].message
    it.registry.delete_model("a")
    assert outcomes(it.register("c", quota=quota, size=1)) == ["registered"]
    it.registry.restore("a")
    assert outcomes(it.register("d", quota=quota, size=1)) == ["refused"]


def test_a_quota_of_nothing_lets_nothing_through(it: Handle) -> None:
    """With 0 a day there is no time at which it frees."""
    (over,) = it.register("a", quota=Quota("quota[0]", 0, None))
    assert over.problems[0].hint == "No drop of this user is registered"


def test_a_drop_without_owner_has_no_quota(it: Handle) -> None:
    """What came from Python, or of a version without owners, counts for nobody."""
    assert outcomes(it.register("a", "b", "c", "d", owner=None)) == ["registered"] * 4


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, 7, 8]), st.integers(0, 9), st.integers(0, 40)),
        max_size=30,
    )
)
def test_the_index_counts_as_a_scan_does(steps: list[tuple[str, int | None, int, int]]) -> None:
    """Whatever is set, changed and removed in whatever order: bytes and registrations are those of a plain count."""
    usage = Usage([], [], NOW)
    entries: dict[str, dict[str, Any]] = {}
    told: list[tuple[int, datetime]] = []
    for number, (name, uid, size, hours) in enumerate(steps, 1):
        old = entries.pop(name, None)
        at = NOW + timedelta(hours=hours)
        new = None
        if size:
            owner = None if uid is None else {"name": None, "uid": uid}
            new = {"owner": owner, "size_bytes": size, "registered_at": at.isoformat(), "sequence": number}
            entries[name] = new
            usage.registered(new)
            if uid is not None:
                told.append((uid, at))
        usage.note(old, new)
    for uid in (7, 8):
        now = NOW + timedelta(hours=40)
        bytes_used = sum(entry["size_bytes"] for entry in entries.values() if (entry["owner"] or {}).get("uid") == uid)
        models = sum(owner == uid and now - DAY < at <= now for owner, at in told)
        whose = {"name": None, "uid": uid}
        assert usage.refusal(Quota("q", None, bytes_used + 5), whose, 5, now) is None
        assert usage.refusal(Quota("q", None, bytes_used + 5), whose, 6, now) is not None
        assert usage.refusal(Quota("q", models + 1, None), whose, 0, now) is None
        assert usage.refusal(Quota("q", models, None), whose, 0, now) is not None
