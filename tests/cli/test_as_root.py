"""Root's commands in folders of other users: nothing outside of them is read or changed with root's rights."""

from __future__ import annotations

import importlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from support.home import SIDECAR, Home
from support.users import as_user, let_through

ALICE = 54321
DROP_ID = "20260101T000000000000Z-0001-bad"


@pytest.fixture(name="alices")
def _alices(home: Home, tmp_path: Path) -> Home:
    """A registry and an inbox of Alice's, and beside them a folder of root's that looks like one of rejected drops."""
    let_through(tmp_path)
    for folder in (home.folder / "inbox" / "rejected" / DROP_ID, home.folder / "goal" / DROP_ID):
        folder.mkdir(parents=True)
        (folder / "reason.json").write_text("{}")
    # While all is root's: imports what another user could not read.
    for words in ("list", "verify --no-digests", "status", "inbox list", "rejected purge --older-than 9999d"):
        home.run(*words.split())
    for top in ("inbox", "models"):
        for path in (home.folder / top, *(home.folder / top).rglob("*")):
            os.chown(path, ALICE, ALICE)
    return home


def called(home: Home, *words: str) -> Any:
    """Call the command line as root in a process of its own; return exit code, output and the user that it ended as."""

    def call() -> list[Any]:
        result = home.run(*words)
        return [result.exit_code, result.output, os.getuid()]

    return as_user(0, call)


def test_root_purges_what_the_owner_could_purge(alices: Home) -> None:
    """Rejected drops are removed as their owner."""
    status, output, user = called(alices, "rejected", "purge", "--all", "--yes")
    assert (status, user) == (0, ALICE), output
    assert list((alices.folder / "inbox" / "rejected").iterdir()) == []


def test_a_link_does_not_lead_root_to_another_folder(alices: Home) -> None:
    """A link that Alice puts where rejected drops are kept is refused, and root's own folder stays as it was."""
    rejected = alices.folder / "inbox" / "rejected"
    rejected.rename(alices.folder / "inbox" / "aside")
    rejected.symlink_to(alices.folder / "goal")
    status, output, _ = called(alices, "rejected", "purge", "--all", "--yes")
    assert status == 1
    assert "is a symlink that another user can change" in output
    assert (alices.folder / "goal" / DROP_ID / "reason.json").exists()


@pytest.mark.parametrize("words", [("list",), ("verify", "--no-digests"), ("status",), ("inbox", "list")])
def test_root_reads_as_the_owner(alices: Home, words: tuple[str, ...]) -> None:
    """Commands that only read give up root's rights, too: what they open is named by files of the owner."""
    assert called(alices, *words)[2] == ALICE


def test_a_page_that_the_owner_may_not_write_is_to_be_printed(alices: Home, tmp_path: Path) -> None:
    """In a folder of root's own. Nobody is told to be root, who the caller is, and nothing is left there."""
    (tmp_path / "roots").mkdir(mode=0o755)
    # Imports what another user could not read.
    alices.run("report", "--help")
    importlib.import_module("model_inbox.report.gather")
    importlib.import_module("model_inbox.report.render")
    status, output, user = called(alices, "report", "-o", str(tmp_path / "roots" / "page.html"))
    assert (status, user) == (1, ALICE), output
    assert output.endswith(
        f"Root's commands act as {ALICE}, the owner of the registry, who may not write there. Print the page instead: "
        "`model-inbox report > FILE`\n"
    )
    assert list((tmp_path / "roots").iterdir()) == []


def test_owners_that_differ_are_said(alices: Home) -> None:
    """Where registry and storage belong to different users, root is told so and nothing is read."""
    os.chown(alices.folder / "models" / "prediction", ALICE + 1, ALICE)
    status, output, user = called(alices, "list")
    assert (status, user) == (1, 0)
    assert "several users" in output


@pytest.mark.parametrize("words", [(), ("--wait", "0.01")])
def test_root_drops_as_the_owner_of_the_inbox(alices: Home, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Root's own files are read; what is written belongs to the inbox's owner, and nothing is followed there."""
    source = tmp_path / "roots"
    source.mkdir(0o700)
    (source / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (source / "m.yaml").write_text(SIDECAR)
    alices.run("drop", "--help")
    inbox = alices.folder / "inbox"
    status, output, user = called(alices, "drop", f"{source}/m.pkl", "--meta", f"{source}/m.yaml", *words)
    assert (status, user) == (75 if words else 0, ALICE), output
    made = {path.name: path.stat().st_uid for path in inbox.iterdir() if path.is_file()}
    assert made == {"m.pkl": ALICE, "m.yaml": ALICE}
    status, output, user = called(alices, "wait", "m", "--timeout", "0.01")
    assert (status, user) == (75, ALICE), output


def test_root_drops_into_no_folder_that_others_have_exchanged(alices: Home, tmp_path: Path) -> None:
    """A link in the inbox's place that another user can change is refused, and nothing is written where it leads."""
    goal = tmp_path / "roots"
    goal.mkdir(0o700)
    (goal / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    (goal / "m.yaml").write_text(SIDECAR)
    (alices.folder / "inbox" / "link").symlink_to(goal)
    files = (f"{goal}/m.pkl", "--meta", f"{goal}/m.yaml")
    status, output, _ = called(alices, "drop", *files, "--inbox", str(alices.folder / "inbox" / "link"))
    assert status == 1
    assert "is a symlink that another user can change" in output
    assert sorted(path.name for path in goal.iterdir()) == ["m.pkl", "m.yaml"]
