"""`get` prints the path of one model for scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.home import Home


def test_get_prints_one_absolute_path(home: Home) -> None:
    """Of the newest model of a pair and type, or of the alias, or of its scaler; the entry as JSON."""
    of_pair = ["get", "--pair", "USD/EUR", "--type", "lightgbm"]
    assert home.text(*of_pair) == home.text(*of_pair, "--path") == f"{home.storage_dir}/new.pkl\n"
    assert home.text(*of_pair, "--scaler-path") == f"{home.storage_dir}/new_scaler.pkl\n"
    home.text("alias", "champion", "old")
    assert home.text(*of_pair, "--alias", "champion", "--path") == f"{home.storage_dir}/old.pkl\n"
    assert home.json(*of_pair) == home.json("show", "new")
    assert home.text(*of_pair, "--trained-before", "2026-01-02") == f"{home.storage_dir}/old.pkl\n"
    assert home.text(*of_pair, "--as-of", "2026-01-01T12:00:00Z") == f"{home.storage_dir}/old.pkl\n"


def test_a_variant_is_a_slot_of_its_own(home: Home) -> None:
    """Without --variant it is the slot without one."""
    home.register("thirty", days=3, variant="30d")
    of_pair = ["get", "--pair", "USD/EUR", "--type", "lightgbm"]
    assert home.text(*of_pair).endswith("/new.pkl\n")
    assert home.text(*of_pair, "--variant", "30d").endswith("/thirty.pkl\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pair", "USD/EUR", "--type", "lightgmb"], "Did you mean USD/EUR:lightgbm?"),
        (["--pair", "USD/EUR", "--type", "lightgbm", "--variant", "7d"], "Did you mean USD/EUR:lightgbm?"),
        (["--pair", "USD/EUR", "--type", "lightgbm", "--alias", "champion"], "with the alias 'champion'"),
        (["--pair", "USD/EUR", "--type", "lightgbm", "--trained-before", "2025-01-01"], "trained before 2025-01-01"),
        (["--pair", "USD/EUR", "--type", "lightgbm", "--as-of", "2025-01-01"], "  No model was registered then"),
    ],
)
def test_without_a_model_nothing_is_printed(home: Home, words: list[str], said: str) -> None:
    """Exit 1, nothing on stdout, and what was asked for with what there is on stderr."""
    done = home.run("get", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


def test_without_pair_or_type_it_is_usage(home: Home) -> None:
    """Exit 2: which model is meant is not known."""
    assert home.run("get", "--pair", "USD/EUR").exit_code == home.run("get", "--type", "lightgbm").exit_code == 2


def test_a_file_that_is_gone_and_a_scaler_that_never_was(home: Home) -> None:
    """Exit 1: a script never gets a path where no file is."""
    of_pair = ["get", "--pair", "USD/EUR", "--type", "lightgbm"]
    (home.storage_dir / "new.pkl").unlink()
    done = home.run(*of_pair)
    assert (done.exit_code, done.stdout, "its file is gone" in done.stderr) == (1, "", True)


def test_of_the_past_it_is_the_file_in_the_trash(home: Home) -> None:
    """Also if another model has the id now: the path is that of the model that was meant."""
    before = home.storage_dir / "new.pkl"
    data = before.read_bytes()
    home.text("delete", "new")
    home.register("new", days=9, features_used=["other"])
    place = Path(home.text("get", "--pair", "USD/EUR", "--type", "lightgbm", "--as-of", "2026-01-02T12:00").strip())
    assert place.parent.parent.name == ".trash"
    assert place.read_bytes() == data
    assert home.text("get", "--pair", "USD/EUR", "--type", "lightgbm") == f"{before}\n"


def test_a_path_with_any_bytes_is_printed_as_it_is(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script gets the name of the file, whatever is in it."""
    odd = empty.folder / os.fsdecode(b"odd \xff\x1b folder")
    odd.mkdir()
    monkeypatch.chdir(odd)
    home = Home(odd)
    home.register("m")
    done = home.run("get", "--pair", "USD/EUR", "--type", "lightgbm")
    assert done.stdout_bytes == os.fsencode(home.storage_dir / "m.pkl") + b"\n"
