"""The file that `model-inbox report` writes, as people open it: every width, both schemes, printed, by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from browser import SCHEMES, WIDTHS, Opened, by_keyboard, cut_or_covered, opened, outside, overflow, violations
from registries import MADE

FileOf = Callable[[str], str]


def faults_of(page: Opened, address: str) -> list[str]:
    """Return all that is wrong with a page as it is shown."""
    return [*page.said, *outside(page, address), *overflow(page), *cut_or_covered(page)]


@pytest.mark.parametrize("name", MADE)
def test_everything_can_be_seen_at_every_width(browser: Browser, file_of: FileOf, name: str) -> None:
    """Nothing is wider than the window, cut off, covered, requested or said, on a phone, a tablet and a screen."""
    address = file_of(name)
    for width in WIDTHS:
        with opened(browser, address, width=width) as page:
            assert (width, faults_of(page, address)) == (width, [])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", MADE)
def test_people_with_disabilities_can_use_it(browser: Browser, file_of: FileOf, name: str, scheme: str) -> None:
    """axe-core finds nothing, on a phone and on a screen: contrast, names, order, tables."""
    for width in (WIDTHS[0], WIDTHS[-1]):
        with opened(browser, file_of(name), width=width, scheme=scheme) as page:
            assert (width, violations(page)) == (width, [])


@pytest.mark.parametrize("name", MADE)
def test_the_keyboard_reaches_everything_in_order(browser: Browser, file_of: FileOf, name: str) -> None:
    """Each link, field and part that scrolls, one after the other, with a focus that is seen."""
    with opened(browser, file_of(name)) as page:
        reached, faults = by_keyboard(page)
    assert faults == []
    assert len(reached) > 1


@pytest.mark.parametrize("name", MADE)
def test_it_says_the_same_without_its_script(browser: Browser, file_of: FileOf, name: str) -> None:
    """Every text and every row of a table is there; only what the script serves is not."""
    texts = (
        "[...document.querySelectorAll('main h2, main h3, main caption, main td, main th')].map((one) => one.innerText)"
    )
    with opened(browser, file_of(name)) as page:
        with_script = page.evaluate(texts)
    with opened(browser, file_of(name), script=False) as page:
        assert page.evaluate(texts) == with_script
        assert faults_of(page, file_of(name)) == []


@pytest.mark.parametrize("name", MADE)
def test_it_can_be_printed(browser: Browser, file_of: FileOf, name: str) -> None:
    """On white also where the screen is dark; all parts are there, and none is cut off at the edge of the paper."""
    with opened(browser, file_of(name), width=720, scheme="dark", printed=True) as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(colour) in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
        assert [*overflow(page), *cut_or_covered(page)] == []
        assert page.page.pdf().startswith(b"%PDF")


def test_tables_are_sorted_by_their_heads(browser: Browser, file_of: FileOf) -> None:
    """By keyboard as by mouse: upwards, then downwards, and the head says which; numbers count as numbers."""
    with opened(browser, file_of("four months")) as page:
        table = page.page.locator("table.sortable").first
        heads = table.locator("thead th")
        at = heads.all_inner_texts().index("Models")
        column = f"(table) => [...table.tBodies[0].rows].map((row) => Number(row.cells[{at}].textContent))"
        before = table.evaluate(column)
        heads.nth(at).locator("button").focus()
        for way, wanted in (("ascending", sorted(before)), ("descending", sorted(before, reverse=True))):
            page.page.keyboard.press("Enter")
            assert heads.nth(at).get_attribute("aria-sort") == way
            assert table.evaluate(column) == wanted
    assert len(set(before)) > 2


def test_rows_are_filtered_by_words(browser: Browser, file_of: FileOf) -> None:
    """Only rows with all words stay, their number is said, and without words all are there again."""
    with opened(browser, file_of("four months")) as page:
        field = page.page.locator("label.filter").last
        rows = field.locator("xpath=following-sibling::*[1]//tbody/tr")
        count = rows.count()
        field.locator("input").fill("promote EUR-USD")
        left = [row.inner_text().lower() for row in rows.all() if row.is_visible()]
        assert 0 < len(left) < count
        assert all("promote" in text and "eur-usd" in text for text in left)
        assert field.locator("output").inner_text() == f"{len(left)} of {count}"
        field.locator("input").fill("")
        assert sum(row.is_visible() for row in rows.all()) == count


def test_hostile_texts_stay_text(browser: Browser, file_of: FileOf) -> None:
    """No element, no script and no dialog comes of them, and none turns the line round."""
    dialogs: list[str] = []
    with opened(browser, file_of("hostile texts")) as page:
        page.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        assert page.evaluate("document.querySelectorAll('main img, main script, svg[onload], [onerror]').length") == 0
        text = page.evaluate("document.documentElement.outerHTML")
    assert dialogs == []
    assert not {character for character in text if character in "\u202e\u2066\u200f\u001b"}
