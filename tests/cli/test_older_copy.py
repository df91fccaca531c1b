"""A command that changes the registry refuses an older copy: receipts and the status tell of lines that it lacks."""

from __future__ import annotations

import json
import shutil

import pytest

from model_inbox import Position
from model_inbox.registry.paths import status_paths
from support.home import Home


def tell(home: Home, position: Position, *, by: str) -> None:
    """Let a receipt, or the status in the inbox, tell of a line."""
    receipts = home.folder / "inbox" / "receipts"
    receipts.mkdir(parents=True, exist_ok=True)
    identity = {"registry_id": position.registry_id, "epoch": position.epoch}
    if by == "receipt":
        answer = {"outcome": "registered", "drop_id": "drop-1", "model_id": "late", "sequence": position.sequence}
        (receipts / "late.json").write_text(json.dumps(identity | answer))
    else:
        document = {"format": "model-inbox-status/1", "registry": identity | {"committed": position.sequence}}
        status_paths(home.registry_path, home.folder / "inbox")[1].write_text(json.dumps(document))


def put_older_copy_back(home: Home, *, by: str) -> None:
    """The registry has one line more, somebody was told of it, and then the registry is as it was before."""
    models = home.registry_path.parent
    shutil.copytree(models, home.folder / "older")
    home.register("late", days=3)
    with home.open() as registry:
        position = registry.position
    assert position is not None
    tell(home, position, by=by)
    shutil.rmtree(models)
    (home.folder / "older").rename(models)


@pytest.mark.parametrize("by", ["receipt", "status"])
@pytest.mark.parametrize(
    "command",
    [
        ["alias", "champion", "old"],
        ["pin", "old"],
        ["unpin", "old"],
        ["tag", "old", "a=b"],
        ["record", "old", "--metrics", "rmse=1"],
        ["delete", "old"],
        ["restore", "old"],
    ],
    ids=lambda command: command[0],
)
def test_an_older_copy_is_not_changed(home: Home, command: list[str], by: str) -> None:
    """The error names the lines and the way on; no line gets a number that another one had."""
    put_older_copy_back(home, by=by)
    journal = home.registry_path.with_name("prediction_registry.journal.jsonl")
    before = journal.read_bytes()
    error = home.error(*command, status=78)
    assert error["code"] == "registry.corrupted"
    assert "it ends at line 3, but line 4 was committed" in error["message"]
    assert ("model 'late', line 4" in error["message"]) == (by == "receipt")
    assert "model-inbox rebuild --accept-loss" in error["hint"]
    assert journal.read_bytes() == before
    assert home.json("show", "old")["model_id"] == "old"


def test_after_the_loss_is_accepted_commands_go_on(home: Home) -> None:
    """The new epoch has lines of its own; what was told of the one before counts for nothing."""
    put_older_copy_back(home, by="receipt")
    home.json("rebuild", "--accept-loss")
    assert home.json("pin", "old")["pinned"] is True


def test_a_newer_registry_and_another_one_are_no_older_copies(home: Home) -> None:
    """Receipts of lines that are there, and of another registry, stop nothing."""
    with home.open() as registry:
        position = registry.position
    assert position is not None
    tell(home, position, by="receipt")
    assert home.json("pin", "old")["pinned"] is True
    tell(home, Position("b" * 32, position.epoch, 99), by="receipt")
    assert home.json("unpin", "old")["pinned"] is False
