"""`report` writes a page of the registry and the inbox."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.home import Home
from support.pages import Read


def test_the_page_is_printed_and_says_what_there_is(home: Home) -> None:
    """Every slot with its model, a model that was retired, and the history, with the reasons."""
    home.text("promote", "new", "--reason", "better on <marquee>Monday</marquee>")
    home.text("delete", "other", "--reason", "wrong rates")
    read = Read(home.text("report"))
    for said in (
        "USD/EUR lightgbm",
        "new is champion",
        "better on <marquee>Monday</marquee>",
        "wrong rates",
        "no daemon runs",
    ):
        assert said in read.text
    assert "marquee" not in read.tags


def test_a_file_is_replaced_whole(home: Home, tmp_path: Path) -> None:
    """FILE has the page afterwards, whoever reads it meanwhile has the old one, and nothing else is left there."""
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "report.html"
    file.write_text("old")
    with file.open() as reader:
        said = home.json("report", "-o", str(file))
        assert reader.read() == "old"
    assert said == {"file": str(file), "bytes": file.stat().st_size}
    assert file.read_text().startswith("<!doctype html>")
    assert os.listdir(file.parent) == ["report.html"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_missing_is_an_error(home: Home, tmp_path: Path) -> None:
    """The message names it, and nothing is written."""
    error = home.error("report", "-o", str(tmp_path / "none" / "report.html"), status=1)
    assert "none" in error["message"]


def test_options_narrow_the_page(home: Home) -> None:
    """--pair and --type leave the other slots out, --since what is older; the page says so."""
    home.register("pound", days=3, pair="GBP/USD")
    page = Read(home.text("report", "--pair", "GBP/USD")).text
    assert "pound" in page
    assert "USD/EUR" not in page
    assert "Only models of GBP/USD of any type" in page
    assert "pound" not in Read(home.text("report", "--type", "lstm")).text
    assert "No model is registered that is chosen here" in Read(home.text("report", "--since", "2026-02-01")).text


def test_json_has_the_page_where_no_file_is_written(home: Home) -> None:
    """One JSON object with the document."""
    said = json.loads(home.text("report", "--json"))
    assert said["html"].startswith("<!doctype html>")
    assert said["bytes"] == len(said["html"].encode())


@pytest.mark.parametrize("part", ["receipts", "rejected"])
def test_a_part_that_cannot_be_read_costs_no_other(home: Home, part: str) -> None:
    """A file stands where a folder of the inbox belongs: the page says which part it lacks, and shows the rest."""
    inbox = home.folder / "inbox"
    inbox.mkdir(exist_ok=True)
    (inbox / part).write_text("no folder")
    read = Read(home.text("report"))
    assert "could not be read" in read.text
    assert "USD/EUR lightgbm" in read.text
