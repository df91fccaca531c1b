"""One vocabulary: models, pairs, types, times and durations are given in the same words to every command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click
import pytest

from model_inbox.base.instants import parse_time
from model_inbox.cli import root
from model_inbox.cli.arguments import as_instant, as_seconds
from support.home import Home

NOW = datetime(2026, 11, 28, 3, 30, tzinfo=UTC)


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Yield every parameter of every command, with the words that call the command."""
    waiting: list[tuple[str, click.Command]] = [("", root)]
    while waiting:
        words, command = waiting.pop()
        context = click.Context(command)
        for parameter in command.params:
            yield words, parameter
        for name in command.list_commands(context) if isinstance(command, click.Group) else ():
            inner = command.get_command(context, name)
            assert inner is not None
            waiting.append((f"{words} {name}".strip(), inner))


def test_options_have_the_same_names_everywhere() -> None:
    """A pair is `--pair` and a type `--type`; the old names work and are not shown. They come together."""
    shown: dict[str, set[str]] = {}
    for words, parameter in parameters():
        if isinstance(parameter, click.Option):
            shown.setdefault(words, set()).update(parameter.opts)
    everywhere = {name for names in shown.values() for name in names}
    assert everywhere.isdisjoint({"--currency-pair", "--model-type", "--pairs", "--types"})
    assert {words for words, names in shown.items() if "--pair" in names} >= {"list", "logs"}
    assert all(("--pair" in names) == ("--type" in names) for names in shown.values())


