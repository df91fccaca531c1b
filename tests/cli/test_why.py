"""`why` says of a real daemon's work why each model and each drop is where it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from model_inbox.cli import root
from support.home import Home
from support.pages import Read
from support.users import as_user, let_through
from support.world import World

GATES = [
    {"name": "sane", "bounds": {"1d.rmse": {"max": 10}}},
    {"name": "fresh", "bounds": {"1d.rmse": {"max": 1}}, "on_fail": "hold"},
]
PROMOTION = [{"when": {"metric": "1d.rmse", "order": "min", "by": "10%"}}]
RETENTION = {
    "mode": "enforce",
    "policies": [{"keep": {"last": 3}, "min_keep": 1}],
    "breaker": {"max_fraction": 1, "max_deletes": 10},
}
DAY = 86_400


class Lived:
    """A world in which a daemon has worked, and the command line in it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(root, ["--config", str(self.world.config_path), *args], prog_name="model-inbox")

    def document(self, *args: str, status: int = 0) -> Any:
        result = self.run("why", *args, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    def texts(self, *args: str) -> dict[str, str]:
        """Return the answers by what they are about; of several the last."""
        return {answer["about"]: answer["text"] for answer in self.document(*args)["answers"]}


@pytest.fixture(name="lived", scope="module")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Six drops a day apart, and a file that waits when the daemon has ended."""
    world = World(
        tmp_path_factory.mktemp("world"), settings={"gates": GATES, "promotion": PROMOTION, "retention": RETENTION}
    )
    with world.running() as service:
        for day, (stem, rmse) in enumerate(
            [("first", 0.5), ("held", 5), ("refused", 50), ("same", 0.49), ("better", 0.4), ("last", 0.39)]
        ):
            world.put(stem, trained_at=f"2025-10-{day + 1:02d}T00:00:00Z", validation_metrics={"1d": {"rmse": rmse}})
            world.live_on(service, 5)
            world.clock.advance(DAY)
        world.put(
            "again",
            {"model": "better"},
            model_id="better",
            trained_at="2025-10-05T00:00:00Z",
            validation_metrics={"1d": {"rmse": 0.4}},
        )
        world.live_on(service, 5)
    (world.inbox / "waits.yaml").write_bytes(b"model_type: lightgbm\n")
    yield Lived(world)
    structlog.reset_defaults()


def test_a_champion_that_was_beaten(lived: Lived) -> None:
    """Accepted by its gates, and its alias lost to a better one by the rule's figures."""
    found = lived.document("first")
    assert found["model_id"] == "first"
    texts = lived.texts("first")
    assert texts["accepted"].startswith("It was accepted: the drop ")
    assert "sane: 1d.rmse is 0.5, and must be at most 10" in texts["accepted"]
    assert (
        "when the rule of `promotion` gave it to 'better': 1d.rmse 0.4 is better than 0.5 of 'first' by 0.1 (20%); the "
        "rule asks for 10%. The rules of that day ("
    ) in texts["promoted"]
    assert texts["promoted"].endswith("when: {by: 10%, metric: 1d.rmse, order: min}}].")


def test_a_model_that_the_rules_retired(lived: Lived) -> None:
    """By which rule, since when, and that it can be restored."""
    texts = lived.texts("first")
    assert texts.keys() == {"accepted", "promoted", "retired"}
    assert "the rule `last 3` does not keep it since the model trained at 2025-10-06T00:00:00Z came" in texts["retired"]
    assert "`model-inbox restore first`" in texts["retired"]
    assert "retention.policies: [{keep: {last: 3}, min_keep: 1}]." in texts["retired"]


def test_rules_that_are_gone(lived: Lived) -> None:
    """Each answer that needs them says so, with the digest that the line names; no others count at a past time."""
    (path,) = (lived.world.models / "history").glob("*.rules.json")
    with lived.world.registry() as registry:
        then = registry.history("same")[0].time
    aside = path.rename(path.with_suffix(".aside"))
    try:
        for about in ("accepted", "retired"):
            assert lived.texts("first")[about].endswith(
                f"The rules of that day are not kept (digest {path.name[:12]})."
            )
        assert "is unknown" in lived.texts("same", "--at", then)["kept"]
    finally:
        aside.rename(path)


def test_a_held_and_a_refused_drop(lived: Lived) -> None:
    """The gate in its own words, and what to do."""
    texts = lived.texts("held")
    assert "because gate fresh: 1d.rmse is 5, and must be at most 1" in texts["held"]
    assert "because it is held" in texts["newest"]
    assert "It is retired 30d after it was held" in texts["kept"]
    refused = lived.document("refused")
    assert [answer["about"] for answer in refused["answers"]] == ["refused"]
    assert "1d.rmse is 50, and must be at most 10" in refused["answers"][0]["text"]
    assert "(gates.failed); what to do: " in refused["answers"][0]["text"]
    assert refused["answers"][0]["text"].endswith(
        "gates: [{bounds: {1d.rmse: {max: 10}}, name: sane, on_fail: reject}]."
    )


def test_models_that_are_not_promoted(lived: Lived) -> None:
    """One came before the alias moved last, one is better by too little."""
    assert (
        "the rule compares only models that came after the alias last moved. Change " in lived.texts("same")["promoted"]
    )
    assert (
        "its 1d.rmse 0.39 is better than 0.4 of 'better', which has it, by only 0.01 (2.5%); the rule asks for 10%"
        in lived.texts("last")["promoted"]
    )


def test_a_model_that_is_kept(lived: Lived) -> None:
    """By its alias and by its place among the last ones; it is the newest."""
    assert "the alias 'champion' names it and it is number 2 of the last 3" in lived.texts("better")["kept"]
    assert lived.texts("last")["newest"].startswith("It is the newest model of 'USD/EUR:lightgbm'")


def test_a_drop_is_named_by_its_id(lived: Lived) -> None:
    """A registered one gives its model's answers, a refused and a repeated one their own."""
    with lived.world.registry() as registry:
        drop_id = registry.registry["better"]["drop_id"]
    assert lived.document(drop_id)["model_id"] == "better"
    (refused,) = os.listdir(lived.world.inbox / "rejected")
    found = lived.document(refused)
    assert (found["model_id"], [answer["about"] for answer in found["answers"]]) == ("refused", ["refused"])
    assert found["answers"][0]["sequence"] is None


def test_a_drop_is_named_by_its_stem(lived: Lived) -> None:
    """Of one whose model has another id, the answers about that model; here a repeated drop, which changed nothing."""
    found = lived.document("again")
    assert found["model_id"] == "better"
    assert found["answers"][0]["about"] == "duplicate"
    assert "changed nothing" in found["answers"][0]["text"]


def test_a_drop_that_waits(lived: Lived) -> None:
    """What the file in the inbox waits for, and until when."""
    found = lived.document("waits")
    (answer,) = found["answers"]
    assert (found["model_id"], answer["about"]) == ("waits", "waiting")
    assert answer["text"].startswith("'waits.yaml' waits, because ")
    assert " UTC it is rejected, if nothing comes." in answer["text"]


def test_a_model_is_named_by_its_slot(lived: Lived) -> None:
    """PAIR:TYPE is the newest one, with @ALIAS the one that has it, also at an earlier time."""
    assert lived.document("USD/EUR:lightgbm")["model_id"] == "last"
    assert lived.document("USD/EUR:lightgbm@champion")["model_id"] == "better"
    with lived.world.registry() as registry:
        before = next(line.time for line in registry.history("first") if line.operation == "promote")
    assert lived.document("USD/EUR:lightgbm@champion", "--at", before)["model_id"] == "first"


def test_at_an_earlier_time(lived: Lived) -> None:
    """The model is what it was then, by the rules that decided last before that."""
    with lived.world.registry() as registry:
        then = registry.history("same")[0].time
    texts = lived.texts("same", "--at", then)
    assert texts["newest"].startswith("It is the newest model of 'USD/EUR:lightgbm'")
    assert "it is number 1 of the last 3 of its group" in texts["kept"]
    assert lived.run("why", "last", "--at", then).exit_code == 1


def test_what_nobody_knows(lived: Lived) -> None:
    """Exit 1, and where was looked."""
    error = lived.document("nothing", status=1)["error"]
    assert error["code"] == "registry.not_found"
    assert "the history of " in error["hint"]
    assert "its receipts and its rejected drops" in error["hint"]
    for text in ("", "'\n", "a\udcff", "a\udcff:b", "x" * 5_000, "20261124T045315102455Z-0001-x"):
        assert lived.document(text, status=1)["error"]["code"] == "registry.not_found"
    assert lived.document("USD/EUR:lightgmb", status=1)["error"]["hint"] == "Did you mean USD/EUR:lightgbm?"


def test_for_people_it_is_a_card(lived: Lived) -> None:
    """The id, then each answer with its name and the change that says it."""
    shown = lived.run("why", "held").stdout
    assert shown.startswith("held\n  accepted  It was accepted")
    assert "(change 3)" in shown or "(change 2)" in shown


def test_files_that_are_closed_to_this_user(lived: Lived, tmp_path: Path) -> None:
    """Who may read the journal alone gets its answers; rules, trash and stored sidecars are said to be unknown."""
    home = tmp_path / "copy"
    shutil.copytree(lived.world.root, home)
    for path in (home, *home.rglob("*")):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else 0o644)
    for folder in ("models/.trash", "models/prediction", "inbox"):
        (home / folder).chmod(0o700)
    for path in (home / "models/history").glob("*.rules.json"):
        path.chmod(0o600)
    let_through(home)

    def run(*command: str) -> str:
        args = ["--config", str(home / lived.world.config_path.name), *command]
        return CliRunner().invoke(root, args, prog_name="model-inbox").stdout

    def read(name: str) -> Any:
        return json.loads(run("why", name, "--json"))

    # Another user cannot import anything.
    assert {answer["about"] for answer in read("first")["answers"]} == {"accepted", "promoted", "retired"}
    texts = {answer["about"]: answer["text"] for answer in as_user(65534, lambda: read("first"))["answers"]}
    assert texts.keys() == {"accepted", "promoted", "retired"}
    assert "the rule `last 3` does not keep it" in texts["retired"]
    assert "Whether its files are in the trash is not known: the trash is closed to this user." in texts["retired"]
    assert "The rules of that day are closed to this user (digest " in texts["accepted"]
    hint = as_user(65534, lambda: read("nothing"))["error"]["hint"]
    assert "the stored sidecars (which this user may not read)" in hint
    run("report", "--model", "last")
    page = Read(as_user(65534, lambda: run("report", "--model", "last"))).text
    assert "Not shown the trash could not be read: " in page
    assert "Accepted It was accepted: the drop " in page
    assert "The rules of that day are closed to this user (digest " in page
    assert "its receipts and its rejected drops (which this user may not read)" in page


def test_nothing_is_changed(lived: Lived) -> None:
    """No file is made, and none is written."""
    before = {path: path.stat().st_mtime_ns for path in lived.world.root.rglob("*")}
    lived.texts("first")
    assert {path: path.stat().st_mtime_ns for path in lived.world.root.rglob("*")} == before


def test_without_an_inbox(home: Home) -> None:
    """Where only the registry is, the answers come from it; a stored sidecar that nothing tells of is found."""
    found = home.json("why", "new")
    assert [answer["about"] for answer in found["answers"]] == ["accepted", "newest", "promoted", "kept"]
    assert "there is no inbox at" in home.error("why", "nothing", status=1)["hint"]
    (home.storage_dir / "lost.yaml").write_text("x: y\n")
    (answer,) = home.json("why", "lost")["answers"]
    assert "Its stored sidecar is there" in answer["text"]
