"""The pages by their paths, and that they are what the registry and the inbox are now."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
from structlog.testing import capture_logs

from model_inbox.cli.why import said_of_model
from model_inbox.config.load import parse_config
from model_inbox.config.settings import Config
from model_inbox.web.answers import Page
from model_inbox.web.pages import KEPT_PAGES_MAX, KEPT_SECONDS, Site
from support.home import DAY, T0, Home


class Shown:
    """The pages of a folder with a registry. Time stands where we put it."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.now = T0 + 10 * DAY
        self.config = self.parse("")
        self.site = Site(lambda: self.config, lambda: self.now, "1.2.3", said_of_model)

    def parse(self, text: str) -> Config:
        return parse_config(text.encode(), file=self.home.folder / "config.yaml")

    def page(self, path: str = "/", query: Mapping[str, Sequence[str]] | None = None) -> Page:
        return self.site(path, query or {})

    def text(self, path: str = "/", query: Mapping[str, Sequence[str]] | None = None) -> str:
        page = self.page(path, query)
        assert page.status == HTTPStatus.OK, page.body
        return page.body.decode()

    def refusal(self, path: str = "/", query: Mapping[str, Sequence[str]] | None = None) -> tuple[int, str]:
        page = self.page(path, query)
        assert page.etag == ""
        return page.status, page.body.decode()


@pytest.fixture(name="shown")
def _shown(tmp_path: Path) -> Iterator[Shown]:
    shown = Shown(tmp_path)
    shown.home.register("first")
    yield shown
    shown.site.close()


def test_a_commit_is_seen_by_the_next_request(shown: Shown) -> None:
    """Without a restart, and at the same second; the page has another name then."""
    before = shown.page()
    assert b"second-model" not in before.body
    shown.home.register("second-model", days=1)
    after = shown.page()
    assert b"second-model" in after.body
    assert (before.etag != after.etag, after.policy.endswith("; frame-ancestors 'none'")) == (True, True)


def test_what_has_not_changed_has_the_same_name(shown: Shown) -> None:
    """Whoever asks again has the page already; of two processes, each gives it the same name."""
    other = Site(lambda: shown.config, lambda: shown.now, "1.2.3", said_of_model)
    assert shown.page().etag == shown.page().etag == other("/", {}).etag != ""
    other.close()


@pytest.mark.parametrize("change", ["inbox", "receipts", "rejected", "status", "settings", "time"])
def test_what_is_beside_the_registry_is_seen_too(shown: Shown, change: str) -> None:
    """A page is made again when something comes into the inbox, is answered, rejected or told, and as time goes by."""
    inbox = shown.home.folder / "inbox"
    for folder in ("receipts", "rejected"):
        (inbox / folder).mkdir(parents=True, exist_ok=True)
    before = shown.page()
    assert shown.page() is before
    if change == "inbox":
        (inbox / "stray.pkl").write_bytes(b"no pickle")
    elif change == "status":
        (shown.home.registry_path.with_name("prediction_registry.status.json")).write_text("{}")
    elif change == "settings":
        shown.config = shown.parse("inbox: {rejected_keep: 1d}")
    elif change == "time":
        shown.now += timedelta(seconds=KEPT_SECONDS)
    else:
        (inbox / change / "a.json").write_text("{}")
    assert shown.page() is not before


def test_the_overview_is_limited_by_the_query(shown: Shown) -> None:
    """By pair, type, variant and time, as the command does; an empty value is none."""
    shown.home.register("other-pair", pair="GBP/EUR")
    assert "other-pair" in shown.text()
    assert "other-pair" not in shown.text("/", {"pair": ["USD/EUR"]})
    assert "other-pair" not in shown.text("/", {"type": ["ridge"]})
    assert "other-pair" in shown.text("/", {"pair": ["GBP/EUR"], "type": ["lightgbm"], "variant": [""], "since": [""]})
    shown.text("/", {"since": ["30d"]})