def test_times_and_durations_have_one_grammar() -> None:
    """Each option whose metavar is TIME or DURATION is parsed by the one function for these, and no other is."""
    # The rules of retention have months and years, which no other duration has.
    of_retention = {"--keep-within"}
    found = {"TIME": 0, "DURATION": 0}
    for words, parameter in parameters():
        if isinstance(parameter, click.Option) and not of_retention.intersection(parameter.opts):
            word = (parameter.metavar or "").strip("[]")
            assert (word == "TIME") == (parameter.callback is as_instant), f"{words} {parameter.opts}"
            assert (word == "DURATION") == (parameter.callback is as_seconds), f"{words} {parameter.opts}"
            assert word not in ("SECONDS", "AGE", "WHEN", "DATE"), f"{words} {parameter.opts}"
            found[word] = found.get(word, 0) + 1
    assert found["TIME"] >= 6 and found["DURATION"] >= 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", "2026-11-20T00:00:00+00:00"),
        ("2026-11-20T10:00", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00:00+01:00", "2026-11-20T09:00:00+00:00"),
        ("now", "2026-11-28T03:30:00+00:00"),
        ("Today", "2026-11-28T00:00:00+00:00"),
        ("yesterday", "2026-11-27T00:00:00+00:00"),
        ("2h ago", "2026-11-28T01:30:00+00:00"),
        ("2h", "2026-11-28T01:30:00+00:00"),
        (" 1h 30m  ago ", "2026-11-28T02:00:00+00:00"),
        ("7d ago", "2026-11-21T03:30:00+00:00"),
        ("in 7d", "2026-12-05T03:30:00+00:00"),
        ("@1795521600", "2026-11-24T12:00:00+00:00"),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, expected: str) -> None:
    """Dates, instants, days, durations before and after now, and seconds since 1970."""
    assert parse_time(text, NOW).astimezone(UTC).isoformat() == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "2h later", "ago", "in", "@", "@x", "in yesterday", "2026-13-01", "-2h", "@999999999999"]
)
def test_what_is_no_time_is_refused_with_its_form(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(ValueError, match="write it like"):
        parse_time(text, NOW)


MODELS = {
    "show": (["show"], []),
    "why": (["why"], []),
    "diff": (["diff"], ["other"]),
    "history": (["history"], []),
    "pin": (["pin"], []),
    "unpin": (["unpin"], []),
    "hold": (["hold"], ["--reason", "drifts"]),
    "unhold": (["unhold"], []),
    "tag": (["tag"], ["a=b"]),
    "alias set": (["alias", "best"], []),
    "promote": (["promote"], ["--alias", "best"]),
    "record": (["record"], ["--metrics", "rmse=1"]),
    "delete": (["delete"], []),
    "logs": (["logs", "--model"], []),
    "report": (["report", "--model"], []),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_named_by_pair_and_type(home: Home, name: str) -> None:
    """PAIR:TYPE is the newest, with @ALIAS the one that has it, and what it is is said before anything is done."""
    home.text("alias", "champion", "old")
    before, after = MODELS[name]
    newest = home.run(*before, "USD/EUR:lightgbm", *after)
    assert "'USD/EUR:lightgbm' is 'new', trained 2026-01-02T00:00:00Z." in newest.stderr
    named = home.run(*before, "USD/EUR:lightgbm@champion", *after)
    assert "'USD/EUR:lightgbm@champion' is 'old', trained 2026-01-01T00:00:00Z." in named.stderr
    # A model that is named by an alias is neither deleted nor held, and without a log the answer is not complete.
    statuses = {"delete": (0, 1), "hold": (0, 1), "logs": (75, 75)}.get(name, (0, 0))
    assert (newest.exit_code, named.exit_code) == statuses, newest.output + named.output


def test_every_argument_that_is_a_model_is_tried_here() -> None:
    """A new command with an ID takes these forms, too."""
    named = [(words, (parameter.metavar or "").strip("[]. ").split("|")[0]) for words, parameter in parameters()]
    with_id = {words for words, name in named if name == "ID"}
    # Those of `mlflow` need one: tests/mlflow.
    assert with_id == MODELS.keys() | {"restore", "replace-scaler", "trash purge", "mlflow push", "mlflow retry"}


def test_a_retired_model_is_named_by_pair_and_type(home: Home) -> None:
    """In the trash PAIR:TYPE is the newest of those that are there."""
    home.text("delete", "USD/EUR:lightgbm")
    home.text("delete", "USD/EUR:lightgbm")
    restored = home.run("restore", "USD/EUR:lightgbm", "--json")
    assert (restored.exit_code, "is 'new'" in restored.stderr) == (0, True)
    purged = home.run("trash", "purge", "USD/EUR:lightgbm", "--yes")
    assert (purged.exit_code, "is 'old'" in purged.stderr) == (0, True)
    assert home.run("restore", "USD/EUR:lightgbm").exit_code == 1


def test_a_pair_and_type_that_nobody_registered_gets_the_nearest(home: Home) -> None:
    """Exit 1, with what was probably meant, or with what there is; nothing is changed."""
    error = home.error("delete", "USD/EUR:lightgmb", status=1)
    assert error["hint"] == "Did you mean USD/EUR:lightgbm?"
    assert home.error("show", "zzz:y", status=1)["hint"] == "There are USD/CHF:lightgbm, USD/EUR:lightgbm"
    assert "no model with the alias 'champion'" in home.error("show", "USD/EUR:lightgbm@champion", status=1)["message"]
    assert len(home.json("list")) == 3


def test_the_old_names_of_options_still_work(home: Home) -> None:
    """A script of the last version does what it did."""
    old = home.json("list", "--currency-pair", "USD/EUR", "--model-type", "lightgbm")
    assert old == home.json("list", "--pair", "USD/EUR", "--type", "lightgbm")
    assert len(old) == 2
    assert "--currency-pair" not in home.text("list", "--help")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["list", "--jsn"], "--json"),
        (["list", "--piar", "USD/EUR"], "--pair"),
        (["rejected", "list", "--jason"], "--json"),
        (["--confg", "x", "list"], "--config"),
        (["logs", "rejectd"], "rejected"),
        (["backup", "lst", "x"], "list"),
        (["retention", "plam"], "plan"),
    ],
)
def test_a_typing_error_gets_the_nearest_word(home: Home, words: list[str], meant: str) -> None:
    """An unknown option, question or command is usage (2), with the word that was probably meant."""
    done = home.run(*words)
    assert (done.exit_code, f"Did you mean {meant}?" in done.stderr.replace("'", "")) == (2, True), done.stderr
