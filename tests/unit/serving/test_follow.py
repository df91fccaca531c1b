"""`ModelRegistry.follow`: always a whole model, the one that the registry names, or the reason why not."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from model_inbox import EntryNotFound, LoadRefused, ModelInboxError, ModelRegistry
from model_inbox.base.leases import in_use
from model_inbox.model.slot import Slot
from model_inbox.registry.position import Identity
from model_inbox.registry.segments import JournalFile
from model_inbox.serving.source import Source
from support.crash_disk import QuickDisk
from support.crash_kit import metadata
from support.examples import examples
from support.waiting import wait_until

PAIR = "USD/EUR"
TRAINED = datetime(2025, 10, 1, tzinfo=UTC)
OTHER = Identity("0123456789abcdef" * 2, "7-0123456789abcdef")


class Broken:
    """A model whose load fails as long as the file `path` is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path),)


class Ends:
    """A model whose load ends its thread."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exit, (3,)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture(name="writer")
def _writer(folder: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(folder / "registry.json", disk=QuickDisk()) as registry:
        yield registry


@pytest.fixture(name="reader")
def _reader(folder: Path, writer: ModelRegistry) -> Iterator[ModelRegistry]:
    with ModelRegistry(folder / "registry.json", read_only=True) as registry:
        yield registry


def register(registry: ModelRegistry, model_id: str, model: Any = None, day: int | None = None, **fields: Any) -> None:
    """Register a model that knows its id, with a scaler that knows it too; by default the newest."""
    day = day if day is not None else len(registry.registry)
    meta = metadata(model_id, trained_at=TRAINED + timedelta(days=day), **fields)
    registry.register_model(meta, model if model is not None else ["model", model_id], ["scaler", model_id])


def served(follower: Any) -> str:
    """Return the id that is served, with its own objects."""
    entry, model, scaler = follower.current
    assert (model, scaler) == (["model", entry["model_id"]], ["scaler", entry["model_id"]])
    return str(entry["model_id"])


# --- following -----------------------------------------------------------------------------------------------------


def test_the_newest_is_served_and_followed(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """A new newest model takes its place by itself; an older one does not."""
    register(writer, "a")
    with reader.follow(PAIR) as follower:
        first = follower.current
        assert served(follower) == "a"
        register(writer, "old", day=-5)
        register(writer, "b")
        assert follower.wait_changed(first, 10).entry["model_id"] == "b"
        assert served(follower) == "b"
        # Who took the old one before goes on with it.
        assert first.model == ["model", "a"]


def test_an_alias_is_followed(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """It moves, back too, whatever the newest model is."""
    for name in "abc":
        register(writer, name)
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    for name in "bab":
        writer.set_alias("champion", name)
        wait_until(lambda name=name: served(follower) == name)


def test_another_scaler_is_taken_with_its_model(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """A replaced scaler is a swap of both."""
    register(writer, "a")
    follower = reader.follow(PAIR)
    before = follower.current
    writer.replace_scaler("a", "other")
    assert follower.wait_changed(before, 10).scaler == "other"
    assert before.scaler == ["scaler", "a"]


def test_without_a_model_it_raises_or_waits(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """At once without `wait`; with it, it begins with the first model that comes."""
    with pytest.raises(EntryNotFound, match="no such model yet"):
        reader.follow(PAIR)
    assert len(reader.follow()) == 0
    with pytest.raises(EntryNotFound):
        reader.follow(PAIR, wait=0.05)
    timer = threading.Timer(0.1, lambda: register(writer, "a"))
    timer.start()
    with reader.follow(PAIR, wait=30) as follower:
        assert served(follower) == "a"
    timer.join()


def test_all_slots_are_followed_by_one_thread(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Without a pair: a mapping of slots, also of those that come later, and with `type` only those of that type."""
    register(writer, "a")
    register(writer, "b", currency_pair="GBP/EUR", model_type="lstm")
    wait_until(lambda: follower_threads() == 0)  # one of another test may be on its way out
    everything, lstms = reader.follow(), reader.follow(type="lstm")
    assert follower_threads() == 1
    assert set(everything) == {(PAIR, "lightgbm", ""), ("GBP/EUR", "lstm", "")}
    assert list(lstms) == [("GBP/EUR", "lstm", "")]
    register(writer, "c", currency_pair="CHF/EUR")
    wait_until(lambda: len(everything) == 3)
    assert {slot.currency_pair: one.entry["model_id"] for slot, one in everything.current.items()} == {
        PAIR: "a",
        "GBP/EUR": "b",
        "CHF/EUR": "c",
    }
    assert served(everything["CHF/EUR", "lightgbm", ""]) == "c"
    everything.close()
    lstms.close()
    wait_until(lambda: follower_threads() == 0)


