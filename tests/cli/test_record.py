"""`record` keeps measurements that are made after the registration."""

from __future__ import annotations

import json
import os

import pytest

from support.home import Home


def test_numbers_are_recorded_and_shown(home: Home) -> None:
    """As words of the command line; `show` gives the latest, `history` all, and the validation metrics stay."""
    before = home.stored()["old"]["validation_metrics"]
    said = home.text("record", "old", "--metrics", "realised.rmse=0.5", "--metrics", "n=3", "--at", "2026-01-02")
    assert said == "Recorded for 'old': realised.rmse = 0.5, n = 3.\n"
    home.json("record", "old", "--metrics", "realised.rmse=0.25", "--at", "2026-01-03", "--reason", "checked")
    assert home.stored()["old"]["recorded"] == {
        "realised.rmse": {"value": 0.25, "at": "2026-01-03T00:00:00Z"},
        "n": {"value": 3, "at": "2026-01-02T00:00:00Z"},
    }
    assert home.stored()["old"]["validation_metrics"] == before
    first, second = [line for line in home.json("history", "old") if line["operation"] == "record"]
    assert (first["metrics"], first["measured_at"]) == ({"realised.rmse": 0.5, "n": 3}, "2026-01-02T00:00:00Z")
    assert (second["metrics"], second["reason"]) == ({"realised.rmse": 0.25}, "checked")
    assert "record realised.rmse=0.25 (2026-01-03T00:00:00Z)" in home.text("history", "old")
    card = home.text("show", "old")
    assert "recorded later\n" in card
    assert "realised.rmse  0.25 (2026-01-03 00:00 UTC)" in card


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"realised": {"rmse": 1e-05, "n": 3}}),
        json.dumps({"realised": {"rmse": 1e-05, "n": 3}}, indent=2),
        json.dumps({"realised": {"rmse": 1e-05, "n": 3}}, indent="\t"),
        "realised:\n  rmse: 1e-05\n  n: 3\n",
    ],
    ids=["JSON", "JSON in lines", "JSON with tabs", "YAML"],
)
def test_a_file_is_recorded(home: Home, text: str) -> None:
    """JSON or YAML, with names in names."""
    (home.folder / "realised.json").write_text(text)
    entry = home.json("record", "old", "--metrics", "realised.json")
    assert {name: found["value"] for name, found in entry["recorded"].items()} == {
        "realised.rmse": 1e-05,
        "realised.n": 3,
    }


def test_standard_input_links_and_pipes_are_recorded(home: Home) -> None:
    """`-` stands for the first, once. The user names the file, and `<(...)` of a shell is a link to a pipe."""
    assert home.run("record", "old", "--metrics", "-", "--metrics", "n=3", stdin="rmse: 0.5").exit_code == 0
    twice = home.run("record", "old", "--metrics", "-", "--metrics", "-", stdin="rmse: 0.5")
    assert (twice.exit_code, "Standard input is given twice." in twice.stderr) == (2, True)
    nothing = home.run("record", "old", "--metrics", "-", stdin="").stderr
    assert "cannot use the metrics from standard input: there are none" in nothing
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as writer:
        writer.write(b"mae: 0.25")
        writer.close()
        home.text("record", "old", "--metrics", f"/dev/fd/{reading}")
    recorded = {name: found["value"] for name, found in home.stored()["old"]["recorded"].items()}
    assert recorded == {"rmse": 0.5, "n": 3, "mae": 0.25}


def test_what_cannot_be_recorded_is_refused(home: Home) -> None:
    """A wrong word is usage (2); wrong metrics are 1 with all problems, and nothing is committed."""
    before = home.stored()
    assert home.run("record", "old").exit_code == 2
    assert home.run("record", "old", "--metrics", "rmse=low").exit_code == 2
    assert home.run("record", "old", "--metrics", "rmse=1", "--metrics", "rmse=2").exit_code == 2
    assert home.error("record", "old", "--metrics", "rmse=nan", status=1)["code"] == "metadata.invalid"
    assert home.error("record", "zzz", "--metrics", "rmse=1", status=1)["code"] == "registry.not_found"
    assert home.error("record", "old", "--metrics", "nothing.json", status=1)["code"] == "storage.failed"
    (home.folder / "twice.json").write_text('{"rmse": 1, "rmse": 2}')
    error = home.error("record", "old", "--metrics", "twice.json", status=1)
    assert [problem["code"] for problem in error["problems"]] == ["sidecar.duplicate_key"]
    (home.folder / "cut.json").write_text('{"rmse": 1')
    error = home.error("record", "old", "--metrics", "cut.json", status=1)
    assert error["problems"][0]["message"].startswith("the file is not YAML")
    (home.folder / "list.json").write_text("[1, 2]")
    assert "not a mapping" in home.error("record", "old", "--metrics", "list.json", status=1)["message"]
    assert home.stored() == before
