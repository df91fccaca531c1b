"""docs/operations/rights.md, cell by cell: each act of its table is done by each user, and what happens is compared.

ACTS has an act for each row, in the order of the page. An act gets the user and returns whether the system let it be.
The promises of the page's other table name their tests; here it is seen that these are there.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from model_inbox.registry.registry import ModelRegistry
from support.people import ALICE, BOB, CAROL, DAVE, SERVICE, Installation
from support.places import ROOT

PAGE = (ROOT / "docs/operations/rights.md").read_text()
USERS = {"owner": ALICE, "producer": BOB, "consumer": CAROL, "outsider": DAVE, "service": SERVICE, "root": 0}

Act = Callable[[Installation, int], bool]
names = map("d{}".format, itertools.count(1))


def table(name: str) -> list[list[str]]:
    """Return the rows of one of the page's tables, with its heading."""
    text = PAGE.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [rows[0], *rows[2:]]


@pytest.fixture(scope="module", name="installations")
def _installations(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Installation]:
    """One that is private and one that is not, each with a model of Alice's."""
    found = {}
    for private in (True, False):
        it = found[private] = Installation(tmp_path_factory.mktemp("rights"), inbox={"private": private})
        it.serve()
        it.put(ALICE, "m")
        it.serve()
    return found


# --- what the acts are done to ----------------------------------------------------------------------------------------


def waiting(it: Installation) -> Path:
    """Return the model of a drop of Alice's that waits."""
    name = next(names)
    it.put(ALICE, name)
    return it.inbox / f"{name}.pkl"


def rejected(it: Installation) -> Path:
    """Return the folder of a drop of Alice's that was rejected."""
    name = next(names)
    it.put(ALICE, name, model_typ="x")
    it.serve()
    (folder,) = (it.inbox / "rejected").glob(f"*-{name}")
    return folder


def command(*words: str) -> Act:
    return lambda it, uid: it.command(uid, *words)[0] == 0


def to_model(words: Callable[[str], tuple[str, ...]]) -> Act:
    """Return an act on a model of its own."""

    def act(it: Installation, uid: int) -> bool:
        name = next(names)
        it.put(ALICE, name)
        it.serve()
        return it.command(uid, *words(name))[0] == 0

    return act