def follower_threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("model-inbox-follower")


def test_all_slots_are_there_when_it_returns(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """A mapping is handed out once each slot was tried, and not when the first one is there."""
    register(writer, "a")
    register(writer, "b", currency_pair="GBP/EUR")
    second, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def try_out(model: Any, _: Any) -> None:
        seen.append(model[1])
        if len(seen) == 2:
            second.set()
            go_on.wait(10)

    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(reader.follow(try_out=try_out)))
    waiting.start()
    assert second.wait(10)
    # Longer than the clock of who waits.
    waiting.join(0.6)
    assert found == []
    go_on.set()
    waiting.join(10)
    assert len(found[0]) == 2


def test_two_mappings_that_are_alike_are_closed_apart(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Also while both are empty: the one that was not closed is filled."""
    one, other = reader.follow(), reader.follow()
    other.close()
    register(writer, "a")
    wait_until(lambda: len(one) == 1)
    assert len(other) == 0
    one.close()
    wait_until(lambda: follower_threads() == 0)


def test_a_mapping_that_is_closed_during_a_look_gets_no_followers(
    writer: ModelRegistry, reader: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would end them: the thread stayed for ever."""
    everything = reader.follow()
    slots = Source.slots

    def slots_and_close(source: Source) -> frozenset[Slot]:
        found = slots(source)
        if found:
            everything.close()
        return found

    monkeypatch.setattr(Source, "slots", slots_and_close)
    register(writer, "a")
    wait_until(lambda: follower_threads() == 0)


def test_the_first_followers_of_a_handle_share_a_thread(writer: ModelRegistry, folder: Path) -> None:
    """Also when several threads follow first at the same time; closing the handle ends them all."""
    register(writer, "a")
    for _ in range(10):
        with ModelRegistry(folder / "registry.json", read_only=True) as handle:
            together = threading.Barrier(4)

            def follow(handle: ModelRegistry = handle, together: threading.Barrier = together) -> None:
                together.wait(10)
                handle.follow(PAIR)

            threads = [threading.Thread(target=follow) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        wait_until(lambda: follower_threads() == 0)


def test_a_thread_that_ends_leaves_the_feed_to_the_next(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Followers that come and go at once: each is served, and nobody calls the registry lost."""
    register(writer, "a")
    with capture_logs() as lines:
        for _ in range(300):
            reader.follow(PAIR).close()
        wait_until(lambda: follower_threads() == 0)
    assert {line["event"] for line in lines if line["event"].startswith("follower.")} == {"follower.swapped"}


def test_what_is_asked_for_is_checked_at_once(reader: ModelRegistry) -> None:
    """Not in the thread, which nobody sees."""
    with pytest.raises(ValueError, match="give_up_after is 0"):
        reader.follow(PAIR, give_up_after=0)
    for max_age in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="max_age is"):
            reader.follow(PAIR, max_age=max_age)
    assert follower_threads() == 0


def test_variants_are_followed_apart(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """A pair and type may have several slots, each with its newest model and its aliases."""
    register(writer, "a")
    register(writer, "b", variant="30d")
    for name in "ab":
        writer.set_alias("champion", name)
    assert served(reader.follow(PAIR)) == "a"
    assert served(reader.follow(PAIR, variant="30d")) == "b"
    assert served(reader.follow(PAIR, variant="30d", alias="champion")) == "b"
    assert list(reader.follow(variant="30d", alias="champion")) == [(PAIR, "lightgbm", "30d")]


def test_two_aliases_on_one_model_share_one_load(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The objects are the same, and stay as long as one of the two serves them."""
    register(writer, "a")
    register(writer, "b")
    for alias in ("champion", "next"):
        writer.set_alias(alias, "a")
    champion, other = reader.follow(PAIR, alias="champion"), reader.follow(PAIR, alias="next")
    assert champion.current.model is other.current.model
    writer.set_alias("next", "b")
    wait_until(lambda: served(other) == "b")
    assert is_open(writer, "a")
    writer.set_alias("champion", "b")
    wait_until(lambda: served(champion) == "b")
    assert champion.current.model is other.current.model
    assert not is_open(writer, "a")


def test_never_two_loads_at_once(writer: ModelRegistry, folder: Path) -> None:
    """Also not by two handles of one process, each with its own thread."""
    for name in "ab":
        register(writer, name, Slow(name))
        writer.set_alias(name, name)
    Slow.most = 0
    with ExitStack() as stack:
        handles = [stack.enter_context(ModelRegistry(folder / "registry.json", read_only=True)) for _ in "12"]
        threads = [
            threading.Thread(target=handle.follow, args=(PAIR,), kwargs={"alias": alias})
            for handle in handles
            for alias in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Slow.most == 1


class Slow:
    """A model that counts how many of its kind are being loaded."""

    now = most = 0
    pause = threading.Event()

    def __init__(self, name: str) -> None:
        self.name = name

    def __getstate__(self) -> str:
        return self.name

    def __setstate__(self, name: str) -> None:
        Slow.now += 1
        Slow.most = max(Slow.most, Slow.now)
        Slow.pause.wait(0.02)
        Slow.now -= 1
        self.name = name


def test_a_shared_model_stays_open_for_who_tries_it(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The follower that has it is closed just then."""
    register(writer, "a")
    first = reader.follow(PAIR)
    other = reader.follow(PAIR, try_out=lambda *_: first.close())
    assert served(other) == "a"
    assert is_open(writer, "a")
    other.close()
    assert not is_open(writer, "a")

    def refuse(*_: Any) -> None:
        shared.close()
        raise ValueError("no")

    shared = reader.follow(PAIR)
    with pytest.raises(ValueError, match="no"):
        reader.follow(PAIR, try_out=refuse)
    assert not is_open(writer, "a")


# --- when the new one is no good -----------------------------------------------------------------------------------


def test_a_model_that_cannot_be_loaded_is_tried_again(
    writer: ModelRegistry, reader: ModelRegistry, tmp_path: Path
) -> None:
    """The old one stays, the reason is told, and once it loads it is served."""
    register(writer, "a")
    follower = reader.follow(PAIR)
    register(writer, "b", Broken(tmp_path / "missing"))
    wait_until(lambda: follower.counts.load_failures >= 2)
    assert served(follower) == "a"
    assert "missing" in follower.problem
    assert follower.fallen_back is None
    before = follower.current
    (tmp_path / "missing").write_text("x")
    now = follower.wait_changed(before, 20)
    assert now.entry["model_id"] == "b"
    assert follower.problem == ""
    now.model.close()


@pytest.mark.parametrize("model", [Ends(), Broken(Path("/nowhere"))], ids=["exits", "raises"])
def test_whatever_a_load_raises_the_old_one_is_served(writer: ModelRegistry, reader: ModelRegistry, model: Any) -> None:
    """Also SystemExit, which would end the thread; and the next model is followed."""
    register(writer, "a")
    follower = reader.follow(PAIR)
    register(writer, "b", model)
    wait_until(lambda: follower.counts.load_failures >= 1)
    assert served(follower) == "a"
    register(writer, "c")
    wait_until(lambda: served(follower) == "c")


def test_changed_bytes_are_not_served(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The digest is verified at every load: at the start it raises, later the old one stays."""
    register(writer, "a")
    path = Path(writer.registry["a"]["model_path"])
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(pickle.dumps(["other", "bytes"]))
    with pytest.raises(LoadRefused):
        reader.follow(PAIR)
    path.write_bytes(whole)
    assert served(reader.follow(PAIR)) == "a"


def test_a_file_that_comes_later_is_waited_for(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """A journal may be ahead of the files, where both are copied from elsewhere."""
    register(writer, "a")
    register(writer, "b")
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    path = Path(writer.registry["b"]["model_path"])
    away = path.with_name("away")
    path.rename(away)
    writer.set_alias("champion", "b")
    wait_until(lambda: "gone" in follower.problem)
    assert served(follower) == "a"
    away.rename(path)
    wait_until(lambda: served(follower) == "b")


def test_a_model_is_tried_out_before_it_is_served(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """With its scaler, for each follower; one that raises is never served."""
    tried: list[tuple[str, str]] = []

    def try_out(model: Any, scaler: Any) -> None:
        tried.append((model[1], scaler[1]))
        if model[1] == "b":
            raise ValueError("it forecasts nonsense")

    register(writer, "a")
    follower = reader.follow(PAIR, try_out=try_out)
    with capture_logs() as lines:
        register(writer, "b")
        wait_until(lambda: follower.counts.load_failures >= 1)
    assert served(follower) == "a"
    assert tried[:2] == [("a", "a"), ("b", "b")]
    failed = [line for line in lines if line["event"] == "follower.load_failed"]
    assert failed[0]["problem"] == "ValueError: it forecasts nonsense"
    assert (failed[0]["model_id"], failed[0]["serving"], failed[0]["retry_in_seconds"]) == ("b", "a", 0.25)


def test_a_trial_that_does_not_end_is_told(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """What is served stays, is called stale in time, also that of other followers, and the model is named."""
    go_on = threading.Event()

    def try_out(model: Any, _: Any) -> None:
        if model[1] == "b":
            go_on.wait(30)

    register(writer, "a")
    register(writer, "other", currency_pair="GBP/EUR")
    follower = reader.follow(PAIR, try_out=try_out, max_age=0.5)
    other = reader.follow("GBP/EUR", max_age=0.5)
    register(writer, "b")
    wait_until(lambda: follower.is_stale and other.is_stale)
    assert served(follower) == "a"
    assert follower.problem == "the model b is being loaded and tried out"
    go_on.set()
    wait_until(lambda: served(follower) == "b")
    wait_until(lambda: not follower.is_stale and not other.is_stale)
    assert follower.problem == ""


def test_what_is_named_no_more_after_its_load_is_not_served(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The alias moved on while the model was loading or being tried."""
    for name in "abc":
        register(writer, name)
    writer.set_alias("champion", "a")
    seen: list[str] = []

    def try_out(model: Any, scaler: Any) -> None:
        seen.append(model[1])
        if model[1] == "b":
            writer.set_alias("champion", "c")

    follower = reader.follow(PAIR, alias="champion", try_out=try_out)
    first = follower.current
    writer.set_alias("champion", "b")
    assert follower.wait_changed(first, 10).entry["model_id"] == "c"
    assert seen == ["a", "b", "c"]
    assert follower.counts.swaps == 2
    assert not is_open(writer, "b")


# --- going back ----------------------------------------------------------------------------------------------------


def test_a_model_that_fails_is_given_up(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """After three reports the holder before is served, until the alias moves; the registry is not touched."""
    for name in "abcd":
        register(writer, name)
    for name in "dab":
        writer.set_alias("champion", name)
    follower = reader.follow(PAIR, alias="champion")
    failing = follower.current
    with capture_logs() as lines:
        for number in range(3):
            failing.failed(ValueError(f"no {number}"))
        assert follower.wait_changed(failing, 10).entry["model_id"] == "a"
        wait_until(lambda: [line for line in lines if line["event"] == "follower.fallen_back"])
    fallen = follower.fallen_back
    assert fallen is not None
    assert (fallen.model_id, fallen.serving, fallen.problem) == ("b", "a", "ValueError: no 2")
    assert fallen.at <= datetime.now(UTC)
    assert [line["event"] for line in lines].count("follower.model_failed") == 3
    assert writer.get_model(PAIR, alias="champion")["model_id"] == "b"  # type: ignore[index]  # it is one
    register(writer, "e")  # another change of the registry is none of the alias
    writer.set_alias("next", "e")
    failing.failed("late")  # says nothing about what is served now
    wait_until(lambda: reader.sequence == writer.sequence)
    assert served(follower) == "a"
    writer.set_alias("champion", "c")
    wait_until(lambda: served(follower) == "c")
    assert follower.fallen_back is None


def test_promotions_and_rollbacks_are_followed(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """They move the alias; who goes back goes down the stack, and not to what was rolled back from."""
    for name in "abc":
        register(writer, name)
        writer.promote(name)
    follower = reader.follow(PAIR, alias="champion", give_up_after=1)
    assert served(follower) == "c"
    writer.rollback(PAIR, "lightgbm")
    wait_until(lambda: served(follower) == "b")
    follower.current.failed("no")
    wait_until(lambda: served(follower) == "a")
    writer.promote("c")
    wait_until(lambda: served(follower) == "c")
    assert follower.fallen_back is None


def test_a_fallback_ends_when_the_alias_names_what_is_served(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The operator rolls back to the model that the server went back to: nothing is loaded, and all is well."""
    for name in "ab":
        register(writer, name)
        writer.set_alias("champion", name)
    follower = reader.follow(PAIR, alias="champion", give_up_after=1)
    follower.current.failed("no")
    wait_until(lambda: follower.fallen_back)
    before = follower.current
    writer.set_alias("champion", "a")
    wait_until(lambda: follower.fallen_back is None)
    assert (follower.problem, follower.current is before) == ("", True)


def test_an_alias_that_is_set_again_is_served_again(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Away and back between two looks counts as a move, though the holder is the same."""
    for name in "ab":
        register(writer, name)
        writer.set_alias("champion", name)
    follower = reader.follow(PAIR, alias="champion", give_up_after=1)
    follower.current.failed("no")
    wait_until(lambda: served(follower) == "a")
    writer.set_alias("champion", "a")
    writer.set_alias("champion", "b")
    wait_until(lambda: served(follower) == "b")
    assert follower.fallen_back is None


def test_it_goes_further_back_and_over_what_cannot_be_loaded(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Models that are gone, broken, or have failed, too, are left out."""
    register(writer, "a")
    register(writer, "b", Ends())
    for name in "cde":
        register(writer, name)
    for name in "abcde":
        writer.set_alias("champion", name)
    assert writer.delete_model("c")
    follower = reader.follow(PAIR, alias="champion", give_up_after=1)
    for expected in "da":
        follower.current.failed("no")
        wait_until(lambda expected=expected: served(follower) == expected)
    assert follower.fallen_back is not None
    assert follower.fallen_back.model_id == "e"
    with capture_logs() as lines:
        follower.current.failed("no")
        wait_until(lambda: [line for line in lines if line["event"] == "follower.not_fallen_back"])
    assert served(follower) == "a"


def test_the_newest_goes_back_to_the_one_before(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Without an alias the next older model is served, until a newer one comes."""
    for name in "abc":
        register(writer, name)
    follower = reader.follow(PAIR, give_up_after=2)
    for _ in range(2):
        follower.current.failed("no")
    wait_until(lambda: served(follower) == "b")
    register(writer, "d")
    wait_until(lambda: served(follower) == "d")
    assert follower.fallen_back is None


def test_a_model_out_of_service_is_left_at_once(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """The newest model that is held is served no longer, and nobody goes back to it."""
    for name in "abcd":
        register(writer, name)
    follower = reader.follow(PAIR, give_up_after=1)
    writer.hold("d", reason="it forecasts nonsense")
    wait_until(lambda: served(follower) == "c")
    writer.hold("b", reason="this one, too")
    follower.current.failed("no")
    wait_until(lambda: served(follower) == "a")


def test_a_server_that_starts_with_a_broken_model_serves_the_one_before(
    writer: ModelRegistry, reader: ModelRegistry, tmp_path: Path
) -> None:
    """It says so, and takes the right one once that can be loaded."""
    register(writer, "a")
    register(writer, "b", Broken(tmp_path / "missing"))
    for name in "ab":
        writer.set_alias("champion", name)
    follower = reader.follow(PAIR, alias="champion")
    before = follower.current
    assert served(follower) == "a"
    assert follower.fallen_back is not None
    assert "missing" in follower.fallen_back.problem
    (tmp_path / "missing").write_text("x")
    now = follower.wait_changed(before, 20)
    assert now.entry["model_id"] == "b"
    assert follower.fallen_back is None
    now.model.close()


# --- the files that are in use -------------------------------------------------------------------------------------


def is_open(registry: ModelRegistry, model_id: str) -> bool:
    """Return whether another descriptor has the model's file open, as a purge asks."""
    fd = os.open(registry.registry[model_id]["model_path"], os.O_RDONLY)
    try:
        return in_use(fd)
    finally:
        os.close(fd)


def test_what_is_served_is_not_purged(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Retiring it is allowed, purging it waits until nobody serves it."""
    register(writer, "a")
    register(writer, "b", currency_pair="GBP/EUR")
    follower, other = reader.follow(PAIR), reader.follow("GBP/EUR")
    assert writer.delete_model("a")
    (retired,) = writer.retired()
    assert writer.purge(retired) is None
    assert served(follower) == "a"
    follower.close()
    assert writer.purge(retired) is not None
    assert served(other) == "b"


def test_a_closed_follower_keeps_no_model_in_memory(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Servers may keep the follower for ever, and a model may be large."""
    register(writer, "a", Slow("a"))
    follower = reader.follow(PAIR)
    model = weakref.ref(follower.current.model)
    follower.close()
    wait_until(lambda: model() is None)
    assert "nothing" in repr(follower)


def test_after_close_nothing_is_served(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Neither after that of the follower nor of the handle; who waits is told."""
    register(writer, "a")
    one, other = reader.follow(PAIR), reader.follow(PAIR)
    one.close()
    with pytest.raises(ModelInboxError, match="closed"):
        _ = one.current

    def wait() -> None:
        with pytest.raises(ModelInboxError, match="closed"):
            other.wait_changed()

    waiting = threading.Thread(target=wait)
    waiting.start()
    reader.close()
    waiting.join(10)
    assert not waiting.is_alive()
    with pytest.raises(ModelInboxError, match="closed"):
        reader.follow(PAIR)
    assert not is_open(writer, "a")


def test_a_handle_that_is_closed_is_not_followed(writer: ModelRegistry, folder: Path) -> None:
    """Nor is one that nobody followed before."""
    register(writer, "a")
    reader = ModelRegistry(folder / "registry.json", read_only=True)
    reader.close()
    for pair in (PAIR, None):
        with pytest.raises(ModelInboxError, match="closed"):
            reader.follow(pair)  # type: ignore[call-overload]  # each of the two is fine
    assert follower_threads() == 0


def test_a_handle_is_closed_while_a_model_is_tried(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Its files are let go of when the trial ends, and nobody calls that a failure."""
    tried, go_on = threading.Event(), threading.Event()

    def try_out(model: Any, _: Any) -> None:
        if model[1] == "b":
            tried.set()
            go_on.wait(30)

    register(writer, "a")
    reader.follow(PAIR, try_out=try_out)
    with capture_logs() as lines:
        register(writer, "b")
        assert tried.wait(10)
        reader.close()
        go_on.set()
        wait_until(lambda: follower_threads() == 0)
    assert [line["event"] for line in lines if line["event"].startswith("follower.")] == []
    assert not is_open(writer, "b")


# --- threads, asyncio, forks ---------------------------------------------------------------------------------------


def test_asyncio_waits_without_blocking(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """`await follower.changed()` returns the next model, and at once where it is another already."""
    register(writer, "a")
    follower = reader.follow(PAIR)
    first = follower.current

    async def serve() -> tuple[str, str]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        waiting = asyncio.create_task(follower.changed(first))
        while ticks < 10:
            await asyncio.sleep(0)
        register(writer, "b")
        second = await asyncio.wait_for(waiting, 10)
        again = await asyncio.wait_for(follower.changed(first), 10)
        ticking.cancel()
        return second.entry["model_id"], again.entry["model_id"]

    assert asyncio.run(serve()) == ("b", "b")


def test_readers_never_see_parts_of_two_models(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """Four threads read all the time while the alias moves."""
    for name in "abc":
        register(writer, name)
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    is_over, mixed, seen = threading.Event(), [], set()

    def read() -> None:
        while not is_over.is_set():
            entry, model, scaler = follower.current
            seen.add(entry["model_id"])
            if not entry["model_id"] == model[1] == scaler[1]:
                mixed.append((entry["model_id"], model, scaler))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in "bcabca":
        writer.set_alias("champion", name)
        wait_until(lambda name=name: served(follower) == name)
    is_over.set()
    for thread in threads:
        thread.join()
    assert (mixed, seen) == ([], {"a", "b", "c"})


# Newer versions of Python warn of each fork of a process with threads, which is what this is about.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_child_of_a_fork_follows_by_itself(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """As gunicorn's workers do: it serves at once, starts its own thread when it is used, and sees what comes."""
    register(writer, "a")
    register(writer, "b")
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    go_read, go_write = os.pipe()
    told_read, told_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            threads = threading.active_count()
            first = follower.current
            assert (threads, threading.active_count()) == (1, 2)
            os.write(told_write, first.entry["model_id"].encode())
            os.read(go_read, 1)
            os.write(told_write, follower.wait_changed(first, 20).entry["model_id"].encode())
            status = 0
        finally:
            os._exit(status)
    assert os.read(told_read, 9) == b"a"
    writer.set_alias("champion", "b")
    os.write(go_write, b"x")
    assert os.read(told_read, 9) == b"b"
    assert os.waitpid(pid, 0)[1] == 0
    wait_until(lambda: served(follower) == "b")
    for fd in (go_read, go_write, told_read, told_write):
        os.close(fd)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("use", ["wait_changed", "get", "len"])
def test_whatever_a_child_asks_first_it_follows(writer: ModelRegistry, reader: ModelRegistry, use: str) -> None:
    """Waiting for a change from what the parent served, asking for a slot that is not there yet, or for how many."""
    register(writer, "a")
    follower, others = reader.follow(PAIR), reader.follow(type="lstm")
    first = follower.current
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            threading.Timer(20, os._exit, (2,)).start()
            if use == "wait_changed":
                status = int(follower.wait_changed(first, 15).model != "c")
            elif use == "get":
                wait_until(lambda: others.get((PAIR, "lstm", "")) is not None)
                status = 0
            else:
                wait_until(lambda: len(others) == 1)
                status = 0
        finally:
            os._exit(status)
    register(writer, "new", "c")
    register(writer, "d", model_type="lstm")
    assert os.waitpid(pid, 0)[1] == 0


# --- registries that move, vanish, begin again ---------------------------------------------------------------------


def test_a_registry_that_is_away_is_waited_for(writer: ModelRegistry, reader: ModelRegistry, folder: Path) -> None:
    """What was loaded is served, its age grows, and it goes on once the folder is back."""
    register(writer, "a")
    follower = reader.follow(PAIR, max_age=0.6)
    register(writer, "b")
    wait_until(lambda: served(follower) == "b")
    assert not follower.is_stale
    away = folder.with_name("away")
    with capture_logs() as lines:
        folder.rename(away)
        wait_until(lambda: [line for line in lines if line["event"] == "follower.became_stale"])
        assert follower.is_stale
        assert served(follower) == "b"
        away.rename(folder)
        wait_until(lambda: not follower.is_stale)
        register(writer, "c")
        wait_until(lambda: served(follower) == "c")
    events = [line["event"] for line in lines if line["event"].startswith("follower.")]
    assert events.count("follower.registry_lost") == events.count("follower.registry_found") == 1
    assert "follower.became_fresh" in events


def test_a_new_epoch_is_compared_with(writer: ModelRegistry, reader: ModelRegistry, folder: Path) -> None:
    """After a rebuild, or a backup that was put back, the holder of then is served."""
    for name in "ab":
        register(writer, name)
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    writer.set_alias("champion", "b")
    wait_until(lambda: served(follower) == "b")
    writer.close()
    shorter = folder / "registry.journal.jsonl"
    lines = shorter.read_bytes().splitlines(keepends=True)
    shorter.write_bytes(b"".join(lines[:-1]))
    file = JournalFile(shorter, QuickDisk(), writable=True)
    file.read_new()
    file.take_over(OTHER, file.format)
    file.close()
    (folder / "registry.checkpoint.json").unlink(missing_ok=True)
    wait_until(lambda: served(follower) == "a")
    with ModelRegistry(folder / "registry.json", disk=QuickDisk()) as again:
        again.set_alias("champion", "b")
        wait_until(lambda: served(follower) == "b")


def test_nobody_holds_the_alias_any_more(writer: ModelRegistry, reader: ModelRegistry) -> None:
    """What was served stays, and the log says once why."""
    register(writer, "a")
    writer.set_alias("champion", "a")
    follower = reader.follow(PAIR, alias="champion")
    with capture_logs() as lines:
        writer.remove_alias("champion", "a")
        wait_until(lambda: follower.problem)
    assert served(follower) == "a"
    assert [line["event"] for line in lines if line["event"] == "follower.holder_lost"] == ["follower.holder_lost"]
    writer.set_alias("champion", "a")
    wait_until(lambda: not follower.problem)


# --- against a model of the registry -------------------------------------------------------------------------------

_id = st.sampled_from("abcde")
STEPS = st.tuples(
    st.one_of(
        st.tuples(st.sampled_from(["good", "bad"]), _id),
        st.tuples(st.sampled_from(["set_alias", "remove_alias", "delete"]), _id),
        st.tuples(st.sampled_from(["change_segment", "checkpoint"]), st.just("")),
    ),
    st.booleans(),
)


@settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=14))
def test_it_serves_what_is_named_within_a_second_and_nothing_else(steps: list[tuple[tuple[str, str], bool]]) -> None:
    """Of an alias and of the newest: after any history, and nothing was ever loaded that no name led to."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="model-inbox-", dir=root))
    try:
        with ModelRegistry(folder / "registry.json", disk=QuickDisk()) as writer:
            register(writer, "first")
            writer.set_alias("champion", "first")
            with ModelRegistry(folder / "registry.json", read_only=True) as reader:
                _Game(writer, reader).play(steps)
    finally:
        shutil.rmtree(folder)


class _Game:
    """One history, with a dictionary that knows who is named and who can be loaded."""

    def __init__(self, writer: ModelRegistry, reader: ModelRegistry) -> None:
        self.writer = writer
        self.tried: dict[str | None, list[str]] = {"champion": [], None: []}
        self.followers = {
            alias: reader.follow(
                PAIR, alias=alias, try_out=lambda model, _, alias=alias: self.tried[alias].append(model[1])
            )
            for alias in self.tried
        }
        self.models: dict[str, tuple[int, bool]] = {"first": (0, True)}
        self.day = 0
        self.took: list[float] = []
        self.named: dict[str | None, str | None] = {"champion": "first", None: "first"}
        self.ever: dict[str | None, set[str]] = {alias: {"first"} for alias in self.tried}
        self.expected: dict[str | None, set[str]] = {alias: {"first"} for alias in self.tried}

    def play(self, steps: list[tuple[tuple[str, str], bool]]) -> None:
        for (name, word), waits in steps:
            self.do(name, word)
            self.note()
            if waits:
                self.settle()
        self.settle()
        # A single one may wait for a busy machine.
        assert sorted(self.took)[len(self.took) // 2] < 1
        for alias, tried in self.tried.items():
            assert set(tried) <= self.ever[alias]

    def do(self, name: str, word: str) -> None:
        writer = self.writer
        champion = self.named["champion"]
        if name in ("good", "bad") and word not in self.models:
            self.day += 1
            register(writer, word, Ends() if name == "bad" else None, day=self.day)
            self.models[word] = (self.day, name == "good")
        elif name == "set_alias" and word in self.models:
            writer.set_alias("champion", word)
            self.named["champion"] = word
        elif name == "remove_alias" and word == champion:
            writer.remove_alias("champion", word)
            self.named["champion"] = None
        elif name == "delete" and word in self.models and word != champion:
            assert writer.delete_model(word)
            del self.models[word]
        elif name in ("change_segment", "checkpoint"):
            getattr(writer, name)()
        self.named[None] = max(self.models, key=lambda one: self.models[one][0])

    def note(self) -> None:
        """Work out who may be served now: who is named if it can be loaded, else whoever was served."""
        for alias, holder in self.named.items():
            if holder is not None:
                self.ever[alias].add(holder)
            if holder is not None and self.models[holder][1]:
                self.expected[alias] = {holder, *self.expected[alias]}

    def settle(self) -> None:
        """Wait for what must be served by now."""
        begun = time.monotonic()
        for alias, follower in self.followers.items():
            holder = self.named[alias]
            if holder is not None and self.models[holder][1]:
                wait_until(lambda follower=follower, holder=holder: served(follower) == holder, seconds=20)
                self.expected[alias] = {holder}
            else:
                assert served(follower) in self.expected[alias]
        self.took.append(time.monotonic() - begun)
