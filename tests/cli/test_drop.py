"""`drop` writes a model into the inbox and reports the answer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from model_inbox.model.metadata import REQUIRED_FIELDS
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


OPTIONS = (
    *("--pair", "USD/EUR", "--type", "lightgbm", "--metrics", "metrics.json", "--set", "version=1.10"),
    *("--set", "min_samples=500", "--set", "calibration_ok=yes", "--set", "features_used=[a, b]"),
)


@pytest.fixture(name="lone")
def _lone(files: Home) -> Home:
    """A folder with a model and its metrics, which no sidecar describes."""
    (files.folder / "metrics.json").write_text(json.dumps({"1d": {"rmse": 0.003}, "7d": {"rmse": 0.01}}, indent="\t"))
    os.utime(files.folder / "m.pkl", (0, 1_761_393_600))
    return files


def sidecar_in(home: Home) -> dict[str, Any]:
    """The only sidecar in the inbox, as another reader of YAML sees it."""
    (path,) = (home.folder / "inbox").glob("*.yaml")
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return {**found, "stem": path.stem}


def test_a_model_is_dropped_without_a_sidecar(lone: Home) -> None:
    """Options give what only the producer knows; id, time and horizons are filled in and marked."""
    done = lone.json("drop", "m.pkl", *OPTIONS, "--variant", "30d", "--provenance", "data=v3", "--set", "tags.desk=fx")
    digest = hashlib.sha256((lone.folder / "m.pkl").read_bytes()).hexdigest()
    assert done["model_id"] == f"usd-eur-lightgbm-30d-20251025T120000Z-{digest[:8]}"
    found = sidecar_in(lone)
    assert (found["stem"], found["model_id"]) == (done["model_id"], done["model_id"])
    assert found["trained_at"] == datetime(2025, 10, 25, 12, tzinfo=UTC)
    assert (found["version"], found["min_samples"], found["horizons"]) == ("1.10", 500, [1, 7])
    assert (found["variant"], found["tags"], found["features_used"]) == ("30d", {"desk": "fx"}, ["a", "b"])
    assert found["validation_metrics"] == {"1d": {"rmse": 0.003}, "7d": {"rmse": 0.01}}
    assert found["provenance"]["data"] == "v3"
    assert found["provenance"]["filled"] == "model_id,trained_at,horizons"
    assert found["provenance"].keys() >= {"python", "host", "user"}


def test_what_is_missing_is_told_with_its_option(lone: Home) -> None:
    """All at once, and nothing is written."""
    error = lone.error("drop", "m.pkl", "--pair", "USD/EUR", status=1)
    assert error["message"] == "cannot drop the model: its metadata has problems"
    hints = {problem["field"]: problem["hint"] for problem in error["problems"]}
    assert hints["model_type"].startswith("Add --type lightgbm, or")
    assert hints["validation_metrics"].startswith("Add --metrics metrics.json, or")
    assert set(hints) == set(REQUIRED_FIELDS) - {"currency_pair", "trained_at"}
    assert list((lone.folder / "inbox").iterdir()) == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("version.", "'version.' is not a field of a sidecar"),
        ("tags.", "cannot use '' as the name of a tag"),
        ("validation_metrics.", "the name '' in validation_metrics is empty"),
    ],
)
def test_a_name_with_nothing_behind_its_dot_is_refused(lone: Home, key: str, said: str) -> None:
    """It does not mean the whole field."""
    (problem,) = lone.error("drop", "m.pkl", *OPTIONS, "--set", f"{key}=1", status=1)["problems"]
    assert problem["message"] == said
    assert list((lone.folder / "inbox").iterdir()) == []


def test_metrics_that_cannot_be_read_are_told_in_their_own_words(lone: Home) -> None:
    """No message speaks of a sidecar that nobody wrote, and names stay as they are in the file."""
    (lone.folder / "twice.json").write_text('{"sidecar": 1, "sidecar": 2}')
    (lone.folder / "cut.json").write_text('{"1d": {"rmse": 0.1}')
    (lone.folder / "large.json").write_text(f'{{"rmse": 1}}{" " * (1 << 20)}')
    for name, said in (
        ("twice.json", "'sidecar' is there twice, first in line 1"),
        ("cut.json", "the file is not YAML, or was cut off: "),
        ("large.json", "the file has more than 1048576 bytes"),
    ):
        (problem,) = lone.error("drop", "m.pkl", "--metrics", name, status=1)["problems"]
        assert problem["message"].startswith(said)
    assert "--set version': the value is not YAML" in lone.run("drop", "m.pkl", "--set", "version={").stderr


def test_metrics_are_read_from_standard_input_once(lone: Home) -> None:
    """Also where the model's archive comes from there, it is read for one thing only."""
    (lone.folder / "m.yaml").write_text(SIDECAR)
    assert lone.run("drop", "m.pkl", "--metrics", "-", stdin='{"1d": {"rmse": 0.25}}').exit_code == 0
    assert sidecar_in(lone)["validation_metrics"] == {"1d": {"rmse": 0.25}}
    nothing = lone.run("drop", "m.pkl", "--metrics", "-", stdin="\n").stderr
    assert "cannot use the metrics from standard input: there are none" in nothing
    for words in (("m.pkl", "--metrics", "-", "--metrics", "-"), ("-", "--metrics", "-")):
        twice = lone.run("drop", *words, stdin="")
        assert (twice.exit_code, "Standard input is given twice." in twice.stderr) == (2, True)