def test_a_model_and_a_comparison_have_pages(shown: Shown) -> None:
    """Each links to the others by paths that there are; a retired model has its page as well."""
    shown.home.register("second", days=1)
    model = shown.text("/model/first")
    assert "first" in model
    both = shown.text("/compare", {"id": ["first", "second"]})
    assert "/model/second" in both
    for path in set(re.findall(r'href="(/[^"#]*)"', shown.text() + model + both)):
        name, _, query = html.unescape(path).partition("?")
        shown.text(unquote(name), parse_qs(query, keep_blank_values=True))
    with shown.home.open() as registry:
        registry.delete_model("first")
    assert "first" in shown.text("/model/first")


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/none", {}, "There is no page &#x27;/none&#x27;"),
        ("/static/page.css", {}, "There is no page"),
        ("/../../etc/passwd", {}, "There is no page"),
        ("/<script>\u202e", {}, "There is no page &#x27;/&lt;script&gt;\\u202e&#x27;"),
        ("/", {"pairs": ["a"]}, "no choice &#x27;pairs&#x27;. Its choices are pair, type, variant, since"),
        ("/", {"pair": ["a", "b"]}, "one pair, and 2 are given"),
        ("/model", {}, "There is no page"),
        ("/model/none", {}, "it is neither registered nor in the trash"),
        ("/model/first", {"id": ["a"]}, "It has no choices"),
        ("/model/../first", {}, "cannot show &#x27;../first&#x27;"),
        ("/compare", {}, "2 to 20 different models"),
        ("/compare", {"id": ["first", "first"]}, "and not of 1"),
        ("/compare", {"id": [str(number) for number in range(21)]}, "and not of 21"),
        ("/compare", {"id": ["first", "none"]}, "it is neither registered nor in the trash"),
        ("/compare/a/b", {}, "There is no page"),
        ("/", {"since": ["soon"]}, "since=&#x27;soon&#x27; is not a date and time"),
    ],
)
def test_what_there_is_no_page_for_is_said(shown: Shown, path: str, query: dict[str, list[str]], said: str) -> None:
    """With a sentence, and never as markup."""
    status, text = shown.refusal(path, query)
    assert status == HTTPStatus.NOT_FOUND
    assert said in text


def test_a_missing_registry_is_said_until_there_is_one(tmp_path: Path) -> None:
    """Every page says so, and what makes one. When it is there, the pages are, and the log has a line for each."""
    shown = Shown(tmp_path)
    with capture_logs() as logged:
        for _ in range(2):
            status, text = shown.refusal()
            assert (status, "there is none" in text) == (HTTPStatus.SERVICE_UNAVAILABLE, True)
        assert not (tmp_path / "models").exists()
        shown.home.register("first")
        assert "first" in shown.text()
    shown.site.close()
    said = [line["event"] for line in logged if line["event"].startswith("web.")]
    assert said == ["web.registry_unreadable", "web.registry_readable"]


def test_a_damaged_registry_is_said_with_what_to_run(shown: Shown) -> None:
    """A page that still knows the models shows them with the problem; one that cannot be made says only that."""
    shown.text()
    journal = shown.home.registry_path.with_name("prediction_registry.journal.jsonl")
    shown.home.register("second")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:-1], b'{"broken"}\n', lines[-1]]))
    known = shown.text()
    assert "first" in known
    shown.site.close()
    status, only = shown.refusal()
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    for text in (known, only):
        assert "damaged" in text
        assert "model-inbox verify" in text
        assert "Traceback" not in text
    journal.write_bytes(b"".join(lines))
    assert "second" in shown.text()


def test_another_registry_in_the_settings_is_shown(shown: Shown, tmp_path: Path) -> None:
    """The settings that hold now count, also where they name another folder."""
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")
    other.register("elsewhere")
    assert "elsewhere" not in shown.text()
    path = other.registry_path
    shown.config = shown.parse(json.dumps({"registry": {"path": str(path), "storage_dir": str(path.parent / "p")}}))
    assert "elsewhere" in shown.text()


def test_a_page_that_takes_long_is_kept_for_longer(shown: Shown) -> None:
    """For 20 times as long as it took, 4 times while only the inbox changes; a commit is seen at once all the same."""
    (shown.home.folder / "inbox").mkdir()
    began = shown.now
    times = iter([began, began + timedelta(seconds=3)])
    shown.site = Site(lambda: shown.config, lambda: next(times, shown.now), "1.2.3", said_of_model)
    slow = shown.page()
    shown.now = began + timedelta(seconds=11)
    (shown.home.folder / "inbox" / "stray.pkl").write_bytes(b"no pickle")
    assert shown.page() is slow
    shown.now = began + timedelta(seconds=12)
    again = shown.page()
    assert again is not slow
    shown.home.register("second")
    assert b"second" in shown.page().body


def test_what_is_prepared_is_open_and_a_problem_waits_for_a_request(shown: Shown, tmp_path: Path) -> None:
    """The registry is opened before the first request; where there is none, nothing is raised."""
    shown.site.prepare()
    assert shown.site._registry is not None
    (tmp_path / "none").mkdir()
    Shown(tmp_path / "none").site.prepare()


def test_few_pages_are_kept(shown: Shown) -> None:
    """However many different queries come, the memory for pages has a bound."""
    for number in range(2 * KEPT_PAGES_MAX):
        shown.page("/", {"pair": [f"P{number}"]})
    assert len(shown.site._kept) == KEPT_PAGES_MAX


def test_pages_change_nothing(shown: Shown) -> None:
    """Every file is as it was, and none is new."""
    folder = shown.home.folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shown.text()
    shown.refusal("/none")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