def touch(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def append(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def rejected_retry(it: Installation, uid: int) -> bool:
    folder = rejected(it)
    stem = folder.name.partition("Z-")[2].partition("-")[2]
    status, output = it.command(uid, "rejected", "retry", folder.name)
    assert (status == 0) == (it.inbox / f"{stem}.yaml").exists(), output
    return status == 0


def rejected_purge(it: Installation, uid: int) -> bool:
    """What was rejected just now is too young, as the service's clock is ahead of that of a command."""
    folder = it.inbox / "rejected" / f"20260101T000000000000Z-0001-{next(names)}"
    rejected(it).rename(folder)
    status, output = it.command(uid, "rejected", "purge", "--all", "--yes")
    assert (status == 0) == (not folder.exists()), output
    return status == 0


def remove_stored(it: Installation, uid: int) -> bool:
    name = next(names)
    it.put(ALICE, name)
    it.serve()
    return it.may(uid, (it.models / f"prediction/{name}.pkl").unlink)


def load(it: Installation, uid: int) -> bool:
    def act() -> bool:
        with ModelRegistry(
            it.models / "prediction_registry.json", it.models / "prediction", read_only=True
        ) as registry:
            model, _ = registry.load_model_objects(registry.get_model_info("m"))
            return bool(model == {"model": "m"})

    return it.may(uid, act)


def read_status(it: Installation, uid: int) -> bool:
    """Either of the two files will do."""
    places = (it.inbox / "receipts/.status.json", it.models / "prediction_registry.status.json")
    return any(it.may(uid, place.read_bytes) for place in places)


ACTS: dict[str, Act] = {
    "put a file into the inbox": lambda it, uid: it.may(uid, lambda: touch(it.inbox / f"{next(names)}.{uid}.pkl")),
    "list the inbox": lambda it, uid: it.may_read(uid, it.inbox),
    "read a drop that waits": lambda it, uid: it.may_read(uid, waiting(it)),
    "write to a drop that waits": lambda it, uid: it.may(uid, lambda path=waiting(it): append(path)),  # type: ignore[misc]
    "rename a drop that waits": lambda it, uid: it.may(uid, lambda path=waiting(it): path.rename(f"{path}.x.pkl")),  # type: ignore[misc]
    "remove a drop that waits": lambda it, uid: it.may(uid, waiting(it).unlink),
    "list the claimed drops": lambda it, uid: it.may_read(uid, it.inbox / ".processing"),
    "list the names of receipts": lambda it, uid: it.may_read(uid, it.inbox / "receipts"),
    "read a receipt": lambda it, uid: it.may_read(uid, it.inbox / "receipts/m.json"),
    "write to a receipt": lambda it, uid: it.may(uid, lambda: append(it.inbox / "receipts/m.json")),
    "put a receipt there": lambda it, uid: it.may(uid, lambda: touch(it.inbox / f"receipts/{next(names)}@{uid}.json")),
    "list the names of rejected drops": lambda it, uid: it.may_read(uid, it.inbox / "rejected"),
    "read the reasons of a rejected drop": lambda it, uid: it.may_read(uid, rejected(it) / "reason.json"),
    "read the model of a rejected drop": lambda it, uid: it.may_read(uid, next(rejected(it).glob("*.pkl"))),
    "run `rejected show`": lambda it, uid: it.command(uid, "rejected", "show", rejected(it).name)[0] == 0,
    "run `rejected retry`": rejected_retry,
    "run `rejected purge`": rejected_purge,
    "read the daemon's status": read_status,
    "list the models": command("list"),
    "read the history": command("history", "m"),
    "load a model": load,
    "change a stored model": lambda it, uid: it.may(uid, lambda: append(it.models / "prediction/m.pkl")),
    "remove a stored model": remove_stored,
    "list the staged files": lambda it, uid: it.may_read(uid, it.models / "prediction/.staging"),
    "pin a model by a command": to_model(lambda name: ("pin", name)),
    "give an alias by a command": to_model(lambda name: ("alias", f"a{name}", name)),
    "delete a model by a command": to_model(lambda name: ("delete", name)),
}


def test_the_table_has_the_acts_that_are_tested() -> None:
    """Row for row and column for column."""
    heading, *rows = table("acts")
    assert heading == ["Act", *USERS]
    assert [row[0] for row in rows] == list(ACTS)
    assert {cell for row in rows for cell in row[1:]} == {"yes", "no", "open"}


@pytest.mark.parametrize("row", table("acts")[1:], ids=lambda row: row[0])
def test_an_act_is_done_by_whom_the_table_says(installations: dict[bool, Installation], row: list[str]) -> None:
    """As each user, in a private inbox; where the cell says so, in one that is not private, too."""
    act, *cells = row
    for (user, uid), cell in zip(USERS.items(), cells, strict=True):
        assert ACTS[act](installations[True], uid) == (cell == "yes"), f"{user}: {act}"
        if cell == "open":
            assert ACTS[act](installations[False], uid), f"{user}: {act}, not private"


def test_the_log_is_looked_for_where_a_user_may_look(installations: dict[bool, Installation]) -> None:
    """Who may not enter the registry's folder may read the journal: that the folder is closed ends no command."""
    status, output = installations[True].command(DAVE, "logs", "retired")
    assert status == 75
    assert "There is no log to read" in output or "cannot read the journal" in output


PROMISES = [(promise, test) for promise, tests in table("promises")[1:] for test in tests.split(", ")]


@pytest.mark.parametrize(("promise", "test"), PROMISES)
def test_a_promise_has_its_tests(promise: str, test: str) -> None:
    """Each test that the page names is there, and says in a docstring what it holds to."""
    match = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", test)
    assert match is not None, f"{promise}: {test}"
    functions = {node.name: node for node in ast.parse((ROOT / match[1]).read_text()).body if hasattr(node, "name")}
    function = functions.get(match[2])
    assert isinstance(function, ast.FunctionDef), f"{promise}: there is no {test}"
    assert ast.get_docstring(function)
