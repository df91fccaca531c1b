"""`history` lists the committed changes."""

from __future__ import annotations

from support.home import Home


def test_history_tells_who_what_and_why(home: Home) -> None:
    """Each change is one object, oldest first, and one line for people; of one model also what happened to it."""
    home.text("alias", "champion", "old")
    home.text("alias", "champion", "new", "--reason", "better")
    home.text("delete", "other", "--reason", "wrong rates")
    lines = home.json("history")
    assert [(line["sequence"], line["operation"], line["model_id"]) for line in lines] == [
        (1, "register", "old"),
        (2, "register", "new"),
        (3, "register", "other"),
        (4, "alias", "old"),
        (5, "alias", "new"),
        (6, "retire", "other"),
    ]
    assert lines[0]["at"] == "2026-01-01T00:00:00.000000Z"
    assert (lines[5]["actor"][:4], lines[5]["reason"]) == ("cli:", "wrong rates")
    assert (lines[4]["alias"], lines[4]["also"]) == ("champion", ["old"])
    assert [line["sequence"] for line in home.json("history", "old")] == [1, 4, 5]
    table = home.text("history", "old").splitlines()
    assert len(table) == 4
    assert table[1].split()[:4] == ["1", "2026-01-01", "00:00:00", "register"]
    assert "alias champion moved to new" in table[3]
    assert table[3].endswith("better")
    assert len(home.text("history").splitlines()) == 7
    assert home.error("history", "nothing", status=1)["code"] == "registry.not_found"


def test_history_says_which_lines_are_missing(home: Home) -> None:
    """A file of the history was removed: what is left is listed, and the numbers of the others stand below it."""
    with home.open() as registry:
        registry.change_segment()
        reached = registry.sequence
        registry.pin("old")
    (home.registry_path.parent / "history" / f"{0:020d}.jsonl").unlink()
    said = home.text("history").splitlines()
    assert said[1].split()[0] == str(reached + 1)
    assert said[-1].startswith(f"Changes are missing in the history: 1-{reached}.")