def test_the_sidecar_and_the_scaler_beside_the_model_are_taken(lone: Home) -> None:
    """Options count more than the sidecar; --no-scaler leaves the scaler out."""
    (lone.folder / "m.yaml").write_text(SIDECAR)
    (lone.folder / "m_scaler.pkl").write_bytes(b"")
    shutil.copy(lone.folder / "s.pkl", lone.folder / "m_scaler.pkl")
    lone.text("drop", "m.pkl", "--pair", "GBP/CHF", "--set", "version=2", "--no-provenance", "-q")
    found = sidecar_in(lone)
    assert (found["stem"], found["currency_pair"], found["version"]) == ("m", "GBP/CHF", "2")
    assert (found["scaler_file"], "provenance" in found) == ("m_scaler.pkl", False)
    for path in (lone.folder / "inbox").iterdir():
        path.unlink()
    lone.text("drop", "m.pkl", "--no-scaler")
    assert sidecar_in(lone)["scaler_file"] is None


@pytest.mark.parametrize(
    ("words", "scaler"), [(["--no-scaler"], None), (["--scaler", "m_scaler.joblib"], "m_scaler.pkl")]
)
def test_an_unclear_scaler_is_refused_until_an_option_says_which_one(
    lone: Home, words: list[str], scaler: str | None
) -> None:
    """What the message advises is accepted."""
    (lone.folder / "m.yaml").write_text(SIDECAR)
    for name in ("m_scaler.joblib", "m_scaler.pickle"):
        shutil.copy(lone.folder / "s.pkl", lone.folder / name)
    error = lone.error("drop", "m.pkl", status=1)
    assert error["hint"] == "Say with --scaler which one is meant, or --no-scaler"
    assert list((lone.folder / "inbox").iterdir()) == []
    lone.text("drop", "m.pkl", *words)
    assert sidecar_in(lone)["scaler_file"] == scaler


def test_quiet_says_nothing_on_success_and_everything_else(lone: Home) -> None:
    """So cron sends a mail only about what went wrong."""
    assert lone.text("drop", "m.pkl", *OPTIONS, "-q") == ""
    for path in (lone.folder / "inbox").iterdir():
        path.unlink()
    assert "no answer came within" in lone.text("drop", "m.pkl", *OPTIONS, "-q", "--wait", "0", status=75)
    assert "version is missing" in lone.run("drop", "m.pkl", "--pair", "USD/EUR", "-q").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["m.pkl", "--set", "version"],
        ["m.pkl", "--set", "version={"],
        ["m.pkl", "--provenance", "=x"],
        ["m.pkl", "--provenance", "a=b", "--no-provenance"],
        ["m.pkl", "--scaler", "s.pkl", "--no-scaler"],
        ["m.pkl", "--trained-at", "soon"],
        ["-", "--meta", "usd_eur.yaml"],
        ["-", "--inbox", "ssh://host"],
    ],
)
def test_options_that_make_no_sense_are_usage(lone: Home, words: list[str]) -> None:
    """Exit code 2, and nothing is dropped."""
    assert lone.run("drop", *words).exit_code == 2
    assert list((lone.folder / "inbox").iterdir()) == []


def test_the_published_checks_are_kept_before_anything_is_written(lone: Home) -> None:
    """What the daemon of that inbox does not accept is refused, whatever configuration is here."""
    receipts = lone.folder / "inbox" / "receipts"
    receipts.mkdir()
    checks = {"model_types": ["ridge*"], "currency_pairs": ["USD/*"], "pair_pattern": "[A-Z]{3}/[A-Z]{3}"}
    (receipts / ".status.json").write_text(json.dumps({"inbox": {}, "checks": checks}))
    error = lone.error("drop", "m.pkl", *OPTIONS, "--pair", "gbp/usd", "--inbox", "inbox", status=1)
    assert error["message"] == "cannot drop the model: the daemon would reject it"
    assert {problem["code"] for problem in error["problems"]} == {
        "checks.model_type",
        "checks.currency_pair",
        "checks.pair_pattern",
    }
    assert [path.name for path in (lone.folder / "inbox").iterdir()] == ["receipts"]


def test_a_pickle_is_never_loaded(lone: Home) -> None:
    """A model that would do something when it is loaded is copied like any other: the scanner judges it."""
    (lone.folder / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch was-loaded'\ntR.")
    lone.text("drop", "m.pkl", *OPTIONS)
    assert not (lone.folder / "was-loaded").exists()
