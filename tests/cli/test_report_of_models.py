"""`report --model` and `report --compare` write pages of models, `report --policy` what other rules would have done."""

from __future__ import annotations

import json

import pytest

from support.home import Home, rules
from support.pages import Read


def test_the_page_of_a_model_says_what_show_says(home: Home) -> None:
    """The page has metadata, metrics, files with digests, imports and the history, and needs no other file."""
    home.register("full", days=3, tags={"stage": "live"}, description="a <b>text</b>", provenance={"commit": "abc123"})
    with home.open() as registry:
        registry.record("full", {"1d": {"rmse": 0.3125}}, reason="realised")
    home.text("promote", "full", "--reason", "better")
    target = home.folder / "full.html"
    home.text("report", "--model", "full", "-o", str(target))
    page, entry = target.read_text(), home.json("show", "full")
    for text in (
        *("<code>full</code>", "USD/EUR", "lightgbm", "1.10", "stage=live", "commit=abc123", "in service as champion"),
        *("a &lt;b&gt;text&lt;/b&gt;", "sma_5, rsi_14", "1 d, 7 d", "0.2500", "0.3125", "register"),
        *(entry["model_path"], entry["sha256"], entry["scaler_path"], entry["scaler_sha256"]),
        *("realised", "better", "promote champion"),
    ):
        assert text in page, text
    assert "Content-Security-Policy" in page
    assert 'href="http' not in page


def test_a_model_is_named_as_in_other_commands(home: Home) -> None:
    """A slot names its newest model, and one with an alias the model that has it; the page is printed without -o."""
    home.text("promote", "old")
    assert "<code>new</code>" in home.text("report", "--model", "USD/EUR:lightgbm")
    assert "in service as champion" in home.text("report", "--model", "USD/EUR:lightgbm@champion")


def test_a_retired_model_has_a_page(home: Home) -> None:
    """A model in the trash says that it is retired and how it is brought back; one that never was is not found."""
    home.text("delete", "old", "--reason", "a leak")
    page = home.text("report", "--model", "old")
    assert "retired, in the trash" in page
    assert "a leak" in page
    assert "neither registered nor in the trash" in home.error("report", "--model", "nobody", status=1)["message"]


@pytest.mark.parametrize("model_id", ["new", "old", "other"])
def test_the_page_of_a_model_says_what_why_says(home: Home, model_id: str) -> None:
    """The same sentences as the command's: of a model in service, of one that is held, and of a retired one."""
    home.text("promote", "new", "--reason", "better on <marquee>Monday</marquee> \u202e")
    home.text("hold", "old", "--reason", "`drifts")
    home.text("delete", "other", "--reason", "a leak")
    read = Read(home.text("report", "--model", model_id))
    answers = home.json("why", model_id)["answers"]
    assert len(answers) >= 2
    for answer in answers:
        assert f"{answer['about'].capitalize()} {answer['text'].replace('`', '')}" in read.text.replace("`", "")
    assert "marquee" not in read.tags


@pytest.mark.parametrize("value", [None, 3, True, "text", ["x", 3, None], {"a": 1}, [{"gate": 1}], [{"gate": "g"}]])
@pytest.mark.parametrize("name", ["gates", "barred"])
def test_adopted_entries_have_pages_whatever_is_in_them(empty: Home, name: str, value: object) -> None:
    """Another program wrote what only this one should: the model is shown, and why it is there."""
    (empty.folder / "config.yaml").write_text("promotion: [{when: {metric: 1d.rmse, order: min}}]\n" + rules("off"))
    empty.registry_path.parent.mkdir()
    seed = {"model_id": "m", "currency_pair": "USD/EUR", "model_type": "lightgbm", "trained_at": "2025-10-01T00:00:00Z"}
    empty.registry_path.write_text(json.dumps({"m": {**seed, "origin": "inbox", name: value}}))
    with empty.open():
        # It is adopted.
        pass
    page = Read(empty.text("report", "--model", "m")).text
    assert "Newest It is the newest model of 'USD/EUR:lightgbm'" in page
    assert empty.text("show", "m").splitlines()[0] == "m"


def test_a_machine_without_an_inbox_says_so(home: Home) -> None:
    """Where only the registry is, the page of a model says what that says, and that there is no inbox."""
    assert not (home.folder / "inbox").exists()
    text = Read(home.text("report", "--model", "new")).text
    assert "Newest It is the newest model of 'USD/EUR:lightgbm'" in text
    assert f"there is no inbox at '{home.folder / 'inbox'}'" in text


def test_a_comparison_has_only_the_differences(home: Home) -> None:
    """Two models or more: what differs stands there with its change and, where the order is known, its verdict."""
    (home.folder / "config.yaml").write_text(
        "gates: [{name: g, against: champion, max_regression: {1d.rmse: 5%}, order: min}]\n" + rules("off")
    )
    home.register("better", days=3, validation_metrics={"1d": {"rmse": 0.2}}, features_used=["sma_5", "vol"])
    target = home.folder / "c.html"
    said = home.json("report", "--compare", "new", "better", "-o", str(target))
    page = target.read_text()
    assert said == {"file": str(target), "bytes": len(page.encode())}
    assert '−20.0 % <span class="good">better</span>' in page
    assert "vol" in page
    assert "calibration_ok" not in page
    assert "<h1>3 models compared</h1>" in home.text("report", "--compare", "old", "new", "other")


def test_what_other_rules_would_have_done(home: Home) -> None:
    """The overview shows the size as it was and under the rules of the file, what would have been missed, and today."""
    home.text("promote", "old", "--reason", "answers better live")
    policy = home.folder / "last-one.yaml"
    policy.write_text(rules().removeprefix("retention: "))
    page = home.text("report", "--policy", str(policy))
    assert "What last-one.yaml would have done" in page
    assert "would have retired 1 model (" in page
    assert '<span class="bad">1 model</span> of these was wanted later' in page
    section = page.partition('aria-labelledby="trial"')[2].partition("</section>")[0]
    assert (section.count('<path class="line" d='), section.count('<path class="line other" d=')) == (1, 1)
    assert section.count('<path class="rej" d=') == 1
    assert "would have done" not in home.text("report")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--model", "old", "--compare", "old", "new"), "ask for one of them"),
        (("--model", "old", "--pair", "USD/EUR"), "are about the overview"),
        (("--compare", "old"), "needs 2 to 20 models, and 1 are given"),
        (("--compare",), "needs 2 to 20 models, and 0 are given"),
        (("old", "new"), "Write --compare before models"),
    ],
)
def test_what_is_no_page(home: Home, args, says) -> None:
    """Options that do not fit together are an error of usage, which says what to do."""
    result = home.run("report", *args)
    assert result.exit_code == 2
    assert says in result.stderr
