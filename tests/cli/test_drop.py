"""`drop` writes a model into the inbox and reports the answer."""

from __future__ import annotations

from typing import Any

import pytest

from model_inbox.producer import Answers
from support.home import SIDECAR, Home


def test_a_drop_is_written_under_the_name_of_its_sidecar(files: Home) -> None:
    """Model, scaler and sealed sidecar are in the inbox; without --wait that is all."""
    done = files.json("drop", "m.pkl", "--meta", "usd_eur.yaml", "--scaler", "s.pkl")
    assert (done["outcome"], done["model_id"], done["drop_id"]) == ("dropped", "usd_eur", None)
    inbox = files.folder / "inbox"
    assert sorted(path.name for path in inbox.iterdir()) == ["usd_eur.pkl", "usd_eur.yaml", "usd_eur_scaler.pkl"]
    assert (inbox / "usd_eur.yaml").read_text().endswith("\n...\n")
    assert files.error("drop", "m.pkl", "--meta", "usd_eur.yaml", status=1)["code"] == "drop.refused"
    (files.folder / "elsewhere").mkdir()
    said = files.text("drop", "m.pkl", "--meta", "usd_eur.yaml", "--inbox", "elsewhere")
    assert said.startswith("Dropped 'usd_eur' into 'elsewhere'")


def test_a_drop_with_a_wrong_sidecar_is_not_written(files: Home) -> None:
    """All problems of the sidecar are told, with their places, and the inbox stays empty."""
    (files.folder / "usd_eur.yaml").write_text(SIDECAR.replace("currency_pair", "curency_pair"))
    error = files.error("drop", "m.pkl", "--meta", "usd_eur.yaml", status=1)
    assert {problem["code"] for problem in error["problems"]} == {"sidecar.unknown_key", "sidecar.missing_field"}
    assert list((files.folder / "inbox").iterdir()) == []
    assert files.run("drop", "nothing.pkl", "--meta", "usd_eur.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ("registered", 0, "Registered 'usd_eur' (drop d-1)."),
        ("duplicate", 0, "was already registered"),
        ("duplicate, bad", 1, "and other metadata; nothing changed:\n  - it is bad [artifact.bad]\n      Mend it\n"),
        ("rejected, bad", 1, "Rejected 'usd_eur' (drop d-1):\n  - it is bad [artifact.bad]\n      Mend it\n"),
        (None, 75, "no answer came within"),
    ],
)
def test_the_answer_decides_the_status(
    files: Home, monkeypatch: pytest.MonkeyPatch, outcome: str | None, status: int, said: str
) -> None:
    """Registered and duplicate are 0; rejected, and a duplicate with problems, 1; no answer in time 75."""
    outcome, _, bad = (outcome or "").partition(", ")
    problems = [{"code": "artifact.bad", "message": "it is bad", "hint": "Mend it"}] if bad else []
    receipt = {"outcome": outcome, "drop_id": "d-1", "problems": problems} if outcome else None
    waits: list[float] = []

    def answer(_: Answers, seconds: float) -> dict[str, Any] | None:
        waits.append(seconds)
        return receipt

    monkeypatch.setattr(Answers, "wait", answer)
    assert said in files.text("drop", "m.pkl", "--meta", "usd_eur.yaml", "--wait", "90s", status=status)
    for path in (files.folder / "inbox").iterdir():
        path.unlink()
    answered = files.json("drop", "--wait", "m.pkl", "--meta", "usd_eur.yaml", status=status)
    assert answered["outcome"] == (outcome or "waiting")
    assert answered["problems"] == problems
    assert waits == [90, 60]
