"""`model-inbox retention confirm-clock`, and what the commands that remove by age do after a jump of the clock.

The jump is made by a saved reading of the clocks of this very boot that says something else than the clock does now.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model_inbox.base.boot import boot_clock
from model_inbox.registry.clock import Reading, reading_bytes
from support.home import Home, rules


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Three models, of which the rules keep one, and another one in the trash."""
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    for day, model_id in enumerate("abcd"):
        home.register(model_id, days=day)
    with home.open() as registry:
        registry.delete_model("a")
    (tmp_path / "config.yaml").write_text(rules())
    return home


def jump(home: Home, ahead: timedelta) -> None:
    """Let the clock be ahead of what it would show if nobody had set it."""
    saved = Reading(datetime.now(UTC) - ahead, boot_clock().read())
    home.registry_path.with_name("prediction_registry.clock.json").write_bytes(reading_bytes(saved))


REMOVE: list[tuple[str, ...]] = [
    ("retention", "apply", "--yes"),
    ("trash", "purge", "--yes"),
    ("trash", "purge", "--all", "--yes"),
    ("trash", "purge", "a", "--yes"),
]


@pytest.mark.parametrize("words", REMOVE)
@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=-1)])
def test_nothing_is_removed_after_a_jump_until_somebody_confirms_the_clock(
    home: Home, words: tuple[str, ...], ahead: timedelta
) -> None:
    """Exit 75 with what to do; the jump has a line though no daemon runs; after the confirmation the command works."""
    jump(home, ahead)
    for _ in range(2):
        error = home.error(*words, status=75)
        assert error["code"] == "clock.held"
        assert re.search(r"nothing is retired or purged for (1h|59m[0-9]*s?) from now", error["message"])
        assert "model-inbox retention confirm-clock" in error["hint"]
    lines = home.json("history")
    assert [line["operation"] for line in lines][-2:] == ["retire", "clock"]
    assert lines[-1]["seconds"] == pytest.approx(ahead.total_seconds(), abs=30)
    said = home.json("retention", "confirm-clock")
    assert (said["confirmed"], said["sequence"]) == (True, 7)
    assert home.run(*words).exit_code == 0
    after = {line["operation"] for line in home.json("history")[7:]}
    assert after == ({"retire"} if words[0] == "retention" else {"purge"})


def test_what_stands_still_may_still_be_done_by_hand(home: Home) -> None:
    """A plan, a deletion of one named model, and its restoration go by no clock."""
    jump(home, timedelta(days=400))
    assert home.json("retention", "plan")["retire"]
    home.text("delete", "b")
    home.text("restore", "b")
    home.error("retention", "apply", "--yes", status=75)


def test_the_history_tells_of_jump_and_confirmation_in_words(home: Home) -> None:
    """Who confirmed, and what the clock should have shown."""
    jump(home, timedelta(days=400))
    home.error("trash", "purge", "--yes", status=75)
    assert home.text("retention", "confirm-clock").startswith("The clock is confirmed: ")
    text = " ".join(home.text("history").split())
    assert "the clock was put ahead by 400d" in text
    assert "clock from 20" in text
    assert "the clock was confirmed" in text


def test_rejected_drops_are_not_purged_by_a_clock_that_jumped(home: Home) -> None:
    """But all of them are, whatever their age, if a person says so."""
    rejected = home.folder / "inbox" / "rejected" / "20251025T120000000000Z-0001-m"
    rejected.mkdir(parents=True)
    jump(home, timedelta(days=400))
    assert home.error("rejected", "purge", "--yes", status=75)["code"] == "clock.held"
    assert home.json("rejected", "purge", "--all", "--yes")["purged"] == [rejected.name]


def test_with_nothing_in_doubt_nothing_is_confirmed(home: Home) -> None:
    """No line, exit 0."""
    count = len(home.json("history"))
    assert home.text("retention", "confirm-clock").startswith("Nothing to confirm: the clock has not jumped.")
    assert home.json("retention", "confirm-clock")["confirmed"] is False
    assert len(home.json("history")) == count


def test_verify_and_rebuild_know_the_lines(home: Home) -> None:
    """They are sound lines like any other, and stay in a rebuilt registry."""
    jump(home, timedelta(days=-1))
    home.error("trash", "purge", "--yes", status=75)
    home.text("retention", "confirm-clock")
    assert home.json("verify")["ok"] is True
    home.run("rebuild", "--yes")
    assert home.json("verify")["ok"] is True
    assert [line["operation"] for line in home.json("history")].count("clock") == 2


def test_a_command_that_waits_for_its_confirmation_looks_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps while a person reads the plan."""
    from model_inbox.cli import retention

    asked: list[str] = []

    def confirmed(question: str, *, yes: bool, to: str) -> None:  # as `ask` is called
        asked.append(to)
        jump(home, timedelta(days=400))

    monkeypatch.setattr(retention, "ask", confirmed)
    home.error("retention", "apply", status=75)
    assert asked == ["apply the plan"]
    assert home.json("list")[-1]["model_id"] == "b"
